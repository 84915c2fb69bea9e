/* SPDX-License-Identifier: BSD-3-Clause */
/* What the sanitizers keep a test from doing: no flaw of the library's. */
#ifndef P11_TEST_SANITIZERS_H
#define P11_TEST_SANITIZERS_H

/*
 * ThreadSanitizer cannot follow some things that tests do on purpose: fork() in a signal handler,
 * vfork(), a mutex that is unlocked though nobody locked it. Such a test is left out there.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SUPPORT_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define SUPPORT_TSAN 1
#endif
#ifndef SUPPORT_TSAN
#define SUPPORT_TSAN 0
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SUPPORT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SUPPORT_ASAN 1
#endif
#ifndef SUPPORT_ASAN
#define SUPPORT_ASAN 0
#endif

/*
 * The sanitizers' allocators hold no lock over fork(): a child made while another thread is inside
 * one hangs in its own malloc() or dlopen(). A test whose child allocates, and whose threads do
 * meanwhile, is left out there; it runs in all other builds.
 */
#define SUPPORT_FORKS_WHILE_BUSY (!SUPPORT_ASAN && !SUPPORT_TSAN)

#endif
