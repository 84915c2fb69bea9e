/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * p11_kit_initialize_module() and its kin: whoever has a module's own list, however it came by it,
 * counts through the library; the first initializes the module and the last finalizes it.
 */
#define P11_KIT_NO_DEPRECATIONS 1
#include "core/core.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void
assert_signs(CK_FUNCTION_LIST *list, const char *name)
{
	struct chaos_signature signature;
	CK_SESSION_HANDLE session = core_open(list, 0);

	assert_ok(core_sign(list, session, &signature));
	assert_string_equal(signature.module, name);
	assert_ok(list->C_CloseSession(session));
}

/* ---- who may come ---- */

static void
test_first_initializes_last_finalizes(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *list = chaos_list("chaos-a");

	assert_ok(p11_kit_initialize_module(list));
	assert_int_equal(a->up, 1);
	assert_ok(p11_kit_initialize_module(list));
	assert_ok(p11_kit_initialize_module(list));
	assert_int_equal(a->calls[CHAOS_C_Initialize], 1);
	assert_ok(p11_kit_finalize_module(list));
	assert_ok(p11_kit_finalize_module(list));
	assert_int_equal(a->calls[CHAOS_C_Finalize], 0);
	assert_signs(list, "chaos-a");
	assert_ok(p11_kit_finalize_module(list));
	assert_int_equal(a->finalized, 1);
	assert_null(p11_kit_message());

	/* And again. */
	assert_ok(p11_kit_initialize_module(list));
	assert_ok(p11_kit_finalize_module(list));
	assert_int_equal(a->initialized, 2);
	assert_true(chaos_is_exact(a));
}

/* What is not ours to count is refused with a code, a message where there is something to say, and
 * no effect. */
static void
test_more_finalized_than_initialized(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *list = chaos_list("chaos-a");

	assert_ok(p11_kit_initialize_module(list));
	assert_ok(p11_kit_finalize_module(list));
	assert_rv(p11_kit_finalize_module(list), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_non_null(p11_kit_message());
	assert_rv(p11_kit_finalize_module(list), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_ok(p11_kit_initialize_module(list));
	assert_int_equal(a->up, 1);
	assert_ok(p11_kit_finalize_module(list));
	assert_true(chaos_is_exact(a));

	/* Loaded, and never initialized. */
	CK_FUNCTION_LIST *b = p11_kit_module_load(chaos_path("chaos-b"), P11_KIT_MODULE_UNMANAGED);
	assert_non_null(b);
	assert_rv(p11_kit_finalize_module(b), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_non_null(p11_kit_message());
	p11_kit_module_release(b);
}

static CK_RV
answer_ok(void *ignored)
{
	(void)ignored;
	return CKR_OK;
}

static void
test_arguments(void **state)
{
	(void)state;
	CK_FUNCTION_LIST unknown = {
		.version = {2, 40}, .C_Initialize = answer_ok, .C_Finalize = answer_ok};
	CK_FUNCTION_LIST empty = {.version = {2, 40}};
	CK_FUNCTION_LIST *out = (CK_FUNCTION_LIST *)&empty;

	assert_rv(p11_kit_initialize_module(NULL), CKR_ARGUMENTS_BAD);
	assert_rv(p11_kit_finalize_module(NULL), CKR_ARGUMENTS_BAD);
	assert_rv(p11_kit_load_initialize_module(NULL, &out), CKR_ARGUMENTS_BAD);
	assert_rv(p11_kit_load_initialize_module("/nowhere.so", NULL), CKR_ARGUMENTS_BAD);

	assert_rv(p11_kit_finalize_module(&unknown), CKR_ARGUMENTS_BAD);
	assert_non_null(p11_kit_message());
	assert_rv(p11_kit_initialize_module(&empty), CKR_ARGUMENTS_BAD);
	assert_true(core_message_has("C_Initialize"));
	assert_rv(p11_kit_load_initialize_module("/nowhere/at-all.so", &out), CKR_GENERAL_ERROR);
	assert_true(core_message_has("/nowhere/at-all.so"));
	assert_ptr_equal(out, &empty); /* it stores on success only */
}

/* The list that a 2.40 program got, the file's newest one, and a copy: one module. */
static void
test_all_lists_of_a_module_count_together(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *old = chaos_list("chaos-a"), *newest = NULL, copy = *old;

	assert_ok(p11_kit_initialize_module(old));
	assert_ok(p11_kit_load_initialize_module(chaos_path("chaos-a"), &newest));
	assert_int_equal(newest->version.major, 3);
	assert_int_equal(old->version.major, 2);
	assert_ok(p11_kit_initialize_module(&copy));
	assert_int_equal(a->calls[CHAOS_C_Initialize], 1);

	assert_ok(p11_kit_finalize_module(newest));
	assert_ok(p11_kit_finalize_module(newest));
	assert_int_equal(a->up, 1);
	assert_ok(p11_kit_finalize_module(old));
	assert_rv(p11_kit_finalize_module(&copy), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_true(chaos_is_exact(a));
}

/* All kinds of consumers of one module: none ends it under another. */
static void
test_managed_consumers_and_the_proxy_count_too(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = scene_chaos(scene, "a", "chaos-a", NULL);
	CK_FUNCTION_LIST *list = chaos_list("chaos-a");

	core_fresh("chaos-a");
	scene_use(scene, NULL);
	CK_FUNCTION_LIST **managed = p11_kit_modules_load_and_initialize(0);
	CK_FUNCTION_LIST *proxy = core_consumer();
	assert_ok(p11_kit_initialize_module(list));
	assert_int_equal(a->calls[CHAOS_C_Initialize], 1);

	p11_kit_modules_finalize_and_release(managed);
	assert_signs(list, "chaos-a");
	assert_ok(p11_kit_finalize_module(list));
	assert_signs(list, "chaos-a"); /* it has no right to, but the proxy keeps it up */
	assert_ok(proxy->C_Finalize(NULL));
	assert_int_equal(a->up, 0);
	assert_true(chaos_is_exact(a));
	scene_free(scene);
}

/* A list of ours is a module like any other: a managed one, one of the proxy. */
static void
test_our_own_lists(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = scene_chaos(scene, "a", "chaos-a", NULL);

	core_fresh("chaos-a");
	scene_use(scene, NULL);
	CK_FUNCTION_LIST *managed = p11_kit_module_load(chaos_path("chaos-a"), 0);
	CK_FUNCTION_LIST *lists[] = {managed, core_list()};
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned round = 0; round < 2; round++) {
			assert_ok(p11_kit_initialize_module(lists[i]));
			assert_ok(p11_kit_initialize_module(lists[i]));
			core_open(lists[i], core_slot(lists[i], 0));
			assert_ok(p11_kit_finalize_module(lists[i]));
			assert_int_equal(a->sessions, 1);
			assert_ok(p11_kit_finalize_module(lists[i]));
			assert_int_equal(a->up, 0);
		}
		assert_rv(p11_kit_finalize_module(lists[i]), CKR_CRYPTOKI_NOT_INITIALIZED);
	}
	p11_kit_module_release(managed);
	assert_true(chaos_is_exact(a));
	scene_free(scene);
}

/* ---- lists made at run time ---- */

static unsigned n_first, n_first_end, n_second, n_second_end;

#define COUNTING(name, counter)                                                                    \
	static CK_RV name(void *ignored)                                                           \
	{                                                                                          \
		(void)ignored;                                                                     \
		counter++;                                                                         \
		return CKR_OK;                                                                     \
	}

COUNTING(first_initialize, n_first)
COUNTING(first_finalize, n_first_end)
COUNTING(second_initialize, n_second)
COUNTING(second_finalize, n_second_end)

static void
test_lists_that_the_program_made(void **state)
{
	(void)state;
	CK_FUNCTION_LIST *first = calloc(1, sizeof *first), *second = calloc(1, sizeof *second);

	n_first = n_first_end = n_second = n_second_end = 0;
	*first = (CK_FUNCTION_LIST){
		.version = {2, 20}, .C_Initialize = first_initialize, .C_Finalize = first_finalize};
	*second = *first;
	second->C_Initialize = second_initialize;
	second->C_Finalize = second_finalize;
	assert_ok(p11_kit_initialize_module(first));
	assert_ok(p11_kit_initialize_module(second));
	assert_ok(p11_kit_initialize_module(first));
	assert_ok(p11_kit_finalize_module(second));
	assert_ok(p11_kit_finalize_module(first));
	assert_int_equal(n_first, 1);
	assert_int_equal(n_first_end, 0);
	assert_int_equal(n_second, 1);
	assert_int_equal(n_second_end, 1);
	assert_ok(p11_kit_finalize_module(first));
	assert_int_equal(n_first_end, 1);
	free(first);
	free(second);

	/* Nobody uses it any more: the next list is taken as it is, not as the last one was. */
	CK_FUNCTION_LIST changed = {.version = {2, 20},
				    .C_Initialize = first_initialize,
				    .C_Finalize = second_finalize};
	assert_ok(p11_kit_initialize_module(&changed));
	assert_ok(p11_kit_finalize_module(&changed));
	assert_int_equal(n_first_end, 1);
	assert_int_equal(n_second_end, 2);
}

#if defined(__x86_64__)
/* A function that jumps to another, in memory that belongs to no file, as libffi's closures are. */
static void
write_closure(unsigned char *place, CK_RV (*function)(void *))
{
	static const unsigned char mov_rax[] = {0x48, 0xb8}, jmp_rax[] = {0xff, 0xe0};

	memcpy(place, mov_rax, 2);
	memcpy(place + 2, &function, 8);
	memcpy(place + 10, jmp_rax, 2);
}

/* The memory of closures is used again: what stands there then is another module. */
static void
test_closures(void **state)
{
	(void)state;
	unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CK_FUNCTION_LIST list = {.version = {2, 40}};

	assert_ptr_not_equal(page, MAP_FAILED);
	n_first = n_first_end = n_second = n_second_end = 0;
	*(void **)&list.C_Initialize = page;
	*(void **)&list.C_Finalize = page + 64;
	write_closure(page, first_initialize);
	write_closure(page + 64, first_finalize);
	assert_ok(p11_kit_initialize_module(&list));
	assert_ok(p11_kit_initialize_module(&list));
	assert_ok(p11_kit_finalize_module(&list));
	assert_ok(p11_kit_finalize_module(&list));
	assert_rv(p11_kit_finalize_module(&list), CKR_ARGUMENTS_BAD); /* it is forgotten */

	*(void **)&list.C_Finalize = page + 128;
	write_closure(page, second_initialize);
	write_closure(page + 128, second_finalize);
	assert_ok(p11_kit_initialize_module(&list));
	assert_ok(p11_kit_finalize_module(&list));
	assert_int_equal(n_first + n_first_end, 2);
	assert_int_equal(n_second, 1);
	assert_int_equal(n_second_end, 1);
	munmap(page, 4096);
}
#endif

/* ---- modules that the consumer loaded ---- */

static CK_FUNCTION_LIST *
list_of(void *file)
{
	CK_C_GetFunctionList look_up;
	CK_FUNCTION_LIST *list = NULL;

	*(void **)&look_up = dlsym(file, "C_GetFunctionList");
	assert_ok(look_up(&list));
	return list;
}

static bool
is_mapped(const char *path)
{
	void *file = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);

	if (file)
		dlclose(file);
	return file != NULL;
}

/* No other test may load chaos-c. */
static void
test_consumer_unloads_what_another_uses(void **state)
{
	(void)state;
	void *file = dlopen(chaos_path("chaos-c"), RTLD_NOW | RTLD_LOCAL);
	assert_non_null(file);

	chaos_control_function control;
	*(void **)&control = dlsym(file, "chaos_control");
	struct chaos *c = control();
	CK_FUNCTION_LIST *list = list_of(file), *other = NULL;
	assert_ok(p11_kit_initialize_module(list));
	assert_ok(p11_kit_load_initialize_module(chaos_path("chaos-c"), &other));
	assert_ok(p11_kit_finalize_module(list));
	dlclose(file);
	assert_signs(other, "chaos-c");
	assert_ok(p11_kit_finalize_module(other));
	assert_int_equal(c->initialized, 1);
	assert_true(chaos_is_exact(c));

	/* It ran once: its threads and exit handlers may still need its code. */
	assert_true(is_mapped(chaos_path("chaos-c")));

	/* A consumer that unloads it while only its own count keeps it up. */
	file = dlopen(chaos_path("chaos-c"), RTLD_NOW | RTLD_LOCAL);
	assert_ok(p11_kit_initialize_module(list));
	dlclose(file);
	assert_signs(list, "chaos-c");
	assert_ok(p11_kit_finalize_module(list));
	assert_true(chaos_is_exact(c));
}

/* A stranger that has the module up goes on: we only count. */
static void
test_stranger_has_it_up(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *list = chaos_list("chaos-a");

	assert_ok(list->C_Initialize(NULL));
	assert_ok(p11_kit_initialize_module(list));
	assert_signs(list, "chaos-a");
	assert_ok(p11_kit_finalize_module(list));
	assert_int_equal(a->up, 1);
	assert_int_equal(a->calls[CHAOS_C_Finalize], 0);
	assert_ok(list->C_Finalize(NULL));
	assert_true(chaos_is_exact(a));
}

/* ---- failures ---- */

static void
test_failing_initialize(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *list = chaos_list("chaos-a"), *loaded = list;

	a->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR, .times = 2});
	assert_rv(p11_kit_initialize_module(list), CKR_DEVICE_ERROR);
	assert_true(core_message_has("CKR_DEVICE_ERROR"));
	assert_true(core_message_has(p11_kit_strerror(CKR_DEVICE_ERROR)));
	assert_rv(p11_kit_finalize_module(list), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_rv(p11_kit_load_initialize_module(chaos_path("chaos-a"), &loaded), CKR_DEVICE_ERROR);
	assert_true(core_message_has("CKR_DEVICE_ERROR"));
	assert_ptr_equal(loaded, list);
	assert_int_equal(a->calls[CHAOS_C_Finalize], 0);

	assert_ok(p11_kit_initialize_module(list));
	assert_null(p11_kit_message());
	assert_ok(p11_kit_finalize_module(list));
	assert_int_equal(a->calls[CHAOS_C_Initialize], 3);
	assert_true(chaos_is_exact(a));
}

/* A module whose C_Finalize fails counts as down. */
static void
test_failing_finalize(void **state)
{
	(void)state;
	struct chaos *a = core_fresh("chaos-a");
	CK_FUNCTION_LIST *list = chaos_list("chaos-a");

	a->fault(CHAOS_C_Finalize,
		 &(struct chaos_fault){.rv = CKR_GENERAL_ERROR, .late = true, .times = 1});
	assert_ok(p11_kit_initialize_module(list));
	assert_ok(p11_kit_finalize_module(list));
	assert_true(core_message_has("CKR_GENERAL_ERROR"));
	assert_rv(p11_kit_finalize_module(list), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_ok(p11_kit_initialize_module(list));
	assert_ok(p11_kit_finalize_module(list));
	assert_int_equal(a->initialized, 2);
	assert_int_equal(a->up, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_initializes_last_finalizes),
		cmocka_unit_test(test_more_finalized_than_initialized),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_all_lists_of_a_module_count_together),
		cmocka_unit_test(test_managed_consumers_and_the_proxy_count_too),
		cmocka_unit_test(test_our_own_lists),
		cmocka_unit_test(test_lists_that_the_program_made),
#if defined(__x86_64__)
		cmocka_unit_test(test_closures),
#endif
		cmocka_unit_test(test_consumer_unloads_what_another_uses),
		cmocka_unit_test(test_stranger_has_it_up),
		cmocka_unit_test(test_failing_initialize),
		cmocka_unit_test(test_failing_finalize),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
