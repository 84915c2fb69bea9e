/* SPDX-License-Identifier: BSD-3-Clause */
/* A consumer, by each of the three ways. */
#define P11_KIT_NO_DEPRECATIONS 1
#include "containment.h"

#include <dlfcn.h>

#include <p11-kit/deprecated.h>

const char *const way_names[N_WAYS] = {"proxy", "managed", "unmanaged"};

/* The list of the highest version that the file itself gives; NULL if it gives none. */
static CK_FUNCTION_LIST_3_2 *
list_of_file(const char *path)
{
	void *file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CK_C_GetInterface get_interface;
	CK_C_GetFunctionList get_list;
	CK_INTERFACE *interface = NULL;
	CK_FUNCTION_LIST *list = NULL;

	if (!file)
		return NULL;
	*(void **)&get_interface = dlsym(file, "C_GetInterface");
	if (get_interface && get_interface(NULL, NULL, &interface, 0) == CKR_OK)
		return interface->pFunctionList;
	*(void **)&get_list = dlsym(file, "C_GetFunctionList");
	return get_list && get_list(&list) == CKR_OK ? (CK_FUNCTION_LIST_3_2 *)list : NULL;
}

struct consumer
consumer_open(enum way way, const char *path)
{
	struct consumer consumer = {.way = way};

	if (way == WAY_PROXY)
		consumer.list = core_interface(3, 2);
	else if (way == WAY_MANAGED)
		consumer.list = (CK_FUNCTION_LIST_3_2 *)p11_kit_module_load(path, 0);
	else
		consumer.list = list_of_file(path);
	return consumer;
}

CK_RV
consumer_initialize(const struct consumer *consumer)
{
	if (consumer->way == WAY_UNMANAGED)
		return p11_kit_initialize_module((CK_FUNCTION_LIST *)consumer->list);
	return consumer->list->C_Initialize(NULL);
}

CK_RV
consumer_finalize(const struct consumer *consumer)
{
	if (consumer->way == WAY_UNMANAGED)
		return p11_kit_finalize_module((CK_FUNCTION_LIST *)consumer->list);
	return consumer->list->C_Finalize(NULL);
}

void
consumer_close(struct consumer *consumer)
{
	if (consumer->way == WAY_MANAGED && consumer->list)
		p11_kit_module_release((CK_FUNCTION_LIST *)consumer->list);
	consumer->list = NULL;
}
