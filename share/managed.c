/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/managed.h"

#include "base/fork.h"
#include "base/lock.h"
#include "base/message.h"
#include "pkcs11/names.h"
#include "share/context.h"
#include "share/handle.h"
#include "share/heal.h"
#include "share/reused.h"
#include "share/shared.h"

#include <limits.h>
#include <pthread.h>

#define FIRST_EVENT_WAIT_MS 100
#define MAX_EVENT_WAIT_MS 1000

/* One for each context; the context's number is its place. Never freed, since a late call may still
 * look at it. */
struct managed {
	struct p11_life life;              /* users: C_Initialize less C_Finalize */
	struct p11_module *_Atomic module; /* owned reference while it is held by somebody */
	atomic_bool is_live;               /* the table has the module's functions */
	atomic_ullong owner; /* in the notes, from C_Initialize to C_Finalize; 0: not initialized */
	atomic_ulong n_heals; /* of the module, when `owner` began: another heal ends that owner */
	atomic_ullong last_event; /* the number of the last event that it was told */
	unsigned n_holders; /* tables handed out: 1, or more if the pool ran dry; guarded by the
			       lock */
	atomic_bool is_critical; /* see p11_managed_set_critical() */
	atomic_bool is_counted;  /* more than one holder: C_Initialize is counted, never
				    ALREADY_INITIALIZED */
};

/* The lock guards who has which table. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct managed all[P11_N_CONTEXTS] = {
	[0 ... P11_N_CONTEXTS - 1] = {.life = P11_LIFE_INIT},
};

static const struct p11_context_kind managed_kind;

static unsigned
number_of(const struct managed *managed)
{
	return (unsigned)(managed - all);
}

static void
set_live(struct managed *managed, bool is_live)
{
	if (atomic_exchange(&managed->is_live, is_live) != is_live)
		p11_context_rewrite(number_of(managed));
}

/* ---- life cycle ---- */

/*
 * Closes one session whose note was taken out for `owner`, unless the module was healed since: the
 * number may be another's by now. A module that refuses keeps it, and so do the notes, unless the
 * owner is gone meanwhile: then nobody could close it later.
 */
static CK_RV
close_noted(struct managed *managed, struct p11_module *module, struct p11_note *note,
	    unsigned long long owner)
{
	bool is_healed =
		atomic_load(&managed->n_heals) != atomic_load(&p11_shared_of(module)->n_heals);
	unsigned generation = p11_fork_generation();
	CK_RV rv = CKR_SESSION_HANDLE_INVALID;

	if (!is_healed && p11_module_join(module)) {
		rv = p11_module_calls(module)->C_CloseSession(p11_note_session(note));
		p11_module_leave(module);
	}
	if (generation != p11_fork_generation())
		rv = CKR_CRYPTOKI_NOT_INITIALIZED; /* the module forked, and this is the child */
	if (p11_session_is_gone(rv) || atomic_load(&managed->owner) != owner)
		p11_note_free(note);
	else
		p11_notes_restore(&p11_shared_of(module)->notes, note);
	return rv;
}

static void
close_all(struct managed *managed, struct p11_module *module, unsigned long long owner,
	  CK_SLOT_ID slot)
{
	struct p11_shared *shared = p11_shared_of(module);
	struct p11_note *note = p11_notes_take_all(&shared->notes, owner, slot);

	while (note) {
		struct p11_note *next = p11_note_next(note);
		CK_RV rv = close_noted(managed, module, note, owner);
		if (!p11_session_is_gone(rv))
			p11_message("module %s: a session could not be closed: %s",
				    p11_module_label(module), p11_rv_name(rv, (char[24]){0}));
		note = next;
	}
}

static void retire(struct managed *managed);

/*
 * The last C_Finalize. New calls find the table down before the first session is closed. The caller
 * has got P11_LIFE_YOURS: until p11_life_stopped() nobody gives the table back.
 */
static void
go_down(struct managed *managed)
{
	struct p11_module *module = atomic_load(&managed->module);
	unsigned long long owner = atomic_exchange(&managed->owner, 0);

	set_live(managed, false);
	p11_slots_wake();
	close_all(managed, module, owner, P11_NOTES_ANY_SLOT);
	(void)p11_module_stop(module);
	p11_life_stopped(&managed->life);
	retire(managed);
}

static CK_RV
go_up(struct managed *managed, void *reserved)
{
	struct p11_module *module = atomic_load(&managed->module);
	CK_RV rv = p11_module_start(module, reserved, P11_LIFE_FOREVER, NULL);

	if (rv == CKR_OK) {
		atomic_store(&managed->last_event, p11_slots_last_event());
		atomic_store(&managed->n_heals, atomic_load(&p11_shared_of(module)->n_heals));
		atomic_store(&managed->owner, p11_handle_new_owner());
		set_live(managed, true);
	}
	if (!p11_life_started(&managed->life, rv == CKR_OK)) { /* a child */
		atomic_store(&managed->owner, 0);
		set_live(managed, false);
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	}
	retire(managed);
	return rv;
}

/*
 * Nobody has the table any more, and gives it back, unless it is just being started or stopped: who
 * does that comes here at its end. What is still initialized is finalized: nobody else could.
 */
static void
retire(struct managed *managed)
{
	P11_NO_CANCEL;
	enum p11_life_answer answer = P11_LIFE_BUSY;
	struct p11_module *module = NULL;

	p11_hold(&lock);
	if (managed->n_holders == 0 && atomic_load(&managed->module)) {
		do {
			answer = p11_life_stop(&managed->life);
		} while (answer == P11_LIFE_COUNTED);
		if (answer == P11_LIFE_NOT_UP && p11_life_is_down(&managed->life)) {
			set_live(managed, false);
			module = atomic_exchange(&managed->module, NULL);
		}
	}
	p11_let_go(&lock);

	if (answer == P11_LIFE_YOURS)
		go_down(managed);
	if (!module)
		return;
	/* From here on the place may be another consumer's. */
	p11_context_give_back(number_of(managed));
	p11_module_unref(module);
}

static CK_RV
managed_initialize(CK_VOID_PTR init_args, void *context)
{
	P11_NO_CANCEL;
	struct managed *managed = context;
	const CK_C_INITIALIZE_ARGS *args = init_args;
	CK_RV rv = p11_context_check_args(args);

	p11_fork_check();
	if (rv != CKR_OK)
		return rv;
	int wait_ms = p11_module_thread_is_inside() ? 0 : P11_LIFE_FOREVER;
	switch (atomic_load(&managed->is_counted) ? p11_life_start(&managed->life, wait_ms)
						  : p11_life_start_alone(&managed->life, wait_ms)) {
	case P11_LIFE_YOURS:
		return go_up(managed, args ? args->pReserved : NULL);
	case P11_LIFE_COUNTED:
		return CKR_OK;
	case P11_LIFE_TAKEN:
		return CKR_CRYPTOKI_ALREADY_INITIALIZED;
	default:
		return p11_fail(
			CKR_FUNCTION_FAILED,
			"module %s: initialized from inside a module's C_Initialize or C_Finalize, "
			"where it cannot be waited for",
			p11_module_label(atomic_load(&managed->module)));
	}
}

static CK_RV
managed_finalize(CK_VOID_PTR reserved, void *context)
{
	P11_NO_CANCEL;
	struct managed *managed = context;

	p11_fork_check();
	if (reserved)
		return p11_fail(CKR_ARGUMENTS_BAD, "C_Finalize wants NULL for its argument");
	switch (p11_life_stop(&managed->life)) {
	case P11_LIFE_COUNTED:
		return CKR_OK;
	case P11_LIFE_YOURS:
		go_down(managed);
		return CKR_OK;
	case P11_LIFE_SELF:
		return CKR_FUNCTION_FAILED;
	default:
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	}
}

/* ---- sessions ---- */

/*
 * The module cannot go down while it opens the session; the consumer can. Whoever comes second, its
 * C_Finalize that takes the notes out or we, closes what was opened. But if the module was
 * finalized behind our back meanwhile, the handle may be another session's by now.
 */
static CK_RV
note_opened(struct managed *managed, struct p11_module *module, unsigned long n_heals,
	    unsigned long long owner, CK_SESSION_HANDLE session, CK_SLOT_ID slot)
{
	struct p11_shared *shared = p11_shared_of(module);
	struct p11_notes *notes = &shared->notes;

	if (atomic_load(&shared->n_heals) != n_heals)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	p11_reused_displace(module, session);
	if (!p11_notes_add(notes, session, owner, slot)) {
		(void)p11_module_calls(module)->C_CloseSession(session);
		return p11_fail(CKR_HOST_MEMORY, "module %s: no memory for a session",
				p11_module_label(module));
	}
	if (atomic_load(&managed->owner) == owner)
		return CKR_OK;

	struct p11_note *note = p11_notes_take(notes, session, owner);
	if (note && atomic_load(&shared->n_heals) == n_heals)
		(void)close_noted(managed, module, note, owner);
	else if (note)
		p11_note_free(note);
	return CKR_CRYPTOKI_NOT_INITIALIZED;
}

/*
 * Who calls: the owner, and the module, or NULL if the table is down. The second look at the owner
 * makes the two belong together: a table that is released meanwhile may be another consumer's.
 */
static struct p11_module *
module_of(struct managed *managed, unsigned long long *owner)
{
	p11_fork_check();
	*owner = atomic_load(&managed->owner);
	struct p11_module *module = atomic_load(&managed->module);

	return *owner != 0 && atomic_load(&managed->owner) == *owner ? module : NULL;
}

static CK_RV
managed_open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify,
		     CK_SESSION_HANDLE_PTR out, void *context)
{
	struct managed *managed = context;
	CK_SESSION_HANDLE session = 0;
	unsigned long long owner;
	struct p11_module *module = module_of(managed, &owner);

	unsigned generation = p11_fork_generation();
	if (!module || !p11_module_join(module))
		return CKR_CRYPTOKI_NOT_INITIALIZED;

	CK_RV rv = CKR_ARGUMENTS_BAD;
	unsigned long n_heals = atomic_load(&p11_shared_of(module)->n_heals);
	if (out) /* else the module is not asked */
		rv = p11_module_calls(module)->C_OpenSession(slot, flags, application, notify,
							     &session);
	if (generation != p11_fork_generation())
		return CKR_CRYPTOKI_NOT_INITIALIZED; /* the module forked, and this is the child */
	if (rv == CKR_OK)
		rv = note_opened(managed, module, n_heals, owner, session, slot);
	else if (rv == CKR_CRYPTOKI_NOT_INITIALIZED)
		(void)p11_heal(module); /* which turns this table down, too */
	p11_module_leave(module);
	if (rv == CKR_OK)
		*out = session;
	return rv;
}

static CK_RV
managed_close_session(CK_SESSION_HANDLE session, void *context)
{
	struct managed *managed = context;
	unsigned long long owner;
	struct p11_module *module = module_of(managed, &owner);

	if (!module)
		return CKR_CRYPTOKI_NOT_INITIALIZED;

	struct p11_note *note = p11_notes_take(&p11_shared_of(module)->notes, session, owner);
	if (!note)
		return p11_fail(
			CKR_SESSION_HANDLE_INVALID,
			"module %s: session 0x%lx was not opened by this consumer, or is closed "
			"already",
			p11_module_label(module), session);
	return close_noted(managed, module, note, owner);
}

static CK_RV
managed_close_all_sessions(CK_SLOT_ID slot, void *context)
{
	P11_NO_CANCEL; /* nobody could close those that are left */
	struct managed *managed = context;
	unsigned long long owner;
	struct p11_module *module = module_of(managed, &owner);

	if (!module)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	close_all(managed, module, owner, slot);
	return CKR_OK;
}

/* ---- events ---- */

/* True: there was one, and it counts as told. Several threads of one consumer share what they are
 * told. */
static bool
next_event(struct managed *managed, struct p11_slots *slots, CK_SLOT_ID *slot)
{
	unsigned long long after = atomic_load(&managed->last_event), event;

	do {
		event = ULLONG_MAX;
		if (!p11_slots_event_after(slots, after, &event, slot))
			return false;
	} while (!atomic_compare_exchange_weak(&managed->last_event, &after, event));
	return true;
}

static CK_RV
managed_wait_for_slot_event(CK_FLAGS flags, CK_SLOT_ID_PTR out, CK_VOID_PTR reserved, void *context)
{
	struct managed *managed = context;
	int wait_ms = FIRST_EVENT_WAIT_MS;
	CK_SLOT_ID slot;
	unsigned long long owner;
	struct p11_module *module = module_of(managed, &owner);

	if (!module)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!out || reserved)
		return CKR_ARGUMENTS_BAD;

	struct p11_slots *slots = &p11_shared_of(module)->slots;
	for (;;) {
		unsigned ticket = p11_slots_ticket();
		p11_fork_check();
		if (atomic_load(&managed->owner) != owner)
			return CKR_CRYPTOKI_NOT_INITIALIZED;
		p11_slots_poll(slots, module, flags & CKF_DONT_BLOCK);
		if (next_event(managed, slots, &slot)) {
			*out = slot;
			return CKR_OK;
		}
		if (flags & CKF_DONT_BLOCK)
			return atomic_load(&managed->owner) == owner ? CKR_NO_EVENT
								     : CKR_CRYPTOKI_NOT_INITIALIZED;
		p11_slots_wait(ticket, wait_ms);
		pthread_testcancel(); /* nothing is held */
		wait_ms = wait_ms * 2 < MAX_EVENT_WAIT_MS ? wait_ms * 2 : MAX_EVENT_WAIT_MS;
	}
}

/* ---- look-ups ---- */

static CK_RV
managed_get_function_list(CK_FUNCTION_LIST_PTR_PTR out, void *context)
{
	if (!out)
		return p11_fail(CKR_ARGUMENTS_BAD, "C_GetFunctionList needs a place for the list");
	*out = p11_context_list(number_of(context), P11_LIST_3_2);
	return *out ? CKR_OK : CKR_HOST_MEMORY;
}

static CK_RV
managed_get_interface_list(CK_INTERFACE_PTR list, CK_ULONG_PTR count, void *context)
{
	static const enum p11_list which[] = {P11_LIST_3_2};

	return p11_context_get_interface_list(number_of(context), which, P11_N_ELEMENTS(which),
					      list, count);
}

static CK_RV
managed_get_interface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR out,
		      CK_FLAGS flags, void *context)
{
	return p11_context_get_interface(number_of(context), name, version, out, flags);
}

/* ---- tables ---- */

/*
 * Those that the pool binds although a managed table needs no function of ours for them: in its
 * tables stand the module's own. See is_ours().
 */
static const struct p11_bound_ops managed_ops = {
	.C_Initialize = managed_initialize,
	.C_Finalize = managed_finalize,
	.C_GetFunctionList = managed_get_function_list,
	.C_GetInterfaceList = managed_get_interface_list,
	.C_GetInterface = managed_get_interface,
	.C_OpenSession = managed_open_session,
	.C_CloseSession = managed_close_session,
	.C_CloseAllSessions = managed_close_all_sessions,
	.C_WaitForSlotEvent = managed_wait_for_slot_event,
};

static bool
is_ours(enum p11_call_id call)
{
	switch (call) {
	case P11_CALL_C_Initialize:
	case P11_CALL_C_Finalize:
	case P11_CALL_C_GetFunctionList:
	case P11_CALL_C_GetInterfaceList:
	case P11_CALL_C_GetInterface:
	case P11_CALL_C_OpenSession:
	case P11_CALL_C_CloseSession:
	case P11_CALL_C_CloseAllSessions:
	case P11_CALL_C_WaitForSlotEvent:
		return true;
	default:
		return false;
	}
}

static p11_entry
managed_entry(unsigned number, enum p11_call_id call)
{
	struct managed *managed = &all[number];
	const union p11_table *table;

	if (is_ours(call))
		return p11_bound_entry(number, call);
	if (call == P11_CALL_C_GetFunctionStatus || call == P11_CALL_C_CancelFunction)
		return p11_not_parallel;
	if (!atomic_load(&managed->is_live))
		return p11_not_initialized;
	table = atomic_load_explicit(&atomic_load(&managed->module)->table, memory_order_acquire);
	return table->by_call.entry[call];
}

static const struct p11_context_kind managed_kind = {&managed_ops, managed_entry};

static struct managed *
managed_of(const CK_FUNCTION_LIST *list)
{
	int number = p11_context_of(list);

	if (number == P11_NO_CONTEXT || p11_context_kind_of((unsigned)number) != &managed_kind)
		return NULL;
	return &all[number];
}

static struct managed *
any_of_module_locked(const struct p11_module *module)
{
	for (unsigned i = 0, n = p11_context_n_taken(); i < n; i++) {
		if (all[i].n_holders > 0 && atomic_load(&all[i].module) == module)
			return &all[i];
	}
	return NULL;
}

/* A context of its own, its place in `all` filled before anybody can call it. */
static struct managed *
take_locked(struct p11_module *module, bool first)
{
	int number = p11_context_take(first);
	struct managed *managed;

	if (number == P11_NO_CONTEXT)
		return NULL;
	managed = &all[number];
	atomic_store(&managed->module, module);
	atomic_store(&managed->is_live, true);
	atomic_store(&managed->owner, 0);
	atomic_store(&managed->is_critical, false);
	atomic_store(&managed->is_counted, false);
	managed->n_holders = 1;
	p11_context_begin((unsigned)number, &managed_kind, managed);
	return managed;
}

static struct managed *
share_locked(struct p11_module *module)
{
	struct managed *managed = any_of_module_locked(module);

	if (!managed)
		return NULL;
	managed->n_holders++;
	atomic_store(&managed->is_counted, true);
	return managed;
}

/* One holder less. */
static void
drop(struct managed *managed)
{
	p11_hold(&lock);
	managed->n_holders -= managed->n_holders > 0;
	p11_let_go(&lock);
	retire(managed);
}

CK_RV
p11_managed_new(struct p11_module *module, CK_FUNCTION_LIST **out)
{
	const char *label = p11_module_label(module);
	bool shares = false;

	if (!p11_shared_of(module)) {
		p11_module_unref(module);
		return p11_fail(CKR_HOST_MEMORY, "module %s: no memory", label);
	}
	p11_hold(&lock);
	struct managed *managed = take_locked(module, !any_of_module_locked(module));
	if (!managed) {
		managed = share_locked(module);
		shares = managed != NULL;
	}
	p11_let_go(&lock);

	if (shares || !managed)
		p11_module_unref(module);
	if (!managed)
		return p11_fail(CKR_HOST_MEMORY,
				"module %s: no function table is free; release some", label);
	*out = p11_context_list(number_of(managed), P11_LIST_3_2);
	if (!*out) {
		drop(managed);
		return p11_fail(CKR_HOST_MEMORY, "module %s: no memory", label);
	}
	if (shares)
		p11_message("module %s: no function table is free; this consumer shares one, and "
			    "the sessions opened in it, with another",
			    label);
	return CKR_OK;
}

void
p11_managed_abandon(struct p11_module *module)
{
	P11_NO_CANCEL;

	for (unsigned i = 0, n = p11_context_n_taken(); i < n; i++) {
		struct managed *managed = &all[i];

		p11_hold(&lock); /* it may be released, and another consumer's, meanwhile */
		bool is_ours =
			atomic_load(&managed->module) == module && p11_life_abandon(&managed->life);
		p11_let_go(&lock);
		if (!is_ours)
			continue;
		atomic_store(&managed->owner, 0);
		set_live(managed, false);
		(void)p11_module_stop(module);
		p11_life_stopped(&managed->life);
		retire(managed);
	}
	p11_slots_wake();
}

struct p11_module *
p11_managed_module(const CK_FUNCTION_LIST *list)
{
	struct managed *managed = managed_of(list);

	return managed ? atomic_load(&managed->module) : NULL;
}

void
p11_managed_set_critical(CK_FUNCTION_LIST *list)
{
	struct managed *managed = managed_of(list);

	if (managed)
		atomic_store(&managed->is_critical, true);
}

bool
p11_managed_is_critical(const CK_FUNCTION_LIST *list)
{
	struct managed *managed = managed_of(list);

	return managed && atomic_load(&managed->is_critical);
}

bool
p11_managed_release(CK_FUNCTION_LIST *list)
{
	struct managed *managed = managed_of(list);

	p11_fork_check();
	if (!managed)
		return false;
	drop(managed);
	return true;
}

/* A child is not initialized, whatever its parent was. */
static void
reset_in_child(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	for (unsigned i = 0, n = p11_context_n_taken(); i < n; i++) {
		if (!atomic_load(&all[i].module))
			continue;
		p11_life_reset(&all[i].life);
		atomic_store(&all[i].owner, 0);
		atomic_store(&all[i].is_live, false);
		p11_context_rewrite_in_child(i);
	}
}

__attribute__((constructor)) static void
begin(void)
{
	static struct p11_fork_reset row = {.reset = reset_in_child};

	p11_fork_register(&row);
}
