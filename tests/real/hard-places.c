/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The proxy and the library in places where careless libraries fail. Each run is one place:
 *
 *	hard-places mdwe      the kernel refuses memory that was writable and becomes executable (PR_SET_MDWE)
 *	hard-places seccomp   after the look-up, a filter refuses every mapping that is executable
 *	hard-places no-proc   there is no /proc
 *	hard-places closed    the process closes all descriptors, and opens files of its own in their place
 *
 * In each a consumer of the proxy, one of libp11-kit, and a forked child of both sign. 0: all went
 * well; 77: the place cannot be made here. The environment is that of three.c.
 */
#include "p11-kit/pkcs11.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define SKIP 77
#define MAX_SLOTS 64
#define MAX_SIGNATURE 512
#define N_MANY 100
#define N_FILES 24 /* that `closed` opens where other descriptors were */

static unsigned char expected[MAX_SIGNATURE];
static size_t expected_length;

/* The two ways to the token. The functions are looked up: the program links to neither. */
static CK_C_GetFunctionList get_function_list;
static CK_FUNCTION_LIST **(*modules_load)(const char *reserved, int flags);
static void (*modules_release)(CK_FUNCTION_LIST **modules);

static bool
failed(const char *what, unsigned long code)
{
	fprintf(stderr, "hard-places: %s: %#lx\n", what, code);
	return false;
}

/* Stands in for the printer where all descriptors are gone: the parent sees which line it was. */
#define TRY(call)                                                                                  \
	do {                                                                                       \
		CK_RV try_rv = (call);                                                             \
		if (try_rv != CKR_OK)                                                              \
			return failed(#call, try_rv);                                              \
	} while (0)

static bool
find_slot(CK_FUNCTION_LIST *module, CK_SLOT_ID *slot)
{
	CK_SLOT_ID slots[MAX_SLOTS];
	CK_ULONG n = MAX_SLOTS;
	const char *label = getenv("P11_TOKEN");

	TRY(module->C_GetSlotList(CK_TRUE, slots, &n));
	for (CK_ULONG i = 0; i < n; i++) {
		CK_TOKEN_INFO info;
		if (module->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
		    !strncmp((const char *)info.label, label, strlen(label))) {
			*slot = slots[i];
			return true;
		}
	}
	return failed("the token is not there; slots", n);
}

static bool
find_key(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *key)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE match[] = {{CKA_CLASS, &class, sizeof(class)}};
	CK_ULONG n = 0;

	TRY(module->C_FindObjectsInit(session, match, 1));
	TRY(module->C_FindObjects(session, key, 1, &n));
	TRY(module->C_FindObjectsFinal(session));
	return n == 1 || failed("no key", n);
}

static bool
sign(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session)
{
	CK_OBJECT_HANDLE key = 0;
	CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
	unsigned char signature[MAX_SIGNATURE];
	CK_ULONG length = sizeof(signature);
	const char *data = getenv("P11_DATA");

	if (!find_key(module, session, &key))
		return false;
	TRY(module->C_SignInit(session, &mechanism, key));
	TRY(module->C_Sign(session, (CK_BYTE_PTR)data, strlen(data), signature, &length));
	return (length == expected_length && !memcmp(signature, expected, length)) ||
	       failed("wrong signature", length);
}

static bool
open_and_sign(CK_FUNCTION_LIST *module)
{
	CK_SLOT_ID slot = 0;
	CK_SESSION_HANDLE session = 0;
	const char *pin = getenv("P11_PIN");

	if (!find_slot(module, &slot))
		return false;
	TRY(module->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session));
	CK_RV rv = module->C_Login(session, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin));
	if (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN)
		return failed("C_Login", rv);
	if (!sign(module, session))
		return false;
	TRY(module->C_CloseSession(session));
	return true;
}

static bool
use_module(CK_FUNCTION_LIST *module)
{
	TRY(module->C_Initialize(NULL));
	if (!open_and_sign(module))
		return false;
	TRY(module->C_Finalize(NULL));
	return true;
}

static bool
use_proxy(void)
{
	CK_FUNCTION_LIST *module = NULL;

	TRY(get_function_list(&module));
	return use_module(module);
}

static bool
use_library(void)
{
	CK_FUNCTION_LIST **modules = modules_load(NULL, 0);

	if (!modules || !modules[0])
		return failed("p11_kit_modules_load gives nothing", 0);
	bool good = use_module(modules[0]);
	modules_release(modules);
	return good;
}

/* More consumers at once than anybody prepares code for: each must still have functions of its own.
 */
static bool
use_many(void)
{
	static CK_FUNCTION_LIST *lists[N_MANY];

	for (int i = 0; i < N_MANY; i++) {
		CK_SLOT_ID slot;
		TRY(get_function_list(&lists[i]));
		TRY(lists[i]->C_Initialize(NULL));
		if (!find_slot(lists[i], &slot))
			return false;
	}
	if (!open_and_sign(lists[N_MANY - 1]))
		return false;
	for (int i = 0; i < N_MANY; i++)
		TRY(lists[i]->C_Finalize(NULL));
	return true;
}

/* Runs it in a child; its answer is the exit code. */
static int
in_child(int (*work)(void))
{
	int status = 0;

	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(60);
		_exit(work());
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	failed("the child died of signal", (unsigned long)WTERMSIG(status));
	return 1;
}

static int
use_both_ways(void)
{
	return use_proxy() && use_library() ? 0 : 1;
}

/* All consumers, also in a child of this process, while a list that was obtained before is up, and
 * after. */
static int
use_all(void)
{
	CK_FUNCTION_LIST *held = NULL;

	if (get_function_list(&held) != CKR_OK || held->C_Initialize(NULL) != CKR_OK)
		return 1;
	if (use_both_ways() != 0 || in_child(use_both_ways) != 0 || !open_and_sign(held))
		return 1;
	if (held->C_Finalize(NULL) != CKR_OK || !use_many())
		return 1;
	return use_both_ways();
}

static bool
load(void)
{
	void *proxy = dlopen(getenv("P11_PROXY"), RTLD_NOW | RTLD_LOCAL);
	void *library = dlopen("libp11-kit.so.0", RTLD_NOW | RTLD_LOCAL);

	if (!proxy || !library) {
		fprintf(stderr, "hard-places: %s\n", dlerror());
		return false;
	}
	*(void **)&get_function_list = dlsym(proxy, "C_GetFunctionList");
	*(void **)&modules_load = dlsym(library, "p11_kit_modules_load");
	*(void **)&modules_release = dlsym(library, "p11_kit_modules_release");
	return get_function_list && modules_load && modules_release;
}

static int
skip(const char *why)
{
	printf("SKIP: %s\n", why);
	return SKIP;
}

/* Executable memory that was writable: what the places forbid. */
static bool
gains_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool gained = mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;

	munmap(page, 4096);
	return gained;
}

static int
place_mdwe(void)
{
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0)
		return skip("this kernel has no PR_SET_MDWE (Linux 6.3)");
	if (gains_code())
		return skip("PR_SET_MDWE forbids nothing here");
	return load() ? use_all() : 1;
}

#define REFUSE_EXEC(number)                                                                        \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),                                         \
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),        \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),                             \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),                              \
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))

/* The third argument's low word is at the place of the argument: on little-endian machines, which
 * we test on. */
static bool
refuse_exec(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef __NR_mmap2
		REFUSE_EXEC(__NR_mmap2),
#else
		REFUSE_EXEC(__NR_mmap),
#endif
		REFUSE_EXEC(__NR_mprotect),
		REFUSE_EXEC(__NR_pkey_mprotect),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof(code) / sizeof(code[0]), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static int
place_seccomp(void)
{
	CK_FUNCTION_LIST *list = NULL;

	/* Modules are mapped when a list is looked up; a sandbox closes after that. */
	if (!load() || get_function_list(&list) != CKR_OK)
		return 1;
	if (!refuse_exec() || gains_code())
		return skip("no seccomp filter can be installed here");
	return use_module(list) ? use_all() : 1;
}

static int
place_no_proc(void)
{
	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return skip("no mount namespace can be made here");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/proc", "tmpfs", 0, NULL) < 0)
		return skip("nothing can be mounted over /proc here");
	if (access("/proc/self", F_OK) == 0)
		return failed("/proc is still there", 0);
	return load() ? use_all() : 1;
}

/* Files of our own under the numbers that others had. */
static bool
open_files(char paths[N_FILES][32])
{
	if (syscall(__NR_close_range, 0, ~0U, 0) < 0) {
		for (int i = 0; i < 1024; i++)
			close(i);
	}
	for (int i = 0; i < N_FILES; i++) {
		snprintf(paths[i], sizeof(paths[i]), "file-%d", i);
		if (open(paths[i], O_RDWR | O_CREAT | O_TRUNC, 0600) != i)
			return false;
	}
	return true;
}

static bool
files_untouched(char paths[N_FILES][32])
{
	for (int i = 0; i < N_FILES; i++) {
		if (lseek(i, 0, SEEK_END) != 0 || lseek(i, 0, SEEK_CUR) != 0)
			return false;
		close(i);
		unlink(paths[i]);
	}
	return true;
}

/* The part that nobody can print from: its exit code is the step that failed. */
static int
without_descriptors(void)
{
	CK_FUNCTION_LIST *held = NULL;
	char paths[N_FILES][32];

	if (get_function_list(&held) != CKR_OK || held->C_Initialize(NULL) != CKR_OK)
		return 10;
	if (!open_files(paths))
		return 11;
	if (!open_and_sign(held))
		return 12;
	if (!use_proxy())
		return 13;
	if (!use_library())
		return 14;
	if (in_child(use_both_ways) != 0)
		return 15;
	if (held->C_Finalize(NULL) != CKR_OK)
		return 16;
	if (!use_proxy() || !use_library() || !use_many())
		return 17;
	return files_untouched(paths) ? 0 : 18;
}

static int
place_closed(void)
{
	if (!load())
		return 1;
	int code = in_child(without_descriptors);
	if (code)
		failed("without descriptors, failed at step", (unsigned long)code);
	return code ? 1 : 0;
}

static bool
read_expected(void)
{
	FILE *file = fopen(getenv("P11_SIGNATURE"), "rb");

	if (!file)
		return false;
	expected_length = fread(expected, 1, sizeof(expected), file);
	fclose(file);
	return expected_length > 0;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(void);
	} places[] = {
		{"mdwe", place_mdwe},
		{"seccomp", place_seccomp},
		{"no-proc", place_no_proc},
		{"closed", place_closed},
	};

	if (argc != 2 || !getenv("P11_PROXY") || !getenv("P11_TOKEN") || !getenv("P11_PIN") ||
	    !getenv("P11_DATA") || !getenv("P11_SIGNATURE") || !read_expected()) {
		fprintf(stderr, "usage: hard-places mdwe|seccomp|no-proc|closed, with the "
				"environment of hard-places.sh\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (!strcmp(argv[1], places[i].name))
			return places[i].run();
	}
	return 2;
}
