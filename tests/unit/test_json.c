/* test_json.c - the JSON reader: what it takes, what it refuses, where it stops.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "support/guard.h"

/* The text in front of a page that may not be touched. */
static const char *place(struct guarded *page, const char *text, size_t length)
{
    *page = guard(length ? length : 1);
    char *at = (char *)page->bytes + (length ? 0 : 1);

    memcpy(at, text, length);
    return at;
}

static int skip_bytes(const char *text, size_t length, struct lq_error *error)
{
    struct guarded page;
    struct json_reader reader;
    int status;

    json_begin(&reader, place(&page, text, length), length, error);
    status = json_skip(&reader);
    if (status == LQ_OK)
        status = json_finish(&reader);
    unguard(&page);
    return status;
}

START_TEST(valid)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "[ ]",
        "\"\"",
        "0",
        "-1.5e-7",
        "true",
        "false",
        "null",
        "[1,2,[3,{}]]",
        "{\"a\":1,\"b\":{\"a\":2}}",
        "\"\\u00e9\\ud83d\\ude00\\n\\/\\\\\\\"\"",
        "\"\xc3\xa9\xf0\x9f\x98\x80\"",
        "{\"\":0,\" \":0}",
        "\t\r\n1\n",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct lq_error error = {0};

        ck_assert_msg(skip_bytes(texts[i], strlen(texts[i]), &error) == LQ_OK, "%s: %s", texts[i],
                      error.text);
        if (!strchr("{[\"tfn", texts[i][0]))
            continue; /* a number without its end may be one */
        for (size_t cut = 0; cut < strlen(texts[i]); cut++)
            ck_assert_msg(skip_bytes(texts[i], cut, NULL) != LQ_OK, "%.*s", (int)cut, texts[i]);
    }
}
END_TEST

START_TEST(refused)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "the text ends"},
        {"x", "expected a value, found 'x'"},
        {"[1 2]", "expected ',' or ']', found '2'"},
        {"[1,]", "expected a value, found ']'"},
        {"[,1]", "expected a value"},
        {"{\"a\":1,}", "expected a member's name"},
        {"{\"a\" 1}", "expected ':'"},
        {"{a:1}", "expected a member's name"},
        {"{\"a\":1 \"b\":2}", "expected ',' or '}'"},
        {"{\"a\":1,\"a\":2}", "duplicate name 'a'"},
        {"{\"a\":1,\"\\u0061\":2}", "duplicate name 'a'"},
        {"[{\"x\":{\"k\":1,\"k\":1}}]", "duplicate name 'k'"},
        {"01", "expected a number"},
        {"+1", "expected a value"},
        {"NaN", "expected a value"},
        {"-Infinity", "expected a number"},
        {"tru", "true or false"},
        {"nul", "a value"},
        {"1 1", "expected the end, found '1'"},
        {"\"\\x\"", "an escape that does not exist"},
        {"\"\\u12g4\"", "an escape that does not exist"},
        {"\"\\u0000\"", "an escape that does not exist"},
        {"\"\\ud800\"", "an escape that does not exist"},
        {"\"\\ud800\\u0041\"", "an escape that does not exist"},
        {"\"\\udc00\"", "an escape that does not exist"},
        {"\"a\nb\"", "line 1, column 3: a control character"},
        {"\"\xc3\"", "not UTF-8"},
        {"\"\xed\xa0\x80\"", "not UTF-8"},
        {"\"\xc0\xaf\"", "not UTF-8"},
        {"\"\xff\"", "not UTF-8"},
        {"\n\n  \"abc", "line 3, column 7"},
        {"\xef\xbb\xbf{}", "byte 0xef"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "depth"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct lq_error error = {0};

        ck_assert_msg(skip_bytes(cases[i].text, strlen(cases[i].text), &error) == LQ_ERR_FORMAT,
                      "%s", cases[i].text);
        ck_assert_msg(strstr(error.text, cases[i].why), "%s: %s", cases[i].text, error.text);
    }
}
END_TEST

START_TEST(bounds)
{
    size_t size = 200000;
    char *text = malloc(size);
    struct lq_error error = {0};
    int at = 0;

    memset(text, '[', size);
    ck_assert_int_eq(skip_bytes(text, size, &error), LQ_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "depth"));
    for (int i = 0; i <= JSON_MAX_MEMBERS; i++)
        at += snprintf(text + at, size - (size_t)at, "%c\"%d\":0", i ? ',' : '{', i);
    error = (struct lq_error){0};
    ck_assert_int_eq(skip_bytes(text, (size_t)at, &error), LQ_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "more than 64 members"));
    at = snprintf(text, size, "{\"%0*d\":0}", JSON_MAX_KEY, 0);
    error = (struct lq_error){0};
    ck_assert_int_eq(skip_bytes(text, (size_t)at, &error), LQ_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "a string of more than 255 bytes"));
    free(text);
}
END_TEST

static int read_integer(const char *text, int64_t *ret_value)
{
    struct json_reader reader;
    int status;

    json_begin(&reader, text, strlen(text), NULL);
    status = json_read_integer(&reader, ret_value);
    return status == LQ_OK ? json_finish(&reader) : status;
}

START_TEST(integers)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "01",
                                      "-01",
                                      "1.0",
                                      "1e3",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999",
                                      "x",
                                      "+1"};
    int64_t value = 1;

    ck_assert(read_integer("0", &value) == LQ_OK && value == 0);
    ck_assert(read_integer("-0", &value) == LQ_OK && value == 0);
    ck_assert(read_integer(" 9223372036854775807 ", &value) == LQ_OK && value == INT64_MAX);
    ck_assert(read_integer("-9223372036854775808", &value) == LQ_OK && value == INT64_MIN);
    value = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_msg(read_integer(bad[i], &value) == LQ_ERR_FORMAT && value == 7, "%s", bad[i]);
}
END_TEST

START_TEST(strings)
{
    static const char text[] = "\"a\\u00e9\\ud83d\\ude00\\b\\f\\n\\r\\t\\\"\\\\\\/\"";
    struct json_reader reader;
    struct lq_error error = {0};
    char value[64];

    json_begin(&reader, text, strlen(text), &error);
    ck_assert_int_eq(json_read_string(&reader, value, sizeof(value)), LQ_OK);
    ck_assert_str_eq(value, "a\xc3\xa9\xf0\x9f\x98\x80\b\f\n\r\t\"\\/");
    json_begin(&reader, "\"abcd\"", 6, &error);
    ck_assert_int_eq(json_read_string(&reader, value, 4), LQ_ERR_FORMAT);
}
END_TEST

static int read_numbers(const char *text, size_t limit, struct json_numbers *ret_numbers,
                        struct lq_error *error)
{
    struct guarded page;
    struct json_reader reader;
    int status;

    *ret_numbers = (struct json_numbers){.limit = limit};
    json_begin(&reader, place(&page, text, strlen(text)), strlen(text), error);
    status = json_read_numbers(&reader, ret_numbers);
    if (status == LQ_OK)
        status = json_finish(&reader);
    unguard(&page);
    return status;
}

START_TEST(number_lists)
{
    struct json_numbers numbers;
    struct lq_error error = {0};

    ck_assert_int_eq(read_numbers("[1, 2.5 ,-3e2\n]", 3, &numbers, &error), LQ_OK);
    ck_assert(numbers.count == 3 && numbers.rank == 1 && numbers.lengths[0] == 3);
    ck_assert(numbers.values[0] == 1 && numbers.values[1] == 2.5f && numbers.values[2] == -300);
    ck_assert(!numbers.integers);
    free(numbers.values);
    ck_assert_int_eq(
        read_numbers("[[[1,2],[3,4]],[[5,6],[7,8]],[[9,10],[11,12]]]", 99, &numbers, &error),
        LQ_OK);
    ck_assert(numbers.count == 12 && numbers.rank == 3 && numbers.integers);
    ck_assert(numbers.lengths[0] == 3 && numbers.lengths[1] == 2 && numbers.lengths[2] == 2);
    for (int i = 0; i < 12; i++)
        ck_assert_float_eq(numbers.values[i], (float)i + 1);
    free(numbers.values);
    ck_assert_int_eq(read_numbers("[]", 9, &numbers, &error), LQ_OK);
    ck_assert(numbers.count == 0 && numbers.rank == 1);
    ck_assert_int_eq(read_numbers("[1e39,-1e39]", 9, &numbers, &error), LQ_OK);
    ck_assert(isinf(numbers.values[0]) && isinf(numbers.values[1]));
    free(numbers.values);
    ck_assert_int_eq(read_numbers("[1,2,3]", 2, &numbers, &error), LQ_ERR_LIMIT);
    ck_assert_uint_eq(numbers.count, 2);
    free(numbers.values);
}
END_TEST

START_TEST(bad_numbers)
{
    static const char *const texts[] = {
        "",        "1",           "{}",          "[",        "[1",
        "[1,",     "[1,]",        "[,]",         "[1 2]",    "[[1],2]",
        "[1,[2]]", "[[1,2],[3]]", "[[[1]],[2]]", "[[],[1]]", "[true]",
        "[\"1\"]", "[null]",      "[[1]",        "[[1],]",   "[[1]]]",
        "[NaN]",   "[1,,2]",      "[01]",        "[1.]",     "[[[[[[[[[1]]]]]]]]]",
        "[1]]",    "[[1][2]]",    "[1}"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct json_numbers numbers;
        struct lq_error error = {0};

        ck_assert_msg(read_numbers(texts[i], 100, &numbers, &error) == LQ_ERR_FORMAT, "%s: %s",
                      texts[i], error.text);
        ck_assert_ptr_nonnull(strstr(error.text, "JSON, line 1, column "));
        free(numbers.values);
    }
}
END_TEST

/* Random texts of JSON's own characters: whatever they are, the reader ends and stays inside. */
START_TEST(noise)
{
    static const char alphabet[] = "{}[]:,\"\\u0019aAeE+-. \n\xc3\xa9truefalsn";
    char text[64];

    for (int i = 0; i < 100000; i++) {
        size_t length = (size_t)(rand() % (int)sizeof(text));
        struct json_numbers numbers;
        struct lq_error error = {0};

        for (size_t j = 0; j < length; j++)
            text[j] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
        if (i % 4 == 0 && length > 2)
            memcpy(text, "[[", 2);
        int status = skip_bytes(text, length, &error);
        ck_assert(status == LQ_OK || (status == LQ_ERR_FORMAT && error.text[0]));
        text[length ? length - 1 : 0] = '\0';
        error = (struct lq_error){0};
        status = read_numbers(text, 8, &numbers, &error);
        ck_assert(status == LQ_OK || error.text[0]);
        free(numbers.values);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("json");

    tcase_add_test(tests, valid);
    tcase_add_test(tests, refused);
    tcase_add_test(tests, bounds);
    tcase_add_test(tests, integers);
    tcase_add_test(tests, strings);
    tcase_add_test(tests, number_lists);
    tcase_add_test(tests, bad_numbers);
    tcase_add_test(tests, noise);
    return suite_main("json", tests);
}
