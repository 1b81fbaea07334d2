/* stats.h - what a model has done since the server started.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * One block for each version of a model; the generations of the version share it, so that a reload
 * does not set it back. Any thread.
 */
#ifndef SERVER_STATS_H
#define SERVER_STATS_H

#include "observe/metrics.h"

/* X(name, doc): what the time of a request goes into, as the statistics extension names it. */
#define STATS_STAGE_LIST(X)                                                                        \
    X(success, "requests that were answered, from their submission to their reply")                \
    X(fail, "requests that were not")                                                              \
    X(queue, "waiting for a worker")                                                               \
    X(compute_input, "decoding pictures, reading tensors")                                         \
    X(compute_infer, "computing the network")                                                      \
    X(compute_output, "writing the reply")

enum stats_stage {
#define X(name, doc) STATS_##name,
    STATS_STAGE_LIST(X)
#undef X
        STATS_STAGE_COUNT
};

struct stats_sum {
    uint64_t count, ns;
};

/* Of all batches of one size. */
struct stats_batch {
    int images;
    struct stats_sum input, infer, output;
};

struct stats_values {
    uint64_t inference_count;  /* images computed, of requests that were answered */
    uint64_t execution_count;  /* batches */
    int64_t last_inference_ms; /* since 1970; 0: never */
    struct stats_sum stages[STATS_STAGE_COUNT];
    int batch_count; /* sizes that have occurred, ascending */
    struct stats_batch *batches;
};

struct stats;

/* max_batch: the largest batch that will be counted. What is added is counted in `metrics` as well,
 * which must outlive this. NULL: out of memory. */
struct stats *stats_create(int max_batch, struct metrics_model *metrics);
void stats_destroy(struct stats *stats);

/* One batch of `images` (1..max_batch) was computed. Called before any of its requests is replied
 * to, so that whoever has a reply finds it counted. */
void stats_add_batch(struct stats *stats, int images, int64_t input_ns, int64_t infer_ns);
/* One request is about to be replied to; ns by stage, of which success and fail hold the whole time
 * so far: the one that is not 0 counts. */
void stats_add_request(struct stats *stats, int images, const int64_t ns[STATS_STAGE_COUNT]);

/* The reply of a request that was counted as a success has been written; images: of its batch, 0:
 * it was in none. */
void stats_add_output(struct stats *stats, int images, int64_t ns);

/* Those given to stats_create. */
struct metrics_model *stats_metrics(const struct stats *stats);

/* A copy; stats_values_deinit frees it. False: out of memory. */
bool stats_read(struct stats *stats, struct stats_values *ret_values);
void stats_values_deinit(struct stats_values *values);

#endif
