/* test_session.c - all forms, batches and threads agree on random quantized networks.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "graph/session.h"
#include "support/networks.h"
#include "support/tiers.h"

enum { IMAGES = 9, PIXELS = 12 * 10 * 3, CLASSES = 5 };

static void run(const struct lq_graph *graph, enum lq_form form, bool separate, int threads,
                const float *input, int batch, float *output)
{
    struct lq_kernels kernels;
    struct lq_lower_options options = {form, separate, &kernels};
    struct lq_program *program = NULL;
    struct lq_runner *runner = NULL;

    lq_kernels_init(&kernels, lq_cpu_detect());
    ck_assert_int_eq(lq_program_create(graph, &options, &program, NULL), LQ_OK);
    ck_assert_int_eq(lq_runner_create(program, threads, &runner, NULL), LQ_OK);
    for (int at = 0; at < IMAGES; at += batch) {
        int count = at + batch > IMAGES ? IMAGES - at : batch;

        ck_assert_int_eq(
            lq_runner_run(runner, input + at * PIXELS, LQ_NCHW, count, output + at * CLASSES, NULL),
            LQ_OK);
    }
    lq_runner_destroy(runner);
    lq_program_destroy(program);
}

static void random_images(struct lq_rng *rng, float *images)
{
    for (int i = 0; i < IMAGES * PIXELS; i++)
        images[i] = lq_rng_normal(rng);
}

/* Weight and activation bits of a loop test: 1/1 .. 8/8. */
START_TEST(forms_agree)
{
    static float images[IMAGES * PIXELS];
    float expected[2][IMAGES * CLASSES], got[IMAGES * CLASSES];
    int w_bits = _i % 8 + 1, a_bits = _i / 8 + 1;
    struct lq_rng rng;

    lq_rng_init(&rng, (uint64_t)rand(), (uint64_t)_i);
    random_images(&rng, images);
    struct lq_graph *graph = network_create(&rng, w_bits, a_bits);
    /* Separate steps round batch normalization once more: they agree among themselves. */
    for (int separate = 0; separate < 2; separate++)
        run(graph, LQ_FORM_PLAIN, separate, 1, images, 1, expected[separate]);
    for (int i = 0; i < IMAGES * CLASSES; i++)
        ck_assert(isfinite(expected[0][i]));
    const struct {
        enum lq_form form;
        bool separate;
        int threads, batch;
    } cases[] = {{LQ_FORM_PLAIN, false, 1, 1},  {LQ_FORM_PACKED, true, 1, 1},
                 {LQ_FORM_PACKED, false, 1, 4}, {LQ_FORM_PACKED, false, 2, 1},
                 {LQ_FORM_PLAIN, false, 3, 9},  {LQ_FORM_AUTO, false, 2, 7}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        run(graph, cases[i].form, cases[i].separate, cases[i].threads, images, cases[i].batch, got);
        ck_assert_mem_eq(got, expected[cases[i].separate], sizeof(got));
    }
    lq_graph_destroy(graph);
}
END_TEST

/* Dequantized floats take other levels only where a value lies within rounding of a threshold. */
START_TEST(float_agrees_to_rounding)
{
    static float images[IMAGES * PIXELS];
    float expected[IMAGES * CLASSES], got[IMAGES * CLASSES];
    struct lq_rng rng;
    int close = 0;

    lq_rng_init(&rng, (uint64_t)rand(), 7);
    random_images(&rng, images);
    struct lq_graph *graph = network_create(&rng, 2, 2);
    run(graph, LQ_FORM_PLAIN, false, 1, images, 1, expected);
    run(graph, LQ_FORM_FLOAT, false, 1, images, 1, got);
    for (int i = 0; i < IMAGES * CLASSES; i++)
        close += fabsf(got[i] - expected[i]) <= 1e-3f * (1 + fabsf(expected[i]));
    ck_assert_int_ge(close, IMAGES * CLASSES - 2 * CLASSES);
    lq_graph_destroy(graph);
}
END_TEST

static void run_pixels(const struct lq_graph *graph, enum lq_form form, unsigned tiers, int threads,
                       const uint8_t *pixels, int batch, float *output)
{
    struct lq_kernels kernels;
    struct lq_lower_options options = {form, false, &kernels};
    struct lq_program *program = NULL;
    struct lq_runner *runner = NULL;

    lq_kernels_init(&kernels, lq_cpu_detect() & tiers);
    ck_assert_int_eq(lq_program_create(graph, &options, &program, NULL), LQ_OK);
    ck_assert_int_eq(program->pixel_step != NULL, form != LQ_FORM_FLOAT);
    ck_assert_int_eq(lq_runner_create(program, threads, &runner, NULL), LQ_OK);
    for (int at = 0; at < IMAGES; at += batch) {
        int count = at + batch > IMAGES ? IMAGES - at : batch;

        ck_assert_int_eq(
            lq_runner_run_pixels(runner, pixels + at * PIXELS, count, output + at * CLASSES, NULL),
            LQ_OK);
    }
    lq_runner_destroy(runner);
    lq_program_destroy(program);
}

/* Every form, tier, batch and number of threads; and normalised floats where it is their form. */
START_TEST(pixels_agree)
{
    static uint8_t pixels[IMAGES * PIXELS];
    static float images[IMAGES * PIXELS];
    static const enum lq_form forms[] = {LQ_FORM_PLAIN, LQ_FORM_PACKED, LQ_FORM_AUTO};
    float expected[IMAGES * CLASSES], got[IMAGES * CLASSES];
    struct lq_rng rng;

    lq_rng_init(&rng, (uint64_t)rand(), 3);
    struct lq_graph *graph = network_create(&rng, 2, 2);
    for (int i = 0; i < IMAGES * PIXELS; i++)
        pixels[i] = (uint8_t)rand();
    run_pixels(graph, LQ_FORM_PLAIN, 1u << LQ_CPU_C, 1, pixels, 1, expected);
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++)
        for (int i = 0; i < 3; i++) {
            run_pixels(graph, forms[i], (2u << tier) - 1, i + 1, pixels, 1 + 3 * i, got);
            ck_assert_mem_eq(got, expected, sizeof(got));
        }
    const struct lq_preprocess *preprocess = &graph->meta.preprocess;
    for (int i = 0; i < IMAGES * PIXELS; i++) { /* NHWC -> NCHW */
        int image = i / PIXELS, c = i % 3, pixel = i % PIXELS / 3;

        images[image * PIXELS + c * (PIXELS / 3) + pixel] =
            ((float)pixels[i] * preprocess->scale - preprocess->mean[c]) / preprocess->std[c];
    }
    run(graph, LQ_FORM_FLOAT, false, 1, images, 1, expected);
    run_pixels(graph, LQ_FORM_FLOAT, LQ_CPU_ALL, 1, pixels, 1, got);
    ck_assert_mem_eq(got, expected, sizeof(got));
    lq_graph_destroy(graph);
}
END_TEST

/* The thread sanitizer takes minutes for all of them. */
#ifdef __SANITIZE_THREAD__
enum { RANDOM = 12, MANY = 12 };
#else
enum { RANDOM = 64, MANY = 64 };
#endif

enum { LARGE = 20 * 18 * 3 };

struct many {
    float floats[MANY * LARGE];
    uint8_t pixels[MANY * LARGE];
    float of_floats[MANY * CLASSES], of_pixels[MANY * CLASSES];
};

/* The first `images` of them. Returns the number of steps. */
static int run_many(const struct lq_graph *graph, const struct lq_lower_options *options,
                    int threads, int batch, int images, struct many *many)
{
    struct lq_program *program = NULL;
    struct lq_runner *runner = NULL;

    ck_assert_int_eq(lq_program_create(graph, options, &program, NULL), LQ_OK);
    ck_assert_int_eq(lq_runner_create(program, threads, &runner, NULL), LQ_OK);
    for (int at = 0; at < images; at += batch) {
        int count = at + batch > images ? images - at : batch;

        ck_assert_int_eq(lq_runner_run(runner, many->floats + at * LARGE, LQ_NHWC, count,
                                       many->of_floats + at * CLASSES, NULL),
                         LQ_OK);
        ck_assert_int_eq(lq_runner_run_pixels(runner, many->pixels + at * LARGE, count,
                                              many->of_pixels + at * CLASSES, NULL),
                         LQ_OK);
    }
    int steps = program->step_count;
    lq_runner_destroy(runner);
    lq_program_destroy(program);
    return steps;
}

static void random_many(struct lq_rng *rng, struct many *many)
{
    memset(many, 0, sizeof(*many));
    for (int i = 0; i < MANY * LARGE; i++) {
        many->floats[i] = lq_rng_normal(rng);
        many->pixels[i] = (uint8_t)rand();
    }
}

static void forget_answers(struct many *many)
{
    memset(many->of_floats, 0xff, sizeof(many->of_floats));
    memset(many->of_pixels, 0xff, sizeof(many->of_pixels));
}

/* Loop test: a network of floats, then one of 2/2. Every tier, batch of 1, 3, 8 or 64 images,
 * number of threads and form gives the same answers, bit for bit: those of single images on one
 * thread in portable C, which are by the definition where the network is quantized. */
START_TEST(answers_agree)
{
    static const int batches[] = {1, 3, 8, 64};
    static struct many expected, many;
    struct lq_kernels kernels;
    struct lq_rng rng;

    lq_rng_init(&rng, (uint64_t)rand(), (uint64_t)_i);
    random_many(&rng, &expected);
    many = expected;
    struct lq_graph *graph = network_preactivated(&rng, 2 * _i, 2 * _i);
    lq_kernels_init(&kernels, 1u << LQ_CPU_C);
    run_many(graph, &(struct lq_lower_options){LQ_FORM_PLAIN, false, &kernels}, 1, 1, MANY,
             &expected);
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        struct lq_lower_options options = {LQ_FORM_AUTO, false, &kernels};

        if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) != tier)
            continue;
        for (int i = 0; i < 4; i++)
            for (int run = 0; run < 4; run++) {
                int threads = run < 3 ? run + 1 : i % 3 + 1;
                bool packed = run == 3;

                if (packed ? _i == 0 : tier == LQ_CPU_C && threads != i % 3 + 1)
                    continue; /* floats are never packed; portable C takes the longest */
                options.form = packed ? LQ_FORM_PACKED : LQ_FORM_AUTO;
                forget_answers(&many);
                run_many(graph, &options, threads, batches[i], MANY, &many);
                ck_assert_mem_eq(many.of_floats, expected.of_floats, sizeof(many.of_floats));
                ck_assert_mem_eq(many.of_pixels, expected.of_pixels, sizeof(many.of_pixels));
            }
    }
    lq_graph_destroy(graph);
}
END_TEST

typedef struct lq_graph *network(struct lq_rng *rng, int w_bits, int a_bits);

/* A network of bits 1/1 .. 3/3, by the number of a loop test, with random images and what it
 * answers to the first `images` of them by definition. */
static struct lq_graph *answered(network *create, int loop, int images, struct many *ret_plain)
{
    struct lq_kernels kernels;
    struct lq_rng rng;

    lq_rng_init(&rng, (uint64_t)rand(), (uint64_t)loop);
    random_many(&rng, ret_plain);
    struct lq_graph *graph = create(&rng, loop % 3 + 1, loop / 3 + 1);
    lq_kernels_init(&kernels, 1u << LQ_CPU_C);
    run_many(graph, &(struct lq_lower_options){LQ_FORM_PLAIN, false, &kernels}, 1, 1, images,
             ret_plain);
    return graph;
}

/* Loop test: bits 1/1 .. 3/3. What steps take over changes no bit, on any tier. */
START_TEST(steps_taken_over_agree)
{
    static const int batches[] = {1, 3};
    static const enum lq_form forms[] = {LQ_FORM_PACKED, LQ_FORM_AUTO};
    static struct many plain, many;
    const int images = 4;
    struct lq_kernels kernels;
    struct lq_graph *graph = answered(network_preactivated, _i, images, &plain);

    many = plain;
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) != tier)
            continue;
        for (int i = 0; i < 4; i++) {
            struct lq_lower_options options = {forms[i % 2], false, &kernels};

            /* the stem, blocks of two, two and three, the second with a shortcut of its own, two
             * convolutions with pools, and the last ones: what lies in between is taken over by
             * them */
            ck_assert_int_eq(run_many(graph, &options, i % 3 + 1, batches[i / 2], images, &many),
                             4 + 2 + 3 + 3 + 3 + 3);
            ck_assert_mem_eq(many.of_floats, plain.of_floats, sizeof(plain.of_floats));
            ck_assert_mem_eq(many.of_pixels, plain.of_pixels, sizeof(plain.of_pixels));
        }
    }
    lq_graph_destroy(graph);
}
END_TEST

/* Loop test: bits 1/1 .. 3/3. Threads that share a map's columns, because its lines cannot be
 * shared evenly, give the same answers, on any tier. */
START_TEST(uneven_maps_agree)
{
    static const int threads[] = {2, 3, 4, 5, 16, 17}; /* the last ones: more than parts */
    static struct many plain, many;
    const int images = 2;
    struct lq_kernels kernels;
    struct lq_graph *graph = answered(network_uneven, _i, images, &plain);

    many = plain;
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) != tier)
            continue;
        for (size_t i = 0; i < sizeof(threads) / sizeof(*threads); i++) {
            struct lq_lower_options options = {threads[i] % 2 ? LQ_FORM_PACKED : LQ_FORM_AUTO,
                                               false, &kernels};

            forget_answers(&many);
            run_many(graph, &options, threads[i], 1, images, &many);
            ck_assert_mem_eq(many.of_floats, plain.of_floats,
                             (size_t)images * CLASSES * sizeof(float));
            ck_assert_mem_eq(many.of_pixels, plain.of_pixels,
                             (size_t)images * CLASSES * sizeof(float));
        }
    }
    lq_graph_destroy(graph);
}
END_TEST

START_TEST(bad_numbers_are_named)
{
    static float images[IMAGES * PIXELS];
    float output[IMAGES * CLASSES];
    struct lq_rng rng;
    struct lq_kernels kernels;
    struct lq_lower_options options = {LQ_FORM_AUTO, false, &kernels};
    struct lq_program *program = NULL;
    struct lq_runner *runner = NULL;
    struct lq_error error = {0};

    lq_kernels_init(&kernels, lq_cpu_detect());
    lq_rng_init(&rng, 1, 1);
    random_images(&rng, images);
    struct lq_graph *graph = network_create(&rng, 1, 2);
    ck_assert_int_eq(lq_program_create(graph, &options, &program, NULL), LQ_OK);
    ck_assert_int_eq(lq_runner_create(program, 2, &runner, NULL), LQ_OK);
    images[3 * PIXELS + 5] = NAN;
    images[7 * PIXELS] = INFINITY;
    ck_assert_int_eq(lq_runner_run(runner, images, LQ_NHWC, IMAGES, output, &error),
                     LQ_ERR_NUMERIC);
    ck_assert_str_eq(error.text, "input image 3 holds a NaN or an infinity");
    lq_runner_destroy(runner);
    lq_program_destroy(program);
    lq_graph_destroy(graph);
}
END_TEST

struct countdown {
    atomic_int asked;
    int last; /* says yes from the call after this one on */
};

static bool count_down(void *context)
{
    struct countdown *countdown = context;

    return atomic_fetch_add(&countdown->asked, 1) >= countdown->last;
}

/* Loop test: threads 1..3. A run stops at the layer where it is told to, and the next one is whole.
 */
START_TEST(cancelled_between_layers)
{
    static float images[IMAGES * PIXELS];
    float expected[IMAGES * CLASSES], got[IMAGES * CLASSES];
    struct lq_kernels kernels;
    struct lq_lower_options options = {LQ_FORM_AUTO, false, &kernels};
    struct lq_program *program = NULL;
    struct lq_runner *runner = NULL;
    struct lq_rng rng;

    lq_kernels_init(&kernels, lq_cpu_detect());
    lq_rng_init(&rng, 1, 5);
    random_images(&rng, images);
    struct lq_graph *graph = network_create(&rng, 2, 2);
    ck_assert_int_eq(lq_program_create(graph, &options, &program, NULL), LQ_OK);
    ck_assert_int_eq(lq_runner_create(program, _i, &runner, NULL), LQ_OK);
    ck_assert_int_eq(lq_runner_run(runner, images, LQ_NCHW, IMAGES, expected, NULL), LQ_OK);
    for (int last = 0; last < 2 * program->step_count; last++) {
        struct countdown countdown = {.last = last};
        int count = last % 2 == 0 ? IMAGES : 1;
        bool cancelled = last < count * program->step_count;
        struct lq_error error = {0};

        lq_runner_set_cancel(runner, count_down, &countdown);
        ck_assert_int_eq(lq_runner_run(runner, images, LQ_NCHW, count, got, &error),
                         cancelled ? LQ_ERR_CANCELLED : LQ_OK);
        ck_assert_int_le(atomic_load(&countdown.asked), cancelled ? last + _i : last);
        ck_assert_str_eq(error.text, cancelled ? "cancelled" : "");
    }
    lq_runner_set_cancel(runner, NULL, NULL);
    ck_assert_int_eq(lq_runner_run(runner, images, LQ_NCHW, IMAGES, got, NULL), LQ_OK);
    ck_assert_mem_eq(got, expected, sizeof(got));
    lq_runner_destroy(runner);
    lq_program_destroy(program);
    lq_graph_destroy(graph);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("session");

    tiers_print();
    tcase_add_loop_test(tests, forms_agree, 0, RANDOM);
    tcase_add_test(tests, float_agrees_to_rounding);
    tcase_add_test(tests, pixels_agree);
    tcase_add_test(tests, bad_numbers_are_named);
    tcase_add_loop_test(tests, answers_agree, 0, 2);
    tcase_add_loop_test(tests, steps_taken_over_agree, 0, 9);
    tcase_add_loop_test(tests, uneven_maps_agree, 0, 9);
    tcase_add_loop_test(tests, cancelled_between_layers, 1, 4);
    return suite_main("session", tests);
}
