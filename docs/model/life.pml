/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One module, its users and the calls in flight: module/life.c over base/life.c. Threads start it, wait for each other,
 * call it and stop it; C_Initialize may fail once, and may call us. With -DFORK the process is forked once, at any moment
 * and from inside any call, and what goes on is the child; what goes on in the parent is what goes on without a fork.
 *
 *   -DN_USERS=n    threads that start it, call it and stop it, -DROUNDS=n times
 *   -DN_CALLERS=n  threads that call it once without being its user, as those of another consumer that is on its way out
 *   -DHANG         C_Initialize may hang for ever; nobody waits without a deadline then
 *
 * Seen from outside (module_*): the module is never initialized twice, finalized or called while it is down, or while a
 * C_Initialize or C_Finalize of it runs. At the end everybody has come to his end, and nothing is counted any more.
 */
#ifndef N_USERS
#define N_USERS 2
#endif
#ifndef N_CALLERS
#define N_CALLERS 1
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#define N_THREADS (N_USERS + N_CALLERS)
#define N_LIVES 1
#define N_PARTS 2
#define MODULE 0
#define WHEN_COUNTED(l) assert(module_is_up && !module_is_inside)

/* The module itself. */
bool module_is_up;
bool module_is_inside;	/* its C_Initialize or C_Finalize */
byte module_n_calls;	/* calls of ours in it */
bool module_has_failed;
bool module_hangs;

bool must_finalize;	/* struct p11_module */

bool is_forked;
byte forker;
byte n_done;
byte n_kept;	/* users that did not stop it at their end */

#include "base-life.pml"

/* fork(): the other threads are gone (see VANISH), the rooms' resets run first of all */
inline may_fork()
{
#ifdef FORK
	if
	:: atomic {
		!is_forked ->
		forker = me;	/* first, or it would vanish itself */
		is_forked = true;
		generation++;
		module_is_up = false;	/* it notices a fork by itself */
		module_is_inside = false;
		module_n_calls = 0;
		n_kept = 0;
#ifndef PLANT_NO_RESET
		life_reset(MODULE);
		must_finalize = false;
#endif
	   }
	:: skip
	fi
#else
	skip
#endif
}

#ifdef FORK
#define VANISH unless { is_forked && forker != me }
#else
#define VANISH
#endif

/* call_initialize(); `ok` is its answer */
inline call_initialize()
{
	atomic { assert(!module_is_up && !module_is_inside && module_n_calls == 0); module_is_inside = true };
	began = generation;
	may_fork();
	if
	:: life_start(MODULE, NOT_AT_ALL, false);
	   assert(answer == SELF || began != generation);
	   if
	   :: answer == YOURS -> life_started(MODULE, false)
	   :: else
	   fi
	:: skip
	fi;
#ifdef HANG
	if
	:: module_hangs = true;
end_hangs:
	   false
	:: skip
	fi;
#endif
	if
	:: ok = true
	:: !module_has_failed -> atomic { module_has_failed = true; ok = false }
	fi;
	atomic {
		if
		:: began == generation -> module_is_inside = false; module_is_up = ok
		:: else
		fi
	};
	must_finalize = ok
}

inline call_finalize()
{
	atomic { assert(module_is_up && !module_is_inside && module_n_calls == 0); module_is_inside = true };
	began = generation;
	may_fork();
	atomic {
		if
		:: began == generation -> module_is_inside = false; module_is_up = false
		:: else
		fi
	}
}

/* p11_module_start(): `ok` says whether it is a user now */
inline module_start(wait)
{
	life_start(MODULE, wait, false);
	if
	:: answer == YOURS ->
		call_initialize();
		life_started(MODULE, ok);
		ok = ok && is_ours
	:: else -> ok = (answer == COUNTED)
	fi
}

/* finish() */
inline finish()
{
	if
	:: must_finalize -> call_finalize()
	:: else
	fi;
	life_stopped(MODULE)
}

/* p11_module_stop() */
inline module_stop()
{
	life_stop(MODULE);
	if
	:: answer == YOURS -> finish()
	:: answer == NOT_UP -> assert(false) /* finalized more often than initialized */
	:: else
	fi
}

/* A call of ours: p11_module_join(), the module's C_GetSlotList or the like, p11_module_leave(). */
inline call_it()
{
	life_join(MODULE);
	if
	:: answer == COUNTED ->
		atomic { assert(module_is_up && !module_is_inside); module_n_calls++ };
		began = generation;
		may_fork();
		atomic {
			if
			:: began == generation -> module_n_calls--
			:: else
			fi
		};
		life_leave(MODULE)
	:: else
	fi;
	if
	:: answer == YOURS -> finish()
	:: else
	fi
}

proctype user(byte me)
{
	mtype answer;
	bool in_time, is_ours, ok;
	byte n, began, since, round;

	{
		do
		:: round < ROUNDS ->
			round++;
			since = generation;
			if
#ifndef HANG
			:: module_start(FOREVER)
#endif
			:: module_start(SOME_TIME)
			fi;
			may_fork();
			if
			:: ok && since == generation -> call_it()
			:: ok && since == generation -> skip
			:: else
			fi;
			if /* what the parent has started is not the child's */
			:: ok && since == generation -> module_stop()
			:: ok && since == generation && round == ROUNDS -> n_kept++
			:: ok && since != generation ->
				life_stop(MODULE);
				assert(answer == NOT_UP)
			:: else
			fi;
			ok = false
		:: else -> break
		od
	} VANISH;
	n_done++
}

proctype caller(byte me)
{
	mtype answer;
	byte n, began;

	{
		call_it()
	} VANISH;
	n_done++
}

init {
	byte i;

	atomic {
		do
		:: i < N_USERS -> run user(i); i++
		:: i >= N_USERS && i < N_THREADS -> run caller(i); i++
		:: else -> break
		od
	};
	n_done == N_THREADS || (module_hangs && n_done == N_THREADS - 1);
	if
	:: !module_hangs ->
		assert(life[MODULE].state == (n_kept > 0 -> UP : DOWN) && life[MODULE].n_users == n_kept);
		assert(life[MODULE].n_joined[0] == 0 && life[MODULE].n_joined[1] == 0);
		assert(module_is_up == (n_kept > 0) && !module_is_inside && !life[MODULE].locked)
	:: else
	fi
}

/* Under weak fairness; every waiter ends, since its thread does. */
#ifdef ENDS
ltl ends { <> (n_done == N_THREADS) }
#endif
