/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PINs, and callbacks that get them. A library that needs the PIN which a URI's pin-source names
 * asks for it by p11_kit_pin_request(); the program registers callbacks that know how to get it.
 * The words in brackets are explained in p11-kit.h.
 */
#ifndef P11_KIT_PIN_H
#define P11_KIT_PIN_H

#include "p11-kit/uri.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct p11_kit_pin P11KitPin;

/* What a PIN is asked for; as the token's flags tell it. */
typedef enum {
	P11_KIT_PIN_FLAGS_USER_LOGIN = 1 << 0,
	P11_KIT_PIN_FLAGS_SO_LOGIN = 1 << 1,
	P11_KIT_PIN_FLAGS_CONTEXT_LOGIN = 1 << 2, /* the key wants a login of its own */
	P11_KIT_PIN_FLAGS_RETRY = 1 << 3,         /* the last PIN was wrong */
	P11_KIT_PIN_FLAGS_MANY_TRIES = 1 << 4,    /* it was wrong several times */
	P11_KIT_PIN_FLAGS_FINAL_TRY = 1 << 5      /* one more wrong one locks the token */
} P11KitPinFlags;

/* The source of callbacks for sources that have none of their own. */
#define P11_KIT_PIN_FALLBACK ""

/**
 * p11_kit_pin_destroy_func - disposes of a buffer or of a callback's data
 * @data: the thing
 *
 * It is called with no lock held and may call this library.
 */
typedef void (*p11_kit_pin_destroy_func)(void *data);

/**
 * p11_kit_pin_callback - gets a PIN
 * @pin_source: borrowed, the source asked for
 * @pin_uri: borrowed, what it is for; may be NULL
 * @pin_description: borrowed, what it is for, in words
 * @pin_flags: which login, and how often it failed
 * @callback_data: borrowed, as registered
 *
 * It is called with no lock held and may call this library; several threads may call it at once.
 *
 * Returns a PIN with a reference for the caller, or NULL to let others try.
 */
typedef P11KitPin *(*p11_kit_pin_callback)(const char *pin_source, P11KitUri *pin_uri,
					   const char *pin_description, P11KitPinFlags pin_flags,
					   void *callback_data);

/**
 * p11_kit_pin_new() - a PIN of some bytes
 * [any thread]
 * @value: borrowed, copied; may be NULL if the length is 0   @length: in bytes, may be 0
 *
 * Returns the PIN with one reference; its copy is wiped when the last is given back. NULL without
 * memory and for a broken precondition.
 * Since 0.23.
 */
P11KitPin *p11_kit_pin_new(const unsigned char *value, size_t length);

/**
 * p11_kit_pin_new_for_string() - a PIN of a string
 * [any thread]
 * @value: borrowed, copied without its NUL
 *
 * Returns as p11_kit_pin_new() does.
 * Since 0.23.
 */
P11KitPin *p11_kit_pin_new_for_string(const char *value);

/**
 * p11_kit_pin_new_for_buffer() - a PIN in the caller's buffer
 * [any thread]
 * @buffer: kept, and not copied; it must stay as it is while the PIN lives
 * @length: in bytes, may be 0
 * @destroy: called with the buffer when the last reference is given back, to wipe and free it; may
 *           be NULL
 *
 * Returns the PIN with one reference; NULL without memory and for a broken precondition, and then
 * the buffer is still the caller's.
 * Since 0.23.
 */
P11KitPin *p11_kit_pin_new_for_buffer(unsigned char *buffer, size_t length,
				      p11_kit_pin_destroy_func destroy);

/**
 * p11_kit_pin_ref() - one more reference to a PIN
 * [any thread]
 * @pin: the PIN
 *
 * Returns the PIN; NULL for a broken precondition.
 * Since 0.23.
 */
P11KitPin *p11_kit_pin_ref(P11KitPin *pin);

/**
 * p11_kit_pin_unref() - give back a reference to a PIN; the last wipes and frees it
 * [any thread; may call back]
 * @pin: the PIN; may be NULL
 *
 * Since 0.23.
 */
void p11_kit_pin_unref(P11KitPin *pin);

/**
 * p11_kit_pin_get_value() - the bytes of a PIN
 * [any thread]
 * @pin: borrowed   @length: out, in bytes; may be NULL
 *
 * Returns the bytes, the PIN's own, valid as long as it; there need not be a NUL at the end. NULL,
 * and a length of 0, for a broken precondition.
 * Since 0.23.
 */
const unsigned char *p11_kit_pin_get_value(P11KitPin *pin, size_t *length);

/**
 * p11_kit_pin_get_length() - the length of a PIN
 * [any thread]
 * @pin: borrowed
 *
 * Returns the length in bytes; 0 for a broken precondition.
 * Since 0.23.
 */
size_t p11_kit_pin_get_length(P11KitPin *pin);

/**
 * p11_kit_pin_register_callback() - have requests for a source answered by a callback
 * [any thread]
 * @pin_source: borrowed, copied; compared exactly; P11_KIT_PIN_FALLBACK: all sources that have no
 *              callback
 * @callback: the function
 * @callback_data: kept, for the callback; may be NULL
 * @callback_destroy: called with the data when the callback is no longer registered nor running;
 *                    may be NULL
 *
 * The same may be registered several times; the newest is asked first. A child that the process
 * forks has the callbacks too.
 *
 * Returns 0; -1 without memory and for a broken precondition, and then the data is still the
 * caller's.
 * Since 0.23.
 */
int p11_kit_pin_register_callback(const char *pin_source, p11_kit_pin_callback callback,
				  void *callback_data, p11_kit_pin_destroy_func callback_destroy);

/**
 * p11_kit_pin_unregister_callback() - undo one p11_kit_pin_register_callback()
 * [any thread; may call back]
 * @pin_source: borrowed   @callback: as registered   @callback_data: as registered
 *
 * Of several that are the same the oldest goes. One that is not registered does nothing.
 * Since 0.23.
 */
void p11_kit_pin_unregister_callback(const char *pin_source, p11_kit_pin_callback callback,
				     void *callback_data);

/**
 * p11_kit_pin_request() - ask the registered callbacks for a PIN
 * [any thread; may call back]
 * @pin_source: borrowed, usually of the URI   @pin_uri: borrowed, what the PIN is for; may be NULL
 * @pin_description: borrowed, what it is for, in words; not NULL, since callbacks show it
 * @pin_flags: which login, and how often it failed
 *
 * The source's callbacks are asked one after another, newest first; those of P11_KIT_PIN_FALLBACK
 * if it has none. Those that are registered meanwhile are not asked, nor those that are
 * unregistered before their turn.
 *
 * Returns the first PIN that one gives, with a reference for the caller; NULL if none does, and for
 * a broken precondition.
 * Since 0.23.
 */
P11KitPin *p11_kit_pin_request(const char *pin_source, P11KitUri *pin_uri,
			       const char *pin_description, P11KitPinFlags pin_flags);

/**
 * p11_kit_pin_file_callback() - a callback: the source names a file that holds the PIN
 * [any thread]
 * @pin_source: borrowed, the path   @pin_uri: not used   @pin_description: not used
 * @pin_flags: with P11_KIT_PIN_FLAGS_RETRY there is no PIN: the file would say the same again
 * @callback_data: not used
 *
 * All bytes of the file are the PIN, a line feed at its end too; at most 4096. It is not registered
 * by itself.
 *
 * Returns the PIN with a reference for the caller; NULL, and errno, if the file cannot be read, is
 * longer (EFBIG) or has no bytes to read now (EAGAIN), and for a broken precondition (EINVAL).
 * Since 0.23.
 */
P11KitPin *p11_kit_pin_file_callback(const char *pin_source, P11KitUri *pin_uri,
				     const char *pin_description, P11KitPinFlags pin_flags,
				     void *callback_data);

#ifdef __cplusplus
}
#endif

#endif
