#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Logins with sshd: the user's key is on the token, by ssh's PKCS11Provider and by an agent; then the server's key as well,
# which sshd has from an agent.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need sshd ssh ssh-keygen ssh-agent ssh-add
SSHD=$(command -v sshd)
# As root it wants a folder in /run, which this machine need not have.
if [ "$(id -u)" = 0 ] && [ ! -d /run/sshd ]; then
	apart -m "$@"
	mount -t tmpfs none /run && mkdir /run/sshd || skip "no /run/sshd"
fi
# Without PAM it lets nobody in whose account is locked.
[ "$(id -u)" = 0 ] && grep -q '^root:!' /etc/shadow && skip "root's account is locked"
work_folder
softhsm_token demo
softhsm_key EC:prime256v1 01 user
softhsm_key rsa:2048 02 host
softhsm_key EC:prime256v1 03 stranger
real_library
cd "$WORK" || exit 1
printf '#!/bin/sh\necho %s\n' "$PIN" >askpass
chmod +x askpass
export SSH_ASKPASS="$WORK/askpass" SSH_ASKPASS_REQUIRE=force

# key LABEL: the public key in SSH's format.
key() {
	ours ssh-keygen -D "$PROXY" 2>log | grep " $1\$" || fail "ssh-keygen -D shows no key '$1': $(cat log)"
}
key user >user.pub
key host >host.pub
key stranger >stranger.pub
cp user.pub authorized
ssh-keygen -q -t ed25519 -N '' -f file-host >log 2>&1 || fail "ssh-keygen: $(cat log)"

# server CONFIGURATION-LINE...: an sshd with these, on the loopback only. The shell of who logs in must not read the user's files.
server() {
	printf '%s\n' "AuthorizedKeysFile $WORK/authorized" 'StrictModes no' 'UsePAM no' 'PasswordAuthentication no' \
		'KbdInteractiveAuthentication no' 'PidFile none' 'PermitRootLogin yes' 'LogLevel VERBOSE' \
		'ListenAddress 127.0.0.1' 'PermitUserRC no' "SetEnv HOME=$HOME" "$@" >sshd.conf
	serve server.log "$SSHD" -D -e -f "$WORK/sshd.conf" -p @PORT@
}

# login KNOWN-HOST-KEY OPTION...: what ssh prints ends in "out".
login() {
	printf '* %s\n' "$(cut -d' ' -f1,2 "$1")" >known
	shift
	ours ssh -F none -p "$PORT" -o UserKnownHostsFile="$WORK/known" -o GlobalKnownHostsFile=none \
		-o StrictHostKeyChecking=yes -o IdentityFile=none -o PreferredAuthentications=publickey "$@" \
		"$(id -un)@127.0.0.1" 'echo in as $USER by ${SSH_CONNECTION:+ssh}' >out 2>log </dev/null
}

server "HostKey $WORK/file-host"
login file-host.pub -o PKCS11Provider="$PROXY" || fail "PKCS11Provider: $(cat log server.log)"
grep -q "^in as $(id -un) by ssh" out || fail "PKCS11Provider: $(cat out log)"
grep -q "Accepted publickey.*$(ssh-keygen -lf user.pub | cut -d' ' -f2)" server.log ||
	fail "another key was accepted: $(cat server.log)"
step "a login with PKCS11Provider"

cp stranger.pub authorized
login file-host.pub -o PKCS11Provider="$PROXY" -o IdentitiesOnly=yes -i user.pub && fail "a key that is not allowed is accepted"
grep -q 'Permission denied' log || fail "it failed for another reason: $(cat log server.log)"
cp user.pub authorized
step "none where the key is not allowed"

eval "$(ours ssh-agent -s -P "$(realpath "$LIB")/*")" >log || fail "no agent"
CLEANUP_PIDS="$CLEANUP_PIDS $SSH_AGENT_PID"
export SSH_AUTH_SOCK
ours ssh-add -s "$PROXY" >log 2>&1 </dev/null || fail "ssh-add -s: $(cat log)"
login file-host.pub || fail "by the agent: $(cat log server.log)"
grep -q "^in as" out || fail "by the agent: $(cat out log)"
step "a login by an agent"

kill "$SERVER"
server "HostKey $WORK/host.pub" "HostKeyAgent $SSH_AUTH_SOCK"
login host.pub || fail "with the server's key on the token: $(cat log server.log)"
grep -q "^in as" out || fail "with the server's key on the token: $(cat out log)"
login file-host.pub && fail "the server's key is not looked at"
grep -q 'Host key verification failed' log || fail "it failed for another reason: $(cat log server.log)"
step "a login where the server's key is on the token, too"
