/* decode.c - JPEG and PNG files in memory to RGB pixels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "image/decode.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "base/arena.h"
#include "base/reader.h"
#include "base/size.h"
#include "base/status.h"
#include "image/exif.h"

/* Of a JPEG image as large as the limit; smaller ones may have as many more. Encoders write about
 * ten. */
#define MAX_SCANS 32

enum lq_image_format lq_image_format(const void *bytes, size_t size)
{
    static const uint8_t jpeg[3] = {0xff, 0xd8, 0xff};
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

    if (size >= sizeof(jpeg) && memcmp(bytes, jpeg, sizeof(jpeg)) == 0)
        return LQ_IMAGE_JPEG;
    if (size >= sizeof(png) && memcmp(bytes, png, sizeof(png)) == 0)
        return LQ_IMAGE_PNG;
    return LQ_IMAGE_UNKNOWN;
}

static int fail_side(long long width, long long height, int status, struct lq_error *error)
{
    return lq_fail(error, status, "image of %lld x %lld pixels, a side has 1..%d", width, height,
                   LQ_IMAGE_MAX_SIDE);
}

int lq_image_init(int width, int height, struct lq_image *ret_image, struct lq_error *error)
{
    uint8_t *pixels;

    if (width < 1 || height < 1 || width > LQ_IMAGE_MAX_SIDE || height > LQ_IMAGE_MAX_SIDE)
        return fail_side(width, height, LQ_ERR_INVALID, error);
    pixels = lq_alloc((size_t)width * (size_t)height, 3);
    if (!pixels)
        return lq_fail_memory(error);
    *ret_image = (struct lq_image){width, height, pixels};
    return LQ_OK;
}

void lq_image_deinit(struct lq_image *image)
{
    if (!image)
        return;
    free(image->pixels);
    *image = (struct lq_image){0};
}

static int check_pixels(uint32_t width, uint32_t height, const struct lq_image_limits *limits,
                        struct lq_error *error)
{
    size_t pixels;

    if (width < 1 || height < 1 || width > LQ_IMAGE_MAX_SIDE || height > LQ_IMAGE_MAX_SIDE)
        return fail_side(width, height, LQ_ERR_LIMIT, error);
    if (!lq_size_mul(width, height, &pixels) || pixels > limits->max_pixels)
        return lq_fail(error, LQ_ERR_LIMIT, "image of %u x %u pixels, at most %zu are decoded",
                       width, height, limits->max_pixels);
    return LQ_OK;
}

/* JPEG */

/* Pillow's arithmetic, a * b / 255 rounded, so that both give the same pixels. */
static uint8_t multiply_255(unsigned a, unsigned b)
{
    unsigned product = a * b + 128;

    return (uint8_t)(((product >> 8) + product) >> 8);
}

/* Adobe's CMYK is stored inverted: 255 is no ink. In place: RGB of a pixel never lies beyond it. */
static void cmyk_to_rgb(uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from = pixels + 4 * i;
        uint8_t *to = pixels + 3 * i, black = from[3];

        for (int c = 0; c < 3; c++) {
            uint8_t ink = (uint8_t)(255 - from[c]);

            to[c] = (uint8_t)(black - multiply_255(ink, black));
        }
    }
}

static int fail_jpeg(tjhandle decoder, struct lq_error *error)
{
    const char *reason = tjGetErrorStr2(decoder);
    bool memory = strstr(reason, "emory") != NULL;

    return lq_fail(error, memory ? LQ_ERR_MEMORY : LQ_ERR_FORMAT, "damaged JPEG: %s", reason);
}

static int jpeg_header(tjhandle decoder, const void *bytes, size_t size, struct lq_image *ret_size,
                       int *ret_colorspace, struct lq_error *error)
{
    int width = 0, height = 0, subsampling = -1, colorspace = -1;
    int rc = tjDecompressHeader3(decoder, bytes, size, &width, &height, &subsampling, &colorspace);
    /* An unusual subsampling is no obstacle to decoding into RGB. */
    bool usable = width > 0 && height > 0 && colorspace >= 0 && subsampling < 0 &&
                  tjGetErrorCode(decoder) != TJERR_WARNING;

    if (rc != 0 && !usable)
        return fail_jpeg(decoder, error);
    if (width < 1 || height < 1) /* tables alone are a JPEG file too */
        return lq_fail(error, LQ_ERR_FORMAT, "damaged JPEG: it ends before the picture");
    *ret_size = (struct lq_image){.width = width, .height = height};
    *ret_colorspace = colorspace;
    return LQ_OK;
}

/* Segments are stepped over: a thumbnail inside one has scans of its own. */
static size_t count_scans(const uint8_t *bytes, size_t size)
{
    size_t scans = 0, at = 2;

    while (at + 4 <= size && !(bytes[at] == 0xff && bytes[at + 1] == 0xd9)) {
        uint8_t marker = bytes[at + 1];

        if (bytes[at] != 0xff || marker == 0xff) { /* compressed data, fill bytes */
            at++;
        } else if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) { /* no segment */
            at += 2;
        } else {
            scans += marker == 0xda;
            at += 2 + (size_t)bytes[at + 2] * 256 + bytes[at + 3];
        }
    }
    return scans;
}

/* A scan may be ten bytes and still visit every pixel. */
static int check_scans(const void *bytes, size_t size, const struct lq_image *image,
                       const struct lq_image_limits *limits, struct lq_error *error)
{
    size_t pixels = (size_t)image->width * (size_t)image->height, scans = count_scans(bytes, size);

    if (scans > limits->max_pixels / pixels * MAX_SCANS)
        return lq_fail(error, LQ_ERR_LIMIT,
                       "JPEG of %zu scans of %d x %d pixels, at most %zu are "
                       "decoded",
                       scans, image->width, image->height, limits->max_pixels / pixels * MAX_SCANS);
    return LQ_OK;
}

static int decode_jpeg(const void *bytes, size_t size, const struct lq_image_limits *limits,
                       struct lq_image *ret_image, struct lq_error *error)
{
    /* The transform of Pillow and libjpeg; many scans of one small file are a bomb. */
    const int flags = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS;
    tjhandle decoder = tjInitDecompress();
    struct lq_image image = {0};
    int colorspace = 0, status;

    if (!decoder)
        return lq_fail_memory(error);
    status = jpeg_header(decoder, bytes, size, &image, &colorspace, error);
    if (status == LQ_OK)
        status = check_pixels((uint32_t)image.width, (uint32_t)image.height, limits, error);
    if (status == LQ_OK)
        status = check_scans(bytes, size, &image, limits, error);
    if (status != LQ_OK)
        goto done;
    bool cmyk = colorspace == TJCS_CMYK || colorspace == TJCS_YCCK;
    size_t count = (size_t)image.width * (size_t)image.height;
    image.pixels = lq_alloc(count, cmyk ? 4 : 3);
    if (!image.pixels)
        status = lq_fail_memory(error);
    else if (tjDecompress2(decoder, bytes, size, image.pixels, image.width, 0, image.height,
                           cmyk ? TJPF_CMYK : TJPF_RGB, flags) != 0)
        status = fail_jpeg(decoder, error);
    if (status == LQ_OK) {
        if (cmyk)
            cmyk_to_rgb(image.pixels, count);
        *ret_image = image;
        image.pixels = NULL;
    }
done:
    lq_image_deinit(&image);
    tjDestroy(decoder);
    return status;
}

/* PNG */

/* libpng refuses great sizes as damage, without a number. */
static int check_png_size(const void *bytes, size_t size, const struct lq_image_limits *limits,
                          struct lq_error *error)
{
    struct lq_reader png = {bytes, size, 8};
    const uint8_t *start;
    uint32_t width, height;

    if (!lq_read_bytes(&png, 8, &start) || memcmp(start, "\0\0\0\x0dIHDR", 8) != 0 ||
        !lq_read_u32(&png, true, &width) || !lq_read_u32(&png, true, &height))
        return lq_fail(error, LQ_ERR_FORMAT, "damaged PNG: no header at byte 8");
    return check_pixels(width, height, limits, error);
}

/* libpng stops at the last pixel and never sees that a file ends there; we do. */
static int check_png_chunks(const void *bytes, size_t size, struct lq_error *error)
{
    struct lq_reader png = {bytes, size, 8};
    const uint8_t *type = NULL;
    uint32_t length;
    size_t chunk;

    do {
        chunk = png.offset;
        if (!lq_read_u32(&png, true, &length) || !lq_read_bytes(&png, 4, &type) ||
            !lq_read_skip(&png, length) || !lq_read_skip(&png, 4))
            return lq_fail(error, LQ_ERR_FORMAT, "damaged PNG: it ends in the chunk at byte %zu",
                           chunk);
    } while (memcmp(type, "IEND", 4) != 0);
    return LQ_OK;
}

static int fail_png(const png_image *png, struct lq_error *error)
{
    bool memory = strstr(png->message, "memory") != NULL;

    return lq_fail(error, memory ? LQ_ERR_MEMORY : LQ_ERR_FORMAT, "damaged PNG: %s", png->message);
}

static void drop_alpha(uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++)
        memmove(pixels + 3 * i, pixels + 4 * i, 3);
}

static int decode_png(const void *bytes, size_t size, const struct lq_image_limits *limits,
                      struct lq_image *ret_image, struct lq_error *error)
{
    png_image png = {.version = PNG_IMAGE_VERSION};
    uint8_t *pixels = NULL;
    int status = check_png_size(bytes, size, limits, error);

    if (status == LQ_OK)
        status = check_png_chunks(bytes, size, error);
    if (status != LQ_OK)
        return status;
    if (!png_image_begin_read_from_memory(&png, bytes, size))
        return fail_png(&png, error);
    /* Samples of 16 bits are as non-linear as those of 8 unless the file says otherwise. */
    png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    bool alpha = (png.format & PNG_FORMAT_FLAG_ALPHA) != 0;
    png.format = alpha ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB;
    size_t count = (size_t)png.width * png.height;
    pixels = lq_alloc(count, alpha ? 4 : 3);
    if (!pixels) {
        status = lq_fail_memory(error);
    } else if (!png_image_finish_read(&png, NULL, pixels, 0, NULL)) {
        status = fail_png(&png, error);
        free(pixels);
    } else {
        if (alpha)
            drop_alpha(pixels, count);
        *ret_image = (struct lq_image){(int)png.width, (int)png.height, pixels};
    }
    png_image_free(&png);
    return status;
}

/* Orientation */

/* Every orientation is a mirror at the main diagonal (or none), then mirrors of the axes. */
static const struct {
    bool transpose, flip_x, flip_y;
} orientations[9] = {
    [2] = {false, true, false}, [3] = {false, true, true}, [4] = {false, false, true},
    [5] = {true, false, false}, [6] = {true, true, false}, [7] = {true, true, true},
    [8] = {true, false, true},
};

static int orient(struct lq_image *image, int orientation, struct lq_error *error)
{
    bool transpose = orientations[orientation].transpose;
    bool flip_x = orientations[orientation].flip_x, flip_y = orientations[orientation].flip_y;
    struct lq_image turned = {0};
    int status;

    if (!transpose && !flip_x && !flip_y)
        return LQ_OK;
    status = lq_image_init(transpose ? image->height : image->width,
                           transpose ? image->width : image->height, &turned, error);
    if (status != LQ_OK)
        return status;
    uint8_t *to = turned.pixels;
    for (int y = 0; y < turned.height; y++) {
        int row = flip_y ? turned.height - 1 - y : y;

        for (int x = 0; x < turned.width; x++, to += 3) {
            int column = flip_x ? turned.width - 1 - x : x;
            size_t from = transpose ? (size_t)column * (size_t)image->width + (size_t)row
                                    : (size_t)row * (size_t)image->width + (size_t)column;

            memcpy(to, image->pixels + 3 * from, 3);
        }
    }
    lq_image_deinit(image);
    *image = turned;
    return LQ_OK;
}

int lq_image_decode(const void *bytes, size_t size, const struct lq_image_limits *limits,
                    struct lq_image *ret_image, struct lq_error *error)
{
    const struct lq_image_limits defaults = LQ_IMAGE_LIMITS_DEFAULT;
    enum lq_image_format format = lq_image_format(bytes, size);
    struct lq_image image = {0};
    int orientation = 1, status;

    limits = limits ? limits : &defaults;
    if (format == LQ_IMAGE_UNKNOWN)
        return lq_fail(error, LQ_ERR_FORMAT, "neither a JPEG nor a PNG file");
    if (size > limits->max_bytes)
        return lq_fail(error, LQ_ERR_LIMIT, "image file of %zu bytes, at most %zu are read", size,
                       limits->max_bytes);
    if (format == LQ_IMAGE_JPEG) {
        status = decode_jpeg(bytes, size, limits, &image, error);
        orientation = lq_exif_jpeg_orientation(bytes, size);
    } else {
        status = decode_png(bytes, size, limits, &image, error);
        orientation = lq_exif_png_orientation(bytes, size);
    }
    if (status == LQ_OK)
        status = orient(&image, orientation, error);
    if (status == LQ_OK)
        *ret_image = image;
    else
        lq_image_deinit(&image);
    return status;
}
