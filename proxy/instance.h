/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One consumer of the proxy: what a look-up of the proxy's function list gives. An instance has a
 * context, whose functions are its own, and one link for each configured module. The rooms' inside;
 * what others call is in proxy/proxy.h.
 *
 * `p11_proxy_lock` guards whatever says so; it is never held while a module is called, a message is
 * made, or memory is allocated. What the session calls read of an instance are atomics.
 */
#ifndef P11_INSTANCE_H
#define P11_INSTANCE_H

#include "base/base.h"
#include "module/module.h"
#include "pkcs11/pool.h"
#include "share/context.h"
#include "share/shared.h"

#include <p11-kit/pkcs11.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* A module, as one instance uses it. */
struct p11_link {
	struct p11_link *_Atomic next; /* owned; set once */
	struct p11_module *module;     /* owned reference, constant */
	struct p11_slots *slots;       /* the module's, constant */
	const char *name;              /* interned, constant: the key of the slots' numbers */
	bool has_base;                 /* constant; slot-base is configured, and is `base` */
	CK_ULONG base;
	bool is_critical;     /* constant */
	bool keeps_ids;       /* constant; the slots have the module's own ids */
	atomic_ullong up_for; /* the owner on whose behalf the instance is a user of the module; 0:
				 it is none */
};

/* Whether the module is up for the instance whose owner is `owner`. */
static inline bool
p11_link_is_up(struct p11_link *link, unsigned long long owner)
{
	return owner != 0 && atomic_load_explicit(&link->up_for, memory_order_acquire) == owner;
}

/*
 * In the order of the configuration, but for those that could be loaded only later, which are
 * appended. Nothing is taken out. Old ones stay, since a late call may still look at them.
 */
struct p11_links {
	struct p11_links *older;        /* owned */
	struct p11_link *_Atomic first; /* owned */
};

#define P11_EACH_LINK(link, links)                                                                 \
	struct p11_link *link = atomic_load(&(links)->first);                                      \
	link;                                                                                      \
	link = atomic_load(&link->next)

/* The answer to a counting call of C_GetSlotList, for the call with a buffer that follows. */
struct p11_snapshot {
	struct p11_snapshot *next; /* owned */
	unsigned long long thread; /* its number (base/thread.h) */
	bool token_present;
	size_t n_ids;
	CK_SLOT_ID ids[];
};

enum p11_instance_state {
	P11_INSTANCE_UNUSED,   /* it has no context yet */
	P11_INSTANCE_OBTAINED, /* handed out, and not begun to be initialized */
	P11_INSTANCE_UP,       /* initialized, or being so */
	P11_INSTANCE_FINALIZED,
};

struct p11_instance {
	struct p11_links *_Atomic links; /* owned; replaced only while the instance is down */
	atomic_ullong
		owner; /* of its sessions, from C_Initialize to C_Finalize; 0: not initialized */
	atomic_ullong last_event; /* the number of the last event that it was told */
	atomic_bool has_3x;       /* a 3.x list was handed out: C_GetInfo says so */
	atomic_bool lacks_any;    /* some module could not be loaded */
	atomic_llong load_at_ms;  /* modules that could not be loaded are not tried again before */

	/* Guarded by the lock. */
	const char *only; /* interned; constant once it has a context: the only module; NULL: all */
	enum p11_instance_state state;
	unsigned long n_inits;          /* C_Initialize less C_Finalize */
	const void *library;            /* load base of who looked it up: a hint */
	unsigned long long thread;      /* and the number of its thread, while it is OBTAINED */
	unsigned long long obtained;    /* ordinal of the look-up, to find the oldest */
	struct p11_snapshot *snapshots; /* owned, newest first */
};

extern pthread_mutex_t p11_proxy_lock P11_HIDDEN;
extern struct p11_instance p11_instances[P11_N_CONTEXTS] P11_HIDDEN; /* by context */
extern const struct p11_context_kind p11_proxy_kind P11_HIDDEN;

static inline unsigned
p11_instance_number(const struct p11_instance *instance)
{
	return (unsigned)(instance - p11_instances);
}

/* ---- proxy/links.c ---- */

/*
 * Brings the instance's links up to what is configured now; it must be down. With `strict`, a
 * critical module that cannot be loaded is the answer.
 */
CK_RV p11_instance_configure(struct p11_instance *instance, bool strict);

/*
 * Where a configured module could not be loaded, tries again, and appends its link, unless `owner`
 * is not the instance's any more. Like a module that cannot be initialized, it is left alone for 20
 * times what the last try took, at least 1 s.
 */
void p11_instance_load_missing(struct p11_instance *instance, unsigned long long owner);

/* ---- proxy/life.c ---- */

CK_RV p11_instance_initialize(CK_VOID_PTR init_args, void *instance);
CK_RV p11_instance_finalize(CK_VOID_PTR reserved, void *instance);
CK_RV p11_instance_get_info(CK_INFO_PTR info, void *instance);

/*
 * Makes the instance a user of the link's module, if it is not, and `owner` is still the
 * instance's. Waits until `deadline_ms` (p11_slots_now_ms()) for another thread that starts it.
 * Without `force`, a module that failed is left alone for its pause.
 */
CK_RV p11_link_bring_up(struct p11_instance *instance, struct p11_link *link,
			unsigned long long owner, long long deadline_ms, bool force);

/* ---- proxy/slots.c ---- */

/* Asks the link's module for its slots and gives new ones their numbers. */
CK_RV p11_link_refresh(struct p11_link *link, bool presence, bool now);

CK_RV p11_instance_get_slot_list(CK_BBOOL token_present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count,
				 void *instance);
CK_RV p11_instance_get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info, void *instance);
CK_RV p11_instance_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info, void *instance);
CK_RV p11_instance_get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list,
				      CK_ULONG_PTR count, void *instance);
CK_RV p11_instance_get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type,
				      CK_MECHANISM_INFO_PTR info, void *instance);
CK_RV p11_instance_init_token(CK_SLOT_ID slot, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len,
			      CK_UTF8CHAR_PTR label, void *instance);
CK_RV p11_instance_wait_for_slot_event(CK_FLAGS flags, CK_SLOT_ID_PTR slot, CK_VOID_PTR reserved,
				       void *instance);

/* A call of ours on one slot: from enter to leave the module cannot go down. */
struct p11_route {
	struct p11_module *module;
	struct p11_slots *slots;
	const CK_FUNCTION_LIST_3_2 *calls;
	CK_SLOT_ID slot;          /* the module's id */
	unsigned long long owner; /* the instance's at that moment */
};

/* CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SLOT_ID_INVALID, or CKR_DEVICE_ERROR where the module
 * is down. */
CK_RV p11_route_enter(struct p11_instance *instance, CK_SLOT_ID slot,
		      struct p11_route *route) P11_MUST_USE;
void p11_route_leave(struct p11_route *route);

/* ---- proxy/sessions.c ---- */

CK_RV p11_instance_open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application,
				CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session, void *instance);
CK_RV p11_instance_close_session(CK_SESSION_HANDLE session, void *instance);
CK_RV p11_instance_close_all_sessions(CK_SLOT_ID slot, void *instance);

/* Closes every session of an owner: its C_Finalize. */
void p11_sessions_end(unsigned long long owner);

#endif
