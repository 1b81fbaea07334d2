/* tiles.h - how products of bytes are cut into AMX tiles.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A panel of weights is laid out as the instruction wants it, and a tile of activations is loaded
 * from overlapping windows by its row stride: nothing is copied. Tiles have the same shape for a
 * whole product, as changing it empties them: a line is cut into equal tiles, whose last one may
 * overlap the one before and makes the same sums again. Lines that lie one behind the other are one
 * line; and so are short ones with pixels between them, whose sums are computed and left out.
 */
#ifndef LQ_KERNELS_X86_TILES_H
#define LQ_KERNELS_X86_TILES_H

#include "kernels/x86/product.h"

#include <immintrin.h>

enum {
    LQ_TILE_LANES = 16,
    LQ_TILE_ROWS = 16,
    LQ_TILE_BYTES = 64,
    LQ_TILE_LEAST = 4 /* rows: with fewer, vectors are faster */
};

/* What LDTILECFG reads (Intel SDM, volume 1, "Tile configuration"). */
struct lq_tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
};

struct lq_tiles {
    int lines, width;  /* of rows a step apart, */
    int kept, pitch;   /* of which so many of every so many are rows of the product */
    int rows;          /* of a tile */
    int tiles;         /* of a line */
    size_t piece;      /* bytes of a run that one tile holds: divides it, a multiple of a word */
    size_t panel_size; /* bytes */
};

/* The longest piece of at most LQ_TILE_BYTES; 0: a run cannot be cut into pieces of any length. */
static inline size_t lq_tile_piece(size_t run)
{
    size_t pieces = (run + LQ_TILE_BYTES - 1) / LQ_TILE_BYTES, most = 2 * pieces;

    for (; pieces <= most; pieces++)
        if (run % (pieces * LQ_PRODUCT_WORD) == 0)
            return run / pieces;
    return 0;
}

static inline int lq_tiles_of(int width)
{
    return width > LQ_TILE_ROWS ? (width + LQ_TILE_ROWS - 1) / LQ_TILE_ROWS : 1;
}

/* How the rows lie, and how lines of them are cut. */
static inline void lq_tiles_lay(const struct lq_product *p, struct lq_tiles *shape)
{
    int pitch = p->lines > 1 && p->line % p->step == 0 ? (int)(p->line / p->step) : 0;
    int all = (p->lines - 1) * pitch + p->width;

    shape->lines = p->lines;
    shape->width = shape->kept = shape->pitch = p->width;
    /* a tile less in four is worth the copies */
    if (pitch == p->width ||
        (pitch > p->width && 4 * lq_tiles_of(all) <= 3 * p->lines * lq_tiles_of(p->width))) {
        shape->lines = 1;
        shape->width = all;
        shape->pitch = pitch;
    }
    shape->tiles = lq_tiles_of(shape->width);
    shape->rows = (shape->width + shape->tiles - 1) / shape->tiles;
}

/* Tile registers: sums of two blocks of rows by two panels, then activations, then weights. */
static inline void lq_tiles_configure(const struct lq_tiles *shape)
{
    struct lq_tile_config config = {.palette = 1};

    enum { ROWS = 4, WEIGHTS = 6, REGISTERS = 8 };

    for (int i = 0; i < REGISTERS; i++) {
        config.bytes[i] = LQ_TILE_BYTES;
        config.rows[i] = (uint8_t)shape->rows;
    }
    for (int i = ROWS; i < WEIGHTS; i++)
        config.bytes[i] = (uint16_t)shape->piece;
    for (int i = WEIGHTS; i < REGISTERS; i++)
        config.rows[i] = (uint8_t)(shape->piece / LQ_PRODUCT_WORD);
    __asm__ volatile("" : : "m"(config)); /* gcc 12 believes that 8 bytes of it are read */
    _tile_loadconfig(&config);
}

/* Where a block of rows starts, and where its sums go. */
struct lq_tile_block {
    const uint8_t *a;
    int32_t *sums; /* of the line's first row */
    int row;       /* of the line */
};

static inline struct lq_tile_block lq_tile_block_at(const struct lq_product *p,
                                                    const struct lq_tiles *shape, int index)
{
    int line = index / shape->tiles, row = index % shape->tiles * shape->rows;

    if (row > shape->width - shape->rows)
        row = shape->width - shape->rows;
    return (struct lq_tile_block){
        .a = p->a + (size_t)line * p->line + (size_t)row * p->step,
        .sums = p->sums + (size_t)line * (size_t)shape->width * p->stride,
        .row = row,
    };
}

/* The first row is row `first` of a line that begins at `to`. */
static inline void lq_tile_copy(const struct lq_product *p, const struct lq_tiles *shape,
                                int32_t partial[][LQ_TILE_LANES], int columns, int first,
                                int32_t *to)
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

/* Stores tile register `tile` as the sums of `columns` columns from `col` on; p, shape and partial
 * are those of the caller. A macro, for the register's number is part of the instruction. */
#define LQ_TILE_STORE(tile, block, col, columns)                                                   \
    do {                                                                                           \
        if ((columns) >= (int)LQ_TILE_LANES && shape->kept == shape->pitch) {                      \
            _tile_stored(tile, (block).sums + (size_t)(block).row * p->stride + (col),             \
                         p->stride * sizeof(int32_t));                                             \
        } else {                                                                                   \
            _tile_stored(tile, partial, sizeof(partial[0]));                                       \
            lq_tile_copy(p, shape, partial,                                                        \
                         (columns) < (int)LQ_TILE_LANES ? (columns) : (int)LQ_TILE_LANES,          \
                         (block).row, (block).sums + (col));                                       \
        }                                                                                          \
    } while (0)

#endif
