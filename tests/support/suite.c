/* suite.c - runs one suite of checks as a program.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static unsigned *next_seed; /* in memory that tests share: each runs in a fork */

static void seed_test(void)
{
    srand((*next_seed)++);
}

int suite_main(const char *name, TCase *tests)
{
    const char *given = getenv("LQ_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    Suite *suite = suite_create(name);

    printf("seed %u\n", seed);
    fflush(stdout); /* the forks would print it again */
    next_seed =
        mmap(NULL, sizeof(*next_seed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (next_seed == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    *next_seed = seed;
    tcase_add_checked_fixture(tests, seed_test, NULL);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);

    printf("%d passed, %d failed\n", srunner_ntests_run(runner) - failed, failed);
    srunner_free(runner);
    return failed != 0;
}
