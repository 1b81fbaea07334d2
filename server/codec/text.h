/* text.h - a growing text, and the pieces of JSON that are written into it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Replies and log lines are written straight into one of these; a JSON tree is built for reading
 * only. Start from {0}. A failed allocation sets `failed`, and every later call does nothing, so
 * that a writer checks once, at the end. One thread at a time.
 */
#ifndef SERVER_TEXT_H
#define SERVER_TEXT_H

#include "lq.h"

struct text {
    char *bytes; /* not terminated; NULL while empty */
    size_t length, capacity;
    bool failed;
};

void text_append(struct text *text, const void *bytes, size_t length);
void text_string(struct text *text, const char *string);
/* Where every request passes, the others are to be preferred: the C library's printf costs more
 * than all else that is done with a short text. */
void text_printf(struct text *text, const char *format, ...) LQ_PRINTF(2, 3);
void text_int(struct text *text, int64_t value);
/* A JSON string with its quotes, or null for NULL. Bytes that are not UTF-8 become U+FFFD. */
void text_json(struct text *text, const char *string);
void text_json_bytes(struct text *text, const char *bytes, size_t length);
/* The shortest number that reads back as the same float (number.h). Finite values only. */
void text_float(struct text *text, float value);
void text_free(struct text *text);

/* Copies what fits of a string, and ends it. */
void text_copy(char *ret_text, size_t size, const char *string);

/* Length of the UTF-8 sequence at text (1..4), of which `left` (> 0) bytes are there; 0: not UTF-8
 * (overlong, a surrogate, cut off). */
size_t text_utf8_length(const char *text, size_t left);

/* Fills *error (which may be NULL) unless it holds a failure already; gives status. */
#define error_set(error, status, ...) (lq_error_set((error), (status), __VA_ARGS__), (status))

#endif
