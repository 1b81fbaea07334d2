/* gemm_levels_neon.c - products of integer levels by SMLAL: 4 columns a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Two levels of 16 bits lie side by side for each column, or four of 8 bits, which are widened.
 * Their products are added up apart, and to each other at the end.
 */
#include "kernels/kernels.h"

#include <arm_neon.h>
#include <string.h>

enum { LANES = 4, ROWS = 4, PAIR = 2, FOUR = 4 };

/* Rows of one line and the panel that they meet. */
struct strip {
    const struct lq_rows *rows;
    int columns; /* that are there, at most LANES */
    int32_t *sums;
    size_t stride;
};

static inline void store(const struct strip *strip, int row, int32x4_t sums)
{
    int32_t lanes[LANES], *to = strip->sums + (size_t)row * strip->stride;

    if (strip->columns == LANES) {
        vst1q_s32(to, sums);
        return;
    }
    vst1q_s32(lanes, sums);
    memcpy(to, lanes, (size_t)strip->columns * sizeof(*lanes));
}

/* ------------------------------------------------------------------------------------------------
 * Levels of 16 bits
 */

/* Pairs of columns 0 and 1, and of 2 and 3, of one row. */
struct pairs {
    int32x4_t low, high;
};

static inline __attribute__((always_inline)) void
add_pair(const int rows, const int16_t *a, size_t step, int count, int16x8_t w, struct pairs *sums)
{
    for (int r = 0; r < rows; r++) {
        int32_t pair = 0;

        memcpy(&pair, a + (size_t)r * step, (size_t)count * sizeof(*a));
        int16x8_t levels = vreinterpretq_s16_s32(vdupq_n_s32(pair));
        sums[r].low = vmlal_s16(sums[r].low, vget_low_s16(w), vget_low_s16(levels));
        sums[r].high = vmlal_high_s16(sums[r].high, w, levels);
    }
}

static inline __attribute__((always_inline)) void
levels_tile(const struct strip *strip, const int rows, const int16_t *a, const int16_t *w, int row)
{
    struct pairs sums[ROWS];
    int run = strip->rows->run;
    size_t step = strip->rows->step;

    for (int r = 0; r < rows; r++)
        sums[r].low = sums[r].high = vdupq_n_s32(0);
    for (int i = 0; i < strip->rows->runs; i++, a += strip->rows->gap) {
        int k = 0;

        for (; k + PAIR <= run; k += PAIR, w += (size_t)PAIR * LANES)
            add_pair(rows, a + k, step, PAIR, vld1q_s16(w), sums);
        if (k < run)
            add_pair(rows, a + k, step, 1, vld1q_s16(w), sums);
    }
    for (int r = 0; r < rows; r++)
        store(strip, row + r, vpaddq_s32(sums[r].low, sums[r].high));
}

void lq_gemm_levels_neon(const struct lq_levels *p)
{
    const struct lq_rows *rows = &p->rows;
    size_t panel = ((size_t)rows->runs * (size_t)rows->run + 1) / PAIR * PAIR * LANES;

    for (int col = 0; col < p->n; col += LANES)
        for (int line = 0; line < rows->lines; line++) {
            int row = 0, first = line * rows->width;
            struct strip strip = {rows, p->n - col < LANES ? p->n - col : LANES,
                                  p->sums + (size_t)first * p->stride + col, p->stride};
            const int16_t *a = p->a + (size_t)line * rows->line;
            const int16_t *w = p->w + (size_t)(col / LANES) * panel;

            for (; row + ROWS <= rows->width; row += ROWS)
                levels_tile(&strip, ROWS, a + (size_t)row * rows->step, w, row);
            for (; row < rows->width; row++)
                levels_tile(&strip, 1, a + (size_t)row * rows->step, w, row);
        }
}

/* ------------------------------------------------------------------------------------------------
 * Bytes
 */

/* Of one row, a vector of four sums for each column. */
struct fours {
    int32x4_t column[LANES];
};

static inline __attribute__((always_inline)) void
add_four(const int rows, const uint8_t *a, size_t step, int count, int8x16_t w, struct fours *sums)
{
    int16x8_t low = vmovl_s8(vget_low_s8(w)), high = vmovl_high_s8(w);

    for (int r = 0; r < rows; r++) {
        uint32_t four = 0;

        memcpy(&four, a + (size_t)r * step, (size_t)count);
        uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)));
        int16x8_t levels = vreinterpretq_s16_u16(wide);
        int32x4_t *to = sums[r].column;
        to[0] = vmlal_s16(to[0], vget_low_s16(low), vget_low_s16(levels));
        to[1] = vmlal_high_s16(to[1], low, levels);
        to[2] = vmlal_s16(to[2], vget_low_s16(high), vget_low_s16(levels));
        to[3] = vmlal_high_s16(to[3], high, levels);
    }
}

static inline __attribute__((always_inline)) void
bytes_tile(const struct strip *strip, const int rows, const uint8_t *a, const int8_t *w, int row)
{
    struct fours sums[ROWS];
    int run = strip->rows->run;
    size_t step = strip->rows->step;

    for (int r = 0; r < rows; r++)
        for (int column = 0; column < LANES; column++)
            sums[r].column[column] = vdupq_n_s32(0);
    for (int i = 0; i < strip->rows->runs; i++, a += strip->rows->gap) {
        int k = 0;

        for (; k + FOUR <= run; k += FOUR, w += (size_t)FOUR * LANES)
            add_four(rows, a + k, step, FOUR, vld1q_s8(w), sums);
        if (k < run)
            add_four(rows, a + k, step, run - k, vld1q_s8(w), sums);
    }
    for (int r = 0; r < rows; r++) {
        const int32x4_t *of = sums[r].column;

        store(strip, row + r, vpaddq_s32(vpaddq_s32(of[0], of[1]), vpaddq_s32(of[2], of[3])));
    }
}

void lq_gemm_bytes_neon(const struct lq_bytes *p)
{
    const struct lq_rows *rows = &p->rows;
    size_t panel = ((size_t)rows->runs * (size_t)rows->run + 3) / FOUR * FOUR * LANES;

    for (int col = 0; col < p->n; col += LANES)
        for (int line = 0; line < rows->lines; line++) {
            int row = 0, first = line * rows->width;
            struct strip strip = {rows, p->n - col < LANES ? p->n - col : LANES,
                                  p->sums + (size_t)first * p->stride + col, p->stride};
            const uint8_t *a = p->a + (size_t)line * rows->line;
            const int8_t *w = p->w + (size_t)(col / LANES) * panel;

            for (; row + ROWS <= rows->width; row += ROWS)
                bytes_tile(&strip, ROWS, a + (size_t)row * rows->step, w, row);
            for (; row < rows->width; row++)
                bytes_tile(&strip, 1, a + (size_t)row * rows->step, w, row);
        }
}
