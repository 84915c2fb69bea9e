/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PINs, which are counted and wiped, and the registry of callbacks that get them.
 *
 * The registry's lock is held for a few instructions and never while a callback or a destroyer
 * runs. There is no snapshot of a request's callbacks: they are numbered, and a request takes the
 * newest that is older than the last one it asked.
 */
#include "p11-kit/pin.h"

#include "base/base.h"
#include "base/fork.h"
#include "base/lock.h"
#include "base/message.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_PIN_MAX 4096 /* bytes */

struct p11_kit_pin {
	atomic_ulong n_refs;
	unsigned char *buffer;            /* owned */
	size_t length;                    /* bytes */
	bool is_copy;                     /* ours: wiped and freed, and `destroy` is not called */
	p11_kit_pin_destroy_func destroy; /* may be NULL */
};

struct entry {
	struct entry *_Atomic next; /* older; guarded by the lock */
	uint64_t number;            /* constant: how many were registered before it */
	unsigned long n_refs; /* guarded by the lock: one of the list, one of each running call */
	p11_kit_pin_callback callback;
	void *data;                       /* owned, if there is a `destroy` */
	p11_kit_pin_destroy_func destroy; /* may be NULL */
	char source[];
};

static struct {
	pthread_mutex_t lock; /* guards all that follows */
	struct entry *_Atomic newest;
	uint64_t n_registered; /* ever */
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

/*
 * A child keeps the callbacks. Each change to the list is one store (its pointers are atomic for
 * that reason only), so a fork finds it whole whatever another thread was at.
 */
static void
reset_in_child(void)
{
	registry.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

static struct p11_fork_reset fork_row = {.reset = reset_in_child};

__attribute__((constructor)) static void
register_reset(void)
{
	p11_fork_register(&fork_row);
}

static void
registry_lock(void)
{
	p11_fork_check();
	p11_hold(&registry.lock);
}

static void
registry_unlock(void)
{
	p11_let_go(&registry.lock);
}

/* PINs */

static P11KitPin *
pin_new(unsigned char *buffer, size_t length, bool is_copy, p11_kit_pin_destroy_func destroy)
{
	P11KitPin *pin = malloc(sizeof *pin);

	if (!pin)
		return NULL;
	atomic_init(&pin->n_refs, 1);
	pin->buffer = buffer;
	pin->length = length;
	pin->is_copy = is_copy;
	pin->destroy = destroy;
	return pin;
}

P11_EXPORT P11KitPin *
p11_kit_pin_new(const unsigned char *value, size_t length)
{
	if (p11_broken(value != NULL || length == 0))
		return NULL;

	unsigned char *copy = malloc(length > 0 ? length : 1);
	if (!copy)
		return NULL;
	if (length > 0)
		memcpy(copy, value, length);

	P11KitPin *pin = pin_new(copy, length, true, NULL);
	if (!pin) {
		explicit_bzero(copy, length);
		free(copy);
	}
	return pin;
}

P11_EXPORT P11KitPin *
p11_kit_pin_new_for_string(const char *value)
{
	if (p11_broken(value != NULL))
		return NULL;
	return p11_kit_pin_new((const unsigned char *)value, strlen(value));
}

P11_EXPORT P11KitPin *
p11_kit_pin_new_for_buffer(unsigned char *buffer, size_t length, p11_kit_pin_destroy_func destroy)
{
	if (p11_broken(buffer != NULL || length == 0))
		return NULL;
	return pin_new(buffer, length, false, destroy);
}

P11_EXPORT P11KitPin *
p11_kit_pin_ref(P11KitPin *pin)
{
	if (p11_broken(pin != NULL))
		return NULL;
	atomic_fetch_add_explicit(&pin->n_refs, 1, memory_order_relaxed);
	return pin;
}

P11_EXPORT void
p11_kit_pin_unref(P11KitPin *pin)
{
	if (!pin || atomic_fetch_sub_explicit(&pin->n_refs, 1, memory_order_acq_rel) > 1)
		return;
	if (pin->is_copy) {
		explicit_bzero(pin->buffer, pin->length);
		free(pin->buffer);
	} else if (pin->destroy) {
		pin->destroy(pin->buffer);
	}
	free(pin);
}

P11_EXPORT const unsigned char *
p11_kit_pin_get_value(P11KitPin *pin, size_t *length)
{
	bool broken = p11_broken(pin != NULL);

	if (length)
		*length = broken ? 0 : pin->length;
	return broken ? NULL : pin->buffer;
}

P11_EXPORT size_t
p11_kit_pin_get_length(P11KitPin *pin)
{
	return p11_broken(pin != NULL) ? 0 : pin->length;
}

/* Callbacks */

/* Gives back a reference; the last runs the destroyer. Not with the lock held. */
static void
entry_unref(struct entry *entry)
{
	registry_lock();
	bool last = --entry->n_refs == 0;
	registry_unlock();

	if (!last)
		return;
	if (entry->destroy)
		entry->destroy(entry->data);
	free(entry);
}

P11_EXPORT int
p11_kit_pin_register_callback(const char *pin_source, p11_kit_pin_callback callback,
			      void *callback_data, p11_kit_pin_destroy_func callback_destroy)
{
	if (p11_broken(pin_source != NULL) || p11_broken(callback != NULL))
		return -1;

	size_t size = strlen(pin_source) + 1;
	struct entry *entry = malloc(sizeof *entry + size);
	if (!entry)
		return -1;
	entry->n_refs = 1;
	entry->callback = callback;
	entry->data = callback_data;
	entry->destroy = callback_destroy;
	memcpy(entry->source, pin_source, size);

	registry_lock();
	entry->number = registry.n_registered++;
	entry->next = registry.newest;
	registry.newest = entry;
	registry_unlock();
	return 0;
}

P11_EXPORT void
p11_kit_pin_unregister_callback(const char *pin_source, p11_kit_pin_callback callback,
				void *callback_data)
{
	if (p11_broken(pin_source != NULL) || p11_broken(callback != NULL))
		return;

	struct entry *_Atomic *found = NULL;
	struct entry *oldest = NULL;

	registry_lock();
	for (struct entry *_Atomic *link = &registry.newest; *link; link = &(*link)->next) {
		struct entry *entry = *link;
		if (entry->callback == callback && entry->data == callback_data &&
		    strcmp(entry->source, pin_source) == 0)
			found = link;
	}
	if (found) {
		oldest = *found;
		*found = oldest->next;
	}
	registry_unlock();

	if (oldest)
		entry_unref(oldest);
}

/* The newest callback of a source whose number is below `number`, with a reference; NULL if there
 * is none. */
static struct entry *
entry_before(const char *source, uint64_t number)
{
	registry_lock();
	struct entry *entry = registry.newest;
	while (entry && (entry->number >= number || strcmp(entry->source, source) != 0))
		entry = entry->next;
	if (entry)
		entry->n_refs++;
	registry_unlock();
	return entry;
}

P11_EXPORT P11KitPin *
p11_kit_pin_request(const char *pin_source, P11KitUri *pin_uri, const char *pin_description,
		    P11KitPinFlags pin_flags)
{
	if (p11_broken(pin_source != NULL))
		return NULL;

	const char *source = pin_source;
	P11KitPin *pin = NULL;
	struct entry *entry = entry_before(source, UINT64_MAX);
	if (!entry) {
		source = P11_KIT_PIN_FALLBACK;
		entry = entry_before(source, UINT64_MAX);
	}
	while (entry) {
		uint64_t number = entry->number;
		pin = entry->callback(pin_source, pin_uri, pin_description, pin_flags, entry->data);
		entry_unref(entry);
		entry = pin ? NULL : entry_before(source, number);
	}
	return pin;
}

/* Reads until the end of the file, or until `size` bytes; their number, or -1 and errno. */
static ssize_t
read_bytes(int fd, unsigned char *bytes, size_t size)
{
	size_t length = 0;

	while (length < size) {
		ssize_t n = read(fd, bytes + length, size - length);
		if (n == 0)
			break;
		if (n > 0)
			length += (size_t)n;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)length;
}

static int
open_file(const char *path)
{
	int fd;

	do {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	} while (fd < 0 && errno == EINTR);
	return fd;
}

P11_EXPORT P11KitPin *
p11_kit_pin_file_callback(const char *pin_source, P11KitUri *pin_uri, const char *pin_description,
			  P11KitPinFlags pin_flags, void *callback_data)
{
	(void)pin_uri;
	(void)pin_description;
	(void)callback_data;

	if (p11_broken(pin_source != NULL)) {
		errno = EINVAL;
		return NULL;
	}
	if (pin_flags & P11_KIT_PIN_FLAGS_RETRY)
		return NULL;

	int fd = open_file(pin_source);
	if (fd < 0)
		return NULL;

	unsigned char bytes[FILE_PIN_MAX + 1];
	ssize_t length = read_bytes(fd, bytes, sizeof bytes);
	int error = length > FILE_PIN_MAX ? EFBIG : length < 0 ? errno : ENOMEM;
	P11KitPin *pin = NULL;
	if (length >= 0 && length <= FILE_PIN_MAX)
		pin = p11_kit_pin_new(bytes, (size_t)length);
	explicit_bzero(bytes, sizeof bytes);
	close(fd);
	if (!pin)
		errno = error;
	return pin;
}
