/* status.h - how the engine's rooms report failure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_BASE_STATUS_H
#define LQ_BASE_STATUS_H

#include "lq.h"

/* Fills *error (which may be NULL, and keeps an earlier failure) and returns status, so that
 * `return lq_fail(error, LQ_ERR_FORMAT, "...", ...)` reads as one statement. */
int lq_fail(struct lq_error *error, int status, const char *format, ...) LQ_PRINTF(3, 4);

/* lq_fail(error, LQ_ERR_MEMORY, ...) with the usual text. */
int lq_fail_memory(struct lq_error *error);

/* Puts "prefix: " in front of the text of a failure, if there is one: callers name the place
 * (file, node, tensor) that their callee cannot know. Returns error->status. */
int lq_error_prefix(struct lq_error *error, const char *format, ...) LQ_PRINTF(2, 3);

#endif
