/* SPDX-License-Identifier: BSD-3-Clause */
/* Configurations of a test's own, and the chaos modules in them; see support.h. */
#include "support.h"

#include "p11-kit/pkcs11.h"

#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Paths are handed to the library, which keeps them: they live as long as the scene. */
struct path {
	struct path *next;
	char text[];
};

struct scene {
	char folder[64];
	struct path *paths; /* owned */
};

static char *
keep_path(struct scene *scene, const char *name)
{
	size_t size = strlen(scene->folder) + strlen(name) + 2;
	struct path *path = malloc(sizeof(*path) + size);

	if (!path)
		support_die("no memory");
	snprintf(path->text, size, *name ? "%s/%s" : "%s", scene->folder, name);
	path->next = scene->paths;
	scene->paths = path;
	return path->text;
}

const char *
scene_path(struct scene *scene, const char *name)
{
	return keep_path(scene, name);
}

struct scene *
scene_new(void)
{
	static const char *const folders[] = {"modules", "package", "user"};
	struct scene *scene = calloc(1, sizeof(*scene));

	if (!scene)
		support_die("no memory");
	strcpy(scene->folder, "/tmp/p11-scene-XXXXXX");
	if (!mkdtemp(scene->folder))
		support_die("mkdtemp: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		if (mkdir(keep_path(scene, folders[i]), 0755) < 0)
			support_die("mkdir: %s", strerror(errno));
	}
	return scene;
}

static int
remove_one(const char *path, const struct stat *sb, int type, struct FTW *place)
{
	(void)sb, (void)type, (void)place;
	return remove(path);
}

void
scene_free(struct scene *scene)
{
	if (!scene)
		return;
	nftw(scene->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	while (scene->paths) {
		struct path *next = scene->paths->next;
		free(scene->paths);
		scene->paths = next;
	}
	free(scene);
}

void
scene_write(struct scene *scene, const char *name, const char *format, ...)
{
	const char *path = keep_path(scene, name);
	FILE *file = fopen(path, "w");
	va_list args;

	if (!file)
		support_die("%s: %s", path, strerror(errno));
	va_start(args, format);
	vfprintf(file, format, args);
	va_end(args);
	if (fclose(file) != 0)
		support_die("%s: %s", path, strerror(errno));
}

void
scene_remove(struct scene *scene, const char *name)
{
	const char *path = keep_path(scene, name);

	if (remove(path) < 0)
		support_die("%s: %s", path, strerror(errno));
}

void
scene_module(struct scene *scene, const char *name, const char *path, const char *more)
{
	char file[256];

	snprintf(file, sizeof(file), "modules/%s.module", name);
	scene_write(scene, file, "module: %s\n%s%s", path, more ? more : "", more ? "\n" : "");
}

struct chaos *
scene_chaos(struct scene *scene, const char *name, const char *file, const char *more)
{
	scene_module(scene, name, chaos_path(file), more);
	return chaos_load(file);
}

void
scene_use(struct scene *scene, void *library)
{
	void (*override)(const char *, const char *, const char *, const char *, const char *);

	*(void **)&override =
		dlsym(library ? library : RTLD_DEFAULT, "p11_kit_override_system_files");
	if (!override)
		support_die(
			"no p11_kit_override_system_files: is the program linked with libp11-kit?");
	override(keep_path(scene, "system.conf"), keep_path(scene, "user.conf"),
		 keep_path(scene, "package"), keep_path(scene, "modules"),
		 keep_path(scene, "user"));
}

const char *
chaos_path(const char *file)
{
	static _Thread_local char path[1024];

	snprintf(path, sizeof(path), "%s/%s.so", support_env("P11_CHAOS"), file);
	return path;
}

static void *
chaos_symbol(const char *file, const char *name)
{
	void *handle = dlopen(chaos_path(file), RTLD_NOW | RTLD_LOCAL);
	void *symbol = handle ? dlsym(handle, name) : NULL;

	if (!symbol)
		support_die("%s", dlerror());
	return symbol;
}

struct chaos *
chaos_load(const char *file)
{
	chaos_control_function control;

	*(void **)&control = chaos_symbol(file, "chaos_control");
	return control();
}

void *
chaos_list(const char *file)
{
	CK_C_GetFunctionList look_up;
	CK_FUNCTION_LIST *list = NULL;

	*(void **)&look_up = chaos_symbol(file, "C_GetFunctionList");
	if (look_up(&list) != CKR_OK)
		support_die("%s gives no function list", file);
	return list;
}

bool
chaos_is_exact(struct chaos *chaos)
{
	struct {
		const char *what;
		long is, should_be;
	} rows[] = {
		{"C_Finalize", (long)chaos->finalized, (long)(chaos->initialized - chaos->dropped)},
		{"calls of the life cycle at the same time", (long)chaos->overlaps, 0},
		{"sessions that are open", chaos->sessions, 0},
		{"calls with a dead session", (long)chaos->bad_sessions, 0},
		{"up", chaos->up, 0},
	};
	bool exact = true;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].is == rows[i].should_be)
			continue;
		fprintf(stderr, "%s: %s: %ld, not %ld\n", chaos->name, rows[i].what, rows[i].is,
			rows[i].should_be);
		exact = false;
	}
	for (unsigned i = 0; i < CHAOS_N_CALLS; i++) {
		if (!chaos->down_calls[i])
			continue;
		fprintf(stderr, "%s: %s came %lu times while the module was down\n", chaos->name,
			chaos_call_names[i], (unsigned long)chaos->down_calls[i]);
		exact = false;
	}
	return exact;
}
