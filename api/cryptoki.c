/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library as a PKCS#11 module: the proxy. C_GetFunctionList is an ordinary symbol, because
 * people name this file as a module. C_GetInterface and C_GetInterfaceList are there for programs
 * that were linked against them, but dlsym() does not find them: a 2.40 module that merely links to
 * us must not seem to have them. This file is compiled without LTO, which would drop the .symver
 * lines.
 */
#include "api/door.h"

#include "base/base.h"
#include "base/message.h"
#include "proxy/proxy.h"

#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))

P11_EXPORT CK_RV
C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	return p11_proxy_get_function_list(CALLER, NULL, list);
}

/* Local names, so that the assembler can give them their exported ones. */
CK_RV p11_exported_get_interface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version,
				 CK_INTERFACE_PTR_PTR interface, CK_FLAGS flags);
CK_RV p11_exported_get_interface_list(CK_INTERFACE_PTR list, CK_ULONG_PTR count);

__asm__(".symver p11_exported_get_interface, C_GetInterface@LIBP11_KIT_1.0");
__asm__(".symver p11_exported_get_interface_list, C_GetInterfaceList@LIBP11_KIT_1.0");

P11_EXPORT CK_RV
p11_exported_get_interface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version,
			   CK_INTERFACE_PTR_PTR interface, CK_FLAGS flags)
{
	return p11_proxy_get_interface(CALLER, NULL, name, version, interface, flags);
}

P11_EXPORT CK_RV
p11_exported_get_interface_list(CK_INTERFACE_PTR list, CK_ULONG_PTR count)
{
	return p11_proxy_get_interface_list(CALLER, NULL, list, count);
}

P11_EXPORT CK_RV
p11_kit_door(unsigned long layout, const struct p11_door_call *call)
{
	if (layout != P11_DOOR_LAYOUT)
		return p11_fail(CKR_FUNCTION_NOT_SUPPORTED,
				"this libp11-kit is older than the file that was loaded as a "
				"module; restart the "
				"program");
	switch (call->what) {
	case P11_DOOR_GET_FUNCTION_LIST:
		return p11_proxy_get_function_list(call->caller, call->module, call->arguments[0]);
	case P11_DOOR_GET_INTERFACE_LIST:
		return p11_proxy_get_interface_list(call->caller, call->module, call->arguments[0],
						    call->arguments[1]);
	case P11_DOOR_GET_INTERFACE:
		return p11_proxy_get_interface(call->caller, call->module, call->arguments[0],
					       call->arguments[1], call->arguments[2],
					       *(const CK_FLAGS *)call->arguments[3]);
	default:
		return CKR_FUNCTION_NOT_SUPPORTED;
	}
}
