/* nibble_strip_avx2.c - lines of windows with pixels in the lanes: planes, counts, sums.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/x86/nibble_strip.h"

#include <stdlib.h>
#include <string.h>

enum {
    LANES = LQ_NIBBLE_LANES,
    GROUP = LQ_NIBBLE_GROUP,
    HALVES = LQ_STRIP_HALVES,
    PIXELS = LQ_STRIP_PIXELS,
    MOST_LENGTH = 576,
    MOST_LEVEL = INT8_MAX / 2, /* VPMADDUBSW takes twice that */
    ROOM = 16384,              /* of planes */
    LEAST_GROUPS = 4
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

static void split(const struct lq_strip *s, const uint8_t *a)
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

/* Counts of each pixel's activations, in both planes. */
static void count_pixels(const struct lq_strip *s, uint8_t *pops)
{
    for (size_t bit = 0; bit < 2; bit++)
        for (size_t pixel = 0; pixel < (size_t)s->pixels; pixel += LANES) {
            const uint8_t *from = s->planes + bit * s->plane + pixel;
            __m256i count = _mm256_setzero_si256();

            for (int group = 0; group < s->groups; group++, from += 2 * s->plane)
                count =
                    _mm256_add_epi8(count, lq_nibble_pops(_mm256_loadu_si256((const void *)from)));
            _mm256_storeu_si256((void *)(pops + bit * s->plane + pixel), count);
        }
}

/* Counts of activations in 32 windows, in one plane. */
static void add_pops(const struct lq_strip *s, const uint8_t *pops, __m256i *ret_even,
                     __m256i *ret_odd)
{
    const __m256i low = _mm256_set1_epi16(255);
    const struct lq_rows *rows = &s->p->rows;
    int length = rows->runs * rows->run;
    int some = UINT8_MAX / (LQ_NIBBLE_CODES * s->groups) * s->groups; /* taps that fit a byte */

    *ret_even = *ret_odd = _mm256_setzero_si256();
    for (int k = 0; k < length;) {
        int end = k + some < length ? k + some : length;
        __m256i taps = _mm256_setzero_si256();

        for (; k < end; k += s->groups)
            taps = _mm256_add_epi8(taps, _mm256_loadu_si256((const void *)(pops + s->offsets[k])));
        *ret_even = _mm256_add_epi16(*ret_even, _mm256_and_si256(taps, low));
        *ret_odd = _mm256_add_epi16(*ret_odd, _mm256_srli_epi16(taps, 8));
    }
}

/* sum_j m_j count_j. */
static inline __m256i weigh(__m256i plane0, __m256i plane1, const int32_t *basis)
{
    __m256i m0 = _mm256_set1_epi16((int16_t)basis[0]);
    __m256i m1 = _mm256_set1_epi16((int16_t)basis[1]);

    return _mm256_add_epi16(_mm256_mullo_epi16(plane0, m0), _mm256_mullo_epi16(plane1, m1));
}

void lq_strip_start(const struct lq_strip *s, size_t at, struct lq_strip_base *ret_base)
{
    for (size_t half = 0; half < HALVES; half++) {
        const uint8_t *pops = s->pops + at + half * LANES;
        __m256i even[2], odd[2];

        add_pops(s, pops, &even[0], &odd[0]);
        add_pops(s, pops + s->plane, &even[1], &odd[1]);
        ret_base->of[half][0] = weigh(even[0], even[1], s->p->a_basis);
        ret_base->of[half][1] = weigh(odd[0], odd[1], s->p->a_basis);
    }
}

/* A group of nibbles, which may be full, of a tap: both planes of 32 pixels meet two pairs. A load
 * that crosses a line of the cache costs two, so each serves both. */
static inline __attribute__((always_inline)) void look(bool full, const uint8_t *planes,
                                                       size_t plane, const uint16_t *w,
                                                       const uint16_t *more,
                                                       struct lq_nibble_sums *s)
{
    __m256i x0, x1, x2, x3;

    for (size_t j = 0; j < GROUP; j++) {
        if (j == GROUP - 1 && __builtin_expect(full, false)) {
            lq_nibble_add(s, x0, x1, x2, x3);
            x0 = x1 = x2 = x3 = _mm256_setzero_si256();
        }
        const uint8_t *at = planes + 2 * j * plane;
        __m256i plane0 = _mm256_loadu_si256((const void *)at);
        __m256i plane1 = _mm256_loadu_si256((const void *)(at + plane));
        __m256i table = lq_nibble_table(w[j]), next = lq_nibble_table(more[j]);

        lq_nibble_begin(j == 0, &x0, _mm256_shuffle_epi8(table, plane0));
        lq_nibble_begin(j == 0, &x1, _mm256_shuffle_epi8(table, plane1));
        lq_nibble_begin(j == 0, &x2, _mm256_shuffle_epi8(next, plane0));
        lq_nibble_begin(j == 0, &x3, _mm256_shuffle_epi8(next, plane1));
    }
    lq_nibble_add(s, x0, x1, x2, x3);
}

/* What a chunk makes of the windows of a pair, from both planes: to x, or added to it. */
static inline __attribute__((always_inline)) void add_levels(bool first, const int32_t *basis,
                                                             __m256i t0, __m256i h0, __m256i t1,
                                                             __m256i h1,
                                                             __m256i x[LQ_NIBBLE_COUNTS])
{
    struct lq_nibble_counts n0 = lq_nibble_draw(t0, h0), n1 = lq_nibble_draw(t1, h1);
    const __m256i even0 = lq_nibble_even(2 * basis[0]), even1 = lq_nibble_even(2 * basis[1]);
    const __m256i odd0 = lq_nibble_odd(2 * basis[0]), odd1 = lq_nibble_odd(2 * basis[1]);
    const __m256i levels[LQ_NIBBLE_COUNTS] = {
        lq_nibble_weigh(n0.a, even0, n1.a, even1), lq_nibble_weigh(n0.b, even0, n1.b, even1),
        lq_nibble_weigh(n0.c, odd0, n1.c, odd1), lq_nibble_weigh(n0.d, odd0, n1.d, odd1)};

    for (int i = 0; i < LQ_NIBBLE_COUNTS; i++)
        x[i] = first ? levels[i] : _mm256_add_epi16(x[i], levels[i]);
}

/* single: a chunk holds all of a window. */
static inline __attribute__((always_inline)) void
count_half(const bool single, const struct lq_strip *s, const uint8_t *planes,
           const struct lq_strip_base *base, const uint16_t *const pairs[2], int half,
           struct lq_strip_sums ret_sums[2])
{
    const struct lq_nibbles *p = s->p;
    const uint32_t *offsets = s->offsets;
    int length = p->rows.runs * p->rows.run;
    const uint32_t *next_full = s->full;
    __m256i x[2][LQ_NIBBLE_COUNTS];
    size_t plane = s->plane;
    int k = 0;

    do {
        bool first = single || k == 0;
        int to = k + p->chunk < length ? k + p->chunk : length;
        uint32_t full = *next_full++;
        __m256i zero = _mm256_setzero_si256();
        struct lq_nibble_sums sums = {zero, zero, zero, zero, zero, zero, zero, zero};

        for (; k < to; k += GROUP, full >>= 1)
            look(full & 1, planes + offsets[k], plane, pairs[0] + k, pairs[1] + k, &sums);
        add_levels(first, p->a_basis, sums.t0, sums.h0, sums.t1, sums.h1, x[0]);
        add_levels(first, p->a_basis, sums.t2, sums.h2, sums.t3, sums.h3, x[1]);
    } while (!single && k < length);
    for (int pair = 0; pair < 2; pair++)
        for (int i = 0; i < LQ_NIBBLE_COUNTS; i++) /* first, second of even pixels, of odd ones */
            ret_sums[pair].of[i % 2][half][i / 2] =
                _mm256_sub_epi16(x[pair][i], base->of[half][i / 2]);
}

void lq_strip_count(const struct lq_strip *s, size_t at, const struct lq_strip_base *base,
                    const uint16_t *const pairs[2], struct lq_strip_sums ret_sums[2])
{
    bool single = s->p->rows.runs * s->p->rows.run <= s->p->chunk;

    for (int half = 0; half < HALVES; half++) {
        const uint8_t *planes = s->planes + at + (size_t)half * LANES;

        if (single)
            count_half(true, s, planes, base, pairs, half, ret_sums);
        else
            count_half(false, s, planes, base, pairs, half, ret_sums);
    }
}

void lq_strip_next(const struct lq_strip *s, struct lq_strip_cursor *c, int some, int *ret_here,
                   int *ret_there)
{
    int here = s->p->rows.width - c->x, there = s->line_pixels - c->x;

    here = here > some ? some : here;
    there = there > some ? some : there;
    *ret_here = here > 0 && c->line < s->lines ? here : 0;
    *ret_there = there;
    c->windows += (size_t)*ret_here;
    c->x += there;
    if (c->x == s->line_pixels) {
        c->x = 0;
        c->line++;
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
    size_t most = (size_t)abs(p->a_basis[0]) + (size_t)abs(p->a_basis[1]); /* of a level */

    return most <= MOST_LEVEL && LQ_NIBBLE_CODES * length * most <= INT16_MAX && step > 0 &&
           step % 4 == 0 && step <= 16 && (size_t)rows->run % step == 0 && rows->gap % step == 0 &&
           (rows->lines == 1 || rows->line == rows->gap) && rows->gap > 0 &&
           rows->gap / step >= (size_t)rows->width && length <= MOST_LENGTH &&
           p->n <= LQ_STRIP_COLUMNS;
}

bool lq_strip_run(const struct lq_nibbles *p, lq_strip_block *block, void *context)
{
    const struct lq_rows *rows = &p->rows;
    _Alignas(32) uint8_t planes[ROOM], pops[ROOM / LEAST_GROUPS];
    uint32_t offsets[MOST_LENGTH], full[MOST_LENGTH / GROUP];
    int lines, count;

    if (!suits(p))
        return false;
    size_t step = rows->step, line_pixels = rows->gap / step;
    struct lq_strip s = {.p = p, .line_pixels = (int)line_pixels, .groups = (int)step};
    lines = most_lines(rows);
    if (lines == 0 || !fills_lanes(rows, lines))
        return false;
    s.plane = plane_bytes(rows, lines);
    locate(rows, s.plane, offsets);
    s.offsets = offsets;
    for (int from = 0; from < rows->runs * rows->run; from += p->chunk)
        full[from / p->chunk] =
            lq_nibble_full(p, 0, lq_panels(p->n, LANES) * p->w_bits, from / p->chunk);
    s.full = full;
    s.planes = planes;
    s.pops = pops;
    for (int from = 0; from < rows->lines; from += count) {
        count = rows->lines - from < lines ? rows->lines - from : lines;
        s.lines = count;
        s.pixels =
            (count + rows->runs - 2) * s.line_pixels + rows->width - 1 + rows->run / s.groups;
        split(&s, p->a + (size_t)from * rows->gap);
        count_pixels(&s, pops);
        size_t windows = (size_t)(count - 1) * line_pixels + (size_t)rows->width;
        for (size_t at = 0; at < windows; at += PIXELS)
            block(context, &s, at);
    }
    return true;
}
