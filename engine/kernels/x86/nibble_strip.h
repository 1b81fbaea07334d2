/* nibble_strip.h - pixels in the lanes: what the products of gemm_nibbles_pixels_avx2.c and
 * encode_nibbles_avx2.c share.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Few columns leave lanes empty and fill few lookups between flushes. Where windows overlap in
 * lines one row apart, the roles are swapped: the lines are split into planes of nibbles, one for
 * each four channels and each bit, a byte a pixel; whatever the tap, the pixels of neighbouring
 * windows are then neighbours, and 64 of them meet one byte of weights: two columns, or two planes
 * of one. Windows are counted through the lines; those that hang over a line's end are left out.
 */
#ifndef LQ_KERNELS_X86_NIBBLE_STRIP_H
#define LQ_KERNELS_X86_NIBBLE_STRIP_H

#include "kernels/x86/nibbles.h"

enum {
    LQ_STRIP_HALVES = 2, /* vectors of pixels */
    LQ_STRIP_PIXELS = LQ_STRIP_HALVES * LQ_NIBBLE_LANES,
    LQ_STRIP_COLUMNS = 128 /* at most */
};

/* Lines that are computed together. */
struct lq_strip {
    const struct lq_nibbles *p;
    int lines, pixels;       /* pixels of all input lines that the windows see */
    int line_pixels;         /* from one line to the next */
    int groups;              /* of four channels */
    size_t plane;            /* bytes from one plane to the next */
    const uint32_t *offsets; /* [length], of each nibble of a window in the planes */
    const uint32_t *full;    /* [chunks], of all columns together */
    uint8_t *planes;         /* [groups][2][plane] */
    const uint8_t *pops;     /* [2][plane]: how many activations a pixel has */
};

/* Through the windows in blocks of 64: where the next block starts, and how many windows that count
 * lie before it, in all strips. */
struct lq_strip_cursor {
    int line, x;
    size_t windows;
};

/* Calls block(context, strip, at) for windows at..at+63 of each strip; at = 0 starts a strip.
 * False: nothing is done, the product does not suit pixels in lanes. */
typedef void lq_strip_block(void *context, const struct lq_strip *strip, size_t at);
bool lq_strip_run(const struct lq_nibbles *p, lq_strip_block *block, void *context);

/* The windows from the cursor on, of `some` at most: *ret_here that count, then others up to
 * *ret_there in all. Moves the cursor behind them. */
void lq_strip_next(const struct lq_strip *strip, struct lq_strip_cursor *cursor, int some,
                   int *ret_here, int *ret_there);

/* What a plane of weights makes of windows,
 *     x = sum_j m_j (2 count_j - pop_j),
 * fits 16 bits in products that suit pixels in lanes. Of 64 windows: [half][even pixels, odd ones].
 */
struct lq_strip_base { /* sum_j m_j pop_j, which all planes of weights have in common */
    __m256i of[LQ_STRIP_HALVES][2];
};
void lq_strip_start(const struct lq_strip *strip, size_t at, struct lq_strip_base *ret_base);
/* x of the first and the second of a pair of columns or planes. */
struct lq_strip_sums {
    __m256i of[2][LQ_STRIP_HALVES][2];
};
/* Of two pairs, which may be the same. */
void lq_strip_count(const struct lq_strip *strip, size_t at, const struct lq_strip_base *base,
                    const uint16_t *const pairs[2], struct lq_strip_sums ret_sums[2]);

/* n x of pixels 4 l + r of a half, in 32 bits. */
static inline __attribute__((always_inline)) __m256i
lq_strip_weigh(const struct lq_strip_sums *sums, int side, int half, int r, int32_t n)
{
    uint32_t factor = r < 2 ? (uint32_t)n & 0xffffu : (uint32_t)n << 16;

    return _mm256_madd_epi16(sums->of[side][half][r % 2], _mm256_set1_epi32((int32_t)factor));
}

static inline int32_t lq_strip_basis(const struct lq_nibbles *p, int column, int plane)
{
    return p->w_basis[(column / LQ_NIBBLE_LANES * p->w_bits + plane) * LQ_NIBBLE_LANES +
                      column % LQ_NIBBLE_LANES];
}

#endif
