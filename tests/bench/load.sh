#!/bin/bash
# load.sh BUILD [PART...] - lqnetd under load, beside what the machine could do without HTTP.
#
# Parts (default: all)
#   classify  pictures by wrk beside `lqnet bench`, on the same two threads: rate, ratio, latency
#   metadata  GETs beside those of a bare libmicrohttpd handler
#   overload  a fixed rate of FACTOR times the capacity: how much is served, how soon the rest is refused, memory
#   reload    latency while the model is loaded again and again, beside that without
#   idle      exec to ready, resident memory, wake-ups
#   jobs      rate and latency while a fine-tuning job runs, beside those without; then models are published under
#             load. Fails below 60 % of the rate, above 3 times the 99 % latency, where the job stands still, where a
#             request fails, and where pictures of one request are answered by two generations
# Settings, from the environment:
#   NETWORK      of `lqnet new`, 2 bits; default resnet-20          SIDE   of the pictures, default 32
#   EACH         seconds of one measurement, default 10              ROUNDS of those that are compared, default 3
#   CONNECTIONS  default 64                                         FACTOR default 4
#   PEAK         seconds for which the capacity is measured before the overload, and again behind it, default EACH
#   MODEL        a .lq file instead of NETWORK
#   PRIORITY     job_priority, default: the daemon's own             DATA   folder of labelled images (jobs); default: made
#   SWAPS        models published under load, default 3
# The load comes from this machine too and takes its share of it. Compared runs alternate; medians count.
set -u
build=$1
shift
parts=${*:-classify metadata overload reload idle jobs}
network=${NETWORK:-resnet-20} side=${SIDE:-32} rounds=${ROUNDS:-3} connections=${CONNECTIONS:-64} factor=${FACTOR:-4}
seconds=${EACH:-10}
tools=$build/tests/bench
work=$(mktemp -d)
pid= bare=
finish() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null
    [ -z "$bare" ] || kill "$bare" 2>/dev/null
    wait 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

mkdir "$work/models" "$work/pictures"
if [ -n "${MODEL:-}" ]; then
    cp "$MODEL" "$work/models/net.lq"
else
    "$build/lqnet" new "$network" --bits 2/2 --name net -o "$work/models/net.lq" >/dev/null || exit 1
fi
"$tools/load_tool" pictures "$work/pictures" 64 "$side" || exit 1

median() { sort -g | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "-" }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f %%", b ? 100 * a / b : 0 }'; }
resident() { awk '/VmRSS/ { print $2 }' "/proc/$pid/status"; }
# word NAME: the one behind NAME
word() { awk -v name="$1" '{ for (i = 1; i < NF; i++) if ($i == name) { print $(i + 1); exit } }'; }

# start [ARGUMENT...]: lqnetd, in $pid and $port
start() {
    "$build/lqnetd" --listen 127.0.0.1:0 --admin-listen "unix:$work/admin" --models "$work/models" "$@" 2>"$work/log" &
    pid=$!
    port=
    while [ -z "$port" ]; do
        kill -0 "$pid" || exit 1
        sleep 0.02
        port=$(grep -o '"port":[0-9]*' "$work/log" | head -1 | cut -d: -f2)
    done
}
stop() {
    kill "$pid"
    wait "$pid" || echo "lqnetd ended with $?"
    pid=
}
# classify SECONDS CONNECTIONS: the summary of classify.lua
classify() {
    wrk -t1 "-c$2" "-d${1}s" -s "$(dirname "$0")/classify.lua" "http://127.0.0.1:$port" -- "$work/pictures" 64 \
        /v2/models/net/classify | tail -1
}
# ask METHOD PATH [BODY]: at the admin's address
ask() { curl -s --fail-with-body --unix-socket "$work/admin" -X "$1" "http://admin$2" ${3:+-d "$3"}; }
# rate SUMMARY: of those answered
rate() { echo "$1" | awk '{ print $2 / $NF }'; }
# gets PORT PATH
gets() { wrk -t1 "-c$connections" "-d${seconds}s" "http://127.0.0.1:$1$2" | awk '/Requests.sec/ { print $2 }'; }

part_classify() {
    start
    for _ in $(seq "$rounds"); do
        "$build/lqnet" bench "$work/models/net.lq" --threads 2 --batch 8 --seconds "$seconds" --json |
            grep -o '"images_per_s": *[0-9.]*\|"images_per_s":[0-9.]*' | sed 's/.*: *//' >>"$work/bench"
        classify "$seconds" "$connections" | tee -a "$work/runs"
    done
    while read -r line; do rate "$line"; done <"$work/runs" >"$work/rates"
    echo "classify: $(median <"$work/rates")/s, lqnet bench on two threads: $(median <"$work/bench")/s," \
        "ratio $(ratio "$(median <"$work/rates")" "$(median <"$work/bench")")," \
        "p50 $(awk '{ print $10 }' "$work/runs" | median) ms, p99 $(awk '{ print $12 }' "$work/runs" | median) ms," \
        "other than 200: $(awk '{ n += $4 + $6 + $8 } END { print n }' "$work/runs")"
    stop
}

part_metadata() {
    start
    "$tools/load_tool" bare 2 >"$work/bare" &
    bare=$!
    sleep 0.2
    for _ in $(seq "$rounds"); do
        gets "$(cat "$work/bare")" /v2/models/net >>"$work/bare_rates"
        gets "$port" /v2/models/net >>"$work/get_rates"
    done
    echo "metadata: $(median <"$work/get_rates")/s, bare libmicrohttpd: $(median <"$work/bare_rates")/s," \
        "ratio $(ratio "$(median <"$work/get_rates")" "$(median <"$work/bare_rates")")"
    kill "$bare"
    bare=
    stop
}

part_overload() {
    local first peak before after line
    start --access-log false
    first=$(rate "$(classify "${PEAK:-$seconds}" 32)")
    line=$(flood "$first" 2) # memory as it is under this load
    before=$(resident)
    line=$(flood "$first" "$seconds")
    after=$(resident)
    peak=$(rate "$(classify "${PEAK:-$seconds}" 32)")
    peak=$(awk -v a="$first" -v b="$peak" 'BEGIN { printf "%.1f", (a + b) / 2 }') # the machine's pace drifts
    echo "$line"
    echo "overload: $(echo "$line" | word served_per_s)/s of $peak/s at $factor times that," \
        "$(ratio "$(echo "$line" | word served_per_s)" "$peak"); refused within $(echo "$line" | word refused_p99_ms)" \
        "ms (99 %), at most $(echo "$line" | word refused_max_ms) ms; resident $before kB, then $after kB"
    stop
}
flood() {
    "$tools/flood" "$port" /v2/models/net/classify "$work/pictures" 64 256 \
        "$(awk -v p="$1" -v f="$factor" 'BEGIN { print p * f }')" "$2"
}

# Loads the model again and again, until there is a file.
reload() {
    local cycles=0
    until [ -e "$work/enough" ]; do
        ask POST /v2/repository/models/net/load >/dev/null || exit 1
        cycles=$((cycles + 1))
        sleep 0.1
    done
    echo "$cycles" >"$work/cycles"
}
part_reload() {
    local quiet busy
    start --access-log false
    classify 1 "$connections" >/dev/null
    quiet=$(classify "$seconds" "$connections")
    rm -f "$work/enough"
    reload &
    local reloader=$!
    busy=$(classify "$seconds" "$connections")
    touch "$work/enough"
    wait "$reloader"
    echo "reload: p99 $(echo "$busy" | word p99_ms) ms during $(cat "$work/cycles") loads," \
        "$(echo "$quiet" | word p99_ms) ms without; answers other than 200:" \
        "$(echo "$busy" | awk '{ print $4 + $6 + $8 }'); resident $(resident) kB"
    stop
}

part_idle() {
    local switches
    for _ in $(seq "$rounds"); do
        "$tools/load_tool" ready "$build/lqnetd" --models "$work/models" >>"$work/ready"
    done
    start
    sleep 0.5
    switches=$(cat "/proc/$pid/task"/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }')
    sleep 5
    switches=$(($(cat "/proc/$pid/task"/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }') - switches))
    echo "idle: ready $(median <"$work/ready") ms after exec, resident $(resident) kB with a model of" \
        "$(($(stat -c %s "$work/models/net.lq") / 1024)) kB, $switches context switches in 5 s"
    stop
}

. "$(dirname "$0")/load_jobs.sh"

for part in $parts; do
    "part_$part" || exit 1
done
