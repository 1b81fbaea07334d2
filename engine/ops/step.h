/* step.h - what a network is computed by: steps, each of which computes one value of one image.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A step is prepared once per model (weights folded, laid out for this CPU) and is immutable
 * afterwards; any number of sessions run it at once. It computes ONE image: batches are loops over
 * images, so that no answer can depend on the batch, buffers stay in cache, and several threads
 * take images side by side. A step may split its own work over the pool it is given (one image,
 * several threads); the pieces that floats are split into never depend on the number of threads,
 * because a matrix product's rounding may depend on its shape.
 */
#ifndef LQ_OPS_STEP_H
#define LQ_OPS_STEP_H

#include "base/arena.h"
#include "base/pool.h"
#include "kernels/kernels.h"
#include "ops/op.h"
#include "quant/quantizer.h"

/* How a value is stored while it is computed with. Feature maps: pixel by pixel. */
enum lq_store {
    LQ_STORE_F32,    /* float [channels] */
    LQ_STORE_LEVELS, /* int16_t [channels]: integer levels of a snapped activation basis */
    LQ_STORE_BYTES,  /* uint8_t [channels]: integer levels that are all 0..255 */
    LQ_STORE_PLANES, /* uint32_t [words][bits]: tensor/bitplanes.h */
    LQ_STORE_HALVES, /* uint32_t [channels / 16, rounded up]: codes of 2 bits, bits r and 16 + r of
                        word i are those of channel 16 i + r */
    LQ_STORE_NIBBLES /* uint8_t [channels / 4, rounded up]: codes of up to 2 bits, bits r and 4 + r
                        of byte i are those of channel 4 i + r */
};

struct lq_buffer {
    struct lq_shape shape;
    enum lq_store store;
    int bits; /* of LQ_STORE_PLANES */
};
/* Bytes of one image. */
size_t lq_buffer_bytes(const struct lq_buffer *buffer);

/* Height, width, channels of a shape; a vector is a map of one pixel. */
struct lq_map {
    int height, width, channels;
};
struct lq_map lq_shape_map(const struct lq_shape *shape);

struct lq_step;

/* One execution. */
struct lq_run {
    const void *inputs[LQ_MAX_INPUTS];
    void *output;
    float *extra;         /* NULL, or where step->extra goes */
    struct lq_pool *pool; /* NULL: alone */
    uint8_t *scratch;     /* step->scratch_bytes for each of the pool's workers, which lie */
    size_t scratch_pitch; /* so far apart: as far for every step, each core keeps its own */
    int32_t *integers;    /* NULL, or where an integer convolution also leaves its sums
                             [pixels][out_channels] as they are before the epilogue */
};
typedef void lq_step_function(const struct lq_step *step, const struct lq_run *run);

struct lq_step {
    const char *name; /* of the first node it computes */
    lq_step_function *run;
    const struct lq_attributes *attributes; /* of that node */
    const void *state;                      /* what the step prepared for itself, or NULL */
    struct lq_buffer output;
    struct lq_buffer extra; /* a value on the way to the output that others read too, floats */
    int input_count;
    struct lq_buffer inputs[LQ_MAX_INPUTS];
    /* Floats from a pixel to the next, of the inputs and of the output: more than the channels
     * where the value lies in a wider one (graph/plan.c), which concat and quantize allow for. */
    size_t pitches[LQ_MAX_INPUTS], pitch;
    int node;                 /* index of the first node it computes, */
    int slots[LQ_MAX_INPUTS]; /* value indices of the inputs, */
    int output_slot;          /* of the output, */
    int extra_slot;           /* and of the extra value, in the graph; -1: there is none */
    size_t scratch_bytes;     /* per worker; a multiple of LQ_ALIGNMENT */
    bool integer;             /* leaves integers, see struct lq_run */
    bool replaces;            /* the extra value may lie where inputs[1] does */
};

/* What a step is prepared from: a node of the graph and the nodes after it that it takes over.
 * graph/lower.h puts it together; the step keeps none of it but name and attributes. */
struct lq_step_spec {
    const char *name;
    const struct lq_attributes *attributes;
    const struct lq_tensor *const *params; /* [LQ_PARAM_COUNT] */
    const struct lq_buffer *inputs;
    int input_count;
    const struct lq_kernels *kernels;
    /* y = clamp(scale[c] * x + shift[c], min, max), by output channel: the bias, the batch
     * normalizations and the ReLU that follow. NULL scale: y = clamp(x). */
    const double *scale, *shift;
    float min, max;
    struct lq_shape own; /* of the first node's value: the output's, unless a pool follows */
    /* What only integer convolutions take over, in this order: a max pool; y = clamp(y + inputs[1],
     * add_min, add_max); z = clamp(next_scale[c] * y + next_shift[c], next_min, next_max), NULL
     * next_scale: clamp(y), is the output or goes to the quantizer. y or z is stored as the extra
     * value. */
    const struct lq_window *pool; /* NULL: none */
    bool adds, goes_on;           /* goes_on: y and z differ */
    bool keeps, keeps_next;       /* y; z */
    float add_min, add_max, next_min, next_max;
    const double *next_scale, *next_shift;
    const struct lq_snapped_basis *input_basis;  /* of an input of codes or levels, else NULL */
    const struct lq_snapped_basis *output_basis; /* of the quantize node taken over, else NULL */
    struct lq_buffer output;
};

/* Prepare functions: fill *ret_step; its state is made in the arena. Errors: LQ_ERR_MEMORY,
 * LQ_ERR_LIMIT. */
typedef int lq_step_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                            struct lq_step *ret_step, struct lq_error *error);
lq_step_prepare lq_conv_float_prepare;   /* conv, dense on floats; quantized weights are decoded */
lq_step_prepare lq_conv_integer_prepare; /* conv, dense on levels or planes */
lq_step_prepare lq_affine_prepare;       /* batch_norm, relu, clip */
lq_step_prepare lq_add_prepare;
lq_step_prepare lq_concat_prepare;
lq_step_prepare lq_pad_prepare;
lq_step_prepare lq_slice_prepare;
lq_step_prepare lq_reshape_prepare;
lq_step_prepare lq_max_pool_prepare;
lq_step_prepare lq_average_pool_prepare;
lq_step_prepare lq_global_average_pool_prepare;
lq_step_prepare lq_lrn_prepare;
lq_step_prepare lq_softmax_prepare;
lq_step_prepare lq_quantize_prepare;

/* The part that all of them share: names, buffers, the function. */
void lq_step_init(struct lq_step *step, const struct lq_step_spec *spec, lq_step_function *run);

/* Another thread is not worth its cache misses for fewer elements. */
#define LQ_MIN_PARALLEL_ELEMENTS 16384

/* Computes one row of the step's output map. */
typedef void lq_step_row(const struct lq_step *step, const struct lq_run *run, int row);
/* All of them, on all threads where that pays. */
void lq_step_rows(const struct lq_step *step, const struct lq_run *run, lq_step_row *row);

/* Splits rows of an output map into tiles of whole rows, about LQ_TILE_PIXELS pixels each, whatever
 * the number of threads. */
#define LQ_TILE_PIXELS 400
struct lq_tiling {
    int rows; /* of a tile; the last one may have fewer */
    int tiles;
};
struct lq_tiling lq_tile_rows(int height, int width);

#endif
