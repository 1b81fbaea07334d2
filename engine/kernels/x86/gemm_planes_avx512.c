/* gemm_planes_avx512.c - matrix product of bit planes: 16 columns a vector, AND, VPOPCNTD, add.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * 32 bits of a dot product and one activation plane of ROWS rows at a time: the word of a row is
 * broadcast from memory into the AND. The counts of ROWS rows and up to 4 weight planes stay in
 * registers; more weight planes take another turn.
 */
#include "kernels/kernels.h"

#include <immintrin.h>

enum { LANES = 16, ROWS = 4, TURN = 4, MAX_BITS = 8 };

/* What one activation plane of `rows` rows adds to the sums, of weight planes first .. first + bits
 * - 1. pops[r]: bits that are set in row r of the plane. */
static inline __attribute__((always_inline)) void
add_plane(const struct lq_planes *p, int rows, int bits, const uint32_t *a, const uint32_t *w,
          const __m512i *basis, const int32_t *pops, int32_t m_j, __m512i *sums)
{
    __m512i counts[ROWS][TURN];
    size_t a_bits = (size_t)p->a_bits, step = p->rows.step;

    for (int r = 0; r < rows; r++)
        for (int i = 0; i < bits; i++)
            counts[r][i] = _mm512_setzero_si512();
    for (int run = 0; run < p->rows.runs; run++) {
        const uint32_t *at = a + (size_t)run * p->rows.gap;

        for (int word = 0; word < p->rows.run;
             word++, at += a_bits, w += (size_t)p->w_bits * LANES) {
            __m512i weights[TURN];

            for (int i = 0; i < bits; i++)
                weights[i] = _mm512_loadu_si512(w + (size_t)i * LANES);
            for (int r = 0; r < rows; r++) {
                __m512i row = _mm512_set1_epi32((int32_t)at[(size_t)r * step]);

                for (int i = 0; i < bits; i++)
                    counts[r][i] = _mm512_add_epi32(
                        counts[r][i], _mm512_popcnt_epi32(_mm512_and_si512(weights[i], row)));
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        __m512i total = _mm512_setzero_si512(), pop = _mm512_set1_epi32(pops[r]);

        for (int i = 0; i < bits; i++)
            total = _mm512_add_epi32(
                total, _mm512_mullo_epi32(
                           basis[i], _mm512_sub_epi32(_mm512_slli_epi32(counts[r][i], 1), pop)));
        sums[r] = _mm512_add_epi32(sums[r], _mm512_mullo_epi32(total, _mm512_set1_epi32(m_j)));
    }
}

static inline __attribute__((always_inline)) void
tile(const struct lq_planes *p, int rows, int w_bits, const uint32_t *a, const uint32_t *w,
     const int32_t *w_basis, const int32_t *pops, __mmask16 mask, int32_t *out)
{
    __m512i sums[ROWS], basis[MAX_BITS];

    for (int i = 0; i < w_bits; i++)
        basis[i] = _mm512_loadu_si512(w_basis + (size_t)i * LANES);
    for (int r = 0; r < rows; r++)
        sums[r] = _mm512_setzero_si512();
    for (int j = 0; j < p->a_bits; j++) {
        int32_t plane_pops[ROWS];

        for (int r = 0; r < rows; r++)
            plane_pops[r] = pops[r * MAX_BITS + j];
        for (int first = 0; first < w_bits; first += TURN)
            add_plane(p, rows, w_bits - first > TURN ? TURN : w_bits - first, a + j,
                      w + (size_t)first * LANES, basis + first, plane_pops, p->a_basis[j], sums);
    }
    for (int r = 0; r < rows; r++)
        _mm512_mask_storeu_epi32(out + (size_t)r * p->stride, mask, sums[r]);
}

/* Bits set in a row's plane, which starts at `plane`. */
static int32_t count(const struct lq_planes *p, const uint32_t *plane)
{
    int32_t sum = 0;

    for (int run = 0; run < p->rows.runs; run++, plane += p->rows.gap)
        for (int i = 0; i < p->rows.run; i++)
            sum += __builtin_popcount(plane[(size_t)i * (size_t)p->a_bits]);
    return sum;
}

/* All columns for `rows` rows of one line: what is known of the rows is found once. */
static inline __attribute__((always_inline)) void rows_by_columns(const struct lq_planes *p,
                                                                  int rows, int w_bits, int row)
{
    size_t words = (size_t)p->rows.runs * (size_t)p->rows.run;
    size_t panel = words * (size_t)p->w_bits * LANES;
    const uint32_t *a = p->a + lq_row_offset(&p->rows, row);
    int32_t pops[ROWS * MAX_BITS];

    for (int r = 0; r < rows; r++)
        for (int j = 0; j < p->a_bits; j++)
            pops[r * MAX_BITS + j] = count(p, a + (size_t)r * p->rows.step + j);
    for (int col = 0; col < p->n; col += LANES) {
        int left = p->n - col;
        __mmask16 mask = (__mmask16)(left >= LANES ? 0xffff : (1u << left) - 1);

        tile(p, rows, w_bits, a, p->w + (size_t)(col / LANES) * panel,
             p->w_basis + (size_t)col * (size_t)p->w_bits, pops, mask,
             p->sums + (size_t)row * p->stride + col);
    }
}

static inline __attribute__((always_inline)) void all_rows(const struct lq_planes *p, int w_bits)
{
    for (int line = 0; line < p->rows.lines; line++) {
        int row = line * p->rows.width, end = row + p->rows.width;

        for (; row + ROWS <= end; row += ROWS)
            rows_by_columns(p, ROWS, w_bits, row);
        for (; row < end; row++)
            rows_by_columns(p, 1, w_bits, row);
    }
}

void lq_gemm_planes_avx512(const struct lq_planes *p)
{
    /* A loop of its own for each number of weight planes: the counts then are registers. */
    switch (p->w_bits) {
    case 1:
        all_rows(p, 1);
        break;
    case 2:
        all_rows(p, 2);
        break;
    case 3:
        all_rows(p, 3);
        break;
    case 4:
        all_rows(p, 4);
        break;
    default:
        all_rows(p, p->w_bits);
    }
}
