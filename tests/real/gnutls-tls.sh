#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A TLS handshake of gnutls-serv and gnutls-cli, each with a key and certificate of the token, which they name by pkcs11: URIs
# and find by the configuration. Each verifies the other's certificate.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need gnutls-serv gnutls-cli
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 server
softhsm_key EC:prime256v1 02 client
real_library
links_ours gnutls-serv
links_ours gnutls-cli
cd "$WORK" || exit 1
token_authority
token_certificate 01 server
token_certificate 02 client
GNUTLS_PIN=$PIN
export GNUTLS_PIN

serve server.log gnutls-serv --echo --port @PORT@ --x509keyfile "pkcs11:token=demo;object=server;type=private" \
	--x509certfile "pkcs11:token=demo;object=server;type=cert" --x509cafile ca.pem --require-client-cert \
	--verify-client-cert
for version in 1.2 1.3; do
	priority=NORMAL:-VERS-ALL:+VERS-TLS$version
	# The echo comes back before the client is done only if it waits for it.
	(
		echo "through TLS $version"
		wait_for "the echo" grep -q "^through TLS $version" client.out
	) | ours gnutls-cli --port "$PORT" --priority "$priority" --x509cafile ca.pem --verify-hostname localhost \
		--x509keyfile "pkcs11:token=demo;object=client;type=private" \
		--x509certfile "pkcs11:token=demo;object=client;type=cert" --logfile client.log 127.0.0.1 \
		>client.out 2>&1 || fail "TLS $version: $(cat client.out client.log server.log)"
	grep -q "^through TLS $version" client.out || fail "TLS $version: no echo: $(cat client.out client.log server.log)"
	grep -q 'The certificate is trusted' client.log || fail "TLS $version: not trusted: $(cat client.log)"
	step "TLS $version, with keys of the token on both sides"
done

# Without the client's key there is no handshake. (A client of TLS 1.3 is done before it is refused.)
ours gnutls-cli --port "$PORT" --priority NORMAL:-VERS-ALL:+VERS-TLS1.2 --x509cafile ca.pem --verify-hostname localhost \
	127.0.0.1 </dev/null >client.out 2>&1 && fail "the server takes a client without certificate: $(cat client.out)"
step "a client without a key is refused"
