/* sandbox.h - gives up what the daemon does not need once it listens.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_SANDBOX_H
#define SERVER_SANDBOX_H

#include "codec/text.h"

/* All threads become this user, with the groups it has and no way back. Fine where they are that
 * user already. Errors: LQ_ERR_NOT_FOUND (no such user), LQ_ERR_INVALID (not started as root),
 * LQ_ERR_IO. */
int sandbox_drop_user(const char *user, struct lq_error *error) LQ_MUST_CHECK;

/* No thread gains privileges by what it executes any more, and the system calls that no server
 * needs are denied with EPERM: those that start programs, trace others, mount, load code into the
 * kernel, set clocks, change users ... A build under a sanitizer, which needs some of them, keeps
 * them. Errors: LQ_ERR_UNSUPPORTED: the kernel has no filters. */
int sandbox_enter(struct lq_error *error) LQ_MUST_CHECK;

#endif
