# load_jobs.sh - the part `jobs` of load.sh: a model is fine-tuned while it serves. Read by load.sh alone.

# The folder $data, which jobs learn from.
make_data() {
    data=${DATA:-$work/data/set}
    [ -n "${DATA:-}" ] || { mkdir -p "$data/a" && "$tools/load_tool" pictures "$data/a" 1000 "$side"; }
}
# tune MODE OPTIONS: a job that any result is good enough for; its number
tune() {
    local reply
    reply=$(ask POST /admin/models/net/finetune '{"mode":"'"$1"'","data":{"folder":"'"${data##*/}"'","limit":1000},
        "guard":{"bound":100},"options":{"images":200'"${2:-}"'}}') || echo "no job: $reply" >&2
    echo "$reply" | grep -o '^{"id":[0-9]*' | cut -d: -f2
}
# state JOB; steps JOB: that it has trained, or nothing
state() { ask GET "/admin/jobs/$1" | grep -o '"state":"[a-z]*"' | head -1 | cut -d'"' -f4; }
steps() { ask GET "/admin/jobs/$1" | sed -n 's/.*"stage":"train","done":\([0-9]*\),.*/\1/p'; }
runs() { case $(state "$1") in queued | running | evaluating) true ;; *) false ;; esac; }

# train: a job that trains longer than anybody measures, in $job
train() {
    job=$(tune quantizers ',"epochs":1000,"batch":20')
    until [ "$(steps "$job")" ]; do
        runs "$job" || { echo "no job that trains: $(ask GET "/admin/jobs/$job")"; return 1; }
        sleep 0.1
    done
}
# speed COMMAND...: the job's steps in a second while the command runs go to $work/steps
speed() {
    local before begin
    before=$(steps "$job")
    begin=$(date +%s.%N)
    "$@"
    echo "$(steps "$job") $before $(date +%s.%N) $begin" | awk '{ printf "%.2f\n", ($1 - $2) / ($3 - $4) }' >>"$work/steps"
}
cancel() {
    ask DELETE "/admin/jobs/$job" >/dev/null
    while runs "$job"; do sleep 0.05; done
}

# Publishes models, one after the other, then there is a file.
publish() {
    local number
    for _ in $(seq "${SWAPS:-3}"); do
        number=$(tune calibrate)
        while runs "$number"; do sleep 0.1; done
        state "$number" >>"$work/published"
    done
    touch "$work/enough"
}
swap() {
    local line
    : >"$work/published"
    rm -f "$work/enough"
    publish &
    until [ -e "$work/enough" ]; do
        wrk -t1 "-c$connections" "-d${seconds}s" -s "$(dirname "$0")/generations.lua" "http://127.0.0.1:$port" -- \
            "$work/pictures" 64 /v2/models/net/classify | tail -1 >>"$work/swaps"
    done
    wait $!
    line=$(awk '{ ok += $2; failed += $4 + $6; mixed += $8; changes += $10 - 1 }
        END { print "ok", ok, "failed", failed, "mixed", mixed, "changes", changes }' "$work/swaps")
    echo "jobs: $(grep -c published "$work/published") of ${SWAPS:-3} jobs published under load, requests of 4 pictures: $line"
    [ "$(grep -c published "$work/published")" -eq "${SWAPS:-3}" ] && [ "$(echo "$line" | word ok)" -gt 0 ] &&
        [ "$(echo "$line" | word failed)" -eq 0 ] && [ "$(echo "$line" | word mixed)" -eq 0 ] &&
        [ "$(echo "$line" | word changes)" -gt 0 ]
}

# column N: the median of it in the classify lines of a file; failed FILE: answers other than 200
column() { awk -v n="$1" '{ print $n }' "$2" | median; }
failed() { awk '{ n += $4 + $6 + $8 } END { print n + 0 }' "$1"; }
beside() {
    local free=$1 rate share p99 others
    for kind in without with; do
        while read -r line; do rate "$line"; done <"$work/$kind" >"$work/$kind.rates"
    done
    rate=$(median <"$work/with.rates")
    share=$(median <"$work/without.rates" | awk -v a="$rate" '{ printf "%.1f", 100 * a / $1 }')
    p99=$(column 12 "$work/without" | awk -v a="$(column 12 "$work/with")" '{ printf "%.2f", a / $1 }')
    others=$(failed "$work/with")
    echo "jobs: $rate/s beside a job, $(median <"$work/without.rates")/s without ($share %); p99 $(column 12 "$work/with") ms," \
        "$(column 12 "$work/without") ms without ($p99 times); answers other than 200: $others;" \
        "the job's steps: $(median <"$work/steps")/s, $free/s without load"
    echo "$share $p99 $others $(median <"$work/steps")" | awk '{ exit !($1 >= 60 && $2 <= 3 && $3 == 0 && $4 > 0) }'
}

part_jobs() {
    local job data free status=0
    make_data || return 1
    start --access-log false --state "$work/state" --data-root "${data%/*}" ${PRIORITY:+--job-priority "$PRIORITY"}
    train || return 1
    speed sleep "$seconds"
    free=$(cat "$work/steps")
    rm "$work/steps"
    cancel
    for _ in $(seq "$rounds"); do
        classify 1 "$connections" >/dev/null
        classify "$seconds" "$connections" >>"$work/without"
        train || return 1
        speed classify "$seconds" "$connections" >>"$work/with"
        cancel
    done
    beside "$free" || { echo "jobs: beyond the limits" && status=1; }
    [ "${SWAPS:-3}" -eq 0 ] || swap || { echo "jobs: a swap that was noticed, or none" && status=1; }
    stop
    return "$status"
}
