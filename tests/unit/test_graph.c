/* test_graph.c - building graphs, what is refused, and what finishing leaves.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "graph/name.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define MAP(h, w, c)                                                                               \
    (struct lq_shape)                                                                              \
    {                                                                                              \
        3,                                                                                         \
        {                                                                                          \
            h, w, c                                                                                \
        }                                                                                          \
    }
#define VECTOR(n)                                                                                  \
    (struct lq_shape)                                                                              \
    {                                                                                              \
        1,                                                                                         \
        {                                                                                          \
            n                                                                                      \
        }                                                                                          \
    }

static struct lq_graph *create(struct lq_shape input)
{
    struct lq_graph *graph = NULL;

    ck_assert_int_eq(lq_graph_create(&graph, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_add_input(graph, "image", &input, NULL), LQ_OK);
    return graph;
}

static struct lq_node_spec node(const char *name, enum lq_op_kind kind, int input)
{
    return (struct lq_node_spec){.name = name, .kind = kind, .inputs = {input}, .input_count = 1};
}

static int add(struct lq_graph *graph, const struct lq_node_spec *spec)
{
    struct lq_error error = {0};
    int value = -1;

    ck_assert_msg(lq_graph_add_node(graph, spec, &value, &error) == LQ_OK, "%s", error.text);
    return value;
}

static int relu(struct lq_graph *graph, const char *name, int input)
{
    struct lq_node_spec spec = node(name, LQ_OP_RELU, input);

    return add(graph, &spec);
}

static int sum(struct lq_graph *graph, const char *name, int first, int second)
{
    struct lq_node_spec spec = node(name, LQ_OP_ADD, first);

    spec.inputs[spec.input_count++] = second;
    return add(graph, &spec);
}

/* A vector of all elements. */
static int flat(struct lq_graph *graph, const char *name, int input)
{
    struct lq_node_spec spec = node(name, LQ_OP_RESHAPE, input);

    spec.attributes.shape = VECTOR((int)lq_shape_elements(&graph->values[input].shape));
    return add(graph, &spec);
}

static void refuse_node(struct lq_graph *graph, const struct lq_node_spec *spec, int status,
                        const char *text)
{
    struct lq_error error = {0};
    int value = -7, values = graph->value_count, nodes = graph->node_count;

    ck_assert_int_eq(lq_graph_add_node(graph, spec, &value, &error), status);
    ck_assert_str_eq(error.text, text);
    ck_assert_int_eq(value, -7);
    ck_assert_int_eq(graph->value_count, values);
    ck_assert_int_eq(graph->node_count, nodes);
}

static void refuse_finish(struct lq_graph *graph, int output, int status, const char *text)
{
    struct lq_error error = {0};
    int nodes = graph->node_count;

    ck_assert_int_eq(lq_graph_finish(graph, output, &error), status);
    ck_assert_str_eq(error.text, text);
    ck_assert_int_eq(graph->node_count, nodes);
    ck_assert_int_eq(graph->output, -1);
}

/* image -> a -> b -> sum(b, a) -> flat, with a dead branch before, in the middle and behind. */
START_TEST(dead_nodes_are_dropped)
{
    struct lq_graph *graph = create(MAP(2, 2, 3));

    relu(graph, "dead1", 0);
    int a = relu(graph, "a", 0), b = relu(graph, "b", a);
    int dead2 = relu(graph, "dead2", b);
    sum(graph, "dead3", dead2, a);
    int c = sum(graph, "c", b, a), out = flat(graph, "out", c);
    relu(graph, "dead4", out);
    ck_assert_int_eq(graph->values[a].consumers, 3);
    ck_assert_int_eq(graph->values[0].consumers, 2);
    ck_assert_int_eq(lq_graph_finish(graph, out, NULL), LQ_OK);

    const char *names[] = {"a", "b", "c", "out"};
    const int consumers[] = {1, 2, 1, 1, 0};
    ck_assert_int_eq(graph->node_count, 4);
    ck_assert_int_eq(graph->value_count, 5);
    ck_assert_int_eq(graph->input, 0);
    ck_assert_int_eq(graph->output, 4);
    ck_assert_int_eq(lq_graph_classes(graph), 12);
    ck_assert_int_eq(graph->values[0].producer, -1);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(graph->values[i].consumers, consumers[i]);
    for (int i = 0; i < 4; i++) {
        ck_assert_str_eq(graph->nodes[i].name, names[i]);
        ck_assert_int_eq(graph->nodes[i].output, i + 1);
        ck_assert_str_eq(graph->values[i + 1].name, names[i]);
        ck_assert_int_eq(graph->values[i + 1].producer, i);
    }
    ck_assert_int_eq(graph->nodes[2].inputs[0], 2);
    ck_assert_int_eq(graph->nodes[2].inputs[1], 1);
    ck_assert_int_eq(lq_graph_find_node(graph, "c"), 2);
    ck_assert_int_eq(lq_graph_find_value(graph, "image"), 0);
    ck_assert_int_eq(lq_graph_find_value(graph, "dead1"), -1);
    ck_assert_int_eq(lq_graph_find_node(graph, "image"), -1);
    lq_graph_destroy(graph);
}
END_TEST

/* Every node that is left reaches the output, uses only earlier values, and counts are right. */
static void check_finished(const struct lq_graph *graph)
{
    int *counts = calloc((size_t)graph->value_count, sizeof(*counts));

    ck_assert_ptr_nonnull(counts);
    ck_assert_int_eq(graph->value_count, graph->node_count + 1);
    ck_assert_int_eq(graph->output, graph->value_count - 1);
    for (int i = 0; i < graph->node_count; i++) {
        const struct lq_node *n = &graph->nodes[i];

        ck_assert_int_eq(n->output, i + 1);
        for (int j = 0; j < n->input_count; j++) {
            ck_assert_int_ge(n->inputs[j], 0);
            ck_assert_int_lt(n->inputs[j], n->output);
            counts[n->inputs[j]]++;
        }
    }
    for (int i = 0; i < graph->value_count; i++) {
        ck_assert_int_eq(graph->values[i].consumers, counts[i]);
        ck_assert_int_eq(graph->values[i].producer, i - 1);
        ck_assert(i == graph->output || counts[i] > 0 || i == 0);
    }
    free(counts);
}

START_TEST(random_graphs)
{
    int nodes = 1 + rand() % 300;
    struct lq_graph *graph = create(MAP(1, 1, 3));

    for (int i = 0; i < nodes; i++) {
        struct lq_node_spec spec = {.kind = LQ_OP_ADD, .input_count = 2 + rand() % 5};
        char name[16], output[16];

        snprintf(name, sizeof(name), "n%d", i);
        snprintf(output, sizeof(output), "v%d", i);
        spec.name = name;
        spec.output = output;
        for (int j = 0; j < spec.input_count; j++)
            spec.inputs[j] = rand() % (i + 1);
        ck_assert_int_eq(add(graph, &spec), i + 1);
    }
    ck_assert_int_eq(lq_graph_finish(graph, 1 + rand() % nodes, NULL), LQ_OK);
    check_finished(graph);
    for (int i = 0; i < graph->node_count; i++) /* a node and its value have kept together */
        ck_assert_str_eq(graph->nodes[i].name + 1, graph->values[i + 1].name + 1);
    lq_graph_destroy(graph);
}
END_TEST

START_TEST(nodes_are_limited)
{
    struct lq_graph *graph = create(MAP(1, 1, 1));
    char name[16];

    for (int i = 0; i < LQ_MAX_NODES; i++) {
        snprintf(name, sizeof(name), "node%d", i);
        ck_assert_int_eq(relu(graph, name, i), i + 1);
    }
    struct lq_node_spec more = node("more", LQ_OP_RELU, 3);
    refuse_node(graph, &more, LQ_ERR_LIMIT, "node 'more' (relu): more than 4096 nodes");
    ck_assert_int_eq(lq_graph_find_node(graph, "node4095"), 4095);
    ck_assert_int_eq(lq_graph_finish(graph, LQ_MAX_NODES, NULL), LQ_OK);
    ck_assert_int_eq(graph->node_count, LQ_MAX_NODES);
    check_finished(graph);
    lq_graph_destroy(graph);
}
END_TEST

START_TEST(bad_nodes_are_refused)
{
    struct lq_graph *graph = create(MAP(4, 4, 3));
    struct lq_node_spec spec;

    relu(graph, "a", 0);
    spec = node("a", LQ_OP_RELU, 0);
    spec.output = "other";
    refuse_node(graph, &spec, LQ_ERR_INVALID, "node 'a' (relu): the name is used twice");
    spec = node("b", LQ_OP_RELU, 0);
    spec.output = "a";
    refuse_node(graph, &spec, LQ_ERR_INVALID, "node 'b' (relu): the value 'a' is made twice");
    spec = node("image", LQ_OP_RELU, 0);
    refuse_node(graph, &spec, LQ_ERR_INVALID,
                "node 'image' (relu): the value 'image' is made twice");
    spec = node("b", LQ_OP_RELU, 2); /* its own output */
    refuse_node(graph, &spec, LQ_ERR_INVALID,
                "node 'b' (relu): input 0 does not exist (value 2 of 2)");
    spec = node("b", LQ_OP_ADD, 0);
    spec.inputs[1] = INT_MIN;
    spec.input_count = 2;
    refuse_node(graph, &spec, LQ_ERR_INVALID,
                "node 'b' (add): input 1 does not exist (value -2147483648 of 2)");
    spec.input_count = LQ_MAX_INPUTS + 1;
    refuse_node(graph, &spec, LQ_ERR_LIMIT, "node 'b' (add): 65 inputs, expected at most 64");
    spec.input_count = -1;
    refuse_node(graph, &spec, LQ_ERR_LIMIT, "node 'b' (add): -1 inputs, expected at most 64");
    spec.input_count = 0;
    refuse_node(graph, &spec, LQ_ERR_INVALID, "node 'b' (add): 0 inputs, expected 2..64");
    spec = node("b", LQ_OP_MAX_POOL, 0);
    refuse_node(graph, &spec, LQ_ERR_INVALID,
                "node 'b' (max_pool): attribute kernel_h is 0, expected 1..1024");
    spec = node("b", LQ_OP_COUNT, 0);
    refuse_node(graph, &spec, LQ_ERR_INVALID, "node 'b' (unknown): operator 16 does not exist");
    spec = node(NULL, LQ_OP_RELU, 0);
    refuse_node(graph, &spec, LQ_ERR_INVALID, "node 1 (relu): node name is empty");
    spec = node("b\n", LQ_OP_RELU, 0);
    refuse_node(graph, &spec, LQ_ERR_INVALID,
                "node 1 (relu): node name: byte 1 is 0x0a, expected UTF-8 text without control "
                "characters");
    spec = node("b", LQ_OP_RELU, 0);
    spec.output = "";
    refuse_node(graph, &spec, LQ_ERR_INVALID, "node 'b' (relu): value name is empty");
    ck_assert_int_eq(graph->values[0].consumers, 1);
    ck_assert_int_eq(lq_graph_finish(graph, 1, NULL), LQ_ERR_UNSUPPORTED); /* 4x4x3 */
    lq_graph_destroy(graph);

    graph = NULL;
    ck_assert_int_eq(lq_graph_create(&graph, NULL), LQ_OK);
    spec = node("early", LQ_OP_RELU, 0);
    refuse_node(graph, &spec, LQ_ERR_INVALID,
                "node 'early' (relu): input 0 does not exist (value 0 of 0)");
    lq_graph_destroy(graph);
    lq_graph_destroy(NULL);
}
END_TEST

START_TEST(names_are_text)
{
    const struct {
        const char *name;
        int bad; /* its first bad byte, or -1 */
    } cases[] = {
        {"conv1/7x7_s2", -1},
        {"\xc3\xa9t\xc3\xa9", -1}, /* two bytes */
        {"\xe7\x8c\xab", -1},      /* three */
        {"\xf0\x9f\x90\x88", -1},  /* four */
        {"\xf4\x8f\xbf\xbf", -1},  /* U+10FFFF */
        {"\xc2\xa0", -1},          /* U+00A0, the first behind the controls */
        {"a\tb", 1},               /* controls */
        {"\x1b[31m", 0},           /* an escape sequence */
        {"a\x7f", 1},              /* delete */
        {"a\xc2\x9b"               /* U+009B: an escape sequence in one character */
         "31m",
         1},
        {"\xc2\x80", 0}, /* U+0080 */
        {"ab\xff", 2},   /* no lead byte */
        {"\x80", 0},     /* a lone continuation */
        {"\xbf", 0},
        {"\xc3", 0}, /* truncated */
        {"a\xe7\x8c", 1},
        {"\xf0\x9f\x90", 0},
        {"\xc3(", 0},
        {"\xc0\x80", 0}, /* overlong */
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xed\xa0\x80", 0}, /* surrogates */
        {"\xed\xbf\xbf", 0},
        {"\xf4\x90\x80\x80", 0}, /* beyond U+10FFFF */
        {"\xf8\x88\x80\x80\x80", 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lq_error error = {0};
        char text[128];
        int status = lq_name_check("name", cases[i].name, &error);

        ck_assert_msg(status == (cases[i].bad < 0 ? LQ_OK : LQ_ERR_INVALID), "case %zu", i);
        snprintf(text, sizeof(text),
                 "name: byte %d is 0x%02x, expected UTF-8 text without control characters",
                 cases[i].bad, (unsigned char)cases[i].name[cases[i].bad < 0 ? 0 : cases[i].bad]);
        ck_assert_str_eq(error.text, cases[i].bad < 0 ? "" : text);
    }
}
END_TEST

START_TEST(long_names)
{
    struct lq_graph *graph = create(MAP(1, 1, 3));
    char name[LQ_MAX_NAME + 1], expected[512];

    memset(name, 'x', LQ_MAX_NAME);
    name[LQ_MAX_NAME] = 0;
    struct lq_node_spec spec = node(name, LQ_OP_RELU, 0);
    refuse_node(graph, &spec, LQ_ERR_LIMIT,
                "node 0 (relu): node name of 256 bytes, expected less than 256");
    name[LQ_MAX_NAME - 1] = 0;
    relu(graph, name, 0);
    ck_assert_int_eq(lq_graph_find_node(graph, name), 0);
    /* In messages it ends before the character that crosses byte 64. */
    memcpy(name + 62, "\xf0\x9f\x90\x88", 4);
    spec.kind = LQ_OP_ADD;
    snprintf(expected, sizeof(expected), "node '%.62s' (add): 1 inputs, expected 2..64", name);
    refuse_node(graph, &spec, LQ_ERR_INVALID, expected);
    ck_assert_int_eq(lq_name_cut(name, 64), 62);
    ck_assert_int_eq(lq_name_cut(name, 66), 66);
    ck_assert_int_eq(lq_name_cut("abc", 64), 3);
    ck_assert_int_eq(lq_name_cut("", 64), 0);
    lq_graph_destroy(graph);
}
END_TEST

START_TEST(inputs)
{
    const struct {
        struct lq_shape shape;
        int status;
        const char *text;
    } cases[] = {
        {{3, {32, 32, 3}}, LQ_OK, ""},
        {{3, {28, 28, 1}}, LQ_OK, ""},
        {{3, {32, 32, 4}},
         LQ_ERR_UNSUPPORTED,
         "input 'x' is no image of 1 or 3 channels (rank 3, last dimension 4)"},
        {{1, {3}},
         LQ_ERR_UNSUPPORTED,
         "input 'x' is no image of 1 or 3 channels (rank 1, last dimension 3)"},
        {{0, {0}},
         LQ_ERR_UNSUPPORTED,
         "input 'x' is no image of 1 or 3 channels (rank 0, last dimension 0)"},
        {{3, {0, 32, 3}}, LQ_ERR_LIMIT, "input 'x': dimension 0 is 0, expected 1..16777216"},
        {{3, {1 << 15, 1 << 15, 3}}, LQ_ERR_LIMIT, "input 'x': more than 1073741824 elements"},
        {{5, {1, 1, 1, 1}}, LQ_ERR_LIMIT, "input 'x': rank is 5, expected 0..4"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lq_graph *graph = NULL;
        struct lq_error error = {0};

        ck_assert_int_eq(lq_graph_create(&graph, NULL), LQ_OK);
        ck_assert_int_eq(lq_graph_add_input(graph, "x", &cases[i].shape, &error), cases[i].status);
        ck_assert_str_eq(error.text, cases[i].text);
        ck_assert_int_eq(graph->value_count, cases[i].status == LQ_OK);
        if (cases[i].status == LQ_OK) {
            ck_assert_int_eq(lq_graph_add_input(graph, "y", &cases[i].shape, &error),
                             LQ_ERR_INVALID);
            ck_assert_str_eq(error.text, "input 'y' is not the first value");
        }
        lq_graph_destroy(graph);
    }
}
END_TEST

START_TEST(tensors)
{
    struct lq_graph *graph = create(MAP(2, 2, 3));
    struct lq_shape shape = {2, {3, 5}}, bad = {2, {3, -5}};
    struct lq_tensor *tensor = NULL, *untouched = NULL;
    struct lq_error error = {0};
    _Alignas(16) char data[64] = {0};

    ck_assert_int_eq(lq_graph_add_tensor(graph, "w", LQ_F32, &shape, NULL, &tensor, NULL), LQ_OK);
    ck_assert_str_eq(tensor->name, "w");
    ck_assert_uint_eq(lq_tensor_bytes(tensor), 60);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(((const char *)tensor->data)[i], 0);
    ck_assert_int_eq(lq_graph_add_tensor(graph, "v", LQ_U8, &shape, data + 1, &tensor, NULL),
                     LQ_OK);
    ck_assert_ptr_eq(tensor->data, data + 1);
    ck_assert_int_eq(lq_graph_add_tensor(graph, "f", LQ_F32, &shape, data + 2, &untouched, &error),
                     LQ_ERR_INVALID);
    ck_assert_str_eq(error.text, "tensor 'f': data are not aligned to 4 bytes");
    error = (struct lq_error){0};
    ck_assert_int_eq(lq_graph_add_tensor(graph, "f", LQ_F32, &bad, NULL, &untouched, &error),
                     LQ_ERR_LIMIT);
    ck_assert_str_eq(error.text, "tensor 'f': dimension 1 is -5, expected 1..16777216");
    ck_assert_int_eq(lq_graph_add_tensor(graph, "\xff", LQ_F32, &shape, NULL, &untouched, NULL),
                     LQ_ERR_INVALID);
    ck_assert_ptr_null(untouched);
    lq_graph_destroy(graph);
}
END_TEST

static const struct lq_tensor *tensor_of(struct lq_graph *graph, const char *name,
                                         enum lq_dtype dtype, struct lq_shape shape)
{
    struct lq_tensor *tensor = NULL;

    ck_assert_int_eq(lq_graph_add_tensor(graph, name, dtype, &shape, NULL, &tensor, NULL), LQ_OK);
    if (dtype == LQ_F32)
        for (int64_t i = 0; i < lq_shape_elements(&shape); i++)
            ((float *)tensor->data)[i] = 1;
    return tensor;
}

/* image of 1 x length -> (flat) -> quantize -> quantized layer of 1 output */
static struct lq_graph *quantized(int length, int input_grid, bool dense, struct lq_node_spec *spec)
{
    struct lq_graph *graph = create(MAP(1, length, 1));
    struct lq_node_spec quantize = node("q", LQ_OP_QUANTIZE, dense ? flat(graph, "flat", 0) : 0);

    quantize.attributes = (struct lq_attributes){.bits = 1, .grid = input_grid};
    quantize.params[LQ_PARAM_BASIS] = tensor_of(graph, "q.basis", LQ_I16, VECTOR(1));
    quantize.params[LQ_PARAM_SCALE] = tensor_of(graph, "q.scale", LQ_F32, VECTOR(1));
    *spec = node("fc", dense ? LQ_OP_DENSE : LQ_OP_CONV, add(graph, &quantize));
    spec->attributes = (struct lq_attributes){.out_channels = 1, .bits = 1, .grid = 4095};
    if (!dense) {
        spec->attributes.groups = 1;
        spec->attributes.window = (struct lq_window){1, length, 1, 1, 1, 1, 0, 0, 0, 0};
    }
    spec->params[LQ_PARAM_CODES] =
        tensor_of(graph, "fc.codes", LQ_U8, (struct lq_shape){3, {1, 1, (length + 7) / 8}});
    spec->params[LQ_PARAM_BASIS] =
        tensor_of(graph, "fc.basis", LQ_I16, (struct lq_shape){2, {1, 1}});
    spec->params[LQ_PARAM_SCALE] = tensor_of(graph, "fc.scale", LQ_F32, VECTOR(1));
    return graph;
}

/* 128 * 4095 * 4095 = 2146435200 fits 32 bits, 129 * 4095 * 4095 = 2163204225 does not. */
START_TEST(sums_fit_32_bits)
{
    for (int dense = 0; dense < 2; dense++) {
        struct lq_node_spec spec;
        struct lq_graph *graph = quantized(128, 4095, dense, &spec);

        add(graph, &spec);
        lq_graph_destroy(graph);
        graph = quantized(129, 4095, dense, &spec);
        refuse_node(graph, &spec, LQ_ERR_LIMIT,
                    dense ? "node 'fc' (dense): dot products of 129 with grids 4095 (weights) and "
                            "4095 (activations) exceed 32 bits"
                          : "node 'fc' (conv): dot products of 129 with grids 4095 (weights) and "
                            "4095 (activations) exceed 32 bits");
        spec.inputs[0] = dense ? 1 : 0; /* floats are free to be long */
        add(graph, &spec);
        lq_graph_destroy(graph);
        graph = quantized(129, 4000, dense, &spec);
        add(graph, &spec);
        lq_graph_destroy(graph);
    }
}
END_TEST

START_TEST(outputs)
{
    struct lq_graph *graph = create(MAP(1, 1, 3));
    int out = relu(graph, "map", 0);

    refuse_finish(graph, -1, LQ_ERR_INVALID, "the graph has no output");
    refuse_finish(graph, 0, LQ_ERR_INVALID, "the graph has no output"); /* the input */
    refuse_finish(graph, 2, LQ_ERR_INVALID, "the graph has no output");
    ck_assert_int_eq(lq_graph_finish(graph, out, NULL), LQ_OK); /* a 1x1 map */
    ck_assert_int_eq(lq_graph_classes(graph), 3);
    struct lq_node_spec late = node("late", LQ_OP_RELU, 0);
    refuse_node(graph, &late, LQ_ERR_INVALID, "node 1 (relu): the graph is finished");
    ck_assert_int_eq(lq_graph_finish(graph, out, NULL), LQ_ERR_INVALID);
    lq_graph_destroy(graph);

    graph = create(MAP(1025, 1024, 1));
    out = relu(graph, "map", 0);
    refuse_finish(graph, out, LQ_ERR_UNSUPPORTED,
                  "output 'map' is 1025x1024x1, expected a vector of at most 1048576 classes");
    out = flat(graph, "flat", out);
    refuse_finish(graph, out, LQ_ERR_UNSUPPORTED,
                  "output 'flat' is 1049600, expected a vector of at most 1048576 classes");
    lq_graph_destroy(graph);

    graph = NULL;
    ck_assert_int_eq(lq_graph_create(&graph, NULL), LQ_OK);
    refuse_finish(graph, 0, LQ_ERR_INVALID, "the graph has no output");
    lq_graph_destroy(graph);
}
END_TEST

START_TEST(labels)
{
    struct lq_graph *graph = create(MAP(1, 1, 3));
    const char *names[] = {"crane", "crane", "chat \xc3\xa9gyptien", "d"};
    const char *bad[] = {"cat", "dog\x1b[0m", "bird"}, *empty[] = {"cat", ""};
    struct lq_error error = {0};
    int out = relu(graph, "out", 0);

    ck_assert_int_eq(lq_graph_set_labels(graph, bad, 3, &error), LQ_ERR_INVALID);
    ck_assert_str_eq(error.text, "label 1: label: byte 3 is 0x1b, expected UTF-8 text without "
                                 "control characters");
    error = (struct lq_error){0};
    ck_assert_int_eq(lq_graph_set_labels(graph, empty, 2, &error), LQ_ERR_INVALID);
    ck_assert_str_eq(error.text, "label 1: label is empty");
    ck_assert_int_eq(lq_graph_set_labels(graph, names, -1, NULL), LQ_ERR_LIMIT);
    ck_assert_int_eq(lq_graph_set_labels(graph, names, LQ_MAX_CLASSES + 1, NULL), LQ_ERR_LIMIT);
    ck_assert_int_eq(graph->meta.label_count, 0);
    ck_assert_int_eq(lq_graph_set_labels(graph, names, 4, NULL), LQ_OK);
    refuse_finish(graph, out, LQ_ERR_INVALID, "4 labels for 3 classes");
    ck_assert_int_eq(lq_graph_set_labels(graph, names, 3, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_finish(graph, out, NULL), LQ_OK);
    ck_assert_int_eq(graph->meta.label_count, 3);
    ck_assert_str_eq(graph->meta.labels[2], names[2]);
    ck_assert_ptr_ne(graph->meta.labels[2], names[2]);
    lq_graph_destroy(graph);
}
END_TEST

START_TEST(preprocessing)
{
    const struct {
        struct lq_preprocess given;
        const char *text; /* NULL: fine */
    } cases[] = {
        {{.mean = {0.5f, 0.4f, 0.3f}, .std = {1, 2, 3}, .scale = 1}, NULL},
        {{.resize = 65536, .std = {1, 1, 1}, .scale = 1}, NULL},
        {{.resize = -1}, "preprocess resize is -1, expected 0..65536"},
        {{.resize = 65537}, "preprocess resize is 65537, expected 0..65536"},
        {{.std = {1, 1, 1}}, "preprocess scale is 0, expected more than 0"},
        {{.std = {1, 1, 1}, .scale = -1}, "preprocess scale is -1, expected more than 0"},
        {{.std = {1, 1, 1}, .scale = NAN}, "preprocess scale is nan, expected more than 0"},
        {{.std = {1, 1, 1}, .scale = INFINITY}, "preprocess scale is inf, expected more than 0"},
        {{.mean = {1, 1, 1}, .scale = 1},
         "preprocess mean 1, std 0 of channel 0: expected finite, std more than 0"},
        {{.mean = {0, 1, 0}}, "preprocess scale is 0, expected more than 0"},
        {{.mean = {0, NAN, 0}, .std = {1, 1, 1}, .scale = 1},
         "preprocess mean nan, std 1 of channel 1: expected finite, std more than 0"},
        {{.std = {1, 1, -1}, .scale = 1},
         "preprocess mean 0, std -1 of channel 2: expected finite, std more than 0"},
        {{.std = {1, 1, 1e-38f}, .scale = 1}, /* 255 / std is infinite */
         "preprocess mean 0, std 1e-38 of channel 2: expected finite, std more than 0"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lq_graph *graph = create(MAP(32, 24, 3));
        int out = flat(graph, "out", 0);

        graph->meta.preprocess = cases[i].given;
        if (cases[i].text) {
            refuse_finish(graph, out, LQ_ERR_INVALID, cases[i].text);
        } else {
            ck_assert_int_eq(lq_graph_finish(graph, out, NULL), LQ_OK);
            ck_assert_int_eq(graph->meta.preprocess.height, 32);
            ck_assert_int_eq(graph->meta.preprocess.width, 24);
            ck_assert_int_eq(graph->meta.preprocess.resize, cases[i].given.resize);
            ck_assert_mem_eq(graph->meta.preprocess.mean, cases[i].given.mean, sizeof(float[3]));
            ck_assert_mem_eq(graph->meta.preprocess.std, cases[i].given.std, sizeof(float[3]));
        }
        lq_graph_destroy(graph);
    }
}
END_TEST

/* Nothing said: pixels between 0 and 1. A single channel: the other two are neutral. */
START_TEST(preprocessing_defaults)
{
    struct lq_graph *graph = create(MAP(32, 32, 3));

    graph->meta.preprocess.resize = 36;
    ck_assert_int_eq(lq_graph_finish(graph, flat(graph, "out", 0), NULL), LQ_OK);
    const struct lq_preprocess *p = &graph->meta.preprocess;
    ck_assert_int_eq(p->resize, 36);
    ck_assert_float_eq(p->scale, 1 / 255.0f);
    for (int c = 0; c < 3; c++)
        ck_assert(p->mean[c] == 0 && p->std[c] == 1);
    lq_graph_destroy(graph);

    graph = create(MAP(28, 28, 1));
    graph->meta.preprocess =
        (struct lq_preprocess){.mean = {0.1307f}, .std = {0.3081f}, .scale = 1 / 255.0f};
    ck_assert_int_eq(lq_graph_finish(graph, flat(graph, "out", 0), NULL), LQ_OK);
    p = &graph->meta.preprocess;
    ck_assert(p->mean[0] == 0.1307f && p->std[0] == 0.3081f);
    ck_assert(p->mean[2] == 0 && p->std[2] == 1);
    lq_graph_destroy(graph);
}
END_TEST

START_TEST(provenance)
{
    struct lq_graph *graph = create(MAP(1, 1, 3));
    struct lq_error error = {0};
    char key[16], *longest = malloc(4097);

    ck_assert_ptr_nonnull(longest);
    ck_assert_ptr_null(lq_graph_provenance(graph, "top1"));
    ck_assert_int_eq(lq_graph_set_provenance(graph, "top1", "91.73", NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_set_provenance(graph, "note", "", NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_set_provenance(graph, "top1", "91.74", NULL), LQ_OK);
    ck_assert_int_eq(graph->meta.provenance_count, 2);
    ck_assert_str_eq(lq_graph_provenance(graph, "top1"), "91.74");
    ck_assert_str_eq(lq_graph_provenance(graph, "note"), "");
    ck_assert_int_eq(lq_graph_set_provenance(graph, "", "x", NULL), LQ_ERR_INVALID);
    ck_assert_int_eq(lq_graph_set_provenance(graph, "x", "a\nb", &error), LQ_ERR_INVALID);
    ck_assert_str_eq(error.text, "provenance value: byte 1 is 0x0a, expected UTF-8 text without "
                                 "control characters");
    memset(longest, 'x', 4096);
    longest[4096] = 0;
    ck_assert_int_eq(lq_graph_set_provenance(graph, "x", longest, NULL), LQ_ERR_LIMIT);
    longest[4095] = 0;
    ck_assert_int_eq(lq_graph_set_provenance(graph, "x", longest, NULL), LQ_OK);
    for (int i = 3; i < 64; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        ck_assert_int_eq(lq_graph_set_provenance(graph, key, "value", NULL), LQ_OK);
    }
    error = (struct lq_error){0};
    ck_assert_int_eq(lq_graph_set_provenance(graph, "more", "value", &error), LQ_ERR_LIMIT);
    ck_assert_str_eq(error.text, "more than 64 lines of provenance");
    ck_assert_int_eq(lq_graph_set_provenance(graph, "key63", "changed", NULL), LQ_OK);
    ck_assert_str_eq(lq_graph_provenance(graph, "key63"), "changed");
    ck_assert_int_eq(lq_graph_set_name(graph, "resnet20", NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_set_name(graph, "", NULL), LQ_ERR_INVALID);
    ck_assert_str_eq(graph->meta.name, "resnet20");
    free(longest);
    lq_graph_destroy(graph);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("graph");

    tcase_add_test(tests, dead_nodes_are_dropped);
    tcase_add_loop_test(tests, random_graphs, 0, 20);
    tcase_add_test(tests, nodes_are_limited);
    tcase_add_test(tests, bad_nodes_are_refused);
    tcase_add_test(tests, names_are_text);
    tcase_add_test(tests, long_names);
    tcase_add_test(tests, inputs);
    tcase_add_test(tests, tensors);
    tcase_add_test(tests, sums_fit_32_bits);
    tcase_add_test(tests, outputs);
    tcase_add_test(tests, labels);
    tcase_add_test(tests, preprocessing);
    tcase_add_test(tests, preprocessing_defaults);
    tcase_add_test(tests, provenance);
    return suite_main("graph", tests);
}
