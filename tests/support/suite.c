/* suite.c - runs one suite of checks as a program.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int suite_main(const char *name, TCase *tests)
{
    const char *given = getenv("LQ_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    Suite *suite = suite_create(name);

    printf("seed %u\n", seed);
    fflush(stdout); /* each test runs in a fork that would print it again */
    srand(seed);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);

    printf("%d passed, %d failed\n", srunner_ntests_run(runner) - failed, failed);
    srunner_free(runner);
    return failed != 0;
}
