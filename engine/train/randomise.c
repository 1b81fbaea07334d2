/* randomise.c - weights to start from.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "base/rng.h"
#include "base/status.h"
#include "train/trainer.h"

static void fill(const struct lq_tensor *tensor, float value)
{
    float *numbers = (float *)tensor->data; /* of a copy: its arena's */
    int64_t count = lq_shape_elements(&tensor->shape);

    for (int64_t i = 0; i < count; i++)
        numbers[i] = value;
}

static void draw(const struct lq_node *node, struct lq_rng *rng)
{
    const struct lq_tensor *weight = node->params[LQ_PARAM_WEIGHT];
    float *numbers = (float *)weight->data;
    int64_t count = lq_shape_elements(&weight->shape);
    double inputs = (double)count / weight->shape.dims[0];
    float deviation = (float)sqrt((node->kind == LQ_OP_CONV ? 2 : 1) / inputs);

    for (int64_t i = 0; i < count; i++)
        numbers[i] = deviation * lq_rng_normal(rng);
}

int lq_randomise_graph(const struct lq_graph *graph, uint64_t seed, struct lq_graph **ret_graph,
                       struct lq_error *error)
{
    static const struct {
        enum lq_param param;
        float value;
    } constants[] = {{LQ_PARAM_BIAS, 0},
                     {LQ_PARAM_GAMMA, 1},
                     {LQ_PARAM_BETA, 0},
                     {LQ_PARAM_MEAN, 0},
                     {LQ_PARAM_VARIANCE, 1}};
    struct lq_graph *copy;
    int status = lq_graph_copy(graph, NULL, &copy, error);

    for (int i = 0; status == LQ_OK && i < copy->node_count; i++) {
        const struct lq_node *node = &copy->nodes[i];
        struct lq_rng rng;

        if (node->params[LQ_PARAM_CODES] || node->kind == LQ_OP_QUANTIZE) {
            lq_graph_destroy(copy);
            return lq_fail(error, LQ_ERR_INVALID, "the network is quantized already (node '%.64s')",
                           node->name);
        }
        lq_rng_init(&rng, seed, (uint64_t)i);
        if (node->params[LQ_PARAM_WEIGHT])
            draw(node, &rng);
        for (size_t at = 0; at < sizeof(constants) / sizeof(*constants); at++)
            if (node->params[constants[at].param])
                fill(node->params[constants[at].param], constants[at].value);
    }
    if (status == LQ_OK)
        *ret_graph = copy;
    return status;
}
