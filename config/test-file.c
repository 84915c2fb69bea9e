/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/file.h"

#include "base/buffer.h"
#include "base/message.h"
#include "config/test-sandbox.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* From a heap block of exactly that size, so that a sanitizer sees a byte read beyond the end. */
static enum p11_file_result
parse_bytes(const void *bytes, size_t length, struct p11_settings *settings)
{
	char *copy = malloc(length ? length : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, length);
	p11_message_clear();

	enum p11_file_result result = p11_file_parse("/some/file", copy, length, settings);
	free(copy);
	return result;
}

static void
assert_settings(const struct p11_settings *settings, const char *expected)
{
	P11_AUTO_BUFFER text = P11_BUFFER_INIT;

	for (size_t i = 0; i < settings->n_items; i++)
		p11_buffer_add_format(&text, "<%s>=<%s>@%s ", settings->items[i].key,
				      settings->items[i].value,
				      strrchr(settings->items[i].where, ':') + 1);
	assert_string_equal(text.data ? text.data : "", expected);
}

static void
test_grammar(void **state)
{
	static const struct {
		const char *text, *settings;
	} cases[] = {
		{"", ""},
		{"\n\n", ""},
		{" \t \r\n", ""},
		{"key: value", "<key>=<value>@1 "},
		{"key:value\n", "<key>=<value>@1 "},
		{"key : value\n", "<key>=<value>@1 "},
		{"  key  :  two words  \n", "<key>=<two words>@1 "},
		{"key: a:b: c\n", "<key>=<a:b: c>@1 "},
		{"key:\n", "<key>=<>@1 "},
		{": value\n", "<>=<value>@1 "},
		{":\n", "<>=<>@1 "},
		{"inner blank key: v", "<inner blank key>=<v>@1 "},
		{"# comment\nkey: value # not one\n", "<key>=<value # not one>@2 "},
		{"  # comment: after blanks\n", ""},
		{"a: 1\r\nb: 2\r\n", "<a>=<1>@1 <b>=<2>@2 "},
		{"a: 1\v\n\fb: 2\n", "<a>=<1>@1 <b>=<2>@2 "},
		{"a: 1\rb: 2\r", "<a>=<1\rb: 2>@1 "},
		{"a: 1\nb: 2\na: 3\n", "<a>=<3>@3 <b>=<2>@2 "},
		{"a: 1\nA: 2\n", "<a>=<1>@1 <A>=<2>@2 "},
		{"\xef\xbb\xbfkey: value\n", "<key>=<value>@1 "},
		{"\xef\xbb\xbf", ""},
		{"a: 1\n\xef\xbb\xbf"
		 "b: 2\n",
		 "<a>=<1>@1 <\xef\xbb\xbf"
		 "b>=<2>@2 "},
		{"\xff\xfe: \x80\n", "<\xff\xfe>=<\x80>@1 "},
		{"a: [not a section]\n", "<a>=<[not a section]>@1 "},
		{"a: -----BEGIN X-----\n", "<a>=<-----BEGIN X----->@1 "},
	};

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++) {
		P11_AUTO_SETTINGS settings = {0};

		assert_int_equal(parse_bytes(cases[i].text, strlen(cases[i].text), &settings),
				 P11_FILE_READ);
		assert_settings(&settings, cases[i].settings);
		sandbox_assert_no_message();
	}
}

#define BYTES(literal) literal, sizeof(literal) - 1

static void
test_malformed(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *message;
	} cases[] = {
		{BYTES("no colon here"), "/some/file:1: no colon, expected 'key: value'"},
		{BYTES("a: 1\n\n# x\nsecond\n"), "/some/file:4: no colon"},
		{BYTES("a: 1\nsecond"), "/some/file:2: no colon"},
		{BYTES("\x80"), "/some/file:1: no colon"},
		{BYTES("\xef\xbb"), "/some/file:1: no colon"},
		{BYTES("[section]\na: 1\n"), "/some/file:1: a [section]"},
		{BYTES("a: 1\n  [section"), "/some/file:2: a [section]"},
		{BYTES("[a: b]"), "/some/file:1: a [section]"},
		{BYTES("-----BEGIN CERTIFICATE-----\nMII=\n"), "/some/file:1: a PEM block"},
		{BYTES("-----BEGIN a: b\n"), "/some/file:1: a PEM block"},
		{BYTES("\0"), "/some/file:1: a NUL byte"},
		{BYTES("a: 1\nb: \0 2\n"), "/some/file:2: a NUL byte"},
		{BYTES("a: 1\n# comment \0\n"), "/some/file:2: a NUL byte"},
		{BYTES("\xff\xfe"
		       "a\0:\0"),
		 "/some/file:1: a NUL byte"},
	};

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(cases); i++) {
		P11_AUTO_SETTINGS settings = {0};

		assert_int_equal(parse_bytes(cases[i].bytes, cases[i].length, &settings),
				 P11_FILE_BAD);
		assert_int_equal(settings.n_items, 0);
		sandbox_assert_message(cases[i].message);
		sandbox_assert_message("the whole file is ignored");
	}
}

/* A line without a colon may be part of a key that somebody misplaced. */
static void
test_message_quotes_no_line(void **state)
{
	P11_AUTO_SETTINGS settings = {0};

	(void)state;
	assert_int_equal(parse_bytes(BYTES("MIIEvgIBADANBg\n"), &settings), P11_FILE_BAD);
	assert_null(strstr(p11_message_last(), "MII"));
}

static void
test_too_many_keys(void **state)
{
	P11_AUTO_BUFFER text = P11_BUFFER_INIT;
	P11_AUTO_SETTINGS settings = {0};

	(void)state;
	for (unsigned i = 0; i < P11_FILE_MAX_SETTINGS; i++)
		p11_buffer_add_format(&text, "k%u: v\n", i);
	p11_buffer_add_string(&text, "k0: again\n");
	assert_int_equal(parse_bytes(text.data, text.length, &settings), P11_FILE_READ);
	assert_int_equal(settings.n_items, P11_FILE_MAX_SETTINGS);
	p11_settings_clear(&settings);

	p11_buffer_add_string(&text, "one-more: v\n");
	assert_int_equal(parse_bytes(text.data, text.length, &settings), P11_FILE_BAD);
	sandbox_assert_message("/some/file:1026: more than 1024 keys");
}

static const char valid[] = "# a file with everything\r\n"
			    "module: /usr/lib/some module.so\n"
			    "\n"
			    "  priority : -17 \n"
			    "enable-in: firefox, thunderbird\tp11tool\n"
			    "critical:yes\n"
			    "x-own: a:b:c # d\n"
			    "slot-base: 0x1000\n"
			    "x-empty:\n"
			    "managed: no";

/* Whatever comes out is consistent: settings only from a good file, and a message from a bad one.
 */
static void
assert_sane(const void *bytes, size_t length)
{
	P11_AUTO_SETTINGS settings = {0};
	enum p11_file_result result = parse_bytes(bytes, length, &settings);

	if (result == P11_FILE_BAD) {
		sandbox_assert_message("/some/file:");
		assert_int_equal(settings.n_items, 0);
	} else {
		assert_int_equal(result, P11_FILE_READ);
		sandbox_assert_no_message();
	}
	for (size_t i = 0; i < settings.n_items; i++) {
		assert_null(strchr(settings.items[i].key, ':'));
		assert_null(strchr(settings.items[i].key, '\n'));
		assert_null(strchr(settings.items[i].value, '\n'));
	}
}

static void
test_any_bytes(void **state)
{
	char bytes[sizeof valid];
	unsigned seed = 42;

	(void)state;
	for (int first = 0; first < 256; first++) {
		bytes[0] = (char)first;
		assert_sane(bytes, 1);
		for (int second = 0; second < 256; second++) {
			bytes[1] = (char)second;
			assert_sane(bytes, 2);
		}
	}
	for (size_t length = 0; length < sizeof valid; length++)
		assert_sane(valid, length);
	for (size_t at = 0; at < sizeof valid - 1; at++) {
		memcpy(bytes, valid, sizeof valid);
		for (int value = 0; value < 256; value++) {
			bytes[at] = (char)value;
			assert_sane(bytes, sizeof valid - 1);
		}
	}
	for (int round = 0; round < 20000; round++) {
		if (round % 10 == 0)
			memcpy(bytes, valid, sizeof valid);
		seed = seed * 1103515245 + 12345;
		bytes[(seed >> 8) % (sizeof valid - 1)] = (char)(seed >> 24);
		assert_sane(bytes, (seed >> 4) % sizeof valid);
	}
}

static enum p11_file_result
load_path(const char *path)
{
	P11_AUTO_SETTINGS settings = {0};

	p11_message_clear();
	return p11_file_load(path, &settings);
}

static void
test_odd_files(void **state)
{
	struct sandbox *sandbox = *state;

	assert_int_equal(load_path(sandbox_path(sandbox, "nowhere")), P11_FILE_MISSING);
	sandbox_put(sandbox, "file", "a: 1\n");
	assert_int_equal(load_path(sandbox_path(sandbox, "file/below")), P11_FILE_MISSING);
	assert_int_equal(load_path(sandbox->root), P11_FILE_DIRECTORY);
	sandbox_assert_no_message();

	assert_int_equal(mkfifo(sandbox_path(sandbox, "fifo"), 0644), 0);
	assert_int_equal(load_path(sandbox_path(sandbox, "fifo")), P11_FILE_BAD);
	sandbox_assert_message("/fifo: is ignored, expected a regular file");
	assert_int_equal(load_path("/dev/null"), P11_FILE_BAD);
	sandbox_assert_message("/dev/null: is ignored");

	assert_int_equal(symlink("loop", sandbox_path(sandbox, "loop")), 0);
	assert_int_equal(load_path(sandbox_path(sandbox, "loop")), P11_FILE_BAD);
	sandbox_assert_message("/loop: cannot be read (Too many levels of symbolic links)");

	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strncpy(address.sun_path, sandbox_path(sandbox, "s"), sizeof address.sun_path - 1);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(load_path(address.sun_path), P11_FILE_BAD);
	sandbox_assert_message("/s: cannot be read (");
	close(fd);
}

static void
test_size_limit(void **state)
{
	struct sandbox *sandbox = *state;
	size_t size = P11_FILE_MAX_SIZE + 1;
	char *text = malloc(size);

	assert_non_null(text);
	memset(text, '#', size);
	sandbox_put_bytes(sandbox, "big", text, size - 1);
	assert_int_equal(load_path(sandbox_path(sandbox, "big")), P11_FILE_READ);
	sandbox_put_bytes(sandbox, "big", text, size);
	assert_int_equal(load_path(sandbox_path(sandbox, "big")), P11_FILE_BAD);
	sandbox_assert_message("/big: is ignored, expected at most 1 MiB");
	free(text);
}

/* Files whose size stat() tells as 0 (procfs) are read to their end like others. */
static void
test_size_is_not_believed(void **state)
{
	P11_AUTO_SETTINGS settings = {0};
	struct stat about;

	(void)state;
	if (stat("/proc/self/status", &about) != 0 || about.st_size != 0)
		skip();
	assert_int_equal(p11_file_load("/proc/self/status", &settings), P11_FILE_READ);
	assert_non_null(p11_settings_find(&settings, "Name"));
}

static void
test_fill(void **state)
{
	P11_AUTO_SETTINGS user = {0};
	P11_AUTO_SETTINGS system = {0};

	(void)state;
	assert_int_equal(parse_bytes(BYTES("a: 1\nb: 2\n"), &user), P11_FILE_READ);
	assert_int_equal(parse_bytes(BYTES("c: 3\nb: 4\n"), &system), P11_FILE_READ);
	assert_true(p11_settings_fill(&user, &system));
	assert_settings(&user, "<a>=<1>@1 <b>=<2>@2 <c>=<3>@1 ");
	assert_settings(&system, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_message_quotes_no_line),
		cmocka_unit_test(test_too_many_keys),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test_setup_teardown(test_odd_files, sandbox_setup, sandbox_teardown),
		cmocka_unit_test_setup_teardown(test_size_limit, sandbox_setup, sandbox_teardown),
		cmocka_unit_test(test_size_is_not_believed),
		cmocka_unit_test(test_fill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
