/* test_policy.c - which versions of a model are served.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <string.h>

#include "models/policy.h"

static const int64_t versions[] = {1, 2, 3, 10};

START_TEST(choices)
{
    static const struct {
        const char *policy, *wanted; /* of 1, 2, 3, 10 */
    } cases[] = {
        {"latest", "...x"},   {"", "...x"},          {"latest:1", "...x"},
        {"latest:3", ".xxx"}, {"latest:99", "xxxx"}, {"latest:9223372036854775807", "xxxx"},
        {"all", "xxxx"},      {"1+3", "x.x."},       {"10", "...x"},
        {"7", "...."},        {"m=all", "xxxx"},     {"other=all", "...x"},
        {"all m=2", ".x.."},  {"m=2, all", ".x.."},  {"mm=all m=1+1+10\tlatest:2", "x..x"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        bool wanted[4] = {false};

        ck_assert_int_eq(policy_check(cases[i].policy, NULL), LQ_OK);
        policy_choose(cases[i].policy, "m", versions, 4, wanted);
        for (int v = 0; v < 4; v++)
            ck_assert_msg(wanted[v] == (cases[i].wanted[v] == 'x'), "%s: version %lld",
                          cases[i].policy, (long long)versions[v]);
    }
}
END_TEST

START_TEST(refusals)
{
    static const char *const bad[] = {"none",    "latest:",   "latest:0", "latest:x",
                                      "latest2", "1+",        "+1",       "1++2",
                                      "-1",      "all=",      "m=",       "m=none",
                                      "=x",      "1x",        "all,x",    "latest -1",
                                      "1 2 3x",  "m=all=all", "1.0",      "99999999999999999999"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct lq_error error = {0};

        ck_assert_msg(policy_check(bad[i], &error) == LQ_ERR_INVALID, "%s", bad[i]);
        ck_assert_ptr_nonnull(strstr(error.text, "is not latest"));
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("policy");

    tcase_add_test(tests, choices);
    tcase_add_test(tests, refusals);
    return suite_main("policy", tests);
}
