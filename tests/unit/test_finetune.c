/* test_finetune.c - quantizers fitted to other images; networks compared; the guard.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "lq_model.h"
#include "support/image_forge.h"
#include "support/tiny_model.h"
#include "train/compare.h"

enum { SIDE = 8, NUMBERS = 3 * SIDE * SIDE, IMAGES = 200 };

static struct lq_engine *engine;
static struct lq_model *model;

static void setup(void)
{
    struct lq_error error = {0};
    struct lq_graph *graph;

    ck_assert_int_eq(lq_engine_create(LQ_CPU_ALL, &engine, &error), LQ_OK);
    ck_assert_int_eq(tiny_graph(7, &graph, &error), LQ_OK);
    ck_assert_int_eq(lq_model_create(engine, graph, &model, &error), LQ_OK);
}

static void teardown(void)
{
    lq_model_unref(model);
    lq_engine_destroy(engine);
}

/* Coloured gradients with noise, seen with this contrast. */
static void draw(uint64_t image, float contrast, uint8_t *pixels)
{
    struct lq_rng rng;

    lq_rng_init(&rng, 11, image);
    for (int c = 0; c < 3; c++) {
        float base = 255 * lq_rng_uniform(&rng), dx = 30 * lq_rng_normal(&rng);
        float dy = 30 * lq_rng_normal(&rng);

        for (int at = 0; at < SIDE * SIDE; at++) {
            float x = (float)(at % SIDE - 4), y = (float)(at / SIDE - 4);
            float v = base + dx * x + dy * y + 20 * lq_rng_normal(&rng);

            v = 128 + contrast * (v - 128);
            pixels[3 * at + c] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

/* What the network answers to the image at full contrast. */
static int answer(struct lq_session *session, uint64_t image)
{
    uint8_t pixels[NUMBERS];
    float output[4];
    struct lq_error error = {0};
    struct lq_prediction best;

    draw(image, 1, pixels);
    ck_assert_int_eq(lq_session_run_pixels(session, pixels, 1, output, &error), LQ_OK);
    lq_model_top_k(model, output, 1, &best);
    return best.index;
}

static struct lq_dataset *images(float contrast, int count, bool labelled)
{
    struct lq_session_options options = {1, 1, LQ_FORM_AUTO};
    struct lq_dataset *dataset;
    struct lq_session *session;
    struct lq_error error = {0};
    uint8_t pixels[NUMBERS];

    ck_assert_int_eq(lq_dataset_create(&dataset, &error), LQ_OK);
    ck_assert_int_eq(lq_session_create(model, &options, &session, &error), LQ_OK);
    for (int i = 0; i < count; i++) {
        draw((uint64_t)i, contrast, pixels);
        ck_assert_int_eq(lq_dataset_add_pixels(dataset, pixels, SIDE, SIDE,
                                               labelled ? answer(session, (uint64_t)i) : -1,
                                               &error),
                         LQ_OK);
    }
    lq_session_destroy(session);
    return dataset;
}

static struct lq_model *tuned(const struct lq_dataset *dataset,
                              const struct lq_finetune_options *options,
                              struct lq_finetune_report *ret_report)
{
    struct lq_model *made = NULL;
    struct lq_error error = {0};

    ck_assert_msg(lq_finetune(model, dataset, options, &made, ret_report, &error) == LQ_OK, "%s",
                  error.text);
    return made;
}

static const struct lq_node *node_of(const struct lq_model *of, const char *name)
{
    int index = lq_graph_find_node(of->graph, name);

    ck_assert_int_ge(index, 0);
    return &of->graph->nodes[index];
}

static bool same_param(const struct lq_model *a, const struct lq_model *b, const char *node,
                       enum lq_param param)
{
    const struct lq_tensor *x = node_of(a, node)->params[param];
    const struct lq_tensor *y = node_of(b, node)->params[param];

    return memcmp(x->data, y->data, lq_tensor_bytes(x)) == 0;
}

static void assert_same(const struct lq_model *a, const struct lq_model *b)
{
    for (int i = 0; i < a->graph->node_count; i++)
        for (int param = 0; param < LQ_PARAM_COUNT; param++)
            if (a->graph->nodes[i].params[param])
                ck_assert_msg(same_param(a, b, a->graph->nodes[i].name, (enum lq_param)param),
                              "%s.%s", a->graph->nodes[i].name,
                              lq_param_text((enum lq_param)param));
}

static const struct lq_finetune_layer *layer_of(const struct lq_finetune_report *r,
                                                const char *name)
{
    for (int i = 0; i < r->layer_count; i++)
        if (strcmp(r->layers[i].name, name) == 0)
            return &r->layers[i];
    ck_abort_msg("no layer '%s'", name);
}

START_TEST(statistics_are_those_of_the_images)
{
    struct lq_finetune_options options = {.steps = LQ_FINETUNE_STATISTICS, .threads = 2};
    struct lq_finetune_report report;
    struct lq_dataset *dataset = images(0.5f, IMAGES, false);
    struct lq_model *made = tuned(dataset, &options, &report);

    ck_assert_int_eq(report.images, IMAGES);
    ck_assert_int_eq(report.layer_count, 3);
    ck_assert_double_gt(report.shift[0], 0.2);
    ck_assert_double_lt(report.shift[1], 1e-4);
    ck_assert_double_gt(layer_of(&report, "bn1")->before, 0.2);
    ck_assert_str_eq(layer_of(&report, "conv2.input")->op, "quantize");
    ck_assert_int_eq(layer_of(&report, "conv2.input")->bits, 2);
    ck_assert(!same_param(model, made, "bn1", LQ_PARAM_MEAN));
    ck_assert(!same_param(model, made, "bn2", LQ_PARAM_VARIANCE));
    ck_assert(same_param(model, made, "bn1", LQ_PARAM_GAMMA));
    ck_assert(same_param(model, made, "conv2", LQ_PARAM_CODES));
    ck_assert(same_param(model, made, "conv2", LQ_PARAM_BASIS));
    ck_assert(same_param(model, made, "conv2.input", LQ_PARAM_BASIS));
    ck_assert_ptr_nonnull(strstr(lq_graph_provenance(made->graph, "finetuned"), "calibrate"));
    lq_finetune_report_deinit(&report);
    lq_model_unref(made);
    lq_dataset_close(dataset);
}
END_TEST

START_TEST(kept_statistics_move_half_way)
{
    struct lq_finetune_options options = {
        .steps = LQ_FINETUNE_STATISTICS, .threads = 1, .keep = 0.5};
    struct lq_finetune_report report;
    struct lq_dataset *dataset = images(0.5f, IMAGES, false);
    struct lq_model *half = tuned(dataset, &options, &report), *whole;
    const float *old = node_of(model, "bn1")->params[LQ_PARAM_MEAN]->data, *between, *new;

    lq_finetune_report_deinit(&report);
    options.keep = 0;
    whole = tuned(dataset, &options, &report);
    lq_finetune_report_deinit(&report);
    between = node_of(half, "bn1")->params[LQ_PARAM_MEAN]->data;
    new = node_of(whole, "bn1")->params[LQ_PARAM_MEAN]->data;
    for (int c = 0; c < 8; c++)
        ck_assert_double_eq_tol(between[c], (old[c] + new[c]) / 2, 1e-6);
    options.keep = 1;
    lq_model_unref(half);
    half = tuned(dataset, &options, &report);
    assert_same(half, model);
    lq_finetune_report_deinit(&report);
    lq_model_unref(half);
    lq_model_unref(whole);
    lq_dataset_close(dataset);
}
END_TEST

START_TEST(bases_fit_better)
{
    struct lq_finetune_options options = {.steps = LQ_FINETUNE_BASES, .threads = 2};
    struct lq_finetune_report report;
    struct lq_dataset *dataset = images(0.5f, IMAGES, false);
    struct lq_model *made = tuned(dataset, &options, &report);
    const struct lq_finetune_layer *layer = layer_of(&report, "conv2.input");
    const int16_t *basis = node_of(made, "conv2.input")->params[LQ_PARAM_BASIS]->data;

    ck_assert_double_lt(layer->after, 0.95 * layer->before);
    ck_assert_int_le(abs(basis[0]) + abs(basis[1]), 31);
    ck_assert(same_param(model, made, "bn1", LQ_PARAM_MEAN));
    ck_assert(same_param(model, made, "conv2", LQ_PARAM_CODES));
    lq_finetune_report_deinit(&report);
    lq_model_unref(made);
    lq_dataset_close(dataset);
}
END_TEST

static const struct lq_finetune_options usual[] = {
    {.mode = LQ_FINETUNE_CALIBRATE, .steps = 3, .augmentation = "crop1-mean,flip", .seed = 5},
    {.mode = LQ_FINETUNE_QUANTIZERS, .augmentation = "crop1-mean,flip", .epochs = 3, .batch = 40}};

START_TEST(threads_change_nothing)
{
    struct lq_finetune_options options = usual[_i];
    struct lq_dataset *dataset = images(0.5f, IMAGES, true);
    struct lq_finetune_report reports[2];
    struct lq_model *made[2];

    for (int i = 0; i < 2; i++) {
        options.threads = 1 + 2 * i;
        made[i] = tuned(dataset, &options, &reports[i]);
    }
    assert_same(made[0], made[1]);
    for (int i = 0; i < reports[0].layer_count; i++)
        ck_assert_double_eq(reports[0].layers[i].after, reports[1].layers[i].after);
    for (int i = 0; i < 2; i++) {
        lq_finetune_report_deinit(&reports[i]);
        lq_model_unref(made[i]);
    }
    lq_dataset_close(dataset);
}
END_TEST

static struct lq_comparison compare(struct lq_model *new, const struct lq_dataset *dataset)
{
    struct lq_compare_options options = {.batch = 16, .threads = 2};
    struct lq_comparison comparison;
    struct lq_error error = {0};

    ck_assert_msg(lq_compare(model, new, dataset, &options, &comparison, &error) == LQ_OK, "%s",
                  error.text);
    return comparison;
}

/* Labels are the answers at full contrast; half the contrast loses some, training wins most back.
 */
START_TEST(quantizers_learn)
{
    struct lq_finetune_options options = {.mode = LQ_FINETUNE_QUANTIZERS,
                                          .augmentation = "none",
                                          .epochs = 40,
                                          .batch = 40,
                                          .threads = 2};
    struct lq_finetune_report report;
    struct lq_dataset *dataset = images(0.4f, 2 * IMAGES, true), *learned, *judged;
    const struct lq_dataset_selection parts[2] = {{.every = 2}, {.every = 2, .rest = true}};
    struct lq_error error = {0};
    struct lq_comparison comparison;
    struct lq_model *made;

    ck_assert_int_eq(lq_dataset_select(dataset, &parts[0], &judged, &error), LQ_OK);
    ck_assert_int_eq(lq_dataset_select(dataset, &parts[1], &learned, &error), LQ_OK);
    made = tuned(learned, &options, &report);
    comparison = compare(made, judged);
    ck_assert_int_eq(comparison.labelled, IMAGES);
    ck_assert_double_gt(comparison.top1_new, comparison.top1_old + 10);
    ck_assert_double_lt(comparison.p_better, 0.01);
    ck_assert_double_gt(report.loss, 0);
    ck_assert(same_param(model, made, "conv1", LQ_PARAM_WEIGHT));
    ck_assert(same_param(model, made, "linear", LQ_PARAM_WEIGHT));
    ck_assert(same_param(model, made, "conv2", LQ_PARAM_CODES));
    ck_assert(!same_param(model, made, "conv2", LQ_PARAM_SCALE));
    ck_assert(!same_param(model, made, "conv2.input", LQ_PARAM_SCALE));
    ck_assert(!same_param(model, made, "bn2", LQ_PARAM_GAMMA));
    ck_assert(!same_param(model, made, "linear", LQ_PARAM_BIAS));
    lq_finetune_report_deinit(&report);
    lq_model_unref(made);
    lq_dataset_close(learned);
    lq_dataset_close(judged);
    lq_dataset_close(dataset);
}
END_TEST

/* The teacher is the network itself, shown the images at full contrast by its own preprocessing. */
START_TEST(quantizers_learn_from_a_teacher)
{
    struct lq_finetune_options options = {
        .mode = LQ_FINETUNE_QUANTIZERS, .epochs = 10, .batch = 40, .threads = 2, .keep = 1};
    struct lq_dataset *dataset = images(0.4f, IMAGES, false),
                      *labelled = images(0.4f, IMAGES, true);
    struct lq_finetune_report report;
    struct lq_graph *graph;
    struct lq_error error = {0};
    struct lq_comparison comparison;
    struct lq_model *made;

    ck_assert_int_eq(lq_graph_copy(model->graph, NULL, &graph, &error), LQ_OK);
    for (int c = 0; c < 3; c++) { /* (pixel - 128) / 0.4 + 128 */
        graph->meta.preprocess.mean[c] = 0.4f * graph->meta.preprocess.mean[c] + 0.6f * 128 / 255;
        graph->meta.preprocess.std[c] *= 0.4f;
    }
    ck_assert_int_eq(lq_model_create(engine, graph, &options.teacher, &error), LQ_OK);
    made = tuned(dataset, &options, &report);
    comparison = compare(made, labelled);
    ck_assert_double_gt(comparison.top1_new, comparison.top1_old + 5);
    lq_finetune_report_deinit(&report);
    lq_model_unref(options.teacher);
    lq_model_unref(made);
    lq_dataset_close(dataset);
    lq_dataset_close(labelled);
}
END_TEST

static bool stop(void *context, const struct lq_finetune_event *event)
{
    int *left = context;

    ck_assert_int_le(event->done, event->total);
    return (*left)-- == 0;
}

START_TEST(cancelled_at_any_event)
{
    struct lq_finetune_options options = usual[1];
    struct lq_dataset *dataset = images(0.5f, IMAGES, true);
    struct lq_finetune_report report;
    struct lq_model *made = NULL;
    int status = LQ_ERR_CANCELLED, at, left;

    options.threads = 2;
    options.event = stop;
    options.context = &left;
    for (at = 0; status == LQ_ERR_CANCELLED; at++) {
        struct lq_error error = {0};

        left = at;
        status = lq_finetune(model, dataset, &options, &made, &report, &error);
        ck_assert_msg(status == LQ_OK || status == LQ_ERR_CANCELLED, "%s", error.text);
        ck_assert(status == LQ_OK || !made);
    }
    ck_assert_int_eq(status, LQ_OK);
    ck_assert_int_gt(at, 30);
    lq_finetune_report_deinit(&report);
    lq_model_unref(made);
    lq_dataset_close(dataset);
}
END_TEST

static void assert_fails(const struct lq_dataset *dataset,
                         const struct lq_finetune_options *options, int expected, const char *text)
{
    struct lq_finetune_report report;
    struct lq_model *made = NULL;
    struct lq_error error = {0};

    ck_assert_int_eq(lq_finetune(model, dataset, options, &made, &report, &error), expected);
    ck_assert_msg(strstr(error.text, text) != NULL, "'%s' is not in '%s'", text, error.text);
    ck_assert_ptr_null(made);
}

START_TEST(bad_images_fail_by_name)
{
    const struct lq_finetune_options calibrate = {.threads = 2},
                                     quantizers = {.mode = LQ_FINETUNE_QUANTIZERS,
                                                   .distillation = 0.5,
                                                   .threads = 2};
    struct lq_dataset *dataset = images(1, 10, true), *empty;
    struct lq_error error = {0};
    uint8_t rgb[NUMBERS] = {0};
    struct blob png = png_file(rgb, SIDE, SIDE, NULL, NULL);

    ck_assert_int_eq(lq_dataset_create(&empty, &error), LQ_OK);
    assert_fails(empty, &calibrate, LQ_ERR_INVALID, "0 images");
    ck_assert_int_eq(lq_dataset_add_file(dataset, "late.png", png.bytes, png.size, -1, &error),
                     LQ_OK);
    assert_fails(dataset, &quantizers, LQ_ERR_INVALID, "late.png: its class is not known");
    ck_assert_int_eq(lq_dataset_add_file(dataset, "far.png", png.bytes, png.size, 4, &error),
                     LQ_OK);
    assert_fails(dataset, &calibrate, LQ_ERR_INVALID, "far.png: class 4, the network has 4");
    lq_dataset_close(dataset);
    dataset = images(1, 10, true);
    ck_assert_int_eq(lq_dataset_add_file(dataset, "torn.png", png.bytes, png.size - 20, 1, &error),
                     LQ_OK);
    assert_fails(dataset, &calibrate, LQ_ERR_FORMAT, "torn.png");
    assert_fails(dataset, &usual[1], LQ_ERR_FORMAT, "torn.png");
    ck_assert_int_eq(lq_dataset_add_file(dataset, "a.txt", "hello", 5, 1, &error), LQ_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, "a.txt"));
    blob_free(&png);
    lq_dataset_close(empty);
    lq_dataset_close(dataset);
}
END_TEST

START_TEST(bad_options_are_refused)
{
    static const struct {
        struct lq_finetune_options options;
        const char *text;
    } cases[] = {{{.mode = (enum lq_finetune_mode)3}, "mode"},
                 {{.keep = 1.5}, "kept part"},
                 {{.keep = NAN}, "kept part"},
                 {{.steps = 4}, "steps"},
                 {{.images = -1}, "images"},
                 {{.threads = 65}, "threads"},
                 {{.epochs = -1}, "epochs"},
                 {{.rate = -1}, "rate"},
                 {{.augmentation = "twirl"}, "augmentation"}};
    struct lq_dataset *dataset = images(1, 10, true);

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_fails(dataset, &cases[i].options, LQ_ERR_INVALID, cases[i].text);
    lq_dataset_close(dataset);
}
END_TEST

START_TEST(overflow_is_named)
{
    struct lq_finetune_options options = {.threads = 1};
    struct lq_dataset *dataset = images(1, 10, true);
    struct lq_model *good = model;
    struct lq_error error = {0};
    struct lq_graph *graph;
    float *weights;

    ck_assert_int_eq(lq_graph_copy(model->graph, NULL, &graph, &error), LQ_OK);
    weights = (float *)graph->nodes[0].params[LQ_PARAM_WEIGHT]->data;
    for (int i = 0; i < 8 * 27; i++)
        weights[i] = 3e38f;
    ck_assert_int_eq(lq_model_create(engine, graph, &model, &error), LQ_OK);
    assert_fails(dataset, &options, LQ_ERR_NUMERIC, "bn1");
    lq_model_unref(model);
    model = good;
    lq_dataset_close(dataset);
}
END_TEST

START_TEST(fits_the_memory)
{
    struct lq_finetune_options options = {.threads = 1, .memory = 100000, .augmentation = "none"};
    struct lq_finetune_report report;
    struct lq_dataset *dataset = images(0.5f, IMAGES, false);
    struct lq_model *made = tuned(dataset, &options, &report);

    ck_assert_double_lt(report.shift[1], 1e-4); /* measured on the same few images */
    lq_finetune_report_deinit(&report);
    lq_model_unref(made);
    lq_dataset_close(dataset);
}
END_TEST

START_TEST(parts_of_data_sets)
{
    struct lq_dataset *dataset = images(1, 11, true), *part, *inner;
    struct lq_dataset_selection third = {.every = 3}, rest = {.every = 3, .rest = true};
    struct lq_dataset_selection hidden = {.limit = 4, .hidden = true}, none = {.rest = true};
    struct lq_error error = {0};

    ck_assert_int_eq(lq_dataset_select(dataset, &third, &part, &error), LQ_OK);
    ck_assert_int_eq(lq_dataset_count(part), 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(lq_dataset_label(part, i), lq_dataset_label(dataset, 3 * i + 2));
    lq_dataset_close(part);
    ck_assert_int_eq(lq_dataset_select(dataset, &rest, &part, &error), LQ_OK);
    ck_assert_int_eq(lq_dataset_count(part), 8);
    for (int i = 0; i < 8; i++) {
        static const int whole[8] = {0, 1, 3, 4, 6, 7, 9, 10};
        struct lq_image a = {0}, b = {0};

        ck_assert_int_eq(lq_dataset_image(part, i, NULL, &a, &error), LQ_OK);
        ck_assert_int_eq(lq_dataset_image(dataset, whole[i], NULL, &b, &error), LQ_OK);
        ck_assert_mem_eq(a.pixels, b.pixels, NUMBERS);
        lq_image_deinit(&a);
        lq_image_deinit(&b);
    }
    ck_assert_int_eq(lq_dataset_select(part, &hidden, &inner, &error), LQ_OK);
    ck_assert_int_eq(lq_dataset_count(inner), 4);
    ck_assert_int_eq(lq_dataset_label(inner, 0), -1);
    ck_assert(lq_dataset_labelled(part) && !lq_dataset_labelled(inner));
    ck_assert_str_eq(lq_dataset_kind(inner), "memory");
    lq_dataset_close(inner);
    lq_dataset_close(part);
    ck_assert_int_eq(lq_dataset_select(dataset, &none, &part, &error), LQ_ERR_INVALID);
    lq_dataset_close(dataset);
}
END_TEST

/* Sums of Pascal's triangle. */
START_TEST(coin_tails)
{
    ck_assert_double_eq_tol(lq_coin_tail(10, 8), 56.0 / 1024, 1e-12);
    ck_assert_double_eq_tol(lq_coin_tail(10, 5), 638.0 / 1024, 1e-12);
    ck_assert_double_eq_tol(lq_coin_tail(3, 1), 7.0 / 8, 1e-12);
    ck_assert_double_eq(lq_coin_tail(10, 0), 1);
    ck_assert_double_eq(lq_coin_tail(0, 0), 1);
    ck_assert_double_eq(lq_coin_tail(10, 11), 0);
    ck_assert_double_eq_tol(lq_coin_tail(1000001, 500001), 0.5, 1e-7);
    /* as a normal distribution with continuity: 3 standard deviations */
    ck_assert_double_eq_tol(lq_coin_tail(1000000, 501501), 0.5 * erfc(1500.5 / 500 / sqrt(2)),
                            1e-6);
}
END_TEST

START_TEST(comparison_counts)
{
    struct lq_finetune_options options = {.steps = 3, .threads = 2};
    struct lq_dataset *dataset = images(0.5f, IMAGES, true);
    struct lq_finetune_report report;
    struct lq_model *made = tuned(dataset, &options, &report);
    struct lq_evaluate_options evaluate = {.threads = 1};
    struct lq_evaluation old, new;
    struct lq_error error = {0};
    struct lq_comparison c = compare(made, dataset);

    ck_assert_int_eq(lq_evaluate(model, dataset, &evaluate, &old, &error), LQ_OK);
    ck_assert_int_eq(lq_evaluate(made, dataset, &evaluate, &new, &error), LQ_OK);
    ck_assert_double_eq(c.top1_old, old.top1);
    ck_assert_double_eq(c.top1_new, new.top1);
    ck_assert_int_eq(c.both + c.only_old + c.only_new + c.neither, IMAGES);
    ck_assert_int_ge(c.agreed, c.both);
    ck_assert_double_eq(c.p_worse, lq_coin_tail(c.only_old + c.only_new, c.only_old));
    c = compare(model, dataset);
    ck_assert_int_eq(c.agreed, IMAGES);
    ck_assert_double_eq(c.p_worse, 1);
    ck_assert_double_eq(c.confidence_old, c.confidence_new);
    ck_assert(c.confidence_old > 25 && c.confidence_old <= 100);
    ck_assert(c.classes_old >= 1 && c.classes_old <= 4);
    lq_evaluation_deinit(&old);
    lq_evaluation_deinit(&new);
    lq_finetune_report_deinit(&report);
    lq_model_unref(made);
    lq_dataset_close(dataset);
}
END_TEST

static bool decide(struct lq_comparison c)
{
    const struct lq_guard guard = {0};
    struct lq_verdict verdict;

    c.count = c.count ? c.count : c.labelled;
    if (c.labelled) {
        c.top1_old = 100.0 * (double)(c.both + c.only_old) / (double)c.labelled;
        c.top1_new = 100.0 * (double)(c.both + c.only_new) / (double)c.labelled;
    }
    lq_guard_decide(&guard, &c, &verdict);
    ck_assert_int_gt(strlen(verdict.reason), 10);
    return verdict.publish;
}

START_TEST(guard_decides)
{
    /* better for sure; no difference; as good, but it could be worse; worse; too few */
    ck_assert(decide((struct lq_comparison){
        .labelled = 400, .both = 200, .only_old = 5, .only_new = 95, .neither = 100}));
    ck_assert(decide((struct lq_comparison){.labelled = 400, .both = 300, .neither = 100}));
    ck_assert(!decide((struct lq_comparison){
        .labelled = 400, .both = 300, .only_old = 20, .only_new = 20, .neither = 60}));
    ck_assert(!decide((struct lq_comparison){
        .labelled = 400, .both = 200, .only_old = 95, .only_new = 5, .neither = 100}));
    ck_assert(!decide((struct lq_comparison){.labelled = 50, .both = 10, .only_new = 40}));
    /* on many images, as good is good enough */
    ck_assert(decide((struct lq_comparison){
        .labelled = 100000, .both = 99000, .only_old = 100, .only_new = 100, .neither = 800}));
    /* without labels: surer; surer of one class alone; the same answers; less sure */
    ck_assert(decide((struct lq_comparison){.count = 400,
                                            .agreed = 200,
                                            .confidence_old = 60,
                                            .confidence_new = 80,
                                            .confidence_error = 1,
                                            .classes_old = 9,
                                            .classes_new = 9}));
    ck_assert(!decide((struct lq_comparison){.count = 400,
                                             .agreed = 200,
                                             .confidence_old = 60,
                                             .confidence_new = 80,
                                             .confidence_error = 1,
                                             .classes_old = 9,
                                             .classes_new = 1}));
    ck_assert(decide((struct lq_comparison){.count = 400, .agreed = 400}));
    ck_assert(!decide((struct lq_comparison){.count = 400,
                                             .agreed = 380,
                                             .confidence_old = 80,
                                             .confidence_new = 79,
                                             .confidence_error = 1,
                                             .classes_old = 9,
                                             .classes_new = 9}));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("finetune");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, statistics_are_those_of_the_images);
    tcase_add_test(tests, kept_statistics_move_half_way);
    tcase_add_test(tests, bases_fit_better);
    tcase_add_loop_test(tests, threads_change_nothing, 0, 2);
    tcase_add_test(tests, quantizers_learn);
    tcase_add_test(tests, quantizers_learn_from_a_teacher);
    tcase_add_test(tests, cancelled_at_any_event);
    tcase_add_test(tests, bad_images_fail_by_name);
    tcase_add_test(tests, bad_options_are_refused);
    tcase_add_test(tests, overflow_is_named);
    tcase_add_test(tests, fits_the_memory);
    tcase_add_test(tests, parts_of_data_sets);
    tcase_add_test(tests, coin_tails);
    tcase_add_test(tests, comparison_counts);
    tcase_add_test(tests, guard_decides);
    return suite_main("finetune", tests);
}
