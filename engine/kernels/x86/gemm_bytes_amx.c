/* gemm_bytes_amx.c - products of levels in bytes: TDPBUSD on tiles of 16 columns.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Products whose runs do not divide into pieces of at most 64 bytes, or with few rows, go to the
 * vector kernel, which reads the same weights.
 */
#include "kernels/x86/tiles.h"

enum { LANES = LQ_TILE_LANES, TILE_ROWS = LQ_TILE_ROWS, TILE_BYTES = LQ_TILE_BYTES };

/* Tile registers 0 and 1 become the sums of a block by two panels, 2 and 3 those of another. */
static inline __attribute__((always_inline)) void multiply_four(const struct lq_product *p,
                                                                const struct lq_tiles *shape,
                                                                const struct lq_tile_block block[2],
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
static void two_panels(const struct lq_product *p, const struct lq_tiles *shape,
                       const struct lq_tile_block block[2], const uint8_t *w, int columns)
{
    int32_t partial[TILE_ROWS][LANES];

    multiply_four(p, shape, block, w);
    LQ_TILE_STORE(0, block[0], 0, columns);
    LQ_TILE_STORE(1, block[0], LANES, columns - LANES);
    LQ_TILE_STORE(2, block[1], 0, columns);
    LQ_TILE_STORE(3, block[1], LANES, columns - LANES);
}

/* Two or three blocks by one panel: of an odd number of blocks none needs to be computed twice. */
static inline __attribute__((always_inline)) void
one_panel(const struct lq_product *p, const struct lq_tiles *shape,
          const struct lq_tile_block *block, int blocks, const uint8_t *w, int columns)
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
    LQ_TILE_STORE(0, block[0], 0, columns);
    LQ_TILE_STORE(1, block[1], 0, columns);
    if (blocks == 3)
        LQ_TILE_STORE(2, block[2], 0, columns);
}

/* All rows by one panel, or by two where there are more than LANES columns. */
static void multiply_panels(const struct lq_product *p, const struct lq_tiles *shape, int col)
{
    const uint8_t *w = p->w + (size_t)(col / LANES) * shape->panel_size;
    int columns = p->n - col, blocks = shape->lines * shape->tiles;

    for (int index = 0; index < blocks;) {
        struct lq_tile_block some[3];
        int rest = blocks - index, count = rest == 3 ? 3 : 2;

        for (int i = 0; i < count; i++) {
            /* a single block is its own partner */
            some[i] = lq_tile_block_at(p, shape, i < rest ? index + i : index);
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
static void two_parts(const struct lq_product *p, const struct lq_tiles *shape,
                      const struct lq_tile_block block[2], const uint8_t *w, int columns)
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
        lq_tile_copy(p, shape, sums[2 * i], columns, block[i].row, block[i].sums);
    }
}

void lq_gemm_wide_amx(const struct lq_wide *wide)
{
    struct lq_product product = lq_product_of_wide(wide);
    const struct lq_product *p = &product;
    struct lq_tiles shape = {.piece = lq_tile_piece(p->run),
                             .panel_size = lq_product_panel_bytes(p, LANES)};
    int blocks;

    lq_tiles_lay(p, &shape);
    if (shape.piece == 0 || shape.width < LQ_TILE_LEAST) {
        lq_gemm_wide_c(wide);
        return;
    }
    lq_tiles_configure(&shape);
    blocks = shape.lines * shape.tiles;
    for (int index = 0; index < blocks; index += 2) {
        const uint8_t *w = p->w;
        struct lq_tile_block some[2] = {
            lq_tile_block_at(p, &shape, index),
            lq_tile_block_at(p, &shape, index + 1 < blocks ? index + 1 : index),
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
    struct lq_tiles shape = {.piece = lq_tile_piece(p->run),
                             .panel_size = lq_product_panel_bytes(p, LANES)};

    lq_tiles_lay(p, &shape);
    if (shape.piece == 0 || shape.width < LQ_TILE_LEAST) {
        lq_gemm_bytes_avx512(bytes);
        return;
    }
    lq_tiles_configure(&shape);
    for (int col = 0; col < p->n; col += 2 * LANES)
        multiply_panels(p, &shape, col);
    _tile_release();
}
