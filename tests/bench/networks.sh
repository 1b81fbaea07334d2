#!/bin/sh
# networks.sh LQNET - how fast whole networks are, from pixels to logits, beside a rival if there is one.
#
# Settings, from the environment:
#   NETWORKS  "resnet-18 resnet-20": those of `lqnet new`; default: one of each family
#   BITS      "1/2 2/2": weights/activations; default 2/2
#   THREADS   default "1 2"
#   BATCHES   default "1 8"
#   SECONDS   of one measurement, default 0.5
#   ROUNDS    default 3: in each, all bits of a network and the rival run in turn; medians count
#   RIVAL     a shell command that runs beside us; it finds $NETWORK, $THREADS, $BATCH and $SECONDS in
#             its environment and prints "median_ms" and a number
#   LAYERS    not empty: the time of each layer too, one thread, one image
#   JSON      not empty: what `lqnet bench --json` prints, a line for each measurement, and a line
#             {"rival": ...} for each of the rival's
# The networks are made in build/bench, once. Before one is measured, its answers are compared with
# those of the plain form.
set -u
lqnet=$1
networks=${NETWORKS:-resnet-20 vgg-small alexnet vgg-variant googlenet-variant resnet-18 resnet-34 resnet-50 densenet-121}
bits=${BITS:-2/2} threads=${THREADS:-1 2} batches=${BATCHES:-1 8} seconds=${SECONDS:-0.5} rounds=${ROUNDS:-3}
dir=build/bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
mkdir -p "$dir"

# file NETWORK W/A: its path, made where it is missing or older than what makes it
file() {
    path=$dir/$1-w${2%/*}a${2#*/}.lq
    if [ ! "$path" -nt engine/arch/arch.c ]; then
        "$lqnet" new "$1" --bits "$2" --name "$1 $2" -o "$path" >/dev/null || exit 1
    fi
    echo "$path"
}
# field NAME: of JSON lines, or of text that says NAME=number
field() { grep -oE "\"?$1\"? *[:=] *[0-9.e+-]+" | sed 's/.*[:= ]//'; }
median() { sort -g | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "-" }'; }

# measure NETWORK THREADS BATCH: ROUNDS lines in a file for each bits, and for the rival
measure() {
    rm -f "$work"/*
    for b in $bits; do
        "$lqnet" bench "$(file "$1" "$b")" --threads "$2" --batch "$3" --seconds 0.01 --check >/dev/null || exit 1
    done
    for round in $(seq "$rounds"); do
        if [ -n "${RIVAL:-}" ]; then
            NETWORK=$1 THREADS=$2 BATCH=$3 SECONDS=$seconds sh -c "$RIVAL" >>"$work/rival" || echo "rival failed" >&2
        fi
        for b in $bits; do
            path=$(file "$1" "$b") || exit 1
            "$lqnet" bench "$path" --threads "$2" --batch "$3" --seconds "$seconds" --json >>"$work/${b%/*}.${b#*/}" ||
                exit 1
        done
    done
}

# row NETWORK THREADS BATCH W/A
row() {
    lines=$work/${4%/*}.${4#*/}
    ms=$(field median_ms <"$lines" | median)
    rival=-
    [ -s "$work/rival" ] && rival=$(field median_ms <"$work/rival" | median)
    macs=$(field macs <"$lines" | head -1)
    echo "$1 $4 $2 $3 $ms $(field peak_memory_mb <"$lines" | median) $(field first_answer_ms <"$lines" | median) $rival $macs" |
        awk '{ printf "%-18s %4s %7d %5d %9.3f %9.1f %8.1f %8.1f %9.1f", $1, $2, $3, $4, $5, $4 / $5 * 1e3, $9 * $4 / $5 / 1e6, $6, $7;
               if ($8 != "-") printf " %9.3f %6.2fx", $8, $8 / $5; print "" }'
}

if [ -z "${JSON:-}" ]; then
    grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //'
    printf '%-18s %4s %7s %5s %9s %9s %8s %8s %9s%s\n' network W/A threads batch ms images/s GMAC/s 'peak MB' 'first ms' \
        "${RIVAL:+ rival ms  ratio}"
fi
for network in $networks; do
    for t in $threads; do
        for batch in $batches; do
            measure "$network" "$t" "$batch"
            for b in $bits; do
                if [ -n "${JSON:-}" ]; then
                    cat "$work/${b%/*}.${b#*/}"
                else
                    row "$network" "$t" "$batch" "$b"
                fi
            done
            if [ -n "${JSON:-}" ] && [ -s "$work/rival" ]; then
                field median_ms <"$work/rival" |
                    sed "s|.*|{\"rival\": \"$network\", \"threads\": $t, \"batch\": $batch, \"median_ms\": &}|"
            fi
        done
    done
done
if [ -n "${LAYERS:-}" ] && [ -z "${JSON:-}" ]; then
    for network in $networks; do
        for b in $bits; do
            echo
            "$lqnet" bench "$(file "$network" "$b")" --seconds "$seconds"
        done
    done
fi
