/* pixel_squares.c - convolutions of pixels, two by two results at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/pixel_squares.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"

/* How products of one, two and three taps are made, by class; without signs there is none. */
struct form {
    int first, second, factors[2]; /* pixels */
    int signs[3];                  /* of the taps */
};
static const struct form forms[][LQ_PIXEL_CLASSES] = {
    {[LQ_PIXEL_FIRST] = {0, 0, {2, 0}, {1}}, [LQ_PIXEL_SECOND] = {1, 1, {-2, 0}, {-1}}},
    {[LQ_PIXEL_FIRST] = {0, 1, {2, -2}, {1}},
     [LQ_PIXEL_BOTH] = {1, 1, {1, 1}, {1, 1}},
     [LQ_PIXEL_SECOND] = {1, 2, {-2, 2}, {0, 1}}},
    {[LQ_PIXEL_FIRST] = {0, 2, {2, -2}, {1}},
     [LQ_PIXEL_BOTH] = {1, 2, {1, 1}, {1, 1, 1}},
     [LQ_PIXEL_APART] = {2, 1, {1, -1}, {1, -1, 1}},
     [LQ_PIXEL_SECOND] = {1, 3, {-2, 2}, {0, 0, 1}}},
};

/* Of values across; and of products down, and of weights. */
static const enum lq_pixel_class value_order[] = {LQ_PIXEL_APART, LQ_PIXEL_FIRST, LQ_PIXEL_BOTH,
                                                  LQ_PIXEL_SECOND};
static const enum lq_pixel_class sum_order[] = {LQ_PIXEL_BOTH, LQ_PIXEL_APART, LQ_PIXEL_FIRST,
                                                LQ_PIXEL_SECOND};

/* Taps that are taken together, of `left` ones: as few products as possible, of short sums. */
static int taps_together(int left)
{
    return left == 4 ? 2 : left < 3 ? left : 3;
}

/* Adds the products of a class; false: there is no room. */
static bool add_class(struct lq_pixel_axis *axis, struct lq_pixel_filter *filters,
                      enum lq_pixel_class kind, int kernel, int stride)
{
    axis->from[kind] = axis->count;
    for (int phase = 0; phase < stride; phase++)
        for (int tap = phase, together; tap < kernel; tap += together * stride) {
            const struct form *form;
            struct lq_pixel_filter *filter;

            together = taps_together((kernel - tap + stride - 1) / stride);
            form = &forms[together - 1][kind];
            if (!form->signs[0] && !form->signs[1] && !form->signs[2])
                continue;
            if (axis->count == LQ_PIXEL_PRODUCTS)
                return false;
            axis->products[axis->count] =
                (struct lq_pixel_product){kind,
                                          tap + form->first * stride,
                                          tap + form->second * stride,
                                          {form->factors[0], form->factors[1]}};
            filter = &filters[axis->count++];
            for (int i = 0; i < 3; i++) {
                filter->taps[i] = i < together ? tap + i * stride : 0;
                filter->signs[i] = form->signs[i];
            }
        }
    axis->to[kind] = axis->count;
    return true;
}

static bool init_axis(struct lq_pixel_axis *axis, struct lq_pixel_filter *filters,
                      const enum lq_pixel_class *order, int kernel, int stride)
{
    for (int i = 0; i < LQ_PIXEL_CLASSES; i++)
        if (!add_class(axis, filters, order[i], kernel, stride))
            return false;
    return true;
}

static void init_lanes(struct lq_pixel_plan *plan, int channels)
{
    struct lq_pixel_lanes *lanes = &plan->lanes;

    for (int lane = 0; lane < plan->across.count * channels; lane++) {
        const struct lq_pixel_product *product = &plan->across.products[lane / channels];

        lanes->first[lane] = (uint16_t)(product->first * channels + lane % channels);
        lanes->second[lane] = (uint16_t)(product->second * channels + lane % channels);
        for (int i = 0; i < 2; i++)
            lanes->factors[i][lane] = (int16_t)product->factors[i];
    }
}

bool lq_pixel_plan_init(struct lq_pixel_plan *plan, const struct lq_conv_geometry *geometry,
                        int top)
{
    const struct lq_window *w = &geometry->window;
    int channels = geometry->in.channels;

    *plan = (struct lq_pixel_plan){.geometry = *geometry,
                                   .squares = lq_ceil_div(geometry->out.width, LQ_SQUARE),
                                   .out_width = geometry->out.width};
    plan->geometry.out.width = plan->squares * LQ_SQUARE;
    if (geometry->out.channels % LQ_SQUARE_COLUMNS != 0 ||
        (w->kernel_w + w->stride_w) * channels > LQ_PIXEL_LANES ||
        4 * (int64_t)geometry->length * top * UINT8_MAX > INT32_MAX ||
        !init_axis(&plan->down, plan->filters_down, sum_order, w->kernel_h, w->stride_h) ||
        !init_axis(&plan->across, plan->filters_across, value_order, w->kernel_w, w->stride_w) ||
        plan->across.count * channels > LQ_PIXEL_LANES ||
        plan->down.count * plan->across.count > 3 * geometry->taps)
        return false;
    init_lanes(plan, channels);
    return true;
}

/* The weight of products down and across, of a channel; weights: [taps][channels]. */
#define SUM_OF(TYPE, NAME)                                                                         \
    static TYPE NAME(const struct lq_pixel_plan *plan, const TYPE *weights, int down, int across,  \
                     int channel)                                                                  \
    {                                                                                              \
        const struct lq_pixel_filter *y = &plan->filters_down[down];                               \
        const struct lq_pixel_filter *x = &plan->filters_across[across];                           \
        const struct lq_conv_geometry *g = &plan->geometry;                                        \
        TYPE sum = 0;                                                                              \
                                                                                                   \
        for (int i = 0; i < 3; i++)                                                                \
            for (int j = 0; j < 3; j++) {                                                          \
                int tap = y->taps[i] * g->window.kernel_w + x->taps[j];                            \
                int sign = y->signs[i] * x->signs[j];                                              \
                                                                                                   \
                sum = (TYPE)(sum + (TYPE)sign * weights[tap * g->in.channels + channel]);          \
            }                                                                                      \
        return sum;                                                                                \
    }
SUM_OF(double, exact_sum)
SUM_OF(int16_t, rounded_sum)

double lq_pixel_plan_largest(const struct lq_pixel_plan *plan, const double *weights)
{
    double largest = 0;

    for (int down = 0; down < plan->down.count; down++)
        for (int across = 0; across < plan->across.count; across++)
            for (int c = 0; c < plan->geometry.in.channels; c++)
                largest = fmax(largest, fabs(exact_sum(plan, weights, down, across, c)));
    return largest;
}

/* One side of a pair of values: a product down and one across. */
struct side {
    bool counts; /* false: another class's value, of weight 0 */
    int down, across, channel;
};

struct pair {
    int place; /* among the points of a square */
    struct side sides[2];
};

/* Value `value` of a product down, which pairs of a class across have. */
static struct side side_of(const struct lq_pixel_plan *plan, enum lq_pixel_class across, int down,
                           int value)
{
    int channels = plan->geometry.in.channels, product = value / channels;

    return (struct side){product >= plan->across.from[across] && product < plan->across.to[across],
                         down, product, value % channels};
}

/* The pairs of a class down and one across; how many there are. */
static int list_pairs(const struct lq_pixel_plan *plan, enum lq_pixel_class down,
                      enum lq_pixel_class across, struct pair *pairs)
{
    int channels = plan->geometry.in.channels, count = 0, end = plan->down.to[down];
    int from = plan->across.from[across] * channels, to = plan->across.to[across] * channels;

    for (int y = plan->down.from[down]; y < end; y += 2) {
        if (y + 1 < end)
            for (int value = from; value < to; value++)
                pairs[count++] = (struct pair){
                    y * LQ_PIXEL_LANES + 2 * value,
                    {side_of(plan, across, y, value), side_of(plan, across, y + 1, value)}};
        else
            for (int value = from / 2 * 2; value < to; value += 2)
                pairs[count++] = (struct pair){
                    y * LQ_PIXEL_LANES + value,
                    {side_of(plan, across, y, value), side_of(plan, across, y, value + 1)}};
    }
    return count;
}

/* Weights of a block of columns. */
static void pack_pair(const struct lq_pixel_plan *plan, const struct pair *pair,
                      const int16_t *weights, int16_t *to)
{
    size_t length = (size_t)plan->geometry.length;

    for (size_t i = 0; i < 2; i++) {
        const struct side *side = &pair->sides[i];

        for (size_t column = 0; column < LQ_SQUARE_COLUMNS && side->counts; column++)
            to[2 * column + i] = rounded_sum(plan, weights + column * length, side->down,
                                             side->across, side->channel);
    }
}

/* As the kernel takes them: lists them, then packs their places and weights. */
static int init_squares(struct lq_pixel_conv *conv, struct lq_arena *arena, struct pair *pairs,
                        const int16_t *weights, struct lq_error *error)
{
    const struct lq_pixel_plan *plan = conv->plan;
    size_t columns = (size_t)plan->geometry.out.channels, length = (size_t)plan->geometry.length;
    const size_t step = (size_t)2 * LQ_SQUARE_COLUMNS;
    uint16_t *places;
    int16_t *packed;
    size_t count = 0;

    for (int i = 0; i < LQ_PIXEL_CLASSES * LQ_PIXEL_CLASSES; i++) {
        int across = i / LQ_PIXEL_CLASSES, down = i % LQ_PIXEL_CLASSES;
        int some = list_pairs(plan, sum_order[down], sum_order[across], pairs + count);

        conv->squares.counts[across][down] = some;
        count += (size_t)some;
    }
    places = lq_arena_alloc(arena, count, sizeof(*places));
    packed = lq_arena_alloc(arena, count * columns, 2 * sizeof(*packed));
    if (!places || !packed)
        return lq_fail_memory(error);
    conv->squares.places = places;
    conv->squares.weights = packed;
    conv->block = count * step;
    for (size_t i = 0; i < count; i++) {
        places[i] = (uint16_t)pairs[i].place;
        for (size_t column = 0; column < columns; column += LQ_SQUARE_COLUMNS)
            pack_pair(plan, &pairs[i], weights + column * length,
                      packed + column / LQ_SQUARE_COLUMNS * conv->block + i * step);
    }
    return LQ_OK;
}

int lq_pixel_conv_init(struct lq_pixel_conv *conv, struct lq_arena *arena,
                       const struct lq_pixel_plan *plan, const struct lq_kernels *kernels,
                       const int16_t *weights, struct lq_error *error)
{
    size_t out = (size_t)plan->geometry.out.channels;
    struct pair *pairs = lq_alloc((size_t)plan->down.count * LQ_PIXEL_LANES, sizeof(*pairs));
    int status;

    *conv = (struct lq_pixel_conv){.plan = plan,
                                   .squares = {.width = plan->out_width,
                                               .square = (size_t)plan->down.count * LQ_PIXEL_LANES,
                                               .line = (size_t)plan->out_width * out,
                                               .pixel = out},
                                   .pixels = kernels->pixels};
    status = pairs ? init_squares(conv, arena, pairs, weights, error) : lq_fail_memory(error);
    free(pairs);
    return status;
}

/* Elements of a padded line. */
static size_t line_of(const struct lq_pixel_plan *plan)
{
    const struct lq_conv_geometry *g = &plan->geometry;

    return (size_t)lq_padded_width(g) * (size_t)g->in.channels;
}

/* Where things lie in the scratch, for so many lines of squares. */
struct places {
    size_t work, points, end;
};

static struct places places_for(const struct lq_pixel_plan *plan, int down)
{
    size_t lines = (size_t)lq_padded_lines(&plan->geometry, down * LQ_SQUARE);
    size_t line = line_of(plan), squares = (size_t)plan->squares;
    struct places places;

    places.work = lq_size_round_up(lines * line + LQ_PIXEL_LANES, LQ_ALIGNMENT);
    places.points = places.work + 2 * lq_pixel_work(line) * sizeof(int16_t);
    places.end =
        places.points + squares * (size_t)plan->down.count * LQ_PIXEL_LANES * sizeof(int16_t);
    return places;
}

size_t lq_pixel_plan_bytes(const struct lq_pixel_plan *plan, int rows)
{
    return places_for(plan, lq_ceil_div(rows, LQ_SQUARE)).end;
}

void lq_pixel_conv_run(const struct lq_pixel_conv *conv, const void *input, int first, int last,
                       uint8_t *scratch, int32_t *sums)
{
    const struct lq_pixel_plan *plan = conv->plan;
    const struct lq_conv_geometry *g = &plan->geometry;
    int down = lq_ceil_div(last - first, LQ_SQUARE);
    size_t channels = (size_t)g->in.channels, out = (size_t)g->out.channels;
    struct places places = places_for(plan, down);
    int16_t *points = (int16_t *)(void *)(scratch + places.points);
    struct lq_pixel_patches patches = {.down = &plan->down,
                                       .across = &plan->lanes,
                                       .count = plan->squares,
                                       .step = (size_t)g->window.stride_w * LQ_SQUARE * channels,
                                       .line = line_of(plan),
                                       .pixels = scratch,
                                       .work = (int16_t *)(void *)(scratch + places.work)};
    struct lq_pixel_squares squares = conv->squares;

    squares.points = points;
    lq_pad_lines(g, channels, input, first, first + down * LQ_SQUARE, scratch);
    for (int y = first; y < last; y += LQ_SQUARE) {
        conv->pixels.points(&patches, points);
        squares.height = last - y < LQ_SQUARE ? last - y : LQ_SQUARE;
        squares.weights = conv->squares.weights;
        for (size_t column = 0; column < out; column += LQ_SQUARE_COLUMNS) {
            squares.sums = sums + column;
            conv->pixels.sums(&squares);
            squares.weights += conv->block;
        }
        patches.pixels += (size_t)g->window.stride_h * LQ_SQUARE * patches.line;
        sums += LQ_SQUARE * squares.line;
    }
}
