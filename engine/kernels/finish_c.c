/* finish_c.c - what follows the sums of a layer: floats, maxima; the last layer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

#include <string.h>

static inline float clamp(float y, struct lq_clamp to)
{
    y = y < to.min ? to.min : y;
    return y > to.max ? to.max : y;
}

/* One element, number i, of channel c. */
static inline void finish(const struct lq_finish *f, int c, size_t i, const int32_t *sums,
                          const float *addend, float *ret_y, float *ret_z)
{
    int32_t sum = f->offset ? sums[i] + f->offset[c] : sums[i];
    float y = clamp(f->scale[c] * (float)sum + f->shift[c], f->first);

    if (addend)
        y = clamp(y + addend[i], f->added);
    if (ret_y)
        ret_y[i] = y;
    if (!ret_z)
        return;
    if (f->next_scale)
        y = f->next_scale[c] * y + f->next_shift[c];
    ret_z[i] = clamp(y, f->next);
}

void lq_finish_sums_c(const struct lq_finish *f, struct lq_columns columns, const int32_t *sums,
                      const float *addend, int pixels, float *ret_y, float *ret_z)
{
    for (int pixel = 0; pixel < pixels; pixel++)
        for (int c = columns.from; c < columns.to; c++)
            finish(f, c, (size_t)pixel * (size_t)f->channels + (size_t)c, sums, addend, ret_y,
                   ret_z);
}

/* One element, number i, of channel c, whose factors are LQ_VALUE_LANES apart: the thresholds that
 * x passes. */
static int count_passed(const struct lq_values *v, int c, size_t i, const int32_t *sums,
                        const float *addend, float *ret_x)
{
    const size_t lanes = LQ_VALUE_LANES;
    const float *factors = v->factors + (size_t)c / lanes * v->block + (size_t)c % lanes;
    const float *next = factors + (LQ_VALUE_FACTORS + ((size_t)1 << v->bits) - 1) * lanes;
    int32_t offset;
    uint32_t sign;
    int count = 0;

    memcpy(&offset, &factors[2 * lanes], sizeof(offset));
    memcpy(&sign, &factors[3 * lanes], sizeof(sign));
    float x = clamp(factors[0] * (float)(sums[i] + offset) + factors[lanes], v->first);

    if (addend)
        x = clamp(x + addend[i], v->added);
    if (v->scales)
        x = next[0] * x + next[lanes];
    x = clamp(x, v->next);
    if (ret_x)
        ret_x[i] = x;
    for (factors += LQ_VALUE_FACTORS * lanes; factors < next; factors += lanes)
        count += (sign ? -x : x) >= *factors;
    return count;
}

void lq_finish_codes_c(const struct lq_values *v, struct lq_columns columns, const int32_t *sums,
                       const float *addend, int pixels, float *ret_x, size_t pixel_bytes,
                       void *ret_codes)
{
    for (size_t pixel = 0; pixel < (size_t)pixels; pixel++)
        for (int c = columns.from; c < columns.to; c++) {
            size_t i = pixel * (size_t)v->channels + (size_t)c;
            int count = count_passed(v, c, i, sums, addend, ret_x);

            lq_store_entry(v->form, v->bits, v->entries[count], c,
                           (uint8_t *)ret_codes + pixel * pixel_bytes);
        }
}

static inline int32_t window_max(const struct lq_sums_pool *p, const int32_t *sums, int from,
                                 int to, int32_t sign)
{
    int32_t most = INT32_MIN;

    for (int line = 0; line < p->lines; line++)
        for (int x = from; x < to; x++) {
            int32_t sum = sign * sums[(size_t)line * p->line + (size_t)x * (size_t)p->channels];

            most = sum > most ? sum : most;
        }
    return sign * most;
}

void lq_pool_sums_c(const struct lq_sums_pool *p, const int32_t *sums, int32_t *ret_sums)
{
    for (int out = 0; out < p->out_width; out++, ret_sums += p->channels) {
        int start = out * p->stride - p->pad, end = start + p->kernel;
        int from = start < 0 ? 0 : start, to = end > p->width ? p->width : end;

        for (int c = p->columns.from; c < p->columns.to; c++)
            ret_sums[c] = window_max(p, sums + c, from, to, p->signs ? p->signs[c] : 1);
    }
}

void lq_dense_floats_c(const float *w, const float *x, int rows, int length, float *ret)
{
    for (int row = 0; row < rows; row++, w += length) {
        float lanes[LQ_DENSE_LANES] = {0};

        for (int k = 0; k < length; k++)
            lanes[k % LQ_DENSE_LANES] += w[k] * x[k];
        for (int step = LQ_DENSE_LANES / 2; step > 0; step /= 2)
            for (int i = 0; i < step; i++)
                lanes[i] += lanes[i + step];
        ret[row] = lanes[0];
    }
}
