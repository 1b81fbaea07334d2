/* plan.h - where each value lives in a session's buffer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_GRAPH_PLAN_H
#define LQ_GRAPH_PLAN_H

#include "graph/lower.h"

/* Fills offsets and buffer_bytes from the steps. Values whose lives do not overlap share room; with
 * `keep`, none do, and all values of a finished run can be read. Errors: LQ_ERR_MEMORY,
 * LQ_ERR_LIMIT (more than 4 GiB for one image). */
int lq_plan_buffers(struct lq_program *program, bool keep, struct lq_error *error) LQ_MUST_CHECK;

#endif
