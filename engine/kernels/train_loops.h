/* train_loops.h - the functions of train.h, for each tier's file to compile.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_KERNELS_TRAIN_LOOPS_H
#define LQ_KERNELS_TRAIN_LOOPS_H

#include "kernels/train.h"

#define LANES       8
#define VECS        4
#define LANED(name) name##_32
#include "kernels/train_lanes.h"
#undef VECS
#undef LANED
#define VECS        2
#define LANED(name) name##_16
#include "kernels/train_lanes.h"
#undef VECS
#undef LANED
#define VECS        1
#define LANED(name) name##_8
#include "kernels/train_lanes.h"
#undef LANES
#undef LANED
#define LANES       1
#define LANED(name) name##_1
#include "kernels/train_lanes.h"
#undef LANES
#undef VECS
#undef LANED

/* Calls name##_32 for as many channels c as there are, then name##_16, _8 and _1 for the rest. */
#define EACH_LANES(channels, c, name, ...)                                                         \
    do {                                                                                           \
        size_t c = 0;                                                                              \
        for (; c + 32 <= (size_t)(channels); c += 32)                                              \
            name##_32(__VA_ARGS__);                                                                \
        for (; c + 16 <= (size_t)(channels); c += 16)                                              \
            name##_16(__VA_ARGS__);                                                                \
        for (; c + 8 <= (size_t)(channels); c += 8)                                                \
            name##_8(__VA_ARGS__);                                                                 \
        for (; c < (size_t)(channels); c++)                                                        \
            name##_1(__VA_ARGS__);                                                                 \
    } while (0)

static inline int block_at(int64_t at, int64_t pixels)
{
    return pixels - at < LQ_TRAIN_BLOCK ? (int)(pixels - at) : LQ_TRAIN_BLOCK;
}

static void moments(const float *x, int64_t pixels, int channels, double *sums, double *squares)
{
    for (int64_t at = 0; at < pixels; at += LQ_TRAIN_BLOCK) {
        const float *block = x + at * channels;
        int count = block_at(at, pixels);
        size_t n = (size_t)channels;

        EACH_LANES(channels, c, moments, block + c, count, n, sums + c, squares + c);
    }
}

static void norm_apply(const struct lq_norm *norm, const float *x, const float *other,
                       int64_t pixels, float *y)
{
    for (int64_t at = 0; at < pixels; at += LQ_TRAIN_BLOCK) {
        int count = block_at(at, pixels);
        int64_t skip = at * norm->channels;
        const float *beside = other ? other + skip : NULL;

        EACH_LANES(norm->channels, c, apply, norm, x + skip, beside, count, c, y + skip);
    }
}

static void norm_reduce(const struct lq_norm_sums *norm, const float *x, const float *y,
                        int64_t pixels, float *d)
{
    for (int64_t at = 0; at < pixels; at += LQ_TRAIN_BLOCK) {
        int count = block_at(at, pixels);
        int64_t skip = at * norm->channels;
        const float *mask = y ? y + skip : NULL;

        EACH_LANES(norm->channels, c, reduce, norm, x + skip, mask, count, c, d + skip);
    }
}

static void norm_backward(const struct lq_norm_line *line, const float *d, const float *x,
                          int64_t pixels, float *d_x)
{
    for (int64_t at = 0; at < pixels; at += LQ_TRAIN_BLOCK) {
        int count = block_at(at, pixels);
        int64_t skip = at * line->channels;

        EACH_LANES(line->channels, c, backward, line, d + skip, x + skip, count, c, d_x + skip);
    }
}

static int level_of(const struct lq_levels_of *quantizer, float y)
{
    int level = 0;

    for (int step = quantizer->count / 2; step > 0; step /= 2)
        level += quantizer->thresholds[level + step - 1] < y ? step : 0;
    return level;
}

/* Beyond 16 levels: by binary search. */
static void quantize_many(const struct lq_levels_of *quantizer, const float *y, int64_t elements,
                          const struct lq_levels_sums *sums, float *q)
{
    double numbers[256] = {0}, values[256] = {0}, squares = sums ? *sums->squares : 0;
    int last = quantizer->count - 1;

    for (int64_t i = 0; i < elements; i++) {
        int level = level_of(quantizer, y[i]);

        q[i] = quantizer->levels[level];
        numbers[level] += 1;
        values[level] += (double)y[i];
        squares += (double)y[i] * (double)y[i];
    }
    if (!sums)
        return;
    *sums->squares = squares;
    sums->passed[last] += (double)elements;
    for (int level = 0; level <= last; level++)
        sums->sums[last] += values[level];
    for (int level = last; level > 0; level--) { /* those above thresholds[level - 1] */
        sums->passed[level - 1] += numbers[level];
        sums->sums[level - 1] += values[level];
        numbers[level - 1] += numbers[level];
        values[level - 1] += values[level];
    }
}

/* So many elements are summed in float at once. */
enum { QUANTIZE_BLOCK = 16 * LQ_TRAIN_BLOCK };

/* Calls name(quantizer, count, ...), unrolled for the counts of 1 to 3 bits. */
#define WITH_COUNT(name, quantizer, ...)                                                           \
    do {                                                                                           \
        switch ((quantizer)->count) {                                                              \
        case 2:                                                                                    \
            name(quantizer, 2, __VA_ARGS__);                                                       \
            break;                                                                                 \
        case 4:                                                                                    \
            name(quantizer, 4, __VA_ARGS__);                                                       \
            break;                                                                                 \
        case 8:                                                                                    \
            name(quantizer, 8, __VA_ARGS__);                                                       \
            break;                                                                                 \
        default:                                                                                   \
            name(quantizer, (quantizer)->count, __VA_ARGS__);                                      \
        }                                                                                          \
    } while (0)

static void quantize_few(const struct lq_levels_of *quantizer, const float *y, int64_t elements,
                         const struct lq_levels_sums *sums, float *q)
{
    int64_t whole = elements / 8 * 8;

    WITH_COUNT(quantize_8, quantizer, y, whole, sums, q);
    quantize_1(quantizer, quantizer->count, y + whole, elements - whole, sums, q + whole);
}

static void quantize_values(const struct lq_levels_of *quantizer, const float *y, int64_t elements,
                            const struct lq_levels_sums *sums, float *q)
{
    if (quantizer->count > 16) {
        quantize_many(quantizer, y, elements, sums, q);
        return;
    }
    for (int64_t at = 0; at < elements; at += QUANTIZE_BLOCK)
        quantize_few(quantizer, y + at,
                     elements - at < QUANTIZE_BLOCK ? elements - at : QUANTIZE_BLOCK, sums, q + at);
}

static void gradients_many(const struct lq_levels_of *quantizer, const float *y, const float *d,
                           int64_t elements, double *above)
{
    double sums[256] = {0}, sum = 0;
    int last = quantizer->count - 1;

    for (int64_t i = 0; i < elements; i++)
        sums[level_of(quantizer, y[i])] += (double)d[i];
    for (int level = last; level > 0; level--) {
        sum += sums[level];
        above[level - 1] += sum;
    }
    above[last] += sum + sums[0];
}

static void gradients_few(const struct lq_levels_of *quantizer, const float *y, const float *d,
                          int64_t elements, double *above)
{
    int64_t whole = elements / 8 * 8;

    WITH_COUNT(gradients_8, quantizer, y, d, whole, above);
    gradients_1(quantizer, quantizer->count, y + whole, d + whole, elements - whole, above);
}

static void quantize_gradients(const struct lq_levels_of *quantizer, const float *y, const float *d,
                               int64_t elements, double *above)
{
    if (quantizer->count > 16) {
        gradients_many(quantizer, y, d, elements, above);
        return;
    }
    for (int64_t at = 0; at < elements; at += QUANTIZE_BLOCK)
        gradients_few(quantizer, y + at, d + at,
                      elements - at < QUANTIZE_BLOCK ? elements - at : QUANTIZE_BLOCK, above);
}

static void quantize_backward(const float *y, float top, const float *d_q, int64_t elements,
                              bool add, float *d_y)
{
    int64_t whole = elements / 8 * 8;

    quantize_back_8(y, top, d_q, whole, add, d_y);
    quantize_back_1(y + whole, top, d_q + whole, elements - whole, add, d_y + whole);
}

static const struct lq_train_kernels loops = {moments,          norm_apply,      norm_reduce,
                                              norm_backward,    quantize_values, quantize_gradients,
                                              quantize_backward};

#endif
