/* text.c - a growing text, and the pieces of JSON that are written into it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "codec/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/number.h"

static bool reserve(struct text *text, size_t extra)
{
    size_t capacity = text->capacity ? text->capacity : 256;
    char *bytes;

    if (text->failed)
        return false;
    if (extra <= text->capacity - text->length)
        return true;
    while (capacity - text->length < extra && capacity < SIZE_MAX / 2)
        capacity *= 2;
    bytes = capacity - text->length < extra ? NULL : realloc(text->bytes, capacity);
    if (!bytes) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void text_append(struct text *text, const void *bytes, size_t length)
{
    if (length == 0 || !reserve(text, length))
        return;
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

void text_string(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;
    size_t room;
    int length;

    if (!reserve(text, 64)) /* most fit at once */
        return;
    room = text->capacity - text->length;
    va_start(arguments, format);
    length = vsnprintf(text->bytes + text->length, room, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length >= room && reserve(text, (size_t)length + 1)) {
        va_start(arguments, format);
        vsnprintf(text->bytes + text->length, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    if (length < 0)
        text->failed = true;
    if (!text->failed)
        text->length += (size_t)length;
}

void text_int(struct text *text, int64_t value)
{
    char digits[24], *at = digits + sizeof(digits);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--at = '-';
    text_append(text, at, (size_t)(digits + sizeof(digits) - at));
}

void text_copy(char *ret_text, size_t size, const char *string)
{
    size_t length = strnlen(string, size - 1);

    memcpy(ret_text, string, length);
    ret_text[length] = '\0';
}

size_t text_utf8_length(const char *text, size_t left)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;

    if (length == 1)
        return 1;
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    if ((bytes[0] == 0xe0 && bytes[1] < 0xa0) || (bytes[0] == 0xed && bytes[1] > 0x9f) ||
        (bytes[0] == 0xf0 && bytes[1] < 0x90) || (bytes[0] == 0xf4 && bytes[1] > 0x8f))
        return 0;
    return length;
}

static void append_escaped(struct text *text, unsigned char byte)
{
    if (byte == '"' || byte == '\\') {
        char escaped[2] = {'\\', (char)byte};

        text_append(text, escaped, 2);
    } else {
        text_printf(text, "\\u%04x", byte);
    }
}

/* Characters from `bytes` on that JSON takes as they are. */
static size_t plain_length(const char *bytes, size_t length)
{
    size_t i = 0;

    while (i < length && bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\')
        i++;
    return i;
}

void text_json_bytes(struct text *text, const char *bytes, size_t length)
{
    size_t step;

    text_append(text, "\"", 1);
    for (size_t i = 0; i < length; i += step) {
        size_t plain = plain_length(bytes + i, length - i);

        step = plain ? plain : text_utf8_length(bytes + i, length - i);
        if (step == 0) {
            step = 1;
            text_append(text, "\xef\xbf\xbd", 3);
        } else if (step == 1 && !plain) {
            append_escaped(text, (unsigned char)bytes[i]);
        } else {
            text_append(text, bytes + i, step);
        }
    }
    text_append(text, "\"", 1);
}

void text_json(struct text *text, const char *string)
{
    if (string)
        text_json_bytes(text, string, strlen(string));
    else
        text_string(text, "null");
}

void text_float(struct text *text, float value)
{
    if (reserve(text, NUMBER_TEXT_SIZE))
        text->length += number_write_float(value, text->bytes + text->length);
}

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}
