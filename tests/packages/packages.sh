#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The Debian packages: built, looked at by lintian, installed over Debian's p11-kit in a root of their own, and removed
# again. All that depends on libp11-kit stays installed and sees what it saw before; what runs meanwhile goes on.
#
# Needs root, and Debian's mirror for the first run: what mmdebstrap makes is kept in $P11_PACKAGES. Given by meson:
# P11_SOURCE, P11_PACKAGES (a folder), P11_PACKAGE_PROGRAMS (where the compiled programs of this folder are).
# shellcheck source=../support/softhsm.sh
. "$P11_SOURCE/tests/support/softhsm.sh"
PATH=$PATH:/usr/sbin:/sbin

step() {
	echo "ok: $*"
}

# --- The packages

build_packages() {
	mkdir "$WORK/source"
	tar -C "$P11_SOURCE" --exclude=./build --exclude='./build-*' --exclude=./.git --exclude='./obj-*' -cf - . |
		tar -C "$WORK/source" -xf - || fail "the source cannot be copied"
	# The machine's own tools: not those of a compiler that is being tried.
	(cd "$WORK/source" && env -u CC -u CFLAGS -u LDFLAGS dpkg-buildpackage -us -uc -b) >"$WORK/log" 2>&1 ||
		fail "dpkg-buildpackage: $(tail -n 40 "$WORK/log")"
	version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$P11_SOURCE/meson.build" | head -n 1)
	for package in $our_packages; do
		ls "$WORK/${package}_$version-"*.deb >/dev/null 2>&1 || fail "no package $package of version $version"
	done
	step "built, and the symbols are those of debian/libp11-kit0.symbols"

	lintian --allow-root --fail-on error "$WORK"/*.changes >"$WORK/log" 2>&1 || fail "lintian: $(cat "$WORK/log")"
	step "lintian finds no error"

	for file in libp11-kit0/packaging.md p11-kit-proxy/users.md libp11-kit-dev/developers.md \
		libp11-kit-dev/examples/any-module.c; do
		dpkg-deb -c "$(ls "$WORK/${file%%/*}_"*.deb)" | grep "/usr/share/doc/$file\(\.gz\)\?\$" >/dev/null || fail "no $file"
	done
	step "the manual's chapters and the examples are in the packages"
}

# --- The root

our_packages='libp11-kit0 libp11-kit-dev p11-kit-proxy p11-kit-tool'
debian_packages='libp11-kit0 libp11-kit-dev p11-kit-modules p11-kit'
dependants='ca-certificates glib-networking gnutls-bin libnss3-tools opensc softhsm2'

# Debian's packages of p11-kit are kept in /debian, so that they can be installed again without a mirror.
download_root() {
	release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	[ "$release" = bookworm ] || skip "the packages are for Debian 12"
	wanted="$release: $debian_packages $dependants"
	mkdir -p "$P11_PACKAGES"
	[ "$(cat "$P11_PACKAGES/root.of" 2>/dev/null)" = "$wanted" ] && return
	mmdebstrap --variant=apt --include="$(echo "$debian_packages $dependants" | tr ' ' ,)" \
		--customize-hook="chroot \"\$1\" sh -c 'mkdir /debian && cd /debian && apt-get download $debian_packages'" \
		"$release" "$P11_PACKAGES/root.tar" >"$WORK/log" 2>&1 ||
		skip "mmdebstrap can make no root here: $(tail -n 3 "$WORK/log")"
	echo "$wanted" >"$P11_PACKAGES/root.of"
}

unpack_root() {
	ROOT=$WORK/root
	mkdir "$ROOT"
	tar -C "$ROOT" -xf "$P11_PACKAGES/root.tar" 2>"$WORK/log" || skip "no root can be unpacked here: $(tail -n 1 "$WORK/log")"
	(: >"$ROOT/dev/null") 2>/dev/null || skip "devices do not work in $ROOT"
	in_root true || skip "no program can be run in a root here: $(cat "$WORK/log")"
	mkdir "$ROOT/test" "$ROOT/ours"
	cp "$P11_SOURCE/tests/packages/inside.sh" "$P11_PACKAGE_PROGRAMS/late" "$P11_PACKAGE_PROGRAMS/gio-certificate" \
		"$ROOT/test" || fail "the programs of the test were not built"
	for package in $our_packages; do
		cp "$WORK/${package}_"*.deb "$ROOT/ours"
	done
}

# Whatever a program leaves behind ends with it.
run_in_root() {
	exec unshare --mount --pid --fork --kill-child --mount-proc="$ROOT/proc" chroot "$ROOT" env -i \
		PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/test LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

in_root() {
	(run_in_root "$@") >"$WORK/log" 2>&1
}

inside() {
	(run_in_root sh /test/inside.sh "$@") 2>&1
}

# apt WHAT ARGUMENT...: fails if a package that is not named with a minus would be removed.
apt() {
	what=$1
	shift
	in_root apt-get -y -q -o Dpkg::Use-Pty=0 "$@" || fail "$what: $(cat "$WORK/log")"
	in_root apt-get check || fail "$what: apt-get check: $(cat "$WORK/log")"
	in_root dpkg --audit || fail "$what: dpkg --audit: $(cat "$WORK/log")"
	[ -s "$WORK/log" ] && fail "$what: dpkg --audit: $(cat "$WORK/log")"
	in_root ldconfig || fail "ldconfig: $(cat "$WORK/log")"
}

deb() {	# FOLDER PACKAGE...: the paths of packages inside the root
	folder=$1
	shift
	for package; do
		(cd "$ROOT" && ls "./$folder/${package}_"*.deb) | sed 's/^\.//'
	done
}

# --- What is compared

pkg_config() {
	for variable in prefix exec_prefix libdir includedir datadir pkgdatadir sysconfdir p11_module_configs p11_module_path \
		p11_trust_paths proxy_module p11_system_config_modules; do
		echo "$variable $(PKG_CONFIG_LIBDIR=$LIB/pkgconfig pkg-config --variable=$variable p11-kit-1)"
	done
	PKG_CONFIG_LIBDIR=$LIB/pkgconfig pkg-config --cflags --libs p11-kit-1
}

# What Debian's has must be there; version.h is newer.
headers() {
	(cd "$ROOT/usr/include/p11-kit-1/p11-kit" && ls) | grep -v '^version.h$'
}

observe() {
	inside observe
	echo '== pkg-config'
	pkg_config
	echo '== headers'
	headers
}

same_as_before() {	# WHEN
	observe >"$WORK/now"
	diff -u "$WORK/before" "$WORK/now" >"$WORK/diff" || fail "$1, programs see something else: $(cat "$WORK/diff")"
	step "$1, all programs see what they saw before"
}

packages_of() {	# FILE: names of all installed packages
	sed -n 's/ .* install ok installed$//p' "$1" | sort
}

nothing_removed() {	# WHEN
	inside state >"$WORK/state"
	packages_of "$WORK/state" >"$WORK/packages"
	lost=$(comm -23 "$WORK/packages.before" "$WORK/packages")
	[ -z "$lost" ] || fail "$1, packages were removed: $lost"
}

cryptoki_version() {
	in_root pkcs11-tool --module "$proxy" --show-info || fail "pkcs11-tool --show-info: $(cat "$WORK/log")"
	sed -n 's/^Cryptoki version *//p' "$WORK/log"
}

# --- A program that runs meanwhile: it has the library, and waits for a line before it loads the proxy.

late_start() {
	rm -f "$WORK/to-late" "$WORK/from-late"
	mkfifo "$WORK/to-late" "$WORK/from-late"
	(run_in_root /test/late "${proxy%/*}/libp11-kit.so.0" "$proxy") <"$WORK/to-late" >"$WORK/from-late" 2>"$WORK/late.log" &
	late=$!
	CLEANUP_PIDS="$CLEANUP_PIDS $late"
	exec 3>"$WORK/to-late" 4<"$WORK/from-late"
	read -r line <&4
	[ "$line" = ready ] || fail "the running program does not start: $line $(cat "$WORK/late.log")"
}

late_goes_on() {	# WHEN
	echo go >&3
	cat <&4 >"$WORK/late.out"
	wait "$late" || fail "$1, a program that ran: $(cat "$WORK/late.log" "$WORK/late.out")"
	exec 3>&- 4<&-
	grep -q '^token demo$' "$WORK/late.out" || fail "$1, a program that ran sees no token: $(cat "$WORK/late.out")"
	grep -q '^done$' "$WORK/late.out" || fail "$1, a program that ran did not get to its end: $(cat "$WORK/late.out")"
}

# --- Shims: a file for each configured module

deb_of_modules() {	# VERSION: a package with the module files that are in $WORK/modules
	mkdir -p "$WORK/deb/DEBIAN" "$WORK/deb/usr/share/p11-kit/modules" "$WORK/deb/etc/pkcs11/modules"
	cp "$WORK/modules"/* "$WORK/deb/usr/share/p11-kit/modules"
	echo "module: $softhsm" >"$WORK/deb/etc/pkcs11/modules/conffile.module"
	echo /etc/pkcs11/modules/conffile.module >"$WORK/deb/DEBIAN/conffiles"
	printf '%s\n' 'Package: test-modules' "Version: $1" 'Architecture: all' 'Maintainer: Test <test@localhost>' \
		'Description: module files of a test' >"$WORK/deb/DEBIAN/control"
	dpkg-deb --root-owner-group -b "$WORK/deb" "$ROOT/ours/test-modules.deb" >"$WORK/log" 2>&1 ||
		fail "no package with modules: $(cat "$WORK/log")"
	rm -rf "$WORK/deb"
}

shims_are() {	# WHEN NAME...: these shims are there, and nothing else but what the test put there
	when=$1
	shift
	[ "$(LC_ALL=C ls -A "$ROOT$shared")" = "$(printf '%s.so\n' "$@" foreign vendor link | LC_ALL=C sort)" ] ||
		fail "$when, the shims are: $(LC_ALL=C ls -A "$ROOT$shared"); not: $*"
	for name; do
		cmp -s "$ROOT$shared/$name.so" "$LIB/p11-kit/p11-kit-shim.so" || fail "$when, $name.so is no shim"
	done
	[ "$(cat "$ROOT$shared/foreign.so" "$ROOT$shared/vendor.so")" = "$(printf 'foreign\nvendor')" ] ||
		fail "$when, a file that is no shim was changed"
	cmp -s "$WORK/other-shim" "$ROOT$other/softhsm2.so" || fail "$when, another architecture's shim was changed"
}

shim_shows_token() {	# NAME
	in_root pkcs11-tool --module "$shared/$1.so" --list-token-slots || fail "shim $1: $(cat "$WORK/log")"
	grep -q 'token label *: demo' "$WORK/log" || fail "shim $1 shows no token: $(cat "$WORK/log")"
}

# What is in its place already: files that are no shims, a shim whose module is gone, and what another architecture has.
prepare_shims() {
	shared=${LIB#"$ROOT"}/pkcs11/shared
	other=/usr/lib/test-linux-gnu/pkcs11/shared
	softhsm=$(sed -n 's/^module: *//p' "$ROOT/usr/share/p11-kit/modules/softhsm2.module")
	mkdir -p "$ROOT$shared" "$ROOT$other" "$ROOT/root/.config/pkcs11/modules" "$ROOT/test/.config/pkcs11/modules"
	for home in root test; do
		echo "module: $softhsm" >"$ROOT/$home/.config/pkcs11/modules/of-$home.module"
	done
	echo vendor >"$ROOT$shared/vendor.so"
	echo foreign >"$ROOT$shared/foreign.so"
	ln -s vendor.so "$ROOT$shared/link.so"
	mkdir "$WORK/shim"
	dpkg-deb -x "$(ls "$WORK"/p11-kit-proxy_*.deb)" "$WORK/shim"
	cp "$WORK/shim${LIB#"$ROOT"}/p11-kit/p11-kit-shim.so" "$WORK/other-shim" || fail "the package has no template"
	cp "$WORK/other-shim" "$ROOT$other/softhsm2.so"
	cp "$WORK/other-shim" "$ROOT$shared/stale.so"
}

try_shims() {
	shims_are "with all packages" opensc-pkcs11 p11-kit-trust softhsm2
	shim_shows_token softhsm2
	step "each configured module has a shim, a stale one is gone, and it shows its token"

	mkdir "$WORK/modules"
	echo "module: $softhsm" | tee "$WORK/modules/late.module" "$WORK/modules/foreign.module" "$WORK/modules/vendor.module" \
		"$WORK/modules/link.module" "$WORK/modules/_odd.module" "$WORK/modules/odd name.module" >"$WORK/modules/unnamed"
	echo "module: /nowhere/at/all.so" >"$WORK/modules/missing.module"
	echo "module: /etc/passwd" >"$WORK/modules/no-library.module"
	printf 'this is no configuration\nmodule: %s\n' "$softhsm" >"$WORK/modules/broken.module"
	printf 'priority: 7\n' >"$WORK/modules/no-module.module"
	deb_of_modules 1
	mkfifo "$ROOT/etc/pkcs11/modules/fifo.module"
	apt "a package with modules" install /ours/test-modules.deb
	rm "$ROOT/etc/pkcs11/modules/fifo.module"
	shims_are "after a package with modules" broken conffile late missing no-library opensc-pkcs11 p11-kit-trust softhsm2
	shim_shows_token late
	shim_shows_token conffile
	step "modules that a package brings get theirs by the trigger, whatever else is wrong"

	rm "$WORK/modules/late.module"
	deb_of_modules 2
	apt "a package without that module" install /ours/test-modules.deb
	shims_are "after an upgrade" broken conffile missing no-library opensc-pkcs11 p11-kit-trust softhsm2
	apt "removal of the package with modules" purge test-modules
	shims_are "after removal" opensc-pkcs11 p11-kit-trust softhsm2
	in_root dpkg-reconfigure p11-kit-proxy || fail "dpkg-reconfigure: $(cat "$WORK/log")"
	shims_are "configured again" opensc-pkcs11 p11-kit-trust softhsm2
	step "and lose them with it"
}

no_shims() {	# WHEN
	[ "$(LC_ALL=C ls -A "$ROOT$shared")" = "$(printf 'foreign.so\nlink.so\nvendor.so')" ] ||
		fail "$1, there are: $(LC_ALL=C ls -A "$ROOT$shared")"
	cmp -s "$WORK/other-shim" "$ROOT$other/softhsm2.so" || fail "$1, another architecture's shim is not there"
	step "$1, no shim is left, and what was none is still there"
}

# --- The test

[ "$(id -u)" = 0 ] || skip "only root can make a test root"
need dpkg-buildpackage dh lintian mmdebstrap unshare chroot pkg-config python3
work_folder
download_root
build_packages
unpack_root

LIB=$(dirname "$(ls "$ROOT"/usr/lib/*/libp11-kit.so.0)")
proxy=${LIB#"$ROOT"}/p11-kit-proxy.so
in_root sh /test/inside.sh prepare || fail "the token cannot be made: $(cat "$WORK/log")"
inside state >"$WORK/state.before"
packages_of "$WORK/state.before" >"$WORK/packages.before"
observe >"$WORK/before"
grep -q FAILED "$WORK/before" && fail "with Debian's p11-kit: $(grep -A 9 FAILED "$WORK/before")"
for what in 'token=demo' 'model=p11-kit-trust.*type=cert' 'token label *: System Trust' 'demo:certificate' \
	'CN=made by the test' 'in the token... ok' 'label: ISRG Root X1'; do
	grep -q "$what" "$WORK/before" ||
		fail "with Debian's p11-kit, \"$what\" is missing: $(grep -v 'model=p11-kit-trust.*type=cert' "$WORK/before")"
done
[ "$(cryptoki_version)" = 2.40 ] || fail "Debian's proxy is of version $(cryptoki_version)"
step "a root with Debian's p11-kit and what depends on it"

late_start
# shellcheck disable=SC2046 # a list of words
apt "the library alone" install $(deb ours libp11-kit0)
nothing_removed "with the library alone"
same_as_before "with the library alone"

prepare_shims
# shellcheck disable=SC2046,SC2086
apt "all packages" install $(deb ours $our_packages)
nothing_removed "with all packages"
for package in $our_packages; do
	grep -qx "$package" "$WORK/packages" || fail "$package is not installed"
done
[ "$(cryptoki_version)" = 3.2 ] || fail "the proxy is of version $(cryptoki_version): not ours"
in_root p11-kit --version || fail "p11-kit --version: $(cat "$WORK/log")"
grep -qx "p11-kit $version" "$WORK/log" || fail "p11-kit is not ours: $(cat "$WORK/log")"
[ -L "$ROOT$proxy" ] && fail "the proxy is still a link"
python3 "$P11_SOURCE/tests/symbols/test-exports.py" "$LIB/libp11-kit.so.0" "$ROOT$proxy" >"$WORK/log" 2>&1 ||
	fail "the packages' files: $(cat "$WORK/log")"
step "built and stripped by Debian's tools, they export what they should"
same_as_before "with all packages"
try_shims

late_goes_on "after the upgrade"
grep -q '^session kept$' "$WORK/late.out" || fail "after the upgrade, a program that ran has lost its session"
step "a program that had Debian's library loads our proxy, and keeps its session"

# Its dependencies stay those of the version that there is.
for package in p11-kit-modules p11-kit; do
	dpkg-deb -R "$ROOT$(deb debian $package)" "$WORK/newer" &&
		sed -i 's/^Version: .*/&.newer/' "$WORK/newer/DEBIAN/control" &&
		dpkg-deb -b "$WORK/newer" "$ROOT/ours/${package}_newer.deb" >"$WORK/log" 2>&1 || fail "no newer $package"
	rm -rf "$WORK/newer"
done
apt "an upgrade of Debian's packages" install /ours/p11-kit-modules_newer.deb /ours/p11-kit_newer.deb
in_root dpkg-query -W -f '${Version}' p11-kit-modules
grep -q 'newer$' "$WORK/log" || fail "p11-kit-modules was not upgraded: $(cat "$WORK/log")"
[ "$(cryptoki_version)" = 3.2 ] || fail "an upgrade of Debian's p11-kit-modules takes the proxy away"
same_as_before "after an upgrade of Debian's p11-kit-modules and p11-kit"

# As docs/packaging.md tells it.
late_start
apt "removal" remove p11-kit-proxy p11-kit-tool
no_shims "after removal"
# shellcheck disable=SC2046,SC2086
apt "Debian's packages" install --reinstall --allow-downgrades $(deb debian $debian_packages)
inside state >"$WORK/state"
diff -u "$WORK/state.before" "$WORK/state" >"$WORK/diff" || fail "the old state is not back: $(cat "$WORK/diff")"
[ "$(cryptoki_version)" = 2.40 ] || fail "Debian's proxy is not back"
same_as_before "with Debian's packages again"
late_goes_on "after going back"
step "a program that had our library loads Debian's proxy"
