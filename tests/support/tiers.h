/* tiers.h - which CPU tiers a suite of kernels runs, and by what.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_TIERS_H
#define TESTS_SUPPORT_TIERS_H

/* Prints a line that says of each tier by what its kernels are run in this process: the CPU, SIMDe
 * (tests/kernels/simde), an emulator, or not at all. */
void tiers_print(void);

#endif
