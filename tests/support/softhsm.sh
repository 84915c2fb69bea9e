# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# For tests in sh that need a real token: each makes its own, in a folder of its own, and leaves nothing behind.
#
#	. tests/support/softhsm.sh
#	need pkcs11-tool p11tool         # or the test is skipped
#	work_folder                      # $WORK, which is also $HOME; removed at the end
#	softhsm_token demo               # a token "demo"; $SOFTHSM2_CONF names it to every program from here on
#	softhsm_key rsa:2048 01 "my key" # a key pair on it
#
# PINs are $PIN and $SO_PIN.

# shellcheck disable=SC2034 # for those who read this file in
PIN=1234
SO_PIN=12345678

# Ends the test as skipped: exit code 77 is meson's for that.
skip() {
	echo "SKIP: $*"
	exit 77
}

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

# need TOOL...: skips the test where one is missing.
need() {
	for tool; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
}

# Whatever the test starts in the background adds its id here, to be ended with the test.
CLEANUP_PIDS=

cleanup() {
	status=$?
	trap - EXIT HUP INT TERM
	for pid in $CLEANUP_PIDS; do
		kill "$pid" 2>/dev/null
	done
	[ -n "$WORK" ] && rm -rf "$WORK"
	exit "$status"
}

# Makes $WORK and removes it at the end. $HOME lies in it: nothing of the user's is read.
work_folder() {
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/p11-test-XXXXXX") || fail "no folder for the test"
	trap cleanup EXIT
	trap 'exit 1' HUP INT TERM
	mkdir "$WORK/home"
	HOME=$WORK/home
	XDG_CONFIG_HOME=$HOME/.config
	export HOME XDG_CONFIG_HOME WORK
}

# Prints where SoftHSM is, or skips the test.
softhsm_path() {
	for path in "$P11_SOFTHSM" /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so \
		/usr/lib*/pkcs11/libsofthsm2.so /usr/local/lib/softhsm/libsofthsm2.so; do
		if [ -n "$path" ] && [ -e "$path" ]; then
			echo "$path"
			return
		fi
	done
	return 1
}

# softhsm_token LABEL: adds a token. The first call makes the folder and sets SOFTHSM2_CONF and SOFTHSM.
softhsm_token() {
	need softhsm2-util
	SOFTHSM=$(softhsm_path) || skip "SoftHSM is not installed"
	if [ ! -e "$WORK/softhsm2.conf" ]; then
		mkdir "$WORK/tokens"
		cat >"$WORK/softhsm2.conf" <<-END
			directories.tokendir = $WORK/tokens
			objectstore.backend = file
			log.level = ERROR
			slots.removable = false
		END
	fi
	SOFTHSM2_CONF=$WORK/softhsm2.conf
	export SOFTHSM2_CONF SOFTHSM
	softhsm2-util --init-token --free --label "$1" --pin "$PIN" --so-pin "$SO_PIN" >"$WORK/log" 2>&1 ||
		fail "softhsm2-util: $(cat "$WORK/log")"
}

# softhsm_key TYPE ID LABEL [pkcs11-tool's options]: a key pair, on the token of the first slot.
softhsm_key() {
	need pkcs11-tool
	key_type=$1 key_id=$2 key_label=$3
	shift 3
	pkcs11-tool --module "$SOFTHSM" --login --pin "$PIN" --keypairgen --key-type "$key_type" \
		--id "$key_id" --label "$key_label" "$@" >"$WORK/log" 2>&1 ||
		fail "pkcs11-tool --keypairgen: $(cat "$WORK/log")"
}
