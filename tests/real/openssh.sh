#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# OpenSSH with the proxy: ssh-keygen -D reads the token's public keys, and an agent signs with its private ones.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need ssh-keygen ssh-agent ssh-add openssl
work_folder
softhsm_token demo
softhsm_key rsa:2048 01 rsa
softhsm_key EC:prime256v1 02 ec
real_library
cd "$WORK" || exit 1

ours ssh-keygen -D "$SOFTHSM" >direct 2>log || fail "ssh-keygen -D with SoftHSM: $(cat log)"
ours ssh-keygen -D "$PROXY" >proxied 2>log || fail "ssh-keygen -D: $(cat log)"
sort direct >one
sort proxied >two
same one two "the proxy's keys are not the token's"
[ "$(wc -l <two)" = 2 ] || fail "not two keys: $(cat two)"
step "both keys"

# The agent runs a helper that loads the module; it accepts files of the given folder only.
eval "$(ours ssh-agent -s -P "$(realpath "$LIB")/*")" >log || fail "no agent"
CLEANUP_PIDS="$CLEANUP_PIDS $SSH_AGENT_PID"
cat >askpass <<-END
	#!/bin/sh
	echo $PIN
END
chmod +x askpass
export SSH_AUTH_SOCK
SSH_ASKPASS=$WORK/askpass SSH_ASKPASS_REQUIRE=force ours ssh-add -s "$PROXY" >log 2>&1 </dev/null ||
	fail "ssh-add -s: $(cat log)"
ssh-add -L >agent 2>log || fail "ssh-add -L: $(cat log)"
[ "$(grep -c . agent)" = 2 ] || fail "the agent has not both keys: $(cat agent)"
step "the agent has them"

grep ecdsa agent >key.pub
ssh-add -T key.pub >log 2>&1 || fail "the agent's key does not sign: $(cat log)"
grep rsa agent >key.pub
ssh-add -T key.pub >log 2>&1 || fail "the agent's RSA key does not sign: $(cat log)"
echo "what is to be signed" >data
ssh-keygen -Y sign -f key.pub -n file data >log 2>&1 || fail "ssh-keygen -Y sign: $(cat log)"
echo "me $(cat key.pub)" >allowed
ssh-keygen -Y verify -f allowed -I me -n file -s data.sig <data >log 2>&1 || fail "the signature is wrong: $(cat log)"
step "signatures by the agent, verified by ssh-keygen"

ssh-add -e "$PROXY" >log 2>&1 || fail "ssh-add -e: $(cat log)"
ssh-add -L >agent 2>&1 && fail "the agent still has keys: $(cat agent)"
step "the module removed from the agent"
