#!/bin/sh
# training.sh BENCH_STEP - steps of the trainer beside a rival, in turn, so that both meet the same machine.
#
# Settings, from the environment:
#   BITS      "float 2/2": weights/activations; default both
#   NETWORK   of `lqnet new`; default resnet-20
#   THREADS   default 2
#   BATCH     default 128
#   SECONDS   of one measurement, default 5
#   ROUNDS    default 5; medians count
#   RIVAL     a shell command that trains for $SECONDS seconds and prints "images_per_s=" and a number
# Prints images a second, and how many times the rival's that is.
set -u
bench=$1
bits=${BITS:-float 2/2} network=${NETWORK:-resnet-20} threads=${THREADS:-2} batch=${BATCH:-128}
seconds=${SECONDS:-5} rounds=${ROUNDS:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
rate() { grep -o 'images_per_s=[0-9.]*' | tail -1 | sed 's/.*=//'; }
median() { sort -g | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : 0 }'; }

for round in $(seq "$rounds"); do
    if [ -n "${RIVAL:-}" ]; then
        NETWORK=$network THREADS=$threads BATCH=$batch SECONDS=$seconds sh -c "$RIVAL" | rate >>"$work/rival"
    fi
    for b in $bits; do
        "$bench" --bits "$b" --batch "$batch" --threads "$threads" "$seconds" "$network" | rate >>"$work/${b%/*}.${b#*/}"
    done
done
rival=0
if [ -n "${RIVAL:-}" ]; then
    rival=$(median <"$work/rival")
    printf '%-8s %8.1f images/s\n' rival "$rival"
fi
for b in $bits; do
    median <"$work/${b%/*}.${b#*/}" | awk -v b="$b" -v rival="$rival" \
        '{ printf "%-8s %8.1f images/s", b, $1; if (rival > 0) printf " %5.2fx", $1 / rival; print "" }'
done
