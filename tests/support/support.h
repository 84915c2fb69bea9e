/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What tests in C share: a configuration of their own, the chaos modules, children with a deadline,
 * crews of threads. A test that cannot even prepare ends the process with a line on stderr: nothing
 * here returns an error of its own making.
 */
#ifndef P11_TEST_SUPPORT_H
#define P11_TEST_SUPPORT_H

#include "chaos.h"
#include "support/sanitizers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Ends the process: the test cannot go on. */
_Noreturn void support_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The value of an environment variable that meson sets (P11_PROXY, P11_CHAOS ...), or the end of
 * the process. */
const char *support_env(const char *name);

/*
 * A scene: a folder with the configuration that the library is to see, instead of the system's and
 * the user's.
 *
 *	system.conf  user.conf  modules/  package/  user/
 */
struct scene;
struct scene *scene_new(void);
/* Removes the folder; NULL is fine. The library must not read its configuration afterwards. */
void scene_free(struct scene *scene);
/* A path in the scene, which owns it: "" is the folder. */
const char *scene_path(struct scene *scene, const char *name);
/* Writes a file, as "modules/a.module"; what was there is replaced. */
void scene_write(struct scene *scene, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void scene_remove(struct scene *scene, const char *name);
/* modules/NAME.module for a file; `more` are further lines, or NULL. */
void scene_module(struct scene *scene, const char *name, const char *path, const char *more);
/* The same for a chaos module, "chaos-a": its name there is `name`; returns its control. */
struct chaos *scene_chaos(struct scene *scene, const char *name, const char *file,
			  const char *more);
/*
 * Makes the library read the scene and nothing else. `library` is a handle of dlopen(), or NULL if
 * the program is linked with it. The scene must live as long as the library reads configuration.
 */
void scene_use(struct scene *scene, void *library);

/* Chaos modules: chaos-a, -b, -c (3.2), chaos-2.40, chaos-3.0, chaos-nulls. They stay loaded. */
const char *chaos_path(const char *file); /* "chaos-a"; valid until the thread's next call */
struct chaos *chaos_load(const char *file);
/* The function list of a chaos module, for direct calls; CK_FUNCTION_LIST *. */
void *chaos_list(const char *file);
/*
 * Whether the counts are exact: as many C_Finalize as C_Initialize (but for those that
 * chaos->drop() stood in for), none while another ran, no session left, no call that came while the
 * module was down or with a dead session. What is not is said on stderr.
 */
bool chaos_is_exact(struct chaos *chaos);

/* Waits until the expression is true; false after so many milliseconds. */
#define WAIT_UNTIL(expression, ms)                                                                 \
	({                                                                                         \
		unsigned long wait_start = support_ms();                                           \
		while (!(expression) && support_ms() - wait_start < (ms))                          \
			support_pause_ms(1);                                                       \
		!!(expression);                                                                    \
	})
unsigned long support_ms(void); /* of the monotonic clock */
void support_pause_ms(unsigned ms);

/* Runs it in a child: its return value is the child's exit code, which is returned; or: */
#define CHILD_DIED 256 /* plus the signal */
#define CHILD_HUNG 512 /* it was killed after so many seconds */
int child_run(int (*work)(void *data), void *data, unsigned seconds);
/* Waits for any child as child_run() does. */
int child_wait(int pid, unsigned seconds);

/* A crew: n threads that begin at the same moment. `data` is shared; `i` counts from 0. */
struct crew;
struct crew *crew_start(unsigned n, void (*work)(void *data, unsigned i), void *data);
void crew_join(struct crew *crew); /* and frees it */

/*
 * Whether ./check runs the program in an emulator (P11_EMULATED), since the kernel runs none of
 * that kind: that one does not execute other programs, and its madvise() only says that it has
 * wiped a child's page.
 */
bool support_is_emulated(void);

unsigned support_n_descriptors(void); /* open ones of this process */
unsigned long support_resident_kib(void);
unsigned support_n_threads(void);

#endif
