/* test_onnx_bad.c - ONNX import: what is refused, and that damage never does harm.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/reader.h"
#include "format/onnx.h"
#include "support/onnx_text.h"

/* Statements may be replaced as a whole: `head` NULL stands for this. */
#define HEAD "opset 13\ninput x float N,3,4,4\noutput y\n"
#define CONV "tensor w float 2,3,1,1 1\n"

static const struct {
    const char *head, *nodes;
    int status;
    const char *message;
} cases[] = {
    /* the file */
    {"", "", LQ_ERR_FORMAT, "not an ONNX file, or a damaged one (2 bytes)"},
    {"input x float N,3,4,4\noutput y\n", "Flatten x y", LQ_ERR_FORMAT, "no opset version"},
    {"opset 6\ninput x float N,3,4,4\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED,
     "opset 6, expected 7..18"},
    {"opset 19\ninput x float N,3,4,4\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED, "opset 19"},
    {"opset -3\ninput x float N,3,4,4\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED, "opset -3"},
    /* inputs and outputs */
    {"opset 13\noutput y\n", "Flatten x y", LQ_ERR_FORMAT, "the graph has no input"},
    {"opset 13\ninput x float N,3,4,4\n", "Flatten x y", LQ_ERR_UNSUPPORTED, "0 outputs"},
    {"opset 13\ninput x float N,3,4,4\noutput y\noutput x\n", "Flatten x y", LQ_ERR_UNSUPPORTED,
     "2 outputs, expected one"},
    {"opset 13\ninput x float N,3,4,4\ninput z float N,3,4,4\noutput y\n", "Flatten x y",
     LQ_ERR_UNSUPPORTED, "two inputs, 'x' and 'z'"},
    {"opset 13\ninput x\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED, "'x' is no tensor"},
    {"opset 13\ninput x int64 N,3,4,4\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED,
     "'x' has element type 7, expected float"},
    {"opset 13\ninput x float -\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED,
     "'x' has 0 dimensions"},
    {"opset 13\ninput x float N,3,4\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED,
     "'x' has 3 dimensions"},
    {"opset 13\ninput x float N,3,H,4\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED,
     "'x': dimension 2 (of N,C,H,W) is not a fixed number"},
    {"opset 13\ninput x float N,3,4,0\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED,
     "'x': dimension 3"},
    {"opset 13\ninput x float N,3,4,-4\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED,
     "'x': dimension 3"},
    {"opset 13\ninput x float N,3,4,9999999999\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED,
     "'x': dimension 3"},
    {"opset 13\ninput x float N,7,4,4\noutput y\n", "Flatten x y", LQ_ERR_UNSUPPORTED,
     "'x' is no image of 1 or 3 channels"},
    {"opset 13\ninput x float N,3,4,4\noutput z\n", "Flatten x y", LQ_ERR_FORMAT,
     "output 'z' is made by no node"},
    {HEAD, "const y int64 1 3", LQ_ERR_FORMAT, "output 'y' is made by no node"},
    {HEAD, "Relu x y", LQ_ERR_UNSUPPORTED, "output"},
    /* names */
    {HEAD, "Flatten z y", LQ_ERR_FORMAT, "node 'y' (Flatten): input 'z' is made by no node before"},
    {HEAD, "Relu b a\nRelu a b\nFlatten b y", LQ_ERR_FORMAT,
     "node 'a' (Relu): input 'b' is made by no node before"},
    {HEAD, "Relu a a\nFlatten a y", LQ_ERR_FORMAT, "input 'a' is made by no node"},
    {HEAD, "Relu x a\nRelu x a\nFlatten a y", LQ_ERR_FORMAT, "'a'"},
    {HEAD, "Flatten x y\nFlatten x x", LQ_ERR_FORMAT, "'x'"},
    {HEAD, CONV CONV "Conv x,w c\nFlatten c y", LQ_ERR_FORMAT, "initializer 'w'"},
    {HEAD, "Flatten x ()", LQ_ERR_FORMAT, "it has no output"},
    {HEAD, "Flatten x -", LQ_ERR_FORMAT, "it has no output"},
    {HEAD, "Relu x a\x01z name=bad\nFlatten a\x01z y", LQ_ERR_FORMAT, "bad"},
    {HEAD, "Relu x a name=\xff\xfe\nFlatten a y", LQ_ERR_FORMAT, "UTF-8"},
    {HEAD, "Dropout x d,mask\nFlatten mask y", LQ_ERR_UNSUPPORTED,
     "node 'd' (Dropout): output 1 ('mask') is used"},
    /* operators and attributes */
    {HEAD, "Gelu x g name=act\nFlatten g y", LQ_ERR_UNSUPPORTED,
     "node 'act' (Gelu): the operator is not supported"},
    {HEAD, "Relu x r domain=com.example\nFlatten r y", LQ_ERR_UNSUPPORTED,
     "node 'r' (Relu): operator domain 'com.example'"},
    {HEAD, "If x r\nFlatten r y", LQ_ERR_UNSUPPORTED, "node 'r' (If)"},
    {HEAD, "Flatten x y extra=1", LQ_ERR_UNSUPPORTED, "node 'y' (Flatten): attribute 'extra'"},
    {HEAD, "Flatten x y axis=1.5", LQ_ERR_FORMAT, "attribute axis has type 1, expected 2"},
    {HEAD, "Flatten x y axis=2", LQ_ERR_UNSUPPORTED, "attribute axis is 2"},
    {HEAD, "Flatten () y", LQ_ERR_UNSUPPORTED, "node 'y' (Flatten)"},
    {HEAD, "Flatten - y", LQ_ERR_UNSUPPORTED, "node 'y' (Flatten)"},
    /* convolution */
    {HEAD, "Conv x c\nFlatten c y", LQ_ERR_UNSUPPORTED, "node 'c' (Conv): weights are missing"},
    {HEAD, "Conv x,x c\nFlatten c y", LQ_ERR_UNSUPPORTED, "input 1 is not constant"},
    {HEAD, "tensor w float 2,3,1 1\nConv x,w c\nFlatten c y", LQ_ERR_UNSUPPORTED, "rank 4"},
    {HEAD, "tensor w int64 2,3,1,1 1\nConv x,w c\nFlatten c y", LQ_ERR_UNSUPPORTED, "weights"},
    {HEAD, "tensor w float 0,3,1,1 1\nConv x,w c\nFlatten c y", LQ_ERR_UNSUPPORTED, "weights"},
    {HEAD, "tensor w float 2,2,1,1 1\nConv x,w c\nFlatten c y", LQ_ERR_FORMAT, "'c'"},
    {HEAD, CONV "Conv x,w c group=2\nFlatten c y", LQ_ERR_FORMAT, "'c'"},
    {HEAD, CONV "Conv x,w c group=0\nFlatten c y", LQ_ERR_FORMAT, "attribute group is 0"},
    {HEAD, CONV "Conv x,w c group=4294967297\nFlatten c y", LQ_ERR_FORMAT, "group is 4294967297"},
    {HEAD, CONV "Conv x,w c strides=[0,1]\nFlatten c y", LQ_ERR_FORMAT, "'c'"},
    {HEAD, CONV "Conv x,w c strides=[-1,1]\nFlatten c y", LQ_ERR_UNSUPPORTED, "strides holds -1"},
    {HEAD, CONV "Conv x,w c strides=[1]\nFlatten c y", LQ_ERR_UNSUPPORTED, "strides has 1 numbers"},
    {HEAD, CONV "Conv x,w c strides=[1,1,1,1,1,1,1,1,1]\nFlatten c y", LQ_ERR_FORMAT,
     "strides has 9 numbers, expected at most 8"},
    {HEAD, CONV "Conv x,w c dilations=[0,0]\nFlatten c y", LQ_ERR_FORMAT, "'c'"},
    {HEAD, CONV "Conv x,w c pads=[0,0,0,99999999]\nFlatten c y", LQ_ERR_UNSUPPORTED,
     "pads holds 99999999"},
    {HEAD, CONV "Conv x,w c pads=[-1,0,0,0]\nFlatten c y", LQ_ERR_UNSUPPORTED, "pads holds -1"},
    {HEAD, CONV "Conv x,w c kernel_shape=[3,3]\nFlatten c y", LQ_ERR_FORMAT,
     "attribute kernel_shape is 3,3, the weights are 1,1"},
    {HEAD, CONV "Conv x,w c auto_pad=HALF\nFlatten c y", LQ_ERR_UNSUPPORTED, "auto_pad is 'HALF'"},
    {HEAD, CONV "Conv x,w c strides=[0,0] auto_pad=SAME_UPPER\nFlatten c y", LQ_ERR_FORMAT,
     "attribute strides holds 0"},
    {HEAD, "tensor w float 2,3,5,5 1\nConv x,w c\nFlatten c y", LQ_ERR_FORMAT, "'c'"},
    {HEAD, CONV "tensor b float 3 1\nConv x,w,b c\nFlatten c y", LQ_ERR_FORMAT,
     "input 2 is missing or not 2 floats"},
    {HEAD, "tensor w float 2,3,1,1 nan\nConv x,w c\nFlatten c y", LQ_ERR_NUMERIC, "'c.weight'"},
    {HEAD, CONV "tensor b float 2 1 inf\nConv x,w,b c\nFlatten c y", LQ_ERR_NUMERIC, "'c.bias'"},
    /* tensors */
    {HEAD, "tensor w double 2,3,1,1 1\nConv x,w c\nFlatten c y", LQ_ERR_FORMAT, "initializer 'w'"},
    {HEAD, "tensor w float 2,3,-1,1 1\nConv x,w c\nFlatten c y", LQ_ERR_FORMAT, "initializer 'w'"},
    {HEAD, "tensor w float 65536,65536,65536,65536 1\nConv x,w c\nFlatten c y", LQ_ERR_FORMAT,
     "initializer 'w'"},
    {HEAD, "tensor w float 4294967296,4294967296,1,1 1\nConv x,w c\nFlatten c y", LQ_ERR_FORMAT,
     "initializer 'w'"},
    {HEAD, "raw w float 2097152,3,1,1 1\nConv x,w c\nFlatten c y", LQ_ERR_FORMAT,
     "initializer 'w'"},
    {HEAD, "tensor w float 1,1,1,1,1,1,1,1,1 1\nConv x,w c\nFlatten c y", LQ_ERR_LIMIT,
     "initializer 'w'"},
    /* the others */
    {HEAD, "tensor g float 3 1\nBatchNormalization x,g,g,g b\nFlatten b y", LQ_ERR_FORMAT,
     "input 4 is missing or not 3 floats"},
    {HEAD, "tensor g float 2 1\nBatchNormalization x,g,g,g,g b\nFlatten b y", LQ_ERR_FORMAT,
     "input 1 is missing or not 3 floats"},
    {HEAD, "tensor g float 3 1\ntensor v float 3 -1\nBatchNormalization x,g,g,g,v b\nFlatten b y",
     LQ_ERR_FORMAT, "b"},
    {HEAD, "tensor g float 3 1\nBatchNormalization x,g,g,g,g b training_mode=1\nFlatten b y",
     LQ_ERR_UNSUPPORTED, "attribute training_mode is 1"},
    {HEAD, "tensor a int64 () 1\nClip x,a c\nFlatten c y", LQ_ERR_FORMAT, "no single float"},
    {HEAD, "Clip x,x c\nFlatten c y", LQ_ERR_UNSUPPORTED, "input 1 is not constant"},
    {HEAD, "Clip x c min=2.0 max=1.0\nFlatten c y", LQ_ERR_FORMAT, "'c'"},
    {HEAD, "GlobalAveragePool x g\nAdd x,g a\nFlatten a y", LQ_ERR_FORMAT, "node 'a'"},
    {HEAD, "tensor c float 3 1\nAdd x,c a\nFlatten a y", LQ_ERR_UNSUPPORTED,
     "adding a constant is supported only as the bias"},
    {HEAD, CONV "tensor c float 2 1\nConv x,w v\nAdd v,c a\nFlatten a y", LQ_ERR_UNSUPPORTED,
     "the constant does not lie along the channels"},
    {HEAD, "GlobalAveragePool x g\nConcat x,g c axis=1\nFlatten c y", LQ_ERR_FORMAT, "node 'c'"},
    {HEAD, "Concat x,x c axis=0\nFlatten c y", LQ_ERR_UNSUPPORTED, "attribute axis is 0"},
    {HEAD, "Concat x,x c axis=4\nFlatten c y", LQ_ERR_UNSUPPORTED, "attribute axis is 4"},
    {HEAD, "Pad x p pads=[0,0,1,1]\nFlatten p y", LQ_ERR_FORMAT, "4 pads for 4 dimensions"},
    {HEAD, "Pad x p pads=[0,0,-1,0,0,0,0,0]\nFlatten p y", LQ_ERR_UNSUPPORTED, "pad 2 is -1"},
    {HEAD, "Pad x p pads=[1,0,0,0,0,0,0,0]\nFlatten p y", LQ_ERR_UNSUPPORTED, "pad 0 is 1"},
    {HEAD, "Pad x p pads=[0,0,1,0,0,0,0,0] mode=reflect\nFlatten p y", LQ_ERR_UNSUPPORTED,
     "attribute mode is 'reflect'"},
    {HEAD, "Slice x s starts=[0] ends=[9] axes=[0]\nFlatten s y", LQ_ERR_UNSUPPORTED, "axis 0"},
    {HEAD, "Slice x s starts=[2] ends=[2] axes=[2]\nFlatten s y", LQ_ERR_FORMAT, "'s'"},
    {HEAD, "Slice x s starts=[0,0] ends=[2] axes=[2]\nFlatten s y", LQ_ERR_UNSUPPORTED,
     "2 starts, 1 ends, 1 axes"},
    {HEAD, "Slice x s starts=[0] ends=[4] axes=[2] steps=[0]\nFlatten s y", LQ_ERR_UNSUPPORTED,
     "axis 2 with step 0"},
    {HEAD, "Slice x s starts=[3] ends=[0] axes=[2] steps=[-1]\nFlatten s y", LQ_ERR_UNSUPPORTED,
     "axis 2 with step -1"},
    {HEAD, "MaxPool x p\nFlatten p y", LQ_ERR_FORMAT, "'p'"},
    {HEAD, "MaxPool x p kernel_shape=[5,5]\nFlatten p y", LQ_ERR_FORMAT, "'p'"},
    {HEAD, "MaxPool x p kernel_shape=[2,2] dilations=[2,2]\nFlatten p y", LQ_ERR_UNSUPPORTED,
     "attribute dilations is 2,2"},
    {HEAD, "AveragePool x p kernel_shape=[2,2] pads=[2,2,2,2]\nFlatten p y", LQ_ERR_FORMAT, "'p'"},
    {HEAD, "LRN x l size=0\nFlatten l y", LQ_ERR_FORMAT, "attribute size is 0"},
    {HEAD, "LRN x l size=3 bias=-1.0\nFlatten l y", LQ_ERR_FORMAT, "'l'"},
    {HEAD, "Flatten x f\ntensor w float 47,2 1\nMatMul f,w y", LQ_ERR_FORMAT, "'y'"},
    {HEAD, "Flatten x f\ntensor w float 48,2 1\nGemm f,w y transA=1", LQ_ERR_UNSUPPORTED,
     "attribute transA is 1"},
    {HEAD, "Flatten x f\ntensor w float 48,2 1\ntensor c float 3 1\nGemm f,w,c y",
     LQ_ERR_UNSUPPORTED, "input 2 has 3 elements, expected 2 or one"},
    {HEAD, "const t int64 2 -1 7\nReshape x,t y", LQ_ERR_FORMAT, "'y'"},
    {HEAD, "const t int64 3 -1 -1 2\nReshape x,t y", LQ_ERR_UNSUPPORTED, "the batch would become"},
    {HEAD, "const t int64 2 2 24\nReshape x,t y", LQ_ERR_UNSUPPORTED, "the batch would become 2"},
    {HEAD, "const t int64 2 0 -2\nReshape x,t y", LQ_ERR_UNSUPPORTED, "dimension 1 is -2"},
    {HEAD, "const t int64 2 0 47\nReshape x,t y", LQ_ERR_FORMAT, "'y'"},
    {HEAD, "const t int64 3 0 4611686018427387904 4\nReshape x,t y", LQ_ERR_UNSUPPORTED, "'y'"},
    {HEAD, "Reshape x,x y", LQ_ERR_UNSUPPORTED, "input 1 is not constant"},
    {HEAD, "Softmax x s axis=1\nFlatten s y", LQ_ERR_UNSUPPORTED, "attribute axis is 1"},
    {HEAD, "ReduceMean x m axes=[1]\nFlatten m y", LQ_ERR_UNSUPPORTED, "a mean over other axes"},
    {HEAD, "const t int64 () 1\nDropout x,-,t d\nFlatten d y", LQ_ERR_UNSUPPORTED,
     "input 2 (training_mode) is set"},
    {HEAD, "Cast x c to=7\nFlatten c y", LQ_ERR_UNSUPPORTED, "attribute to is 7"},
    {HEAD, "Transpose x t perm=[0,2,3,1]\nFlatten t y", LQ_ERR_UNSUPPORTED, "node 't' (Transpose)"},
    /* constants that are computed */
    {HEAD, "const a int64 1 1\nconst b int64 1 0\nDiv a,b t\nReshape x,t y", LQ_ERR_FORMAT,
     "node 't' (Div): element 0 leaves 64 bits"},
    {HEAD, "const a int64 1 9223372036854775807\nMul a,a t\nReshape x,t y", LQ_ERR_FORMAT,
     "node 't' (Mul): element 0 leaves 64 bits"},
    {HEAD, "const a int64 2 1\nconst i int64 1 2\nGather a,i t\nReshape x,t y", LQ_ERR_FORMAT,
     "node 't' (Gather)"},
    {HEAD, "const a int64 1 1000000000000\nConstantOfShape a t\nReshape x,t y", LQ_ERR_LIMIT,
     "node 't' (ConstantOfShape)"},
    {HEAD, "const a int64 2 1\nconst b int64 3 1\nAdd a,b t\nReshape x,t y", LQ_ERR_UNSUPPORTED,
     "node 't' (Add)"},
};
enum { CASES = sizeof(cases) / sizeof(*cases) };

static int import(const void *bytes, size_t size, struct lq_error *error)
{
    struct lq_meta meta = {.name = "test", .preprocess = {.std = {1, 1, 1}, .scale = 1}};
    struct lq_graph *graph = NULL;
    int status = lq_onnx_import(bytes, size, &meta, &graph, error);

    ck_assert_msg((status == LQ_OK) == (graph != NULL), "%d %s", status, error->text);
    ck_assert_msg(status == LQ_OK || (error->status == status && error->text[0]), "%d %s", status,
                  error->text);
    lq_graph_destroy(graph);
    return status;
}

START_TEST(refused)
{
    char text[4096];
    struct lq_error error = {0};
    size_t size;

    snprintf(text, sizeof(text), "%s%s", cases[_i].head, cases[_i].nodes);
    uint8_t *bytes = onnx_from_text(text, &size);
    int status = import(bytes, size, &error);
    free(bytes);
    ck_assert_msg(status == cases[_i].status && strstr(error.text, cases[_i].message),
                  "%s: %d (expected %d) %s", cases[_i].nodes, status, cases[_i].status, error.text);
}
END_TEST

/* A file that uses much of the format and can be imported. */
static uint8_t *small_file(size_t *ret_size)
{
    return onnx_from_text(
        "opset 13\ninput x float N,3,4,4\noutput y float N,2\n"
        "raw w float 2,3,3,3 0.5 -0.25 1\ntensor b float 2 1\ntensor g float 2 1\n"
        "Conv x,w,b c name=conv kernel_shape=[3,3] pads=[1,1,1,1] strides=[1,1] group=1\n"
        "BatchNormalization c,g,b,b,g n epsilon=0.001\nRelu n r\n"
        "MaxPool r m kernel_shape=[2,2] strides=[2,2]\nGlobalAveragePool m p\nShape p s\n"
        "const i int64 () 0\nGather s,i k axis=0\nconst a int64 1 0\nUnsqueeze k,a u\n"
        "const o int64 1 -1\nConcat u,o t axis=0\nReshape p,t f\ntensor d float 2,2 1 2 3 4\n"
        "Gemm f,d,b e transB=1\nSoftmax e y axis=1\n",
        ret_size);
}

START_TEST(cut_at_every_length)
{
    size_t size;
    uint8_t *bytes = small_file(&size);
    struct lq_error none = {0};

    ck_assert_int_eq(import(bytes, size, &none), LQ_OK);
    for (size_t length = 0; length < size; length++) {
        struct lq_error error = {0};
        uint8_t *cut = malloc(length + 1); /* so that reading beyond the end is noticed */

        memcpy(cut, bytes, length);
        ck_assert_msg(import(cut, length, &error) != LQ_OK, "%zu bytes", length);
        free(cut);
    }
    free(bytes);
}
END_TEST

/* Whatever comes of it, it ends, and a failure has a text. */
START_TEST(every_bit_flipped)
{
    size_t size;
    uint8_t *bytes = small_file(&size);

    for (size_t at = 0; at < size * 8; at++) {
        struct lq_error error = {0};

        bytes[at / 8] ^= (uint8_t)(1u << at % 8);
        import(bytes, size, &error);
        bytes[at / 8] ^= (uint8_t)(1u << at % 8);
    }
    free(bytes);
}
END_TEST

START_TEST(random_bytes)
{
    size_t size;
    uint8_t *bytes = small_file(&size), *damaged = malloc(size);

    for (int trial = 0; trial < 3000; trial++) {
        struct lq_error error = {0};

        memcpy(damaged, bytes, size);
        for (int i = rand() % 8; i >= 0; i--)
            damaged[(size_t)rand() % size] = (uint8_t)rand();
        import(damaged, size, &error);
    }
    free(damaged);
    free(bytes);
}
END_TEST

/* 400 nodes in a row, and names of 100,000 bytes: done or refused in good time. */
START_TEST(large_numbers)
{
    enum { NODES = 400, LONG = 100000 };
    char *text = malloc(2 * LONG + 256), *at = text;
    struct lq_error error = {0};
    size_t size;

    at += sprintf(at, "opset 13\ninput x float N,3,4,4\noutput y\n");
    for (int i = 0; i < NODES; i++)
        at += i ? sprintf(at, "Relu r%d r%d\n", i - 1, i) : sprintf(at, "Relu x r0\n");
    sprintf(at, "Flatten r%d y\n", NODES - 1);
    uint8_t *bytes = onnx_from_text(text, &size);
    ck_assert_msg(import(bytes, size, &error) == LQ_OK, "%s", error.text);
    free(bytes);
    at = text + sprintf(text, "opset 13\ninput x float N,3,4,4\noutput y\nRelu x ");
    memset(at, 'a', LONG);
    at += LONG;
    at += sprintf(at, "\nFlatten ");
    memset(at, 'a', LONG);
    sprintf(at + LONG, " y\n");
    bytes = onnx_from_text(text, &size);
    ck_assert_int_eq(import(bytes, size, &error), LQ_ERR_LIMIT);
    ck_assert_uint_lt(strlen(error.text), 400);
    free(bytes);
    free(text);
}
END_TEST

/* A real network with some of its bytes changed. */
START_TEST(damaged_network)
{
    const char *data = getenv("LQ_DATA");
    struct lq_file file;
    char path[512];

    if (!data || !*data) {
        puts("onnx_bad: no real network is damaged, LQ_DATA names no folder of data");
        return;
    }
    snprintf(path, sizeof(path), "%s/onnx/resnet20-cifar10.onnx", data);
    ck_assert_int_eq(lq_file_map(path, LQ_MAX_ONNX_BYTES, &file, NULL), LQ_OK);
    uint8_t *damaged = malloc(file.size);
    for (int trial = 0; trial < 40; trial++) {
        struct lq_error error = {0};

        memcpy(damaged, file.bytes, file.size);
        for (int i = 0; i < 20; i++)
            damaged[(size_t)rand() % file.size] ^= (uint8_t)(1 << rand() % 8);
        import(damaged, file.size - (size_t)(rand() % 2 * (rand() % 1000)), &error);
    }
    free(damaged);
    lq_file_unmap(&file);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("onnx_bad");

    tcase_add_loop_test(tests, refused, 0, CASES);
    tcase_add_test(tests, cut_at_every_length);
    tcase_add_test(tests, every_bit_flipped);
    tcase_add_test(tests, random_bytes);
    tcase_add_test(tests, large_numbers);
    tcase_add_test(tests, damaged_network);
    return suite_main("onnx_bad", tests);
}
