/* test_dataset.c - folders of labelled images, and their augmentation.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <ftw.h>
#include <png.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/pictures.h"
#include "train/dataset.h"

enum { RECORD = 3073 };

static char folder[64];

static int remove_item(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/lqnet-dataset-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    ck_assert_int_eq(nftw(folder, remove_item, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static const char *in_folder(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(in_folder(name), "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

/* A PNG of one pixel. */
static void put_picture(const char *name, uint8_t grey)
{
    struct picture png = picture_png(&grey, 1, 1, PNG_COLOR_TYPE_GRAY, 8);

    put(name, png.bytes, png.size);
    free(png.bytes);
}

/* Records whose pixels are label * 16 + plane. */
static void put_cifar(const char *name, const uint8_t *labels, int count, size_t cut)
{
    uint8_t *bytes = malloc((size_t)count * RECORD);

    for (int i = 0; i < count; i++) {
        bytes[i * RECORD] = labels[i];
        for (int at = 0; at < 3072; at++)
            bytes[i * RECORD + 1 + at] = (uint8_t)(labels[i] * 16 + at / 1024);
        bytes[i * RECORD + 1 + 33] = 200; /* row 1, column 1, red */
    }
    put(name, bytes, (size_t)count * RECORD - cut);
    free(bytes);
}

static struct lq_dataset *open_folder(enum lq_split split)
{
    struct lq_dataset *dataset = NULL;
    struct lq_error error = {0};

    ck_assert_msg(lq_dataset_open(folder, split, &dataset, &error) == LQ_OK, "%s", error.text);
    return dataset;
}

static void expect_refused(enum lq_split split, int status, const char *message)
{
    struct lq_dataset *dataset = NULL;
    struct lq_error error = {0};
    int got = lq_dataset_open(folder, split, &dataset, &error);

    ck_assert_msg(got == status && strstr(error.text, message) && strstr(error.text, folder),
                  "%d (expected %d) %s", got, status, error.text);
    ck_assert_ptr_null(dataset);
}

START_TEST(cifar)
{
    struct lq_image image = {0};

    put_cifar("data_batch_1.bin", (const uint8_t[]){3, 9}, 2, 0);
    put_cifar("data_batch_2.bin", (const uint8_t[]){0, 1, 2}, 3, 0);
    put_cifar("test_batch.bin", (const uint8_t[]){7}, 1, 0);
    struct lq_dataset *train = open_folder(LQ_SPLIT_TRAIN), *test = open_folder(LQ_SPLIT_TEST);
    const int64_t labels[5] = {3, 9, 0, 1, 2};
    ck_assert_str_eq(lq_dataset_kind(train), "cifar10");
    ck_assert_int_eq(lq_dataset_count(train), 5);
    ck_assert_int_eq(lq_dataset_count(test), 1);
    ck_assert_int_eq(lq_dataset_classes(test), 10);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(lq_dataset_label(train, i), labels[i]);
    ck_assert_int_eq(lq_dataset_image(train, 3, NULL, &image, NULL), LQ_OK);
    ck_assert(image.width == 32 && image.height == 32);
    ck_assert_mem_eq(image.pixels, ((const uint8_t[]){16, 17, 18}), 3);
    ck_assert_mem_eq(image.pixels + 3 * 33, ((const uint8_t[]){200, 17, 18}), 3);
    lq_image_deinit(&image);
    lq_dataset_close(train);
    lq_dataset_close(test);
}
END_TEST

START_TEST(hostile_cifar)
{
    put_cifar("test_batch.bin", (const uint8_t[]){1, 2}, 2, 1);
    expect_refused(LQ_SPLIT_TEST, LQ_ERR_FORMAT, "test_batch.bin: 6145 bytes, expected a multiple");
    expect_refused(LQ_SPLIT_TRAIN, LQ_ERR_NOT_FOUND, "no data_batch_1.bin");
    put_text("test_batch.bin", "");
    expect_refused(LQ_SPLIT_TEST, LQ_ERR_FORMAT, "test_batch.bin: 0 bytes");
    put_cifar("test_batch.bin", (const uint8_t[]){1, 10}, 2, 0);
    expect_refused(LQ_SPLIT_TEST, LQ_ERR_FORMAT, "test_batch.bin: offset 3073: class 10");
    ck_assert_int_eq(unlink(in_folder("test_batch.bin")), 0);
    ck_assert_int_eq(mkdir(in_folder("test_batch.bin"), 0755), 0);
    expect_refused(LQ_SPLIT_TEST, LQ_ERR_INVALID, "test_batch.bin: not a regular file");
}
END_TEST

START_TEST(list)
{
    struct lq_image image = {0};

    put_picture("a b.png", 10);
    put_picture("c.png", 20);
    put_text("labels.txt", "# names and classes\na b.png 3\r\n\n c.png\t0 \nc.png 12");
    struct lq_dataset *dataset = NULL;
    struct lq_error error = {0};
    /* the third line starts with a blank, which belongs to the name */
    ck_assert_int_eq(lq_dataset_open(folder, LQ_SPLIT_TEST, &dataset, &error), LQ_OK);
    ck_assert_str_eq(lq_dataset_kind(dataset), "list");
    ck_assert_int_eq(lq_dataset_count(dataset), 3);
    ck_assert_int_eq(lq_dataset_classes(dataset), 13);
    ck_assert_int_eq(lq_dataset_label(dataset, 0), 3);
    ck_assert_int_eq(lq_dataset_image(dataset, 0, NULL, &image, NULL), LQ_OK);
    ck_assert_int_eq(image.pixels[1], 10);
    lq_image_deinit(&image);
    ck_assert_int_eq(lq_dataset_image(dataset, 1, NULL, &image, &error), LQ_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.text, "/ c.png"));
    ck_assert_int_eq(lq_dataset_label(dataset, 2), 12);
    lq_dataset_close(dataset);
}
END_TEST

START_TEST(hostile_lists)
{
    static const struct {
        const char *text;
        int status;
        const char *message;
    } cases[] = {
        {"", LQ_ERR_FORMAT, "no images"},
        {"# only a remark\n", LQ_ERR_FORMAT, "no images"},
        {"a.png\n", LQ_ERR_FORMAT, "labels.txt: line 1: no blank between file name and class"},
        {"a.png 1\nb.png x\n", LQ_ERR_FORMAT, "line 2: class 'x', expected 0..1048575"},
        {"a.png -1\n", LQ_ERR_FORMAT, "line 1: class '-1'"},
        {"a.png 1048576\n", LQ_ERR_FORMAT, "line 1: class '1048576'"},
        {"a.png 99999999999999999999\n", LQ_ERR_FORMAT, "line 1: class '99999999999999999999'"},
        {"a.png 1.5\n", LQ_ERR_FORMAT, "line 1: class '1.5'"},
        {"../a.png 1\n", LQ_ERR_INVALID, "line 1: file name '../a.png' leaves the folder"},
        {"/etc/passwd 1\n", LQ_ERR_INVALID, "line 1: file name '/etc/passwd' leaves the folder"},
        {"b/a.png 1\n", LQ_ERR_INVALID, "leaves the folder"},
        {".. 1\n", LQ_ERR_INVALID, "file name '..' leaves the folder"},
        {" 1\n", LQ_ERR_INVALID, "file name '' leaves the folder"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        put_text("labels.txt", cases[i].text);
        expect_refused(LQ_SPLIT_TEST, cases[i].status, cases[i].message);
    }
    put("labels.txt", "a.png 1\nb\0.png 1\n", 17);
    expect_refused(LQ_SPLIT_TEST, LQ_ERR_FORMAT, "labels.txt: offset 9: a zero byte");
}
END_TEST

START_TEST(images_that_are_none)
{
    struct lq_error error = {0};
    struct lq_image image = {0};
    const struct lq_image_limits limits = {60, 1000};

    put_text("labels.txt", "missing.png 0\ntext.png 1\nfolder.png 2\ngood.png 3\n");
    put_text("text.png", "no picture");
    put_picture("good.png", 9);
    ck_assert_int_eq(mkdir(in_folder("folder.png"), 0755), 0);
    struct lq_dataset *dataset = open_folder(LQ_SPLIT_TEST);
    const int statuses[4] = {LQ_ERR_NOT_FOUND, LQ_ERR_FORMAT, LQ_ERR_INVALID, LQ_ERR_LIMIT};
    const char *const names[4] = {"missing.png", "text.png", "folder.png", "good.png"};
    for (int i = 0; i < 4; i++) {
        error = (struct lq_error){0};
        ck_assert_int_eq(lq_dataset_image(dataset, i, &limits, &image, &error), statuses[i]);
        ck_assert_msg(strstr(error.text, names[i]), "%s", error.text);
    }
    lq_dataset_close(dataset);
}
END_TEST

START_TEST(class_folders)
{
    ck_assert_int_eq(mkdir(in_folder("dogs"), 0755), 0);
    ck_assert_int_eq(mkdir(in_folder("cats"), 0755), 0);
    ck_assert_int_eq(mkdir(in_folder("empty"), 0755), 0);
    ck_assert_int_eq(mkdir(in_folder(".hidden"), 0755), 0);
    expect_refused(LQ_SPLIT_TEST, LQ_ERR_NOT_FOUND, "no CIFAR files, no labels.txt, and no");
    put_picture("dogs/1.PNG", 1);
    put_picture("dogs/2.png", 2);
    put_picture("cats/z.png", 3);
    put_text("cats/readme.txt", "no picture");
    put_picture(".hidden/1.png", 4);
    struct lq_dataset *dataset = open_folder(LQ_SPLIT_TRAIN);
    ck_assert_str_eq(lq_dataset_kind(dataset), "folders");
    ck_assert_int_eq(lq_dataset_count(dataset), 3);
    const int64_t labels[3] = {0, 1, 1}; /* cats, dogs, dogs */
    const uint8_t greys[3] = {3, 1, 2};
    for (int i = 0; i < 3; i++) {
        struct lq_image image = {0};

        ck_assert_int_eq(lq_dataset_label(dataset, i), labels[i]);
        ck_assert_int_eq(lq_dataset_image(dataset, i, NULL, &image, NULL), LQ_OK);
        ck_assert_int_eq(image.pixels[0], greys[i]);
        lq_image_deinit(&image);
    }
    lq_dataset_close(dataset);
}
END_TEST

START_TEST(no_folder)
{
    struct lq_dataset *dataset = NULL;
    struct lq_error error = {0};

    ck_assert_int_eq(lq_dataset_open("/nonexistent", LQ_SPLIT_TEST, &dataset, &error),
                     LQ_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.text, "/nonexistent: cannot list"));
    expect_refused(LQ_SPLIT_TEST, LQ_ERR_NOT_FOUND, "no folders of JPEG or PNG images");
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Augmentation
 */

START_TEST(augmentation_words)
{
    static const struct {
        const char *text;
        int crop, border;
        bool flip;
    } good[] = {{"none", 0, LQ_BORDER_BLACK, false},
                {"flip", 0, LQ_BORDER_BLACK, true},
                {"crop4-black", 4, LQ_BORDER_BLACK, false},
                {"crop4-mean,flip", 4, LQ_BORDER_MEAN, true},
                {"flip,crop2-reflect", 2, LQ_BORDER_REFLECT, true}};
    static const char *const bad[] = {"",      "flop",         "crop-black",  "crop4-white",
                                      "crop4", "crop0-black",  "flip,,flip",  "crop99999999-black",
                                      " flip", "crop4-black,", "crop-4-black"};

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct lq_augmentation a;

        ck_assert_int_eq(lq_augmentation_parse(good[i].text, &a, NULL), LQ_OK);
        ck_assert_int_eq(a.crop, good[i].crop);
        ck_assert_int_eq(a.flip, good[i].flip);
        if (a.crop)
            ck_assert_int_eq(a.border, good[i].border);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct lq_augmentation a;
        struct lq_error error = {0};

        ck_assert_msg(lq_augmentation_parse(bad[i], &a, &error) == LQ_ERR_INVALID, "%s", bad[i]);
        ck_assert_ptr_nonnull(strstr(error.text, "augmentation '"));
    }
}
END_TEST

/* A picture whose pixel says where it is: red = x + 1, green = y + 1. */
static struct lq_image places(int side)
{
    struct lq_image image = {0};

    ck_assert_int_eq(lq_image_init(side, side, &image, NULL), LQ_OK);
    for (int i = 0; i < side * side; i++) {
        image.pixels[3 * i] = (uint8_t)(i % side + 1);
        image.pixels[3 * i + 1] = (uint8_t)(i / side + 1);
        image.pixels[3 * i + 2] = 255;
    }
    return image;
}

/* Every shift and mirror turns up, nothing else does, and what falls outside is the border. */
START_TEST(augmentation_moves)
{
    enum { SIDE = 8, CROP = 2, SHIFTS = 2 * CROP + 1 };
    const struct lq_preprocess preprocess = {.mean = {.5f, .25f, 1}, .scale = 1 / 200.f};
    const uint8_t borders[2][3] = {{0, 0, 0}, {100, 50, 200}};
    int seen[SHIFTS][SHIFTS][2] = {{{0}}}, kinds = 0;
    struct lq_augmentation a = {CROP, _i ? LQ_BORDER_MEAN : LQ_BORDER_BLACK, true};
    struct lq_rng rng;

    lq_rng_init(&rng, (uint64_t)rand(), 1);
    for (int trial = 0; trial < 2000; trial++) {
        struct lq_image image = places(SIDE);

        ck_assert_int_eq(lq_augmentation_apply(&a, &preprocess, &rng, &image, NULL), LQ_OK);
        /* the pixel at 3,3 is always of the picture, whatever the shift */
        const uint8_t *center = image.pixels + 3 * (3 * SIDE + 3);
        bool mirror = center[0] > center[3];
        int dx = center[0] - 1 - (mirror ? SIDE - 1 - 3 : 3), dy = center[1] - 1 - 3;
        ck_assert(abs(dx) <= CROP && abs(dy) <= CROP);
        seen[dy + CROP][dx + CROP][mirror]++;
        for (int i = 0; i < SIDE * SIDE; i++) {
            int x = (mirror ? SIDE - 1 - i % SIDE : i % SIDE) + dx, y = i / SIDE + dy;
            bool inside = x >= 0 && x < SIDE && y >= 0 && y < SIDE;
            const uint8_t there[3] = {(uint8_t)(x + 1), (uint8_t)(y + 1), 255};

            ck_assert_mem_eq(image.pixels + 3 * i, inside ? there : borders[_i], 3);
        }
        lq_image_deinit(&image);
    }
    for (int i = 0; i < SHIFTS * SHIFTS * 2; i++)
        kinds += seen[i / 2 / SHIFTS][i / 2 % SHIFTS][i % 2] > 0;
    ck_assert_int_eq(kinds, SHIFTS * SHIFTS * 2);
}
END_TEST

/* One seed, one result; a border that mirrors a picture of a single pixel stays inside it. */
START_TEST(augmentation_repeats)
{
    const struct lq_preprocess preprocess = {.scale = 1};
    struct lq_augmentation a = {4, LQ_BORDER_REFLECT, true};

    for (int side = 1; side < 12; side++) {
        struct lq_image images[2] = {places(side), places(side)};

        for (int i = 0; i < 2; i++) {
            struct lq_rng rng;

            lq_rng_init(&rng, 7, (uint64_t)side);
            ck_assert_int_eq(lq_augmentation_apply(&a, &preprocess, &rng, &images[i], NULL), LQ_OK);
        }
        ck_assert_mem_eq(images[0].pixels, images[1].pixels, (size_t)(3 * side * side));
        for (int i = 0; i < side * side; i++)
            ck_assert(images[0].pixels[3 * i] >= 1 && images[0].pixels[3 * i] <= side);
        lq_image_deinit(&images[0]);
        lq_image_deinit(&images[1]);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("dataset");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, cifar);
    tcase_add_test(tests, hostile_cifar);
    tcase_add_test(tests, list);
    tcase_add_test(tests, hostile_lists);
    tcase_add_test(tests, images_that_are_none);
    tcase_add_test(tests, class_folders);
    tcase_add_test(tests, no_folder);
    tcase_add_test(tests, augmentation_words);
    tcase_add_loop_test(tests, augmentation_moves, 0, 2);
    tcase_add_test(tests, augmentation_repeats);
    return suite_main("dataset", tests);
}
