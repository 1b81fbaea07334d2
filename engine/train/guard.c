/* guard.c - whether a new network may take the old one's place.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * With labels: McNemar's exact test, after as many images as may be lost (the bound's share of
 * them) have been added to those that the new network alone gets right. A new network that is not
 * better at all passes only on so many images that a loss beyond the bound would have shown.
 *
 * Without: the change of mean confidence stands for that of accuracy (Guillory et al. 2021,
 * "Predicting with confidence on unseen distributions"), which a network that answers nearly always
 * the same would deceive, so the variety of its answers must not shrink. Networks whose answers
 * hardly differ need no evidence: the loss is at most the share of images where they do.
 */
#include <stdio.h>

#include "train/compare.h"

#define BOUND        0.2 /* points */
#define SIGNIFICANCE 0.05
#define LEAST        100
#define LEAST_GAIN   1.0   /* points of confidence */
#define VARIETY      0.75  /* of the classes that the old one answers */
#define NORMAL       1.645 /* one-sided 5 % */

static void decide_labelled(const struct lq_guard *g, const struct lq_comparison *c,
                            struct lq_verdict *v)
{
    int64_t granted = (int64_t)(g->bound / 100 * (double)c->labelled);
    int64_t won = c->only_new + granted;
    double p = lq_coin_tail(c->only_old + won, won);

    v->publish = p <= g->significance || (c->only_old == 0 && c->only_new == 0);
    snprintf(v->reason, sizeof(v->reason),
             "top-1 %.2f -> %.2f %% on %lld images (%lld won, %lld lost): a loss of more than %g "
             "points is %s (p %.2g, expected at most %g)",
             c->top1_old, c->top1_new, (long long)c->labelled, (long long)c->only_new,
             (long long)c->only_old, g->bound, v->publish ? "ruled out" : "not ruled out", p,
             g->significance);
}

static void decide_unlabelled(const struct lq_guard *g, const struct lq_comparison *c,
                              struct lq_verdict *v)
{
    double differ = 100 - 100.0 * (double)c->agreed / (double)c->count;
    double gain = c->confidence_new - c->confidence_old, sure = gain - NORMAL * c->confidence_error;
    bool varied = c->classes_new >= VARIETY * c->classes_old;

    v->publish = differ <= g->bound || (sure >= LEAST_GAIN && varied);
    snprintf(v->reason, sizeof(v->reason),
             "without labels on %lld images: %.1f %% answered differently, confidence %.1f -> %.1f "
             "%% (gain at least %.1f points, expected %g), %.1f -> %.1f classes answered",
             (long long)c->count, differ, c->confidence_old, c->confidence_new, sure, LEAST_GAIN,
             c->classes_old, c->classes_new);
}

void lq_guard_decide(const struct lq_guard *guard, const struct lq_comparison *comparison,
                     struct lq_verdict *ret_verdict)
{
    struct lq_guard g = *guard;
    int64_t count = comparison->labelled > 0 ? comparison->labelled : comparison->count;

    g.bound = g.bound == 0 ? BOUND : g.bound < 0 ? 0 : g.bound;
    g.significance = g.significance == 0 ? SIGNIFICANCE : g.significance;
    g.least = g.least == 0 ? LEAST : g.least;
    if (count < g.least) {
        ret_verdict->publish = false;
        snprintf(ret_verdict->reason, sizeof(ret_verdict->reason),
                 "%lld images to compare on, expected at least %lld", (long long)count,
                 (long long)g.least);
    } else if (comparison->labelled > 0) {
        decide_labelled(&g, comparison, ret_verdict);
    } else {
        decide_unlabelled(&g, comparison, ret_verdict);
    }
}
