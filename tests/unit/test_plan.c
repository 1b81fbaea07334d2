/* test_plan.c - values that share room, and maps that lie in wider ones, keep what they hold.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "graph/session.h"
#include "quant/quantizer.h"
#include "support/suite.h"

enum {
    HEIGHT = 5,
    WIDTH = 4,
    PIXELS = HEIGHT * WIDTH,
    VALUES = 30,
    MOST_CHANNELS = 400 /* of a value */
};

/* A graph of values that are joined, clipped at zero and quantized, and what each of them is by
 * definition, pixel by pixel. */
struct problem {
    struct lq_graph *graph;
    int count, channels[VALUES];
    bool read[VALUES];
    float values[VALUES][PIXELS * MOST_CHANNELS];
};

static int add(struct problem *p, struct lq_node_spec *spec)
{
    char name[16];
    int value = -1;

    snprintf(name, sizeof(name), "n%d", p->count);
    spec->name = name;
    ck_assert_int_eq(lq_graph_add_node(p->graph, spec, &value, NULL), LQ_OK);
    for (int i = 0; i < spec->input_count; i++)
        p->read[spec->inputs[i]] = true;
    return value;
}

static void add_join(struct problem *p, const int *inputs, int count)
{
    struct lq_node_spec spec = {
        .kind = LQ_OP_CONCAT, .attributes = {.axis = 2}, .input_count = count};
    int value, channels = 0;

    memcpy(spec.inputs, inputs, (size_t)count * sizeof(*inputs));
    value = add(p, &spec);
    for (int i = 0; i < count; i++)
        channels += p->channels[inputs[i]];
    for (int pixel = 0; pixel < PIXELS; pixel++) {
        float *to = p->values[value] + (size_t)(pixel * channels);

        for (int i = 0; i < count; i++)
            for (int c = 0; c < p->channels[inputs[i]]; c++)
                *to++ = p->values[inputs[i]][pixel * p->channels[inputs[i]] + c];
    }
    p->channels[value] = channels;
    p->count++;
}

static void add_relu(struct problem *p, int input)
{
    struct lq_node_spec spec = {.kind = LQ_OP_RELU, .inputs = {input}, .input_count = 1};
    int value = add(p, &spec);

    p->channels[value] = p->channels[input];
    for (int i = 0; i < PIXELS * p->channels[input]; i++)
        p->values[value][i] = p->values[input][i] > 0 ? p->values[input][i] : 0;
    p->count++;
}

static void add_quantize(struct problem *p, int input)
{
    struct lq_shape one = {1, {1}}, two = {1, {2}};
    struct lq_tensor *basis = NULL, *scale = NULL;
    struct lq_node_spec spec = {
        .kind = LQ_OP_QUANTIZE, .attributes = {.bits = 2}, .inputs = {input}, .input_count = 1};
    struct lq_snapped_basis snapped = {
        .kind = LQ_CODE_UNSIGNED, .bits = 2, .scale = 0.02f, .integers = {11, 29}};
    struct lq_quantizer quantizer;
    char name[16];
    int value;

    snapped.grid = spec.attributes.grid = lq_grid_or_default(LQ_CODE_UNSIGNED, 2, 0);
    snprintf(name, sizeof(name), "b%d", p->count);
    ck_assert_int_eq(lq_graph_add_tensor(p->graph, name, LQ_I16, &two, NULL, &basis, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_add_tensor(p->graph, name, LQ_F32, &one, NULL, &scale, NULL), LQ_OK);
    memcpy((void *)basis->data, snapped.integers, 2 * sizeof(int16_t));
    *(float *)scale->data = snapped.scale;
    spec.params[LQ_PARAM_BASIS] = basis;
    spec.params[LQ_PARAM_SCALE] = scale;
    value = add(p, &spec);
    lq_quantizer_init_snapped(&quantizer, &snapped);
    p->channels[value] = p->channels[input];
    for (int i = 0; i < PIXELS * p->channels[input]; i++)
        p->values[value][i] = quantizer.levels[lq_quantizer_level(&quantizer, p->values[input][i])];
    p->count++;
}

/* Up to three values, the latest ones more often, the same ones sometimes. */
static void add_some_join(struct problem *p)
{
    int inputs[3], count = below(3) + 1, channels = 0;

    for (int i = 0; i < count; i++) {
        inputs[i] = below(2) ? p->count - 1 : below(p->count);
        channels += p->channels[inputs[i]];
    }
    if (channels <= MOST_CHANNELS)
        add_join(p, inputs, count);
    else
        add_relu(p, inputs[0]);
}

/* An image, and no nodes yet. */
static void start(struct problem *p)
{
    struct lq_shape input = {3, {HEIGHT, WIDTH, 3}};

    p->count = 1;
    p->channels[0] = 3;
    memset(p->read, 0, sizeof(p->read));
    for (int i = 0; i < PIXELS * 3; i++)
        p->values[0][i] = (float)rand() / (float)RAND_MAX - 0.2f;
    ck_assert_int_eq(lq_graph_create(&p->graph, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_add_input(p->graph, "input", &input, NULL), LQ_OK);
}

static void make(struct problem *p)
{
    start(p);
    while (p->count < VALUES) {
        int kind = below(5), latest = below(2) ? p->count - 1 : below(p->count);

        if (kind < 3)
            add_some_join(p);
        else if (kind == 3)
            add_relu(p, latest);
        else
            add_quantize(p, latest);
    }
}

/* What nobody else reads, side by side, is the output; returns its values by definition. */
static int finish(struct problem *p, float *ret_expected)
{
    struct lq_node_spec join = {.kind = LQ_OP_CONCAT, .attributes = {.axis = 0}};
    int value = -1, length = 0;

    for (int i = 1; i < p->count && join.input_count < LQ_MAX_INPUTS; i++) {
        int64_t elements = (int64_t)PIXELS * p->channels[i];
        struct lq_node_spec flat = {.kind = LQ_OP_RESHAPE,
                                    .attributes = {.shape = {1, {(int)elements}}},
                                    .inputs = {i},
                                    .input_count = 1};
        char name[16];

        if (p->read[i])
            continue;
        snprintf(name, sizeof(name), "flat%d", i);
        flat.name = name;
        ck_assert_int_eq(lq_graph_add_node(p->graph, &flat, &value, NULL), LQ_OK);
        join.inputs[join.input_count++] = value;
        for (int c = 0; c < p->channels[i]; c++) /* a map becomes a row channel by channel */
            for (int pixel = 0; pixel < PIXELS; pixel++)
                ret_expected[length++] = p->values[i][pixel * p->channels[i] + c];
    }
    join.name = "output";
    ck_assert_int_eq(lq_graph_add_node(p->graph, &join, &value, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_finish(p->graph, value, NULL), LQ_OK);
    return length;
}

/* Maps that lie in wider ones. */
static int parts(const struct lq_program *program)
{
    int count = 0;

    for (int i = 0; i < program->step_count; i++)
        count += program->steps[i].pitch !=
                 (size_t)lq_shape_map(&program->steps[i].output.shape).channels;
    return count;
}

/* The answers are those by definition; returns how many maps lie in wider ones. */
static int expect_answers(const struct problem *p, bool separate, int threads,
                          const float *expected, int length)
{
    static float got[VALUES * PIXELS * MOST_CHANNELS];
    struct lq_kernels kernels;
    struct lq_lower_options options = {LQ_FORM_AUTO, separate, &kernels};
    struct lq_program *program = NULL;
    struct lq_runner *runner = NULL;

    lq_kernels_init(&kernels, lq_cpu_detect());
    ck_assert_int_eq(lq_program_create(p->graph, &options, &program, NULL), LQ_OK);
    ck_assert_int_eq(lq_runner_create(program, threads, &runner, NULL), LQ_OK);
    memset(got, 0xff, sizeof(got));
    ck_assert_int_eq(lq_runner_run(runner, p->values[0], LQ_NHWC, 1, got, NULL), LQ_OK);
    ck_assert_mem_eq(got, expected, (size_t)length * sizeof(*got));
    int count = parts(program);
    lq_runner_destroy(runner);
    lq_program_destroy(program);
    return count;
}

/* Loop test: random graphs. Whatever lies where, the answers are those by definition. */
START_TEST(values_keep_what_they_hold)
{
    static struct problem p;
    static float expected[VALUES * PIXELS * MOST_CHANNELS];

    make(&p);
    int length = finish(&p, expected);
    expect_answers(&p, false, _i % 3 + 1, expected, length);
    ck_assert_int_eq(expect_answers(&p, true, _i % 3 + 1, expected, length), 0);
    lq_graph_destroy(p.graph);
}
END_TEST

/* Each of a block's layers reads, by a quantizer of its own, what all layers before it have made,
 * and joins what it makes itself, before or behind it. */
START_TEST(layers_of_a_block_lie_in_one_map)
{
    enum { LAYERS = 6 };
    static struct problem p;
    static float expected[VALUES * PIXELS * MOST_CHANNELS];

    start(&p);
    for (int layer = 0; layer < LAYERS; layer++) {
        int map = p.count - 1;

        add_quantize(&p, map);
        add_join(&p, layer % 2 ? (int[]){map, map + 1} : (int[]){map + 1, map}, 2);
    }
    int length = finish(&p, expected);
    ck_assert_int_eq(expect_answers(&p, false, 1, expected, length), LAYERS - 1);
    lq_graph_destroy(p.graph);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("plan");

    tcase_add_loop_test(tests, values_keep_what_they_hold, 0, 60);
    tcase_add_test(tests, layers_of_a_block_lie_in_one_map);
    return suite_main("plan", tests);
}
