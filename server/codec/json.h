/* json.h - reads JSON (RFC 8259) from memory, one value after the other, without a tree.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     struct json_reader reader;
 *     struct json_object object;
 *     json_begin(&reader, bytes, size, error);
 *     status = json_enter_object(&reader, &object);
 *     while (status == LQ_OK && (status = json_next_member(&reader, &object)) == LQ_OK &&
 *            object.more)
 *         status = strcmp(reader.key, "id") == 0 ? json_read_string(&reader, id, sizeof(id))
 *                                                : json_skip(&reader);
 *     if (status == LQ_OK)
 *         status = json_finish(&reader);
 *
 * Strict: UTF-8 is checked, no name may stand twice in an object, \u0000 and lone surrogates are
 * refused, and so is what follows the value. Bounded: by JSON_MAX_DEPTH, JSON_MAX_MEMBERS,
 * JSON_MAX_KEY. Every function that fails gives LQ_ERR_FORMAT, with line and column in the text;
 * the reader must not be used afterwards. One thread at a time.
 */
#ifndef SERVER_JSON_H
#define SERVER_JSON_H

#include "lq.h"

#define JSON_MAX_DEPTH   32  /* of objects and arrays in each other */
#define JSON_MAX_MEMBERS 64  /* of one object */
#define JSON_MAX_KEY     256 /* bytes of a member's name, with a final zero */
#define JSON_MAX_RANK    8   /* of an array of numbers */

struct json_reader {
    const char *start, *at, *end;
    int depth;
    char key[JSON_MAX_KEY]; /* of the member that json_next_member found last */
    struct lq_error *error;
};

enum json_type {
    JSON_IS_NONE, /* the text ends, or goes on with something that starts no value */
    JSON_IS_OBJECT,
    JSON_IS_ARRAY,
    JSON_IS_STRING,
    JSON_IS_NUMBER,
    JSON_IS_BOOL,
    JSON_IS_NULL
};

/* An object or an array that is being read. */
struct json_object {
    bool more;                       /* there is a member: its value, or the element, comes next */
    int count;                       /* so far */
    uint64_t keys[JSON_MAX_MEMBERS]; /* hashes; equal ones are taken for equal names */
};
struct json_array {
    bool more;
    size_t count;
};

void json_begin(struct json_reader *reader, const void *bytes, size_t size, struct lq_error *error);
/* Nothing but blanks may follow. */
int json_finish(struct json_reader *reader) LQ_MUST_CHECK;

/* What comes next. */
enum json_type json_peek(struct json_reader *reader);

int json_enter_object(struct json_reader *reader, struct json_object *ret_object) LQ_MUST_CHECK;
int json_next_member(struct json_reader *reader, struct json_object *object) LQ_MUST_CHECK;
int json_enter_array(struct json_reader *reader, struct json_array *ret_array) LQ_MUST_CHECK;
int json_next_element(struct json_reader *reader, struct json_array *array) LQ_MUST_CHECK;

/* A string, decoded and terminated; longer ones are refused. */
int json_read_string(struct json_reader *reader, char *ret_text, size_t size) LQ_MUST_CHECK;
/* A string where it stands, without its quotes: length bytes, escapes and all. It is checked. */
int json_scan_string(struct json_reader *reader, const char **ret_raw,
                     size_t *ret_length) LQ_MUST_CHECK;
/* Decodes what json_scan_string gave into at most length bytes; returns how many. */
size_t json_decode(const char *raw, size_t length, char *ret_text);
/* A number without point and exponent. */
int json_read_integer(struct json_reader *reader, int64_t *ret_value) LQ_MUST_CHECK;
int json_read_bool(struct json_reader *reader, bool *ret_value) LQ_MUST_CHECK;
/* Any value. */
int json_skip(struct json_reader *reader) LQ_MUST_CHECK;

/* An array of numbers, nested or flat. */
struct json_numbers {
    size_t limit; /* set by the caller: how many it takes at most */
    float *values;
    size_t count, room;
    bool integers;                 /* no number has a point or an exponent */
    int rank;                      /* 1: flat */
    size_t lengths[JSON_MAX_RANK]; /* all lists of a level have the same length */
};
/* Start from {.limit = n}; the caller frees values, after a failure as well. Numbers too large for
 * a float become infinities. Errors: also LQ_ERR_MEMORY; LQ_ERR_LIMIT: more than limit numbers. */
int json_read_numbers(struct json_reader *reader, struct json_numbers *numbers) LQ_MUST_CHECK;

/* The failure of a reader, where it is: for what the grammar allows and the caller does not. */
int json_fail(struct json_reader *reader, const char *format, ...) LQ_PRINTF(2, 3);

#endif
