/* integer_map.h - a layer's map of integer sums: rows of it are computed, pooled and finished.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * What integer convolutions share, whatever their input: rows are split into tiles that stay in
 * cache and are shared among threads; a max pool behind the layer takes the sums as they are (all
 * that follows is monotonic in them, see ops/epilogue.h), so that fewer pixels are finished. A map
 * whose rows the threads cannot share evenly, or whose weights are many, may be split by columns
 * instead. Sums of integers do not depend on how they are split.
 */
#ifndef LQ_OPS_INTEGER_MAP_H
#define LQ_OPS_INTEGER_MAP_H

#include "ops/epilogue.h"

/* Columns (channels) of rows first..last-1 of the map. */
struct lq_map_part {
    int first, last;
    struct lq_columns columns;
};

/* The sums of a part; ret_sums is that of the first row's column 0, [rows][width][channels].
 * scratch: of one worker. */
typedef void lq_sum_part(const void *state, const void *input, const struct lq_map_part *part,
                         uint8_t *scratch, int32_t *ret_sums);

/* The codes of these rows straight away, what encode_sums would make of their sums; false: nothing
 * is done. */
typedef bool lq_code_rows(const void *state, const void *input, int first, int last,
                          uint8_t *scratch, const struct lq_encode *encode, uint8_t *ret_codes);

struct lq_integer_map {
    struct lq_map map, out; /* of the sums, and of what is stored */
    bool pools;
    struct lq_window pool;
    int tile_rows;   /* of the map: the most that are computed at once */
    int row_step;    /* tiles start at multiples */
    int column_step; /* parts of columns start at multiples; 0: there are none */
    int64_t macs;
    bool many_weights;
    lq_sum_part *sum_part;
    lq_code_rows *code_rows; /* or NULL */
    const void *state;       /* of both */
    struct lq_epilogue epilogue;
    size_t sums_offset, pooled_offset; /* in a worker's scratch */
    struct lq_kernels kernels;
};

/* Rows of the map that a tile has at most, where it starts at multiples of `row_step`. */
int lq_integer_map_tile_rows(const struct lq_step_spec *spec, int row_step);

/* row_step: rows that sum_part should get together. column_step: columns that it can be asked for
 * without the others; 0: for none. row_bytes: of scratch that it needs for a tile. Makes *ret_step
 * of it. Errors: LQ_ERR_MEMORY. */
struct lq_integer_map_spec {
    struct lq_sums sums;
    int length; /* of a dot product */
    int row_step, column_step;
    size_t row_bytes;
    lq_sum_part *sum_part;
    lq_code_rows *code_rows; /* or NULL */
    const void *state;
};
int lq_integer_map_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                           const struct lq_integer_map_spec *map_spec, struct lq_step *ret_step,
                           struct lq_error *error) LQ_MUST_CHECK;

#endif
