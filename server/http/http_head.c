/* http_head.c - heads that two servers may read differently (request smuggling).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The library takes a bare line feed for the end of a line, joins a line that starts with a blank
 * to the one before, and lets a blank stand in front of the colon. It reads a head in place: its
 * strings lie in one buffer in the order in which they came, each ended by a zero where its line's
 * end, or the colon, was. So their distances tell what stood between them.
 */
#include <string.h>
#include <strings.h>

#include "http/http_private.h"

struct layout {
    const char *start, *end; /* of the head */
    const char *at;          /* end of the last string */
    bool plain;
};

/* A name as HTTP has it: no blank, no control character, no separator. */
static bool is_token(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "!#$%&'*+-.^_`|~");

    return length > 0 && text[length] == '\0';
}

static bool is_inside(const struct layout *layout, const char *text)
{
    return text >= layout->start && text < layout->end;
}

static enum MHD_Result see_header(void *context, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    struct layout *layout = context;

    (void)kind;
    if (!value)
        value = "";
    if (!is_token(name) || strpbrk(value, "\r\n"))
        layout->plain = false;
    if (is_inside(layout, name) && (name != layout->at + 2 || !is_inside(layout, value)))
        layout->plain = false; /* a line that ends in one byte; one that was joined to another */
    layout->at = value + strlen(value);
    return MHD_YES;
}

bool http_head_is_plain(struct MHD_Connection *library, const char *method, const char *version)
{
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(library, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct layout layout = {.start = method, .end = method, .plain = is_token(method)};

    if (size)
        layout.end += size->header_size;
    layout.at = version + strlen(version);
    MHD_get_connection_values(library, MHD_HEADER_KIND, see_header, &layout);
    /* behind the last line, its end and the empty line's: four bytes */
    if (is_inside(&layout, version) && layout.at + 4 != layout.end)
        layout.plain = false;
    return layout.plain;
}
