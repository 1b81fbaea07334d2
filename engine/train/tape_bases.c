/* tape_bases.c - bases that learn by their gradient.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "train/tape_internal.h"

void lq_tape_add_level_gradients(const struct lq_tape *tape, const struct activation_quantizer *q,
                                 const float *y, const float *d, size_t count,
                                 const struct span *span)
{
    int levels = 1 << q->bits, last = levels - 1;
    double *sums = q->gradients + ((size_t)span->part << q->bits), above[LQ_MAX_LEVELS] = {0};
    float below_top = nextafterf(q->quantizer.levels[last], -INFINITY);
    struct lq_levels_of of = {levels, q->quantizer.levels, q->quantizer.thresholds};

    if (span->opens)
        memset(sums, 0, (size_t)levels * sizeof(*sums));
    if (tape->options.quantizer == LQ_QUANTIZER_UNIFORM) { /* PACT: of what the top clips alone */
        of = (struct lq_levels_of){2, q->quantizer.levels, &below_top};
        tape->options.kernels->train.quantize_gradients(&of, y, d, (int64_t)count, above);
        sums[last] += above[0];
        return;
    }
    tape->options.kernels->train.quantize_gradients(&of, y, d, (int64_t)count, above);
    sums[0] += above[last] - above[0];
    for (int level = 1; level < levels; level++)
        sums[level] += above[level - 1] - (level < last ? above[level] : 0);
}

/* Bit i of a level's code, as what multiplies basis value i. */
static double bit_of(const struct lq_quantizer *quantizer, int level, int i)
{
    int bit = quantizer->codes[level] >> i & 1;

    return quantizer->kind == LQ_CODE_SIGNED ? 2 * bit - 1 : bit;
}

/* How far bases go. decay: of tops alone. even: levels stay evenly spaced, v_i = 2^i s, and the
 * gradient is that of s. */
struct pace {
    double rate, momentum, decay;
    bool even;
};

/* sums: the gradient by each level. */
static void step_basis(const struct lq_quantizer *quantizer, const double *sums, double values,
                       const struct pace *pace, float *velocity, float *basis)
{
    double scale = 1 / sqrt(values * ((1 << quantizer->bits) - 1)), of_scale = 0;
    double gradients[LQ_MAX_BITS] = {0};

    for (int i = 0; i < quantizer->bits; i++) {
        for (int level = 0; level < 1 << quantizer->bits; level++)
            gradients[i] += sums[level] * bit_of(quantizer, level, i);
        of_scale += (1 << i) * gradients[i];
    }
    for (int i = 0; i < quantizer->bits; i++) {
        double gradient = pace->even ? (1 << i) * of_scale : gradients[i];

        velocity[i] = (float)(pace->momentum * (double)velocity[i] + scale * gradient);
        basis[i] = (float)((double)basis[i] - pace->rate * (double)velocity[i]);
    }
}

static void step_weights(const struct lq_tape *tape, const struct weight_quantizer *q,
                         const struct pace *pace)
{
    for (size_t row = 0; row < (size_t)q->rows; row++) {
        double sums[LQ_MAX_LEVELS] = {0};
        size_t at = q->offset + row * (size_t)q->length, bits = (size_t)q->bits;
        const uint8_t *codes = q->codes ? q->codes + row * (size_t)q->length : NULL;
        uint8_t levels[LQ_MAX_LEVELS];
        struct lq_quantizer quantizer;

        lq_quantizer_init_snapped(&quantizer, &q->snapped[row]);
        lq_tape_levels_of_codes(&quantizer, levels);
        for (size_t k = 0; k < (size_t)q->length; k++) {
            int level = codes ? levels[codes[k]]
                              : lq_quantizer_level(&quantizer, tape->numbers_values[at + k]);

            sums[level] += (double)tape->gradients[at + k];
        }
        step_basis(&quantizer, sums, q->length, pace, q->velocity + row * bits,
                   q->basis + row * bits);
    }
}

/* gradient: by the top level. */
static void step_top(const struct pace *pace, double gradient, struct activation_quantizer *q)
{
    int steps = (1 << q->bits) - 1;
    double top = 0;

    for (int i = 0; i < q->bits; i++)
        top += (double)q->basis[i];
    *q->velocity = (float)(pace->momentum * (double)*q->velocity + gradient + pace->decay * top);
    top -= pace->rate * (double)*q->velocity;
    for (int i = 0; i < q->bits; i++)
        q->basis[i] = (float)ldexp(top / steps, i);
}

void lq_tape_step_bases(struct lq_tape *tape, double rate, double momentum, double decay)
{
    enum lq_quantizer_kind kind = tape->options.quantizer;
    const struct pace pace = {rate, momentum, decay, kind == LQ_QUANTIZER_EVEN};

    for (int i = 0; i < tape->weight_quantizer_count && kind != LQ_QUANTIZER_UNIFORM; i++)
        step_weights(tape, tape->weight_quantizers[i], &pace);
    for (int i = 0; i < tape->activation_quantizer_count; i++) {
        struct activation_quantizer *q = tape->activation_quantizers[i];
        double sums[LQ_MAX_LEVELS] = {0};

        for (int part = 0; part < lq_tape_parts(tape); part++)
            for (int level = 0; level < 1 << q->bits; level++)
                sums[level] += q->gradients[(part << q->bits) + level];
        if (kind == LQ_QUANTIZER_UNIFORM)
            step_top(&pace, sums[(1 << q->bits) - 1], q);
        else
            step_basis(&q->quantizer, sums,
                       (double)tape->count * (double)tape->values[q->node->output].elements, &pace,
                       q->velocity, q->basis);
    }
}
