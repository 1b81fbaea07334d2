#!/bin/sh
# base-image.sh - makes localhost/debian:bookworm-slim with debootstrap, for machines that reach Debian's packages but
# no registry of images. TOOL (podman or buildah's store): STORAGE, default "--storage-driver vfs".
set -eu
storage=${STORAGE:---storage-driver vfs}
mirror=${MIRROR:-http://deb.debian.org/debian}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates bookworm "$root/root" "$mirror"
rm -rf "$root"/root/var/cache/apt/* "$root"/root/var/lib/apt/lists/* "$root"/root/usr/share/doc/* "$root"/root/usr/share/man/* \
    "$root"/root/usr/share/locale/*
cp /etc/apt/sources.list.d/debian.sources "$root/root/etc/apt/sources.list.d/" 2>/dev/null || true
# As in the image of this name: nobody needs a container's files after a loss of power, nor translations, nor manuals.
echo force-unsafe-io >"$root/root/etc/dpkg/dpkg.cfg.d/apt-speedup"
printf 'path-exclude /usr/share/%s/*\n' doc man locale >"$root/root/etc/dpkg/dpkg.cfg.d/excludes"
echo 'Acquire::Languages "none";' >"$root/root/etc/apt/apt.conf.d/no-languages"
tar -C "$root/root" -c . | podman $storage import - localhost/debian:bookworm-slim
