/* integer_map.c - a layer's map of integer sums: rows of it are computed, pooled and finished.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/integer_map.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"

/* Waking another thread takes about as long as this many products: less stays on one thread. */
#define MIN_PARALLEL_MACS 400000

/* A layer of so many times more weights than inputs takes longer to read those (measured). */
#define MANY_WEIGHTS 16

struct work {
    const struct lq_step *step;
    const struct lq_run *run;
    int items;
    bool by_columns; /* what items are parts of: rows, or columns */
};

/* Computed rows of sums, of which a pool's next windows need some again. */
struct band {
    int32_t *sums;
    struct lq_columns columns;
    int from, to; /* rows of the map that are there */
};

static size_t row_sums(const struct lq_integer_map *m)
{
    return (size_t)m->map.width * (size_t)m->map.channels;
}

/* For who observes the run. */
static void keep_sums(const struct lq_integer_map *m, const struct lq_map_part *part,
                      const int32_t *sums, int32_t *integers)
{
    size_t channels = (size_t)m->map.channels, from = (size_t)part->columns.from;
    size_t bytes = (size_t)(part->columns.to - part->columns.from) * sizeof(*sums);
    int pixels = (part->last - part->first) * m->map.width;

    integers += (size_t)part->first * row_sums(m);
    for (int pixel = 0; pixel < pixels; pixel++, from += channels)
        memcpy(integers + from, sums + from, bytes);
}

static void sum_part(const struct lq_integer_map *m, const struct lq_run *run,
                     const struct lq_map_part *part, uint8_t *scratch, int32_t *sums)
{
    m->sum_part(m->state, run->inputs[0], part, scratch, sums);
    if (run->integers)
        keep_sums(m, part, sums, run->integers);
}

static void run_tile(const struct lq_integer_map *m, const struct work *work,
                     const struct lq_map_part *part, uint8_t *scratch)
{
    const struct lq_run *run = work->run;
    int32_t *sums = (int32_t *)(void *)(scratch + m->sums_offset);
    size_t before = (size_t)part->first * (size_t)m->map.width;
    const struct lq_encoder *encoder = &m->epilogue.encoder;

    if (m->code_rows && m->epilogue.by_sums && !run->integers &&
        m->code_rows(m->state, run->inputs[0], part->first, part->last, scratch, &encoder->encode,
                     (uint8_t *)run->output + before * encoder->pixel_bytes))
        return;
    sum_part(m, run, part, scratch, sums);
    lq_epilogue_run(&m->epilogue, run, part->columns, before, sums,
                    (part->last - part->first) * m->map.width);
}

static int clip(int at, int limit)
{
    return at < 0 ? 0 : at > limit ? limit : at;
}

/* Sees to it that rows from..to-1 are in the band; `end`: nobody needs more. */
static void extend(const struct lq_integer_map *m, const struct lq_run *run, struct band *band,
                   int from, int to, int end, uint8_t *scratch)
{
    int keep = band->to > from ? band->to - from : 0, room;
    struct lq_map_part part = {from + keep, end, band->columns};

    if (to <= band->to)
        return;
    memmove(band->sums, band->sums + (size_t)(from - band->from) * row_sums(m),
            (size_t)keep * row_sums(m) * sizeof(*band->sums));
    room = m->tile_rows - keep;
    part.last = part.first + room < end ? part.first + room : end;
    sum_part(m, run, &part, scratch, band->sums + (size_t)keep * row_sums(m));
    band->from = from;
    band->to = part.last;
}

/* Rows of what is stored. */
static void run_pooled(const struct lq_integer_map *m, const struct lq_run *run,
                       const struct lq_map_part *part, uint8_t *scratch)
{
    struct band band = {(int32_t *)(void *)(scratch + m->sums_offset), part->columns, 0, 0};
    int32_t *pooled = (int32_t *)(void *)(scratch + m->pooled_offset);
    int end = clip((part->last - 1) * m->pool.stride_h - m->pool.pad_top + m->pool.kernel_h,
                   m->map.height);
    struct lq_sums_pool pool = {.channels = m->map.channels,
                                .columns = part->columns,
                                .width = m->map.width,
                                .out_width = m->out.width,
                                .kernel = m->pool.kernel_w,
                                .stride = m->pool.stride_w,
                                .pad = m->pool.pad_left,
                                .line = row_sums(m),
                                .signs = m->epilogue.signs};

    for (int y = part->first; y < part->last; y++) {
        int start = y * m->pool.stride_h - m->pool.pad_top;
        int from = clip(start, m->map.height), to = clip(start + m->pool.kernel_h, m->map.height);

        extend(m, run, &band, from, to, end, scratch);
        pool.lines = to - from;
        m->kernels.pool_sums(&pool, band.sums + (size_t)(from - band.from) * row_sums(m), pooled);
        lq_epilogue_run(&m->epilogue, run, part->columns, (size_t)y * (size_t)m->out.width, pooled,
                        m->out.width);
    }
}

/* Item `item` of `items` of 0..end-1, cut at multiples of `step`. */
static void cut(int end, int step, int item, int items, int *ret_from, int *ret_to)
{
    int steps = lq_ceil_div(end, step);

    *ret_from = clip(lq_share_start(steps, item, items) * step, end);
    *ret_to = clip(lq_share_start(steps, item + 1, items) * step, end);
}

static void run_item(void *context, int item, int worker)
{
    const struct work *work = context;
    const struct lq_integer_map *m = work->step->state;
    uint8_t *scratch = work->run->scratch + (size_t)worker * work->run->scratch_pitch;
    struct lq_map_part part = {0, m->out.height, {0, m->map.channels}};

    if (work->by_columns)
        cut(m->map.channels, m->column_step, item, work->items, &part.columns.from,
            &part.columns.to);
    else
        cut(m->out.height, m->row_step, item, work->items, &part.first, &part.last);
    if (m->pools)
        run_pooled(m, work->run, &part, scratch);
    else
        run_tile(m, work, &part, scratch);
}

/* How much longer it takes than if all threads had the same share. */
static double excess(int parts, int threads)
{
    return (double)(lq_ceil_div(parts, threads) * threads) / parts;
}

/* Parts of columns need all of the input prepared each, parts of rows all of the weights. */
static bool prefers_columns(const struct lq_integer_map *m, int threads)
{
    const double costs = 1.05;
    int steps = lq_ceil_div(m->out.height, m->row_step);
    double columns;

    if (threads == 1 || m->column_step == 0 || m->tile_rows < m->map.height)
        return false;
    columns = excess(lq_ceil_div(m->map.channels, m->column_step), threads);
    return excess(steps, threads) >= (m->many_weights ? 1 : costs) * columns;
}

/* Every thread gets as much as any other, give or take a row or a step of columns. A pool's bands
 * are as long as possible: two neighbours compute rows that both need twice. */
static void integer_map_run(const struct lq_step *step, const struct lq_run *run)
{
    const struct lq_integer_map *m = step->state;
    struct lq_pool *pool = m->macs < MIN_PARALLEL_MACS ? NULL : run->pool;
    int threads = lq_pool_threads(pool), parts = lq_ceil_div(m->out.height, m->row_step);
    struct work work = {step, run, threads, prefers_columns(m, threads)};

    if (work.by_columns)
        parts = lq_ceil_div(m->map.channels, m->column_step);
    if (!work.by_columns && !m->pools)
        work.items = lq_ceil_div(lq_ceil_div(m->map.height, m->tile_rows), threads) * threads;
    work.items = work.items < parts ? work.items : parts;
    lq_pool_run(pool, work.items, run_item, &work);
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
    *m = (struct lq_integer_map){
        .map = lq_shape_map(&spec->own),
        .out = lq_shape_map(&spec->output.shape),
        .pools = spec->pool != NULL,
        .tile_rows = lq_integer_map_tile_rows(spec, map_spec->row_step),
        .row_step = spec->pool ? 1 : map_spec->row_step,
        .column_step = map_spec->column_step,
        .macs = lq_shape_elements(&spec->own) * map_spec->length,
        .many_weights = (int64_t)map_spec->length * lq_shape_map(&spec->own).channels >=
                        MANY_WEIGHTS * lq_shape_elements(&spec->inputs[0].shape),
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
