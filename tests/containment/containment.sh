#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The containment matrix, and whether docs/containment.md is what it finds.
#
#	containment.sh PROGRAM           PROGRAM is matrix.c; with P11_CONTAINMENT_UPDATE=1 it writes docs/containment.md anew
#	containment.sh PROGRAM plant     a healthy consumer uses the faulty module, on purpose: that must be found
#
# shellcheck source=../support/softhsm.sh
. "$P11_SOURCE/tests/support/softhsm.sh"

program=$1
page=$P11_SOURCE/docs/containment.md

work_folder
softhsm_token demo

if [ "$2" = plant ]; then
	P11_CONTAINMENT_PLANT=1 "$program" "$SOFTHSM" "$WORK/table" C_GetTokenInfo C_OpenSession >"$WORK/report" 2>&1
	status=$?
	[ $status = 77 ] && skip "not with sanitizers"
	cat "$WORK/report"
	[ $status = 1 ] || fail "the program did not see what was planted: exit code $status"
	for fault in error lie late sleep hang drop; do
		grep -q "^C_OpenSession, $fault, by a proxy consumer: managed " "$WORK/report" ||
			fail "it did not see it for the fault \"$fault\""
	done
	grep -q '^C_GetTokenInfo, sleep, .*: managed C_GetTokenInfo is late' "$WORK/report" ||
		fail "it did not see that a call was late"
	grep -q '^| C_OpenSession |.* proxy: managed C_OpenSession answers 0x30; managed: ' "$WORK/table" ||
		fail "the table does not say it"
	exit 0
fi

"$program" "$SOFTHSM" "$WORK/table"
status=$?
[ $status = 77 ] && skip "not with sanitizers"
[ -s "$WORK/table" ] || fail "the program did not come to its end: exit code $status"
cat "$P11_SOURCE/tests/containment/head.md" "$WORK/table" >"$WORK/page"
if [ "$P11_CONTAINMENT_UPDATE" = 1 ]; then
	cp "$WORK/page" "$page"
	exit "$status"
fi
diff -u "$page" "$WORK/page" || fail "docs/containment.md is not what was found: CONTRIBUTING.md says how to update it"
[ $status = 0 ] || fail "not everything was contained"
