# SPDX-License-Identifier: BSD-3-Clause
"""What firefox.sh has Firefox do, by Marionette, its remote control: lengths and JSON over TCP.

usage: firefox.py PROFILE PORT-OF-SERVER MODULE TOKEN PIN CLIENT
"""

import json
import pathlib
import socket
import subprocess
import sys
import time

DEADLINE_S = 60

LIST_MODULES = """
    const [done] = arguments;
    (async () => {
        const database = Cc["@mozilla.org/security/pkcs11moduledb;1"].getService(Ci.nsIPKCS11ModuleDB);
        const found = [];
        for (const module of await database.listModules())
            found.push({name: module.name, file: module.libName, tokens: module.slots.map(slot => slot.tokenName)});
        return found;
    })().then(done, error => done([{name: String(error), tokens: []}]));
"""
# WebDriver knows no prompt for a password, and does nothing while one is open: so Firefox answers itself, and leaves what came of it
# in a preference.
LOG_IN = """
    const [name, pin] = arguments;
    let asked = "";
    const answer = prompt => {
        Services.obs.removeObserver(answer, "common-dialog-loaded");
        asked = prompt.document.getElementById("infoBody").textContent;
        prompt.document.getElementById("password1Textbox").value = pin;
        prompt.setTimeout(() => prompt.document.getElementById("commonDialog").acceptDialog(), 0);
    };
    Services.obs.addObserver(answer, "common-dialog-loaded");
    setTimeout(async () => {
        const database = Cc["@mozilla.org/security/pkcs11moduledb;1"].getService(Ci.nsIPKCS11ModuleDB);
        const slots = (await database.listModules()).flatMap(module => module.slots);
        const token = slots.find(slot => slot.tokenName == name).getToken();
        try {
            token.login();
        } catch (error) {
            asked = String(error);
        }
        Services.prefs.setStringPref("test.login", `${token.isLoggedIn}: ${asked}`);
    }, 0);
"""
LOGGED_IN = "return Services.prefs.getStringPref('test.login', '');"


class Marionette:
    """One remote control of one Firefox."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(DEADLINE_S)
        self.bytes = b""
        self.number = 0
        self.receive()

    def read(self, is_enough):
        while not is_enough():
            got = self.socket.recv(65536)
            if not got:
                sys.exit("Firefox has gone")
            self.bytes += got

    def receive(self):
        self.read(lambda: b":" in self.bytes)
        length, self.bytes = self.bytes.split(b":", 1)
        self.read(lambda: len(self.bytes) >= int(length))
        message, self.bytes = self.bytes[:int(length)], self.bytes[int(length):]
        return json.loads(message)

    def __call__(self, command, **parameters):
        self.number += 1
        message = json.dumps([0, self.number, command, parameters]).encode()
        self.socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self.receive()
        if error:
            raise RuntimeError(f"{command}: {error['message']}")
        return result.get("value") if isinstance(result, dict) else result


def wait_for(what, attempt):
    """Until it raises nothing, and gives something."""
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            result = attempt()
            if result:
                return result
            error = result
        except (OSError, RuntimeError, ValueError) as raised:
            error = raised
        if time.monotonic() > end:
            sys.exit(f"{what}: {error!r}")
        time.sleep(0.2)


def drive(marionette, server, module, token, pin, client):
    marionette("WebDriver:NewSession", capabilities={"alwaysMatch": {"unhandledPromptBehavior": "ignore"}}, unhandledPromptBehavior="ignore")
    marionette("Marionette:SetContext", value="chrome")
    modules = wait_for("the modules", lambda: marionette("WebDriver:ExecuteAsyncScript", script=LIST_MODULES, args=[]))
    print(modules)
    ours = [each for each in modules if each.get("file") == module]
    if len(ours) != 1 or token not in ours[0]["tokens"]:
        sys.exit("the token is not listed")
    print("ok: the module and its token", flush=True)

    marionette("WebDriver:ExecuteScript", script=LOG_IN, args=[token, pin])
    answer = wait_for("a login", lambda: marionette("WebDriver:ExecuteScript", script=LOGGED_IN, args=[]))
    if not answer.startswith("true: ") or f"({token})" not in answer:
        sys.exit(f"no login: {answer}")
    print("ok: the prompt for the PIN", flush=True)

    marionette("Marionette:SetContext", value="content")
    marionette("WebDriver:Navigate", url=f"https://localhost:{server}/")
    page = marionette("WebDriver:GetPageSource")
    if f"CN={client}" not in page.replace(" ", ""):
        sys.exit(f"the server has not seen the certificate: {page}")
    print("ok: a handshake with the token's key", flush=True)


def main():
    profile = pathlib.Path(sys.argv[1])
    firefox = subprocess.Popen(["firefox-esr", "--headless", "--no-remote", "--profile", str(profile), "--marionette",
                                "--remote-allow-system-access"], stdin=subprocess.DEVNULL)
    try:
        port = wait_for("Marionette's port", lambda: int((profile / "MarionetteActivePort").read_text()))
        drive(Marionette(port), *sys.argv[2:])
    finally:
        firefox.terminate()
        try:
            firefox.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            firefox.kill()
            firefox.wait()


if __name__ == "__main__":
    main()
