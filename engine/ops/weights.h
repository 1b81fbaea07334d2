/* weights.h - a layer's stored weights, decoded.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_OPS_WEIGHTS_H
#define LQ_OPS_WEIGHTS_H

#include "ops/step.h"

/* rows x length floats: the weights as they are stored, or level times scale where they are
 * quantized. */
void lq_weights_decode(const struct lq_step_spec *spec, int rows, int length, float *ret_weights);

/* How a layer's output channels are laid side by side for the kernels (kernels/kernels.h): each
 * group has panels of its own. */
struct lq_paneling {
    int groups, columns; /* of one group */
    int lanes;
    int depth; /* of levels: how many along k lie together in a lane, 2 of int16_t or 4 of int8_t */
};
/* Columns of all panels, filled up. */
size_t lq_paneling_columns(const struct lq_paneling *paneling);
/* Length of a column of levels, filled up. */
size_t lq_paneling_length(const struct lq_paneling *paneling, int length);

/* Of quantized weights: the integer levels of a row of `rows`. */
void lq_weights_row(const struct lq_step_spec *spec, int rows, int length, int row,
                    int16_t *ret_levels);

/* Of quantized weights: integer levels, [panels][length / depth, rounded up][lanes][depth], int16_t
 * or int8_t as depth says; what is filled up is left as it is. */
void lq_weights_levels(const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                       int length, void *ret_levels);

/* Of bytes that lq_weights_levels has made: the longest piece of a run of `run` levels (struct
 * lq_bytes) for activations of at most `top`; 0: there is none. */
int lq_weights_piece(const struct lq_paneling *paneling, const int8_t *levels, int length, int run,
                     int top);

/* Of quantized weights of one group and of up to 2 bits: codes and levels as struct lq_codes has
 * them, of columns of `length` levels. */
void lq_weights_codes(const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                      int length, uint8_t *ret_codes, int8_t *ret_levels);

/* Of quantized weights: planes, [panels][taps * words of channels][bits][lanes]. Errors:
 * LQ_ERR_MEMORY. */
int lq_weights_planes(const struct lq_step_spec *spec, const struct lq_paneling *paneling, int taps,
                      int channels, uint32_t *ret_planes, struct lq_error *error) LQ_MUST_CHECK;

/* Of quantized weights of one group: half words as struct lq_halves has them, taps times the words
 * of `channels` along k. Errors: LQ_ERR_MEMORY. */
int lq_weights_halves(const struct lq_step_spec *spec, const struct lq_paneling *paneling, int taps,
                      int channels, uint32_t *ret_halves, struct lq_error *error) LQ_MUST_CHECK;

/* Of quantized weights of one group: nibbles as struct lq_nibbles has them, taps times the bytes of
 * `channels` along k, and the chunk that they allow. Errors: LQ_ERR_MEMORY. */
int lq_weights_nibbles(const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                       int taps, int channels, uint8_t *ret_nibbles, int *ret_chunk) LQ_MUST_CHECK;

/* What struct lq_nibbles calls full, [vectors][chunks], from the same nibbles. */
void lq_weights_full(const struct lq_paneling *paneling, int bits, int length, int run, int chunk,
                     const uint8_t *nibbles, uint32_t *ret_full);

/* The pairs of struct lq_nibbles, [rows * bits / 2, rounded up][length], from the same nibbles. */
void lq_weights_pairs(const struct lq_paneling *paneling, int bits, int length,
                      const uint8_t *nibbles, uint16_t *ret_pairs);

/* Their basis, [panels][bits][lanes]. */
void lq_weights_basis(const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                      int32_t *ret_basis);

#endif
