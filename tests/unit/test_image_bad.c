/* test_image_bad.c - damaged and hostile images are refused, with a reason, and cost little.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <turbojpeg.h>

#include "graph/name.h"
#include "image/decode.h"
#include "image/exif.h"
#include "support/image_forge.h"
#include "support/suite.h"

static const struct lq_image_limits small = {1 << 16, 1 << 14};

/* Decodes and forgets. What is refused has a reason that is safe to print, and leaves no image. */
static int decode(const struct blob *file, const struct lq_image_limits *limits, char *ret_text)
{
    struct lq_image image = {0};
    struct lq_error error = {0};
    int status = lq_image_decode(file->bytes, file->size, limits, &image, &error);

    ck_assert_int_eq(status, error.status);
    if (status == LQ_OK) {
        ck_assert(image.pixels && image.width > 0 && image.height > 0);
    } else {
        ck_assert(!image.pixels && error.text[0]);
        ck_assert_int_eq(lq_text_check("reason", error.text, sizeof(error.text), NULL), LQ_OK);
    }
    if (ret_text)
        memcpy(ret_text, error.text, sizeof(error.text));
    lq_image_deinit(&image);
    return status;
}

static void assert_refused(const struct blob *file, const struct lq_image_limits *limits,
                           int expected, const char *text, const char *what)
{
    char got[512];
    int status = decode(file, limits, got);

    ck_assert_msg(status == expected, "%s: status %d, expected %d: %s", what, status, expected,
                  got);
    ck_assert_msg(strstr(got, text) != NULL, "%s: '%s' says no '%s'", what, got, text);
}

static struct blob small_png(void)
{
    uint8_t rgb[7 * 5 * 3];

    for (size_t i = 0; i < sizeof(rgb); i++)
        rgb[i] = (uint8_t)(i * 37);
    return png_file(rgb, 7, 5, NULL, NULL);
}

static struct blob small_jpeg(void)
{
    uint8_t rgb[17 * 13 * 3];

    for (size_t i = 0; i < sizeof(rgb); i++)
        rgb[i] = (uint8_t)(i * i / 11);
    return jpeg_file(rgb, 17, 13, TJPF_RGB, TJSAMP_420);
}

/* ------------------------------------------------------------------------------------------------
 * Damage
 */

/* A picture of which the smallest part is missing is no picture. */
static void truncate_everywhere(struct blob file, const char *what)
{
    for (size_t size = 0; size < file.size; size++) {
        struct blob cut = blob_copy(&file, 0, size);
        char name[64];

        snprintf(name, sizeof(name), "%s cut to %zu bytes", what, size);
        bool known = lq_image_format(cut.bytes, size) != LQ_IMAGE_UNKNOWN;
        assert_refused(&cut, NULL, LQ_ERR_FORMAT, known ? what : "neither a JPEG nor a PNG file",
                       name);
        blob_free(&cut);
    }
    ck_assert_int_eq(decode(&file, NULL, NULL), LQ_OK);
    blob_free(&file);
}

START_TEST(truncated_png)
{
    truncate_everywhere(small_png(), "damaged PNG");
}
END_TEST

START_TEST(truncated_jpeg)
{
    static const char *const codings[] = {"TJ_OPTIMIZE", "TJ_PROGRESSIVE", "TJ_ARITHMETIC"};

    for (int i = 0; i < 3; i++) {
        setenv(codings[i], "1", 1);
        struct blob jpeg = small_jpeg();
        unsetenv(codings[i]);

        truncate_everywhere(jpeg, "damaged JPEG");
    }
}
END_TEST

/* Checksums guard every byte of a PNG file, but nobody needs the last one, of an empty chunk. A
 * size that is flipped may also be beyond the limit. */
START_TEST(flipped_png)
{
    struct blob png = small_png();

    for (size_t at = 0; at < png.size - 4; at++)
        for (int bit = 0; bit < 8; bit++) {
            png.bytes[at] ^= (uint8_t)(1 << bit);
            int status = decode(&png, &small, NULL);
            ck_assert_msg(status == LQ_ERR_FORMAT ||
                              (status == LQ_ERR_LIMIT && at >= 16 && at < 24),
                          "byte %zu, bit %d: %d", at, bit, status);
            png.bytes[at] ^= (uint8_t)(1 << bit);
        }
    blob_free(&png);
}
END_TEST

/* JPEG has none: a flipped bit may give another picture, or a refusal. */
START_TEST(flipped_jpeg)
{
    static const char *const codings[] = {"TJ_OPTIMIZE", "TJ_PROGRESSIVE", "TJ_ARITHMETIC"};

    for (int i = 0; i < 3; i++) {
        int accepted = 0, refused = 0;
        setenv(codings[i], "1", 1);
        struct blob jpeg = small_jpeg();
        unsetenv(codings[i]);

        for (size_t at = 0; at < jpeg.size; at++)
            for (int bit = 0; bit < 8; bit++) {
                jpeg.bytes[at] ^= (uint8_t)(1 << bit);
                int status = decode(&jpeg, &small, NULL);
                ck_assert_msg(status == LQ_OK || status == LQ_ERR_FORMAT || status == LQ_ERR_LIMIT,
                              "byte %zu bit %d: %d", at, bit, status);
                *(status == LQ_OK ? &accepted : &refused) += 1;
                jpeg.bytes[at] ^= (uint8_t)(1 << bit);
            }
        ck_assert_int_gt(accepted, 100);
        ck_assert_int_gt(refused, 100);
        blob_free(&jpeg);
    }
}
END_TEST

/* Files whose checksums are right around damaged bytes. */
START_TEST(forged_png)
{
    struct blob png = small_png();

    for (int i = 0; i < 20000; i++) {
        struct blob forged = blob_copy(&png, 0, png.size);
        int header = rand() % 13, data = rand() % (int)(png.size - 57);

        if (i % 2)
            forged.bytes[16 + header] = (uint8_t)rand();
        if (i % 2 == 0 || i % 5 == 0)
            forged.bytes[41 + data] = (uint8_t)rand();
        png_seal(&forged, 8);
        png_seal(&forged, 33);
        int status = decode(&forged, &small, NULL);
        ck_assert(status == LQ_OK || status == LQ_ERR_FORMAT || status == LQ_ERR_LIMIT);
        blob_free(&forged);
    }
    blob_free(&png);
}
END_TEST

/* What stands behind the end of a picture is not read. */
START_TEST(bytes_behind_the_end)
{
    struct blob files[] = {small_png(), small_jpeg()};

    for (int i = 0; i < 2; i++) {
        blob_add(&files[i], "\x89PNG\r\n\x1a\n\xff\xd8\xff\xda\xff", 13);
        ck_assert_int_eq(decode(&files[i], NULL, NULL), LQ_OK);
        blob_free(&files[i]);
    }
}
END_TEST

START_TEST(no_images)
{
    static const struct {
        const char *bytes;
        size_t size;
    } files[] = {{"", 0},
                 {"\xff", 1},
                 {"\xff\xd8", 2},
                 {"\x89PNG\r\n\x1a", 7},
                 {"\x89PNG\n\x1a\n\0\0", 9}, /* a line end was converted */
                 {"GIF89a\1\0\1\0", 10},
                 {"RIFF\x24\0\0\0WEBPVP8 ", 16},
                 {"BM\x3a\0\0\0", 6},
                 {"II*\0\x08\0\0\0", 8},
                 {"\0\0\0\x20"
                  "ftypavif",
                  12},
                 {"<svg xmlns='http://www.w3.org/2000/svg'/>", 41},
                 {"\0\0\0\0\0\0\0\0\0\0\0\0", 12}};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct blob file = {0};

        blob_add(&file, files[i].bytes, files[i].size);
        ck_assert_int_eq(lq_image_format(file.bytes, file.size), LQ_IMAGE_UNKNOWN);
        assert_refused(&file, NULL, LQ_ERR_FORMAT, "neither a JPEG nor a PNG file", files[i].bytes);
        blob_free(&file);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Limits
 */

static void put_big(uint8_t *to, uint32_t value, int count)
{
    for (int i = 0; i < count; i++)
        to[i] = (uint8_t)(value >> 8 * (count - 1 - i));
}

/* All that a small file can say about its size is judged before a pixel is decoded. */
START_TEST(png_sizes)
{
    static const struct {
        uint32_t width, height;
        int status;
        const char *text;
    } cases[] = {
        {65535, 65535, LQ_ERR_LIMIT, "65535 x 65535 pixels, at most 33554432 are decoded"},
        {65535, 513, LQ_ERR_LIMIT, "65535 x 513 pixels, at most 33554432"},
        {65536, 1, LQ_ERR_LIMIT, "65536 x 1 pixels, a side has 1..65535"},
        {1, 70000, LQ_ERR_LIMIT, "1 x 70000 pixels, a side has 1..65535"},
        {1000001, 1, LQ_ERR_LIMIT, "1000001 x 1 pixels, a side has 1..65535"},
        {1, 2147483647, LQ_ERR_LIMIT, "1 x 2147483647 pixels, a side has 1..65535"},
        {2147483647, 2147483647, LQ_ERR_LIMIT, "2147483647 x 2147483647 pixels"},
        {4294967295u, 1, LQ_ERR_LIMIT, "4294967295 x 1 pixels, a side has 1..65535"},
        {0, 5, LQ_ERR_LIMIT, "0 x 5 pixels, a side has 1..65535"},
        {5, 0, LQ_ERR_LIMIT, "5 x 0 pixels, a side has 1..65535"},
        {7, 6, LQ_ERR_FORMAT, "damaged PNG"}, /* the pixels of 7 x 5 */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct blob png = small_png();

        put_big(png.bytes + 16, cases[i].width, 4);
        put_big(png.bytes + 20, cases[i].height, 4);
        png_seal(&png, 8);
        assert_refused(&png, NULL, cases[i].status, cases[i].text, cases[i].text);
        blob_free(&png);
    }
}
END_TEST

START_TEST(jpeg_sizes)
{
    static const struct {
        uint32_t width, height;
        int status;
        const char *text;
    } cases[] = {
        {65535, 65535, LQ_ERR_FORMAT, "dimension is 65500 pixels"}, /* libjpeg stops first */
        {65500, 65500, LQ_ERR_LIMIT, "65500 x 65500 pixels, at most 33554432 are decoded"},
        {65500, 513, LQ_ERR_LIMIT, "65500 x 513 pixels, at most 33554432 are decoded"},
        {0, 13, LQ_ERR_FORMAT, "damaged JPEG"},
        {17, 0, LQ_ERR_FORMAT, "damaged JPEG"},
        {17, 33, LQ_ERR_FORMAT, "damaged JPEG"}, /* the pixels of 17 x 13 */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct blob jpeg = small_jpeg();
        size_t frame = jpeg_find(&jpeg, 0xc0);

        put_big(jpeg.bytes + frame + 5, cases[i].height, 2);
        put_big(jpeg.bytes + frame + 7, cases[i].width, 2);
        assert_refused(&jpeg, NULL, cases[i].status, cases[i].text, cases[i].text);
        blob_free(&jpeg);
    }
}
END_TEST

START_TEST(callers_limits)
{
    struct blob files[] = {small_png(), small_jpeg()};
    const size_t pixels[] = {7 * 5, 17 * 13};
    static const char *const sizes[] = {"7 x 5 pixels, at most 34 are",
                                        "17 x 13 pixels, at most 220 are"};

    for (int i = 0; i < 2; i++) {
        struct lq_image_limits limits = {files[i].size, pixels[i]};
        char text[64];

        ck_assert_int_eq(decode(&files[i], &limits, NULL), LQ_OK);
        limits.max_pixels--;
        assert_refused(&files[i], &limits, LQ_ERR_LIMIT, sizes[i], "pixels");
        limits = (struct lq_image_limits){files[i].size - 1, pixels[i]};
        snprintf(text, sizeof(text), "file of %zu bytes, at most %zu are read", files[i].size,
                 files[i].size - 1);
        assert_refused(&files[i], &limits, LQ_ERR_LIMIT, text, "bytes");
        blob_free(&files[i]);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Lies
 */

START_TEST(png_chunks_that_lie)
{
    enum { IDAT = 2 + 5 + 5 * (1 + 7 * 3) + 4 }; /* bytes of small_png's pixels */
    static const struct {
        const char *what;
        size_t at;
        uint32_t value;
        const char *text;
    } cases[] = {
        {"IHDR longer", 8, 14, "no header at byte 8"},
        {"IHDR shorter", 8, 12, "no header at byte 8"},
        {"IHDR empty", 8, 0, "no header at byte 8"},
        {"IHDR beyond the end", 8, 0xffffffff, "no header at byte 8"},
        {"IDAT one longer", 33, IDAT + 1, "it ends in the chunk at byte "},
        {"IDAT one shorter", 33, IDAT - 1, "it ends in the chunk at byte "},
        {"IDAT beyond the end", 33, 100000, "it ends in the chunk at byte 33"},
        {"IDAT around the address space", 33, 0xfffffff4, "it ends in the chunk at byte 33"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct blob png = small_png();

        put_big(png.bytes + cases[i].at, cases[i].value, 4);
        assert_refused(&png, NULL, LQ_ERR_FORMAT, cases[i].text, cases[i].what);
        blob_free(&png);
    }
}
END_TEST

/* Each byte of an EXIF directory wrong in some way: the picture stays as it is stored. */
START_TEST(exif_that_lies)
{
    static const struct {
        const char *what;
        size_t at;
        uint32_t value;
        int count;
    } lies[] = {
        {"byte order", 0, 0x4d49, 2},
        {"magic", 2, 43, 2},
        {"directory before the header's end", 4, 7, 4},
        {"directory at 0", 4, 0, 4},
        {"directory at the end", 4, 26, 4},
        {"directory beyond the end", 4, 27, 4},
        {"directory far away", 4, 0xffffffff, 4},
        {"directory around", 4, 0xfffffff8, 4},
        {"no entries", 8, 0, 2},
        {"another tag", 10, 0x0113, 2},
        {"type byte", 12, 1, 2},
        {"type long", 12, 4, 2},
        {"type of none", 12, 0xffff, 2},
        {"no values", 14, 0, 4},
        {"two values", 14, 2, 4},
        {"many values", 14, 0xffffffff, 4},
        {"orientation 0", 18, 0, 2},
        {"orientation 9", 18, 9, 2},
        {"orientation 65535", 18, 0xffff, 2},
    };

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct blob tiff = exif_tiff(true, 6), jpeg = small_jpeg();
        struct lq_image image = {0};

        put_big(tiff.bytes + lies[i].at, lies[i].value, lies[i].count);
        jpeg_insert_exif(&jpeg, &tiff);
        ck_assert_msg(lq_exif_jpeg_orientation(jpeg.bytes, jpeg.size) == 1, "%s", lies[i].what);
        ck_assert_int_eq(lq_image_decode(jpeg.bytes, jpeg.size, NULL, &image, NULL), LQ_OK);
        ck_assert_int_eq(image.width, 17); /* 13 if it had been turned */
        lq_image_deinit(&image);
        blob_free(&jpeg);
        blob_free(&tiff);
    }
}
END_TEST

/* More entries than there are: the ones that there are count. */
START_TEST(exif_cut_short)
{
    struct blob tiff = exif_tiff(true, 6);

    for (size_t size = 0; size <= tiff.size; size++) {
        struct blob cut = blob_copy(&tiff, 0, size), jpeg = {0};

        blob_add(&jpeg, "\xff\xd8", 2);
        jpeg_insert_exif(&jpeg, &cut);
        int expected = size >= 22 ? 6 : 1; /* the entry ends at 22 */
        ck_assert_msg(lq_exif_jpeg_orientation(jpeg.bytes, jpeg.size) == expected, "%zu", size);
        for (size_t end = 0; end < jpeg.size; end++) {
            struct blob part = blob_copy(&jpeg, 0, end);

            ck_assert_int_eq(lq_exif_jpeg_orientation(part.bytes, part.size), 1);
            ck_assert_int_eq(lq_exif_png_orientation(part.bytes, part.size), 1);
            blob_free(&part);
        }
        blob_free(&jpeg);
        blob_free(&cut);
    }
    put_big(tiff.bytes + 8, 0xffff, 2);
    struct blob jpeg = small_jpeg();
    jpeg_insert_exif(&jpeg, &tiff);
    ck_assert_int_eq(lq_exif_jpeg_orientation(jpeg.bytes, jpeg.size), 6);
    blob_free(&jpeg);
    blob_free(&tiff);
}
END_TEST

/* Segments whose lengths lie end the search for EXIF, and the decoder judges the rest. */
START_TEST(jpeg_segments_that_lie)
{
    static const uint32_t lengths[] = {0, 1, 2, 7, 9, 0xffff};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct blob tiff = exif_tiff(true, 6), jpeg = small_jpeg();

        jpeg_insert_exif(&jpeg, &tiff);
        put_big(jpeg.bytes + 4, lengths[i], 2);
        ck_assert_int_eq(lq_exif_jpeg_orientation(jpeg.bytes, jpeg.size), 1);
        ck_assert_int_ne(decode(&jpeg, NULL, NULL), LQ_ERR_MEMORY);
        blob_free(&jpeg);
        blob_free(&tiff);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Bombs: small files that unpack to much. None may take longer than a real picture would.
 */

enum { BOMB = 256 << 20, MOST_SECONDS = 5 };

static int timed_decode(const struct blob *file, const char *what)
{
    clock_t start = clock();
    int status = decode(file, NULL, NULL);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;

    ck_assert_msg(seconds < MOST_SECONDS, "%s: %.1f s", what, seconds);
    return status;
}

START_TEST(png_bombs)
{
    static const struct {
        const char *type, *prefix;
        size_t prefix_bytes;
    } bombs[] = {{"zTXt", "Comment\0", 9}, {"iTXt", "Comment\0\1\0\0", 12}, {"iCCP", "icc\0", 5}};
    static const uint8_t rgb[3] = {1, 2, 3};
    struct blob zeros = zlib_zeros(BOMB);

    ck_assert_uint_lt(zeros.size, BOMB / 100);
    for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
        struct blob payload = {0};

        blob_add(&payload, bombs[i].prefix, bombs[i].prefix_bytes);
        blob_add(&payload, zeros.bytes, zeros.size);
        struct blob png = png_file(rgb, 1, 1, bombs[i].type, &payload);

        timed_decode(&png, bombs[i].type);
        blob_free(&png);
        blob_free(&payload);
    }
    struct blob png = png_begin(1, 1, 8, PNG_RGB); /* one pixel, and 256 MiB behind it */
    png_chunk(&png, "IDAT", zeros.bytes, zeros.size);
    png_chunk(&png, "IEND", NULL, 0);
    timed_decode(&png, "IDAT");
    blob_free(&png);
    blob_free(&zeros);
}
END_TEST

/* As many chunks as the byte limit lets in. */
START_TEST(png_of_many_chunks)
{
    static const char *const types[] = {"tEXt", "prVt", "sPLT", "IDAT"};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct blob png = png_begin(1, 1, 8, PNG_RGB), one = {0};
        uint8_t *room;

        png_chunk(&one, types[i], i == 3 ? "" : "a\0b", i == 3 ? 0 : 3);
        size_t count = ((15u << 20) / one.size), start = png.size;
        room = realloc(png.bytes, start + count * one.size);
        ck_assert_ptr_nonnull(room);
        for (size_t at = 0; at < count; at++)
            memcpy(room + start + at * one.size, one.bytes, one.size);
        png = (struct blob){room, start + count * one.size};
        png_rows(&png, (const uint8_t[]){1, 2, 3}, 3, 1);
        png_chunk(&png, "IEND", NULL, 0);
        timed_decode(&png, types[i]);
        blob_free(&png);
        blob_free(&one);
    }
}
END_TEST

/* Progressive, 64 x 64 grey pixels: all DC values in one scan, then scans that end every block's AC
 * values in one byte. */
static struct blob many_scans(int scans)
{
    static const uint8_t zeros[16];
    uint8_t ones[64];
    struct blob jpeg = {0};

    memset(ones, 1, sizeof(ones));
    blob_add(&jpeg, "\xff\xd8\xff\xdb\0\x43\0", 7);
    blob_add(&jpeg, ones, 64);
    blob_add(&jpeg, "\xff\xc2\0\x0b\x08\0\x40\0\x40\1\1\x11\0", 13);
    blob_add(&jpeg, "\xff\xc4\0\x14\0\1", 6); /* one DC code: a difference of 0 */
    blob_add(&jpeg, zeros, 16);
    blob_add(&jpeg, "\xff\xc4\0\x14\x10\1", 6); /* one AC code: 64 and 6 bits of blocks end */
    blob_add(&jpeg, zeros, 15);
    blob_number(&jpeg, 0x60, 1, true);
    blob_add(&jpeg, "\xff\xda\0\x08\1\1\0\0\0\0", 10);
    blob_add(&jpeg, zeros, 8);
    for (int i = 1; i < scans; i++)
        blob_add(&jpeg, "\xff\xda\0\x08\1\1\0\1\x3f\0\0", 11);
    blob_add(&jpeg, "\xff\xd9", 2);
    return jpeg;
}

/* Each scan visits every pixel: the larger the image, the fewer of them. */
START_TEST(jpeg_scans)
{
    static const struct {
        int scans;
        size_t max_pixels;
        int status;
        const char *text;
    } cases[] = {
        {2, 4096, LQ_OK, ""},
        {32, 4096, LQ_OK, ""},
        {33, 4096, LQ_ERR_LIMIT, "JPEG of 33 scans of 64 x 64 pixels, at most 32 are decoded"},
        {64, 8192, LQ_OK, ""},
        {65, 8192, LQ_ERR_LIMIT, "JPEG of 65 scans of 64 x 64 pixels, at most 64 are decoded"},
        {500, 1 << 20, LQ_OK, ""},
        {502, 1 << 20, LQ_ERR_FORMAT, "more than 500 scans"}, /* libjpeg's own limit */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lq_image_limits limits = {1 << 20, cases[i].max_pixels};
        struct blob jpeg = many_scans(cases[i].scans);

        struct blob thumbnail = many_scans(100);
        jpeg_insert(&jpeg, 0xe1, thumbnail.bytes,
                    thumbnail.size); /* a thumbnail has scans of its own */
        assert_refused(&jpeg, &limits, cases[i].status, cases[i].text, cases[i].text);
        blob_free(&thumbnail);
        blob_free(&jpeg);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("image_bad");

    tcase_add_test(tests, truncated_png);
    tcase_add_test(tests, truncated_jpeg);
    tcase_add_test(tests, flipped_png);
    tcase_add_test(tests, flipped_jpeg);
    tcase_add_test(tests, forged_png);
    tcase_add_test(tests, bytes_behind_the_end);
    tcase_add_test(tests, no_images);
    tcase_add_test(tests, png_sizes);
    tcase_add_test(tests, jpeg_sizes);
    tcase_add_test(tests, callers_limits);
    tcase_add_test(tests, png_chunks_that_lie);
    tcase_add_test(tests, exif_that_lies);
    tcase_add_test(tests, exif_cut_short);
    tcase_add_test(tests, jpeg_segments_that_lie);
    tcase_add_test(tests, png_bombs);
    tcase_add_test(tests, png_of_many_chunks);
    tcase_add_test(tests, jpeg_scans);
    return suite_main("image_bad", tests);
}
