#!/bin/sh
# curl-load.sh URL FOLDER [N] [P] - sends the JPEG and PNG files of FOLDER to URL (.../v2/models/M/classify), N requests
# (default 1000), P at a time (default 8), and prints the rate, percentiles of the time, and how often each status came.
# Needs curl 7.75 or later and a POSIX shell. Status 000: no answer, with curl's exit
# status: 7 refused, 52 and 56 cut off.
set -eu
[ $# -ge 2 ] || { sed -n 's/^# \{0,1\}//p' "$0" | sed -n '2,5p' >&2; exit 2; }
url=$1 folder=$2 requests=${3:-1000} parallel=${4:-8}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
find "$folder" -maxdepth 1 -type f \( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' \) | sort >"$work/files"
[ -s "$work/files" ] || { echo "curl-load.sh: no .jpg, .jpeg or .png in $folder" >&2; exit 1; }

# Requests first..last-1 of a curl configuration, the files in turn. curl keeps all of a configuration in memory, so there
# is one for each 2000.
configuration() {
    awk -v url="$url" -v first="$1" -v last="$2" '
        { gsub(/[\\"]/, "\\\\&"); file[NR - 1] = $0 }
        END {
            for (i = first; i < last; i++)
                printf "%surl = \"%s\"\ndata-binary = \"@%s\"\nheader = \"Content-Type: application/octet-stream\"\n" \
                       "output = \"/dev/null\"\nsilent\nwrite-out = \"%%{http_code} %%{time_total} %%{exitcode}\\n\"\n",
                       (i > first ? "next\n" : ""), url, file[i % NR]
        }' "$work/files"
}
: >"$work/times"
start=$(date +%s.%N)
first=0
while [ "$first" -lt "$requests" ]; do
    last=$((first + 2000 < requests ? first + 2000 : requests))
    configuration "$first" "$last" >"$work/config"
    curl --parallel --parallel-immediate --parallel-max "$parallel" --config "$work/config" >>"$work/times" 2>/dev/null || true
    first=$last
done
end=$(date +%s.%N)

sort -k2 -n "$work/times" | awk -v start="$start" -v end="$end" '
    function at(q) { i = int(q * NR + 0.999999); return 1000 * time[i < 1 ? 1 : i] }
    { status[$1 == 0 ? $1 " (curl " $3 ")" : $1]++; time[NR] = $2 }
    END {
        if (NR == 0) { print "no request was made"; exit 1 }
        printf "%d requests in %.2f s: %.1f a second\n", NR, end - start, NR / (end - start)
        printf "milliseconds: p50 %.2f, p90 %.2f, p99 %.2f, longest %.2f\n", at(.5), at(.9), at(.99), at(1)
        for (s in status) printf "status %s: %d\n", s, status[s] | "sort"
    }'
