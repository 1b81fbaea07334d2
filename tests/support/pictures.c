/* pictures.c - JPEG and PNG files made in memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/pictures.h"

#include <check.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

struct picture picture_jpeg(const uint8_t *pixels, int width, int height, int channels)
{
    const int format = channels == 1 ? TJPF_GRAY : channels == 3 ? TJPF_RGB : TJPF_CMYK;
    const int sampling = channels == 1 ? TJSAMP_GRAY : TJSAMP_444;
    tjhandle encoder = tjInitCompress();
    unsigned char *buffer = NULL;
    unsigned long size = 0;
    struct picture result;

    ck_assert_int_eq(tjCompress2(encoder, pixels, width, 0, height, format, &buffer, &size,
                                 sampling, 100, TJFLAG_ACCURATEDCT),
                     0);
    result = (struct picture){malloc(size), size}; /* of its exact size, for the sanitizers */
    ck_assert_ptr_nonnull(result.bytes);
    memcpy(result.bytes, buffer, size);
    tjFree(buffer);
    tjDestroy(encoder);
    return result;
}

static void append(png_structp png, png_bytep bytes, size_t size)
{
    struct picture *picture = png_get_io_ptr(png);

    picture->bytes = realloc(picture->bytes, picture->size + size);
    ck_assert_ptr_nonnull(picture->bytes);
    memcpy(picture->bytes + picture->size, bytes, size);
    picture->size += size;
}

struct picture picture_png(const uint8_t *rows, int width, int height, int color_type, int bits)
{
    const png_color palette[4] = {{0, 0, 0}, {255, 0, 0}, {0, 255, 0}, {0, 0, 255}};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    struct picture picture = {NULL, 0};

    png_set_write_fn(png, &picture, append, NULL);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, bits, color_type,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (color_type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 4);
    png_write_info(png, info);
    for (int y = 0; y < height; y++)
        png_write_row(png, rows + (size_t)y * png_get_rowbytes(png, info));
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return picture;
}

static struct picture insert(struct picture to, size_t at, const void *bytes, size_t size)
{
    struct picture result = {malloc(to.size + size), to.size + size};

    ck_assert_ptr_nonnull(result.bytes);
    memcpy(result.bytes, to.bytes, at);
    memcpy(result.bytes + at, bytes, size);
    memcpy(result.bytes + at + size, to.bytes + at, to.size - at);
    return result;
}

struct picture picture_with_app1(struct picture jpeg, const void *bytes, size_t size)
{
    uint8_t segment[1024] = {0xff, 0xe1, (uint8_t)((size + 2) >> 8), (uint8_t)(size + 2)};

    ck_assert_uint_le(size, sizeof(segment) - 4);
    memcpy(segment + 4, bytes, size);
    return insert(jpeg, 2, segment, size + 4); /* behind the start of image */
}

struct picture picture_with_exif(struct picture jpeg, int orientation, int big)
{
    uint8_t big_endian[] = {'E', 'x',  'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1,
                            1,   0x12, 0,   3,   0, 0, 0,   1,   0, 9,  0, 0, 0, 0, 0, 0};
    uint8_t little[] = {'E',  'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0,
                        0x12, 1,   3,   0,   1, 0, 0,   0,   9,  0, 0, 0, 0, 0, 0, 0};

    big_endian[25] = little[24] = (uint8_t)orientation;
    return picture_with_app1(jpeg, big ? big_endian : little, sizeof(little));
}

struct picture picture_with_chunk(struct picture png, const char *type, const void *bytes,
                                  size_t size)
{
    uint8_t *chunk = malloc(size + 12);
    uint32_t crc = 0xffffffff;
    struct picture result;

    ck_assert_ptr_nonnull(chunk);
    for (int i = 0; i < 4; i++)
        chunk[i] = (uint8_t)(size >> (24 - 8 * i));
    memcpy(chunk + 4, type, 4);
    memcpy(chunk + 8, bytes, size);
    for (size_t i = 4; i < size + 8; i++) {
        crc ^= chunk[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    for (int i = 0; i < 4; i++)
        chunk[size + 8 + (size_t)i] = (uint8_t)(~crc >> (24 - 8 * i));
    result = insert(png, 8 + 25, chunk, size + 12); /* behind the signature and IHDR */
    free(chunk);
    return result;
}
