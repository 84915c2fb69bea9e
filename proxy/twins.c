/* SPDX-License-Identifier: BSD-3-Clause */
#include "proxy/twins.h"

#include "base/fork.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/message.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* More tokens than this are not remembered. */
#define MAX_TOKENS 16384

/* What tells tokens apart: serial numbers alone do not, some modules give one to all their tokens.
 */
struct identity {
	CK_UTF8CHAR label[32];
	CK_UTF8CHAR manufacturer[32];
	CK_UTF8CHAR model[16];
	CK_CHAR serial[16];
};

struct token {
	unsigned long hash; /* the key */
	struct identity identity;
	const struct p11_module *module; /* that showed it first */
	bool is_told;
	UT_hash_handle hh;
};

static struct {
	pthread_mutex_t lock;  /* guards the rest */
	struct token *by_hash; /* owned, for ever; a uthash */
} twins = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct identity
identity_of(const CK_TOKEN_INFO *info)
{
	struct identity identity;

	_Static_assert(sizeof identity == 96, "no padding, since it is hashed");
	memcpy(identity.label, info->label, sizeof identity.label);
	memcpy(identity.manufacturer, info->manufacturerID, sizeof identity.manufacturer);
	memcpy(identity.model, info->model, sizeof identity.model);
	memcpy(identity.serial, info->serialNumber, sizeof identity.serial);
	return identity;
}

/* FNV-1a. */
static unsigned long
hash_of(const struct identity *identity)
{
	const unsigned char *bytes = (const unsigned char *)identity;
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < sizeof *identity; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
	return (unsigned long)hash;
}

/* Padding only: a token that has no number yet. */
static bool
is_blank(const CK_CHAR *text, size_t size)
{
	while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\0'))
		size--;
	return size == 0;
}

static void
add_locked(unsigned long hash, const struct identity *identity, const struct p11_module *module)
{
	struct token *token = NULL;

	if (HASH_COUNT(twins.by_hash) < MAX_TOKENS)
		token = calloc(1, sizeof *token);
	if (!token)
		return;
	token->hash = hash;
	token->identity = *identity;
	token->module = module;
	HASH_ADD(hh, twins.by_hash, hash, sizeof token->hash, token);
	if (!token->hh.tbl)
		free(token);
}

/* The other module that has shown it, if that is to be said now. */
static const struct p11_module *
see_locked(const struct p11_module *module, const struct identity *identity)
{
	unsigned long hash = hash_of(identity);
	struct token *token;

	HASH_FIND(hh, twins.by_hash, &hash, sizeof hash, token);
	if (!token) {
		add_locked(hash, identity, module);
		return NULL;
	}
	if (token->module == module || token->is_told ||
	    memcmp(&token->identity, identity, sizeof *identity) != 0)
		return NULL;
	token->is_told = true;
	return token->module;
}

/* A padded text as a string; what would not print is a question mark. */
static const char *
printable(const unsigned char *text, size_t size, char *out)
{
	while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\0'))
		size--;
	for (size_t i = 0; i < size; i++)
		out[i] = text[i] < 0x20 || text[i] == 0x7f ? '?' : (char)text[i];
	out[size] = '\0';
	return out;
}

void
p11_twins_see(const struct p11_module *module, CK_SLOT_ID slot, const CK_TOKEN_INFO *info)
{
	struct identity identity = identity_of(info);
	char label[sizeof identity.label + 1], serial[sizeof identity.serial + 1];

	if (!(info->flags & CKF_TOKEN_INITIALIZED) ||
	    is_blank(identity.serial, sizeof identity.serial))
		return;
	p11_fork_check();
	p11_hold(&twins.lock);
	const struct p11_module *other = see_locked(module, &identity);
	p11_let_go(&twins.lock);
	if (other)
		p11_message("module %s: the token \"%s\" (serial number %s) in slot 0x%lx seems to "
			    "be the one that module %s shows too; it appears twice; if one is "
			    "enough, use disable-in in the other one's configuration",
			    p11_module_label(module),
			    printable(identity.label, sizeof identity.label, label),
			    printable(identity.serial, sizeof identity.serial, serial), slot,
			    p11_module_label(other));
}

/* What another thread of the parent was just changing is abandoned; it is only a memory. */
static void
reset_in_child(void)
{
	twins.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	twins.by_hash = NULL;
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
}
