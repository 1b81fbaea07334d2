/* gemm_nibbles_pixels_avx2.c - products of codes in nibbles with pixels in the lanes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Few columns leave lanes empty and fill few lookups between flushes. Where windows overlap in
 * lines one row apart, the roles are swapped: the lines are split into planes of nibbles, one for
 * each four channels and each bit, a byte a pixel; whatever the tap, the pixels of neighbouring
 * windows are then neighbours, and 64 of them meet one byte of weights: two columns, or two planes
 * of one. Windows are counted through the lines, those that hang over a line's end are left out.
 * Sums are made for 8 columns, pixels in the lanes, and stored by columns.
 */
#include "kernels/x86/nibbles.h"

#include <string.h>

enum {
    LANES = LQ_NIBBLE_LANES,
    GROUP = LQ_NIBBLE_GROUP,
    COUNTS = LQ_NIBBLE_COUNTS,
    HALVES = 2,              /* vectors of pixels */
    PIXELS = HALVES * LANES, /* at once */
    COLUMNS = 8,             /* stored at once */
    MOST_LENGTH = 576,
    MOST_COLUMNS = 128,
    ROOM = 16384 /* of planes */
};

/* Lines that are computed together. */
struct strip {
    const struct lq_nibbles *p;
    int lines, pixels;       /* pixels of all input lines that the windows see */
    int line_pixels;         /* from one line to the next */
    int groups;              /* of four channels */
    size_t plane;            /* bytes from one plane to the next */
    const uint32_t *offsets; /* [length], of each nibble of a window in the planes */
    uint8_t *planes;         /* [groups][2][plane] */
    int32_t *sums;           /* of the first line */
};

/* Four channels of 8 pixels that lie `step` bytes apart. */
static inline __m256i load_fours(const uint8_t *a, size_t step)
{
    int32_t fours[8];

    if (step == 4)
        return _mm256_loadu_si256((const void *)a);
    for (size_t i = 0; i < 8; i++)
        memcpy(&fours[i], a + i * step, sizeof(*fours));
    return _mm256_loadu_si256((const void *)fours);
}

/* 32 pixels of bytes 4 i .. 4 i + 3 become 8 planes. */
static inline void split_32(const uint8_t *a, size_t step, size_t plane, uint8_t *to)
{
    const __m256i bytes = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0,
                                           4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m256i dwords = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i low = _mm256_set1_epi8(15);
    __m256i v[4], rows[4];

    for (size_t i = 0; i < 4; i++) {
        v[i] = _mm256_shuffle_epi8(load_fours(a + 8 * i * step, step), bytes);
        v[i] = _mm256_permutevar8x32_epi32(v[i], dwords); /* 8 pixels of each byte */
    }
    __m256i t0 = _mm256_unpacklo_epi64(v[0], v[1]), t1 = _mm256_unpackhi_epi64(v[0], v[1]);
    __m256i t2 = _mm256_unpacklo_epi64(v[2], v[3]), t3 = _mm256_unpackhi_epi64(v[2], v[3]);
    rows[0] = _mm256_permute2x128_si256(t0, t2, 0x20);
    rows[1] = _mm256_permute2x128_si256(t1, t3, 0x20);
    rows[2] = _mm256_permute2x128_si256(t0, t2, 0x31);
    rows[3] = _mm256_permute2x128_si256(t1, t3, 0x31);
    for (size_t i = 0; i < 4; i++, to += 2 * plane) {
        _mm256_storeu_si256((void *)to, _mm256_and_si256(rows[i], low));
        _mm256_storeu_si256((void *)(to + plane),
                            _mm256_and_si256(_mm256_srli_epi16(rows[i], 4), low));
    }
}

static void split(const struct strip *s, const uint8_t *a)
{
    size_t step = (size_t)s->groups;
    uint8_t last[LANES * 16];

    for (int pixel = 0; pixel < s->pixels; pixel += LANES, a += LANES * step) {
        int left = s->pixels - pixel;
        const uint8_t *from = a;

        if (left < LANES) {
            memset(last, 0, sizeof(last));
            memcpy(last, a, (size_t)left * step);
            from = last;
        }
        for (size_t group = 0; group < step; group += 4)
            split_32(from + group, step, s->plane, s->planes + 2 * group * s->plane + pixel);
    }
}

/* Counts of activations in 64 windows: [plane][half][even pixels, odd ones]. */
static void window_pops(const struct strip *s, size_t at, __m256i pops[2][HALVES][2])
{
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                           2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi16(255);
    const struct lq_rows *rows = &s->p->rows;
    int length = rows->runs * rows->run;

    for (size_t i = 0; i < 2 * (size_t)HALVES; i++) {
        const uint8_t *from = s->planes + at + i / HALVES * s->plane + i % HALVES * LANES;
        __m256i even = _mm256_setzero_si256(), odd = even;

        for (int k = 0; k < length; k += s->groups) { /* a tap */
            __m256i tap = _mm256_setzero_si256();

            for (int group = 0; group < s->groups; group++)
                tap = _mm256_add_epi8(
                    tap,
                    _mm256_shuffle_epi8(
                        table, _mm256_loadu_si256((const void *)(from + s->offsets[k + group]))));
            even = _mm256_add_epi16(even, _mm256_and_si256(tap, low));
            odd = _mm256_add_epi16(odd, _mm256_srli_epi16(tap, 8));
        }
        pops[i / HALVES][i % HALVES][0] = even;
        pops[i / HALVES][i % HALVES][1] = odd;
    }
}

/* `count` nibbles, at most three: both planes of 64 pixels. */
static inline __attribute__((always_inline)) void look(const int count, const uint8_t *planes,
                                                       size_t plane, const uint32_t *offsets,
                                                       const uint8_t *w, struct lq_nibble_sums *s)
{
    __m256i x0 = _mm256_setzero_si256(), x1 = x0, x2 = x0, x3 = x0;

    for (int j = 0; j < count; j++) {
        const uint8_t *at = planes + offsets[j], *next = at + plane;
        __m256i table = lq_nibble_table(w + j);

        x0 = _mm256_add_epi8(x0, _mm256_shuffle_epi8(table, _mm256_loadu_si256((const void *)at)));
        x1 = _mm256_add_epi8(
            x1, _mm256_shuffle_epi8(table, _mm256_loadu_si256((const void *)(at + LANES))));
        x2 =
            _mm256_add_epi8(x2, _mm256_shuffle_epi8(table, _mm256_loadu_si256((const void *)next)));
        x3 = _mm256_add_epi8(
            x3, _mm256_shuffle_epi8(table, _mm256_loadu_si256((const void *)(next + LANES))));
        LQ_KEEP4(x0, x1, x2, x3);
    }
    lq_nibble_add(s, x0, x1, x2, x3);
}

/* A pair's counts, [plane][half][COUNTS]. */
static __attribute__((noinline)) void count_pair(const struct strip *s, size_t at, const uint8_t *w,
                                                 __m256i *counts)
{
    const struct lq_nibbles *p = s->p;
    const uint8_t *planes = s->planes + at;
    int length = p->rows.runs * p->rows.run;

    for (int from = 0; from < length; from += p->chunk) {
        int to = from + p->chunk < length ? from + p->chunk : length, k = from;
        __m256i zero = _mm256_setzero_si256();
        struct lq_nibble_sums sums = {zero, zero, zero, zero, zero, zero, zero, zero};

        for (; k + GROUP <= to; k += GROUP)
            look(GROUP, planes, s->plane, s->offsets + k, w + k, &sums);
        for (; k < to; k++)
            look(1, planes, s->plane, s->offsets + k, w + k, &sums);
        lq_nibble_flush_all(&sums, from == 0, counts);
    }
}

/* Adds factor * (2 count - pops), both planes, of pixels 4 l + r to vector r. side: the low or the
 * high nibbles of the weights. */
static inline void weigh(const __m256i *counts, __m256i pops[2][HALVES][2], int half, int side,
                         __m256i factor, bool first, __m256i *sums)
{
    for (int odd = 0; odd < 2; odd++) {
        __m256i plane0 = counts[half * COUNTS + 2 * odd + side];
        __m256i plane1 = counts[(HALVES + half) * COUNTS + 2 * odd + side];

        plane0 = _mm256_sub_epi16(_mm256_add_epi16(plane0, plane0), pops[0][half][odd]);
        plane1 = _mm256_sub_epi16(_mm256_add_epi16(plane1, plane1), pops[1][half][odd]);
        __m256i below = _mm256_madd_epi16(lq_nibble_even(plane0, plane1), factor);
        __m256i above = _mm256_madd_epi16(lq_nibble_odd(plane0, plane1), factor);
        sums[odd] = first ? below : _mm256_add_epi32(sums[odd], below);
        sums[odd + 2] = first ? above : _mm256_add_epi32(sums[odd + 2], above);
    }
}

/* Of one column's plane: the products of both bases, in each lane. */
static __m256i factor_of(const struct lq_nibbles *p, int column, int plane)
{
    int n = column < p->n
                ? p->w_basis[(column / LANES * p->w_bits + plane) * LANES + column % LANES]
                : 0;
    int m0 = n * p->a_basis[0], m1 = n * p->a_basis[1];

    return _mm256_set1_epi32((int32_t)((uint32_t)m0 & 0xffffu) | (int32_t)((uint32_t)m1 << 16));
}

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

/* All columns of the 64 windows from window `at` on; to: where each window's sums go. */
static inline __attribute__((always_inline)) void
block_by_pairs(const int bits, const struct strip *s, size_t at, int32_t *const *to)
{
    const struct lq_nibbles *p = s->p;
    size_t length = (size_t)p->rows.runs * (size_t)p->rows.run;
    __m256i pops[2][HALVES][2], counts[2 * HALVES * COUNTS];
    __m256i sums[COLUMNS][HALVES][4]; /* [r]: pixels 4 l + r of the half */

    window_pops(s, at, pops);
    for (int column = 0; column < p->n; column += COLUMNS) {
        for (int i = 0; i < COLUMNS * bits; i += 2) {
            int pair = (column * bits + i) / 2;

            if (pair * 2 >= p->n * bits)
                break;
            count_pair(s, at, p->pairs + (size_t)pair * length, counts);
            for (int side = 0; side < 2; side++) {
                int of = (i + side) / bits, plane = (i + side) % bits;
                __m256i factor = factor_of(p, column + of, plane);

                for (int half = 0; half < HALVES; half++)
                    weigh(counts, pops, half, side, factor, plane == 0, sums[of][half]);
            }
        }
        for (int half = 0; half < HALVES; half++)
            for (int r = 0; r < 4; r++)
                store_columns(&sums[0][half][r], (size_t)HALVES * 4, p->n - column,
                              to + (size_t)half * LANES + r, column);
    }
}

/* Where the sums of windows go: `sums` is that of the window at pixel x of a line. */
struct cursor {
    int line, x;
    int32_t *sums;
};

/* Of the next 64 windows; those over a line's end, and behind the last line, go nowhere. */
static void place(const struct strip *s, struct cursor *c, int32_t *nowhere, int32_t **to)
{
    const struct lq_nibbles *p = s->p;
    int i = 0;

    while (i < PIXELS) {
        int some = PIXELS - i, here = p->rows.width - c->x, there = s->line_pixels - c->x;

        if (here > some)
            here = some;
        if (there > some)
            there = some;
        if (c->line >= s->lines)
            here = 0;
        for (int last = i + there; i < last; i++, here--) {
            to[i] = here > 0 ? c->sums : nowhere;
            c->sums += here > 0 ? p->stride : 0;
        }
        c->x += there;
        if (c->x == s->line_pixels) {
            c->x = 0;
            c->line++;
        }
    }
}

static void strip_run(const struct strip *s)
{
    const struct lq_nibbles *p = s->p;
    int windows = (s->lines - 1) * s->line_pixels + p->rows.width;
    int32_t nowhere[MOST_COLUMNS], *to[PIXELS];
    struct cursor cursor = {0, 0, s->sums};

    for (int at = 0; at < windows; at += PIXELS) {
        place(s, &cursor, nowhere, to);
        if (p->w_bits == 1)
            block_by_pairs(1, s, (size_t)at, to);
        else
            block_by_pairs(2, s, (size_t)at, to);
    }
}

/* Of the planes for so many lines of windows: behind the last pixel whole blocks are read, and a
 * distance that is no power of two keeps planes from the same sets of the cache. */
static size_t plane_bytes(const struct lq_rows *rows, int lines)
{
    size_t pixels = (size_t)(lines + rows->runs - 2) * (rows->gap / rows->step) +
                    (size_t)rows->width - 1 + (size_t)rows->run / rows->step;

    return ((pixels + PIXELS + LANES) / 128 * 2 + 3) * 64;
}

/* Lines of windows whose planes fit; 0: not even one. */
static int most_lines(const struct lq_rows *rows)
{
    int lines = 0;

    while (lines < rows->lines && plane_bytes(rows, lines + 1) * 2 * rows->step <= ROOM)
        lines++;
    return lines;
}

/* Where each nibble of a window lies in the planes. */
static void locate(const struct lq_rows *rows, size_t plane, uint32_t *offsets)
{
    size_t step = rows->step;

    for (size_t run = 0; run < (size_t)rows->runs; run++)
        for (size_t tap = 0; tap < (size_t)rows->run / step; tap++)
            for (size_t group = 0; group < step; group++)
                *offsets++ = (uint32_t)(2 * group * plane + run * (rows->gap / step) + tap);
}

/* Of the windows in whole blocks, those that count. */
static bool fills_lanes(const struct lq_rows *rows, int lines)
{
    size_t windows = (size_t)(lines - 1) * (rows->gap / rows->step) + (size_t)rows->width;
    size_t blocks = (windows + PIXELS - 1) / PIXELS;

    return (size_t)lines * (size_t)rows->width * 4 >= blocks * PIXELS * 3;
}

static bool suits(const struct lq_nibbles *p)
{
    const struct lq_rows *rows = &p->rows;
    size_t step = rows->step, length = (size_t)rows->runs * (size_t)rows->run;

    return step > 0 && step % 4 == 0 && step <= 16 && (size_t)rows->run % step == 0 &&
           rows->gap % step == 0 && (rows->lines == 1 || rows->line == rows->gap) &&
           rows->gap > 0 && rows->gap / step >= (size_t)rows->width && length <= MOST_LENGTH &&
           p->n <= MOST_COLUMNS;
}

bool lq_nibbles_by_pixels_avx2(const struct lq_nibbles *p)
{
    const struct lq_rows *rows = &p->rows;
    _Alignas(32) uint8_t planes[ROOM];
    uint32_t offsets[MOST_LENGTH];
    int lines, count;

    if (!suits(p))
        return false;
    size_t step = rows->step, line_pixels = rows->gap / step;
    struct strip s = {.p = p, .line_pixels = (int)line_pixels, .groups = (int)step};
    lines = most_lines(rows);
    if (lines == 0 || !fills_lanes(rows, lines))
        return false;
    s.plane = plane_bytes(rows, lines);
    locate(rows, s.plane, offsets);
    s.offsets = offsets;
    s.planes = planes;
    for (int from = 0; from < rows->lines; from += count) {
        count = rows->lines - from < lines ? rows->lines - from : lines;
        s.lines = count;
        s.pixels =
            (count + rows->runs - 2) * s.line_pixels + rows->width - 1 + rows->run / s.groups;
        s.sums = p->sums + (size_t)from * (size_t)rows->width * p->stride;
        split(&s, p->a + (size_t)from * rows->gap);
        strip_run(&s);
    }
    return true;
}
