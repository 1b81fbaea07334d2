/* tape_norm.c - batch normalization, with the addition and the ReLU behind it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * y = max(gamma (x - m) r + beta + other, 0) with m the batch's mean and r = 1 / sqrt(variance +
 * epsilon). With d the gradient by the sum (0 where y is), n values of a channel:
 *   d_beta = sum d, d_gamma = r sum d (x - m),
 *   d_x = gamma r (d - d_beta / n - r^2 (x - m) sum d (x - m) / n).
 * Two operations: one takes moments and gives d_x, the other applies them and takes the sums of d.
 * Between them, both ways, the whole batch must have passed.
 */
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "train/tape_internal.h"

struct norm {
    int channels;
    int64_t pixels;  /* of one image */
    int x, other, y; /* values; other -1: none */
    bool relu, adds_other, gives_other;
    float epsilon;
    size_t gamma, beta;              /* offsets */
    float *mean, *variance;          /* running */
    double *sums, *products;         /* [LANES][channels] */
    double *mean_sums, *square_sums; /* over passes in statistics mode */
    float *scale, *shift, *centre, *a, *b, *e;
    double *inverse; /* r */
};

static const struct lq_train_kernels *kernels_of(const struct lq_tape *tape)
{
    return &tape->options.kernels->train;
}

static void open_lane(const struct norm *n, const struct span *span)
{
    size_t at = (size_t)span->lane * (size_t)n->channels;

    if (!span->opens)
        return;
    memset(n->sums + at, 0, (size_t)n->channels * sizeof(*n->sums));
    memset(n->products + at, 0, (size_t)n->channels * sizeof(*n->products));
}

static double lanes_sum(const struct norm *n, const double *sums, int channel, int count)
{
    double sum = 0;

    for (int lane = 0; lane < LANES; lane++)
        if ((int64_t)count * (lane + 1) / LANES > (int64_t)count * lane / LANES)
            sum += sums[lane * n->channels + channel];
    return sum;
}

static void moments_forward(struct lq_tape *tape, struct op *op, const struct span *span)
{
    const struct norm *n = op->state;
    size_t at = (size_t)span->lane * (size_t)n->channels;

    if (tape->mode == LQ_TAPE_EVALUATE)
        return;
    open_lane(n, span);
    kernels_of(tape)->moments(lq_tape_data(tape, n->x, span), span->count * n->pixels, n->channels,
                              n->sums + at, n->products + at);
}

static void move_running(const struct lq_tape *tape, const struct norm *n, int c, double mean,
                         double variance, double count)
{
    double keep = tape->options.statistics_momentum;
    double unbiased = count > 1 ? variance * count / (count - 1) : variance;

    n->mean[c] = (float)(keep * (double)n->mean[c] + (1 - keep) * mean);
    n->variance[c] = (float)(keep * (double)n->variance[c] + (1 - keep) * unbiased);
}

static void moments_after(struct lq_tape *tape, struct op *op)
{
    const struct norm *n = op->state;
    double count = (double)(tape->count * n->pixels);

    for (int c = 0; c < n->channels; c++) {
        double mean = (double)n->mean[c], variance = (double)n->variance[c], factor;

        if (tape->mode != LQ_TAPE_EVALUATE) {
            mean = lanes_sum(n, n->sums, c, tape->count) / count;
            variance = lanes_sum(n, n->products, c, tape->count) / count - mean * mean;
            variance = variance > 0 ? variance : 0;
        }
        if (tape->mode == LQ_TAPE_TRAIN) {
            move_running(tape, n, c, mean, variance, count);
        } else if (tape->mode == LQ_TAPE_STATISTICS) {
            n->mean_sums[c] += mean;
            n->square_sums[c] += variance + mean * mean;
        }
        n->inverse[c] = 1 / sqrt(variance + (double)n->epsilon);
        factor = (double)tape->numbers_values[n->gamma + (size_t)c] * n->inverse[c];
        n->scale[c] = (float)factor;
        n->shift[c] = (float)((double)tape->numbers_values[n->beta + (size_t)c] - mean * factor);
        n->centre[c] = (float)mean;
    }
}

static void apply_forward(struct lq_tape *tape, struct op *op, const struct span *span)
{
    const struct norm *n = op->state;
    struct lq_norm norm = {n->channels, n->scale, n->shift, n->relu};

    kernels_of(tape)->norm_apply(&norm, lq_tape_data(tape, n->x, span),
                                 n->other >= 0 ? lq_tape_data(tape, n->other, span) : NULL,
                                 span->count * n->pixels, lq_tape_data(tape, n->y, span));
}

static void apply_backward(struct lq_tape *tape, struct op *op, const struct span *span)
{
    const struct norm *n = op->state;
    size_t at = (size_t)span->lane * (size_t)n->channels;
    size_t elements = (size_t)span->count * tape->values[n->y].elements;
    struct lq_norm_sums sums = {n->channels, n->relu, n->centre, n->sums + at, n->products + at};
    float *d = lq_tape_gradient(tape, n->y, span), *d_other;

    open_lane(n, span);
    kernels_of(tape)->norm_reduce(&sums, lq_tape_data(tape, n->x, span),
                                  lq_tape_data(tape, n->y, span), span->count * n->pixels, d);
    if (n->other < 0 || !op->gives[1])
        return;
    d_other = lq_tape_gradient(tape, n->other, span);
    if (!op->adds[1]) {
        memcpy(d_other, d, elements * sizeof(*d));
        return;
    }
    for (size_t i = 0; i < elements; i++)
        d_other[i] += d[i];
}

static void apply_after(struct lq_tape *tape, struct op *op)
{
    const struct norm *n = op->state;
    double count = (double)(tape->count * n->pixels);

    for (int c = 0; c < n->channels; c++) {
        double sum = lanes_sum(n, n->sums, c, tape->count);
        double product = lanes_sum(n, n->products, c, tape->count), r = n->inverse[c];
        double factor = (double)tape->numbers_values[n->gamma + (size_t)c] * r;
        double slope = -factor * r * r * product / count;

        tape->gradients[n->gamma + (size_t)c] = (float)(product * r);
        tape->gradients[n->beta + (size_t)c] = (float)sum;
        n->a[c] = (float)factor;
        n->b[c] = (float)slope;
        n->e[c] = (float)(-factor * sum / count - slope * (double)n->centre[c]);
    }
}

static void moments_backward(struct lq_tape *tape, struct op *op, const struct span *span)
{
    const struct norm *n = op->state;
    struct lq_norm_line line = {n->channels, n->a, n->b, n->e, op->adds[0]};

    if (op->gives[0])
        kernels_of(tape)->norm_backward(&line, lq_tape_gradient(tape, n->y, span),
                                        lq_tape_data(tape, n->x, span), span->count * n->pixels,
                                        lq_tape_gradient(tape, n->x, span));
}

void lq_tape_set_statistics(struct lq_tape *tape)
{
    double passes = (double)tape->statistics_passes;

    for (int i = 0; i < tape->op_count && passes > 0; i++) {
        const struct norm *n = tape->ops[i].state;

        if (tape->ops[i].forward != moments_forward)
            continue;
        for (int c = 0; c < n->channels; c++) {
            double mean = n->mean_sums[c] / passes;
            double variance = n->square_sums[c] / passes - mean * mean;

            n->mean[c] = (float)mean;
            n->variance[c] = variance > 0 ? (float)variance : 0;
            n->mean_sums[c] = n->square_sums[c] = 0;
        }
    }
    tape->statistics_passes = 0;
}

static int init_state(struct lq_tape *tape, const struct lq_node *node, struct norm *n)
{
    size_t channels = (size_t)n->channels;
    struct lq_arena *arena = &tape->arena;
    float *floats = lq_arena_alloc(arena, 6 * channels, sizeof(*floats));
    double *doubles = lq_arena_alloc(arena, (2 * LANES + 3) * channels, sizeof(*doubles));
    void *mean = NULL, *variance = NULL;
    int status = floats && doubles ? LQ_OK : lq_fail_memory(tape->error);

    if (status == LQ_OK)
        status = lq_tape_add_param(tape, node, LQ_PARAM_GAMMA, channels, false,
                                   node->params[LQ_PARAM_GAMMA]->data, &n->gamma);
    if (status == LQ_OK)
        status = lq_tape_add_param(tape, node, LQ_PARAM_BETA, channels, false,
                                   node->params[LQ_PARAM_BETA]->data, &n->beta);
    if (status == LQ_OK)
        status = lq_tape_add_array(tape, node, "mean", false, channels, &mean);
    if (status == LQ_OK)
        status = lq_tape_add_array(tape, node, "variance", false, channels, &variance);
    if (status != LQ_OK)
        return status;
    memcpy(mean, node->params[LQ_PARAM_MEAN]->data, channels * sizeof(float));
    memcpy(variance, node->params[LQ_PARAM_VARIANCE]->data, channels * sizeof(float));
    n->mean = mean;
    n->variance = variance;
    n->scale = floats;
    n->shift = floats + channels;
    n->centre = floats + 2 * channels;
    n->a = floats + 3 * channels;
    n->b = floats + 4 * channels;
    n->e = floats + 5 * channels;
    n->sums = doubles;
    n->products = doubles + (size_t)LANES * channels;
    n->mean_sums = doubles + (size_t)2 * LANES * channels;
    n->square_sums = n->mean_sums + channels;
    n->inverse = n->square_sums + channels;
    return LQ_OK;
}

int lq_tape_add_norm(struct lq_tape *tape, const struct lq_node *norm, const struct lq_node *add,
                     const struct lq_node *relu)
{
    struct op *moments = lq_tape_add_op(tape, norm, sizeof(struct norm)), *apply;
    struct lq_map map = lq_shape_map(&tape->graph->values[norm->output].shape);
    struct norm *n;
    int status;

    if (!moments)
        return LQ_ERR_MEMORY;
    n = moments->state;
    apply = lq_tape_add_op(tape, norm, 1);
    if (!apply)
        return LQ_ERR_MEMORY;
    *n = (struct norm){.channels = map.channels,
                       .pixels = (int64_t)map.height * map.width,
                       .x = norm->inputs[0],
                       .other = add ? add->inputs[add->inputs[0] == norm->output] : -1,
                       .y = relu  ? relu->output
                            : add ? add->output
                                  : norm->output,
                       .relu = relu != NULL,
                       .epsilon = norm->attributes.epsilon};
    status = init_state(tape, norm, n);
    apply->state = n;
    moments->forward = moments_forward;
    moments->after_forward = moments_after;
    moments->backward = moments_backward;
    apply->forward = apply->again = apply_forward;
    apply->backward = apply_backward;
    apply->after_backward = apply_after;
    moments->output = -1;
    apply->output = moments->reads_gradient = apply->reads_gradient = n->y;
    apply->gives[0] = false; /* the moments give it */
    if (add) {
        apply->input_count = 2;
        apply->inputs[1] = n->other;
        apply->gives[1] = true;
    }
    return status;
}
