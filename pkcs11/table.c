/* SPDX-License-Identifier: BSD-3-Clause */
#include "pkcs11/table.h"

#include "pkcs11/call.h"

_Static_assert(offsetof(union p11_table, by_call.entry) ==
		       offsetof(CK_FUNCTION_LIST_3_2, C_Initialize),
	       "the array of entries begins where the list's first entry is");
_Static_assert(sizeof(((union p11_table *)0)->by_call) == sizeof(CK_FUNCTION_LIST_3_2),
	       "the list of the highest version has every call of the tables");

#define N_ENTRIES(list) ((sizeof(list) - offsetof(list, C_Initialize)) / sizeof(p11_entry))

size_t
p11_table_n_entries(CK_VERSION version)
{
	if (version.major == 2)
		return N_ENTRIES(CK_FUNCTION_LIST);
	if (version.major == 3 && version.minor < 2)
		return N_ENTRIES(CK_FUNCTION_LIST_3_0);
	if (version.major == 3)
		return N_ENTRIES(CK_FUNCTION_LIST_3_2);
	return 0;
}

void
p11_table_complete(union p11_table *table, const CK_FUNCTION_LIST *list, size_t n_entries)
{
	const union p11_table *from = (const union p11_table *)list;

	table->by_call.version = list->version;
	for (size_t i = 0; i < P11_N_CALLS; i++) {
		p11_entry entry = i < n_entries ? from->by_call.entry[i] : NULL;
		table->by_call.entry[i] = entry ? entry : p11_not_supported;
	}
}

CK_RV
p11_not_supported(void)
{
	return CKR_FUNCTION_NOT_SUPPORTED;
}

CK_RV
p11_not_initialized(void)
{
	return CKR_CRYPTOKI_NOT_INITIALIZED;
}

CK_RV
p11_not_parallel(void)
{
	return CKR_FUNCTION_NOT_PARALLEL;
}
