/* metrics_text.c - the numbers as Prometheus reads them: text format 0.0.4.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A label's values come from short lists and from the names of the models, so that a server has
 * a few hundred series. Series that never counted are left out where a list is long (routes).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "observe/log.h"
#include "observe/metrics_private.h"

static const char *const methods[] = {
#define X(name) #name,
    METRICS_METHOD_LIST(X)
#undef X
};
static const char *const codes[] = {
#define X(code) code ? #code : "other",
    METRICS_CODE_LIST(X)
#undef X
};
static const char *const stages[] = {
#define X(name, stage) stage,
    METRICS_STAGE_LIST(X)
#undef X
};
static const char *const reasons[] = {
#define X(name, reason) reason,
    METRICS_REJECTION_LIST(X)
#undef X
};
_Static_assert(sizeof(methods) / sizeof(*methods) == METRICS_METHODS, "a row for each method");
_Static_assert(sizeof(codes) / sizeof(*codes) == METRICS_CODES, "a row for each status");

struct family {
    const char *name, *help;
};
static const struct family counters[] = {
#define X(id, name, help) {name, help},
    METRICS_COUNTER_LIST(X)};
static const struct family gauges[] = {METRICS_GAUGE_LIST(X)};
static const struct family model_counters[] = {METRICS_MODEL_COUNTER_LIST(X)};
static const struct family model_gauges[] = {METRICS_MODEL_GAUGE_LIST(X)
#undef X
};

static uint64_t read_number(const metrics_number *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

static void write_family(struct text *text, const char *name, const char *type, const char *help)
{
    text_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: quote, backslash and line feed are escaped. */
static void write_value(struct text *text, const char *value)
{
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            text_append(text, "\\", 1);
        if (*value == '\n')
            text_append(text, "\\n", 2);
        else
            text_append(text, value, 1);
    }
}

static void write_label(struct text *text, const char *name, const char *value)
{
    text_printf(text, "%s=\"", name);
    write_value(text, value);
    text_append(text, "\"", 1);
}

static void write_seconds(struct text *text, uint64_t ns)
{
    text_printf(text, "%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
}

/* The lines of one histogram of times; labels is what stands in front of le, with its comma. */
static void write_times(struct text *text, const char *name, const struct text *labels,
                        const struct metrics_times *times)
{
    const int length = (int)labels->length;
    uint64_t below = 0;

    for (int b = 0; b <= METRICS_TIME_BUCKETS; b++) {
        char bound[24] = "+Inf";

        below += read_number(&times->buckets[b]);
        if (b < METRICS_TIME_BUCKETS)
            snprintf(bound, sizeof(bound), "%g", (double)metrics_time_bounds[b] / 1e9);
        text_printf(text, "%s_bucket{%.*sle=\"%s\"} %" PRIu64 "\n", name, length, labels->bytes,
                    bound, below);
    }
    text_printf(text, "%s_sum{%.*s} ", name, length - 1, labels->bytes);
    write_seconds(text, read_number(&times->sum_ns));
    text_printf(text, "\n%s_count{%.*s} %" PRIu64 "\n", name, length - 1, labels->bytes, below);
}

static void add_times(struct metrics_times *sum, const struct metrics_times *part)
{
    for (int b = 0; b <= METRICS_TIME_BUCKETS; b++)
        atomic_fetch_add(&sum->buckets[b], read_number(&part->buckets[b]));
    atomic_fetch_add(&sum->sum_ns, read_number(&part->sum_ns));
}

static void write_counters(const struct metrics *metrics, struct text *text)
{
    for (int i = 0; i < METRICS_COUNTERS; i++) {
        uint64_t sum = 0;

        for (int s = 0; s < METRICS_SHARDS; s++)
            sum += read_number(&metrics->shards[s].counters[i]);
        write_family(text, counters[i].name, "counter", counters[i].help);
        text_printf(text, "%s %" PRIu64 "\n", counters[i].name, sum);
    }
    write_family(text, "lqnet_log_lines_dropped_total", "counter",
                 "Lines of the log that its reader was too slow for.");
    text_printf(text, "lqnet_log_lines_dropped_total %" PRIu64 "\n", log_dropped());
}

static void write_gauges(const struct metrics *metrics, struct text *text)
{
    for (int i = 0; i < METRICS_GAUGES; i++) {
        uint64_t sum = 0;

        for (int s = 0; s < METRICS_SHARDS; s++)
            sum += read_number(&metrics->shards[s].gauges[i]);
        write_family(text, gauges[i].name, "gauge", gauges[i].help);
        text_printf(text, "%s %" PRId64 "\n", gauges[i].name, (int64_t)sum);
    }
    write_family(text, "lqnet_cpus", "gauge",
                 "CPUs that the affinity mask and the cgroup's quota allow.");
    text_printf(text, "lqnet_cpus %d\n", lq_cpu_count());
    write_family(text, "lqnet_build_info", "gauge", "1; the label tells the version.");
    text_string(text, "lqnet_build_info{version=\"" LQ_VERSION "\"} 1\n");
}

static void write_rejections(const struct metrics *metrics, struct text *text)
{
    const char *name = "lqnet_http_requests_rejected_total";

    write_family(text, name, "counter", "Requests turned away, by reason.");
    for (int i = 0; i < METRICS_REJECTIONS; i++) {
        uint64_t sum = 0;

        for (int s = 0; s < METRICS_SHARDS; s++)
            sum += read_number(&metrics->shards[s].rejections[i]);
        text_printf(text, "%s{reason=\"%s\"} %" PRIu64 "\n", name, reasons[i], sum);
    }
}

static const char *route_name(const struct metrics *metrics, int route)
{
    return route < metrics->route_count ? metrics->routes[route] : "none";
}

static void write_route(const struct metrics *metrics, int route, const char *name,
                        struct text *text)
{
    for (int m = 0; m < METRICS_METHODS; m++) {
        for (int c = 0; c < METRICS_CODES; c++) {
            uint64_t sum = 0;

            for (int s = 0; s < METRICS_SHARDS; s++)
                sum += read_number(&metrics->shards[s].routes[route].requests[m][c]);
            if (sum == 0)
                continue;
            text_printf(text, "%s{", name);
            write_label(text, "route", route_name(metrics, route));
            text_printf(text, ",method=\"%s\",code=\"%s\"} %" PRIu64 "\n", methods[m], codes[c],
                        sum);
        }
    }
}

static void write_requests(const struct metrics *metrics, struct text *text)
{
    const char *total = "lqnet_http_requests_total", *seconds = "lqnet_http_request_seconds";

    write_family(text, total, "counter", "Requests ended, by route, method and status.");
    for (int r = 0; r <= metrics->route_count; r++)
        write_route(metrics, r, total, text);
    write_family(text, seconds, "histogram", "From a request's first line to its reply.");
    for (int r = 0; r <= metrics->route_count; r++) {
        struct metrics_times sum = {0};
        struct text labels = {0};
        uint64_t count = 0;

        for (int s = 0; s < METRICS_SHARDS; s++)
            add_times(&sum, &metrics->shards[s].routes[r].times);
        for (int b = 0; b <= METRICS_TIME_BUCKETS; b++)
            count += read_number(&sum.buckets[b]);
        write_label(&labels, "route", route_name(metrics, r));
        text_append(&labels, ",", 1);
        if (count && !labels.failed)
            write_times(text, seconds, &labels, &sum);
        text_free(&labels);
    }
}

/* The labels of a model, with a comma behind each. */
static void write_model_labels(const struct metrics_model *model, struct text *text)
{
    write_label(text, "model", model->name);
    text_append(text, ",", 1);
    write_label(text, "version", model->version);
    text_append(text, ",", 1);
}

static void write_model_value(const struct metrics_model *model, const char *name, int64_t value,
                              struct text *text)
{
    text_printf(text, "%s{", name);
    write_label(text, "model", model->name);
    text_append(text, ",", 1);
    write_label(text, "version", model->version);
    text_printf(text, "} %" PRId64 "\n", value);
}

static void write_stages(const struct metrics_model *model, const char *name, struct text *text)
{
    for (int i = 0; i < METRICS_STAGES; i++) {
        struct metrics_times sum = {0};
        struct text labels = {0};

        for (int s = 0; s < METRICS_SHARDS; s++)
            add_times(&sum, &model->shards[s].stages[i]);
        write_model_labels(model, &labels);
        write_label(&labels, "stage", stages[i]);
        text_append(&labels, ",", 1);
        if (!labels.failed)
            write_times(text, name, &labels, &sum);
        text_free(&labels);
    }
}

static void write_sizes(const struct metrics_model *model, const char *name, struct text *text)
{
    struct text labels = {0};
    uint64_t below = 0;

    write_model_labels(model, &labels);
    if (labels.failed)
        return;
    for (int b = 0; b <= METRICS_SIZE_BUCKETS; b++) {
        char bound[24] = "+Inf";

        for (int s = 0; s < METRICS_SHARDS; s++)
            below += read_number(&model->shards[s].sizes[b]);
        if (b < METRICS_SIZE_BUCKETS)
            snprintf(bound, sizeof(bound), "%" PRId64, metrics_size_bounds[b]);
        text_printf(text, "%s_bucket{%.*sle=\"%s\"} %" PRIu64 "\n", name, (int)labels.length,
                    labels.bytes, bound, below);
    }
    text_printf(text, "%s_sum{%.*s} %" PRIu64 "\n%s_count{%.*s} %" PRIu64 "\n", name,
                (int)labels.length - 1, labels.bytes, metrics_model_read(model, METRICS_IMAGES),
                name, (int)labels.length - 1, labels.bytes, below);
    text_free(&labels);
}

static void write_models(struct metrics_model *const *models, int count, struct text *text)
{
    const char *stage = "lqnet_model_stage_seconds", *batch = "lqnet_model_batch_images";

    for (int i = 0; i < METRICS_MODEL_COUNTERS; i++) {
        write_family(text, model_counters[i].name, "counter", model_counters[i].help);
        for (int m = 0; m < count; m++)
            write_model_value(models[m], model_counters[i].name,
                              (int64_t)metrics_model_read(models[m], i), text);
    }
    for (int i = 0; i < METRICS_MODEL_GAUGES; i++) {
        write_family(text, model_gauges[i].name, "gauge", model_gauges[i].help);
        for (int m = 0; m < count; m++)
            write_model_value(models[m], model_gauges[i].name,
                              (int64_t)atomic_load(&models[m]->gauges[i]), text);
    }
    write_family(text, stage, "histogram",
                 "Time in a stage: of a request (decode, queue, encode) or of a batch (compute).");
    for (int m = 0; m < count; m++)
        write_stages(models[m], stage, text);
    write_family(text, batch, "histogram", "Images in a batch.");
    for (int m = 0; m < count; m++)
        write_sizes(models[m], batch, text);
}

void metrics_write(struct metrics *metrics, struct text *text)
{
    struct metrics_model *models[METRICS_MAX_MODELS + 1];
    int count;

    pthread_mutex_lock(&metrics->lock);
    count = metrics->model_count;
    memcpy(models, metrics->models, (size_t)count * sizeof(*models));
    pthread_mutex_unlock(&metrics->lock);
    if (count == METRICS_MAX_MODELS)
        models[count++] = &metrics->other;
    write_counters(metrics, text);
    write_gauges(metrics, text);
    write_rejections(metrics, text);
    write_requests(metrics, text);
    if (count > 0)
        write_models(models, count, text);
    metrics_write_process(text);
}
