/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One instance of the proxy and its link to one module: proxy/life.c. Threads call its C_Initialize, list slots (which
 * brings up what is down), and call its C_Finalize, all at once. What the module's own life does is life.pml; here it is a
 * count of users, and a start that may take long or fail.
 *
 * Nobody ends a user that is none, and at the end the instance is one user of the module while somebody has it initialized
 * (or none, if the module failed), and no user afterwards.
 */
#ifndef N_THREADS
#define N_THREADS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif

byte module_n_users;	/* life.n_users of the module */
bool module_has_failed;

bool locked;		/* p11_proxy_lock */
byte n_inits;		/* struct p11_instance */
byte owner;		/* atomic; 0: not initialized */
byte last_owner;	/* p11_handle_new_owner() */
byte up_for;		/* struct p11_link, atomic; 0: the instance is no user of the module */

byte n_done;
byte n_kept;

/* p11_module_stop() */
inline module_stop()
{
	atomic { assert(module_n_users > 0); module_n_users-- }
}

/* end_user() */
inline end_user(whose)
{
	atomic {
		ended = (up_for == whose);
		up_for = (ended -> 0 : up_for)
	};
	if
	:: ended -> module_stop()
	:: else
	fi
}

/* become_user() */
inline become_user(whose)
{
	atomic { /* loads it, and exchanges it if it is an earlier one's */
		was = up_for;
		if
#ifndef PLANT_LATER_ONE_OVERWRITTEN
		:: was >= whose
#endif
		:: else -> up_for = whose
		fi
	};
	if
	:: was >= whose -> module_stop()
	:: else ->
		if
#ifndef PLANT_EARLIER_ONE_FORGOTTEN
		:: was != 0 -> module_stop()
#endif
		:: else
		fi;
#ifndef PLANT_NO_LOOK_AT_OWNER
		if
		:: owner != whose -> end_user(whose)
		:: else
		fi
#endif
	fi
}

/* p11_link_bring_up(), when its pause is over; takes as long as it takes */
inline bring_up(whose)
{
	if
	:: up_for == whose /* p11_link_is_up() */
	:: else ->
		if
		:: module_n_users++; become_user(whose)
		:: module_has_failed = true
		fi
	fi
}

/* p11_instance_initialize() */
inline initialize()
{
	atomic { !locked -> locked = true };
	n_inits++;
	if
	:: n_inits == 1 -> d_step { last_owner++; owner = last_owner }
	:: else
	fi;
	mine = owner;
	locked = false;
	bring_up(mine)
}

/* p11_instance_finalize() */
inline finalize()
{
	atomic { !locked -> locked = true };
	n_inits--;
	mine = 0;
	if
	:: n_inits == 0 -> atomic { mine = owner; owner = 0 }
	:: else
	fi;
	locked = false;
#ifndef PLANT_LINKS_LEFT
	if
	:: mine != 0 -> end_user(mine)
	:: else
	fi;
#endif
	mine = 0
}

/* p11_proxy_get_slot_list() and others, as far as links go */
inline list_slots()
{
	mine = owner;
	if
	:: mine != 0 -> bring_up(mine)
	:: else
	fi
}

proctype consumer()
{
	byte mine, was, round;
	bool ended;

	do
	:: round < ROUNDS ->
		round++;
		initialize();
		if
		:: finalize()
		:: round == ROUNDS -> n_kept++; break
		fi
	:: else -> break
	od;
	n_done++
}

proctype lister()
{
	byte mine, was;
	bool ended;

	list_slots();
	list_slots();
	n_done++
}

init {
	byte i;

	atomic {
		do
		:: i < N_THREADS -> run consumer(); i++
		:: else -> break
		od;
		run lister()
	};
	n_done == N_THREADS + 1;
	assert(n_inits == n_kept && (owner != 0) == (n_kept > 0));
	assert(module_n_users == (up_for != 0 -> 1 : 0));
	assert(up_for == owner || (up_for == 0 && module_has_failed))
}
