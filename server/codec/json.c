/* json.c - reads JSON (RFC 8259) from memory, one value after the other, without a tree.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "codec/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/number.h"
#include "codec/text.h"

int json_fail(struct json_reader *reader, const char *format, ...)
{
    char what[256];
    const char *line = reader->start;
    int lines = 1;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    for (const char *at = reader->start; at < reader->at; at++) {
        if (*at == '\n') {
            lines++;
            line = at + 1;
        }
    }
    return error_set(reader->error, LQ_ERR_FORMAT, "JSON, line %d, column %zu: %s", lines,
                     (size_t)(reader->at - line) + 1, what);
}

static void skip_blanks(struct json_reader *reader)
{
    const char *at = reader->at;

    while (at < reader->end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    reader->at = at;
}

/* The next character that is no blank, or 0 at the end. */
static char next(struct json_reader *reader)
{
    skip_blanks(reader);
    return reader->at < reader->end ? *reader->at : '\0';
}

static int expected(struct json_reader *reader, const char *what)
{
    unsigned char found = (unsigned char)next(reader);

    if (reader->at == reader->end)
        return json_fail(reader, "expected %s, but the text ends", what);
    if (found > 0x20 && found < 0x7f)
        return json_fail(reader, "expected %s, found '%c'", what, found);
    return json_fail(reader, "expected %s, found byte 0x%02x", what, found);
}

void json_begin(struct json_reader *reader, const void *bytes, size_t size, struct lq_error *error)
{
    reader->start = reader->at = bytes;
    reader->end = reader->at + size;
    reader->depth = 0;
    reader->key[0] = '\0';
    reader->error = error;
}

int json_finish(struct json_reader *reader)
{
    next(reader);
    return reader->at == reader->end ? LQ_OK : expected(reader, "the end");
}

enum json_type json_peek(struct json_reader *reader)
{
    char c = next(reader);

    switch (c) {
    case '{':
        return JSON_IS_OBJECT;
    case '[':
        return JSON_IS_ARRAY;
    case '"':
        return JSON_IS_STRING;
    case 't':
    case 'f':
        return JSON_IS_BOOL;
    case 'n':
        return JSON_IS_NULL;
    default:
        return c == '-' || (c >= '0' && c <= '9') ? JSON_IS_NUMBER : JSON_IS_NONE;
    }
}

/* ------------------------------------------------------------------------------------------------
 * Strings
 */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hexadecimal digits; -1 where they are not there. */
static int read_unit(const char *at, const char *end)
{
    int unit = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);

        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* The character that an escape's "u...." says, behind the u; -1: none. Moves *at behind it. */
static int read_escaped(const char **at, const char *end)
{
    int high = read_unit(*at, end), low;

    if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff))
        return -1;
    *at += 4;
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
        return -1;
    low = read_unit(*at + 2, end);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    *at += 6;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* Behind a backslash. */
static bool skip_escape(const char **at, const char *end)
{
    if (*at == end)
        return false;
    if (*(*at)++ == 'u')
        return read_escaped(at, end) >= 0;
    return (*at)[-1] && strchr("\"\\/bfnrt", (*at)[-1]);
}

int json_scan_string(struct json_reader *reader, const char **ret_raw, size_t *ret_length)
{
    const char *end = reader->end, *at;

    if (next(reader) != '"')
        return expected(reader, "a string");
    at = ++reader->at;
    while (at < end && *at != '"') {
        unsigned char c = (unsigned char)*at;
        size_t length = 1;
        bool fine = c >= 0x20;

        if (c == '\\') {
            at++;
            fine = skip_escape(&at, end);
            length = 0;
        } else if (c >= 0x80) {
            length = text_utf8_length(at, (size_t)(end - at));
            fine = length > 0;
        }
        if (!fine) {
            reader->at = at;
            return json_fail(reader, c == '\\'  ? "an escape that does not exist"
                                     : c < 0x20 ? "a control character in a string"
                                                : "not UTF-8");
        }
        at += length;
    }
    *ret_raw = reader->at;
    *ret_length = (size_t)(at - reader->at);
    reader->at = at;
    if (at == end)
        return expected(reader, "the string's end");
    reader->at++;
    return LQ_OK;
}

static size_t write_utf8(int character, char *to)
{
    unsigned u = (unsigned)character;

    if (u < 0x80) {
        to[0] = (char)u;
        return 1;
    }
    if (u < 0x800) {
        to[0] = (char)(0xc0 | u >> 6);
        to[1] = (char)(0x80 | (u & 0x3f));
        return 2;
    }
    if (u < 0x10000) {
        to[0] = (char)(0xe0 | u >> 12);
        to[1] = (char)(0x80 | (u >> 6 & 0x3f));
        to[2] = (char)(0x80 | (u & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | u >> 18);
    to[1] = (char)(0x80 | (u >> 12 & 0x3f));
    to[2] = (char)(0x80 | (u >> 6 & 0x3f));
    to[3] = (char)(0x80 | (u & 0x3f));
    return 4;
}

size_t json_decode(const char *raw, size_t length, char *ret_text)
{
    static const char names[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    const char *end = raw + length;
    char *to = ret_text;

    while (raw < end) {
        if (*raw != '\\') {
            *to++ = *raw++;
        } else if (raw[1] == 'u') {
            raw += 2;
            to += write_utf8(read_escaped(&raw, end), to);
        } else {
            const char *name = strchr(names, raw[1]);

            *to++ = name ? meanings[name - names] : raw[1];
            raw += 2;
        }
    }
    return (size_t)(to - ret_text);
}

int json_read_string(struct json_reader *reader, char *ret_text, size_t size)
{
    const char *raw = NULL;
    size_t length = 0;
    int status = json_scan_string(reader, &raw, &length);

    if (status != LQ_OK)
        return status;
    if (length >= size) /* of the raw text: an escape is no shorter than what it means */
        return json_fail(reader, "a string of more than %zu bytes", size - 1);
    ret_text[json_decode(raw, length, ret_text)] = '\0';
    return LQ_OK;
}

/* ------------------------------------------------------------------------------------------------
 * Objects and arrays
 */

static int enter(struct json_reader *reader, char open, const char *what)
{
    if (next(reader) != open)
        return expected(reader, what);
    if (reader->depth == JSON_MAX_DEPTH)
        return json_fail(reader, "nested deeper than %d (depth limit)", JSON_MAX_DEPTH);
    reader->depth++;
    reader->at++;
    return LQ_OK;
}

/* Goes to the next of a list's things, or behind its end. */
static int advance(struct json_reader *reader, char close, bool first, bool *ret_more)
{
    char c = next(reader);

    *ret_more = c != close;
    if (c == close) {
        reader->at++;
        reader->depth--;
        return LQ_OK;
    }
    if (first)
        return LQ_OK;
    if (c != ',')
        return expected(reader, close == '}' ? "',' or '}'" : "',' or ']'");
    reader->at++;
    return LQ_OK;
}

int json_enter_object(struct json_reader *reader, struct json_object *ret_object)
{
    ret_object->more = false;
    ret_object->count = 0;
    return enter(reader, '{', "an object");
}

/* FNV-1a */
static uint64_t hash(const char *text)
{
    uint64_t value = 0xcbf29ce484222325;

    for (; *text; text++)
        value = (value ^ (unsigned char)*text) * 0x100000001b3;
    return value;
}

int json_next_member(struct json_reader *reader, struct json_object *object)
{
    int status = advance(reader, '}', object->count == 0, &object->more);
    uint64_t key;

    if (status != LQ_OK || !object->more)
        return status;
    if (next(reader) != '"')
        return expected(reader, "a member's name");
    status = json_read_string(reader, reader->key, sizeof(reader->key));
    if (status != LQ_OK)
        return status;
    key = hash(reader->key);
    for (int i = 0; i < object->count; i++)
        if (object->keys[i] == key)
            return json_fail(reader, "duplicate name '%.64s'", reader->key);
    if (object->count == JSON_MAX_MEMBERS)
        return json_fail(reader, "an object of more than %d members", JSON_MAX_MEMBERS);
    object->keys[object->count++] = key;
    if (next(reader) != ':')
        return expected(reader, "':'");
    reader->at++;
    return LQ_OK;
}

int json_enter_array(struct json_reader *reader, struct json_array *ret_array)
{
    *ret_array = (struct json_array){false, 0};
    return enter(reader, '[', "a list");
}

int json_next_element(struct json_reader *reader, struct json_array *array)
{
    int status = advance(reader, ']', array->count == 0, &array->more);

    array->count += status == LQ_OK && array->more;
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * Numbers, words, anything
 */

int json_read_integer(struct json_reader *reader, int64_t *ret_value)
{
    const char *start, *at;
    bool negative;
    int64_t value = 0;

    next(reader);
    start = at = reader->at;
    negative = at < reader->end && *at == '-';
    for (at += negative; at < reader->end && *at >= '0' && *at <= '9'; at++) {
        int digit = *at - '0';

        if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_sub_overflow(value, (int64_t)digit, &value))
            return json_fail(reader, "an integer beyond 64 bits");
    }
    if (at == start + negative || (start[negative] == '0' && at > start + negative + 1) ||
        (at < reader->end && strchr(".eE", *at)))
        return expected(reader, "an integer");
    if (!negative && value == INT64_MIN)
        return json_fail(reader, "an integer beyond 64 bits");
    reader->at = at;
    *ret_value = negative ? value : -value;
    return LQ_OK;
}

static bool skip_word(struct json_reader *reader, const char *word)
{
    size_t length = strlen(word);

    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

int json_read_bool(struct json_reader *reader, bool *ret_value)
{
    bool value;

    next(reader);
    value = skip_word(reader, "true");
    if (!value && !skip_word(reader, "false"))
        return expected(reader, "true or false");
    *ret_value = value;
    return LQ_OK;
}

static int skip_number(struct json_reader *reader)
{
    float value;
    bool integer;
    const char *end = number_read_float(reader->at, reader->end, &value, &integer);

    if (!end)
        return expected(reader, "a number");
    reader->at = end;
    return LQ_OK;
}

static int skip_object(struct json_reader *reader)
{
    struct json_object object;
    int status = json_enter_object(reader, &object);

    while (status == LQ_OK && (status = json_next_member(reader, &object)) == LQ_OK && object.more)
        status = json_skip(reader);
    return status;
}

static int skip_array(struct json_reader *reader)
{
    struct json_array array;
    int status = json_enter_array(reader, &array);

    while (status == LQ_OK && (status = json_next_element(reader, &array)) == LQ_OK && array.more)
        status = json_skip(reader);
    return status;
}

int json_skip(struct json_reader *reader) /* as deep as JSON_MAX_DEPTH */
{
    const char *raw = NULL;
    size_t length = 0;
    bool value;

    switch (json_peek(reader)) {
    case JSON_IS_OBJECT:
        return skip_object(reader);
    case JSON_IS_ARRAY:
        return skip_array(reader);
    case JSON_IS_STRING:
        return json_scan_string(reader, &raw, &length);
    case JSON_IS_NUMBER:
        return skip_number(reader);
    case JSON_IS_BOOL:
        return json_read_bool(reader, &value);
    case JSON_IS_NULL:
        if (skip_word(reader, "null"))
            return LQ_OK;
        break;
    case JSON_IS_NONE:
        break;
    }
    return expected(reader, "a value");
}

/* ------------------------------------------------------------------------------------------------
 * Arrays of numbers
 */

static int make_room(struct json_reader *reader, struct json_numbers *numbers)
{
    size_t room = numbers->room ? 2 * numbers->room : 1024;
    float *values;

    if (numbers->count == numbers->limit)
        return error_set(reader->error, LQ_ERR_LIMIT, "more than %zu numbers", numbers->limit);
    if (room > numbers->limit)
        room = numbers->limit;
    values = realloc(numbers->values, room * sizeof(*values));
    if (!values)
        return error_set(reader->error, LQ_ERR_MEMORY, "out of memory");
    numbers->values = values;
    numbers->room = room;
    return LQ_OK;
}

/* The numbers of the innermost list, up to what follows the last. */
static int read_run(struct json_reader *reader, struct json_numbers *numbers, size_t *ret_count)
{
    const char *at = reader->at, *end = reader->end;
    size_t before = numbers->count;
    int status = LQ_OK;

    for (;;) {
        bool integer;
        const char *behind;

        while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
            at++;
        if (numbers->count == numbers->room && (status = make_room(reader, numbers)) != LQ_OK)
            break;
        behind = number_read_float(at, end, &numbers->values[numbers->count], &integer);
        if (!behind)
            break;
        at = behind;
        numbers->integers = numbers->integers && integer;
        numbers->count++;
        if (at == end || *at != ',') {
            reader->at = at;
            if (next(reader) != ',') {
                *ret_count = numbers->count - before;
                return LQ_OK;
            }
            at = reader->at;
        }
        at++;
    }
    reader->at = at;
    return status != LQ_OK ? status : expected(reader, "a number");
}

/* A list of level `level` ends: it must be as long as the others. */
static int close_list(struct json_reader *reader, struct json_numbers *numbers, int level,
                      size_t count, bool *closed)
{
    if (next(reader) != ']')
        return expected(reader, "',' or ']'");
    reader->at++;
    if (closed[level] && numbers->lengths[level] != count)
        return json_fail(reader, "a list of %zu beside one of %zu", count, numbers->lengths[level]);
    closed[level] = true;
    numbers->lengths[level] = count;
    return LQ_OK;
}

/* Opens lists until a number or the end of an empty one comes. */
static int open_lists(struct json_reader *reader, struct json_numbers *numbers, int *level,
                      size_t *counts)
{
    while (next(reader) == '[') {
        if (*level + 1 == JSON_MAX_RANK)
            return json_fail(reader, "lists nested deeper than %d (depth limit)", JSON_MAX_RANK);
        reader->at++;
        counts[++*level] = 0;
    }
    if (numbers->rank && *level + 1 != numbers->rank)
        return json_fail(reader, "numbers at different depths");
    numbers->rank = *level + 1;
    return LQ_OK;
}

int json_read_numbers(struct json_reader *reader, struct json_numbers *numbers)
{
    size_t counts[JSON_MAX_RANK] = {0};
    bool closed[JSON_MAX_RANK] = {false}, again = true;
    int level = -1, status = LQ_OK;

    numbers->integers = true;
    numbers->rank = 0;
    if (next(reader) != '[')
        return expected(reader, "a list of numbers");
    while (status == LQ_OK && again) {
        status = open_lists(reader, numbers, &level, counts);
        if (status == LQ_OK && next(reader) != ']')
            status = read_run(reader, numbers, &counts[level]);
        for (again = false; status == LQ_OK && level >= 0 && !again;) {
            status = close_list(reader, numbers, level, counts[level], closed);
            if (status != LQ_OK || --level < 0)
                break;
            counts[level]++;
            again = next(reader) == ',';
        }
        if (status == LQ_OK && again) {
            reader->at++;
            if (next(reader) != '[')
                status = expected(reader, "'['");
        }
    }
    return status;
}
