/* test_image.c - every kind of JPEG and PNG file gives the pixels that were put into it, upright.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "image/decode.h"
#include "image/exif.h"
#include "support/image_forge.h"
#include "support/suite.h"

/* Decodes, and frees the file. */
static struct lq_image decoded(struct blob *file, const char *what)
{
    struct lq_image image = {0};
    struct lq_error error = {0};

    ck_assert_msg(lq_image_decode(file->bytes, file->size, NULL, &image, &error) == LQ_OK, "%s: %s",
                  what, error.text);
    blob_free(file);
    return image;
}

static void assert_pixels(const struct lq_image *image, const uint8_t *rgb, int tolerance,
                          const char *what)
{
    for (int i = 0; i < 3 * image->width * image->height; i++)
        ck_assert_msg(abs(image->pixels[i] - rgb[i]) <= tolerance,
                      "%s: pixel %d channel %d is %d, expected %d", what, i / 3, i % 3,
                      image->pixels[i], rgb[i]);
}

/* ------------------------------------------------------------------------------------------------
 * PNG
 */

/* The same pixels in each: rows of four, transparent or not. */
static const struct {
    const char *what;
    int depth;
    enum png_color color;
    size_t row_bytes;
    const char *row, *palette, *transparency;
    size_t palette_bytes, transparency_bytes;
    uint8_t rgb[12];
} pngs[] = {
#define G(a, b, c, d)                                                                              \
    {                                                                                              \
        a, a, a, b, b, b, c, c, c, d, d, d                                                         \
    }
    {"grey, 1 bit", 1, PNG_GREY, 1, "\xa0", "", "", 0, 0, G(255, 0, 255, 0)},
    {"grey, 2 bits", 2, PNG_GREY, 1, "\x1b", "", "", 0, 0, G(0, 85, 170, 255)},
    {"grey, 4 bits", 4, PNG_GREY, 2, "\x01\xef", "", "", 0, 0, G(0, 17, 238, 255)},
    {"grey", 8, PNG_GREY, 4, "\x00\x01\x80\xff", "", "", 0, 0, G(0, 1, 128, 255)},
    /* 16 bits become 8 by rounding v / 257: 128 / 257 to 0, 129 / 257 to 1, 4660 / 257 to 18 */
    {"grey, 16 bits", 16, PNG_GREY, 8, "\x00\x80\x00\x81\x12\x34\xff\xff", "", "", 0, 0,
     G(0, 1, 18, 255)},
    {"grey, one colour transparent", 8, PNG_GREY, 4, "\x00\x01\x80\xff", "", "\x00\x80", 0, 2,
     G(0, 1, 128, 255)},
    {"grey and alpha", 8, PNG_GREY_ALPHA, 8, "\x07\x00\xc8\xff\x64\x80\xff\x01", "", "", 0, 0,
     G(7, 200, 100, 255)},
    {"grey and alpha, 16 bits", 16, PNG_GREY_ALPHA, 16,
     "\x07\x07\x00\x00\xc8\xc8\xff\xff\x64\x64\x80\x80\xff\xff\x00\x01", "", "", 0, 0,
     G(7, 200, 100, 255)},
    {"RGB",
     8,
     PNG_RGB,
     12,
     "\x01\x02\x03\xff\x00\x00\x00\xff\x00\x00\x00\xff",
     "",
     "",
     0,
     0,
     {1, 2, 3, 255, 0, 0, 0, 255, 0, 0, 0, 255}},
    {"RGB, one colour transparent",
     8,
     PNG_RGB,
     12,
     "\x01\x02\x03\xff\x00\x00\x00\xff\x00\x00\x00\xff",
     "",
     "\x00\xff\x00\x00\x00\x00",
     0,
     6,
     {1, 2, 3, 255, 0, 0, 0, 255, 0, 0, 0, 255}},
    {"RGB, 16 bits",
     16,
     PNG_RGB,
     24,
     "\x01\x01\x02\x02\x03\x03\xff\xff\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00"
     "\xff\xff",
     "",
     "",
     0,
     0,
     {1, 2, 3, 255, 0, 0, 0, 255, 0, 0, 0, 255}},
    {"RGB and alpha",
     8,
     PNG_RGB_ALPHA,
     16,
     "\x01\x02\x03\xff\xff\x00\x00\x00\x00\xff\x00\x80\x00\x00\xff\x01",
     "",
     "",
     0,
     0,
     {1, 2, 3, 255, 0, 0, 0, 255, 0, 0, 0, 255}},
    {"RGB and alpha, 16 bits",
     16,
     PNG_RGB_ALPHA,
     32,
     "\x01\x01\x02\x02\x03\x03\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00"
     "\x80\x00\x00\x00\x00\x00\xff\xff\x00\x01",
     "",
     "",
     0,
     0,
     {1, 2, 3, 255, 0, 0, 0, 255, 0, 0, 0, 255}},
    {"palette, 1 bit",
     1,
     PNG_PALETTED,
     1,
     "\x50",
     "\x01\x02\x03\xff\x80\x00",
     "",
     6,
     0,
     {1, 2, 3, 255, 128, 0, 1, 2, 3, 255, 128, 0}},
    {"palette, 2 bits",
     2,
     PNG_PALETTED,
     1,
     "\x24",
     "\x01\x02\x03\x04\x05\x06\x07\x08\x09",
     "",
     9,
     0,
     {1, 2, 3, 7, 8, 9, 4, 5, 6, 1, 2, 3}},
    {"palette, 4 bits",
     4,
     PNG_PALETTED,
     2,
     "\x02\x10",
     "\x01\x02\x03\x04\x05\x06\x07\x08\x09",
     "",
     9,
     0,
     {1, 2, 3, 7, 8, 9, 4, 5, 6, 1, 2, 3}},
    {"palette with alpha",
     8,
     PNG_PALETTED,
     4,
     "\x00\x02\x01\x00",
     "\x01\x02\x03\x04\x05\x06\x07\x08\x09",
     "\x00\x80",
     9,
     2,
     {1, 2, 3, 7, 8, 9, 4, 5, 6, 1, 2, 3}},
#undef G
};

START_TEST(png_kinds)
{
    for (size_t i = 0; i < sizeof(pngs) / sizeof(pngs[0]); i++) {
        struct blob png = png_begin(4, 1, pngs[i].depth, pngs[i].color);

        if (pngs[i].palette_bytes > 0)
            png_chunk(&png, "PLTE", pngs[i].palette, pngs[i].palette_bytes);
        if (pngs[i].transparency_bytes > 0)
            png_chunk(&png, "tRNS", pngs[i].transparency, pngs[i].transparency_bytes);
        png_rows(&png, (const uint8_t *)pngs[i].row, pngs[i].row_bytes, 1);
        png_chunk(&png, "IEND", NULL, 0);
        ck_assert_int_eq(lq_image_format(png.bytes, png.size), LQ_IMAGE_PNG);
        struct lq_image image = decoded(&png, pngs[i].what);

        ck_assert_int_eq(image.width, 4);
        ck_assert_int_eq(image.height, 1);
        assert_pixels(&image, pngs[i].rgb, 0, pngs[i].what);
        lq_image_deinit(&image);
    }
}
END_TEST

/* Adam7 of 2 x 2 pixels: pass 1 holds the first, pass 6 the second, pass 7 the lower row. */
START_TEST(png_interlaced)
{
    static const uint8_t passes[] = {0, 10, 0, 20, 0, 30, 40};
    static const uint8_t rgb[12] = {10, 10, 10, 20, 20, 20, 30, 30, 30, 40, 40, 40};
    struct blob png = png_begin(2, 2, 8, PNG_GREY), stream = zlib_stored(passes, sizeof(passes));

    png.bytes[28] = 1;
    png_seal(&png, 8);
    png_chunk(&png, "IDAT", stream.bytes, stream.size);
    png_chunk(&png, "IEND", NULL, 0);
    struct lq_image image = decoded(&png, "interlaced");

    assert_pixels(&image, rgb, 0, "interlaced");
    lq_image_deinit(&image);
    blob_free(&stream);
}
END_TEST

/* What a camera or a program may write beside the pixels changes none of them. */
START_TEST(png_colour_chunks)
{
    static const struct {
        const char *type, *bytes;
        size_t size;
    } chunks[] = {
        {"gAMA", "\x00\x00\xb1\x8f", 4}, /* 1 / 2.2 */
        {"sRGB", "\x00", 1},
        {"pHYs", "\x00\x00\x0b\x13\x00\x00\x0b\x13\x01", 9},
        {"bKGD", "\x00\xff\x00\x00\x00\xff", 6},
        {"tEXt", "Comment\0bright", 14},
        {"prVt", "whatever", 8},
    };
    static const uint8_t rgb[6] = {1, 100, 200, 50, 128, 254};

    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        struct blob payload = {0};

        blob_add(&payload, chunks[i].bytes, chunks[i].size);
        struct blob png = png_file(rgb, 2, 1, chunks[i].type, &payload);
        struct lq_image image = decoded(&png, chunks[i].type);

        assert_pixels(&image, rgb, 0, chunks[i].type);
        lq_image_deinit(&image);
        blob_free(&payload);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * JPEG
 */

enum { SIDE = 32, COUNT = SIDE * SIDE };

/* Four flat quarters: JPEG keeps such pixels to within rounding. */
static void fill_quarters(uint8_t *pixels, int channels, const uint8_t colors[4][4])
{
    for (int i = 0; i < COUNT; i++)
        memcpy(pixels + channels * i, colors[2 * (i / SIDE / (SIDE / 2)) + i % SIDE / (SIDE / 2)],
               (size_t)channels);
}

static void assert_quarters(struct blob *jpeg, const uint8_t colors[4][4], const char *what)
{
    uint8_t expected[3 * COUNT];
    struct lq_image image;

    ck_assert_int_eq(lq_image_format(jpeg->bytes, jpeg->size), LQ_IMAGE_JPEG);
    image = decoded(jpeg, what);
    ck_assert_int_eq(image.width, SIDE);
    ck_assert_int_eq(image.height, SIDE);
    fill_quarters(expected, 3, colors);
    /* Where colour is stored at half size, it bleeds at the quarters' borders. */
    for (int i = 0; i < 3 * COUNT; i++) {
        int x = i / 3 % SIDE, y = i / 3 / SIDE;

        if (x % (SIDE / 2) > 3 && x % (SIDE / 2) < 12 && y % (SIDE / 2) > 3 && y % (SIDE / 2) < 12)
            ck_assert_msg(abs(image.pixels[i] - expected[i]) <= 3, "%s: (%d, %d): %d, expected %d",
                          what, x, y, image.pixels[i], expected[i]);
    }
    lq_image_deinit(&image);
}

static const uint8_t quarters[4][4] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {200, 100, 50}};

START_TEST(jpeg_rgb)
{
    static const int samplings[] = {TJSAMP_444, TJSAMP_422, TJSAMP_420, TJSAMP_440, TJSAMP_411};
    uint8_t pixels[3 * COUNT];

    fill_quarters(pixels, 3, quarters);
    for (size_t i = 0; i < sizeof(samplings) / sizeof(samplings[0]); i++) {
        struct blob jpeg = jpeg_file(pixels, SIDE, SIDE, TJPF_RGB, samplings[i]);
        char what[32];

        snprintf(what, sizeof(what), "subsampling %d", samplings[i]);
        assert_quarters(&jpeg, quarters, what);
    }
}
END_TEST

START_TEST(jpeg_grey)
{
    static const uint8_t in[4][4] = {{0}, {255}, {100}, {17}};
    static const uint8_t out[4][4] = {{0, 0, 0}, {255, 255, 255}, {100, 100, 100}, {17, 17, 17}};
    uint8_t pixels[COUNT];

    fill_quarters(pixels, 1, in);
    struct blob jpeg = jpeg_file(pixels, SIDE, SIDE, TJPF_GRAY, TJSAMP_GRAY);
    assert_quarters(&jpeg, out, "grey");
}
END_TEST

/* Adobe's inverted CMYK: 255 is no ink. Of black 200 and cyan 0 nothing red is left: 200 - 200;
 * yellow 128 is ink 127: 200 - 200 * 127 / 255 = 100. */
START_TEST(jpeg_cmyk)
{
    static const uint8_t in[4][4] = {
        {255, 255, 255, 255}, {0, 255, 128, 200}, {255, 0, 0, 255}, {90, 180, 30, 0}};
    static const uint8_t out[4][4] = {{255, 255, 255}, {0, 200, 100}, {255, 0, 0}, {0, 0, 0}};
    uint8_t pixels[4 * COUNT];

    fill_quarters(pixels, 4, in);
    struct blob jpeg = jpeg_file(pixels, SIDE, SIDE, TJPF_CMYK, TJSAMP_444);
    assert_quarters(&jpeg, out, "CMYK");
}
END_TEST

/* Other ways to store the same coefficients give the same pixels, to the bit. */
START_TEST(jpeg_codings)
{
    static const struct {
        const char *variable;
        uint8_t start_of_frame;
    } codings[] = {{"TJ_PROGRESSIVE", 0xc2}, {"TJ_ARITHMETIC", 0xc9}, {"TJ_OPTIMIZE", 0xc0}};
    uint8_t pixels[3 * COUNT];

    for (int i = 0; i < 3 * COUNT; i++)
        pixels[i] = (uint8_t)(i * i / 97 + rand() % 32);
    struct blob jpeg = jpeg_file(pixels, SIDE, SIDE, TJPF_RGB, TJSAMP_420);
    struct lq_image plain = decoded(&jpeg, "baseline");

    for (size_t i = 0; i < sizeof(codings) / sizeof(codings[0]); i++) {
        setenv(codings[i].variable, "1", 1); /* the encoder's only door to some of them */
        jpeg = jpeg_file(pixels, SIDE, SIDE, TJPF_RGB, TJSAMP_420);
        unsetenv(codings[i].variable);
        ck_assert_uint_ne(jpeg_find(&jpeg, codings[i].start_of_frame), SIZE_MAX);
        struct lq_image image = decoded(&jpeg, codings[i].variable);

        assert_pixels(&image, plain.pixels, 0, codings[i].variable);
        lq_image_deinit(&image);
    }
    lq_image_deinit(&plain);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Orientation
 */

/* What is upright, of the stored rows "abc", "def". */
static const struct {
    int width;
    const char *upright;
} orientations[] = {
    {3, "abcdef"}, {3, "cbafed"}, {3, "fedcba"}, {3, "defabc"},
    {2, "adbecf"}, {2, "daebfc"}, {2, "fcebda"}, {2, "cfbead"},
};

static void color_of(char letter, uint8_t *rgb)
{
    rgb[0] = (uint8_t)(40 * (letter - 'a'));
    rgb[1] = (uint8_t)(255 - 50 * (letter - 'a'));
    rgb[2] = (uint8_t)(128 + (letter & 1 ? 60 : -60));
}

/* Letters as squares of `side` pixels. */
static void assert_letters(struct blob *file, int orientation, int side, const char *what)
{
    const char *upright = orientations[orientation - 1].upright;
    int width = orientations[orientation - 1].width;
    struct lq_image image = decoded(file, what);
    uint8_t rgb[3];

    ck_assert_int_eq(image.width, width * side);
    ck_assert_int_eq(image.height, 6 / width * side);
    for (int y = 0; y < image.height; y++)
        for (int x = 0; x < image.width; x++) {
            char letter = upright[y / side * width + x / side];

            color_of(letter, rgb);
            for (int c = 0; c < 3; c++)
                ck_assert_msg(
                    abs(image.pixels[3 * (y * image.width + x) + c] - rgb[c]) <= (side > 1 ? 3 : 0),
                    "%s, orientation %d: (%d, %d) is not %c", what, orientation, x, y, letter);
        }
    lq_image_deinit(&image);
}

START_TEST(png_orientation)
{
    uint8_t rgb[18];

    for (int i = 0; i < 6; i++)
        color_of((char)('a' + i), rgb + 3 * i);
    for (int orientation = 1; orientation <= 8; orientation++)
        for (int big_endian = 0; big_endian < 2; big_endian++) {
            struct blob tiff = exif_tiff(big_endian, orientation);
            struct blob png = png_file(rgb, 3, 2, "eXIf", &tiff);

            ck_assert_int_eq(lq_exif_png_orientation(png.bytes, png.size), orientation);
            assert_letters(&png, orientation, 1, "PNG");
            blob_free(&tiff);
        }
}
END_TEST

static struct blob letters_jpeg(void)
{
    static uint8_t rgb[16 * 24 * 3];

    for (int i = 0; i < 16 * 24; i++)
        color_of((char)('a' + 3 * (i / 24 / 8) + i % 24 / 8), rgb + 3 * i);
    return jpeg_file(rgb, 24, 16, TJPF_RGB, TJSAMP_444);
}

START_TEST(jpeg_orientation)
{
    for (int orientation = 1; orientation <= 8; orientation++)
        for (int big_endian = 0; big_endian < 2; big_endian++) {
            struct blob tiff = exif_tiff(big_endian, orientation), jpeg = letters_jpeg();

            jpeg_insert_exif(&jpeg, &tiff);
            ck_assert_int_eq(lq_exif_jpeg_orientation(jpeg.bytes, jpeg.size), orientation);
            assert_letters(&jpeg, orientation, 8, "JPEG");
            blob_free(&tiff);
        }
}
END_TEST

/* Where else EXIF may stand: behind other segments, behind fill bytes, not as the first entry. */
START_TEST(exif_elsewhere)
{
    struct blob tiff = exif_tiff(true, 6), jpeg = letters_jpeg();

    jpeg_insert_exif(&jpeg, &tiff);
    jpeg_insert(&jpeg, 0xe1, "http://ns.adobe.com/xap/1.0/\0<x/>", 33);
    jpeg_insert(&jpeg, 0xfe, "a comment", 9);
    blob_insert(&jpeg, 2, "\xff\xff\xff", 3);
    assert_letters(&jpeg, 6, 8, "behind others");
    blob_free(&tiff);

    tiff = exif_tiff(false, 3);
    blob_insert(&tiff, 10, "\x0f\x01\x02\0\x04\0\0\0Acme", 12); /* the camera's maker */
    tiff.bytes[8] = 2;
    blob_insert(&tiff, 8, "padding.", 8);
    tiff.bytes[4] = 16;
    jpeg = letters_jpeg();
    jpeg_insert_exif(&jpeg, &tiff);
    assert_letters(&jpeg, 3, 8, "second entry");
    blob_free(&tiff);
}
END_TEST

/* EXIF behind the end of a picture is not the picture's. */
START_TEST(exif_behind_the_end)
{
    uint8_t rgb[18];
    struct blob tiff = exif_tiff(true, 6), jpeg = letters_jpeg(), app1 = {0}, png;

    for (int i = 0; i < 6; i++)
        color_of((char)('a' + i), rgb + 3 * i);
    png = png_file(rgb, 3, 2, NULL, NULL);
    png_chunk(&png, "eXIf", tiff.bytes, tiff.size);
    assert_letters(&png, 1, 1, "PNG");

    blob_number(&app1, 0xffe1, 2, true);
    blob_number(&app1, 8 + tiff.size, 2, true);
    blob_add(&app1, "Exif\0", 6);
    blob_add(&app1, tiff.bytes, tiff.size);
    blob_add(&jpeg, app1.bytes, app1.size);
    assert_letters(&jpeg, 1, 8, "JPEG");
    blob_free(&app1);
    blob_free(&tiff);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("image");

    tcase_add_test(tests, png_kinds);
    tcase_add_test(tests, png_interlaced);
    tcase_add_test(tests, png_colour_chunks);
    tcase_add_test(tests, jpeg_rgb);
    tcase_add_test(tests, jpeg_grey);
    tcase_add_test(tests, jpeg_cmyk);
    tcase_add_test(tests, jpeg_codings);
    tcase_add_test(tests, png_orientation);
    tcase_add_test(tests, jpeg_orientation);
    tcase_add_test(tests, exif_elsewhere);
    tcase_add_test(tests, exif_behind_the_end);
    return suite_main("image", tests);
}
