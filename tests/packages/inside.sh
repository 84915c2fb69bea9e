#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The part of packages.sh that runs inside the test root, where everything belongs to the test.
#
#	inside.sh prepare		makes a token "demo" with a key and a certificate, and NSS's database
#	inside.sh observe		prints what programs see; the same with Debian's p11-kit and with ours
#	inside.sh state			prints what is installed, and the files of Debian's four packages

cd /test || exit 1
lib=$(dirname "$(ls /usr/lib/*/libp11-kit.so.0)")
proxy=$lib/p11-kit-proxy.so
GNUTLS_PIN=1234
export GNUTLS_PIN

# A program that fails, or hangs, shows in what is compared, with what it said.
try() {
	timeout 30 "$@" 2>log || {
		echo "FAILED with $?: $*"
		cat log
	}
}

prepare() {
	set -e
	# Debian keeps its trust module from the proxy. Here the proxy shall show it.
	mkdir -p /etc/pkcs11/modules
	echo 'disable-in:' >/etc/pkcs11/modules/p11-kit-trust.module
	softhsm=$(sed -n 's/^module: *//p' /usr/share/p11-kit/modules/softhsm2.module)
	softhsm2-util --init-token --free --label demo --pin 1234 --so-pin 12345678
	pkcs11-tool --module "$softhsm" --login --pin 1234 --keypairgen --key-type rsa:2048 --id 01 --label key
	printf 'cn = "made by the test"\nserial = 7\nexpiration_days = 1000\n' >template
	certtool --generate-self-signed --load-privkey 'pkcs11:token=demo;object=key;type=private' \
		--load-pubkey 'pkcs11:token=demo;object=key;type=public' --template template --outfile certificate
	p11tool --login --write --load-certificate certificate --label certificate --id 01 pkcs11:token=demo
	mkdir nss
	certutil -N -d sql:nss --empty-password
	modutil -force -dbdir sql:nss -add p11-kit -libfile "$proxy"
	echo 1234 >pin
	echo 'what is to be signed' >data
}

observe() {
	echo '== GnuTLS: tokens, the certificates of the trust module, a signature'
	try p11tool --list-token-urls | sort
	try p11tool --list-all-certs --only-urls 'pkcs11:library-description=PKCS%2311%20Kit%20Trust%20Module' | sort
	try p11tool --login --test-sign 'pkcs11:token=demo;object=key;type=private'
	grep -e '\.\.\. ' log
	echo '== the trust module itself'
	try pkcs11-tool --module "$lib/pkcs11/p11-kit-trust.so" --list-token-slots | grep 'token label'
	echo '== the proxy: tokens, those of the trust module among them, and a signature'
	try pkcs11-tool --module "$proxy" --list-token-slots | grep -e 'token label' -e FAILED
	rm -f signature
	try pkcs11-tool --module "$proxy" --token-label demo --login --pin 1234 --sign --id 01 \
		--mechanism SHA256-RSA-PKCS --input-file data --output-file signature
	sha256sum signature
	echo '== NSS, with the proxy as its module'
	try certutil -L -d sql:nss -h demo -f pin
	echo '== GIO, by glib-networking'
	try ./gio-certificate 'pkcs11:token=demo;object=certificate;type=cert'
	echo '== trust(1)'
	try trust list | sort
}

state() {
	dpkg-query -W -f '${Package} ${Version} ${Status}\n'
	ls -d "$lib"/*p11-kit*
	dpkg -L libp11-kit0 libp11-kit-dev p11-kit-modules p11-kit | sort -u | while read -r file; do
		if [ -L "$file" ]; then
			echo "$file -> $(readlink "$file")"
		elif [ ! -d "$file" ]; then
			sha256sum "$file" || echo "$file is missing"
		fi
	done 2>/dev/null
}

"$@"
