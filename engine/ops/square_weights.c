/* square_weights.c - weights of 3x3 convolutions as kernels/squares.h takes them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/square_weights.h"

#include <stdlib.h>

#include "base/status.h"
#include "ops/weights.h"

enum { WIDE_POINTS = LQ_SQUARE * LQ_SQUARE };

/* All weights' points, [out channel][point][in channel]. */
struct source {
    size_t in, out;
    int16_t *points;
};

/* G of three. */
static inline void spread(const int16_t g[3], int16_t ret[LQ_SQUARE_PATCH])
{
    ret[0] = g[0];
    ret[1] = (int16_t)(g[0] + g[1] + g[2]);
    ret[2] = (int16_t)(g[0] - g[1] + g[2]);
    ret[3] = g[2];
}

/* Points of an output channel, G g G' for each input channel, from levels [tap][in channel]. */
static void transform(const int16_t *levels, size_t in, int16_t *ret_points)
{
    for (size_t c = 0; c < in; c++) {
        int16_t columns[3][LQ_SQUARE_PATCH];

        for (size_t x = 0; x < 3; x++)
            spread((int16_t[3]){levels[x * in + c], levels[(3 + x) * in + c],
                                levels[(6 + x) * in + c]},
                   columns[x]);
        for (int y = 0; y < LQ_SQUARE_PATCH; y++) {
            int16_t line[LQ_SQUARE_PATCH];

            spread((int16_t[3]){columns[0][y], columns[1][y], columns[2][y]}, line);
            for (int x = 0; x < LQ_SQUARE_PATCH; x++)
                ret_points[(size_t)lq_square_point(y, x) * in + c] = line[x];
        }
    }
}

static int transform_all(struct source *s, const struct lq_step_spec *spec,
                         const struct lq_conv_geometry *g, struct lq_error *error)
{
    int16_t *levels = lq_alloc((size_t)g->length, sizeof(*levels)); /* of a row */

    s->points = lq_alloc(s->out * s->in, LQ_SQUARE_POINTS * sizeof(*s->points));
    if (!levels || !s->points) {
        free(levels);
        return lq_fail_memory(error);
    }
    for (size_t row = 0; row < s->out; row++) {
        lq_weights_row(spec, g->out.channels, g->length, (int)row, levels);
        transform(levels, s->in, s->points + row * LQ_SQUARE_POINTS * s->in);
    }
    free(levels);
    return LQ_OK;
}

static int to_byte(int weight)
{
    return weight < -INT8_MAX ? -INT8_MAX : weight > INT8_MAX ? INT8_MAX : weight;
}

/* Bytes of all points: [column block][x][channel / 4][y][column][channel % 4]. */
static void pack(const struct source *s, int8_t *to)
{
    const int16_t *points = s->points;
    size_t words = s->in / 4, step = (size_t)LQ_SQUARE_PATCH * LQ_SQUARE_COLUMNS * 4;

    for (size_t row = 0; row < s->out; row++)
        for (size_t i = 0; i < LQ_SQUARE_POINTS; i++) {
            size_t column = row / LQ_SQUARE_COLUMNS * LQ_SQUARE_PATCH + i / LQ_SQUARE_PATCH;
            int8_t *word = to + column * words * step +
                           (i % LQ_SQUARE_PATCH * LQ_SQUARE_COLUMNS + row % LQ_SQUARE_COLUMNS) * 4;

            for (size_t k = 0; k < words; k++, word += step, points += 4)
                for (size_t c = 0; c < 4; c++)
                    word[c] = (int8_t)to_byte(points[c]);
        }
}

/* Enters what the channels first..last - 1 of a panel's point have beyond a byte into picks, or
 * only counts these, where it is NULL. */
static int pick_channels(const struct source *s, size_t panel, size_t point, size_t first,
                         size_t last, struct lq_square_pick *picks)
{
    size_t from = last >= LQ_PICK_CHANNELS ? last - LQ_PICK_CHANNELS : 0;
    int count = 0;

    for (size_t lane = 0; lane < LQ_SQUARE_LANES; lane++) {
        const int16_t *row =
            s->points + ((panel * LQ_SQUARE_LANES + lane) * LQ_SQUARE_POINTS + point) * s->in;
        int used = 0;

        for (size_t c = first; c < last; c++)
            for (int left = row[c], addend = to_byte(left); left != addend; used++) {
                left -= addend;
                addend = to_byte(left);
                if (!picks)
                    continue;
                picks[used / 4].channel = (int)from;
                picks[used / 4].places[lane][used % 4] = (uint8_t)(c - from);
                picks[used / 4].weights[lane][used % 4] = (int8_t)addend;
            }
        count = (used + 3) / 4 > count ? (used + 3) / 4 : count;
    }
    return count;
}

/* Of all panels; where the picks of each point start goes to ret_first. */
static int pick_all(const struct source *s, struct lq_square_pick *picks, int *ret_first)
{
    int count = 0;

    for (size_t panel = 0; panel < s->out / LQ_SQUARE_LANES; panel++)
        for (size_t i = 0; i < WIDE_POINTS; i++) {
            int point = lq_square_point(1 + (int)i / LQ_SQUARE, 1 + (int)i % LQ_SQUARE);

            *ret_first++ = count;
            for (size_t first = 0; first < s->in; first += LQ_PICK_CHANNELS) {
                size_t last = first + LQ_PICK_CHANNELS < s->in ? first + LQ_PICK_CHANNELS : s->in;

                count += pick_channels(s, panel, (size_t)point, first, last,
                                       picks ? picks + count : NULL);
            }
        }
    *ret_first = count;
    return count;
}

static int init_beyond(struct lq_square_picks *beyond, struct lq_arena *arena,
                       const struct source *s, struct lq_error *error)
{
    size_t starts = s->out / LQ_SQUARE_LANES * WIDE_POINTS + 1;
    int *first = lq_arena_alloc(arena, starts, sizeof(*first));
    struct lq_square_pick *picks;

    if (!first)
        return lq_fail_memory(error);
    picks = lq_arena_alloc(arena, (size_t)pick_all(s, NULL, first) + 1, sizeof(*picks));
    if (!picks)
        return lq_fail_memory(error);
    pick_all(s, picks, first);
    *beyond = (struct lq_square_picks){picks, first};
    return LQ_OK;
}

/* What the points' offsets add to four times the results: A' (offset * sums of weights) A. */
static void find_offsets(const int16_t *points, size_t in, int32_t ret_offsets[4])
{
    static const int a[LQ_SQUARE][LQ_SQUARE_PATCH] = {{2, 1, 1, 0}, {0, 1, -1, -2}};

    for (int i = 0; i < LQ_SQUARE * LQ_SQUARE; i++)
        ret_offsets[i] = 0;
    for (int x = 0; x < LQ_SQUARE_PATCH; x++)
        for (int y = 0; y < LQ_SQUARE_PATCH; y++, points += in) {
            int32_t sum = 0;

            for (size_t c = 0; c < in && !lq_square_point_is_sum(y, x); c++)
                sum += points[c];
            for (int i = 0; i < LQ_SQUARE * LQ_SQUARE; i++)
                ret_offsets[i] += a[i / LQ_SQUARE][y] * a[i % LQ_SQUARE][x] * LQ_POINT_OFFSET * sum;
        }
}

static int init(struct lq_square_weights *weights, struct lq_arena *arena, const struct source *s,
                struct lq_error *error)
{
    int32_t *offsets = lq_arena_alloc(arena, 4 * s->out, sizeof(*offsets));
    int8_t *points = lq_arena_alloc(arena, s->out * s->in, LQ_SQUARE_POINTS);

    if (!offsets || !points)
        return lq_fail_memory(error);
    weights->points = points;
    weights->offsets = offsets;
    pack(s, points);
    for (size_t row = 0; row < s->out; row++) {
        int32_t of_row[4];

        find_offsets(s->points + row * LQ_SQUARE_POINTS * s->in, s->in, of_row);
        for (size_t i = 0; i < 4; i++)
            offsets[i * s->out + row] = of_row[i];
    }
    return init_beyond(&weights->beyond, arena, s, error);
}

int lq_square_weights_init(struct lq_square_weights *weights, struct lq_arena *arena,
                           const struct lq_step_spec *spec, const struct lq_conv_geometry *geometry,
                           struct lq_error *error)
{
    struct source source = {(size_t)geometry->in.channels, (size_t)geometry->out.channels, NULL};
    int status = transform_all(&source, spec, geometry, error);

    if (status == LQ_OK)
        status = init(weights, arena, &source, error);
    free(source.points);
    return status;
}
