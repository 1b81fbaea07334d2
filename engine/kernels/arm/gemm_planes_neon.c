/* gemm_planes_neon.c - matrix product of bit planes: 4 columns a vector, AND, CNT, add.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * CNT counts the bits of bytes. Counts are added up in bytes for MAX_WORDS words, which cannot pass
 * 255, and then go into the 32-bit lanes of the columns.
 */
#include "kernels/kernels.h"

#include <arm_neon.h>

enum { LANES = 4, ROWS = 4, TURN = 4, MAX_BITS = 8, MAX_WORDS = 31 };

/* Rows of one line and a panel: the activation plane and the weight plane that come first. */
struct tile {
    const uint32_t *a, *w;
};

/* Bits that words `from`.. of a run, at most MAX_WORDS, have in common with the weights. */
static inline __attribute__((always_inline)) void
count_words(const struct lq_planes *p, const int rows, const int bits, const uint32_t *a,
            const uint32_t *w, int words, uint32x4_t counts[ROWS][TURN])
{
    uint8x16_t bytes[ROWS][TURN];
    size_t a_bits = (size_t)p->a_bits, step = p->rows.step;

    for (int r = 0; r < rows; r++)
        for (int i = 0; i < bits; i++)
            bytes[r][i] = vdupq_n_u8(0);
    for (int word = 0; word < words; word++, a += a_bits, w += (size_t)p->w_bits * LANES)
        for (int i = 0; i < bits; i++) {
            uint32x4_t weights = vld1q_u32(w + (size_t)i * LANES);

            for (int r = 0; r < rows; r++) {
                uint32x4_t both = vandq_u32(weights, vdupq_n_u32(a[(size_t)r * step]));

                bytes[r][i] = vaddq_u8(bytes[r][i], vcntq_u8(vreinterpretq_u8_u32(both)));
            }
        }
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < bits; i++)
            counts[r][i] = vpadalq_u16(counts[r][i], vpaddlq_u8(bytes[r][i]));
}

/* What one activation plane adds to the sums, of weight planes first .. first + bits - 1. */
static inline __attribute__((always_inline)) void
add_plane(const struct lq_planes *p, const int rows, const int bits, const struct tile *tile,
          const int32_t *basis, const int32_t *pops, int32_t m_j, int32x4_t *sums)
{
    uint32x4_t counts[ROWS][TURN];
    const uint32_t *w = tile->w;
    size_t word = (size_t)p->w_bits * LANES;

    for (int r = 0; r < rows; r++)
        for (int i = 0; i < bits; i++)
            counts[r][i] = vdupq_n_u32(0);
    for (int run = 0; run < p->rows.runs; run++) {
        const uint32_t *a = tile->a + (size_t)run * p->rows.gap;

        for (int from = 0; from < p->rows.run; from += MAX_WORDS) {
            int left = p->rows.run - from, words = left < MAX_WORDS ? left : MAX_WORDS;

            count_words(p, rows, bits, a + (size_t)from * (size_t)p->a_bits, w, words, counts);
            w += (size_t)words * word;
        }
    }
    for (int r = 0; r < rows; r++) {
        int32x4_t total = vdupq_n_s32(0), pop = vdupq_n_s32(pops[r * MAX_BITS]);

        for (int i = 0; i < bits; i++) {
            int32x4_t twice = vshlq_n_s32(vreinterpretq_s32_u32(counts[r][i]), 1);

            total = vmlaq_s32(total, vld1q_s32(basis + (size_t)i * LANES), vsubq_s32(twice, pop));
        }
        sums[r] = vmlaq_n_s32(sums[r], total, m_j);
    }
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

static inline __attribute__((always_inline)) void panel(const struct lq_planes *p, const int rows,
                                                        struct tile tile, const int32_t *w_basis,
                                                        const int32_t *pops, int32x4_t *sums)
{
    const uint32_t *a = tile.a, *w = tile.w;

    for (int j = 0; j < p->a_bits; j++)
        for (int first = 0; first < p->w_bits; first += TURN) {
            const int32_t *basis = w_basis + (size_t)first * LANES;

            tile.a = a + j;
            tile.w = w + (size_t)first * LANES;
            switch (p->w_bits - first) { /* a loop of its own for each: counts are registers */
            case 1:
                add_plane(p, rows, 1, &tile, basis, pops + j, p->a_basis[j], sums);
                break;
            case 2:
                add_plane(p, rows, 2, &tile, basis, pops + j, p->a_basis[j], sums);
                break;
            case 3:
                add_plane(p, rows, 3, &tile, basis, pops + j, p->a_basis[j], sums);
                break;
            default:
                add_plane(p, rows, TURN, &tile, basis, pops + j, p->a_basis[j], sums);
            }
        }
}

/* All columns for `rows` rows of one line: what is known of the rows is found once. */
static inline __attribute__((always_inline)) void rows_by_columns(const struct lq_planes *p,
                                                                  const int rows, int row)
{
    size_t words = (size_t)p->rows.runs * (size_t)p->rows.run;
    const uint32_t *a = p->a + lq_row_offset(&p->rows, row);
    int32_t pops[ROWS * MAX_BITS], *out = p->sums + (size_t)row * p->stride;

    for (int r = 0; r < rows; r++)
        for (int j = 0; j < p->a_bits; j++)
            pops[r * MAX_BITS + j] = count(p, a + (size_t)r * p->rows.step + j);
    for (int col = 0; col < p->n; col += LANES) {
        struct tile tile = {.a = a, .w = p->w + (size_t)col * words * (size_t)p->w_bits};
        int32x4_t sums[ROWS] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};

        panel(p, rows, tile, p->w_basis + (size_t)col * (size_t)p->w_bits, pops, sums);
        for (int r = 0; r < rows; r++) {
            int32_t lanes[LANES];

            vst1q_s32(lanes, sums[r]);
            for (int lane = 0; lane < LANES && col + lane < p->n; lane++)
                out[(size_t)r * p->stride + (size_t)(col + lane)] = lanes[lane];
        }
    }
}

void lq_gemm_planes_neon(const struct lq_planes *p)
{
    for (int line = 0; line < p->rows.lines; line++) {
        int row = line * p->rows.width, end = row + p->rows.width;

        for (; row + ROWS <= end; row += ROWS)
            rows_by_columns(p, ROWS, row);
        for (; row < end; row++)
            rows_by_columns(p, 1, row);
    }
}
