/* SPDX-License-Identifier: BSD-3-Clause */
/* What p11-kit/pin.h promises, from several threads, in a forked child, and when reading fails. */
#include "p11-kit/pin.h"

#include "api/test-memory.h"

#include "base/base.h"
#include "tests/support/sanitizers.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define USER P11_KIT_PIN_FLAGS_USER_LOGIN

ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
/* What open() is called where files may be large. */
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

/* Errors that the next calls of open() and read() meet; 0 ends the list. */
static int open_errors[4], read_errors[4];
static size_t longest_read = SIZE_MAX;

static int
next_error(int errors[4])
{
	int error = errors[0];

	memmove(errors, errors + 1, 3 * sizeof *errors);
	errors[3] = 0;
	return error;
}

ssize_t
__wrap_read(int fd, void *bytes, size_t size)
{
	int error = next_error(read_errors);

	if (error) {
		errno = error;
		return -1;
	}
	return __real_read(fd, bytes, size < longest_read ? size : longest_read);
}

int
__wrap_open64(const char *path, int flags, ...)
{
	int error = next_error(open_errors);

	if (error) {
		errno = error;
		return -1;
	}
	assert_true(flags & O_CLOEXEC);
	return __real_open64(path, flags);
}

static void
assert_pin(P11KitPin *pin, const char *expected)
{
	size_t length = 99;

	assert_non_null(pin);
	assert_memory_equal(p11_kit_pin_get_value(pin, &length), expected, strlen(expected));
	assert_int_equal(length, strlen(expected));
	assert_int_equal(p11_kit_pin_get_length(pin), strlen(expected));
	p11_kit_pin_unref(pin);
}

static unsigned n_destroyed;

static void
count_destroyed(void *data)
{
	(void)data;
	n_destroyed++;
}

static void
test_pins(void **state)
{
	unsigned char buffer[] = "buffer";

	(void)state;
	assert_pin(p11_kit_pin_new((const unsigned char *)"one", 3), "one");
	assert_pin(p11_kit_pin_new((const unsigned char *)"", 0), "");
	assert_pin(p11_kit_pin_new_for_string("two"), "two");
	assert_pin(p11_kit_pin_new_for_string(""), "");

	P11KitPin *empty = p11_kit_pin_new(NULL, 0);
	assert_non_null(empty);
	assert_int_equal(p11_kit_pin_get_length(empty), 0);
	p11_kit_pin_unref(empty);

	P11KitPin *nul = p11_kit_pin_new((const unsigned char *)"a\0b", 3);
	assert_memory_equal(p11_kit_pin_get_value(nul, NULL), "a\0b", 3);
	assert_int_equal(p11_kit_pin_get_length(nul), 3);
	p11_kit_pin_unref(nul);

	n_destroyed = 0;
	P11KitPin *pin = p11_kit_pin_new_for_buffer(buffer, 6, count_destroyed);
	assert_ptr_equal(p11_kit_pin_get_value(pin, NULL), buffer);
	assert_ptr_equal(p11_kit_pin_ref(pin), pin);
	p11_kit_pin_unref(pin);
	assert_int_equal(n_destroyed, 0);
	assert_pin(pin, "buffer");
	assert_int_equal(n_destroyed, 1);
	assert_string_equal((char *)buffer, "buffer");
	assert_pin(p11_kit_pin_new_for_buffer(buffer, 3, NULL), "buf");
}

static void
test_null(void **state)
{
	size_t length = 5;

	(void)state;
	assert_null(p11_kit_pin_new(NULL, 1));
	assert_null(p11_kit_pin_new_for_string(NULL));
	assert_null(p11_kit_pin_new_for_buffer(NULL, 1, free));
	assert_null(p11_kit_pin_ref(NULL));
	p11_kit_pin_unref(NULL);
	assert_null(p11_kit_pin_get_value(NULL, &length));
	assert_int_equal(length, 0);
	assert_null(p11_kit_pin_get_value(NULL, NULL));
	assert_int_equal(p11_kit_pin_get_length(NULL), 0);
	assert_int_equal(p11_kit_pin_register_callback(NULL, p11_kit_pin_file_callback, NULL, NULL),
			 -1);
	assert_int_equal(p11_kit_pin_register_callback("x", NULL, NULL, NULL), -1);
	p11_kit_pin_unregister_callback(NULL, p11_kit_pin_file_callback, NULL);
	p11_kit_pin_unregister_callback("x", NULL, NULL);
	assert_null(p11_kit_pin_request(NULL, NULL, "", USER));
	errno = 0;
	assert_null(p11_kit_pin_file_callback(NULL, NULL, NULL, USER, NULL));
	assert_int_equal(errno, EINVAL);
}

static void
test_secrets_are_wiped(void **state)
{
	char secret[] = "s3cr3t-PIN";

	(void)state;
	watched_secret = secret;
	n_leaked_secrets = n_watched_blocks = 0;
	p11_kit_pin_unref(p11_kit_pin_new((unsigned char *)secret, strlen(secret)));
	p11_kit_pin_unref(p11_kit_pin_new_for_string(secret));

	/* Memory that lasts for the copy and not for the PIN */
	allocations_left = 1;
	assert_null(p11_kit_pin_new_for_string(secret));
	allocations_left = 0;
	assert_null(p11_kit_pin_new_for_string(secret));
	allocations_left = -1;
	watched_secret = NULL;
	assert_true(n_watched_blocks >= 5);
	assert_int_equal(n_leaked_secrets, 0);
}

/* Gives its data as the PIN, or none for NULL; and writes down that it was asked. */
static char asked[64];

static P11KitPin *
give_data(const char *pin_source, P11KitUri *pin_uri, const char *pin_description,
	  P11KitPinFlags pin_flags, void *callback_data)
{
	const char *data = callback_data;

	assert_non_null(pin_source);
	assert_ptr_equal(pin_uri, (P11KitUri *)asked);
	assert_string_equal(pin_description, "words");
	assert_int_equal(pin_flags, P11_KIT_PIN_FLAGS_SO_LOGIN | P11_KIT_PIN_FLAGS_FINAL_TRY);
	strncat(asked, data, sizeof asked - strlen(asked) - 1);
	return data[0] == '-' ? NULL : p11_kit_pin_new_for_string(data);
}

static P11KitPin *
ask(const char *source)
{
	asked[0] = '\0';
	return p11_kit_pin_request(source, (P11KitUri *)asked, "words",
				   P11_KIT_PIN_FLAGS_SO_LOGIN | P11_KIT_PIN_FLAGS_FINAL_TRY);
}

static void
add(const char *source, char *data)
{
	assert_int_equal(p11_kit_pin_register_callback(source, give_data, data, count_destroyed),
			 0);
}

static void
test_order(void **state)
{
	char a[] = "a", none[] = "-", b[] = "b", f[] = "f";
	char source[] = "/source";

	(void)state;
	n_destroyed = 0;
	assert_null(ask("/source"));
	add(source, a);
	source[1] = 'S'; /* it was copied */
	add("/source", none);
	assert_pin(ask("/source"), "a");
	assert_string_equal(asked, "-a");
	add("/source", b);
	assert_pin(ask("/source"), "b");
	assert_string_equal(asked, "b");
	assert_null(ask("/Source"));
	assert_null(ask("/sourc"));

	/* The fallback is for sources that have no callback, not for those whose callbacks fail. */
	add(P11_KIT_PIN_FALLBACK, f);
	assert_pin(ask("/other"), "f");
	assert_pin(ask(""), "f");
	p11_kit_pin_unregister_callback("/source", give_data, a);
	p11_kit_pin_unregister_callback("/source", give_data, b);
	assert_int_equal(n_destroyed, 2);
	assert_null(ask("/source"));
	assert_string_equal(asked, "-");
	p11_kit_pin_unregister_callback("/source", give_data, none);
	assert_pin(ask("/source"), "f");
	p11_kit_pin_unregister_callback("", give_data, f);
	assert_null(ask("/source"));
	assert_int_equal(n_destroyed, 4);

	/* Unknown ones */
	p11_kit_pin_unregister_callback("/source", give_data, f);
	p11_kit_pin_unregister_callback("/nothing", give_data, f);
	assert_int_equal(n_destroyed, 4);
}

/* Of callbacks that are registered twice the oldest goes, and its own destroyer runs. */
static void
destroy_first(void *data)
{
	strcat(data, "1");
}

static void
destroy_second(void *data)
{
	strcat(data, "2");
}

static void
test_unregister_takes_the_oldest(void **state)
{
	char data[8] = "x";

	(void)state;
	assert_int_equal(p11_kit_pin_register_callback("s", give_data, data, destroy_first), 0);
	assert_int_equal(p11_kit_pin_register_callback("t", give_data, data, destroy_first), 0);
	assert_int_equal(p11_kit_pin_register_callback("s", give_data, data, destroy_second), 0);
	p11_kit_pin_unregister_callback("s", give_data, data);
	assert_string_equal(data, "x1");
	assert_pin(ask("s"), "x1");
	p11_kit_pin_unregister_callback("s", give_data, data);
	assert_string_equal(data, "x12");
	assert_null(ask("s"));
	p11_kit_pin_unregister_callback("t", give_data, data);
	assert_string_equal(data, "x121");
}

/* No lock is held while a callback or a destroyer runs. */
static P11KitPin *
reregister(const char *pin_source, P11KitUri *pin_uri, const char *pin_description,
	   P11KitPinFlags pin_flags, void *callback_data)
{
	unsigned before = n_destroyed;

	(void)pin_uri;
	(void)pin_description;
	(void)pin_flags;
	p11_kit_pin_unregister_callback(pin_source, reregister, callback_data);
	assert_int_equal(n_destroyed, before); /* since it runs */
	assert_int_equal(p11_kit_pin_register_callback(pin_source, give_data, callback_data, NULL),
			 0);
	return NULL;
}

static void
destroy_and_ask(void *data)
{
	char asked_data[] = "z";

	assert_string_equal(data, "y");
	n_destroyed++;
	add("inner", asked_data);
	assert_pin(ask("inner"), "z");
	p11_kit_pin_unregister_callback("inner", give_data, asked_data);
}

static void
test_reentrance(void **state)
{
	char data[] = "y";

	(void)state;
	n_destroyed = 0;
	assert_int_equal(p11_kit_pin_register_callback("s", reregister, data, destroy_and_ask), 0);
	assert_null(ask("s")); /* the new one is not asked, it came too late */
	assert_int_equal(n_destroyed, 2);
	assert_pin(ask("s"), "y");
	p11_kit_pin_unregister_callback("s", give_data, data);
	assert_null(ask("s"));
}

/* A callback that an earlier one unregisters is not asked: its data is gone. */
static P11KitPin *
unregister_older(const char *pin_source, P11KitUri *pin_uri, const char *pin_description,
		 P11KitPinFlags pin_flags, void *callback_data)
{
	(void)pin_uri;
	(void)pin_description;
	(void)pin_flags;
	p11_kit_pin_unregister_callback(pin_source, give_data, callback_data);
	return NULL;
}

static void
test_unregistered_before_its_turn(void **state)
{
	char data[] = "y";

	(void)state;
	n_destroyed = 0;
	add("s", data);
	assert_int_equal(p11_kit_pin_register_callback("s", unregister_older, data, NULL), 0);
	assert_null(ask("s"));
	assert_int_equal(n_destroyed, 1);
	assert_string_equal(asked, "");
	p11_kit_pin_unregister_callback("s", unregister_older, data);
}

static void
test_no_memory(void **state)
{
	char data[] = "y";

	(void)state;
	n_destroyed = 0;
	allocations_left = 0;
	assert_int_equal(p11_kit_pin_register_callback("s", give_data, data, count_destroyed), -1);
	allocations_left = -1;
	assert_int_equal(n_destroyed, 0);
	assert_null(ask("s"));
}

/* Threads */

#define N_THREADS 4
#define N_ROUNDS 2000

static atomic_uint n_thread_destroyed;

static void
count_atomically(void *data)
{
	atomic_fetch_add(&n_thread_destroyed, 1);
	free(data);
}

static P11KitPin *
give_or_not(const char *pin_source, P11KitUri *pin_uri, const char *pin_description,
	    P11KitPinFlags pin_flags, void *callback_data)
{
	(void)pin_source;
	(void)pin_uri;
	(void)pin_description;
	(void)pin_flags;
	/* Alive, as long as we run: */
	return strcmp(callback_data, "data") == 0 ? p11_kit_pin_new_for_string(callback_data)
						  : NULL;
}

static void *
come_and_go(void *shared)
{
	P11KitPin *pin = shared;

	for (int i = 0; i < N_ROUNDS; i++) {
		char *data = strdup("data");
		if (p11_kit_pin_register_callback("shared", give_or_not, data, count_atomically))
			abort();
		P11KitPin *got = p11_kit_pin_request("shared", NULL, "", USER);
		if (!got || p11_kit_pin_get_length(got) != 4)
			abort();
		p11_kit_pin_unref(got);
		p11_kit_pin_unref(p11_kit_pin_ref(pin));
		p11_kit_pin_unregister_callback("shared", give_or_not, data);
	}
	p11_kit_pin_unref(pin);
	return NULL;
}

static void
test_threads(void **state)
{
	pthread_t threads[N_THREADS];
	unsigned char buffer[1];

	(void)state;
	n_destroyed = 0;
	P11KitPin *pin = p11_kit_pin_new_for_buffer(buffer, 1, count_destroyed);
	for (int i = 0; i < N_THREADS; i++) {
		assert_int_equal(
			pthread_create(&threads[i], NULL, come_and_go, p11_kit_pin_ref(pin)), 0);
	}
	p11_kit_pin_unref(pin);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(n_destroyed, 1);
	assert_int_equal(n_thread_destroyed, N_THREADS * N_ROUNDS);
	assert_null(p11_kit_pin_request("shared", NULL, "", USER));
}

/* A child has the callbacks and a free lock, whatever the parent's other threads were at. */
static atomic_bool stop_storm;

static void *
storm(void *unused)
{
	char data[] = "data";

	(void)unused;
	while (!atomic_load(&stop_storm)) {
		if (p11_kit_pin_register_callback("other", give_or_not, data, NULL))
			abort();
		p11_kit_pin_unregister_callback("other", give_or_not, data);
	}
	return NULL;
}

/* Only what a child of a process with threads may do, beside the library: no cmocka. */
static int
child(void)
{
	char data[] = "data";

	alarm(60); /* a lock that nobody gives back */
	P11KitPin *pin = p11_kit_pin_request("kept", NULL, "", USER);
	if (!pin || p11_kit_pin_get_length(pin) != 4)
		return 1;
	p11_kit_pin_unref(pin);
	if (p11_kit_pin_register_callback("new", give_or_not, data, NULL) != 0)
		return 2;
	pin = p11_kit_pin_request("new", NULL, "", USER);
	if (!pin)
		return 3;
	p11_kit_pin_unref(pin);
	p11_kit_pin_unregister_callback("new", give_or_not, data);
	p11_kit_pin_unregister_callback("kept", give_or_not, data);
	return p11_kit_pin_request("new", NULL, "", USER) ? 4 : 0;
}

static void
test_fork(void **state)
{
	pthread_t threads[2];
	char data[] = "data";

	(void)state;
	if (!SUPPORT_FORKS_WHILE_BUSY)
		skip();
	atomic_store(&stop_storm, false);
	assert_int_equal(p11_kit_pin_register_callback("kept", give_or_not, data, NULL), 0);
	for (size_t i = 0; i < P11_N_ELEMENTS(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, storm, NULL), 0);
	for (int i = 0; i < 200; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(child());
		int status = -1;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	atomic_store(&stop_storm, true);
	for (size_t i = 0; i < P11_N_ELEMENTS(threads); i++)
		pthread_join(threads[i], NULL);
	p11_kit_pin_unregister_callback("kept", give_or_not, data);
	assert_null(p11_kit_pin_request("kept", NULL, "", USER));
}

/* Files */

static char folder[] = "/tmp/test-pin-XXXXXX";
static char file[64];

static void
write_file(size_t size, char byte)
{
	FILE *stream = fopen(file, "we");

	assert_non_null(stream);
	for (size_t i = 0; i < size; i++)
		fputc(byte, stream);
	assert_int_equal(fclose(stream), 0);
}

static P11KitPin *
read_pin(P11KitPinFlags flags)
{
	errno = 0;
	return p11_kit_pin_file_callback(file, NULL, "", flags, NULL);
}

static int
make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(file, sizeof file, "%s/pin", folder);
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	unlink(file);
	return rmdir(folder);
}

static void
test_file_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 12, 3072, 3073, 4095, 4096};

	(void)state;
	for (size_t i = 0; i < P11_N_ELEMENTS(sizes); i++) {
		write_file(sizes[i], '\n');
		longest_read = i % 2 ? 7 : SIZE_MAX;
		P11KitPin *pin = read_pin(USER);
		assert_non_null(pin);
		assert_int_equal(p11_kit_pin_get_length(pin), sizes[i]);
		if (sizes[i] > 0)
			assert_int_equal(p11_kit_pin_get_value(pin, NULL)[sizes[i] - 1], '\n');
		p11_kit_pin_unref(pin);
	}
	longest_read = SIZE_MAX;
	write_file(4097, 'x');
	assert_null(read_pin(USER));
	assert_int_equal(errno, EFBIG);
	write_file(100000, 'x');
	assert_null(read_pin(USER));
	assert_int_equal(errno, EFBIG);
}

static void
test_file_errors(void **state)
{
	(void)state;
	write_file(5, 'x');
	assert_null(read_pin(USER | P11_KIT_PIN_FLAGS_RETRY));
	assert_null(p11_kit_pin_file_callback(folder, NULL, "", USER, NULL));
	assert_int_equal(errno, EISDIR);
	allocations_left = 0;
	assert_null(read_pin(USER));
	allocations_left = -1;
	assert_int_equal(errno, ENOMEM);

	/* A signal is no failure, no bytes now is one. */
	open_errors[0] = open_errors[1] = EINTR;
	read_errors[0] = read_errors[1] = EINTR;
	assert_pin(read_pin(USER), "xxxxx");
	read_errors[0] = EAGAIN;
	assert_null(read_pin(USER));
	assert_int_equal(errno, EAGAIN);
	read_errors[0] = EIO;
	assert_null(read_pin(USER));
	assert_int_equal(errno, EIO);
	unlink(file);
	assert_null(read_pin(USER));
	assert_int_equal(errno, ENOENT);
}

static unsigned
count_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
test_files_are_closed(void **state)
{
	unsigned before = count_descriptors();

	(void)state;
	test_file_sizes(NULL);
	test_file_errors(NULL);
	assert_int_equal(count_descriptors(), before);
}

/* It is a callback like any other, and not registered by itself. */
static void
test_file_callback_registered(void **state)
{
	(void)state;
	write_file(3, 'p');
	assert_null(p11_kit_pin_request(file, NULL, "", USER));
	assert_int_equal(p11_kit_pin_register_callback(P11_KIT_PIN_FALLBACK,
						       p11_kit_pin_file_callback, NULL, NULL),
			 0);
	assert_pin(p11_kit_pin_request(file, NULL, "", USER), "ppp");
	p11_kit_pin_unregister_callback(P11_KIT_PIN_FALLBACK, p11_kit_pin_file_callback, NULL);
	assert_null(p11_kit_pin_request(file, NULL, "", USER));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_secrets_are_wiped),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_unregister_takes_the_oldest),
		cmocka_unit_test(test_reentrance),
		cmocka_unit_test(test_unregistered_before_its_turn),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_file_sizes),
		cmocka_unit_test(test_file_errors),
		cmocka_unit_test(test_files_are_closed),
		cmocka_unit_test(test_file_callback_registered),
	};

	unsetenv("P11_KIT_STRICT");
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
