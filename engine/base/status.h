/* status.h - how the engine's rooms report failure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_BASE_STATUS_H
#define LQ_BASE_STATUS_H

#include "lq.h"

/* Fills *error (which may be NULL, and keeps an earlier failure) and gives status, so that
 * functions can `return lq_fail(...)`. A macro, for the compiler and the analyser then see which
 * status. */
#define lq_fail(error, status, ...) (lq_error_set((error), (status), __VA_ARGS__), (status))

/* lq_fail(error, LQ_ERR_MEMORY, ...) with the usual text. */
#define lq_fail_memory(error) lq_fail((error), LQ_ERR_MEMORY, "%s", lq_status_text(LQ_ERR_MEMORY))

/* Puts "prefix: " in front of the text of a failure, if there is one: callers name the place
 * (file, node, tensor) that their callee cannot know. Returns error->status. */
int lq_error_prefix(struct lq_error *error, const char *format, ...) LQ_PRINTF(2, 3);

#endif
