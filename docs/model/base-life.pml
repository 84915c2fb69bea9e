/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * base/life.c, one inline for each function of it but p11_life_end(), which only finalize-at-exit uses, and what a thread
 * leaves when it ends (leave_at_end()). Included by a model that defines N_THREADS, N_LIVES and N_PARTS.
 * Every access to an atomic is a step of its own; what only the lock guards may share a step.
 * A thread has these locals: me (its number), answer, in_time, n.
 */

mtype = { DOWN, STARTING, UP, STOPPING };		/* enum p11_life_state */
mtype = { COUNTED, YOURS, SELF, BUSY, NOT_UP, TAKEN };	/* enum p11_life_answer */
mtype = { NOT_AT_ALL, SOME_TIME, FOREVER };		/* wait_ms: 0, more, P11_LIFE_FOREVER */

typedef life_of {
	bool locked;		/* lock */
	mtype state = DOWN;
	byte owner;
	byte generation;	/* fork_generation */
	byte n_users;		/* atomic */
	bool is_restarting;	/* atomic */
	byte n_joined[N_PARTS];	/* parts[].n_joined, atomic */
};
life_of life[N_LIVES];
byte sleeps[N_THREADS];		/* in pthread_cond_wait() for this life (counted from 1), not woken yet; or AWAKE */
byte generation;		/* p11_fork_generation() */

/* What a model has to say about a start that finds it up: evaluated in the moment in which it counts. */
#ifndef WHEN_COUNTED
#define WHEN_COUNTED(l) skip
#endif

/* About one who has joined: evaluated in the moment in which the last look says that it is up. */
#ifndef WHEN_JOINED
#define WHEN_JOINED(l) skip
#endif

#define IS_CHANGING(l) (life[l].state == STARTING || life[l].state == STOPPING)
#define AWAKE 0
#define SLEEPS(thread, l) (sleeps[thread] == 1 + l)
#define PART (me % N_PARTS)

inline take_lock(l)
{
	atomic { !life[l].locked -> life[l].locked = true }
}

inline drop_lock(l)
{
	life[l].locked = false
}

/* pthread_cond_broadcast() */
inline wake(l)
{
	d_step {
		n = 0;
		do
		:: n < N_THREADS ->
			if
#ifdef PLANT_SIGNAL /* wakes one of them */
			:: SLEEPS(n, l) -> sleeps[n] = AWAKE; n = N_THREADS
#else
			:: SLEEPS(n, l) -> sleeps[n] = AWAKE; n++
#endif
			:: else -> n++
			fi
		:: else -> break
		od;
		n = 0
	}
}

/* wait_locked(): in_time says what it returns */
inline wait_locked(l, wait)
{
	in_time = (wait != NOT_AT_ALL);
	do
	:: !IS_CHANGING(l) -> in_time = true; break
	:: IS_CHANGING(l) && !in_time -> break
	:: IS_CHANGING(l) && in_time ->
#ifdef PLANT_LOST_WAKE_UP /* unlocks, and only then sleeps */
		drop_lock(l);
		sleeps[me] = 1 + l;
#else
		atomic { sleeps[me] = 1 + l; life[l].locked = false };
#endif
		if
		:: sleeps[me] == AWAKE
		:: wait == SOME_TIME -> atomic { sleeps[me] = AWAKE; in_time = false }
		fi;
		take_lock(l)
#ifdef PLANT_NO_RECHECK /* `if` in the place of `while` */
		; break
#endif
	od
}

inline own_locked(l, to)
{
	d_step { life[l].state = to; life[l].owner = me; life[l].generation = generation }
}

/* start(): p11_life_start(), p11_life_start_alone() */
inline life_start(l, wait, alone)
{
	take_lock(l);
	if
	:: IS_CHANGING(l) && life[l].owner == me -> answer = SELF
	:: else ->
		wait_locked(l, wait);
		if
		:: !in_time -> answer = BUSY
		:: in_time && life[l].state == UP && alone && life[l].n_users > 0 -> answer = TAKEN
		:: in_time && life[l].state == UP && !(alone && life[l].n_users > 0) ->
			atomic { WHEN_COUNTED(l); life[l].n_users++; answer = COUNTED }
		:: in_time && life[l].state != UP -> own_locked(l, STARTING); answer = YOURS
		fi
	fi;
	drop_lock(l)
}

/* p11_life_started(): sets is_ours */
inline life_started(l, up)
{
	take_lock(l);
	is_ours = life[l].state == STARTING && life[l].generation == generation;
	if
	:: is_ours ->
		life[l].state = (up -> UP : DOWN);
		life[l].n_users = (up -> 1 : 0);
		wake(l)
	:: else
	fi;
	drop_lock(l)
}

/* has_joined(): one part after the other; n is N_PARTS if nobody has */
inline look_for_joins(l)
{
	n = 0;
	do
	:: n < N_PARTS && life[l].n_joined[n] == 0 -> n++
	:: else -> break
	od
}

/* stop_last(): sets answer */
inline stop_last(l)
{
	take_lock(l);
	answer = COUNTED;
	if
	:: life[l].state == UP && life[l].n_users == 0 ->
#ifdef PLANT_NO_LOOK_FOR_JOINS
		n = N_PARTS;
#else
		look_for_joins(l);
#endif
		if
		:: n == N_PARTS -> own_locked(l, STOPPING); answer = YOURS
		:: else
		fi;
		n = 0
	:: else
	fi;
	drop_lock(l)
}

/* p11_life_leave() */
inline life_leave(l)
{
	atomic {
		answer = COUNTED;
		if
		:: life[l].n_joined[PART] > 0 -> life[l].n_joined[PART]--; answer = YOURS /* not yet */
		:: else /* a child */
		fi
	};
	if
#ifndef PLANT_LEAVE_WITHOUT_A_LOOK
	:: answer == YOURS && life[l].n_users == 0 -> stop_last(l)
#endif
	:: else -> answer = COUNTED
	fi
}

/* p11_life_join() */
inline life_join(l)
{
#ifdef PLANT_JOIN_LOOKS_FIRST
	if
	:: life[l].n_users > 0 -> life[l].n_joined[PART]++; answer = COUNTED
	:: else -> answer = NOT_UP
	fi
#else
	life[l].n_joined[PART]++;
	if
	:: life[l].n_users > 0 ->
		atomic {
			if
#ifndef PLANT_JOINED_WHILE_RESTARTED
			:: life[l].is_restarting -> answer = NOT_UP
#endif
			:: else -> WHEN_JOINED(l); answer = COUNTED
			fi
		}
	:: else -> answer = NOT_UP
	fi;
	if
	:: answer == COUNTED
	:: else ->
		life_leave(l);
		if
		:: answer != YOURS -> answer = NOT_UP
		:: else
		fi
	fi
#endif
}

/* p11_life_stop() */
inline life_stop(l)
{
	atomic {
		n = life[l].n_users;
		if
		:: n > 0 -> life[l].n_users = n - 1
		:: else
		fi
	};
	if
	:: n == 1 -> n = 0; stop_last(l)
	:: n > 1 -> n = 0; answer = COUNTED
	:: else ->
		take_lock(l);
		answer = (IS_CHANGING(l) && life[l].owner == me -> SELF : NOT_UP);
		drop_lock(l)
	fi
}

/* p11_life_stopped() */
inline life_stopped(l)
{
	take_lock(l);
	if
	:: life[l].state == STOPPING && life[l].generation == generation ->
		life[l].state = DOWN;
#ifndef PLANT_NO_WAKE_UP
		wake(l)
#endif
	:: else
	fi;
	drop_lock(l)
}

/* p11_life_abandon(): was_up is what it returns; the caller ends it by life_stopped() */
inline life_abandon(l)
{
	take_lock(l);
	was_up = false;
	if
	:: life[l].state == UP ->
		atomic { was_up = life[l].n_users > 0; life[l].n_users = 0 };
		if
#ifdef PLANT_DOWN_BEFORE_ABANDONED
		:: was_up -> life[l].state = DOWN
#else
		:: was_up -> own_locked(l, STOPPING)
#endif
		:: else
		fi
	:: else
	fi;
	drop_lock(l)
}

/* p11_life_restart() */
inline life_restart(l)
{
	take_lock(l);
	if
	:: life[l].state != UP -> answer = BUSY
	:: life[l].state == UP ->
		if
		:: life[l].n_users > 0 ->
#ifndef PLANT_RESTARTED_WHILE_UP
			own_locked(l, STARTING);
#endif
			life[l].is_restarting = true;
			answer = YOURS
		:: else -> life[l].state = DOWN; answer = NOT_UP
		fi
	fi;
	drop_lock(l)
}

/* p11_life_restarted() */
inline life_restarted(l)
{
	take_lock(l);
	if
	:: life[l].state == STARTING && life[l].generation == generation ->
		life[l].is_restarting = false;
		life[l].state = UP;
#ifndef PLANT_RESTARTED_IN_SILENCE
		wake(l)
#endif
	:: else
	fi;
	drop_lock(l)
}

/* p11_life_reset(), in a child, where no other thread is */
inline life_reset(l)
{
	life[l].locked = false;
	life[l].state = DOWN;
	life[l].owner = 0;
	life[l].generation = 0;
	life[l].n_users = 0;
	life[l].is_restarting = false;
	n = 0;
	do
	:: n < N_PARTS -> life[l].n_joined[n] = 0; n++
	:: else -> n = 0; break
	od
}
