/* test_networks.c - accuracy of real networks on real images, where LQ_DATA has them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <stdio.h>

#include "support/real.h"

static struct lq_engine *engine;

static struct lq_evaluation evaluate(struct lq_model *model, const char *images)
{
    struct lq_dataset *dataset = real_images(images, LQ_SPLIT_TEST);
    struct lq_evaluate_options options = {.form = LQ_FORM_AUTO};
    struct lq_evaluation evaluation;
    struct lq_error error = {0};

    ck_assert_msg(lq_evaluate(model, dataset, &options, &evaluation, &error) == LQ_OK, "%s",
                  error.text);
    lq_dataset_close(dataset);
    lq_model_unref(model);
    return evaluation;
}

START_TEST(float_accuracy)
{
    const struct real_network *network = &real_networks[_i];
    struct lq_evaluation e = evaluate(real_import(engine, _i), network->images);

    printf("%s: top-1 %.2f, top-5 %.2f\n", network->file, e.top1, e.top5);
    ck_assert_double_eq_tol(e.top1, network->top1, 0.1);
    if (network->top5 > 0)
        ck_assert_double_eq_tol(e.top5, network->top5, 0.1);
    lq_evaluation_deinit(&e);
}
END_TEST

static double quantized_top1(struct lq_quantize_options options)
{
    struct lq_evaluation e =
        evaluate(real_quantize(engine, &options), real_networks[REAL_RESNET20].images);
    double top1 = e.top1;

    printf("resnet20 %d/%d %s: top-1 %.2f\n", options.bits.weight_bits,
           options.bits.activation_bits, options.quantizer ? "even" : "learned", top1);
    lq_evaluation_deinit(&e);
    return top1;
}

/* Without training, 8 bits lose less than 0.3 points. */
START_TEST(eight_bits)
{
    ck_assert_double_ge(
        quantized_top1((struct lq_quantize_options){
            .bits = {8, 8, 0, 0}, .images = 500, .iterations = 20, .keep_batch_norm = true}),
        real_networks[REAL_RESNET20].top1 - 0.3);
}
END_TEST

/* Levels that are learned beat levels evenly spaced and fitted on the same images. */
START_TEST(learned_beats_even)
{
    struct lq_quantize_options options = {.bits = {3, 3, 0, 0}, .images = 500};
    double learned = quantized_top1(options);

    options.quantizer = LQ_QUANTIZER_EVEN;
    ck_assert_double_gt(learned, quantized_top1(options));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("networks");
    struct lq_error error = {0};

    if (!real_data("networks"))
        return suite_main("networks", tests);
    if (lq_engine_create(LQ_CPU_ALL, &engine, &error) != LQ_OK)
        return 1;
    tcase_set_timeout(tests, 800);
    tcase_add_loop_test(tests, float_accuracy, 0, REAL_COUNT);
    tcase_add_test(tests, eight_bits);
    tcase_add_test(tests, learned_beats_even);
    return suite_main("networks", tests);
}
