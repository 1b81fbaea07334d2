/* test_models.c - the networks of models/: what its README says of them is so.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/real.h"

/* A row of the table in models/README.md: | `FILE` | W/A | bytes | top-1 | ... */
struct row {
    char file[128], bits[16];
    long bytes;
    double top1;
};

static struct row rows[32];
static int row_count;
static struct lq_engine *engine;

static void read_table(void)
{
    FILE *file = fopen("models/README.md", "r");
    char line[1024];

    while (file && row_count < 32 && fgets(line, sizeof(line), file)) {
        struct row *row = &rows[row_count];

        row_count += sscanf(line, "| `%127[^`]` | %15s | %ld | %lf |", row->file, row->bits,
                            &row->bytes, &row->top1) == 4;
    }
    if (file)
        fclose(file);
}

static struct lq_model *open_row(const struct row *row)
{
    struct lq_error error = {0};
    struct lq_model *model;
    char path[256];

    snprintf(path, sizeof(path), "models/%s", row->file);
    ck_assert_msg(lq_model_open(engine, path, &model, &error) == LQ_OK, "%s", error.text);
    return model;
}

/* Size, and the bits of every layer between the first and the last. */
START_TEST(files)
{
    const struct row *row = &rows[_i];
    struct lq_model *model = open_row(row);
    struct lq_model_info info;
    struct stat file;
    char path[256], bits[32];
    int quantized = 0;

    snprintf(path, sizeof(path), "models/%s", row->file);
    ck_assert_int_eq(stat(path, &file), 0);
    ck_assert_int_eq(file.st_size, row->bytes);
    lq_model_get_info(model, &info);
    for (int i = 0; i < info.layer_count; i++) {
        struct lq_layer_info layer;

        lq_model_layer(model, i, &layer);
        if (layer.weight_bits == 0)
            continue;
        snprintf(bits, sizeof(bits), "%d/%d", layer.weight_bits, layer.activation_bits);
        ck_assert_str_eq(bits, row->bits);
        quantized++;
    }
    ck_assert_int_eq(quantized > 0, strcmp(row->bits, "float") != 0);
    lq_model_unref(model);
}
END_TEST

static char *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "r");
    char *bytes = malloc(1 << 16);

    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(bytes);
    *ret_size = fread(bytes, 1, 1 << 16, file);
    fclose(file);
    return bytes;
}

/* Each picture is named after what it shows. */
START_TEST(pictures)
{
    static const char *const names[] = {"airplane", "ship", "truck"};
    struct lq_session_options options = {.max_batch = 1, .threads = 1};
    struct lq_image_limits limits = LQ_IMAGE_LIMITS_DEFAULT;
    struct lq_model *model = open_row(&rows[_i]);
    struct lq_error error = {0};
    struct lq_session *session;

    ck_assert_msg(lq_session_create(model, &options, &session, &error) == LQ_OK, "%s", error.text);
    for (int i = 0; i < 3; i++) {
        struct lq_prediction best;
        uint8_t pixels[32 * 32 * 3];
        float output[10];
        char path[64], *bytes;
        size_t size;

        snprintf(path, sizeof(path), "models/pictures/%s.jpg", names[i]);
        bytes = read_file(path, &size);
        ck_assert_int_eq(lq_model_decode(model, bytes, size, &limits, pixels, &error), LQ_OK);
        ck_assert_int_eq(lq_session_run_pixels(session, pixels, 1, output, &error), LQ_OK);
        ck_assert_int_eq(lq_model_top_k(model, output, 1, &best), 1);
        ck_assert_str_eq(lq_model_label(model, best.index), names[i]);
        free(bytes);
    }
    lq_session_destroy(session);
    lq_model_unref(model);
}
END_TEST

/* To the digit; a float network's sums depend on the CPU's BLAS. */
START_TEST(accuracy)
{
    struct lq_model *model = open_row(&rows[_i]);
    struct lq_dataset *images = real_images("cifar-10-batches-bin", LQ_SPLIT_TEST);
    struct lq_evaluate_options options = {.form = LQ_FORM_AUTO};
    struct lq_evaluation evaluation;
    struct lq_error error = {0};
    char said[16], found[16];

    ck_assert_msg(lq_evaluate(model, images, &options, &evaluation, &error) == LQ_OK, "%s",
                  error.text);
    snprintf(said, sizeof(said), "%.2f", rows[_i].top1);
    snprintf(found, sizeof(found), "%.2f", evaluation.top1);
    if (strcmp(rows[_i].bits, "float") == 0)
        ck_assert_double_eq_tol(evaluation.top1, rows[_i].top1, 0.025);
    else
        ck_assert_str_eq(found, said);
    lq_evaluation_deinit(&evaluation);
    lq_dataset_close(images);
    lq_model_unref(model);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("models");
    struct lq_error error = {0};
    int status;

    tcase_set_timeout(tests, 800);
    read_table();
    if (row_count == 0 || lq_engine_create(LQ_CPU_ALL, &engine, &error) != LQ_OK) {
        fprintf(stderr, "models/README.md has no table of networks; %s\n", error.text);
        return EXIT_FAILURE;
    }
    tcase_add_loop_test(tests, files, 0, row_count);
    tcase_add_loop_test(tests, pictures, 0, row_count);
    if (real_data("models"))
        tcase_add_loop_test(tests, accuracy, 0, row_count);
    status = suite_main("models", tests);
    lq_engine_destroy(engine);
    return status;
}
