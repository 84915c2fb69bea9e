#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The iterator over SoftHSM: public and private objects, templates and mechanisms, a wrong PIN, two tokens.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

program iterate
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 rsa
softhsm_token other
real_library
cd "$WORK" || exit 1

expect() {	# COMMAND URI: its output is on stdin
	cat >expected
	ours "$PROGRAM" "$1" "$2" 2>&1 | sort >got
	same expected got "$1 $2"
	step "$1 ${2%%\?*}"
}

modulus=$((2048 / 8))
expect list "pkcs11:token=demo" <<END
class 2, rsa: modulus:$modulus
END
# The private exponent is sensitive: it is asked for, and not shown.
expect list "pkcs11:token=demo?pin-value=$PIN" <<END
class 2, rsa: modulus:$modulus
class 3, rsa: modulus:$modulus
END
expect list "pkcs11:token=demo;type=private?pin-value=$PIN" <<END
class 3, rsa: modulus:$modulus
END

expect make "pkcs11:token=demo?pin-value=$PIN" </dev/null
expect make "pkcs11:token=other?pin-value=$PIN" </dev/null
long=$(($(getconf LONG_BIT) / 8))
aes="class 4, aes: value:16 wraps-if-0:$long wraps-if-0x162:1 mechanisms:$((3 * long))"
expect list "pkcs11:token=demo;object=aes?pin-value=$PIN" <<END
$aes
END
expect destroy "pkcs11:token=demo;object=aes?pin-value=$PIN" </dev/null
expect list "pkcs11:token=demo;object=aes?pin-value=$PIN" </dev/null
expect list "pkcs11:token=other?pin-value=$PIN" <<END
$aes
END

# SoftHSM's last slot has a token that is not initialized. Whoever does not say which token is meant meets it in the end.
if ours "$PROGRAM" list "pkcs11:type=public" >log 2>&1; then
	fail "a token that is not initialized opens sessions: $(cat log)"
fi
grep -q '^class 2, rsa' log || fail "nothing was listed before it: $(cat log)"
grep -q 'softhsm: C_OpenSession' log || fail "it is not said what failed: $(cat log)"
step "a token that is not initialized"

if ours "$PROGRAM" list "pkcs11:token=demo?pin-value=99991234" >log 2>&1; then
	fail "a wrong PIN lists: $(cat log)"
fi
grep -q C_Login log || fail "it is not said what failed: $(cat log)"
! grep -q 99991234 log || fail "the PIN is shown: $(cat log)"
step "a wrong PIN: $(cat log)"
