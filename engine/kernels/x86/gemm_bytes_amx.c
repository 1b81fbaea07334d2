/* gemm_bytes_amx.c - products of levels in bytes: TDPBUSD on tiles of 16 columns.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A panel of weights is laid out as the instruction wants it, and a tile of activations is loaded
 * from overlapping windows by its row stride: nothing is copied. Tiles have the same shape for a
 * whole product, as changing it empties them: a line is cut into equal tiles, whose last one may
 * overlap the one before and makes the same sums again. Lines that lie one behind the other are one
 * line; and so are short ones with pixels between them, whose sums are computed and left out.
 * Products whose runs do not divide into pieces of at most 64 bytes, or with few rows, go to the
 * vector kernel, which reads the same weights.
 */
#include "kernels/x86/product.h"

#include <immintrin.h>

enum { LANES = 16, TILE_ROWS = 16, TILE_BYTES = 64, MIN_ROWS = 4, WORD = LQ_PRODUCT_WORD };
/* Tile registers: sums of two blocks of rows by two panels, then activations, then weights. */
enum { SUMS = 0, ROWS = 4, WEIGHTS = 6, REGISTERS = 8 };

/* What LDTILECFG reads (Intel SDM, volume 1, "Tile configuration"). */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
};

struct shape {
    int lines, width;  /* of rows a step apart, */
    int kept, pitch;   /* of which so many of every so many are rows of the product */
    int rows;          /* of a tile */
    int tiles;         /* of a line */
    size_t piece;      /* bytes of a run that one tile holds: divides it, a multiple of WORD */
    size_t panel_size; /* bytes */
};

/* The longest piece of at most TILE_BYTES; 0: a run cannot be cut into pieces of any length. */
static size_t piece_of(size_t run)
{
    size_t pieces = (run + TILE_BYTES - 1) / TILE_BYTES, most = 2 * pieces;

    for (; pieces <= most; pieces++)
        if (run % (pieces * WORD) == 0)
            return run / pieces;
    return 0;
}

static int tiles_of(int width)
{
    return width > TILE_ROWS ? (width + TILE_ROWS - 1) / TILE_ROWS : 1;
}

/* How the rows lie, and how lines of them are cut. */
static void lay_rows(const struct lq_product *p, struct shape *shape)
{
    int pitch = p->lines > 1 && p->line % p->step == 0 ? (int)(p->line / p->step) : 0;
    int all = (p->lines - 1) * pitch + p->width;

    shape->lines = p->lines;
    shape->width = shape->kept = shape->pitch = p->width;
    /* a tile less in four is worth the copies */
    if (pitch == p->width ||
        (pitch > p->width && 4 * tiles_of(all) <= 3 * p->lines * tiles_of(p->width))) {
        shape->lines = 1;
        shape->width = all;
        shape->pitch = pitch;
    }
    shape->tiles = tiles_of(shape->width);
    shape->rows = (shape->width + shape->tiles - 1) / shape->tiles;
}

static void configure(const struct shape *shape)
{
    struct tile_config config = {.palette = 1};

    for (int i = SUMS; i < REGISTERS; i++) {
        config.bytes[i] = TILE_BYTES;
        config.rows[i] = (uint8_t)shape->rows;
    }
    for (int i = ROWS; i < WEIGHTS; i++)
        config.bytes[i] = (uint16_t)shape->piece;
    for (int i = WEIGHTS; i < REGISTERS; i++)
        config.rows[i] = (uint8_t)(shape->piece / WORD);
    _tile_loadconfig(&config);
}

/* Where a block of rows starts, and where its sums go. */
struct block {
    const uint8_t *a;
    int32_t *sums; /* of the line's first row */
    int row;       /* of the line */
};

static struct block block_at(const struct lq_product *p, const struct shape *shape, int index)
{
    int line = index / shape->tiles, row = index % shape->tiles * shape->rows;

    if (row > shape->width - shape->rows)
        row = shape->width - shape->rows;
    return (struct block){
        .a = p->a + (size_t)line * p->line + (size_t)row * p->step,
        .sums = p->sums + (size_t)line * (size_t)shape->width * p->stride,
        .row = row,
    };
}

/* Stores tile register `tile` as the sums of `columns` columns from `col` on. A macro, for the
 * register's number is part of the instruction. */
#define STORE(tile, block, col, columns)                                                           \
    do {                                                                                           \
        if ((columns) >= LANES && shape->kept == shape->pitch) {                                   \
            _tile_stored(tile, (block).sums + (size_t)(block).row * p->stride + (col),             \
                         p->stride * sizeof(int32_t));                                             \
        } else {                                                                                   \
            _tile_stored(tile, partial, sizeof(partial[0]));                                       \
            copy_partial(p, shape, partial, (columns) < LANES ? (columns) : LANES, (block).row,    \
                         (block).sums + (col));                                                    \
        }                                                                                          \
    } while (0)

/* The first row is row `first` of a line that begins at `to`. */
static void copy_partial(const struct lq_product *p, const struct shape *shape,
                         int32_t partial[][LANES], int columns, int first, int32_t *to)
{
    const __mmask16 mask = (__mmask16)((1u << columns) - 1);
    int x = first % shape->pitch;

    to += (size_t)(first / shape->pitch * shape->kept) * p->stride;
    for (int row = 0; row < shape->rows; row++) {
        if (x < shape->kept)
            _mm512_mask_storeu_epi32(to + (size_t)x * p->stride, mask,
                                     _mm512_loadu_si512(partial[row]));
        if (++x == shape->pitch) {
            x = 0;
            to += (size_t)shape->kept * p->stride;
        }
    }
}

/* Tile registers 0 and 1 become the sums of a block by two panels, 2 and 3 those of another. */
static inline __attribute__((always_inline)) void multiply_four(const struct lq_product *p,
                                                                const struct shape *shape,
                                                                const struct block block[2],
                                                                const uint8_t *w)
{
    size_t piece_size = shape->piece * LANES;

    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int run = 0; run < p->runs; run++)
        for (size_t k = 0; k < p->run; k += shape->piece, w += piece_size) {
            size_t at = (size_t)run * p->gap + k;

            _tile_loadd(4, block[0].a + at, p->step);
            _tile_loadd(6, w, TILE_BYTES);
            _tile_dpbusd(0, 4, 6);
            _tile_loadd(7, w + shape->panel_size, TILE_BYTES);
            _tile_dpbusd(1, 4, 7);
            _tile_loadd(5, block[1].a + at, p->step);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        }
}

/* Two blocks by two panels; `columns` are there from the first panel on, more than LANES. */
static void two_panels(const struct lq_product *p, const struct shape *shape,
                       const struct block block[2], const uint8_t *w, int columns)
{
    int32_t partial[TILE_ROWS][LANES];

    multiply_four(p, shape, block, w);
    STORE(0, block[0], 0, columns);
    STORE(1, block[0], LANES, columns - LANES);
    STORE(2, block[1], 0, columns);
    STORE(3, block[1], LANES, columns - LANES);
}

/* Two or three blocks by one panel: of an odd number of blocks none needs to be computed twice. */
static inline __attribute__((always_inline)) void one_panel(const struct lq_product *p,
                                                            const struct shape *shape,
                                                            const struct block *block, int blocks,
                                                            const uint8_t *w, int columns)
{
    int32_t partial[TILE_ROWS][LANES];
    size_t piece_size = shape->piece * LANES;

    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    for (int run = 0; run < p->runs; run++)
        for (size_t k = 0; k < p->run; k += shape->piece, w += piece_size) {
            size_t at = (size_t)run * p->gap + k;

            _tile_loadd(6, w, TILE_BYTES);
            _tile_loadd(4, block[0].a + at, p->step);
            _tile_dpbusd(0, 4, 6);
            _tile_loadd(5, block[1].a + at, p->step);
            _tile_dpbusd(1, 5, 6);
            if (blocks == 3) {
                _tile_loadd(4, block[2].a + at, p->step);
                _tile_dpbusd(2, 4, 6);
            }
        }
    STORE(0, block[0], 0, columns);
    STORE(1, block[1], 0, columns);
    if (blocks == 3)
        STORE(2, block[2], 0, columns);
}

/* All rows by one panel, or by two where there are more than LANES columns. */
static void multiply_panels(const struct lq_product *p, const struct shape *shape, int col)
{
    const uint8_t *w = p->w + (size_t)(col / LANES) * shape->panel_size;
    int columns = p->n - col, blocks = shape->lines * shape->tiles;

    for (int index = 0; index < blocks;) {
        struct block some[3];
        int rest = blocks - index, count = rest == 3 ? 3 : 2;

        for (int i = 0; i < count; i++) {
            /* a single block is its own partner */
            some[i] = block_at(p, shape, i < rest ? index + i : index);
            some[i].sums += col;
        }
        if (count == 3 && columns > LANES) {
            one_panel(p, shape, some, 3, w, LANES);
            for (int i = 0; i < count; i++)
                some[i].sums += LANES;
            one_panel(p, shape, some, 3, w + shape->panel_size, columns - LANES);
        } else if (count == 3) {
            one_panel(p, shape, some, 3, w, columns);
        } else if (columns > LANES) {
            two_panels(p, shape, some, w, columns);
        } else {
            one_panel(p, shape, some, 2, w, columns);
        }
        index += count;
    }
}

/* low becomes a block's sums of weights in two parts. */
static void join(int rows, int32_t low[TILE_ROWS][LANES], int32_t high[TILE_ROWS][LANES])
{
    for (int row = 0; row < rows; row++) {
        __m512i sum = _mm512_load_si512(high[row]);

        sum = _mm512_sub_epi32(_mm512_slli_epi32(sum, 8), sum);
        _mm512_store_si512(low[row], _mm512_add_epi32(sum, _mm512_load_si512(low[row])));
    }
}
_Static_assert(LQ_WIDE_UNIT == (1 << 8) - 1, "join multiplies by it");

/* Two blocks, which may be the same, by both parts of a panel. */
static void two_parts(const struct lq_product *p, const struct shape *shape,
                      const struct block block[2], const uint8_t *w, int columns)
{
    _Alignas(64) int32_t sums[4][TILE_ROWS][LANES];

    multiply_four(p, shape, block, w);
    _tile_stored(0, sums[0], sizeof(sums[0][0]));
    _tile_stored(1, sums[1], sizeof(sums[0][0]));
    _tile_stored(2, sums[2], sizeof(sums[0][0]));
    _tile_stored(3, sums[3], sizeof(sums[0][0]));
    columns = columns < LANES ? columns : LANES;
    for (size_t i = 0; i < 2; i++) {
        join(shape->rows, sums[2 * i], sums[2 * i + 1]);
        copy_partial(p, shape, sums[2 * i], columns, block[i].row, block[i].sums);
    }
}

void lq_gemm_wide_amx(const struct lq_wide *wide)
{
    struct lq_product product = lq_product_of_wide(wide);
    const struct lq_product *p = &product;
    struct shape shape = {.piece = piece_of(p->run),
                          .panel_size = lq_product_panel_bytes(p, LANES)};
    int blocks;

    lay_rows(p, &shape);
    if (shape.piece == 0 || shape.width < MIN_ROWS) {
        lq_gemm_wide_c(wide);
        return;
    }
    configure(&shape);
    blocks = shape.lines * shape.tiles;
    for (int index = 0; index < blocks; index += 2) {
        const uint8_t *w = p->w;
        struct block some[2] = {
            block_at(p, &shape, index),
            block_at(p, &shape, index + 1 < blocks ? index + 1 : index),
        };

        for (int col = 0; col < p->n; col += LANES, w += 2 * shape.panel_size) {
            two_parts(p, &shape, some, w, p->n - col);
            some[0].sums += LANES;
            some[1].sums += LANES;
        }
    }
    _tile_release();
}

void lq_gemm_bytes_amx(const struct lq_bytes *bytes)
{
    struct lq_product product = lq_product_of_bytes(bytes);
    const struct lq_product *p = &product;
    struct shape shape = {.piece = piece_of(p->run),
                          .panel_size = lq_product_panel_bytes(p, LANES)};

    lay_rows(p, &shape);
    if (shape.piece == 0 || shape.width < MIN_ROWS) {
        lq_gemm_bytes_avx512(bytes);
        return;
    }
    configure(&shape);
    for (int col = 0; col < p->n; col += 2 * LANES)
        multiply_panels(p, &shape, col);
    _tile_release();
}
