/* bench.c - lqnet bench: how fast a network is on this machine.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "cli/cli.h"

#define MAX_RUNS 1000000

static const struct cli_option options[] = {
    {"threads", 't', "N", "threads that share the work of a batch; default 1"},
    {"batch", 'b', "N", "images at once; default 1"},
    {"seconds", 's', "N", "for about this long; default 3"},
    {"form", 0, "NAME", "auto (default), plain, packed or float"},
    {"json", 0, NULL, "print one JSON object"},
    {NULL, 0, NULL, NULL}};

struct bench {
    struct lq_model *model;
    struct lq_session *session;
    struct lq_model_info info;
    int64_t threads, batch, seconds;
    uint8_t *input;
    float *output;
    double *runs; /* seconds of each */
    int run_count;
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The first tenth of the time warms up: it is not counted. */
static int measure(struct bench *b, struct lq_error *error)
{
    double start = now(), end = start + (double)b->seconds, warm = start + 0.1 * (double)b->seconds;
    double before;

    while ((before = now()) < end && b->run_count < MAX_RUNS) {
        int status = lq_session_run_pixels(b->session, b->input, (int)b->batch, b->output, error);

        if (status != LQ_OK)
            return status;
        if (before >= warm || b->run_count == 0)
            b->runs[b->run_count++] = now() - before;
    }
    qsort(b->runs, (size_t)b->run_count, sizeof(*b->runs), compare);
    return LQ_OK;
}

static void print(const struct cli_arguments *a, const struct bench *b)
{
    double median = b->runs[b->run_count / 2], p99 = b->runs[b->run_count * 99 / 100];
    double images = (double)b->batch / median;
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    if (cli_value(a, "json")) {
        printf("{\"model\": \"%s\", \"cpu\": \"%s\", \"threads\": %lld, \"batch\": %lld, "
               "\"median_ms\": %.4f, \"p99_ms\": %.4f, \"images_per_s\": %.1f, "
               "\"peak_memory_mb\": %.1f}\n",
               b->info.name, lq_engine_cpu(a->engine), (long long)b->threads, (long long)b->batch,
               median * 1e3, p99 * 1e3, images, (double)usage.ru_maxrss / 1024);
        return;
    }
    printf("%s on %s, %lld thread%s, batch %lld: median %.3f ms, 99 %% within %.3f ms, %.0f "
           "images/s, %.1f GMAC/s, peak memory %.1f MB\n",
           b->info.name, lq_engine_cpu(a->engine), (long long)b->threads,
           b->threads == 1 ? "" : "s", (long long)b->batch, median * 1e3, p99 * 1e3, images,
           images * (double)b->info.macs / 1e9, (double)usage.ru_maxrss / 1024);
}

static int run_bench(const struct cli_arguments *a, struct bench *b, int form)
{
    const struct lq_session_options session = {(int)b->batch, (int)b->threads, (enum lq_form)form};
    struct lq_error error = {0};
    size_t numbers;

    if (lq_model_open(a->engine, a->operands[0], &b->model, &error) != LQ_OK ||
        lq_session_create(b->model, &session, &b->session, &error) != LQ_OK)
        return cli_fail_error(&error);
    lq_model_get_info(b->model, &b->info);
    numbers = (size_t)b->info.height * (size_t)b->info.width * (size_t)b->info.channels;
    b->input = malloc(numbers * (size_t)b->batch);
    b->output = malloc(sizeof(float) * (size_t)b->info.classes * (size_t)b->batch);
    b->runs = malloc(sizeof(double) * MAX_RUNS);
    if (!b->input || !b->output || !b->runs)
        return cli_fail(CLI_FAILED, "out of memory");
    for (size_t i = 0; i < numbers * (size_t)b->batch; i++) /* any picture: speed depends on none */
        b->input[i] = (uint8_t)(i * 2654435761u >> 24);
    if (measure(b, &error) != LQ_OK)
        return cli_fail_error(&error);
    print(a, b);
    return CLI_OK;
}

static int run(const struct cli_arguments *a)
{
    struct bench b = {.threads = 1, .batch = 1, .seconds = 3};
    const char *form_name = cli_value(a, "form");
    int form = form_name ? lq_form_from_name(form_name) : LQ_FORM_AUTO;
    int status = cli_int(a, "threads", 1, 64, &b.threads);

    if (status == CLI_OK)
        status = cli_int(a, "batch", 1, 4096, &b.batch);
    if (status == CLI_OK)
        status = cli_int(a, "seconds", 1, 3600, &b.seconds);
    if (status == CLI_OK && form < 0)
        status =
            cli_fail(CLI_USAGE, "--form is '%s', expected auto, plain, packed or float", form_name);
    if (status == CLI_OK)
        status = run_bench(a, &b, form);
    free(b.runs);
    free(b.output);
    free(b.input);
    lq_session_destroy(b.session);
    lq_model_unref(b.model);
    return status;
}

const struct cli_command command_bench = {
    "bench", "NET.lq", "measure the speed of a network", NULL, 1, 1, options, run};
