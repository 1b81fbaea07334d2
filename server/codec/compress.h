/* compress.h - bodies that travel compressed: gzip and deflate (zlib), as HTTP names them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_COMPRESS_H
#define SERVER_COMPRESS_H

#include "codec/text.h"

enum compress_coding { COMPRESS_NONE, COMPRESS_GZIP, COMPRESS_DEFLATE, COMPRESS_UNKNOWN };

/* Of a Content-Encoding (NULL, "" and "identity": none; "x-gzip" is gzip; several: unknown). */
enum compress_coding compress_from_name(const char *name);
/* "gzip", "deflate"; NULL for the others. */
const char *compress_name(enum compress_coding coding);
/* The better of the codings that an Accept-Encoding allows; NULL: it was not sent. A coding with
 * q=0 is refused, and identity never needs to be allowed. */
enum compress_coding compress_accepted(const char *accept);

/* Takes a compressed body piece by piece. */
struct compress_reader;
/* NULL: out of memory. */
struct compress_reader *compress_reader_create(enum compress_coding coding);
void compress_reader_destroy(struct compress_reader *reader);
/* Called with each piece of what comes out; false: it wants no more. */
typedef bool compress_sink(void *context, const char *bytes, size_t size);
/* False: the sink wanted no more, or the data are damaged (compress_reader_damaged). What follows
 * the end of a gzip member is another one; what follows the end of a zlib stream is damage. */
bool compress_reader_feed(struct compress_reader *reader, const char *bytes, size_t size,
                          compress_sink *sink, void *context);
bool compress_reader_damaged(const struct compress_reader *reader);
/* Has the end of the stream been seen? Of nothing at all, too. */
bool compress_reader_ended(const struct compress_reader *reader);

/* Replaces the text by its compressed form if that is shorter; false: the text is as it was. */
bool compress_text(struct text *text, enum compress_coding coding);

#endif
