#!/bin/sh
# image.sh IMAGE [MODEL FOLDER] - looks at what is in the image, then runs it as docker/README.md says it may be run (read-only,
# no capabilities, any user, 64 MB, one CPU), by podman and runc, and looks at it from outside. FOLDER holds pictures (.jpg).
# Without MODEL it is not run. As root. wrk, where it is installed, is the load. Prints "N passed, N failed".
set -u
image=$1 model=${2:-} folder=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
podman="podman --storage-driver ${STORAGE_DRIVER:-vfs} --cgroup-manager cgroupfs --runtime runc"
name=lqnet-test-$$
trap '$podman rm -f "$name" >/dev/null 2>&1; kill %1 %2 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' TERM INT # dash leaves out what EXIT asks for, else
mkdir -m 755 "$work/models" "$work/pictures"
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
end() { # end SIGNAL: its exit status is the container's
    $podman kill --signal "$1" "$name" >/dev/null
    wait "$running"
}
load() { sh "$here/bench/curl-load.sh" "$url/v2/models/model/classify" "$folder" "$1" 8; }
statuses() { sed -n 's/^status //p' "$1" | tr '\n' ' '; }
flood() { # wrk on 64 connections, for five seconds
    wrk -t1 -c64 -d5s -s "$here/bench/classify.lua" "$url" -- "$work/pictures" "$(ls "$work/pictures" | wc -l)" \
        /v2/models/model/classify | tail -n 1
}
in_flight() { curl -sf "$url/metrics" | sed -n 's/^lqnet_http_requests_in_flight //p'; }

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
[ -n "$model" ] || { summary; exit; }

# --- locked down
install -m 644 "$model" "$work/models/model.lq"
count=0
for picture in "$folder"/*.jpg; do
    cp "$picture" "$work/pictures/$count.jpg"
    count=$((count + 1))
done
start ''
started=$($podman inspect --format '{{.State.StartedAt.UnixMilli}}' "$name")
echo "container's process to ready: $(($(date -d "$ready" +%s%3N) - started)) ms"
check 'does not run as root' grep -qE '^Uid:[[:space:]]+65532[[:space:]]+65532' "/proc/$pid/status"
check 'classifies' sh -c "curl -sf --data-binary '@$work/pictures/0.jpg' '$url/v2/models/model/classify' | grep '\"predictions\"'"
check 'tells its metrics' sh -c "curl -sf '$url/metrics' | grep '^lqnet_ready 1'"
check 'one CPU, one worker' sh -c "curl -sf '$url/metrics' | grep -x 'lqnet_workers 1'"
check 'lqnet health inside' $podman exec "$name" /usr/bin/lqnet health "$url"
load 2000 >"$work/load"
echo "under load: $(statuses "$work/load")"
check 'serves under load within 64 MB' sh -c "! sed -n 's/^status //p' '$work/load' | grep -v '^200:\|^503:'"
if command -v wrk >/dev/null; then
    flood >"$work/load"
    echo "wrk: $(cat "$work/load")"
    check 'serves 64 connections within 64 MB' grep -q '^ok [1-9].* other 0 errors 0 ' "$work/load"
fi
echo "peak memory of the process: $(sed -n 's/^VmHWM:[[:space:]]*//p' "/proc/$pid/status")"
check 'is the same process' test "$($podman inspect --format '{{.State.Pid}}' "$name")" = "$pid"
check 'was not out of memory' test "$($podman inspect --format '{{.State.OOMKilled}}' "$name")" = false
load 5000 >"$work/load" &
loading=$!
until [ "$(in_flight)" -gt 1 ] || ! kill -0 "$loading"; do :; done 2>/dev/null
end TERM
status=$?
check "ends with status 0, not $status" test "$status" = 0
wait "$loading"
echo "drained under load: $(statuses "$work/load")"
check 'answered all that it accepted' sh -c "! sed -n 's/^status //p' '$work/load' | grep -v '^200:\|^503:\|(curl 7)'"

# --- other users, bad settings, sudden death
start '--user 12345:12345'
check 'runs as any user' sh -c "curl -sf '$url/v2/health/ready'"
end KILL
check 'a killed one is gone' test $? = 137
start ''
check 'starts again' sh -c "curl -sf '$url/v2/health/ready'"
end TERM
locked --env LQNETD_WORKERS=many "$image" >"$work/bad" 2>&1
check 'refuses wrong settings: status' test $? = 2
check 'refuses wrong settings: text' grep -q 'LQNETD_WORKERS' "$work/bad"
summary
