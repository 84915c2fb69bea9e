/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The iterator over the configured modules, as a small command: it logs in if the URI has a PIN.
 *
 *	iterate make URI	an AES key "aes" on each token
 *	iterate list URI	a line for each object
 *	iterate destroy URI	destroys the objects
 */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#include <p11-kit/iter.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN_SESSIONS                                                                                \
	(P11_KIT_ITER_WITHOUT_OBJECTS | P11_KIT_ITER_WITH_SESSIONS | P11_KIT_ITER_WANT_WRITABLE)

static CK_RV
make(P11KitIter *iter)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_BYTE value[16] = "0123456789abcdef", label[] = {'a', 'e', 's'};
	CK_MECHANISM_TYPE allowed[] = {CKM_AES_ECB, CKM_AES_CBC, CKM_AES_CBC_PAD};
	CK_ATTRIBUTE wrapped[] = {{CKA_CLASS, &class, sizeof class}, {CKA_EXTRACTABLE, &yes, 1}};
	CK_ATTRIBUTE templ[] = {
		{CKA_CLASS, &class, sizeof class},
		{CKA_KEY_TYPE, &type, sizeof type},
		{CKA_TOKEN, &yes, 1},
		{CKA_PRIVATE, &yes, 1},
		{CKA_SENSITIVE, &no, 1},
		{CKA_EXTRACTABLE, &yes, 1},
		{CKA_VALUE, value, sizeof value},
		{CKA_LABEL, label, sizeof label},
		{CKA_WRAP_TEMPLATE, wrapped, sizeof wrapped},
		{CKA_ALLOWED_MECHANISMS, allowed, sizeof allowed},
	};
	CK_OBJECT_HANDLE object;

	return p11_kit_iter_get_module(iter)->C_CreateObject(
		p11_kit_iter_get_session(iter), templ, sizeof templ / sizeof templ[0], &object);
}

static void
show(const char *name, const CK_ATTRIBUTE *attribute)
{
	if (attribute->pValue)
		printf(" %s:%lu", name, (unsigned long)attribute->ulValueLen);
}

static void
show_template(const CK_ATTRIBUTE *attribute)
{
	CK_ATTRIBUTE *members = attribute->pValue;

	for (CK_ULONG i = 0; members && i < attribute->ulValueLen / sizeof *members; i++) {
		printf(" wraps-if-%#lx:%lu", (unsigned long)members[i].type,
		       (unsigned long)members[i].ulValueLen);
		free(members[i].pValue);
	}
}

static CK_RV
list(P11KitIter *iter)
{
	CK_ATTRIBUTE templ[] = {
		{CKA_CLASS, NULL, 0},
		{CKA_LABEL, NULL, 0},
		{CKA_VALUE, NULL, 0},
		{CKA_PRIVATE_EXPONENT, NULL, 0},
		{CKA_MODULUS, NULL, 0},
		{CKA_WRAP_TEMPLATE, NULL, 0},
		{CKA_ALLOWED_MECHANISMS, NULL, 0},
	};
	CK_RV rv = p11_kit_iter_load_attributes(iter, templ, sizeof templ / sizeof templ[0]);

	if (rv != CKR_OK)
		return rv;
	printf("class %lu, %.*s:", *(CK_OBJECT_CLASS *)templ[0].pValue, (int)templ[1].ulValueLen,
	       (const char *)templ[1].pValue);
	show("value", &templ[2]);
	show("private-exponent", &templ[3]);
	show("modulus", &templ[4]);
	show_template(&templ[5]);
	show("mechanisms", &templ[6]);
	printf("\n");
	for (size_t i = 0; i < sizeof templ / sizeof templ[0]; i++)
		free(templ[i].pValue);
	return CKR_OK;
}

static const struct command {
	const char *name;
	unsigned behavior;
	CK_RV (*at_stop)(P11KitIter *iter);
} commands[] = {
	{"make", IN_SESSIONS, make},
	{"list", 0, list},
	{"destroy", P11_KIT_ITER_WANT_WRITABLE, p11_kit_iter_destroy_object},
};

static CK_RV
run(const struct command *command, CK_FUNCTION_LIST **modules, P11KitUri *uri)
{
	P11KitIter *iter = p11_kit_iter_new(
		uri, (P11KitIterBehavior)(command->behavior | P11_KIT_ITER_WITH_LOGIN));
	CK_RV rv;

	p11_kit_iter_begin(iter, modules);
	while ((rv = p11_kit_iter_next(iter)) == CKR_OK) {
		rv = command->at_stop(iter);
		if (rv != CKR_OK)
			break;
	}
	p11_kit_iter_free(iter);
	return rv == CKR_CANCEL ? CKR_OK : rv;
}

int
main(int argc, char **argv)
{
	const struct command *command = commands;
	P11KitUri *uri = p11_kit_uri_new();
	CK_RV rv;

	while (argc == 3 && command < commands + 3 && strcmp(command->name, argv[1]) != 0)
		command++;
	if (argc != 3 || command == commands + 3 ||
	    p11_kit_uri_parse(argv[2], P11_KIT_URI_FOR_ANY, uri) != P11_KIT_URI_OK)
		return 2;
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	rv = modules ? run(command, modules, uri) : CKR_GENERAL_ERROR;
	if (rv != CKR_OK)
		printf("%s; %s\n", p11_kit_strerror(rv), p11_kit_message());
	if (modules)
		p11_kit_modules_finalize_and_release(modules);
	p11_kit_uri_free(uri);
	return rv != CKR_OK;
}
