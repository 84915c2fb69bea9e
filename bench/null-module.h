/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the benchmarks tell their null module, beside PKCS#11: found with dlsym() in the module's
 * own file.
 */
#ifndef P11_BENCH_NULL_MODULE_H
#define P11_BENCH_NULL_MODULE_H

/* The number of slots, 1 at first. Call it before anybody lists them. */
void null_module_set_slots(unsigned long n_slots);

/* How long each C_GetSlotInfo takes from now on, in milliseconds; 0 at first. Any thread. */
void null_module_set_sleep(unsigned sleep_ms);

/* After how many milliseconds each C_GetSlotList fails from now on; 0: it works. Any thread. */
void null_module_set_failing(unsigned ms);

#endif
