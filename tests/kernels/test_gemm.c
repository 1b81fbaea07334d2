/* test_gemm.c - both integer products agree on random and extreme inputs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"
#include "kernels/kernels.h"

enum { M = 3, N = 6, WORDS = 5, K = WORDS * 32, MAX_BITS = 8 };

/* Fills planes and levels with the same codes; `fill` 0: random, 1: all zero, 2: all one. */
static void agree(int a_bits, int w_bits, int fill)
{
    static uint32_t a[M * MAX_BITS * WORDS], w[N * MAX_BITS * WORDS];
    static int16_t a_levels[M * K], w_levels[N * K], w_basis[N * MAX_BITS];
    int16_t a_basis[MAX_BITS];
    int32_t planes_sums[M * N], levels_sums[M * N];

    memset(a, 0, sizeof(a));
    memset(w, 0, sizeof(w));
    for (int j = 0; j < a_bits; j++)
        a_basis[j] = (int16_t)(rand() % 61 - 10);
    for (int i = 0; i < N * w_bits; i++)
        w_basis[i] = (int16_t)(rand() % 41 - 20);
    for (int at = 0; at < M * K; at++) {
        a_levels[at] = 0;
        for (int j = 0; j < a_bits; j++) {
            uint32_t bit = fill ? fill == 2 : rand() & 1;

            a[(at / K * a_bits + j) * WORDS + at % K / 32] |= bit << (at % 32);
            a_levels[at] = (int16_t)(a_levels[at] + (bit ? a_basis[j] : 0));
        }
    }
    for (int at = 0; at < N * K; at++) {
        w_levels[at] = 0;
        for (int i = 0; i < w_bits; i++) {
            uint32_t bit = fill ? fill == 2 : rand() & 1;
            int16_t v = w_basis[at / K * w_bits + i];

            w[(at / K * w_bits + i) * WORDS + at % K / 32] |= bit << (at % 32);
            w_levels[at] = (int16_t)(w_levels[at] + (bit ? v : -v));
        }
    }
    struct lq_planes p = {M, N, WORDS, a_bits, w_bits, a, w, a_basis, w_basis, planes_sums, N};
    struct lq_kernels kernels;

    lq_kernels_init(&kernels, ~0u);
    kernels.gemm_planes(&p);
    kernels.gemm_levels(M, N, K, a_levels, w_levels, levels_sums, N);
    for (int at = 0; at < M * N; at++)
        ck_assert_int_eq(planes_sums[at], levels_sums[at]);
}

START_TEST(planes_equal_levels)
{
    for (int fill = 0; fill < 3; fill++)
        for (int w_bits = 1; w_bits <= MAX_BITS; w_bits++)
            agree(_i, w_bits, fill);
}
END_TEST

START_TEST(hand_computed)
{
    const int16_t a[4] = {0, 1, 2, 3}, w[8] = {1, -1, 1, -1, 3, 3, 3, 3};
    int32_t sums[2];

    lq_gemm_levels_c(1, 2, 4, a, w, sums, 2);
    ck_assert_int_eq(sums[0], -2);
    ck_assert_int_eq(sums[1], 18);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("gemm");

    tcase_add_loop_test(tests, planes_equal_levels, 1, MAX_BITS + 1);
    tcase_add_test(tests, hand_computed);
    return suite_main("gemm", tests);
}
