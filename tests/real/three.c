/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The project's first example: GnuTLS, gck and NSS in one process on one token. Each starts, signs
 * and stops, in every order, while the others keep signing on threads of their own. The first
 * failure or wrong signature ends the program with 1.
 *
 *	three [ORDERS]        ORDERS: how many of the 36 orders; all without it
 *	three NAME            one party alone: gnutls, gck or nss
 *
 * What to use comes from the environment: P11_PROXY, P11_TOKEN, P11_KEY, P11_PIN, and
 * P11_SIGNATURE, a file with the signature that SoftHSM itself makes of the text in P11_DATA.
 */
#include "party.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define N_PARTIES 3
#define N_ORDERS 6
#define SIGNATURES 10 /* that every running party must make between two events */
#define DEADLINE_S 60

static const struct party *const parties[N_PARTIES] = {&party_gnutls, &party_gck, &party_nss};
static const unsigned char orders[N_ORDERS][N_PARTIES] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
							  {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

static struct party_setting setting;
static unsigned char expected[PARTY_MAX_SIGNATURE];
static size_t expected_length;

static struct worker {
	const struct party *party;
	pthread_t thread;
	atomic_bool running; /* until the main thread says stop */
	atomic_ulong made;
	atomic_bool broken;
} workers[N_PARTIES];

bool
party_failed(const struct party *party, const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", party->name, what, why);
	return false;
}

static bool
sign_once(struct worker *worker)
{
	unsigned char signature[PARTY_MAX_SIGNATURE];
	size_t length = worker->party->sign(&setting, signature);

	if (length == 0)
		return false;
	if (length != expected_length || memcmp(signature, expected, length) != 0)
		return party_failed(worker->party, "sign", "a wrong signature");
	worker->made++;
	return true;
}

static void *
keep_signing(void *data)
{
	struct worker *worker = data;

	while (worker->running) {
		if (!sign_once(worker)) {
			worker->broken = true;
			break;
		}
	}
	return NULL;
}

/* Waits until every party that runs has made some more signatures. */
static bool
all_sign(void)
{
	unsigned long goals[N_PARTIES];
	time_t deadline = time(NULL) + DEADLINE_S;

	for (int i = 0; i < N_PARTIES; i++)
		goals[i] = workers[i].made + SIGNATURES;
	for (int i = 0; i < N_PARTIES; i++) {
		while (workers[i].running && workers[i].made < goals[i]) {
			if (workers[i].broken)
				return false;
			if (time(NULL) > deadline)
				return party_failed(workers[i].party, "sign", "stands still");
			nanosleep(&(struct timespec){0, 1000000}, NULL);
		}
	}
	return true;
}

static bool
start(struct worker *worker)
{
	if (!worker->party->start(&setting))
		return false;
	worker->broken = false;
	worker->running = true;
	if (pthread_create(&worker->thread, NULL, keep_signing, worker) == 0)
		return true;
	worker->running = false;
	return party_failed(worker->party, "start", "no thread");
}

static bool
stop(struct worker *worker)
{
	worker->running = false;
	pthread_join(worker->thread, NULL);
	return !worker->broken && worker->party->stop();
}

static bool
round_of(const unsigned char starts[N_PARTIES], const unsigned char stops[N_PARTIES])
{
	for (int i = 0; i < N_PARTIES; i++) {
		if (!start(&workers[starts[i]]) || !all_sign())
			return false;
	}
	for (int i = 0; i < N_PARTIES; i++) {
		if (!stop(&workers[stops[i]]) || !all_sign())
			return false;
	}
	return true;
}

static void
tell(const char *word, const unsigned char order[N_PARTIES])
{
	printf(" %s:", word);
	for (int i = 0; i < N_PARTIES; i++)
		printf(" %s", parties[order[i]]->name);
}

static int
all_orders(unsigned n)
{
	for (unsigned i = 0; i < n && i < N_ORDERS * N_ORDERS; i++) {
		const unsigned char *starts = orders[i / N_ORDERS];
		const unsigned char *stops = orders[(i * 5 + i / N_ORDERS) % N_ORDERS];
		bool good = round_of(starts, stops);

		printf("%s", good ? "ok" : "FAILED");
		tell("start", starts);
		tell("stop", stops);
		printf("\n");
		fflush(stdout);
		if (!good)
			return 1;
	}
	for (int i = 0; i < N_PARTIES; i++)
		printf("%s made %lu signatures\n", parties[i]->name,
		       (unsigned long)workers[i].made);
	return 0;
}

/* One party alone, twice: it must be able to come back. */
static int
alone(struct worker *worker)
{
	for (int i = 0; i < 2; i++) {
		if (!start(worker) || !all_sign() || !stop(worker)) {
			printf("FAILED: %s alone\n", worker->party->name);
			return 1;
		}
	}
	printf("ok: %s alone made %lu signatures\n", worker->party->name,
	       (unsigned long)worker->made);
	return 0;
}

static const char *
wanted(const char *name)
{
	const char *value = getenv(name);

	if (value)
		return value;
	fprintf(stderr, "three: the environment has no %s\n", name);
	exit(2);
}

static void
read_setting(void)
{
	setting.proxy = wanted("P11_PROXY");
	setting.token = wanted("P11_TOKEN");
	setting.key = wanted("P11_KEY");
	setting.pin = wanted("P11_PIN");
	setting.data = (const unsigned char *)wanted("P11_DATA");
	setting.data_length = strlen((const char *)setting.data);

	FILE *file = fopen(wanted("P11_SIGNATURE"), "rb");
	if (file) {
		expected_length = fread(expected, 1, sizeof(expected), file);
		fclose(file);
	}
	if (expected_length == 0) {
		fprintf(stderr, "three: cannot read the file that P11_SIGNATURE names\n");
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	read_setting();
	for (int i = 0; i < N_PARTIES; i++)
		workers[i].party = parties[i];
	for (int i = 0; argc > 1 && i < N_PARTIES; i++) {
		if (!strcasecmp(argv[1], parties[i]->name))
			return alone(&workers[i]);
	}
	return all_orders(argc > 1 ? (unsigned)atoi(argv[1]) : N_ORDERS * N_ORDERS);
}
