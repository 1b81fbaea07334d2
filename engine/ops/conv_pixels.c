/* conv_pixels.c - the first convolution of a quantized network, on pixels as they are.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The normalisation (pixel * scale - mean) / std is folded into the weights: a tap has a weight for
 * each channel and one for the constant 255, the means' share. That one counts only where the tap
 * lies on the image, so that padding stays what it is for the float network, a normalised 0. An
 * output channel's folded weights are rounded to integers of at most 8191 times one scale, less
 * where squares need it (below): the sums are exact, and one thing is rounded, and only once, when
 * the model is loaded.
 *
 * Pixels become levels of 16 bits, line by line, for the product that every tier has, or stay bytes
 * for weights in two parts, or become points of which squares of 2x2 results are made
 * (kernels/pixels.h): sums of weights must fit 16 bits then, on all tiers, so that none knows
 * another network. The constants' share is the same for all windows that lie on the image; only
 * where they do not, the difference is added to the sums.
 */
#include "ops/conv_pixels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/integer_map.h"
#include "ops/pixel_squares.h"
#include "ops/weights.h"
#include "ops/window.h"

enum {
    MAX_CHANNELS = 3,
    TOP = 8191,                  /* largest weight */
    TOP_SUM = INT16_MAX - 9 / 2, /* of up to nine of them, before they are rounded */
    CONSTANT = 255,
    MAX_TAPS = INT32_MAX / (TOP * 255 * (MAX_CHANNELS + 1))
};

/* Taps from..to-1 of a window lie on the image, along one axis. */
struct span {
    int from, to;
};

/* The spans that windows along one axis have. */
struct axis {
    struct span *spans;
    int span_count, whole; /* whole: the one that lies on the image; -1: none does */
    int *span_of;          /* [output pixels] */
};

enum way {
    WAY_LEVELS,  /* pixels and weights of 16 bits */
    WAY_WIDE,    /* pixels as they are, weights in two parts */
    WAY_SQUARES, /* squares of results, pixels as they are, too */
};

struct state {
    struct lq_pixel_plan plan;
    struct lq_conv_geometry geometry;
    struct lq_kernels kernels;
    struct lq_rows rows;
    size_t line; /* levels, or bytes, of a padded line */
    const void *weights;
    struct lq_pixel_conv squares;
    const int32_t *differences; /* [spans of y][spans of x][channels] */
    struct axis y, x;
    enum way way;
    bool plans; /* the plan is one */
};

/* Input lines that output rows from `first` on see, as levels, zeros where padding is. */
static void pad_lines(const struct state *s, const uint8_t *pixels, int first, int lines,
                      int16_t *to)
{
    const struct lq_conv_geometry *g = &s->geometry;
    size_t channels = (size_t)g->in.channels, width = (size_t)g->in.width * channels;
    size_t left = (size_t)g->window.pad_left * channels, middle;

    left = left < s->line ? left : s->line;
    middle = s->line - left < width ? s->line - left : width;
    for (int line = 0; line < lines; line++, to += s->line) {
        int from_y = first * g->window.stride_h - g->window.pad_top + line;
        bool there = from_y >= 0 && from_y < g->in.height;
        const uint8_t *from = pixels + (there ? (size_t)from_y * width : 0);
        size_t count = there ? middle : 0;

        memset(to, 0, left * sizeof(*to));
        for (size_t i = 0; i < count; i++)
            to[left + i] = from[i];
        memset(to + left + count, 0, (s->line - left - count) * sizeof(*to));
    }
}

/* What windows at the image's border miss of the constants. */
static void add_differences(const struct state *s, int first, int last, int32_t *sums)
{
    int channels = s->geometry.out.channels;

    for (int y = first; y < last; y++) {
        int span_y = s->y.span_of[y];

        for (int x = 0; x < s->geometry.out.width; x++, sums += channels) {
            int span_x = s->x.span_of[x];
            const int32_t *difference =
                s->differences + (size_t)(span_y * s->x.span_count + span_x) * (size_t)channels;

            if (span_y == s->y.whole && span_x == s->x.whole)
                continue;
            for (int c = 0; c < channels; c++)
                sums[c] += difference[c];
        }
    }
}

/* All columns: the map says that there are no parts. */
static void sum_part(const void *state, const void *input, const struct lq_map_part *part,
                     uint8_t *scratch, int32_t *sums)
{
    const struct state *s = state;
    int first = part->first, last = part->last;
    const struct lq_conv_geometry *g = &s->geometry;
    int16_t *lines = (int16_t *)(void *)scratch;
    size_t stride = (size_t)g->out.channels;
    struct lq_rows rows = s->rows;

    rows.lines = last - first;
    if (s->way == WAY_SQUARES) {
        lq_pixel_conv_run(&s->squares, input, first, last, scratch, sums);
    } else if (s->way == WAY_WIDE) {
        lq_pad_lines(g, (size_t)g->in.channels, input, first, last, scratch);
        s->kernels.gemm_wide(
            &(struct lq_wide){g->out.channels, rows, scratch, s->weights, sums, stride});
    } else {
        pad_lines(s, input, first, lq_padded_lines(g, last - first), lines);
        s->kernels.gemm_levels(
            &(struct lq_levels){g->out.channels, rows, lines, s->weights, sums, stride});
    }
    add_differences(s, first, last, sums);
}

/* Weights of one output channel for pixels 0..255, [taps][channels], and for the constant, [taps];
 * the largest magnitude. */
static double fold(const struct lq_preprocess *p, const float *weights, int taps, int channels,
                   double *ret_folded, double *ret_constants)
{
    double largest = 0;

    for (int tap = 0; tap < taps; tap++) {
        double constant = 0;

        for (int c = 0; c < channels; c++) {
            double w = (double)*weights++ / (double)p->std[c];

            *ret_folded = w * (double)p->scale;
            constant -= w * (double)p->mean[c] / CONSTANT;
            largest = fmax(largest, fabs(*ret_folded++));
        }
        ret_constants[tap] = constant;
        largest = fmax(largest, fabs(constant));
    }
    return largest;
}

/* While it is prepared. */
struct rounding {
    double *folded, *constants, *scale; /* [length], [taps], [out channels] */
    int16_t *weights;                   /* [out channels][length] */
    int32_t *rounded;                   /* [out channels][taps]: of constants */
    int32_t *whole;                     /* [out channels]: the sum of constants, if on the image */
};

static void round_channel(const struct state *s, const struct rounding *r, int channel)
{
    const struct lq_conv_geometry *g = &s->geometry;
    int16_t *weights = r->weights + (size_t)channel * (size_t)g->length;

    for (int k = 0; k < g->length; k++)
        weights[k] = (int16_t)lround(r->folded[k] / r->scale[channel]);
    r->whole[channel] = 0;
    for (int tap = 0; tap < g->taps; tap++) {
        int32_t rounded = CONSTANT * (int32_t)lround(r->constants[tap] / r->scale[channel]);

        r->rounded[channel * g->taps + tap] = rounded;
        r->whole[channel] += rounded;
    }
}

/* A channel whose sums would be scaled by a negative number gets the opposite weights: then all
 * that follows rises with the sums. */
static int round_weights(const struct state *s, const struct lq_step_spec *spec,
                         const struct lq_preprocess *preprocess, const struct rounding *r,
                         struct lq_error *error)
{
    const struct lq_conv_geometry *g = &s->geometry;
    size_t length = (size_t)g->length;
    float *weights = lq_alloc((size_t)g->out.channels * length, sizeof(*weights));

    if (!weights)
        return lq_fail_memory(error);
    lq_weights_decode(spec, g->out.channels, g->length, weights);
    for (int c = 0; c < g->out.channels; c++) {
        double largest = fold(preprocess, weights + (size_t)c * length, g->taps, g->in.channels,
                              r->folded, r->constants);

        r->scale[c] = largest > 0 ? largest / TOP : 1;
        if (s->plans)
            r->scale[c] = fmax(r->scale[c], lq_pixel_plan_largest(&s->plan, r->folded) / TOP_SUM);
        if (spec->scale && spec->scale[c] < 0)
            r->scale[c] = -r->scale[c];
        round_channel(s, r, c);
    }
    free(weights);
    return LQ_OK;
}

/* As gemm_levels has them. */
static int pack_weights(struct state *s, struct lq_arena *arena, const int16_t *weights,
                        struct lq_error *error)
{
    const struct lq_conv_geometry *g = &s->geometry;
    size_t lanes = (size_t)s->kernels.levels_lanes, row = (size_t)(g->length / g->window.kernel_h);
    size_t columns = lq_size_round_up((size_t)g->out.channels, lanes);
    size_t pairs = ((size_t)g->window.kernel_h * (size_t)s->rows.run + 1) / 2;
    int16_t *packed = lq_arena_alloc(arena, columns * pairs, 2 * sizeof(*packed));

    if (!packed)
        return lq_fail_memory(error);
    s->weights = packed;
    for (size_t channel = 0; channel < (size_t)g->out.channels; channel++) {
        int16_t *panel = packed + channel / lanes * pairs * lanes * 2;

        for (size_t k = 0; k < (size_t)g->length; k++) {
            size_t at = k / row * (size_t)s->rows.run + k % row;

            panel[(at / 2 * lanes + channel % lanes) * 2 + at % 2] = *weights++;
        }
    }
    return LQ_OK;
}

/* As gemm_wide has them. */
static int pack_parts(struct state *s, struct lq_arena *arena, const int16_t *weights,
                      struct lq_error *error)
{
    const struct lq_conv_geometry *g = &s->geometry;
    const size_t lanes = LQ_WIDE_LANES;
    size_t row = (size_t)(g->length / g->window.kernel_h), run = (size_t)s->rows.run;
    size_t part = (size_t)g->window.kernel_h * run * lanes;
    int8_t *packed =
        lq_arena_alloc(arena, (size_t)lq_panels(g->out.channels, (int)lanes), 2 * part);

    if (!packed)
        return lq_fail_memory(error);
    s->weights = packed;
    for (size_t channel = 0; channel < (size_t)g->out.channels; channel++) {
        int8_t *low = packed + channel / lanes * 2 * part + channel % lanes * 4;

        for (size_t k = 0; k < (size_t)g->length; k++) {
            size_t at = k / row * run + k % row;
            int weight = *weights++, half = weight < 0 ? -LQ_WIDE_UNIT / 2 : LQ_WIDE_UNIT / 2;
            int high = (weight + half) / LQ_WIDE_UNIT;

            at = at / 4 * lanes * 4 + at % 4;
            low[at] = (int8_t)(weight - LQ_WIDE_UNIT * high);
            low[part + at] = (int8_t)high;
        }
    }
    return LQ_OK;
}

/* Where windows lie along one axis. */
struct slide {
    int outputs, start, stride, kernel, size; /* start: of the first window on the image */
};

static bool init_axis(struct axis *axis, struct lq_arena *arena, const struct slide *slide)
{
    size_t outputs = (size_t)slide->outputs;

    axis->spans = lq_arena_alloc(arena, outputs, sizeof(*axis->spans));
    axis->span_of = lq_arena_alloc(arena, outputs, sizeof(*axis->span_of));
    axis->whole = -1;
    for (int i = 0; i < slide->outputs && axis->spans && axis->span_of; i++) {
        int start = slide->start + i * slide->stride, left = slide->size - start, number = 0;
        struct span span = {start < 0 ? -start : 0, left < slide->kernel ? left : slide->kernel};

        if (span.to < span.from)
            span.to = span.from;
        while (number < axis->span_count &&
               (axis->spans[number].from != span.from || axis->spans[number].to != span.to))
            number++;
        if (number == axis->span_count)
            axis->spans[axis->span_count++] = span;
        axis->span_of[i] = number;
        if (span.from == 0 && span.to == slide->kernel)
            axis->whole = number;
    }
    return axis->spans && axis->span_of;
}

/* For each pair of spans, the constants of taps that lie on the image less those of all. */
static int init_differences(struct state *s, struct lq_arena *arena, const struct rounding *r,
                            struct lq_error *error)
{
    const struct lq_conv_geometry *g = &s->geometry;
    const struct lq_window *w = &g->window;
    struct slide y = {g->out.height, -w->pad_top, w->stride_h, w->kernel_h, g->in.height};
    struct slide x = {g->out.width, -w->pad_left, w->stride_w, w->kernel_w, g->in.width};
    int32_t *difference;
    size_t pairs;

    if (!init_axis(&s->y, arena, &y) || !init_axis(&s->x, arena, &x))
        return lq_fail_memory(error);
    pairs = (size_t)s->y.span_count * (size_t)s->x.span_count;
    difference = lq_arena_alloc(arena, pairs * (size_t)g->out.channels, sizeof(*difference));
    s->differences = difference;
    if (!difference)
        return lq_fail_memory(error);
    for (size_t pair = 0; pair < pairs; pair++) {
        struct span rows = s->y.spans[pair / (size_t)s->x.span_count];
        struct span taps = s->x.spans[pair % (size_t)s->x.span_count];

        for (int c = 0; c < g->out.channels; c++, difference++) {
            *difference = -r->whole[c];
            for (int i = rows.from; i < rows.to; i++)
                for (int j = taps.from; j < taps.to; j++)
                    *difference += r->rounded[c * g->taps + i * w->kernel_w + j];
        }
    }
    return LQ_OK;
}

static void init_rows(struct state *s)
{
    const struct lq_conv_geometry *g = &s->geometry;
    size_t channels = (size_t)g->in.channels;
    int run = g->window.kernel_w * g->in.channels;

    /* a run takes in some elements more, whose weights are 0 */
    if (s->way == WAY_WIDE) {
        run = lq_ceil_div(run, 4) * 4;
        s->line = (size_t)lq_padded_width(g) * channels;
    } else {
        run += g->window.kernel_h > 1 ? run % 2 : 0;
        s->line = lq_size_round_up((size_t)lq_padded_width(g) * channels + 1, 2);
    }
    s->rows = (struct lq_rows){.width = g->out.width,
                               .runs = g->window.kernel_h,
                               .run = run,
                               .line = (size_t)g->window.stride_h * s->line,
                               .step = (size_t)g->window.stride_w * channels,
                               .gap = s->line};
}

bool lq_conv_pixels_fits(const struct lq_step_spec *spec)
{
    const struct lq_window *w = &spec->attributes->window;

    return w->kernel_h > 0 && spec->attributes->groups == 1 && w->dilation_h == 1 &&
           w->dilation_w == 1 && lq_shape_map(&spec->inputs[0].shape).channels <= MAX_CHANNELS &&
           w->kernel_h * w->kernel_w <= MAX_TAPS;
}

/* Of scratch, for so many rows of the map. */
static size_t lines_bytes(const struct state *s, int rows)
{
    size_t lines = (size_t)lq_padded_lines(&s->geometry, rows);

    if (s->way == WAY_SQUARES)
        return lq_pixel_plan_bytes(&s->plan, rows);
    if (s->way == WAY_WIDE) /* the last run takes in some behind them */
        return lines * s->line + 4;
    return lines * s->line * sizeof(int16_t);
}

static int prepare(struct state *s, struct lq_arena *arena, const struct lq_step_spec *spec,
                   const struct lq_preprocess *preprocess, struct rounding *r,
                   struct lq_step *ret_step, struct lq_error *error)
{
    const struct lq_conv_geometry *g = &s->geometry;
    int row_step = s->way == WAY_SQUARES ? LQ_SQUARE : 1;
    struct lq_integer_map_spec map = {
        .sums = {r->scale, r->whole, g->taps * g->in.channels * TOP * 255},
        .length = g->length,
        .row_step = row_step,
        .row_bytes = lines_bytes(s, lq_integer_map_tile_rows(spec, row_step)),
        .sum_part = sum_part,
        .state = s};
    int status = round_weights(s, spec, preprocess, r, error);

    if (status == LQ_OK && s->way == WAY_SQUARES)
        status = lq_pixel_conv_init(&s->squares, arena, &s->plan, &s->kernels, r->weights, error);
    else if (status == LQ_OK && s->way == WAY_WIDE)
        status = pack_parts(s, arena, r->weights, error);
    else if (status == LQ_OK)
        status = pack_weights(s, arena, r->weights, error);
    if (status == LQ_OK)
        status = init_differences(s, arena, r, error);
    if (status == LQ_OK)
        status = lq_integer_map_prepare(arena, spec, &map, ret_step, error);
    return status;
}

static enum way best_way(const struct state *s)
{
    int columns = s->kernels.wide_columns;

    if (columns > 0 && s->geometry.out.channels >= columns)
        return WAY_WIDE;
    return s->plans && s->kernels.prefers_pixel_squares ? WAY_SQUARES : WAY_LEVELS;
}

int lq_conv_pixels_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                           const struct lq_preprocess *preprocess, struct lq_step *ret_step,
                           struct lq_error *error)
{
    struct state *s = lq_arena_alloc(arena, 1, sizeof(*s));
    struct rounding r = {0};
    size_t channels, taps;
    int status;

    if (!s)
        return lq_fail_memory(error);
    lq_conv_geometry_init(&s->geometry, spec);
    s->kernels = *spec->kernels;
    s->plans = lq_pixel_plan_init(&s->plan, &s->geometry, TOP);
    s->way = best_way(s);
    init_rows(s);
    channels = (size_t)s->geometry.out.channels;
    taps = (size_t)s->geometry.taps;
    r.folded = lq_alloc((size_t)s->geometry.length, sizeof(*r.folded));
    r.constants = lq_alloc(taps, sizeof(*r.constants));
    r.scale = lq_alloc(channels, sizeof(*r.scale));
    r.weights = lq_alloc(channels * (size_t)s->geometry.length, sizeof(*r.weights));
    r.rounded = lq_alloc(channels * taps, sizeof(*r.rounded));
    r.whole = lq_alloc(channels, sizeof(*r.whole));
    status = r.folded && r.constants && r.scale && r.weights && r.rounded && r.whole
                 ? prepare(s, arena, spec, preprocess, &r, ret_step, error)
                 : lq_fail_memory(error);
    free(r.folded);
    free(r.constants);
    free(r.scale);
    free(r.weights);
    free(r.rounded);
    free(r.whole);
    return status;
}
