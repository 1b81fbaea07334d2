#!/bin/sh
# train.sh NAME DATA [OPTION...] - trains a network as it was trained for this folder, or goes on with it.
#
# NAME: float. DATA: the folder cifar-10-batches-bin. OPTIONs go to `lqnet train`. Writes NAME.lq, its log, its report and
# its checkpoint into WORK (build/training), where a run of the same name goes on from its checkpoint.
set -eu
name=$1 data=$2
shift 2
work=${WORK:-build/training} lqnet=${LQNET:-build/release/lqnet}
mkdir -p "$work"

train() {
    exec "$lqnet" train --data "$data" --seed 1 --schedule linear --evaluate-every 5 -o "$work/$name.lq" \
        --checkpoint "$work/$name.safetensors" --checkpoint-minutes 3 --resume --log "$work/$name.jsonl" \
        --report "$work/$name.html" "$@"
}

case $name in
float) train --arch resnet-20 --epochs 100 --warmup 1 --lr 0.1 --decay 5e-4 "$@" ;;
*)
    echo "train.sh: '$name' is not float" >&2
    exit 2
    ;;
esac
