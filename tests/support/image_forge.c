/* image_forge.c - makes JPEG and PNG files byte by byte, right ones and lying ones.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/image_forge.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

void blob_add(struct blob *blob, const void *bytes, size_t size)
{
    blob_insert(blob, blob->size, bytes, size);
}

void blob_number(struct blob *blob, uint64_t value, int count, bool big_endian)
{
    uint8_t bytes[8];

    for (int i = 0; i < count; i++)
        bytes[big_endian ? count - 1 - i : i] = (uint8_t)(value >> 8 * i);
    blob_add(blob, bytes, (size_t)count);
}

struct blob blob_copy(const struct blob *blob, size_t from, size_t size)
{
    struct blob copy = {malloc(size), size};

    ck_assert(copy.bytes && from <= blob->size && size <= blob->size - from);
    memcpy(copy.bytes, blob->bytes + from, size);
    return copy;
}

void blob_insert(struct blob *blob, size_t at, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    blob->bytes = realloc(blob->bytes, blob->size + size);
    ck_assert_ptr_nonnull(blob->bytes);
    memmove(blob->bytes + at + size, blob->bytes + at, blob->size - at);
    memcpy(blob->bytes + at, bytes, size);
    blob->size += size;
}

void blob_free(struct blob *blob)
{
    free(blob->bytes);
    *blob = (struct blob){0};
}

bool blob_write(const struct blob *blob, const char *path)
{
    FILE *file = fopen(path, "wb");
    bool written =
        file && (blob->size == 0 || fwrite(blob->bytes, 1, blob->size, file) == blob->size);

    return file && fclose(file) == 0 && written;
}

/* ------------------------------------------------------------------------------------------------
 * zlib (RFC 1950, 1951)
 */

static void add_adler32(struct blob *stream, const uint8_t *bytes, size_t size)
{
    uint32_t a = 1, b = 0;

    for (size_t i = 0; i < size; i++) {
        a = (a + bytes[i]) % 65521;
        b = (b + a) % 65521;
    }
    blob_number(stream, b << 16 | a, 4, true);
}

struct blob zlib_stored(const void *bytes, size_t size)
{
    struct blob stream = {0};
    size_t done = 0;

    blob_number(&stream, 0x7801, 2, true); /* deflate, window of 32 KiB */
    do {
        size_t part = size - done < 65535 ? size - done : 65535;

        blob_number(&stream, done + part == size, 1, false); /* the last block? */
        blob_number(&stream, part, 2, false);
        blob_number(&stream, ~part, 2, false);
        blob_add(&stream, (const uint8_t *)bytes + done, part);
        done += part;
    } while (done < size);
    add_adler32(&stream, bytes, size);
    return stream;
}

/* Low bits of `bits` first. */
static void put_bits(struct blob *to, size_t *bit, uint32_t bits, int count)
{
    for (int i = 0; i < count; i++, ++*bit)
        to->bytes[*bit / 8] |= (uint8_t)((bits >> i & 1) << *bit % 8);
}

/* One block of fixed codes: a zero, then copies of 258 bytes from one byte before, then zeros. The
 * codes are written here with their bits in the order in which they are stored. */
struct blob zlib_zeros(size_t count)
{
    size_t copies = (count - 1) / 258, singles = 1 + (count - 1) % 258;
    size_t bits = 3 + 13 * copies + 8 * singles + 7, bit = 16;
    struct blob stream = {calloc(1, 2 + (bits + 7) / 8), 2 + (bits + 7) / 8};

    ck_assert(stream.bytes && count > 0);
    memcpy(stream.bytes, "\x78\x01", 2);
    put_bits(&stream, &bit, 3, 3);    /* last block, fixed codes */
    put_bits(&stream, &bit, 0x0c, 8); /* 0: 00110000 */
    for (size_t i = 0; i < copies; i++)
        put_bits(&stream, &bit, 0xa3, 13); /* length 258: 11000101; distance 1: 00000 */
    for (size_t i = 1; i < singles; i++)
        put_bits(&stream, &bit, 0x0c, 8);
    put_bits(&stream, &bit, 0, 7);                                      /* end: 0000000 */
    blob_number(&stream, (uint64_t)(count % 65521) << 16 | 1, 4, true); /* Adler-32 of zeros */
    return stream;
}

/* ------------------------------------------------------------------------------------------------
 * PNG
 */

static uint32_t crc32_of(const uint8_t *bytes, size_t size)
{
    uint32_t crc = ~UINT32_C(0);

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    return ~crc;
}

void png_chunk(struct blob *png, const char *type, const void *payload, size_t size)
{
    size_t start = png->size;

    blob_number(png, size, 4, true);
    blob_add(png, type, 4);
    blob_add(png, payload, size);
    blob_number(png, crc32_of(png->bytes + start + 4, size + 4), 4, true);
}

void png_seal(struct blob *png, size_t chunk)
{
    const uint8_t *length = png->bytes + chunk;
    size_t size = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 |
                  (size_t)length[3];
    uint32_t crc = crc32_of(png->bytes + chunk + 4, size + 4);

    for (int i = 0; i < 4; i++)
        png->bytes[chunk + 8 + size + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
}

struct blob png_begin(uint32_t width, uint32_t height, int depth, enum png_color color)
{
    struct blob png = {0}, header = {0};

    blob_add(&png, "\x89PNG\r\n\x1a\n", 8);
    blob_number(&header, width, 4, true);
    blob_number(&header, height, 4, true);
    blob_number(&header, (uint64_t)depth, 1, true);
    blob_number(&header, color, 1, true);
    blob_number(&header, 0, 3, true); /* deflate, the usual filters, not interlaced */
    png_chunk(&png, "IHDR", header.bytes, header.size);
    blob_free(&header);
    return png;
}

void png_rows(struct blob *png, const uint8_t *rows, size_t row_bytes, int height)
{
    struct blob filtered = {0}, stream;

    for (int y = 0; y < height; y++) {
        blob_number(&filtered, 0, 1, false);
        blob_add(&filtered, rows + (size_t)y * row_bytes, row_bytes);
    }
    stream = zlib_stored(filtered.bytes, filtered.size);
    png_chunk(png, "IDAT", stream.bytes, stream.size);
    blob_free(&stream);
    blob_free(&filtered);
}

struct blob png_file(const uint8_t *rgb, int width, int height, const char *extra_type,
                     const struct blob *extra)
{
    struct blob png = png_begin((uint32_t)width, (uint32_t)height, 8, PNG_RGB);

    if (extra_type)
        png_chunk(&png, extra_type, extra->bytes, extra->size);
    png_rows(&png, rgb, 3 * (size_t)width, height);
    png_chunk(&png, "IEND", NULL, 0);
    return png;
}

/* ------------------------------------------------------------------------------------------------
 * JPEG and EXIF
 */

struct blob jpeg_file(const uint8_t *pixels, int width, int height, int format, int subsampling)
{
    tjhandle encoder = tjInitCompress();
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    struct blob jpeg = {0};

    ck_assert_ptr_nonnull(encoder);
    ck_assert_msg(tjCompress2(encoder, pixels, width, 0, height, format, &bytes, &size, subsampling,
                              100, TJFLAG_ACCURATEDCT) == 0,
                  "%s", tjGetErrorStr2(encoder));
    blob_add(&jpeg, bytes, size);
    tjFree(bytes);
    tjDestroy(encoder);
    return jpeg;
}

void jpeg_insert(struct blob *jpeg, uint8_t marker, const void *payload, size_t size)
{
    struct blob segment = {0};

    blob_number(&segment, 0xff00u | marker, 2, true);
    blob_number(&segment, size + 2, 2, true);
    blob_add(&segment, payload, size);
    blob_insert(jpeg, 2, segment.bytes, segment.size);
    blob_free(&segment);
}

size_t jpeg_find(const struct blob *jpeg, uint8_t marker)
{
    for (size_t at = 2; at + 4 <= jpeg->size && jpeg->bytes[at] == 0xff;) {
        if (jpeg->bytes[at + 1] == marker)
            return at;
        at += 2 + (size_t)jpeg->bytes[at + 2] * 256 + jpeg->bytes[at + 3];
    }
    return SIZE_MAX;
}

struct blob exif_tiff(bool big_endian, int orientation)
{
    struct blob tiff = {0};

    blob_add(&tiff, big_endian ? "MM" : "II", 2);
    blob_number(&tiff, 42, 2, big_endian);
    blob_number(&tiff, 8, 4, big_endian);      /* the directory starts here */
    blob_number(&tiff, 1, 2, big_endian);      /* entries */
    blob_number(&tiff, 0x0112, 2, big_endian); /* orientation */
    blob_number(&tiff, 3, 2, big_endian);      /* unsigned short */
    blob_number(&tiff, 1, 4, big_endian);      /* values */
    blob_number(&tiff, (uint64_t)orientation, 2, big_endian);
    blob_number(&tiff, 0, 2, big_endian);
    blob_number(&tiff, 0, 4, big_endian); /* no further directory */
    return tiff;
}

void jpeg_insert_exif(struct blob *jpeg, const struct blob *tiff)
{
    struct blob payload = {0};

    blob_add(&payload, "Exif\0", 6);
    blob_add(&payload, tiff->bytes, tiff->size);
    jpeg_insert(jpeg, 0xe1, payload.bytes, payload.size);
    blob_free(&payload);
}
