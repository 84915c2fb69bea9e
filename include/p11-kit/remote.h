/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Remoting: a module's functions served to another process over two file descriptors. It is not
 * built in yet; the functions say so and fail. They may change, and are there only if
 * P11_KIT_FUTURE_UNSTABLE_API is defined before. The words in brackets are explained in p11-kit.h.
 */
#ifndef __P11_KIT_REMOTE_H__
#define __P11_KIT_REMOTE_H__

#include "p11-kit/p11-kit.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef P11_KIT_FUTURE_UNSTABLE_API

/**
 * p11_kit_remote_serve_module() - serve a module to one peer until it closes
 * [any thread; sets message]
 * @module: borrowed   @in_fd: borrowed, what the peer sends   @out_fd: borrowed, what it is sent
 *
 * Returns 1: it is not built in yet; also for a broken precondition.
 * Since 0.23.
 */
int p11_kit_remote_serve_module(CK_FUNCTION_LIST *module, int in_fd, int out_fd);

#ifndef P11_KIT_DISABLE_DEPRECATED

/**
 * p11_kit_remote_serve_token() - serve one token of a module; deprecated
 * [any thread; sets message]
 * @module: borrowed   @token: borrowed, which one   @in_fd: borrowed   @out_fd: borrowed
 *
 * Returns 1: it is not built in yet; 2 for a broken precondition.
 * Since 0.23.
 */
int p11_kit_remote_serve_token(CK_FUNCTION_LIST *module, CK_TOKEN_INFO *token, int in_fd,
			       int out_fd);

#endif

/**
 * p11_kit_remote_serve_tokens() - serve the tokens that match some URIs
 * [any thread; sets message]
 * @tokens: borrowed, PKCS#11 URIs   @n_tokens: their number, at least 1
 * @provider: borrowed, the only module to look in; NULL: all configured ones
 * @in_fd: borrowed   @out_fd: borrowed
 *
 * Returns 1: it is not built in yet; 2 for a broken precondition.
 * Since 0.23.
 */
int p11_kit_remote_serve_tokens(const char **tokens, size_t n_tokens, CK_FUNCTION_LIST *provider,
				int in_fd, int out_fd);

#endif

#ifdef __cplusplus
}
#endif

#endif
