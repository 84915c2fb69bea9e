# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# For tests with real parties: unmodified programs against a release build of the library, installed into a folder of the
# build directory (stage.py), with a configuration of its own baked in. After `real_library`:
#
#	$LIB      the folder of libp11-kit.so.0, which `ours PROGRAM...` puts first
#	$PROXY    p11-kit-proxy.so
#
# and SoftHSM is the configured module. Given by meson: P11_SOURCE, P11_STAGE (a folder), P11_REAL_PROGRAMS (where the
# compiled programs of this folder are). To see the same test with the system's own p11-kit, as root:
#
#	P11_REAL=incumbent P11_SOURCE=. P11_REAL_PROGRAMS=B/tests/real sh tests/real/pkcs11-tool.sh

# shellcheck source=../support/softhsm.sh
. "$P11_SOURCE/tests/support/softhsm.sh"

# meson's own: programs that are to use the system's library must not find another.
unset LD_LIBRARY_PATH

# apart FLAGS "$@": starts the test anew in namespaces of its own, which unshare(1) makes with these flags, -m where it mounts
# something, -n where a program might call somebody who is not on this machine. Skips it where that cannot be.
apart() {
	[ "$P11_NAMESPACE" = $$ ] && return # which exec has kept
	namespaces=$1
	shift
	unshare "$namespaces" true 2>/dev/null || skip "no namespaces (unshare $namespaces)"
	export P11_NAMESPACE=$$
	case $namespaces in
	*n*)
		need ip
		exec unshare "$namespaces" sh -c 'ip link set lo up && exec sh "$0" "$@"' "$0" "$@"
		;;
	*) exec unshare "$namespaces" sh "$0" "$@" ;;
	esac
}

[ "$P11_REAL" = incumbent ] && apart -mn "$@"

incumbent_library() {
	mkdir "$WORK/modules"
	echo "module: $SOFTHSM" >"$WORK/modules/softhsm.module"
	mount --bind "$WORK/modules" /usr/share/p11-kit/modules || fail "cannot hide the system's configuration"
	PROXY=$(pkg-config --variable=proxy_module p11-kit-1) || fail "libp11-kit-dev is not installed"
	LIB=$(dirname "$PROXY")
	MODULES=$WORK/modules
}

# Needs softhsm_token before.
real_library() {
	if [ "$P11_REAL" = incumbent ]; then
		incumbent_library
		return
	fi
	# Who takes times has built it before.
	[ -n "$P11_TIMES" ] || python3 "$P11_SOURCE/tests/real/stage.py" "$P11_SOURCE" "$P11_STAGE" "$SOFTHSM" >"$WORK/log" 2>&1 ||
		fail "the library cannot be built and installed: $(tail -n 30 "$WORK/log")"
	LIB=$P11_STAGE/install/lib
	PROXY=$LIB/p11-kit-proxy.so
	# shellcheck disable=SC2034
	MODULES=$P11_STAGE/install/etc/pkcs11/modules
	[ -e "$PROXY" ] || fail "$PROXY is missing"
}

# The environment of the compiled programs: what to sign with the key "rsa" of the token "demo", and the signature that
# SoftHSM itself makes of it, which RSA makes always the same.
expected_signature() {
	need pkcs11-tool openssl
	softhsm_key rsa:2048 01 rsa
	export P11_PROXY="$PROXY" P11_TOKEN=demo P11_KEY=rsa P11_PIN="$PIN" P11_SIGNATURE="$WORK/signature"
	export P11_DATA="what is to be signed"
	printf %s "$P11_DATA" >"$WORK/data"
	pkcs11-tool --module "$SOFTHSM" --login --pin "$PIN" --sign --mechanism SHA256-RSA-PKCS --id 01 \
		--input-file "$WORK/data" --output-file "$WORK/signature" >"$WORK/log" 2>&1 ||
		fail "SoftHSM itself does not sign: $(cat "$WORK/log")"
	pkcs11-tool --module "$SOFTHSM" --read-object --type pubkey --id 01 --output-file "$WORK/key.der" \
		>"$WORK/log" 2>&1 || fail "SoftHSM's key cannot be read: $(cat "$WORK/log")"
	openssl dgst -sha256 -verify "$WORK/key.der" -keyform DER -signature "$WORK/signature" "$WORK/data" \
		>"$WORK/log" 2>&1 || fail "SoftHSM's own signature is wrong: $(cat "$WORK/log")"
}

# ours PROGRAM ARGUMENT...: runs it with our library in place of the system's. With P11_TIMES (bench/run) the nanoseconds and the
# command are added to that file, if it succeeds.
ours() {
	if [ -z "$P11_TIMES" ]; then
		LD_LIBRARY_PATH="$LIB" "$@"
		return
	fi
	began=$(date +%s%N)
	LD_LIBRARY_PATH="$LIB" "$@"
	status=$?
	ended=$(date +%s%N)
	[ "$status" = 0 ] && echo "$(echo "$((ended - began))" "$@" | tr '\n' ' ')" >>"$P11_TIMES"
	return "$status"
}

# links_ours PROGRAM: the system's configuration has SoftHSM as well, so what a program can do does not tell whose library
# it has got.
links_ours() {
	[ "$P11_REAL" = incumbent ] && return
	linked=$(ours ldd "$(command -v "$1")" | sed -n 's/.*libp11-kit.so.0 => \([^ ]*\).*/\1/p')
	[ "$linked" = "$LIB/libp11-kit.so.0" ] || fail "$1 is linked with another library: $linked"
}

# loads_ours PROGRAM ARGUMENT...: runs it as `ours` does, and has each of its processes write to $WORK/loaded.PID what it loads;
# not where times are taken.
loads_ours() {
	if [ -n "$P11_TIMES" ]; then
		ours "$@"
		return
	fi
	rm -f "$WORK"/loaded.*
	LD_DEBUG=files LD_DEBUG_OUTPUT="$WORK/loaded" ours "$@"
}

# has_loaded_ours PROGRAM: one process of what loads_ours ran last has used SoftHSM by our proxy and our library.
has_loaded_ours() {
	[ "$P11_REAL" = incumbent ] || [ -n "$P11_TIMES" ] && return
	for loaded in "$WORK"/loaded.*; do
		grep -q "calling init: $PROXY\$" "$loaded" && grep -q "calling init: $LIB/libp11-kit.so.0\$" "$loaded" &&
			grep -q "calling init: $SOFTHSM\$" "$loaded" || continue
		step "$1 has used our library"
		return
	done
	fail "$1 has not used our library: $(grep -h 'calling init: .*\(p11-kit\|softhsm\)' "$WORK"/loaded.*)"
}

# token_authority: an authority in files, ca.pem and ca.key of the present folder.
token_authority() {
	need openssl
	openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj "/CN=the authority" -days 10 \
		>log 2>&1 || fail "no authority: $(cat log)"
}

# token_certificate ID LABEL: has the authority certify the key of that id for the name "localhost", as server and
# client, writes the certificate to the first slot's token, and to LABEL.pem. By SoftHSM itself.
token_certificate() {
	pkcs11-tool --module "$SOFTHSM" --read-object --type pubkey --id "$1" --output-file "$2.pub" >log 2>&1 ||
		fail "SoftHSM's key cannot be read: $(cat log)"
	openssl pkey -pubin -inform DER -in "$2.pub" -out "$2.pub.pem" >log 2>&1 || fail "no public key: $(cat log)"
	printf '%s\n' 'subjectAltName = DNS:localhost' 'extendedKeyUsage = serverAuth, clientAuth' \
		'keyUsage = digitalSignature, keyEncipherment' >"$2.conf"
	openssl x509 -new -subj "/CN=$2" -force_pubkey "$2.pub.pem" -CA ca.pem -CAkey ca.key -days 10 -extfile "$2.conf" \
		-set_serial "0x$1" -out "$2.pem" >log 2>&1 || fail "no certificate: $(cat log)"
	openssl x509 -in "$2.pem" -outform DER -out "$2.der" >log 2>&1 || fail "no certificate: $(cat log)"
	pkcs11-tool --module "$SOFTHSM" --login --pin "$PIN" --write-object "$2.der" --type cert --id "$1" --label "$2" \
		>log 2>&1 || fail "SoftHSM does not take the certificate: $(cat log)"
}

# server_certificate: one for "localhost" of the authority, with its key in a file: server.pem and server.key.
server_certificate() {
	printf '%s\n' 'subjectAltName = DNS:localhost' 'extendedKeyUsage = serverAuth' \
		'keyUsage = digitalSignature, keyEncipherment' >server.conf
	openssl req -newkey rsa:2048 -nodes -keyout server.key -subj "/CN=localhost" -out server.csr >log 2>&1 ||
		fail "no request: $(cat log)"
	openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 10 -extfile server.conf -out server.pem >log 2>&1 ||
		fail "no certificate: $(cat log)"
}

# wait_for WHAT COMMAND...: until the command succeeds; a minute without success fails the test.
wait_for() {
	waited_for=$1
	shift
	for _ in $(seq 600); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	fail "$waited_for did not come"
}

# listeners PORT: the inodes of the sockets that listen there: by TCP, which is in state 0A then, or by UDP, 07.
listeners() {
	awk -v "port=$(printf :%04X "$1")" 'substr($2, length($2) - 4) == port && ($4 == "0A" || $4 == "07") { print $10 }' \
		/proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 2>/dev/null
}

# server_listens: not somebody else, who was faster.
server_listens() {
	for inode in $(listeners "$PORT"); do
		find "/proc/$SERVER/fd" -lname "socket:\[$inode\]" 2>/dev/null | grep -q . && return
	done
	return 1
}

# serve LOG PROGRAM ARGUMENT...: starts a server in the background and waits until it listens; it is ended with the test.
# @PORT@ in an argument becomes the port, $PORT: one below those that the kernel gives to clients. $SERVER is its process.
# A few ports are tried, since somebody else may take one first. A minute without a port fails the test.
serve() {
	serve_log=$1
	shift
	for _ in 1 2 3 4 5; do
		PORT=$(shuf -i 20000-32000 -n 1)
		[ -z "$(listeners "$PORT")" ] || continue
		(
			n=$#
			while [ "$n" -gt 0 ]; do
				argument=$(printf %s "$1" | sed "s/@PORT@/$PORT/")
				shift
				set -- "$@" "$argument"
				n=$((n - 1))
			done
			LD_LIBRARY_PATH="$LIB" exec "$@"
		) >"$serve_log" 2>&1 </dev/null &
		SERVER=$!
		CLEANUP_PIDS="$CLEANUP_PIDS $SERVER"
		for _ in $(seq 600); do
			kill -0 "$SERVER" 2>/dev/null || break
			server_listens && return
			sleep 0.1
		done
		kill -0 "$SERVER" 2>/dev/null && break
		wait "$SERVER"
	done
	fail "$1 does not listen: $(cat "$serve_log")"
}

# program NAME: the path of a compiled program of this folder; skips the test if it was not built.
program() {
	[ -x "$P11_REAL_PROGRAMS/$1" ] || skip "$1 was not built: a development package is missing"
	# shellcheck disable=SC2034
	PROGRAM=$P11_REAL_PROGRAMS/$1
}

# same FILE FILE WHAT
same() {
	diff -u "$1" "$2" >"$WORK/diff" || {
		cat "$WORK/diff" >&2
		fail "$3"
	}
}

step() {
	echo "ok: $*"
}
