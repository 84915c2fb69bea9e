#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A TLS handshake of NSS's selfserv and tstclnt, each with a key and certificate of the token, which they have from the proxy.
# Each verifies the other's certificate. (Keys are EC: with an RSA key of SoftHSM selfserv fails through any library.)
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need selfserv tstclnt modutil certutil openssl setsid
[ "$(id -u)" = 0 ] && apart -n "$@" # selfserv listens to everybody
work_folder
softhsm_token demo
softhsm_key EC:prime256v1 01 server
softhsm_key EC:prime256v1 02 client
real_library
cd "$WORK" || exit 1
token_authority
token_certificate 01 server
token_certificate 02 client
echo "$PIN" >pin

# database FOLDER: with the authority, and the proxy as a module.
database() {
	mkdir "$1"
	certutil -N -d "sql:$1" --empty-password >log 2>&1 || fail "certutil -N: $(cat log)"
	certutil -A -d "sql:$1" -n authority -t CT,, -i ca.pem >log 2>&1 || fail "certutil -A: $(cat log)"
	ours modutil -dbdir "sql:$1" -force -add proxy -libfile "$PROXY" >log 2>&1 || fail "modutil -add: $(cat log)"
}
database server-db
database client-db

# get VERSION OPTION...: a page of the server's, through that version of TLS. Without a terminal, which it would ask for a PIN.
printf 'GET / HTTP/1.0\r\n\r\n' >request
get() {
	version=$1
	shift
	ours setsid -w tstclnt -d sql:client-db -h localhost -p "$PORT" -V "tls$version:tls$version" -A request "$@" >client.out 2>client.log \
		</dev/null && grep -q '^HTTP/1.0 200' client.out
}

serve server.log selfserv -d sql:server-db -e demo:server -w "$PIN" -p @PORT@ -V tls1.2:tls1.3 -r -r -v
for version in 1.2 1.3; do
	get "$version" -n demo:client -w "$PIN" || fail "TLS $version: $(cat client.out client.log server.log)"
	step "TLS $version, with keys of the token on both sides"
done
grep -q 'CN=client' server.log || fail "the server has not seen the client's certificate: $(cat server.log)"

get 1.2 && fail "the server takes a client without certificate: $(cat client.out)"
grep -q 'SSL_ERROR_BAD_CERT_ALERT' client.log || fail "it failed for another reason: $(cat client.log)"
step "a client without a key is refused"
certutil -D -d sql:client-db -n authority >log 2>&1 || fail "certutil -D: $(cat log)"
get 1.3 -n demo:client -w "$PIN" && fail "the client takes a server of an unknown authority: $(cat client.out)"
grep -q SEC_ERROR_UNTRUSTED_ISSUER client.log || fail "it failed for another reason: $(cat client.log)"
step "a server of an unknown authority is refused"
