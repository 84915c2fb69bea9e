/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From numbers to words: the names of constants, and a sentence for each error. Written from
 * data/constants.tsv, attributes.tsv, mechanisms.tsv and errors.tsv. All strings are constant; any
 * thread, no memory, errno untouched.
 */
#ifndef P11_NAMES_H
#define P11_NAMES_H

#include <p11-kit/pkcs11.h>

/* The groups in which a number has one name. Flags are not one: a bit means something else in every
 * structure. */
enum p11_constant_group {
	P11_CKA, /* attributes */
	P11_CKC, /* types of certificates */
	P11_CKD, /* key derivation functions */
	P11_CKG, /* mask generation functions */
	P11_CKH, /* hardware features */
	P11_CKK, /* types of keys */
	P11_CKM, /* mechanisms */
	P11_CKN, /* notifications */
	P11_CKO, /* classes of objects */
	P11_CKR, /* what calls return */
	P11_CKS, /* states of sessions */
	P11_CKU, /* kinds of users */
	P11_CKZ, /* sources of parameters */
	P11_N_CONSTANT_GROUPS,
};

/* "CKM_RSA_PKCS"; NULL for a number without a name. */
const char *p11_constant_name(enum p11_constant_group group, unsigned long value);

/* "CKR_OK", or the number in hexadecimal, written to `buffer`. Never NULL. */
const char *p11_rv_name(CK_RV rv, char buffer[24]);

/* What went wrong, in a sentence for users, without a period; "" for what is no error. Never
 * NULL. */
const char *p11_error_text(CK_RV rv);

#endif
