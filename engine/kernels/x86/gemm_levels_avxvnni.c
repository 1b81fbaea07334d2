/* gemm_levels_avxvnni.c - products of integer levels: 8 columns a vector, VPDPBUSD and VPDPWSSD of
 * AVX-VNNI on levels of 8 or 16 bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A tile is 6 rows by 2 panels, whose sums stay in registers along all of a row. A block of rows
 * meets one pair of panels after the other.
 */
#include "kernels/x86/product.h"

#include <immintrin.h>
#include <string.h>

enum {
    LANES = 8,
    WORD = LQ_PRODUCT_WORD,
    ROWS = 6,
    BLOCK = 8 * ROWS,
    PANELS = 2,
    COLUMNS = PANELS * LANES
};
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)

/* A tile's rows, where its sums go, and its panels. */
struct tile {
    const uint8_t *const *a;
    int32_t *sums[ROWS];
    const uint8_t *w;
    size_t panel; /* bytes from one panel to the next */
};

/* The levels of a product. */
enum size { BYTES, WORDS };

/* As assembly: gcc 12 copies the sums to and fro around the intrinsics. */
static inline __attribute__((always_inline)) __m256i add_products(enum size size, __m256i sum,
                                                                  __m256i levels, __m256i weights)
{
    if (size == BYTES)
        __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(levels), "x"(weights));
    else
        __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(levels), "x"(weights));
    return sum;
}

static inline __m256i load(const void *from)
{
    return _mm256_loadu_si256(from);
}

/* The sums are scalars, because the compiler keeps arrays of vectors in memory when they take
 * nearly all registers. */
static inline __attribute__((always_inline)) void
multiply(const enum size size, const int panels, const struct lq_product *p, const struct tile *t)
{
    const uint8_t *w = t->w;
#define X(r)                                                                                       \
    const uint8_t *a##r = t->a[r];                                                                 \
    __m256i left##r = _mm256_setzero_si256(), right##r = left##r;
    EACH_ROW(X)
#undef X

/* A word of all rows, `bytes` of it. */
#define ADD_WORD(k, bytes)                                                                         \
    do {                                                                                           \
        const size_t at = (k), count = (bytes);                                                    \
        __m256i first = load(w), second = panels == 2 ? load(w + t->panel) : first;                \
                                                                                                   \
        EACH_ROW(X)                                                                                \
        w += (size_t)WORD * LANES;                                                                 \
    } while (0)
#define X(r)                                                                                       \
    {                                                                                              \
        __m256i levels = lq_product_word(a##r + at, count);                                        \
                                                                                                   \
        left##r = add_products(size, left##r, levels, first);                                      \
        if (panels == 2)                                                                           \
            right##r = add_products(size, right##r, levels, second);                               \
    }

    for (int run = 0; run < p->runs; run++) {
        size_t from = (size_t)run * p->gap, whole = from + p->run / WORD * WORD;

        for (size_t k = from; k < whole; k += WORD)
            ADD_WORD(k, WORD);
        if (p->run % WORD != 0)
            ADD_WORD(whole, p->run % WORD);
    }
#undef X
#define X(r)                                                                                       \
    _mm256_storeu_si256((void *)t->sums[r], left##r);                                              \
    if (panels == 2)                                                                               \
        _mm256_storeu_si256((void *)(t->sums[r] + LANES), right##r);
    EACH_ROW(X)
#undef X
}

typedef void multiply_tile(const struct lq_product *p, const struct tile *t);

static __attribute__((noinline)) void bytes_by_1(const struct lq_product *p, const struct tile *t)
{
    multiply(BYTES, 1, p, t);
}

static __attribute__((noinline)) void bytes_by_2(const struct lq_product *p, const struct tile *t)
{
    multiply(BYTES, 2, p, t);
}

static __attribute__((noinline)) void words_by_1(const struct lq_product *p, const struct tile *t)
{
    multiply(WORDS, 1, p, t);
}

static __attribute__((noinline)) void words_by_2(const struct lq_product *p, const struct tile *t)
{
    multiply(WORDS, 2, p, t);
}

/* Rows first .. first + rows - 1, up to ROWS, by the panels of `columns` columns from col on. What
 * is not there is computed too, and left behind. */
static void run_tile(multiply_tile *const by[PANELS], const struct lq_product *p,
                     const uint8_t *const *a, int first, int rows, int col, int columns)
{
    int32_t beyond[ROWS][COLUMNS];
    struct tile t = {.a = a, .panel = lq_product_panel_bytes(p, LANES)};
    int panels = columns > LANES ? 2 : 1;
    bool whole = columns == panels * LANES;

    t.w = p->w + (size_t)(col / LANES) * t.panel;
    for (int r = 0; r < ROWS; r++)
        t.sums[r] = whole && r < rows ? p->sums + (size_t)(first + r) * p->stride + col : beyond[r];
    by[panels - 1](p, &t);
    for (int r = 0; r < rows && !whole; r++)
        memcpy(p->sums + (size_t)(first + r) * p->stride + col, beyond[r],
               (size_t)columns * sizeof(int32_t));
}

static void run(multiply_tile *const by[PANELS], const struct lq_product *p)
{
    const struct lq_rows lines = {.width = p->width, .line = p->line, .step = p->step};
    int all = p->lines * p->width;

    for (int first = 0; first < all; first += BLOCK) {
        const uint8_t *a[BLOCK];
        int rows = all - first < BLOCK ? all - first : BLOCK;

        lq_rows_at(&lines, p->a, first, rows, a);
        for (int i = rows; i % ROWS != 0; i++)
            a[i] = a[rows - 1];
        for (int col = 0; col < p->n; col += COLUMNS) {
            int columns = p->n - col < COLUMNS ? p->n - col : COLUMNS;

            for (int row = 0; row < rows; row += ROWS)
                run_tile(by, p, a + row, first + row, rows - row < ROWS ? rows - row : ROWS, col,
                         columns);
        }
    }
}

void lq_gemm_bytes_avxvnni(const struct lq_bytes *bytes)
{
    struct lq_product product = lq_product_of_bytes(bytes);

    run((multiply_tile *const[]){bytes_by_1, bytes_by_2}, &product);
}

void lq_gemm_levels_avxvnni(const struct lq_levels *levels)
{
    struct lq_product product = lq_product_of_levels(levels);

    run((multiply_tile *const[]){words_by_1, words_by_2}, &product);
}
