/* quantizer.c - basis -> levels -> thresholds; encode.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "quant/quantizer.h"

/* A level is the sum over the basis of e_i v_i, summed in the order of i. */
static double code_value(enum lq_code_kind kind, int bits, const float *basis, unsigned code)
{
    double sum = 0;

    for (int i = 0; i < bits; i++) {
        if (code >> i & 1)
            sum += basis[i];
        else if (kind == LQ_CODE_SIGNED)
            sum -= basis[i];
    }
    return sum;
}

/* Levels arrive in the order of their codes and leave in ascending order, their codes beside them.
 * Insertion keeps equal levels in the order of their codes; at most 256 of them. */
static void sort_levels(struct lq_quantizer *quantizer, int count)
{
    for (int at = 1; at < count; at++) {
        float level = quantizer->levels[at];
        uint8_t code = quantizer->codes[at];
        int to = at;

        for (; to > 0 && quantizer->levels[to - 1] > level; to--) {
            quantizer->levels[to] = quantizer->levels[to - 1];
            quantizer->codes[to] = quantizer->codes[to - 1];
        }
        quantizer->levels[to] = level;
        quantizer->codes[to] = code;
    }
}

static void derive(struct lq_quantizer *quantizer)
{
    int count = 1 << quantizer->bits;

    sort_levels(quantizer, count);
    for (int at = 0; at + 1 < count; at++)
        quantizer->thresholds[at] =
            (float)(0.5 * ((double)quantizer->levels[at] + (double)quantizer->levels[at + 1]));
}

void lq_quantizer_init(struct lq_quantizer *quantizer, enum lq_code_kind kind, int bits,
                       const float *basis)
{
    *quantizer = (struct lq_quantizer){.kind = kind, .bits = bits};
    for (int i = 0; i < bits; i++)
        quantizer->basis[i] = basis[i];
    for (int code = 0; code < 1 << bits; code++) {
        quantizer->levels[code] = (float)code_value(kind, bits, basis, (unsigned)code);
        quantizer->codes[code] = (uint8_t)code;
    }
    derive(quantizer);
}

int lq_code_level_raw(enum lq_code_kind kind, int bits, const int16_t *integers, unsigned code)
{
    int sum = 0;

    for (int i = 0; i < bits; i++) {
        if (code >> i & 1)
            sum += integers[i];
        else if (kind == LQ_CODE_SIGNED)
            sum -= integers[i];
    }
    return sum;
}

int lq_code_level(const struct lq_snapped_basis *snapped, unsigned code)
{
    return lq_code_level_raw(snapped->kind, snapped->bits, snapped->integers, code);
}

void lq_quantizer_init_snapped(struct lq_quantizer *quantizer,
                               const struct lq_snapped_basis *snapped)
{
    *quantizer = (struct lq_quantizer){.kind = snapped->kind, .bits = snapped->bits};
    for (int i = 0; i < snapped->bits; i++)
        quantizer->basis[i] = (float)snapped->integers[i] * snapped->scale;
    for (int code = 0; code < 1 << snapped->bits; code++) {
        quantizer->levels[code] = (float)lq_code_level(snapped, (unsigned)code) * snapped->scale;
        quantizer->codes[code] = (uint8_t)code;
    }
    derive(quantizer);
}

int lq_quantizer_level(const struct lq_quantizer *quantizer, float x)
{
    int low = 0, high = (1 << quantizer->bits) - 1; /* the level is in low..high */

    while (low < high) {
        int middle = (low + high) / 2;

        if (x > quantizer->thresholds[middle])
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int lq_grid_or_default(enum lq_code_kind kind, int bits, int grid)
{
    int least = (1 << bits) - 1;

    if (grid == 0)
        grid = kind == LQ_CODE_SIGNED ? 31 : 63;
    return grid < least ? least : grid;
}
