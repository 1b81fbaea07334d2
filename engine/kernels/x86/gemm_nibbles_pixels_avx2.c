/* gemm_nibbles_pixels_avx2.c - products of codes in nibbles with pixels in the lanes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Sums are made for 8 columns, pixels in the lanes, and stored by columns.
 */
#include "kernels/x86/nibble_strip.h"

#include <string.h>

enum {
    LANES = LQ_NIBBLE_LANES,
    HALVES = LQ_STRIP_HALVES,
    PIXELS = LQ_STRIP_PIXELS,
    COLUMNS = 8 /* stored at once */
};

static inline void store(int32_t *sums, int left, __m256i eight)
{
    if (left >= COLUMNS)
        _mm256_storeu_si256((void *)sums, eight);
    else
        _mm256_maskstore_epi32(
            sums,
            _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
            eight);
}

/* [COLUMNS] vectors of 8 pixels, to[0], to[4], ...: turned to rows of 8 columns. */
static inline void store_columns(const __m256i *by_column, size_t step, int left,
                                 int32_t *const *to, int column)
{
    __m256i v[COLUMNS], t[COLUMNS];

    for (size_t i = 0; i < COLUMNS; i++)
        v[i] = by_column[i * step];
    for (size_t i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
    for (size_t i = 0; i < 2; i++) {
        v[4 * i] = _mm256_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        v[4 * i + 1] = _mm256_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        v[4 * i + 2] = _mm256_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        v[4 * i + 3] = _mm256_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for (size_t i = 0; i < 4; i++) {
        store(to[4 * i] + column, left, _mm256_permute2x128_si256(v[i], v[i + 4], 0x20));
        store(to[4 * (i + 4)] + column, left, _mm256_permute2x128_si256(v[i], v[i + 4], 0x31));
    }
}

/* What a pair makes of columns `column`.. whose pair number i / 2 it is, of pixels 4 l + r. */
static inline __attribute__((always_inline)) void
weigh_pair(const int bits, const struct lq_nibbles *p, const struct lq_strip_sums *x, int column,
           int i, __m256i sums[COLUMNS][HALVES][4])
{
    for (int side = 0; side < 2; side++) {
        int of = (i + side) / bits, plane = (i + side) % bits;
        int32_t n = column + of < p->n ? lq_strip_basis(p, column + of, plane) : 0;

        for (int half = 0; half < HALVES; half++)
            for (int r = 0; r < 4; r++) {
                __m256i sum = lq_strip_weigh(x, side, half, r, n), *to = &sums[of][half][r];

                *to = plane == 0 ? sum : _mm256_add_epi32(*to, sum);
            }
    }
}

/* All columns of the 64 windows from window `at` on; to: where each window's sums go. */
static inline __attribute__((always_inline)) void
block_by_pairs(const int bits, const struct lq_strip *s, size_t at, int32_t *const *to)
{
    const struct lq_nibbles *p = s->p;
    size_t length = (size_t)p->rows.runs * (size_t)p->rows.run;
    struct lq_strip_base base;
    struct lq_strip_sums x[2];
    __m256i sums[COLUMNS][HALVES][4]; /* [r]: pixels 4 l + r of the half */
    int all = (p->n * bits + 1) / 2;  /* pairs */

    lq_strip_start(s, at, &base);
    for (int column = 0; column < p->n; column += COLUMNS) {
        for (int i = 0; i < COLUMNS * bits; i += 4) {
            int pair = (column * bits + i) / 2;

            if (pair >= all)
                break;
            const uint16_t *first = p->pairs + (size_t)pair * length;
            const uint16_t *const both[2] = {first, pair + 1 < all ? first + length : first};
            lq_strip_count(s, at, &base, both, x);
            weigh_pair(bits, p, &x[0], column, i, sums);
            if (pair + 1 < all)
                weigh_pair(bits, p, &x[1], column, i + 2, sums);
        }
        for (int half = 0; half < HALVES; half++)
            for (int r = 0; r < 4; r++)
                store_columns(&sums[0][half][r], (size_t)HALVES * 4, p->n - column,
                              to + (size_t)half * LANES + r, column);
    }
}

/* Of the next 64 windows; those that do not count go nowhere. */
static void place(const struct lq_strip *s, struct lq_strip_cursor *c, int32_t *nowhere,
                  int32_t **to)
{
    const struct lq_nibbles *p = s->p;

    for (int i = 0; i < PIXELS;) {
        int32_t *sums = p->sums + c->windows * p->stride;
        int here, there;

        lq_strip_next(s, c, PIXELS - i, &here, &there);
        for (int last = i + there; i < last; i++, here--) {
            to[i] = here > 0 ? sums : nowhere;
            sums += p->stride;
        }
    }
}

static void sum_block(void *context, const struct lq_strip *s, size_t at)
{
    struct lq_strip_cursor *cursor = context;
    int32_t nowhere[LQ_STRIP_COLUMNS], *to[PIXELS];

    if (at == 0)
        cursor->line = cursor->x = 0;
    place(s, cursor, nowhere, to);
    if (s->p->w_bits == 1)
        block_by_pairs(1, s, at, to);
    else
        block_by_pairs(2, s, at, to);
}

bool lq_nibbles_by_pixels_avx2(const struct lq_nibbles *p)
{
    struct lq_strip_cursor cursor = {0};

    return lq_strip_run(p, sum_block, &cursor);
}
