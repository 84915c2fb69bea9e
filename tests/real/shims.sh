#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A file that holds one module, made by "p11-kit shim", for programs that insist on a file: OpenSSH's key generator and
# agent, Java's keytool with the slot id that the vendor's own module has, while NSS uses the proxy.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

[ "$P11_REAL" = incumbent ] && skip "the incumbent has no shims"
need ssh-keygen ssh-agent ssh-add openssl pkcs11-tool
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 rsa
softhsm_key EC:prime256v1 02 ec
real_library
cd "$WORK" || exit 1

ours "$P11_STAGE/install/bin/p11-kit" shim --dir="$WORK/shared" --all >log 2>&1 || fail "p11-kit shim: $(cat log)"
SHIM=$(ls "$WORK"/shared/*.so)
{ [ -f "$SHIM" ] && [ ! -L "$SHIM" ]; } || fail "there is no file: $SHIM"
step "made $(basename "$SHIM")"

ours pkcs11-tool --module "$SOFTHSM" --list-slots >direct 2>log || fail "pkcs11-tool with SoftHSM: $(cat log)"
ours pkcs11-tool --module "$SHIM" --list-slots >through 2>log || fail "pkcs11-tool with the shim: $(cat log)"
same direct through "the shim does not look like its module"
ours pkcs11-tool --module "$SOFTHSM" --show-info >direct 2>log || fail "pkcs11-tool with SoftHSM: $(cat log)"
ours pkcs11-tool --module "$SHIM" --show-info >through 2>log || fail "pkcs11-tool with the shim: $(cat log)"
same direct through "the shim's C_GetInfo is not its module's"
step "the same slots with the same ids, and the same C_GetInfo"

ours ssh-keygen -D "$SOFTHSM" >direct 2>log || fail "ssh-keygen -D with SoftHSM: $(cat log)"
ours ssh-keygen -D "$SHIM" >through 2>log || fail "ssh-keygen -D: $(cat log)"
sort direct >one
sort through >two
same one two "the shim's keys are not the token's"
step "ssh-keygen -D"

# It resolves links and compares the result with what it allows: a shim is a file.
eval "$(ours ssh-agent -s -P "$(realpath "$WORK/shared")/*")" >log || fail "no agent"
CLEANUP_PIDS="$CLEANUP_PIDS $SSH_AGENT_PID"
printf '#!/bin/sh\necho %s\n' "$PIN" >askpass
chmod +x askpass
export SSH_AUTH_SOCK
SSH_ASKPASS=$WORK/askpass SSH_ASKPASS_REQUIRE=force ours ssh-add -s "$SHIM" >log 2>&1 </dev/null ||
	fail "ssh-add -s: $(cat log)"
ssh-add -L >agent 2>log || fail "ssh-add -L: $(cat log)"
grep rsa agent >key.pub
ssh-add -T key.pub >log 2>&1 || fail "the agent's key does not sign: $(cat log)"
step "ssh-add -s, and a signature by the agent"

if command -v modutil >/dev/null; then
	mkdir db
	ours modutil -dbdir sql:db -create -force >log 2>&1 || fail "modutil -create: $(cat log)"
	ours modutil -dbdir sql:db -add shared -libfile "$SHIM" -force >log 2>&1 || fail "modutil -add: $(cat log)"
	ours modutil -dbdir sql:db -add all -libfile "$PROXY" -force >log 2>&1 || fail "modutil -add: $(cat log)"
	ours modutil -dbdir sql:db -list >log 2>&1 || fail "modutil -list: $(cat log)"
	[ "$(grep -c "token: demo" log)" = 2 ] || fail "NSS does not see the token twice: $(cat log)"
	step "NSS uses the shim and the proxy in one process"
fi

if command -v keytool >/dev/null; then
	slot=$(ours pkcs11-tool --module "$SOFTHSM" --list-slots 2>log | sed -n 's/^Slot 0 (\(0x[0-9a-f]*\)).*/\1/p')
	[ -n "$slot" ] || fail "SoftHSM's first slot is not known"
	printf 'name = shim\nlibrary = %s\nslot = %d\n' "$SHIM" "$((slot))" >java.conf
	ours keytool -list -keystore NONE -storetype PKCS11 -storepass "$PIN" -providerClass sun.security.pkcs11.SunPKCS11 \
		-providerArg java.conf >log 2>&1 || fail "keytool -list: $(cat log)"
	ours keytool -genkeypair -alias java -keyalg RSA -keysize 2048 -dname CN=java -keystore NONE -storetype PKCS11 \
		-storepass "$PIN" -providerClass sun.security.pkcs11.SunPKCS11 -providerArg java.conf >log 2>&1 ||
		fail "keytool -genkeypair: $(cat log)"
	pkcs11-tool --module "$SOFTHSM" --login --pin "$PIN" --list-objects --type cert 2>log | grep -q "label: *java" ||
		fail "Java's key is not on the token: $(cat log)"
	step "keytool with the vendor's slot id"
fi
