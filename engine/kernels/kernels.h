/* kernels.h - the inner loops: function types and the table that each CPU tier fills.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The table starts with the C reference, which is the specification and always runs; each tier that
 * the CPU has and the mask allows then replaces the entries it does better. Whatever the tier, the
 * same arguments give the same integers.
 *
 * Names: <what>_<tier>.c, lq_<what>_<tier>(). Legend, in kernels only: m rows (pixels), n columns
 * (output channels), k length of a dot product, j activation plane, i weight plane.
 *
 * Weights are stored in panels of `lanes` columns side by side, so that a vector holds as many
 * columns and no sum is ever taken across a vector; lanes is the tier's choice, 1 in C. The last
 * panel is filled up with zero words.
 */
#ifndef LQ_KERNELS_KERNELS_H
#define LQ_KERNELS_KERNELS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/duos.h"
#include "kernels/pixels.h"
#include "kernels/train.h"
#include "kernels/winograd.h"

#define LQ_MAX_LANES 16

/* Where rows of activations lie: in `lines` lines of `width` rows. A line starts `line` elements
 * behind the one before, a row `step` elements; a row is made of `runs` pieces of `run` elements,
 * whose starts are `gap` elements apart. So the windows of a convolution are rows that overlap, and
 * a plain matrix has one line, one run of k elements, and step k. */
struct lq_rows {
    int lines, width, runs, run;
    size_t line, step, gap;
};

/* sums[row * stride + col] = sum_k a[row][k] * w[k][col], for m = lines * width rows and n columns;
 * k = runs * run, and run is even or runs is 1. The caller guarantees that every partial sum fits
 * int32_t. */
struct lq_levels {
    int n;
    struct lq_rows rows;
    const int16_t *a;
    const int16_t *w; /* [panels][(k + 1) / 2][lanes][2]: pairs along k, the last filled with 0 */
    int32_t *sums;
    size_t stride;
};
typedef void lq_gemm_levels(const struct lq_levels *levels);

/* The same product of levels that fit bytes: 0..255 of activations, -127..127 of weights; run is a
 * multiple of 4 or runs is 1. */
struct lq_bytes {
    int n;
    struct lq_rows rows;
    const uint8_t *a;
    const int8_t *w; /* [panels][(k + 3) / 4][lanes][4] */
    int32_t *sums;
    size_t stride;
    /* Cut each run into pieces of so many words of 4 levels: in no column can the products of a
     * piece's levels 0 and 1 of all words, nor those of 2 and 3, add up to more than int16_t holds,
     * whichever of them are left out. 0: unknown. */
    int piece;
};
typedef void lq_gemm_bytes(const struct lq_bytes *bytes);

/* The same product where weights have up to 2 bits, with their codes for w: these are less to keep
 * and to fetch. Panels have LQ_CODES_LANES lanes; bits 2 i of a byte (k, l, r) are the code of
 * level 16 k + 4 i + r in lane l. The length is a multiple of LQ_CODES_LENGTH. */
#define LQ_CODES_LANES  16
#define LQ_CODES_LEVELS 4  /* of a lane */
#define LQ_CODES_WORDS  4  /* of 4 levels, whose codes lie in the same 4 bytes */
#define LQ_CODES_LENGTH 16 /* of them together */
#define LQ_CODES_BYTES  (LQ_CODES_LANES * sizeof(uint32_t)) /* of codes of all lanes */
#define LQ_CODES_PANELS 2                                   /* that may be unpacked at once */
struct lq_codes {
    int length;           /* of a lane: runs * run */
    const uint8_t *codes; /* [panels][length / 16][lanes][4], aligned to 64 bytes */
    const int8_t *levels; /* [panels][lanes][LQ_CODES_LEVELS], by code, aligned as well */
};
/* Those from this column on, the first one of a panel. */
static inline struct lq_codes lq_codes_from(const struct lq_codes *codes, size_t column)
{
    return (struct lq_codes){codes->length,
                             codes->codes + column * (size_t)codes->length / LQ_CODES_WORDS,
                             codes->levels + column * LQ_CODES_LEVELS};
}
/* scratch: LQ_CODES_PANELS panels of levels, aligned as well. */
typedef void lq_gemm_codes(const struct lq_bytes *bytes, const struct lq_codes *codes,
                           int8_t *scratch);

/* The same product with weights beyond int8_t, in two parts of -127..127:
 * w = LQ_WIDE_UNIT * high + low. The run is a multiple of 4. */
#define LQ_WIDE_UNIT  255
#define LQ_WIDE_LANES 16
struct lq_wide {
    int n;
    struct lq_rows rows;
    const uint8_t *a;
    const int8_t *w; /* [panels][low, high][k / 4][lanes][4] */
    int32_t *sums;
    size_t stride;
};
typedef void lq_gemm_wide(const struct lq_wide *wide);

/* The same product from bit planes:
 *   sum_ij n_i m_j (2 pop(w_i & a_j) - pop(a_j))
 * with n_i the column's weight basis (bits mean -1, +1) and m_j the activation basis (0, 1). An
 * element of a row is one word of each plane: a_bits words; step and gap count single words. */
struct lq_planes {
    int n;
    struct lq_rows rows;
    int a_bits, w_bits;
    const uint32_t *a;      /* pieces are [run][a_bits] */
    const uint32_t *w;      /* [panels][runs * run][w_bits][lanes] */
    const int32_t *a_basis; /* [a_bits] */
    const int32_t *w_basis; /* [panels][w_bits][lanes] */
    int32_t *sums;          /* [row * stride + col] */
    size_t stride;
};
typedef void lq_gemm_planes(const struct lq_planes *planes);

/* The same product of activations of 1 or 2 bits and weights of 1 or 2, from nibbles. An element of
 * a row is a byte that holds 4 codes: bits r and 4 + r are planes 0 and 1 of code r. A weight is a
 * byte for 4 codes of one plane, bit r of code r. The vectors of `lanes` columns, plane after plane
 * and panel after panel, are dealt out to tiles of 4, the last ones to a tile of 2 and one of 1,
 * and a tile's vectors lie side by side along k: lq_nibble_at(). In a vector, columns are where
 * lq_nibble_lane() has them. */
#define LQ_NIBBLE_CODES 4
#define LQ_NIBBLE_BITS  2        /* of a code, at most */
#define LQ_NIBBLE_LEVEL INT8_MAX /* of activations, at most */
struct lq_nibbles {
    int n;
    struct lq_rows rows;
    int w_bits;
    int chunk; /* a multiple of LQ_NIBBLE_GROUP, at most LQ_MAX_CHUNK: cut into pieces of so many
                  bytes, a row meets at most LQ_CHUNK_BITS set bits of a column's plane in each */
    const uint32_t *full; /* [vectors][chunks]: bit i: of a column of the vector, all bits are set
                             in group i of the chunk, where each run is cut into groups */
    const uint8_t *a;
    const uint8_t *w;       /* aligned to the lanes */
    const int32_t *a_basis; /* [2], neither beyond LQ_NIBBLE_LEVEL; twice the products with w_basis,
                               and 4 k, fit int16_t */
    const int32_t *w_basis; /* [panels][w_bits][lanes] */
    int32_t *sums;
    size_t stride;
    const uint16_t *pairs; /* NULL, or the weights once more, [pairs][k]: nibbles of two columns, or
                              of a column's two planes, in a byte, the first one below; times
                              LQ_NIBBLE_PAIR */
};
typedef void lq_gemm_nibbles(const struct lq_nibbles *nibbles);
#define LQ_NIBBLE_TILE  4
#define LQ_NIBBLE_GROUP 4
#define LQ_NIBBLE_TURN  8
#define LQ_NIBBLE_PAIR  16 /* a pair picks a table of so many bytes */
#define LQ_CHUNK_BITS   255
#define LQ_MAX_CHUNK    96

/* The same product of activations of 2 bits and weights of 1 or 2, from half words. An element of a
 * row is a word that holds 16 codes: bits r and 16 + r are planes 0 and 1 of code r. A word of a
 * weight's plane has the plane's 16 bits in both halves. */
#define LQ_HALF_CODES  16
#define LQ_HALVES_BITS 2 /* of a code of weights, at most */
struct lq_halves {
    int n;
    struct lq_rows rows;
    int w_bits;
    const uint32_t *a;
    const uint32_t *w;      /* [panels][runs * run][w_bits][lanes] */
    const int32_t *a_basis; /* [2]; the products with w_basis fit int16_t */
    const int32_t *w_basis; /* [panels][w_bits][lanes] */
    const int32_t *start;   /* [panels][lanes]: lq_halves_start() */
    int32_t *sums;
    size_t stride;
};
typedef void lq_gemm_halves(const struct lq_halves *halves);
/* What the set bits of weights add up to: sum_ij n_i m_j pop(w_i). */
void lq_halves_start(const struct lq_halves *halves, int lanes, int32_t *ret_start);

/* Channels from..to-1 of every pixel of a map; from is a multiple of LQ_COLUMN_STEP, and to is, or
 * the map's last channel is one of them. */
#define LQ_COLUMN_STEP 32
struct lq_columns {
    int from, to;
};

/* What a quantizer makes of values: the thresholds that a value passes are counted, and the count
 * picks what is stored. */
#define LQ_MAX_ENTRIES 256
enum lq_code_form {
    LQ_CODE_PLANES, /* codes: planes [word][bits] */
    LQ_CODE_LEVELS, /* levels: int16_t */
    LQ_CODE_BYTES,  /* levels 0..255: uint8_t */
    LQ_CODE_HALVES, /* codes of 2 bits, 16 channels a word: struct lq_halves */
    LQ_CODE_NIBBLES /* codes of up to 2 bits, 4 channels a byte: struct lq_nibbles */
};
struct lq_encode {
    int channels, bits;
    enum lq_code_form form;
    int32_t entries[LQ_MAX_ENTRIES];  /* [2^bits], by count: the code, or the level */
    float thresholds[LQ_MAX_ENTRIES]; /* [2^bits - 1] ascending, of floats: those < value count */
    const int32_t *sum_thresholds;    /* [2^bits - 1][stride] ascending, of sums, by channel: */
    const int32_t *signs;             /* [stride], 1 or -1: those <= sign * sum count */
    size_t stride;                    /* channels rounded up to LQ_MAX_LANES */
};
/* [pixels][channels], pixels of floats `pitch` floats apart, to pixels of lq_encode_pixel_bytes()
 * each; other columns stay as they are. */
typedef void lq_encode_sums(const struct lq_encode *encode, struct lq_columns columns,
                            const int32_t *sums, int pixels, void *ret_codes);
typedef void lq_encode_floats(const struct lq_encode *encode, struct lq_columns columns,
                              const float *values, size_t pitch, int pixels, void *ret_codes);

/* What a channel of a pixel becomes; those before it must be there. */
void lq_store_entry(enum lq_code_form form, int bits, int32_t entry, int channel, void *pixel);

/* A product of nibbles to codes, pixel by pixel: what encode_sums makes of its sums, which are not
 * stored. False: nothing is done, for this product it is no faster than one after the other. */
typedef bool lq_encode_nibbles(const struct lq_nibbles *nibbles, const struct lq_encode *encode,
                               uint8_t *ret_codes);

/* What follows the sums of a layer, in floats, each operation rounded once:
 *   y = clamp(scale[c] * (float)(sum + offset[c]) + shift[c], first)
 *   y = clamp(y + addend, added)                        where there is an addend
 *   z = clamp(next_scale[c] * y + next_shift[c], next)  or clamp(y, next) without next_scale */
struct lq_clamp {
    float min, max;
};
struct lq_finish {
    int channels;
    const int32_t *offset;                /* [channels], or NULL */
    const float *scale, *shift;           /* [channels] */
    const float *next_scale, *next_shift; /* [channels], or NULL */
    struct lq_clamp first, added, next;
};
/* All arrays are [pixels][channels]. addend, ret_y, ret_z: NULL where there is none, or it is not
 * wanted; other columns stay as they are. ret_y may be addend, ret_z may lie where sums does. */
typedef void lq_finish_sums(const struct lq_finish *finish, struct lq_columns columns,
                            const int32_t *sums, const float *addend, int pixels, float *ret_y,
                            float *ret_z);

/* The same where z becomes codes, and x is all else that is wanted: y, or z. The level is monotonic
 * in x, and has thresholds of its own in each channel. Form: LQ_CODE_BYTES, or LQ_CODE_HALVES of
 * codes that grow. */
#define LQ_VALUE_LANES   16
#define LQ_VALUE_BITS    4 /* of a code, at most */
#define LQ_VALUE_FACTORS 4 /* besides thresholds */
struct lq_values {
    int channels, bits; /* channels: a multiple of LQ_VALUE_LANES */
    enum lq_code_form form;
    int32_t entries[1 << LQ_VALUE_BITS]; /* as struct lq_encode has them */
    struct lq_clamp first, added, next;  /* next: without limits where x is y */
    bool scales;                         /* x is z, and there is a next scale */
    const float *factors; /* [channels / LQ_VALUE_LANES][block]: vectors of scale, shift, offset (an
                             int32_t), 0 or the sign bit, ascending thresholds (those that x, its
                             sign changed by that bit, is not below count), and where it scales, the
                             next scale and shift */
    size_t block;         /* floats */
};
/* [pixels][channels], and codes of `pixel_bytes` for each pixel. addend, ret_x: NULL where there is
 * none, or it is not wanted. ret_x may be addend. */
typedef void lq_finish_codes(const struct lq_values *values, struct lq_columns columns,
                             const int32_t *sums, const float *addend, int pixels, float *ret_x,
                             size_t pixel_bytes, void *ret_codes);

/* Maximum of sums over a window that slides along `lines` lines of `width` pixels; taps beyond a
 * line's ends do not count, and no window lies there altogether. Other columns stay. */
struct lq_sums_pool {
    int channels, lines, width, out_width;
    struct lq_columns columns; /* of the channels; the first a multiple of LQ_COLUMN_STEP */
    int kernel, stride, pad;   /* along a line */
    size_t line;               /* elements from one line to the next */
    const int32_t *signs;      /* [channels], 1 or -1: of -1 the minimum; NULL: all are 1 */
};
typedef void lq_pool_sums(const struct lq_sums_pool *pool, const int32_t *sums, int32_t *ret_sums);

/* ret[i] = clamp(a[i] + b[i], min, max); ret may be a or b. */
typedef void lq_add_floats(const float *a, const float *b, size_t count, float min, float max,
                           float *ret);

/* Float convolutions of training. Windows of `a`, one for each output pixel of images x height x
 * width: the first element of pixel (i, y, x) is a[i * a_image + y * a_line + x * a_step], and from
 * there on the window is made of taps_h x taps_w runs of `run` elements whose starts are tap_line
 * and tap_step elements apart; k counts the elements of a window in that order. Pixel (i, y, x) of
 * the map on the other side, of n contiguous columns, is y_image, y_line, y_step elements apart. */
#define LQ_FLOAT_LANES 16
struct lq_windows {
    int images, height, width;
    int taps_h, taps_w, run;
    size_t a_image, a_line, a_step, tap_line, tap_step;
    size_t y_image, y_line, y_step;
    const float *a;
    int n;
};

/* y[pixel][col] = the chain of fused multiply-adds over ascending k of a[pixel][k] and w[k][col],
 * starting from 0, or with `add` from y; w is [panels][k][LQ_FLOAT_LANES]. */
typedef void lq_windows_product(const struct lq_windows *windows, const float *w, bool add,
                                float *y);

/* sums[k][col] = the chain over ascending pixels of a[pixel][k] and y[pixel][col], starting from
 * sums; sums are [panels][k][LQ_FLOAT_LANES], of which columns from n on may change or not. */
typedef void lq_windows_outer(const struct lq_windows *windows, const float *y, float *sums);

/* ret[row] = sum of w[row][k] * x[k], in one order: lane k % LQ_DENSE_LANES adds up its products in
 * the order of k; then lane i takes over lane i + 8, then + 4, + 2, + 1. */
#define LQ_DENSE_LANES 16
typedef void lq_dense_floats(const float *w, const float *x, int rows, int length, float *ret);

struct lq_kernels {
    lq_encode_sums *encode_sums;
    lq_encode_floats *encode_floats;
    lq_finish_sums *finish_sums;
    lq_finish_codes *finish_codes;
    bool finishes_codes; /* faster than finish_sums and encode_floats, where it can be used */
    lq_pool_sums *pool_sums;
    lq_dense_floats *dense_floats;
    lq_add_floats *add_floats;
    lq_gemm_levels *gemm_levels;
    int levels_lanes;
    lq_gemm_bytes *gemm_bytes;
    int bytes_lanes;
    int bytes_bound;      /* largest level of an activation times that of a weight */
    bool bytes_in_pieces; /* it wants to know struct lq_bytes' piece */
    lq_gemm_codes *gemm_codes;
    bool prefers_codes; /* of many weights, to their levels in bytes (measured) */
    lq_gemm_wide *gemm_wide;
    int wide_columns; /* from so many on, it is the fastest for pixels (measured); 0: never */
    lq_gemm_planes *gemm_planes;
    lq_gemm_nibbles *gemm_nibbles;
    lq_encode_nibbles *encode_nibbles; /* or NULL */
    int nibbles_lanes;
    int pair_columns; /* up to so many columns of one bit, or half as many of two, struct lq_nibbles
                         should have pairs (measured) */
    int nibble_pairs; /* up to this many pairs of planes, nibbles are fastest where they fit
                         (measured) */
    int planes_lanes;
    lq_gemm_halves *gemm_halves;
    int halves_lanes;
    bool prefers_halves; /* the same of half words */
    lq_windows_product *windows_product;
    lq_windows_outer *windows_outer;
    struct lq_winograd winograd;
    struct lq_squares squares;
    int square_pairs; /* from this many pairs of planes on, squares of levels in bytes are fastest
                         (measured); 0: never */
    struct lq_duos duos;
    int duo_excess; /* duos are faster than products of bytes where rounding lines up to whole ones
                       takes at most so many percent (measured); -1: never */
    struct lq_pixels pixels;
    bool prefers_pixel_squares; /* than products of levels (measured) */
    int plane_pairs; /* up to this many pairs of planes, planes are faster than levels (measured) */
    struct lq_train_kernels train;
};

/* Fills the table for the tiers in `tiers`, a mask of (1u << enum lq_cpu_tier) that the CPU
 * supports. Returns the best tier that filled an entry. */
int lq_kernels_init(struct lq_kernels *kernels, unsigned tiers);

lq_gemm_levels lq_gemm_levels_neon;
lq_gemm_bytes lq_gemm_bytes_neon;
lq_gemm_planes lq_gemm_planes_neon;
lq_encode_sums lq_encode_sums_neon;
lq_encode_floats lq_encode_floats_neon;
lq_add_floats lq_add_floats_neon;
lq_finish_sums lq_finish_sums_neon;
lq_pool_sums lq_pool_sums_neon;
lq_dense_floats lq_dense_floats_neon;
lq_gemm_levels lq_gemm_levels_c, lq_gemm_levels_avx2, lq_gemm_levels_avxvnni, lq_gemm_levels_avx512;
lq_gemm_bytes lq_gemm_bytes_c, lq_gemm_bytes_avx2, lq_gemm_bytes_avxvnni, lq_gemm_bytes_avx512,
    lq_gemm_bytes_amx;
lq_gemm_codes lq_gemm_codes_c, lq_gemm_codes_avx512, lq_gemm_codes_amx;
lq_gemm_wide lq_gemm_wide_c, lq_gemm_wide_amx;
lq_add_floats lq_add_floats_c, lq_add_floats_avx2, lq_add_floats_avx512;
lq_gemm_planes lq_gemm_planes_c, lq_gemm_planes_avx512;
lq_windows_product lq_windows_product_c, lq_windows_product_avx2, lq_windows_product_avx512;
lq_windows_outer lq_windows_outer_c, lq_windows_outer_avx2, lq_windows_outer_avx512;
lq_gemm_nibbles lq_gemm_nibbles_c, lq_gemm_nibbles_avx2;
lq_gemm_halves lq_gemm_halves_c, lq_gemm_halves_avx512;
lq_encode_sums lq_encode_sums_c, lq_encode_sums_avx2, lq_encode_sums_avx512;
lq_encode_floats lq_encode_floats_c, lq_encode_floats_avx2, lq_encode_floats_avx512;
lq_encode_nibbles lq_encode_nibbles_avx2;
lq_finish_sums lq_finish_sums_c, lq_finish_sums_avx2, lq_finish_sums_avx512;
lq_finish_codes lq_finish_codes_c, lq_finish_codes_avx512;
lq_pool_sums lq_pool_sums_c, lq_pool_sums_avx2, lq_pool_sums_avx512;
lq_dense_floats lq_dense_floats_c, lq_dense_floats_avx2, lq_dense_floats_avx512;

/* Elements of a window. */
static inline int lq_window_length(const struct lq_windows *windows)
{
    return windows->taps_h * windows->taps_w * windows->run;
}

/* Of a pixel of codes in nibbles. */
static inline size_t lq_nibble_bytes(int channels)
{
    return ((size_t)channels + LQ_NIBBLE_CODES - 1) / LQ_NIBBLE_CODES;
}

/* Words of a pixel of codes in half words. */
static inline size_t lq_half_words(int channels)
{
    return ((size_t)channels + LQ_HALF_CODES - 1) / LQ_HALF_CODES;
}

/* Of the first element of a row. */
static inline size_t lq_row_offset(const struct lq_rows *rows, int row)
{
    return (size_t)(row / rows->width) * rows->line + (size_t)(row % rows->width) * rows->step;
}

/* Where `count` rows of bytes from row `first` on start. */
static inline void lq_rows_at(const struct lq_rows *rows, const uint8_t *a, int first, int count,
                              const uint8_t **ret_rows)
{
    const uint8_t *line = a + (size_t)(first / rows->width) * rows->line;
    int x = first % rows->width;

    for (int i = 0; i < count; i++) {
        ret_rows[i] = line + (size_t)x * rows->step;
        if (++x == rows->width) {
            x = 0;
            line += rows->line;
        }
    }
}

/* Whether there is something that it changes. */
static inline bool lq_clamps(struct lq_clamp clamp)
{
    return clamp.min > -INFINITY || clamp.max < INFINITY;
}

/* Whether codes of 2 bits grow with the level, whichever of their bits is the first. */
static inline bool lq_codes_grow(const int32_t *codes)
{
    return codes[0] == 0 && codes[3] == 3 &&
           ((codes[1] == 1 && codes[2] == 2) || (codes[1] == 2 && codes[2] == 1));
}

static inline size_t lq_encode_pixel_bytes(const struct lq_encode *e)
{
    size_t channels = (size_t)e->channels;

    if (e->form == LQ_CODE_NIBBLES)
        return lq_nibble_bytes(e->channels);
    if (e->form == LQ_CODE_HALVES)
        return lq_half_words(e->channels) * sizeof(uint32_t);
    if (e->form == LQ_CODE_PLANES)
        return (channels + 31) / 32 * (size_t)e->bits * sizeof(uint32_t);
    return channels * (e->form == LQ_CODE_BYTES ? sizeof(uint8_t) : sizeof(int16_t));
}

/* Vectors of the tile of nibbles that starts with vector `first` of `vectors`. */
static inline int lq_nibble_tile(int vectors, int first)
{
    int left = vectors - first;

    return left >= LQ_NIBBLE_TILE ? LQ_NIBBLE_TILE : left >= 2 ? 2 : 1;
}

/* Where the nibble k of a vector's lane 0 lies; length: of a row. */
static inline size_t lq_nibble_at(int vectors, int vector, int lanes, int length, int k)
{
    int first = vector / LQ_NIBBLE_TILE * LQ_NIBBLE_TILE, tile = lq_nibble_tile(vectors, first);

    if (vector - first >= tile) { /* the third of three is a tile of its own */
        first += tile;
        tile = 1;
    }
    return ((size_t)first * (size_t)length + (size_t)k * (size_t)tile + (size_t)(vector - first)) *
           (size_t)lanes;
}

/* Of a column of a panel: those LQ_NIBBLE_TURN apart lie side by side, so that what becomes of a
 * word of their bytes are as many vectors of columns side by side. */
static inline int lq_nibble_lane(int lanes, int column)
{
    return lanes < LQ_NIBBLE_TURN
               ? column
               : column % LQ_NIBBLE_TURN * (lanes / LQ_NIBBLE_TURN) + column / LQ_NIBBLE_TURN;
}

/* Of a row of `length` nibbles. */
static inline int lq_nibble_chunks(int length, int chunk)
{
    return (length + chunk - 1) / chunk;
}

/* Panels of `lanes` columns that n columns fill. */
static inline int lq_panels(int n, int lanes)
{
    return (n + lanes - 1) / lanes;
}

#endif
