/* detect.c - the CPU that SIMDe stands for: it has tier avx512, and C.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The linker puts this in the place of lq_cpu_detect (--wrap), so that the suites of kernels
 * compare the kernels of tier avx512, compiled through avx512.h, with C.
 */
#include "lq.h"

unsigned __wrap_lq_cpu_detect(void);
extern const char tiers_by_simde[];

const char tiers_by_simde[] = "SIMDe";

unsigned __wrap_lq_cpu_detect(void)
{
    return 1u << LQ_CPU_C | 1u << LQ_CPU_AVX512;
}
