/* bench.c - lqnet bench: how fast a network is on this machine, and where its time goes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"

#define MAX_RUNS 1000000

static const struct cli_option options[] = {
    {"threads", 't', "N", "threads that share the work of a batch; default 1"},
    {"batch", 'b', "N", "images at once; default 1"},
    {"seconds", 's', "X", "for about this long; default 3"},
    {"form", 0, "NAME", "auto (default), plain, packed or float"},
    {"check", 0, NULL, "first compare the answers with those of the plain form, to the bit"},
    {"json", 0, NULL, "print one JSON object"},
    {NULL, 0, NULL, NULL}};

struct bench {
    struct lq_model *model;
    struct lq_session *session;
    struct lq_model_info info;
    int64_t threads, batch;
    float seconds;
    double first; /* seconds from before the file was opened to the first answer */
    uint8_t *input;
    float *output;
    double *runs; /* seconds of each */
    int run_count, profiled;
};

struct summary {
    double median, p99; /* seconds */
    double images;      /* a second */
    double memory;      /* MB; 0 where the system does not tell */
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

/* The most memory that this process has had since it was started. (What getrusage tells includes
 * the parent's until the program was loaded.) */
static double peak_memory_mb(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    long kilobytes = 0;

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmHWM: %ld", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return (double)kilobytes / 1024;
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

/* A second, shorter pass: looking at the clock between layers takes time of its own. */
static int profile(struct bench *b, struct lq_error *error)
{
    int status = lq_session_profile(b->session, error);

    b->profiled = b->run_count / 4 + 1;
    for (int i = 0; i < b->profiled && status == LQ_OK; i++)
        status = lq_session_run_pixels(b->session, b->input, (int)b->batch, b->output, error);
    return status;
}

static double step_us(const struct bench *b, const struct lq_step_info *step)
{
    return step->seconds / (double)b->profiled / (double)b->batch * 1e6;
}

static json_t *layers_json(const struct bench *b)
{
    json_t *list = json_array();

    for (int i = 0; i < lq_session_step_count(b->session); i++) {
        struct lq_step_info step;

        lq_session_step(b->session, i, &step);
        if (step.seconds == 0)
            continue;
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:f}", "name", step.name, "op",
                                              step.op, "input", step.store, "macs",
                                              (json_int_t)step.macs, "us", step_us(b, &step)));
    }
    return list;
}

static void print_json(const struct cli_arguments *a, const struct bench *b,
                       const struct summary *s)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:o}", "model", b->info.name,
        "cpu", lq_engine_cpu(a->engine), "threads", (json_int_t)b->threads, "batch",
        (json_int_t)b->batch, "median_ms", s->median * 1e3, "min_ms", b->runs[0] * 1e3, "p99_ms",
        s->p99 * 1e3, "images_per_s", s->images, "peak_memory_mb", s->memory, "first_answer_ms",
        b->first * 1e3, "macs", (json_int_t)b->info.macs, "layers", layers_json(b));

    if (root)
        json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

static void print_layers(const struct bench *b)
{
    double all = 0;
    struct lq_step_info step;

    for (int i = 0; i < lq_session_step_count(b->session); i++) {
        lq_session_step(b->session, i, &step);
        all += step.seconds;
    }
    printf("\n%-32s %-20s %-7s %12s %9s %7s %9s\n", "step", "operator", "input", "MAC", "us",
           "share", "GMAC/s");
    for (int i = 0; i < lq_session_step_count(b->session); i++) {
        lq_session_step(b->session, i, &step);
        if (step.seconds == 0) /* an earlier one has done its work */
            continue;
        double us = step_us(b, &step);

        printf("%-32s %-20s %-7s %12lld %9.1f %6.1f%%", step.name, step.op, step.store,
               (long long)step.macs, us, all > 0 ? 100 * step.seconds / all : 0);
        if (step.macs > 0 && us > 0)
            printf(" %9.1f", (double)step.macs / us / 1e3);
        putchar('\n');
    }
}

static void print(const struct cli_arguments *a, const struct bench *b)
{
    double median = b->runs[b->run_count / 2];
    struct summary s = {median, b->runs[b->run_count * 99 / 100], (double)b->batch / median,
                        peak_memory_mb()};

    if (cli_value(a, "json")) {
        print_json(a, b, &s);
        return;
    }
    printf("%s on %s, %lld thread%s, batch %lld: median %.3f ms, 99 %% within %.3f ms, %.0f "
           "images/s, %.1f GMAC/s, peak memory %.1f MB, first answer %.1f ms after the start\n",
           b->info.name, lq_engine_cpu(a->engine), (long long)b->threads,
           b->threads == 1 ? "" : "s", (long long)b->batch, s.median * 1e3, s.p99 * 1e3, s.images,
           s.images * (double)b->info.macs / 1e9, s.memory, b->first * 1e3);
    print_layers(b);
}

/* The first answers again, by the definition. */
static int check(const struct bench *b, struct lq_error *error)
{
    const struct lq_session_options plain = {(int)b->batch, (int)b->threads, LQ_FORM_PLAIN};
    size_t numbers = (size_t)b->info.classes * (size_t)b->batch, at = 0;
    float *expected = calloc(numbers, sizeof(*expected));
    struct lq_session *session = NULL;
    int status = CLI_OK;

    if (!expected)
        return cli_fail(CLI_FAILED, "out of memory");
    if (lq_session_create(b->model, &plain, &session, error) != LQ_OK ||
        lq_session_run_pixels(session, b->input, (int)b->batch, expected, error) != LQ_OK)
        status = cli_fail_error(error);
    while (status == CLI_OK && at < numbers &&
           memcmp(&expected[at], &b->output[at], sizeof(*expected)) == 0)
        at++;
    if (status == CLI_OK && at < numbers)
        status = cli_fail(CLI_FAILED, "image %zu, class %zu: %.9g, but %.9g in the plain form",
                          at / (size_t)b->info.classes, at % (size_t)b->info.classes,
                          (double)b->output[at], (double)expected[at]);
    lq_session_destroy(session);
    free(expected);
    return status;
}

static int run_bench(const struct cli_arguments *a, struct bench *b, int form)
{
    const struct lq_session_options session = {(int)b->batch, (int)b->threads, (enum lq_form)form};
    struct lq_error error = {0};
    double start = now();
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
    if (lq_session_run_pixels(b->session, b->input, (int)b->batch, b->output, &error) != LQ_OK)
        return cli_fail_error(&error);
    b->first = now() - start;
    if (cli_value(a, "check") && check(b, &error) != CLI_OK)
        return CLI_FAILED;
    if (measure(b, &error) != LQ_OK || profile(b, &error) != LQ_OK)
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
        status = cli_float(a, "seconds", &b.seconds);
    if (status == CLI_OK && !(b.seconds > 0 && b.seconds <= 3600))
        status = cli_fail(CLI_USAGE, "bench: option --seconds is '%s', expected 0 to 3600",
                          cli_value(a, "seconds"));
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
