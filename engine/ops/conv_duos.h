/* conv_duos.h - convolutions of 3 taps along lines of levels in bytes, two results at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The integers are those of any other form (kernels/duos.h).
 */
#ifndef LQ_OPS_CONV_DUOS_H
#define LQ_OPS_CONV_DUOS_H

#include "ops/integer_map.h"
#include "ops/window.h"

/* Whether a convolution of activations of at most `top` can be computed so, and that is faster than
 * the other way with bytes. */
bool lq_duos_pay(const struct lq_kernels *kernels, const struct lq_attributes *conv,
                 struct lq_map in, int top);

/* A point's, as in struct lq_bytes. */
struct lq_duo_weights {
    const int8_t *levels; /* [panels][kernel_h * channels / 4][lanes][4] */
    int piece;
};

struct lq_conv_duos {
    struct lq_conv_geometry geometry; /* of results rounded up to whole duos */
    int across;                       /* duos side by side */
    int out_width;
    int top; /* of the levels */
    struct lq_duo_weights weights[LQ_DUO_POINTS];
    const int32_t *offsets; /* [LQ_DUO][out channels], of struct lq_duo_products, */
    const int32_t *odd;     /* and [out channels] */
    struct lq_duos duos;
    lq_gemm_bytes *gemm_bytes;
};

/* Errors: LQ_ERR_MEMORY. */
int lq_conv_duos_init(struct lq_conv_duos *duos, struct lq_arena *arena,
                      const struct lq_step_spec *spec, const struct lq_conv_geometry *geometry,
                      struct lq_error *error) LQ_MUST_CHECK;

/* Of scratch, for so many rows of the map. */
size_t lq_conv_duos_bytes(const struct lq_conv_duos *duos, int rows);

/* As lq_sum_part; columns in multiples of LQ_DUO_COLUMNS. */
void lq_conv_duos_run(const struct lq_conv_duos *duos, const void *input,
                      const struct lq_map_part *part, uint8_t *scratch, int32_t *sums);

#endif
