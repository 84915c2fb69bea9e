#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The programs of examples/ against the installed library: compiled as the comment on top of each says, and run. So are those
# that stand in docs/manual/developers.md.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need cc pkg-config
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 rsa
real_library
cp "$P11_SOURCE"/examples/*.[ch] "$WORK" || fail "there are no examples"
cd "$WORK" || exit 1
[ "$P11_REAL" = incumbent ] || export PKG_CONFIG_PATH="$LIB/pkgconfig"

for source in *.c; do
	sed -n 's/^ \*\t\(cc .*\)/\1/p' "$source" >command
	# What other examples are made of has no command.
	[ -s command ] || [ "$source" = token.c ] || fail "$source does not say how it is compiled"
	sh -e command >log 2>&1 || fail "$(cat command log)"
	! grep -q warning log || fail "$source: $(cat log)"
done
step "compiled as they say"

for mode in direct library managed; do
	ours ./share-a-module $mode "$SOFTHSM" demo "$PIN" >log 2>&1 || fail "share-a-module $mode: $(cat log)"
done
ours ./share-a-module proxy "$PROXY" demo "$PIN" >log 2>&1 || fail "share-a-module proxy: $(cat log)"
step "two libraries of one program, in four ways"

for module in "$SOFTHSM" "$PROXY"; do
	ours ./any-module "$module" demo "$PIN" >log 2>&1 || fail "any-module $module: $(cat log)"
	grep -q '^Signed by way of' log || fail "any-module $module: $(cat log)"
done
step "a program that knows nothing of us, with SoftHSM and with the proxy"

# Of one file there is one plug-in; of its copy there is another.
cp plugin-dlopen.so plugin-dlopen-2.so
cp plugin-managed.so plugin-managed-2.so
for pair in "dlopen dlopen-2" "managed managed-2" "dlopen managed" "managed dlopen"; do
	ours ./plug-in-host "./plugin-${pair% *}.so" "./plugin-${pair#* }.so" "$PROXY" demo "$PIN" >log 2>&1 ||
		fail "plug-ins $pair: $(cat log)"
	[ "$(grep -c ': yes$' log)" = 11 ] || fail "plug-ins $pair did not do all: $(cat log)"
done
step "plug-ins in one host, of both kinds"

ours ./plug-in-host ./plugin-dlopen.so ./plugin-dlopen-2.so "$SOFTHSM" demo "$PIN" >log 2>&1 &&
	fail "without the proxy two plug-ins disturb each other no more: the test shows nothing"
grep -q 'somebody else has it' log || fail "without the proxy: $(cat log)"
step "and without the proxy the second does not start"

for program in share-a-module any-module plug-in-host; do
	./$program >log 2>&1 && fail "$program does nothing, and is content"
	grep -q "as in: ./$program .* my-token 1234" log || fail "$program does not say what is typical: $(cat log)"
done
step "each says what its arguments look like"

# --- docs/manual/developers.md: each program on it begins with the name of its file.

[ "$P11_REAL" = incumbent ] && exit 0 # the page tells of ours
mkdir manual && cd manual || exit 1
awk '/^```/ { inside = $0 == "```c"; file = ""; next }
	inside && file == "" { file = $2; sub(/:$/, "", file); if (file !~ /^[a-z]+\.c$/) exit 1; print file >"names" }
	inside { print >file }' "$P11_SOURCE/docs/manual/developers.md" || fail "a program on the page does not begin with its name"
programs=$(sed 's/\.c$//' names | sort | tr '\n' ' ')
[ "$programs" = "child find list own version watch " ] || fail "on the page are other programs than are run here: $programs"
for program in $programs; do
	# shellcheck disable=SC2046 # a list of options
	cc -std=gnu11 -Wall -Wextra -Werror "$program.c" -o "$program" $(pkg-config --cflags --libs p11-kit-1) -pthread \
		>log 2>&1 || fail "$program.c: $(cat log)"
done
step "the programs of the developers' manual compile without a warning"

ours ./list >log 2>&1 || fail "list: $(cat log)"
grep -q '^softhsm: [1-9]' log || fail "list: $(cat log)"
for module in "$SOFTHSM" "$PROXY"; do
	ours ./own "$module" >log 2>&1 || fail "own $module: $(cat log)"
	grep -q '^module of ' log || fail "own $module: $(cat log)"
	ours ./child "$module" >log 2>&1 || fail "child $module exits with $?: $(cat log)"
	echo | ours ./watch "$module" >log 2>&1 || fail "watch $module: $(cat log)"
	grep -q '^told to end$' log || fail "watch $module: $(cat log)"
done
step "list the modules, share one, fork and wait with it"

printf %s "$PIN" >pin
echo "$PIN" >pin-and-line-feed
uri="pkcs11:token=demo;type=private?pin-source=$PWD/"
ours ./find "${uri}pin" >log 2>&1 || fail "find: $(cat log)"
[ "$(cat log)" = "object rsa" ] || fail "find: $(cat log)"
ours ./find "${uri}pin-and-line-feed" >log 2>&1 && fail "find logs in with a line feed behind the PIN: $(cat log)"
ours ./find "${uri}missing" >log 2>&1 || fail "find without a PIN: $(cat log)"
[ -s log ] && fail "find sees the key without a PIN: $(cat log)"
step "find what a URI names, with the PIN of its source"

[ "$(ours ./version)" = "0.27.0 or newer" ] || fail "version: $(ours ./version 2>&1)"
if ldd ./version | grep -q 'libp11-kit.so.0 => /'; then
	./version >log 2>&1 || fail "version with the system's library: $(cat log)"
	step "what is built for ours starts with the system's library as well"
fi
