/* gradient_maps.c - derivatives of pools, and of operators that only move floats.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/gradient.h"

static float *pixel_at(float *map, struct lq_map size, int y, int x)
{
    return map + ((size_t)y * (size_t)size.width + (size_t)x) * (size_t)size.channels;
}

/* A window's part on the map: rows, columns; taps: what an average divides by. */
struct span {
    int y_from, y_to, x_from, x_to, taps;
};

static int clipped(int at, int low, int high)
{
    return at < low ? low : at > high ? high : at;
}

static struct span window_at(const struct lq_gradient *g, int y, int x)
{
    const struct lq_window *w = &g->attributes->window;
    struct lq_map in = lq_shape_map(&g->input_shapes[0]);
    int top = y * w->stride_h - w->pad_top, left = x * w->stride_w - w->pad_left;
    int bottom = top + w->kernel_h, right = left + w->kernel_w;
    struct span s = {clipped(top, 0, in.height), clipped(bottom, 0, in.height),
                     clipped(left, 0, in.width), clipped(right, 0, in.width), 0};

    s.taps = (s.y_to - s.y_from) * (s.x_to - s.x_from);
    if (g->attributes->count_include_pad)
        s.taps = (clipped(bottom, top, in.height + w->pad_bottom) - top) *
                 (clipped(right, left, in.width + w->pad_right) - left);
    return s;
}

void lq_max_pool_backward(const struct lq_gradient *g)
{
    struct lq_map in = lq_shape_map(&g->input_shapes[0]), out = lq_shape_map(&g->output_shape);

    for (int pixel = 0; g->d_inputs[0] && pixel < out.height * out.width; pixel++) {
        struct span s = window_at(g, pixel / out.width, pixel % out.width);

        for (int c = 0; c < out.channels; c++) {
            size_t at = (size_t)pixel * (size_t)out.channels + (size_t)c;
            bool found = false;

            for (int y = s.y_from; y < s.y_to && !found; y++)
                for (int x = s.x_from; x < s.x_to && !found; x++) {
                    found = pixel_at((float *)g->inputs[0], in, y, x)[c] == g->output[at];
                    if (found)
                        pixel_at(g->d_inputs[0], in, y, x)[c] += g->d_output[at];
                }
        }
    }
}

static void spread(const struct lq_gradient *g, const struct span *s, const float *d_output)
{
    struct lq_map in = lq_shape_map(&g->input_shapes[0]);

    for (int y = s->y_from; y < s->y_to; y++)
        for (int x = s->x_from; x < s->x_to; x++) {
            float *to = pixel_at(g->d_inputs[0], in, y, x);

            for (int c = 0; c < in.channels; c++)
                to[c] += d_output[c] / (float)s->taps;
        }
}

void lq_average_pool_backward(const struct lq_gradient *g)
{
    struct lq_map out = lq_shape_map(&g->output_shape);

    for (int pixel = 0; g->d_inputs[0] && pixel < out.height * out.width; pixel++) {
        struct span s = window_at(g, pixel / out.width, pixel % out.width);

        spread(g, &s, g->d_output + (size_t)pixel * (size_t)out.channels);
    }
}

void lq_global_average_pool_backward(const struct lq_gradient *g)
{
    struct lq_map in = lq_shape_map(&g->input_shapes[0]);
    struct span all = {0, in.height, 0, in.width, in.height * in.width};

    if (g->d_inputs[0])
        spread(g, &all, g->d_output);
}

void lq_concat_backward(const struct lq_gradient *g)
{
    int axis = g->attributes->axis;
    size_t outer = 1;
    const float *from = g->d_output;

    for (int i = 0; i < axis; i++)
        outer *= (size_t)g->output_shape.dims[i];
    for (size_t index = 0; index < outer; index++)
        for (int input = 0; input < g->input_count; input++) {
            size_t length = (size_t)lq_shape_elements(&g->input_shapes[input]) / outer;

            for (size_t i = 0; g->d_inputs[input] && i < length; i++)
                g->d_inputs[input][index * length + i] += from[i];
            from += length;
        }
}

void lq_pad_backward(const struct lq_gradient *g)
{
    const struct lq_attributes *a = g->attributes;
    struct lq_map in = lq_shape_map(&g->input_shapes[0]), out = lq_shape_map(&g->output_shape);

    for (int y = 0; g->d_inputs[0] && y < in.height; y++)
        for (int x = 0; x < in.width; x++) {
            const float *from =
                pixel_at((float *)g->d_output, out, y + a->before[0], x + a->before[1]) +
                a->before[2];
            float *to = pixel_at(g->d_inputs[0], in, y, x);

            for (int c = 0; c < in.channels; c++)
                to[c] += from[c];
        }
}

void lq_slice_backward(const struct lq_gradient *g)
{
    const struct lq_attributes *a = g->attributes;
    struct lq_map in = lq_shape_map(&g->input_shapes[0]), out = lq_shape_map(&g->output_shape);

    for (int y = 0; g->d_inputs[0] && y < out.height; y++)
        for (int x = 0; x < out.width; x++) {
            const float *from = pixel_at((float *)g->d_output, out, y, x);
            float *to = pixel_at(g->d_inputs[0], in, a->start[0] + y * a->step[0],
                                 a->start[1] + x * a->step[1]) +
                        a->start[2];

            for (int c = 0; c < out.channels; c++)
                to[(size_t)c * (size_t)a->step[2]] += from[c];
        }
}

/* Where in storage the element is that comes `index`-th when maps are read channel by channel. */
static size_t storage_index(const struct lq_shape *shape, size_t index)
{
    struct lq_map map = lq_shape_map(shape);
    size_t pixels = (size_t)map.height * (size_t)map.width;

    return shape->rank == 3 ? index % pixels * (size_t)map.channels + index / pixels : index;
}

void lq_reshape_backward(const struct lq_gradient *g)
{
    size_t elements = (size_t)lq_shape_elements(&g->output_shape);

    for (size_t i = 0; g->d_inputs[0] && i < elements; i++)
        g->d_inputs[0][storage_index(&g->input_shapes[0], i)] +=
            g->d_output[storage_index(&g->output_shape, i)];
}
