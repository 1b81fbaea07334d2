/* loss.h - what training minimizes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_LOSS_H
#define LQ_TRAIN_LOSS_H

#include "lq.h"

/* Cross-entropy between softmax(logits) and the classes, smoothed: 1 - smoothing goes to the class,
 * smoothing to all equally (Szegedy et al. 2016). With a teacher, (1 - distillation) of it, and
 * distillation T^2 KL(softmax(teacher / T), softmax(logits / T)) (Hinton et al. 2015). */
struct lq_loss {
    double smoothing, distillation, temperature;
};

/* Mean over the batch, and its gradient. logits, teacher, ret_d_logits: [count][classes]; teacher
 * may be NULL. labels: 0..classes - 1. *ret_correct: rows whose largest logit is the class. */
double lq_loss_run(const struct lq_loss *loss, const float *logits, const float *teacher,
                   const int *labels, int count, int classes, float *ret_d_logits,
                   int *ret_correct);

#endif
