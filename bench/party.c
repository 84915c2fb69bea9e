/* SPDX-License-Identifier: BSD-3-Clause */
/* Loading and configuring what is measured: see the header. */
#include "bench/party.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
bench_die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("p11-bench: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

void
bench_expect_ok(CK_RV rv, const char *what)
{
	if (rv != CKR_OK)
		bench_die("%s answered 0x%lx", what, (unsigned long)rv);
}

void
bench_report(double value, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\t%.3f\n", value);
}

void *
bench_open(const char *path)
{
	void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!file)
		bench_die("%s", dlerror());
	return file;
}

void *
bench_symbol(void *file, const char *name)
{
	void *symbol = dlsym(file, name);
	if (!symbol)
		bench_die("%s", dlerror());
	return symbol;
}

CK_FUNCTION_LIST *
bench_functions(void *file)
{
	CK_FUNCTION_LIST *list = NULL;
	CK_RV (*get)(CK_FUNCTION_LIST **) = bench_symbol(file, "C_GetFunctionList");
	bench_expect_ok(get(&list), "C_GetFunctionList");
	return list;
}

/* The library keeps the pointers: these strings live as long as the process. */
static const char *
path_in(const char *folder, const char *name)
{
	char *path = NULL;
	if (asprintf(&path, "%s/%s", folder, name) < 0)
		bench_die("no memory");
	return path;
}

void *
bench_open_library(const char *path, const char *config)
{
	void *library = bench_open(path);
	void (*override)(const char *, const char *, const char *, const char *, const char *) =
		bench_symbol(library, "p11_kit_override_system_files");
	override(path_in(config, "pkcs11.conf"), path_in(config, "no-user.conf"),
		 path_in(config, "no-package"), path_in(config, "modules"),
		 path_in(config, "no-user"));
	return library;
}

CK_FUNCTION_LIST *
bench_managed(void *library)
{
	CK_FUNCTION_LIST **(*load)(const char *, int) =
		bench_symbol(library, "p11_kit_modules_load");
	CK_FUNCTION_LIST **lists = load(NULL, 0);
	if (!lists || !lists[0])
		bench_die("p11_kit_modules_load() found no module");
	bench_expect_ok(lists[0]->C_Initialize(NULL), "a managed C_Initialize");
	return lists[0];
}

CK_SLOT_ID *
bench_slots(CK_FUNCTION_LIST *list, CK_ULONG *n_slots)
{
	CK_ULONG count = 0;
	bench_expect_ok(list->C_GetSlotList(CK_FALSE, NULL, &count), "C_GetSlotList");
	CK_SLOT_ID *slots = calloc(count + 1, sizeof(*slots));
	if (!slots)
		bench_die("no memory");
	bench_expect_ok(list->C_GetSlotList(CK_FALSE, slots, &count), "C_GetSlotList");
	if (!count)
		bench_die("there is no slot");
	*n_slots = count;
	return slots;
}

CK_SLOT_ID
bench_last_slot(CK_FUNCTION_LIST *list)
{
	CK_ULONG n_slots = 0;
	CK_SLOT_ID *slots = bench_slots(list, &n_slots);
	CK_SLOT_ID last = slots[n_slots - 1];
	free(slots);
	return last;
}

CK_SESSION_HANDLE
bench_open_session(CK_FUNCTION_LIST *list, CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE session = 0;
	bench_expect_ok(list->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session),
			"C_OpenSession");
	return session;
}
