#!/bin/sh
# demo.sh BUILD LISTEN - starts lqnetd on the models of models/ or, while it holds none, on a ResNet-20 that it
# quantizes with the data of LQ_DATA; then shows the line that classifies a picture. Ctrl-C ends it.
set -eu
build=$1 listen=$2 models=models
picture=$(find models -name '*.jpg' | sort | head -n 1)
[ -n "$picture" ] || picture=${LQ_DATA:-}/imagenet-samples/n02690373_airliner.JPEG

if ! ls models/*.lq >/dev/null 2>&1; then
    if [ ! -d "${LQ_DATA:-/nonexistent}" ]; then
        echo 'models/ holds no network, and LQ_DATA names no folder to make one from: it needs' >&2
        echo 'onnx/resnet20-cifar10.onnx and cifar-10-batches-bin/. See README.md.' >&2
        exit 1
    fi
    models=$build/models
    if [ ! -f "$models/resnet20-cifar10.lq" ]; then
        mkdir -p "$models"
        "$build/lqnet" import "$LQ_DATA/onnx/resnet20-cifar10.onnx" -o "$build/resnet20-float.lq" \
            --mean .485,.456,.406 --std .229,.224,.225 --augmentation crop4-black,flip \
            --labels "$LQ_DATA/cifar-10-batches-bin/batches.meta.txt"
        "$build/lqnet" quantize "$build/resnet20-float.lq" --bits 4/4 --calibrate "$LQ_DATA/cifar-10-batches-bin" \
            -o "$models/resnet20-cifar10.lq"
    fi
fi
model=$(basename "$(ls "$models"/*.lq | head -n 1)" .lq)

trap '' INT # Ctrl-C is for the daemon, which ends this loop by ending
"$build/lqnetd" --models "$models" --listen "$listen" 2>&1 | while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
    *'"event":"listening"'*)
        port=${line##*\"port\":}
        port=${port%%,*}
        ;;
    *'"event":"ready"'*)
        printf '\nClassify a picture, from another terminal:\n\n'
        printf "    curl -s --data-binary @%s -H 'Content-Type: image/jpeg' 'http://127.0.0.1:%s/v2/models/%s/classify?top_k=3'\n\n" \
            "$picture" "$port" "$model"
        ;;
    esac
done
