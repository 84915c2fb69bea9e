/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * p11-bench-tls: a TLS server whose key is on a token, under load. Each thread makes handshakes one
 * after the other, both ends of them, over a pair of sockets; all servers share one key, as those
 * of one process do. GnuTLS finds the token by the library under test.
 *
 *	p11-bench-tls LIBRARY CONFIG THREADS KEY-URI CERTIFICATE PIN
 *
 * Its own program, since nothing else of the benchmark needs GnuTLS.
 */
#include "bench/lanes.h"
#include "bench/party.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WARM_UP_S 0.3
#define MEASURE_S 3.0
#define MAX_THREADS 16

static gnutls_certificate_credentials_t server_key, client_key;
static gnutls_priority_t priority;
static atomic_bool is_over;
static atomic_ulong n_handshakes;

static void
expect(int code, const char *what)
{
	if (code < 0)
		bench_die("%s: %s", what, gnutls_strerror(code));
}

static int
give_pin(void *pin, int attempt, const char *url, const char *label, unsigned flags, char *out,
	 size_t size)
{
	(void)url, (void)label, (void)flags;
	if (attempt > 0 || strlen(pin) >= size)
		return -1;
	strcpy(out, pin);
	return 0;
}

static gnutls_session_t
new_end(unsigned kind, gnutls_certificate_credentials_t credentials, int socket)
{
	gnutls_session_t session;

	expect(gnutls_init(&session, kind | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS), "gnutls_init");
	expect(gnutls_priority_set(session, priority), "gnutls_priority_set");
	expect(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials), "credentials");
	gnutls_transport_set_int(session, socket);
	return session;
}

static void
shake_hands(void)
{
	int sockets[2], codes[2] = {GNUTLS_E_AGAIN, GNUTLS_E_AGAIN};

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets) < 0)
		bench_die("no sockets: %s", strerror(errno));
	gnutls_session_t ends[] = {new_end(GNUTLS_SERVER, server_key, sockets[0]),
				   new_end(GNUTLS_CLIENT, client_key, sockets[1])};
	while (codes[0] != 0 || codes[1] != 0) {
		for (int i = 0; i < 2; i++) {
			if (codes[i] != 0)
				codes[i] = gnutls_handshake(ends[i]);
			if (codes[i] < 0 && gnutls_error_is_fatal(codes[i]))
				bench_die("%s: %s", i ? "client" : "server",
					  gnutls_strerror(codes[i]));
		}
	}
	for (int i = 0; i < 2; i++) {
		gnutls_deinit(ends[i]);
		close(sockets[i]);
	}
}

static void *
serve(void *unused)
{
	(void)unused;
	while (!is_over) {
		shake_hands();
		n_handshakes++;
	}
	return NULL;
}

static void
pause_s(double seconds)
{
	usleep((useconds_t)(seconds * 1e6));
}

int
main(int argc, char **argv)
{
	pthread_t threads[MAX_THREADS];
	int n_threads = argc == 7 ? atoi(argv[3]) : 0;

	if (n_threads < 1 || n_threads > MAX_THREADS)
		bench_die("usage: p11-bench-tls LIBRARY CONFIG THREADS KEY-URI CERTIFICATE PIN");
	(void)bench_open_library(argv[1], argv[2]); /* before GnuTLS reads the configuration */
	gnutls_pkcs11_set_pin_function(give_pin, argv[6]);
	expect(gnutls_certificate_allocate_credentials(&server_key), "credentials");
	expect(gnutls_certificate_allocate_credentials(&client_key), "credentials");
	expect(gnutls_priority_init(&priority, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL), "priority");
	expect(gnutls_certificate_set_x509_key_file(server_key, argv[5], argv[4],
						    GNUTLS_X509_FMT_PEM),
	       "the token's key");

	for (int i = 0; i < n_threads; i++) {
		if (pthread_create(&threads[i], NULL, serve, NULL) != 0)
			bench_die("no thread");
	}
	pause_s(WARM_UP_S);
	unsigned long before = n_handshakes;
	double began = bench_now();
	pause_s(MEASURE_S);
	bench_report((double)(n_handshakes - before) / ((bench_now() - began) / 1e9), "handshakes");
	is_over = true;
	for (int i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
