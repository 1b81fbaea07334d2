#!/bin/sh
# demo.sh BUILD LISTEN - starts lqnetd on the networks of models/, then shows the line that classifies a picture.
# Ctrl-C ends it.
set -eu
build=$1 listen=$2
model=$(basename "$(ls models/*.lq | tail -n 1)" .lq)
picture=$(ls models/pictures/*.jpg | head -n 1)

trap '' INT # Ctrl-C is for the daemon, which ends this loop by ending
"$build/lqnetd" --models models --listen "$listen" 2>&1 | while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
    *'"event":"listening"'*)
        port=${line##*\"port\":}
        port=${port%%,*}
        ;;
    *'"event":"ready"'*)
        printf '\nClassify a picture, from another terminal:\n\n'
        printf "    curl -s --data-binary @%s -H 'Content-Type: image/jpeg' 'http://127.0.0.1:%s/v2/models/%s/classify?top_k=3'\n\n" \
            "$picture" "$port" "$model"
        ;;
    esac
done
