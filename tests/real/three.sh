#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The project's first example, three.c: GnuTLS, gck and NSS in one process on one token, after each of them alone.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

program three
work_folder
softhsm_token demo
real_library
cd "$WORK" || exit 1

expected_signature

for party in gnutls gck nss; do
	ours "$PROGRAM" $party || fail "$party alone"
done
ours "$PROGRAM" "$@" || fail "the three together"

# The test must be able to fail: NSS without the proxy takes SoftHSM away from the others.
if P11_PROXY="$SOFTHSM" ours "$PROGRAM" >log 2>&1; then
	fail "NSS with SoftHSM's own file disturbs nobody: the test shows nothing"
fi
step "and it fails where NSS loads SoftHSM's own file: $(grep -v '^ok' log | head -n 1)"
