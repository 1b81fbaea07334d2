/* loss.c - what training minimizes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/loss.h"

#include <math.h>

/* log(sum exp(x / t)), without overflow. */
static double log_sum(const float *x, int classes, double t)
{
    double largest = (double)x[0], sum = 0;

    for (int c = 1; c < classes; c++)
        largest = (double)x[c] > largest ? (double)x[c] : largest;
    for (int c = 0; c < classes; c++)
        sum += exp(((double)x[c] - largest) / t);
    return largest / t + log(sum);
}

static double hard_row(const struct lq_loss *loss, const float *x, int label, int classes,
                       double weight, float *ret_d)
{
    double normal = log_sum(x, classes, 1), even = loss->smoothing / classes, sum = 0;

    for (int c = 0; c < classes; c++) {
        double log_p = (double)x[c] - normal, target = even;

        target += c == label ? 1 - loss->smoothing : 0;
        sum -= target * log_p;
        ret_d[c] = (float)(weight * (exp(log_p) - target));
    }
    return weight * sum;
}

/* T^2 KL(q, p) and its gradient T (p - q), added. */
static double soft_row(const struct lq_loss *loss, const float *x, const float *teacher,
                       int classes, double weight, float *d)
{
    double t = loss->temperature, sum = 0;
    double normal = log_sum(x, classes, t), teacher_normal = log_sum(teacher, classes, t);

    for (int c = 0; c < classes; c++) {
        double log_p = (double)x[c] / t - normal, log_q = (double)teacher[c] / t - teacher_normal;

        sum += exp(log_q) * (log_q - log_p);
        d[c] = (float)((double)d[c] + weight * t * (exp(log_p) - exp(log_q)));
    }
    return weight * t * t * sum;
}

double lq_loss_run(const struct lq_loss *loss, const float *logits, const float *teacher,
                   const int *labels, int count, int classes, float *ret_d_logits, int *ret_correct)
{
    double soft = teacher ? loss->distillation : 0, sum = 0;
    int correct = 0;

    for (int i = 0; i < count; i++) {
        const float *x = logits + (size_t)i * (size_t)classes;
        float *d = ret_d_logits + (size_t)i * (size_t)classes;
        int best = 0;

        sum += hard_row(loss, x, labels[i], classes, (1 - soft) / count, d);
        if (teacher)
            sum +=
                soft_row(loss, x, teacher + (size_t)i * (size_t)classes, classes, soft / count, d);
        for (int c = 1; c < classes; c++)
            best = x[c] > x[best] ? c : best;
        correct += best == labels[i];
    }
    *ret_correct = correct;
    return sum;
}
