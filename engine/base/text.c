/* text.c - UTF-8, and texts that may be shown.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/text.h"

#include <stdint.h>
#include <string.h>

int lq_utf8_length(const char *text, bool *ret_control)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    int length = bytes[0] < 0x80 ? 1 : (bytes[0] >> 5) == 6 ? 2 : (bytes[0] >> 4) == 14 ? 3 : 4;
    uint32_t point = length == 1 ? bytes[0] : bytes[0] & (0x7fu >> length);

    if (length == 4 && (bytes[0] >> 3) != 30)
        return 0;
    for (int i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (bytes[i] & 0x3f);
    }
    if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    *ret_control = point < 0x20 || (point >= 0x7f && point < 0xa0);
    return length;
}

void lq_text_make_printable(char *text)
{
    char *to = text;

    while (*text) {
        bool control = false;
        int length = lq_utf8_length(text, &control);

        if (length == 0 || control) {
            *to++ = '?';
            text += length ? length : 1;
            continue;
        }
        memmove(to, text, (size_t)length);
        to += length;
        text += length;
    }
    *to = '\0';
}
