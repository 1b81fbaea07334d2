/* name.c - names and other texts that come from files: what may be printed and logged.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "graph/name.h"

#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "graph/graph.h"

int lq_name_cut(const char *text, int limit)
{
    int length = 0;

    while (text[length]) {
        bool control;
        int step = lq_utf8_length(text + length, &control);

        if (length + step > limit)
            break;
        length += step;
    }
    return length;
}

int lq_text_check(const char *what, const char *text, size_t limit, struct lq_error *error)
{
    size_t length = strlen(text);

    if (length >= limit)
        return lq_fail(error, LQ_ERR_LIMIT, "%s of %zu bytes, expected less than %zu", what, length,
                       limit);
    for (size_t at = 0; at < length;) {
        bool control = false;
        int step = lq_utf8_length(text + at, &control);

        if (step == 0 || control)
            return lq_fail(error, LQ_ERR_INVALID,
                           "%s: byte %zu is 0x%02x, expected UTF-8 text without "
                           "control characters",
                           what, at, (unsigned char)text[at]);
        at += (size_t)step;
    }
    return LQ_OK;
}

int lq_name_check(const char *what, const char *name, struct lq_error *error)
{
    if (!name || !*name)
        return lq_fail(error, LQ_ERR_INVALID, "%s is empty", what);
    return lq_text_check(what, name, LQ_MAX_NAME, error);
}
