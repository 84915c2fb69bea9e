/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * p11-kit: several users of one process share PKCS#11 modules.
 *
 * Program and library both call p11_kit_modules_load_and_initialize(), or hand a module of their
 * own to p11_kit_initialize_module() (deprecated.h), and nobody initializes or finalizes a module
 * under the others.
 *
 * Each function's comment begins with one line in brackets that states its effects, in these words
 * only:
 *   any thread            may be called from any thread, also from several at once
 *   one thread per ...    the named object may be used by one thread at a time
 *   before threads        to be called while the process has one thread
 *   may call modules      functions of PKCS#11 modules are called
 *   may call back         functions that the program gave are called
 *   clears message        the calling thread's p11_kit_message() is emptied on entry
 *   sets message          p11_kit_message() says what failed or what was left out
 *
 * No function may be called from a signal handler. A NULL where a parameter's line does not allow
 * it is a broken precondition: a line on stderr, and the result that the function's comment names;
 * with P11_KIT_STRICT in the environment the process aborts instead.
 *
 * "Since 0.23" means that version or an earlier one: no libp11-kit.so.0 in use lacks the function.
 */
#ifndef __P11_KIT_H__
#define __P11_KIT_H__

#include <stddef.h>

#include "p11-kit/pkcs11.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The standard's names that these headers use, where pkcs11.h has only the GNU ones. */
#if defined(CRYPTOKI_GNU) && !defined(CRYPTOKI_COMPAT)
typedef unsigned long CK_ULONG;
typedef unsigned char CK_BBOOL;
typedef ck_rv_t CK_RV;
typedef ck_slot_id_t CK_SLOT_ID;
typedef ck_session_handle_t CK_SESSION_HANDLE;
typedef ck_object_handle_t CK_OBJECT_HANDLE;
typedef ck_attribute_type_t CK_ATTRIBUTE_TYPE;
typedef struct ck_attribute CK_ATTRIBUTE;
typedef struct ck_attribute *CK_ATTRIBUTE_PTR;
typedef struct ck_info CK_INFO;
typedef struct ck_info *CK_INFO_PTR;
typedef struct ck_slot_info CK_SLOT_INFO;
typedef struct ck_slot_info *CK_SLOT_INFO_PTR;
typedef struct ck_token_info CK_TOKEN_INFO;
typedef struct ck_token_info *CK_TOKEN_INFO_PTR;
typedef struct ck_function_list CK_FUNCTION_LIST;
typedef struct ck_function_list *CK_FUNCTION_LIST_PTR;
#endif

#ifdef __cplusplus
}
#endif

#include "p11-kit/deprecated.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of a module: what a caller asks for, and what p11_kit_module_get_flags() tells. */
enum {
	P11_KIT_MODULE_UNMANAGED = 1 << 0, /* the module's own list, which all users share */
	P11_KIT_MODULE_CRITICAL = 1 << 1,  /* its failure is the whole call's failure */
	P11_KIT_MODULE_TRUSTED = 1 << 2, /* only modules that are configured "trust-policy: yes" */
	P11_KIT_MODULE_VERBOSE = 1 << 3, /* adds " verbose=yes" to each x-init-reserved */
	P11_KIT_MODULE_MASK = (1 << 4) - 1 /* all of them; other bits are ignored */
};

/**
 * p11_kit_destroyer - disposes of something that the library no longer needs
 * @data: the thing
 */
typedef void (*p11_kit_destroyer)(void *data);

/**
 * p11_kit_modules_load() - load all configured modules that this program is to see
 * [any thread; may call modules; clears message; sets message]
 * @reserved: must be NULL   @flags: P11_KIT_MODULE_ bits
 *
 * Loading maps the modules and does not initialize them. The modules are sorted by the "priority"
 * of their configuration, highest first, then by name. Each is a list of the caller's own (a
 * managed module) unless the configuration or P11_KIT_MODULE_UNMANAGED says otherwise: other users'
 * C_Initialize and C_Finalize do not touch it. A module that cannot be loaded is left out, with a
 * message, unless it is critical.
 *
 * Returns an array that ends with NULL, maybe with no module in it, and then with a message; the
 * caller gives it back to p11_kit_modules_release(), and never to free(). NULL if a critical module failed, or for a broken
 * precondition.
 * Since 0.23.
 */
CK_FUNCTION_LIST **p11_kit_modules_load(const char *reserved, int flags);

/**
 * p11_kit_modules_initialize() - call C_Initialize of every module of a list
 * [any thread; may call modules; may call back; sets message]
 * @modules: borrowed, ends with NULL; modules that fail are taken out, the rest moves up and keeps
 *           its order
 * @failure_callback: may be NULL; called with each module that failed, often
 *                    p11_kit_module_release()
 *
 * A module that answers CKR_CRYPTOKI_ALREADY_INITIALIZED has not failed. Those that succeeded stay
 * initialized, whatever is returned. A module that the library does not know counts as critical.
 *
 * Returns CKR_OK; the code of the last critical module that failed; CKR_ARGUMENTS_BAD for a broken
 * precondition.
 * PKCS#11 3.2, C_Initialize. Since 0.23.
 */
CK_RV p11_kit_modules_initialize(CK_FUNCTION_LIST **modules, p11_kit_destroyer failure_callback);

/**
 * p11_kit_modules_load_and_initialize() - the configured modules, ready for use
 * [any thread; may call modules; clears message; sets message]
 * @flags: P11_KIT_MODULE_ bits
 *
 * p11_kit_modules_load() and p11_kit_modules_initialize() in one step. Modules that are not
 * critical and fail are left out, with a message. If a critical one fails, all that was done is
 * undone.
 *
 * Returns an array that ends with NULL, for p11_kit_modules_finalize_and_release(); NULL if a
 * critical module failed.
 * Since 0.23.
 */
CK_FUNCTION_LIST **p11_kit_modules_load_and_initialize(int flags);

/**
 * p11_kit_modules_finalize() - call C_Finalize of every module of a list
 * [any thread; may call modules; sets message]
 * @modules: borrowed, ends with NULL; not changed
 *
 * A failure does not keep the modules that follow from being finalized.
 *
 * Returns CKR_OK; the code of the last module that failed; CKR_ARGUMENTS_BAD for a broken
 * precondition.
 * PKCS#11 3.2, C_Finalize. Since 0.23.
 */
CK_RV p11_kit_modules_finalize(CK_FUNCTION_LIST **modules);

/**
 * p11_kit_modules_release() - give back a list of modules
 * [any thread; may call modules; clears message; sets message]
 * @modules: taken, from p11_kit_modules_load() or p11_kit_modules_load_and_initialize(); the
 *           pointers in it are no longer valid; NULL does nothing but break the precondition
 *
 * Finalize the modules before; one that the caller initialized and did not finalize is finalized
 * now.
 * Since 0.23.
 */
void p11_kit_modules_release(CK_FUNCTION_LIST **modules);

/**
 * p11_kit_modules_finalize_and_release() - finalize the modules of a list and give it back
 * [any thread; may call modules; clears message; sets message]
 * @modules: taken, as by p11_kit_modules_release()
 *
 * A module's failure to finalize is ignored.
 * Since 0.23.
 */
void p11_kit_modules_finalize_and_release(CK_FUNCTION_LIST **modules);

/**
 * p11_kit_module_for_name() - find a module by the name of its configuration
 * [any thread; clears message]
 * @modules: borrowed, ends with NULL; may be NULL   @name: borrowed; compared exactly
 *
 * Returns the first module of the list that has the name, borrowed from the list; NULL if there is
 * none, and for a broken precondition.
 * Since 0.23.
 */
CK_FUNCTION_LIST *p11_kit_module_for_name(CK_FUNCTION_LIST **modules, const char *name);

/**
 * p11_kit_module_get_filename() - the file that a module was loaded from
 * [any thread; clears message]
 * @module: borrowed
 *
 * Returns the absolute path, which the caller frees; NULL if there is no such file (a module behind
 * "remote:", or one that the program loaded itself), for a module that the library does not know,
 * and for a broken precondition.
 * Since 0.23.
 */
char *p11_kit_module_get_filename(CK_FUNCTION_LIST *module);

/**
 * p11_kit_module_get_name() - the name under which a module is configured
 * [any thread; clears message]
 * @module: borrowed
 *
 * Returns the name of its configuration file without ".module", which the caller frees; NULL for a
 * module without configuration or not known to the library, and for a broken precondition.
 * Since 0.23.
 */
char *p11_kit_module_get_name(CK_FUNCTION_LIST *module);

/**
 * p11_kit_module_get_flags() - how the library sees a module
 * [any thread; clears message]
 * @module: borrowed
 *
 * Returns P11_KIT_MODULE_UNMANAGED, P11_KIT_MODULE_CRITICAL and P11_KIT_MODULE_TRUSTED as they
 * apply (a module without configuration is critical); 0 for a broken precondition.
 * Since 0.23.
 */
int p11_kit_module_get_flags(CK_FUNCTION_LIST *module);

/**
 * p11_kit_module_load() - load one module from its file
 * [any thread; may call modules; clears message; sets message]
 * @module_path: borrowed; absolute, or relative to the folder of modules
 * @flags: UNMANAGED and TRUSTED have effect
 *
 * Loading does not initialize: that is p11_kit_module_initialize(). Each call counts, and gives a
 * managed module its own list.
 *
 * Returns the module, for p11_kit_module_release(); NULL if it cannot be loaded, if
 * P11_KIT_MODULE_TRUSTED was asked and its configuration does not say "trust-policy: yes", and for
 * a broken precondition.
 * Since 0.23.
 */
CK_FUNCTION_LIST *p11_kit_module_load(const char *module_path, int flags);

/**
 * p11_kit_module_initialize() - call C_Initialize of one module
 * [any thread; may call modules; sets message]
 * @module: borrowed; any function list, usually one from p11_kit_module_load()
 *
 * Returns the module's own answer, CKR_CRYPTOKI_ALREADY_INITIALIZED included; CKR_ARGUMENTS_BAD for
 * a broken precondition.
 * PKCS#11 3.2, C_Initialize. Since 0.23.
 */
CK_RV p11_kit_module_initialize(CK_FUNCTION_LIST *module);

/**
 * p11_kit_module_finalize() - call C_Finalize of one module
 * [any thread; may call modules; sets message]
 * @module: borrowed
 *
 * Returns the module's own answer; CKR_ARGUMENTS_BAD for a broken precondition.
 * PKCS#11 3.2, C_Finalize. Since 0.23.
 */
CK_RV p11_kit_module_finalize(CK_FUNCTION_LIST *module);

/**
 * p11_kit_module_release() - give back one module
 * [any thread; may call modules; clears message; sets message]
 * @module: taken, from p11_kit_module_load() or out of a list that p11_kit_modules_initialize()
 *          shortened; a pointer that the library did not hand out is a broken precondition
 *
 * Finalize it before; if the caller initialized it and did not, it is finalized now.
 * Since 0.23.
 */
void p11_kit_module_release(CK_FUNCTION_LIST *module);

/**
 * p11_kit_config_option() - the value of a configuration key
 * [any thread; clears message]
 * @module: borrowed; NULL asks for the global configuration
 * @option: borrowed; the key without colon
 *
 * Returns the value as it stands in the file, after files were merged, which the caller frees; NULL
 * if the key is not there, if the module has no configuration, and for a broken precondition. See
 * pkcs11.conf(5).
 * Since 0.23.
 */
char *p11_kit_config_option(CK_FUNCTION_LIST *module, const char *option);

/**
 * p11_kit_strerror() - a sentence for people about a PKCS#11 return value
 * [any thread]
 * @rv: any value
 *
 * Returns constant text, never NULL; "" for CKR_OK and other values that are no errors; one text
 * for all values that are unknown.
 * Since 0.23.
 */
const char *p11_kit_strerror(CK_RV rv);

/**
 * p11_kit_space_strlen() - the length of a text that is padded with spaces
 * [any thread]
 * @string: borrowed, needs no NUL   @max_length: its size with the padding, in bytes
 *
 * Returns the bytes before the padding: spaces at the end do not count, all else does. 0 for a
 * broken precondition.
 * Since 0.23.
 */
size_t p11_kit_space_strlen(const unsigned char *string, size_t max_length);

/**
 * p11_kit_space_strdup() - a copy of a text that is padded with spaces
 * [any thread]
 * @string: borrowed, needs no NUL   @max_length: its size with the padding, in bytes
 *
 * Returns the text without its padding, with a NUL at the end, which the caller frees; NULL without
 * memory and for a broken precondition.
 * Since 0.23.
 */
char *p11_kit_space_strdup(const unsigned char *string, size_t max_length);

/**
 * p11_kit_be_quiet() - keep messages off stderr, for the whole process
 * [any thread]
 *
 * That is how the library begins. p11_kit_message() has the messages all the same.
 * Since 0.23.
 */
void p11_kit_be_quiet(void);

/**
 * p11_kit_be_loud() - print messages to stderr too, for the whole process
 * [any thread]
 *
 * Since 0.23.
 */
void p11_kit_be_loud(void);

/**
 * p11_kit_message() - what went wrong in the calling thread's last call
 * [any thread]
 *
 * A call that succeeded may have left a message too, about what it had to leave out. Many functions
 * empty the message on entry ("clears message" in their first line): read it before the next call.
 *
 * Returns text of the library's, valid until this thread's next call into it; NULL if there is no
 * message.
 * Since 0.23.
 */
const char *p11_kit_message(void);

#ifdef P11_KIT_FUTURE_UNSTABLE_API

/**
 * p11_kit_set_progname() - the program's name, for "enable-in" and "disable-in"
 * [any thread]
 * @progname: borrowed, cut to 255 bytes; NULL or "" means that the library finds it out
 *
 * It matters from the next load or list on.
 * Since 0.23; may change.
 */
void p11_kit_set_progname(const char *progname);

/**
 * p11_kit_override_system_files() - read the configuration from other places
 * [before threads]
 * @system_conf: the system's pkcs11.conf
 * @user_conf: the user's
 * @package_modules: folder of module files that packages install
 * @system_modules: folder of the administrator's
 * @user_modules: folder of the user's
 *
 * All are copied; NULL leaves a place as it is. For tests and tools.
 * Since 0.23; may change.
 */
void p11_kit_override_system_files(const char *system_conf, const char *user_conf,
				   const char *package_modules, const char *system_modules,
				   const char *user_modules);

#endif

#ifdef __cplusplus
}
#endif

#endif
