#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# OpenSC's pkcs11-tool through the proxy: slots, objects, signatures, and its own --test, which must say exactly what it
# says when it uses SoftHSM directly, but for the numbers of the slots; and its --test-fork.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need pkcs11-tool openssl
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 rsa --usage-sign
real_library
cd "$WORK" || exit 1

# Both ways of a command, without what tells the slots' numbers. Exit codes are part of the answer.
both() {
	pkcs11-tool --module "$SOFTHSM" "$@" >direct 2>&1
	echo "exit code $?" >>direct
	ours pkcs11-tool --module "$PROXY" "$@" >proxied 2>&1
	echo "exit code $?" >>proxied
	sed -E -i 's/\(0x[0-9a-f]+\)/(id)/; s/^Slot [0-9]+/Slot/' direct proxied
}

both --list-slots
grep -q 'token label *: demo' proxied || fail "no token: $(cat proxied)"
same direct proxied "--list-slots is not the same"
ours pkcs11-tool --module "$PROXY" --list-slots 2>/dev/null | grep -q '(0x11)' || fail "the first slot is not 0x11"
step "slots, from 0x11 on"

ours pkcs11-tool --module "$LIB/libp11-kit.so.0" --list-slots >log 2>&1 || fail "libp11-kit.so.0 as a module: $(cat log)"
grep -q 'token label *: demo' log || fail "libp11-kit.so.0 as a module shows no token: $(cat log)"
step "libp11-kit.so.0 itself as a module"

both --login --pin "$PIN" --list-objects
grep -q 'Private Key Object; RSA' proxied || fail "no key: $(cat proxied)"
same direct proxied "--list-objects is not the same"
step "objects"

both --list-mechanisms
same direct proxied "--list-mechanisms is not the same"
step "mechanisms"

both --login --pin 9999 --list-objects
grep -q CKR_PIN_INCORRECT proxied || fail "the wrong PIN was taken: $(cat proxied)"
same direct proxied "a wrong PIN is not the same"
step "a wrong PIN"

echo "what is to be signed" >data
ours pkcs11-tool --module "$PROXY" --login --pin "$PIN" --sign --mechanism SHA256-RSA-PKCS --id 01 \
	--input-file data --output-file signature >log 2>&1 || fail "no signature: $(cat log)"
ours pkcs11-tool --module "$PROXY" --read-object --type pubkey --id 01 --output-file key.der >log 2>&1 ||
	fail "no public key: $(cat log)"
openssl dgst -sha256 -verify key.der -keyform DER -signature signature data >log 2>&1 ||
	fail "the signature is wrong: $(cat log)"
step "a signature, verified by OpenSSL"

both --login --pin "$PIN" --test
grep -q 'RSA-PKCS: OK' proxied || fail "--test signs nothing: $(cat proxied)"
grep -q 'exit code 0' direct || echo "note: directly, --test fails as well"
same direct proxied "--test is not the same"
step "--test: $(grep -c OK proxied) times OK"

# Directly, SoftHSM's own C_Initialize fails in a child: it does not notice the fork.
ours pkcs11-tool --module "$PROXY" --test-fork >log 2>&1 || fail "--test-fork: $(cat log)"
step "--test-fork"
