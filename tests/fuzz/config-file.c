/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The input is one configuration file. What comes out of it is well-formed, and written down again
 * it is read as the same; all questions about it have an answer.
 */
#include "fuzz.h"

#include "base/buffer.h"
#include "base/message.h"
#include "config/file.h"
#include "config/keys.h"
#include "config/load.h"

#include <string.h>

static void
check_stripped(const char *text)
{
	static const char blanks[] = " \t\n\v\f\r";
	size_t length = strlen(text);

	fuzz_check(!strchr(text, '\n'));
	if (length > 0)
		fuzz_check(!strchr(blanks, text[0]) && !strchr(blanks, text[length - 1]));
}

static void
check_settings(const struct p11_settings *settings)
{
	fuzz_check(settings->n_items <= P11_FILE_MAX_SETTINGS);
	for (size_t i = 0; i < settings->n_items; i++) {
		const struct p11_setting *setting = &settings->items[i];

		check_stripped(setting->key);
		check_stripped(setting->value);
		fuzz_check(!strchr(setting->key, ':'));
		fuzz_check(strncmp(setting->where, "file:", 5) == 0 &&
			   atoi(setting->where + 5) > 0);
		fuzz_check(p11_settings_find(settings, setting->key) == setting); /* once */
	}
}

/* parse(format(x)) = x. The blank in front makes no difference to what the file says. */
static void
check_round_trip(const struct p11_settings *settings)
{
	P11_AUTO_BUFFER text = P11_BUFFER_INIT;
	P11_AUTO_SETTINGS again = {0};

	for (size_t i = 0; i < settings->n_items; i++) {
		p11_buffer_add_char(&text, ' ');
		p11_buffer_add_string(&text, settings->items[i].key);
		p11_buffer_add_string(&text, ":");
		p11_buffer_add_string(&text, settings->items[i].value);
		p11_buffer_add_string(&text, i % 2 ? "\n" : " \r\n");
	}
	fuzz_check(p11_file_parse("again", text.data ? text.data : "", text.length, &again) ==
		   P11_FILE_READ);
	fuzz_check(again.n_items == settings->n_items);
	for (size_t i = 0; i < again.n_items; i++) {
		fuzz_check(strcmp(again.items[i].key, settings->items[i].key) == 0);
		fuzz_check(strcmp(again.items[i].value, settings->items[i].value) == 0);
	}
}

/* As for a module and as for the global file: answers, and messages that end. Takes `settings`. */
static void
ask_everything(struct p11_settings *settings)
{
	struct p11_config *global = fuzz_have(p11_config_new(NULL));
	struct p11_config *config = fuzz_have(p11_config_new("module"));
	unsigned long base = 0;

	for (size_t i = 0; i < settings->n_items; i++) {
		p11_key_check(settings->items[i].key, P11_KEY_IN_GLOBAL, settings->items[i].where);
		p11_key_check(settings->items[i].key, P11_KEY_IN_MODULE, settings->items[i].where);
	}
	fuzz_check(p11_settings_fill(p11_config_settings(config), settings));
	fuzz_check(settings->n_items == 0);
	fuzz_check(p11_config_complete(config, global, "/lib/pkcs11"));

	for (const struct p11_key *key = p11_keys; key->name[0]; key++) {
		const char *value = p11_config_get(config, key->name);
		bool yes = p11_config_yes(config, key->name, true);
		bool no = p11_config_yes(config, key->name, false);

		fuzz_check(yes == no || !value ||
			   (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0));
		fuzz_check(!value == !p11_config_where(config, key->name));
	}
	if (p11_config_slot_base(config, &base))
		fuzz_check(base >= 0x11);
	if (p11_config_module_path(config))
		fuzz_check(p11_config_module_path(config)[0] == '/');
	if (p11_config_enabled(config, "program", false) !=
	    p11_config_enabled(config, "program", true))
		fuzz_check(p11_config_get(config, "enable-in") ||
			   p11_config_get(config, "disable-in"));
	p11_config_free(config);
	p11_config_free(global);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	P11_AUTO_SETTINGS settings = {0};

	p11_message_clear();
	switch (p11_file_parse("file", data, size, &settings)) {
	case P11_FILE_READ:
		fuzz_check(!p11_message_last());
		check_settings(&settings);
		check_round_trip(&settings);
		ask_everything(&settings);
		break;
	case P11_FILE_BAD:
		fuzz_check(settings.n_items == 0 && !settings.items);
		fuzz_check(p11_message_last() && strncmp(p11_message_last(), "file:", 5) == 0);
		break;
	default:
		fuzz_check(!"a result that text in memory cannot have");
	}
	return 0;
}
