/* SPDX-License-Identifier: BSD-3-Clause */
/* The four mutex callbacks that a module gets in CK_C_INITIALIZE_ARGS (PKCS#11 3.2, C_Initialize).
 */
#ifndef P11_MUTEX_H
#define P11_MUTEX_H

#include <p11-kit/pkcs11.h>

CK_RV p11_mutex_create(CK_VOID_PTR_PTR mutex);
CK_RV p11_mutex_destroy(CK_VOID_PTR mutex);
CK_RV p11_mutex_lock(CK_VOID_PTR mutex);
CK_RV p11_mutex_unlock(CK_VOID_PTR mutex);

#endif
