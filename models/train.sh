#!/bin/sh
# train.sh NAME DATA [OPTION...] - trains a network as it was trained for this folder, or goes on with it.
#
# NAME: float, w3a3, w2a2, w2a2-longer, w1a2 (the networks of this folder), w2a2-[untaught-]gradient, w2a2-[untaught-]even, w2a2-even-longer,
# w2a2-untaught[-uniform] (compared with w2a2) or one of the short ones below. Quantized networks start from the float one, which is
# their teacher too, where they are not untaught; w2a2-longer and w1a2 from the float weights behind w2a2, so train that first
# (w2a2-even before w2a2-even-longer).
# DATA: the folder cifar-10-batches-bin. OPTIONs go to `lqnet train`. Writes NAME.lq, its log, its report and its checkpoint
# into WORK (build/training), where a run of the same name goes on from its checkpoint.
set -eu
name=$1 data=$2
shift 2
work=${WORK:-build/training} lqnet=${LQNET:-build/release/lqnet}
float=${0%/*}/resnet20-cifar10-float.lq
mkdir -p "$work"

train() {
    exec "$lqnet" train --data "$data" --seed 1 --schedule linear --evaluate-every 5 -o "$work/$name.lq" \
        --checkpoint "$work/$name.safetensors" --checkpoint-minutes 3 --resume --log "$work/$name.jsonl" \
        --report "$work/$name.html" "$@"
}

# INIT BITS EPOCHS: the latent weights are kept too, for going on from.
untaught() {
    init=$1 bits=$2 epochs=$3
    shift 3
    train --init "$init" --bits "$bits" --epochs "$epochs" --lr 0.05 --decay 5e-5 --latent "$work/$name-latent.lq" "$@"
}

quantized() {
    init=$1 bits=$2 epochs=$3
    shift 3
    untaught "$init" "$bits" "$epochs" --teacher "$float" --distillation 0.5 --temperature 3 "$@"
}

unknown() {
    echo "train.sh: '$name' is none of float, w3a3, w2a2[-longer], w1a2, w2a2-untaught-uniform, w2a2[-untaught][-gradient|-even], w2a2-even-longer, short[-...]" >&2
    exit 2
}

case $name in
float) train --arch resnet-20 --epochs 100 --warmup 1 --lr 0.1 --decay 5e-4 "$@" ;;
w3a3) quantized "$float" 3/3 40 "$@" ;;
w2a2) quantized "$float" 2/2 60 "$@" ;;
w2a2-longer) quantized "$work/w2a2-latent.lq" 2/2 60 --lr 0.03 "$@" ;;
w2a2-even-longer) quantized "$work/w2a2-even-latent.lq" 2/2 60 --lr 0.03 --quantizer even "$@" ;;
w2a2-gradient) quantized "$float" 2/2 60 --basis-rate 0.1 "$@" ;;
w2a2-even) quantized "$float" 2/2 60 --quantizer even "$@" ;;
w2a2-untaught) untaught "$float" 2/2 60 "$@" ;;
w2a2-untaught-gradient) untaught "$float" 2/2 60 --basis-rate 0.1 "$@" ;;
w2a2-untaught-uniform) untaught "$float" 2/2 60 --quantizer uniform "$@" ;;
w2a2-untaught-even) untaught "$float" 2/2 60 --quantizer even "$@" ;;
short*)
    # what each setting does in 8 epochs at 2/2, judged by a tenth of the training images, which is held out
    how=quantized change=
    case $name in
    short) ;;
    short-again) change="--seed 2" ;;
    short-untaught) how=untaught ;;
    short-even) change="--quantizer even" ;;
    short-steps) change="--schedule steps" ;;
    short-decay) change="--decay 1e-4" ;;
    short-coarse) change="--grid 14/31" ;;
    short-coarse-weights) change="--grid 14/63" ;;
    short-fine) change="--grid 127/255" ;;
    short-gradient) change="--basis-rate 0.1" ;;
    short-scratch) change=--scratch ;;
    *) unknown ;;
    esac
    # shellcheck disable=SC2086 # options
    $how "$float" 2/2 8 --validate 10 $change "$@"
    ;;
w1a2) quantized "$work/w2a2-latent.lq" 1/2 60 "$@" ;;
*) unknown ;;
esac
