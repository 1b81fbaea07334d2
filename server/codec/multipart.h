/* multipart.h - the parts of a multipart/form-data body (RFC 7578), found where they lie.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Reads from memory, copies nothing, allocates nothing. Any thread.
 */
#ifndef SERVER_MULTIPART_H
#define SERVER_MULTIPART_H

#include "lq.h"

#define MULTIPART_MAX_BOUNDARY 70   /* RFC 2046 */
#define MULTIPART_MAX_HEAD     4096 /* bytes of one part's head */
#define MULTIPART_NAME_SIZE    256

struct multipart {
    const char *at, *end;
    char boundary[MULTIPART_MAX_BOUNDARY + 5]; /* "\r\n--" and the boundary */
};

struct multipart_part {
    const char *bytes; /* of the content */
    size_t size;
    char name[MULTIPART_NAME_SIZE]; /* "" where it is not given; a longer one is cut */
    bool is_file;                   /* it has a file name */
    char file_name[MULTIPART_NAME_SIZE];
};

/* Starts at the first part of a body whose Content-Type is `type` (which may be NULL).
 * Errors: LQ_ERR_UNSUPPORTED: it is not multipart/form-data; LQ_ERR_INVALID: its boundary is
 * missing or is none; the body does not start with it. */
int multipart_begin(struct multipart *multipart, const char *type, const void *bytes, size_t size,
                    struct lq_error *error) LQ_MUST_CHECK;
/* The next part; *ret_more false: the end has been reached. Errors: LQ_ERR_INVALID: a head that is
 * none or too long, a part without an end. */
int multipart_next(struct multipart *multipart, bool *ret_more, struct multipart_part *ret_part,
                   struct lq_error *error) LQ_MUST_CHECK;

#endif
