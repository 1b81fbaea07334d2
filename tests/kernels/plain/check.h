/* check.h - as much of the Check library as the suites of kernels use, for a machine that has none:
 * everything runs in one process, which ends with the first failure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_KERNELS_PLAIN_CHECK_H
#define TESTS_KERNELS_PLAIN_CHECK_H

#include <stdio.h>
#include <stdlib.h>

typedef void plain_test(int _i);
enum { PLAIN_MAX_TESTS = 32 };
typedef struct {
    const char *name;
    void (*setup)(void); /* before each test; or NULL */
    int count;
    struct {
        plain_test *test;
        int start, end;
    } tests[PLAIN_MAX_TESTS];
} TCase;
typedef struct {
    const char *name;
    TCase *tests;
} Suite;
typedef struct {
    Suite *suite;
    int run;
} SRunner;
enum print_output { CK_NORMAL };

#define START_TEST(name) static void name(__attribute__((unused)) int _i)
#define END_TEST

#define ck_assert_msg(condition, ...)                                                              \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: ", __FILE__, __LINE__);                                                 \
            printf(__VA_ARGS__);                                                                   \
            puts("\n0 passed, 1 failed");                                                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define ck_assert(condition) ck_assert_msg(condition, "%s", #condition)
#define PLAIN_COMPARE(type, format, a, relation, b)                                                \
    do {                                                                                           \
        type plain_a = (type)(a);                                                                  \
        type plain_b = (type)(b);                                                                  \
        ck_assert_msg(plain_a relation plain_b, "%s: " format ", " format,                         \
                      #a " " #relation " " #b, plain_a, plain_b);                                  \
    } while (0)
#define ck_assert_int_eq(a, b)  PLAIN_COMPARE(long long, "%lld", a, ==, b)
#define ck_assert_int_ne(a, b)  PLAIN_COMPARE(long long, "%lld", a, !=, b)
#define ck_assert_int_gt(a, b)  PLAIN_COMPARE(long long, "%lld", a, >, b)
#define ck_assert_int_ge(a, b)  PLAIN_COMPARE(long long, "%lld", a, >=, b)
#define ck_assert_int_le(a, b)  PLAIN_COMPARE(long long, "%lld", a, <=, b)
#define ck_assert_uint_eq(a, b) PLAIN_COMPARE(unsigned long long, "%llu", a, ==, b)
#define ck_assert_double_eq_tol(a, b, tolerance)                                                   \
    do {                                                                                           \
        double plain_a = (a), plain_b = (b);                                                       \
        ck_assert_msg(__builtin_fabs(plain_a - plain_b) < (tolerance), "%s: %.17g, %.17g",         \
                      #a " == " #b, plain_a, plain_b);                                             \
    } while (0)
#define ck_assert_ptr_ne(a, b) ck_assert_msg((a) != (b), "%s", #a " != " #b)
#define ck_assert_mem_eq(a, b, size)                                                               \
    ck_assert_msg(__builtin_memcmp(a, b, size) == 0, "%s and %s differ", #a, #b)

static inline TCase *tcase_create(const char *name)
{
    TCase *tests = calloc(1, sizeof(*tests));

    if (!tests)
        exit(1);
    tests->name = name;
    return tests;
}

static inline void tcase_add_loop_test(TCase *tests, plain_test *test, int start, int end)
{
    if (tests->count == PLAIN_MAX_TESTS)
        exit(1);
    tests->tests[tests->count].test = test;
    tests->tests[tests->count].start = start;
    tests->tests[tests->count++].end = end;
}

static inline void tcase_add_test(TCase *tests, plain_test *test)
{
    tcase_add_loop_test(tests, test, 0, 1);
}

static inline void tcase_add_checked_fixture(TCase *tests, void (*setup)(void),
                                             void (*teardown)(void))
{
    if (tests->setup || teardown) /* no suite of kernels has more than one */
        exit(1);
    tests->setup = setup;
}

static inline Suite *suite_create(const char *name)
{
    Suite *suite = calloc(1, sizeof(*suite));

    if (!suite)
        exit(1);
    suite->name = name;
    return suite;
}

static inline void suite_add_tcase(Suite *suite, TCase *tests)
{
    suite->tests = tests;
}

static inline SRunner *srunner_create(Suite *suite)
{
    SRunner *runner = calloc(1, sizeof(*runner));

    if (!runner)
        exit(1);
    runner->suite = suite;
    return runner;
}

static inline void srunner_run_all(SRunner *runner, enum print_output output)
{
    const TCase *tests = runner->suite->tests;

    (void)output;
    printf("Running suite: %s\n", runner->suite->name);
    for (int i = 0; i < tests->count; i++)
        for (int turn = tests->tests[i].start; turn < tests->tests[i].end; turn++, runner->run++) {
            if (tests->setup)
                tests->setup();
            tests->tests[i].test(turn);
        }
}

static inline int srunner_ntests_run(const SRunner *runner)
{
    return runner->run;
}

static inline int srunner_ntests_failed(const SRunner *runner)
{
    (void)runner;
    return 0;
}

static inline void srunner_free(SRunner *runner)
{
    free(runner->suite->tests);
    free(runner->suite);
    free(runner);
}

#endif
