#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# storm.c: threads that come and go as consumers of every kind, on one SoftHSM token.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

program storm
work_folder
softhsm_token demo
real_library
cd "$WORK" || exit 1
expected_signature

export P11_MODULE="$SOFTHSM"
ours "$PROGRAM" "$@" || fail "the storm"
