/* lq_model.h - what is behind struct lq_model: for the files of the door only.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_MODEL_H
#define LQ_MODEL_H

#include <pthread.h>
#include <stdatomic.h>

#include "graph/lower.h"

struct lq_model {
    atomic_int references;
    const struct lq_engine *engine;
    struct lq_graph *graph;
    pthread_mutex_t lock; /* of programs, which are made when a form is first asked for */
    struct lq_program *programs[LQ_FORM_COUNT];
};

/* A model of a graph, which it takes over, also on failure. Errors: LQ_ERR_MEMORY. */
int lq_model_create(const struct lq_engine *engine, struct lq_graph *graph,
                    struct lq_model **ret_model, struct lq_error *error) LQ_MUST_CHECK;
/* The program for a form, made on first use; the model's. Errors: LQ_ERR_INVALID, those of
 * lq_program_create. */
int lq_model_program(struct lq_model *model, enum lq_form form,
                     const struct lq_program **ret_program, struct lq_error *error) LQ_MUST_CHECK;
const struct lq_kernels *lq_engine_kernels(const struct lq_engine *engine);

#endif
