/* encode_nibbles_avx2.c - products of codes in nibbles, with pixels in the lanes, to codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * With pixels in the lanes a column's thresholds are the same in all lanes, and the counts of the
 * passed ones pick bits of the column's nibbles by a shuffle: no sum is stored, nor turned to rows.
 *
 * A column of one weight plane, n, has the sum n * x: its thresholds are divided by n instead. Of
 * two planes, sums are made in 32 bits: those of pixels 4 l + r lie in vector r, so that counts
 * shifted by r bytes are in the order of pixels.
 */
#include "kernels/x86/nibble_strip.h"

#include <string.h>

enum {
    LANES = LQ_NIBBLE_LANES,
    HALVES = LQ_STRIP_HALVES,
    PIXELS = LQ_STRIP_PIXELS,
    CODES = LQ_NIBBLE_CODES,
    THRESHOLDS = (1 << LQ_NIBBLE_BITS) - 1,
    BYTES = LQ_STRIP_COLUMNS / CODES, /* of a pixel's codes, at most */
    TOGETHER = 4                      /* bytes of a pixel that are stored at once */
};

struct codes {
    __m256i maps[CODES]; /* by the code's place in the nibbles and by how many of three
                            thresholds are missed, what is stored */
    const struct lq_encode *encode;
    uint8_t *to;
    struct lq_strip_cursor cursor;
};

/* What sign * n * x must exceed so that it is at least `threshold`, as 16 bits that compare like it
 * with any x. */
static int16_t divide(int32_t threshold, int32_t n)
{
    int64_t least = threshold, most = n < 0 ? -(int64_t)n : n;

    if (n == 0)
        return threshold <= 0 ? INT16_MIN : INT16_MAX;
    least = least > 0 ? (least + most - 1) / most : -(-least / most);
    least--;
    return (int16_t)(least < INT16_MIN ? INT16_MIN : least > INT16_MAX ? INT16_MAX : least);
}

/* Of sums' thresholds; those that the bits do not ask for are out of reach. */
static int32_t threshold(const struct codes *c, int column, int i)
{
    const struct lq_encode *e = c->encode;

    return i < (1 << e->bits) - 1 ? e->sum_thresholds[(size_t)i * e->stride + (size_t)column]
                                  : INT32_MAX;
}

/* Adds the bits of codes that miss so many thresholds, given as a negative number in each byte. */
static inline void add_codes(const struct codes *c, int column, __m256i missed, __m256i *codes)
{
    missed = _mm256_sub_epi8(_mm256_setzero_si256(), missed);
    *codes = _mm256_or_si256(*codes, _mm256_shuffle_epi8(c->maps[column % CODES], missed));
}

/* A column of one plane, the pair's first or second: adds its bits to codes[half]. */
static inline void encode_one(const struct codes *c, const struct lq_strip *s,
                              const struct lq_strip_sums *sums, int column, __m256i *codes)
{
    int32_t n = lq_strip_basis(s->p, column, 0) * c->encode->signs[column];
    __m256i signs = _mm256_set1_epi16(n < 0 ? -1 : 1), thresholds[THRESHOLDS];

    for (int i = 0; i < THRESHOLDS; i++)
        thresholds[i] = _mm256_set1_epi16(divide(threshold(c, column, i), n));
    for (int half = 0; half < HALVES; half++) {
        __m256i passed[2];

        for (int odd = 0; odd < 2; odd++) {
            __m256i x = _mm256_sign_epi16(sums->of[column % 2][half][odd], signs);

            passed[odd] = _mm256_cmpgt_epi16(x, thresholds[0]);
            for (int i = 1; i < THRESHOLDS; i++) /* a byte each */
                passed[odd] = _mm256_add_epi8(passed[odd], _mm256_cmpgt_epi16(x, thresholds[i]));
        }
        __m256i both = _mm256_blendv_epi8(passed[0], passed[1], _mm256_set1_epi16((int16_t)0xff00));
        add_codes(c, column, _mm256_sub_epi8(_mm256_set1_epi8(-THRESHOLDS), both), &codes[half]);
    }
}

/* A column of two planes, which are the pair. */
static inline void encode_two(const struct codes *c, const struct lq_strip *s,
                              const struct lq_strip_sums *sums, int column, __m256i *codes)
{
    int32_t n0 = lq_strip_basis(s->p, column, 0) * c->encode->signs[column];
    int32_t n1 = lq_strip_basis(s->p, column, 1) * c->encode->signs[column];
    __m256i thresholds[THRESHOLDS];

    for (int i = 0; i < THRESHOLDS; i++)
        thresholds[i] = _mm256_set1_epi32(threshold(c, column, i));
    for (int half = 0; half < HALVES; half++) {
        __m256i missed[CODES];

        for (int r = 0; r < CODES; r++) {
            __m256i sum = _mm256_add_epi32(lq_strip_weigh(sums, 0, half, r, n0),
                                           lq_strip_weigh(sums, 1, half, r, n1));

            missed[r] = _mm256_cmpgt_epi32(thresholds[0], sum);
            for (int i = 1; i < THRESHOLDS; i++) /* a byte each */
                missed[r] = _mm256_add_epi8(missed[r], _mm256_cmpgt_epi32(thresholds[i], sum));
        }
        __m256i even = _mm256_blend_epi16(missed[0], missed[2], 0xaa);
        __m256i odd = _mm256_blend_epi16(missed[1], missed[3], 0xaa);
        add_codes(c, column, _mm256_blendv_epi8(even, odd, _mm256_set1_epi16((int16_t)0xff00)),
                  &codes[half]);
    }
}

/* Byte after byte of 32 pixels to pixels of `bytes` bytes, four of them. */
static inline void store_fours(const __m256i *const codes[TOGETHER], int half, size_t bytes,
                               uint8_t *to)
{
    __m256i a = codes[0][half], b = codes[1][half], c = codes[2][half], d = codes[3][half];
    __m256i ab = _mm256_unpacklo_epi8(a, b), ab_high = _mm256_unpackhi_epi8(a, b);
    __m256i cd = _mm256_unpacklo_epi8(c, d), cd_high = _mm256_unpackhi_epi8(c, d);
    __m256i v[4] = {_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd),
                    _mm256_unpacklo_epi16(ab_high, cd_high),
                    _mm256_unpackhi_epi16(ab_high, cd_high)};

    for (int i = 0; i < 2; i++) /* pixels 0..15, 16..31 */
        for (int j = 0; j < 4; j += 2) {
            __m256i eight = i == 0 ? _mm256_permute2x128_si256(v[j], v[j + 1], 0x20)
                                   : _mm256_permute2x128_si256(v[j], v[j + 1], 0x31);
            int32_t fours[8];

            if (bytes == TOGETHER) {
                _mm256_storeu_si256((void *)to, eight);
                to += sizeof(eight);
                continue;
            }
            _mm256_storeu_si256((void *)fours, eight);
            for (int pixel = 0; pixel < 8; pixel++, to += bytes)
                memcpy(to, &fours[pixel], sizeof(*fours));
        }
}

/* The codes of 64 windows, [64][bytes], to those of them that count. */
static void store_block(struct codes *c, const struct lq_strip *s, size_t bytes,
                        const uint8_t *block)
{
    for (int i = 0; i < PIXELS;) {
        uint8_t *to = c->to + c->cursor.windows * bytes;
        int here, there;

        lq_strip_next(s, &c->cursor, PIXELS - i, &here, &there);
        memcpy(to, block + (size_t)i * bytes, (size_t)here * bytes);
        i += there;
    }
}

static inline __attribute__((always_inline)) void encode_pairs(const int bits,
                                                               const struct codes *c,
                                                               const struct lq_strip *s, size_t at,
                                                               uint8_t *block)
{
    const struct lq_nibbles *p = s->p;
    size_t length = (size_t)p->rows.runs * (size_t)p->rows.run, bytes = (size_t)p->n / CODES;
    const uint16_t *pair = p->pairs;
    __m256i codes[TOGETHER][HALVES];
    struct lq_strip_base base;
    struct lq_strip_sums sums[2];

    lq_strip_start(s, at, &base);
    for (int column = 0; column < p->n; column += CODES * TOGETHER) {
        for (int i = 0; i < CODES * TOGETHER; i += 4 / bits, pair += 2 * length) {
            const uint16_t *const both[2] = {pair, pair + length};
            __m256i *to = codes[i / CODES];

            if (i % CODES == 0)
                to[0] = to[1] = _mm256_setzero_si256();
            lq_strip_count(s, at, &base, both, sums);
            for (int j = 0; j < 4 / bits; j++)
                if (bits == 1)
                    encode_one(c, s, &sums[j / 2], column + i + j, to);
                else
                    encode_two(c, s, &sums[j], column + i + j, to);
        }
        const __m256i *const fours[TOGETHER] = {codes[0], codes[1], codes[2], codes[3]};
        for (int half = 0; half < HALVES; half++)
            store_fours(fours, half, bytes,
                        block + (size_t)(half * LANES) * bytes + column / CODES);
    }
}

static void encode_block(void *context, const struct lq_strip *s, size_t at)
{
    struct codes *c = context;
    uint8_t block[PIXELS * BYTES];

    if (at == 0)
        c->cursor.line = c->cursor.x = 0;
    if (s->p->w_bits == 1)
        encode_pairs(1, c, s, at, block);
    else
        encode_pairs(2, c, s, at, block);
    store_block(c, s, (size_t)s->p->n / CODES, block);
}

static void init_maps(struct codes *c)
{
    int last = (1 << c->encode->bits) - 1;

    for (int r = 0; r < CODES; r++) {
        uint8_t map[16] = {0};

        for (int passed = 0; passed <= last; passed++) {
            int32_t code = c->encode->entries[passed];

            map[THRESHOLDS - passed] = (uint8_t)(((code & 1) | (code >> 1 & 1) << CODES) << r);
        }
        c->maps[r] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)map));
    }
}

bool lq_encode_nibbles_avx2(const struct lq_nibbles *p, const struct lq_encode *e,
                            uint8_t *ret_codes)
{
    struct codes c = {.encode = e, .to = ret_codes};

    if (!p->pairs || e->form != LQ_CODE_NIBBLES || e->bits > LQ_NIBBLE_BITS ||
        p->n != e->channels || p->n % (CODES * TOGETHER) != 0)
        return false;
    init_maps(&c);
    return lq_strip_run(p, encode_block, &c);
}
