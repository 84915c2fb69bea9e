/* SPDX-License-Identifier: BSD-3-Clause */
#include "module/mutex.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

CK_RV
p11_mutex_create(CK_VOID_PTR_PTR mutex)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t *created;

	if (!mutex)
		return CKR_ARGUMENTS_BAD;
	created = malloc(sizeof *created);
	if (!created)
		return CKR_HOST_MEMORY;
	/* Error-checking: a module that locks twice is told, and does not wait for itself for
	 * ever. */
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(created, &attributes);
	pthread_mutexattr_destroy(&attributes);
	*mutex = created;
	return CKR_OK;
}

CK_RV
p11_mutex_destroy(CK_VOID_PTR mutex)
{
	if (!mutex)
		return CKR_MUTEX_BAD;
	if (pthread_mutex_destroy(mutex) == EBUSY)
		return CKR_GENERAL_ERROR;
	free(mutex);
	return CKR_OK;
}

CK_RV
p11_mutex_lock(CK_VOID_PTR mutex)
{
	if (!mutex)
		return CKR_MUTEX_BAD;
	return pthread_mutex_lock(mutex) == 0 ? CKR_OK : CKR_GENERAL_ERROR;
}

CK_RV
p11_mutex_unlock(CK_VOID_PTR mutex)
{
	if (!mutex)
		return CKR_MUTEX_BAD;
	/* Not CKR_MUTEX_NOT_LOCKED, though the standard has it: where OpenSC 0.23 cannot start, it
	 * unlocks what it has not locked, again and again until the answer is CKR_OK. */
	pthread_mutex_unlock(mutex);
	return CKR_OK;
}
