#!/bin/sh
# collect.sh ROOT - completes the tree of an image whose programs are in ROOT/usr/bin: the libraries that they load (found
# without running them, so that another architecture's work too), the loader, certificates, the user, models.
# CROSS: what the names of that architecture's tools begin with.
set -eu
root=$1
programs=$(find "$root/usr/bin" -type f)
readelf=${CROSS:-}readelf strip=${CROSS:-}strip
header=$($readelf -p .interp $programs | sed -n 's/.*\] *//p' | head -n 1)

# Where the loader will look: a program's own path first, then the architecture's folder.
case $header in
*x86-64*) triplet=x86_64-linux-gnu ;;
*aarch64*) triplet=aarch64-linux-gnu ;;
*)
    echo "collect.sh: no folder of libraries is known for the loader '$header'" >&2
    exit 1
    ;;
esac
folders="/usr/lib/$triplet/openblas-pthread /usr/lib/$triplet /lib/$triplet /usr/$triplet/lib"

needed() { $readelf -d "$@" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' | sort -u; }

# Adds what the files need, and what that needs.
add() {
    for name in $(needed "$@"); do
        [ "$name" = "${header##*/}" ] || place "$name" # the loader comes last
    done
}
place() { # place NAME
    for folder in $folders; do
        [ -e "$folder/$1" ] || continue
        [ -e "$root$folder/$1" ] || { install -D -m 644 "$folder/$1" "$root$folder/$1" && add "$root$folder/$1"; }
        return
    done
    echo "collect.sh: $1 is needed, and in none of: $folders" >&2
    exit 1
}

add $programs
# The loader that came with the C library above: one of another version loads it, and hangs where it makes a thread.
for folder in $folders; do
    loader=$folder/$(basename "$header")
    [ -e "$loader" ] || continue
    install -D -m 755 "$loader" "$root$header"
    break
done
release() { grep -ao 'GLIBC [^)]*) stable' "$1" | head -n 1; }
[ "$(release "$root$header")" = "$(release "$(find "$root" -name libc.so.6)")" ] || {
    echo "collect.sh: $root$header and libc.so.6 are of different releases" >&2
    exit 1
}
$strip --strip-unneeded $programs
install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
printf 'root:x:0:0:root:/:/sbin/nologin\nlqnet:x:65532:65532:lqnet:/:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nlqnet:x:65532:\n' >"$root/etc/group"
mkdir -p "$root/models" "$root/state"
chown 65532:65532 "$root/state" # of fine-tuning jobs, where LQNETD_STATE=/state asks for them
chmod 700 "$root/state"
for model in models/*.lq; do
    [ ! -f "$model" ] || install -m 644 -t "$root/models" "$model"
done
