/* test_image.c - JPEG and PNG to the network's input: every kind of pixel, every hostile file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/exif.h"
#include "image/preprocess.h"
#include "support/pictures.h"

static struct lq_image decode(struct picture picture)
{
    struct lq_image image = {0};
    struct lq_error error = {0};

    ck_assert_msg(lq_image_decode(picture.bytes, picture.size, NULL, &image, &error) == LQ_OK, "%s",
                  error.text);
    return image;
}

static void expect_pixel(const struct lq_image *image, int x, int y, int tolerance, int red,
                         int green, int blue)
{
    const uint8_t *pixel = image->pixels + 3 * (y * image->width + x);

    ck_assert_msg(abs(pixel[0] - red) <= tolerance && abs(pixel[1] - green) <= tolerance &&
                      abs(pixel[2] - blue) <= tolerance,
                  "pixel %d,%d is %d %d %d, not %d %d %d", x, y, pixel[0], pixel[1], pixel[2], red,
                  green, blue);
}

static void expect_refused(const void *bytes, size_t size, const struct lq_image_limits *limits,
                           int status, const char *message)
{
    struct lq_image image = {0};
    struct lq_error error = {0};
    int got = lq_image_decode(bytes, size, limits, &image, &error);

    ck_assert_msg(got == status && strstr(error.text, message), "%zu bytes: %d (expected %d) %s",
                  size, got, status, error.text);
    ck_assert_ptr_null(image.pixels);
}

/* ------------------------------------------------------------------------------------------------
 * Kinds of pixels
 */

START_TEST(jpeg_colours)
{
    uint8_t rgb[8 * 8 * 3], grey[8 * 8], cmyk[8 * 8 * 4];
    struct picture pictures[3];

    for (int i = 0; i < 64; i++) {
        memcpy(rgb + 3 * i, (const uint8_t[]){200, 100, 50}, 3);
        grey[i] = 77;
        memcpy(cmyk + 4 * i, (const uint8_t[]){255, 128, 0, 200}, 4); /* as stored: 255: no ink */
    }
    pictures[0] = picture_jpeg(rgb, 8, 8, 3);
    pictures[1] = picture_jpeg(grey, 8, 8, 1);
    pictures[2] = picture_jpeg(cmyk, 8, 8, 4);
    const int expected[3][3] = {{200, 100, 50}, {77, 77, 77}, {200, 100, 0}};
    for (int i = 0; i < 3; i++) {
        struct lq_image image = decode(pictures[i]);

        ck_assert_int_eq(image.width, 8);
        ck_assert_int_eq(image.height, 8);
        expect_pixel(&image, 0, 0, 2, expected[i][0], expected[i][1], expected[i][2]);
        expect_pixel(&image, 7, 7, 2, expected[i][0], expected[i][1], expected[i][2]);
        lq_image_deinit(&image);
        free(pictures[i].bytes);
    }
}
END_TEST

/* Two pixels of each kind. */
START_TEST(png_colours)
{
    static const struct {
        int type, bits;
        uint8_t row[16];
        int expected[2][3];
    } cases[] = {
        {PNG_COLOR_TYPE_RGB, 8, {1, 2, 3, 250, 251, 252}, {{1, 2, 3}, {250, 251, 252}}},
        {PNG_COLOR_TYPE_RGBA, 8, {1, 2, 3, 0, 250, 251, 252, 9}, {{1, 2, 3}, {250, 251, 252}}},
        {PNG_COLOR_TYPE_GRAY, 8, {7, 200}, {{7, 7, 7}, {200, 200, 200}}},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 8, {7, 255, 200, 128}, {{7, 7, 7}, {200, 200, 200}}},
        {PNG_COLOR_TYPE_GRAY, 1, {0x40}, {{0, 0, 0}, {255, 255, 255}}},
        {PNG_COLOR_TYPE_GRAY, 2, {0x60}, {{85, 85, 85}, {170, 170, 170}}},
        {PNG_COLOR_TYPE_GRAY, 4, {0x1e}, {{17, 17, 17}, {238, 238, 238}}},
        {PNG_COLOR_TYPE_PALETTE, 2, {0x60}, {{255, 0, 0}, {0, 255, 0}}},
        {PNG_COLOR_TYPE_PALETTE, 8, {3, 0}, {{0, 0, 255}, {0, 0, 0}}},
        {PNG_COLOR_TYPE_GRAY, 16, {0x12, 0x12, 0xff, 0xff}, {{18, 18, 18}, {255, 255, 255}}},
        {PNG_COLOR_TYPE_RGB,
         16,
         {1, 1, 2, 2, 3, 3, 0xfa, 0xfa, 0xfb, 0xfb, 0xfc, 0xfc},
         {{1, 2, 3}, {250, 251, 252}}},
        {PNG_COLOR_TYPE_RGBA,
         16,
         {1, 1, 2, 2, 3, 3, 0xff, 0xff, 0xfa, 0xfa, 0xfb, 0xfb, 0xfc, 0xfc, 0xff, 0xff},
         {{1, 2, 3}, {250, 251, 252}}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct picture picture = picture_png(cases[i].row, 2, 1, cases[i].type, cases[i].bits);
        struct lq_image image = decode(picture);

        ck_assert_int_eq(image.width, 2);
        for (int x = 0; x < 2; x++)
            expect_pixel(&image, x, 0, 0, cases[i].expected[x][0], cases[i].expected[x][1],
                         cases[i].expected[x][2]);
        lq_image_deinit(&image);
        free(picture.bytes);
    }
}
END_TEST

/* A picture of 16 x 8: red top left, green top right, blue bottom left, white bottom right; where
 * each corner of the upright picture comes from, by orientation. */
START_TEST(orientations)
{
    enum { R, G, B, W };
    static const int colours[4][3] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 255}};
    static const int corners[9][4] = {/* top left, top right, bottom left, bottom right */
                                      {0},          {R, G, B, W}, {G, R, W, B},
                                      {W, B, G, R}, {B, W, R, G}, {R, B, G, W},
                                      {B, R, W, G}, {W, G, B, R}, {G, W, R, B}};
    uint8_t pixels[8 * 16 * 3];

    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 16; x++)
            for (int c = 0; c < 3; c++)
                pixels[3 * (16 * y + x) + c] = (uint8_t)colours[y / 4 * 2 + x / 8][c];
    struct picture jpeg = picture_jpeg(pixels, 16, 8, 3);
    struct picture png = picture_png(pixels, 16, 8, PNG_COLOR_TYPE_RGB, 8);
    for (int i = 0; i < 8 * 3; i++) {
        int orientation = i / 3 + 1;
        uint8_t tiff[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3,
                          0,   1,   0,  0, 0, 0, 0, 0, 0, 0, 0,    0, 0};
        tiff[18] = (uint8_t)orientation;
        struct picture turned = i % 3 == 2 ? picture_with_chunk(png, "eXIf", tiff, sizeof(tiff))
                                           : picture_with_exif(jpeg, orientation, i % 3);
        struct lq_image image = decode(turned);
        int right = image.width - 1, bottom = image.height - 1;

        ck_assert_int_eq(image.width, orientation > 4 ? 8 : 16);
        for (int corner = 0; corner < 4; corner++) {
            const int *colour = colours[corners[orientation][corner]];

            expect_pixel(&image, corner % 2 * right, corner / 2 * bottom, 3, colour[0], colour[1],
                         colour[2]);
        }
        lq_image_deinit(&image);
        free(turned.bytes);
    }
    free(jpeg.bytes);
    free(png.bytes);
}
END_TEST

/* EXIF that lies changes nothing, and nothing is read beyond it: cut anywhere, every byte changed.
 */
START_TEST(hostile_exif)
{
    uint8_t pixels[8 * 8 * 3] = {0};
    struct picture jpeg = picture_jpeg(pixels, 8, 8, 3), whole = picture_with_exif(jpeg, 6, 0);

    ck_assert_int_eq(lq_exif_jpeg_orientation(whole.bytes, whole.size), 6);
    for (size_t size = 0; size < 38; size++) {
        uint8_t *cut = malloc(size ? size : 1);

        memcpy(cut, whole.bytes, size);
        ck_assert_int_eq(lq_exif_jpeg_orientation(cut, size), size < 38 ? 1 : 6);
        ck_assert_int_eq(lq_exif_png_orientation(cut, size), 1);
        free(cut);
    }
    for (size_t at = 4; at < 38; at++)
        for (int value = 0; value < 256; value++) {
            uint8_t kept = whole.bytes[at];

            whole.bytes[at] = (uint8_t)value;
            int orientation = lq_exif_jpeg_orientation(whole.bytes, whole.size);
            ck_assert(orientation >= 1 && orientation <= 8);
            whole.bytes[at] = kept;
        }
    free(whole.bytes);
    free(jpeg.bytes);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Hostile files
 */

static struct picture noise(int jpeg)
{
    uint8_t pixels[16 * 16 * 3];

    for (size_t i = 0; i < sizeof(pixels); i++)
        pixels[i] = (uint8_t)rand();
    return jpeg ? picture_jpeg(pixels, 16, 16, 3)
                : picture_png(pixels, 16, 16, PNG_COLOR_TYPE_RGB, 8);
}

/* The last two bytes of a JPEG are its end marker, which tells no pixel: all else is missed. */
START_TEST(cut_at_every_length)
{
    struct picture picture = noise(_i);

    for (size_t size = 0; size < picture.size - (_i ? 2 : 0); size++) {
        struct lq_image image = {0};
        struct lq_error error = {0};
        uint8_t *cut = malloc(size ? size : 1);

        memcpy(cut, picture.bytes, size);
        ck_assert_msg(lq_image_decode(cut, size, NULL, &image, &error) == LQ_ERR_FORMAT &&
                          error.text[0],
                      "%zu of %zu bytes: %s", size, picture.size, error.text);
        free(cut);
    }
    free(picture.bytes);
}
END_TEST

START_TEST(bits_flipped)
{
    const struct lq_image_limits limits = {1 << 20, 1 << 20};
    struct picture picture = noise(_i);

    for (size_t at = 0; at < picture.size * 8; at++) {
        struct lq_image image = {0};
        struct lq_error error = {0};

        picture.bytes[at / 8] ^= (uint8_t)(1u << at % 8);
        if (lq_image_decode(picture.bytes, picture.size, &limits, &image, &error) == LQ_OK)
            ck_assert_ptr_nonnull(image.pixels);
        else
            ck_assert_msg(error.text[0], "bit %zu", at);
        lq_image_deinit(&image);
        picture.bytes[at / 8] ^= (uint8_t)(1u << at % 8);
    }
    free(picture.bytes);
}
END_TEST

START_TEST(bombs)
{
    const struct lq_image_limits few = {1 << 20, 255}, small = {100, 1 << 20};
    struct picture jpeg = noise(1), png = noise(0);
    uint8_t *sof = memmem(jpeg.bytes, jpeg.size, "\xff\xc0", 2);

    expect_refused(jpeg.bytes, jpeg.size, &few, LQ_ERR_LIMIT, "16 x 16 pixels, at most 255");
    expect_refused(png.bytes, png.size, &few, LQ_ERR_LIMIT, "16 x 16 pixels, at most 255");
    expect_refused(jpeg.bytes, jpeg.size, &small, LQ_ERR_LIMIT, "bytes, at most 100 are read");
    /* headers that say 65535 x 65535, and 2^31 - 1 wide */
    ck_assert_ptr_nonnull(sof);
    memset(sof + 5, 0xff, 4);
    expect_refused(jpeg.bytes, jpeg.size, NULL, LQ_ERR_FORMAT, "damaged JPEG: Maximum supported");
    memset(sof + 5, 0xf0, 4);
    expect_refused(jpeg.bytes, jpeg.size, NULL, LQ_ERR_LIMIT, "61680 x 61680 pixels, at most");
    memset(sof + 5, 0, 2);
    expect_refused(jpeg.bytes, jpeg.size, NULL, LQ_ERR_FORMAT, "damaged JPEG");
    struct picture wide = picture_with_chunk(png, "tEXt", "a", 1);
    memcpy(wide.bytes + 16, "\x7f\xff\xff\xff", 4);
    expect_refused(wide.bytes, wide.size, NULL, LQ_ERR_FORMAT, "damaged PNG");
    free(wide.bytes);
    free(jpeg.bytes);
    free(png.bytes);
}
END_TEST

/* A chunk of text or profile that unpacks to gigabytes is not unpacked: decoding stays small. */
START_TEST(png_chunks)
{
    struct picture png = noise(0);
    static uint8_t zeros[1 << 20];
    const char *const types[] = {"zTXt", "iCCP", "tEXt", "eXIf"};

    memcpy(zeros, "name\0\0", 6);
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        struct picture more = picture_with_chunk(png, types[i], zeros, sizeof(zeros));
        struct lq_image image = {0};
        struct lq_error error = {0};

        if (lq_image_decode(more.bytes, more.size, NULL, &image, &error) == LQ_OK)
            ck_assert_int_eq(image.width, 16);
        else
            ck_assert_int_eq(error.status, LQ_ERR_FORMAT);
        lq_image_deinit(&image);
        free(more.bytes);
    }
    memcpy(png.bytes + 8, "\xff\xff\xff\xff", 4);
    expect_refused(png.bytes, png.size, NULL, LQ_ERR_FORMAT,
                   "damaged PNG: it ends in the chunk at byte 8");
    free(png.bytes);
}
END_TEST

START_TEST(no_pictures)
{
    expect_refused("", 0, NULL, LQ_ERR_FORMAT, "neither a JPEG nor a PNG file");
    expect_refused("GIF89a", 6, NULL, LQ_ERR_FORMAT, "neither a JPEG nor a PNG file");
    expect_refused("\xff\xd8", 2, NULL, LQ_ERR_FORMAT, "neither a JPEG nor a PNG file");
    expect_refused("\xff\xd8\xff", 3, NULL, LQ_ERR_FORMAT, "damaged JPEG");
    expect_refused("\x89PNG\r\n\x1a\n", 8, NULL, LQ_ERR_FORMAT, "damaged PNG");
    ck_assert_int_eq(lq_image_format("\xff\xd8\xff", 3), LQ_IMAGE_JPEG);
    ck_assert_int_eq(lq_image_format("\x89PNG\r\n\x1a\n", 8), LQ_IMAGE_PNG);
    ck_assert_int_eq(lq_image_format("", 0), LQ_IMAGE_UNKNOWN);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * To the network's input
 */

/* tests/golden/resize.py made these with Pillow. */
static const struct {
    int width, height, to_width, to_height;
    uint8_t pixels[64];
} resized[] = {
#include "golden/resize.inc"
};

static struct lq_image formula(int width, int height)
{
    struct lq_image image = {0};

    ck_assert_int_eq(lq_image_init(width, height, &image, NULL), LQ_OK);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                image.pixels[3 * (y * width + x) + c] =
                    (uint8_t)(x * 37 + y * 101 + c * 59 + x * y * 13);
    return image;
}

START_TEST(resize_as_pillow)
{
    for (size_t i = 0; i < sizeof(resized) / sizeof(*resized); i++) {
        struct lq_preprocess preprocess = {.width = resized[i].to_width,
                                           .height = resized[i].to_height};
        struct lq_image image = formula(resized[i].width, resized[i].height), fitted = {0};

        ck_assert_int_eq(lq_preprocess_fit(&preprocess, &image, &fitted, NULL), LQ_OK);
        ck_assert_int_eq(fitted.width, resized[i].to_width);
        ck_assert_mem_eq(fitted.pixels, resized[i].pixels,
                         (size_t)(3 * fitted.width * fitted.height));
        lq_image_deinit(&fitted);
        lq_image_deinit(&image);
    }
}
END_TEST

/* Nothing is resized where the shorter side has its size: the crop is a copy of the middle. */
START_TEST(crop_of_the_middle)
{
    struct lq_preprocess preprocess = {.width = 4, .height = 4, .resize = 6};
    struct lq_image image = formula(11, 6), fitted = {0};

    ck_assert_int_eq(lq_preprocess_fit(&preprocess, &image, &fitted, NULL), LQ_OK);
    for (int y = 0; y < 4; y++) /* (11 - 4) / 2 = 3.5: the even neighbour, 4 */
        ck_assert_mem_eq(fitted.pixels + 12 * y, image.pixels + 3 * (11 * (y + 1) + 4), 12);
    lq_image_deinit(&fitted);
    lq_image_deinit(&image);
}
END_TEST

/* Extreme shapes, and shapes smaller than the cut. */
START_TEST(every_size_fits)
{
    static const int sides[] = {1, 2, 3, 31, 33, 500};
    enum { SIDES = sizeof(sides) / sizeof(*sides) };

    for (int i = 0; i < SIDES * SIDES * 2; i++) {
        struct lq_preprocess preprocess = {.width = 32, .height = 32, .resize = i % 2 ? 40 : 0};
        struct lq_image image = formula(sides[i / 2 % SIDES], sides[i / 2 / SIDES]), fitted = {0};

        ck_assert_int_eq(lq_preprocess_fit(&preprocess, &image, &fitted, NULL), LQ_OK);
        ck_assert(fitted.width == 32 && fitted.height == 32);
        lq_image_deinit(&fitted);
        lq_image_deinit(&image);
    }
    struct lq_preprocess huge = {.width = 32, .height = 32, .resize = 65536};
    struct lq_image narrow = formula(1, 60000), fitted = {0};
    struct lq_error error = {0};
    ck_assert_int_eq(lq_preprocess_fit(&huge, &narrow, &fitted, &error), LQ_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "1 x 60000"));
    lq_image_deinit(&narrow);
    ck_assert_int_eq(
        lq_preprocess_fit(&(struct lq_preprocess){.width = 0, .height = 3}, &narrow, &fitted, NULL),
        LQ_ERR_INVALID);
}
END_TEST

START_TEST(normalise)
{
    struct lq_preprocess preprocess = {
        .width = 2, .height = 1, .scale = 0.5f, .mean = {10, 20, 30}, .std = {2, 4, 8}};
    uint8_t pixels[6] = {100, 40, 60, 0, 255, 70};
    struct lq_image image = {2, 1, pixels};
    float rgb[6], grey[2];
    const float expected[6] = {20, 0, 0, -5, 26.875f, 0.625f};
    struct lq_error error = {0};

    ck_assert_int_eq(lq_preprocess_run(&preprocess, 3, &image, rgb, NULL), LQ_OK);
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(rgb[i], expected[i]);
    /* luma .299 R + .587 G + .114 B: 60.22 -> 60, 157.67 -> 158 */
    ck_assert_int_eq(lq_preprocess_run(&preprocess, 1, &image, grey, NULL), LQ_OK);
    ck_assert_float_eq(grey[0], 10);
    ck_assert_float_eq(grey[1], 34.5f);
    ck_assert_int_eq(lq_preprocess_run(&preprocess, 2, &image, rgb, &error), LQ_ERR_UNSUPPORTED);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("image");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, jpeg_colours);
    tcase_add_test(tests, png_colours);
    tcase_add_test(tests, orientations);
    tcase_add_test(tests, hostile_exif);
    tcase_add_loop_test(tests, cut_at_every_length, 0, 2);
    tcase_add_loop_test(tests, bits_flipped, 0, 2);
    tcase_add_test(tests, bombs);
    tcase_add_test(tests, png_chunks);
    tcase_add_test(tests, no_pictures);
    tcase_add_test(tests, resize_as_pillow);
    tcase_add_test(tests, crop_of_the_middle);
    tcase_add_test(tests, every_size_fits);
    tcase_add_test(tests, normalise);
    return suite_main("image", tests);
}
