/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the three parts of the chaos module share: the engine (chaos.c: counters, faults, control
 * strings), the token that it pretends to be (chaos-token.c) and the generated wrappers, one per
 * function of the standard, that lead every call first through the engine and then to the token. No
 * lock anywhere: a child of fork must never find one taken.
 */
#ifndef CHAOS_INSIDE_H
#define CHAOS_INSIDE_H

#include "chaos.h"

#include "p11-kit/pkcs11.h"

struct chaos_session;
struct chaos_slot;

enum chaos_first {
	CHAOS_FIRST_OTHER,  /* no session and no slot, but only when the module is up */
	CHAOS_FIRST_ALWAYS, /* life cycle and look-ups: also when the module is down */
	CHAOS_FIRST_SLOT,
	CHAOS_FIRST_SESSION,
};

/* One call on its way through the module. */
struct visit {
	struct chaos_visit seen; /* what callbacks get to see */
	enum chaos_first first;  /* what the first argument is */
	CK_ULONG *count; /* where the function returns how many bytes or elements it has, or NULL */
	CK_OBJECT_HANDLE *objects[2];    /* where it returns handles of objects, or NULL */
	struct chaos_session *session;   /* of the first argument; set by visit_begin() */
	struct chaos_slot *slot;         /* likewise, also of the session */
	uint64_t life;                   /* in which it began */
	const struct chaos_fault *fault; /* that visit_end() must finish, or NULL */
	bool noted;                      /* whether the counters know of it */
};

/* A session that is open, or was: blocks are used again, and never freed. */
struct chaos_session {
	struct chaos_session *_Atomic next;      /* in its bucket; constant once published */
	struct chaos_session *_Atomic next_heap; /* among those whose handle is their address */
	bool heap;                               /* constant */
	_Atomic(unsigned) state;                 /* enum session_state */
	_Atomic(uint64_t) handle, serial, flags, number;
	struct chaos_slot *_Atomic slot;
	_Atomic(uintptr_t) notify, application;
	_Atomic(int) found; /* objects still to be found; -1: no search */
};

struct chaos_slot {
	_Atomic(uint64_t) id;
	_Atomic(bool) here, token, event;
	_Atomic(unsigned) login; /* 0, or CKU_ + 1 */
	_Atomic(long) sessions;
};

extern struct chaos chaos;

/* Everything that happens before and after the function proper. Not CKR_OK: the function's work is
 * not done. */
CK_RV visit_begin(struct visit *visit);
CK_RV visit_end(struct visit *visit, CK_RV rv);
/* A session function that the token has no opinion about. */
CK_RV visit_default(struct visit *visit);
/* First contact: the environment's control strings. */
void chaos_wake(void);
void chaos_pause_ms(unsigned ms);

/* Control strings (chaos-command.c). */
bool chaos_command(const char *text);

/* The token. */
struct chaos_slot *token_slot(uint64_t id);
struct chaos_session *token_session(uint64_t handle);
bool token_is_up(void);
uint64_t token_life(void);
bool token_drop(void);
void token_end_sessions(struct chaos_slot *slot);
void token_reset(void);
void token_slots(unsigned n);
void token_slot_id(unsigned i, uint64_t id);
void token_plug(unsigned i, bool here);
void token_token(unsigned i, bool here);
void token_event(unsigned i);
unsigned long token_notify(uint64_t handle, unsigned long event);

/* The lists of the generated file: the lowest version, and the highest that this build offers. */
extern CK_FUNCTION_LIST chaos_list_2_40;
#if CHAOS_VERSION >= 300
extern CK_INTERFACE chaos_interfaces[];
extern const unsigned chaos_n_interfaces;
#endif

struct chaos_name {
	const char *name;
	unsigned long value;
};
extern const struct chaos_name chaos_ckr_names[]; /* ends with a NULL */

#endif
