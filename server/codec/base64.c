/* base64.c - bytes in text (RFC 4648, section 4: the standard alphabet, padded).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "codec/base64.h"

#include <stdint.h>

/* What a character means; 64: nothing. */
static unsigned value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool base64_decode(const char *text, size_t length, void *ret_bytes, size_t *ret_size)
{
    uint8_t *to = ret_bytes;
    size_t padding = 0, size = 0;

    if (length % 4 != 0)
        return false;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < length; i += 4) {
        size_t digits = i + 4 == length ? 4 - padding : 4;
        unsigned bits = 0;

        for (size_t j = 0; j < 4; j++) {
            unsigned value = j < digits ? value_of(text[i + j]) : 0;

            if (value == 64)
                return false;
            bits = bits << 6 | value;
        }
        for (size_t j = 0; j + 1 < digits; j++)
            to[size++] = (uint8_t)(bits >> (16 - 8 * j));
        if (bits & ((1u << (8 * (4 - digits))) - 1))
            return false;
    }
    *ret_size = size;
    return true;
}
