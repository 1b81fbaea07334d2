/* windows_avx2.c - float convolutions of training: tiles of 6 x 16 sums in registers.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A step of a tile loads two vectors of columns and 6 broadcast elements for 12 fused
 * multiply-adds, which keeps both of the core's multipliers busy for 6 cycles. What a tile passes
 * over again and again, weights or pixels, is cut into blocks that stay in L1; a chain of additions
 * goes on through memory from one block to the next, so that blocks do not change a bit.
 */
#include "kernels/windows.h"

#include <immintrin.h>

enum { PIXELS = 6, LANES = 8, BLOCK_LENGTH = 320, BLOCK_PIXELS = 128 };

/* Columns 0-7 and 8-15 of a panel that are there. */
struct mask {
    __m256i low, high;
    bool all;
};

static inline struct mask mask_columns(int columns)
{
    __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    return (struct mask){_mm256_cmpgt_epi32(_mm256_set1_epi32(columns), lanes),
                         _mm256_cmpgt_epi32(_mm256_set1_epi32(columns - LANES), lanes),
                         columns >= LQ_FLOAT_LANES};
}

static inline __m256 load(const float *from, __m256i mask, bool all)
{
    return all ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, mask);
}

static inline void store(float *to, __m256i mask, bool all, __m256 value)
{
    if (all)
        _mm256_storeu_ps(to, value);
    else
        _mm256_maskstore_ps(to, mask, value);
}

/* Part of a window: taps [h0, h1) x [w0, w1), elements [k0, k1) of each run. */
struct part {
    int h0, h1, w0, w1, k0, k1;
    bool add;
};

struct tile {
    const float *a[PIXELS];
    float *y[PIXELS];
};

#define SUMS(i)                                                                                    \
    __m256 low##i = start ? load(t->y[i], mask->low, all) : zero;                                  \
    __m256 high##i = start ? load(t->y[i] + LANES, mask->high, all) : zero
#define ADD(i)                                                                                     \
    x = _mm256_broadcast_ss(a##i + k);                                                             \
    low##i = _mm256_fmadd_ps(x, wl, low##i);                                                       \
    high##i = _mm256_fmadd_ps(x, wh, high##i)
#define STORE(i)                                                                                   \
    store(t->y[i], mask->low, all, low##i);                                                        \
    store(t->y[i] + LANES, mask->high, all, high##i)

static inline __attribute__((always_inline)) void
add_tile(const struct lq_windows *s, const struct part *p, const struct tile *t, const float *w,
         const struct mask *mask, bool all, bool start)
{
    __m256 zero = _mm256_setzero_ps();
    SUMS(0);
    SUMS(1);
    SUMS(2);
    SUMS(3);
    SUMS(4);
    SUMS(5);

    for (int i = p->h0; i < p->h1; i++)
        for (int j = p->w0; j < p->w1; j++) {
            size_t at = (size_t)i * s->tap_line + (size_t)j * s->tap_step + (size_t)p->k0;
            const float *a0 = t->a[0] + at, *a1 = t->a[1] + at, *a2 = t->a[2] + at;
            const float *a3 = t->a[3] + at, *a4 = t->a[4] + at, *a5 = t->a[5] + at;

            for (long k = 0, length = p->k1 - p->k0; k < length; k++, w += LQ_FLOAT_LANES) {
                __m256 x, wl = _mm256_loadu_ps(w), wh = _mm256_loadu_ps(w + LANES);

                ADD(0);
                ADD(1);
                ADD(2);
                ADD(3);
                ADD(4);
                ADD(5);
            }
        }
    STORE(0);
    STORE(1);
    STORE(2);
    STORE(3);
    STORE(4);
    STORE(5);
}

/* One part of all windows and one panel of weights. The last tile is filled up with the last
 * pixel, which is then computed several times alike. */
static void add_part(const struct lq_windows *s, const struct part *p, const float *w,
                     const struct mask *mask, float *y)
{
    struct lq_pixel pixel = {0};
    struct tile t;
    bool more = true;

    while (more) {
        for (int i = 0; i < PIXELS; i++) {
            t.a[i] = s->a + pixel.a;
            t.y[i] = y + pixel.columns;
            more = more && lq_next_pixel(s, &pixel);
        }
        if (!mask->all)
            add_tile(s, p, &t, w, mask, false, p->add);
        else if (p->add)
            add_tile(s, p, &t, w, mask, true, true);
        else
            add_tile(s, p, &t, w, mask, true, false);
    }
}

void lq_windows_product_avx2(const struct lq_windows *s, const float *w, bool add, float *y)
{
    int taps_row = s->taps_w * s->run;
    int h = taps_row < BLOCK_LENGTH ? BLOCK_LENGTH / taps_row : 1;
    int j = taps_row <= BLOCK_LENGTH ? s->taps_w
            : s->run < BLOCK_LENGTH  ? BLOCK_LENGTH / s->run
                                     : 1;
    int k = s->run < BLOCK_LENGTH ? s->run : BLOCK_LENGTH;
    struct part p;

    for (int n = 0; n < s->n; n += LQ_FLOAT_LANES) {
        struct mask mask = mask_columns(s->n - n);

        p.add = add;
        for (p.h0 = 0; p.h0 < s->taps_h; p.h0 = p.h1) {
            p.h1 = p.h0 + h < s->taps_h ? p.h0 + h : s->taps_h;
            for (p.w0 = 0; p.w0 < s->taps_w; p.w0 = p.w1) {
                p.w1 = p.w0 + j < s->taps_w ? p.w0 + j : s->taps_w;
                for (p.k0 = 0; p.k0 < s->run; p.k0 = p.k1) {
                    p.k1 = p.k0 + k < s->run ? p.k0 + k : s->run;
                    add_part(s, &p, w, &mask, y + n);
                    w += (size_t)((p.h1 - p.h0) * (p.w1 - p.w0) * (p.k1 - p.k0)) * LQ_FLOAT_LANES;
                    p.add = true;
                }
            }
        }
    }
}

/* Lines [first, last) of all images' lines. */
struct lines {
    int first, last;
};

#define OUTER_SUMS(i)                                                                              \
    float *to##i = sums + (size_t)(i)*LQ_FLOAT_LANES;                                              \
    __m256 low##i = (i) < count ? _mm256_loadu_ps(to##i) : zero;                                   \
    __m256 high##i = (i) < count ? _mm256_loadu_ps(to##i + LANES) : zero
#define OUTER_ADD(i)                                                                               \
    if ((i) < count) {                                                                             \
        __m256 x = _mm256_broadcast_ss(a + (i));                                                   \
        low##i = _mm256_fmadd_ps(x, yl, low##i);                                                   \
        high##i = _mm256_fmadd_ps(x, yh, high##i);                                                 \
    }
#define OUTER_STORE(i)                                                                             \
    if ((i) < count) {                                                                             \
        _mm256_storeu_ps(to##i, low##i);                                                           \
        _mm256_storeu_ps(to##i + LANES, high##i);                                                  \
    }

/* `count` elements of the windows, from a_at on, and one panel of columns, from y on. */
static inline __attribute__((always_inline)) void
outer_tile(const struct lq_windows *s, const struct lines *lines, size_t a_at, const float *y_at,
           const struct mask *mask, float *sums, int count)
{
    __m256 zero = _mm256_setzero_ps();
    OUTER_SUMS(0);
    OUTER_SUMS(1);
    OUTER_SUMS(2);
    OUTER_SUMS(3);
    OUTER_SUMS(4);
    OUTER_SUMS(5);
    int image = lines->first / s->height, line = lines->first % s->height;

    for (int l = lines->first; l < lines->last; l++) {
        const float *a = s->a + a_at + (size_t)image * s->a_image + (size_t)line * s->a_line;
        const float *y = y_at + (size_t)image * s->y_image + (size_t)line * s->y_line;

        for (int x_at = 0; x_at < s->width; x_at++, a += s->a_step, y += s->y_step) {
            __m256 yl = load(y, mask->low, mask->all), yh = load(y + LANES, mask->high, mask->all);

            OUTER_ADD(0);
            OUTER_ADD(1);
            OUTER_ADD(2);
            OUTER_ADD(3);
            OUTER_ADD(4);
            OUTER_ADD(5);
        }
        if (++line == s->height) {
            line = 0;
            image++;
        }
    }
    OUTER_STORE(0);
    OUTER_STORE(1);
    OUTER_STORE(2);
    OUTER_STORE(3);
    OUTER_STORE(4);
    OUTER_STORE(5);
}

/* A run, in tiles of 6 elements where the rest allows it. */
static void outer_run(const struct lq_windows *s, const struct lines *lines, size_t a_at,
                      const float *y, const struct mask *mask, float *sums)
{
    for (int k = 0, count; k < s->run; k += count, a_at += (size_t)count) {
        int left = s->run - k;

        /* 8 = 4 + 4 and 7 = 4 + 3 keep more sums in flight than 6 + 2 and 6 + 1 */
        count = left == 8 || left == 7 ? 4 : left < PIXELS ? left : PIXELS;
        float *to = sums + (size_t)k * LQ_FLOAT_LANES;
        if (count == 6)
            outer_tile(s, lines, a_at, y, mask, to, 6);
        else if (count == 5)
            outer_tile(s, lines, a_at, y, mask, to, 5);
        else if (count == 4)
            outer_tile(s, lines, a_at, y, mask, to, 4);
        else if (count == 3)
            outer_tile(s, lines, a_at, y, mask, to, 3);
        else if (count == 2)
            outer_tile(s, lines, a_at, y, mask, to, 2);
        else
            outer_tile(s, lines, a_at, y, mask, to, 1);
    }
}

void lq_windows_outer_avx2(const struct lq_windows *s, const float *y, float *sums)
{
    int all = s->images * s->height, step = (BLOCK_PIXELS + s->width - 1) / s->width;
    struct lines lines;

    for (lines.first = 0; lines.first < all; lines.first = lines.last) {
        float *to = sums;

        lines.last = lines.first + step < all ? lines.first + step : all;
        for (int n = 0; n < s->n; n += LQ_FLOAT_LANES) {
            struct mask mask = mask_columns(s->n - n);

            for (int i = 0; i < s->taps_h; i++)
                for (int j = 0; j < s->taps_w; j++, to += (size_t)s->run * LQ_FLOAT_LANES)
                    outer_run(s, &lines, (size_t)i * s->tap_line + (size_t)j * s->tap_step, y + n,
                              &mask, to);
        }
    }
}
