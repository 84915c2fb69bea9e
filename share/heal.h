/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A module that is up for us answers CKR_CRYPTOKI_NOT_INITIALIZED: a consumer that loaded the
 * vendor's file directly has finalized it under us.
 */
#ifndef P11_HEAL_H
#define P11_HEAL_H

#include "base/base.h"
#include "module/module.h"

#include <stdbool.h>

/*
 * Forgets the module's sessions, since it will number them anew, turns its managed tables down, and
 * initializes it once, without C_Finalize; at most every 5 s. The caller has joined the module.
 * True: it is up again, ask once more.
 */
bool p11_heal(struct p11_module *module);

#endif
