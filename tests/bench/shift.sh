#!/bin/sh
# shift.sh BUILD MODEL.lq CIFAR - a network of CIFAR-10 meets another camera, and is fine-tuned to it.
#
# Each corruption of the test images (tests/bench/corrupt.c) makes a data set of 2,000 to learn from and 8,000 others to
# judge by. Shown: top-1 of the 8,000 before and after, and the share of the lost points that is won back.
# Then jobs whose result must not be published: unshifted images, where nothing is to be won, and shuffled classes.
# Fails where calibrate wins back less than half on average, quantizers less than two thirds, where what is published
# on unshifted images loses more than 0.2 points, or where a harmful job is accepted.
#
# Settings, from the environment: KINDS (of shifts; default all five), PARTS (default "shifted unshifted harmful"),
# THREADS (default 2), SEED (default 1), CALIBRATE and QUANTIZERS (more options of lqnet finetune)
set -u
build=$1 model=$2 cifar=$3
kinds=${KINDS:-contrast brightness noise blur mix} threads=${THREADS:-2} seed=${SEED:-1}
parts=${PARTS:-shifted unshifted harmful}
record=3073 learned=2000
work=$(mktemp -d)
status=0
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# Data set NAME of the file: the first images to learn from, the others to judge by.
split() {
    mkdir -p "$work/$1" || exit 1
    head -c $((learned * record)) "$2" >"$work/$1/data_batch_1.bin"
    tail -c +$((learned * record + 1)) "$2" >"$work/$1/test_batch.bin"
}
field() { sed -n 's/.*"'"$1"'": \([-0-9.e+]*\).*/\1/p' "$work/report" | head -1; }
# DATA MODE OPTION...: the exit status of a job; the report is left behind
tune() {
    data=$work/$1 mode=$2
    shift 2
    "$build/lqnet" finetune "$model" --data "$data" --mode "$mode" --threads "$threads" --seed "$seed" --json \
        -o "$work/tuned.lq" "$@" >"$work/report" 2>"$work/errors"
    result=$?
    [ $result -eq 0 ] || [ $result -eq 3 ] || { cat "$work/errors" >&2; exit 1; }
    return $result
}
top1() { "$build/lqnet" evaluate "$1" "$work/$2" --threads "$threads" --json | sed 's/.*"top1": \([0-9.]*\).*/\1/'; }
check() {
    if ! awk "BEGIN { exit !($1) }"; then
        echo "shift: not so: $2" >&2
        status=1
    fi
}

for kind in none labels $kinds; do
    "$build/tests/bench/corrupt" "$kind" "$seed" "$cifar/test_batch.bin" "$work/all.bin" || exit 1
    split "$kind" "$work/all.bin"
done
clean=$(top1 "$model" none)

shifted() {
    printf 'unshifted %.2f %%\n%-11s %8s %22s %22s\n' "$clean" '' before calibrate quantizers
    for kind in $kinds; do
        for mode in calibrate quantizers; do
            more=$(eval "echo \${$(echo $mode | tr a-z A-Z):-}")
            # shellcheck disable=SC2086 # options
            tune "$kind" "$mode" --guard "$work/$kind" --force $more
            echo "$kind $mode $(field top1_old) $(field top1_new) $(field seconds)" >>"$work/table"
        done
        awk -v k="$kind" -v clean="$clean" '$1 == k { if (!n++) printf "%-11s %8.2f", k, $3
            printf " %6.2f (%3.0f %%, %4.1f s)", $4, 100 * ($4 - $3) / (clean - $3), $5 } END { print "" }' "$work/table"
    done
    for mode in calibrate quantizers; do
        share=$(awk -v m=$mode -v clean="$clean" '$2 == m { lost += clean - $3; won += $4 - $3 }
            END { printf "%.1f", 100 * won / lost }' "$work/table")
        mean=$(awk -v m=$mode -v clean="$clean" '$2 == m { s += ($4 - $3) / (clean - $3); n++ }
            END { printf "%.1f", 100 * s / n }' "$work/table")
        echo "$mode: $share % of all lost points won back; $mean % on average of the corruptions"
        case $mode in calibrate) least=50 ;; *) least=66.7 ;; esac
        check "$share >= $least && $mean >= $least" "$mode wins back $least %"
    done
}

# Published by what the 2,000 images say; judged by the 8,000.
unshifted() {
    for options in "calibrate --unlabelled" calibrate quantizers; do
        # shellcheck disable=SC2086 # options
        if tune none $options; then
            after=$(top1 "$work/tuned.lq" none)
            echo "unshifted, $options: published, $clean -> $after %"
            check "$clean - $after <= 0.2" "no more than 0.2 points are lost"
        else
            echo "unshifted, $options: rejected"
        fi
    done
}

harmful() {
    for guard in "" "--guard $work/none"; do
        # shellcheck disable=SC2086 # options
        if tune labels quantizers $guard; then
            check 0 "shuffled classes are rejected${guard:+ by right ones}"
        else
            echo "shuffled classes${guard:+, judged by right ones}: rejected, $(field top1_old) -> $(field top1_new) %"
        fi
    done
}

for part in $parts; do
    case $part in
    shifted | unshifted | harmful) "$part" ;;
    *) echo "shift: no part '$part'" >&2; exit 2 ;;
    esac
done
exit $status
