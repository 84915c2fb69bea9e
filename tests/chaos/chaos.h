/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The remote control of the chaos module: a PKCS#11 module for tests that misbehaves on command and
 * counts everything. README.md tells the whole story; in short:
 *
 *	void *file = dlopen("chaos-a.so", RTLD_NOW | RTLD_LOCAL);
 *	struct chaos *chaos = ((chaos_control_function)dlsym(file, "chaos_control"))();
 *	chaos->fault(CHAOS_C_GetSlotInfo, &(struct chaos_fault){.sleep_ms = 1000});
 *
 * Each file (chaos-a.so, chaos-b.so, a copy) has a state of its own. Everything here may be used
 * from any thread, while the module is being called: all words are atomic, and a fault that was
 * replaced is kept, never freed, and used again when an equal one is set.
 */
#ifndef CHAOS_H
#define CHAOS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chaos-calls.h"

#define CHAOS_PIN "1234"      /* of the user and of the security officer */
#define CHAOS_MAX_SLOTS 16384 /* `slots` may be at most this */
#define CHAOS_MAX_ARGS 10     /* the longest parameter list of the standard */
#define CHAOS_SIGNATURE_MAGIC 0x43484153u
#define CHAOS_KEY 1 /* the token's only object, plus the knob `object_base` */
/* An attribute of the key, one byte long. The vendor has chosen a number with the bit of arrays, as
 * NSS and p11-kit have. */
#define CHAOS_VENDOR_ATTRIBUTE (CKA_VENDOR_DEFINED | CKF_ARRAY_ATTRIBUTE | 1)

struct chaos;

/* One call as the module sees it; lives on the stack of the calling thread. */
struct chaos_visit {
	enum chaos_call call;
	unsigned n_args;
	uint64_t args[CHAOS_MAX_ARGS]; /* pointers and numbers alike */
};

enum chaos_fork {
	CHAOS_FORK_NO,
	CHAOS_FORK_CHILD_EXITS, /* the child does _exit(0) at once; the module waits for it */
	CHAOS_FORK_BOTH_RETURN, /* parent and child go on with the call; see `forked_child` */
};

/*
 * What goes wrong in one function. All-zero members do nothing; what is set happens in the order of
 * the members. A fault counts `skip` unharmed calls first and ends after `times` (0: never).
 */
struct chaos_fault {
	unsigned skip;
	unsigned times;
	bool on_slot; /* only calls on the slot with the id `slot` (or a session on it) */
	uint64_t slot;

	unsigned sleep_ms; /* how long the call sleeps */
	bool hang;         /* the call stays inside until chaos->release() */
	bool abort;        /* the process dies here */
	enum chaos_fork fork;
	/*
	 * Called inside the call, with nothing held: calls back into whatever the test likes.
	 * Anything but 0 (CKR_OK) is the call's answer.
	 */
	unsigned long (*callback)(struct chaos *chaos, const struct chaos_visit *visit, void *data);
	void *data;
	bool drop;          /* as if a stranger had called C_Finalize just before */
	unsigned long rv;   /* the answer, if not 0 */
	bool late;          /* ... given after the work was done, instead of doing none */
	unsigned long over; /* added to the count that is returned: more than was written */
};

enum chaos_handles {
	CHAOS_HANDLES_COUNT, /* handle_base + 1, 2 ...; again after each C_Initialize (SoftHSM) */
	CHAOS_HANDLES_REUSE, /* handle_base + the lowest number that is free now */
	CHAOS_HANDLES_HEAP,  /* addresses on the heap, used again when closed (OpenSC) */
};

enum chaos_list {
	CHAOS_LIST_STEADY,
	CHAOS_LIST_ROTATES,  /* each C_GetSlotList begins with another slot */
	CHAOS_LIST_GROWS,    /* C_GetSlotList with a buffer makes the next slot appear first */
	CHAOS_LIST_FLICKERS, /* each second C_GetSlotList leaves out the last slot */
};

enum chaos_forked {
	CHAOS_FORKED_IGNORES, /* a child is initialized if its parent was */
	CHAOS_FORKED_NOTICES, /* a child is not initialized, and may become so */
};

/* What C_Sign gives: who really signed. C_Verify accepts exactly that. */
struct chaos_signature {
	uint32_t magic;     /* CHAOS_SIGNATURE_MAGIC */
	uint32_t data_hash; /* FNV-1a of the data */
	uint64_t slot;      /* the module's own slot id */
	uint64_t session;   /* the module's own handle */
	uint64_t serial;    /* of the C_OpenSession: never used twice, even where handles are */
	char module[24];    /* chaos->name, NUL-padded */
};

/* What the last C_Initialize that came with arguments was given. */
struct chaos_init_args {
	_Atomic(bool) was_null; /* pInitArgs was NULL */
	_Atomic(uint64_t) flags;
	_Atomic(uintptr_t) mutex[4]; /* create, destroy, lock, unlock */
	_Atomic(bool) mutexes_work;  /* all four were called once, and answered CKR_OK */
	_Atomic(uintptr_t) reserved;
	_Atomic(char) reserved_text[256]; /* the string there; chaos->reserved() reads it */
};

struct chaos {
	const char *name; /* "chaos-a": the file's name when it was built */

	/* Knobs: store into them at any time. */
	_Atomic(bool) counting;        /* true at first; false for measurements */
	_Atomic(unsigned) handles;     /* enum chaos_handles */
	_Atomic(uint64_t) handle_base; /* added to counted handles */
	_Atomic(uint64_t) next_handle; /* if not 0: the handle of the next session, once */
	_Atomic(uint64_t) object_base; /* added to CHAOS_KEY */
	_Atomic(unsigned) list;        /* enum chaos_list */
	_Atomic(unsigned) forked;      /* enum chaos_forked */
	_Atomic(bool) notify_on_open;  /* C_OpenSession calls the CK_NOTIFY that it was given */
	_Atomic(bool) no_events;       /* C_WaitForSlotEvent: CKR_FUNCTION_NOT_SUPPORTED */

	/* Counters: read at any time; chaos->reset() sets them to 0. */
	_Atomic(unsigned long) calls[CHAOS_N_CALLS];      /* all, whatever came of them */
	_Atomic(unsigned long) down_calls[CHAOS_N_CALLS]; /* while not initialized */
	_Atomic(unsigned long) initialized;               /* C_Initialize that answered CKR_OK */
	_Atomic(unsigned long) finalized;                 /* C_Finalize that answered CKR_OK */
	_Atomic(unsigned long) overlaps; /* one of these two while a thread was in one */
	_Atomic(unsigned long)
		undercut; /* C_Finalize while threads were in other calls than look-ups */
	_Atomic(unsigned long) bad_sessions; /* calls with a handle that is no open session */
	_Atomic(unsigned long) dropped;      /* drops that found the module up */
	_Atomic(uint64_t) last_args[CHAOS_N_CALLS][CHAOS_MAX_ARGS]; /* of the last call of each */
	struct chaos_init_args init_args;                           /* not reset */

	/* The state now. */
	_Atomic(unsigned long) inside[CHAOS_N_CALLS]; /* threads in that call */
	_Atomic(unsigned long) hanging;               /* threads that a fault holds */
	_Atomic(long) sessions;                       /* open sessions */
	_Atomic(int) up;                              /* 1: the module is initialized */
	_Atomic(int) forked_child; /* pid of the last child of a fault `fork`; 0 in that child */

	/* Faults. NULL takes the fault away. CHAOS_ANY stands for all functions that have none of
	 * their own. */
	void (*fault)(enum chaos_call call, const struct chaos_fault *fault);
	void (*release)(void); /* lets every thread that hangs now go on */
	void (*drop)(void);    /* as if a stranger had called C_Finalize */
	void (*reset)(void);   /* counters to 0, faults gone, knobs and slots as at first */

	/* Slots: i counts from 0. At first there is one, id 0, with a token. */
	void (*slots)(unsigned n); /* exactly n slots with ids 0 to n - 1, a token in each */
	void (*slot_id)(unsigned i, uint64_t id);
	void (*plug)(unsigned i, bool here);  /* the slot comes or goes; an event */
	void (*token)(unsigned i, bool here); /* the token does; its sessions end; an event */
	void (*event)(unsigned i);            /* an event on this slot without any change */

	/* Calls the CK_NOTIFY of a session, as a module does from a thread of its own; its answer,
	 * or a CKR. */
	unsigned long (*notify)(uint64_t session, unsigned long event);
	/* The string of the last pReserved, into `text` (at most `size` bytes with the NUL). */
	void (*reserved)(char *text, unsigned long size);
	/* Does what a control string says (README.md); false at the first thing that it does not
	 * understand. */
	bool (*command)(const char *text);
};

/* The only symbol that is not PKCS#11's: dlsym(file, "chaos_control"). */
typedef struct chaos *(*chaos_control_function)(void);
struct chaos *chaos_control(void);

/* "C_Sign" -> CHAOS_C_Sign; CHAOS_N_CALLS for a name that does not exist. */
enum chaos_call chaos_call_by_name(const char *name);
extern const char *const chaos_call_names[CHAOS_N_CALLS];

#endif
