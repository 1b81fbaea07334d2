/* suite.h - runs one suite of checks as a program.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_SUITE_H
#define TESTS_SUPPORT_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Runs the tests, prints "N passed, N failed" and returns main's exit status. Each test, and each
 * turn of a looped one, has its own seed of rand(): that of the first is LQ_SEED or the clock, and
 * printed. */
int suite_main(const char *name, TCase *tests);

/* A random number of 0..bound - 1, by the seed that the suite has printed. */
static inline int below(int bound)
{
    return rand() % bound;
}

#endif
