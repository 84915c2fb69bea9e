#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# PyKCS11, the PKCS#11 binding for Python, with the proxy: a key is made, signs, is found and destroyed; a second library object
# that ends does not disturb the first; a forked child starts anew, and its parent goes on.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

PYTHON=/usr/bin/python3
[ -x "$PYTHON" ] && "$PYTHON" -c 'import PyKCS11' 2>/dev/null || skip "python3-pykcs11 is not installed"
work_folder
softhsm_token demo
real_library
cd "$WORK" || exit 1

cat >use.py <<'END'
import hashlib
import os
import sys

import PyKCS11 as p11

PROXY, PIN = sys.argv[1:]
DIGEST = hashlib.sha256(b"what is to be signed").digest()
SIGN = p11.Mechanism(p11.CKM_ECDSA, None)
P256 = bytes.fromhex("06082a8648ce3d030107")


def load():
    library = p11.PyKCS11Lib()
    library.load(PROXY)
    return library


def slot_of(library):
    slots = [slot for slot in library.getSlotList(tokenPresent=True)
             if library.getTokenInfo(slot).label.strip("\0 ") == "demo"]
    assert len(slots) == 1, slots
    return slots[0]


def log_in(library):
    session = library.openSession(slot_of(library), p11.CKF_SERIAL_SESSION | p11.CKF_RW_SESSION)
    try:
        session.login(PIN)
    except p11.PyKCS11Error as error:  # SoftHSM itself keeps the parent's login in a child
        if error.value != p11.CKR_USER_ALREADY_LOGGED_IN:
            raise
    return session


def make_key(session, label):
    common = [(p11.CKA_TOKEN, p11.CK_TRUE), (p11.CKA_LABEL, label), (p11.CKA_ID, b"\x07")]
    return session.generateKeyPair(
        common + [(p11.CKA_VERIFY, p11.CK_TRUE), (p11.CKA_EC_PARAMS, P256)],
        common + [(p11.CKA_SIGN, p11.CK_TRUE), (p11.CKA_PRIVATE, p11.CK_TRUE)],
        p11.Mechanism(p11.CKM_EC_KEY_PAIR_GEN, None))


def find(session, kind):
    return session.findObjects([(p11.CKA_LABEL, "python"), (p11.CKA_CLASS, kind)])


def sign(session, public, private):
    signature = bytes(session.sign(private, DIGEST, SIGN))
    assert session.verify(public, DIGEST, signature, SIGN)
    assert not session.verify(public, DIGEST[::-1], signature, SIGN)


library = load()
session = log_in(library)
public, private = make_key(session, "python")
sign(session, public, private)
assert len(find(session, p11.CKO_PRIVATE_KEY)) == 1
print("ok: a key made, found, and used to sign", flush=True)

other = load()
with_other = other.openSession(slot_of(other))
assert len(find(with_other, p11.CKO_PUBLIC_KEY)) == 1
with_other.closeSession()
del with_other, other
sign(session, public, private)
print("ok: a second object of the library, which ends before the first", flush=True)

child = os.fork()
if child == 0:
    try:
        library.lib.C_Initialize()
        mine = log_in(library)
        sign(mine, find(mine, p11.CKO_PUBLIC_KEY)[0], find(mine, p11.CKO_PRIVATE_KEY)[0])
        mine.closeSession()
    except BaseException as error:
        print(f"in the child: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
sign(session, public, private)
print("ok: a child, and its parent after it", flush=True)

for handle in (public, private):
    session.destroyObject(handle)
assert not find(session, p11.CKO_PRIVATE_KEY)
session.logout()
session.closeSession()
print("ok: the key destroyed", flush=True)
END
ours "$PYTHON" use.py "$PROXY" "$PIN" >out 2>log || fail "$(cat out log)"
cat out
