/* byte_weights.c - weights of products of bytes, as levels or as codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/byte_weights.h"

#include "base/status.h"

enum { MIN_BYTES = 512 << 10 }; /* of levels: fewer are as fast to fetch (measured) */

static bool keeps_codes(const struct lq_byte_weights *w, const struct lq_kernels *kernels,
                        int length, int bits)
{
    return kernels->prefers_codes && w->paneling.groups == 1 && length % LQ_CODES_LENGTH == 0 &&
           1 << bits <= LQ_CODES_LEVELS && w->length * (size_t)w->paneling.columns >= MIN_BYTES;
}

static int init_codes(struct lq_byte_weights *w, struct lq_arena *arena,
                      const struct lq_step_spec *spec, struct lq_error *error)
{
    size_t columns = lq_paneling_columns(&w->paneling);
    uint8_t *codes = lq_arena_alloc(arena, columns, w->length / LQ_CODES_WORDS);
    int8_t *levels = lq_arena_alloc(arena, columns, LQ_CODES_LEVELS);

    if (!codes || !levels)
        return lq_fail_memory(error);
    lq_weights_codes(spec, &w->paneling, (int)w->length, codes, levels);
    w->codes = (struct lq_codes){(int)w->length, codes, levels};
    w->scratch_bytes = (size_t)LQ_CODES_PANELS * LQ_CODES_LANES * w->length;
    return LQ_OK;
}

int lq_byte_weights_init(struct lq_byte_weights *w, struct lq_arena *arena,
                         const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                         int length, int run, struct lq_error *error)
{
    const struct lq_kernels *kernels = spec->kernels;
    int8_t *levels;

    *w = (struct lq_byte_weights){.paneling = *paneling,
                                  .length = lq_paneling_length(paneling, length),
                                  .gemm_bytes = kernels->gemm_bytes,
                                  .gemm_codes = kernels->gemm_codes};
    if (keeps_codes(w, kernels, length, spec->attributes->bits))
        return init_codes(w, arena, spec, error);
    levels = lq_arena_alloc(arena, lq_paneling_columns(paneling), w->length);
    if (!levels)
        return lq_fail_memory(error);
    w->levels = levels;
    lq_weights_levels(spec, paneling, length, levels);
    if (kernels->bytes_in_pieces)
        w->piece =
            lq_weights_piece(paneling, levels, length, run, lq_snapped_largest(spec->input_basis));
    return LQ_OK;
}

void lq_byte_weights_multiply(const struct lq_byte_weights *w, int group, int column,
                              struct lq_bytes *product, uint8_t *scratch)
{
    int lanes = w->paneling.lanes;
    size_t before = (size_t)group * (size_t)lq_panels(w->paneling.columns, lanes) * (size_t)lanes +
                    (size_t)column;

    if (!w->levels) { /* no groups */
        struct lq_codes codes = lq_codes_from(&w->codes, before);

        w->gemm_codes(product, &codes, (int8_t *)scratch);
        return;
    }
    product->piece = w->piece;
    product->w = w->levels + before * w->length;
    w->gemm_bytes(product);
}
