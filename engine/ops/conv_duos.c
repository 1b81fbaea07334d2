/* conv_duos.c - convolutions of 3 taps along lines of levels in bytes, two results at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Of a convolution whose taps along lines are gone four remain, each of one point of the duos and
 * of kernel_h taps below each other: products of bytes.
 */
#include "ops/conv_duos.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/weights.h"

enum { BLOCK = 64 /* duos whose products are made and used before the next (measured) */ };

bool lq_duos_pay(const struct lq_kernels *kernels, const struct lq_attributes *conv,
                 struct lq_map in, int top)
{
    const struct lq_window *w = &conv->window;
    int width = in.width + w->pad_left + w->pad_right - (LQ_DUO_TAPS - 1);
    int three = LQ_DUO_TAPS * ((conv->grid + 1) / 2); /* halves, at most */

    return 100 * (width % LQ_DUO) <= kernels->duo_excess * width && w->kernel_w == LQ_DUO_TAPS &&
           w->stride_w == 1 && w->dilation_h == 1 && w->dilation_w == 1 && conv->groups == 1 &&
           in.channels % LQ_DUO_LANES == 0 && conv->out_channels % LQ_DUO_COLUMNS == 0 &&
           conv->grid <= LQ_DUO_GRID && top <= LQ_DUO_LEVEL &&
           2 * top * three <= kernels->bytes_bound &&
           (int64_t)4 * 2 * top * three * w->kernel_h * in.channels <= INT32_MAX;
}

/* A level of an odd column is one more than twice its half. */
static inline int half(int level)
{
    return (level - (level & 1)) / 2;
}

/* G of the halves of three levels, `step` apart. */
static inline void spread(const int16_t *g, size_t step, int8_t ret[LQ_DUO_POINTS])
{
    int first = half(g[0]), middle = half(g[step]), last = half(g[2 * step]);

    ret[0] = (int8_t)first;
    ret[1] = (int8_t)(first + middle + last);
    ret[2] = (int8_t)(first - middle + last);
    ret[3] = (int8_t)last;
}

/* Points of an output channel, from its levels [kernel_h][LQ_DUO_TAPS][channels]. */
static void pack(const struct lq_conv_geometry *g, const int16_t *levels, size_t step,
                 int8_t *const to[LQ_DUO_POINTS], int ret_sums[LQ_DUO_POINTS])
{
    size_t channels = (size_t)g->in.channels, k = 0;

    for (int p = 0; p < LQ_DUO_POINTS; p++)
        ret_sums[p] = 0;
    for (int y = 0; y < g->window.kernel_h; y++, levels += LQ_DUO_TAPS * channels)
        for (size_t c = 0; c < channels; c++, k++) {
            int8_t points[LQ_DUO_POINTS];

            spread(levels + c, channels, points);
            for (int p = 0; p < LQ_DUO_POINTS; p++) {
                to[p][k / 4 * step + k % 4] = points[p];
                ret_sums[p] += points[p];
            }
        }
}

/* All output channels, [point][panels]. levels: room for those of one. */
static void pack_all(const struct lq_conv_duos *d, const struct lq_step_spec *spec, int16_t *levels,
                     int8_t *points, int32_t *odd, int32_t *offsets)
{
    const struct lq_conv_geometry *g = &d->geometry;
    size_t out = (size_t)g->out.channels, lanes = (size_t)spec->kernels->bytes_lanes;
    size_t length = (size_t)g->length / LQ_DUO_TAPS, point = out * length;

    for (size_t row = 0; row < out; row++) {
        int8_t *to = points + row / lanes * lanes * length + row % lanes * 4;
        int sums[LQ_DUO_POINTS];

        lq_weights_row(spec, (int)out, g->length, (int)row, levels);
        pack(g, levels, 4 * lanes,
             (int8_t *const[]){to, to + point, to + 2 * point, to + 3 * point}, sums);
        odd[row] = -(levels[0] & 1);
        offsets[row] = d->top * (2 * sums[0] + sums[2]);
        offsets[out + row] = -d->top * (sums[2] + 2 * sums[3]);
    }
}

int lq_conv_duos_init(struct lq_conv_duos *d, struct lq_arena *arena,
                      const struct lq_step_spec *spec, const struct lq_conv_geometry *g,
                      struct lq_error *error)
{
    const struct lq_paneling paneling = {1, g->out.channels, spec->kernels->bytes_lanes, 4};
    size_t out = (size_t)g->out.channels, length = (size_t)g->length / LQ_DUO_TAPS;
    int32_t *offsets = lq_arena_alloc(arena, LQ_DUO * out, sizeof(*offsets));
    int32_t *odd = lq_arena_alloc(arena, out, sizeof(*odd));
    int8_t *points = lq_arena_alloc(arena, LQ_DUO_POINTS * out, length);
    int16_t *levels = lq_alloc((size_t)g->length, sizeof(*levels));

    if (!offsets || !odd || !points || !levels) {
        free(levels);
        return lq_fail_memory(error);
    }
    *d = (struct lq_conv_duos){.geometry = *g,
                               .across = lq_ceil_div(g->out.width, LQ_DUO),
                               .out_width = g->out.width,
                               .top = lq_snapped_largest(spec->input_basis),
                               .offsets = offsets,
                               .odd = odd,
                               .duos = spec->kernels->duos,
                               .gemm_bytes = spec->kernels->gemm_bytes};
    d->geometry.out.width = d->across * LQ_DUO;
    pack_all(d, spec, levels, points, odd, offsets);
    free(levels);
    for (int p = 0; p < LQ_DUO_POINTS; p++, points += out * length)
        d->weights[p] = (struct lq_duo_weights){
            points, lq_weights_piece(&paneling, points, (int)length, (int)length, 2 * d->top)};
    return LQ_OK;
}

/* Duos side by side whose products are made at once, of so many rows. */
static int block_duos(const struct lq_conv_duos *d, int rows)
{
    int duos = BLOCK > rows ? BLOCK / rows : 1;

    return duos < d->across ? duos : d->across;
}

/* Where things lie in the scratch, for so many rows, behind the padded lines. */
struct places {
    size_t point;    /* bytes of points[LQ_DUO_POINTS][duo][line][channel] */
    size_t points;   /* these */
    size_t pixels;   /* [line][padded width]: sums of levels, */
    size_t windows;  /* [row][out width]: and those of struct lq_duo_products */
    size_t products; /* of a block: [LQ_DUO_POINTS][duo][row][column] */
    size_t end;
};

static struct places places_for(const struct lq_conv_duos *d, int rows)
{
    const struct lq_conv_geometry *g = &d->geometry;
    size_t lines = (size_t)lq_padded_lines(g, rows), width = (size_t)lq_padded_width(g);
    size_t line = (size_t)g->in.channels, sum = sizeof(int32_t);
    size_t block = (size_t)block_duos(d, rows) * (size_t)rows * LQ_DUO_COLUMNS;
    struct places places = {.point = (size_t)d->across * lines * line};

    places.points = lq_size_round_up(lines * width * line, LQ_ALIGNMENT);
    places.pixels = places.points + lq_size_round_up(LQ_DUO_POINTS * places.point, LQ_ALIGNMENT);
    places.windows = places.pixels + lq_size_round_up(lines * width * sum, LQ_ALIGNMENT);
    places.products =
        places.windows + lq_size_round_up((size_t)rows * (size_t)d->out_width * sum, LQ_ALIGNMENT);
    places.end = places.products + LQ_DUO_POINTS * block * sum;
    return places;
}

size_t lq_conv_duos_bytes(const struct lq_conv_duos *d, int rows)
{
    return places_for(d, rows).end;
}

/* What the levels of the windows of a row add up to, from the pixels of its first line. */
static void add_windows(const struct lq_conv_duos *d, const int32_t *pixels, int32_t *ret_windows)
{
    memset(ret_windows, 0, (size_t)d->out_width * sizeof(*ret_windows));
    for (int y = 0; y < d->geometry.window.kernel_h; y++, pixels += lq_padded_width(&d->geometry))
        for (int x = 0; x < d->out_width; x++)
            ret_windows[x] += pixels[x] + pixels[x + 1] + pixels[x + 2];
}

/* A part of the map, all of whose points are there. */
struct prepared {
    int rows;
    size_t point, duo; /* bytes from one to the next */
    const uint8_t *points;
    const int32_t *windows;
    int32_t *products; /* room for them */
};

static void prepare(const struct lq_conv_duos *d, const void *input, const struct lq_map_part *part,
                    uint8_t *scratch, struct prepared *ret)
{
    const struct lq_conv_geometry *g = &d->geometry;
    int rows = part->last - part->first;
    size_t in = (size_t)g->in.channels, width = (size_t)lq_padded_width(g);
    size_t lines = (size_t)lq_padded_lines(g, rows);
    struct places places = places_for(d, rows);
    uint8_t *points = scratch + places.points;
    int32_t *pixels = (int32_t *)(void *)(scratch + places.pixels);
    int32_t *windows = (int32_t *)(void *)(scratch + places.windows);
    struct lq_duo_line line = {g->in.channels, d->across,    d->top,
                               scratch,        places.point, lines * in};

    lq_pad_lines(g, in, input, part->first, part->last, scratch);
    for (size_t y = 0; y < lines; y++, line.levels += width * in)
        d->duos.points(&line, points + y * in, pixels + y * width);
    for (int y = 0; y < rows; y++)
        add_windows(d, pixels + (size_t)(y * g->window.stride_h) * width,
                    windows + (size_t)y * (size_t)d->out_width);
    *ret = (struct prepared){rows,   line.point, line.duo,
                             points, windows,    (int32_t *)(void *)(scratch + places.products)};
}

/* Products of `count` duos side by side, all rows, LQ_DUO_COLUMNS columns. A row is but one run:
 * lines lie below each other. */
static void multiply(const struct lq_conv_duos *d, const struct prepared *part, int duo, int count,
                     int column)
{
    size_t in = (size_t)d->geometry.in.channels;
    int run = d->geometry.window.kernel_h * d->geometry.in.channels;
    struct lq_bytes product = {.n = LQ_DUO_COLUMNS,
                               .a = part->points + (size_t)duo * part->duo,
                               .sums = part->products,
                               .stride = LQ_DUO_COLUMNS,
                               .rows = {.lines = count,
                                        .width = part->rows,
                                        .runs = 1,
                                        .run = run,
                                        .line = part->duo,
                                        .step = (size_t)d->geometry.window.stride_h * in}};

    for (int p = 0; p < LQ_DUO_POINTS; p++) {
        product.w = d->weights[p].levels + (size_t)column * (size_t)run;
        product.piece = d->weights[p].piece;
        d->gemm_bytes(&product);
        product.a += part->point;
        product.sums += (size_t)count * (size_t)part->rows * LQ_DUO_COLUMNS;
    }
}

/* `count` duos side by side, all rows, LQ_DUO_COLUMNS columns. */
static void run_block(const struct lq_conv_duos *d, const struct prepared *part, int duo, int count,
                      int column, int32_t *sums)
{
    size_t out = (size_t)d->geometry.out.channels, width = (size_t)d->out_width;
    size_t x = (size_t)duo * LQ_DUO, left = width - x;
    struct lq_duo_products products = {.width = left < (size_t)count * LQ_DUO ? (int)left
                                                                              : count * LQ_DUO,
                                       .products = part->products,
                                       .point = (size_t)(count * part->rows) * LQ_DUO_COLUMNS,
                                       .duo = (size_t)part->rows * LQ_DUO_COLUMNS,
                                       .offsets = d->offsets + column,
                                       .offset_stride = out,
                                       .windows = part->windows + x,
                                       .odd = d->odd + column,
                                       .pixel = out,
                                       .sums = sums + x * out + column};

    multiply(d, part, duo, count, column);
    for (int y = 0; y < part->rows; y++) {
        d->duos.sums(&products);
        products.products += LQ_DUO_COLUMNS;
        products.windows += width;
        products.sums += width * out;
    }
}

void lq_conv_duos_run(const struct lq_conv_duos *d, const void *input,
                      const struct lq_map_part *part, uint8_t *scratch, int32_t *sums)
{
    int step = block_duos(d, part->last - part->first);
    struct prepared prepared;

    prepare(d, input, part, scratch, &prepared);
    for (int column = part->columns.from; column < part->columns.to; column += LQ_DUO_COLUMNS)
        for (int duo = 0; duo < d->across; duo += step)
            run_block(d, &prepared, duo, d->across - duo < step ? d->across - duo : step, column,
                      sums);
}
