/* SPDX-License-Identifier: BSD-3-Clause */
/* The few words that every room uses: attributes, and owners that free themselves on every way out.
 */
#ifndef P11_BASE_H
#define P11_BASE_H

#define P11_MUST_USE __attribute__((warn_unused_result))
#define P11_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define P11_HIDDEN __attribute__((visibility("hidden")))
#define P11_EXPORT __attribute__((visibility("default")))

#define P11_N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/*
 * A local that owns a string: freed when it goes out of scope.
 * Hand it over with p11_steal().
 */
void p11_free_string(char **string);
#define P11_AUTO_STRING __attribute__((cleanup(p11_free_string))) char *

/* Close a FILE or a DIR at the end of its scope; NULL is fine. */
struct __dirstream;
void p11_close_dir(struct __dirstream **dir);
#define P11_AUTO_DIR __attribute__((cleanup(p11_close_dir))) DIR *

/* Hands the pointer over: the source is NULL afterwards. */
#define p11_steal(pointer)                                                                         \
	({                                                                                         \
		__typeof__(pointer) p11_stolen = (pointer);                                        \
		(pointer) = NULL;                                                                  \
		p11_stolen;                                                                        \
	})

#endif
