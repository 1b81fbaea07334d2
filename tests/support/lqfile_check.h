/* lqfile_check.h - what the suites about model files share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_LQFILE_CHECK_H
#define TESTS_SUPPORT_LQFILE_CHECK_H

#include <check.h>

#include "graph/graph.h"

/* A file in memory, freed with free(); made so that sanitizers see a step beyond its end. */
struct bytes {
    uint8_t *bytes;
    size_t size;
};

/* suite_main with a temporary folder. */
int lqfile_suite_main(const char *name, TCase *tests);
/* A path in that folder; valid until the next call. "": the folder itself. */
const char *lqfile_path(const char *name);
/* Files in it. */
int lqfile_folder_count(void);

struct bytes lqfile_read(const char *path);
/* What lq_lqfile_save writes. */
struct bytes lqfile_saved(const struct lq_graph *graph);
/* The same for tiny_graph(1). */
struct bytes lqfile_tiny(void);
size_t lqfile_header_length(struct bytes file);
void lqfile_assert_same(struct bytes a, struct bytes b);

/* lq_lqfile_parse of memory that stays the caller's. */
int lqfile_parse(struct bytes from, struct lq_graph **ret_graph, struct lq_error *error);
/* Refused with this status and a reason that holds this text and is safe to print. */
void lqfile_assert_refused(struct bytes from, int expected, const char *text, const char *what);

#endif
