#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Firefox without a window, which has the proxy by a policy of its administrator: it lists the token, asks for the PIN, and is
# let in by a server that wants the certificate whose key is on the token.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need firefox-esr certutil openssl python3
apart -mn "$@"
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 client
real_library
cd "$WORK" || exit 1
token_authority
token_certificate 01 client
server_certificate
serve server.log openssl s_server -accept @PORT@ -cert server.pem -key server.key -CAfile ca.pem -Verify 1 \
	-verify_return_error -www

mkdir profile
certutil -N -d sql:profile --empty-password >log 2>&1 || fail "certutil -N: $(cat log)"
certutil -A -d sql:profile -n authority -t CT,, -i ca.pem >log 2>&1 || fail "certutil -A: $(cat log)"
printf 'user_pref("%s", %s);\n' marionette.port 0 security.default_personal_cert '"Select Automatically"' >profile/user.js
# Where administrators put it is /etc/firefox/policies, which need not be there; this folder is.
DISTRIBUTION=$(dirname "$(realpath "$(command -v firefox-esr)")")/distribution
[ -d "$DISTRIBUTION" ] || DISTRIBUTION=/usr/lib/firefox-esr/distribution
mount -t tmpfs none "$DISTRIBUTION" || skip "no folder for Firefox's policies"
echo '{"policies": {"SecurityDevices": {"Add": {"p11-kit": "'"$PROXY"'"}}}}' >"$DISTRIBUTION/policies.json"

loads_ours python3 "$P11_SOURCE/tests/real/firefox.py" profile "$PORT" "$PROXY" demo "$PIN" client >out 2>log ||
	fail "$(cat out log server.log)"
grep '^ok' out
has_loaded_ours Firefox
