/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The proxy: a PKCS#11 module that holds the slots of all configured modules. These are its three
 * look-ups; what they give works by itself. `caller`: an address in the library that asks, by which
 * the lists that one library looks up before it initializes share one state. `only`: NULL, or the
 * name of the only module that is to be there, with its own slot ids and C_GetInfo. Any thread.
 */
#ifndef P11_PROXY_H
#define P11_PROXY_H

#include <p11-kit/pkcs11.h>

CK_RV p11_proxy_get_function_list(const void *caller, const char *only,
				  CK_FUNCTION_LIST_PTR_PTR list);
CK_RV p11_proxy_get_interface_list(const void *caller, const char *only, CK_INTERFACE_PTR list,
				   CK_ULONG_PTR count);
CK_RV p11_proxy_get_interface(const void *caller, const char *only, const CK_UTF8CHAR *name,
			      const CK_VERSION *version, CK_INTERFACE_PTR_PTR interface,
			      CK_FLAGS flags);

#endif
