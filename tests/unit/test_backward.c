/* test_backward.c - the gradients of every operator, against finite differences.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The loss is a random linear function of the network's outputs. A parameter is moved a little up
 * and down; what the loss changes by must be what the gradient says. Operators without parameters
 * stand behind a convolution, whose weights' gradients pass through theirs.
 */
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "format/onnx.h"
#include "graph/session.h"
#include "support/onnx_text.h"
#include "support/tiny_model.h"
#include "train/tape.h"
#include "train/teacher.h"

enum { BATCH = 6, THREADS = 2, ROOM = 1 << 16 };

static struct lq_kernels kernels;

static void setup(void)
{
    lq_kernels_init(&kernels, lq_cpu_detect());
}

/* "tensor NAME float DIMS" and random numbers around a mean. */
static int put_tensor(char *text, struct lq_rng *rng, const char *name, const char *dims,
                      float mean, float deviation)
{
    int count = 1, at = sprintf(text, "tensor %s float %s", name, dims);

    for (const char *d = dims; d; d = strchr(d, ',') ? strchr(d, ',') + 1 : NULL)
        count *= atoi(d);
    for (int i = 0; i < count; i++)
        at += sprintf(text + at, " %.5f", (double)(mean + deviation * lq_rng_normal(rng)));
    return at + sprintf(text + at, "\n");
}

static struct lq_graph *make_graph(const char *tensors, const char *nodes, struct lq_rng *rng)
{
    char *text = malloc(ROOM), line[128], dims[64], name[32];
    size_t at = (size_t)sprintf(text, "opset 13\ninput x float N,3,9,7\noutput y\n"), size;
    struct lq_meta meta = {.name = "net"};
    struct lq_error error = {0};
    struct lq_graph *graph;
    float mean, deviation;
    uint8_t *bytes;

    while (sscanf(tensors, "%127[^\n]", line) == 1) {
        ck_assert_int_eq(sscanf(line, "%31s %63s %f %f", name, dims, &mean, &deviation), 4);
        at += (size_t)put_tensor(text + at, rng, name, dims, mean, deviation);
        tensors += strlen(line) + (tensors[strlen(line)] == '\n');
    }
    sprintf(text + at, "%s", nodes);
    bytes = onnx_from_text(text, &size);
    ck_assert_msg(lq_onnx_import(bytes, size, &meta, &graph, &error) == LQ_OK, "%s", error.text);
    free(bytes);
    free(text);
    return graph;
}

struct net {
    struct lq_graph *graph;
    struct lq_tape *tape;
    float *input, *direction;
    int classes;
};

static void net_init(struct net *net, const char *tensors, const char *nodes, struct lq_rng *rng)
{
    struct lq_tape_options options = {.batch = BATCH,
                                      .threads = THREADS,
                                      .kernels = &kernels,
                                      .basis_momentum = 0.9,
                                      .statistics_momentum = 0.9};
    struct lq_error error = {0};

    net->graph = make_graph(tensors, nodes, rng);
    ck_assert_msg(lq_tape_create(net->graph, &options, &net->tape, &error) == LQ_OK, "%s",
                  error.text);
    net->classes = lq_graph_classes(net->graph);
    net->input = malloc(sizeof(float) * BATCH * 3 * 9 * 7);
    net->direction = malloc(sizeof(float) * BATCH * (size_t)net->classes);
    for (int i = 0; i < BATCH * 3 * 9 * 7; i++)
        net->input[i] = lq_rng_normal(rng);
    for (int i = 0; i < BATCH * net->classes; i++)
        net->direction[i] = lq_rng_normal(rng);
}

static void net_deinit(struct net *net)
{
    lq_tape_destroy(net->tape);
    lq_graph_destroy(net->graph);
    free(net->input);
    free(net->direction);
}

static double net_loss(struct net *net)
{
    const float *logits;
    double sum = 0;

    lq_tape_forward(net->tape, net->input, BATCH, LQ_TAPE_TRAIN, &logits);
    for (int i = 0; i < BATCH * net->classes; i++)
        sum += (double)logits[i] * (double)net->direction[i];
    return sum;
}

/* How far the slope along a parameter is from `expected`: that between two points beside it, or on
 * the side that comes closer, for where a kink lies near, it is on one side only. */
static double slope_error(struct net *net, float *parameter, double expected)
{
    const float value = *parameter, step = 5e-4f;
    double middle = net_loss(net), up, down;

    *parameter = value + step;
    up = net_loss(net);
    *parameter = value - step;
    down = net_loss(net);
    *parameter = value;
    return fmin(fabs((up - down) / (2 * (double)step) - expected),
                fmin(fabs((up - middle) / (double)step - expected),
                     fabs((middle - down) / (double)step - expected)));
}

/* Each parameter's gradient, at up to 24 of its numbers, within 4 % of the largest. With kinks on
 * both sides, differences are wrong: one number in twelve may be. */
static void check_gradients(struct net *net, struct lq_rng *rng)
{
    float *values = lq_tape_values(net->tape), *gradients = lq_tape_gradients(net->tape);
    size_t numbers = lq_tape_numbers(net->tape);
    float *kept = malloc(numbers * sizeof(*kept));

    net_loss(net);
    lq_tape_backward(net->tape, net->direction);
    memcpy(kept, gradients, numbers * sizeof(*kept));
    for (int i = 0; i < lq_tape_param_count(net->tape); i++) {
        const struct lq_tape_param *p = lq_tape_param(net->tape, i);
        double largest = 1e-3, worst = 0;
        int tries = p->count < 24 ? (int)p->count : 24, wrong = 0;

        for (size_t k = 0; k < p->count; k++)
            largest = fmax(largest, fabs((double)kept[p->offset + k]));
        for (int try = 0; try < tries; try++) {
            size_t at = p->offset + lq_rng_below(rng, (uint32_t)p->count);
            double difference = slope_error(net, values + at, (double)kept[at]) / largest;

            wrong += difference > 0.04;
            worst = fmax(worst, difference);
        }
        ck_assert_msg(wrong <= (tries + 11) / 12, "%s: %d of %d differ, by up to %g of %g", p->name,
                      wrong, tries, worst, largest);
    }
    free(kept);
}

static void check_net(const char *tensors, const char *nodes)
{
    struct lq_rng rng;
    struct net net;

    lq_rng_init(&rng, (uint64_t)rand(), 0);
    net_init(&net, tensors, nodes, &rng);
    check_gradients(&net, &rng);
    net_deinit(&net);
}

#define CONV_W1 "w1 8,3,3,3 0 0.3\n"
#define BN(n)   "g" n " 8 1 0.3\nb" n " 8 0.1 0.3\nm" n " 8 0 0.1\nv" n " 8 1 0.01\n"
#define HEAD    "GlobalAveragePool z p\nFlatten p f\nGemm f,wd,bd y transB=1\n"
#define HEAD_W  "wd 5,8 0 0.5\nbd 5 0 0.5\n"

START_TEST(test_conv_and_dense)
{
    check_net(CONV_W1 "c1 8 0 1\nw2 8,4,3,2 0 0.3\n" HEAD_W,
              "Conv x,w1,c1 a strides=[2,1] pads=[1,0,2,1]\n"
              "Conv a,w2 z group=2 dilations=[2,1] pads=[1,1,1,1]\n" HEAD);
}
END_TEST

START_TEST(test_norm_relu)
{
    check_net(CONV_W1 BN("1") "w2 8,8,1,1 0 0.3\n" BN("2") HEAD_W,
              "Conv x,w1 a\nBatchNormalization a,g1,b1,m1,v1 n\nRelu n r\n"
              "Conv r,w2 c\nBatchNormalization c,g2,b2,m2,v2 z\n" HEAD);
}
END_TEST

START_TEST(test_residual)
{
    check_net(
        CONV_W1 BN("1") "w2 8,8,3,3 0 0.3\n" BN("2") "w3 8,8,3,3 0 0.3\n" BN(
            "3") "w4 8,8,1,1 0 0.3\n" BN("4") HEAD_W,
        "Conv x,w1 a\nBatchNormalization a,g1,b1,m1,v1 n\nRelu n r\n"
        "Conv r,w2 c pads=[1,1,1,1]\nBatchNormalization c,g2,b2,m2,v2 d\nAdd d,r s\nRelu s t\n"
        "Conv t,w3 e pads=[1,1,1,1]\nBatchNormalization e,g3,b3,m3,v3 h\n"
        "Conv t,w4 i\nBatchNormalization i,g4,b4,m4,v4 j\nAdd h,j k\nAdd k,t z\n" HEAD);
}
END_TEST

/* A shortcut without parameters is computed ahead of the normalization that it is added to. */
START_TEST(test_shortcut)
{
    check_net(CONV_W1 BN("1") "w2 8,8,3,3 0 0.3\n" BN("2") HEAD_W,
              "tensor s int64 2 0 0\ntensor e int64 2 9 7\n"
              "tensor ax int64 2 2 3\ntensor st int64 2 2 2\n"
              "Conv x,w1 a pads=[1,1,1,1]\nBatchNormalization a,g1,b1,m1,v1 n\nRelu n r\n"
              "Conv r,w2 c pads=[1,1,1,1] strides=[2,2]\nBatchNormalization c,g2,b2,m2,v2 d\n"
              "Slice r,s,e,ax,st h\nAveragePool h i kernel_shape=[1,1]\n"
              "Add d,i k\nRelu k z\n" HEAD);
}
END_TEST

START_TEST(test_pools)
{
    check_net(CONV_W1 HEAD_W,
              "Conv x,w1 a pads=[1,1,1,1]\nMaxPool a b kernel_shape=[3,3] strides=[2,2] "
              "pads=[1,1,1,1]\nAveragePool a c kernel_shape=[3,2] strides=[2,2] pads=[1,0,1,0] "
              "ceil_mode=1\nConcat b,c d axis=2\nAveragePool d z kernel_shape=[2,2] "
              "pads=[1,1,1,1] count_include_pad=1\n" HEAD);
}
END_TEST

START_TEST(test_clip_pad_slice)
{
    check_net(CONV_W1 HEAD_W, "tensor low float () -0.5\ntensor high float () 0.6\n"
                              "tensor q int64 8 0 0 1 2 0 0 0 1\ntensor v float () 0.3\n"
                              "tensor s int64 2 1 2\ntensor e int64 2 8 9\ntensor ax int64 2 2 3\n"
                              "tensor st int64 2 2 1\n"
                              "Conv x,w1 a pads=[1,1,1,1]\nClip a,low,high b\nPad b,q,v c\n"
                              "Slice c,s,e,ax,st z\n" HEAD);
}
END_TEST

START_TEST(test_lrn_concat)
{
    check_net("w1 4,3,3,3 0 0.3\n" HEAD_W,
              "Conv x,w1 a pads=[1,1,1,1]\nLRN a b size=3 alpha=0.5 beta=0.75 bias=1.0\n"
              "Concat b,a z axis=1\n" HEAD);
}
END_TEST

/* A softmax at the end is left out of training; elsewhere it has a gradient. */
START_TEST(test_softmax)
{
    check_net("w1 8,3,3,3 0 0.3\nwe 8,8 0 1\nbe 8 0 0.5\n" HEAD_W,
              "Conv x,w1 a\nGlobalAveragePool a b\nFlatten b c\nGemm c,we,be d transB=1\n"
              "Softmax d e axis=1\nGemm e,wd,bd y transB=1\n");
}
END_TEST

START_TEST(test_flatten_map)
{
    check_net(CONV_W1 "wd 5,112 0 0.5\nbd 5 0 0.5\n",
              "Conv x,w1 a strides=[7,1] pads=[1,1,1,1]\nFlatten a f\n"
              "Gemm f,wd,bd y transB=1\n");
}
END_TEST

/* With running statistics the tape's forward pass is the exported network's: the same codes, so the
 * same integers; the floats between differ by rounding. */
START_TEST(test_forward_is_served)
{
    struct lq_tape_options options = {.batch = BATCH,
                                      .threads = 2,
                                      .kernels = &kernels,
                                      .basis_momentum = 0.9,
                                      .statistics_momentum = 0.5};
    const struct lq_lower_options lower = {LQ_FORM_AUTO, false, &kernels};
    enum { INPUT = BATCH * 8 * 8 * 3, CLASSES = 4 };
    struct lq_graph *graph, *exported;
    struct lq_program *program;
    struct lq_runner *runner;
    struct lq_tape *tape;
    struct lq_error error = {0};
    float input[INPUT], served[BATCH * CLASSES], d_logits[BATCH * CLASSES];
    const float *logits;
    struct lq_rng rng;

    lq_rng_init(&rng, 7, 0); /* a value at a threshold could fall to either side */
    for (int i = 0; i < INPUT; i++)
        input[i] = lq_rng_normal(&rng);
    for (int i = 0; i < BATCH * CLASSES; i++)
        d_logits[i] = lq_rng_normal(&rng);
    ck_assert_int_eq(tiny_graph(1, &graph, &error), LQ_OK);
    ck_assert_int_eq(lq_tape_create(graph, &options, &tape, &error), LQ_OK);
    for (int step = 0; step < 4; step++) {
        lq_tape_forward(tape, input, BATCH, LQ_TAPE_TRAIN, &logits);
        lq_tape_backward(tape, d_logits);
        for (size_t i = 0; i < lq_tape_numbers(tape); i++)
            lq_tape_values(tape)[i] -= 0.01f * lq_tape_gradients(tape)[i];
    }
    ck_assert_int_eq(lq_tape_export(tape, NULL, &exported, &error), LQ_OK);
    ck_assert_int_eq(lq_program_create(exported, &lower, &program, &error), LQ_OK);
    ck_assert_int_eq(lq_runner_create(program, 1, &runner, &error), LQ_OK);
    ck_assert_int_eq(lq_runner_run(runner, input, LQ_NHWC, BATCH, served, &error), LQ_OK);
    lq_tape_forward(tape, input, BATCH, LQ_TAPE_EVALUATE, &logits);
    for (int i = 0; i < BATCH * CLASSES; i++)
        ck_assert_float_eq_tol(logits[i], served[i], 1e-4f * (1 + fabsf(served[i])));
    lq_runner_destroy(runner);
    lq_program_destroy(program);
    lq_graph_destroy(exported);
    lq_tape_destroy(tape);
    lq_graph_destroy(graph);
}
END_TEST

/* A float teacher runs as a tape, some images at a time: as it would be served, whatever its
 * student's normalisation is. */
START_TEST(test_teacher)
{
    enum { COUNT = 21, CLASSES = 10, IMAGE = 32 * 32 * 3 };
    const struct lq_arch_options arch = {.arch = "resnet-20", .seed = 5};
    const struct lq_lower_options lower = {LQ_FORM_AUTO, false, &kernels};
    float *input = malloc(2 * sizeof(*input) * COUNT * IMAGE), *own = input + COUNT * IMAGE;
    float served[COUNT * CLASSES], taught[COUNT * CLASSES];
    struct lq_graph *graph, *student;
    struct lq_program *program;
    struct lq_runner *runner;
    struct lq_teacher *teacher;
    struct lq_error error = {0};
    struct lq_preprocess *to, *from;
    struct lq_rng rng;

    lq_rng_init(&rng, 3, 0);
    ck_assert_int_eq(lq_arch_build(&arch, &graph, &error), LQ_OK);
    ck_assert_int_eq(lq_arch_build(&arch, &student, &error), LQ_OK);
    to = &graph->meta.preprocess;
    from = &student->meta.preprocess;
    from->scale = 1;
    for (int c = 0; c < 3; c++) {
        from->mean[c] = 0.25f * (float)c;
        from->std[c] = 0.5f + (float)c;
    }
    for (int i = 0; i < COUNT * IMAGE; i++) {
        float value = lq_rng_normal(&rng); /* of scale 1 */

        input[i] = (value - from->mean[i % 3]) / from->std[i % 3];
        own[i] = (value * to->scale - to->mean[i % 3]) / to->std[i % 3];
    }
    ck_assert_int_eq(lq_program_create(graph, &lower, &program, &error), LQ_OK);
    ck_assert_int_eq(lq_runner_create(program, 1, &runner, &error), LQ_OK);
    ck_assert_int_eq(lq_runner_run(runner, own, LQ_NHWC, COUNT, served, &error), LQ_OK);
    ck_assert_int_eq(lq_teacher_create(graph, student, 2, &kernels, &teacher, &error), LQ_OK);
    ck_assert_int_eq(lq_teacher_run(teacher, input, COUNT, taught, &error), LQ_OK);
    for (int i = 0; i < COUNT * CLASSES; i++)
        ck_assert_float_eq_tol(taught[i], served[i], 1e-3f * (1 + fabsf(served[i])));
    lq_teacher_destroy(teacher);
    lq_runner_destroy(runner);
    lq_program_destroy(program);
    lq_graph_destroy(student);
    lq_graph_destroy(graph);
    free(input);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("backward");

    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, test_conv_and_dense);
    tcase_add_test(tests, test_norm_relu);
    tcase_add_test(tests, test_residual);
    tcase_add_test(tests, test_shortcut);
    tcase_add_test(tests, test_pools);
    tcase_add_test(tests, test_clip_pad_slice);
    tcase_add_test(tests, test_lrn_concat);
    tcase_add_test(tests, test_softmax);
    tcase_add_test(tests, test_flatten_map);
    tcase_add_test(tests, test_forward_is_served);
    tcase_add_test(tests, test_teacher);
    return suite_main("backward", tests);
}
