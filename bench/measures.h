/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The measurements, each run in a process of its own by bench/run: they print "name<TAB>value"
 * lines. `library` is the library under test, `config` its configuration folder, `module` the file
 * of the module that is also called directly.
 */
#ifndef P11_BENCH_MEASURES_H
#define P11_BENCH_MEASURES_H

/*
 * Ordinary calls, directly, proxied and managed, by one and by two threads, with `n_slots` slots:
 * nanoseconds.
 */
void bench_calls(const char *library, const char *config, const char *module,
		 unsigned long n_slots);

/*
 * C_OpenSession and C_CloseSession, directly, proxied and managed, by one and by two threads:
 * nanoseconds per pair.
 */
void bench_sessions(const char *library, const char *config, const char *module,
		    unsigned long n_slots);

/* C_GetSlotList of `n_slots` slots, first and later, directly and proxied: microseconds. */
void bench_listing(const char *library, const char *config, const char *module,
		   unsigned long n_slots);

/*
 * The longest call on one slot while a slot of `slow` takes a second to answer: milliseconds.
 * Without a `library`, both modules are called directly.
 */
void bench_blocking(const char *library, const char *config, const char *module, const char *slow);

/* fork(), _exit() and waitpid() of a process with so many tables, or without a `library`:
 * microseconds. */
void bench_forking(const char *library, const char *config, const char *module,
		   unsigned long n_tables);

/*
 * C_GetSlotList every 10 ms while the module `slow` fails in it after a second: the share of the
 * time, in percent, that the poller is inside, and its longest call in milliseconds.
 */
void bench_polling(const char *library, const char *config, const char *slow);

/*
 * What dlopen() of the files costs in a process that has loaded something already: microseconds,
 * KiB made dirty.
 */
void bench_loading(const char *warm_up, char **files, int n_files);

#endif
