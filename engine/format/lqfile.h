/* lqfile.h - the .lq model file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_FORMAT_LQFILE_H
#define LQ_FORMAT_LQFILE_H

#include "graph/graph.h"

#define LQ_FILE_VERSION 1

/* Checks everything and builds a finished graph. Takes over the file on success: tensors point into
 * it. Errors: LQ_ERR_FORMAT (offset and reason), LQ_ERR_UNSUPPORTED, LQ_ERR_LIMIT, LQ_ERR_NUMERIC,
 * LQ_ERR_MEMORY. */
int lq_lqfile_parse(struct lq_file *file, struct lq_graph **ret_graph,
                    struct lq_error *error) LQ_MUST_CHECK;

/* Writes the graph: temporary file, fsync, rename. */
int lq_lqfile_save(const struct lq_graph *graph, const char *path,
                   struct lq_error *error) LQ_MUST_CHECK;

#endif
