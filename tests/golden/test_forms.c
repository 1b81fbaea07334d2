/* test_forms.c - the forms of a quantized ResNet-20 agree, layer by layer, on 1,000 real images.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "graph/session.h"
#include "lq_model.h"
#include "support/real.h"
#include "train/dataset.h"

enum { IMAGES = 1000, INPUT = 3 * 32 * 32, CLASSES = 10, LAYERS = 18 };

static struct lq_engine *engine;
static float *images; /* [IMAGES][INPUT], channels last */

static void load_images(const struct lq_model *model)
{
    struct lq_dataset *dataset = real_images("cifar-10-batches-bin", LQ_SPLIT_TEST);
    struct lq_model_info info;

    lq_model_get_info(model, &info);
    images = malloc(sizeof(*images) * IMAGES * INPUT);
    ck_assert_ptr_nonnull(images);
    for (int i = 0; i < IMAGES; i++)
        ck_assert_int_eq(lq_dataset_input(dataset, i, &info.preprocess, info.channels, NULL, NULL,
                                          images + i * INPUT, NULL),
                         LQ_OK);
    lq_dataset_close(dataset);
}

static struct lq_model *quantized(int weight_bits, int activation_bits)
{
    struct lq_quantize_options options = {.bits = {weight_bits, activation_bits, 0, 0},
                                          .images = 100,
                                          .iterations = 20,
                                          .keep_batch_norm = true};

    return real_quantize(engine, &options);
}

/* ------------------------------------------------------------------------------------------------
 * Layer by layer
 */

/* One layer's step alone, on dequantized floats. */
struct float_layer {
    struct lq_program *program;
    float *input, *output;
    uint8_t *scratch;
};

struct comparison {
    const struct lq_graph *graph;
    struct lq_kernels kernels;
    int32_t **sums;        /* of each node, as the plain form left them */
    const int16_t **input; /* of each value: its levels in the plain form */
    struct float_layer *layers;
    int compared, packed; /* layers of images whose sums were the same; of them from planes */
    double worst;         /* float against integer, relative to the layer's largest number */
};

static size_t elements(const struct lq_buffer *buffer)
{
    return (size_t)lq_shape_elements(&buffer->shape);
}

static void prepare_float_layer(struct comparison *c, int node, const struct lq_step *step)
{
    struct float_layer *layer = &c->layers[node];

    if (layer->program)
        return;
    ck_assert_int_eq(lq_program_create_node(c->graph, node, &c->kernels, &layer->program, NULL),
                     LQ_OK);
    layer->input = malloc(elements(&step->inputs[0]) * sizeof(float));
    layer->output = malloc(elements(&step->output) * sizeof(float));
    layer->scratch = aligned_alloc(64, layer->program->steps[0].scratch_bytes + 64);
    c->sums[node] = malloc(elements(&step->output) * sizeof(int32_t));
    ck_assert(layer->input && layer->output && layer->scratch && c->sums[node]);
}

/* The layer on dequantized floats against its sums times both scales. */
static void compare_with_float(struct comparison *c, int node, const struct lq_step *step)
{
    struct float_layer *layer = &c->layers[node];
    const struct lq_node *conv = &c->graph->nodes[node];
    const float *scale = conv->params[LQ_PARAM_SCALE]->data;
    const int16_t *levels = c->input[step->slots[0]];
    struct lq_snapped_basis basis;
    struct lq_run run = {
        .inputs = {layer->input}, .output = layer->output, .scratch = layer->scratch};
    size_t channels = (size_t)lq_shape_map(&step->output.shape).channels;
    double largest = 0, difference = 0;

    lq_node_basis(&c->graph->nodes[c->graph->values[step->slots[0]].producer], &basis);
    for (size_t i = 0; i < elements(&step->inputs[0]); i++)
        layer->input[i] = (float)levels[i] * basis.scale;
    layer->program->steps[0].run(&layer->program->steps[0], &run);
    for (size_t i = 0; i < elements(&step->output); i++) {
        double exact = (double)c->sums[node][i] * (double)scale[i % channels] * (double)basis.scale;

        largest = fmax(largest, fabs(exact));
        difference = fmax(difference, fabs(exact - (double)layer->output[i]));
    }
    c->worst = fmax(c->worst, largest > 0 ? difference / largest : difference);
}

static void see_plain(void *context, const struct lq_step *step, const void *value,
                      const int32_t *integers)
{
    struct comparison *c = context;
    int node = lq_graph_find_node(c->graph, step->name);

    if (integers) {
        prepare_float_layer(c, node, step);
        memcpy(c->sums[node], integers, elements(&step->output) * sizeof(*integers));
        compare_with_float(c, node, step);
    }
    c->input[step->output_slot] = step->output.store == LQ_STORE_LEVELS ? value : NULL;
}

static void see_packed(void *context, const struct lq_step *step, const void *value,
                       const int32_t *integers)
{
    struct comparison *c = context;
    int node = lq_graph_find_node(c->graph, step->name);

    (void)value;
    if (!integers)
        return;
    ck_assert_msg(memcmp(integers, c->sums[node], elements(&step->output) * sizeof(*integers)) == 0,
                  "%s differs", step->name);
    c->compared++;
    c->packed += step->inputs[0].store == LQ_STORE_PLANES;
}

struct observed {
    struct lq_program *program;
    struct lq_runner *runner;
};

static struct observed observe(struct comparison *c, enum lq_form form, int threads,
                               lq_observe *see)
{
    struct lq_lower_options options = {form, false, &c->kernels};
    struct observed o = {0};

    ck_assert_int_eq(lq_program_create(c->graph, &options, &o.program, NULL), LQ_OK);
    ck_assert_int_eq(lq_runner_create(o.program, threads, &o.runner, NULL), LQ_OK);
    ck_assert_int_eq(lq_runner_observe(o.runner, see, c, NULL), LQ_OK);
    return o;
}

static void observed_deinit(struct observed *o)
{
    lq_runner_destroy(o->runner);
    lq_program_destroy(o->program);
}

static void comparison_deinit(struct comparison *c)
{
    for (int i = 0; i < c->graph->node_count; i++) {
        lq_program_destroy(c->layers[i].program);
        free(c->layers[i].input);
        free(c->layers[i].output);
        free(c->layers[i].scratch);
        free(c->sums[i]);
    }
    free(c->layers);
    free(c->sums);
    free(c->input);
}

START_TEST(layers_agree)
{
    struct lq_model *model = quantized(_i, _i);
    struct comparison c = {.graph = model->graph};
    float plain[CLASSES], packed[CLASSES];

    load_images(model);
    lq_kernels_init(&c.kernels, lq_cpu_detect());
    c.layers = calloc((size_t)c.graph->node_count, sizeof(*c.layers));
    c.sums = calloc((size_t)c.graph->node_count, sizeof(*c.sums));
    c.input = calloc((size_t)c.graph->value_count, sizeof(*c.input));
    struct observed a = observe(&c, LQ_FORM_PLAIN, 1, see_plain);
    struct observed b = observe(&c, LQ_FORM_PACKED, 2, see_packed);
    for (int i = 0; i < IMAGES; i++) {
        const float *image = images + i * INPUT;

        ck_assert_int_eq(lq_runner_run(a.runner, image, LQ_NHWC, 1, plain, NULL), LQ_OK);
        ck_assert_int_eq(lq_runner_run(b.runner, image, LQ_NHWC, 1, packed, NULL), LQ_OK);
        ck_assert_mem_eq(plain, packed, sizeof(plain));
    }
    printf("resnet20 %d/%d: %d layers of images with the same sums, %d from planes; "
           "dequantized floats within %.1e of the largest\n",
           _i, _i, c.compared, c.packed, c.worst);
    ck_assert_int_eq(c.compared, IMAGES * LAYERS);
    ck_assert_int_eq(c.packed, IMAGES * LAYERS);
    ck_assert_double_lt(c.worst, 1e-5);
    observed_deinit(&a);
    observed_deinit(&b);
    comparison_deinit(&c);
    free(images);
    lq_model_unref(model);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Batches and threads
 */

static void run_all(struct lq_model *model, enum lq_form form, int batch, int threads,
                    float *ret_logits)
{
    struct lq_session_options options = {batch, threads, form};
    struct lq_session *session = NULL;

    ck_assert_int_eq(lq_session_create(model, &options, &session, NULL), LQ_OK);
    for (int at = 0; at < IMAGES; at += batch)
        ck_assert_int_eq(lq_session_run(session, images + at * INPUT, LQ_NHWC,
                                        at + batch > IMAGES ? IMAGES - at : batch,
                                        ret_logits + at * CLASSES, NULL),
                         LQ_OK);
    lq_session_destroy(session);
}

START_TEST(batches_and_threads_agree)
{
    static float expected[IMAGES * CLASSES], got[IMAGES * CLASSES];
    static const int batches[] = {1, 7, 64};
    struct lq_model *model = quantized(2, 2);

    load_images(model);
    run_all(model, LQ_FORM_PLAIN, 1, 1, expected);
    for (int batch = 0; batch < 3; batch++)
        for (int threads = 1; threads <= 2; threads++) {
            run_all(model, LQ_FORM_AUTO, batches[batch], threads, got);
            ck_assert_mem_eq(got, expected, sizeof(got));
            run_all(model, LQ_FORM_PACKED, batches[batch], threads, got);
            ck_assert_mem_eq(got, expected, sizeof(got));
        }
    free(images);
    lq_model_unref(model);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("forms");

    if (!real_data("forms"))
        return suite_main("forms", tests);
    if (lq_engine_create(LQ_CPU_ALL, &engine, NULL) != LQ_OK)
        return 1;
    tcase_set_timeout(tests, 800);
    tcase_add_loop_test(tests, layers_agree, 2, 4);
    tcase_add_test(tests, batches_and_threads_agree);
    return suite_main("forms", tests);
}
