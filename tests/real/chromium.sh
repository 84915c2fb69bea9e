#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Chromium without a window, which has the proxy from ~/.pki/nssdb: it is let in by a server that wants the certificate whose key is
# on the token.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need chromium certutil modutil openssl p11tool
apart -mn "$@"
work_folder
softhsm_token demo
# Nobody can answer a prompt for the PIN here, and Chromium waits for ever: so the key is one that needs no login, and the module is
# added as FRIENDLY, which says that certificates are seen without one.
GNUTLS_PIN=$PIN GNUTLS_SO_PIN=$SO_PIN p11tool --provider "$SOFTHSM" --login --generate-rsa --bits 2048 --no-mark-private \
	--label client --id 01 'pkcs11:token=demo' >"$WORK/log" 2>&1 </dev/null || fail "no key: $(cat "$WORK/log")"
real_library
cd "$WORK" || exit 1
token_authority
token_certificate 01 client
server_certificate
serve server.log openssl s_server -accept @PORT@ -cert server.pem -key server.key -CAfile ca.pem -Verify 1 \
	-verify_return_error -www

DATABASE=sql:$HOME/.pki/nssdb
mkdir -p "$HOME/.pki/nssdb"
certutil -N -d "$DATABASE" --empty-password >log 2>&1 || fail "certutil -N: $(cat log)"
certutil -A -d "$DATABASE" -n authority -t CT,, -i ca.pem >log 2>&1 || fail "certutil -A: $(cat log)"
modutil -dbdir "$DATABASE" -force -add p11-kit -libfile "$PROXY" -mechanisms FRIENDLY >log 2>&1 || fail "modutil -add: $(cat log)"
cp -r /etc/chromium configuration && mkdir -p configuration/policies/managed || fail "no configuration"
echo '{"AutoSelectCertificateForUrls": ["{\"pattern\":\"https://localhost\",\"filter\":{}}"]}' \
	>configuration/policies/managed/p11-kit.json
mount --bind configuration /etc/chromium || skip "no folder for Chromium's policies"

# visit: what the server says of the connection.
visit() {
	loads_ours timeout 60 chromium --headless=new --no-sandbox --disable-gpu --user-data-dir="$WORK/profile" --dump-dom \
		"https://localhost:$PORT/" >out 2>log </dev/null
	grep -q 'Subject: CN *= *client' out
}
visit || fail "the server has not seen the certificate: $(cat out log server.log)"
step "a handshake with the token's key"
has_loaded_ours Chromium

modutil -dbdir "$DATABASE" -force -delete p11-kit >log 2>&1 || fail "modutil -delete: $(cat log)"
visit && fail "it is let in without the token"
grep -q 'peer did not return a certificate' server.log || fail "it has not come to the server: $(cat out log server.log)"
step "none without the proxy"
