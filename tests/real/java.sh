#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Java with the proxy as SunPKCS11's library: keytool makes a key and has it certified, jarsigner signs with it, and a program has
# two providers, each with a slot of its own, one of which is closed while the other goes on.
# shellcheck source=real.sh
. "$P11_SOURCE/tests/real/real.sh"

need keytool jarsigner jar java javac openssl pkcs11-tool
work_folder
softhsm_token demo
softhsm_token other
real_library
cd "$WORK" || exit 1
export JAVA_TOOL_OPTIONS=-XX:-UsePerfData # which are in /tmp

# provider NAME LINE...: a configuration of SunPKCS11.
provider() {
	name=$1
	shift
	printf '%s\n' "name = $name" "library = $PROXY" "$@" >"$name.conf"
}
# java_tool PROGRAM ARGUMENT...: a tool of Java's with the first slot.
java_tool() {
	ours "$@" -keystore NONE -storetype PKCS11 -storepass "$PIN" -addprovider SunPKCS11 -providerArg "$WORK/demo.conf"
}

ours pkcs11-tool --module "$PROXY" --list-slots >slots 2>log || fail "pkcs11-tool: $(cat log)"
slot=$(sed -n '/^Slot/h; /token label.*: demo/{x;s/.*(\(0x[0-9a-f]*\)).*/\1/p}' slots)
[ -n "$slot" ] || fail "the token's slot is not listed: $(cat slots)"
provider demo "slot = $((slot))"
provider other "slotListIndex = $(sed -n '/^Slot/h; /token label.*: other/{x;s/Slot \([0-9]*\) .*/\1/p}' slots)"

java_tool keytool -genkeypair -alias signer -keyalg RSA -keysize 2048 -dname CN=signer >log 2>&1 ||
	fail "keytool -genkeypair: $(cat log)"
pkcs11-tool --module "$SOFTHSM" --token-label demo --login --pin "$PIN" --list-objects --type cert >log 2>&1
grep -q 'label: *signer' log || fail "the certificate is not on the token: $(cat log)"
step "a key made on the token by its slot's number"

java_tool keytool -list >log 2>&1 || fail "keytool -list: $(cat log)"
grep -q '^signer, PrivateKeyEntry' log || fail "the key is not listed: $(cat log)"
java_tool keytool -certreq -alias signer -file request.pem >log 2>&1 || fail "keytool -certreq: $(cat log)"
openssl req -in request.pem -noout -verify >log 2>&1 || fail "the request's signature is wrong: $(cat log)"
token_authority
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -days 10 -out signer.pem >log 2>&1 || fail "$(cat log)"
cat signer.pem ca.pem >chain.pem
java_tool keytool -importcert -noprompt -alias signer -file chain.pem >log 2>&1 || fail "keytool -importcert: $(cat log)"
step "a request, and the certificate that came of it"

echo "what is to be signed" >data
jar cf data.jar data >log 2>&1 || fail "jar: $(cat log)"
java_tool jarsigner data.jar signer >log 2>&1 || fail "jarsigner: $(cat log)"
jarsigner -verify -verbose -certs data.jar >log 2>&1 || fail "jarsigner -verify: $(cat log)"
{ grep -q '^jar verified' log && grep -q CN=signer log; } || fail "it is not signed: $(cat log)"
jar uf data.jar chain.pem && jarsigner -verify -strict data.jar >log 2>&1 && fail "what is not signed is verified, too"
step "jarsigner"

cat >Two.java <<'END'
import java.security.*;

class Two {
	static KeyPair newKey(Provider provider) throws Exception {
		KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", provider);
		generator.initialize(256);
		return generator.generateKeyPair();
	}

	static void sign(Provider provider, KeyPair pair) throws Exception {
		byte[] data = "what is to be signed".getBytes();
		Signature by = Signature.getInstance("SHA256withECDSA", provider);
		by.initSign(pair.getPrivate());
		by.update(data);
		byte[] signature = by.sign();
		Signature check = Signature.getInstance("SHA256withECDSA", "SunEC");
		check.initVerify(KeyFactory.getInstance("EC", "SunEC").generatePublic(
			new java.security.spec.X509EncodedKeySpec(pair.getPublic().getEncoded())));
		check.update(data);
		if (!check.verify(signature))
			throw new Exception("a wrong signature by " + provider);
	}

	static AuthProvider provider(String configuration, char[] pin) throws Exception {
		AuthProvider provider = (AuthProvider) Security.getProvider("SunPKCS11").configure(configuration);
		KeyStore.getInstance("PKCS11", provider).load(null, pin);
		return provider;
	}

	public static void main(String[] arguments) throws Exception {
		char[] pin = arguments[2].toCharArray();
		AuthProvider first = provider(arguments[0], pin), second = provider(arguments[1], pin);
		KeyPair firstKey = newKey(first), secondKey = newKey(second);
		Thread[] threads = new Thread[4];
		Exception[] failed = new Exception[1];
		for (int i = 0; i < threads.length; i++) {
			int n = i;
			threads[i] = new Thread(() -> {
				try {
					for (int j = 0; j < 50; j++)
						sign(n % 2 == 0 ? first : second, n % 2 == 0 ? firstKey : secondKey);
				} catch (Exception e) {
					failed[0] = e;
				}
			});
			threads[i].start();
		}
		for (Thread thread : threads)
			thread.join();
		if (failed[0] != null)
			throw failed[0];
		first.logout();
		sign(second, secondKey);
		System.out.println("both have signed");
	}
}
END
javac Two.java >log 2>&1 || fail "javac: $(cat log)"
ours java Two demo.conf other.conf "$PIN" >log 2>&1 || fail "two providers: $(cat log)"
grep -q '^both have signed' log || fail "two providers: $(cat log)"
step "two providers with a slot each, by four threads; one logs out, the other goes on"
