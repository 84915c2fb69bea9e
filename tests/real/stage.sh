#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The installed library that the tests of this folder use: it must build, and the proxy must load without help from outside.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

work_folder
softhsm_token demo
real_library
[ -e "$LIB/libp11-kit.so.0" ] || fail "libp11-kit.so.0 is not installed in $LIB"
[ -e "$MODULES/softhsm.module" ] || fail "no configuration in $MODULES"
step "built and installed in $P11_STAGE/install"
