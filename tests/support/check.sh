# check.sh - for scripts that count what they check: they include it with a folder of theirs in $work, and end with `summary`.

passed=0 failed=0
check() { # check TEXT COMMAND...: the last lines of its output where it fails
    text=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: $text"
        tail -n 20 "$work/out"
    fi
}
summary() { # the line that tests/run.sh looks for; fails where a check has
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
