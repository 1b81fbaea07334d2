/* train.h - the inner loops of training: batch normalization, quantizers and their derivatives.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Maps are [pixels][channels]. Every tier gives the same bits: vectors run along the channels, and
 * the order in which pixels are summed is part of the definition: blocks of LQ_TRAIN_BLOCK pixels
 * in float, the blocks' sums in double.
 */
#ifndef LQ_KERNELS_TRAIN_H
#define LQ_KERNELS_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LQ_TRAIN_BLOCK 64

/* sums[c] += x, squares[c] += x^2, over the pixels. */
typedef void lq_moments(const float *x, int64_t pixels, int channels, double *sums,
                        double *squares);

/* y = scale[c] x + shift[c] (+ other), then max(y, 0) with relu. */
struct lq_norm {
    int channels;
    const float *scale, *shift;
    bool relu;
};
typedef void lq_norm_apply(const struct lq_norm *norm, const float *x, const float *other,
                           int64_t pixels, float *y);

/* d is the gradient by y. Where relu held y at 0, d becomes 0; then sums[c] += d, products[c] +=
 * d (x - centre[c]). */
struct lq_norm_sums {
    int channels;
    bool relu;
    const float *centre;     /* [channels] */
    double *sums, *products; /* [channels] */
};
typedef void lq_norm_reduce(const struct lq_norm_sums *norm, const float *x, const float *y,
                            int64_t pixels, float *d);

/* d_x = a[c] d + b[c] x + e[c], or d_x += it. */
struct lq_norm_line {
    int channels;
    const float *a, *b, *e;
    bool add;
};
typedef void lq_norm_backward(const struct lq_norm_line *line, const float *d, const float *x,
                              int64_t pixels, float *d_x);

/* A quantizer of activations; thresholds ascending, levels belong between them. */
struct lq_levels_of {
    int count; /* of levels, 2..256 */
    const float *levels, *thresholds;
};
/* passed[i] += values above thresholds[i], sums[i] += their sum; passed[count - 1] and
 * sums[count - 1]: of all values; *squares += y^2. */
struct lq_levels_sums {
    double *passed, *sums; /* [count] */
    double *squares;
};
/* q = the level of y: levels[number of thresholds below y]. Without sums (NULL) nothing else. */
typedef void lq_quantize_values(const struct lq_levels_of *quantizer, const float *y,
                                int64_t elements, const struct lq_levels_sums *sums, float *q);

/* Of the gradient d by q: above[i] += that of values above thresholds[i]; above[count - 1]: of all
 * values. */
typedef void lq_quantize_gradients(const struct lq_levels_of *quantizer, const float *y,
                                   const float *d, int64_t elements, double *above);

/* d_y = d_q where 0 < y <= top, else 0; or d_y += it. */
typedef void lq_quantize_backward(const float *y, float top, const float *d_q, int64_t elements,
                                  bool add, float *d_y);

struct lq_train_kernels {
    lq_moments *moments;
    lq_norm_apply *norm_apply;
    lq_norm_reduce *norm_reduce;
    lq_norm_backward *norm_backward;
    lq_quantize_values *quantize_values;
    lq_quantize_gradients *quantize_gradients;
    lq_quantize_backward *quantize_backward;
};

void lq_train_kernels_c(struct lq_train_kernels *kernels);
void lq_train_kernels_avx2(struct lq_train_kernels *kernels);

#endif
