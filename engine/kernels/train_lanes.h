/* train_lanes.h - the loops of train.h over VECS * LANES channels: included for several widths.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Whole cache lines side by side are read while the pixels pass, as many as registers allow.
 * Vectors are GCC's: whatever the CPU has makes them, and an operation on a lane rounds alike.
 */
typedef float LANED(vec) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t LANED(ints) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

#define VEC           LANED(vec)
#define INTS          LANED(ints)
#define AT(pointer)   (*(VEC *)(void *)(pointer))
#define CONST_AT(p)   (*(const VEC *)(const void *)(p))
#define KEEP(mask, v) ((VEC)((mask) & (INTS)(v))) /* 0 where the mask is 0 */

static inline void LANED(add_to_doubles)(double *to, VEC values)
{
    for (int i = 0; i < LANES; i++)
        to[i] += (double)values[i];
}

static inline void LANED(moments)(const float *x, int pixels, size_t channels, double *sums,
                                  double *squares)
{
    VEC sum[VECS] = {{0}}, square[VECS] = {{0}};

    for (int pixel = 0; pixel < pixels; pixel++, x += channels)
        for (int i = 0; i < VECS; i++) {
            VEC v = CONST_AT(x + i * LANES);

            sum[i] += v;
            square[i] += v * v;
        }
    for (int i = 0; i < VECS; i++) {
        LANED(add_to_doubles)(sums + i * LANES, sum[i]);
        LANED(add_to_doubles)(squares + i * LANES, square[i]);
    }
}

static inline __attribute__((always_inline)) void
LANED(apply_as)(const struct lq_norm *norm, bool relu, bool add, const float *x, const float *other,
                int pixels, size_t c, float *y)
{
    size_t channels = (size_t)norm->channels;
    VEC scale[VECS], shift[VECS];

    for (int i = 0; i < VECS; i++) {
        scale[i] = CONST_AT(norm->scale + c + i * LANES);
        shift[i] = CONST_AT(norm->shift + c + i * LANES);
    }
    for (int pixel = 0; pixel < pixels; pixel++)
        for (int i = 0; i < VECS; i++) {
            size_t at = (size_t)pixel * channels + c + (size_t)(i * LANES);
            VEC v = scale[i] * CONST_AT(x + at) + shift[i];

            if (add)
                v += CONST_AT(other + at);
            AT(y + at) = relu ? KEEP(v > 0, v) : v;
        }
}

static inline void LANED(apply)(const struct lq_norm *norm, const float *x, const float *other,
                                int pixels, size_t c, float *y)
{
    if (norm->relu && other)
        LANED(apply_as)(norm, true, true, x, other, pixels, c, y);
    else if (norm->relu)
        LANED(apply_as)(norm, true, false, x, other, pixels, c, y);
    else
        LANED(apply_as)(norm, false, other != NULL, x, other, pixels, c, y);
}

static inline __attribute__((always_inline)) void LANED(reduce_as)(const struct lq_norm_sums *norm,
                                                                   bool relu, const float *x,
                                                                   const float *y, int pixels,
                                                                   size_t c, float *d)
{
    size_t channels = (size_t)norm->channels;
    VEC sum[VECS] = {{0}}, product[VECS] = {{0}}, centre[VECS];

    for (int i = 0; i < VECS; i++)
        centre[i] = CONST_AT(norm->centre + c + i * LANES);
    for (int pixel = 0; pixel < pixels; pixel++)
        for (int i = 0; i < VECS; i++) {
            size_t at = (size_t)pixel * channels + c + (size_t)(i * LANES);
            VEC v = CONST_AT(d + at);

            if (relu) {
                v = KEEP(CONST_AT(y + at) > 0, v);
                AT(d + at) = v;
            }
            sum[i] += v;
            product[i] += v * (CONST_AT(x + at) - centre[i]);
        }
    for (int i = 0; i < VECS; i++) {
        LANED(add_to_doubles)(norm->sums + c + i * LANES, sum[i]);
        LANED(add_to_doubles)(norm->products + c + i * LANES, product[i]);
    }
}

static inline void LANED(reduce)(const struct lq_norm_sums *norm, const float *x, const float *y,
                                 int pixels, size_t c, float *d)
{
    if (norm->relu)
        LANED(reduce_as)(norm, true, x, y, pixels, c, d);
    else
        LANED(reduce_as)(norm, false, x, y, pixels, c, d);
}

static inline __attribute__((always_inline)) void
LANED(backward_as)(const struct lq_norm_line *line, bool add, const float *d, const float *x,
                   int pixels, size_t c, float *d_x)
{
    size_t channels = (size_t)line->channels;
    VEC a[VECS], b[VECS], e[VECS];

    for (int i = 0; i < VECS; i++) {
        a[i] = CONST_AT(line->a + c + i * LANES);
        b[i] = CONST_AT(line->b + c + i * LANES);
        e[i] = CONST_AT(line->e + c + i * LANES);
    }
    for (int pixel = 0; pixel < pixels; pixel++)
        for (int i = 0; i < VECS; i++) {
            size_t at = (size_t)pixel * channels + c + (size_t)(i * LANES);
            VEC v = a[i] * CONST_AT(d + at) + b[i] * CONST_AT(x + at) + e[i];

            if (add)
                v += CONST_AT(d_x + at);
            AT(d_x + at) = v;
        }
}

static inline void LANED(backward)(const struct lq_norm_line *line, const float *d, const float *x,
                                   int pixels, size_t c, float *d_x)
{
    if (line->add)
        LANED(backward_as)(line, true, d, x, pixels, c, d_x);
    else
        LANED(backward_as)(line, false, d, x, pixels, c, d_x);
}

#if VECS == 1
/* Up to 16 levels: every threshold is compared. */
static inline __attribute__((always_inline)) void
LANED(quantize)(const struct lq_levels_of *quantizer, int count, const float *y, int64_t elements,
                const struct lq_levels_sums *ret_sums, float *q)
{
    VEC sum[16] = {{0}}, square = {0}, levels[16], thresholds[16];
    INTS number[16] = {{0}};

    for (int t = 0; t < count; t++) {
        levels[t] = (VEC){0} + quantizer->levels[t];
        thresholds[t] = (VEC){0} + quantizer->thresholds[t < count - 1 ? t : 0];
    }
    for (int64_t i = 0; i < elements; i += LANES) {
        VEC v = CONST_AT(y + i), level = levels[0];

        for (int t = 0; t < count - 1; t++) {
            INTS above = v > thresholds[t];

            level = (VEC)((above & (INTS)levels[t + 1]) | (~above & (INTS)level));
            if (!ret_sums)
                continue;
            sum[t] += KEEP(above, v);
            number[t] -= above;
        }
        AT(q + i) = level;
        if (!ret_sums)
            continue;
        sum[count - 1] += v;
        square += v * v;
    }
    if (!ret_sums)
        return;
    for (int t = 0; t < count; t++) {
        double total = ret_sums->sums[t];
        int passed = 0;

        for (int lane = 0; lane < LANES; lane++) {
            total += (double)sum[t][lane];
            passed += number[t][lane];
        }
        ret_sums->sums[t] = total;
        ret_sums->passed[t] += passed;
    }
    for (int lane = 0; lane < LANES; lane++)
        *ret_sums->squares += (double)square[lane];
    ret_sums->passed[count - 1] += (double)elements;
}

static inline __attribute__((always_inline)) void
LANED(gradients)(const struct lq_levels_of *quantizer, int count, const float *y, const float *d,
                 int64_t elements, double *above)
{
    VEC sum[16] = {{0}};

    for (int64_t i = 0; i < elements; i += LANES) {
        VEC v = CONST_AT(y + i), gradient = CONST_AT(d + i);

        for (int t = 0; t < count - 1; t++)
            sum[t] += KEEP(v > quantizer->thresholds[t], gradient);
        sum[count - 1] += gradient;
    }
    for (int lane = 0; lane < LANES; lane++)
        for (int t = 0; t < count; t++)
            above[t] += (double)sum[t][lane];
}

static inline void LANED(quantize_back)(const float *y, float top, const float *d_q,
                                        int64_t elements, bool add, float *d_y)
{
    for (int64_t i = 0; i < elements; i += LANES) {
        VEC v = CONST_AT(y + i), d = KEEP((v > 0) & (v <= top), CONST_AT(d_q + i));

        if (add)
            d += CONST_AT(d_y + i);
        AT(d_y + i) = d;
    }
}

#endif

#undef VEC
#undef INTS
#undef AT
#undef CONST_AT
#undef KEEP
