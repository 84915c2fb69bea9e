/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The storm of tests/core on a real token: threads come as consumers of the proxy, of managed
 * modules or of the module's own list, sign, and go, while the others go on. The first failure or
 * wrong signature ends the program with 1.
 *
 *	storm [SECONDS]
 *
 * From the environment: P11_PROXY, P11_MODULE (the token's own module), P11_TOKEN, P11_KEY,
 * P11_PIN, P11_DATA, and P11_SIGNATURE, a file with the signature that is expected.
 */
#define P11_KIT_NO_DEPRECATIONS 1
#include "p11-kit/p11-kit.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N_THREADS 8
#define MAX_SLOTS 16
#define MAX_SIGNATURE 1024

enum kind {
	PROXY,
	MANAGED,
	UNMANAGED,
	N_KINDS,
};

/* The library is the one in place of the system's: nothing of it is linked. */
static struct {
	CK_FUNCTION_LIST **(*load)(int);
	void (*release)(CK_FUNCTION_LIST **);
	CK_RV (*initialize)(CK_FUNCTION_LIST *);
	CK_RV (*finalize)(CK_FUNCTION_LIST *);
	CK_C_GetFunctionList proxy, module;
} api;

static unsigned char expected[MAX_SIGNATURE];
static size_t expected_length;
static atomic_bool failed;
static atomic_ulong n_lives, n_signatures;
static time_t deadline;

static bool
fails(const char *what, CK_RV rv)
{
	if (rv != CKR_OK) {
		fprintf(stderr, "%s: 0x%lx\n", what, rv);
		failed = true;
	}
	return rv != CKR_OK;
}

static void
take(void *file, const char *name, void *function)
{
	*(void **)function = file ? dlsym(file, name) : NULL;
	if (!*(void **)function) {
		fprintf(stderr, "%s: %s\n", name, dlerror());
		exit(2);
	}
}

static void
prepare(void)
{
	void *library = dlopen("libp11-kit.so.0", RTLD_NOW);
	FILE *file = fopen(getenv("P11_SIGNATURE"), "rb");

	take(library, "p11_kit_modules_load_and_initialize", &api.load);
	take(library, "p11_kit_modules_finalize_and_release", &api.release);
	take(library, "p11_kit_initialize_module", &api.initialize);
	take(library, "p11_kit_finalize_module", &api.finalize);
	take(dlopen(getenv("P11_PROXY"), RTLD_NOW), "C_GetFunctionList", &api.proxy);
	take(dlopen(getenv("P11_MODULE"), RTLD_NOW), "C_GetFunctionList", &api.module);
	if (file) {
		expected_length = fread(expected, 1, sizeof expected, file);
		fclose(file);
	}
}

/* ---- one life ---- */

struct consumer {
	enum kind kind;
	CK_FUNCTION_LIST *list;
	CK_FUNCTION_LIST **modules; /* MANAGED: to be given back */
};

static bool
come(struct consumer *consumer)
{
	switch (consumer->kind) {
	case PROXY:
		return !fails("C_GetFunctionList", api.proxy(&consumer->list)) &&
		       !fails("C_Initialize", consumer->list->C_Initialize(NULL));
	case MANAGED:
		consumer->modules = api.load(0);
		if (!consumer->modules || !consumer->modules[0])
			return !fails("no module", CKR_GENERAL_ERROR);
		consumer->list = consumer->modules[0];
		return true;
	default:
		return !fails("C_GetFunctionList", api.module(&consumer->list)) &&
		       !fails("p11_kit_initialize_module", api.initialize(consumer->list));
	}
}

static void
go(struct consumer *consumer)
{
	if (consumer->kind == PROXY)
		(void)fails("C_Finalize", consumer->list->C_Finalize(NULL));
	else if (consumer->kind == MANAGED)
		api.release(consumer->modules);
	else
		(void)fails("p11_kit_finalize_module", api.finalize(consumer->list));
}

static bool
find_slot(CK_FUNCTION_LIST *list, CK_SLOT_ID *slot)
{
	const char *label = getenv("P11_TOKEN");
	CK_SLOT_ID slots[MAX_SLOTS];
	CK_ULONG n = MAX_SLOTS;
	CK_TOKEN_INFO info;

	if (fails("C_GetSlotList", list->C_GetSlotList(CK_TRUE, slots, &n)))
		return false;
	for (CK_ULONG i = 0; i < n; i++) {
		*slot = slots[i];
		if (list->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
		    memcmp(info.label, label, strlen(label)) == 0)
			return true;
	}
	return !fails("the token is not there", CKR_TOKEN_NOT_PRESENT);
}

static bool
find_key(CK_FUNCTION_LIST *list, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *key)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	char *label = getenv("P11_KEY");
	CK_ATTRIBUTE template[] = {
		{CKA_CLASS, &class, sizeof class},
		{CKA_LABEL, label, strlen(label)},
	};
	CK_ULONG n = 0;

	if (fails("C_FindObjectsInit", list->C_FindObjectsInit(session, template, 2)) ||
	    fails("C_FindObjects", list->C_FindObjects(session, key, 1, &n)) ||
	    fails("C_FindObjectsFinal", list->C_FindObjectsFinal(session)))
		return false;
	return n == 1 || !fails("the key is not there", CKR_KEY_HANDLE_INVALID);
}

static bool
sign(CK_FUNCTION_LIST *list, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
	char *data = getenv("P11_DATA");
	unsigned char signature[MAX_SIGNATURE];
	CK_ULONG length = sizeof signature;

	if (fails("C_SignInit", list->C_SignInit(session, &mechanism, key)) ||
	    fails("C_Sign",
		  list->C_Sign(session, (CK_BYTE_PTR)data, strlen(data), signature, &length)))
		return false;
	n_signatures++;
	return (length == expected_length && memcmp(signature, expected, length) == 0) ||
	       !fails("a wrong signature", CKR_SIGNATURE_INVALID);
}

/* A login is the whole process's, and lasts as long as there is a session on the token: ours. */
static void
work(struct consumer *consumer, CK_SESSION_HANDLE session, unsigned n)
{
	CK_FUNCTION_LIST *list = consumer->list;
	char *pin = getenv("P11_PIN");
	CK_RV rv = list->C_Login(session, CKU_USER, (CK_BYTE_PTR)pin, strlen(pin));
	CK_OBJECT_HANDLE key = 0;

	if (rv != CKR_USER_ALREADY_LOGGED_IN && fails("C_Login", rv))
		return;
	if (!find_key(list, session, &key))
		return;
	while (n-- > 0 && sign(list, session, key))
		;
}

static void
live_once(struct consumer *consumer, unsigned *random)
{
	CK_SESSION_HANDLE session = 0;
	CK_SLOT_ID slot;

	if (!come(consumer))
		return;
	n_lives++;
	if (find_slot(consumer->list, &slot) &&
	    !fails("C_OpenSession",
		   consumer->list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session))) {
		work(consumer, session, (unsigned)rand_r(random) % 20);
		/* Only who shares the module's own list has to tidy up. */
		if (consumer->kind == UNMANAGED || rand_r(random) % 2)
			(void)fails("C_CloseSession", consumer->list->C_CloseSession(session));
	}
	go(consumer);
}

static void *
live(void *number)
{
	unsigned random = *(unsigned *)number;

	while (time(NULL) < deadline && !failed) {
		struct consumer consumer = {.kind = (unsigned)rand_r(&random) % N_KINDS};
		live_once(&consumer, &random);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t threads[N_THREADS];
	unsigned numbers[N_THREADS];

	prepare();
	deadline = time(NULL) + (argc > 1 ? atoi(argv[1]) : 5);
	for (unsigned i = 0; i < N_THREADS; i++) {
		numbers[i] = i;
		if (pthread_create(&threads[i], NULL, live, &numbers[i]) != 0)
			return 2;
	}
	for (unsigned i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("ok: %lu consumers made %lu signatures\n", (unsigned long)n_lives,
	       (unsigned long)n_signatures);
	return failed || n_signatures == 0;
}
