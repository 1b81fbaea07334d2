/* test_tar.c - archives as tar writes them, and hostile ones.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "codec/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"
#include "support/tar_forge.h"

static int next(const struct archive *archive, size_t size, int *ret_files, struct lq_error *error)
{
    char *copy = malloc(size ? size : 1); /* the sanitizer sees what is read beyond */
    struct tar_file file;
    struct tar tar;
    bool more = true;
    int status = LQ_OK;

    memcpy(copy, archive->bytes, size);
    tar_begin(&tar, copy, size);
    *ret_files = 0;
    while (status == LQ_OK && more) {
        status = tar_next(&tar, &more, &file, error);
        *ret_files += status == LQ_OK && more;
    }
    free(copy);
    return status;
}

START_TEST(files)
{
    struct archive archive = {NULL, 0};
    static const char zeros[2 * TAR_BLOCK];
    struct tar tar;
    struct tar_file file;
    struct lq_error error = {0};
    bool more;
    char *header;

    tar_forge_add(&archive, "pax", 'x', "30 mtime=1700000000.123456\n", 27);
    tar_forge_add(&archive, "./", '5', "", 0);
    tar_forge_add(&archive, "./cat/a.png", '0', "12345", 5);
    header = tar_forge_add(&archive, "b.png", '\0', "", 0);
    memcpy(header + 345, "long/folder", 11);
    tar_forge_sign(header);
    tar_forge_add(&archive, "big", '0', zeros, 513);
    archive.bytes = realloc(archive.bytes, archive.size + sizeof(zeros) + 7);
    memcpy(archive.bytes + archive.size, zeros, sizeof(zeros));
    memcpy(archive.bytes + archive.size + sizeof(zeros), "garbage", 7); /* not looked at */
    tar_begin(&tar, archive.bytes, archive.size + sizeof(zeros) + 7);
    ck_assert_int_eq(tar_next(&tar, &more, &file, &error), LQ_OK);
    ck_assert(more);
    ck_assert_str_eq(file.name, "./cat/a.png");
    ck_assert_uint_eq(file.size, 5);
    ck_assert_mem_eq(file.bytes, "12345", 5);
    ck_assert_int_eq(tar_next(&tar, &more, &file, &error), LQ_OK);
    ck_assert_str_eq(file.name, "long/folder/b.png");
    ck_assert_uint_eq(file.size, 0);
    ck_assert_int_eq(tar_next(&tar, &more, &file, &error), LQ_OK);
    ck_assert_uint_eq(file.size, 513);
    ck_assert_int_eq(tar_next(&tar, &more, &file, &error), LQ_OK);
    ck_assert(!more);
    free(archive.bytes);
}
END_TEST

START_TEST(refused)
{
    static const struct {
        char type;
        const char *bytes;
        int status;
    } cases[] = {{'2', "", LQ_ERR_UNSUPPORTED},           {'1', "", LQ_ERR_UNSUPPORTED},
                 {'3', "", LQ_ERR_UNSUPPORTED},           {'L', "a/b", LQ_ERR_UNSUPPORTED},
                 {'S', "", LQ_ERR_UNSUPPORTED},           {'x', "11 path=a\n", LQ_ERR_UNSUPPORTED},
                 {'g', "11 size=9\n", LQ_ERR_UNSUPPORTED}};
    int count;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct archive archive = {NULL, 0};
        struct lq_error error = {0};

        tar_forge_add(&archive, "evil-name", cases[i].type, cases[i].bytes, strlen(cases[i].bytes));
        ck_assert_int_eq(next(&archive, archive.size, &count, &error), cases[i].status);
        ck_assert_ptr_nonnull(strstr(error.text, "evil-name"));
        free(archive.bytes);
    }
}
END_TEST

/* A size beyond the archive, one that is no number, base 256, a wrong checksum. */
START_TEST(damaged)
{
    static const char *const sizes[] = {"77777777777", "00000002001", "0000000000x", "           ",
                                        "\x80\0\0\0\0\0\0\0\0\0\1"};
    struct archive archive = {NULL, 0};
    struct lq_error error = {0};
    int count;

    tar_forge_add(&archive, "a", '0', "0123456789", 10);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        memcpy(archive.bytes + 124, sizes[i], 11);
        tar_forge_sign(archive.bytes);
        ck_assert_int_eq(next(&archive, archive.size, &count, &error), LQ_ERR_FORMAT);
    }
    memcpy(archive.bytes + 124, "00000000012", 11);
    ck_assert_int_eq(next(&archive, archive.size, &count, &error), LQ_ERR_FORMAT); /* its sum */
    tar_forge_sign(archive.bytes);
    ck_assert_int_eq(next(&archive, archive.size, &count, &error), LQ_OK);
    ck_assert_int_eq(count, 1);
    free(archive.bytes);
}
END_TEST

/* Cut off anywhere, and with any byte changed: an answer, and nothing read beyond. */
START_TEST(every_cut_and_change)
{
    struct archive archive = {NULL, 0};
    int count;

    tar_forge_add(&archive, "cat/a.png", '0', "0123456789", 10);
    tar_forge_add(&archive, "dog/b.png", '0', "0123456789", 10);
    for (size_t size = 0; size < archive.size; size++) {
        struct lq_error error = {0};
        int status = next(&archive, size, &count, &error);
        bool whole = size == 0 || size >= 3 * TAR_BLOCK + 10 ||
                     (size >= TAR_BLOCK + 10 && size <= 2 * TAR_BLOCK);

        ck_assert_msg(status == (whole ? LQ_OK : LQ_ERR_FORMAT), "%zu: %d", size, status);
    }
    for (int i = 0; i < 20000; i++) {
        size_t at = (size_t)rand() % archive.size;
        char was = archive.bytes[at];
        struct lq_error error = {0};

        archive.bytes[at] = (char)rand();
        if (rand() % 2)
            tar_forge_sign(archive.bytes);
        next(&archive, archive.size, &count, &error);
        ck_assert_int_le(count, 2);
        archive.bytes[at] = was;
        tar_forge_sign(archive.bytes);
    }
    free(archive.bytes);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("tar");

    tcase_add_test(tests, files);
    tcase_add_test(tests, refused);
    tcase_add_test(tests, damaged);
    tcase_add_test(tests, every_cut_and_change);
    return suite_main("tar", tests);
}
