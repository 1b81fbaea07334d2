/* bench_step.c - how fast the trainer's steps are.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     bench_step [--bits W/A] [--batch N] [--threads N] [SECONDS [NETWORK]]
 *
 * Forward, backward and the optimizer's step on one batch of random pictures, again and again; the
 * median time of a step counts. Prints images_per_s=..., as the rivals do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/rng.h"
#include "base/status.h"
#include "lq_model.h"
#include "train/loss.h"
#include "train/sgd.h"

enum { MAX_STEPS = 100000, LEAST_STEPS = 6, FIRST_STEPS = 2 };

struct bench {
    struct lq_engine *engine;
    struct lq_model *model;
    struct lq_tape *tape;
    int batch, classes;
    float *input, *d_logits, *velocity;
    int *labels;
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void *room(size_t count, size_t size)
{
    void *block = lq_alloc(count, size);

    if (!block) {
        fputs("bench_step: out of memory\n", stderr);
        exit(1);
    }
    return block;
}

static int bench_init(struct bench *b, const struct lq_arch_options *arch, int batch, int threads,
                      struct lq_error *error)
{
    struct lq_rng rng;
    int status = lq_engine_create(LQ_CPU_ALL, &b->engine, error);

    if (status == LQ_OK)
        status = lq_model_create_arch(b->engine, arch, &b->model, error);
    if (status != LQ_OK)
        return status;
    const struct lq_graph *graph = b->model->graph;
    struct lq_tape_options options = {.batch = batch,
                                      .threads = threads,
                                      .kernels = lq_engine_kernels(b->engine),
                                      .basis_momentum = 0.9,
                                      .statistics_momentum = 0.9};
    status = lq_tape_create(graph, &options, &b->tape, error);
    if (status != LQ_OK)
        return status;
    size_t floats = (size_t)lq_shape_elements(&graph->values[graph->input].shape);
    b->batch = batch;
    b->classes = (int)lq_shape_elements(&graph->values[graph->output].shape);
    b->input = room((size_t)batch * floats, sizeof(float));
    b->labels = room((size_t)batch, sizeof(int));
    b->d_logits = room((size_t)(batch * b->classes), sizeof(float));
    b->velocity = room(lq_tape_numbers(b->tape), sizeof(float));
    lq_rng_init(&rng, 1, 1);
    for (size_t i = 0; i < (size_t)batch * floats; i++)
        b->input[i] = (float)(lq_rng_u32(&rng) >> 8) * 0x1p-22f - 2.0f;
    for (int i = 0; i < batch; i++)
        b->labels[i] = (int)lq_rng_below(&rng, (uint32_t)b->classes);
    return LQ_OK;
}

static void bench_deinit(struct bench *b)
{
    lq_tape_destroy(b->tape);
    lq_model_unref(b->model);
    lq_engine_destroy(b->engine);
    free(b->input);
    free(b->labels);
    free(b->d_logits);
    free(b->velocity);
}

static double take_step(struct bench *b)
{
    static const struct lq_loss loss = {0};
    static const struct lq_sgd sgd = {0.01, 0.9, 1e-4, true};
    double start = now();
    const float *logits;
    int correct;

    lq_tape_forward(b->tape, b->input, b->batch, LQ_TAPE_TRAIN, &logits);
    lq_loss_run(&loss, logits, NULL, b->labels, b->batch, b->classes, b->d_logits, &correct);
    lq_tape_backward(b->tape, b->d_logits);
    lq_sgd_step(&sgd, b->tape, b->velocity);
    return now() - start;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void run(struct bench *b, double seconds, const char *what, int threads)
{
    double *times = room(MAX_STEPS, sizeof(*times)), end = now() + seconds;
    int count = 0;

    for (int i = 0; i < FIRST_STEPS; i++)
        take_step(b);
    while ((now() < end || count < LEAST_STEPS) && count < MAX_STEPS)
        times[count++] = take_step(b);
    qsort(times, (size_t)count, sizeof(*times), compare);
    printf("lqnet %s train threads=%d batch=%d memory_mb=%.0f median_ms=%.1f least_ms=%.1f "
           "images_per_s=%.1f\n",
           what, threads, b->batch, (double)lq_tape_bytes(b->tape) / 1e6, 1e3 * times[count / 2],
           1e3 * times[0], b->batch / times[count / 2]);
    free(times);
}

int main(int argc, char **argv)
{
    struct lq_arch_options arch = {.arch = "resnet-20", .seed = 1};
    struct bench b = {0};
    struct lq_error error = {0};
    int batch = 128, threads = lq_cpu_count(), given = 0;
    double seconds = 10;
    char what[64];

    for (int i = 1; i < argc; i++) {
        bool value = i + 1 < argc;

        if (strcmp(argv[i], "--bits") == 0 && value)
            (void)sscanf(argv[++i], "%d/%d", &arch.bits.weight_bits, &arch.bits.activation_bits);
        else if (strcmp(argv[i], "--batch") == 0 && value)
            batch = atoi(argv[++i]);
        else if (strcmp(argv[i], "--threads") == 0 && value)
            threads = atoi(argv[++i]);
        else if (given++ == 0)
            seconds = atof(argv[i]);
        else
            arch.arch = argv[i];
    }
    if (bench_init(&b, &arch, batch, threads, &error) != LQ_OK) {
        fprintf(stderr, "bench_step: %s\n", error.text);
        return 1;
    }
    snprintf(what, sizeof(what), "%s %d/%d", arch.arch, arch.bits.weight_bits,
             arch.bits.activation_bits);
    run(&b, seconds, what, threads);
    bench_deinit(&b);
    return 0;
}
