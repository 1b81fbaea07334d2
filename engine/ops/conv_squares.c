/* conv_squares.c - 3x3 convolutions of levels in bytes, two by two results at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Weights of a point are sums of up to nine levels; where one does not fit a byte, the point's
 * weights are split into addends that do, and its product takes each of them in turn.
 */
#include "ops/conv_squares.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/weights.h"

enum {
    BLOCK = 64,        /* columns whose products of all points stay in L2 until they become sums */
    MIN_CHANNELS = 64, /* with 32, transforms cost as much as they save (measured) */
    MAX_GRID = 42,     /* beyond, 12 of 16 points have weights of more than a byte */
    MAX_BYTES =
        3 << 19 /* of weights, which are 16 / 9 of what they were: more are not kept in L2 */
};

bool lq_squares_pay(const struct lq_kernels *kernels, const struct lq_attributes *conv,
                    struct lq_map in, int top)
{
    const struct lq_window *w = &conv->window;
    int64_t bytes = (int64_t)LQ_SQUARE_POINTS * in.channels * conv->out_channels;

    return kernels->square_pairs > 0 && w->kernel_h == 3 && w->kernel_w == 3 && w->stride_h == 1 &&
           w->stride_w == 1 && w->dilation_h == 1 && w->dilation_w == 1 && conv->groups == 1 &&
           in.channels >= MIN_CHANNELS && in.channels <= LQ_SQUARE_CHANNELS &&
           in.channels % LQ_SQUARE_LANES == 0 && conv->out_channels % LQ_SQUARE_LANES == 0 &&
           conv->grid <= MAX_GRID && top <= LQ_POINT_LEVEL && bytes <= MAX_BYTES;
}

/* Points of one channel: G g G', g the nine levels, `step` apart. */
static void transform(const int16_t *g, size_t step, int16_t ret_points[LQ_SQUARE_POINTS])
{
    int lines[LQ_SQUARE_PATCH][3];

    for (size_t x = 0; x < 3; x++) {
        int g0 = g[x * step], g1 = g[(3 + x) * step], g2 = g[(6 + x) * step];

        lines[0][x] = g0;
        lines[1][x] = g0 + g1 + g2;
        lines[2][x] = g0 - g1 + g2;
        lines[3][x] = g2;
    }
    for (int i = 0; i < LQ_SQUARE_PATCH; i++, ret_points += LQ_SQUARE_PATCH) {
        const int *l = lines[i];

        ret_points[0] = (int16_t)l[0];
        ret_points[1] = (int16_t)(l[0] + l[1] + l[2]);
        ret_points[2] = (int16_t)(l[0] - l[1] + l[2]);
        ret_points[3] = (int16_t)l[2];
    }
}

/* Weights of all points: [out channel][in channel][point]. NULL: out of memory. */
static int16_t *transform_weights(const struct lq_step_spec *spec, const struct lq_conv_geometry *g,
                                  struct lq_error *error)
{
    const struct lq_paneling rows = {1, g->out.channels, 1, 2};
    size_t in = (size_t)g->in.channels, out = (size_t)g->out.channels;
    int16_t *levels = lq_alloc(out * (size_t)g->length, sizeof(*levels));
    int16_t *points = lq_alloc(out * in, LQ_SQUARE_POINTS * sizeof(*points));

    if (!levels || !points || lq_weights_levels(spec, &rows, g->length, levels, error) != LQ_OK) {
        free(levels);
        free(points);
        return NULL;
    }
    for (size_t row = 0; row < out; row++)
        for (size_t c = 0; c < in; c++)
            transform(levels + row * (size_t)g->length + c, in,
                      points + (row * in + c) * LQ_SQUARE_POINTS);
    free(levels);
    return points;
}

/* Addends that the largest weight of a point needs. */
static int addends(const int16_t *points, size_t count)
{
    int largest = 0;

    for (size_t i = 0; i < count; i++, points += LQ_SQUARE_POINTS)
        largest = abs(*points) > largest ? abs(*points) : largest;
    return largest <= INT8_MAX ? 1 : lq_ceil_div(largest, INT8_MAX);
}

/* One point's weights, in panels; addends differ by 1 at most. */
static void pack_point(const struct lq_conv_squares *s, const int16_t *points, int parts,
                       int8_t *to)
{
    size_t in = (size_t)s->geometry.in.channels, lanes = (size_t)s->lanes;
    size_t length = in * (size_t)parts;

    for (size_t row = 0; row < (size_t)s->geometry.out.channels; row++)
        for (size_t c = 0; c < in; c++, points += LQ_SQUARE_POINTS) {
            int8_t *panel = to + row / lanes * length * lanes + row % lanes * 4 + c % 4;
            int left = *points;

            for (int part = 0; part < parts; part++) {
                int addend = left / (parts - part);
                size_t k = (size_t)part * in + c;

                panel[k / 4 * 4 * lanes] = (int8_t)addend;
                left -= addend;
            }
        }
}

/* What the points' offsets add to four times the results: A' (offset * sums of weights) A. */
static void find_offsets(const int16_t *points, size_t in, int32_t ret_offsets[4])
{
    static const int a[LQ_SQUARE][LQ_SQUARE_PATCH] = {{2, 1, 1, 0}, {0, 1, -1, -2}};
    int32_t sums[LQ_SQUARE_POINTS] = {0};

    for (size_t c = 0; c < in; c++)
        for (int i = 0; i < LQ_SQUARE_POINTS; i++)
            sums[i] += i == LQ_SQUARE_SUM ? 0 : LQ_POINT_OFFSET * points[c * LQ_SQUARE_POINTS + i];
    for (int y = 0; y < LQ_SQUARE; y++)
        for (int x = 0; x < LQ_SQUARE; x++) {
            int32_t sum = 0;

            for (int i = 0; i < LQ_SQUARE_POINTS; i++)
                sum += a[y][i / LQ_SQUARE_PATCH] * a[x][i % LQ_SQUARE_PATCH] * sums[i];
            ret_offsets[y * LQ_SQUARE + x] = sum;
        }
}

static int init_weights(struct lq_conv_squares *s, struct lq_arena *arena, const int16_t *points,
                        struct lq_error *error)
{
    size_t in = (size_t)s->geometry.in.channels, out = (size_t)s->geometry.out.channels;
    size_t columns = (size_t)lq_panels((int)out, s->lanes) * (size_t)s->lanes;

    s->offsets = lq_arena_alloc(arena, 4 * out, sizeof(*s->offsets));
    if (!s->offsets)
        return lq_fail_memory(error);
    for (size_t row = 0; row < out; row++) {
        int32_t offsets[4];

        find_offsets(points + row * in * LQ_SQUARE_POINTS, in, offsets);
        for (size_t i = 0; i < 4; i++)
            s->offsets[i * out + row] = offsets[i];
    }
    for (int i = 0; i < LQ_SQUARE_POINTS; i++) {
        int8_t *weights;

        s->parts[i] = addends(points + i, out * in);
        weights = lq_arena_alloc(arena, columns * in, (size_t)s->parts[i]);
        if (!weights)
            return lq_fail_memory(error);
        s->weights[i] = weights;
        pack_point(s, points + i, s->parts[i], weights);
    }
    return LQ_OK;
}

int lq_conv_squares_init(struct lq_conv_squares *s, struct lq_arena *arena,
                         const struct lq_step_spec *spec, const struct lq_conv_geometry *geometry,
                         struct lq_error *error)
{
    int16_t *points = transform_weights(spec, geometry, error);
    int status;

    if (!points)
        return lq_fail_memory(error);
    *s = (struct lq_conv_squares){.geometry = *geometry,
                                  .across = lq_ceil_div(geometry->out.width, LQ_SQUARE),
                                  .out_width = geometry->out.width,
                                  .gemm = spec->kernels->gemm_bytes,
                                  .lanes = spec->kernels->bytes_lanes,
                                  .squares = spec->kernels->squares};
    s->geometry.out.width = s->across * LQ_SQUARE;
    status = init_weights(s, arena, points, error);
    free(points);
    return status;
}

/* Where things lie in the scratch, for so many lines of squares. */
struct places {
    size_t lines, points, products, end;
};

static struct places places_for(const struct lq_conv_squares *s, int down)
{
    const struct lq_conv_geometry *g = &s->geometry;
    size_t squares = (size_t)down * (size_t)s->across, in = (size_t)g->in.channels;
    size_t lines = (size_t)lq_padded_lines(g, down * LQ_SQUARE);
    struct places places = {0};

    places.points = lq_size_round_up(lines * (size_t)lq_padded_width(g) * in, LQ_ALIGNMENT);
    places.products =
        places.points + lq_size_round_up(LQ_SQUARE_POINTS * squares * in, LQ_ALIGNMENT);
    places.end = places.products + LQ_SQUARE_POINTS * squares * BLOCK * sizeof(int32_t);
    return places;
}

size_t lq_conv_squares_bytes(const struct lq_conv_squares *s, int rows)
{
    return places_for(s, lq_ceil_div(rows, LQ_SQUARE)).end;
}

/* Products of the columns from `column` on, `columns` of them. */
static void multiply(const struct lq_conv_squares *s, int squares, const uint8_t *points,
                     int column, int columns, int32_t *products)
{
    int in = s->geometry.in.channels;
    size_t point = (size_t)squares * (size_t)in;

    for (int i = 0; i < LQ_SQUARE_POINTS; i++) {
        size_t length = (size_t)in * (size_t)s->parts[i];

        s->gemm(&(struct lq_bytes){.n = columns,
                                   .rows = {.lines = 1,
                                            .width = squares,
                                            .runs = s->parts[i],
                                            .run = in,
                                            .line = point,
                                            .step = (size_t)in},
                                   .a = points + (size_t)i * point,
                                   .w = s->weights[i] + (size_t)column * length,
                                   .sums = products + (size_t)(i * squares) * BLOCK,
                                   .stride = BLOCK});
    }
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

void lq_conv_squares_run(const struct lq_conv_squares *s, const void *input, int first, int last,
                         uint8_t *scratch, int32_t *sums)
{
    const struct lq_conv_geometry *g = &s->geometry;
    int down = lq_ceil_div(last - first, LQ_SQUARE), squares = down * s->across;
    int out = g->out.channels;
    size_t in = (size_t)g->in.channels, padded = (size_t)lq_padded_width(g) * in;
    size_t line = (size_t)s->out_width * (size_t)out;
    struct places places = places_for(s, down);
    uint8_t *points = scratch + places.points;
    int32_t *products = (int32_t *)(void *)(scratch + places.products);

    lq_pad_lines(g, in, input, first, first + down * LQ_SQUARE, scratch);
    for (int y = 0; y < down; y++)
        s->squares.points(&(struct lq_square_patches){g->in.channels, s->across, padded,
                                                      scratch + (size_t)(2 * y) * padded},
                          (size_t)squares * in, points + (size_t)(y * s->across) * in);
    for (int column = 0; column < out; column += BLOCK) {
        int columns = least(BLOCK, out - column);

        multiply(s, squares, points, column, columns, products);
        for (int y = 0; y < down; y++)
            s->squares.sums(
                &(struct lq_square_results){.columns = columns,
                                            .width = s->out_width,
                                            .height = least(LQ_SQUARE, last - first - 2 * y),
                                            .point = (size_t)squares * BLOCK,
                                            .square = BLOCK,
                                            .products = products + (size_t)(y * s->across) * BLOCK,
                                            .offsets = s->offsets + column,
                                            .offset_stride = (size_t)out,
                                            .line = line,
                                            .pixel = (size_t)out,
                                            .sums = sums + (size_t)(2 * y) * line + column});
    }
}
