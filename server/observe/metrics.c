/* metrics.c - what the server counts.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "observe/metrics_private.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define US INT64_C(1000)
#define MS INT64_C(1000000)

const int64_t metrics_time_bounds[METRICS_TIME_BUCKETS] = {
    100 * US, 250 * US, 500 * US, 1 * MS,   2500 * US, 5 * MS,    10 * MS,   25 * MS,
    50 * MS,  100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS};
const int64_t metrics_size_bounds[METRICS_SIZE_BUCKETS] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512};

static void add(metrics_number *number, uint64_t more)
{
    atomic_fetch_add_explicit(number, more, memory_order_relaxed);
}

/* The part of this CPU. A thread that moves on meanwhile is right all the same, only slower. */
static unsigned shard(void)
{
    int cpu = sched_getcpu();

    return cpu < 0 ? 0 : (unsigned)cpu % METRICS_SHARDS;
}

static int bucket(const int64_t *bounds, int count, int64_t value)
{
    int at = 0;

    while (at < count && value > bounds[at])
        at++;
    return at;
}

static void add_time(struct metrics_times *times, int64_t ns)
{
    if (ns < 0)
        ns = 0;
    add(&times->buckets[bucket(metrics_time_bounds, METRICS_TIME_BUCKETS, ns)], 1);
    add(&times->sum_ns, (uint64_t)ns);
}

static int first_like(const char *const *routes, int at)
{
    for (int i = 0; i < at; i++)
        if (strcmp(routes[i], routes[at]) == 0)
            return i;
    return at;
}

int metrics_create(const char *const *routes, int count, struct metrics **ret_metrics,
                   struct lq_error *error)
{
    size_t parts = (size_t)count + 1, bytes = sizeof(struct metrics);
    struct metrics *metrics = aligned_alloc(64, (bytes + 63) / 64 * 64);

    if (!metrics)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    memset(metrics, 0, bytes);
    pthread_mutex_init(&metrics->lock, NULL);
    metrics->routes = calloc(parts, sizeof(*metrics->routes));
    metrics->first = calloc(parts, sizeof(*metrics->first));
    metrics->route_numbers = calloc(parts * METRICS_SHARDS, sizeof(*metrics->route_numbers));
    if (!metrics->routes || !metrics->first || !metrics->route_numbers) {
        metrics_destroy(metrics);
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    }
    metrics->route_count = count;
    for (int i = 0; i < count; i++) {
        metrics->routes[i] = routes[i];
        metrics->first[i] = first_like(routes, i);
    }
    for (int i = 0; i < METRICS_SHARDS; i++)
        metrics->shards[i].routes = metrics->route_numbers + (size_t)i * parts;
    snprintf(metrics->other.name, sizeof(metrics->other.name), "other");
    *ret_metrics = metrics;
    return LQ_OK;
}

void metrics_destroy(struct metrics *metrics)
{
    if (!metrics)
        return;
    for (int i = 0; i < metrics->model_count; i++)
        free(metrics->models[i]);
    pthread_mutex_destroy(&metrics->lock);
    free(metrics->route_numbers);
    free(metrics->first);
    free(metrics->routes);
    free(metrics);
}

void metrics_count(struct metrics *metrics, enum metrics_counter counter, uint64_t more)
{
    add(&metrics->shards[shard()].counters[counter], more);
}

void metrics_gauge_add(struct metrics *metrics, enum metrics_gauge gauge, int64_t more)
{
    add(&metrics->shards[shard()].gauges[gauge], (uint64_t)more);
}

void metrics_gauge_set(struct metrics *metrics, enum metrics_gauge gauge, int64_t value)
{
    atomic_store_explicit(&metrics->shards[0].gauges[gauge], (uint64_t)value, memory_order_relaxed);
    for (int i = 1; i < METRICS_SHARDS; i++)
        atomic_store_explicit(&metrics->shards[i].gauges[gauge], 0, memory_order_relaxed);
}

void metrics_rejected(struct metrics *metrics, enum metrics_rejection reason)
{
    add(&metrics->shards[shard()].rejections[reason], 1);
}

static int method_index(const char *method)
{
    static const char *const methods[] = {
#define X(name) #name,
        METRICS_METHOD_LIST(X)
#undef X
    };

    for (int i = 0; i + 1 < METRICS_METHODS; i++)
        if (strcmp(methods[i], method) == 0)
            return i;
    return METRICS_METHODS - 1;
}

static int code_index(int status)
{
    static const int codes[] = {
#define X(code) code,
        METRICS_CODE_LIST(X)
#undef X
    };

    for (int i = 0; i + 1 < METRICS_CODES; i++)
        if (codes[i] == status)
            return i;
    return METRICS_CODES - 1;
}

void metrics_request(struct metrics *metrics, int route, const char *method, int status, int64_t ns)
{
    int at =
        route >= 0 && route < metrics->route_count ? metrics->first[route] : metrics->route_count;
    struct metrics_route *numbers = &metrics->shards[shard()].routes[at];

    add(&numbers->requests[method_index(method)][code_index(status)], 1);
    add_time(&numbers->times, ns);
}

static struct metrics_model *find_model(struct metrics *metrics, const char *name,
                                        const char *version)
{
    for (int i = 0; i < metrics->model_count; i++)
        if (strcmp(metrics->models[i]->name, name) == 0 &&
            strcmp(metrics->models[i]->version, version) == 0)
            return metrics->models[i];
    return NULL;
}

struct metrics_model *metrics_model(struct metrics *metrics, const char *name, const char *version)
{
    struct metrics_model *model;

    pthread_mutex_lock(&metrics->lock);
    model = find_model(metrics, name, version);
    if (!model && metrics->model_count < METRICS_MAX_MODELS) {
        model = aligned_alloc(64, (sizeof(*model) + 63) / 64 * 64);
        if (model) {
            memset(model, 0, sizeof(*model));
            snprintf(model->name, sizeof(model->name), "%s", name);
            snprintf(model->version, sizeof(model->version), "%s", version);
            metrics->models[metrics->model_count++] = model;
        }
    }
    pthread_mutex_unlock(&metrics->lock);
    return model ? model : &metrics->other;
}

void metrics_model_count(struct metrics_model *model, enum metrics_model_counter counter,
                         uint64_t more)
{
    add(&model->shards[shard()].counters[counter], more);
}

void metrics_model_gauge_add(struct metrics_model *model, enum metrics_model_gauge gauge,
                             int64_t more)
{
    atomic_fetch_add_explicit(&model->gauges[gauge], more, memory_order_relaxed);
}

void metrics_model_gauge_set(struct metrics_model *model, enum metrics_model_gauge gauge,
                             int64_t value)
{
    atomic_store_explicit(&model->gauges[gauge], value, memory_order_relaxed);
}

void metrics_stage(struct metrics_model *model, enum metrics_stage stage, int64_t ns)
{
    add_time(&model->shards[shard()].stages[stage], ns);
}

void metrics_batch(struct metrics_model *model, int64_t images)
{
    struct metrics_model_shard *numbers = &model->shards[shard()];

    add(&numbers->counters[METRICS_IMAGES], (uint64_t)images);
    add(&numbers->sizes[bucket(metrics_size_bounds, METRICS_SIZE_BUCKETS, images)], 1);
}

uint64_t metrics_model_read(const struct metrics_model *model, enum metrics_model_counter counter)
{
    uint64_t sum = 0;

    for (int i = 0; i < METRICS_SHARDS; i++)
        sum += atomic_load_explicit(&model->shards[i].counters[counter], memory_order_relaxed);
    return sum;
}

void metrics_stage_read(const struct metrics_model *model, enum metrics_stage stage,
                        uint64_t *ret_count, uint64_t *ret_ns)
{
    *ret_count = *ret_ns = 0;
    for (int i = 0; i < METRICS_SHARDS; i++) {
        const struct metrics_times *times = &model->shards[i].stages[stage];

        for (int b = 0; b <= METRICS_TIME_BUCKETS; b++)
            *ret_count += atomic_load_explicit(&times->buckets[b], memory_order_relaxed);
        *ret_ns += atomic_load_explicit(&times->sum_ns, memory_order_relaxed);
    }
}

uint64_t metrics_batches_read(const struct metrics_model *model)
{
    uint64_t sum = 0;

    for (int i = 0; i < METRICS_SHARDS; i++)
        for (int b = 0; b <= METRICS_SIZE_BUCKETS; b++)
            sum += atomic_load_explicit(&model->shards[i].sizes[b], memory_order_relaxed);
    return sum;
}
