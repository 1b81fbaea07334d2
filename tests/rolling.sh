#!/bin/sh
# rolling.sh BUILD MODEL FOLDER - two copies of lqnetd behind HAProxy (etc/haproxy.cfg) under load: a rolling restart must
# lose no request; of a copy that is killed, only the requests that it held may. FOLDER holds pictures.
# Prints "N passed, N failed".
set -u
build=$1 model=$2 folder=$3
here=$(cd "$(dirname "$0")" && pwd)
parallel=8 pids=
work=$(mktemp -d)
trap 'kill $pids 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/models"
cp "$model" "$work/models/model.lq"

. "$(dirname "$0")/support/check.sh"
# Starts a copy on ADDRESS, waits until it logs a line that has all of the words; sets pid and address.
start() {
    rm -f "$work/log"
    mkfifo "$work/log"
    "$build/lqnetd" --models "$work/models" --listen "$1" --shutdown-delay-ms 1500 2>"$work/log" &
    pid=$!
    pids="$pids $pid"
    exec 3<"$work/log"
    while read -r line <&3; do
        case $line in
        *'"event":"listening"'*) address=127.0.0.1:$(echo "$line" | sed 's/.*"port":\([0-9]*\).*/\1/') ;;
        *'"event":"failed"'*) echo "$line" >&2 && exit 1 ;;
        esac
        case $line in
        *$2*$3*) break ;;
        esac
    done
    cat <&3 >/dev/null & # the rest of its log
    pids="$pids $!"
}
# The balancer has asked the new copy, and it is ready.
restart() {
    kill -TERM "$1"
    wait "$1"
    value=$?
    check "exit status of a drained copy: $value" test "$value" = 0
    start "$2" '/v2/health/ready' '"status":200'
}
load() {
    while [ ! -e "$work/stop" ]; do
        sh "$here/bench/curl-load.sh" "http://$front/v2/models/model/classify" "$folder" 400 "$parallel"
    done >>"$work/load" 2>&1
}
# Starts the load, and waits for its first round.
load_begin() {
    : >"$work/load"
    load &
    loading=$!
    await_rounds 1
}
# N rounds of it are over.
await_rounds() {
    until [ "$(grep -c ' requests in ' "$work/load")" -ge "$1" ]; do
        curl -s -o "$work/answer" "http://$front/v2/health/ready"
    done
}
count() { awk -v status="$1" '$1 == "status" && (status == "" || $2 != "200:") { n += $3 } END { print n + 0 }' "$work/load"; }
load_end() {
    : >"$work/stop"
    wait "$loading"
    rm "$work/stop"
    echo "$1: $(count '') requests, $(count other) of them without status 200"
}

start 127.0.0.1:0 '"event":"ready"' ''
first=$pid first_address=$address
start 127.0.0.1:0 '"event":"ready"' ''
second=$pid second_address=$address
for port in $(seq 18000 18100); do
    front=127.0.0.1:$port
    LQNETD_FRONT=$front LQNETD_1=$first_address LQNETD_2=$second_address \
        haproxy -W -db -f "$here/../etc/haproxy.cfg" >"$work/haproxy" 2>&1 &
    balancer=$!
    curl -s --retry 20 --retry-connrefused --retry-delay 1 -o "$work/answer" "http://$front/v2/models/model" && break
    kill "$balancer"
done
pids="$pids $balancer"

load_begin
restart "$first" "$first_address"
first=$pid
restart "$second" "$second_address"
load_end 'rolling restart'
value=$(count '')
check "requests in a rolling restart: $value" test "$value" -gt 100
value=$(count other)
check "requests that a rolling restart lost: $value" test "$value" = 0

load_begin
kill -KILL "$first"
wait "$first"
await_rounds 20
load_end 'one copy killed'
value=$(count '')
check "requests around the kill of a copy: $value" test "$value" -ge 8000
value=$(count other)
check "requests that a kill lost: $value" test "$value" -le "$parallel"
summary
