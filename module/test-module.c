/* SPDX-License-Identifier: BSD-3-Clause */
/* module/: what is one module, whatever list or path leads to it, and how its life is counted. */
#include "module/module.h"

#include "base/message.h"
#include "module/mutex.h"
#include "support/support.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a module that is a few functions of this program ---- */

static struct {
	atomic_ulong n_initialize, n_finalize;
	atomic_int inside;
	atomic_bool overlapped;
	CK_RV initialize_rv, finalize_rv;
	CK_C_INITIALIZE_ARGS args;
	CK_RV (*within)(void); /* called inside C_Initialize; its answer is ours */
} fake;

static CK_RV
fake_initialize(CK_VOID_PTR args)
{
	if (fake.inside++)
		fake.overlapped = true;
	fake.n_initialize++;
	fake.args = *(CK_C_INITIALIZE_ARGS *)args;
	CK_RV rv = fake.within ? fake.within() : fake.initialize_rv;
	fake.inside--;
	return rv;
}

static CK_RV
fake_finalize(CK_VOID_PTR reserved)
{
	if (fake.inside++ || reserved)
		fake.overlapped = true;
	fake.n_finalize++;
	fake.inside--;
	return fake.finalize_rv;
}

static CK_RV
fake_get_info(CK_INFO_PTR info)
{
	(void)info;
	return CKR_GENERAL_ERROR;
}

static CK_FUNCTION_LIST fake_list = {
	.version = {2, 20},
	.C_Initialize = fake_initialize,
	.C_Finalize = fake_finalize,
};

static CK_FUNCTION_LIST_3_0 fake_list_3_0 = {
	.version = {3, 0},
	.C_Initialize = fake_initialize,
	.C_Finalize = fake_finalize,
	.C_GetInfo = fake_get_info,
};

static struct p11_module *
adopt(void *list)
{
	struct p11_module *module = NULL;

	assert_int_equal(p11_module_adopt(list, &module), CKR_OK);
	assert_non_null(module);
	return module;
}

static int
setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof fake);
	p11_message_clear();
	return 0;
}

/* ---- identity ---- */

static void
test_one_module_whatever_list(void **state)
{
	struct p11_module *module = adopt(&fake_list);

	(void)state;
	assert_int_equal(p11_module_calls(module)->C_GetInfo(NULL), CKR_FUNCTION_NOT_SUPPORTED);
	assert_int_equal(p11_module_calls(module)->version.major, 2);
	assert_ptr_equal(adopt(&fake_list), module);
	assert_ptr_equal(adopt(&fake_list_3_0), module);
	assert_int_equal(p11_module_calls(module)->version.major, 3);
	assert_int_equal(p11_module_calls(module)->C_GetInfo(NULL), CKR_GENERAL_ERROR);
	assert_ptr_equal(adopt(&fake_list), module);
	assert_int_equal(p11_module_calls(module)->version.major, 3);

	struct p11_module *found = p11_module_find((CK_FUNCTION_LIST *)&fake_list_3_0);
	assert_ptr_equal(found, module);
	for (int i = 0; i < 5; i++)
		p11_module_unref(module);
	assert_null(p11_module_find(&fake_list));
}

static void
test_complete_table(void **state)
{
	struct p11_module *module = adopt(&fake_list);
	const union p11_table *table = atomic_load(&module->table);

	(void)state;
	for (size_t i = 0; i < P11_N_CALLS; i++)
		assert_true(table->by_call.entry[i] != NULL);
	p11_module_unref(module);
}

/* Stands for the dynamic linker's function. It waits while any thread loads a file, and with it
 * whoever waits for a lock that its caller holds: here, a thread that uses the module. */
static struct p11_module *used_meanwhile;
static unsigned n_asked, n_held_up;

static void *
use_it(void *module)
{
	p11_module_unref(p11_module_ref(module));
	return NULL;
}

int
dladdr1(const void *address, Dl_info *info, void **extra, int flags)
{
	static int (*next)(const void *, Dl_info *, void **, int);
	struct timespec limit;
	pthread_t thread;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "dladdr1");
	if (used_meanwhile) {
		n_asked++;
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += 5;
		if (pthread_create(&thread, NULL, use_it, used_meanwhile) != 0)
			support_die("no thread");
		if (pthread_timedjoin_np(thread, NULL, &limit) != 0) {
			n_held_up++;
			pthread_detach(thread);
		}
	}
	return next(address, info, extra, flags);
}

static void
test_no_lock_while_the_linker_is_asked(void **state)
{
	struct p11_module *module = adopt(&fake_list);

	(void)state;
	used_meanwhile = module;
	adopt(&fake_list_3_0); /* more entries: each must lie in a file */
	used_meanwhile = NULL;
	assert_true(n_asked > 2);
	assert_int_equal(n_held_up, 0);
	for (int i = 0; i < 2; i++)
		p11_module_unref(module);
}

static CK_RV
other_initialize(CK_VOID_PTR args)
{
	(void)args;
	fake.n_initialize += 100;
	return CKR_OK;
}

static void
test_two_modules_of_one_file(void **state)
{
	CK_FUNCTION_LIST list = fake_list;
	list.C_Initialize = other_initialize;
	struct p11_module *module = adopt(&fake_list), *other = adopt(&list);

	(void)state;
	assert_ptr_not_equal(module, other);
	p11_module_unref(module);
	p11_module_unref(other);
}

static void
test_bad_lists(void **state)
{
	struct p11_module *module = NULL;
	CK_FUNCTION_LIST list = fake_list;
	CK_VERSION versions[] = {{0, 0}, {1, 0}, {4, 0}, {255, 255}};

	(void)state;
	assert_int_equal(p11_module_adopt(NULL, &module), CKR_ARGUMENTS_BAD);
	assert_non_null(p11_message_last());
	for (size_t i = 0; i < P11_N_ELEMENTS(versions); i++) {
		list.version = versions[i];
		assert_int_equal(p11_module_adopt(&list, &module), CKR_ARGUMENTS_BAD);
	}
	list = fake_list;
	list.C_Initialize = NULL;
	assert_int_equal(p11_module_adopt(&list, &module), CKR_ARGUMENTS_BAD);
	list = fake_list;
	list.C_Finalize = NULL;
	assert_int_equal(p11_module_adopt(&list, &module), CKR_ARGUMENTS_BAD);
	assert_null(module);
	assert_null(p11_module_find(&list));
}

/* ---- life ---- */

static CK_RV
start(struct p11_module *module)
{
	return p11_module_start(module, NULL, P11_LIFE_FOREVER, NULL);
}

static void
test_counted(void **state)
{
	struct p11_module *module = adopt(&fake_list);

	(void)state;
	assert_int_equal(p11_module_stop(module), CKR_CRYPTOKI_NOT_INITIALIZED);
	for (int i = 0; i < 3; i++)
		assert_int_equal(start(module), CKR_OK);
	assert_int_equal(fake.n_initialize, 1);
	assert_true(p11_module_join(module));
	for (int i = 0; i < 3; i++)
		assert_int_equal(p11_module_stop(module), CKR_OK);
	assert_int_equal(fake.n_finalize, 0);
	p11_module_leave(module);
	assert_int_equal(fake.n_finalize, 1);
	assert_false(p11_module_join(module));
	assert_int_equal(p11_module_stop(module), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(start(module), CKR_OK);
	assert_int_equal(p11_module_stop(module), CKR_OK);
	assert_int_equal(fake.n_initialize, 2);
	assert_int_equal(fake.n_finalize, 2);
	p11_module_unref(module);
}

static void
test_arguments(void **state)
{
	struct p11_module *module = adopt(&fake_list);
	char ours[] = "ours";

	(void)state;
	assert_int_equal(start(module), CKR_OK);
	assert_true(fake.args.CreateMutex == p11_mutex_create);
	assert_true(fake.args.DestroyMutex == p11_mutex_destroy);
	assert_true(fake.args.LockMutex == p11_mutex_lock);
	assert_true(fake.args.UnlockMutex == p11_mutex_unlock);
	assert_int_equal(fake.args.flags, CKF_OS_LOCKING_OK);
	assert_null(fake.args.pReserved);
	assert_int_equal(p11_module_stop(module), CKR_OK);

	atomic_store(&module->reserved, "configured");
	assert_int_equal(start(module), CKR_OK);
	assert_string_equal(fake.args.pReserved, "configured");
	assert_int_equal(p11_module_stop(module), CKR_OK);
	assert_int_equal(p11_module_start(module, ours, 0, NULL), CKR_OK);
	assert_ptr_equal(fake.args.pReserved, ours);
	assert_int_equal(p11_module_stop(module), CKR_OK);
	atomic_store(&module->reserved, NULL);
	p11_module_unref(module);
}

static void
test_failing(void **state)
{
	struct p11_module *module = adopt(&fake_list);
	bool busy = true;

	(void)state;
	fake.initialize_rv = CKR_DEVICE_ERROR;
	assert_int_equal(p11_module_start(module, NULL, 0, &busy), CKR_DEVICE_ERROR);
	assert_false(busy);
	assert_non_null(strstr(p11_message_last(), "CKR_DEVICE_ERROR"));
	assert_int_equal(fake.n_finalize, 0);
	assert_int_equal(p11_module_stop(module), CKR_CRYPTOKI_NOT_INITIALIZED);
	fake.initialize_rv = CKR_OK;
	assert_int_equal(start(module), CKR_OK);
	fake.finalize_rv = CKR_GENERAL_ERROR;
	assert_int_equal(p11_module_stop(module), CKR_OK);
	assert_non_null(strstr(p11_message_last(), "CKR_GENERAL_ERROR"));
	assert_int_equal(fake.n_initialize, 2);
	assert_int_equal(fake.n_finalize, 1);
	p11_module_unref(module);
}

/* Somebody else has initialized it, and will finalize it. */
static void
test_already_initialized(void **state)
{
	struct p11_module *module = adopt(&fake_list);

	(void)state;
	fake.initialize_rv = CKR_CRYPTOKI_ALREADY_INITIALIZED;
	assert_int_equal(start(module), CKR_OK);
	assert_int_equal(p11_module_stop(module), CKR_OK);
	assert_int_equal(fake.n_finalize, 0);
	fake.initialize_rv = CKR_OK;
	assert_int_equal(start(module), CKR_OK);
	assert_int_equal(p11_module_stop(module), CKR_OK);
	assert_int_equal(fake.n_finalize, 1);
	p11_module_unref(module);
}

static struct p11_module *recursed;

static CK_RV
start_again(void)
{
	assert_true(p11_module_thread_is_inside());
	assert_int_equal(p11_module_stop(recursed), CKR_FUNCTION_FAILED);
	return start(recursed);
}

static void
test_recursion(void **state)
{
	(void)state;
	recursed = adopt(&fake_list);
	fake.within = start_again;
	assert_int_equal(start(recursed), CKR_FUNCTION_FAILED);
	assert_int_equal(fake.n_initialize, 1);
	assert_false(p11_module_thread_is_inside());
	fake.within = NULL;
	assert_int_equal(start(recursed), CKR_OK);
	assert_int_equal(p11_module_stop(recursed), CKR_OK);
	p11_module_unref(recursed);
}

/* A consumer's list is its own memory: when nobody uses the module any more, the next list counts,
 * as it is then. */
static void
test_list_is_learned_anew(void **state)
{
	struct p11_module *module = adopt(&fake_list);
	const union p11_table *first = atomic_load(&module->table);
	CK_FUNCTION_LIST changed = fake_list;

	(void)state;
	assert_int_equal(start(module), CKR_OK); /* so it is not forgotten */
	assert_int_equal(p11_module_stop(module), CKR_OK);
	changed.C_GetInfo = fake_get_info;
	assert_ptr_equal(adopt(&changed), module);
	assert_ptr_equal(atomic_load(&module->table), first); /* somebody uses it still */
	p11_module_unref(module);
	p11_module_unref(module);

	assert_ptr_equal(adopt(&changed), module);
	assert_int_equal(p11_module_calls(module)->C_GetInfo(NULL), CKR_GENERAL_ERROR);
	assert_ptr_equal(atomic_load(&module->list), &changed);
	p11_module_unref(module);

	/* What was seen once is kept once. */
	assert_ptr_equal(adopt(&fake_list), module);
	assert_ptr_equal(atomic_load(&module->table), first);
	p11_module_unref(module);
}

/* ---- finalized behind our back ---- */

static atomic_bool may_go_on;

static CK_RV
take_long(void)
{
	while (!may_go_on)
		support_pause_ms(1);
	return CKR_OK;
}

static void
start_it(void *module, unsigned i)
{
	(void)i;
	if (start(module) != CKR_OK)
		support_die("it does not start");
}

/* Nobody is told that it is up while its C_Initialize runs. */
static void
assert_is_waited_for(struct p11_module *module, struct crew *crew)
{
	bool busy;

	assert_true(WAIT_UNTIL(fake.inside == 1, 60000));
	assert_int_equal(p11_module_start(module, NULL, 20, &busy), CKR_FUNCTION_FAILED);
	assert_true(busy);
	may_go_on = true;
	crew_join(crew);
	assert_int_equal(start(module), CKR_OK);
	assert_int_equal(p11_module_stop(module), CKR_OK);
}

static void
test_start_of_a_lost_one_is_waited_for(void **state)
{
	struct p11_module *module = adopt(&fake_list);
	bool is_needed;

	(void)state;
	assert_int_equal(start(module), CKR_OK);
	assert_true(p11_module_join(module));
	assert_int_equal(p11_module_stop(module), CKR_OK);
	assert_int_equal(p11_module_restart(module, &is_needed), CKR_OK);
	assert_false(is_needed);

	/* The call that noticed is still inside. */
	fake.within = take_long;
	may_go_on = false;
	assert_is_waited_for(module, crew_start(1, start_it, module));
	p11_module_leave(module);
	assert_int_equal(p11_module_stop(module), CKR_OK);
	assert_int_equal(fake.n_initialize, 2);
	assert_int_equal(fake.n_finalize, 1);
	p11_module_unref(module);
}

static void
restart_it(void *data, unsigned i)
{
	struct p11_module *module = data;
	bool is_needed;

	(void)i;
	if (!p11_module_join(module) || p11_module_restart(module, &is_needed) != CKR_OK ||
	    !is_needed)
		support_die("it does not start again");
	p11_module_leave(module);
}

static void
test_restart_is_waited_for(void **state)
{
	struct p11_module *module = adopt(&fake_list);

	(void)state;
	assert_int_equal(start(module), CKR_OK);
	fake.within = take_long;
	may_go_on = false;
	assert_is_waited_for(module, crew_start(1, restart_it, module));
	assert_int_equal(p11_module_stop(module), CKR_OK);
	assert_int_equal(fake.n_initialize, 2);
	assert_int_equal(fake.n_finalize, 1);
	p11_module_unref(module);
}

#define N_THREADS 8

static atomic_ulong n_wrong;

static void
come_and_go(void *data, unsigned i)
{
	for (unsigned round = 0; round < 2000; round++) {
		struct p11_module *module = NULL;
		n_wrong += p11_module_adopt(data, &module) != CKR_OK;
		n_wrong += start(module) != CKR_OK;
		n_wrong += !p11_module_join(module);
		if (i % 2)
			p11_module_leave(module);
		n_wrong += p11_module_stop(module) != CKR_OK;
		if (i % 2 == 0)
			p11_module_leave(module);
		p11_module_unref(module);
	}
}

static void
test_threads(void **state)
{
	(void)state;
	crew_join(crew_start(N_THREADS, come_and_go, &fake_list));
	assert_int_equal(n_wrong, 0);
	assert_false(fake.overlapped);
	assert_int_equal(fake.n_initialize, fake.n_finalize);
	assert_true(fake.n_initialize > 0);
}

/* ---- files ---- */

static void
test_a_file_is_one_module(void **state)
{
	struct p11_module *module = NULL, *again = NULL;

	(void)state;
	assert_int_equal(p11_module_open(chaos_path("chaos-a"), NULL, &module), CKR_OK);
	assert_int_equal(p11_module_open(chaos_path("chaos-a"), NULL, &again), CKR_OK);
	assert_ptr_equal(module, again);
	assert_int_equal(p11_module_calls(module)->version.major, 3);
	assert_int_equal(p11_module_calls(module)->version.minor, 2);
	assert_string_equal(p11_module_label(module), chaos_path("chaos-a"));
	assert_ptr_equal(adopt(chaos_list("chaos-a")), module);
	assert_false(module->is_ours);
	for (int i = 0; i < 3; i++)
		p11_module_unref(module);
}

/* Another path of the same file is the same module; a copy of the file is another. */
static void
test_links_and_copies(void **state)
{
	char folder[] = "/tmp/p11-module-XXXXXX", link[64], copy[64], command[512];
	struct p11_module *module, *linked, *copied;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(link, sizeof link, "%s/link.so", folder);
	snprintf(copy, sizeof copy, "%s/copy.so", folder);
	assert_int_equal(symlink(chaos_path("chaos-b"), link), 0);
	snprintf(command, sizeof command, "cp '%s' '%s'", chaos_path("chaos-b"), copy);
	assert_int_equal(system(command), 0);
	assert_int_equal(p11_module_open(chaos_path("chaos-b"), NULL, &module), CKR_OK);
	assert_int_equal(p11_module_open(link, NULL, &linked), CKR_OK);
	assert_int_equal(p11_module_open(copy, NULL, &copied), CKR_OK);
	assert_ptr_equal(linked, module);
	assert_ptr_not_equal(copied, module);
	p11_module_unref(module);
	p11_module_unref(linked);
	p11_module_unref(copied);
	unlink(link);
	unlink(copy);
	rmdir(folder);
}

static void
test_useless_files(void **state)
{
	static const char *const paths[] = {"/nonexistent/module.so", "/etc/passwd", "/",
					    "libc.so.6"};
	struct p11_module *module = NULL;

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(paths); i++) {
		p11_message_clear();
		assert_int_equal(p11_module_open(paths[i], NULL, &module), CKR_GENERAL_ERROR);
		assert_null(module);
		assert_non_null(strstr(p11_message_last(), paths[i]));
	}
}

/* A file that never ran is unmapped; one that ran stays. */
static void
test_unmapping(void **state)
{
	struct p11_module *module;
	const char *path = chaos_path("chaos-c");

	(void)state;
	assert_null(dlopen(path, RTLD_LAZY | RTLD_NOLOAD));
	assert_int_equal(p11_module_open(path, NULL, &module), CKR_OK);
	p11_module_unref(module);
	assert_null(dlopen(path, RTLD_LAZY | RTLD_NOLOAD));
	assert_int_equal(p11_module_open(path, NULL, &module), CKR_OK);
	assert_int_equal(start(module), CKR_OK);
	assert_int_equal(p11_module_stop(module), CKR_OK);
	p11_module_unref(module);
	void *handle = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
	assert_non_null(handle);
	dlclose(handle);
}

/* ---- mutexes ---- */

static void
test_mutex(void **state)
{
	void *mutex = NULL;

	(void)state;
	assert_int_equal(p11_mutex_create(NULL), CKR_ARGUMENTS_BAD);
	assert_int_equal(p11_mutex_lock(NULL), CKR_MUTEX_BAD);
	assert_int_equal(p11_mutex_unlock(NULL), CKR_MUTEX_BAD);
	assert_int_equal(p11_mutex_destroy(NULL), CKR_MUTEX_BAD);
	assert_int_equal(p11_mutex_create(&mutex), CKR_OK);
	/* OpenSC hangs in C_Initialize if it is told that it is not locked. */
	if (!SUPPORT_TSAN)
		assert_int_equal(p11_mutex_unlock(mutex), CKR_OK);
	assert_int_equal(p11_mutex_lock(mutex), CKR_OK);
	assert_int_not_equal(p11_mutex_lock(mutex), CKR_OK);
	assert_int_equal(p11_mutex_unlock(mutex), CKR_OK);
	assert_int_equal(p11_mutex_destroy(mutex), CKR_OK);
}

static struct {
	void *mutex;
	unsigned long guarded;
} counter;

static void
count_with_mutex(void *data, unsigned i)
{
	(void)data, (void)i;
	for (int n = 0; n < 10000; n++) {
		p11_mutex_lock(counter.mutex);
		counter.guarded++;
		p11_mutex_unlock(counter.mutex);
	}
}

static void
test_mutex_excludes(void **state)
{
	(void)state;
	assert_int_equal(p11_mutex_create(&counter.mutex), CKR_OK);
	crew_join(crew_start(4, count_with_mutex, NULL));
	assert_int_equal(counter.guarded, 40000);
	assert_int_equal(p11_mutex_destroy(counter.mutex), CKR_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_one_module_whatever_list, setup),
		cmocka_unit_test_setup(test_complete_table, setup),
		cmocka_unit_test_setup(test_no_lock_while_the_linker_is_asked, setup),
		cmocka_unit_test_setup(test_two_modules_of_one_file, setup),
		cmocka_unit_test_setup(test_bad_lists, setup),
		cmocka_unit_test_setup(test_counted, setup),
		cmocka_unit_test_setup(test_arguments, setup),
		cmocka_unit_test_setup(test_failing, setup),
		cmocka_unit_test_setup(test_already_initialized, setup),
		cmocka_unit_test_setup(test_recursion, setup),
		cmocka_unit_test_setup(test_list_is_learned_anew, setup),
		cmocka_unit_test_setup(test_start_of_a_lost_one_is_waited_for, setup),
		cmocka_unit_test_setup(test_restart_is_waited_for, setup),
		cmocka_unit_test_setup(test_threads, setup),
		cmocka_unit_test_setup(test_a_file_is_one_module, setup),
		cmocka_unit_test_setup(test_links_and_copies, setup),
		cmocka_unit_test_setup(test_useless_files, setup),
		cmocka_unit_test_setup(test_unmapping, setup),
		cmocka_unit_test(test_mutex),
		cmocka_unit_test(test_mutex_excludes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
