/* metrics_private.h - how metrics.c counts, for metrics_text.c to add up.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_METRICS_PRIVATE_H
#define SERVER_METRICS_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "observe/metrics.h"

/* Parts that a number is split into, by the CPU it is counted on. */
#define METRICS_SHARDS       16
#define METRICS_TIME_BUCKETS 16 /* and one for what is above */
#define METRICS_SIZE_BUCKETS 10

/* X(NAME, label): a method that is none of these counts as the last. */
#define METRICS_METHOD_LIST(X)                                                                     \
    X(GET)                                                                                         \
    X(HEAD)                                                                                        \
    X(POST)                                                                                        \
    X(OPTIONS)                                                                                     \
    X(PUT)                                                                                         \
    X(DELETE)                                                                                      \
    X(other)
#define METRICS_METHODS 7

/* Statuses that the server replies with; the last stands for all others. 499: the client left
 * before there was a reply. */
#define METRICS_CODE_LIST(X)                                                                       \
    X(200)                                                                                         \
    X(202)                                                                                         \
    X(204)                                                                                         \
    X(400)                                                                                         \
    X(401)                                                                                         \
    X(403)                                                                                         \
    X(404)                                                                                         \
    X(405)                                                                                         \
    X(408)                                                                                         \
    X(409)                                                                                         \
    X(411)                                                                                         \
    X(413)                                                                                         \
    X(415)                                                                                         \
    X(422)                                                                                         \
    X(429)                                                                                         \
    X(499)                                                                                         \
    X(500)                                                                                         \
    X(501)                                                                                         \
    X(503)                                                                                         \
    X(504)                                                                                         \
    X(0)
#define METRICS_CODES 21

typedef atomic_uint_fast64_t metrics_number;

struct metrics_times {
    metrics_number buckets[METRICS_TIME_BUCKETS + 1];
    metrics_number sum_ns;
};

struct metrics_route {
    metrics_number requests[METRICS_METHODS][METRICS_CODES];
    struct metrics_times times;
};

struct metrics_shard {
    _Alignas(64) metrics_number counters[METRICS_COUNTERS];
    metrics_number rejections[METRICS_REJECTIONS];
    metrics_number gauges[METRICS_GAUGES]; /* differences, in two's complement */
    struct metrics_route *routes;          /* count + 1: the last is for unknown paths */
};

struct metrics_model_shard {
    _Alignas(64) metrics_number counters[METRICS_MODEL_COUNTERS];
    struct metrics_times stages[METRICS_STAGES];
    metrics_number sizes[METRICS_SIZE_BUCKETS + 1];
};

struct metrics_model {
    char name[128], version[24];
    atomic_int_fast64_t gauges[METRICS_MODEL_GAUGES];
    struct metrics_model_shard shards[METRICS_SHARDS];
};

struct metrics {
    const char **routes;
    int *first; /* index of the first route with the same path */
    int route_count;
    struct metrics_route *route_numbers; /* of all shards */
    struct metrics_shard shards[METRICS_SHARDS];
    pthread_mutex_t lock; /* of the list of models */
    struct metrics_model *models[METRICS_MAX_MODELS];
    int model_count;
    struct metrics_model other;
};

/* Upper bounds of the buckets, nanoseconds and images. */
extern const int64_t metrics_time_bounds[METRICS_TIME_BUCKETS];
extern const int64_t metrics_size_bounds[METRICS_SIZE_BUCKETS];

/* metrics_process.c: what the operating system knows of this process, as metrics. */
void metrics_write_process(struct text *text);

#endif
