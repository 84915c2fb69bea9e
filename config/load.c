/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From files to a set: the global files first, which say whether the user's count (contract 7.6),
 * then the folders of module files from the highest precedence to the lowest, where each fills in
 * what is still missing (contract 7.4).
 */
#include "config/load.h"

#include "base/life.h"
#include "base/message.h"
#include "config/keys.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX ".module"

/* user-config: what the user's files are worth. */
enum user_mode {
	USER_NONE,
	USER_MERGE,
	USER_ONLY,
};

/* Whose file or folder it is: what a user's forbids us to read counts as missing, silently. */
enum owner {
	SYSTEM,
	USER,
};

static void
say_forbidden(const char *path)
{
	p11_message("%s: no permission to read it; it is ignored", path);
}

/*
 * An unset `user-config` leaves *mode as it is. False, and the message said, if the word is
 * unknown.
 */
static bool
read_user_mode(const struct p11_settings *settings, enum user_mode *mode)
{
	const struct p11_setting *setting = p11_settings_find(settings, "user-config");

	if (!setting || strcmp(setting->value, "merge") == 0)
		*mode = setting ? USER_MERGE : *mode;
	else if (strcmp(setting->value, "none") == 0)
		*mode = USER_NONE;
	else if (strcmp(setting->value, "only") == 0 || strcmp(setting->value, "override") == 0)
		*mode = USER_ONLY;
	else {
		p11_message(
			"%s: '%.40s' is no value for user-config, expected %s; the whole file is "
			"ignored",
			setting->where, setting->value, p11_key_expected("user-config"));
		return false;
	}
	return true;
}

static void
check_keys(const struct p11_settings *settings, enum p11_key_place place)
{
	for (size_t i = 0; i < settings->n_items; i++)
		p11_key_check(settings->items[i].key, place, settings->items[i].where);
}

/*
 * One of the two global files. What cannot be understood is dropped whole and counts as
 * `user-config: none`: nobody knows what it meant to forbid. False without memory.
 */
static bool
load_global_file(struct p11_config_set *set, const char *path, enum owner owner,
		 struct p11_settings *settings, enum user_mode *mode)
{
	bool is_good = false;

	switch (p11_file_load(path, settings)) {
	case P11_FILE_NO_MEMORY:
		return false;
	case P11_FILE_MISSING:
		return true;
	case P11_FILE_FORBIDDEN:
		if (owner == USER)
			return true;
		say_forbidden(path);
		break;
	case P11_FILE_DIRECTORY:
		p11_message("%s: is a folder, expected a file; it is ignored", path);
		break;
	case P11_FILE_UNREADABLE:
		set->is_partial = true;
		break;
	case P11_FILE_BAD:
		break;
	case P11_FILE_READ:
		is_good = read_user_mode(settings, mode);
		break;
	}
	if (is_good) {
		check_keys(settings, P11_KEY_IN_GLOBAL);
	} else {
		*mode = USER_NONE;
		p11_settings_clear(settings);
	}
	return true;
}

/*
 * *path is the expanded one, or NULL if there is no home: then there is no configuration of the
 * user's.
 */
static bool
expand_user_path(const char *configured, char **path)
{
	int error = p11_paths_expand(configured, path);

	if (error == ENOMEM)
		return false;
	if (error != 0) {
		*path = NULL;
		p11_message("%s: is not looked for, since no home directory is known (HOME is not "
			    "set, and the user has none)",
			    configured);
	}
	return true;
}

static bool
load_user_global(struct p11_config_set *set, const struct p11_config_paths *paths,
		 struct p11_settings *global, enum user_mode *mode)
{
	P11_AUTO_STRING path = NULL;
	P11_AUTO_SETTINGS user = {0};

	if (!expand_user_path(paths->user_conf, &path))
		return false;
	if (path && !load_global_file(set, path, USER, &user, mode))
		return false;
	if (*mode == USER_NONE)
		return true;
	if (*mode == USER_ONLY)
		p11_settings_clear(global);
	else if (!p11_settings_fill(&user, global))
		return false;
	*global = user;
	user = (struct p11_settings){0};
	return true;
}

static bool
load_global(struct p11_config_set *set, const struct p11_config_paths *paths, enum user_mode *mode)
{
	struct p11_settings *global = p11_config_settings(set->global);

	if (!load_global_file(set, paths->system_conf, SYSTEM, global, mode))
		return false;
	if (!p11_paths_user_allowed())
		*mode = USER_NONE;
	return *mode == USER_NONE || load_user_global(set, paths, global, mode);
}

static bool
ends_with(const char *string, const char *end)
{
	size_t length = strlen(string), end_length = strlen(end);

	return length >= end_length && strcmp(string + length - end_length, end) == 0;
}

/* What editors and package managers leave behind. */
static bool
is_leftover(const char *file)
{
	static const char ends[][12] = {"~", ".bak", ".rpmnew", ".rpmorig", ".rpmsave"};

	if (file[0] == '.' || strstr(file, ".dpkg-"))
		return true;
	for (size_t i = 0; i < P11_N_ELEMENTS(ends); i++) {
		if (ends_with(file, ends[i]))
			return true;
	}
	return false;
}

/* The length of the module's name in a file's name that is as it should be, else 0. */
static size_t
name_length(const char *file)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "0123456789_-.";
	size_t length = strlen(file);

	if (strspn(file, alphabet) != length || strchr("_-.", file[0]) || !ends_with(file, SUFFIX))
		return 0;
	return length - strlen(SUFFIX);
}

/* Finds the module of that name, or appends a new one. NULL without memory. */
static struct p11_config *
find_or_add(struct p11_config_set *set, const char *name)
{
	for (size_t i = 0; i < set->n_modules; i++) {
		if (strcmp(p11_config_name(set->modules[i]), name) == 0)
			return set->modules[i];
	}

	struct p11_config **modules =
		reallocarray(set->modules, set->n_modules + 1, sizeof(struct p11_config *));
	if (!modules)
		return NULL;
	set->modules = modules;

	struct p11_config *config = p11_config_new(name);
	if (config)
		modules[set->n_modules++] = config;
	return config;
}

/* The settings of a file that was read, to the module that its name tells. False without memory. */
static bool
add_module(struct p11_config_set *set, const char *path, const char *file,
	   struct p11_settings *settings)
{
	size_t length = name_length(file);
	P11_AUTO_STRING name = strndup(file, length ? length : strlen(file));
	struct p11_config *config = name ? find_or_add(set, name) : NULL;

	if (!config)
		return false;
	if (!length)
		p11_message(
			"%s: expected a name like 'example.module', and will be ignored some day; "
			"it is used as the module '%s'",
			path, name);
	check_keys(settings, P11_KEY_IN_MODULE);
	return p11_settings_fill(p11_config_settings(config), settings);
}

static bool
load_module_file(struct p11_config_set *set, const char *folder, const char *file, enum owner owner)
{
	P11_AUTO_STRING path = p11_paths_join(folder, file);
	P11_AUTO_SETTINGS settings = {0};

	if (!path)
		return false;
	switch (p11_file_load(path, &settings)) {
	case P11_FILE_READ:
		return add_module(set, path, file, &settings);
	case P11_FILE_NO_MEMORY:
		return false;
	case P11_FILE_MISSING:
		p11_message("%s: was listed, but there is no such file (a dangling link?); it is "
			    "ignored",
			    path);
		break;
	case P11_FILE_FORBIDDEN:
		if (owner != USER)
			say_forbidden(path);
		break;
	case P11_FILE_UNREADABLE:
		set->is_partial = true;
		break;
	case P11_FILE_DIRECTORY: /* not descended into */
	case P11_FILE_BAD:
		break;
	}
	return true;
}

/* Names of files, owned. */
struct names {
	char **items;
	size_t n_items;
};

static void
clear_names(struct names *names)
{
	for (size_t i = 0; i < names->n_items; i++)
		free(names->items[i]);
	free(names->items);
}

static bool
add_name(struct names *names, const char *name)
{
	char **items = reallocarray(names->items, names->n_items + 1, sizeof(char *));

	if (!items)
		return false;
	names->items = items;
	items[names->n_items] = strdup(name);
	return items[names->n_items] && ++names->n_items;
}

/* Proper names first, so that "foo.module" has precedence over a file "foo" beside it. */
static int
compare_names(const void *left, const void *right)
{
	const char *a = *(char *const *)left, *b = *(char *const *)right;
	bool a_is_odd = !name_length(a), b_is_odd = !name_length(b);

	return a_is_odd != b_is_odd ? a_is_odd - b_is_odd : strcmp(a, b);
}

static void
say_unlistable(struct p11_config_set *set, const char *folder, enum owner owner)
{
	char text[P11_ERRNO_SIZE];

	if (errno == ENOENT || errno == ENOTDIR)
		return;
	if (owner == USER && (errno == EACCES || errno == EPERM))
		return;
	set->is_partial |= p11_file_error_may_pass(errno);
	p11_message("%s: cannot be listed (%s), and is ignored", folder,
		    p11_message_errno(errno, text));
}

/* False without memory; a folder that cannot be listed is as good as empty. */
static bool
list_folder(struct p11_config_set *set, const char *folder, enum owner owner, struct names *names)
{
	P11_AUTO_DIR dir = opendir(folder);

	while (dir) {
		errno = 0;
		struct dirent *entry = readdir(dir);

		if (!entry)
			break;
		if (!is_leftover(entry->d_name) && !add_name(names, entry->d_name))
			return false;
	}
	if (errno == ENOMEM)
		return false;
	if (errno != 0)
		say_unlistable(set, folder, owner);
	if (names->n_items > 0)
		qsort(names->items, names->n_items, sizeof(char *), compare_names);
	return true;
}

static bool
load_folder(struct p11_config_set *set, const char *folder, enum owner owner)
{
	__attribute__((cleanup(clear_names))) struct names names = {0};

	if (!list_folder(set, folder, owner, &names))
		return false;
	for (size_t i = 0; i < names.n_items; i++) {
		if (!load_module_file(set, folder, names.items[i], owner))
			return false;
	}
	return true;
}

static bool
load_user_folder(struct p11_config_set *set, const char *configured)
{
	P11_AUTO_STRING folder = NULL;

	if (!expand_user_path(configured, &folder))
		return false;
	return !folder || load_folder(set, folder, USER);
}

static bool
load_modules(struct p11_config_set *set, const struct p11_config_paths *paths, enum user_mode mode)
{
	if (mode != USER_NONE && !load_user_folder(set, paths->user_modules))
		return false;
	return mode == USER_ONLY || (load_folder(set, paths->system_modules, SYSTEM) &&
				     load_folder(set, paths->package_modules, SYSTEM));
}

static int
compare_modules(const void *left, const void *right)
{
	const struct p11_config *a = *(struct p11_config *const *)left;
	const struct p11_config *b = *(struct p11_config *const *)right;
	int first = p11_config_priority(a), second = p11_config_priority(b);

	if (first != second)
		return first < second ? 1 : -1;
	return strcmp(p11_config_name(a), p11_config_name(b));
}

static bool
complete(struct p11_config_set *set, const struct p11_config_paths *paths)
{
	for (size_t i = 0; i < set->n_modules; i++) {
		if (!p11_config_complete(set->modules[i], set->global, paths->module_dir))
			return false;
	}
	if (set->n_modules > 0)
		qsort(set->modules, set->n_modules, sizeof(struct p11_config *), compare_modules);
	return true;
}

static bool
load(struct p11_config_set *set, const struct p11_config_paths *paths)
{
	enum user_mode mode = USER_MERGE;

	set->global = p11_config_new(NULL);
	return set->global && load_global(set, paths, &mode) && load_modules(set, paths, mode) &&
	       complete(set, paths);
}

struct p11_config_set *
p11_config_load(const struct p11_config_paths *paths)
{
	P11_NO_CANCEL; /* descriptors and memory are held at cancellation points */
	struct p11_config_paths all = p11_paths_complete(paths);
	struct p11_config_set *set = calloc(1, sizeof *set);

	if (!set || !load(set, &all)) {
		p11_message("no memory to read the configuration");
		return p11_config_set_free(set);
	}
	return set;
}

struct p11_config_set *
p11_config_set_free(struct p11_config_set *set)
{
	if (set) {
		for (size_t i = 0; i < set->n_modules; i++)
			p11_config_free(set->modules[i]);
		free(set->modules);
		p11_config_free(set->global);
		free(set);
	}
	return NULL;
}
