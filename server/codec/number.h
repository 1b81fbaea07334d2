/* number.h - floats as decimal text, both ways, exactly.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Neither direction depends on a locale, allocates, or can fail on a finite float. Any thread.
 */
#ifndef SERVER_NUMBER_H
#define SERVER_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/* Reads the longest JSON number (RFC 8259: no plus, no leading zeros, digits on both sides of the
 * point) at the start of [at, end) and rounds it to the nearest float, ties to even; what is too
 * large becomes an infinity. Returns where it ends, or NULL where there is no number.
 * *ret_integer: it has neither point nor exponent. */
const char *number_read_float(const char *at, const char *end, float *ret_value, bool *ret_integer);

#define NUMBER_TEXT_SIZE 24
/* Writes the shortest decimal that number_read_float (and any correct reader) gives back as the
 * same float; of the shortest ones the closest. Finite values only. Always with a point or an
 * exponent, so that readers that tell integers from reals see a real. Returns the length; the text
 * is not terminated. */
size_t number_write_float(float value, char ret_text[NUMBER_TEXT_SIZE]);

#endif
