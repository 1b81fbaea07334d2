/* test_train.c - training from end to end: shapes are learned, runs go on as if never stopped.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/files.h"
#include "support/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "lq_learn.h"
#include "support/onnx_text.h"

enum {
    SIDE = 32,
    PLANE = SIDE * SIDE,
    RECORD = 1 + 3 * PLANE,
    SHAPES = 4,
    TRAIN = 960,
    TEST = 320
};

static char folder[64], network[96], checkpoint[96];
static struct lq_engine *engine;
static struct lq_dataset *train, *test;
static struct lq_model *model;

/* The thread sanitizer makes a minute of each run. */
#ifdef __SANITIZE_THREAD__
#define IS_SLOW true
#else
#define IS_SLOW false
#endif

/* Whether a pixel, relative to the middle, belongs to the shape: disc, square, cross, stripes. */
static bool inside(int shape, int y, int x, int size)
{
    switch (shape) {
    case 0:
        return y * y + x * x <= size * size;
    case 1:
        return abs(y) <= size && abs(x) <= size && (abs(y) > size - 3 || abs(x) > size - 3);
    case 2:
        return (abs(y) <= 1 && abs(x) <= size) || (abs(x) <= 1 && abs(y) <= size);
    default:
        return abs(y) <= size && abs(x) <= size && (y + 64) / 2 % 2 == 0;
    }
}

static void draw(struct lq_rng *rng, uint8_t *record)
{
    int shape = (int)lq_rng_below(rng, SHAPES), size = 6 + (int)lq_rng_below(rng, 5);
    int top = 12 + (int)lq_rng_below(rng, 8), left = 12 + (int)lq_rng_below(rng, 8);

    record[0] = (uint8_t)shape;
    for (int c = 0; c < 3; c++) {
        int ground = 30 + (int)lq_rng_below(rng, 60), ink = 150 + (int)lq_rng_below(rng, 80);

        for (int at = 0; at < PLANE; at++) {
            bool in = inside(shape, at / SIDE - top, at % SIDE - left, size);

            record[1 + c * PLANE + at] =
                (uint8_t)((in ? ink : ground) + (int)lq_rng_below(rng, 25));
        }
    }
}

/* In the layout of CIFAR-10. */
static void put_images(const char *name, int count, uint64_t seed)
{
    char path[96];
    uint8_t record[RECORD];
    struct lq_rng rng;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    lq_rng_init(&rng, seed, 0);
    for (int i = 0; i < count; i++) {
        draw(&rng, record);
        ck_assert_uint_eq(fwrite(record, RECORD, 1, file), 1);
    }
    fclose(file);
}

static void put_network(void)
{
    static const char text[] =
        "opset 13\ninput x float N,3,32,32\noutput y\n"
        "tensor w1 float 8,3,3,3 0\ntensor w2 float 16,8,3,3 0\ntensor w3 float 16,16,3,3 0\n"
        "tensor w4 float 4,16 0\ntensor b4 float 4 0\n"
        "tensor one8 float 8 1\ntensor zero8 float 8 0\ntensor one float 16 1\n"
        "tensor zero float 16 0\n"
        "Conv x,w1 c1 name=conv1 pads=[1,1,1,1] strides=[2,2]\n"
        "BatchNormalization c1,one8,zero8,zero8,one8 n1 name=bn1\nRelu n1 r1\n"
        "Conv r1,w2 c2 name=conv2 pads=[1,1,1,1] strides=[2,2]\n"
        "BatchNormalization c2,one,zero,zero,one n2 name=bn2\nRelu n2 r2\n"
        "Conv r2,w3 c3 name=conv3 pads=[1,1,1,1]\n"
        "BatchNormalization c3,one,zero,zero,one n3 name=bn3\nAdd n3,r2 s3\nRelu s3 r3\n"
        "GlobalAveragePool r3 g\nFlatten g f\nGemm f,w4,b4 y name=fc transB=1\n";
    size_t size;
    uint8_t *bytes = onnx_from_text(text, &size);

    file_write(network, bytes, size);
    free(bytes);
}

static void setup(void)
{
    struct lq_import_options options = {
        .preprocess = {.mean = {.4f, .4f, .4f}, .std = {.25f, .25f, .25f}, .scale = 1 / 255.f}};
    struct lq_error error = {0};

    strcpy(folder, "/tmp/test_train.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(network, sizeof(network), "%s/net.onnx", folder);
    snprintf(checkpoint, sizeof(checkpoint), "%s/run.safetensors", folder);
    put_images("data_batch_1.bin", TRAIN, 1);
    put_images("test_batch.bin", TEST, 2);
    put_network();
    ck_assert_int_eq(lq_engine_create(LQ_CPU_ALL, &engine, &error), LQ_OK);
    ck_assert_msg(lq_model_import_onnx(engine, network, &options, &model, &error) == LQ_OK, "%s",
                  error.text);
    ck_assert_msg(lq_dataset_open(folder, LQ_SPLIT_TRAIN, &train, &error) == LQ_OK, "%s",
                  error.text);
    ck_assert_int_eq(lq_dataset_open(folder, LQ_SPLIT_TEST, &test, &error), LQ_OK);
}

static void teardown(void)
{
    const char *const names[] = {"data_batch_1.bin", "test_batch.bin", "net.onnx",
                                 "run.safetensors",  "a.lq",           "b.lq"};

    lq_dataset_close(train);
    lq_dataset_close(test);
    lq_model_unref(model);
    lq_engine_destroy(engine);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char path[96];

        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

/* What a run told, and where it is to be stopped. */
struct told {
    int64_t stop_at, last_step;
    int epochs, checkpoints;
    double top1, loss;
};

static bool on_event(void *context, const struct lq_train_event *event)
{
    struct told *told = context;

    told->last_step = event->step;
    told->epochs += event->kind == LQ_TRAIN_EPOCH;
    told->checkpoints += event->kind == LQ_TRAIN_CHECKPOINT;
    if (event->kind == LQ_TRAIN_EPOCH)
        told->loss = event->loss;
    if (event->kind == LQ_TRAIN_FINISHED)
        told->top1 = event->top1;
    return event->kind == LQ_TRAIN_STEP && event->step == told->stop_at;
}

static struct lq_train_options usual(struct told *told, int bits, int epochs)
{
    *told = (struct told){.top1 = -1};
    return (struct lq_train_options){.bits = {bits, bits, 0, 0},
                                     .scratch = true,
                                     .batch = 32,
                                     .epochs = epochs,
                                     .rate = 0.1,
                                     .decay = 1e-4,
                                     .curve = LQ_RATE_COSINE,
                                     .augmentation = "crop2-mean,flip",
                                     .seed = 3,
                                     .threads = 2,
                                     .event = on_event,
                                     .context = told};
}

static double evaluate(struct lq_model *trained)
{
    struct lq_evaluate_options options = {.threads = 1};
    struct lq_evaluation evaluation;
    struct lq_error error = {0};

    ck_assert_msg(lq_evaluate(trained, test, &options, &evaluation, &error) == LQ_OK, "%s",
                  error.text);
    lq_evaluation_deinit(&evaluation);
    return evaluation.top1;
}

static void check_learns(struct lq_train_options *options, struct told *told, double least)
{
    struct lq_model *trained = NULL;
    struct lq_error error = {0};

    ck_assert_msg(lq_train(model, train, test, options, &trained, &error) == LQ_OK, "%s",
                  error.text);
    ck_assert_double_gt(told->top1, least);
    if (options->hold_out == 0) /* else others are evaluated */
        ck_assert_double_eq(evaluate(trained), told->top1);
    ck_assert_int_eq(told->epochs, options->epochs);
    lq_model_unref(trained);
}

START_TEST(test_learns_float)
{
    struct told told;
    struct lq_train_options options = usual(&told, 0, 10);

    check_learns(&options, &told, 95);
}
END_TEST

START_TEST(test_learns_quantized)
{
    struct told told;
    struct lq_train_options options = usual(&told, 2, 12);

    check_learns(&options, &told, 95);
}
END_TEST

START_TEST(test_learns_evenly_spaced)
{
    static const enum lq_quantizer_kind kinds[] = {LQ_QUANTIZER_EVEN, LQ_QUANTIZER_UNIFORM};
    struct told told;
    struct lq_train_options options = usual(&told, 2, 12);

    options.quantizer = kinds[_i];
    check_learns(&options, &told, 95);
}
END_TEST

START_TEST(test_learns_bases_by_gradient)
{
    struct told told;
    struct lq_train_options options = usual(&told, 2, 12);

    options.basis_rate = 1;
    check_learns(&options, &told, 95);
}
END_TEST

/* Everything else that is off by default. */
START_TEST(test_learns_with_extras)
{
    struct told told;
    struct lq_train_options options = usual(&told, 0, 6);
    struct lq_model *teacher = NULL;
    struct lq_error error = {0};

    ck_assert_int_eq(lq_train(model, train, test, &options, &teacher, &error), LQ_OK);
    options = usual(&told, 3, 14);
    options.teacher = teacher;
    options.smoothing = 0.05;
    options.average = 0.98;
    options.warmup = 0.5;
    options.curve = LQ_RATE_LINEAR;
    options.evaluate_every = 3;
    options.reestimate = 300;
    options.hold_out = 8;
    options.plain_momentum = true;
    check_learns(&options, &told, 90); /* of 120 */
    lq_model_unref(teacher);
}
END_TEST

/* All of a network is fine-tuned from its float weights, which are told anew; without them (latent
 * NULL) from the weights that the codes stand for, and there are none to tell then. */
static void check_joint(struct lq_model *trained, struct lq_model *latent)
{
    struct lq_model *tuned = NULL, *tuned_latent = NULL;
    struct lq_finetune_options options = {.mode = LQ_FINETUNE_JOINT,
                                          .latent = latent,
                                          .ret_latent = &tuned_latent,
                                          .rate = 0.03,
                                          .epochs = 2,
                                          .batch = 32,
                                          .threads = 2};
    struct lq_finetune_report report;
    struct lq_error error = {0};

    ck_assert_msg(lq_finetune(trained, train, &options, &tuned, &report, &error) == LQ_OK, "%s",
                  error.text);
    ck_assert_double_gt(evaluate(tuned), 90);
    ck_assert_double_gt(report.loss, 0);
    ck_assert_int_eq(tuned_latent != NULL, latent != NULL);
    if (tuned_latent)
        ck_assert_double_gt(evaluate(tuned_latent), 50);
    lq_finetune_report_deinit(&report);
    lq_model_unref(tuned);
    lq_model_unref(tuned_latent);
}

/* Bits go down step by step: the float weights behind the quantized ones are trained on. */
START_TEST(test_latent)
{
    struct told told;
    struct lq_train_options options = usual(&told, 4, 6);
    struct lq_model *trained = NULL, *latent = NULL, *second = NULL;
    struct lq_model_info info;
    struct lq_error error = {0};

    options.ret_latent = &latent;
    ck_assert_msg(lq_train(model, train, test, &options, &trained, &error) == LQ_OK, "%s",
                  error.text);
    ck_assert_ptr_nonnull(latent);
    lq_model_get_info(latent, &info);
    ck_assert_int_eq(info.quantized_macs, 0);
    ck_assert_double_gt(evaluate(latent), 50);
    check_joint(trained, latent);
    check_joint(trained, NULL);
    options = usual(&told, 2, 6);
    options.scratch = false;
    options.rate = 0.03;
    ck_assert_msg(lq_train(latent, train, test, &options, &second, &error) == LQ_OK, "%s",
                  error.text);
    ck_assert_double_gt(told.top1, 95);
    lq_model_unref(trained);
    lq_model_unref(latent);
    lq_model_unref(second);
}
END_TEST

static void save(struct lq_model *trained, const char *name, char *path)
{
    struct lq_error error = {0};

    sprintf(path, "%s/%s", folder, name);
    ck_assert_int_eq(lq_model_save(trained, path, &error), LQ_OK);
    lq_model_unref(trained);
}

static void check_files_equal(const char *a, const char *b)
{
    FILE *files[2] = {fopen(a, "r"), fopen(b, "r")};
    int bytes[2];
    long at = 0;

    ck_assert_ptr_nonnull(files[0]);
    ck_assert_ptr_nonnull(files[1]);
    do {
        bytes[0] = fgetc(files[0]);
        bytes[1] = fgetc(files[1]);
        ck_assert_msg(bytes[0] == bytes[1], "byte %ld differs", at++);
    } while (bytes[0] != EOF);
    fclose(files[0]);
    fclose(files[1]);
}

/* One run in one go on one thread; the other one stopped twice, on three threads. */
START_TEST(test_resume)
{
    struct told told;
    struct lq_train_options options = usual(&told, 2, 3);
    struct lq_model *trained = NULL;
    struct lq_error error = {0};
    char a[96], b[96];

    options.average = 0.9;
    options.evaluate_every = 1;
    options.threads = 1;
    ck_assert_int_eq(lq_train(model, train, test, &options, &trained, &error), LQ_OK);
    save(trained, "a.lq", a);
    options.threads = 3;
    options.checkpoint = checkpoint;
    options.resume = true;
    for (int stop = 17; stop <= 60; stop += 43) {
        told.stop_at = stop;
        error = (struct lq_error){0};
        ck_assert_int_eq(lq_train(model, train, test, &options, &trained, &error),
                         LQ_ERR_CANCELLED);
        ck_assert_int_eq(told.last_step, stop);
    }
    told.stop_at = 0;
    error = (struct lq_error){0};
    ck_assert_msg(lq_train(model, train, test, &options, &trained, &error) == LQ_OK, "%s",
                  error.text);
    ck_assert_int_eq(told.last_step, 90);
    save(trained, "b.lq", b);
    check_files_equal(a, b);
}
END_TEST

static void expect(const struct lq_train_options *options, int status, const char *text)
{
    struct lq_model *trained = NULL;
    struct lq_error error = {0};

    ck_assert_int_eq(lq_train(model, train, test, options, &trained, &error), status);
    ck_assert_ptr_nonnull(strstr(error.text, text));
    ck_assert_ptr_null(trained);
}

START_TEST(test_bad_checkpoints)
{
    struct told told;
    struct lq_train_options options = usual(&told, 2, 3);
    long middle;
    FILE *file;

    options.checkpoint = checkpoint;
    told.stop_at = 5;
    expect(&options, LQ_ERR_CANCELLED, "step 5");
    options.resume = true;
    options.seed = 4;
    expect(&options, LQ_ERR_INVALID, "other settings");
    options.seed = 3;
    options.bits.weight_bits = 3;
    expect(&options, LQ_ERR_INVALID, "another network");
    options.bits.weight_bits = 2;
    file = fopen(checkpoint, "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    middle = ftell(file) * 3 / 4;
    fseek(file, middle, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, middle, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    expect(&options, LQ_ERR_FORMAT, "digest");
    ck_assert_int_eq(truncate(checkpoint, middle), 0);
    expect(&options, LQ_ERR_FORMAT, "bytes of data");
    ck_assert_int_eq(truncate(checkpoint, 200), 0);
    expect(&options, LQ_ERR_FORMAT, "header");
    ck_assert_int_eq(truncate(checkpoint, 5), 0);
    expect(&options, LQ_ERR_FORMAT, "no checkpoint");
}
END_TEST

/* The loss runs away: the run stops, says where, and leaves the checkpoint that there was. */
START_TEST(test_divergence)
{
    struct told told;
    struct lq_train_options options = usual(&told, 0, 3);
    struct lq_model *trained = NULL;
    struct lq_error error = {0};

    options.checkpoint = checkpoint;
    told.stop_at = 2;
    expect(&options, LQ_ERR_CANCELLED, "step 2");
    options.checkpoint = NULL;
    options.rate = 1000;
    options.decay = 1;
    options.curve = LQ_RATE_STEPS;
    told.stop_at = 0;
    expect(&options, LQ_ERR_NUMERIC, "not finite, first in '");
    options = usual(&told, 0, 3);
    options.checkpoint = checkpoint;
    options.resume = true;
    ck_assert_msg(lq_train(model, train, test, &options, &trained, &error) == LQ_OK, "%s",
                  error.text);
    lq_model_unref(trained);
}
END_TEST

START_TEST(test_refusals)
{
    struct told told;
    struct lq_train_options options = usual(&told, 0, 3);

    options.rate = NAN;
    expect(&options, LQ_ERR_INVALID, "learning rate");
    options = usual(&told, 0, 0);
    expect(&options, LQ_ERR_INVALID, "epochs");
    options = usual(&told, 0, 3);
    options.resume = true;
    expect(&options, LQ_ERR_INVALID, "checkpoint");
    options = usual(&told, 0, 3);
    options.augmentation = "rotate";
    expect(&options, LQ_ERR_INVALID, "rotate");
    options = usual(&told, 9, 3);
    expect(&options, LQ_ERR_INVALID, "bits 9");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("train");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_learns_float);
    tcase_add_test(tests, test_learns_quantized);
    tcase_add_test(tests, test_resume);
    if (!IS_SLOW) {
        tcase_add_loop_test(tests, test_learns_evenly_spaced, 0, 2);
        tcase_add_test(tests, test_learns_bases_by_gradient);
        tcase_add_test(tests, test_learns_with_extras);
        tcase_add_test(tests, test_latent);
        tcase_add_test(tests, test_bad_checkpoints);
    }
    tcase_add_test(tests, test_divergence);
    tcase_add_test(tests, test_refusals);
    return suite_main("train", tests);
}
