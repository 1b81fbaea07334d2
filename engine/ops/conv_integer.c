/* conv_integer.c - quantized convolutions and dense layers: integer sums, then the epilogue.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Five forms of the same sums (paper eq. 8): on integer levels, which is the definition, on levels
 * in bytes, on packed planes, and on codes in half words or nibbles. Which one it is follows from
 * how the input is stored. The windows of a line of output pixels are read where they lie in padded
 * input lines; only groups, dilation and odd sizes are unrolled into rows. Bytes may be multiplied
 * by squares or duos of results (ops/conv_squares.h, ops/conv_duos.h).
 */
#include <stdlib.h>

#include "base/status.h"
#include "ops/byte_weights.h"
#include "ops/conv_duos.h"
#include "ops/conv_squares.h"
#include "ops/integer_map.h"
#include "ops/weights.h"
#include "ops/window.h"
#include "tensor/bitplanes.h"

/* How windows become rows for the kernels. */
enum way {
    WAY_PIXELS,  /* a pixel of the input is a row */
    WAY_LINES,   /* windows overlap in padded lines */
    WAY_UNROLL,  /* each is copied */
    WAY_SQUARES, /* there are none: ops/conv_squares.h, */
    WAY_DUOS     /* ops/conv_duos.h */
};

struct state {
    struct lq_conv_geometry geometry;
    struct lq_pixel_layout layout; /* of the input; its offset is that of group 0 */
    enum lq_store store;           /* of the input: not floats */
    enum way way;
    struct lq_rows rows;         /* of activations, as the kernel gets them */
    int words;                   /* of one plane of a whole row, or of half words; 0: neither */
    struct lq_paneling paneling; /* of the weights: ops/weights.h */
    const int16_t *levels;       /* weights where the input is in levels, */
    const uint32_t *packed;      /* where it is in planes or half words, */
    const uint8_t *nibbles;      /* where it is in nibbles, with the chunk that they allow; */
    const uint16_t *pairs;       /* or NULL */
    const uint32_t *full;
    int chunk;
    const int32_t *w_basis; /* the basis of both, */
    const int32_t *start;   /* and of half words what the kernel asks for */
    int32_t a_basis[LQ_MAX_BITS];
    int a_bits, w_bits;
    struct lq_byte_weights bytes; /* where it is in bytes */
    struct lq_conv_squares squares;
    struct lq_conv_duos duos;
    struct lq_kernels kernels;
};

/* The product of these lines, without a place for the sums. */
static struct lq_nibbles nibbles_of(const struct state *s, int lines, const uint8_t *a)
{
    struct lq_nibbles nibbles = {.n = s->geometry.group_out,
                                 .rows = s->rows,
                                 .w_bits = s->w_bits,
                                 .chunk = s->chunk,
                                 .full = s->full,
                                 .a = a,
                                 .w = s->nibbles,
                                 .a_basis = s->a_basis,
                                 .w_basis = s->w_basis,
                                 .pairs = s->pairs};

    nibbles.rows.lines = lines;
    return nibbles;
}

/* The product of these columns, the first of which is that of a panel. */
static struct lq_halves halves_of(const struct state *s, struct lq_columns columns,
                                  const uint32_t *a)
{
    size_t before = (size_t)columns.from * (size_t)s->w_bits;

    return (struct lq_halves){.n = columns.to - columns.from,
                              .rows = s->rows,
                              .w_bits = s->w_bits,
                              .a = a,
                              .w = s->packed + before * (size_t)s->words,
                              .a_basis = s->a_basis,
                              .w_basis = s->w_basis + before,
                              .start = s->start + columns.from};
}

/* Columns from..to-1 of a group, as many lines as the part has rows. */
static void multiply(const struct state *s, int group, const struct lq_map_part *part,
                     const void *a, uint8_t *scratch, int32_t *sums)
{
    const struct lq_conv_geometry *g = &s->geometry;
    /* columns in the panels before */
    size_t before = lq_paneling_columns(&s->paneling) / (size_t)g->groups * (size_t)group +
                    (size_t)part->columns.from;
    size_t before_levels, stride = (size_t)g->out.channels;
    int columns = part->columns.to - part->columns.from;
    struct lq_rows rows = s->rows;

    rows.lines = part->last - part->first;
    sums += group * g->group_out + part->columns.from;
    before_levels = before * lq_paneling_length(&s->paneling, g->length);
    if (s->store == LQ_STORE_LEVELS) {
        s->kernels.gemm_levels(
            &(struct lq_levels){columns, rows, a, s->levels + before_levels, sums, stride});
        return;
    }
    if (s->store == LQ_STORE_BYTES) {
        struct lq_bytes bytes = {
            .n = columns, .rows = rows, .a = a, .sums = sums, .stride = stride};

        lq_byte_weights_multiply(&s->bytes, group, part->columns.from, &bytes, scratch);
        return;
    }
    if (s->store == LQ_STORE_NIBBLES) { /* no groups: graph/store.c; nor parts */
        struct lq_nibbles nibbles = nibbles_of(s, rows.lines, a);

        nibbles.sums = sums;
        nibbles.stride = stride;
        s->kernels.gemm_nibbles(&nibbles);
        return;
    }
    if (s->store == LQ_STORE_HALVES) { /* no groups here, either */
        struct lq_halves halves = halves_of(s, part->columns, a);

        halves.rows = rows;
        halves.sums = sums;
        halves.stride = stride;
        s->kernels.gemm_halves(&halves);
        return;
    }
    s->kernels.gemm_planes(&(struct lq_planes){
        .n = columns,
        .rows = rows,
        .a_bits = s->a_bits,
        .w_bits = s->w_bits,
        .a = a,
        .w = s->packed + before * (size_t)s->w_bits * (size_t)s->words,
        .a_basis = s->a_basis,
        .w_basis = s->w_basis + before * (size_t)s->w_bits,
        .sums = sums,
        .stride = stride,
    });
}

static void sum_part(const void *state, const void *input, const struct lq_map_part *part,
                     uint8_t *scratch, int32_t *sums)
{
    const struct state *s = state;
    const struct lq_conv_geometry *g = &s->geometry;
    struct lq_pixel_layout layout = s->layout;
    size_t width = (size_t)g->out.width;
    uint8_t *panels = scratch;

    scratch += s->bytes.scratch_bytes;
    if (s->way == WAY_SQUARES) {
        lq_conv_squares_run(&s->squares, input, part, scratch, sums);
    } else if (s->way == WAY_DUOS) {
        lq_conv_duos_run(&s->duos, input, part, scratch, sums);
    } else if (s->way == WAY_PIXELS) {
        multiply(s, 0, part,
                 (const uint8_t *)input + (size_t)part->first * width * layout.pixel_bytes, panels,
                 sums);
    } else if (s->way == WAY_LINES) {
        lq_pad_lines(g, layout.pixel_bytes, input, part->first, part->last, scratch);
        multiply(s, 0, part, scratch, panels, sums);
    } else {
        struct lq_map_part of_group = *part;

        if (g->groups > 1)
            of_group.columns = (struct lq_columns){0, g->group_out};
        for (int group = 0; group < g->groups; group++) {
            layout.offset = (size_t)group * layout.part_bytes;
            lq_unroll(g, &layout, input, part->first, part->last, scratch);
            multiply(s, group, &of_group, scratch, panels, sums);
        }
    }
}

/* Columns that sum_part can be asked for without the others; 0: none. */
static int column_step(const struct state *s)
{
    return s->geometry.groups > 1 || s->store == LQ_STORE_NIBBLES ? 0 : LQ_SQUARE_COLUMNS;
}

_Static_assert(LQ_SQUARE_COLUMNS % LQ_MAX_LANES == 0 && LQ_SQUARE_COLUMNS % LQ_COLUMN_STEP == 0,
               "parts of columns are whole panels, and whole words of codes");

static bool code_rows(const void *state, const void *input, int first, int last, uint8_t *scratch,
                      const struct lq_encode *encode, uint8_t *ret_codes)
{
    const struct state *s = state;
    struct lq_nibbles nibbles = nibbles_of(s, last - first, scratch);

    lq_pad_lines(&s->geometry, s->layout.pixel_bytes, input, first, last, scratch);
    return s->kernels.encode_nibbles(&nibbles, encode, ret_codes);
}

/* Elements along k that kernels take together. */
static int depth_of(enum lq_store store)
{
    switch (store) {
    case LQ_STORE_BYTES:
        return 4;
    case LQ_STORE_LEVELS:
        return 2;
    default:
        return 1;
    }
}

static int init_nibbles(struct state *s, struct lq_arena *arena, const struct lq_step_spec *spec,
                        struct lq_error *error)
{
    const struct lq_conv_geometry *g = &s->geometry;
    size_t plane = lq_paneling_columns(&s->paneling) * (size_t)s->w_bits;
    size_t length = (size_t)g->taps * lq_nibble_bytes(g->group_in);
    int32_t *basis = lq_arena_alloc(arena, plane, sizeof(*basis));
    uint8_t *nibbles = lq_arena_alloc(arena, plane, length);
    uint16_t *pairs;
    uint32_t *full;

    if (!basis || !nibbles)
        return lq_fail_memory(error);
    s->w_basis = basis;
    s->nibbles = nibbles;
    lq_weights_basis(spec, &s->paneling, basis);
    if (lq_weights_nibbles(spec, &s->paneling, g->taps, g->group_in, nibbles, &s->chunk) != LQ_OK)
        return lq_fail_memory(error);
    full = lq_arena_alloc(arena, plane / (size_t)s->paneling.lanes,
                          (size_t)lq_nibble_chunks((int)length, s->chunk) * sizeof(*full));
    if (!full)
        return lq_fail_memory(error);
    s->full = full;
    lq_weights_full(&s->paneling, s->w_bits, (int)length, s->rows.run, s->chunk, nibbles, full);
    if (g->group_out * s->w_bits > s->kernels.pair_columns || g->taps == 1)
        return LQ_OK;
    pairs = lq_arena_alloc(arena, ((size_t)(g->group_out * s->w_bits) + 1) / 2 * length,
                           sizeof(*pairs));
    if (!pairs)
        return lq_fail_memory(error);
    s->pairs = pairs;
    lq_weights_pairs(&s->paneling, s->w_bits, (int)length, nibbles, pairs);
    return LQ_OK;
}

static int init_halves(struct state *s, struct lq_arena *arena, const struct lq_step_spec *spec,
                       uint32_t *packed, struct lq_error *error)
{
    const struct lq_conv_geometry *g = &s->geometry;
    int32_t *start = lq_arena_alloc(arena, lq_paneling_columns(&s->paneling), sizeof(*start));
    int status = start ? lq_weights_halves(spec, &s->paneling, g->taps, g->group_in, packed, error)
                       : lq_fail_memory(error);
    struct lq_halves halves;

    if (status != LQ_OK)
        return status;
    s->start = start;
    halves = halves_of(s, (struct lq_columns){0, g->group_out}, NULL);
    lq_halves_start(&halves, s->paneling.lanes, start);
    return LQ_OK;
}

/* Or half words. */
static int init_planes(struct state *s, struct lq_arena *arena, const struct lq_step_spec *spec,
                       struct lq_error *error)
{
    const struct lq_conv_geometry *g = &s->geometry;
    size_t plane = lq_paneling_columns(&s->paneling) * (size_t)s->w_bits;
    int32_t *basis = lq_arena_alloc(arena, plane, sizeof(*basis));
    uint32_t *packed = lq_arena_alloc(arena, plane * (size_t)s->words, sizeof(*packed));

    if (!basis || !packed)
        return lq_fail_memory(error);
    s->w_basis = basis;
    s->packed = packed;
    lq_weights_basis(spec, &s->paneling, basis);
    if (s->store == LQ_STORE_HALVES)
        return init_halves(s, arena, spec, packed, error);
    return lq_weights_planes(spec, &s->paneling, g->taps, g->group_in, packed, error);
}

static int init_weights(struct state *s, struct lq_arena *arena, const struct lq_step_spec *spec,
                        struct lq_error *error)
{
    const struct lq_conv_geometry *g = &s->geometry;
    const struct lq_kernels *kernels = &s->kernels;
    int16_t *levels;

    if (s->way == WAY_SQUARES)
        return lq_conv_squares_init(&s->squares, arena, spec, g, error);
    if (s->way == WAY_DUOS)
        return lq_conv_duos_init(&s->duos, arena, spec, g, error);
    s->paneling = (struct lq_paneling){.groups = g->groups, .columns = g->group_out};
    s->paneling.lanes = s->store == LQ_STORE_PLANES    ? kernels->planes_lanes
                        : s->store == LQ_STORE_HALVES  ? kernels->halves_lanes
                        : s->store == LQ_STORE_NIBBLES ? kernels->nibbles_lanes
                        : s->store == LQ_STORE_BYTES   ? kernels->bytes_lanes
                                                       : kernels->levels_lanes;
    s->paneling.depth = depth_of(s->store);
    if (s->store == LQ_STORE_PLANES || s->store == LQ_STORE_HALVES)
        return init_planes(s, arena, spec, error);
    if (s->store == LQ_STORE_NIBBLES)
        return init_nibbles(s, arena, spec, error);
    if (s->store == LQ_STORE_BYTES)
        return lq_byte_weights_init(&s->bytes, arena, spec, &s->paneling, g->length, s->rows.run,
                                    error);
    levels = lq_arena_alloc(arena, lq_paneling_columns(&s->paneling),
                            lq_paneling_length(&s->paneling, g->length) * sizeof(*levels));
    s->levels = levels;
    if (!levels)
        return lq_fail_memory(error);
    lq_weights_levels(spec, &s->paneling, g->length, levels);
    return LQ_OK;
}

static void init_layout(struct state *s, const struct lq_step_spec *spec)
{
    const struct lq_conv_geometry *g = &s->geometry;

    if (s->store == LQ_STORE_PLANES) {
        size_t word_bytes = (size_t)s->a_bits * sizeof(uint32_t);

        s->words = g->taps * lq_plane_words(g->group_in);
        s->layout = (struct lq_pixel_layout){
            .pixel_bytes = (size_t)lq_plane_words(g->in.channels) * word_bytes,
            .part_bytes = (size_t)lq_plane_words(g->group_in) * word_bytes};
    } else if (s->store == LQ_STORE_HALVES) {
        size_t bytes = lq_half_words(g->in.channels) * sizeof(uint32_t);

        s->words = g->taps * (int)lq_half_words(g->group_in);
        s->layout = (struct lq_pixel_layout){.pixel_bytes = bytes, .part_bytes = bytes};
    } else if (s->store == LQ_STORE_NIBBLES) {
        size_t bytes = lq_nibble_bytes(g->in.channels);

        s->layout = (struct lq_pixel_layout){.pixel_bytes = bytes, .part_bytes = bytes};
    } else {
        size_t size = s->store == LQ_STORE_BYTES ? sizeof(uint8_t) : sizeof(int16_t);

        s->layout = (struct lq_pixel_layout){.pixel_bytes = (size_t)g->in.channels * size,
                                             .part_bytes = (size_t)g->group_in * size};
    }
    for (int bit = 0; bit < s->a_bits; bit++)
        s->a_basis[bit] = spec->input_basis->integers[bit];
}

/* Bytes of an element of struct lq_rows. */
static size_t element_bytes(enum lq_store store)
{
    switch (store) {
    case LQ_STORE_PLANES:
    case LQ_STORE_HALVES:
        return sizeof(uint32_t);
    case LQ_STORE_LEVELS:
        return sizeof(int16_t);
    default:
        return sizeof(uint8_t);
    }
}

static void init_rows(struct state *s, const struct lq_step_spec *spec)
{
    const struct lq_conv_geometry *g = &s->geometry;
    bool planes = s->store == LQ_STORE_PLANES, bytes = s->store == LQ_STORE_BYTES;
    int top = lq_snapped_largest(spec->input_basis);
    size_t pixel = s->layout.pixel_bytes / element_bytes(s->store);
    int length = s->words > 0                   ? s->words
                 : s->store == LQ_STORE_NIBBLES ? g->taps * (int)lq_nibble_bytes(g->group_in)
                                                : g->length;
    int run = length / g->window.kernel_h;

    s->way = WAY_UNROLL;
    s->rows = (struct lq_rows){.width = g->out.width, .runs = 1, .run = length};
    s->rows.step = (size_t)length * (planes ? (size_t)s->a_bits : 1);
    s->rows.line = s->rows.step * (size_t)g->out.width;
    if (bytes && lq_squares_pay(&s->kernels, spec->attributes, g->in, top)) {
        s->way = WAY_SQUARES;
    } else if (bytes && lq_duos_pay(&s->kernels, spec->attributes, g->in, top)) {
        s->way = WAY_DUOS;
    } else if (g->groups == 1 && g->pointwise) {
        s->way = WAY_PIXELS;
    } else if (lq_windows_overlap(g) && run % depth_of(s->store) == 0) {
        size_t line = (size_t)lq_padded_width(g) * pixel;

        s->way = WAY_LINES;
        s->rows = (struct lq_rows){.width = g->out.width,
                                   .runs = g->window.kernel_h,
                                   .run = run,
                                   .line = (size_t)g->window.stride_h * line,
                                   .step = (size_t)g->window.stride_w * pixel,
                                   .gap = line};
    }
}

/* Of the rows or lines that so many rows of the map are computed from. */
static size_t rows_bytes(const struct state *s, int rows)
{
    const struct lq_conv_geometry *g = &s->geometry;
    size_t tile_pixels = (size_t)rows * (size_t)g->out.width;

    if (s->way == WAY_PIXELS)
        return 0;
    if (s->way == WAY_SQUARES)
        return lq_conv_squares_bytes(&s->squares, rows);
    if (s->way == WAY_DUOS)
        return lq_conv_duos_bytes(&s->duos, rows);
    if (s->way == WAY_UNROLL)
        return tile_pixels * s->rows.step * element_bytes(s->store);
    return (size_t)lq_padded_lines(g, rows) * (size_t)lq_padded_width(g) * s->layout.pixel_bytes;
}

/* Largest magnitude of a sum: every product at the ends of both grids. */
static int32_t sum_bound(const struct lq_conv_geometry *g, const struct lq_step_spec *spec)
{
    return (int32_t)((int64_t)g->length * spec->attributes->grid * spec->input_basis->grid);
}

static int prepare_map(const struct state *s, struct lq_arena *arena,
                       const struct lq_step_spec *spec, struct lq_step *ret_step,
                       struct lq_error *error)
{
    int channels = s->geometry.out.channels, status;
    int row_step = s->way == WAY_SQUARES ? LQ_SQUARE : 1;
    size_t scratch = rows_bytes(s, lq_integer_map_tile_rows(spec, row_step));
    const float *w_scale = spec->params[LQ_PARAM_SCALE]->data;
    double *scale = lq_alloc((size_t)channels, sizeof(*scale));
    struct lq_integer_map_spec map = {.sums = {scale, NULL, sum_bound(&s->geometry, spec)},
                                      .length = s->geometry.length,
                                      .row_step = row_step,
                                      .column_step = column_step(s),
                                      .row_bytes = s->bytes.scratch_bytes + scratch,
                                      .sum_part = sum_part,
                                      .state = s};

    if (!scale)
        return lq_fail_memory(error);
    if (s->pairs && s->way == WAY_LINES && s->kernels.encode_nibbles)
        map.code_rows = code_rows;
    for (int c = 0; c < channels; c++)
        scale[c] = (double)w_scale[c] * (double)spec->input_basis->scale;
    status = lq_integer_map_prepare(arena, spec, &map, ret_step, error);
    free(scale);
    return status;
}

int lq_conv_integer_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                            struct lq_step *ret_step, struct lq_error *error)
{
    struct state *s = lq_arena_alloc(arena, 1, sizeof(*s));
    int status;

    if (!s)
        return lq_fail_memory(error);
    lq_conv_geometry_init(&s->geometry, spec);
    s->store = spec->inputs[0].store;
    s->a_bits = spec->input_basis->bits;
    s->w_bits = spec->attributes->bits;
    s->kernels = *spec->kernels;
    init_layout(s, spec);
    init_rows(s, spec);
    status = init_weights(s, arena, spec, error);
    if (status == LQ_OK)
        status = prepare_map(s, arena, spec, ret_step, error);
    if (status != LQ_OK)
        return status;
    ret_step->integer = spec->pool == NULL; /* a pool overlooks some sums, or sees them twice */
    return LQ_OK;
}
