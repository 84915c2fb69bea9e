/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * p11-kit-proxy.so, and with P11_SHIM the template of the single-module shims: files that programs
 * load as a PKCS#11 module. It is a real file and not a link, because ssh-agent resolves links, and
 * it holds nothing: its three functions ask libp11-kit.so.0, of which there is one in the process
 * whoever loaded it first. The function is looked up at run time: a reference by a C_ name would
 * bind to this file itself, and one to the private version would keep this file from loading beside
 * an older library.
 */
#include "api/door.h"

#include <p11-kit/p11-kit.h>

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define P11_DOOR_NAME_SIZE 256 /* of a file, with the NUL */

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))

/* An ordinary reference to a symbol that every version has: it makes this file need
 * libp11-kit.so.0. */
__attribute__((used)) static const char *(*const needs_library)(void) = p11_kit_message;

/* The mapped library; this finds it and loads nothing. Never closed. */
static void *
library(void)
{
	return dlopen(P11_DOOR_LIBRARY, RTLD_LAZY | RTLD_NOLOAD);
}

/* The door function, or NULL beside a library that is older than this file. */
static p11_door_function
door_function(void)
{
	static void *_Atomic found;
	void *function = atomic_load_explicit(&found, memory_order_acquire);

	if (!function) {
		void *handle = library();
		function = handle ? dlvsym(handle, P11_DOOR_FUNCTION, P11_DOOR_VERSION) : NULL;
		atomic_store_explicit(&found, function, memory_order_release);
	}
	return (p11_door_function)(uintptr_t)function;
}

#ifdef P11_SHIM
/* The name of this file, which is that of the module: the library copies it. Links are not
 * resolved, since it was loaded by this name. By the mark, which is found by its address, a shim is
 * known to who makes and removes shims. */
static const char *
module_name(char name[P11_DOOR_NAME_SIZE])
{
	static const char mark[] = P11_SHIM_MARK;
	Dl_info info;
	const char *path = dladdr(mark, &info) && info.dli_fname ? info.dli_fname : "";
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	size_t length = strlen(file);

	if (length > 3 && strcmp(file + length - 3, ".so") == 0)
		length -= 3;
	if (length >= P11_DOOR_NAME_SIZE)
		length = P11_DOOR_NAME_SIZE - 1;
	memcpy(name, file, length);
	name[length] = '\0';
	return name;
}
#else
static const char *
module_name(char name[P11_DOOR_NAME_SIZE])
{
	(void)name;
	return NULL;
}
#endif

static CK_RV
call_door(unsigned long what, const void *caller, void *first, void *second, void *third,
	  void *fourth)
{
	p11_door_function function = door_function();
	char name[P11_DOOR_NAME_SIZE];
	struct p11_door_call call = {
		what, module_name(name), caller, {first, second, third, fourth}};

	return function ? function(P11_DOOR_LAYOUT, &call) : CKR_FUNCTION_NOT_SUPPORTED;
}

/*
 * Beside an older library, in a process that runs on during an upgrade, there is only its own entry
 * point. It gives the one interface that C_GetInterface can offer then, too: NSS takes a failing
 * C_GetInterface for a broken module.
 */
static CK_RV
older_list(CK_FUNCTION_LIST_PTR_PTR list)
{
#ifdef P11_SHIM /* it knows of all modules, and of no single one */
	(void)list;
	return CKR_FUNCTION_NOT_SUPPORTED;
#else
	void *handle = library();
	void *symbol = handle ? dlsym(handle, "C_GetFunctionList") : NULL;

	return symbol ? ((CK_C_GetFunctionList)(uintptr_t)symbol)(list) : CKR_GENERAL_ERROR;
#endif
}

/* The interface is the consumer's for ever, as its list is: each call makes one. */
static CK_RV
older_interface(const CK_UTF8CHAR *name, const CK_VERSION *version, CK_INTERFACE_PTR_PTR out,
		CK_FLAGS flags)
{
	static CK_UTF8CHAR only_name[] = "PKCS 11";
	CK_FUNCTION_LIST_PTR list = NULL;

	if ((name && strcmp((const char *)name, (const char *)only_name) != 0) || flags != 0 ||
	    !out)
		return CKR_ARGUMENTS_BAD;
	CK_RV rv = older_list(&list);
	if (rv != CKR_OK)
		return rv;
	if (version &&
	    (version->major != list->version.major || version->minor != list->version.minor))
		return CKR_ARGUMENTS_BAD;

	CK_INTERFACE_PTR interface = malloc(sizeof *interface);
	if (!interface)
		return CKR_HOST_MEMORY;
	*interface = (CK_INTERFACE){only_name, list, 0};
	*out = interface;
	return CKR_OK;
}

EXPORT CK_RV
C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	if (!door_function())
		return older_list(list);
	return call_door(P11_DOOR_GET_FUNCTION_LIST, CALLER, list, NULL, NULL, NULL);
}

EXPORT CK_RV
C_GetInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR count)
{
	return call_door(P11_DOOR_GET_INTERFACE_LIST, CALLER, list, count, NULL, NULL);
}

EXPORT CK_RV
C_GetInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface,
	       CK_FLAGS flags)
{
	if (!door_function())
		return older_interface(name, version, interface, flags);
	return call_door(P11_DOOR_GET_INTERFACE, CALLER, name, version, interface, &flags);
}
