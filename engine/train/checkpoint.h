/* checkpoint.h - the state of a training run in a safetensors file.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * offset 0 u64 N, little-endian; offset 8 a JSON object of N bytes, padded with spaces to a
 * multiple of 64 behind the length; then the data. "__metadata__" holds strings: "format" =
 * "lqnet-checkpoint", "format_version" = "1", "xxh3_128" = digest of the data, "step" = steps done,
 * "settings" = what must be the same for a run to go on as if it had never stopped. Every other key
 * is a tensor of rank 1, "F32" or "F64", in the order of the entries.
 */
#ifndef LQ_TRAIN_CHECKPOINT_H
#define LQ_TRAIN_CHECKPOINT_H

#include "graph/graph.h"

struct lq_checkpoint_entry {
    char name[2 * LQ_MAX_NAME + 32];
    bool doubles; /* of double, else of float */
    size_t count;
    void *data;
};

struct lq_checkpoint {
    struct lq_checkpoint_entry *entries; /* 8-byte elements first: no padding is needed then */
    int entry_count;
    const char *settings;
    int64_t step;
};

/* Temporary file, fsync, rename. Errors: LQ_ERR_IO, LQ_ERR_MEMORY. */
int lq_checkpoint_save(const struct lq_checkpoint *checkpoint, const char *path,
                       struct lq_error *error) LQ_MUST_CHECK;
/* Fills the entries' data and `step` from a file that has exactly these entries and settings; on
 * failure nothing is written. Errors: LQ_ERR_IO, LQ_ERR_FORMAT, LQ_ERR_INVALID (made with other
 * settings or for another network), LQ_ERR_MEMORY. */
int lq_checkpoint_load(struct lq_checkpoint *checkpoint, const char *path,
                       struct lq_error *error) LQ_MUST_CHECK;

#endif
