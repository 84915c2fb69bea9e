/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is counted or queued by every thread is kept in parts, and each thread keeps to one of them:
 * threads that write to the same memory are slower than one thread.
 */
#ifndef P11_THREAD_H
#define P11_THREAD_H

#define P11_THREAD_PARTS 8

/* This thread's number: never another thread's, as pthread_self() may be after its end. */
unsigned long long p11_thread_number(void);

/* This thread's part, below P11_THREAD_PARTS; the same for all its life. */
unsigned p11_thread_part(void);

#endif
