/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/context.h"

#include "base/fork.h"
#include "base/lock.h"
#include "base/message.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* How many contexts only a consumer without another context to share may have. */
#define N_KEPT (P11_N_CONTEXTS / 8)

static const CK_VERSION versions[P11_N_LISTS] = {
	[P11_LIST_2_40] = {2, 40},
	[P11_LIST_3_0] = {3, 0},
	[P11_LIST_3_1] = {3, 1},
	[P11_LIST_3_2] = {3, 2},
};

static CK_UTF8CHAR interface_name[] = "PKCS 11";

struct context {
	const struct p11_context_kind *_Atomic kind;  /* NULL while it is free */
	union p11_table *_Atomic tables[P11_N_LISTS]; /* owned; made once, never freed */
	CK_INTERFACE interfaces[P11_N_LISTS];         /* filled with the table, then constant */
};

/* The lock guards the queue of free contexts and the making and rewriting of tables. */
static struct {
	pthread_mutex_t lock;
	atomic_uint n_fresh;                  /* contexts never taken yet come after this many */
	unsigned short queue[P11_N_CONTEXTS]; /* a ring of those given back */
	unsigned first, n_queued;
	struct context all[P11_N_CONTEXTS];
} contexts = {.lock = PTHREAD_MUTEX_INITIALIZER};

static unsigned
n_free_locked(void)
{
	return P11_N_CONTEXTS - contexts.n_fresh + contexts.n_queued;
}

static unsigned
next_free_locked(void)
{
	if (contexts.n_fresh < P11_N_CONTEXTS)
		return contexts.n_fresh++;

	unsigned number = contexts.queue[contexts.first];
	/* In this order: a child that was forked in between must not find one that somebody has. */
	contexts.n_queued--;
	atomic_signal_fence(memory_order_seq_cst);
	contexts.first = (contexts.first + 1) % P11_N_CONTEXTS;
	return number;
}

/* A consumer may read an entry at any moment: it sees the old function or the new one. What stays,
 * as the life cycle's functions do, is not written again: that would be a data race of several
 * threads that call it. */
static void
set_entry(p11_entry *place, p11_entry entry)
{
	if (*place != entry) /* written under the lock only */
		__atomic_store_n(place, entry, __ATOMIC_RELAXED);
}

static void
write_locked(unsigned number, const struct p11_context_kind *kind, union p11_table *table)
{
	for (unsigned i = 0; i < P11_N_CALLS; i++)
		set_entry(&table->by_call.entry[i], kind->entry(number, (enum p11_call_id)i));
}

static void
rewrite_locked(unsigned number)
{
	struct context *context = &contexts.all[number];
	const struct p11_context_kind *kind = atomic_load(&context->kind);

	for (unsigned i = 0; kind && i < P11_N_LISTS; i++) {
		union p11_table *table = atomic_load(&context->tables[i]);
		if (table)
			write_locked(number, kind, table);
	}
}

int
p11_context_take(bool first)
{
	int number = P11_NO_CONTEXT;

	p11_hold(&contexts.lock);
	if (n_free_locked() > (first ? 0 : N_KEPT))
		number = (int)next_free_locked();
	p11_let_go(&contexts.lock);
	return number;
}

unsigned
p11_context_n_taken(void)
{
	return atomic_load(&contexts.n_fresh);
}

void
p11_context_begin(unsigned number, const struct p11_context_kind *kind, void *consumer)
{
	p11_hold(&contexts.lock);
	atomic_store(&contexts.all[number].kind, kind);
	rewrite_locked(number);
	atomic_store(&p11_bounds[number].context, consumer);
	atomic_store_explicit(&p11_bounds[number].ops, kind->ops, memory_order_release);
	p11_let_go(&contexts.lock);
}

void
p11_context_give_back(unsigned number)
{
	p11_hold(&contexts.lock);
	atomic_store(&p11_bounds[number].ops, NULL);
	atomic_store(&contexts.all[number].kind, NULL);
	contexts.queue[(contexts.first + contexts.n_queued) % P11_N_CONTEXTS] =
		(unsigned short)number;
	contexts.n_queued++;
	p11_let_go(&contexts.lock);
}

static CK_FUNCTION_LIST *
list_locked(unsigned number, enum p11_list which)
{
	struct context *context = &contexts.all[number];
	union p11_table *table = atomic_load(&context->tables[which]);

	if (!table) {
		table = calloc(1, sizeof *table);
		if (!table)
			return NULL;
		table->by_call.version = versions[which];
		write_locked(number, atomic_load(&context->kind), table);
		context->interfaces[which] = (CK_INTERFACE){interface_name, table, 0};
		atomic_store_explicit(&context->tables[which], table, memory_order_release);
	}
	return &table->list_2_40;
}

CK_FUNCTION_LIST *
p11_context_list(unsigned number, enum p11_list which)
{
	CK_FUNCTION_LIST *list = NULL;

	p11_hold(&contexts.lock);
	if (atomic_load(&contexts.all[number].kind))
		list = list_locked(number, which);
	p11_let_go(&contexts.lock);
	return list;
}

void
p11_context_rewrite(unsigned number)
{
	p11_hold(&contexts.lock);
	rewrite_locked(number);
	p11_let_go(&contexts.lock);
}

void
p11_context_rewrite_in_child(unsigned number)
{
	rewrite_locked(number);
}

int
p11_context_of(const CK_FUNCTION_LIST *list)
{
	for (unsigned number = 0; number < P11_N_CONTEXTS; number++) {
		for (unsigned i = 0; i < P11_N_LISTS; i++) {
			const union p11_table *table = atomic_load_explicit(
				&contexts.all[number].tables[i], memory_order_acquire);
			if (table && &table->list_2_40 == list)
				return (int)number;
		}
	}
	return P11_NO_CONTEXT;
}

const struct p11_context_kind *
p11_context_kind_of(unsigned number)
{
	return atomic_load(&contexts.all[number].kind);
}

static int
list_of_version(const CK_VERSION *version)
{
	if (!version)
		return P11_LIST_3_2;
	for (int i = 0; i < P11_N_LISTS; i++) {
		if (versions[i].major == version->major && versions[i].minor == version->minor)
			return i;
	}
	return -1;
}

CK_RV
p11_context_get_interface(unsigned number, const CK_UTF8CHAR *name, const CK_VERSION *version,
			  CK_INTERFACE_PTR_PTR out, CK_FLAGS flags)
{
	int which = list_of_version(version);

	if (!out)
		return p11_fail(CKR_ARGUMENTS_BAD,
				"C_GetInterface needs a place for the interface");
	if (name && strcmp((const char *)name, (const char *)interface_name) != 0)
		return p11_fail(CKR_ARGUMENTS_BAD, "there is only the interface \"PKCS 11\"");
	if (which < 0)
		return p11_fail(
			CKR_ARGUMENTS_BAD,
			"interface version %u.%u is not offered; 2.40, 3.0, 3.1 and 3.2 are",
			version->major, version->minor);
	if (flags != 0)
		return p11_fail(
			CKR_ARGUMENTS_BAD,
			"interface flags 0x%lx are not offered; a module shared here promises none",
			flags);
	if (!p11_context_list(number, (enum p11_list)which))
		return p11_fail(CKR_HOST_MEMORY, "no memory for a function list");
	*out = &contexts.all[number].interfaces[which];
	return CKR_OK;
}

CK_RV
p11_context_get_interface_list(unsigned number, const enum p11_list *which, CK_ULONG n_which,
			       CK_INTERFACE_PTR list, CK_ULONG_PTR count)
{
	if (!count)
		return p11_fail(CKR_ARGUMENTS_BAD,
				"C_GetInterfaceList needs a place for the count");

	CK_ULONG room = list ? *count : 0;
	*count = n_which;
	if (!list)
		return CKR_OK;
	if (room < n_which)
		return CKR_BUFFER_TOO_SMALL;
	for (CK_ULONG i = 0; i < n_which; i++) {
		if (!p11_context_list(number, which[i]))
			return p11_fail(CKR_HOST_MEMORY, "no memory for a function list");
		list[i] = contexts.all[number].interfaces[which[i]];
	}
	return CKR_OK;
}

CK_RV
p11_context_check_args(const CK_C_INITIALIZE_ARGS *args)
{
	if (!args)
		return CKR_OK;

	unsigned n_mutex = !!args->CreateMutex + !!args->DestroyMutex + !!args->LockMutex +
			   !!args->UnlockMutex;
	if (n_mutex != 0 && n_mutex != 4)
		return p11_fail(
			CKR_ARGUMENTS_BAD,
			"C_Initialize was given %u of the four mutex functions; give all or none",
			n_mutex);
	return CKR_OK;
}

static void
reset_in_child(void)
{
	contexts.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
}
