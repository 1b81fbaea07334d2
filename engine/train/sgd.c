/* sgd.c - the optimizer and its learning rate.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/sgd.h"

#include <math.h>

void lq_sgd_step(const struct lq_sgd *sgd, struct lq_tape *tape, float *velocity)
{
    float *values = lq_tape_values(tape), *gradients = lq_tape_gradients(tape);
    float rate = (float)sgd->rate, momentum = (float)sgd->momentum;

    for (int i = 0; i < lq_tape_param_count(tape); i++) {
        const struct lq_tape_param *p = lq_tape_param(tape, i);
        float decay = p->decays ? (float)sgd->decay : 0;

        for (size_t at = p->offset; p->learns && at < p->offset + p->count; at++) {
            float g = gradients[at] + decay * values[at], v = momentum * velocity[at] + g;

            velocity[at] = v;
            values[at] -= rate * (sgd->nesterov ? g + momentum * v : v);
        }
    }
}

void lq_average_step(double decay, int64_t updates, struct lq_tape *tape, float *average)
{
    double warm = (1 + (double)updates) / (10 + (double)updates);
    float keep = (float)(warm < decay ? warm : decay);
    const float *values = lq_tape_values(tape);
    size_t count = lq_tape_numbers(tape);

    for (size_t i = 0; i < count; i++)
        average[i] += (1 - keep) * (values[i] - average[i]);
}

double lq_schedule_rate(const struct lq_schedule *s, int64_t step)
{
    double rate = s->rate, done;

    if (step < s->warmup)
        return rate * (double)(step + 1) / (double)s->warmup;
    done = (double)(step - s->warmup) / (double)(s->steps > s->warmup ? s->steps - s->warmup : 1);
    if (s->curve == LQ_RATE_LINEAR)
        return rate * (1 - done);
    if (s->curve == LQ_RATE_COSINE)
        return rate * 0.5 * (1 + cos(M_PI * done));
    for (int i = 0; i < s->milestone_count; i++)
        rate *= step >= s->milestones[i] ? 0.1 : 1;
    return rate;
}
