/* conv_winograd.c - float convolutions of training by Winograd's minimal filtering F(4x4, 3x3).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Maps are cut into tiles of 4x4 results (kernels/winograd.h), of which a block is transformed into
 * 36 matrices [tile][channel], one for each point; each is multiplied with the transformed weights
 * of its point, and the products are transformed back. The gradient of the input is the same
 * convolution of d_y with the taps turned round; that of the weights sums products of transformed
 * tiles of d_y and patches of x over all tiles, and is transformed back once.
 */
#include <string.h>

#include "base/arena.h"
#include "base/size.h"
#include "ops/conv_method.h"

enum {
    BLOCK_FLOATS = 64 * 1024, /* of a block's matrices on both sides, roughly: half of L2 */
    FEW_TILES = 24            /* of a block, at least: weights are read once for each block */
};

/* One pass: results in tiles of 4x4 from patches of the source. */
struct grid {
    struct lq_map from, to;
    int low_y, low_x; /* where the first patch starts in the source */
    int tiles_h, tiles_w;
    int block;                   /* tiles */
    size_t point_from, point_to; /* floats of a point's matrix */
    const float *zeros;          /* a line of a patch */
};

static int panels_of(int channels)
{
    return lq_panels(channels, LQ_FLOAT_LANES);
}

/* An odd number of cache lines, so that the points of a tile do not meet in one set. */
static size_t point_floats(int tiles, int channels)
{
    return (lq_size_round_up((size_t)tiles * (size_t)channels, 16) / 16 | 1) * 16;
}

static struct grid make_grid(const struct lq_conv_train *conv, bool backward)
{
    const struct lq_conv_geometry *g = &conv->geometry;
    struct grid grid = {.from = backward ? g->out : g->in,
                        .to = backward ? g->in : g->out,
                        .low_y = backward ? g->window.pad_top - 2 : -g->window.pad_top,
                        .low_x = backward ? g->window.pad_left - 2 : -g->window.pad_left};
    int both = (g->in.channels + g->out.channels) * LQ_POINTS;

    grid.tiles_h = lq_ceil_div(grid.to.height, LQ_TILE);
    grid.tiles_w = lq_ceil_div(grid.to.width, LQ_TILE);
    grid.block = BLOCK_FLOATS / both > FEW_TILES ? BLOCK_FLOATS / both / 6 * 6 : FEW_TILES;
    grid.point_from = point_floats(grid.block, grid.from.channels);
    grid.point_to = point_floats(grid.block, grid.to.channels);
    return grid;
}

static size_t zeros_floats(const struct grid *grid)
{
    int most = grid->from.channels > grid->to.channels ? grid->from.channels : grid->to.channels;

    return lq_size_round_up((size_t)LQ_PATCH * (size_t)most, 16);
}

static size_t winograd_scratch(const struct lq_conv_train *conv, bool backward)
{
    struct grid grid = make_grid(conv, backward);
    size_t floats = LQ_POINTS * (grid.point_from + grid.point_to) + zeros_floats(&grid);

    return lq_size_round_up(floats * sizeof(float), LQ_ALIGNMENT);
}

/* The pixels of a map from (y, x) on, `size` lines and columns, zeros where it ends. */
static struct lq_patch make_patch(const struct grid *grid, const struct lq_map *map,
                                  const float *image, int y, int x, int size)
{
    size_t pixel = (size_t)map->channels, line = pixel * (size_t)map->width;
    struct lq_patch patch = {.channels = map->channels,
                             .first = x < 0 ? -x : 0,
                             .last = map->width - x < size ? map->width - x : size,
                             .pixel = pixel};

    for (int i = 0; i < size; i++)
        patch.lines[i] = y + i < 0 || y + i >= map->height || patch.first >= patch.last
                             ? grid->zeros
                             : image + (size_t)(y + i) * line + (size_t)(x + patch.first) * pixel;
    return patch;
}

/* Tile number `tile` of an image or of those after it. */
struct place {
    int image, y, x; /* y and x in the results */
};

static struct place place_of(const struct grid *grid, int tile)
{
    int tiles = grid->tiles_h * grid->tiles_w;

    return (struct place){tile / tiles, tile % tiles / grid->tiles_w * LQ_TILE,
                          tile % grid->tiles_w * LQ_TILE};
}

static const float *image_of(const struct lq_map *map, const float *images, int image)
{
    return images +
           (size_t)image * (size_t)map->height * (size_t)map->width * (size_t)map->channels;
}

static void transform_patches(const struct lq_conv_train *conv, const struct grid *grid,
                              const float *map, int first, int count, float *points)
{
    for (int i = 0; i < count; i++, points += grid->from.channels) {
        struct place at = place_of(grid, first + i);
        struct lq_patch patch = make_patch(grid, &grid->from, image_of(&grid->from, map, at.image),
                                           at.y + grid->low_y, at.x + grid->low_x, LQ_PATCH);

        conv->kernels->winograd.patch(&patch, grid->point_from, points);
    }
}

static void transform_tiles(const struct lq_conv_train *conv, const struct grid *grid,
                            const float *map, int first, int count, float *points)
{
    for (int i = 0; i < count; i++, points += grid->to.channels) {
        struct place at = place_of(grid, first + i);
        struct lq_patch tile =
            make_patch(grid, &grid->to, image_of(&grid->to, map, at.image), at.y, at.x, LQ_TILE);

        conv->kernels->winograd.tile(&tile, grid->point_to, points);
    }
}

static void transform_results(const struct lq_conv_call *call, const struct grid *grid, int first,
                              int count, const float *points)
{
    const struct lq_map *map = &grid->to;
    size_t pixel = (size_t)map->channels, line = pixel * (size_t)map->width;

    for (int i = 0; i < count; i++, points += map->channels) {
        struct place at = place_of(grid, first + i);
        struct lq_tile_result result = {.channels = map->channels,
                                        .height = map->height - at.y,
                                        .width = map->width - at.x,
                                        .add = call->add,
                                        .pixel = pixel};
        size_t start = (size_t)at.image * (size_t)map->height * line + (size_t)at.y * line +
                       (size_t)at.x * pixel;

        result.height = result.height < LQ_TILE ? result.height : LQ_TILE;
        result.width = result.width < LQ_TILE ? result.width : LQ_TILE;
        for (int j = 0; j < result.height; j++)
            result.lines[j] = call->result + start + (size_t)j * line;
        call->conv->kernels->winograd.result(&result, grid->point_to, points);
    }
}

/* The part of a map that a block of tiles covers, as far as whole lines go: while the products of a
 * block are computed, which the cache has, what comes next is fetched from memory. */
struct fetch {
    const char *from;
    size_t bytes;
};

static struct fetch fetch_of(const struct grid *grid, const struct lq_map *map, const float *images,
                             int first, int count)
{
    struct place begin = place_of(grid, first), end = place_of(grid, first + count - 1);
    size_t line = (size_t)map->width * (size_t)map->channels;
    size_t begin_line = (size_t)begin.image * (size_t)map->height + (size_t)begin.y;
    size_t end_line = (size_t)end.image * (size_t)map->height + (size_t)end.y + LQ_TILE;

    return (struct fetch){(const char *)(images + begin_line * line),
                          (end_line - begin_line) * line * sizeof(float)};
}

/* The part of it that belongs to a point. */
static void fetch_part(const struct fetch *fetch, size_t point)
{
    size_t begin = fetch->bytes * point / LQ_POINTS, end = fetch->bytes * (point + 1) / LQ_POINTS;

    for (size_t i = begin; i < end; i += LQ_ALIGNMENT)
        __builtin_prefetch(fetch->from + i, 0, 2);
}

/* A point's matrix of `tiles` lines as windows of one element run each. */
static struct lq_windows matrix(const struct grid *grid, int tiles, const float *a)
{
    return (struct lq_windows){.images = 1,
                               .height = 1,
                               .width = tiles,
                               .taps_h = 1,
                               .taps_w = 1,
                               .run = grid->from.channels,
                               .a_step = (size_t)grid->from.channels,
                               .y_step = (size_t)grid->to.channels,
                               .a = a,
                               .n = grid->to.channels};
}

static void winograd_run(const struct lq_conv_call *call)
{
    struct grid grid = make_grid(call->conv, call->backward);
    int tiles = grid.tiles_h * grid.tiles_w, end = (call->first + call->count) * tiles;
    size_t weights =
        (size_t)panels_of(grid.to.channels) * (size_t)grid.from.channels * LQ_FLOAT_LANES;
    float *zeros = call->scratch, *patches = zeros + zeros_floats(&grid);
    float *products = patches + LQ_POINTS * grid.point_from;

    memset(zeros, 0, zeros_floats(&grid) * sizeof(*zeros));
    grid.zeros = zeros;
    for (int first = call->first * tiles; first < end; first += grid.block) {
        int count = end - first < grid.block ? end - first : grid.block;

        struct fetch results = fetch_of(&grid, &grid.to, call->result, first, count);

        transform_patches(call->conv, &grid, call->map, first, count, patches);
        for (size_t i = 0; i < LQ_POINTS; i++) {
            struct lq_windows w = matrix(&grid, count, patches + i * grid.point_from);

            fetch_part(&results, i);

            call->conv->kernels->windows_product(&w, call->packed + i * weights, false,
                                                 products + i * grid.point_to);
        }
        transform_results(call, &grid, first, count, products);
    }
}

/* As packed weights, and as sums: [point][panel][from][LQ_FLOAT_LANES]. */
static size_t winograd_packed_floats(const struct lq_conv_train *conv, bool backward)
{
    struct grid grid = make_grid(conv, backward);

    return LQ_POINTS * (size_t)panels_of(grid.to.channels) * (size_t)grid.from.channels *
           LQ_FLOAT_LANES;
}

static size_t winograd_sums_floats(const struct lq_conv_train *conv)
{
    return winograd_packed_floats(conv, false);
}

/* A panel's numbers of one tap or point. */
typedef float lanes[LQ_FLOAT_LANES];

/* G of a line: 3 to 6. */
static void weights_line(const lanes g0, const lanes g1, const lanes g2, lanes r[LQ_PATCH],
                         size_t step)
{
    for (int i = 0; i < LQ_FLOAT_LANES; i++) {
        float even = (g0[i] + g2[i]) * (-1 / 6.0f), odd = g1[i] * (-1 / 6.0f);
        float even2 = g0[i] * (1 / 24.0f) + g2[i] * (1 / 6.0f), odd2 = g1[i] * (1 / 12.0f);

        r[0][i] = g0[i] * 0.25f;
        r[step][i] = even + odd;
        r[2 * step][i] = even - odd;
        r[3 * step][i] = even2 + odd2;
        r[4 * step][i] = even2 - odd2;
        r[5 * step][i] = g2[i];
    }
}

/* G g G'. */
static void transform_weights(lanes g[9], lanes r[LQ_POINTS])
{
    lanes columns[LQ_PATCH * 3];

    for (int x = 0; x < 3; x++)
        weights_line(g[x], g[3 + x], g[6 + x], columns + x, 3);
    for (size_t y = 0; y < LQ_PATCH; y++)
        weights_line(columns[3 * y], columns[3 * y + 1], columns[3 * y + 2], r + y * LQ_PATCH, 1);
}

/* G' of a line: 6 to 3. */
static void sums_line(lanes s[LQ_PATCH], size_t step, lanes r[3], size_t result_step)
{
    for (int i = 0; i < LQ_FLOAT_LANES; i++) {
        float sum = (s[step][i] + s[2 * step][i]) * (-1 / 6.0f);
        float difference = (s[2 * step][i] - s[step][i]) * (1 / 6.0f);
        float sum2 = s[3 * step][i] + s[4 * step][i];
        float difference2 = (s[3 * step][i] - s[4 * step][i]) * (1 / 12.0f);

        r[0][i] = (s[0][i] * 0.25f + sum) + sum2 * (1 / 24.0f);
        r[result_step][i] = difference + difference2;
        r[2 * result_step][i] = (sum + sum2 * (1 / 6.0f)) + s[5 * step][i];
    }
}

/* G' s G. */
static void transform_sums(lanes s[LQ_POINTS], lanes r[9])
{
    lanes columns[3 * LQ_PATCH];

    for (int x = 0; x < LQ_PATCH; x++)
        sums_line(s + x, LQ_PATCH, columns + x, LQ_PATCH);
    for (size_t y = 0; y < 3; y++)
        sums_line(columns + y * LQ_PATCH, 1, r + 3 * y, 1);
}

static void winograd_pack(const struct lq_conv_train *conv, bool backward, const float *w, int item,
                          float *packed)
{
    struct grid grid = make_grid(conv, backward);
    size_t in = (size_t)conv->geometry.in.channels, out_stride = 9 * in;
    size_t panels = (size_t)panels_of(grid.to.channels), from = (size_t)grid.from.channels;
    size_t n = (size_t)item * LQ_FLOAT_LANES, left = (size_t)grid.to.channels - n;
    size_t columns = left < LQ_FLOAT_LANES ? left : LQ_FLOAT_LANES;

    for (size_t c = 0; c < from; c++) {
        lanes g[9] = {{0}}, r[LQ_POINTS];

        for (size_t tap = 0; tap < 9; tap++)
            for (size_t i = 0; i < columns; i++)
                g[tap][i] = backward ? w[c * out_stride + (8 - tap) * in + n + i]
                                     : w[(n + i) * out_stride + tap * in + c];
        transform_weights(g, r);
        for (size_t i = 0; i < LQ_POINTS; i++)
            memcpy(packed + ((i * panels + (size_t)item) * from + c) * LQ_FLOAT_LANES, r[i],
                   sizeof(r[i]));
    }
}

static void winograd_outer(const struct lq_outer_call *call)
{
    struct grid grid = make_grid(call->conv, false);
    int tiles = grid.tiles_h * grid.tiles_w, end = (call->first + call->count) * tiles;
    size_t panel = (size_t)grid.from.channels * LQ_FLOAT_LANES;
    size_t point = (size_t)panels_of(grid.to.channels) * panel;
    float *zeros = call->scratch, *patches = zeros + zeros_floats(&grid);
    float *derivatives = patches + LQ_POINTS * grid.point_from;
    float *sums = call->sums + (size_t)call->panel * panel;
    int column = call->panel * LQ_FLOAT_LANES, columns = call->panels * LQ_FLOAT_LANES;

    memset(zeros, 0, zeros_floats(&grid) * sizeof(*zeros));
    grid.zeros = zeros;
    columns = grid.to.channels - column < columns ? grid.to.channels - column : columns;
    for (size_t i = 0; i < LQ_POINTS && call->opens; i++)
        memset(sums + i * point, 0, (size_t)call->panels * panel * sizeof(*sums));
    for (int first = call->first * tiles; first < end; first += grid.block) {
        int count = end - first < grid.block ? end - first : grid.block;

        struct fetch next = fetch_of(&grid, &grid.from, call->x, first + count, count);

        transform_patches(call->conv, &grid, call->x, first, count, patches);
        transform_tiles(call->conv, &grid, call->d_y, first, count, derivatives);
        for (size_t i = 0; i < LQ_POINTS; i++) {
            struct lq_windows w = matrix(&grid, count, patches + i * grid.point_from);

            w.n = columns;
            fetch_part(&next, i);
            call->conv->kernels->windows_outer(&w, derivatives + i * grid.point_to + column,
                                               sums + i * point);
        }
    }
}

static void winograd_finish(const struct lq_conv_train *conv, const float *sums, int parts,
                            int item, float *d_w)
{
    size_t in = (size_t)conv->geometry.in.channels, part = winograd_sums_floats(conv);
    size_t panels = (size_t)panels_of(conv->geometry.out.channels);
    size_t n = (size_t)item * LQ_FLOAT_LANES, left = (size_t)conv->geometry.out.channels - n;
    size_t columns = left < LQ_FLOAT_LANES ? left : LQ_FLOAT_LANES;

    for (size_t c = 0; c < in; c++) {
        lanes s[LQ_POINTS], r[9];

        for (size_t i = 0; i < LQ_POINTS; i++) {
            const float *from = sums + ((i * panels + (size_t)item) * in + c) * LQ_FLOAT_LANES;

            memcpy(s[i], from, sizeof(s[i]));
            for (int j = 1; j < parts; j++)
                for (size_t k = 0; k < LQ_FLOAT_LANES; k++)
                    s[i][k] += from[(size_t)j * part + k];
        }
        transform_sums(s, r);
        for (size_t tap = 0; tap < 9; tap++)
            for (size_t i = 0; i < columns; i++)
                d_w[((n + i) * 9 + tap) * in + c] = r[tap][i];
    }
}

const struct lq_conv_method lq_conv_winograd = {
    winograd_packed_floats, winograd_pack,  winograd_scratch, winograd_run,
    winograd_sums_floats,   winograd_outer, winograd_finish};
