/* SPDX-License-Identifier: BSD-3-Clause */
/* What the examples do with a module that is initialized: log in to a token and sign. Plain PKCS#11. */
#ifndef EXAMPLES_TOKEN_H
#define EXAMPLES_TOKEN_H

#include <stdbool.h>

#include <p11-kit/pkcs11.h>

struct token {
	CK_FUNCTION_LIST *module;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
};

/* Finds the slot whose token has the label. */
bool token_find(CK_FUNCTION_LIST *module, const char *label, CK_SLOT_ID *slot);

/* Opens a session, logs in and finds a private RSA key; says on stderr what fails. */
bool token_open(struct token *token, CK_FUNCTION_LIST *module, const char *label, const char *pin);

/* Signs some text with the key. */
CK_RV token_sign(struct token *token);

#endif
