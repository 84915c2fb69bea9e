/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A party: a library that real programs use, as one of several in a process. Each signs with the
 * same RSA key of the same token; RSA with PKCS #1 padding always gives the same signature, so a
 * wrong one is found by comparing.
 *
 * start() and stop() are called on the main thread, sign() on a thread of the party's own in
 * between.
 */
#ifndef PARTY_H
#define PARTY_H

#include <stdbool.h>
#include <stddef.h>

#define PARTY_MAX_SIGNATURE 512

struct party_setting {
	const char *proxy; /* path of p11-kit-proxy.so, for those who do not know libp11-kit */
	const char *token; /* label */
	const char *key;   /* label */
	const char *pin;
	const unsigned char *data; /* to be signed, SHA-256 with RSA */
	size_t data_length;
};

struct party {
	const char *name;
	bool (*start)(const struct party_setting *setting);
	/* Makes one signature: its length, or 0. */
	size_t (*sign)(const struct party_setting *setting,
		       unsigned char signature[PARTY_MAX_SIGNATURE]);
	bool (*stop)(void);
};

extern const struct party party_gnutls;
extern const struct party party_gck;
extern const struct party party_nss;

/* Says on stderr what a party could not do; returns false. */
bool party_failed(const struct party *party, const char *what, const char *why);

#endif
