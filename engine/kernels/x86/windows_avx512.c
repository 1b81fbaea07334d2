/* windows_avx512.c - float convolutions of training: tiles of 8 x 32 sums in registers.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * As windows_avx2.c, with one vector for a panel and two panels side by side where there are two.
 */
#include "kernels/windows.h"

#include <immintrin.h>

enum { PIXELS = 8, LANES = 16, BLOCK_LENGTH = 320, BLOCK_PIXELS = 128 };

static inline __mmask16 mask_columns(int columns)
{
    return columns >= LANES ? 0xffff : columns <= 0 ? 0 : (__mmask16)((1u << columns) - 1);
}

/* Part of a window: taps [h0, h1) x [w0, w1), elements [k0, k1) of each run. */
struct part {
    int h0, h1, w0, w1, k0, k1;
    bool add;
    const float *w;
    size_t panel; /* floats of a panel of weights */
    __mmask16 low, high;
};

struct tile {
    const float *a[PIXELS];
    float *y[PIXELS];
};

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

#define SUMS(i)                                                                                    \
    __m512 low##i = p->add ? _mm512_maskz_loadu_ps(p->low, t->y[i]) : _mm512_setzero_ps();         \
    __m512 high##i =                                                                               \
        both && p->add ? _mm512_maskz_loadu_ps(p->high, t->y[i] + LANES) : _mm512_setzero_ps();
#define AT(i) const float *a##i = t->a[i] + at;
#define ADD(i)                                                                                     \
    x = _mm512_set1_ps(a##i[k]);                                                                   \
    low##i = _mm512_fmadd_ps(x, wl, low##i);                                                       \
    if (both)                                                                                      \
        high##i = _mm512_fmadd_ps(x, wh, high##i);
#define STORE(i)                                                                                   \
    _mm512_mask_storeu_ps(t->y[i], p->low, low##i);                                                \
    if (both)                                                                                      \
        _mm512_mask_storeu_ps(t->y[i] + LANES, p->high, high##i);

static inline __attribute__((always_inline)) void
add_tile(const struct lq_windows *s, const struct part *p, const struct tile *t, bool both)
{
    const float *w = p->w;

    EACH(SUMS)
    for (int i = p->h0; i < p->h1; i++)
        for (int j = p->w0; j < p->w1; j++) {
            size_t at = (size_t)i * s->tap_line + (size_t)j * s->tap_step + (size_t)p->k0;

            EACH(AT)
            for (long k = 0, length = p->k1 - p->k0; k < length; k++, w += LANES) {
                __m512 x, wl = _mm512_loadu_ps(w);
                __m512 wh = both ? _mm512_loadu_ps(w + p->panel) : wl;

                EACH(ADD)
            }
        }
    EACH(STORE)
}

/* One part of all windows and one or two panels of weights. The last tile is filled up with the
 * last pixel, which is then computed several times alike. */
static void add_part(const struct lq_windows *s, const struct part *p, bool both, float *y)
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
        if (both)
            add_tile(s, p, &t, true);
        else
            add_tile(s, p, &t, false);
    }
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

void lq_windows_product_avx512(const struct lq_windows *s, const float *w, bool add, float *y)
{
    int line = s->taps_w * s->run;
    int h = line < BLOCK_LENGTH ? BLOCK_LENGTH / line : 1;
    int j = line <= BLOCK_LENGTH ? s->taps_w : s->run < BLOCK_LENGTH ? BLOCK_LENGTH / s->run : 1;
    int k = least(s->run, BLOCK_LENGTH);
    struct part p = {.panel = (size_t)lq_window_length(s) * LANES};

    for (int n = 0; n < s->n; n += 2 * LANES, w += 2 * p.panel) {
        bool both = s->n - n > LANES;

        p.low = mask_columns(s->n - n);
        p.high = mask_columns(s->n - n - LANES);
        p.add = add;
        p.w = w;
        for (p.h0 = 0; p.h0 < s->taps_h; p.h0 = p.h1) {
            p.h1 = least(p.h0 + h, s->taps_h);
            for (p.w0 = 0; p.w0 < s->taps_w; p.w0 = p.w1) {
                p.w1 = least(p.w0 + j, s->taps_w);
                for (p.k0 = 0; p.k0 < s->run; p.k0 = p.k1) {
                    p.k1 = least(p.k0 + k, s->run);
                    add_part(s, &p, both, y + n);
                    p.w += (size_t)((p.h1 - p.h0) * (p.w1 - p.w0) * (p.k1 - p.k0)) * LANES;
                    p.add = true;
                }
            }
        }
    }
}

/* Lines [first, last) of all images' lines, and the columns of one or two panels. */
struct lines {
    int first, last;
    const float *y;
    size_t panel;
    __mmask16 low, high;
};

#define OUTER_SUMS(i)                                                                              \
    float *to##i = sums + (size_t)(i)*LANES;                                                       \
    __m512 low##i = (i) < count ? _mm512_loadu_ps(to##i) : _mm512_setzero_ps();                    \
    __m512 high##i = (i) < count && both ? _mm512_loadu_ps(to##i + l->panel) : low##i;
#define OUTER_ADD(i)                                                                               \
    if ((i) < count) {                                                                             \
        __m512 x = _mm512_set1_ps(a[i]);                                                           \
        low##i = _mm512_fmadd_ps(x, yl, low##i);                                                   \
        if (both)                                                                                  \
            high##i = _mm512_fmadd_ps(x, yh, high##i);                                             \
    }
#define OUTER_STORE(i)                                                                             \
    if ((i) < count) {                                                                             \
        _mm512_storeu_ps(to##i, low##i);                                                           \
        if (both)                                                                                  \
            _mm512_storeu_ps(to##i + l->panel, high##i);                                           \
    }

/* `count` elements of the windows, from a_at on. */
static inline __attribute__((always_inline)) void outer_tile(const struct lq_windows *s,
                                                             const struct lines *l, size_t a_at,
                                                             bool both, float *sums, int count)
{
    EACH(OUTER_SUMS)
    int image = l->first / s->height, line = l->first % s->height;

    for (int at = l->first; at < l->last; at++) {
        const float *a = s->a + a_at + (size_t)image * s->a_image + (size_t)line * s->a_line;
        const float *y = l->y + (size_t)image * s->y_image + (size_t)line * s->y_line;

        for (int x_at = 0; x_at < s->width; x_at++, a += s->a_step, y += s->y_step) {
            __m512 yl = _mm512_maskz_loadu_ps(l->low, y);
            __m512 yh = both ? _mm512_maskz_loadu_ps(l->high, y + LANES) : yl;

            EACH(OUTER_ADD)
        }
        if (++line == s->height) {
            line = 0;
            image++;
        }
    }
    EACH(OUTER_STORE)
}

static inline __attribute__((always_inline)) void
outer_run(const struct lq_windows *s, const struct lines *l, size_t a_at, bool both, float *sums)
{
    int k = 0;

    for (; k + PIXELS <= s->run; k += PIXELS)
        outer_tile(s, l, a_at + (size_t)k, both, sums + (size_t)k * LANES, PIXELS);
    for (; k + 4 <= s->run; k += 4)
        outer_tile(s, l, a_at + (size_t)k, both, sums + (size_t)k * LANES, 4);
    for (; k < s->run; k++)
        outer_tile(s, l, a_at + (size_t)k, both, sums + (size_t)k * LANES, 1);
}

void lq_windows_outer_avx512(const struct lq_windows *s, const float *y, float *sums)
{
    int all = s->images * s->height, step = (BLOCK_PIXELS + s->width - 1) / s->width;
    struct lines l = {.panel = (size_t)lq_window_length(s) * LANES};

    for (l.first = 0; l.first < all; l.first = l.last) {
        float *to = sums;

        l.last = least(l.first + step, all);
        for (int n = 0; n < s->n; n += 2 * LANES, to += l.panel) {
            l.y = y + n;
            l.low = mask_columns(s->n - n);
            l.high = mask_columns(s->n - n - LANES);
            for (int i = 0; i < s->taps_h; i++)
                for (int j = 0; j < s->taps_w; j++, to += (size_t)s->run * LANES) {
                    size_t a_at = (size_t)i * s->tap_line + (size_t)j * s->tap_step;

                    if (l.high)
                        outer_run(s, &l, a_at, true, to);
                    else
                        outer_run(s, &l, a_at, false, to);
                }
        }
    }
}
