/* text.h - UTF-8, and texts that may be shown.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_BASE_TEXT_H
#define LQ_BASE_TEXT_H

#include <stdbool.h>

/* Bytes of the UTF-8 character at text, 1..4; 0: overlong, a surrogate, cut off, out of range.
 * *ret_control: whether it is a control character (U+0000..1F, 7F..9F). */
int lq_utf8_length(const char *text, bool *ret_control);

/* Replaces every byte that is not UTF-8 and every control character by '?', in place. */
void lq_text_make_printable(char *text);

#endif
