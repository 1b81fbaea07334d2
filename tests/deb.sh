#!/bin/sh
# deb.sh DEB MODEL PICTURE - installs the package in a bare Debian 12 root, serves a model from it, changes the
# configuration, upgrades, purges, and looks for what is left. Needs root and debootstrap. Prints "N passed, N failed".
set -u
deb=$1 model=$2 picture=$3
[ -r "$deb" ] && [ -r "$model" ] && [ -r "$picture" ] || { echo "usage: deb.sh DEB MODEL PICTURE" >&2; exit 1; }
work=$(mktemp -d)
root=$work/root
daemon=
finish() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null
    umount "$root/proc" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
. "$(dirname "$0")/support/check.sh"
inside() { env LC_ALL=C.UTF-8 chroot "$root" env DEBIAN_FRONTEND=noninteractive "$@"; }
serves() { # starts the daemon as the package's user, classifies, ends it
    port=
    (exec chroot "$root" setpriv --reuid lqnet --regid lqnet --clear-groups \
        lqnetd --config /etc/lqnet/lqnetd.conf --listen 127.0.0.1:0) 2>"$work/log" &
    daemon=$!
    exec 3<"$work/log"
    while read -r line <&3; do
        case $line in
        *'"event":"listening"'*) port=${line##*'"port":'} port=${port%%,*} ;;
        *'"event":"ready"'*) break ;;
        *) echo "$line" ;;
        esac
    done
    curl -sf --data-binary "@$picture" "http://127.0.0.1:$port/v2/models/$(basename "$model" .lq)/classify" >"$work/answer"
    kill -TERM "$daemon"
    wait "$daemon" || return 1
    daemon=
    exec 3<&-
    grep -q '"predictions"' "$work/answer"
}
mkfifo "$work/log"

debootstrap --variant=minbase bookworm "$root" >"$work/out" 2>&1 || { tail "$work/out"; exit 1; }
mount -t proc proc "$root/proc"
if [ -f /etc/apt/sources.list.d/debian.sources ]; then # security updates, too
    cp /etc/apt/sources.list.d/debian.sources "$root/etc/apt/sources.list.d/" && rm "$root/etc/apt/sources.list"
fi
inside apt-get -qq update >/dev/null
mkdir "$root/new" && cp "$deb" "$root/new/old.deb"
dpkg-deb -R "$deb" "$work/tree" # the same package as a later version
sed -i 's/^Version: .*/&+1/' "$work/tree/DEBIAN/control"
dpkg-deb -b "$work/tree" "$root/new/new.deb" >/dev/null

check 'installs' inside apt-get -qq install -y --no-install-recommends /new/old.deb
check 'has its user' inside id lqnet
check 'has its manual' test -f "$root/usr/share/doc/lqnet/copyright"
check 'has its unit' test -f "$root/lib/systemd/system/lqnetd.service"
check 'has checked settings' inside lqnetd --config /etc/lqnet/lqnetd.conf --check-config
cp "$model" "$root/var/lib/lqnet/models/"
check 'serves' serves
echo '# ours' >>"$root/etc/lqnet/lqnetd.conf"
check 'upgrades' inside dpkg -i /new/new.deb
check 'keeps changed settings' grep -q '^# ours' "$root/etc/lqnet/lqnetd.conf"
check 'keeps the models' test -f "$root/var/lib/lqnet/models/$(basename "$model")"
check 'serves after the upgrade' serves
check 'purges' inside dpkg --purge lqnet
check 'leaves no file' sh -c "! find '$root/etc' '$root/usr' '$root/var/lib' '$root/lib' -path '$root/var/lib/dpkg' -prune -o -name '*lqnet*' -print | grep ."
check 'leaves no user' sh -c "! chroot '$root' id lqnet"
summary
