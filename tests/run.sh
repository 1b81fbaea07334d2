#!/bin/sh
# run.sh BUILD SUITE... - runs the suites, under $LQ_RUN if it is given, and adds up their "N passed, N failed".
# LQ_LIMIT: seconds that one may take; generous, for machines with other work. What failed is told again at the end,
# where a reader of a log that was cut finds it.
export CK_DEFAULT_TIMEOUT=300 LQNET="$1/lqnet" LQNETD="$1/lqnetd"
shift
passed=0 failed=0 failures=
for suite in "$@"; do
    status=0
    output=$(timeout "${LQ_LIMIT:-900}" ${LQ_RUN:-} "$suite" 2>&1) || status=$?
    if [ "$status" -ne 0 ] && ! echo "$output" | grep -qE '^[0-9]+ passed, [1-9][0-9]* failed$'; then
        output="$output
$suite: $([ "$status" -eq 124 ] && echo "not done in ${LQ_LIMIT:-900} s" || echo "ended with status $status")
0 passed, 1 failed"
    fi
    echo "$output" | grep -vE '^[0-9]+ passed, [0-9]+ failed$'
    counts=$(echo "$output" | awk '/^[0-9]+ passed, [0-9]+ failed$/ { line = $1 " " $3 } END { print line ? line : "0 1" }')
    if [ "${counts#* }" -ne 0 ]; then
        failures="$failures$suite: $(echo "$output" | grep -E '^seed ' | head -1)
$(echo "$output" | grep -vE '^[0-9]+ passed, [0-9]+ failed$' | grep -E ':[EF]:' || echo "$output" | tail -n 20)
"
    fi
    passed=$((passed + ${counts% *})) failed=$((failed + ${counts#* }))
done
printf %s "$failures"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
