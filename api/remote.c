/* SPDX-License-Identifier: BSD-3-Clause */
/* The symbols of remote.h, until remoting is built in. */
#define P11_KIT_FUTURE_UNSTABLE_API 1
#include "p11-kit/remote.h"

#include "base/base.h"
#include "base/message.h"

static int
not_built_in(void)
{
	p11_message("remoting is not built into this version of p11-kit; the module was not "
		    "served");
	return 1;
}

P11_EXPORT int
p11_kit_remote_serve_module(CK_FUNCTION_LIST *module, int in_fd, int out_fd)
{
	if (p11_broken(module != NULL) || p11_broken(in_fd >= 0) || p11_broken(out_fd >= 0))
		return 1;
	return not_built_in();
}

P11_EXPORT int
p11_kit_remote_serve_token(CK_FUNCTION_LIST *module, CK_TOKEN_INFO *token, int in_fd, int out_fd)
{
	if (p11_broken(module != NULL) || p11_broken(token != NULL) || p11_broken(in_fd >= 0) ||
	    p11_broken(out_fd >= 0))
		return 2;
	return not_built_in();
}

P11_EXPORT int
p11_kit_remote_serve_tokens(const char **tokens, size_t n_tokens, CK_FUNCTION_LIST *provider,
			    int in_fd, int out_fd)
{
	(void)provider; /* may be NULL */
	if (p11_broken(tokens != NULL) || p11_broken(n_tokens > 0) || p11_broken(in_fd >= 0) ||
	    p11_broken(out_fd >= 0))
		return 2;
	return not_built_in();
}
