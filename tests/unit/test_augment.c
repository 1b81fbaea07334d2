/* test_augment.c - random crops and mirrors: which they may be, and that a seed repeats them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"
#include "train/augment.h"

static const struct lq_preprocess preprocess = {.mean = {0.4f, -1, 2}, .scale = 1 / 255.0f};

/* Every pixel says where it is: R is x + 1, G is y + 1, B is 77. Borders of 0 are told apart. */
static struct lq_image map_image(int width, int height)
{
    struct lq_image image = {0};

    ck_assert_int_eq(lq_image_init(width, height, &image, NULL), LQ_OK);
    for (int i = 0; i < width * height; i++) {
        image.pixels[3 * i] = (uint8_t)(i % width + 1);
        image.pixels[3 * i + 1] = (uint8_t)(i / width + 1);
        image.pixels[3 * i + 2] = 77;
    }
    return image;
}

static struct lq_image augmented(const char *words, struct lq_rng *rng, int width, int height)
{
    struct lq_image image = map_image(width, height);
    struct lq_augmentation augmentation = {0};
    struct lq_error error = {0};

    ck_assert_msg(lq_augmentation_parse(words, &augmentation, &error) == LQ_OK, "%s", error.text);
    ck_assert_int_eq(lq_augmentation_apply(&augmentation, &preprocess, rng, &image, NULL), LQ_OK);
    ck_assert(image.width == width && image.height == height);
    return image;
}

/* The pixel at a position that may lie beyond the image; mirrored: by walking there from pixel 0
 * and turning round at each end. -1: beyond, and not mirrored. */
static int source(int at, int size, bool reflect)
{
    int place = 0, direction = at < 0 ? -1 : 1;

    if (at >= 0 && at < size)
        return at;
    if (!reflect)
        return -1;
    for (int step = 0; step < abs(at) && size > 1; step++) {
        if (place + direction < 0 || place + direction >= size)
            direction = -direction;
        place += direction;
    }
    return place;
}

/* Whether the image is map_image moved by (dx, dy) and then mirrored. */
static bool is_moved(const struct lq_image *image, int dx, int dy, bool mirrored, bool reflect,
                     const uint8_t *border)
{
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++) {
            const uint8_t *pixel = image->pixels + 3 * (y * image->width + x);
            int from_x = (mirrored ? image->width - 1 - x : x) + dx;
            int sx = source(from_x, image->width, reflect);
            int sy = source(y + dy, image->height, reflect);
            uint8_t inside[3] = {(uint8_t)(sx + 1), (uint8_t)(sy + 1), 77};

            if (memcmp(pixel, sx < 0 || sy < 0 ? border : inside, 3) != 0)
                return false;
        }
    return true;
}

static const struct {
    const char *words;
    int crop, width, height;
    bool reflect, flip;
    uint8_t border[3];
} cases[] = {
    {"none", 0, 7, 5, false, false, {0, 0, 0}},
    {"flip", 0, 7, 5, false, true, {0, 0, 0}},
    {"crop2-black", 2, 7, 6, false, false, {0, 0, 0}},
    {"crop2-black,flip", 2, 7, 6, false, true, {0, 0, 0}},
    {"flip,crop1-mean", 1, 5, 8, false, true, {102, 0, 255}}, /* 102, -255, 510 */
    {"crop4-reflect,flip", 4, 32, 32, true, true, {0, 0, 0}},
    {"crop3-reflect", 3, 4, 5, true, false, {0, 0, 0}},
    {"crop3-black,flip", 3, 2, 3, false, true, {0, 0, 0}}, /* all of it may be border */
    {"crop6-reflect", 6, 3, 2, true, false, {0, 0, 0}},    /* mirrored more than once */
};

/* Each result is one of the positions, and each position comes: (2 crop + 1)^2, twice with mirrors.
 * Images that look the same at several positions count for the first of them. */
START_TEST(positions)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int side = 2 * cases[i].crop + 1, kinds = side * side * (cases[i].flip ? 2 : 1);
        int *seen = calloc((size_t)kinds, sizeof(*seen)), distinct = 0;
        struct lq_rng rng;

        ck_assert_ptr_nonnull(seen);
        lq_rng_init(&rng, (uint64_t)rand(), 0);
        for (int round = 0; round < 20 * kinds; round++) {
            struct lq_image image =
                augmented(cases[i].words, &rng, cases[i].width, cases[i].height);
            int kind = 0;

            while (kind < kinds &&
                   !is_moved(&image, kind % side - cases[i].crop,
                             kind / side % side - cases[i].crop, kind >= side * side,
                             cases[i].reflect, cases[i].border))
                kind++;
            ck_assert_msg(kind < kinds, "%s: round %d is no crop of the image", cases[i].words,
                          round);
            distinct += seen[kind]++ == 0;
            lq_image_deinit(&image);
        }
        /* Each is missed with a probability of e^-20 = 2e-9; small images look alike at several. */
        if (cases[i].width > 2 * cases[i].crop && cases[i].height > 2 * cases[i].crop)
            ck_assert_msg(distinct == kinds, "%s: %d of %d positions", cases[i].words, distinct,
                          kinds);
        free(seen);
    }
}
END_TEST

/* By hand: all that 1 2 3 4 5 6 7 may become. */
START_TEST(reflection_by_hand)
{
    static const uint8_t wide[5][7] = {{1, 2, 3, 4, 5, 6, 7},
                                       {2, 3, 4, 5, 6, 7, 6},
                                       {3, 4, 5, 6, 7, 6, 5},
                                       {2, 1, 2, 3, 4, 5, 6},
                                       {3, 2, 1, 2, 3, 4, 5}};
    int seen[5] = {0};
    struct lq_rng rng;

    lq_rng_init(&rng, 1, 0);
    for (int round = 0; round < 200; round++) {
        struct lq_image image = augmented("crop2-reflect", &rng, 7, 1);
        int kind = 0, same = 0;

        for (; kind < 5; kind++) {
            same = 0;
            for (int x = 0; x < 7; x++)
                same += image.pixels[3 * x] == wide[kind][x];
            if (same == 7)
                break;
        }
        ck_assert_int_lt(kind, 5);
        seen[kind]++;
        for (int x = 0; x < 7; x++)
            ck_assert_int_eq(image.pixels[3 * x + 1], 1); /* one row, whatever dy */
        lq_image_deinit(&image);
    }
    for (int kind = 0; kind < 5; kind++)
        ck_assert_int_gt(seen[kind], 10);
}
END_TEST

START_TEST(a_seed_repeats)
{
    struct lq_rng a, b, other;
    int differences = 0;

    lq_rng_init(&a, 42, 7);
    lq_rng_init(&b, 42, 7);
    lq_rng_init(&other, 42, 8);
    for (int round = 0; round < 50; round++) {
        struct lq_image one = augmented("crop4-mean,flip", &a, 20, 20);
        struct lq_image two = augmented("crop4-mean,flip", &b, 20, 20);
        struct lq_image three = augmented("crop4-mean,flip", &other, 20, 20);

        ck_assert_int_eq(memcmp(one.pixels, two.pixels, 20 * 20 * 3), 0);
        differences += memcmp(one.pixels, three.pixels, 20 * 20 * 3) != 0;
        lq_image_deinit(&one);
        lq_image_deinit(&two);
        lq_image_deinit(&three);
    }
    ck_assert_int_gt(differences, 40); /* equal by chance: once in 162 */
}
END_TEST

/* The largest crop of the smallest images reads and writes nothing else. */
START_TEST(tiny_images)
{
    static const char *const words[] = {"crop64-black,flip", "crop64-mean,flip",
                                        "crop64-reflect,flip"};
    struct lq_rng rng;

    lq_rng_init(&rng, (uint64_t)rand(), 0);
    for (int i = 0; i < 3000; i++) {
        int width = 1 + i % 5, height = 1 + i / 5 % 4;
        struct lq_image image = augmented(words[i % 3], &rng, width, height);

        for (int at = 0; i % 3 == 2 && at < width * height; at++)
            ck_assert(image.pixels[3 * at] >= 1 && image.pixels[3 * at] <= width &&
                      image.pixels[3 * at + 1] >= 1 && image.pixels[3 * at + 1] <= height);
        lq_image_deinit(&image);
    }
}
END_TEST

START_TEST(words)
{
    static const struct {
        const char *text;
        struct lq_augmentation expected;
    } good[] = {
        {"none", {0, LQ_BORDER_BLACK, false}},
        {"flip", {0, LQ_BORDER_BLACK, true}},
        {"flip,none,flip", {0, LQ_BORDER_BLACK, true}},
        {"crop1-black", {1, LQ_BORDER_BLACK, false}},
        {"crop64-mean,flip", {64, LQ_BORDER_MEAN, true}},
        {"flip,crop4-reflect", {4, LQ_BORDER_REFLECT, true}},
    };
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"", "''"},
        {"flip,", "''"},
        {",flip", "''"},
        {"flip, none", "' none'"},
        {"Flip", "'Flip'"},
        {"flips", "'flips'"},
        {"crop", "'crop'"},
        {"crop4", "'crop4'"},
        {"crop4-", "'crop4-'"},
        {"crop-black", "'crop-black'"},
        {"crop0-black", "'crop0-black'"},
        {"crop65-black", "'crop65-black'"},
        {"crop-4-black", "'crop-4-black'"},
        {"crop+4-black", "'crop+4-black'"},
        {"crop 4-black", "'crop 4-black'"},
        {"crop4.5-black", "'crop4.5-black'"},
        {"crop4294967300-black", "'crop4294967300-black'"},
        {"crop99999999999999999999-black", "'crop99999999999999999999-black'"},
        {"crop4-white", "'crop4-white'"},
        {"crop4-blackish", "'crop4-blackish'"},
        {"crop4-bla,ck", "'crop4-bla'"},
        {"crop4,-black", "'crop4'"},
        {"crop4-black-black", "'crop4-black-black'"},
        {"a word of more than 32 bytes is cut off", "'a word of more than 32 bytes is '"},
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct lq_augmentation got = {9, LQ_BORDER_MEAN, true};

        ck_assert_int_eq(lq_augmentation_parse(good[i].text, &got, NULL), LQ_OK);
        ck_assert_msg(got.crop == good[i].expected.crop && got.border == good[i].expected.border &&
                          got.flip == good[i].expected.flip,
                      "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct lq_augmentation got = {9, LQ_BORDER_MEAN, true};
        struct lq_error error = {0};

        ck_assert_msg(lq_augmentation_parse(bad[i].text, &got, &error) == LQ_ERR_INVALID, "'%s'",
                      bad[i].text);
        ck_assert_msg(strstr(error.text, bad[i].word) != NULL, "%s: %s", bad[i].text, error.text);
        ck_assert_int_eq(got.crop, 9); /* untouched */
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("augment");

    tcase_add_test(tests, positions);
    tcase_add_test(tests, reflection_by_hand);
    tcase_add_test(tests, a_seed_repeats);
    tcase_add_test(tests, tiny_images);
    tcase_add_test(tests, words);
    return suite_main("augment", tests);
}
