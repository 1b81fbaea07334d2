/* multipart.c - the parts of a multipart/form-data body (RFC 7578), found where they lie.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "codec/multipart.h"

#include <string.h>
#include <strings.h>

#include "codec/text.h"

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* A parameter's value, quoted or not, into ret_value; what is too long is cut. Returns what follows
 * it, or NULL: a quote that does not close. */
static const char *read_value(const char *at, const char *end, char *ret_value, size_t size)
{
    bool quoted = at < end && *at == '"';
    size_t length = 0;

    for (at += quoted; at < end && (quoted ? *at != '"' : !strchr("; \t", *at)); at++) {
        if (quoted && *at == '\\' && at + 1 < end && (at[1] == '"' || at[1] == '\\'))
            at++;
        if (length + 1 < size)
            ret_value[length++] = *at;
    }
    ret_value[length] = '\0';
    if (quoted && at == end)
        return NULL;
    return at + quoted;
}

/* The value of `name` among the parameters "; a=b; c=d" in [at, end). False: it is not there. */
static bool find_parameter(const char *at, const char *end, const char *name, char *ret_value,
                           size_t size)
{
    char value[MULTIPART_NAME_SIZE];
    size_t length = strlen(name);

    while (at && at < end) {
        at = skip_blanks(at, end);
        if (at == end || *at != ';')
            return false;
        at = skip_blanks(at + 1, end);
        bool found =
            (size_t)(end - at) > length && strncasecmp(at, name, length) == 0 && at[length] == '=';
        while (at < end && *at != '=' && *at != ';')
            at++;
        if (at == end || *at == ';')
            continue;
        at = found ? read_value(at + 1, end, ret_value, size)
                   : read_value(at + 1, end, value, sizeof(value));
        if (found)
            return at;
    }
    return false;
}

static bool boundary_is_valid(const char *boundary)
{
    size_t length = strspn(boundary, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789'()+_,-./:=? ");

    return length > 0 && length <= MULTIPART_MAX_BOUNDARY && !boundary[length] &&
           boundary[length - 1] != ' ';
}

int multipart_begin(struct multipart *multipart, const char *type, const void *bytes, size_t size,
                    struct lq_error *error)
{
    static const char form[] = "multipart/form-data";
    char boundary[MULTIPART_MAX_BOUNDARY + 2]; /* one more than fits: shows what is too long */
    size_t length = strlen(form);
    const char *end = type ? type + strlen(type) : NULL;

    if (!type || strncasecmp(type, form, length) != 0 ||
        (type[length] && !strchr("; \t", type[length])))
        return error_set(error, LQ_ERR_UNSUPPORTED, "not multipart/form-data");
    if (!find_parameter(type + length, end, "boundary", boundary, sizeof(boundary)) ||
        !boundary_is_valid(boundary))
        return error_set(error, LQ_ERR_INVALID, "Content-Type has no valid boundary");
    memcpy(multipart->boundary, "\r\n--", 4);
    length = strlen(boundary);
    memcpy(multipart->boundary + 4, boundary, length + 1);
    multipart->at = bytes;
    multipart->end = multipart->at + size;
    if (size < length + 2 || memcmp(bytes, multipart->boundary + 2, length + 2) != 0)
        return error_set(error, LQ_ERR_INVALID, "the body does not start with its boundary");
    multipart->at += length + 2;
    return LQ_OK;
}

/* One line of a part's head, without its end. */
static void read_header(const char *at, const char *end, struct multipart_part *part)
{
    static const char name[] = "Content-Disposition:";
    size_t length = strlen(name);

    if ((size_t)(end - at) < length || strncasecmp(at, name, length) != 0)
        return;
    while (at < end && *at != ';') /* "form-data" */
        at++;
    find_parameter(at, end, "name", part->name, sizeof(part->name));
    part->is_file = find_parameter(at, end, "filename", part->file_name, sizeof(part->file_name));
}

/* The lines up to the empty one. */
static int read_head(struct multipart *multipart, struct multipart_part *part,
                     struct lq_error *error)
{
    const char *start = multipart->at;

    for (;;) {
        size_t left = (size_t)(multipart->end - multipart->at);
        const char *line = multipart->at, *end = memmem(line, left, "\r\n", 2);

        if (!end || end - start > MULTIPART_MAX_HEAD)
            return error_set(error, LQ_ERR_INVALID, "a part's head has no end within %d bytes",
                             MULTIPART_MAX_HEAD);
        multipart->at = end + 2;
        if (end == line)
            return LQ_OK;
        read_header(line, end, part);
    }
}

int multipart_next(struct multipart *multipart, bool *ret_more, struct multipart_part *ret_part,
                   struct lq_error *error)
{
    struct multipart_part part = {0};
    size_t boundary = strlen(multipart->boundary);
    const char *end;
    int status;

    /* behind a boundary: "--" ends all, blanks and a line's end start a part */
    if (multipart->end - multipart->at >= 2 && memcmp(multipart->at, "--", 2) == 0) {
        *ret_more = false;
        return LQ_OK;
    }
    multipart->at = skip_blanks(multipart->at, multipart->end);
    if (multipart->end - multipart->at < 2 || memcmp(multipart->at, "\r\n", 2) != 0)
        return error_set(error, LQ_ERR_INVALID, "a boundary is followed by neither a part nor --");
    multipart->at += 2;
    status = read_head(multipart, &part, error);
    if (status != LQ_OK)
        return status;
    part.bytes = multipart->at;
    multipart->at -= 2; /* an empty part: its head's end belongs to the boundary */
    end = memmem(multipart->at, (size_t)(multipart->end - multipart->at), multipart->boundary,
                 boundary);
    if (!end)
        return error_set(error, LQ_ERR_INVALID, "a part has no end");
    part.size = end < part.bytes ? 0 : (size_t)(end - part.bytes);
    multipart->at = end + boundary;
    *ret_more = true;
    *ret_part = part;
    return LQ_OK;
}
