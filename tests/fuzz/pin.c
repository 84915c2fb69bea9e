/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first line of the input says how read() behaves, one letter a call: a digit is the number of
 * bytes that it gives at most, 'i' is EINTR, 'e' is EIO; after the last letter it is as usual. The
 * rest is the PIN file. It is read byte for byte, or not at all. Linked with
 * --wrap=open64,--wrap=read.
 */
#include "fuzz.h"

#include "p11-kit/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static const uint8_t *script, *script_end;
static int last_fd = -1;
static bool has_failed;

/* What open() is called where files may be large. */
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size);

int
__wrap_open64(const char *path, int flags, ...)
{
	fuzz_check(!(flags & O_CREAT));
	last_fd = __real_open64(path, flags);
	return last_fd;
}

ssize_t
__wrap_read(int fd, void *bytes, size_t size)
{
	int letter = fd == last_fd && script < script_end ? *script++ : 0;

	if (letter == 'i' || letter == 'e') {
		has_failed |= letter == 'e';
		errno = letter == 'i' ? EINTR : EIO;
		return -1;
	}
	if (letter >= '1' && letter <= '9' && size > (size_t)(letter - '0'))
		size = (size_t)(letter - '0');
	return __real_read(fd, bytes, size);
}

static const char *
pin_path(void)
{
	static char path[64];

	if (!path[0]) {
		snprintf(path, sizeof path, "%s/p11-fuzz-pin-XXXXXX",
			 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		int fd = mkstemp(path);
		fuzz_check(fd >= 0);
		close(fd);
	}
	return path;
}

static void
remove_file(void)
{
	unlink(pin_path());
}

static void
put_file(const uint8_t *data, size_t size)
{
	static bool registered;

	if (!registered)
		registered = atexit(remove_file) == 0;
	FILE *file = fuzz_have(fopen(pin_path(), "w"));
	fuzz_check(fwrite(data, 1, size, file) == size);
	fuzz_check(fclose(file) == 0);
}

static void
check_pin(P11KitPin *pin, int error, const uint8_t *data, size_t size)
{
	size_t length = 0;

	if (has_failed) {
		fuzz_check(!pin && error == EIO);
	} else if (size > 4096) {
		fuzz_check(!pin && error == EFBIG);
	} else {
		const unsigned char *value = p11_kit_pin_get_value(fuzz_have(pin), &length);
		fuzz_check(length == size && p11_kit_pin_get_length(pin) == size);
		fuzz_check(size == 0 || memcmp(value, data, size) == 0);
	}
	p11_kit_pin_unref(pin);
	fuzz_check(last_fd >= 0);
	fuzz_check(fcntl(last_fd, F_GETFD) == -1 && errno == EBADF); /* it was closed */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *stop = size > 0 ? memchr(data, '\n', size) : NULL;
	const uint8_t *content = stop ? stop + 1 : data;
	size_t length = size - (size_t)(content - data);

	put_file(content, length);
	script = data;
	script_end = stop ? stop : data;
	has_failed = false;
	last_fd = -1;
	errno = 0;
	P11KitPin *pin = p11_kit_pin_file_callback(pin_path(), NULL, "", 0, NULL);
	check_pin(pin, errno, content, length);
	return 0;
}
