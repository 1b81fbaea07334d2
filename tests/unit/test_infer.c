/* test_infer.c - output shapes of every operator, and what each refuses.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/op.h"
#include "quant/quantizer.h"

enum { MAX_PARAMS = 5, POOL = 1 << 17 };

struct param {
    enum lq_param param;
    enum lq_dtype dtype;
    struct lq_shape shape;
};

/* A node without a graph, and its output, or why it is refused. Inputs and parameters end at the
 * first of rank 0. */
struct test {
    enum lq_op_kind kind;
    struct lq_attributes a;
    struct lq_shape inputs[4];
    struct param params[MAX_PARAMS];
    struct lq_shape output;
    int status; /* 0 with a text: LQ_ERR_INVALID */
    const char *text;
};

/* Constants of ones; codes of zeros. */
static float floats[POOL];
static int16_t integers[POOL];
static uint8_t bytes[POOL];

static int infer(const struct test *test, struct lq_shape *ret_output, struct lq_error *error)
{
    const void *data[LQ_DTYPE_COUNT] = {[LQ_F32] = floats, [LQ_I16] = integers, [LQ_U8] = bytes};
    struct lq_tensor tensors[MAX_PARAMS];
    const struct lq_tensor *params[LQ_PARAM_COUNT] = {NULL};
    int count = 1;

    while (count < 4 && test->inputs[count].rank > 0)
        count++;
    for (int i = 0; i < MAX_PARAMS && test->params[i].shape.rank > 0; i++) {
        const struct param *p = &test->params[i];

        tensors[i] = (struct lq_tensor){"t", p->dtype, p->shape, data[p->dtype]};
        ck_assert_int_le(lq_shape_elements(&p->shape), POOL);
        params[p->param] = &tensors[i];
    }
    return lq_op_infer(test->kind, &test->a, test->inputs, count, params, ret_output, error);
}

static void check_good(const struct test *test, int index)
{
    struct lq_shape output = {0, {0}};
    struct lq_error error = {0};
    char got[LQ_SHAPE_TEXT], expected[LQ_SHAPE_TEXT];
    int status = infer(test, &output, &error);

    ck_assert_msg(status == LQ_OK, "case %d: %s", index, error.text);
    ck_assert_msg(lq_shape_equal(&output, &test->output), "case %d: %s, expected %s", index,
                  lq_shape_print(&output, got, sizeof(got)),
                  lq_shape_print(&test->output, expected, sizeof(expected)));
}

static void check_bad(const struct test *test, int index)
{
    struct lq_shape output = {7, {0}};
    struct lq_error error = {0};
    int expected = test->status ? test->status : LQ_ERR_INVALID;
    int status = infer(test, &output, &error);

    ck_assert_msg(status == expected && strcmp(error.text, test->text) == 0,
                  "case %d: %d \"%s\", expected %d \"%s\"", index, status, error.text, expected,
                  test->text);
    ck_assert_int_eq(error.status, expected);
    ck_assert_int_eq(output.rank, 7); /* untouched */
    ck_assert_int_eq(infer(test, &output, NULL), expected);
}

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
/* clang-format off */
#define MAP(h, w, c) {3, {h, w, c}}
#define VECTOR(n) {1, {n}}
/* kernel, stride, dilation; pads: top, left, bottom, right */
#define WINDOW(k, s, d, t, l, b, r) {k, k, s, s, d, d, t, l, b, r}
#define WEIGHT(o, h, w, i) {LQ_PARAM_WEIGHT, LQ_F32, {4, {o, h, w, i}}}
#define F32(name, n) {LQ_PARAM_##name, LQ_F32, {1, {n}}}
#define POOL_CASE(size, k, s, pad, ceil, result)                                                   \
    {.kind = LQ_OP_MAX_POOL,                                                                       \
     .a = {.window = WINDOW(k, s, 1, pad, pad, pad, pad), .ceil_mode = ceil},                      \
     .inputs = {MAP(size, size, 6)},                                                               \
     .output = MAP(result, result, 6)}
/* A convolution of 3x3x4 to 8 channels, at w bits. */
#define CONV(w)                                                                                    \
    .a = {.window = WINDOW(3, 1, 1, 0, 0, 0, 0), .out_channels = 8, .groups = 1, .bits = (w),      \
          .grid = 8},                                                                              \
    .inputs = {MAP(9, 9, 4)}
#define CODES {LQ_PARAM_CODES, LQ_U8, {3, {2, 8, 5}}}
#define BASIS {LQ_PARAM_BASIS, LQ_I16, {2, {8, 2}}}
#define NORM(n) F32(GAMMA, n), F32(BETA, n), F32(MEAN, n), F32(VARIANCE, n)
#define POOL_OF(k, s, d, t, l, b, r)                                                               \
    .kind = LQ_OP_MAX_POOL, .a = {.window = WINDOW(k, s, d, t, l, b, r)}, .inputs = {MAP(8, 8, 2)}
#define LRN(size, al, be, bi)                                                                      \
    .kind = LQ_OP_LRN, .a = {.lrn_size = size, .alpha = al, .beta = be, .bias = bi},               \
    .inputs = {MAP(8, 8, 2)}
#define CLIP(low, high) .kind = LQ_OP_CLIP, .a = {.min = low, .max = high}, .inputs = {VECTOR(2)}
#define SLICE(s, e, t)                                                                             \
    .kind = LQ_OP_SLICE, .a = {.start = {0, s, 0}, .end = {1, e, 1}, .step = {1, t, 1}},           \
    .inputs = {MAP(8, 8, 2)}
#define TO(...)                                                                                    \
    .kind = LQ_OP_RESHAPE, .a = {.shape = __VA_ARGS__}, .inputs = {MAP(2, 3, 4)}
/* clang-format on */

static const struct test convolutions[] = {
    /* the stem of ResNet: (224 + 6 - 7) / 2 + 1 */
    {.a = {.window = WINDOW(7, 2, 1, 3, 3, 3, 3), .out_channels = 64, .groups = 1},
     .inputs = {MAP(224, 224, 3)},
     .params = {WEIGHT(64, 7, 7, 3), F32(BIAS, 64)},
     .output = MAP(112, 112, 64)},
    /* of AlexNet: (227 - 11) / 4 + 1 */
    {.a = {.window = WINDOW(11, 4, 1, 0, 0, 0, 0), .out_channels = 96, .groups = 1},
     .inputs = {MAP(227, 227, 3)},
     .params = {WEIGHT(96, 11, 11, 3)},
     .output = MAP(55, 55, 96)},
    /* TensorFlow's "same" at stride 2 pads behind only: (32 + 1 - 3) / 2 + 1 */
    {.a = {.window = WINDOW(3, 2, 1, 0, 0, 1, 1), .out_channels = 8, .groups = 1},
     .inputs = {MAP(32, 32, 4)},
     .params = {WEIGHT(8, 3, 3, 4)},
     .output = MAP(16, 16, 8)},
    /* (12 + 2 - 3) / 2 + 1, (10 + 1 - 3) / 2 + 1 */
    {.a = {.window = WINDOW(3, 2, 1, 1, 1, 1, 0), .out_channels = 2, .groups = 1},
     .inputs = {MAP(12, 10, 1)},
     .params = {WEIGHT(2, 3, 3, 1)},
     .output = MAP(6, 5, 2)},
    /* a dilated window reaches over 5 and 7 */
    {.a = {.window = {3, 3, 1, 1, 2, 3, 0, 0, 0, 0}, .out_channels = 2, .groups = 1},
     .inputs = {MAP(20, 20, 1)},
     .params = {WEIGHT(2, 3, 3, 1)},
     .output = MAP(16, 14, 2)},
    /* depthwise; grouped */
    {.a = {.window = WINDOW(3, 1, 1, 1, 1, 1, 1), .out_channels = 32, .groups = 32},
     .inputs = {MAP(112, 112, 32)},
     .params = {WEIGHT(32, 3, 3, 1)},
     .output = MAP(112, 112, 32)},
    {.a = {.window = WINDOW(1, 1, 1, 0, 0, 0, 0), .out_channels = 6, .groups = 2},
     .inputs = {MAP(3, 5, 4)},
     .params = {WEIGHT(6, 1, 1, 2)},
     .output = MAP(3, 5, 6)},
    /* windows wholly on padding; a stride beyond the map; kernels that are not square */
    {.a = {.window = WINDOW(1, 1, 1, 2, 2, 2, 2), .out_channels = 1, .groups = 1},
     .inputs = {MAP(4, 4, 1)},
     .params = {WEIGHT(1, 1, 1, 1)},
     .output = MAP(8, 8, 1)},
    {.a = {.window = WINDOW(1, 10, 1, 0, 0, 0, 0), .out_channels = 1, .groups = 1},
     .inputs = {MAP(5, 5, 1)},
     .params = {WEIGHT(1, 1, 1, 1)},
     .output = MAP(1, 1, 1)},
    {.a = {.window = {1, 7, 1, 1, 1, 1, 0, 3, 0, 3}, .out_channels = 1, .groups = 1},
     .inputs = {MAP(17, 17, 1)},
     .params = {WEIGHT(1, 1, 7, 1)},
     .output = MAP(17, 17, 1)},
    /* quantized: rows of 45 codes take 6 bytes */
    {.a = {.window = WINDOW(3, 1, 1, 1, 1, 1, 1),
           .out_channels = 4,
           .groups = 1,
           .bits = 2,
           .grid = 2},
     .inputs = {MAP(8, 8, 5)},
     .params = {{LQ_PARAM_CODES, LQ_U8, {3, {2, 4, 6}}},
                {LQ_PARAM_BASIS, LQ_I16, {2, {4, 2}}},
                F32(SCALE, 4),
                F32(BIAS, 4)},
     .output = MAP(8, 8, 4)},
};

START_TEST(convolution_shapes)
{
    for (size_t i = 0; i < COUNT(convolutions); i++)
        check_good(&convolutions[i], (int)i);
}
END_TEST

static const struct test pools[] = {
    POOL_CASE(112, 3, 2, 0, true, 56), /* GoogLeNet: 112 56 28 14 7 */
    POOL_CASE(56, 3, 2, 0, true, 28),
    POOL_CASE(28, 3, 2, 0, true, 14),
    POOL_CASE(14, 3, 2, 0, true, 7),
    POOL_CASE(112, 3, 2, 0, false, 55),
    POOL_CASE(28, 3, 1, 1, false, 28),
    POOL_CASE(111, 3, 2, 0, true, 55), /* SqueezeNet: 111 55 27 13 */
    POOL_CASE(55, 3, 2, 0, true, 27),
    POOL_CASE(27, 3, 2, 0, true, 13),
    POOL_CASE(112, 3, 2, 1, false, 56), /* ResNet */
    POOL_CASE(5, 2, 2, 0, false, 2),
    POOL_CASE(5, 2, 2, 0, true, 3),
    POOL_CASE(3, 2, 2, 1, true, 2), /* a third window would start on the padding behind */
    POOL_CASE(4, 1, 2, 0, true, 2), /* or beyond the map */
    POOL_CASE(1, 1, 1024, 0, true, 1),
    POOL_CASE(8, 8, 8, 0, false, 1),
    {.kind = LQ_OP_AVERAGE_POOL,
     .a = {.window = {3, 2, 2, 3, 0, 0, 0, 0, 0, 0}}, /* dilation left out */
     .inputs = {MAP(7, 8, 2)},
     .output = MAP(3, 3, 2)},
    {.kind = LQ_OP_AVERAGE_POOL,
     .a = {.window = {1, 3, 1, 1, 1, 1, 0, 2, 0, 0}, .count_include_pad = true},
     .inputs = {MAP(4, 5, 2)},
     .output = MAP(4, 5, 2)},
    {.kind = LQ_OP_GLOBAL_AVERAGE_POOL, .inputs = {MAP(7, 7, 1024)}, .output = MAP(1, 1, 1024)},
};

START_TEST(pool_shapes)
{
    for (size_t i = 0; i < COUNT(pools); i++)
        check_good(&pools[i], (int)i);
}
END_TEST

/* Windows counted one by one. ceil: one more that hangs over, if it starts before the padding. */
static int count_windows(int size, int kernel, int stride, const int pads[2], bool ceil)
{
    int padded = size + pads[0] + pads[1], count = 0, start = 0;

    for (; start + kernel <= padded; start += stride)
        count++;
    bool rest = start - stride + kernel < padded;
    return count + (ceil && rest && start < size + pads[0]);
}

START_TEST(pools_agree_with_counting)
{
    for (int i = 0; i < 5000; i++) {
        int size = 1 + rand() % 20, kernel = 1 + rand() % 7, stride = 1 + rand() % 9;
        int pads[2] = {rand() % kernel, rand() % kernel};
        struct test test = {
            .kind = LQ_OP_MAX_POOL,
            .a = {.window = {kernel, 1, stride, 1, 1, 1, pads[0], 0, pads[1], 0},
                  .ceil_mode = rand() % 2},
            .inputs = {MAP(size, 1, 1)},
        };
        struct lq_shape output = {0, {0}};
        bool fits = kernel <= size + pads[0] + pads[1];

        ck_assert_int_eq(infer(&test, &output, NULL), fits ? LQ_OK : LQ_ERR_INVALID);
        if (!fits)
            continue;
        ck_assert_int_eq(output.dims[0],
                         count_windows(size, kernel, stride, pads, test.a.ceil_mode));
        int last = (output.dims[0] - 1) * stride - pads[0];
        ck_assert(kernel > pads[0] && last < size); /* the first and the last hold a pixel */
    }
}
END_TEST

static const struct test others[] = {
    {.kind = LQ_OP_DENSE,
     .a = {.out_channels = 10},
     .inputs = {VECTOR(64)},
     .params = {{LQ_PARAM_WEIGHT, LQ_F32, {2, {10, 64}}}, F32(BIAS, 10)},
     .output = VECTOR(10)},
    {.kind = LQ_OP_DENSE,
     .a = {.out_channels = 3, .bits = 8, .grid = LQ_MAX_GRID},
     .inputs = {VECTOR(16)},
     .params = {{LQ_PARAM_CODES, LQ_U8, {3, {8, 3, 2}}},
                {LQ_PARAM_BASIS, LQ_I16, {2, {3, 8}}},
                F32(SCALE, 3)},
     .output = VECTOR(3)},
    {.kind = LQ_OP_BATCH_NORM,
     .a = {.epsilon = 1e-5f},
     .inputs = {MAP(4, 4, 8)},
     .params = {NORM(8)},
     .output = MAP(4, 4, 8)},
    {.kind = LQ_OP_BATCH_NORM,
     .inputs = {VECTOR(8)}, /* epsilon 0: the variance is positive */
     .params = {NORM(8)},
     .output = VECTOR(8)},
    {.kind = LQ_OP_RELU, .inputs = {{2, {3, 4}}}, .output = {2, {3, 4}}},
    {.kind = LQ_OP_CLIP, .a = {.max = 6}, .inputs = {MAP(2, 2, 2)}, .output = MAP(2, 2, 2)},
    {.kind = LQ_OP_CLIP,
     .a = {.min = -INFINITY, .max = INFINITY},
     .inputs = {VECTOR(3)},
     .output = VECTOR(3)},
    {.kind = LQ_OP_ADD,
     .inputs = {MAP(2, 3, 4), MAP(2, 3, 4), MAP(2, 3, 4)},
     .output = MAP(2, 3, 4)},
    {.kind = LQ_OP_CONCAT, /* inception 3a */
     .a = {.axis = 2},
     .inputs = {MAP(28, 28, 64), MAP(28, 28, 128), MAP(28, 28, 32), MAP(28, 28, 32)},
     .output = MAP(28, 28, 256)},
    {.kind = LQ_OP_CONCAT,
     .a = {.axis = 0},
     .inputs = {MAP(2, 3, 4), MAP(5, 3, 4)},
     .output = MAP(7, 3, 4)},
    {.kind = LQ_OP_CONCAT, .inputs = {VECTOR(3), VECTOR(4)}, .output = VECTOR(7)},
    {.kind = LQ_OP_PAD, /* ResNet's parameterless shortcut */
     .a = {.before = {0, 0, 8}, .after = {0, 0, 8}},
     .inputs = {MAP(16, 16, 16)},
     .output = MAP(16, 16, 32)},
    {.kind = LQ_OP_PAD,
     .a = {.before = {1, 2, 0}, .after = {3, 4, 0}, .value = -1},
     .inputs = {MAP(5, 5, 2)},
     .output = MAP(9, 11, 2)},
    {.kind = LQ_OP_SLICE,
     .a = {.start = {0, 1, 0}, .end = {32, 32, 16}, .step = {2, 2, 1}},
     .inputs = {MAP(32, 32, 16)},
     .output = MAP(16, 16, 16)},
    {.kind = LQ_OP_SLICE, /* 0 2 .. 30; 30; 3 */
     .a = {.start = {0, 30, 3}, .end = {31, 31, 4}, .step = {2, 7, LQ_MAX_DIM}},
     .inputs = {MAP(31, 31, 16)},
     .output = MAP(16, 1, 1)},
    {.kind = LQ_OP_LRN,
     .a = {.lrn_size = 5, .alpha = 1e-4f, .beta = 0.75f, .bias = 1},
     .inputs = {MAP(56, 56, 64)},
     .output = MAP(56, 56, 64)},
    {.kind = LQ_OP_RESHAPE,
     .a = {.shape = VECTOR(128)},
     .inputs = {MAP(4, 4, 8)},
     .output = VECTOR(128)},
    {.kind = LQ_OP_RESHAPE,
     .a = {.shape = {4, {2, 2, 2, 16}}},
     .inputs = {VECTOR(128)},
     .output = {4, {2, 2, 2, 16}}},
    {.kind = LQ_OP_SOFTMAX, .inputs = {VECTOR(10)}, .output = VECTOR(10)},
    {.kind = LQ_OP_SOFTMAX, .inputs = {MAP(1, 1, 1000)}, .output = MAP(1, 1, 1000)},
    {.kind = LQ_OP_QUANTIZE,
     .a = {.bits = 3, .grid = 3},
     .inputs = {MAP(3, 3, 3)},
     .params = {{LQ_PARAM_BASIS, LQ_I16, {1, {3}}}, F32(SCALE, 1)},
     .output = MAP(3, 3, 3)},
};

START_TEST(other_shapes)
{
    for (size_t i = 0; i < COUNT(others); i++)
        check_good(&others[i], (int)i);
}
END_TEST

/* One attribute of a good convolution changed at a time. */
START_TEST(window_attributes_are_named)
{
    const struct {
        size_t offset;
        int value;
        const char *text;
    } cases[] = {
        {offsetof(struct lq_attributes, window.kernel_h), 0,
         "attribute kernel_h is 0, expected 1..1024"},
        {offsetof(struct lq_attributes, window.kernel_w), INT_MIN,
         "attribute kernel_w is -2147483648, expected 1..1024"},
        {offsetof(struct lq_attributes, window.kernel_w), INT_MAX,
         "attribute kernel_w is 2147483647, expected 1..1024"},
        {offsetof(struct lq_attributes, window.stride_h), 0,
         "attribute stride_h is 0, expected 1..1024"},
        {offsetof(struct lq_attributes, window.stride_w), 1025,
         "attribute stride_w is 1025, expected 1..1024"},
        {offsetof(struct lq_attributes, window.pad_top), -1,
         "attribute pad_top is -1, expected 0..4096"},
        {offsetof(struct lq_attributes, window.pad_left), 4097,
         "attribute pad_left is 4097, expected 0..4096"},
        {offsetof(struct lq_attributes, window.pad_bottom), INT_MAX,
         "attribute pad_bottom is 2147483647, expected 0..4096"},
        {offsetof(struct lq_attributes, window.pad_right), -2,
         "attribute pad_right is -2, expected 0..4096"},
        {offsetof(struct lq_attributes, window.dilation_h), 0,
         "attribute dilation_h is 0, expected 1..1024"},
        {offsetof(struct lq_attributes, window.dilation_w), 1025,
         "attribute dilation_w is 1025, expected 1..1024"},
        {offsetof(struct lq_attributes, window.dilation_w), 16,
         "the window reaches over 33 along w, the padded input has 32"},
        {offsetof(struct lq_attributes, out_channels), 0,
         "attribute out_channels is 0, expected 1..1048576"},
        {offsetof(struct lq_attributes, out_channels), INT_MAX,
         "attribute out_channels is 2147483647, expected 1..1048576"},
        {offsetof(struct lq_attributes, groups), 0, "attribute groups is 0, expected 1..1048576"},
        {offsetof(struct lq_attributes, groups), 3,
         "attribute groups is 3, which does not divide 4 input and 8 output channels"},
        {offsetof(struct lq_attributes, groups), 8,
         "attribute groups is 8, which does not divide 4 input and 8 output channels"},
        {offsetof(struct lq_attributes, bits), -1, "attribute bits is -1, expected 0..8"},
        {offsetof(struct lq_attributes, bits), 9, "attribute bits is 9, expected 0..8"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct test test = {
            .a = {.window = WINDOW(3, 1, 1, 0, 0, 0, 0), .out_channels = 8, .groups = 1},
            .inputs = {MAP(32, 32, 4)},
            .params = {WEIGHT(8, 3, 3, 4)},
            .output = MAP(30, 30, 8),
            .text = cases[i].text};

        check_good(&test, -1);
        *(int *)(void *)((char *)&test.a + cases[i].offset) = cases[i].value;
        check_bad(&test, (int)i);
    }
}
END_TEST

static const struct test bad_layers[] = {
    {CONV(0), .text = "parameter 'weight' is missing"},
    {CONV(0), .params = {WEIGHT(8, 3, 3, 5)},
     .text = "parameter 'weight' is F32 8x3x3x5, expected F32 8x3x3x4"},
    {CONV(0), .params = {{LQ_PARAM_WEIGHT, LQ_I16, {4, {8, 3, 3, 4}}}},
     .text = "parameter 'weight' is I16 8x3x3x4, expected F32 8x3x3x4"},
    {CONV(0), .params = {WEIGHT(8, 3, 3, 4), F32(BIAS, 9)},
     .text = "parameter 'bias' is F32 9, expected F32 8"},
    {CONV(0), .params = {WEIGHT(8, 3, 3, 4), F32(GAMMA, 8)}, .text = "takes no parameter 'gamma'"},
    {CONV(0), .params = {WEIGHT(8, 3, 3, 4), F32(SCALE, 8)},
     .text = "has quantized weights though attribute bits is 0"},
    {CONV(2), .params = {WEIGHT(8, 3, 3, 4)},
     .text = "has parameter 'weight' though its weights have 2 bits"},
    {CONV(2), .params = {BASIS, F32(SCALE, 8)}, .text = "parameter 'codes' is missing"},
    {CONV(2), .params = {CODES, F32(SCALE, 8)}, .text = "parameter 'basis' is missing"},
    {CONV(2), .params = {CODES, BASIS}, .text = "parameter 'scale' is missing"},
    {CONV(2), .params = {{LQ_PARAM_CODES, LQ_U8, {3, {2, 8, 4}}}, BASIS, F32(SCALE, 8)},
     .text = "parameter 'codes' is U8 2x8x4, expected U8 2x8x5"},
    {CONV(2), .params = {CODES, {LQ_PARAM_BASIS, LQ_I16, {2, {2, 8}}}, F32(SCALE, 8)},
     .text = "parameter 'basis' is I16 2x8, expected I16 8x2"},
    {CONV(2), .params = {CODES, BASIS, F32(SCALE, 1)},
     .text = "parameter 'scale' is F32 1, expected F32 8"},
    {.inputs = {VECTOR(9)}, .text = "input has rank 1, expected a feature map"},
    {.inputs = {MAP(4, 4, 4), MAP(4, 4, 4)}, .text = "2 inputs, expected 1"},
    {.a = {.window = WINDOW(1024, 1, 1, 512, 512, 512, 512), .out_channels = 1, .groups = 1},
     .inputs = {MAP(1, 1, 17)},
     .status = LQ_ERR_LIMIT,
     .text = "dot products of 17825792, expected at most 16777216"},
    {.a = {.window = WINDOW(64, 1, 1, 64, 64, 64, 64), .out_channels = 1, .groups = 1},
     .inputs = {MAP(1, 1 << 20, 1)},
     .status = LQ_ERR_LIMIT,
     .text = "1048641 dot products of 4096 in one row"},
    {.a = {.window = WINDOW(3, 1, 1, 1, 1, 1, 1), .out_channels = 1 << 20, .groups = 1},
     .inputs = {MAP(1, 1, 1024)},
     .status = LQ_ERR_LIMIT,
     .text = "weights: more than 1073741824 elements"},
    {.kind = LQ_OP_DENSE,
     .a = {.out_channels = 10},
     .inputs = {MAP(1, 1, 64)},
     .text = "input has rank 3, expected a vector of at most 16777216 numbers"},
    {.kind = LQ_OP_DENSE,
     .a = {.out_channels = 10},
     .inputs = {VECTOR(64)},
     .params = {{LQ_PARAM_WEIGHT, LQ_F32, {2, {64, 10}}}},
     .text = "parameter 'weight' is F32 64x10, expected F32 10x64"},
    {.kind = LQ_OP_DENSE,
     .a = {.window = WINDOW(1, 1, 1, 0, 0, 0, 0), .out_channels = 10},
     .inputs = {VECTOR(64)},
     .text = "attribute kernel_h is 1, expected 0"},
    {.kind = LQ_OP_DENSE,
     .a = {.out_channels = 10, .bits = 1, .grid = LQ_MAX_GRID + 1},
     .inputs = {VECTOR(64)},
     .text = "attribute grid is 4096, expected 1..4095"},
    {.kind = LQ_OP_BATCH_NORM,
     .inputs = {MAP(2, 2, 4)},
     .params = {F32(GAMMA, 4), F32(BETA, 4), F32(MEAN, 4)},
     .text = "parameter 'variance' is missing"},
    {.kind = LQ_OP_BATCH_NORM,
     .inputs = {MAP(2, 2, 4)},
     .params = {F32(GAMMA, 2)},
     .text = "parameter 'gamma' is F32 2, expected F32 4"},
    {.kind = LQ_OP_BATCH_NORM,
     .inputs = {{2, {2, 4}}},
     .text = "input has rank 2, expected a vector or a feature map"},
    {.kind = LQ_OP_BATCH_NORM,
     .a = {.epsilon = NAN},
     .inputs = {VECTOR(4)},
     .params = {NORM(4)},
     .text = "attribute epsilon is nan, expected 0..1e6"},
    {.kind = LQ_OP_QUANTIZE,
     .a = {.bits = 0, .grid = 1},
     .inputs = {VECTOR(4)},
     .text = "attribute bits is 0, expected 1..8"},
    {.kind = LQ_OP_QUANTIZE,
     .a = {.bits = 2},
     .inputs = {VECTOR(4)},
     .text = "attribute grid is 0, expected 1..4095"},
    {.kind = LQ_OP_QUANTIZE,
     .a = {.bits = 3, .grid = 2},
     .inputs = {VECTOR(4)},
     .params = {{LQ_PARAM_BASIS, LQ_I16, {1, {3}}}, F32(SCALE, 1)},
     .text = "parameter 'basis': row 0 sums to 3, the grid is 2"},
};

START_TEST(bad_layers_are_refused)
{
    for (size_t i = 0; i < COUNT(bad_layers); i++)
        check_bad(&bad_layers[i], (int)i);
}
END_TEST

#define LRN_TEXT "expected finite, alpha at least 0, bias more than 0"

static const struct test bad_maps[] = {
    {POOL_OF(3, 1, 1, 3, 0, 0, 0), .text = "attribute pad_top is 3, expected 0..2"},
    {POOL_OF(3, 1, 1, 0, 0, 0, 7), .text = "attribute pad_right is 7, expected 0..2"},
    {POOL_OF(1, 1, 1, 0, 0, 1, 0), .text = "attribute pad_bottom is 1, expected 0"},
    {POOL_OF(3, 1, 2, 0, 0, 0, 0), .text = "attribute dilation_h is 2, expected 1"},
    {POOL_OF(INT_MIN, 1, 1, 0, 0, 0, 0),
     .text = "attribute kernel_h is -2147483648, expected 1..1024"},
    {POOL_OF(2, 0, 1, 0, 0, 0, 0), .text = "attribute stride_h is 0, expected 1..1024"},
    {POOL_OF(9, 1, 1, 0, 0, 0, 0),
     .text = "the window reaches over 9 along h, the padded input has 8"},
    {.kind = LQ_OP_AVERAGE_POOL,
     .inputs = {VECTOR(8)},
     .text = "input has rank 1, expected a feature map"},
    {.kind = LQ_OP_GLOBAL_AVERAGE_POOL,
     .inputs = {{4, {1, 2, 3, 4}}},
     .text = "input has rank 4, expected a feature map"},
    {LRN(0, 1, 1, 1), .text = "attribute lrn_size is 0, expected 1..1024"},
    {LRN(5, -1, 1, 1), .text = "attributes alpha -1, beta 1, bias 1: " LRN_TEXT},
    {LRN(5, 1, NAN, 1), .text = "attributes alpha 1, beta nan, bias 1: " LRN_TEXT},
    {LRN(5, 1, 1, 0), .text = "attributes alpha 1, beta 1, bias 0: " LRN_TEXT},
    {LRN(5, INFINITY, 1, 1), .text = "attributes alpha inf, beta 1, bias 1: " LRN_TEXT},
    {CLIP(1, 0), .text = "attributes min 1, max 0: expected finite numbers between them"},
    {CLIP(NAN, 0), .text = "attributes min nan, max 0: expected finite numbers between them"},
    {CLIP(INFINITY, INFINITY),
     .text = "attributes min inf, max inf: expected finite numbers between them"},
    {CLIP(-INFINITY, -INFINITY),
     .text = "attributes min -inf, max -inf: expected finite numbers between them"},
    {.kind = LQ_OP_SOFTMAX,
     .inputs = {{2, {3, 4}}},
     .text = "input has rank 2, expected a vector or a feature map"},
    {.kind = LQ_OP_RELU,
     .inputs = {VECTOR(4)},
     .params = {F32(BIAS, 4)},
     .text = "takes no parameter 'bias'"},
    {.kind = LQ_OP_RELU,
     .inputs = {VECTOR(0)},
     .status = LQ_ERR_LIMIT,
     .text = "input 0: dimension 0 is 0, expected 1..16777216"},
    {.kind = LQ_OP_COUNT, .inputs = {VECTOR(4)}, .text = "operator 16 does not exist"},
    {.kind = (enum lq_op_kind) - 1, .inputs = {VECTOR(4)}, .text = "operator -1 does not exist"},
};

START_TEST(bad_maps_are_refused)
{
    for (size_t i = 0; i < COUNT(bad_maps); i++)
        check_bad(&bad_maps[i], (int)i);
}
END_TEST

static const struct test bad_shapes[] = {
    {.kind = LQ_OP_ADD, .inputs = {MAP(2, 2, 2)}, .text = "1 inputs, expected 2..64"},
    {.kind = LQ_OP_ADD,
     .inputs = {MAP(2, 2, 2), MAP(2, 2, 2), MAP(2, 1, 2)},
     .text = "input 2 is 2x1x2, input 0 is 2x2x2: expected equal"},
    {.kind = LQ_OP_CONCAT,
     .a = {.axis = 3},
     .inputs = {MAP(2, 2, 2)},
     .text = "attribute axis is 3, expected 0..2"},
    {.kind = LQ_OP_CONCAT,
     .a = {.axis = -1},
     .inputs = {MAP(2, 2, 2)},
     .text = "attribute axis is -1, expected 0..2"},
    {.kind = LQ_OP_CONCAT,
     .a = {.axis = 2},
     .inputs = {MAP(2, 2, 2), MAP(2, 3, 2)},
     .text = "input 1 is 2x3x2, input 0 is 2x2x2: expected equal except along axis 2"},
    {.kind = LQ_OP_CONCAT,
     .a = {.axis = 0},
     .inputs = {VECTOR(2), {2, {2, 2}}},
     .text = "input 1 is 2x2, input 0 is 2: expected equal except along axis 0"},
    {.kind = LQ_OP_CONCAT,
     .inputs = {VECTOR(LQ_MAX_DIM), VECTOR(LQ_MAX_DIM)},
     .status = LQ_ERR_LIMIT,
     .text = "axis 0 adds up to 33554432, expected at most 16777216"},
    {.kind = LQ_OP_CONCAT,
     .inputs = {MAP(1 << 14, 1 << 13, 8), MAP(1, 1 << 13, 8)},
     .status = LQ_ERR_LIMIT,
     .text = "output: more than 1073741824 elements"},
    {.kind = LQ_OP_PAD,
     .a = {.before = {0, -1, 0}},
     .inputs = {MAP(2, 2, 2)},
     .text = "attribute before[1] is -1, expected 0..1048576"},
    {.kind = LQ_OP_PAD,
     .a = {.after = {0, 0, INT_MAX}},
     .inputs = {MAP(2, 2, 2)},
     .text = "attribute after[2] is 2147483647, expected 0..1048576"},
    {.kind = LQ_OP_PAD,
     .a = {.after = {1 << 20, 1 << 20, 0}},
     .inputs = {MAP(2, 2, 2)},
     .status = LQ_ERR_LIMIT,
     .text = "output: more than 1073741824 elements"},
    {.kind = LQ_OP_PAD,
     .a = {.value = INFINITY},
     .inputs = {MAP(2, 2, 2)},
     .status = LQ_ERR_NUMERIC,
     .text = "attribute value is inf, expected finite"},
    {.kind = LQ_OP_PAD, .inputs = {VECTOR(2)}, .text = "input has rank 1, expected a feature map"},
    {SLICE(-1, 8, 1), .text = "attribute start[1] is -1, expected 0..7"},
    {SLICE(8, 8, 1), .text = "attribute start[1] is 8, expected 0..7"},
    {SLICE(3, 3, 1), .text = "attribute end[1] is 3, expected 4..8"},
    {SLICE(7, 9, 1), .text = "attribute end[1] is 9, expected 8"},
    {SLICE(0, 8, 0), .text = "attribute step[1] is 0, expected 1..16777216"},
    {SLICE(0, INT_MAX, 1), .text = "attribute end[1] is 2147483647, expected 1..8"},
    {TO(VECTOR(23)), .text = "cannot reshape 2x3x4 to 23"},
    {TO({0, {0}}), .text = "attribute shape has rank 0, expected 1..4"},
    {TO({INT_MAX, {1}}), .text = "attribute shape has rank 2147483647, expected 1..4"},
    {.kind = LQ_OP_RESHAPE,
     .a = {.shape = {2, {-4, -6}}},
     .inputs = {VECTOR(24)},
     .status = LQ_ERR_LIMIT,
     .text = "attribute shape: dimension 0 is -4, expected 1..16777216"},
};

START_TEST(bad_shapes_are_refused)
{
    for (size_t i = 0; i < COUNT(bad_shapes); i++)
        check_bad(&bad_shapes[i], (int)i);
}
END_TEST

/* Mostly small, sometimes absurd. */
static int roll(int least)
{
    const int absurd[] = {0, -1, INT_MIN, INT_MAX, 1 << 24, 1025, 4097, 65536};

    return rand() % 60 ? least + rand() % 4 : absurd[rand() % 8];
}

static void roll_test(struct test *test)
{
    struct lq_attributes *a = &test->a;
    int *window[] = {&a->window.kernel_h,   &a->window.kernel_w,   &a->window.stride_h,
                     &a->window.stride_w,   &a->window.dilation_h, &a->window.dilation_w,
                     &a->window.pad_bottom, &a->window.pad_left,   &a->window.pad_right};
    int inputs = test->kind == LQ_OP_ADD || test->kind == LQ_OP_CONCAT ? 1 + rand() % 3 : 1;

    for (int i = 0; i < 9; i++)
        *window[i] = roll(i < 6 ? 1 : 0);
    if (test->kind != LQ_OP_CONV)
        a->window.dilation_h = a->window.dilation_w = roll(1) > 3;
    for (int axis = 0; axis < 3; axis++) {
        a->before[axis] = roll(0);
        a->after[axis] = roll(0);
        a->start[axis] = roll(0);
        a->end[axis] = roll(1);
        a->step[axis] = roll(1);
    }
    a->out_channels = roll(1);
    a->groups = rand() % 3 ? 1 : roll(1);
    a->axis = roll(0);
    a->lrn_size = roll(1);
    for (int i = 0; i < inputs; i++)
        test->inputs[i] = (struct lq_shape)MAP(1 + rand() % 9, 1 + rand() % 9, 4);
    struct param weight =
        WEIGHT(a->out_channels, a->window.kernel_h, a->window.kernel_w, a->groups > 1 ? 2 : 4);
    if (test->kind == LQ_OP_CONV && lq_shape_check(&weight.shape, NULL) == LQ_OK &&
        lq_shape_elements(&weight.shape) <= POOL)
        test->params[0] = weight;
}

/* Whatever passes has a shape within the limits. */
START_TEST(random_attributes_never_escape)
{
    int passed[LQ_OP_COUNT] = {0};

    for (int i = 0; i < 100000; i++) {
        struct test test = {.kind = (enum lq_op_kind)(rand() % LQ_OP_COUNT)};
        struct lq_shape output;

        roll_test(&test);
        if (infer(&test, &output, NULL) != LQ_OK)
            continue;
        ck_assert_int_eq(lq_shape_check(&output, NULL), LQ_OK);
        passed[test.kind]++;
    }
    ck_assert_int_gt(passed[LQ_OP_CONV], 100); /* enough gets past the checks */
    ck_assert_int_gt(passed[LQ_OP_AVERAGE_POOL], 100);
    ck_assert_int_gt(passed[LQ_OP_PAD], 100);
    ck_assert_int_gt(passed[LQ_OP_SLICE], 100);
    ck_assert_int_gt(passed[LQ_OP_CONCAT], 10);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("infer");

    for (int i = 0; i < POOL; i++) {
        floats[i] = 1;
        integers[i] = 1;
    }
    tcase_add_test(tests, convolution_shapes);
    tcase_add_test(tests, pool_shapes);
    tcase_add_test(tests, pools_agree_with_counting);
    tcase_add_test(tests, other_shapes);
    tcase_add_test(tests, window_attributes_are_named);
    tcase_add_test(tests, bad_layers_are_refused);
    tcase_add_test(tests, bad_maps_are_refused);
    tcase_add_test(tests, bad_shapes_are_refused);
    tcase_add_test(tests, random_attributes_never_escape);
    return suite_main("infer", tests);
}
