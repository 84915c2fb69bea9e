#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# NSS's modutil and certutil with the proxy as their module, in a database of their own: NSS lists the token, makes a key
# on it, and has it sign a certificate.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need modutil certutil openssl
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 rsa
real_library
cd "$WORK" || exit 1

mkdir db
echo >no-password
certutil -N -d sql:db --empty-password >log 2>&1 || fail "certutil -N: $(cat log)"
echo "$PIN" >pin
head -c 2048 /dev/urandom >noise

ours modutil -dbdir sql:db -force -add proxy -libfile "$PROXY" >log 2>&1 || fail "modutil -add: $(cat log)"
ours modutil -dbdir sql:db -list >log 2>&1 || fail "modutil -list: $(cat log)"
grep -q 'token: demo' log || fail "the token is not listed: $(cat log)"
ours modutil -dbdir sql:db -list proxy >log 2>&1 || fail "modutil -list proxy: $(cat log)"
grep -q 'SoftHSM' log || fail "the token's slot is not described: $(cat log)"
step "the module in NSS's database, and its token"

ours certutil -K -d sql:db -h demo -f pin >log 2>&1 || fail "certutil -K: $(cat log)"
grep -q rsa log || fail "the key is not listed: $(cat log)"
step "the token's keys"

# No time is taken: how long it takes to find primes is chance.
P11_TIMES='' ours certutil -R -d sql:db -h demo -f pin -z noise -s "CN=asked" -k rsa -g 2048 -Z SHA256 -a -o request.pem >log 2>&1 ||
	fail "certutil -R: $(cat log)"
openssl req -in request.pem -noout -verify >log 2>&1 || fail "the request's signature is wrong: $(cat log)"
step "a key made on the token, and a request signed by it"

ours certutil -S -d sql:db -h demo -f pin -z noise -n made -s "CN=made" -x -t "u,u,u" -k ec -q nistp256 -m 5 -Z SHA256 \
	>log 2>&1 || fail "certutil -S: $(cat log)"
ours certutil -L -d sql:db -h demo -f pin -n demo:made -a >cert.pem 2>log || fail "certutil -L: $(cat log)"
openssl verify -CAfile cert.pem cert.pem >log 2>&1 || fail "the certificate's signature is wrong: $(cat log)"
ours certutil -L -d sql:db -h demo -f pin >log 2>&1 || fail "certutil -L: $(cat log)"
grep -q 'demo:made' log || fail "the certificate is not listed: $(cat log)"
step "a certificate on the token, signed by its own key"

ours modutil -dbdir sql:db -force -delete proxy >log 2>&1 || fail "modutil -delete: $(cat log)"
step "the module removed"
