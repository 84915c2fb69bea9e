/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The older functions, on unmanaged modules only: every user of the process gets the modules' own
 * function lists. They keep working; new programs take those of p11-kit.h. Included by p11-kit.h.
 *
 * P11_KIT_DISABLE_DEPRECATED hides them; P11_KIT_NO_DEPRECATIONS silences the compiler's warnings.
 */
#ifndef __P11_KIT_H__
#error "Include p11-kit/p11-kit.h, which includes this file."
#endif

#ifndef __P11_KIT_DEPRECATED_H__
#define __P11_KIT_DEPRECATED_H__

#include "p11-kit/pkcs11.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef P11_KIT_NO_DEPRECATIONS
#define P11_KIT_DEPRECATED_FOR(f)
#elif defined(__GNUC__) && (__GNUC__ > 4 || (__GNUC__ == 4 && __GNUC_MINOR__ >= 5))
#define P11_KIT_DEPRECATED_FOR(f) __attribute__((__deprecated__("use " #f)))
#elif defined(__GNUC__) && (__GNUC__ > 3 || (__GNUC__ == 3 && __GNUC_MINOR__ >= 1))
#define P11_KIT_DEPRECATED_FOR(f) __attribute__((__deprecated__))
#else
#define P11_KIT_DEPRECATED_FOR(f)
#endif

#ifndef P11_KIT_DISABLE_DEPRECATED

/**
 * p11_kit_initialize_registered() - load and initialize all configured modules
 * [any thread; may call modules; clears message; sets message]
 *
 * Counted: each call wants one p11_kit_finalize_registered(). A module that is not critical and
 * fails is left out, with a message.
 *
 * Returns CKR_OK; the code of a critical module that failed, after what was done is undone.
 * Use p11_kit_modules_load_and_initialize(). Since 0.23.
 */
P11_KIT_DEPRECATED_FOR(p11_kit_modules_load_and_initialize)
CK_RV p11_kit_initialize_registered(void);

/**
 * p11_kit_finalize_registered() - undo one p11_kit_initialize_registered()
 * [any thread; may call modules; clears message; sets message]
 *
 * Returns CKR_OK; CKR_CRYPTOKI_NOT_INITIALIZED if nothing was ever loaded.
 * Use p11_kit_modules_finalize_and_release(). Since 0.23.
 */
P11_KIT_DEPRECATED_FOR(p11_kit_modules_finalize_and_release)
CK_RV p11_kit_finalize_registered(void);

/**
 * p11_kit_registered_modules() - the initialized configured modules that this program is to see
 * [any thread; clears message]
 *
 * Returns an array sorted as p11_kit_modules_load() does, that ends with NULL; the caller gives it
 * to free(). NULL if nothing was loaded.
 * Use p11_kit_modules_load(). Since 0.23.
 */
P11_KIT_DEPRECATED_FOR(p11_kit_modules_load)
CK_FUNCTION_LIST_PTR *p11_kit_registered_modules(void);

/**
 * p11_kit_registered_name_to_module() - find an initialized configured module by its name
 * [any thread; clears message]
 * @name: borrowed; compared exactly
 *
 * Returns the module, borrowed; NULL if there is none, and for a broken precondition.
 * Use p11_kit_module_for_name(). Since 0.23.
 */
P11_KIT_DEPRECATED_FOR(p11_kit_module_for_name)
CK_FUNCTION_LIST_PTR p11_kit_registered_name_to_module(const char *name);

/**
 * p11_kit_registered_module_to_name() - the name under which a module is configured
 * [any thread; clears message]
 * @module: borrowed
 *
 * Returns the name, which the caller frees; NULL if it has none, and for a broken precondition.
 * Use p11_kit_module_get_name(). Since 0.23.
 */
P11_KIT_DEPRECATED_FOR(p11_kit_module_get_name)
char *p11_kit_registered_module_to_name(CK_FUNCTION_LIST_PTR module);

/**
 * p11_kit_registered_option() - the value of a configuration key
 * [any thread; clears message]
 * @module: borrowed; NULL, or a module that is not known, asks for the global configuration
 * @field: borrowed; the key without colon
 *
 * Returns the value, which the caller frees; NULL if the key is not there, and for a broken
 * precondition.
 * Use p11_kit_config_option(). Since 0.23.
 */
P11_KIT_DEPRECATED_FOR(p11_kit_config_option)
char *p11_kit_registered_option(CK_FUNCTION_LIST_PTR module, const char *field);

/**
 * p11_kit_initialize_module() - share the initialization of any module
 * [any thread; may call modules; clears message; sets message]
 * @module: borrowed, must stay loaded, may be one that the program loaded itself; known to the
 *          library from now on
 *
 * The first call initializes the module, and later ones count, whoever makes them. Each that
 * succeeds wants one p11_kit_finalize_module().
 *
 * Returns CKR_OK; what C_Initialize answered; CKR_FUNCTION_FAILED if the calling thread is inside
 * the initialization of a module already; CKR_ARGUMENTS_BAD for a broken precondition.
 * Use the module's C_Initialize, on a managed module. PKCS#11 3.2, C_Initialize. Since 0.23.
 */
P11_KIT_DEPRECATED_FOR(module->C_Initialize)
CK_RV p11_kit_initialize_module(CK_FUNCTION_LIST_PTR module);

/**
 * p11_kit_finalize_module() - undo one p11_kit_initialize_module()
 * [any thread; may call modules; clears message; sets message]
 * @module: borrowed
 *
 * Undoes a p11_kit_load_initialize_module() too. When as many calls undid as had done, the module
 * is finalized.
 *
 * Returns CKR_OK; what C_Finalize answered; CKR_CRYPTOKI_NOT_INITIALIZED if there is nothing to
 * undo; CKR_ARGUMENTS_BAD for a module that is not known and for a broken precondition.
 * Use the module's C_Finalize, on a managed module. PKCS#11 3.2, C_Finalize. Since 0.23.
 */
P11_KIT_DEPRECATED_FOR(module->C_Finalize)
CK_RV p11_kit_finalize_module(CK_FUNCTION_LIST_PTR module);

/**
 * p11_kit_load_initialize_module() - load a module from its file and share its initialization
 * [any thread; may call modules; clears message; sets message]
 * @module_path: borrowed; absolute, or relative to the folder of modules
 * @module: out; the module's own list, for p11_kit_finalize_module(); unchanged on failure
 *
 * Returns CKR_OK; CKR_GENERAL_ERROR if it cannot be loaded; what C_Initialize answered;
 * CKR_ARGUMENTS_BAD for a broken precondition.
 * Use p11_kit_module_load() and p11_kit_module_initialize(). PKCS#11 3.2, C_Initialize. Since 0.23.
 */
P11_KIT_DEPRECATED_FOR(p11_kit_module_load)
CK_RV p11_kit_load_initialize_module(const char *module_path, CK_FUNCTION_LIST_PTR *module);

#endif

#undef P11_KIT_DEPRECATED_FOR

#ifdef __cplusplus
}
#endif

#endif
