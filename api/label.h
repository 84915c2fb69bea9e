/* SPDX-License-Identifier: BSD-3-Clause */
/* How messages call a module of which only a list is known. */
#ifndef P11_LABEL_H
#define P11_LABEL_H

#include "p11-kit/pkcs11.h"

/* Never NULL; interned. Any thread. */
const char *p11_label_of(const CK_FUNCTION_LIST *list);

#endif
