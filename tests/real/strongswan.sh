#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# strongSwan's daemon proves who it is with a key and certificate of the token, to another one with keys in files: an IKE_SA
# without a tunnel behind it, over the loopback of a network that nobody else sees.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need charon-systemd swanctl openssl
for plugin in openssl pkcs11; do
	[ -e "/usr/lib/ipsec/plugins/libstrongswan-$plugin.so" ] || skip "strongSwan's plug-in $plugin is not installed"
done
apart -n "$@"
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 client
real_library
cd "$WORK" || exit 1
token_authority
token_certificate 01 client
server_certificate

# daemon NAME PORT PORT [PLUGIN]: starts one, with its files in the folder NAME and ports of its own. $DAEMON is its process.
daemon() {
	mkdir -p "$1/swanctl/x509" "$1/swanctl/x509ca" "$1/swanctl/private"
	cp ca.pem "$1/swanctl/x509ca"
	cat >"$1/strongswan.conf" <<-END
		charon-systemd {
			load = random nonce openssl hmac kdf pem pkcs1 pkcs8 x509 pubkey constraints $4 kernel-netlink socket-default vici
			plugins {
				vici {
					socket = unix://$WORK/$1/vici
				}
				pkcs11 {
					modules {
						p11-kit {
							path = $PROXY
						}
					}
				}
			}
			port = $2
			port_nat_t = $3
		}
	END
	# shellcheck disable=SC2016 # its own process: $! is only the shell that waits for it
	STRONGSWAN_CONF=$1/strongswan.conf loads_ours sh -c 'echo $$ >"$0/pid" && exec charon-systemd' "$1" >"$1.log" 2>&1 </dev/null &
	wait_for "the process of $1" test -s "$1/pid"
	DAEMON=$(cat "$1/pid")
	CLEANUP_PIDS="$CLEANUP_PIDS $DAEMON"
	wait_for "the daemon $1" swan "$1" --stats
}

# swan NAME ARGUMENT...: asks that daemon, whose answer is in the file log.
swan() {
	where=$1
	shift
	STRONGSWAN_CONF=$where/strongswan.conf SWANCTL_DIR=$WORK/$where/swanctl swanctl "$@" --uri "unix://$WORK/$where/vici" >log 2>&1
}

daemon server 20500 24500
cp server.pem server/swanctl/x509
cp server.key server/swanctl/private
cat >server/swanctl/swanctl.conf <<END
connections {
	clients {
		childless = force
		local {
			certs = server.pem
			id = localhost
		}
		remote {
			cacerts = ca.pem
		}
	}
}
END
swan server --load-all || fail "the server is not configured: $(cat log server.log)"

# connect PIN: a client that gets as far as it can. It ends with the next one.
connect() {
	rm -rf client
	daemon client 20501 24501 pkcs11
	cat >client/swanctl/swanctl.conf <<-END
		connections {
			server {
				remote_addrs = 127.0.0.1
				remote_port = 24500
				childless = force
				local {
					cert-1 {
						handle = 01
						module = p11-kit
					}
				}
				remote {
					id = localhost
				}
			}
		}
		secrets {
			token-1 {
				handle = 01
				module = p11-kit
				pin = $1
			}
		}
	END
	swan client --load-all && swan client --initiate --ike server --timeout 50
}

connect wrong && fail "a wrong PIN is as good as the right one: $(cat log)"
kill "$DAEMON"
wait_for "the client's end" sh -c '! kill -0 "$1"' - "$DAEMON"
step "a wrong PIN gives no connection"

connect "$PIN" || fail "no connection: $(cat log client.log server.log)"
grep -q "authentication of 'CN=client' (myself) with RSA.* successful" log || fail "another key: $(cat log)"
swan server --list-sas || fail "the server does not answer: $(cat log)"
grep -q "remote 'CN=client'" log || fail "the server knows of nobody: $(cat log server.log)"
step "two daemons are connected; the one has proved itself with the token's key"
swan client --list-certs
grep -q 'has private key' log || fail "the certificate is without its key: $(cat log)"
step "the token's certificate has its key"
has_loaded_ours strongSwan
