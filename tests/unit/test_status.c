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

/* Whatever is quoted, a message can be printed: no escape sequences, no half characters. */
START_TEST(texts_are_printable)
{
    static const struct {
        const char *quoted, *text;
    } cases[] = {
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x88", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x88"},
        {"\x1b[2J\n\t\r\x7f", "?[2J????"},
        {"a\xc2\x9b"
         "b\xc2\xa0",
         "a?b\xc2\xa0"}, /* U+009B, U+00A0 */
        {"\xff\xfe\x80", "???"},
        {"\xc3", "?"},
        {"\xe2\x82x", "??x"},
        {"\xc0\xaf", "??"},           /* '/' in two bytes */
        {"\xed\xa0\x80", "???"},      /* a surrogate */
        {"\xf4\x90\x80\x80", "????"}, /* U+110000 */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lq_error error = {0}, prefixed = {0};

        lq_error_set(&error, LQ_ERR_FORMAT, "%s", cases[i].quoted);
        ck_assert_str_eq(error.text, cases[i].text);
        lq_error_set(&prefixed, LQ_ERR_FORMAT, "%s", "");
        lq_error_prefix(&prefixed, "%s", cases[i].quoted);
        ck_assert_int_eq(strncmp(prefixed.text, cases[i].text, strlen(cases[i].text)), 0);
    }
    struct lq_error error = {0};
    char longest[1001] = ""; /* cut after 511 bytes: amid the 256th character */

    for (int i = 0; i < 1000; i += 2)
        memcpy(longest + i, "\xc3\xa4", 3);
    lq_error_set(&error, LQ_ERR_FORMAT, "%s", longest);
    ck_assert_uint_eq(strlen(error.text), sizeof(error.text) - 1);
    ck_assert_str_eq(error.text + sizeof(error.text) - 4, "\xc3\xa4?");
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
    tcase_add_test(tests, texts_are_printable);
    tcase_add_test(tests, every_status_has_a_text);
    return suite_main("status", tests);
}
