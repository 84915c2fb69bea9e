#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# wpa_supplicant's EAP-TLS with a key and certificate of the token, as far as it goes without a network: eapol_test is its part
# above the network card, hostapd is the server. OpenSSL's engine gets the proxy by the configuration, as in wpa_supplicant.conf.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need eapol_test hostapd openssl
ENGINE=$(openssl version -e | sed -n 's/^ENGINESDIR: "\(.*\)"/\1/p')/pkcs11.so
[ -e "$ENGINE" ] || skip "OpenSSL's engine pkcs11 (libengine-pkcs11-openssl) is not installed"
SYSTEM_PROXY=$(unset PKG_CONFIG_PATH && pkg-config --variable=proxy_module p11-kit-1) && [ -e "$SYSTEM_PROXY" ] ||
	skip "no p11-kit-proxy.so in the system's folder, which Debian's wpa_supplicant wants"
apart -mn "$@"
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 client
softhsm_key rsa:2048 02 stranger
real_library
# Debian's wpa_supplicant takes modules below /usr/lib only.
mount --bind "$(realpath "$PROXY")" "$(realpath "$SYSTEM_PROXY")" || skip "nothing can be mounted"
cd "$WORK" || exit 1
token_authority
token_certificate 01 client
server_certificate

echo '127.0.0.1/32 a-secret' >clients
echo '* TLS' >users
cat >hostapd.in <<-END
	driver=none
	eap_server=1
	eap_user_file=$WORK/users
	radius_server_clients=$WORK/clients
	radius_server_auth_port=@PORT@
	ca_cert=$WORK/ca.pem
	server_cert=$WORK/server.pem
	private_key=$WORK/server.key
END
serve server.log sh -c 'port=@PORT@; sed "s/@POR[T]@/$port/" hostapd.in >hostapd.conf; exec hostapd hostapd.conf'

# authenticate KEY PIN SECONDS: by that key of the token, with the client's certificate, within that time.
authenticate() {
	cat >client.conf <<-END
		pkcs11_engine_path=$ENGINE
		pkcs11_module_path=$SYSTEM_PROXY
		network={
			key_mgmt=IEEE8021X
			eap=TLS
			identity="client"
			ca_cert="$WORK/ca.pem"
			client_cert="pkcs11:token=demo;object=client;type=cert"
			private_key="pkcs11:token=demo;object=$1;type=private"
			pin="$2"
		}
	END
	ours eapol_test -c client.conf -a 127.0.0.1 -p "$PORT" -s a-secret -n -t "$3" >client.log 2>&1 </dev/null
}

authenticate client "$PIN" 60 || fail "no success: $(tail -n 60 client.log; cat server.log)"
tail -n 1 client.log | grep -q '^SUCCESS' || fail "no success: $(tail -n 60 client.log; cat server.log)"
grep -q "subject='/CN=localhost'" client.log || fail "the server's certificate was not seen: $(cat client.log)"
step "EAP-TLS by the token's key"

# refused WHY KEY PIN: it is not let in for that reason. It tries again until the time is over.
refused() {
	authenticate "$2" "$3" 5 && fail "let in with '$2' and $3: $(tail -n 60 client.log)"
	grep -q "$1" client.log || fail "it failed for another reason: $(tail -n 60 client.log; cat server.log)"
}
refused 'key values mismatch' stranger "$PIN"
refused 'PIN incorrect' client 0000
step "none by another key, or with a wrong PIN"
