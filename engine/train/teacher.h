/* teacher.h - a network whose answers another one learns (Hinton et al. 2015).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_TEACHER_H
#define LQ_TRAIN_TEACHER_H

#include "graph/graph.h"
#include "kernels/kernels.h"

struct lq_teacher;

/* Both graphs must outlive the teacher. Errors: LQ_ERR_INVALID (another input size or other classes
 * than the student's), LQ_ERR_UNSUPPORTED (a softmax at the end), LQ_ERR_MEMORY. */
int lq_teacher_create(const struct lq_graph *graph, const struct lq_graph *student, int threads,
                      const struct lq_kernels *kernels, struct lq_teacher **ret_teacher,
                      struct lq_error *error) LQ_MUST_CHECK;
void lq_teacher_destroy(struct lq_teacher *teacher);

/* input [count][height][width][channels], as normalised for the student. ret_logits
 * [count][classes]. Errors: LQ_ERR_MEMORY. */
int lq_teacher_run(struct lq_teacher *teacher, const float *input, int count, float *ret_logits,
                   struct lq_error *error) LQ_MUST_CHECK;

#endif
