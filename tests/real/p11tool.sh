#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# GnuTLS's p11tool, which links libp11-kit and finds SoftHSM by the configuration: tokens, objects, a new key, signatures.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need p11tool certtool
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 rsa
real_library
cd "$WORK" || exit 1
GNUTLS_PIN=$PIN
export GNUTLS_PIN

ours p11tool --list-tokens >log 2>&1 || fail "--list-tokens: $(cat log)"
[ "$(grep -c 'Label: demo$' log)" = 1 ] || fail "the token is not listed once: $(cat log)"
grep -q "Module: $SOFTHSM" log || fail "the token's module is not named: $(cat log)"
step "the token, once, with its module"

# GnuTLS loads a given provider by p11_kit_module_load(): Knot DNS has the proxy loaded so. (The incumbent refuses.)
if [ "$P11_REAL" != incumbent ]; then
	ours p11tool --provider "$PROXY" --list-tokens >log 2>&1 || fail "--provider with the proxy: $(cat log)"
	grep -q 'Label: demo$' log || fail "--provider with the proxy lists no token: $(cat log)"
	ours p11tool --provider "$PROXY" --login --test-sign "pkcs11:token=demo;object=rsa;type=private" >log 2>&1 ||
		fail "--provider with the proxy does not sign: $(cat log)"
	step "the proxy as GnuTLS's provider"
fi

ours p11tool --login --list-all "pkcs11:token=demo" >log 2>&1 || fail "--list-all: $(cat log)"
grep -q 'object=rsa;type=private' log || fail "the private key is not listed: $(cat log)"
grep -q 'object=rsa;type=public' log || fail "the public key is not listed: $(cat log)"
step "objects"

ours p11tool --login --test-sign "pkcs11:token=demo;object=rsa;type=private" >log 2>&1 || fail "--test-sign: $(cat log)"
grep -qi 'verifying against private key parameters... ok' log || fail "the signature is wrong: $(cat log)"
step "a signature by RSA"

ours p11tool --login --generate-privkey=ecdsa --curve=secp256r1 --label=made --id=0a0b "pkcs11:token=demo" >log 2>&1 ||
	fail "--generate-privkey: $(cat log)"
ours p11tool --login --test-sign "pkcs11:token=demo;object=made;type=private" >log 2>&1 || fail "--test-sign: $(cat log)"
step "a key made, and a signature by it"

cat >template <<-END
	cn = "p11-kit test"
	serial = 7
	expiration_days = 10
END
ours certtool --generate-self-signed --load-privkey "pkcs11:token=demo;object=rsa;type=private" \
	--load-pubkey "pkcs11:token=demo;object=rsa;type=public" --template template --outfile cert.pem >log 2>&1 ||
	fail "certtool: $(cat log)"
ours p11tool --login --write --load-certificate cert.pem --label mycert --id 01 "pkcs11:token=demo" >log 2>&1 ||
	fail "--write: $(cat log)"
ours p11tool --export "pkcs11:token=demo;object=mycert;type=cert" --outfile back.pem >log 2>&1 || fail "--export: $(cat log)"
certtool --certificate-info --infile cert.pem --outder >one 2>log || fail "$(cat log)"
certtool --certificate-info --infile back.pem --outder >two 2>log || fail "$(cat log)"
cmp -s one two || fail "the certificate came back different"
step "a certificate signed by the token's key, written, and read back"

ours p11tool --login --batch --delete "pkcs11:token=demo;object=mycert;type=cert" >log 2>&1 || fail "--delete: $(cat log)"
if ours p11tool --export "pkcs11:token=demo;object=mycert;type=cert" >log 2>&1; then
	fail "the certificate is still there"
fi
step "the certificate deleted"
