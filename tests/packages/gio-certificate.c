/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a program of GNOME's does with a token: GIO's TLS certificate of a pkcs11: URI. GIO loads
 * glib-networking for it, which uses GnuTLS, which uses libp11-kit.
 *
 * usage: gio-certificate URI
 *
 * Prints the subject. Declares the few functions itself, so that no development package is needed.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct error {
	uint32_t domain;
	int code;
	char *message;
};

static void *
symbol(const char *library, const char *name)
{
	void *handle = dlopen(library, RTLD_NOW);
	void *found = handle ? dlsym(handle, name) : NULL;

	if (!found) {
		fprintf(stderr, "gio-certificate: %s\n", dlerror());
		exit(1);
	}
	return found;
}

int
main(int argc, char **argv)
{
	static const char gio[] = "libgio-2.0.so.0", gobject[] = "libgobject-2.0.so.0";
	void *(*new_from_uris)(const char *, const char *, struct error **);
	void (*get)(void *, const char *, ...);
	struct error *error = NULL;
	char *subject = NULL;

	if (argc != 2)
		return 2;
	*(void **)&new_from_uris = symbol(gio, "g_tls_certificate_new_from_pkcs11_uris");
	*(void **)&get = symbol(gobject, "g_object_get");
	void *certificate = new_from_uris(argv[1], NULL, &error);
	if (!certificate) {
		fprintf(stderr, "gio-certificate: %s\n", error ? error->message : "no reason");
		return 1;
	}
	get(certificate, "subject-name", &subject, (void *)NULL);
	printf("%s\n", subject ? subject : "no subject");
	return 0;
}
