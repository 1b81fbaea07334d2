/* files.c - targets: files of models, of training runs, of pictures; settings.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "fuzz/targets.h"
#include "http/auth.h"
#include "image/decode.h"
#include "image/preprocess.h"
#include "support/lqfile_forge.h"
#include "train/checkpoint.h"

static const struct lq_engine *engine(void)
{
    static struct lq_engine *made;
    struct lq_error error = {0};

    if (!made)
        FUZZ_CHECK(lq_engine_create(LQ_CPU_ALL, &made, &error) == LQ_OK);
    return made;
}

void fuzz_lqfile(const uint8_t *bytes, size_t size)
{
    uint8_t *file = lqfile_copy(bytes, size);
    struct lq_model *model = NULL;
    struct lq_error error = {0};
    int status;

    lqfile_seal(file, size);
    status = lq_model_open_memory(engine(), file, size, &model, &error);
    fuzz_check_status(status, &error);
    free(file);
    if (status != LQ_OK)
        return;
    fuzz_run_model(model);
    lq_model_unref(model);
}

void fuzz_onnx(const uint8_t *bytes, size_t size)
{
    const struct lq_import_options options = {.name = "fuzz",
                                              .preprocess = {.std = {1, 1, 1}, .scale = 1}};
    struct lq_model *model = NULL;
    struct lq_error error = {0};
    int status = lq_model_import_onnx(engine(), fuzz_file(bytes, size), &options, &model, &error);

    fuzz_check_status(status, &error);
    if (status != LQ_OK)
        return;
    fuzz_run_model(model);
    lq_model_unref(model);
}

void fuzz_checkpoint(const uint8_t *bytes, size_t size)
{
    double doubles[2] = {1, 2};
    float floats[4] = {3, 4, 5, 6};
    struct lq_checkpoint_entry entries[] = {{"rate", true, 2, doubles},
                                            {"conv.weight", false, 4, floats}};
    struct lq_checkpoint checkpoint = {entries, 2, "settings", -1};
    struct lq_error error = {0};
    int status = lq_checkpoint_load(&checkpoint, fuzz_file(bytes, size), &error);

    fuzz_check_status(status, &error);
    if (status == LQ_OK)
        FUZZ_CHECK(checkpoint.step >= 0);
    else
        FUZZ_CHECK(checkpoint.step == -1 && doubles[1] == 2 && floats[3] == 6);
}

void fuzz_image(const uint8_t *bytes, size_t size)
{
    const struct lq_image_limits limits = {1 << 20, 1 << 16};
    const struct lq_preprocess preprocess = {
        .height = 8, .width = 8, .resize = 10, .std = {1, 1, 1}, .scale = 1};
    struct lq_image image = {0}, fitted = {0};
    struct lq_error error = {0};
    int status = lq_image_decode(bytes, size, &limits, &image, &error);

    fuzz_check_status(status, &error);
    if (status != LQ_OK)
        return;
    FUZZ_CHECK(lq_image_format(bytes, size) != LQ_IMAGE_UNKNOWN);
    FUZZ_CHECK(image.width > 0 && image.height > 0);
    FUZZ_CHECK((size_t)image.width * (size_t)image.height <= limits.max_pixels);
    if (lq_preprocess_fit(&preprocess, &image, &fitted, &error) == LQ_OK)
        FUZZ_CHECK(fitted.width == 8 && fitted.height == 8);
    lq_image_deinit(&fitted);
    lq_image_deinit(&image);
}

void fuzz_config(const uint8_t *bytes, size_t size)
{
    struct config config;
    struct lq_error error = {0};
    char text[2 * CONFIG_TEXT_SIZE];
    int status;

    config_init(&config);
    status = config_read(&config, fuzz_file(bytes, size), &error);
    fuzz_check_status(status, &error);
    if (status != LQ_OK)
        return;
    for (int i = 0; i < config_key_count(); i++) {
        struct lq_error again = {0};

        config_get(&config, i, text, sizeof(text));
        FUZZ_CHECK(config_set(&config, "again", config_key_at(i)->name, text, &again) == LQ_OK);
    }
    fuzz_check_status(config_check(&config, &error), &error);
}

void fuzz_tokens(const uint8_t *bytes, size_t size)
{
    struct auth *auth = NULL;
    struct lq_error error = {0};
    char name[AUTH_NAME_SIZE];
    int status = auth_open(fuzz_file(bytes, size), &auth, &error);

    fuzz_check_status(status, &error);
    if (status != LQ_OK)
        return;
    FUZZ_CHECK(auth_check(auth, NULL, AUTH_READ, name) == AUTH_MISSING);
    FUZZ_CHECK(auth_check(auth, "Bearer x", AUTH_READ, name) != AUTH_GRANTED);
    auth_close(auth);
}
