/* augment.c - random changes of training images that keep their class.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/augment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

#define MAX_CROP 64

static int parse_crop(const char *word, size_t length, struct lq_augmentation *augmentation)
{
    static const char *const borders[] = {"black", "mean", "reflect"};
    char *end;
    long crop = strtol(word + 4, &end, 10);
    size_t rest = length - (size_t)(end - word);

    if (length < 6 || word[4] < '0' || word[4] > '9' || crop < 1 || crop > MAX_CROP || *end != '-')
        return LQ_ERR_INVALID;
    for (int i = 0; i < 3; i++)
        if (strlen(borders[i]) == rest - 1 && memcmp(borders[i], end + 1, rest - 1) == 0) {
            augmentation->crop = (int)crop;
            augmentation->border = (enum lq_border)i;
            return LQ_OK;
        }
    return LQ_ERR_INVALID;
}

int lq_augmentation_parse(const char *text, struct lq_augmentation *ret_augmentation,
                          struct lq_error *error)
{
    struct lq_augmentation augmentation = {0};

    for (const char *word = text;; word++) {
        size_t length = strcspn(word, ",");
        int status = LQ_OK;

        if (length == 4 && memcmp(word, "flip", 4) == 0)
            augmentation.flip = true;
        else if (length > 4 && memcmp(word, "crop", 4) == 0)
            status = parse_crop(word, length, &augmentation);
        else if (!(length == 4 && memcmp(word, "none", 4) == 0))
            status = LQ_ERR_INVALID;
        if (status != LQ_OK)
            return lq_fail(error, LQ_ERR_INVALID,
                           "augmentation '%.*s', expected flip, none, or cropN-black, cropN-mean, "
                           "cropN-reflect with N 1..%d",
                           length > 32 ? 32 : (int)length, word, MAX_CROP);
        word += length;
        if (!*word)
            break;
    }
    *ret_augmentation = augmentation;
    return LQ_OK;
}

/* Index inside 0..size-1 of a position that may lie beyond, mirrored without repeating the edge. */
static int reflect(int at, int size)
{
    int period = size > 1 ? 2 * size - 2 : 1;

    at = ((at % period) + period) % period;
    return at < size ? at : period - at;
}

/* The pixel value that normalises to zero. */
static uint8_t mean_pixel(const struct lq_preprocess *preprocess, int channel)
{
    float pixel = roundf(preprocess->mean[channel] / preprocess->scale);

    return (uint8_t)(pixel < 0 ? 0 : pixel > 255 ? 255 : pixel);
}

int lq_augmentation_apply(const struct lq_augmentation *augmentation,
                          const struct lq_preprocess *preprocess, struct lq_rng *rng,
                          struct lq_image *image, struct lq_error *error)
{
    uint32_t range = 2 * (uint32_t)augmentation->crop + 1;
    int dy = (int)lq_rng_below(rng, range) - augmentation->crop;
    int dx = (int)lq_rng_below(rng, range) - augmentation->crop;
    bool mirror = augmentation->flip && (lq_rng_u32(rng) & 1);
    uint8_t border[3] = {0, 0, 0};
    struct lq_image out = {0};
    int status = lq_image_init(image->width, image->height, &out, error);

    if (status != LQ_OK)
        return status;
    for (int c = 0; c < 3 && augmentation->border == LQ_BORDER_MEAN; c++)
        border[c] = mean_pixel(preprocess, c);
    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < out.width; x++) {
            int from_y = y + dy, from_x = (mirror ? out.width - 1 - x : x) + dx;
            const uint8_t *pixel = border;

            if (augmentation->border == LQ_BORDER_REFLECT) {
                from_y = reflect(from_y, out.height);
                from_x = reflect(from_x, out.width);
            }
            if (from_y >= 0 && from_y < out.height && from_x >= 0 && from_x < out.width)
                pixel = image->pixels + 3 * ((size_t)from_y * (size_t)out.width + (size_t)from_x);
            memcpy(out.pixels + 3 * ((size_t)y * (size_t)out.width + (size_t)x), pixel, 3);
        }
    lq_image_deinit(image);
    *image = out;
    return LQ_OK;
}
