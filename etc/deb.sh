#!/bin/sh
# deb.sh TARBALL PACKAGES - builds the Debian package of a tarball of `make dist` beside it; PACKAGES are needed to build.
set -eu
tarball=$1 packages=$2
cd "$(dirname "$tarball")"
name=$(basename "$tarball" .tar.gz)
version=${name#lqnet-}
rm -rf "$name"
tar -xzf "$name.tar.gz"
cp -r "$name/etc/debian" "$name/debian"
sed -i "s/@BUILD_PACKAGES@/$(echo $packages | sed 's/ /, /g')/" "$name/debian/control"
cat >"$name/debian/changelog" <<END
lqnet ($version) bookworm; urgency=medium

  * Release $version.

 -- lqnet developers <lqnet@localhost>  $(date -R -r "$name.tar.gz")
END
cd "$name"
dpkg-buildpackage --build=binary --no-sign
cd ..
rm -rf "$name"
