/* lqfile_check.c - what the suites about model files share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/lqfile_check.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/lqfile.h"
#include "graph/name.h"
#include "support/lqfile_forge.h"
#include "support/suite.h"
#include "support/tiny_model.h"

static char folder[] = "/tmp/test_lqfile_XXXXXX";

const char *lqfile_path(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

int lqfile_folder_count(void)
{
    DIR *dir = opendir(folder);
    int count = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2; /* . and .. */
}

struct bytes lqfile_read(const char *path)
{
    struct lq_file file;
    struct bytes copy;

    ck_assert_int_eq(lq_file_map(path, 1 << 30, &file, NULL), LQ_OK);
    copy = (struct bytes){lqfile_copy(file.bytes, file.size), file.size};
    ck_assert_ptr_nonnull(copy.bytes);
    lq_file_unmap(&file);
    return copy;
}

struct bytes lqfile_saved(const struct lq_graph *graph)
{
    struct lq_error error = {0};

    ck_assert_msg(lq_lqfile_save(graph, lqfile_path("saved.lq"), &error) == LQ_OK, "%s",
                  error.text);
    struct bytes bytes = lqfile_read(lqfile_path("saved.lq"));
    unlink(lqfile_path("saved.lq"));
    return bytes;
}

struct bytes lqfile_tiny(void)
{
    struct lq_graph *graph = NULL;

    ck_assert_int_eq(tiny_graph(1, &graph, NULL), LQ_OK);
    struct bytes bytes = lqfile_saved(graph);
    lq_graph_destroy(graph);
    return bytes;
}

int lqfile_parse(struct bytes from, struct lq_graph **ret_graph, struct lq_error *error)
{
    struct lq_file file = {from.bytes, from.size, false};
    int status = lq_lqfile_parse(&file, ret_graph, error);

    ck_assert(status != LQ_OK || file.bytes == NULL);
    ck_assert(status == LQ_OK || file.bytes == from.bytes);
    if (status == LQ_OK)
        (*ret_graph)->file = (struct lq_file){0};
    return status;
}

void lqfile_assert_refused(struct bytes from, int expected, const char *text, const char *what)
{
    struct lq_graph *graph = NULL;
    struct lq_error error = {0};
    int status = lqfile_parse(from, &graph, &error);

    ck_assert_msg(status == expected && error.status == expected && !graph,
                  "%s: status %d, expected %d: %s", what, status, expected, error.text);
    ck_assert_msg(strstr(error.text, text) != NULL, "%s: '%s' says no '%s'", what, error.text,
                  text);
    ck_assert_msg(lq_text_check(what, error.text, sizeof(error.text), NULL) == LQ_OK,
                  "%s: cannot be printed", what);
}

size_t lqfile_header_length(struct bytes file)
{
    uint64_t length;

    memcpy(&length, file.bytes, sizeof(length));
    return (size_t)length;
}

void lqfile_assert_same(struct bytes a, struct bytes b)
{
    ck_assert_uint_eq(a.size, b.size);
    ck_assert_int_eq(memcmp(a.bytes, b.bytes, a.size), 0);
}

int lqfile_suite_main(const char *name, TCase *tests)
{
    int failed;

    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    failed = suite_main(name, tests);
    rmdir(folder);
    return failed;
}
