/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When configured modules fail: what is left out and what is everybody's failure, what the message
 * says, and that nothing stays half done.
 */
#define P11_KIT_NO_DEPRECATIONS
#include "core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNMANAGED P11_KIT_MODULE_UNMANAGED
#define CRITICAL P11_KIT_MODULE_CRITICAL

/* Whether the list has this one module, by its name, or none. It stays the caller's. */
static bool
is_only(CK_FUNCTION_LIST **modules, const char *expected)
{
	char *name = modules && modules[0] ? p11_kit_module_get_name(modules[0]) : NULL;
	bool is_so = modules &&
		     (expected ? name && !strcmp(name, expected) && !modules[1] : !modules[0]);

	free(name);
	return is_so;
}

/* ---- loading ---- */

/* A file that is not there, no module, or not even a file: it is left out and told. */
static void
test_useless_modules_are_left_out(void **state)
{
	(void)state;
	static const char *const paths[] = {"/nowhere/module.so", "/etc/passwd", "/", "missing.so"};

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		struct scene *scene = scene_new();
		core_configure(scene, "a", "chaos-a", NULL);
		scene_module(scene, "bad", paths[i], NULL);
		scene_use(scene, NULL);
		CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
		assert_true(core_message_has("bad") || core_message_has(paths[i]));
		assert_true(is_only(modules, "a"));
		p11_kit_modules_finalize_and_release(modules);

		/* B1: unless the caller says that all of them matter. */
		assert_null(p11_kit_modules_load(NULL, CRITICAL));
		assert_true(core_message_has("bad"));
		scene_free(scene);
	}
}

/* B7: a file that cannot be read costs itself only. */
static void
test_bad_files_cost_themselves_only(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	core_configure(scene, "a", "chaos-a", NULL);
	scene_write(scene, "modules/malformed.module", "module: %s\nno colon\n",
		    chaos_path("chaos-b"));
	scene_write(scene, "modules/binary.module", "module: \001\002\377\n[");
	assert_int_equal(symlink("/nowhere/x", scene_path(scene, "modules/dangling.module")), 0);
	assert_int_equal(mkdir(scene_path(scene, "modules/folder.module"), 0755), 0);
	scene_write(scene, "modules/empty.module", "module:\ncritical: yes\n"); /* B8 */
	scene_write(scene, "modules/nothing.module", "# nothing\n");
	scene_write(scene, "system.conf", "also malformed\n");
	scene_use(scene, NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	assert_non_null(p11_kit_message());
	assert_true(is_only(modules, "a"));
	p11_kit_modules_release(modules);
	scene_free(scene);
}

/* What is said when only this file, with this text, is there; "" for nothing. */
static void
assert_says(const char *text, const char *what)
{
	struct scene *scene = scene_new();

	scene_write(scene, "modules/x.module", "%s", text);
	scene_use(scene, NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	assert_true(is_only(modules, NULL));
	if (!core_message_has(what))
		fail_msg("'%s' for '%s'", p11_kit_message(), text);
	p11_kit_modules_release(modules);
	scene_free(scene);
}

/* A slip of the administrator's is told; a module that is switched off is none. */
static void
test_a_file_that_names_no_module(void **state)
{
	(void)state;
	assert_says("critical: yes\n", "modules/x.module:1: module x: ");
	assert_says("# later\n", "module x: no configuration file of that name has a line 'module");
	assert_says("module:\n", "no module is configured for this program");
	assert_says("enable-in:\n", "no module is configured for this program");
}

/* What the library, loud, says to stderr of a module that cannot be loaded. */
static int
load_loudly(void *scene)
{
	char text[4096] = "";
	size_t n_lines = 0;

	if (!freopen(scene_path(scene, "said"), "w+e", stderr))
		return 2;
	p11_kit_be_loud();
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	p11_kit_be_quiet();
	p11_kit_modules_release(modules);
	rewind(stderr);
	while (fgets(text, sizeof text, stderr))
		n_lines++;
	return n_lines == 1 && strstr(text, "/x.module:1: module x: /nowhere/x.so: ") ? 0 : 1;
}

/* Once, and with the file that says so, the module and its path. */
static void
test_a_failure_is_told_once(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	scene_module(scene, "x", "/nowhere/x.so", NULL);
	scene_use(scene, NULL);
	assert_int_equal(child_run(load_loudly, scene, 60), 0);
	scene_free(scene);
}

static void
test_not_there_yet(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	core_configure(scene, "a", "chaos-a", "log-calls: yes");
	scene_use(scene, NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	assert_true(core_message_has("log-calls"));
	assert_true(is_only(modules, "a"));
	p11_kit_modules_release(modules);

	scene_module(scene, "far", chaos_path("chaos-b"), "remote: |ssh host p11-kit remote");
	scene_remove(scene, "modules/a.module");
	modules = p11_kit_modules_load(NULL, 0);
	assert_true(core_message_has("remote"));
	assert_true(is_only(modules, NULL));
	p11_kit_modules_release(modules);
	scene_free(scene);
}

/* B2: the failure is the same each time, and over when its reason is. */
static void
test_critical_module_that_cannot_be_loaded(void **state)
{
	(void)state;
	struct scene *scene = scene_new();

	core_configure(scene, "a", "chaos-a", NULL);
	scene_module(scene, "needed", "/nowhere/module.so", "critical: yes");
	scene_use(scene, NULL);
	for (int i = 0; i < 2; i++) {
		assert_null(p11_kit_modules_load(NULL, 0));
		assert_true(core_message_has("needed") && core_message_has("/nowhere/module.so"));
		assert_null(p11_kit_modules_load_and_initialize(0));
		assert_true(core_message_has("needed"));
	}
	scene_remove(scene, "modules/needed.module");
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	assert_true(is_only(modules, "a"));
	p11_kit_modules_release(modules);
	scene_free(scene);
}

/* ---- initializing ---- */

static char finalized[16]; /* the last letter of each module's name, in order */

static unsigned long
note_finalized(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	(void)visit, (void)data;
	size_t n = strlen(finalized);
	finalized[n] = chaos->name[strlen(chaos->name) - 1];
	return CKR_OK;
}

/* B3: what was done is undone, in reverse order, and the message stays. */
static void
test_critical_module_that_cannot_be_initialized(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", NULL);
	struct chaos *b = core_configure(scene, "b", "chaos-b", NULL);
	struct chaos *c = core_configure(scene, "c", "chaos-c", "critical: yes");

	memset(finalized, 0, sizeof finalized);
	a->fault(CHAOS_C_Finalize, &(struct chaos_fault){.callback = note_finalized});
	b->fault(CHAOS_C_Finalize, &(struct chaos_fault){.callback = note_finalized});
	c->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	scene_use(scene, NULL);
	assert_null(p11_kit_modules_load_and_initialize(0));
	assert_true(core_message_has("module c") && core_message_has("CKR_DEVICE_ERROR"));
	assert_string_equal(finalized, "ba");
	assert_int_equal(a->initialized + b->initialized, 2);

	/* Nothing is kept: the next one reads anew. */
	scene_remove(scene, "modules/b.module");
	scene_remove(scene, "modules/c.module");
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	assert_true(is_only(modules, "a"));
	p11_kit_modules_finalize_and_release(modules);
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
	scene_free(scene);
}

/* Unmanaged modules may be up already: that is somebody else's, and not undone. */
static void
test_what_was_up_before_stays_up(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", NULL);
	struct chaos *b = core_configure(scene, "b", "chaos-b", NULL);
	struct chaos *c = core_configure(scene, "c", "chaos-c", "critical: yes");
	CK_FUNCTION_LIST *list = chaos_list("chaos-a");

	c->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	scene_use(scene, NULL);
	assert_ok(list->C_Initialize(NULL));
	assert_null(p11_kit_modules_load_and_initialize(UNMANAGED));
	assert_true(core_message_has("CKR_DEVICE_ERROR"));
	assert_int_equal(a->up, 1);
	assert_int_equal(a->calls[CHAOS_C_Finalize], 0);
	assert_int_equal(b->initialized, 1);
	assert_ok(list->C_Finalize(NULL));
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
	scene_free(scene);
}

/* One that is not critical is left out, and named, unless the caller says that all of them
 * matter. */
static void
test_failing_module_is_left_out(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", NULL);
	struct chaos *b = core_configure(scene, "b", "chaos-b", NULL);

	a->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	scene_use(scene, NULL);
	for (int flags = 0; flags <= UNMANAGED; flags += UNMANAGED) {
		CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(flags);
		assert_true(core_message_has("module a") && core_message_has("CKR_DEVICE_ERROR"));
		assert_true(is_only(modules, "b"));
		p11_kit_modules_finalize_and_release(modules);
		assert_null(p11_kit_modules_load_and_initialize(flags | CRITICAL));
		assert_true(core_message_has("module a"));
	}
	assert_int_equal(a->calls[CHAOS_C_Initialize], 4);
	assert_int_equal(b->finalized, 4);
	assert_true(chaos_is_exact(b));
	scene_free(scene);
}

static unsigned n_failed;
static void *last_failed;

static void
note_failed(void *module)
{
	n_failed++;
	last_failed = module;
	p11_kit_module_release(module);
}

static void
test_initialize_takes_out_what_fails(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", NULL);
	struct chaos *b = core_configure(scene, "b", "chaos-b", NULL);
	struct chaos *c = core_configure(scene, "c", "chaos-c", "critical: yes");

	b->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_DEVICE_ERROR});
	scene_use(scene, NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	CK_FUNCTION_LIST *was[] = {modules[0], modules[1], modules[2]};

	/* One that is up already has not failed. */
	assert_ok(p11_kit_module_initialize(modules[0]));
	n_failed = 0;
	assert_ok(p11_kit_modules_initialize(modules, note_failed));
	assert_true(core_message_has("module a") || core_message_has("module b"));
	assert_int_equal(n_failed, 1);
	assert_ptr_equal(last_failed, was[1]);
	assert_ptr_equal(modules[0], was[0]);
	assert_ptr_equal(modules[1], was[2]);
	assert_null(modules[2]);

	/* A critical one is the answer; the others stay initialized. */
	assert_ok(p11_kit_modules_finalize(modules));
	c->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_TOKEN_NOT_PRESENT});
	assert_rv(p11_kit_modules_initialize(modules, note_failed), CKR_TOKEN_NOT_PRESENT);
	assert_int_equal(n_failed, 2);
	assert_ptr_equal(modules[0], was[0]);
	assert_null(modules[1]);
	assert_int_equal(a->up, 1);
	p11_kit_modules_finalize_and_release(modules);
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(c));
	scene_free(scene);
}

/* Lists that the program brought are critical, and nothing but their functions is used. */
static void
test_initialize_lists_of_ones_own(void **state)
{
	(void)state;
	struct chaos *a = chaos_load("chaos-a");
	CK_FUNCTION_LIST *list = chaos_list("chaos-a"), *modules[] = {list, list, NULL};

	a->reset();
	assert_ok(p11_kit_modules_initialize(modules, NULL));
	assert_int_equal(a->calls[CHAOS_C_Initialize], 2);
	assert_ok(p11_kit_module_finalize(list));
	a->fault(CHAOS_C_Initialize, &(struct chaos_fault){.rv = CKR_FUNCTION_FAILED});
	assert_rv(p11_kit_modules_initialize(modules, NULL), CKR_FUNCTION_FAILED);
	assert_null(modules[0]);
	assert_true(chaos_is_exact(a));
}

/* ---- modules that use us ---- */

static char seen[64]; /* the names that a module saw from inside */

static void
note_names(CK_FUNCTION_LIST **modules)
{
	for (CK_FUNCTION_LIST **at = modules; at && *at; at++) {
		char *name = p11_kit_module_get_name(*at);
		strcat(strcat(seen, name ? name : "?"), " ");
		free(name);
	}
}

static unsigned long
load_from_inside(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);

	(void)chaos, (void)visit, (void)data;
	note_names(modules);
	p11_kit_modules_release(modules);
	return CKR_OK;
}

static unsigned long
initialize_from_inside(struct chaos *chaos, const struct chaos_visit *visit, void *data)
{
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);

	(void)chaos, (void)visit, (void)data;
	note_names(modules);
	p11_kit_modules_finalize_and_release(modules);
	return CKR_OK;
}

/* It sees every module but itself, and nobody waits for it for ever. */
static void
test_module_uses_us(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", NULL);
	struct chaos *b = core_configure(scene, "b", "chaos-b", NULL);

	scene_use(scene, NULL);
	memset(seen, 0, sizeof seen);
	b->fault(CHAOS_C_GetInterface,
		 &(struct chaos_fault){.callback = load_from_inside, .times = 1});
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	assert_string_equal(seen, "a ");
	assert_non_null(modules[1]);
	p11_kit_modules_release(modules);

	memset(seen, 0, sizeof seen);
	b->fault(CHAOS_C_Initialize,
		 &(struct chaos_fault){.callback = initialize_from_inside, .times = 1});
	modules = p11_kit_modules_load_and_initialize(0);
	assert_string_equal(seen, "a ");
	assert_non_null(modules[1]);
	p11_kit_modules_finalize_and_release(modules);
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
	scene_free(scene);
}

/* ---- finalizing ---- */

static void
test_finalize_goes_on(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", NULL);
	struct chaos *b = core_configure(scene, "b", "chaos-b", NULL);

	scene_use(scene, NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	assert_ok(p11_kit_module_finalize(modules[0]));
	assert_rv(p11_kit_module_finalize(modules[0]), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_true(core_message_has("module a"));
	assert_rv(p11_kit_modules_finalize(modules), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(b->up, 0);
	p11_kit_modules_release(modules);
	assert_true(chaos_is_exact(a));
	assert_true(chaos_is_exact(b));
	scene_free(scene);
}

/* ---- messages ---- */

static void
fail_on_a_thread(void *had_message, unsigned i)
{
	(void)i;
	if (p11_kit_message())
		*(bool *)had_message = true;
	(void)p11_kit_module_load("/nowhere/of-the-thread.so", 0);
}

/* Of the calling thread, until its next call that says "clears message". */
static void
test_messages_belong_to_a_thread(void **state)
{
	(void)state;
	bool had_message = false;

	assert_null(p11_kit_module_load("/nowhere/mine.so", 0));
	assert_true(core_message_has("/nowhere/mine.so"));
	crew_join(crew_start(2, fail_on_a_thread, &had_message));
	assert_false(had_message);
	assert_true(core_message_has("/nowhere/mine.so"));
	assert_non_null(p11_kit_strerror(CKR_DEVICE_ERROR));
	assert_true(core_message_has("/nowhere/mine.so"));

	CK_FUNCTION_LIST *module = p11_kit_module_load(chaos_path("chaos-a"), 0);
	assert_null(p11_kit_message());
	assert_rv(p11_kit_module_finalize(module), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_non_null(p11_kit_message());
	p11_kit_module_release(module);
	assert_null(p11_kit_message());

	/* A relative path lies in the folder of modules. */
	assert_null(p11_kit_module_load("missing.so", 0));
	assert_true(core_message_has("/pkcs11/missing.so"));
	assert_null(p11_kit_module_load("", 0));
	assert_non_null(p11_kit_message());
}

/* ---- the proxy ---- */

/* No configuration file may name it, since it would be one of its own modules. A program may load
 * it like any module. The last test: a list of the proxy is never released. */
static void
test_proxy_as_a_module(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", NULL);
	struct chaos_signature signature;

	scene_module(scene, "ourselves", support_env("P11_PROXY"), NULL);
	scene_use(scene, NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load(NULL, 0);
	assert_true(core_message_has("ourselves"));
	assert_true(is_only(modules, "a"));
	p11_kit_modules_release(modules);

	CK_FUNCTION_LIST *one = p11_kit_module_load(support_env("P11_PROXY"), 0);
	CK_FUNCTION_LIST *two = p11_kit_module_load(support_env("P11_PROXY"), 0);
	assert_non_null(one);
	assert_non_null(two);
	assert_ok(p11_kit_module_initialize(one));
	assert_ok(p11_kit_module_initialize(two));
	CK_SESSION_HANDLE session = core_open(two, core_slot(two, 0));
	core_open(one, core_slot(one, 0));
	assert_ok(p11_kit_module_finalize(one));
	assert_ok(core_sign(two, session, &signature));
	assert_string_equal(signature.module, "chaos-a");
	p11_kit_module_release(one);
	p11_kit_module_release(two);
	assert_int_equal(a->initialized, 1);
	assert_true(chaos_is_exact(a));
	scene_free(scene);
}

/* Managed, unmanaged, and as the older functions load it: each sees the configured module, none
 * ends it under the others. */
static void
test_proxy_as_a_module_in_every_way(void **state)
{
	(void)state;
	struct scene *scene = scene_new();
	struct chaos *a = core_configure(scene, "a", "chaos-a", NULL);
	const char *proxy = support_env("P11_PROXY");
	struct chaos_signature signature;
	CK_FUNCTION_LIST *older = NULL;

	scene_use(scene, NULL);
	CK_FUNCTION_LIST **modules = p11_kit_modules_load_and_initialize(0);
	CK_FUNCTION_LIST *managed = p11_kit_module_load(proxy, 0);
	CK_FUNCTION_LIST *unmanaged = p11_kit_module_load(proxy, P11_KIT_MODULE_UNMANAGED);
	char *file = p11_kit_module_get_filename(managed);
	assert_string_equal(file, proxy);
	free(file);
	assert_null(p11_kit_module_get_name(managed));
	assert_ok(p11_kit_module_initialize(managed));
	assert_ok(p11_kit_module_initialize(unmanaged));
	assert_ok(p11_kit_load_initialize_module(proxy, &older));

	CK_FUNCTION_LIST *lists[] = {managed, unmanaged, older};
	CK_SESSION_HANDLE sessions[3];
	for (size_t i = 0; i < 3; i++) {
		sessions[i] = core_open(lists[i], core_slot(lists[i], 0));
		assert_ok(core_sign(lists[i], sessions[i], &signature));
		assert_string_equal(signature.module, "chaos-a");
	}
	p11_kit_modules_finalize_and_release(modules);
	assert_ok(p11_kit_module_finalize(managed));
	assert_ok(core_sign(older, sessions[2], &signature));
	assert_ok(p11_kit_finalize_module(older));
	assert_ok(core_sign(unmanaged, sessions[1], &signature));
	assert_int_equal(a->finalized, 0);
	assert_ok(p11_kit_module_finalize(unmanaged));
	p11_kit_module_release(managed);
	p11_kit_module_release(unmanaged);
	assert_int_equal(a->initialized, 1);
	assert_true(chaos_is_exact(a));
	scene_free(scene);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_useless_modules_are_left_out),
		cmocka_unit_test(test_bad_files_cost_themselves_only),
		cmocka_unit_test(test_a_file_that_names_no_module),
		cmocka_unit_test(test_a_failure_is_told_once),
		cmocka_unit_test(test_not_there_yet),
		cmocka_unit_test(test_critical_module_that_cannot_be_loaded),
		cmocka_unit_test(test_critical_module_that_cannot_be_initialized),
		cmocka_unit_test(test_what_was_up_before_stays_up),
		cmocka_unit_test(test_failing_module_is_left_out),
		cmocka_unit_test(test_initialize_takes_out_what_fails),
		cmocka_unit_test(test_initialize_lists_of_ones_own),
		cmocka_unit_test(test_module_uses_us),
		cmocka_unit_test(test_finalize_goes_on),
		cmocka_unit_test(test_messages_belong_to_a_thread),
		cmocka_unit_test(test_proxy_as_a_module),
		cmocka_unit_test(test_proxy_as_a_module_in_every_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
