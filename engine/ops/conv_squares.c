/* conv_squares.c - 3x3 convolutions of levels in bytes, two by two results at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/conv_squares.h"

#include "base/size.h"

enum {
    MIN_CHANNELS = 32,   /* with 16, nothing is gained (measured) */
    MAX_BYTES = 2 << 20, /* of weights, which are 16 / 9 of what they were: more do not arrive in
                            time, and memory is better used */
};

bool lq_squares_pay(const struct lq_kernels *kernels, const struct lq_attributes *conv,
                    struct lq_map in, int top)
{
    const struct lq_window *w = &conv->window;
    int64_t bytes = (int64_t)LQ_SQUARE_POINTS * in.channels * conv->out_channels;

    return kernels->square_pairs > 0 && w->kernel_h == 3 && w->kernel_w == 3 && w->stride_h == 1 &&
           w->stride_w == 1 && w->dilation_h == 1 && w->dilation_w == 1 && conv->groups == 1 &&
           in.channels >= MIN_CHANNELS && in.channels <= LQ_SQUARE_CHANNELS &&
           in.channels % LQ_SQUARE_LANES == 0 && conv->out_channels % LQ_SQUARE_COLUMNS == 0 &&
           conv->grid <= LQ_SQUARE_GRID && top <= LQ_POINT_LEVEL && bytes <= MAX_BYTES;
}

int lq_conv_squares_init(struct lq_conv_squares *s, struct lq_arena *arena,
                         const struct lq_step_spec *spec, const struct lq_conv_geometry *geometry,
                         struct lq_error *error)
{
    *s = (struct lq_conv_squares){.geometry = *geometry,
                                  .across = lq_ceil_div(geometry->out.width, LQ_SQUARE),
                                  .out_width = geometry->out.width,
                                  .squares = spec->kernels->squares};
    s->geometry.out.width = s->across * LQ_SQUARE;
    return lq_square_weights_init(&s->weights, arena, spec, geometry, error);
}

/* Where things lie in the scratch, for so many lines of squares. */
struct places {
    size_t points, lines, end;
};

static struct places places_for(const struct lq_conv_squares *s, int down)
{
    const struct lq_conv_geometry *g = &s->geometry;
    size_t squares = (size_t)down * (size_t)s->across, in = (size_t)g->in.channels;
    size_t lines = (size_t)lq_padded_lines(g, down * LQ_SQUARE);
    struct places places = {0};

    places.points = lq_size_round_up(lines * (size_t)lq_padded_width(g) * in, LQ_ALIGNMENT);
    places.lines = places.points + LQ_SQUARE_POINTS * squares * in;
    places.end = places.lines + squares * LQ_SQUARE_LINES * sizeof(int32_t);
    return places;
}

size_t lq_conv_squares_bytes(const struct lq_conv_squares *s, int rows)
{
    return places_for(s, lq_ceil_div(rows, LQ_SQUARE)).end;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

void lq_conv_squares_run(const struct lq_conv_squares *s, const void *input,
                         const struct lq_map_part *part, uint8_t *scratch, int32_t *sums)
{
    const struct lq_conv_geometry *g = &s->geometry;
    int first = part->first, rows = part->last - first;
    int down = lq_ceil_div(rows, LQ_SQUARE), out = g->out.channels;
    size_t in = (size_t)g->in.channels, padded = (size_t)lq_padded_width(g) * in;
    size_t line = (size_t)s->out_width * (size_t)out, across = (size_t)s->across;
    struct places places = places_for(s, down);
    uint8_t *points = scratch + places.points;
    int32_t *lines = (int32_t *)(void *)(scratch + places.lines);

    lq_pad_lines(g, in, input, first, first + down * LQ_SQUARE, scratch);
    for (int y = 0; y < down; y++)
        s->squares.points(&(struct lq_square_patches){g->in.channels, s->across, padded,
                                                      scratch + (size_t)(2 * y) * padded},
                          points + (size_t)y * across * LQ_SQUARE_POINTS * in);
    for (int column = part->columns.from; column < part->columns.to; column += LQ_SQUARE_COLUMNS) {
        s->squares.multiply(
            &(struct lq_square_products){down * s->across, g->in.channels, points,
                                         s->weights.points + (size_t)column * LQ_SQUARE_POINTS * in,
                                         lq_square_weights_beyond(&s->weights, column), lines});
        for (int y = 0; y < down; y++)
            s->squares.sums(
                &(struct lq_square_results){.width = s->out_width,
                                            .height = least(LQ_SQUARE, rows - 2 * y),
                                            .lines = lines + (size_t)y * across * LQ_SQUARE_LINES,
                                            .offsets = s->weights.offsets + column,
                                            .offset_stride = (size_t)out,
                                            .line = line,
                                            .pixel = (size_t)out,
                                            .sums = sums + (size_t)(2 * y) * line + column});
    }
}
