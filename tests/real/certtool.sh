#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# GnuTLS's certtool as an authority whose key lies on the token: its own certificate, one for a request whose key is on the
# token as well, a list of revoked ones, and a signed message; each verified by OpenSSL.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need certtool openssl
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 authority
softhsm_key EC:prime256v1 02 server
real_library
links_ours certtool
cd "$WORK" || exit 1
GNUTLS_PIN=$PIN
export GNUTLS_PIN
authority="pkcs11:token=demo;object=authority"
server="pkcs11:token=demo;object=server"

printf '%s\n' 'cn = "authority"' 'serial = 1' 'expiration_days = 10' ca cert_signing_key crl_signing_key >authority.conf
ours certtool --generate-self-signed --load-privkey "$authority;type=private" --load-pubkey "$authority;type=public" \
	--template authority.conf --outfile authority.pem >log 2>&1 || fail "--generate-self-signed: $(cat log)"
openssl verify -check_ss_sig -CAfile authority.pem authority.pem >log 2>&1 ||
	fail "the authority's certificate is wrong: $(cat log)"
step "the authority's certificate"

printf '%s\n' 'cn = "server"' >request.conf
ours certtool --generate-request --load-privkey "$server;type=private" --load-pubkey "$server;type=public" \
	--template request.conf --outfile request.pem >log 2>&1 || fail "--generate-request: $(cat log)"
openssl req -in request.pem -noout -verify >log 2>&1 || fail "the request is wrong: $(cat log)"
printf '%s\n' 'serial = 2' 'expiration_days = 10' tls_www_server >server.conf
ours certtool --generate-certificate --load-request request.pem --load-ca-certificate authority.pem \
	--load-ca-privkey "$authority;type=private" --template server.conf --outfile server.pem >log 2>&1 ||
	fail "--generate-certificate: $(cat log)"
openssl verify -CAfile authority.pem server.pem >log 2>&1 || fail "the server's certificate is wrong: $(cat log)"
step "a request by one key of the token, its certificate by the other"

printf '%s\n' 'crl_next_update = 10' 'crl_number = 1' >crl.conf
ours certtool --generate-crl --load-certificate server.pem --load-ca-certificate authority.pem \
	--load-ca-privkey "$authority;type=private" --template crl.conf --outfile crl.pem >log 2>&1 ||
	fail "--generate-crl: $(cat log)"
openssl crl -in crl.pem -CAfile authority.pem -noout >log 2>&1 || fail "openssl crl: $(cat log)"
grep -q 'verify OK' log || fail "the list's signature is wrong: $(cat log)"
openssl verify -CAfile authority.pem -crl_check -CRLfile crl.pem server.pem >log 2>&1 &&
	fail "the certificate is not revoked: $(cat log)"
grep -q 'revoked' log || fail "the certificate is not revoked: $(cat log)"
step "a list of revoked certificates"

echo "what is to be signed" >data
ours certtool --p7-sign --load-certificate authority.pem --load-privkey "$authority;type=private" --infile data \
	--outfile message.p7 >log 2>&1 || fail "--p7-sign: $(cat log)"
openssl smime -verify -inform PEM -in message.p7 -certfile authority.pem -CAfile authority.pem -purpose any \
	>out 2>log || fail "the message's signature is wrong: $(cat log)"
cmp -s data out || fail "the message came back different"
step "a signed message"
