/* session.h - runs a program.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_GRAPH_SESSION_H
#define LQ_GRAPH_SESSION_H

#include "graph/lower.h"

/* One runner per caller; one thread at a time. All memory is allocated when it is made. */
struct lq_runner;

/* The program must outlive the runner. Errors: LQ_ERR_INVALID, LQ_ERR_MEMORY. */
int lq_runner_create(const struct lq_program *program, int threads, struct lq_runner **ret_runner,
                     struct lq_error *error) LQ_MUST_CHECK;
void lq_runner_destroy(struct lq_runner *runner);
size_t lq_runner_bytes(const struct lq_runner *runner);

/* As lq_session_run. */
int lq_runner_run(struct lq_runner *runner, const float *input, enum lq_layout layout, int count,
                  float *ret_output, struct lq_error *error) LQ_MUST_CHECK;

/* As lq_session_run_pixels. */
int lq_runner_run_pixels(struct lq_runner *runner, const uint8_t *pixels, int count,
                         float *ret_output, struct lq_error *error) LQ_MUST_CHECK;

/* As lq_session_set_cancel. */
void lq_runner_set_cancel(struct lq_runner *runner, lq_cancel_check *check, void *context);

/* From now on adds up the time that each step takes, 0 at first. Errors: LQ_ERR_MEMORY. */
int lq_runner_profile(struct lq_runner *runner, struct lq_error *error) LQ_MUST_CHECK;
/* Seconds of a step, summed over images and threads. */
double lq_runner_seconds(const struct lq_runner *runner, int step);

/* Sees every step of every image after it ran: its value, and the sums of an integer convolution
 * (else NULL). Only for a runner of one thread; NULL stops it. Errors: LQ_ERR_MEMORY. */
typedef void lq_observe(void *context, const struct lq_step *step, const void *value,
                        const int32_t *integers);
int lq_runner_observe(struct lq_runner *runner, lq_observe *observe, void *context,
                      struct lq_error *error) LQ_MUST_CHECK;

#endif
