#!/bin/sh
# install.sh BUILD - what `make install` leaves: files, manual pages and completion that know every command, option and
# setting. Prints "N passed, N failed".
set -u
build=$1
work=$(mktemp -d)
root=$work/root
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/support/check.sh"
share=$root/usr/share
quiet() { [ -z "$("$@" 2>&1)" ]; }

check 'installs' make --no-print-directory install DESTDIR="$root" PREFIX=/usr FLAVOUR="$(basename "$build")"
for file in bin/lqnet bin/lqnetd share/man/man1/lqnet.1 share/man/man5/lqnetd.conf.5 share/man/man8/lqnetd.8 \
    lib/systemd/system/lqnetd.service share/bash-completion/completions/lqnet share/bash-completion/completions/lqnetd; do
    check "/usr/$file" test -s "$root/usr/$file"
done
check 'the unit starts what was installed' grep -q '^ExecStart=/usr/bin/lqnetd --config /etc/lqnet/lqnetd.conf' "$root/usr/lib/systemd/system/lqnetd.service"
check 'nothing else' test "$(find "$root/usr" "$root/etc" -type f | wc -l)" = 9
check 'settings name a folder of models by its whole path' grep -q '^models = /var/lib/lqnet/models$' "$root/etc/lqnet/lqnetd.conf"
check 'settings are right' "$root/usr/bin/lqnetd" --config "$root/etc/lqnet/lqnetd.conf" --check-config
for key in $(sed -n 's/^\([a-z_]*\) = .*/\1/p' etc/lqnetd.conf); do
    flag=$(echo "$key" | tr _ -)
    check "lqnetd.conf.5 has $key" grep -qx "\.B $key" "$share/man/man5/lqnetd.conf.5"
    check "lqnetd.8 has --$flag" grep -q "^\.B .-.-$(echo "$flag" | sed 's/-/.-/g') " "$share/man/man8/lqnetd.8"
    check "completion has --$flag" grep -q -- " --$flag[ ']" "$share/bash-completion/completions/lqnetd"
done
for command in $("$build/lqnet" help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | grep -v '^help$'); do
    check "lqnet.1 has $command" grep -qx "\.SS lqnet $command" "$share/man/man1/lqnet.1"
    for option in $("$build/lqnet" help "$command" | sed -n 's/^ .*  --\([a-z0-9-]*\).*/\1/p; s/^  -.,* --\([a-z0-9-]*\).*/\1/p'); do
        check "completion of $command has --$option" \
            grep -qE "^    $command\) .* --$option[ ']" "$share/bash-completion/completions/lqnet"
    done
done
for shell in lqnet lqnetd; do
    check "completion of $shell is bash" bash -n "$share/bash-completion/completions/$shell"
done
if command -v groff >/dev/null; then
    for page in "$share"/man/man?/*; do
        check "groff takes $(basename "$page")" quiet groff -man -ww -z -Tutf8 "$page"
    done
else
    echo 'groff is not installed: the manual pages were not formatted'
fi
summary
