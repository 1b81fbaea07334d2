/* name.c - names and other texts that come from files: what may be printed and logged.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "graph/name.h"

#include <string.h>

#include "base/status.h"
#include "graph/graph.h"

/* Length of the UTF-8 sequence at text, or 0: overlong, surrogate, truncated, out of range. */
static int utf8_length(const unsigned char *text)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    int length = text[0] < 0x80 ? 1 : (text[0] >> 5) == 6 ? 2 : (text[0] >> 4) == 14 ? 3 : 4;
    uint32_t point = length == 1 ? text[0] : text[0] & (0x7fu >> length);

    if (length == 4 && (text[0] >> 3) != 30)
        return 0;
    for (int i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (text[i] & 0x3f);
    }
    if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    return length;
}

int lq_name_cut(const char *text, int limit)
{
    int length = 0;

    while (text[length]) {
        int step = utf8_length((const unsigned char *)text + length);

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
        unsigned char byte = (unsigned char)text[at];
        int step = utf8_length((const unsigned char *)text + at);
        bool c1 = byte == 0xc2 && (unsigned char)text[at + 1] < 0xa0;

        if (step == 0 || byte < 0x20 || byte == 0x7f || c1)
            return lq_fail(error, LQ_ERR_INVALID,
                           "%s: byte %zu is 0x%02x, expected UTF-8 text without "
                           "control characters",
                           what, at, byte);
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
