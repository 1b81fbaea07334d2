/* test_status.c - the first failure is kept, prefixes name the place.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <string.h>

#include "base/status.h"

START_TEST(first_failure_wins)
{
    struct lq_error error = {0};

    ck_assert_int_eq(lq_fail(&error, LQ_ERR_FORMAT, "offset %d", 8), LQ_ERR_FORMAT);
    ck_assert_int_eq(lq_fail(&error, LQ_ERR_IO, "later"), LQ_ERR_IO);
    ck_assert_int_eq(error.status, LQ_ERR_FORMAT);
    ck_assert_int_eq(lq_error_prefix(&error, "%s", "a.lq"), LQ_ERR_FORMAT);
    ck_assert_str_eq(error.text, "a.lq: offset 8");
    ck_assert_int_eq(lq_fail(NULL, LQ_ERR_IO, "nobody listens"), LQ_ERR_IO);
}
END_TEST

START_TEST(long_texts_are_cut)
{
    struct lq_error error = {0};
    char longest[2000];

    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = 0;
    lq_error_set(&error, LQ_ERR_FORMAT, "%s", longest);
    lq_error_prefix(&error, "%s", longest);
    ck_assert_uint_eq(strlen(error.text), sizeof(error.text) - 1);
}
END_TEST

/* With 0..4 letters in front, the end falls on each byte of a character of 2, 3 and 4 bytes. */
START_TEST(characters_stay_whole)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

    for (int kind = 0; kind < 3; kind++)
        for (int front = 0; front < 5; front++) {
            struct lq_error error = {0};
            char longest[2000] = "xxxxx";
            size_t width = strlen(characters[kind]), length = (size_t)front;

            while (length + width < sizeof(longest)) {
                memcpy(longest + length, characters[kind], width + 1);
                length += width;
            }
            lq_error_set(&error, LQ_ERR_FORMAT, "%s", longest);
            size_t room = sizeof(error.text) - 1 - (size_t)front;
            ck_assert_uint_eq(strlen(error.text), (size_t)front + room / width * width);
        }
}
END_TEST

START_TEST(every_status_has_a_text)
{
    ck_assert_str_eq(lq_status_text(LQ_OK), "ok");
    ck_assert_str_eq(lq_status_text(LQ_ERR_CANCELLED), "cancelled");
    ck_assert_str_eq(lq_status_text(-1000), "unknown status");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("status");

    tcase_add_test(tests, first_failure_wins);
    tcase_add_test(tests, long_texts_are_cut);
    tcase_add_test(tests, characters_stay_whole);
    tcase_add_test(tests, every_status_has_a_text);
    return suite_main("status", tests);
}
