/* tape.h - a network made ready to be trained: forward and backward over a batch.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A graph is lowered to operations that run forwards and backwards over a batch of NHWC maps. The
 * batch is split into LQ_TAPE_LANES lanes of whole images, whatever the number of threads; each
 * lane keeps its own sums (gradients of weights, moments of batch normalizations, statistics of
 * quantizers), which are added in the order of the lanes. So a step's result depends on nothing but
 * its operands, to the bit. Operations between two points where the whole batch must have arrived
 * (batch normalization's moments, and their derivative) form a segment: a few images at a time pass
 * through all of it while they are in the cache. What a batch normalization or a quantizer puts out
 * for its own segment alone is not kept for the backward pass but made again there: it takes less
 * time than memory does.
 *
 * Batch normalization uses the moments of the batch while training. Quantized layers (paper,
 * section 3): weights and activations are floats behind the scenes; each step encodes them with the
 * snapped bases as they stand, and takes one QEM alternation on the same values, whose basis enters
 * a moving average that the next step uses. Gradients pass a weight's quantizer unchanged and an
 * activation's where the value lies between 0 and the top level.
 */
#ifndef LQ_TRAIN_TAPE_H
#define LQ_TRAIN_TAPE_H

#include "graph/graph.h"
#include "kernels/kernels.h"
#include "lq_learn.h"

#define LQ_TAPE_LANES 8

struct lq_tape_options {
    int batch, threads;
    const struct lq_kernels *kernels;
    enum lq_quantizer_kind quantizer;
    double basis_momentum;      /* of the bases' moving average: 0.9 */
    bool basis_gradients;       /* bases learn by lq_tape_step_bases instead of QEM; for
                                   LQ_QUANTIZER_UNIFORM always */
    bool fixed_weights;         /* codes and float weights stay as they are in the graph: of the
                                   weights, only the bases learn, by their gradients */
    double statistics_momentum; /* of running means and variances: 0.9 */
    bool forward_only;          /* LQ_TAPE_EVALUATE alone, in less memory */
};

struct lq_tape;

/* The graph must outlive the tape. Parameters start as the graph's; quantized weights as decoded
 * (lq_tape_set_latent replaces them). A softmax at the end is left out. Errors: LQ_ERR_MEMORY,
 * LQ_ERR_UNSUPPORTED. */
int lq_tape_create(const struct lq_graph *graph, const struct lq_tape_options *options,
                   struct lq_tape **ret_tape, struct lq_error *error) LQ_MUST_CHECK;
void lq_tape_destroy(struct lq_tape *tape);
size_t lq_tape_bytes(const struct lq_tape *tape);

/* Takes the weights of the same layers from a float graph. Errors: LQ_ERR_INVALID where a layer is
 * missing or has another shape. */
int lq_tape_set_latent(struct lq_tape *tape, const struct lq_graph *from,
                       struct lq_error *error) LQ_MUST_CHECK;

/* What is learned, one tensor of it. Biases and batch normalizations do not decay. */
struct lq_tape_param {
    char name[2 * LQ_MAX_NAME]; /* NODE.PARAM */
    size_t offset, count;       /* in the tape's arrays */
    bool decays;
    bool learns; /* false: it stays */
};
int lq_tape_param_count(const struct lq_tape *tape);
const struct lq_tape_param *lq_tape_param(const struct lq_tape *tape, int index);
/* All parameters' numbers together, in their values and gradients. */
size_t lq_tape_numbers(const struct lq_tape *tape);
float *lq_tape_values(struct lq_tape *tape);
float *lq_tape_gradients(struct lq_tape *tape);

/* What a checkpoint needs beside the parameters: running statistics, bases and their averages. */
struct lq_tape_array {
    char name[2 * LQ_MAX_NAME];
    bool doubles; /* of double, else of float */
    size_t count;
    void *data;
};
int lq_tape_array_count(const struct lq_tape *tape);
const struct lq_tape_array *lq_tape_array(const struct lq_tape *tape, int index);

enum lq_tape_mode {
    LQ_TAPE_TRAIN,      /* batch moments; running statistics and bases move */
    LQ_TAPE_STATISTICS, /* batch moments, which are added up for lq_tape_set_statistics */
    LQ_TAPE_EVALUATE    /* running statistics; nothing moves */
};
/* input [count][height][width][channels], normalised, in place until the backward pass is done;
 * count <= batch. ret_logits: [count][classes], valid until the next call. */
void lq_tape_forward(struct lq_tape *tape, const float *input, int count, enum lq_tape_mode mode,
                     const float **ret_logits);
/* After a forward pass of the same batch in mode LQ_TAPE_TRAIN: d_logits [count][classes]. Sets the
 * gradients. */
void lq_tape_backward(struct lq_tape *tape, const float *d_logits);

/* With basis_gradients, after a backward pass: levels are sums of basis values, so the gradient by
 * basis value i is the sum of a level's gradient times its bit i. It is divided by sqrt(n (2^bits -
 * 1)), n the values that share the basis (Esser et al. 2020), and taken with momentum. Even
 * levels learn their scale s so: basis value i is 2^i s. LQ_QUANTIZER_UNIFORM: activations'
 * tops take the undivided sum of the gradients of the values above, plus `decay` times themselves,
 * and weights follow their layer's largest. */
void lq_tape_step_bases(struct lq_tape *tape, double rate, double momentum, double decay);

/* Running statistics become the averages over the passes in LQ_TAPE_STATISTICS mode since the last
 * call. */
void lq_tape_set_statistics(struct lq_tape *tape);

/* The first node whose value of the last pass, or else whose gradient, is not finite; NULL: none.
 */
const char *lq_tape_bad_node(struct lq_tape *tape);

/* A graph of the network as it is now, with the tape's graph's names and provenance. values:
 * parameters to take (lq_tape_numbers of them), NULL: the tape's own. Errors: LQ_ERR_MEMORY,
 * LQ_ERR_NUMERIC. */
int lq_tape_export(const struct lq_tape *tape, const float *values, struct lq_graph **ret_graph,
                   struct lq_error *error) LQ_MUST_CHECK;

/* The float network behind it: a copy of a float graph of the same nodes, without the quantizers,
 * with the tape's parameters and running statistics. Errors: LQ_ERR_INVALID, LQ_ERR_MEMORY. */
int lq_tape_export_latent(const struct lq_tape *tape, const struct lq_graph *graph,
                          struct lq_graph **ret_graph, struct lq_error *error) LQ_MUST_CHECK;

/* A quantized layer as it is now, its activations as they were in the last pass; false beyond the
 * last layer. */
bool lq_tape_layer(struct lq_tape *tape, int index, struct lq_train_layer *ret_layer);

#endif
