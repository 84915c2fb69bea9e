/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One token that is seen through two modules, as when a vendor's module and OpenSC both serve a
 * card. Both are shown, since nothing proves that they are one, and hiding would renumber slots;
 * but it is said, since users wonder. Nobody is asked for it: what consumers are told by
 * C_GetTokenInfo is remembered.
 */
#ifndef P11_TWINS_H
#define P11_TWINS_H

#include "module/module.h"

#include <p11-kit/pkcs11.h>

/* The module shows this token, in its slot with our id `slot`. A message, once for a token, if
 * another one has shown it too. Modules that ran are never freed, nor are these. */
void p11_twins_see(const struct p11_module *module, CK_SLOT_ID slot, const CK_TOKEN_INFO *info);

#endif
