#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# OpenSSL with the engine of libp11, which loads the proxy: signatures by both kinds of keys, and a decryption.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need openssl
openssl engine pkcs11 >/dev/null 2>&1 || skip "OpenSSL's engine pkcs11 (libengine-pkcs11-openssl) is not installed"
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 rsa
softhsm_key EC:prime256v1 02 ec
real_library
cd "$WORK" || exit 1

cat >openssl.conf <<-END
	openssl_conf = init
	[init]
	engines = engines
	[engines]
	pkcs11 = pkcs11
	[pkcs11]
	engine_id = pkcs11
	MODULE_PATH = $PROXY
	PIN = $PIN
	init = 0
END
OPENSSL_CONF=$WORK/openssl.conf
export OPENSSL_CONF

echo "what is to be signed" >data
for key in rsa ec; do
	uri="pkcs11:token=demo;object=$key"
	ours openssl pkey -engine pkcs11 -inform engine -pubin -in "$uri;type=public" -pubout -out $key.pem >log 2>&1 ||
		fail "public key $key: $(cat log)"
	ours openssl dgst -engine pkcs11 -keyform engine -sha256 -sign "$uri;type=private" -out $key.sig data >log 2>&1 ||
		fail "dgst -sign $key: $(cat log)"
	openssl dgst -sha256 -verify $key.pem -signature $key.sig data >log 2>&1 ||
		fail "the signature by $key is wrong: $(cat log)"
	step "a signature by $key"
done

openssl pkeyutl -encrypt -pubin -inkey rsa.pem -in data -out secret >log 2>&1 || fail "pkeyutl -encrypt: $(cat log)"
ours openssl pkeyutl -engine pkcs11 -keyform engine -decrypt -inkey "pkcs11:token=demo;object=rsa;type=private" \
	-in secret -out clear >log 2>&1 || fail "pkeyutl -decrypt: $(cat log)"
cmp -s data clear || fail "the decryption is wrong"
step "a decryption"

ours openssl req -engine pkcs11 -keyform engine -new -key "pkcs11:token=demo;object=ec;type=private" -subj /CN=asked \
	-config /dev/null -out request.pem >log 2>&1 || fail "req: $(cat log)"
openssl req -in request.pem -noout -verify -config /dev/null >log 2>&1 || fail "the request's signature is wrong: $(cat log)"
step "a request signed by the token's key"
