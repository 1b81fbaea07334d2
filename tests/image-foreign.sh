#!/bin/sh
# image-foreign.sh IMAGE MODEL PICTURE - runs the programs of an image for another architecture by qemu-user: lqnetd starts,
# classifies a picture, is healthy, ends. Needs podman or buildah's storage, qemu-user, curl. Prints "N passed, N failed".
set -u
image=$1 model=$2 picture=$3
work=$(mktemp -d)
root=$work/root
pid=
trap '[ -z "$pid" ] || kill -9 $pid 2>/dev/null; rm -rf "$work"' EXIT
mkdir -p "$work/image" "$root" "$work/models"
cp "$model" "$work/models/model.lq"

. "$(dirname "$0")/support/check.sh"

podman --storage-driver "${STORAGE_DRIVER:-vfs}" image save "$image" | tar -x -C "$work/image"
find "$work/image" -type f -name '*.tar' -exec tar -x -C "$root" -f {} \;
case $(readelf -h "$root/usr/bin/lqnetd" 2>&1) in
*AArch64*) qemu=qemu-aarch64 ;;
*X86-64*) qemu=qemu-x86_64 ;;
*) qemu=false ;;
esac
export OPENBLAS_NUM_THREADS=1 # as in the image: with more, it never ends inside the emulator
foreign() { "$qemu" -L "$root" "$root/usr/bin/$@"; }

check "lqnet runs" foreign lqnet --version
# System calls cannot be denied inside the emulator.
"$qemu" -L "$root" "$root/usr/bin/lqnetd" --listen 127.0.0.1:0 --models "$work/models" --sandbox false 2>"$work/log" &
pid=$!
for i in $(seq 600); do
    grep -q '"event":"ready"' "$work/log" || ! kill -0 $pid 2>/dev/null && break
    sleep 0.1
done
port=$(sed -n 's/.*"event":"listening".*"port":\([0-9]*\).*/\1/p' "$work/log")
check "it is ready" grep '"event":"ready"' "$work/log"
check "it classifies" curl -sf --data-binary "@$picture" "http://127.0.0.1:$port/v2/models/model/classify"
cat "$work/out"
echo
check "it is healthy" foreign lqnet health "http://127.0.0.1:$port"
kill -TERM $pid
wait $pid
check "it ends with 0, not $?" test $? = 0
pid=
[ $failed = 0 ] || cat "$work/log"
summary
