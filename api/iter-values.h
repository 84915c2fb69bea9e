/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes of an object in memory of the right size, whatever the module says about sizes. */
#ifndef P11_ITER_VALUES_H
#define P11_ITER_VALUES_H

#include "p11-kit/pkcs11.h"

#include "base/base.h"

/* As p11_kit_iter_load_attributes(); `module` has C_GetAttributeValue. */
CK_RV p11_values_load(CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
		      CK_ATTRIBUTE *templ, CK_ULONG count) P11_MUST_USE;

#endif
