#!/bin/sh
# run.sh BUILD - the daemon, called by clients of the protocol that others have made:
#   tritonclient.http, where Python has it (pip install tritonclient[http]);
#   a validator, where OIP names the protocol's OpenAPI document (open_inference_rest.yaml).
# PYTHON: default python3
set -eu
python=${PYTHON:-python3} daemon= model=resnet20-cifar10-w2a2 token=a-token-of-this-run-only
work=$(mktemp -d)
trap 'kill $daemon 2>/dev/null; wait; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
mkdir "$work/models"
cp "models/$model.lq" "$work/models/"
(umask 077 && echo "all infer,read,admin $token" >"$work/tokens")
mkfifo "$work/log"
"$1/lqnetd" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --models "$work/models" --tokens "$work/tokens" 2>"$work/log" >&2 &
daemon=$!
public= admin= ready=
exec 3<"$work/log"
while [ -z "$ready" ] && IFS= read -r line <&3; do
    port=$(echo "$line" | sed -n 's/.*"port":\([0-9]*\).*/\1/p')
    case $line in
    *'"event":"listening"'*) public=$port ;;
    *'"event":"listening_admin"'*) admin=$port ;;
    *'"event":"ready"'*) ready=yes ;;
    esac
done
cat <&3 >/dev/null &
if [ -n "${OIP:-}" ]; then
    "$python" tests/clients/oip.py "$OIP" "127.0.0.1:$public" "$token" "$model"
else
    echo "skipped: OIP does not name the protocol's OpenAPI document"
fi
if "$python" -c 'import tritonclient.http' 2>/dev/null; then
    "$python" tests/clients/triton.py "127.0.0.1:$public" "127.0.0.1:$admin" "$token" "$model"
else
    echo "skipped: $python has no tritonclient.http"
fi
