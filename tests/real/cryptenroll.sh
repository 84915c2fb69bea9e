#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# systemd-cryptenroll lets an RSA key of the token open an encrypted disk, a file here; cryptsetup, whose plug-in for such tokens is
# systemd's too, opens it by the token and its PIN. (Without a device-mapper the passphrase is tested only: it is what the token
# has decrypted.)
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need systemd-cryptenroll cryptsetup pkcs11-tool
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 disk
real_library
cd "$WORK" || exit 1
token_authority
token_certificate 01 disk
printf %s passphrase >passphrase
truncate -s 20M disk
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 disk passphrase >log 2>&1 ||
	fail "cryptsetup luksFormat: $(cat log)"
# It has the library by dlopen(): LD_DEBUG tells which. (It cannot list tokens here: SoftHSM's spare slot is an error to it.)
LD_DEBUG=files LD_DEBUG_OUTPUT=$WORK/linker PASSWORD=passphrase PIN=$PIN \
	ours systemd-cryptenroll --pkcs11-token-uri='pkcs11:token=demo;id=%01' disk >log 2>&1 || fail "systemd-cryptenroll: $(cat log)"
cat linker* | grep 'calling init: .*libp11-kit.so.0' >loaded || fail "no libp11-kit.so.0 is loaded"
[ "$P11_REAL" = incumbent ] || grep -q "$LIB/" loaded || fail "another library is loaded: $(cat loaded)"
cryptsetup luksDump disk >log 2>&1
grep -q 'systemd-pkcs11' log || fail "the token is not in the header: $(cat log)"
step "enrolled"

# open_disk PIN
open_disk() {
	printf %s "$1" | ours cryptsetup open --test-passphrase --token-only --token-type systemd-pkcs11 disk >log 2>&1
}
open_disk "$PIN" || fail "the token does not open it: $(cat log)"
step "opened"

open_disk 0000 && fail "a wrong PIN opens it"
grep -q "PIN for token .* is incorrect" log || fail "it failed for another reason: $(cat log)"
pkcs11-tool --module "$SOFTHSM" --login --pin "$PIN" --delete-object --type privkey --id 01 >log 2>&1 || fail "$(cat log)"
open_disk "$PIN" && fail "it is opened without the key"
grep -q "private key" log || fail "it failed for another reason: $(cat log)"
step "neither with a wrong PIN, nor without the key"
