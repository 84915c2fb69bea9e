/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The input is a whole configuration: a line "=== NAME" begins the file NAME, which is pkcs11.conf,
 * user.conf, or a file in package/, system/ or user/. Loaded twice it gives the same; each value
 * comes from the file that it says, and no file of higher precedence has the key. The target is
 * linked with --wrap=getuid, since root has no user's configuration.
 */
#include "fuzz.h"

#include "base/buffer.h"
#include "base/message.h"
#include "config/load.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uid_t __wrap_getuid(void);

uid_t
__wrap_getuid(void)
{
	return 1000;
}

/* One file of the input. */
struct part {
	char name[64];
	const char *text; /* borrowed from the input */
	size_t length;
};

#define MAX_PARTS 8

static char root[64];
static char paths[5][96];

static void
remove_root(void)
{
	for (unsigned i = 2; i < 5; i++)
		rmdir(paths[i]);
	rmdir(root);
}

static void
make_root(void)
{
	static const char names[5][16] = {"pkcs11.conf", "user.conf", "package", "system", "user"};

	if (root[0])
		return;
	snprintf(root, sizeof root, "%s/p11-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	fuzz_have(mkdtemp(root));
	for (unsigned i = 0; i < 5; i++) {
		snprintf(paths[i], sizeof paths[i], "%s/%s", root, names[i]);
		if (i >= 2)
			fuzz_check(mkdir(paths[i], 0700) == 0);
	}
	atexit(remove_root);
}

/* Whether the name is one of the two files', or that of a file in one of the three folders. */
static bool
is_usable(const char *name)
{
	const char *slash = strchr(name, '/');

	if (!slash)
		return strcmp(name, "pkcs11.conf") == 0 || strcmp(name, "user.conf") == 0;
	return (strncmp(name, "package/", 8) == 0 || strncmp(name, "system/", 7) == 0 ||
		strncmp(name, "user/", 5) == 0) &&
	       slash[1] && slash[1] != '.' && !strchr(slash + 1, '/');
}

static struct part *
find_part(struct part *parts, size_t n_parts, const char *name)
{
	for (size_t i = 0; i < n_parts; i++) {
		if (strcmp(parts[i].name, name) == 0)
			return &parts[i];
	}
	return NULL;
}

/* Cuts the input at its headings. */
static size_t
split(const char *data, size_t size, struct part parts[MAX_PARTS])
{
	const char *end = data + size;
	size_t n_parts = 0;
	struct part *part = NULL;

	while (data < end) {
		const char *stop = memchr(data, '\n', (size_t)(end - data));
		const char *next = stop ? stop + 1 : end;
		size_t length = (size_t)((stop ? stop : end) - data);
		char name[sizeof part->name] = "";

		if (length > 4 && length < 4 + sizeof name && memcmp(data, "=== ", 4) == 0)
			memcpy(name, data + 4, length - 4);
		if (is_usable(name)) {
			part = find_part(parts, n_parts, name);
			if (!part && n_parts == MAX_PARTS)
				return n_parts;
			part = part ? part : &parts[n_parts++];
			memcpy(part->name, name, sizeof name);
			part->text = next;
			part->length = 0;
		} else if (part) {
			part->length = (size_t)(next - part->text);
		}
		data = next;
	}
	return n_parts;
}

static void
part_path(const struct part *part, char path[192])
{
	snprintf(path, 192, "%s/%.63s", root, part->name);
}

static void
write_part(const struct part *part)
{
	char path[192];

	part_path(part, path);
	FILE *file = fuzz_have(fopen(path, "w"));
	fuzz_check(fwrite(part->text, 1, part->length, file) == part->length);
	fuzz_check(fclose(file) == 0);
}

static void
remove_part(const struct part *part)
{
	char path[192];

	part_path(part, path);
	fuzz_check(unlink(path) == 0);
}

/* The names that the library gives: of "a.module" and of "a" the module is "a". */
static bool
is_of_module(const struct part *part, const char *module)
{
	const char *file = strchr(part->name, '/') ? strchr(part->name, '/') + 1 : NULL;
	size_t length = strlen(module);

	return file && strncmp(file, module, length) == 0 &&
	       (!file[length] || strcmp(file + length, ".module") == 0);
}

/* Higher comes first: the user's, the system's, the packages'; there, names as they should be. */
static int
precedence(const struct part *part)
{
	size_t length = strlen(part->name);
	bool is_proper = length > 7 && strcmp(part->name + length - 7, ".module") == 0;

	return (part->name[0] == 'u' ? 4 : part->name[0] == 's' ? 2 : 0) + is_proper;
}

/* The value of a key in a part, to be freed; NULL without one, and if the file is bad. */
static char *
value_in(const struct part *part, const char *key)
{
	P11_AUTO_SETTINGS settings = {0};

	if (p11_file_parse("part", part->text, part->length, &settings) != P11_FILE_READ)
		return NULL;
	const struct p11_setting *setting = p11_settings_find(&settings, key);
	return setting ? fuzz_have(strdup(setting->value)) : NULL;
}

static struct part *
part_of(struct part *parts, size_t n_parts, const struct p11_setting *setting)
{
	for (size_t i = 0; i < n_parts; i++) {
		char path[192];

		part_path(&parts[i], path);
		size_t length = strlen(path);
		const char *line = setting->where + length + 1; /* a name can have a colon, too */
		if (strncmp(setting->where, path, length) == 0 && setting->where[length] == ':' &&
		    line[strspn(line, "0123456789")] == '\0')
			return &parts[i];
	}
	return NULL;
}

static void
check_setting(struct part *parts, size_t n_parts, const char *module,
	      const struct p11_setting *setting)
{
	struct part *from = fuzz_have(part_of(parts, n_parts, setting));
	P11_AUTO_STRING value = fuzz_have(value_in(from, setting->key));

	fuzz_check(strcmp(value, setting->value) == 0);
	fuzz_check(!module == !strchr(from->name, '/'));
	for (size_t i = 0; module && i < n_parts; i++) {
		if (!is_of_module(&parts[i], module) || precedence(&parts[i]) <= precedence(from))
			continue;
		P11_AUTO_STRING other = value_in(&parts[i], setting->key);
		/* The user's files may not count. */
		fuzz_check(!other || parts[i].name[0] == 'u');
	}
}

static void
check_set(struct part *parts, size_t n_parts, struct p11_config_set *set)
{
	for (size_t i = 0; i <= set->n_modules; i++) {
		struct p11_config *config = i < set->n_modules ? set->modules[i] : set->global;
		struct p11_settings *settings = p11_config_settings(config);

		for (size_t j = 0; j < settings->n_items; j++)
			check_setting(parts, n_parts, p11_config_name(config), &settings->items[j]);
		if (i > 0 && i < set->n_modules)
			fuzz_check(p11_config_priority(set->modules[i - 1]) >=
				   p11_config_priority(config));
	}
}

static void
dump(struct p11_buffer *out, struct p11_config_set *set)
{
	for (size_t i = 0; i <= set->n_modules; i++) {
		struct p11_config *config = i < set->n_modules ? set->modules[i] : set->global;
		struct p11_settings *settings = p11_config_settings(config);
		const char *name = p11_config_name(config);

		p11_buffer_add_format(out, "%s\n", name ? name : "");
		for (size_t j = 0; j < settings->n_items; j++)
			p11_buffer_add_format(out, "%s: %s\n", settings->items[j].where,
					      settings->items[j].key);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct part parts[MAX_PARTS] = {0};
	size_t n_parts = split((const char *)data, size, parts);
	P11_AUTO_BUFFER once = P11_BUFFER_INIT, twice = P11_BUFFER_INIT;

	make_root();
	const struct p11_config_paths where = {
		.system_conf = paths[0],
		.user_conf = paths[1],
		.package_modules = paths[2],
		.system_modules = paths[3],
		.user_modules = paths[4],
		.module_dir = "/lib/pkcs11",
	};
	for (size_t i = 0; i < n_parts; i++)
		write_part(&parts[i]);

	struct p11_config_set *set = fuzz_have(p11_config_load(&where));
	check_set(parts, n_parts, set);
	dump(&once, set);
	p11_config_set_free(set);
	set = fuzz_have(p11_config_load(&where));
	dump(&twice, set);
	p11_config_set_free(set);
	fuzz_check(strcmp(once.data, twice.data) == 0);

	for (size_t i = 0; i < n_parts; i++)
		remove_part(&parts[i]);
	return 0;
}
