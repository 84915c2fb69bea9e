/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/config.h"

#include "base/cursor.h"
#include "base/message.h"
#include "config/keys.h"
#include "config/load.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct p11_config {
	char *name; /* owned; NULL: the global one */
	struct p11_settings settings;
	const struct p11_config *global; /* borrowed from the same set; NULL in the global one */
	char *module_path;               /* owned; absolute, or NULL */
	int priority;
};

#define PROXY_PROGRAM "p11-kit-proxy"
#define LOWEST_SLOT_BASE 0x11ul

struct p11_config *
p11_config_new(const char *name)
{
	struct p11_config *config = calloc(1, sizeof *config);

	if (config && name && !(config->name = strdup(name))) {
		free(config);
		return NULL;
	}
	return config;
}

struct p11_config *
p11_config_free(struct p11_config *config)
{
	if (config) {
		p11_settings_clear(&config->settings);
		free(config->module_path);
		free(config->name);
		free(config);
	}
	return NULL;
}

struct p11_settings *
p11_config_settings(struct p11_config *config)
{
	return &config->settings;
}

const char *
p11_config_name(const struct p11_config *config)
{
	return config->name;
}

const char *
p11_config_get(const struct p11_config *config, const char *key)
{
	const struct p11_setting *setting = p11_settings_find(&config->settings, key);

	return setting ? setting->value : NULL;
}

const char *
p11_config_where(const struct p11_config *config, const char *key)
{
	const struct p11_setting *setting = p11_settings_find(&config->settings, key);

	return setting ? setting->where : NULL;
}

const char *
p11_config_origin(const struct p11_config *config)
{
	return config->settings.n_items > 0 ? config->settings.items[0].where : NULL;
}

int
p11_config_priority(const struct p11_config *config)
{
	return config->priority;
}

const char *
p11_config_module_path(const struct p11_config *config)
{
	return config->module_path;
}

static void
say_bad_value(const struct p11_setting *setting, const char *instead)
{
	p11_message("%s: '%.40s' is no value for %s, expected %s; %s", setting->where,
		    setting->value, setting->key, p11_key_expected(setting->key), instead);
}

/*
 * The setting that counts: the global one of a key that overrules the module's, else the config's
 * own, or NULL.
 */
static const struct p11_setting *
find_effective(const struct p11_config *config, const char *name)
{
	const struct p11_key *key = p11_key_find(name);
	const struct p11_setting *setting = NULL;

	if (config->global && key && key->places == P11_KEY_IN_BOTH)
		setting = p11_settings_find(&config->global->settings, name);
	return setting ? setting : p11_settings_find(&config->settings, name);
}

bool
p11_config_yes(const struct p11_config *config, const char *key, bool fallback)
{
	const struct p11_setting *setting = find_effective(config, key);

	if (!setting)
		return fallback;
	if (strcmp(setting->value, "yes") == 0)
		return true;
	if (strcmp(setting->value, "no") == 0)
		return false;
	say_bad_value(setting, fallback ? "it counts as yes" : "it counts as no");
	return fallback;
}

bool
p11_config_slot_base(const struct p11_config *config, unsigned long *base)
{
	const struct p11_setting *setting = p11_settings_find(&config->settings, "slot-base");

	if (!setting)
		return false;

	/* strtoul() alone would take blanks, signs and octal numbers. */
	const char *text = setting->value;
	bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	char *end = NULL;
	errno = 0;
	unsigned long value = strtoul(text, &end, is_hex ? 16 : 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
	    value < LOWEST_SLOT_BASE) {
		say_bad_value(setting, "it is ignored");
		return false;
	}
	*base = value;
	return true;
}

static bool
list_has(const char *list, const char *program)
{
	struct p11_cursor cursor = p11_cursor_over(list, strlen(list));

	while (p11_cursor_left(&cursor) > 0) {
		struct p11_span element = p11_cursor_until(&cursor, ", \t\r\n\v\f");

		if (element.length > 0 && p11_span_is(element, program))
			return true;
		struct p11_span separator;
		if (!p11_cursor_take(&cursor, 1, &separator))
			break;
	}
	return false;
}

bool
p11_config_enabled(const struct p11_config *config, const char *program, bool by_proxy)
{
	const char *enable_in = p11_config_get(config, "enable-in");
	const char *disable_in = p11_config_get(config, "disable-in");
	const char *list = enable_in ? enable_in : disable_in;

	if (!list)
		return true;

	bool listed = list_has(list, program) || (by_proxy && list_has(list, PROXY_PROGRAM));
	return enable_in ? listed : !listed;
}

/* As atoi() reads it, so that what worked goes on working; text that is no whole number is told. */
static int
read_priority(const struct p11_setting *setting)
{
	char *end = NULL;
	long number = strtol(setting->value, &end, 10);
	const char *rest = end;

	number = number > INT_MAX ? INT_MAX : number < INT_MIN ? INT_MIN : number;
	if (rest == setting->value || *rest != '\0')
		say_bad_value(setting,
			      number == 0 ? "it counts as 0" : "only its beginning counts");
	return (int)number;
}

bool
p11_config_complete(struct p11_config *config, const struct p11_config *global,
		    const char *module_dir)
{
	const struct p11_setting *priority = p11_settings_find(&config->settings, "priority");
	const char *path = p11_config_get(config, "module");
	const char *enable_in = p11_config_where(config, "enable-in");

	config->global = global;
	config->priority = priority ? read_priority(priority) : 0;
	if (enable_in && p11_config_get(config, "disable-in"))
		p11_message(
			"%s: module %s has both enable-in and disable-in; only enable-in counts",
			enable_in, config->name);
	if (path && *path)
		config->module_path = p11_paths_join(module_dir, path);
	return !path || !*path || config->module_path;
}
