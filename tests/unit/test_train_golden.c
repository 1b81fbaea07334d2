/* test_train_golden.c - training steps against those of an independent implementation.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * tests/golden/train_golden.py made tests/golden/train.txt: lines "name count numbers".
 */
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "support/tiny_model.h"
#include "train/loss.h"
#include "train/sgd.h"
#include "train/tape.h"

enum { BATCH = 16, INPUT = BATCH * 8 * 8 * 3, CHANNELS = 8, CLASSES = 4, STEPS = 20, MOST = 4096 };

static uint32_t stream;

static void draw(float *to, size_t count, double mean, double spread)
{
    for (size_t i = 0; i < count; i++) {
        stream = stream * 1664525u + 1013904223u;
        to[i] = (float)(mean + spread * ((stream >> 8) / 8388608.0 - 1));
    }
}

/* The golden numbers of a name; their count. */
static int golden(const char *name, double *ret_numbers)
{
    FILE *file = fopen("tests/golden/train.txt", "r");
    char found[64];
    int count = 0;

    ck_assert_ptr_nonnull(file);
    while (fscanf(file, "%63s %d", found, &count) == 2) {
        ck_assert_int_le(count, MOST);
        for (int i = 0; i < count; i++)
            ck_assert_int_eq(fscanf(file, "%lf", &ret_numbers[i]), 1);
        if (strcmp(found, name) == 0) {
            fclose(file);
            return count;
        }
    }
    ck_abort_msg("no '%s' in train.txt", name);
    return 0;
}

/* Within a part of the largest of them. */
static void check(const char *name, const float *numbers, size_t count, double tolerance)
{
    static double expected[MOST];
    double largest = 1e-3;

    ck_assert_uint_eq((size_t)golden(name, expected), count);
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)numbers[i] - expected[i]) <= tolerance * largest,
                      "%s[%zu] is %g, expected %g", name, i, (double)numbers[i], expected[i]);
}

static const struct lq_tape_param *param(struct lq_tape *tape, const char *name)
{
    for (int i = 0; i < lq_tape_param_count(tape); i++)
        if (strcmp(lq_tape_param(tape, i)->name, name) == 0)
            return lq_tape_param(tape, i);
    ck_abort_msg("no parameter '%s'", name);
    return NULL;
}

static float *array(struct lq_tape *tape, const char *name)
{
    for (int i = 0; i < lq_tape_array_count(tape); i++)
        if (strcmp(lq_tape_array(tape, i)->name, name) == 0)
            return lq_tape_array(tape, i)->data;
    ck_abort_msg("no array '%s'", name);
    return NULL;
}

static const struct {
    const char *name;
    double mean, spread;
} params[] = {{"conv1.weight", 0, 0.5}, {"conv1.bias", 0, 0.1},    {"bn1.gamma", 1, 0.3},
              {"bn1.beta", 0.2, 0.3},   {"conv2.weight", 0, 0.3},  {"bn2.gamma", 1, 0.3},
              {"bn2.beta", 0.2, 0.3},   {"linear.weight", 0, 0.5}, {"linear.bias", 0, 0.1}};
enum { PARAMS = sizeof(params) / sizeof(*params) };

static void fill(struct lq_tape *tape, float *input)
{
    float low[CHANNELS], high[CHANNELS], *basis = array(tape, "conv2.basis");

    stream = 12345;
    draw(input, INPUT, 0, 1);
    for (int i = 0; i < PARAMS; i++) {
        const struct lq_tape_param *p = param(tape, params[i].name);

        draw(lq_tape_values(tape) + p->offset, p->count, params[i].mean, params[i].spread);
    }
    draw(low, CHANNELS, 0.08, 0.03);
    draw(high, CHANNELS, 0.17, 0.03);
    for (size_t row = 0; row < CHANNELS; row++) {
        basis[2 * row] = low[row];
        basis[2 * row + 1] = high[row];
    }
    draw(array(tape, "conv2.input.basis"), 1, 0.5, 0.1);
    draw(array(tape, "conv2.input.basis") + 1, 1, 1.0, 0.1);
    for (int c = 0; c < CHANNELS; c++) {
        array(tape, "bn1.mean")[c] = array(tape, "bn2.mean")[c] = 0;
        array(tape, "bn1.variance")[c] = array(tape, "bn2.variance")[c] = 1;
    }
}

static void check_first_step(struct lq_tape *tape)
{
    char name[600];

    for (int i = 0; i < PARAMS; i++) {
        const struct lq_tape_param *p = param(tape, params[i].name);

        if (strcmp(p->name, "conv1.bias") == 0)
            continue; /* behind it the mean is taken off: rounding noise */
        snprintf(name, sizeof(name), "d.%s", p->name);
        check(name, lq_tape_gradients(tape) + p->offset, p->count, 1e-3);
    }
    check("conv2.basis", array(tape, "conv2.basis"), 2 * CHANNELS, 1e-5);
    check("conv2.input.basis", array(tape, "conv2.input.basis"), 2, 1e-5);
    check("bn1.mean", array(tape, "bn1.mean"), CHANNELS, 1e-4);
    check("bn1.variance", array(tape, "bn1.variance"), CHANNELS, 1e-4);
    check("bn2.mean", array(tape, "bn2.mean"), CHANNELS, 1e-4);
    check("bn2.variance", array(tape, "bn2.variance"), CHANNELS, 1e-4);
}

static void run_steps(struct lq_tape *tape, float *velocity, float *losses)
{
    static float input[INPUT];
    const struct lq_loss loss = {.smoothing = 0.1};
    const struct lq_sgd sgd = {0.05, 0.9, 1e-3, true};
    float d_logits[BATCH * CLASSES];
    int labels[BATCH], correct;
    char name[600];

    fill(tape, input);
    for (int i = 0; i < BATCH; i++)
        labels[i] = i % CLASSES;
    for (int step = 0; step < STEPS; step++) {
        const float *logits;

        lq_tape_forward(tape, input, BATCH, LQ_TAPE_TRAIN, &logits);
        if (step == 0)
            check("logits", logits, BATCH * CLASSES, 1e-4);
        losses[step] =
            (float)lq_loss_run(&loss, logits, NULL, labels, BATCH, CLASSES, d_logits, &correct);
        lq_tape_backward(tape, d_logits);
        if (step == 0)
            check_first_step(tape);
        lq_sgd_step(&sgd, tape, velocity);
        for (int i = 0; i < PARAMS && step == 0; i++) {
            const struct lq_tape_param *p = param(tape, params[i].name);

            snprintf(name, sizeof(name), "value.%s", p->name);
            check(name, lq_tape_values(tape) + p->offset, p->count, 1e-4);
        }
    }
}

/* The first step's numbers one by one; then a code that rounding turns over moves the loss a
 * little. */
START_TEST(test_steps)
{
    struct lq_kernels kernels;
    struct lq_tape_options options = {.batch = BATCH,
                                      .threads = 2,
                                      .kernels = &kernels,
                                      .basis_momentum = 0.9,
                                      .statistics_momentum = 0.9};
    struct lq_error error = {0};
    struct lq_graph *graph;
    struct lq_tape *tape;
    float losses[STEPS], *velocity;

    lq_kernels_init(&kernels, _i == 0 ? lq_cpu_detect() : 1u << LQ_CPU_C);
    ck_assert_int_eq(tiny_graph(1, &graph, &error), LQ_OK);
    ck_assert_msg(lq_tape_create(graph, &options, &tape, &error) == LQ_OK, "%s", error.text);
    velocity = calloc(lq_tape_numbers(tape), sizeof(*velocity));
    run_steps(tape, velocity, losses);
    check("losses", losses, STEPS, 2e-3);
    free(velocity);
    lq_tape_destroy(tape);
    lq_graph_destroy(graph);
}
END_TEST

enum { BASES = 2 * CHANNELS + 2 }; /* of conv2: weights, then its input */

static void copy_bases(struct lq_tape *tape, float ret_bases[BASES])
{
    memcpy(ret_bases, array(tape, "conv2.basis"), (size_t)2 * CHANNELS * sizeof(float));
    memcpy(ret_bases + 2 * CHANNELS, array(tape, "conv2.input.basis"), 2 * sizeof(float));
}

/* One step of bases that learn by their gradient; ret_before, ret_after: those of conv2. */
static void step_bases(enum lq_quantizer_kind quantizer, float ret_before[BASES],
                       float ret_after[BASES])
{
    struct lq_kernels kernels;
    struct lq_tape_options options = {.batch = BATCH,
                                      .threads = 2,
                                      .kernels = &kernels,
                                      .quantizer = quantizer,
                                      .basis_momentum = 0.9,
                                      .basis_gradients = true,
                                      .statistics_momentum = 0.9};
    const struct lq_loss loss = {.smoothing = 0.1};
    static float input[INPUT];
    float d_logits[BATCH * CLASSES];
    struct lq_error error = {0};
    struct lq_graph *graph;
    struct lq_tape *tape;
    int labels[BATCH], correct;
    const float *logits;

    lq_kernels_init(&kernels, lq_cpu_detect());
    ck_assert_int_eq(tiny_graph(1, &graph, &error), LQ_OK);
    ck_assert_int_eq(lq_tape_create(graph, &options, &tape, &error), LQ_OK);
    fill(tape, input);
    copy_bases(tape, ret_before);
    for (int i = 0; i < BATCH; i++)
        labels[i] = i % CLASSES;
    lq_tape_forward(tape, input, BATCH, LQ_TAPE_TRAIN, &logits);
    lq_loss_run(&loss, logits, NULL, labels, BATCH, CLASSES, d_logits, &correct);
    lq_tape_backward(tape, d_logits);
    lq_tape_step_bases(tape, 0.5, 0.9, 1e-3);
    copy_bases(tape, ret_after);
    lq_tape_destroy(tape);
    lq_graph_destroy(graph);
}

static const struct {
    enum lq_quantizer_kind quantizer;
    const char *weights, *input;
} steps[] = {{LQ_QUANTIZER_LEARNED, "stepped.conv2.basis", "stepped.conv2.input.basis"},
             {LQ_QUANTIZER_UNIFORM, "uniform.conv2.basis", "uniform.conv2.input.basis"}};

START_TEST(test_basis_gradients)
{
    float before[BASES], after[BASES];

    step_bases(steps[_i].quantizer, before, after);
    check(steps[_i].weights, after, 2 * CHANNELS, 1e-5);
    check(steps[_i].input, after + 2 * CHANNELS, 2, 1e-5);
}
END_TEST

/* Of v_i = 2^i s, s takes the step of v_0 + 2 v_1. */
START_TEST(test_scale_gradients)
{
    float before[BASES], learned[BASES], even[BASES];

    step_bases(LQ_QUANTIZER_LEARNED, before, learned);
    step_bases(LQ_QUANTIZER_EVEN, before, even);
    for (int i = 0; i < BASES; i += 2) {
        float step = learned[i] - before[i] + 2 * (learned[i + 1] - before[i + 1]);

        ck_assert_float_ne(step, 0);
        ck_assert_float_eq_tol(even[i] - before[i], step, 1e-5F);
        ck_assert_float_eq_tol(even[i + 1] - before[i + 1], 2 * step, 1e-5F);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("train_golden");

    tcase_add_loop_test(tests, test_steps, 0, 2);
    tcase_add_loop_test(tests, test_basis_gradients, 0, 2);
    tcase_add_test(tests, test_scale_gradients);
    return suite_main("train_golden", tests);
}
