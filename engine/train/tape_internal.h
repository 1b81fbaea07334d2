/* tape_internal.h - what the files of the tape share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_TAPE_INTERNAL_H
#define LQ_TRAIN_TAPE_INTERNAL_H

#include "base/arena.h"
#include "base/pool.h"
#include "graph/lower.h"
#include "ops/conv_train.h"
#include "ops/gradient.h"
#include "quant/qem.h"
#include "train/tape.h"

enum { LANES = LQ_TAPE_LANES };

/* Images that pass through a segment together. */
struct span {
    int first, count;
    int lane, worker;
    int part;   /* number of the lane among those that hold images */
    bool opens; /* the lane's first ones */
};

/* A value of the graph, for the whole batch. */
struct value {
    size_t elements; /* of one image */
    float *data;     /* [batch][elements], or, */
    float *gradient; /* where it lives in one segment each way, [threads][group][elements] */
    bool local_data; /* made again for the backward pass */
    bool local_gradient;
    bool wanted;          /* has a gradient */
    bool used;            /* by an operation of the tape */
    int made, made_again; /* forward and backward segment of the operation that makes it */
    int born, dies;       /* backward segments that write and read the gradient */
};

struct op;
typedef void op_images(struct lq_tape *tape, struct op *op, const struct span *span);
typedef void op_batch(struct lq_tape *tape, struct op *op);

/* An operation. */
struct op {
    const struct lq_node *node;
    op_images *forward, *backward; /* NULL: nothing to do */
    op_images *again;              /* the output once more, of the same inputs; NULL: too dear */
    op_batch *after_forward;       /* once the whole batch has passed */
    op_batch *after_backward;
    op_batch *begin, *end; /* before forward, after backward; beside those of other operations */
    int input_count;
    int inputs[LQ_MAX_INPUTS]; /* values, */
    bool adds[LQ_MAX_INPUTS];  /* whose gradients another operation has begun */
    bool gives[LQ_MAX_INPUTS]; /* gradients by this input */
    int output;                /* value; -1: none */
    int reads_gradient;        /* value whose gradient the backward pass reads */
    void *state;
    int forward_segment, backward_segment;
};

struct segment {
    int first, last; /* operations, in the order they run */
    int group;       /* images that pass together */
};

/* Weights of one layer. */
struct weight_quantizer {
    const struct lq_node *node;
    size_t offset; /* of the latent weights in the values */
    int rows, length, bits, grid;
    float *basis;    /* [rows][bits] */
    double *average; /* [rows][bits + 1]: struct lq_basis_average, the weight last */
    float *velocity; /* [rows][bits] of gradient steps, or NULL */
    float *weights;  /* [rows][length]: levels */
    uint8_t *codes;  /* [rows][length]; NULL: those of the latent weights */
    struct lq_snapped_basis *snapped;
};

/* Values of a quantize node. */
struct activation_quantizer {
    const struct lq_node *node;
    int bits, grid;
    float *basis;
    double *average;
    struct lq_snapped_basis snapped;
    struct lq_quantizer quantizer;
    double *counts, *sums; /* [LANES][2^bits] */
    double *squares;       /* [LANES] */
    double *gradients;     /* [LANES][2^bits]: by the levels, or NULL */
    float *velocity;       /* [bits] of gradient steps, or NULL */
    double error;          /* relative, of the last pass */
};

struct lq_tape {
    struct lq_arena arena;
    const struct lq_graph *graph;
    struct lq_tape_options options;
    struct lq_pool *pool;
    int logits; /* value */
    struct value *values;
    struct op *ops;
    int op_count;
    struct segment *forward, *backward;
    int forward_count, backward_count;
    int largest_group;
    size_t group_floats; /* of the largest local gradient */
    struct lq_tape_param *params;
    int param_count;
    size_t numbers;
    float *numbers_values, *gradients;
    struct lq_tape_array *arrays;
    int array_count;
    struct weight_quantizer **weight_quantizers;
    int weight_quantizer_count;
    struct activation_quantizer **activation_quantizers;
    int activation_quantizer_count;
    struct lq_program **programs; /* of plain nodes' forward passes */
    int program_count;
    size_t scratch_bytes; /* per worker */
    uint8_t *scratch;
    /* of the pass that runs */
    const float *input;
    int count;
    enum lq_tape_mode mode;
    int64_t statistics_passes;
    struct lq_error *error; /* while the tape is built */
};

/* Lanes that hold images. */
int lq_tape_parts(const struct lq_tape *tape);
/* Images first..first + count - 1 of a value, and of its gradient. */
float *lq_tape_data(const struct lq_tape *tape, int value, const struct span *span);
float *lq_tape_gradient(const struct lq_tape *tape, int value, const struct span *span);
/* A value of an image of the last pass, until the next call. */
const float *lq_tape_image(struct lq_tape *tape, int value, int image);

/* Building. Memory comes from the arena; NULL: out of memory. */
int lq_tape_add_param(struct lq_tape *tape, const struct lq_node *node, enum lq_param param,
                      size_t count, bool decays, const float *data, size_t *ret_offset);
int lq_tape_add_array(struct lq_tape *tape, const struct lq_node *node, const char *what,
                      bool doubles, size_t count, void **ret_data);
struct op *lq_tape_add_op(struct lq_tape *tape, const struct lq_node *node, size_t state_bytes);

int lq_tape_add_conv(struct lq_tape *tape, const struct lq_node *node);
/* A batch normalization with the addition and the ReLU behind it, as far as only they read it;
 * either may be NULL. */
int lq_tape_add_norm(struct lq_tape *tape, const struct lq_node *norm, const struct lq_node *add,
                     const struct lq_node *relu);
int lq_tape_add_quantize(struct lq_tape *tape, const struct lq_node *node);
int lq_tape_add_plain(struct lq_tape *tape, const struct lq_node *node);
int lq_tape_add_weight_quantizer(struct lq_tape *tape, const struct lq_node *node, size_t offset,
                                 struct weight_quantizer **ret_quantizer);
/* Levels, in ascending order, by their codes. */
void lq_tape_levels_of_codes(const struct lq_quantizer *quantizer, uint8_t *ret_levels);

/* Encodes all weights with the bases as they stand; moves those for the next step. */
void lq_tape_quantize_weights(struct lq_tape *tape, bool move);
/* Derives the activations' quantizers from their bases as they stand. */
void lq_tape_snap_activations(struct lq_tape *tape);
/* Adds d, the gradient by the levels that values y took, to the quantizer's sums. */
void lq_tape_add_level_gradients(const struct lq_tape *tape, const struct activation_quantizer *q,
                                 const float *y, const float *d, size_t count,
                                 const struct span *span);
/* Moves the bases of activations, after a forward pass. */
void lq_tape_move_activations(struct lq_tape *tape);

#endif
