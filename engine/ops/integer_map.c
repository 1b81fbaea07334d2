/* integer_map.c - a layer's map of integer sums: rows of it are computed, pooled and finished.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/integer_map.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"

/* Waking another thread takes about as long as this many products: less stays on one thread. */
#define MIN_PARALLEL_MACS 1000000

struct work {
    const struct lq_step *step;
    const struct lq_run *run;
    int items;
    int32_t *sums; /* of all columns, which items compute parts of */
};

/* Computed rows of sums, of which a pool's next windows need some again. */
struct band {
    int32_t *sums;
    int from, to; /* rows of the map that are there */
};

static size_t row_sums(const struct lq_integer_map *m)
{
    return (size_t)m->map.width * (size_t)m->map.channels;
}

static void sum_rows(const struct lq_integer_map *m, const struct lq_run *run, int first, int last,
                     uint8_t *scratch, int32_t *sums)
{
    struct lq_map_part part = {first, last, 0, m->map.channels};

    m->sum_part(m->state, run->inputs[0], &part, scratch, sums);
    if (run->integers)
        memcpy(run->integers + (size_t)first * row_sums(m), sums,
               (size_t)(last - first) * row_sums(m) * sizeof(*sums));
}

static void run_tile(const struct lq_integer_map *m, const struct work *work, int first, int last,
                     uint8_t *scratch)
{
    int32_t *sums = (int32_t *)(void *)(scratch + m->sums_offset);
    size_t before = (size_t)first * (size_t)m->map.width;
    const struct lq_encoder *encoder = &m->epilogue.encoder;
    const struct lq_run *run = work->run;

    if (m->code_rows && m->epilogue.by_sums && !run->integers &&
        m->code_rows(m->state, run->inputs[0], first, last, scratch, &encoder->encode,
                     (uint8_t *)run->output + before * encoder->pixel_bytes))
        return;
    sum_rows(m, run, first, last, scratch, sums);
    lq_epilogue_run(&m->epilogue, run, before, sums, (last - first) * m->map.width);
}

static int clip(int at, int limit)
{
    return at < 0 ? 0 : at > limit ? limit : at;
}

/* Sees to it that rows from..to-1 are in the band; `end`: nobody needs more. */
static void extend(const struct lq_integer_map *m, const struct lq_run *run, struct band *band,
                   int from, int to, int end, uint8_t *scratch)
{
    int keep = band->to > from ? band->to - from : 0, next = from + keep, room, last;

    if (to <= band->to)
        return;
    memmove(band->sums, band->sums + (size_t)(from - band->from) * row_sums(m),
            (size_t)keep * row_sums(m) * sizeof(*band->sums));
    room = m->tile_rows - keep;
    last = next + room < end ? next + room : end;
    sum_rows(m, run, next, last, scratch, band->sums + (size_t)keep * row_sums(m));
    band->from = from;
    band->to = last;
}

/* Rows first..last-1 of what is stored. */
static void run_pooled(const struct lq_integer_map *m, const struct work *work, int first, int last,
                       uint8_t *scratch)
{
    struct band band = {.sums = (int32_t *)(void *)(scratch + m->sums_offset)};
    int32_t *pooled = (int32_t *)(void *)(scratch + m->pooled_offset);
    int end =
        clip((last - 1) * m->pool.stride_h - m->pool.pad_top + m->pool.kernel_h, m->map.height);
    struct lq_sums_pool pool = {.channels = m->map.channels,
                                .width = m->map.width,
                                .out_width = m->out.width,
                                .kernel = m->pool.kernel_w,
                                .stride = m->pool.stride_w,
                                .pad = m->pool.pad_left,
                                .line = row_sums(m),
                                .signs = m->epilogue.signs};

    for (int y = first; y < last; y++) {
        int start = y * m->pool.stride_h - m->pool.pad_top;
        int from = clip(start, m->map.height), to = clip(start + m->pool.kernel_h, m->map.height);

        extend(m, work->run, &band, from, to, end, scratch);
        pool.lines = to - from;
        m->kernels.pool_sums(&pool, band.sums + (size_t)(from - band.from) * row_sums(m), pooled);
        lq_epilogue_run(&m->epilogue, work->run, (size_t)y * (size_t)m->out.width, pooled,
                        m->out.width);
    }
}

/* Where item `item` of `items` begins: the larger ones come first, so that none is left over when
 * all others are done. */
static int item_start(int steps, int item, int items)
{
    int more = steps % items;

    return steps / items * item + (item < more ? item : more);
}

static void run_item(void *context, int item, int worker)
{
    const struct work *work = context;
    const struct lq_integer_map *m = work->step->state;
    uint8_t *scratch = work->run->scratch + (size_t)worker * work->step->scratch_bytes;
    int steps = lq_ceil_div(m->out.height, m->row_step);
    int first = item_start(steps, item, work->items) * m->row_step;
    int last = item_start(steps, item + 1, work->items) * m->row_step;

    last = last < m->out.height ? last : m->out.height;

    if (m->pools)
        run_pooled(m, work, first, last, scratch);
    else
        run_tile(m, work, first, last, scratch);
}

static int column_parts(const struct lq_integer_map *m)
{
    return lq_ceil_div(m->map.channels, m->column_step);
}

static void sum_columns(void *context, int item, int worker)
{
    const struct work *work = context;
    const struct lq_integer_map *m = work->step->state;
    int parts = column_parts(m), channels = m->map.channels;
    int from = item_start(parts, item, work->items) * m->column_step;
    int to = item_start(parts, item + 1, work->items) * m->column_step;
    struct lq_map_part part = {0, m->map.height, from, to < channels ? to : channels};

    m->sum_part(m->state, work->run->inputs[0], &part,
                work->run->scratch + (size_t)worker * work->step->scratch_bytes, work->sums);
}

static void finish_pixels(void *context, int item, int worker)
{
    const struct work *work = context;
    const struct lq_integer_map *m = work->step->state;
    int pixels = m->map.height * m->map.width;
    int first = item_start(pixels, item, work->items);
    size_t before = (size_t)first * (size_t)m->map.channels;

    (void)worker;
    lq_epilogue_run(&m->epilogue, work->run, (size_t)first, work->sums + before,
                    item_start(pixels, item + 1, work->items) - first);
}

/* How much longer it takes than if all threads had the same share. */
static double excess(int parts, int threads)
{
    return (double)(lq_ceil_div(parts, threads) * threads) / parts;
}

/* Each part of columns needs all of the input prepared, and the sums are met again by others. */
static bool prefers_columns(const struct lq_integer_map *m, int threads)
{
    const double costs = 1.05;
    int steps = lq_ceil_div(m->map.height, m->row_step);

    return threads > 1 && !m->pools && m->column_step > 0 && m->tile_rows == m->map.height &&
           excess(steps, threads) > costs * excess(column_parts(m), threads);
}

/* `items` of them, or as many as there are parts. */
static void run_items(struct lq_pool *pool, lq_pool_work *item, int items, int parts,
                      struct work *work)
{
    work->items = items < parts ? items : parts;
    lq_pool_run(pool, work->items, item, work);
}

static void run_columns(const struct lq_integer_map *m, struct lq_pool *pool, struct work *work)
{
    const struct lq_run *run = work->run;
    int threads = lq_pool_threads(pool);

    work->sums = (int32_t *)(void *)(run->scratch + m->sums_offset); /* the first worker's */
    run_items(pool, sum_columns, threads, column_parts(m), work);
    if (run->integers)
        memcpy(run->integers, work->sums,
               (size_t)m->map.height * row_sums(m) * sizeof(*run->integers));
    run_items(pool, finish_pixels, threads, m->map.height * m->map.width, work);
}

/* Every thread gets as many rows as any other, give or take one. A pool's bands are as long as
 * possible: two neighbours compute rows that both need twice. */
static void integer_map_run(const struct lq_step *step, const struct lq_run *run)
{
    const struct lq_integer_map *m = step->state;
    struct lq_pool *pool = m->macs < MIN_PARALLEL_MACS ? NULL : run->pool;
    int threads = lq_pool_threads(pool), items = threads;
    struct work work = {.step = step, .run = run};

    if (prefers_columns(m, threads)) {
        run_columns(m, pool, &work);
        return;
    }
    if (!m->pools)
        items = lq_ceil_div(lq_ceil_div(m->map.height, m->tile_rows), threads) * threads;
    run_items(pool, run_item, items, lq_ceil_div(m->out.height, m->row_step), &work);
}

int lq_integer_map_tile_rows(const struct lq_step_spec *spec, int row_step)
{
    struct lq_map map = lq_shape_map(&spec->own);
    int rows = lq_tile_rows(map.height, map.width).rows;

    rows = rows > row_step ? rows - rows % row_step : row_step;
    if (spec->pool) { /* whole windows: at least two rows of them where there are so many */
        const struct lq_window *w = spec->pool;
        int windows = rows > w->kernel_h ? (rows - w->kernel_h) / w->stride_h + 1 : 1;

        rows = w->kernel_h + w->stride_h * (windows > 2 ? windows - 1 : 1);
    }
    return rows < map.height ? rows : map.height;
}

int lq_integer_map_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                           const struct lq_integer_map_spec *map_spec, struct lq_step *ret_step,
                           struct lq_error *error)
{
    struct lq_integer_map *m = lq_arena_alloc(arena, 1, sizeof(*m));
    int status;

    if (!m)
        return lq_fail_memory(error);
    *m = (struct lq_integer_map){.map = lq_shape_map(&spec->own),
                                 .out = lq_shape_map(&spec->output.shape),
                                 .pools = spec->pool != NULL,
                                 .tile_rows = lq_integer_map_tile_rows(spec, map_spec->row_step),
                                 .row_step = spec->pool ? 1 : map_spec->row_step,
                                 .column_step = map_spec->column_step,
                                 .macs = lq_shape_elements(&spec->own) * map_spec->length,
                                 .sum_part = map_spec->sum_part,
                                 .code_rows = map_spec->code_rows,
                                 .state = map_spec->state,
                                 .kernels = *spec->kernels};
    if (spec->pool)
        m->pool = *spec->pool;
    status = lq_epilogue_init(&m->epilogue, arena, spec, &map_spec->sums, error);
    if (status != LQ_OK)
        return status;
    lq_step_init(ret_step, spec, integer_map_run);
    ret_step->state = m;
    ret_step->replaces = spec->adds && spec->keeps; /* pixel by pixel, what is read is written */
    m->sums_offset = lq_size_round_up(map_spec->row_bytes, LQ_ALIGNMENT);
    m->pooled_offset =
        m->sums_offset +
        lq_size_round_up((size_t)m->tile_rows * row_sums(m) * sizeof(int32_t), LQ_ALIGNMENT);
    ret_step->scratch_bytes = m->pooled_offset;
    if (m->pools)
        ret_step->scratch_bytes += lq_size_round_up(
            (size_t)m->out.width * (size_t)m->out.channels * sizeof(int32_t), LQ_ALIGNMENT);
    return LQ_OK;
}
