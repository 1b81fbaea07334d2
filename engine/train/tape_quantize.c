/* tape_quantize.c - the quantizers of weights and activations, while they learn.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Paper, section 3.3: each step encodes with the basis as it stands, and one alternation on the
 * same values gives an estimate that enters a moving average, the next step's basis. What encodes
 * is the basis snapped to its grid.
 */
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "train/tape_internal.h"

/* An average as an array of doubles, for checkpoints: [bits] and the weight. */
static void move_basis(const struct lq_tape *tape, const struct lq_quantizer *quantizer,
                       const struct lq_qem_stats *stats, double *average, float *basis)
{
    struct lq_basis_average moving = {{0}, average[quantizer->bits]};
    float estimate[LQ_MAX_BITS];

    if (tape->options.quantizer == LQ_QUANTIZER_EVEN)
        lq_even_solve(quantizer, stats, estimate);
    else
        lq_qem_solve(quantizer, stats, estimate);
    memcpy(moving.biased, average, (size_t)quantizer->bits * sizeof(*average));
    lq_basis_average_update(&moving, quantizer->bits, estimate, tape->options.basis_momentum,
                            basis);
    memcpy(average, moving.biased, (size_t)quantizer->bits * sizeof(*average));
    average[quantizer->bits] = moving.weight;
}

struct rows_pass {
    struct lq_tape *tape;
    struct weight_quantizer *quantizer;
    bool move;
};

void lq_tape_levels_of_codes(const struct lq_quantizer *quantizer, uint8_t *ret_levels)
{
    for (int level = 0; level < 1 << quantizer->bits; level++)
        ret_levels[quantizer->codes[level]] = (uint8_t)level;
}

/* An output channel whose codes stay. */
static void decode_row(struct weight_quantizer *q, const struct lq_quantizer *quantizer, size_t at)
{
    uint8_t levels[LQ_MAX_LEVELS];

    lq_tape_levels_of_codes(quantizer, levels);
    for (size_t k = at; k < at + (size_t)q->length; k++)
        q->weights[k] = quantizer->levels[levels[q->codes[k]]];
}

/* An output channel. Values that are not finite take the outermost levels and leave the basis
 * alone. */
static void quantize_row(void *context, int row, int worker)
{
    const struct rows_pass *pass = context;
    struct weight_quantizer *q = pass->quantizer;
    size_t bits = (size_t)q->bits, at = (size_t)row * (size_t)q->length;
    const float *latent = pass->tape->numbers_values + q->offset + at;
    float *basis = q->basis + (size_t)row * bits;
    struct lq_quantizer quantizer;
    struct lq_qem_stats stats = {{0}, {0}, 0};

    (void)worker;
    lq_snap_basis(LQ_CODE_SIGNED, q->bits, basis, q->grid, NULL, &q->snapped[row]);
    lq_quantizer_init_snapped(&quantizer, &q->snapped[row]);
    if (q->codes) {
        decode_row(q, &quantizer, at);
        return;
    }
    for (int k = 0; k < q->length; k++) {
        int level = lq_quantizer_level(&quantizer, latent[k]);

        q->weights[at + (size_t)k] = quantizer.levels[level];
        stats.counts[level] += 1;
        stats.sums[level] += (double)latent[k];
        stats.sum_squares += (double)latent[k] * (double)latent[k];
    }
    if (pass->move && !pass->tape->options.basis_gradients && isfinite(stats.sum_squares))
        move_basis(pass->tape, &quantizer, &stats, q->average + (size_t)row * (bits + 1), basis);
}

/* DoReFa-Net: one scale for the layer. */
static void scale_to_layer(const struct lq_tape *tape, struct weight_quantizer *q)
{
    const float *latent = tape->numbers_values + q->offset;
    size_t count = (size_t)q->rows * (size_t)q->length;
    double sum = 0, largest = 0, scale;

    for (size_t k = 0; k < count; k++) {
        double size = fabs((double)latent[k]);

        sum += size;
        largest = size > largest ? size : largest;
    }
    scale = q->bits == 1 ? sum / (double)count : largest / ((1 << q->bits) - 1);
    for (int i = 0; i < q->rows * q->bits; i++)
        q->basis[i] = (float)ldexp(scale, i % q->bits);
}

void lq_tape_quantize_weights(struct lq_tape *tape, bool move)
{
    for (int i = 0; i < tape->weight_quantizer_count; i++) {
        struct rows_pass pass = {tape, tape->weight_quantizers[i], move};

        if (tape->options.quantizer == LQ_QUANTIZER_UNIFORM)
            scale_to_layer(tape, pass.quantizer);
        lq_pool_run(tape->pool, pass.quantizer->rows, quantize_row, &pass);
    }
}

int lq_tape_add_weight_quantizer(struct lq_tape *tape, const struct lq_node *node, size_t offset,
                                 struct weight_quantizer **ret_quantizer)
{
    struct weight_quantizer *q = lq_arena_alloc(&tape->arena, 1, sizeof(*q));
    int rows = node->attributes.out_channels, bits = node->attributes.bits, status;
    const int16_t *integers = node->params[LQ_PARAM_BASIS]->data;
    const float *scale = node->params[LQ_PARAM_SCALE]->data;
    void *basis = NULL, *average = NULL, *velocity = NULL;

    if (!q)
        return lq_fail_memory(tape->error);
    *q = (struct weight_quantizer){
        .node = node, .offset = offset, .rows = rows, .bits = bits, .grid = node->attributes.grid};
    q->length = (int)(tape->params[tape->param_count - 1].count / (size_t)rows);
    q->weights = lq_arena_alloc(&tape->arena, (size_t)rows * (size_t)q->length, sizeof(float));
    q->snapped = lq_arena_alloc(&tape->arena, (size_t)rows, sizeof(*q->snapped));
    if (!q->weights || !q->snapped)
        return lq_fail_memory(tape->error);
    status = lq_tape_add_array(tape, node, "basis", false, (size_t)rows * (size_t)bits, &basis);
    if (status == LQ_OK)
        status = lq_tape_add_array(tape, node, "average", true, (size_t)rows * ((size_t)bits + 1),
                                   &average);
    if (status != LQ_OK)
        return status;
    if (tape->options.basis_gradients && tape->options.quantizer != LQ_QUANTIZER_UNIFORM) {
        status = lq_tape_add_array(tape, node, "velocity", false, (size_t)rows * (size_t)bits,
                                   &velocity);
        if (status != LQ_OK)
            return status;
    }
    q->velocity = velocity;
    q->basis = basis;
    q->average = average;
    for (int i = 0; i < rows * bits; i++)
        q->basis[i] = (float)integers[i] * scale[i / bits];
    tape->weight_quantizers[tape->weight_quantizer_count++] = q;
    *ret_quantizer = q;
    return LQ_OK;
}

static void quantize(struct lq_tape *tape, struct op *op, const struct span *span,
                     const struct lq_levels_sums *sums)
{
    const struct activation_quantizer *q = op->state;
    struct lq_levels_of of = {1 << q->bits, q->quantizer.levels, q->quantizer.thresholds};

    tape->options.kernels->train.quantize_values(&of, lq_tape_data(tape, op->inputs[0], span),
                                                 (int64_t)span->count *
                                                     (int64_t)tape->values[op->output].elements,
                                                 sums, lq_tape_data(tape, op->output, span));
}

static void quantize_forward(struct lq_tape *tape, struct op *op, const struct span *span)
{
    struct activation_quantizer *q = op->state;
    size_t levels = (size_t)1 << q->bits, at = (size_t)span->lane * levels;
    struct lq_levels_sums sums = {q->counts + at, q->sums + at, &q->squares[span->lane]};

    if (span->opens) {
        memset(q->counts + at, 0, levels * sizeof(*q->counts));
        memset(q->sums + at, 0, levels * sizeof(*q->sums));
        q->squares[span->lane] = 0;
    }
    quantize(tape, op, span, &sums);
}

static void quantize_again(struct lq_tape *tape, struct op *op, const struct span *span)
{
    quantize(tape, op, span, NULL);
}

static void quantize_back(struct lq_tape *tape, struct op *op, const struct span *span)
{
    const struct activation_quantizer *q = op->state;
    float top = q->quantizer.levels[(1 << q->bits) - 1];

    if (q->gradients)
        lq_tape_add_level_gradients(tape, q, lq_tape_data(tape, op->inputs[0], span),
                                    lq_tape_gradient(tape, op->output, span),
                                    (size_t)span->count * tape->values[op->output].elements, span);
    if (op->gives[0])
        tape->options.kernels->train.quantize_backward(
            lq_tape_data(tape, op->inputs[0], span), top, lq_tape_gradient(tape, op->output, span),
            (int64_t)span->count * (int64_t)tape->values[op->output].elements, op->adds[0],
            lq_tape_gradient(tape, op->inputs[0], span));
}

/* Statistics of the whole batch, from the lanes' counts of values above each threshold. */
static void gather(const struct lq_tape *tape, const struct activation_quantizer *q,
                   struct lq_qem_stats *ret_stats)
{
    int levels = 1 << q->bits;
    double counts[LQ_MAX_LEVELS] = {0}, sums[LQ_MAX_LEVELS] = {0};

    *ret_stats = (struct lq_qem_stats){.sum_squares = 0};
    for (int lane = 0; lane < LANES; lane++) {
        if ((int64_t)tape->count * (lane + 1) / LANES == (int64_t)tape->count * lane / LANES)
            continue;
        for (int i = 0; i < levels; i++) {
            counts[i] += q->counts[lane * levels + i];
            sums[i] += q->sums[lane * levels + i];
        }
        ret_stats->sum_squares += q->squares[lane];
    }
    for (int level = 0; level < levels; level++) {
        double above = level + 1 < levels ? counts[level] : 0;
        double above_sum = level + 1 < levels ? sums[level] : 0;
        int below = level > 0 ? level - 1 : levels - 1; /* the last entry counts all */

        ret_stats->counts[level] = counts[below] - above;
        ret_stats->sums[level] = sums[below] - above_sum;
    }
}

void lq_tape_move_activations(struct lq_tape *tape)
{
    for (int i = 0; i < tape->activation_quantizer_count; i++) {
        struct activation_quantizer *q = tape->activation_quantizers[i];
        struct lq_qem_stats stats;

        gather(tape, q, &stats);
        q->error = lq_qem_relative_error(&q->quantizer, &stats);
        if (tape->mode == LQ_TAPE_TRAIN && !tape->options.basis_gradients &&
            isfinite(stats.sum_squares))
            move_basis(tape, &q->quantizer, &stats, q->average, q->basis);
    }
}

void lq_tape_snap_activations(struct lq_tape *tape)
{
    for (int i = 0; i < tape->activation_quantizer_count; i++) {
        struct activation_quantizer *q = tape->activation_quantizers[i];

        lq_snap_basis(LQ_CODE_UNSIGNED, q->bits, q->basis, q->grid, NULL, &q->snapped);
        lq_quantizer_init_snapped(&q->quantizer, &q->snapped);
    }
}

int lq_tape_add_quantize(struct lq_tape *tape, const struct lq_node *node)
{
    struct op *op = lq_tape_add_op(tape, node, sizeof(struct activation_quantizer));
    size_t levels = (size_t)1 << node->attributes.bits;
    struct activation_quantizer *q;
    struct lq_snapped_basis given;
    void *basis = NULL, *average = NULL, *velocity = NULL;
    int status;

    if (!op)
        return LQ_ERR_MEMORY;
    q = op->state;
    *q = (struct activation_quantizer){
        .node = node, .bits = node->attributes.bits, .grid = node->attributes.grid};
    q->counts = lq_arena_alloc(&tape->arena, LANES * levels, sizeof(double));
    q->sums = lq_arena_alloc(&tape->arena, LANES * levels, sizeof(double));
    q->squares = lq_arena_alloc(&tape->arena, LANES, sizeof(double));
    if (!q->counts || !q->sums || !q->squares)
        return lq_fail_memory(tape->error);
    status = lq_tape_add_array(tape, node, "basis", false, (size_t)q->bits, &basis);
    if (status == LQ_OK)
        status = lq_tape_add_array(tape, node, "average", true, (size_t)q->bits + 1, &average);
    if (status != LQ_OK)
        return status;
    if (tape->options.basis_gradients) {
        q->gradients = lq_arena_alloc(&tape->arena, LANES * levels, sizeof(double));
        status = q->gradients
                     ? lq_tape_add_array(tape, node, "velocity", false, (size_t)q->bits, &velocity)
                     : lq_fail_memory(tape->error);
        if (status != LQ_OK)
            return status;
    }
    q->velocity = velocity;
    q->basis = basis;
    q->average = average;
    lq_node_basis(node, &given);
    for (int i = 0; i < q->bits; i++)
        q->basis[i] = (float)given.integers[i] * given.scale;
    op->forward = quantize_forward;
    op->again = quantize_again;
    op->backward = quantize_back;
    tape->activation_quantizers[tape->activation_quantizer_count++] = q;
    return LQ_OK;
}
