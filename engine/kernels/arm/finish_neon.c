/* finish_neon.c - what follows the sums of a layer, 4 channels a vector; the last layer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

#include <arm_neon.h>

enum { LANES = 4 };

/* As the definition compares: of equal zeros the value's own stays. */
static inline float32x4_t clamp(float32x4_t y, struct lq_clamp to)
{
    float32x4_t min = vdupq_n_f32(to.min), max = vdupq_n_f32(to.max);

    y = vbslq_f32(vcltq_f32(y, min), min, y);
    return vbslq_f32(vcgtq_f32(y, max), max, y);
}

static inline float32x4_t affine(float32x4_t x, const float *scale, const float *shift)
{
    return vaddq_f32(vmulq_f32(vld1q_f32(scale), x), vld1q_f32(shift));
}

/* Four channels from c on; the maps start with theirs. */
static inline void finish_lanes(const struct lq_finish *f, int c, const int32_t *sums,
                                const float *addend, float *ret_y, float *ret_z)
{
    int32x4_t sum = vld1q_s32(sums);
    float32x4_t y;

    if (f->offset)
        sum = vaddq_s32(sum, vld1q_s32(f->offset + c));
    y = clamp(affine(vcvtq_f32_s32(sum), f->scale + c, f->shift + c), f->first);
    if (addend)
        y = clamp(vaddq_f32(y, vld1q_f32(addend)), f->added);
    if (ret_y)
        vst1q_f32(ret_y, y);
    if (!ret_z)
        return;
    if (f->next_scale)
        y = affine(y, f->next_scale + c, f->next_shift + c);
    vst1q_f32(ret_z, clamp(y, f->next));
}

void lq_finish_sums_neon(const struct lq_finish *f, struct lq_columns columns, const int32_t *sums,
                         const float *addend, int pixels, float *ret_y, float *ret_z)
{
    int full = columns.to / LANES * LANES;

    for (int pixel = 0; pixel < pixels; pixel++)
        for (int c = columns.from; c < full; c += LANES) {
            size_t at = (size_t)pixel * (size_t)f->channels + (size_t)c;

            finish_lanes(f, c, sums + at, addend ? addend + at : NULL, ret_y ? ret_y + at : NULL,
                         ret_z ? ret_z + at : NULL);
        }
    if (full < columns.to)
        lq_finish_sums_c(f, (struct lq_columns){full, columns.to}, sums, addend, pixels, ret_y,
                         ret_z);
}

/* Four channels of one window: `taps` of each of its lines. */
static inline int32x4_t window_max(const struct lq_sums_pool *p, const int32_t *sums, int taps,
                                   int32x4_t signs)
{
    int32x4_t most = vdupq_n_s32(INT32_MIN);

    for (int line = 0; line < p->lines; line++)
        for (int x = 0; x < taps; x++) {
            const int32_t *tap = sums + (size_t)line * p->line + (size_t)x * (size_t)p->channels;

            most = vmaxq_s32(most, vmulq_s32(vld1q_s32(tap), signs));
        }
    return vmulq_s32(most, signs);
}

/* The same of one channel. */
static inline int32_t channel_max(const struct lq_sums_pool *p, const int32_t *sums, int taps,
                                  int32_t sign)
{
    int32_t most = INT32_MIN;

    for (int line = 0; line < p->lines; line++)
        for (int x = 0; x < taps; x++) {
            int32_t sum = sign * sums[(size_t)line * p->line + (size_t)x * (size_t)p->channels];

            most = sum > most ? sum : most;
        }
    return sign * most;
}

void lq_pool_sums_neon(const struct lq_sums_pool *p, const int32_t *sums, int32_t *ret_sums)
{
    int first_column = p->columns.from, columns = p->columns.to - first_column;
    int full = first_column + columns / LANES * LANES;

    for (int out = 0; out < p->out_width; out++, ret_sums += p->channels) {
        int start = out * p->stride - p->pad, end = start + p->kernel;
        int from = start < 0 ? 0 : start, to = end > p->width ? p->width : end;
        const int32_t *first = sums + (size_t)from * (size_t)p->channels;

        for (int c = first_column; c < full; c += LANES) {
            int32x4_t signs = p->signs ? vld1q_s32(p->signs + c) : vdupq_n_s32(1);

            vst1q_s32(ret_sums + c, window_max(p, first + c, to - from, signs));
        }
        for (int c = full; c < p->columns.to; c++)
            ret_sums[c] = channel_max(p, first + c, to - from, p->signs ? p->signs[c] : 1);
    }
}

/* The one order of kernels.h: four vectors are its sixteen lanes. */
void lq_dense_floats_neon(const float *w, const float *x, int rows, int length, float *ret)
{
    enum { VECTORS = LQ_DENSE_LANES / LANES };
    int full = length / LQ_DENSE_LANES * LQ_DENSE_LANES;

    for (int row = 0; row < rows; row++, w += length) {
        float32x4_t sums[VECTORS];
        float lanes[LQ_DENSE_LANES];

        for (int v = 0; v < VECTORS; v++)
            sums[v] = vdupq_n_f32(0);
        for (int k = 0; k < full; k += LQ_DENSE_LANES)
            for (int v = 0; v < VECTORS; v++)
                sums[v] = vaddq_f32(
                    sums[v], vmulq_f32(vld1q_f32(w + k + v * LANES), vld1q_f32(x + k + v * LANES)));
        for (int v = 0; v < VECTORS; v++)
            vst1q_f32(lanes + v * LANES, sums[v]);
        for (int k = full; k < length; k++)
            lanes[k - full] += w[k] * x[k];
        for (int step = LQ_DENSE_LANES / 2; step > 0; step /= 2)
            for (int i = 0; i < step; i++)
                lanes[i] += lanes[i + step];
        ret[row] = lanes[0];
    }
}
