/* compress.c - bodies that travel compressed: gzip and deflate (zlib), as HTTP names them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "codec/compress.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#define ZLIB_CONST /* input is only read */
#include <zlib.h>

enum {
    WINDOW_BITS = 15,
    GZIP_FORMAT = 16, /* zlib: added to the window's bits */
    PIECE_BYTES = 16384
};

enum compress_coding compress_from_name(const char *name)
{
    if (!name || !*name || strcasecmp(name, "identity") == 0)
        return COMPRESS_NONE;
    if (strcasecmp(name, "gzip") == 0 || strcasecmp(name, "x-gzip") == 0)
        return COMPRESS_GZIP;
    return strcasecmp(name, "deflate") == 0 ? COMPRESS_DEFLATE : COMPRESS_UNKNOWN;
}

const char *compress_name(enum compress_coding coding)
{
    return coding == COMPRESS_GZIP ? "gzip" : coding == COMPRESS_DEFLATE ? "deflate" : NULL;
}

/* Does an element "gzip;q=0.5" of Accept-Encoding name the coding? *ret_allowed: q is not 0. */
static bool names(const char *element, size_t length, const char *name, bool *ret_allowed)
{
    size_t bare = strcspn(element, "; \t,"), want = strlen(name);
    const char *q = memmem(element, length, "q=", 2);

    if (bare > length)
        bare = length;
    if (bare != want || strncasecmp(element, name, want) != 0)
        return false;
    *ret_allowed = !q || strspn(q + 2, "0.") < strcspn(q + 2, ";, \t");
    return true;
}

/* Is the coding allowed, by its name or by *? */
static bool is_accepted(const char *accept, const char *name)
{
    bool any = false, allowed = false;

    while (*accept) {
        size_t length;

        accept += strspn(accept, " \t,");
        length = strcspn(accept, ",");
        if (names(accept, length, name, &allowed))
            return allowed;
        if (names(accept, length, "*", &allowed))
            any = allowed;
        accept += length;
    }
    return any;
}

enum compress_coding compress_accepted(const char *accept)
{
    if (!accept)
        return COMPRESS_NONE;
    if (is_accepted(accept, "gzip"))
        return COMPRESS_GZIP;
    return is_accepted(accept, "deflate") ? COMPRESS_DEFLATE : COMPRESS_NONE;
}

/* ------------------------------------------------------------------------------------------------
 * Reading
 */

struct compress_reader {
    z_stream stream;
    enum compress_coding coding;
    bool fed, ended, damaged;
    char piece[PIECE_BYTES];
};

struct compress_reader *compress_reader_create(enum compress_coding coding)
{
    struct compress_reader *reader = calloc(1, sizeof(*reader));
    int bits = coding == COMPRESS_GZIP ? WINDOW_BITS + GZIP_FORMAT : WINDOW_BITS;

    if (!reader)
        return NULL;
    reader->coding = coding;
    if (inflateInit2(&reader->stream, bits) != Z_OK) {
        free(reader);
        return NULL;
    }
    return reader;
}

void compress_reader_destroy(struct compress_reader *reader)
{
    if (!reader)
        return;
    inflateEnd(&reader->stream);
    free(reader);
}

bool compress_reader_feed(struct compress_reader *reader, const char *bytes, size_t size,
                          compress_sink *sink, void *context)
{
    z_stream *stream = &reader->stream;
    int code = Z_OK;

    reader->fed = true;
    stream->next_in = (const Bytef *)bytes;
    stream->avail_in = (uInt)size;
    while (stream->avail_in > 0 || (code == Z_OK && stream->avail_out == 0)) {
        if (reader->ended) { /* and there is more */
            reader->damaged = reader->coding != COMPRESS_GZIP || inflateReset(stream) != Z_OK;
            if (reader->damaged)
                return false;
            reader->ended = false;
        }
        stream->next_out = (Bytef *)reader->piece;
        stream->avail_out = PIECE_BYTES;
        code = inflate(stream, Z_NO_FLUSH);
        reader->ended = code == Z_STREAM_END;
        reader->damaged = code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR;
        if (reader->damaged)
            return false;
        if (!sink(context, reader->piece, PIECE_BYTES - stream->avail_out))
            return false;
        if (code == Z_BUF_ERROR)
            break;
    }
    return true;
}

bool compress_reader_damaged(const struct compress_reader *reader)
{
    return reader->damaged;
}

bool compress_reader_ended(const struct compress_reader *reader)
{
    return reader->ended || !reader->fed;
}

/* ------------------------------------------------------------------------------------------------
 * Writing
 */

bool compress_text(struct text *text, enum compress_coding coding)
{
    z_stream stream = {0};
    int bits = coding == COMPRESS_GZIP ? WINDOW_BITS + GZIP_FORMAT : WINDOW_BITS, code;
    char *bytes;

    if (text->failed || text->length == 0 || !compress_name(coding))
        return false;
    bytes = malloc(text->length);
    if (!bytes || deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, bits, MAX_MEM_LEVEL - 1,
                               Z_DEFAULT_STRATEGY) != Z_OK) {
        free(bytes);
        return false;
    }
    stream.next_in = (const Bytef *)text->bytes;
    stream.avail_in = (uInt)text->length;
    stream.next_out = (Bytef *)bytes;
    stream.avail_out = (uInt)text->length; /* no room: it would not be shorter */
    code = text->length == stream.avail_in ? deflate(&stream, Z_FINISH) : Z_OK;
    deflateEnd(&stream);
    if (code != Z_STREAM_END) {
        free(bytes);
        return false;
    }
    free(text->bytes);
    *text = (struct text){.bytes = bytes, .length = stream.total_out, .capacity = text->length};
    return true;
}
