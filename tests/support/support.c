/* SPDX-License-Identifier: BSD-3-Clause */
/* Deadlines, children, crews and the like; see support.h. */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void
support_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "test support: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(99);
}

const char *
support_env(const char *name)
{
	const char *value = getenv(name);

	if (!value)
		support_die("the environment has no %s: run the tests with `meson test`", name);
	return value;
}

unsigned long
support_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long)now.tv_sec * 1000 + (unsigned long)now.tv_nsec / 1000000;
}

void
support_pause_ms(unsigned ms)
{
	struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

int
child_wait(int pid, unsigned seconds)
{
	unsigned long start = support_ms();
	int status = 0;
	bool hung = false;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid)
			break;
		if (got < 0 && errno != EINTR)
			support_die("waitpid: %s", strerror(errno));
		if (!hung && support_ms() - start > seconds * 1000ul) {
			hung = true;
			kill(pid, SIGKILL);
		}
		support_pause_ms(1);
	}
	if (hung)
		return CHILD_HUNG;
	return WIFEXITED(status) ? WEXITSTATUS(status) : CHILD_DIED + WTERMSIG(status);
}

/* cmocka's handlers would go on with the parent's next test. */
static void
die_of_faults(void)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		signal(faults[i], SIG_DFL);
}

int
child_run(int (*work)(void *data), void *data, unsigned seconds)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		support_die("fork: %s", strerror(errno));
	if (pid == 0) {
		die_of_faults();
		_exit(work(data));
	}
	return child_wait(pid, seconds);
}

struct member {
	struct crew *crew;
	unsigned number;
	pthread_t thread;
};

struct crew {
	void (*work)(void *data, unsigned i);
	void *data;
	pthread_barrier_t start;
	unsigned n;
	struct member members[];
};

static void *
member_main(void *data)
{
	struct member *member = data;
	struct crew *crew = member->crew;

	pthread_barrier_wait(&crew->start);
	crew->work(crew->data, member->number);
	return NULL;
}

struct crew *
crew_start(unsigned n, void (*work)(void *data, unsigned i), void *data)
{
	struct crew *crew = calloc(1, sizeof(*crew) + n * sizeof(crew->members[0]));

	if (!crew)
		support_die("no memory");
	crew->work = work;
	crew->data = data;
	crew->n = n;
	pthread_barrier_init(&crew->start, NULL, n);
	for (unsigned i = 0; i < n; i++) {
		crew->members[i].crew = crew;
		crew->members[i].number = i;
		if (pthread_create(&crew->members[i].thread, NULL, member_main,
				   &crew->members[i]) != 0)
			support_die("no thread");
	}
	return crew;
}

void
crew_join(struct crew *crew)
{
	for (unsigned i = 0; i < crew->n; i++)
		pthread_join(crew->members[i].thread, NULL);
	pthread_barrier_destroy(&crew->start);
	free(crew);
}

bool
support_is_emulated(void)
{
	return getenv("P11_EMULATED") != NULL;
}

unsigned
support_n_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	if (!dir)
		support_die("/proc/self/fd: %s", strerror(errno));
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3; /* ".", ".." and the folder itself */
}

/* A number from /proc/self/status. */
static unsigned long
from_status(const char *key)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	unsigned long value = 0;
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		found = !strncmp(line, key, strlen(key));
		if (found)
			value = strtoul(line + strlen(key), NULL, 10);
	}
	if (!found)
		support_die("/proc/self/status has no %s", key);
	fclose(file);
	return value;
}

unsigned long
support_resident_kib(void)
{
	return from_status("VmRSS:");
}

unsigned
support_n_threads(void)
{
	return (unsigned)from_status("Threads:");
}
