/* name.h - names and other texts that come from files: what may be printed and logged.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_GRAPH_NAME_H
#define LQ_GRAPH_NAME_H

#include "lq.h"

/* UTF-8 of less than `limit` bytes without control characters (U+0000..1F, 7F..9F). `what` is put
 * into messages, the text itself never. Errors: LQ_ERR_LIMIT, LQ_ERR_INVALID. */
int lq_text_check(const char *what, const char *text, size_t limit,
                  struct lq_error *error) LQ_MUST_CHECK;
/* The same for a name: not NULL, not empty, less than LQ_MAX_NAME bytes. */
int lq_name_check(const char *what, const char *name, struct lq_error *error) LQ_MUST_CHECK;
/* Bytes of the longest beginning of a checked text that has at most `limit` bytes and ends with a
 * character: for "%.*s". */
int lq_name_cut(const char *text, int limit);

#endif
