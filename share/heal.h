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
 * Turns the module's managed tables down, forgets its sessions, since it will number them anew, and
 * initializes it once, without C_Finalize, if a consumer is left; at most every 5 s, and for at
 * most a twentieth of the time. The caller has joined the module. True: it is up again, ask once
 * more.
 */
bool p11_heal(struct p11_module *module);

#endif
