#!/bin/sh
# image.sh IMAGE MODEL FOLDER - runs the image as docker/README.md says it may be run (read-only, no capabilities, any user,
# 64 MB, one CPU), by podman and runc, and looks at it from outside. FOLDER holds pictures. As root.
# Prints "N passed, N failed".
set -u
image=$1 model=$2 folder=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
podman="podman --storage-driver ${STORAGE_DRIVER:-vfs} --cgroup-manager cgroupfs --runtime runc"
name=lqnet-test-$$
trap '$podman rm -f "$name" >/dev/null 2>&1; kill %1 %2 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' TERM INT # dash leaves out what EXIT asks for, else
mkdir -m 755 "$work/models"
install -m 644 "$model" "$work/models/model.lq"
chmod 755 "$work"

. "$(dirname "$0")/support/check.sh"
locked() { # locked ARGUMENT...: in the foreground
    $podman run --rm --name "$name" --network host --ulimit nofile=1024:4096 --ulimit nproc=1000:1000 --read-only \
        --cap-drop all --security-opt no-new-privileges --memory 64m --cpus 1 --no-healthcheck \
        -v "$work/models:/models:ro" "$@"
}
start() { # start OPTIONS: a container that is ready; sets port and url
    rm -f "$work/log"
    mkfifo "$work/log"
    locked $1 "$image" --listen 127.0.0.1:0 >"$work/log" 2>&1 &
    running=$!
    exec 3<"$work/log"
    while read -r line <&3; do
        case $line in
        *'"event":"listening"'*) port=$(echo "$line" | sed 's/.*"port":\([0-9]*\).*/\1/') ;;
        *'"event":"ready"'*) break ;;
        *'"event"'*) ;;
        *) echo "$line" ;;
        esac
    done
    ready=$(echo "$line" | sed 's/.*"time":"\([^"]*\)".*/\1/')
    cat <&3 >"$work/log-rest" &
    url=http://127.0.0.1:$port
    pid=$($podman inspect --format '{{.State.Pid}}' "$name")
}
load() { sh "$here/bench/curl-load.sh" "$url/v2/models/model/classify" "$folder" "$1" 8; }
statuses() { sed -n 's/^status //p' "$1" | tr '\n' ' '; }
one_of() { grep -qxF "$1" "$work/list"; }

# --- what is in it
$podman image save "$image" 2>/dev/null | tar -x -C "$work" --wildcards '*/layer.tar' '*.tar' 2>/dev/null
find "$work" -type f -name '*.tar' -exec tar -tf {} \; | grep -v '/$' | sort >"$work/list"
layers=$(find "$work" -type f -name '*.tar')
compressed=$(for layer in $layers; do gzip -6 -n -c <"$layer"; done | wc -c)
unpacked=$(cat $layers | wc -c)
rm -f $layers
echo "compressed $compressed bytes, unpacked $unpacked"
check 'compressed layers have 20 MB at most' test "$compressed" -le 20000000
check 'unpacked, it has 60 MB at most' test "$unpacked" -le 60000000
check 'no shell is in it' sh -c "! grep -E '(^|/)(sh|bash|dash|busybox)\$' '$work/list'"
while read -r file; do
    case $file in models/*) text=models/README.md ;; *) text=docker/README.md ;; esac
    check "$file stands in $text" grep -qF "$(basename "$file" | sed 's/\.so.*//')" "$here/../$text"
done <"$work/list"

# --- locked down
start ''
started=$($podman inspect --format '{{.State.StartedAt.UnixMilli}}' "$name")
echo "container's process to ready: $(($(date -d "$ready" +%s%3N) - started)) ms"
check 'does not run as root' grep -qE '^Uid:[[:space:]]+65532[[:space:]]+65532' "/proc/$pid/status"
check 'classifies' sh -c "curl -sf --data-binary '@$(find "$folder" -type f | head -n 1)' '$url/v2/models/model/classify' | grep '\"predictions\"'"
check 'tells its metrics' sh -c "curl -sf '$url/metrics' | grep '^lqnet_ready 1'"
check 'one CPU, one worker' sh -c "curl -sf '$url/metrics' | grep -x 'lqnet_workers 1'"
check 'lqnet health inside' $podman exec "$name" /usr/bin/lqnet health "$url"
load 2000 >"$work/load"
echo "under load: $(statuses "$work/load"); peak memory of the process: $(sed -n 's/^VmHWM:[[:space:]]*//p' "/proc/$pid/status")"
check 'serves under load within 64 MB' sh -c "! sed -n 's/^status //p' '$work/load' | grep -v '^200:\|^503:'"
check 'was not out of memory' test "$($podman inspect --format '{{.State.OOMKilled}}' "$name")" = false
load 5000 >"$work/load" &
loading=$!
until [ "$(curl -sf "$url/metrics" | sed -n 's/^lqnet_http_requests_in_flight //p')" -gt 1 ]; do :; done
$podman kill --signal TERM "$name" >/dev/null
wait "$running"
check 'ends with status 0' test $? = 0
wait "$loading"
echo "drained under load: $(statuses "$work/load")"
check 'answered all that it accepted' sh -c "! sed -n 's/^status //p' '$work/load' | grep -v '^200:\|^503:\|(curl 7)'"

# --- other users, bad settings, sudden death
start '--user 12345:12345'
check 'runs as any user' sh -c "curl -sf '$url/v2/health/ready'"
$podman kill --signal KILL "$name" >/dev/null
wait "$running"
check 'a killed one is gone' test $? = 137
start ''
check 'starts again' sh -c "curl -sf '$url/v2/health/ready'"
$podman kill --signal TERM "$name" >/dev/null
wait "$running"
locked --env LQNETD_WORKERS=many "$image" >"$work/bad" 2>&1
check 'refuses wrong settings: status' test $? = 2
check 'refuses wrong settings: text' grep -q 'LQNETD_WORKERS' "$work/bad"
summary
