#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A setuid program must read nothing of the user's: a module in the user's configuration is seen by the program as it is,
# and not by the same program once it is setuid, whatever HOME and the other variables say.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need setpriv
[ "$(id -u)" = 0 ] || skip "only root can make a setuid program of another user"
program modules
work_folder
softhsm_token demo
real_library
cd "$WORK" || exit 1

uid=65534
as_user() {
	setpriv --reuid $uid --regid $uid --clear-groups "$@"
}

# A module of the user's own, a control file with it, and a program that the user may run.
cp "$P11_CHAOS/chaos-plain.so" user-module.so || fail "the chaos module is missing"
mkdir -p home/.config/pkcs11/modules
echo "module: $WORK/user-module.so" >home/.config/pkcs11/modules/mine.module
echo "user-config: merge" >home/.config/pkcs11/pkcs11.conf
cp "$PROGRAM" plain
cp "$PROGRAM" privileged
chmod -R a+rX "$WORK"
chmod 4755 privileged

as_user test -r "$PROXY" || skip "another user cannot read the build directory"
as_user ./plain "$PROXY" >plain.out 2>log || fail "the plain program: $(cat plain.out log)"
grep -q '^privileged no' plain.out || fail "the plain program is privileged"
grep -q '^module mine' plain.out || fail "the user's module is not seen by the user's own program: $(cat plain.out)"
grep -q '^slot of Chaos' plain.out || fail "the user's slots are not seen by the user's own program: $(cat plain.out)"
step "the user's own program sees the user's module"

P11_KIT_NO_USER_CONFIG=1 as_user ./plain "$PROXY" >plain.out 2>log || fail "P11_KIT_NO_USER_CONFIG: $(cat log)"
grep -q 'mine\|Chaos' plain.out && fail "P11_KIT_NO_USER_CONFIG changes nothing: $(cat plain.out)"
step "not with P11_KIT_NO_USER_CONFIG"

as_user ./privileged "$PROXY" >privileged.out 2>log || fail "the setuid program: $(cat privileged.out log)"
grep -q '^privileged yes' privileged.out || skip "setuid has no effect in $WORK (nosuid?)"
grep -q '^module softhsm' privileged.out || fail "the setuid program does not see the system's: $(cat privileged.out)"
grep -q 'mine\|Chaos' privileged.out && fail "the setuid program reads what is the user's: $(cat privileged.out)"
step "a setuid program does not"

./plain "$PROXY" >root.out 2>log || fail "as root: $(cat root.out log)"
grep -q 'mine\|Chaos' root.out && fail "root reads what is the user's: $(cat root.out)"
step "nor does root"
