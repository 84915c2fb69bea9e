/* SPDX-License-Identifier: BSD-3-Clause */
/* One entry of a function list, when it does not matter which. To be cast to the call's own type
 * before it is called. */
#ifndef P11_ENTRY_H
#define P11_ENTRY_H

#include <p11-kit/pkcs11.h>

typedef CK_RV (*p11_entry)(void);

#endif
