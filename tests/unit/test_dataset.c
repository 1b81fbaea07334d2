/* test_dataset.c - the three kinds of data sets, right ones and wrong ones.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/name.h"
#include "support/image_forge.h"
#include "support/suite.h"
#include "train/dataset.h"

enum { PLANE = 32 * 32, RECORD = 1 + 3 * PLANE };

static char root[] = "/tmp/test_dataset_XXXXXX", folder[64];

static const char *in_folder(const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_bytes(const char *name, const void *bytes, size_t size)
{
    struct blob blob = {0};

    blob_add(&blob, bytes, size);
    ck_assert(blob_write(&blob, in_folder(name)));
    blob_free(&blob);
}

static void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}

/* One pixel of this grey. */
static void write_image(const char *name, int grey)
{
    uint8_t rgb[3] = {(uint8_t)grey, (uint8_t)grey, (uint8_t)grey};
    struct blob png = png_file(rgb, 1, 1, NULL, NULL);

    ck_assert(blob_write(&png, in_folder(name)));
    blob_free(&png);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

static void empty_folder(void)
{
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
}

static struct lq_dataset *opened(enum lq_split split)
{
    struct lq_dataset *dataset = NULL;
    struct lq_error error = {0};

    ck_assert_msg(lq_dataset_open(folder, split, &dataset, &error) == LQ_OK, "%s", error.text);
    return dataset;
}

static void assert_refused(enum lq_split split, int expected, const char *text, const char *what)
{
    struct lq_dataset *dataset = NULL;
    struct lq_error error = {0};
    int status = lq_dataset_open(folder, split, &dataset, &error);

    ck_assert_msg(status == expected && !dataset, "%s: status %d, expected %d: %s", what, status,
                  expected, error.text);
    ck_assert_msg(strstr(error.text, text) != NULL, "%s: '%s' says no '%s'", what, error.text,
                  text);
    ck_assert_msg(strncmp(error.text, folder, strlen(folder)) == 0, "%s: '%s' names no place", what,
                  error.text);
    ck_assert_int_eq(lq_text_check(what, error.text, sizeof(error.text), NULL), LQ_OK);
}

static void assert_item(const struct lq_dataset *dataset, int64_t i, int64_t label, int grey)
{
    struct lq_image image = {0};
    struct lq_error error = {0};

    ck_assert_int_eq(lq_dataset_label(dataset, i), label);
    ck_assert_msg(lq_dataset_image(dataset, i, NULL, &image, &error) == LQ_OK, "%s", error.text);
    ck_assert_int_eq(image.pixels[0], grey);
    lq_image_deinit(&image);
}

/* ------------------------------------------------------------------------------------------------
 * CIFAR-10
 */

static uint8_t cifar_byte(int record, int at)
{
    return (uint8_t)(record * 7 + at * 3 + at / PLANE * 50);
}

/* Records first .. first + count - 1; record i has class i % 10. `extra` bytes more or less. */
static void write_cifar(const char *name, int first, int count, int extra)
{
    size_t size = (size_t)(count * RECORD + extra);
    uint8_t *bytes = calloc((size_t)count + 1, RECORD);

    ck_assert_ptr_nonnull(bytes);
    for (int i = 0; i < count; i++) {
        bytes[i * RECORD] = (uint8_t)((first + i) % 10);
        for (int at = 0; at < 3 * PLANE; at++)
            bytes[i * RECORD + 1 + at] = cifar_byte(first + i, at);
    }
    write_bytes(name, bytes, size);
    free(bytes);
}

static void assert_cifar(const struct lq_dataset *dataset, int64_t i, int record)
{
    struct lq_image image = {0};

    ck_assert_int_eq(lq_dataset_label(dataset, i), record % 10);
    ck_assert_int_eq(lq_dataset_image(dataset, i, NULL, &image, NULL), LQ_OK);
    ck_assert(image.width == 32 && image.height == 32);
    for (int at = 0; at < PLANE; at++)
        for (int c = 0; c < 3; c++)
            ck_assert_int_eq(image.pixels[3 * at + c], cifar_byte(record, c * PLANE + at));
    lq_image_deinit(&image);
}

/* Without batches.meta.txt: nobody needs it. */
START_TEST(cifar)
{
    write_cifar("data_batch_1.bin", 0, 4, 0);
    write_cifar("data_batch_2.bin", 4, 1, 0);
    write_cifar("data_batch_3.bin", 5, 7, 0);
    write_cifar("test_batch.bin", 20, 3, 0);
    struct lq_dataset *train = opened(LQ_SPLIT_TRAIN), *test = opened(LQ_SPLIT_TEST);

    ck_assert_str_eq(lq_dataset_kind(train), "cifar10");
    ck_assert_int_eq(lq_dataset_count(train), 12);
    ck_assert_int_eq(lq_dataset_classes(train), 10);
    for (int i = 0; i < 12; i++)
        assert_cifar(train, i, i);
    ck_assert_int_eq(lq_dataset_count(test), 3);
    ck_assert_int_eq(lq_dataset_classes(test), 10);
    for (int i = 0; i < 3; i++)
        assert_cifar(test, i, 20 + i);
    lq_dataset_close(train);
    lq_dataset_close(test);
}
END_TEST

START_TEST(cifar_damage)
{
    write_cifar("test_batch.bin", 0, 2, -1);
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_FORMAT,
                   "test_batch.bin: 6145 bytes, expected a multiple of 3073", "short");
    write_cifar("test_batch.bin", 0, 2, 1);
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_FORMAT, "test_batch.bin: 6147 bytes", "long");
    write_text("test_batch.bin", "");
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_FORMAT, "test_batch.bin: 0 bytes", "empty");

    write_cifar("data_batch_1.bin", 0, 2, 0);
    write_cifar("data_batch_2.bin", 0, 2, -3000);
    assert_refused(LQ_SPLIT_TRAIN, LQ_ERR_FORMAT, "data_batch_2.bin: 3146 bytes", "second");

    uint8_t record[3 * RECORD] = {0};
    record[RECORD] = 9;
    record[2 * RECORD] = 10;
    write_bytes("test_batch.bin", record, sizeof(record));
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_FORMAT,
                   "test_batch.bin: offset 6146: class 10, expected 0..9", "class 10");
    record[0] = 255;
    write_bytes("test_batch.bin", record, sizeof(record));
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_FORMAT, "offset 0: class 255, expected 0..9", "class 255");
}
END_TEST

/* Half of the files are half of a data set, not another kind. */
START_TEST(cifar_missing_files)
{
    write_cifar("test_batch.bin", 0, 1, 0);
    assert_refused(LQ_SPLIT_TRAIN, LQ_ERR_NOT_FOUND, "no data_batch_1.bin", "test alone");
    empty_folder();
    write_cifar("data_batch_1.bin", 3, 1, 0);
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_NOT_FOUND, "test_batch.bin: cannot open", "train alone");
    struct lq_dataset *train = opened(LQ_SPLIT_TRAIN);
    assert_cifar(train, 0, 3);
    lq_dataset_close(train);
    ck_assert_int_eq(mkdir(in_folder("test_batch.bin"), 0700), 0);
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_INVALID, "test_batch.bin: not a regular file", "a folder");
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Folders
 */

START_TEST(class_folders)
{
    static const char *const folders[] = {"b", "B", "a", ".hidden", "empty"};

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        ck_assert_int_eq(mkdir(in_folder(folders[i]), 0700), 0);
    write_image("b/2.png", 12);
    write_image("b/1.PNG", 11);
    write_image("b/10.png", 10);
    write_image("B/x.jpeg", 1); /* a PNG file: what it is called is no matter */
    write_image("a/x y.Jpg", 2);
    write_image("a/.png", 99);
    write_text("a/readme.txt", "no image");
    write_image(".hidden/x.png", 99);
    write_image("top.png", 99);
    struct lq_dataset *dataset = opened(LQ_SPLIT_TEST);

    /* In byte order: B, a, b, empty. */
    ck_assert_str_eq(lq_dataset_kind(dataset), "folders");
    ck_assert_int_eq(lq_dataset_count(dataset), 5);
    ck_assert_int_eq(lq_dataset_classes(dataset), 3);
    assert_item(dataset, 0, 0, 1);
    assert_item(dataset, 1, 1, 2);
    assert_item(dataset, 2, 2, 11);
    assert_item(dataset, 3, 2, 10);
    assert_item(dataset, 4, 2, 12);
    lq_dataset_close(dataset);
}
END_TEST

START_TEST(no_images_at_all)
{
    struct lq_dataset *dataset = NULL;
    struct lq_error error = {0};

    assert_refused(LQ_SPLIT_TEST, LQ_ERR_NOT_FOUND,
                   "no CIFAR files, no labels.txt, and no folders of JPEG or PNG images", "empty");
    write_image("top.png", 1);
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_NOT_FOUND, "no CIFAR files", "an image without a class");
    ck_assert_int_eq(mkdir(in_folder("class"), 0700), 0);
    write_text("class/readme.txt", "");
    assert_refused(LQ_SPLIT_TRAIN, LQ_ERR_NOT_FOUND, "no CIFAR files", "a folder without images");
    ck_assert_int_eq(lq_dataset_open(in_folder("nothing"), LQ_SPLIT_TEST, &dataset, &error),
                     LQ_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.text, "/nothing: cannot list: No such file"));
    error = (struct lq_error){0};
    ck_assert_int_eq(lq_dataset_open(in_folder("top.png"), LQ_SPLIT_TEST, &dataset, &error),
                     LQ_ERR_IO);
    ck_assert_ptr_nonnull(strstr(error.text, "/top.png: cannot list: Not a directory"));
    lq_dataset_close(NULL);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * labels.txt
 */

START_TEST(labels_file)
{
    write_image("a.png", 1);
    write_image("with blanks.png", 2);
    write_image("noextension", 3);
    write_image("..png", 4);
    write_text("labels.txt", "# a comment\n"
                             "a.png 7\n"
                             "with blanks.png \t 0\r\n"
                             "\n"
                             "  \t\r\n"
                             "noextension\t1048575  \n"
                             "..png 3\n"
                             "a.png 2"); /* twice, and no end of line */
    struct lq_dataset *dataset = opened(LQ_SPLIT_TRAIN);

    ck_assert_str_eq(lq_dataset_kind(dataset), "list");
    ck_assert_int_eq(lq_dataset_count(dataset), 5);
    ck_assert_int_eq(lq_dataset_classes(dataset), 1048576);
    assert_item(dataset, 0, 7, 1);
    assert_item(dataset, 1, 0, 2);
    assert_item(dataset, 2, 1048575, 3);
    assert_item(dataset, 3, 3, 4);
    assert_item(dataset, 4, 2, 1);
    lq_dataset_close(dataset);
}
END_TEST

START_TEST(bad_lists)
{
    static const struct {
        const char *text;
        int status;
        const char *error;
    } cases[] = {
        {"", LQ_ERR_FORMAT, "no images"},
        {"# nothing\n\n", LQ_ERR_FORMAT, "no images"},
        {"a.png", LQ_ERR_FORMAT, "labels.txt: line 1: no blank between file name and class"},
        {"a.png 1\n\nb.png\r\n", LQ_ERR_FORMAT, "labels.txt: line 3: no blank"},
        {"a.png 1\na.png -1\n", LQ_ERR_FORMAT, "line 2: class '-1', expected 0..1048575"},
        {"a.png 1048576", LQ_ERR_FORMAT, "line 1: class '1048576', expected"},
        {"a.png 99999999999999999999", LQ_ERR_FORMAT, "class '99999999999999999999', expected"},
        {"a.png cat", LQ_ERR_FORMAT, "line 1: class 'cat'"},
        {"a.png 1.5", LQ_ERR_FORMAT, "line 1: class '1.5'"},
        {"a.png 0x1", LQ_ERR_FORMAT, "line 1: class '0x1'"},
        {"1 a.png", LQ_ERR_FORMAT, "line 1: class 'a.png'"},
        {"a.png \x1b[2J", LQ_ERR_FORMAT, "line 1: class "},
        {"a.png \xff\xfe", LQ_ERR_FORMAT, "line 1: class "},
        {"\xff\xfe 1\n", LQ_OK, NULL}, /* names are bytes */
        {" 1", LQ_ERR_FORMAT, "line 1: no file name before the class"},
        {"../a.png 1", LQ_ERR_INVALID, "line 1: file name '../a.png' leaves the folder"},
        {"a.png 1\n/etc/passwd 1", LQ_ERR_INVALID, "line 2: file name '/etc/passwd' leaves"},
        {"sub/a.png 1", LQ_ERR_INVALID, "file name 'sub/a.png' leaves the folder"},
        {"./a.png 1", LQ_ERR_INVALID, "file name './a.png' leaves the folder"},
        {".. 1", LQ_ERR_INVALID, "file name '..' leaves the folder"},
        {". 1", LQ_ERR_INVALID, "file name '.' leaves the folder"},
        {"\x1b[2J/x 1", LQ_ERR_INVALID, "line 1: file name "},
        {"\xc3/x 1", LQ_ERR_INVALID, "line 1: file name "},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_text("labels.txt", cases[i].text);
        if (cases[i].status == LQ_OK)
            lq_dataset_close(opened(LQ_SPLIT_TEST));
        else
            assert_refused(LQ_SPLIT_TEST, cases[i].status, cases[i].error, cases[i].text);
    }
    write_bytes("labels.txt", "a.png 1\nb\0.png 2\n", 17);
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_FORMAT, "labels.txt: offset 9: a zero byte", "zero");
    unlink(in_folder("labels.txt"));
    ck_assert_int_eq(mkdir(in_folder("labels.txt"), 0700), 0);
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_INVALID, "labels.txt: not a regular file", "a folder");
}
END_TEST

/* Long texts are shown in part. */
START_TEST(long_texts)
{
    char text[4096] = "a";

    for (int i = 0; i < 1000; i++)
        strcat(text, "\xc3\xa4"); /* a umlaut, behind one byte */
    char *end = text + strlen(text);
    strcpy(end, "/x 1");
    write_text("labels.txt", text);
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_INVALID, "line 1: file name 'a\xc3\xa4\xc3\xa4", "name");
    memcpy(text, "a ", 2);
    memmove(text + 3, text + 2, strlen(text + 2) + 1);
    text[2] = 'a';
    *strchr(text, '/') = '\0';
    write_text("labels.txt", text);
    assert_refused(LQ_SPLIT_TEST, LQ_ERR_FORMAT, "line 1: class 'a", "class");
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Images that cannot be read
 */

START_TEST(unreadable_images)
{
    static const struct {
        const char *name;
        int status;
        const char *text;
    } items[] = {
        {"missing.png", LQ_ERR_NOT_FOUND, "/missing.png: cannot open: No such file"},
        {"dangling.png", LQ_ERR_NOT_FOUND, "/dangling.png: cannot open: No such file"},
        {"loop.png", LQ_ERR_IO, "/loop.png: cannot open: Too many levels"},
        {"folder.png", LQ_ERR_INVALID, "/folder.png: not a regular file"},
        {"pipe.png", LQ_ERR_INVALID, "/pipe.png: not a regular file"},
        {"device.png", LQ_ERR_INVALID, "/device.png: not a regular file"},
        {"empty.png", LQ_ERR_FORMAT, "/empty.png: neither a JPEG nor a PNG file"},
        {"text.png", LQ_ERR_FORMAT, "/text.png: neither a JPEG nor a PNG file"},
        {"cut.png", LQ_ERR_FORMAT, "/cut.png: damaged PNG"},
        {"large.png", LQ_ERR_LIMIT, "/large.png: 16777217 bytes, at most 16777216 are read"},
    };
    const int count = sizeof(items) / sizeof(items[0]);
    char list[1024] = "";

    for (int i = 0; i < count; i++)
        sprintf(list + strlen(list), "%s 0\n", items[i].name);
    write_text("labels.txt", list);
    ck_assert_int_eq(symlink("nowhere", in_folder("dangling.png")), 0);
    ck_assert_int_eq(symlink("loop.png", in_folder("loop.png")), 0);
    ck_assert_int_eq(mkdir(in_folder("folder.png"), 0700), 0);
    ck_assert_int_eq(mkfifo(in_folder("pipe.png"), 0600), 0);
    ck_assert_int_eq(symlink("/dev/zero", in_folder("device.png")), 0);
    write_text("empty.png", "");
    write_text("text.png", "not an image");
    write_bytes("cut.png", "\x89PNG\r\n\x1a\n\0\0", 10);
    write_text("large.png", "");
    ck_assert_int_eq(truncate(in_folder("large.png"), (16 << 20) + 1), 0);
    struct lq_dataset *dataset = opened(LQ_SPLIT_TEST);

    ck_assert_int_eq(lq_dataset_count(dataset), count);
    for (int i = 0; i < count; i++) {
        const struct lq_preprocess p = {.height = 1, .width = 1, .std = {1, 1, 1}, .scale = 1};
        struct lq_image image = {0};
        struct lq_error error = {0}, again = {0};
        float input[3];

        ck_assert_msg(lq_dataset_image(dataset, i, NULL, &image, &error) == items[i].status,
                      "%s: %s", items[i].name, error.text);
        ck_assert_ptr_null(image.pixels);
        ck_assert_msg(strstr(error.text, items[i].text) &&
                          strncmp(error.text, folder, strlen(folder)) == 0,
                      "%s", error.text);
        ck_assert_int_eq(lq_dataset_input(dataset, i, &p, 3, NULL, NULL, input, &again),
                         items[i].status);
        ck_assert_str_eq(again.text, error.text);
    }
    lq_dataset_close(dataset);
}
END_TEST

/* A link is followed: who can put it into the folder decides what the data set is. */
START_TEST(links)
{
    write_image("a.png", 5);
    ck_assert_int_eq(symlink("a.png", in_folder("link.png")), 0);
    write_text("labels.txt", "link.png 1\n");
    struct lq_dataset *dataset = opened(LQ_SPLIT_TEST);

    assert_item(dataset, 0, 1, 5);
    lq_dataset_close(dataset);
}
END_TEST

/* The caller's limits reach the decoder. */
START_TEST(limits_reach_the_decoder)
{
    const struct lq_image_limits none = {1 << 20, 0};
    struct lq_image image = {0};
    struct lq_error error = {0};

    write_image("a.png", 5);
    write_text("labels.txt", "a.png 0\n");
    struct lq_dataset *dataset = opened(LQ_SPLIT_TEST);
    ck_assert_int_eq(lq_dataset_image(dataset, 0, &none, &image, &error), LQ_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "/a.png: image of 1 x 1 pixels, at most 0 are"));
    lq_dataset_close(dataset);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Network inputs
 */

/* Channel c of pixel (x, y) of the middle 2 x 2 of 32 x 32: (value - c) / (c + 1). */
START_TEST(inputs)
{
    const struct lq_preprocess p = {
        .height = 2, .width = 2, .resize = 32, .mean = {0, 1, 2}, .std = {1, 2, 3}, .scale = 1};
    const struct lq_augmentation flip = {.flip = true};
    float input[12], mirrored[12];
    int mirrors = 0;

    write_cifar("test_batch.bin", 0, 2, 0);
    struct lq_dataset *dataset = opened(LQ_SPLIT_TEST);
    ck_assert_int_eq(lq_dataset_input(dataset, 1, &p, 3, NULL, NULL, input, NULL), LQ_OK);
    for (int i = 0; i < 12; i++) {
        int x = 15 + i / 3 % 2, y = 15 + i / 6, c = i % 3;
        float value = cifar_byte(1, c * PLANE + 32 * y + x);

        ck_assert_float_eq_tol(input[i], (value - (float)c) / (float)(c + 1), 1e-5f);
    }
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct lq_rng rng;

        lq_rng_init(&rng, seed, 0);
        ck_assert_int_eq(lq_dataset_input(dataset, 1, &p, 3, &flip, &rng, mirrored, NULL), LQ_OK);
        bool turned = memcmp(mirrored, input, sizeof(input)) != 0;
        for (int i = 0; i < 12; i++)
            ck_assert(mirrored[i] == input[turned ? i / 6 * 6 + (3 - i % 6 / 3 * 3) + i % 3 : i]);
        mirrors += turned;
    }
    ck_assert_int_ge(mirrors, 25); /* 50 expected, 5 sigma */
    ck_assert_int_le(mirrors, 75);
    lq_dataset_close(dataset);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("dataset");
    int failed;

    if (!mkdtemp(root)) {
        perror(root);
        return 1;
    }
    snprintf(folder, sizeof(folder), "%s/set", root);
    tcase_add_checked_fixture(tests, empty_folder, NULL);
    tcase_add_test(tests, cifar);
    tcase_add_test(tests, cifar_damage);
    tcase_add_test(tests, cifar_missing_files);
    tcase_add_test(tests, class_folders);
    tcase_add_test(tests, no_images_at_all);
    tcase_add_test(tests, labels_file);
    tcase_add_test(tests, bad_lists);
    tcase_add_test(tests, long_texts);
    tcase_add_test(tests, unreadable_images);
    tcase_add_test(tests, links);
    tcase_add_test(tests, limits_reach_the_decoder);
    tcase_add_test(tests, inputs);
    failed = suite_main("dataset", tests);
    nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    return failed;
}
