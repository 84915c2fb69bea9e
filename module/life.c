/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A module's C_Initialize and C_Finalize, called by nobody else of ours. Who starts it, who waits
 * and who counts is base/life.h; here stands what a PKCS#11 module adds to that.
 */
#include "module/module.h"

#include "base/fork.h"
#include "base/message.h"
#include "module/mutex.h"
#include "pkcs11/names.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* How many life-cycle calls of modules this thread is inside of. Our own tables do not count: they
 * only pass on. */
static _Thread_local unsigned depth;

bool
p11_module_thread_is_inside(void)
{
	return depth > 0;
}

static CK_RV
call_initialize(struct p11_module *module, void *reserved)
{
	CK_C_INITIALIZE_ARGS ours = {
		.CreateMutex = p11_mutex_create,
		.DestroyMutex = p11_mutex_destroy,
		.LockMutex = p11_mutex_lock,
		.UnlockMutex = p11_mutex_unlock,
		.flags = CKF_OS_LOCKING_OK,
		.pReserved =
			reserved ? reserved : (void *)(uintptr_t)atomic_load(&module->reserved),
	};
	bool counts = !module->is_ours;

	depth += counts;
	CK_RV rv = p11_module_calls(module)->C_Initialize(&ours);
	depth -= counts;

	/* Somebody else's is up too, but then it is not ours to finalize; nor one that has not
	 * noticed a fork. */
	module->must_finalize = rv == CKR_OK;
	return rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? CKR_OK : rv;
}

static void
call_finalize(struct p11_module *module)
{
	bool counts = !module->is_ours;

	depth += counts;
	CK_RV rv = p11_module_calls(module)->C_Finalize(NULL);
	depth -= counts;
	if (rv != CKR_OK)
		p11_message("module %s: C_Finalize answered %s; it counts as finalized",
			    p11_module_label(module), p11_rv_name(rv, (char[24]){0}));
}

/* ---- at exit ---- */

/* Where a thread is still inside a call of ours, it finalizes the module as it leaves; a process
 * that exits waits so long for it. */
#define EXIT_WAIT_MS 1000

static void
finalize_for_exit(int status, void *arg)
{
	P11_NO_CANCEL;
	struct p11_module *module = arg;

	(void)status;
	p11_fork_check();
	if (!atomic_load(&module->finalize_at_exit))
		return;
	switch (p11_life_end(&module->life, EXIT_WAIT_MS)) {
	case P11_LIFE_YOURS:
		p11_module_finish(&module->life);
		break;
	case P11_LIFE_BUSY:
		p11_message("module %s: finalize-at-exit: a thread is still inside it; the "
			    "program exits without its C_Finalize",
			    p11_module_label(module));
		break;
	default:
		break;
	}
}

/*
 * Only where the configuration asks for it. Registered after the module's first C_Initialize, each
 * module for itself: exit() comes to it before what the module itself has registered by then, such
 * as its destructors, and after all that the program registers later.
 */
static void
be_called_at_exit(struct p11_module *module)
{
	if (!atomic_load(&module->finalize_at_exit) ||
	    atomic_exchange(&module->is_seen_at_exit, true) ||
	    on_exit(finalize_for_exit, module) == 0)
		return;
	atomic_store(&module->is_seen_at_exit, false);
	p11_message("module %s: finalize-at-exit: no memory; it will not be finalized at exit",
		    p11_module_label(module));
}

static CK_RV
say_failed(struct p11_module *module, CK_RV rv)
{
	return p11_fail(rv, "module %s: C_Initialize failed with %s: %s", p11_module_label(module),
			p11_rv_name(rv, (char[24]){0}), p11_error_text(rv));
}

CK_RV
p11_module_start(struct p11_module *module, void *reserved, int wait_ms, bool *busy)
{
	P11_NO_CANCEL;
	CK_RV rv;

	p11_fork_check();
	if (busy)
		*busy = false;
	switch (p11_life_start(&module->life, depth > 0 ? 0 : wait_ms)) {
	case P11_LIFE_COUNTED:
		be_called_at_exit(
			module); /* its configuration may have come later than its start */
		return CKR_OK;
	case P11_LIFE_YOURS:
		break;
	case P11_LIFE_SELF:
		return p11_fail(CKR_FUNCTION_FAILED,
				"module %s: initialized again from inside its own C_Initialize or "
				"C_Finalize; it must not do that",
				p11_module_label(module));
	default:
		if (busy)
			*busy = true;
		return p11_fail(
			CKR_FUNCTION_FAILED,
			"module %s: another thread is still starting or stopping it; try again "
			"later",
			p11_module_label(module));
	}

	p11_module_keep(module);
	rv = call_initialize(module, reserved);
	if (rv == CKR_OK) {
		atomic_fetch_add(&module->n_starts, 1);
		be_called_at_exit(module);
	}
	if (!p11_life_started(&module->life, rv == CKR_OK))
		return p11_fail(CKR_CRYPTOKI_NOT_INITIALIZED,
				"module %s: the process was forked inside its C_Initialize; call "
				"C_Initialize again in the child",
				p11_module_label(module));
	return rv == CKR_OK ? CKR_OK : say_failed(module, rv);
}

/* What the last user's stop does. */
static void
finish(struct p11_module *module)
{
	P11_NO_CANCEL;

	if (module->must_finalize)
		call_finalize(module);
	p11_life_stopped(&module->life);
}

void
p11_module_finish(struct p11_life *life)
{
	finish((struct p11_module *)((char *)life - offsetof(struct p11_module, life)));
}

bool
p11_module_join(struct p11_module *module)
{
	enum p11_life_answer answer = p11_life_join(&module->life);

	if (answer == P11_LIFE_YOURS)
		finish(module);
	return answer == P11_LIFE_COUNTED;
}

void
p11_module_leave(struct p11_module *module)
{
	if (p11_life_leave(&module->life) == P11_LIFE_YOURS)
		finish(module);
}

CK_RV
p11_module_stop(struct p11_module *module)
{
	p11_fork_check();
	switch (p11_life_stop(&module->life)) {
	case P11_LIFE_COUNTED:
		return CKR_OK;
	case P11_LIFE_YOURS:
		finish(module);
		return CKR_OK;
	case P11_LIFE_SELF:
		return p11_fail(CKR_FUNCTION_FAILED,
				"module %s: finalized again from inside its own C_Initialize or "
				"C_Finalize; it must not do that",
				p11_module_label(module));
	default:
		return p11_fail(CKR_CRYPTOKI_NOT_INITIALIZED,
				"module %s: finalized more often than initialized",
				p11_module_label(module));
	}
}

CK_RV
p11_module_restart(struct p11_module *module, bool *is_needed)
{
	P11_NO_CANCEL;

	*is_needed = p11_life_restart(&module->life) == P11_LIFE_YOURS;
	if (!*is_needed)
		return CKR_OK;
	CK_RV rv = call_initialize(module, NULL);
	p11_life_restarted(&module->life);
	return rv;
}
