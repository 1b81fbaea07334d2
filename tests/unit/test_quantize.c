/* test_quantize.c - quantizing a whole model on a data set: settings, repeatability, refusals.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/files.h"
#include "support/suite.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lq_learn.h"
#include "support/image_forge.h"
#include "support/onnx_text.h"

enum { IMAGES = 24, SIDE = 8, CLASSES = 4 };

static char folder[64];
static struct lq_engine *engine;
static struct lq_model *model;
static struct lq_dataset *dataset;

static int remove_item(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

static void put(const char *name, const uint8_t *bytes, size_t size)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file_write(path, bytes, size);
}

/* "tensor NAME float DIMS" and random numbers. */
static int put_tensor(char *text, size_t room, const char *name, const char *dims, int count)
{
    int at = snprintf(text, room, "tensor %s float %s", name, dims);

    for (int i = 0; i < count; i++)
        at += snprintf(text + at, room - (size_t)at, " %.4f", (rand() % 2001 - 1000) / 2000.0);
    return at + snprintf(text + at, room - (size_t)at, "\n");
}

static char *network_text(void)
{
    enum { ROOM = 1 << 16 };
    char *text = malloc(ROOM);
    size_t at = (size_t)snprintf(text, ROOM,
                                 "opset 13\ninput x float N,3,8,8\noutput y\n"
                                 "tensor one float 8 1\ntensor zero float 8 0.1\n");

    at += (size_t)put_tensor(text + at, ROOM - at, "w1", "8,3,3,3", 216);
    at += (size_t)put_tensor(text + at, ROOM - at, "w2", "8,8,3,3", 576);
    at += (size_t)put_tensor(text + at, ROOM - at, "w3", "8,8,1,1", 64);
    at += (size_t)put_tensor(text + at, ROOM - at, "w4", "4,8", 32);
    snprintf(text + at, ROOM - at,
             "Conv x,w1 c1 name=conv1 pads=[1,1,1,1]\nBatchNormalization c1,one,zero,zero,one n1 "
             "name=bn1\nRelu n1 r1\n"
             "Conv r1,w2 c2 name=conv2 pads=[1,1,1,1]\nBatchNormalization c2,one,zero,zero,one n2 "
             "name=bn2\nAdd n2,r1 a2\nRelu a2 r2\n"
             "Conv r2,w3 c3 name=conv3\nRelu c3 r3\nGlobalAveragePool r3 g\nFlatten g f\n"
             "Gemm f,w4 y name=fc transB=1\n");
    return text;
}

static void setup(void)
{
    struct lq_import_options options = {
        .preprocess = {.mean = {.5f, .5f, .5f}, .std = {.25f, .25f, .25f}, .scale = 1 / 255.f}};
    struct lq_error error = {0};
    char path[256];
    size_t size;

    strcpy(folder, "/tmp/lqnet-quantize-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/data", folder);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    for (int i = 0; i < IMAGES; i++) {
        uint8_t pixels[SIDE * SIDE * 3];
        char name[64];

        for (size_t j = 0; j < sizeof(pixels); j++)
            pixels[j] = (uint8_t)rand();
        snprintf(path, sizeof(path), "%s/data/%d", folder, i % CLASSES);
        mkdir(path, 0755);
        struct blob png = png_file(pixels, SIDE, SIDE, NULL, NULL);
        snprintf(name, sizeof(name), "data/%d/%d.png", i % CLASSES, i);
        put(name, png.bytes, png.size);
        blob_free(&png);
    }
    char *text = network_text();
    uint8_t *bytes = onnx_from_text(text, &size);
    put("net.onnx", bytes, size);
    free(bytes);
    free(text);
    ck_assert_int_eq(lq_engine_create(LQ_CPU_ALL, &engine, &error), LQ_OK);
    snprintf(path, sizeof(path), "%s/net.onnx", folder);
    ck_assert_msg(lq_model_import_onnx(engine, path, &options, &model, &error) == LQ_OK, "%s",
                  error.text);
    snprintf(path, sizeof(path), "%s/data", folder);
    ck_assert_msg(lq_dataset_open(path, LQ_SPLIT_TRAIN, &dataset, &error) == LQ_OK, "%s",
                  error.text);
}

static void teardown(void)
{
    lq_dataset_close(dataset);
    lq_model_unref(model);
    lq_engine_destroy(engine);
    ck_assert_int_eq(nftw(folder, remove_item, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static struct lq_model *quantize(const struct lq_quantize_options *options,
                                 struct lq_quantize_report *ret_report)
{
    struct lq_model *quantized = NULL;
    struct lq_quantize_report report = {0};
    struct lq_error error = {0};

    ck_assert_msg(lq_model_quantize(model, dataset, options, &quantized, &report, &error) == LQ_OK,
                  "%s", error.text);
    if (ret_report)
        *ret_report = report;
    else
        lq_quantize_report_deinit(&report);
    return quantized;
}

static void expect_bits(const struct lq_model *quantized, const char *name, int weight_bits)
{
    struct lq_model_info info;

    lq_model_get_info(quantized, &info);
    for (int i = 0; i < info.layer_count; i++) {
        struct lq_layer_info layer;

        lq_model_layer(quantized, i, &layer);
        if (strcmp(layer.name, name) != 0)
            continue;
        ck_assert_msg(layer.weight_bits == weight_bits, "%s has %d bits", name, layer.weight_bits);
        return;
    }
    ck_abort_msg("no layer %s", name);
}

START_TEST(first_and_last_stay_float)
{
    struct lq_quantize_options options = {.bits = {2, 3, 0, 0}, .images = 16};
    struct lq_quantize_report report;
    struct lq_model *quantized = quantize(&options, &report);

    expect_bits(quantized, "conv1", 0);
    expect_bits(quantized, "conv2", 2);
    expect_bits(quantized, "conv3", 2);
    expect_bits(quantized, "fc", 0);
    ck_assert_int_eq(report.layer_count, 2);
    ck_assert_str_eq(report.layers[0].name, "conv2");
    ck_assert_int_eq(report.layers[0].bits.weight_bits, 2);
    ck_assert_int_eq(report.layers[0].bits.activation_bits, 3);
    ck_assert_int_eq(report.layers[0].bits.weight_grid, 31);
    ck_assert_int_eq(report.layers[0].bits.activation_grid, 63);
    for (int i = 0; i < 2; i++) {
        ck_assert(report.layers[i].weight_error > 0 && report.layers[i].weight_error < 0.2);
        ck_assert(report.layers[i].activation_error > 0 && report.layers[i].activation_error < 0.1);
        ck_assert(report.layers[i].output_error > 0 && report.layers[i].output_error < 1);
    }
    lq_quantize_report_deinit(&report);
    lq_model_unref(quantized);
}
END_TEST

START_TEST(layers_of_their_own)
{
    const struct lq_layer_bits layers[] = {{"conv1", {3, 0, 0, 0}},
                                           {"conv3", {0, 0, 0, 0}},
                                           {"fc", {4, 5, 20, 40}},
                                           {"conv2", {1, 2, 0, 0}}};
    struct lq_quantize_options options = {
        .bits = {8, 8, 0, 0}, .images = 8, .layers = layers, .layer_count = 4};
    struct lq_model *quantized = quantize(&options, NULL);

    expect_bits(quantized, "conv1", 3); /* on float activations: the pixels */
    expect_bits(quantized, "conv2", 1);
    expect_bits(quantized, "conv3", 0);
    expect_bits(quantized, "fc", 4);
    lq_model_unref(quantized);
}
END_TEST

static void read_back(struct lq_model *from, float *ret_logits, char **ret_bytes, size_t *ret_size)
{
    struct lq_session_options options = {4, 1, LQ_FORM_AUTO};
    struct lq_session *session = NULL;
    struct lq_model *read = NULL;
    struct lq_error error = {0};
    float input[4 * 3 * SIDE * SIDE];
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/out.lq", folder);
    ck_assert_msg(lq_model_save(from, path, &error) == LQ_OK, "%s", error.text);
    file = fopen(path, "r");
    *ret_bytes = malloc(1 << 20);
    *ret_size = fread(*ret_bytes, 1, 1 << 20, file);
    fclose(file);
    ck_assert_msg(lq_model_open(engine, path, &read, &error) == LQ_OK, "%s", error.text);
    for (size_t i = 0; i < sizeof(input) / sizeof(*input); i++)
        input[i] = (float)(i % 17) / 8 - 1;
    ck_assert_int_eq(lq_session_create(read, &options, &session, &error), LQ_OK);
    ck_assert_int_eq(lq_session_run(session, input, LQ_NHWC, 4, ret_logits, &error), LQ_OK);
    lq_session_destroy(session);
    lq_model_unref(read);
}

/* The same file whatever the threads, another one for another seed of the augmentation. */
START_TEST(repeatable)
{
    struct lq_quantize_options options = {.bits = {3, 3, 0, 0},
                                          .images = 20,
                                          .augmentation = "crop2-mean,flip",
                                          .seed = 5,
                                          .threads = 1};
    float logits[3][4 * CLASSES];
    char *bytes[3];
    size_t sizes[3];

    for (int i = 0; i < 3; i++) {
        struct lq_model *quantized;

        options.threads = i == 1 ? 3 : 1;
        options.seed = i == 2 ? 6 : 5;
        quantized = quantize(&options, NULL);
        read_back(quantized, logits[i], &bytes[i], &sizes[i]);
        lq_model_unref(quantized);
    }
    ck_assert_uint_eq(sizes[0], sizes[1]);
    ck_assert_mem_eq(bytes[0], bytes[1], sizes[0]);
    ck_assert_mem_eq(logits[0], logits[1], sizeof(logits[0]));
    ck_assert(memcmp(logits[0], logits[2], sizeof(logits[0])) != 0);
    for (int i = 0; i < 3; i++)
        free(bytes[i]);
}
END_TEST

START_TEST(refused)
{
    static const struct lq_layer_bits unknown = {"conv9", {2, 2, 0, 0}},
                                      no_layer = {"bn1", {2, 2, 0, 0}};
    static const struct {
        struct lq_quantize_options options;
        const char *message;
    } cases[] = {
        {{.bits = {9, 2, 0, 0}}, "weight bits 9"},
        {{.bits = {2, 9, 0, 0}}, "activation bits 9"},
        {{.bits = {-1, 2, 0, 0}}, "weight bits -1"},
        {{.bits = {2, 2, 2, 0}}, "weight grid 2, expected 3.."},
        {{.bits = {2, 4, 0, 14}}, "activation grid 14, expected 15.."},
        {{.bits = {2, 2, 1 << 20, 0}}, "weight grid 1048576"},
        {{.bits = {2, 2, 0, 0}, .iterations = 19}, "19 iterations, expected at least 20"},
        {{.bits = {2, 2, 0, 0}, .quantizer = LQ_QUANTIZER_UNIFORM}, "come by training alone"},
        {{.bits = {2, 2, 0, 0}, .layers = &unknown, .layer_count = 1}, "'conv9'"},
        {{.bits = {2, 2, 0, 0}, .layers = &no_layer, .layer_count = 1}, "'bn1'"},
        {{.bits = {2, 2, 0, 0}, .augmentation = "blur"}, "augmentation 'blur'"},
        {{.bits = {2, 2, 0, 0}, .images = -1}, "-1 calibration images"},
        {{.bits = {2, 2, 0, 0}, .threads = -1}, "-1 threads"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct lq_model *quantized = NULL;
        struct lq_quantize_report report = {0};
        struct lq_error error = {0};
        int status =
            lq_model_quantize(model, dataset, &cases[i].options, &quantized, &report, &error);

        ck_assert_msg(status == LQ_ERR_INVALID && strstr(error.text, cases[i].message), "%s: %d %s",
                      cases[i].message, status, error.text);
        ck_assert_ptr_null(quantized);
    }
}
END_TEST

START_TEST(only_once)
{
    struct lq_quantize_options options = {.bits = {2, 2, 0, 0}, .images = 8};
    struct lq_model *once = quantize(&options, NULL), *twice = NULL;
    struct lq_quantize_report report = {0};
    struct lq_error error = {0};

    ck_assert_int_eq(lq_model_quantize(once, dataset, &options, &twice, &report, &error),
                     LQ_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "quantized already"));
    lq_model_unref(once);
}
END_TEST

static bool stop_after(void *context, const char *stage, int64_t done, int64_t total)
{
    int *left = context;

    ck_assert_ptr_nonnull(stage);
    ck_assert(done >= 0 && done <= total);
    return --*left < 0;
}

/* Cancelled at each of its reports, it ends at once and leaves nothing behind. */
START_TEST(cancelled)
{
    int reports = 0, status = LQ_ERR_CANCELLED;

    for (; status == LQ_ERR_CANCELLED; reports++) {
        int left = reports;
        struct lq_quantize_options options = {
            .bits = {2, 2, 0, 0}, .images = 8, .progress = {stop_after, &left}};
        struct lq_model *quantized = NULL;
        struct lq_quantize_report report = {0};
        struct lq_error error = {0};

        status = lq_model_quantize(model, dataset, &options, &quantized, &report, &error);
        ck_assert_int_eq(status == LQ_OK, quantized != NULL);
        lq_quantize_report_deinit(&report);
        lq_model_unref(quantized);
    }
    ck_assert_int_eq(status, LQ_OK);
    ck_assert_int_gt(reports, 3);
}
END_TEST

START_TEST(evaluated)
{
    struct lq_evaluate_options options = {.batch = 5, .threads = 2};
    struct lq_evaluation e;
    struct lq_error error = {0};
    int64_t sum = 0, right = 0;

    ck_assert_msg(lq_evaluate(model, dataset, &options, &e, &error) == LQ_OK, "%s", error.text);
    ck_assert_int_eq(e.count, IMAGES);
    ck_assert_int_eq(e.classes, CLASSES);
    ck_assert_double_eq(e.top5, 100); /* of four classes */
    for (int i = 0; i < CLASSES * CLASSES; i++) {
        sum += e.confusion[i];
        right += i / CLASSES == i % CLASSES ? e.confusion[i] : 0;
    }
    ck_assert_int_eq(sum, IMAGES);
    ck_assert_double_eq_tol(e.top1, 100.0 * (double)right / IMAGES, 1e-9);
    lq_evaluation_deinit(&e);
    options.limit = 7;
    ck_assert_int_eq(lq_evaluate(model, dataset, &options, &e, &error), LQ_OK);
    ck_assert_int_eq(e.count, 7);
    lq_evaluation_deinit(&e);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("quantize");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, first_and_last_stay_float);
    tcase_add_test(tests, layers_of_their_own);
    tcase_add_test(tests, repeatable);
    tcase_add_test(tests, refused);
    tcase_add_test(tests, only_once);
    tcase_add_test(tests, cancelled);
    tcase_add_test(tests, evaluated);
    return suite_main("quantize", tests);
}
