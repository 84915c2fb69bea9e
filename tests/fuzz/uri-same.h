/* SPDX-License-Identifier: BSD-3-Clause */
/* What the targets for URIs share. */
#ifndef P11_TEST_FUZZ_URI_H
#define P11_TEST_FUZZ_URI_H

#include "fuzz.h"

#include "p11-kit/uri.h"

/* A URI of a text that must be one; free with p11_kit_uri_free(). */
P11KitUri *fuzz_uri_parse(const char *text, P11KitUriType type);

/* The text of a URI that must have one; free with free(). */
char *fuzz_uri_format(P11KitUri *uri, P11KitUriType type);

/* Aborts unless the two say the same, apart from what each did not recognize. */
void fuzz_uri_same(P11KitUri *a, P11KitUri *b, P11KitUriType type);

/*
 * Aborts unless the URI is the same with the items of its path in other orders, and matches the
 * same then. `text` is as the library formats it.
 */
void fuzz_uri_reorder(P11KitUri *uri, const char *text, P11KitUriType type);

#endif
