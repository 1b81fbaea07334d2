/* gemm_codes_amx.c - products of levels in bytes by codes of 2 bits: TDPBUSD on tiles of weights
 * that are unpacked in passing.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Where a panel's weights meet few rows, fetching them takes the longest: some pieces of two panels
 * are unpacked into the first cache, and multiplied while the next ones are unpacked. Where they
 * meet more, they are unpacked once and kept in the second cache.
 */
#include "kernels/x86/codes.h"
#include "kernels/x86/tiles.h"

enum {
    LANES = LQ_TILE_LANES,
    TILE_BYTES = LQ_TILE_BYTES,
    PIECES = 4,     /* unpacked together (measured: 8 leave the cache, 2 are no faster) */
    MOST_BLOCKS = 4 /* of rows: with more, unpacking again and again takes longer */
};

/* Levels of a panel's pieces: those that are multiplied, and the next ones. */
struct unpacked {
    _Alignas(64) int8_t w[2][LQ_CODES_PANELS][PIECES * TILE_BYTES * LANES];
};

/* Where a piece of a row lies. */
struct cursor {
    int run;
    size_t k;
};

static inline size_t next_piece(const struct lq_product *p, size_t piece, struct cursor *c)
{
    size_t at = (size_t)c->run * p->gap + c->k;

    c->k += piece;
    if (c->k == p->run) {
        c->k = 0;
        c->run++;
    }
    return at;
}

/* Tile registers 0 and 1 become the sums of a block by both panels, 2 and 3 those of another. */
static inline __attribute__((always_inline)) void multiply_four(const struct lq_product *p,
                                                                const struct lq_tiles *shape,
                                                                const struct lq_tile_block block[2],
                                                                const struct lq_codes *codes)
{
    size_t panel = (size_t)codes->length / LQ_CODES_LENGTH * LQ_CODES_BYTES;
    size_t piece_size = shape->piece * LANES;
    int pieces = codes->length / (int)shape->piece, words = (int)shape->piece / LQ_CODES_LENGTH;
    const uint8_t *from = codes->codes;
    struct unpacked unpacked;
    struct cursor cursor = {0};

    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int first = 0, count; first < pieces; first += count) {
        int8_t *w0 = unpacked.w[first / PIECES % 2][0], *w1 = unpacked.w[first / PIECES % 2][1];

        count = pieces - first < PIECES ? pieces - first : PIECES;
        lq_codes_unpack(from, codes->levels, count * words, w0);
        lq_codes_unpack(from + panel, codes->levels + (size_t)LANES * LQ_CODES_LEVELS,
                        count * words, w1);
        from += (size_t)(count * words) * LQ_CODES_BYTES;
        for (int i = 0; i < count; i++, w0 += piece_size, w1 += piece_size) {
            size_t at = next_piece(p, shape->piece, &cursor);

            _tile_loadd(4, block[0].a + at, p->step);
            _tile_loadd(6, w0, TILE_BYTES);
            _tile_dpbusd(0, 4, 6);
            _tile_loadd(7, w1, TILE_BYTES);
            _tile_dpbusd(1, 4, 7);
            _tile_loadd(5, block[1].a + at, p->step);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        }
    }
}

/* All rows by two panels. */
static void multiply_panels(const struct lq_product *p, const struct lq_tiles *shape,
                            const struct lq_codes *codes, int col)
{
    int32_t partial[LQ_TILE_ROWS][LANES];
    int blocks = shape->lines * shape->tiles;

    for (int index = 0; index < blocks; index += 2) {
        struct lq_tile_block block[2] = {
            lq_tile_block_at(p, shape, index),
            lq_tile_block_at(p, shape, index + 1 < blocks ? index + 1 : index),
        };

        multiply_four(p, shape, block, codes);
        LQ_TILE_STORE(0, block[0], col, LANES);
        LQ_TILE_STORE(1, block[0], col + LANES, LANES);
        LQ_TILE_STORE(2, block[1], col, LANES);
        LQ_TILE_STORE(3, block[1], col + LANES, LANES);
    }
}

void lq_gemm_codes_amx(const struct lq_bytes *bytes, const struct lq_codes *codes, int8_t *scratch)
{
    struct lq_product product = lq_product_of_bytes(bytes);
    const struct lq_product *p = &product;
    const int step = LQ_CODES_PANELS * LANES;
    struct lq_tiles shape = {.piece = lq_tile_piece(p->run)};

    lq_tiles_lay(p, &shape);
    if (shape.piece == 0 || shape.piece % LQ_CODES_LENGTH != 0 || shape.width < LQ_TILE_LEAST ||
        shape.lines * shape.tiles > MOST_BLOCKS || p->n % step != 0) {
        lq_gemm_codes_by(lq_gemm_bytes_amx, bytes, codes, scratch);
        return;
    }
    lq_tiles_configure(&shape);
    for (int col = 0; col < p->n; col += step) {
        struct lq_codes some = lq_codes_from(codes, (size_t)col);

        multiply_panels(p, &shape, &some, col);
    }
    _tile_release();
}
