/* test_text.c - a growing text: what is put into it is in it, whatever its length.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/text.h"

static void expect(struct text *text, const char *expected)
{
    ck_assert(!text->failed);
    ck_assert_uint_eq(text->length, strlen(expected));
    ck_assert(memcmp(text->bytes, expected, text->length) == 0);
    text_free(text);
}

START_TEST(integers)
{
    static const int64_t values[] = {0, 7, -1, 10, INT64_MAX, INT64_MIN, -10, 1234567890123};

    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        struct text text = {0};
        char expected[32];

        text_int(&text, values[i]);
        snprintf(expected, sizeof(expected), "%lld", (long long)values[i]);
        expect(&text, expected);
    }
}
END_TEST

/* Around every length at which the memory has to grow. */
START_TEST(formats_of_any_length)
{
    char *long_text = calloc(1, 2001), *expected = malloc(4100);

    for (int length = 0; length <= 2000; length += length < 300 ? 1 : 37) {
        struct text text = {0};

        memset(long_text, 'x', (size_t)length);
        long_text[length] = '\0';
        text_printf(&text, "%s|%d", long_text, length);
        text_printf(&text, "%s", long_text);
        snprintf(expected, 4100, "%s|%d%s", long_text, length, long_text);
        expect(&text, expected);
    }
    free(long_text);
    free(expected);
}
END_TEST

START_TEST(copies_are_cut)
{
    char room[5] = "....";

    text_copy(room, sizeof(room), "abc");
    ck_assert_str_eq(room, "abc");
    text_copy(room, sizeof(room), "abcdefgh");
    ck_assert_str_eq(room, "abcd");
    text_copy(room, sizeof(room), "");
    ck_assert_str_eq(room, "");
    text_copy(room, 1, "abc");
    ck_assert_str_eq(room, "");
}
END_TEST

START_TEST(json_strings)
{
    static const struct {
        const char *bytes, *json;
        size_t length;
    } rows[] = {
        {"", "\"\"", 0},
        {"plain", "\"plain\"", 5},
        {"a\"b\\c", "\"a\\\"b\\\\c\"", 5},
        {"\n\x7f\0z", "\"\\u000a\\u007f\\u0000z\"", 4},
        {"\xc3\xa4 \xe2\x82\xac", "\"\xc3\xa4 \xe2\x82\xac\"", 6},
        {"\xff x\xc3", "\"\xef\xbf\xbd x\xef\xbf\xbd\"", 4},             /* no UTF-8; cut off */
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 3}, /* a surrogate */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct text text = {0};

        text_json_bytes(&text, rows[i].bytes, rows[i].length);
        expect(&text, rows[i].json);
    }
    struct text text = {0};

    text_json(&text, NULL);
    expect(&text, "null");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("text");

    tcase_add_test(tests, integers);
    tcase_add_test(tests, formats_of_any_length);
    tcase_add_test(tests, copies_are_cut);
    tcase_add_test(tests, json_strings);
    return suite_main("text", tests);
}
