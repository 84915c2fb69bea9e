#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# OpenVPN's client with a key and certificate of the token, to a server with keys in files, over the loopback and without a
# network device. The PIN is given by the management interface, as a desktop's network settings do.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need openvpn openssl
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 client
real_library
cd "$WORK" || exit 1
token_authority
token_certificate 01 client
server_certificate

ours openvpn --show-pkcs11-ids "$PROXY" >ids 2>&1 </dev/null || fail "--show-pkcs11-ids: $(cat ids)"
id=$(sed -n "s/^ *Serialized id: *//p" ids | tr -d "'")
[ "$(printf '%s\n' "$id" | wc -l)" = 1 ] && [ -n "$id" ] || fail "not one certificate: $(cat ids)"
grep -q 'CN=client' ids || fail "another certificate: $(cat ids)"
step "the certificate is listed"

cat >manage.py <<'END'
"""Gives a client the PIN that it asks for, and ends it when it is connected, asks once more, or tries anew."""
import socket
import sys

pin = sys.argv[1]
client = socket.socket(socket.AF_UNIX)
client.settimeout(60)
client.connect("management")
client.sendall(b"state on\nhold release\n")
asked = 0
for line in client.makefile(encoding="utf-8"):
    print(line, end="", flush=True)
    if line.startswith(">PASSWORD:Need '"):
        name = line.split("'")[1]
        client.sendall(f'password "{name}" "{pin}"\n'.encode() if asked == 0 else b"signal SIGTERM\n")
        asked += 1
    elif line.startswith(">STATE:") and line.split(",")[1] in ("CONNECTED", "RECONNECTING"):
        client.sendall(b"signal SIGTERM\n")
END

# connect PIN: a client that gets as far as it can, to a server of its own.
connect() {
	rm -f management client.pid
	serve server.log openvpn --dev null --proto tcp-server --local 127.0.0.1 --port @PORT@ --tls-server --dh none --ca ca.pem \
		--cert server.pem --key server.key --verb 3
	ours openvpn --dev null --proto tcp-client --remote 127.0.0.1 "$PORT" --tls-client --ca ca.pem --remote-cert-tls server \
		--pkcs11-providers "$PROXY" --pkcs11-id "$id" --management management unix --management-query-passwords \
		--management-hold --connect-retry-max 1 --verb 3 --writepid client.pid >client.log 2>&1 </dev/null &
	client=$!
	wait_for "the management interface" test -S management
	CLEANUP_PIDS="$CLEANUP_PIDS $(cat client.pid)" # $client is only the shell that waits for it
	python3 manage.py "$1" >manage.log 2>&1 || kill "$(cat client.pid)" # it waits for orders
	wait "$client"
	grep -q 'Initialization Sequence Completed' client.log
}

connect "$PIN" || fail "no connection: $(cat client.log manage.log server.log)"
grep -q 'VERIFY OK: depth=0, CN=client' server.log || fail "the server has not seen the certificate: $(cat server.log)"
grep -q "^>PASSWORD:Need 'demo token'" manage.log || fail "it was not asked for the PIN: $(cat manage.log)"
step "a connection by the token's key"

connect 0000 && fail "a connection with a wrong PIN: $(cat client.log manage.log)"
[ "$(grep -c "^>PASSWORD:Need 'demo token'" manage.log)" = 2 ] || fail "it failed for another reason: $(cat client.log manage.log)"
step "none with a wrong PIN"
