/* work.h - what a job computes, behind functions, so that queue, states and decisions can be tested
 * without it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_WORK_H
#define SERVER_WORK_H

#include "codec/text.h"
#include "jobs/spec.h"
#include "lq_learn.h"

struct work_task {
    const struct spec *spec;
    struct lq_model *model;        /* that is to be tuned */
    struct lq_model *teacher;      /* that it learns from, or NULL */
    struct lq_model *latent;       /* joint: the float network behind it, or NULL: from its codes */
    struct lq_model **ret_latent;  /* where to leave that as trained */
    const struct lq_dataset *data; /* all of it */
    const struct lq_dataset *guard; /* NULL: held out of `data` */
    int threads;
    size_t memory; /* bytes of maps while it calibrates */
    struct lq_progress progress;
};

struct work_verdict {
    bool accepted;
    char reason[512]; /* the decision in words, figures included */
};

/* Each is called on the runner's thread. `figures` takes members of a JSON object, with a comma
 * behind each. Errors: those of the engine; LQ_ERR_CANCELLED where progress said so. */
struct work {
    int (*tune)(const struct work_task *task, struct lq_model **ret_candidate, struct text *figures,
                struct lq_error *error);
    int (*judge)(const struct work_task *task, struct lq_model *candidate,
                 struct work_verdict *ret_verdict, struct text *figures, struct lq_error *error);
};

/* By lq.h. */
extern const struct work work_engine;

#endif
