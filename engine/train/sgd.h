/* sgd.h - the optimizer and its learning rate.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_SGD_H
#define LQ_TRAIN_SGD_H

#include "train/tape.h"

/* As in Sutskever et al. 2013, in the form of today's frameworks: g = gradient + decay w (weights
 * of convolutions and dense layers only); v = momentum v + g; w -= rate (g + momentum v) with
 * Nesterov's look-ahead, else w -= rate v. */
struct lq_sgd {
    double rate, momentum, decay;
    bool nesterov;
};
/* velocity: [lq_tape_numbers], 0 at first. */
void lq_sgd_step(const struct lq_sgd *sgd, struct lq_tape *tape, float *velocity);

/* Moving average of the parameters with the decay's warm-up (1 + updates) / (10 + updates), so that
 * the start is forgotten. average: [lq_tape_numbers]. */
void lq_average_step(double decay, int64_t updates, struct lq_tape *tape, float *average);

/* The rate at a step, 0 <= step < steps: it rises linearly during the warm-up, then follows its
 * curve from `rate`: linearly to 0, along half a cosine to 0, or times a tenth at each milestone.
 */
struct lq_schedule {
    enum lq_rate_curve curve;
    double rate;
    int64_t steps, warmup;
    const int64_t *milestones; /* steps */
    int milestone_count;
};
double lq_schedule_rate(const struct lq_schedule *schedule, int64_t step);

#endif
