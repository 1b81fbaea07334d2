/* lq_train.c - the door to training.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "lq_model.h"
#include "train/trainer.h"

/* Bases only start from them, and training moves on from the BatchNorm statistics. */
#define CALIBRATION_IMAGES 512

static bool is_quantizing(const struct lq_train_options *o)
{
    return o->bits.weight_bits || o->bits.activation_bits || o->layer_count > 0;
}

/* The quantized network's shape and first bases: those of lq_model_quantize. */
static int quantize(struct lq_model *model, const struct lq_dataset *train,
                    const struct lq_train_options *o, struct lq_model **ret_model,
                    struct lq_error *error)
{
    struct lq_quantize_options options = {.bits = o->bits,
                                          .layers = o->layers,
                                          .layer_count = o->layer_count,
                                          .quantizer = o->quantizer == LQ_QUANTIZER_LEARNED
                                                           ? LQ_QUANTIZER_LEARNED
                                                           : LQ_QUANTIZER_EVEN,
                                          .images = CALIBRATION_IMAGES,
                                          .augmentation = o->augmentation,
                                          .seed = o->seed,
                                          .threads = o->threads};
    struct lq_quantize_report report = {0};
    int status = lq_model_quantize(model, train, &options, ret_model, &report, error);

    if (status == LQ_OK)
        lq_quantize_report_deinit(&report);
    return status;
}

/* The model that training starts from: with random weights if so wished. */
static int start_model(struct lq_model *model, const struct lq_train_options *o,
                       struct lq_model **ret_model, struct lq_error *error)
{
    struct lq_graph *graph;
    int status;

    if (!o->scratch) {
        *ret_model = lq_model_ref(model);
        return LQ_OK;
    }
    status = lq_randomise_graph(model->graph, o->seed, &graph, error);
    return status == LQ_OK ? lq_model_create(model->engine, graph, ret_model, error) : status;
}

/* The results as models; takes the graphs over, also on failure. */
static int give(const struct lq_engine *engine, const struct lq_train_options *o,
                const struct lq_trained *trained, struct lq_model **ret_model,
                struct lq_error *error)
{
    struct lq_model *model = NULL, *latent = NULL;
    int status = lq_model_create(engine, trained->graph, &model, error);

    if (trained->latent && (status != LQ_OK || !o->ret_latent))
        lq_graph_destroy(trained->latent);
    else if (trained->latent)
        status = lq_model_create(engine, trained->latent, &latent, error);
    if (status != LQ_OK) {
        lq_model_unref(model);
        return status;
    }
    if (latent)
        *o->ret_latent = latent;
    *ret_model = model;
    return LQ_OK;
}

int lq_train(struct lq_model *model, const struct lq_dataset *train, const struct lq_dataset *test,
             const struct lq_train_options *options, struct lq_model **ret_model,
             struct lq_error *error)
{
    struct lq_train_options o;
    struct lq_model *start = NULL, *quantized = NULL;
    struct lq_trained trained;
    int status = lq_train_resolve(options, &o, error);

    if (status == LQ_OK)
        status = start_model(model, &o, &start, error);
    if (status == LQ_OK && is_quantizing(&o))
        status = quantize(start, train, &o, &quantized, error);
    if (status == LQ_OK) {
        struct lq_trainer_input input = {.graph = quantized ? quantized->graph : start->graph,
                                         .latent = quantized ? start->graph : NULL,
                                         .teacher = o.teacher ? o.teacher->graph : NULL,
                                         .train = train,
                                         .test = test,
                                         .kernels = lq_engine_kernels(model->engine)};

        status = lq_trainer_run(&input, &o, &trained, error);
    }
    lq_model_unref(quantized);
    lq_model_unref(start);
    return status == LQ_OK ? give(model->engine, &o, &trained, ret_model, error) : status;
}
