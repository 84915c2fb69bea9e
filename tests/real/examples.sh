#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The programs of examples/ against the installed library: compiled as the comment on top of each says, and run.
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
