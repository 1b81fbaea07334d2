/* test_onnx.c - ONNX import: every operator, by what the imported network computes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "format/onnx.h"
#include "graph/session.h"
#include "support/onnx_text.h"

enum { MAX_NUMBERS = 32 };

/* The input is 1x2x3x3: channel 0 holds 0..8, channel 1 holds 9..17, row by row. `nodes` make "y"
 * of "x"; it is flattened, so numbers come channel by channel, as ONNX has them. Worked out by
 * hand. */
static const struct {
    const char *nodes;
    int count;
    float expected[MAX_NUMBERS];
} cases[] = {
    {"Identity x y", 18, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}},
    {"tensor w float 1,2,1,1 1 10\nConv x,w y", 9, {90, 101, 112, 123, 134, 145, 156, 167, 178}},
    {"raw w float 2,2,1,1 1 0 0 2\ntensor b float 2 0.5 -1\nConv x,w,b y kernel_shape=[1,1]",
     18,
     {.5f, 1.5f, 2.5f, 3.5f, 4.5f, 5.5f, 6.5f, 7.5f, 8.5f, 17, 19, 21, 23, 25, 27, 29, 31, 33}},
    /* groups: each channel its own kernel; the middle row and column of ones */
    {"tensor w float 2,1,3,1 1 1 1 2\nConv x,w y group=2", 6, {9, 12, 15, 72, 78, 84}},
    /* stride 2 and padding on top and left only: windows start at -1 and 1 */
    {"tensor w float 1,2,2,2 1 0 0 0 0\nConv x,w y strides=[2,2] pads=[1,1,0,0]", 4, {0, 0, 0, 4}},
    {"tensor w float 1,2,2,2 1 0 0 1 0\nConv x,w y dilations=[2,2]", 1, {8}},
    {"tensor w float 1,2,2,2 1 0 0 1 0\nConv x,w y auto_pad=SAME_UPPER",
     9,
     {4, 6, 2, 10, 12, 5, 6, 7, 8}},
    {"tensor w float 1,2,2,2 1 0 0 1 0\nConv x,w y auto_pad=SAME_LOWER",
     9,
     {0, 1, 2, 3, 4, 6, 6, 10, 12}},
    {"tensor w float 1,2,2,2 1 0 0 1 0\nConv x,w y auto_pad=VALID", 4, {4, 6, 10, 12}},
    /* (x - 4) / sqrt(3.75 + 0.25) * 2 + 1; (x - 13) / sqrt(0.25) - 1 */
    {"tensor g float 2 2 1\ntensor b float 2 1 -1\ntensor m float 2 4 13\ntensor v float 2 3.75 0\n"
     "BatchNormalization x,g,b,m,v y epsilon=0.25 momentum=0.9",
     18,
     {-3, -2, -1, 0, 1, 2, 3, 4, 5, -9, -7, -5, -3, -1, 1, 3, 5, 7}},
    {"tensor w float 1,2,1,1 -1 0.5\nConv x,w c\nRelu c y",
     9,
     {4.5f, 4, 3.5f, 3, 2.5f, 2, 1.5f, 1, .5f}},
    {"tensor a float () 2\ntensor b float () 11\nClip x,a,b y",
     18,
     {2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 11, 11, 11, 11, 11}},
    {"tensor b float () 1\nClip x,-,b y",
     18,
     {0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
    {"tensor a float () 16\nClip x,a y",
     18,
     {16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 17}},
    {"Add x,x y", 18, {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34}},
    {"Sum x,x,x s\nGlobalAveragePool s y", 2, {12, 39}},
    {"GlobalAveragePool x g\nConcat g,g y axis=1", 4, {4, 13, 4, 13}},
    {"GlobalAveragePool x g\nConcat g,g y axis=-3", 4, {4, 13, 4, 13}},
    {"GlobalAveragePool x g\nConcat g,g y axis=2", 4, {4, 4, 13, 13}},
    {"GlobalAveragePool x g\ntensor p int64 8 0 0 1 0 0 0 1 0\ntensor v float () 7\nPad g,p,v y",
     6,
     {7, 4, 7, 7, 13, 7}},
    {"GlobalAveragePool x g\ntensor p int64 8 0 1 0 0 0 0 0 0\nPad g,p y mode=constant",
     3,
     {0, 4, 13}},
    {"tensor p int64 8 0\nPad x,p z\nGlobalAveragePool z y", 2, {4, 13}},
    {"tensor s int64 2 0 0\ntensor e int64 2 3 3\ntensor a int64 2 2 3\ntensor t int64 2 2 2\n"
     "Slice x,s,e,a,t y",
     8,
     {0, 2, 6, 8, 9, 11, 15, 17}},
    {"tensor s int64 1 -2\ntensor e int64 1 9223372036854775807\ntensor a int64 1 -1\n"
     "Slice x,s,e,a y",
     12,
     {1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17}},
    {"tensor s int64 1 1\ntensor e int64 1 2\ntensor a int64 1 1\nSlice x,s,e,a y",
     9,
     {9, 10, 11, 12, 13, 14, 15, 16, 17}},
    {"MaxPool x y kernel_shape=[2,2] strides=[2,2]", 2, {4, 13}},
    {"MaxPool x y kernel_shape=[2,2] strides=[2,2] ceil_mode=1", 8, {4, 5, 7, 8, 13, 14, 16, 17}},
    {"AveragePool x y kernel_shape=[2,2] strides=[2,2] pads=[1,1,0,0]",
     8,
     {0, 1.5f, 4.5f, 6, 9, 10.5f, 13.5f, 15}},
    {"AveragePool x y kernel_shape=[2,2] strides=[2,2] pads=[1,1,0,0] count_include_pad=1",
     8,
     {0, .75f, 2.25f, 6, 2.25f, 5.25f, 6.75f, 15}},
    {"tensor a int64 2 2 3\nReduceMean x y axes=[2,3]", 2, {4, 13}},
    /* x / (1 + 2 / 2 * sum of squares over 2 channels)^1: mean 4 and 13 */
    {"GlobalAveragePool x g\nLRN g y size=3 alpha=3.0 beta=1.0 bias=1.0",
     2,
     {4.f / 186, 13.f / 186}},
    {"GlobalAveragePool x g\nFlatten g f\ntensor w float 3,2 1 0 0 1 1 1\ntensor c float 3 1 2 3\n"
     "Gemm f,w,c y transB=1",
     3,
     {5, 15, 20}},
    {"GlobalAveragePool x g\nFlatten g f\ntensor w float 2,3 1 0 1 0 1 1\ntensor c float 1 10\n"
     "Gemm f,w,c y alpha=2.0 beta=0.5",
     3,
     {13, 31, 39}},
    {"GlobalAveragePool x g\nFlatten g f\ntensor w float 2,2 1 2 3 4\nMatMul f,w y", 2, {43, 60}},
    {"GlobalAveragePool x g\nFlatten g f\ntensor w float 2,2 1 2 3 4\nMatMul f,w m\n"
     "tensor b float 2 1 -1\nAdd m,b y",
     2,
     {44, 59}},
    {"tensor s int64 2 -1 9\nconst t int64 2 0 18\nReshape x,t y",
     18,
     {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}},
    {"const t int64 2 1 -1\nReshape x,t f\ntensor w float 18,1 1\nMatMul f,w y", 1, {153}},
    {"const t int64 4 0 3 3 2\nReshape x,t r\nGlobalAveragePool r y", 3, {2.5f, 8.5f, 14.5f}},
    {"GlobalAveragePool x g\nFlatten g f\ntensor w float 2,2 0\nMatMul f,w m\nSoftmax m y axis=1",
     2,
     {.5f, .5f}},
    {"Dropout x d ratio=0.5\nIdentity d i\nGlobalAveragePool i y", 2, {4, 13}},
    {"Cast x c to=1\nGlobalAveragePool c y", 2, {4, 13}},
    /* what exporters write for x.view(x.size(0), -1) */
    {"GlobalAveragePool x g\nShape g s\nconst i int64 () 0\nGather s,i n axis=0\n"
     "const a int64 1 0\nUnsqueeze n,a u\nconst m int64 1 -1\nConcat u,m t axis=0\nReshape g,t y",
     2,
     {4, 13}},
    /* pads turned around through a matrix: [[w_begin, w_end], [h_begin, h_end]] */
    {"const p int64 4 0 1 0 0\nconst z int64 1 4\nConstantOfShape z o\nConcat p,o q axis=0\n"
     "const h int64 2 -1 2\nReshape q,h m\nconst s int64 1 -1\nconst e int64 1 "
     "-9223372036854775807\n"
     "const a int64 1 0\nconst t int64 1 -1\nSlice m,s,e,a,t n\nTranspose n o2 perm=[1,0]\n"
     "const l int64 1 -1\nReshape o2,l f\nCast f k to=7\nGlobalAveragePool x g\nPad g,k y",
     4,
     {4, 0, 13, 0}},
    {"const a int64 1 6\nconst b int64 1 3\nMul a,b p\nDiv p,b q\nSub q,b r\nAdd r,r t\n"
     "const o int64 1 -1\nMul t,b n\nConcat o,n s axis=0\nReshape x,s y",
     18,
     {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}},
    {"const s int64 2 18 -1\nconst i int64 2 1 0\nGather s,i t\nReshape x,t y",
     18,
     {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}},
};
enum { CASES = sizeof(cases) / sizeof(*cases) };

/* The picture has a third channel, which is cut off. */
#define PICTURE                                                                                    \
    "input picture float N,3,3,3\n"                                                                \
    "Slice picture x starts=[0] ends=[2] axes=[1]\n"

static struct lq_graph *import(const char *text)
{
    struct lq_meta meta = {.name = "test", .preprocess = {.std = {1, 1, 1}, .scale = 1}};
    struct lq_graph *graph = NULL;
    struct lq_error error = {0};
    size_t size;
    uint8_t *bytes = onnx_from_text(text, &size);

    ck_assert_msg(lq_onnx_import(bytes, size, &meta, &graph, &error) == LQ_OK, "%s: %s", text,
                  error.text);
    free(bytes);
    return graph;
}

static void compute(const struct lq_graph *graph, const float *input, float *ret_output)
{
    struct lq_kernels kernels;
    struct lq_lower_options options = {LQ_FORM_AUTO, false, &kernels};
    struct lq_program *program = NULL;
    struct lq_runner *runner = NULL;

    lq_kernels_init(&kernels, lq_cpu_detect());
    ck_assert_int_eq(lq_program_create(graph, &options, &program, NULL), LQ_OK);
    ck_assert_int_eq(lq_runner_create(program, 1, &runner, NULL), LQ_OK);
    ck_assert_int_eq(lq_runner_run(runner, input, LQ_NCHW, 1, ret_output, NULL), LQ_OK);
    lq_runner_destroy(runner);
    lq_program_destroy(program);
}

START_TEST(operators)
{
    char text[2048];
    float input[27], output[MAX_NUMBERS];

    for (int i = 0; i < 27; i++)
        input[i] = (float)i;
    snprintf(text, sizeof(text), "opset 13\n" PICTURE "output out float N,%d\n%s\nFlatten y out\n",
             cases[_i].count, cases[_i].nodes);
    struct lq_graph *graph = import(text);
    ck_assert_msg(lq_graph_classes(graph) == cases[_i].count, "%s: %d numbers", cases[_i].nodes,
                  lq_graph_classes(graph));
    compute(graph, input, output);
    for (int i = 0; i < cases[_i].count; i++)
        ck_assert_msg(output[i] - cases[_i].expected[i] < 1e-5f &&
                          cases[_i].expected[i] - output[i] < 1e-5f,
                      "%s: number %d is %g, not %g", cases[_i].nodes, i, (double)output[i],
                      (double)cases[_i].expected[i]);
    lq_graph_destroy(graph);
}
END_TEST

/* The forms of earlier opsets: attributes where later ones have inputs. */
START_TEST(earlier_opsets)
{
    static const struct {
        int opset;
        const char *nodes;
        float expected[2];
    } old[] = {
        {7, "Clip g y min=5.0 max=12.0", {5, 12}},
        {10, "Clip g y min=5.0", {5, 13}},
        {9,
         "Pad g p pads=[0,0,0,0,0,0,0,1] value=1.5\nSlice p y starts=[1] ends=[2] axes=[3]",
         {1.5f, 1.5f}},
        {12, "Softmax g s\nAdd s,g y", {4.000123f, 13.999877f}},
        {12, "const s int64 2 0 -1\nReshape g,s f\nIdentity f y", {4, 13}},
        {18, "tensor a int64 2 2 3\nReduceMean g,a y keepdims=0", {4, 13}},
    };
    float input[27], output[2];

    for (int i = 0; i < 27; i++)
        input[i] = (float)i;
    for (size_t i = 0; i < sizeof(old) / sizeof(*old); i++) {
        char text[1024];

        snprintf(text, sizeof(text),
                 "opset %d\n" PICTURE "output out float 1,2\nGlobalAveragePool x g\n"
                 "%s\nFlatten y out\n",
                 old[i].opset, old[i].nodes);
        struct lq_graph *graph = import(text);
        compute(graph, input, output);
        for (int j = 0; j < 2; j++)
            ck_assert_msg(output[j] - old[i].expected[j] < 1e-5f &&
                              old[i].expected[j] - output[j] < 1e-5f,
                          "%s: %g %g", old[i].nodes, (double)output[0], (double)output[1]);
        lq_graph_destroy(graph);
    }
}
END_TEST

/* Names, what initializers among the inputs are, and that dead nodes are dropped. */
START_TEST(names)
{
    struct lq_graph *graph =
        import("opset 13\ninput w float 1,3,1,1\ninput picture float N,3,4,5\noutput scores\n"
               "tensor w float 1,3,1,1 1\nConv picture,w c name=first\nRelu c unused\n"
               "Flatten c scores\n");

    ck_assert_int_eq(graph->node_count, 2);
    ck_assert_str_eq(graph->nodes[0].name, "first");
    ck_assert_str_eq(graph->values[graph->input].name, "picture");
    ck_assert_str_eq(graph->values[graph->output].name, "scores");
    ck_assert_int_eq(graph->values[graph->input].shape.dims[2], 3); /* channels last */
    lq_graph_destroy(graph);
}
END_TEST

/* A few bytes of a file cannot ask for all of the memory. */
START_TEST(too_large_to_run)
{
    struct lq_graph *graph = import("opset 13\ninput x float N,3,8192,8192\noutput y\n"
                                    "tensor w float 16,3,1,1 1\nConv x,w c\n"
                                    "GlobalAveragePool c g\nFlatten g y\n");
    struct lq_kernels kernels;
    struct lq_lower_options options = {LQ_FORM_AUTO, false, &kernels};
    struct lq_program *program = NULL;
    struct lq_error error = {0};

    lq_kernels_init(&kernels, lq_cpu_detect());
    ck_assert_int_eq(lq_program_create(graph, &options, &program, &error), LQ_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.text, "one image needs 51"));
    lq_graph_destroy(graph);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("onnx");

    tcase_add_loop_test(tests, operators, 0, CASES);
    tcase_add_test(tests, earlier_opsets);
    tcase_add_test(tests, names);
    tcase_add_test(tests, too_large_to_run);
    return suite_main("onnx", tests);
}
