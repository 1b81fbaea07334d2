/* base64.h - bytes in text (RFC 4648, section 4: the standard alphabet, padded).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_BASE64_H
#define SERVER_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes into at most length / 4 * 3 bytes; ret_bytes may be text itself. False: it is no base64,
 * down to bits behind the last byte that are not 0. Any thread. */
bool base64_decode(const char *text, size_t length, void *ret_bytes, size_t *ret_size);

#endif
