/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A module that a stranger finalizes under us (share/heal.c), one managed table of it (share/managed.c) and another user of
 * it, such as the proxy. Whoever's call finds out turns the table down and initializes the module again, while others start
 * and stop both.
 *
 * C_Initialize and C_Finalize of ours never overlap, and nobody is told that he is a user while one runs. No start of a
 * table gets lost: whoever has it initialized has an owner number until it is healed or finalized. At the end as many
 * users are counted as did not stop it, and the module is down if there are none. Nobody joins it while it is being
 * initialized again; what those find who have joined it before is not checked: only they tell us that it is down.
 */
#ifndef N_CONSUMERS
#define N_CONSUMERS 2	/* threads that use the table */
#endif
#ifndef N_USERS
#define N_USERS 1	/* threads that use the module otherwise */
#endif
#define N_THREADS (N_CONSUMERS + N_USERS)
#define N_LIVES 2
#define N_PARTS 1
#define MODULE 0
#define TABLE 1
#define WHEN_COUNTED(l) assert(l != MODULE || !module_is_inside)
#define WHEN_JOINED(l) assert(l != MODULE || !is_inside_for_heal)

bool module_is_up;
bool module_is_inside;
bool is_inside_for_heal;
bool must_finalize;	/* struct p11_module */

bool is_healed;		/* heal_at_ms: once is enough, for the stranger comes once */
byte owner;		/* struct managed */
byte last_owner;
byte n_done;
byte n_kept;		/* users that did not stop it at their end */

#include "base-life.pml"

inline call_initialize()
{
	atomic { assert(!module_is_inside && !module_is_up); module_is_inside = true };
	atomic { module_is_inside = false; module_is_up = true };
	must_finalize = true
}

inline call_finalize()
{
	atomic { assert(!module_is_inside); module_is_inside = true };
	atomic { module_is_inside = false; module_is_up = false }
}

/* p11_module_start(): it is a user now */
inline module_start()
{
	life_start(MODULE, FOREVER, false);
	if
	:: answer == YOURS ->
		call_initialize();
		life_started(MODULE, true)
	:: else -> assert(answer == COUNTED)
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
	:: else -> assert(answer == COUNTED)
	fi
}

/* p11_managed_abandon() */
inline managed_abandon()
{
	life_abandon(TABLE);
	if
	:: was_up ->
		owner = 0;
		module_stop();
		life_stopped(TABLE)
	:: else
	fi
}

/* p11_module_restart() */
inline module_restart()
{
	life_restart(MODULE);
	if
	:: answer == YOURS ->
		is_inside_for_heal = true;
		call_initialize();
		is_inside_for_heal = false;
		life_restarted(MODULE)
	:: else
	fi
}

/* p11_heal() */
inline heal()
{
	atomic { may_heal = !is_healed; is_healed = true };
	if
	:: may_heal -> managed_abandon(); module_restart()
	:: else
	fi
}

/* C_OpenSession, or our list, or our wait: a call of ours that finds out */
inline call_it()
{
	life_join(MODULE);
	if
	:: answer == COUNTED ->
		if
		:: !module_is_up && !module_is_inside -> heal()
		:: else
		fi;
		life_leave(MODULE)
	:: else
	fi;
	if
	:: answer == YOURS -> finish()
	:: else
	fi
}

/* go_up(), go_down() */
inline go_up()
{
	module_start();
	d_step { last_owner++; owner = last_owner };
	life_started(TABLE, true)
}

inline go_down()
{
	atomic { assert(owner != 0); owner = 0 };
	module_stop();
	life_stopped(TABLE)
}

/* managed_initialize(), a call, managed_finalize(), which a heal may have made unnecessary */
proctype consumer(byte me)
{
	mtype answer;
	bool in_time, is_ours, was_up, may_heal, is_up;
	byte n;

	life_start(TABLE, FOREVER, true);
	if
	:: answer == YOURS -> go_up(); is_up = true
	:: answer == COUNTED -> is_up = true
	:: else -> assert(answer == TAKEN)
	fi;
	if
	:: owner != 0 -> call_it()
	:: skip
	fi;
	if
	:: is_up ->
		life_stop(TABLE);
		if
		:: answer == YOURS -> go_down()
		:: else -> assert(answer == COUNTED || is_healed)
		fi
	:: else
	fi;
	n_done++
}

proctype user(byte me)
{
	mtype answer;
	bool in_time, is_ours, was_up, may_heal;
	byte n;

	module_start();
	call_it();
	if
	:: module_stop()
	:: n_kept++
	fi;
	n_done++
}

init {
	byte i;

	atomic {
		do
		:: i < N_CONSUMERS -> run consumer(i); i++
		:: i >= N_CONSUMERS && i < N_THREADS -> run user(i); i++
		:: else -> break
		od
	};
	if /* the stranger */
	:: atomic { module_is_up && !module_is_inside -> module_is_up = false }
	:: skip
	fi;
	n_done == N_THREADS;
	assert(life[TABLE].state == DOWN && life[TABLE].n_users == 0 && owner == 0);
	assert(life[MODULE].state == (n_kept > 0 -> UP : DOWN) && life[MODULE].n_users == n_kept);
	assert(life[MODULE].n_joined[0] == 0 && (n_kept > 0 || !module_is_up))
}
