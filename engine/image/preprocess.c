/* preprocess.c - an RGB image to what a network was trained to see.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The resize repeats Pillow's arithmetic (libImaging/Resample.c): a triangle as wide as the step
 * between output pixels (at least one input pixel each way), weights normalised in double and
 * rounded to fixed point, a horizontal pass to bytes, then a vertical one. Only the part that the
 * crop keeps is computed, so an image of extreme proportions costs no more than another.
 */
#include "image/preprocess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

/* 8 bits of a pixel, 2 bits for the sum's overshoot and sign; the rest of int32 is fraction. */
#define PRECISION_BITS (32 - 8 - 2)

/* One axis: the input side is resized to `resized` pixels; of these, output pixels first ..
 * first + count - 1 are wanted. */
struct axis {
    int input, resized, first, count;
    int taps;         /* weights per output pixel, at most */
    int *begin, *end; /* [count] input pixels that an output pixel sees */
    int32_t *weights; /* [count][taps] */
};

static void axis_deinit(struct axis *axis)
{
    free(axis->begin);
    free(axis->end);
    free(axis->weights);
}

/* Weights of output pixel `index`, in double first: they are rounded once their sum is 1. */
static void set_weights(struct axis *axis, int index, double support, double *scratch)
{
    double scale = (double)axis->input / axis->resized;
    double step = scale < 1 ? 1 : scale, sum = 0;
    double center = (axis->first + index + 0.5) * scale;
    int begin = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
    int32_t *weights = axis->weights + (size_t)index * (size_t)axis->taps;

    begin = begin < 0 ? 0 : begin;
    end = end > axis->input ? axis->input : end;
    for (int i = begin; i < end; i++) {
        double distance = fabs((i - center + 0.5) * (1 / step));

        scratch[i - begin] = distance < 1 ? 1 - distance : 0;
        sum += scratch[i - begin];
    }
    for (int i = 0; i < end - begin; i++)
        weights[i] = (int32_t)(0.5 + scratch[i] / (sum != 0 ? sum : 1) * (1 << PRECISION_BITS));
    axis->begin[index] = begin;
    axis->end[index] = end;
}

static int axis_init(struct axis *axis, struct lq_error *error)
{
    double scale = (double)axis->input / axis->resized, support = scale < 1 ? 1 : scale;

    axis->taps = (int)ceil(support) * 2 + 1;
    double *scratch = lq_alloc((size_t)axis->taps, sizeof(*scratch));
    axis->begin = lq_alloc((size_t)axis->count, sizeof(*axis->begin));
    axis->end = lq_alloc((size_t)axis->count, sizeof(*axis->end));
    axis->weights = lq_alloc((size_t)axis->count * (size_t)axis->taps, sizeof(*axis->weights));
    if (!scratch || !axis->begin || !axis->end || !axis->weights) {
        free(scratch);
        return lq_fail_memory(error);
    }
    for (int i = 0; i < axis->count; i++)
        set_weights(axis, i, support, scratch);
    free(scratch);
    return LQ_OK;
}

static uint8_t clip_pixel(int32_t sum)
{
    int32_t pixel = sum >> PRECISION_BITS;

    return (uint8_t)(pixel < 0 ? 0 : pixel > 255 ? 255 : pixel);
}

static void resize_row(const struct axis *axis, const uint8_t *from, uint8_t *to)
{
    for (int x = 0; x < axis->count; x++, to += 3) {
        const int32_t *weights = axis->weights + (size_t)x * (size_t)axis->taps;
        const uint8_t *pixel = from + 3 * (size_t)axis->begin[x];
        int count = axis->end[x] - axis->begin[x];
        int32_t sum[3] = {1 << (PRECISION_BITS - 1), 1 << (PRECISION_BITS - 1),
                          1 << (PRECISION_BITS - 1)};

        for (int i = 0; i < count; i++, pixel += 3)
            for (int c = 0; c < 3; c++)
                sum[c] += pixel[c] * weights[i];
        for (int c = 0; c < 3; c++)
            to[c] = clip_pixel(sum[c]);
    }
}

/* One output row from the rows that it sees; `from` is the first of them. */
static void resize_column(const int32_t *weights, int count, const uint8_t *from, size_t row_bytes,
                          uint8_t *to)
{
    for (size_t x = 0; x < row_bytes; x++) {
        int32_t sum = 1 << (PRECISION_BITS - 1);

        for (int i = 0; i < count; i++)
            sum += from[(size_t)i * row_bytes + x] * weights[i];
        to[x] = clip_pixel(sum);
    }
}

/* Rows top .. bottom - 1 of the image, resized or cut to the wanted columns. */
static uint8_t *horizontal_pass(const struct axis *axis, const struct lq_image *image, int top,
                                int bottom)
{
    size_t row_bytes = 3 * (size_t)axis->count;
    uint8_t *rows = lq_alloc((size_t)(bottom - top), row_bytes);

    if (!rows)
        return NULL;
    for (int y = top; y < bottom; y++) {
        const uint8_t *from = image->pixels + 3 * (size_t)y * (size_t)image->width;
        uint8_t *to = rows + (size_t)(y - top) * row_bytes;

        if (axis->input == axis->resized)
            memcpy(to, from + 3 * (size_t)axis->first, row_bytes);
        else
            resize_row(axis, from, to);
    }
    return rows;
}

static int resample(const struct axis *across, const struct axis *down,
                    const struct lq_image *image, struct lq_image *ret_image,
                    struct lq_error *error)
{
    bool untouched = down->input == down->resized;
    int top = untouched ? down->first : down->begin[0];
    int bottom = untouched ? down->first + down->count : down->end[down->count - 1];
    uint8_t *rows = horizontal_pass(across, image, top, bottom), *pixels;
    size_t row_bytes = 3 * (size_t)across->count;

    if (!rows)
        return lq_fail_memory(error);
    if (untouched) {
        *ret_image = (struct lq_image){across->count, down->count, rows};
        return LQ_OK;
    }
    pixels = lq_alloc((size_t)down->count, row_bytes);
    if (!pixels) {
        free(rows);
        return lq_fail_memory(error);
    }
    for (int y = 0; y < down->count; y++)
        resize_column(down->weights + (size_t)y * (size_t)down->taps, down->end[y] - down->begin[y],
                      rows + (size_t)(down->begin[y] - top) * row_bytes, row_bytes,
                      pixels + (size_t)y * row_bytes);
    free(rows);
    *ret_image = (struct lq_image){across->count, down->count, pixels};
    return LQ_OK;
}

/* Python's round((side - cut) / 2): halves go to the even number. */
static int crop_offset(int64_t side, int cut)
{
    int64_t spare = side - cut, half = spare / 2;

    return (int)(spare % 2 != 0 && half % 2 != 0 ? half + 1 : half);
}

/* Both sides after resizing. */
static void resized_sides(const struct lq_preprocess *p, const struct lq_image *image,
                          int64_t *ret_width, int64_t *ret_height)
{
    int64_t width = image->width, height = image->height;

    if (p->resize == 0) {
        *ret_width = p->width;
        *ret_height = p->height;
        return;
    }
    *ret_width = width <= height ? p->resize : p->resize * width / height;
    *ret_height = width <= height ? p->resize * height / width : p->resize;
    if (*ret_width >= p->width && *ret_height >= p->height)
        return;
    bool by_width = p->width * height >= p->height * width;
    *ret_width = by_width ? p->width : p->height * width / height;
    *ret_height = by_width ? p->width * height / width : p->height;
}

int lq_preprocess_fit(const struct lq_preprocess *p, const struct lq_image *image,
                      struct lq_image *ret_fitted, struct lq_error *error)
{
    struct axis across = {.input = image->width, .count = p->width};
    struct axis down = {.input = image->height, .count = p->height};
    int64_t width, height;
    int status = LQ_OK;

    if (p->width < 1 || p->height < 1 || p->width > LQ_IMAGE_MAX_SIDE ||
        p->height > LQ_IMAGE_MAX_SIDE || p->resize < 0 || p->resize > LQ_IMAGE_MAX_SIDE + 1)
        return lq_fail(error, LQ_ERR_INVALID, "input of %d x %d pixels from images resized to %d",
                       p->width, p->height, p->resize);
    resized_sides(p, image, &width, &height);
    if (width > INT32_MAX || height > INT32_MAX)
        return lq_fail(error, LQ_ERR_LIMIT, "image of %d x %d pixels is too narrow to be resized",
                       image->width, image->height);
    across.resized = (int)width;
    across.first = crop_offset(width, p->width);
    down.resized = (int)height;
    down.first = crop_offset(height, p->height);
    if (across.input != across.resized)
        status = axis_init(&across, error);
    if (status == LQ_OK && down.input != down.resized)
        status = axis_init(&down, error);
    if (status == LQ_OK)
        status = resample(&across, &down, image, ret_fitted, error);
    axis_deinit(&across);
    axis_deinit(&down);
    return status;
}

/* ITU-R 601 luma in 16 fraction bits; the weights' sum is 65536, so grey stays what it is. */
static uint8_t luma(const uint8_t *rgb)
{
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

static int check_channels(int channels, struct lq_error *error)
{
    if (channels == 1 || channels == 3)
        return LQ_OK;
    return lq_fail(error, LQ_ERR_UNSUPPORTED,
                   "the network's input has %d channels, images give 1 or 3", channels);
}

void lq_preprocess_floats(const struct lq_preprocess *p, int channels, const uint8_t *pixels,
                          size_t count, float *ret_nhwc)
{
    float table[3][256];

    for (int c = 0; c < channels; c++)
        for (int i = 0; i < 256; i++)
            table[c][i] = ((float)i * p->scale - p->mean[c]) / p->std[c];
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < channels; c++)
            *ret_nhwc++ = table[c][*pixels++];
}

int lq_preprocess_pixels(int channels, const struct lq_image *fitted, uint8_t *ret_nhwc,
                         struct lq_error *error)
{
    size_t count = (size_t)fitted->width * (size_t)fitted->height;
    int status = check_channels(channels, error);

    if (status != LQ_OK)
        return status;
    if (channels == 3)
        memcpy(ret_nhwc, fitted->pixels, 3 * count);
    for (size_t i = 0; i < count && channels == 1; i++)
        ret_nhwc[i] = luma(fitted->pixels + 3 * i);
    return LQ_OK;
}

int lq_preprocess_normalise(const struct lq_preprocess *p, int channels,
                            const struct lq_image *fitted, float *ret_nhwc, struct lq_error *error)
{
    size_t count = (size_t)fitted->width * (size_t)fitted->height;
    int status = check_channels(channels, error);

    if (status != LQ_OK)
        return status;
    if (channels == 3) {
        lq_preprocess_floats(p, 3, fitted->pixels, count, ret_nhwc);
        return LQ_OK;
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t grey = luma(fitted->pixels + 3 * i);

        ret_nhwc[i] = ((float)grey * p->scale - p->mean[0]) / p->std[0];
    }
    return LQ_OK;
}
