/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What we know of a thread. What is counted or queued by every thread is kept in parts, and each
 * thread keeps to one of them: threads that write to the same memory are slower than one thread.
 */
#ifndef P11_THREAD_H
#define P11_THREAD_H

#define P11_THREAD_PARTS 8

/* Calls of ours inside modules that are inside each other; more than these are not undone if the
 * thread ends in them. */
#define P11_THREAD_MAX_JOINS 4

struct p11_life; /* base/life.h */

struct p11_thread {
	unsigned long long
		number; /* never another thread's, as pthread_self() may be after its end */
	unsigned part;  /* below P11_THREAD_PARTS; the same for all its life */
	unsigned n_joined;
	struct p11_life
		*joined[P11_THREAD_MAX_JOINS]; /* what it has joined and not left, oldest first */
};

/* This thread's record; it goes with the thread. */
struct p11_thread *p11_thread(void);

/* What is done with the record of a thread that ends; one function, set by a constructor. */
void p11_thread_at_end(void (*end)(struct p11_thread *thread));

#endif
