/* trainer_internal.h - what the trainer's files share.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * trainer.c takes the steps, trainer_prepare.c makes what they need, trainer_network.c the network
 * that has been reached.
 */
#ifndef LQ_TRAIN_TRAINER_INTERNAL_H
#define LQ_TRAIN_TRAINER_INTERNAL_H

#include "train/checkpoint.h"
#include "train/loader.h"
#include "train/sgd.h"
#include "train/teacher.h"
#include "train/trainer.h"

#define MAX_MILESTONES 64

struct trainer {
    const struct lq_trainer_input *input;
    const struct lq_train_options *options;
    const struct lq_dataset *train, *test; /* test NULL: nothing is evaluated */
    struct lq_dataset *parts[2];           /* of the images, where some are held out */
    struct lq_tape *tape;
    struct lq_loader *loader;
    struct lq_loader_options loading;
    struct lq_teacher *teacher;
    struct lq_arena arena;
    float *velocity, *average; /* [numbers]; average NULL: none */
    float *d_logits, *teacher_logits;
    double *progress; /* of the epoch so far: sum of losses, right ones, images */
    struct lq_checkpoint checkpoint;
    char settings[512];
    int64_t milestones[MAX_MILESTONES];
    struct lq_schedule schedule;
    int64_t step, steps, epoch_steps;
    int batch, classes;
    struct lq_train_layer *layers; /* at the end */
    int layer_count;
    double started, last_saved; /* seconds; time spent on evaluation is taken off */
    int64_t started_at;         /* step */
    struct lq_error *error;
};

/* Images, schedule, tape, teacher, and what a checkpoint says. t has input, options and error; on
 * failure too it is to be released by trainer.c. */
int lq_trainer_prepare(struct trainer *t) LQ_MUST_CHECK;

/* The network as it stands: of averaged weights where these are kept, with statistics taken anew
 * where that is asked for at the end. final: with its latent weights. */
int lq_trainer_network(struct trainer *t, bool final, struct lq_trained *ret_trained) LQ_MUST_CHECK;

/* Top-1 of a network on the test images, in percent. */
int lq_trainer_evaluate(struct trainer *t, const struct lq_graph *graph,
                        double *ret_top1) LQ_MUST_CHECK;

/* Puts in place of the graph, which is destroyed, a copy that says how it was trained. */
int lq_trainer_add_provenance(const struct trainer *t, struct lq_graph **graph) LQ_MUST_CHECK;

#endif
