/* image_forge.h - makes JPEG and PNG files byte by byte, right ones and lying ones.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * PNG files are put together here without libpng and zlib, so that any number in them can lie.
 */
#ifndef TESTS_SUPPORT_IMAGE_FORGE_H
#define TESTS_SUPPORT_IMAGE_FORGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Grows by exactly what is added, so that sanitizers see a step beyond its end. Start from {0};
 * freed with blob_free. */
struct blob {
    uint8_t *bytes;
    size_t size;
};
void blob_add(struct blob *blob, const void *bytes, size_t size);
/* The `count` low bytes of value. */
void blob_number(struct blob *blob, uint64_t value, int count, bool big_endian);
/* A piece of it as a blob of its own. */
struct blob blob_copy(const struct blob *blob, size_t from, size_t size);
/* Puts bytes before the byte at `at`. */
void blob_insert(struct blob *blob, size_t at, const void *bytes, size_t size);
void blob_free(struct blob *blob);
bool blob_write(const struct blob *blob, const char *path);

/* zlib streams: stored as they are; `count` zeros, 258 of them in 13 bits. */
struct blob zlib_stored(const void *bytes, size_t size);
struct blob zlib_zeros(size_t count);

enum png_color {
    PNG_GREY = 0,
    PNG_RGB = 2,
    PNG_PALETTED = 3,
    PNG_GREY_ALPHA = 4,
    PNG_RGB_ALPHA = 6
};

/* Signature and IHDR. */
struct blob png_begin(uint32_t width, uint32_t height, int depth, enum png_color color);
/* Length, type, payload and the right CRC. */
void png_chunk(struct blob *png, const char *type, const void *payload, size_t size);
/* IDAT of packed rows, none of them filtered. */
void png_rows(struct blob *png, const uint8_t *rows, size_t row_bytes, int height);
/* A whole file of 8-bit RGB pixels; one more chunk before the pixels where extra_type is given. */
struct blob png_file(const uint8_t *rgb, int width, int height, const char *extra_type,
                     const struct blob *extra);
/* Renews the CRC of the chunk that starts at `chunk`. */
void png_seal(struct blob *png, size_t chunk);

/* `format` and `subsampling` are TurboJPEG's numbers, `pixels` are packed rows; quality 100. */
struct blob jpeg_file(const uint8_t *pixels, int width, int height, int format, int subsampling);
/* A segment right behind the start of the file. */
void jpeg_insert(struct blob *jpeg, uint8_t marker, const void *payload, size_t size);
/* Where the segment with this marker starts (at its 0xff); SIZE_MAX if there is none. */
size_t jpeg_find(const struct blob *jpeg, uint8_t marker);

/* A TIFF file of a directory with one entry: the orientation. */
struct blob exif_tiff(bool big_endian, int orientation);
/* jpeg_insert of such bytes as an APP1 segment. */
void jpeg_insert_exif(struct blob *jpeg, const struct blob *tiff);

#endif
