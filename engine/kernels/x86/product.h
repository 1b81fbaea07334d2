/* product.h - products of integer levels in units of 4 bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The instructions take 4 bytes of a row in each 32-bit lane, two levels of 16 bits or four of 8:
 * with rows and weights counted in bytes, the two products are one.
 */
#ifndef LQ_KERNELS_X86_PRODUCT_H
#define LQ_KERNELS_X86_PRODUCT_H

#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

enum { LQ_PRODUCT_WORD = 4 };

struct lq_product {
    int n, lines, width, runs;
    size_t run, gap, step, line; /* bytes */
    const uint8_t *a, *w;
    int32_t *sums;
    size_t stride;
};

static inline struct lq_product lq_product_of_rows(const struct lq_rows *rows, size_t size)
{
    return (struct lq_product){.lines = rows->lines,
                               .width = rows->width,
                               .runs = rows->runs,
                               .run = (size_t)rows->run * size,
                               .gap = rows->gap * size,
                               .step = rows->step * size,
                               .line = rows->line * size};
}

static inline struct lq_product lq_product_of_levels(const struct lq_levels *levels)
{
    struct lq_product p = lq_product_of_rows(&levels->rows, sizeof(*levels->a));

    p.n = levels->n;
    p.a = (const uint8_t *)levels->a;
    p.w = (const uint8_t *)levels->w;
    p.sums = levels->sums;
    p.stride = levels->stride;
    return p;
}

static inline struct lq_product lq_product_of_bytes(const struct lq_bytes *bytes)
{
    struct lq_product p = lq_product_of_rows(&bytes->rows, sizeof(*bytes->a));

    p.n = bytes->n;
    p.a = bytes->a;
    p.w = (const uint8_t *)bytes->w;
    p.sums = bytes->sums;
    p.stride = bytes->stride;
    return p;
}

static inline struct lq_product lq_product_of_wide(const struct lq_wide *wide)
{
    struct lq_product p = lq_product_of_rows(&wide->rows, sizeof(*wide->a));

    p.n = wide->n;
    p.a = wide->a;
    p.w = (const uint8_t *)wide->w;
    p.sums = wide->sums;
    p.stride = wide->stride;
    return p;
}

/* A word of a row in every lane of 8; behind `count` bytes zeros. */
static inline __attribute__((always_inline)) __m256i lq_product_word(const uint8_t *row,
                                                                     size_t count)
{
    int32_t word = 0;

    memcpy(&word, row, count);
    return _mm256_set1_epi32(word);
}

/* Bytes of a panel of so many lanes. */
static inline size_t lq_product_panel_bytes(const struct lq_product *p, int lanes)
{
    size_t length = (size_t)p->runs * p->run;

    return (length + LQ_PRODUCT_WORD - 1) / LQ_PRODUCT_WORD * LQ_PRODUCT_WORD * (size_t)lanes;
}

#endif
