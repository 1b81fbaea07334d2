/* suite.h - runs one suite of checks as a program.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_SUITE_H
#define TESTS_SUPPORT_SUITE_H

#include <check.h>

/* Seeds rand() from LQ_SEED or the clock and prints the seed, runs the tests, prints "N passed, N
 * failed" and returns main's exit status. */
int suite_main(const char *name, TCase *tests);

#endif
