/* test_preprocess.c - resizing is Pillow's to the bit; cropping, normalising, channel order.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden/resize.h"
#include "image/preprocess.h"
#include "support/suite.h"

static struct lq_image new_image(int width, int height)
{
    struct lq_image image = {0};

    ck_assert_int_eq(lq_image_init(width, height, &image, NULL), LQ_OK);
    return image;
}

/* The image of the golden values, see resize.h. */
static struct lq_image golden_image(int width, int height)
{
    struct lq_image image = new_image(width, height);
    uint8_t *to = image.pixels;

    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                *to++ = (uint8_t)(7 * x * x + 13 * y * (c + 1) + 3 * x * y + 50 * c);
    return image;
}

static struct lq_image fitted(const struct lq_preprocess *p, const struct lq_image *image)
{
    struct lq_image out = {0};
    struct lq_error error = {0};

    ck_assert_msg(lq_preprocess_fit(p, image, &out, &error) == LQ_OK, "%s", error.text);
    ck_assert_int_eq(out.width, p->width);
    ck_assert_int_eq(out.height, p->height);
    return out;
}

static void assert_same_image(const struct lq_image *a, const struct lq_image *b)
{
    ck_assert_int_eq(a->width, b->width);
    ck_assert_int_eq(a->height, b->height);
    ck_assert_int_eq(memcmp(a->pixels, b->pixels, 3 * (size_t)a->width * (size_t)a->height), 0);
}

/* ------------------------------------------------------------------------------------------------
 * Fit
 */

static int preprocess(const struct lq_preprocess *p, int channels, const struct lq_image *image,
                      float *ret_nhwc, struct lq_error *error)
{
    struct lq_image fitted = {0};
    int status = lq_preprocess_fit(p, image, &fitted, error);

    if (status == LQ_OK)
        status = lq_preprocess_normalise(p, channels, &fitted, ret_nhwc, error);
    lq_image_deinit(&fitted);
    return status;
}

START_TEST(pillow_pixels)
{
    for (size_t i = 0; i < sizeof(golden_resize) / sizeof(golden_resize[0]); i++) {
        struct lq_preprocess p = {.height = golden_resize[i].height,
                                  .width = golden_resize[i].width,
                                  .resize = golden_resize[i].resize};
        struct lq_image image =
            golden_image(golden_resize[i].image_width, golden_resize[i].image_height);
        struct lq_image out = fitted(&p, &image);

        for (int y = 0; y < p.height; y++) {
            char row[256];

            for (int at = 0; at < 3 * p.width; at++)
                snprintf(row + 2 * at, 3, "%02x", out.pixels[3 * y * p.width + at]);
            ck_assert_msg(strcmp(row, golden_resize[i].rows[y]) == 0,
                          "%d x %d resized to %d: row %d is\n%s, expected\n%s", image.width,
                          image.height, p.resize, y, row, golden_resize[i].rows[y]);
        }
        lq_image_deinit(&out);
        lq_image_deinit(&image);
    }
}
END_TEST

/* What is already as wanted keeps its pixels. */
START_TEST(nothing_to_do)
{
    const struct lq_preprocess ways[] = {{.height = 11, .width = 17},
                                         {.height = 11, .width = 17, .resize = 11}};
    struct lq_image image = golden_image(17, 11);

    for (int i = 0; i < 2; i++) {
        struct lq_image out = fitted(&ways[i], &image);

        assert_same_image(&out, &image);
        lq_image_deinit(&out);
    }
    lq_image_deinit(&image);
}
END_TEST

/* The middle of an image that is not resized: offsets are round((side - cut) / 2), halves to even.
 */
START_TEST(centre_crop)
{
    static const struct {
        int side, cut, offset;
    } cases[] = {{10, 10, 0}, {10, 8, 1},     {10, 9, 0},     {11, 8, 2},    {12, 7, 2},
                 {13, 6, 4},  {256, 224, 16}, {257, 224, 16}, {259, 224, 18}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int cut = cases[i].cut, offset = cases[i].offset;
        struct lq_preprocess p = {.height = cut, .width = cut, .resize = cases[i].side};
        struct lq_image image = golden_image(cases[i].side, cases[i].side);
        struct lq_image out = fitted(&p, &image);

        for (int y = 0; y < cut; y++)
            ck_assert_msg(memcmp(out.pixels + 3 * y * cut,
                                 image.pixels + 3 * ((y + offset) * image.width + offset),
                                 3 * (size_t)cut) == 0,
                          "%d cut to %d: row %d", cases[i].side, cut, y);
        lq_image_deinit(&out);
        lq_image_deinit(&image);
    }
}
END_TEST

/* Resized to less than the cut, an image is resized to cover it instead. */
START_TEST(cut_beyond_the_image)
{
    static const struct {
        int width, height, resize, covering;
    } cases[] = {{30, 20, 6, 8}, {20, 30, 6, 8}, {9, 9, 1, 8}, {40, 5, 7, 8}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lq_preprocess small = {.height = 8, .width = 8, .resize = cases[i].resize};
        struct lq_preprocess covering = {.height = 8, .width = 8, .resize = cases[i].covering};
        struct lq_image image = golden_image(cases[i].width, cases[i].height);
        struct lq_image a = fitted(&small, &image), b = fitted(&covering, &image);

        assert_same_image(&a, &b);
        lq_image_deinit(&a);
        lq_image_deinit(&b);
        lq_image_deinit(&image);
    }
}
END_TEST

/* Whatever the sizes, a flat image stays flat and no other memory than the image's is read. */
START_TEST(flat_stays_flat)
{
    for (int i = 0; i < 300; i++) {
        int width = 1 + rand() % (i % 10 == 0 ? 3000 : 60), height = 1 + rand() % 60;
        struct lq_preprocess p = {.height = 1 + rand() % 40,
                                  .width = 1 + rand() % 40,
                                  .resize = rand() % 3 == 0 ? 0 : 1 + rand() % 90};
        const uint8_t color[3] = {(uint8_t)rand(), (uint8_t)rand(), (uint8_t)rand()};
        struct lq_image image = i % 2 ? new_image(width, height) : new_image(height, width), out;

        for (int at = 0; at < width * height; at++)
            memcpy(image.pixels + 3 * at, color, 3);
        out = fitted(&p, &image);
        for (int at = 0; at < p.width * p.height; at++)
            ck_assert_msg(memcmp(out.pixels + 3 * at, color, 3) == 0,
                          "%d x %d to %d, cut %d x %d: pixel %d", image.width, image.height,
                          p.resize, p.width, p.height, at);
        lq_image_deinit(&out);
        lq_image_deinit(&image);
    }
}
END_TEST

/* Both extremes of a side: the middle of a line, and one pixel as large as a network's input. */
START_TEST(extreme_proportions)
{
    struct lq_preprocess p = {.height = 224, .width = 224, .resize = 256};
    struct lq_image image = new_image(LQ_IMAGE_MAX_SIDE, 1), out;

    image.pixels[3 * 32767] = 200; /* the middle one */
    out = fitted(&p, &image);
    ck_assert_int_eq(out.pixels[3 * 112], 200);
    ck_assert_int_eq(out.pixels[3 * (224 * 223 + 112)], 200);
    lq_image_deinit(&out);
    lq_image_deinit(&image);

    p.resize = 65536; /* 65535 * 65536 is beyond what a side may be */
    image = new_image(1, LQ_IMAGE_MAX_SIDE);
    struct lq_error error = {0};
    struct lq_image none = {0};

    ck_assert_int_eq(lq_preprocess_fit(&p, &image, &none, &error), LQ_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "image of 1 x 65535 pixels"));
    ck_assert_ptr_null(none.pixels);
    lq_image_deinit(&image);
}
END_TEST

START_TEST(bad_sizes)
{
    static const struct lq_preprocess bad[] = {{.height = 0, .width = 5},
                                               {.height = 5, .width = 0},
                                               {.height = -1, .width = 5},
                                               {.height = 5, .width = 65536},
                                               {.height = 65536, .width = 5},
                                               {.height = 5, .width = 5, .resize = -1},
                                               {.height = 5, .width = 5, .resize = 65537}};
    struct lq_image image = new_image(4, 4), out = {0};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct lq_error error = {0};
        char numbers[64];

        snprintf(numbers, sizeof(numbers), "%d x %d pixels from images resized to %d", bad[i].width,
                 bad[i].height, bad[i].resize);
        ck_assert_int_eq(lq_preprocess_fit(&bad[i], &image, &out, &error), LQ_ERR_INVALID);
        ck_assert_msg(strstr(error.text, numbers) != NULL, "%s", error.text);
        ck_assert_ptr_null(out.pixels);
    }
    lq_image_deinit(&image);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Normalise
 */

static void assert_floats(const float *got, const float *expected, int count)
{
    for (int i = 0; i < count; i++)
        ck_assert_msg(fabsf(got[i] - expected[i]) <= 1e-6f * fmaxf(1, fabsf(expected[i])),
                      "value %d is %.9g, expected %.9g", i, (double)got[i], (double)expected[i]);
}

/* (255 / 255 - 0.5) / 0.25 = 2, (0 - 0.25) / 0.5 = -0.5, (51 / 255 - 0) / 0.1 = 2 */
START_TEST(normalised_rgb)
{
    static const uint8_t rgb[6] = {255, 0, 51, 0, 255, 102};
    static const float expected[6] = {2, -0.5f, 2, -2, 1.5f, 4};
    const struct lq_preprocess p = {.height = 1,
                                    .width = 2,
                                    .mean = {0.5f, 0.25f, 0},
                                    .std = {0.25f, 0.5f, 0.1f},
                                    .scale = 1 / 255.0f};
    struct lq_image image = new_image(2, 1);
    float input[6];

    memcpy(image.pixels, rgb, 6);
    ck_assert_int_eq(lq_preprocess_normalise(&p, 3, &image, input, NULL), LQ_OK);
    assert_floats(input, expected, 6);
    memset(input, 0, sizeof(input));
    ck_assert_int_eq(preprocess(&p, 3, &image, input, NULL), LQ_OK);
    assert_floats(input, expected, 6);
    lq_image_deinit(&image);
}
END_TEST

/* Means between 0 and 255, as of networks that came from Caffe. */
START_TEST(normalised_bytes)
{
    static const float expected[3] = {200 - 123.68f, 100 - 116.779f, 50 - 103.939f};
    const struct lq_preprocess p = {.height = 1,
                                    .width = 1,
                                    .mean = {123.68f, 116.779f, 103.939f},
                                    .std = {1, 1, 1},
                                    .scale = 1};
    struct lq_image image = new_image(1, 1);
    float input[3];

    memcpy(image.pixels, (uint8_t[]){200, 100, 50}, 3);
    ck_assert_int_eq(preprocess(&p, 3, &image, input, NULL), LQ_OK);
    assert_floats(input, expected, 3);
    lq_image_deinit(&image);
}
END_TEST

/* Luma is 0.299 R + 0.587 G + 0.114 B, rounded: 76.245, 149.685, 29.07, 124.2; grey stays. */
START_TEST(normalised_grey)
{
    static const uint8_t rgb[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 200, 100, 50, 77, 77, 77};
    static const float expected[] = {76, 150, 29, 124, 77};
    const struct lq_preprocess p = {
        .height = 1, .width = 5, .mean = {0, 9, 9}, .std = {1, 9, 9}, .scale = 1};
    struct lq_image image = new_image(5, 1);
    float input[5];

    memcpy(image.pixels, rgb, sizeof(rgb));
    ck_assert_int_eq(preprocess(&p, 1, &image, input, NULL), LQ_OK);
    assert_floats(input, expected, 5);
    for (int grey = 0; grey < 256; grey++) {
        memset(image.pixels, grey, 3);
        ck_assert_int_eq(preprocess(&p, 1, &image, input, NULL), LQ_OK);
        ck_assert_int_eq((int)input[0], grey);
    }
    lq_image_deinit(&image);
}
END_TEST

START_TEST(other_channels)
{
    static const int bad[] = {0, 2, 4, -1};
    const struct lq_preprocess p = {.height = 1, .width = 1, .std = {1, 1, 1}, .scale = 1};
    struct lq_image image = new_image(1, 1);
    float input[4];

    for (int i = 0; i < 4; i++) {
        struct lq_error error = {0};
        char text[32];

        snprintf(text, sizeof(text), "has %d channels", bad[i]);
        ck_assert_int_eq(preprocess(&p, bad[i], &image, input, &error), LQ_ERR_UNSUPPORTED);
        ck_assert_msg(strstr(error.text, text) != NULL, "%s", error.text);
    }
    lq_image_deinit(&image);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("preprocess");

    tcase_add_test(tests, pillow_pixels);
    tcase_add_test(tests, nothing_to_do);
    tcase_add_test(tests, centre_crop);
    tcase_add_test(tests, cut_beyond_the_image);
    tcase_add_test(tests, flat_stays_flat);
    tcase_add_test(tests, extreme_proportions);
    tcase_add_test(tests, bad_sizes);
    tcase_add_test(tests, normalised_rgb);
    tcase_add_test(tests, normalised_bytes);
    tcase_add_test(tests, normalised_grey);
    tcase_add_test(tests, other_channels);
    return suite_main("preprocess", tests);
}
