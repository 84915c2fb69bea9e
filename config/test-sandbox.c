/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/test-sandbox.h"

#include "base/buffer.h"
#include "base/message.h"
#include "config/load.h"

#include <ftw.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHER_USER 12345

int
sandbox_setup(void **state)
{
	static const char names[5][16] = {"pkcs11.conf", "user.conf", "package", "system", "user"};
	struct sandbox *sandbox = calloc(1, sizeof *sandbox);
	const char *folder = getenv("TMPDIR");

	assert_non_null(sandbox);
	snprintf(sandbox->root, sizeof sandbox->root, "%s/p11-config-XXXXXX",
		 folder && *folder ? folder : "/tmp");
	assert_non_null(mkdtemp(sandbox->root));
	assert_int_equal(chmod(sandbox->root, 0755), 0);
	for (size_t i = 0; i < 5; i++) {
		snprintf(sandbox->names[i], sizeof sandbox->names[i], "%s/%s", sandbox->root,
			 names[i]);
		if (i >= 2) {
			assert_int_equal(mkdir(sandbox->names[i], 0755), 0);
			assert_int_equal(chmod(sandbox->names[i], 0755), 0);
		}
	}
	sandbox->paths = (struct p11_config_paths){
		.system_conf = sandbox->names[0],
		.user_conf = sandbox->names[1],
		.package_modules = sandbox->names[2],
		.system_modules = sandbox->names[3],
		.user_modules = sandbox->names[4],
		.module_dir = "/lib/pkcs11",
	};
	unsetenv("P11_KIT_NO_USER_CONFIG");
	p11_message_clear();
	*state = sandbox;
	return 0;
}

static int
remove_one(const char *path, const struct stat *about, int type, struct FTW *place)
{
	(void)about;
	(void)type;
	(void)place;
	return remove(path);
}

int
sandbox_teardown(void **state)
{
	struct sandbox *sandbox = *state;

	for (size_t i = 2; i < 5; i++)
		chmod(sandbox->names[i], 0755);
	nftw(sandbox->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(sandbox);
	return 0;
}

const char *
sandbox_path(const struct sandbox *sandbox, const char *name)
{
	static char paths[4][512];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof paths[0], "%s/%s", sandbox->root, name);
	return path;
}

void
sandbox_put_bytes(const struct sandbox *sandbox, const char *name, const void *bytes, size_t length)
{
	const char *path = sandbox_path(sandbox, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0644), 0);
}

void
sandbox_put(const struct sandbox *sandbox, const char *name, const char *text)
{
	sandbox_put_bytes(sandbox, name, text, strlen(text));
}

void
sandbox_remove(const struct sandbox *sandbox, const char *name)
{
	assert_int_equal(remove(sandbox_path(sandbox, name)), 0);
}

void
sandbox_mode(const struct sandbox *sandbox, const char *name, unsigned mode)
{
	assert_int_equal(chmod(sandbox_path(sandbox, name), mode), 0);
}

struct p11_config_set *
sandbox_load(const struct sandbox *sandbox)
{
	p11_message_clear();

	struct p11_config_set *set = p11_config_load(&sandbox->paths);
	assert_non_null(set);
	return set;
}

const struct p11_config *
sandbox_module(const struct p11_config_set *set, const char *name)
{
	for (size_t i = 0; i < set->n_modules; i++) {
		if (strcmp(p11_config_name(set->modules[i]), name) == 0)
			return set->modules[i];
	}
	return NULL;
}

static void
dump_config(struct p11_buffer *out, struct p11_config *config)
{
	const struct p11_settings *settings = p11_config_settings(config);
	const char *name = p11_config_name(config);

	p11_buffer_add_format(out, "[%s]", name ? name : "global");
	for (size_t i = 0; i < settings->n_items; i++)
		p11_buffer_add_format(out, " %s=%s", settings->items[i].key,
				      settings->items[i].value);
	p11_buffer_add_string(out, ";");
}

char *
sandbox_dump(const struct p11_config_paths *paths)
{
	P11_AUTO_BUFFER out = P11_BUFFER_INIT;

	p11_message_clear();

	struct p11_config_set *set = p11_config_load(paths);
	if (set) {
		dump_config(&out, set->global);
		for (size_t i = 0; i < set->n_modules; i++) {
			p11_buffer_add_string(&out, " ");
			dump_config(&out, set->modules[i]);
		}
	}
	p11_config_set_free(set);
	if (p11_message_last())
		p11_buffer_add_format(&out, " message: %s", p11_message_last());
	return p11_buffer_steal(&out);
}

/* Without the privileges that a test as root has. */
static void
become(unsigned uid)
{
	if (uid != 0 && getuid() == 0 &&
	    (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 ||
	     setresuid(uid, uid, uid) != 0))
		_exit(99);
}

static char *
read_to_end(int fd)
{
	P11_AUTO_BUFFER text = P11_BUFFER_INIT;
	char bytes[512];
	ssize_t got;

	while ((got = read(fd, bytes, sizeof bytes)) > 0)
		p11_buffer_add(&text, bytes, (size_t)got);
	close(fd);
	return p11_buffer_steal(&text);
}

/* In the parent: what the child wrote until it exited with 0. */
static char *
collect(pid_t child, const int pipe_fds[2])
{
	int status = -1;

	close(pipe_fds[1]);

	char *text = read_to_end(pipe_fds[0]);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	return text;
}

char *
sandbox_dump_as_user(const struct p11_config_paths *paths, void (*prepare)(void *data), void *data)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);

	pid_t child = fork();
	if (child == 0) {
		unsetenv("HOME");
		unsetenv("XDG_CONFIG_HOME");
		become(OTHER_USER);
		if (prepare)
			prepare(data);

		char *text = sandbox_dump(paths);
		_exit(text && write(fds[1], text, strlen(text)) == (ssize_t)strlen(text) ? 0 : 98);
	}
	return collect(child, fds);
}

char *
sandbox_run(const char *file, char *const argv[], unsigned uid)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);

	pid_t child = fork();
	if (child == 0) {
		dup2(fds[1], STDOUT_FILENO);
		become(uid);
		execv(file, argv);
		_exit(97);
	}
	return collect(child, fds);
}

void
sandbox_assert_message(const char *part)
{
	const char *message = p11_message_last();

	assert_non_null(message);
	if (!strstr(message, part))
		fail_msg("the message '%s' does not contain '%s'", message, part);
}

void
sandbox_assert_no_message(void)
{
	if (p11_message_last())
		fail_msg("unexpected message: %s", p11_message_last());
}
