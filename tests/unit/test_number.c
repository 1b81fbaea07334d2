/* test_number.c - floats as text: every kind of float there and back, every rounding, no number.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/number.h"
#include "support/guard.h"

enum { PAGE = 4096 };

static float from_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint32_t to_bits(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static uint32_t random_bits(void)
{
    return (uint32_t)rand() << 16 ^ (uint32_t)rand() ^ (uint32_t)rand() << 31;
}

/* Reads a text that ends at a page that may not be touched. */
static const char *read_guarded(struct guarded *page, const char *text, float *ret_value,
                                bool *ret_integer)
{
    size_t length = strlen(text);
    char *at = (char *)page->bytes + PAGE - length;

    memcpy(at, text, length);
    const char *end = number_read_float(at, at + length, ret_value, ret_integer);
    return end ? text + (end - at) : NULL;
}

/* Digits in front of the exponent, without zeros at either end. */
static int digits_of(const char *text)
{
    char digits[NUMBER_TEXT_SIZE + 1];
    int count = 0, first = 0;

    for (; *text && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9')
            digits[count++] = *text;
    while (count > 0 && digits[count - 1] == '0')
        count--;
    while (first < count && digits[first] == '0')
        first++;
    return count - first;
}

static void there_and_back(uint32_t bits)
{
    float value = from_bits(bits), back;
    char text[NUMBER_TEXT_SIZE + 1], shorter[64];
    bool integer;
    size_t length;

    if (!isfinite(value))
        return;
    length = number_write_float(value, text);
    ck_assert_uint_le(length, NUMBER_TEXT_SIZE);
    text[length] = '\0';
    ck_assert_msg(number_read_float(text, text + length, &back, &integer) == text + length &&
                      to_bits(back) == bits,
                  "%08x is written as %s, read as %a", bits, text, (double)back);
    ck_assert_msg(!integer, "%s", text);
    ck_assert_msg(to_bits(strtof(text, NULL)) == bits, "%08x: %s", bits, text);
    for (int digits = 1; digits < digits_of(text); digits++) {
        snprintf(shorter, sizeof(shorter), "%.*e", digits - 1, (double)value);
        ck_assert_msg(strtof(shorter, NULL) != value, "%s, but %s", text, shorter);
    }
}

START_TEST(floats_there_and_back)
{
    for (uint32_t exponent = 0; exponent < 256; exponent++)
        for (uint32_t fraction = 0; fraction < 3; fraction++) {
            there_and_back(exponent << 23 | fraction);
            there_and_back(exponent << 23 | (0x7fffff - fraction) | 0x80000000);
        }
    for (int i = 0; i < 30000; i++)
        there_and_back(random_bits());
    for (int i = 0; i < 2000; i++) { /* whole ones, and halves */
        there_and_back(to_bits((float)i));
        there_and_back(to_bits((float)i / 8));
    }
}
END_TEST

START_TEST(texts_as_expected)
{
    static const struct {
        float value;
        const char *text;
    } cases[] = {
        {0, "0.0"},
        {-0.0f, "-0.0"},
        {1, "1.0"},
        {-1.5f, "-1.5"},
        {0.1f, "0.1"},
        {123456789, "123456790.0"},
        {1e10f, "1e10"},
        {1.25e-7f, "1.25e-7"},
        {0.00001f, "0.00001"},
        {FLT_MAX, "3.4028235e38"},
        {FLT_TRUE_MIN, "1e-45"},
        {16777216, "16777216.0"},
        {100, "100.0"},
        {0.3f, "0.3"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[NUMBER_TEXT_SIZE + 1];

        text[number_write_float(cases[i].value, text)] = '\0';
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

static void reads_as_strtof(struct guarded *page, const char *text)
{
    float value = 0;
    bool integer;

    ck_assert_msg(read_guarded(page, text, &value, &integer) == text + strlen(text), "%s", text);
    ck_assert_msg(to_bits(value) == to_bits(strtof(text, NULL)), "%s: %a, not %a", text,
                  (double)value, (double)strtof(text, NULL));
    ck_assert_msg(integer == !strpbrk(text, ".eE"), "%s", text);
}

START_TEST(rounds_correctly)
{
    static const char *const texts[] = {
        "16777217",
        "16777219",
        "1.00000005960464477539",
        "1.000000059604644775390625",
        "1.00000005960464477539062500000000000000000000000001",
        "1.00000005960464477539062499999999999999999999999999",
        "0.000000000000000000000000000000000000011754943508222875", /* about the least normal */
        "7.0064923216240853e-46",
        "7.0064923216240854e-46",
        "3.4028235677973366e38",
        "3.4028235677973362e38",
        "3.40282357e38",
        "1e39",
        "-1e400",
        "1e-400",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "0e99999999999999999999",
        "123456789012345678901234567890e-20",
        "99999999999999999999",
        "0.0000000000000000000000000000000000000000000000000000000001e60",
        "12345678.12345678",
        "1234567890123456789.5",
        "1E5",
        "1e+5",
        "-0",
        "-0.0e-5",
        "0.5",
        "0",
        "8388608.5",
        "8388609.5",
        "4194304.25",
        "4194304.75",
    };
    struct guarded page = guard(PAGE);
    char text[64];

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        reads_as_strtof(&page, texts[i]);
    for (int i = 0; i < 30000; i++) {
        float value = from_bits(random_bits() & 0x7fffffff);
        double middle = ((double)value + (double)nextafterf(value, INFINITY)) / 2;

        if (!isfinite(value) || !isfinite(middle))
            continue;
        snprintf(text, sizeof(text), "%.*g", 1 + rand() % 25, i % 2 ? (double)value : middle);
        reads_as_strtof(&page, text);
        snprintf(text, sizeof(text), "%d.%0*d", rand() % 1000, 1 + rand() % 9, rand() % 1000);
        reads_as_strtof(&page, text);
    }
    unguard(&page);
}
END_TEST

START_TEST(no_numbers)
{
    static const char *const texts[] = {"",    "-",         "+1", ".5",  "01",  "-01",  "00",
                                        "1.",  "1.e",       "1e", "1e+", "1E-", "nan",  "NaN",
                                        "inf", "-Infinity", "x",  "-.5", "0x",  "1.e5", "--1"};
    struct guarded page = guard(PAGE);
    float value;
    bool integer;

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        const char *end = read_guarded(&page, texts[i], &value, &integer);

        /* "0x" is a number and an x */
        ck_assert_msg(!end || (strcmp(texts[i], "0x") == 0 && end == texts[i] + 1), "%s", texts[i]);
    }
    unguard(&page);
}
END_TEST

START_TEST(long_texts)
{
    size_t size = 100000;
    char *text = malloc(size + 1);
    float value;
    bool integer;

    memset(text, '9', size);
    text[size] = '\0';
    ck_assert_ptr_eq(number_read_float(text, text + size, &value, &integer), text + size);
    ck_assert(isinf(value) && integer);
    memset(text, '0', size);
    text[1] = '.';
    text[size - 1] = '1';
    ck_assert_ptr_eq(number_read_float(text, text + size, &value, &integer), text + size);
    ck_assert(value == 0 && !integer);
    memcpy(text + size - 8, "17e99992", 8); /* 0.00...17e99992 is 0.17 or so */
    ck_assert_ptr_eq(number_read_float(text, text + size, &value, &integer), text + size);
    ck_assert_float_eq(value, strtof(text, NULL));
    free(text);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("number");

    tcase_add_test(tests, floats_there_and_back);
    tcase_add_test(tests, texts_as_expected);
    tcase_add_test(tests, rounds_correctly);
    tcase_add_test(tests, no_numbers);
    tcase_add_test(tests, long_texts);
    return suite_main("number", tests);
}
