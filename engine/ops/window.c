/* window.c - the geometry of convolutions, and their unrolling into matrix rows (im2col).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/window.h"

#include <string.h>

void lq_conv_geometry_init(struct lq_conv_geometry *geometry, const struct lq_step_spec *spec)
{
    const struct lq_attributes *attributes = spec->attributes;
    struct lq_conv_geometry g = {.in = lq_shape_map(&spec->inputs[0].shape),
                                 .out = lq_shape_map(&spec->output.shape),
                                 .window = attributes->window,
                                 .groups = attributes->groups};

    if (g.window.kernel_h == 0) { /* dense */
        g.window = (struct lq_window){.kernel_h = 1,
                                      .kernel_w = 1,
                                      .stride_h = 1,
                                      .stride_w = 1,
                                      .dilation_h = 1,
                                      .dilation_w = 1};
        g.groups = 1;
        g.in = (struct lq_map){1, 1, (int)lq_shape_elements(&spec->inputs[0].shape)};
    }
    g.group_in = g.in.channels / g.groups;
    g.group_out = g.out.channels / g.groups;
    g.taps = g.window.kernel_h * g.window.kernel_w;
    g.length = g.taps * g.group_in;
    g.pointwise = g.taps == 1 && g.window.stride_h == 1 && g.window.stride_w == 1 &&
                  g.in.height == g.out.height && g.in.width == g.out.width &&
                  g.window.pad_top == 0 && g.window.pad_left == 0;
    g.tiling = lq_tile_rows(g.out.height, g.out.width);
    *geometry = g;
}

static void copy_parts(const struct lq_pixel_layout *layout, const uint8_t *pixel, size_t stride,
                       uint8_t *row)
{
    for (int part = 0; part < layout->parts; part++) {
        uint8_t *to = row + (size_t)part * stride;

        if (pixel)
            memcpy(to, pixel + layout->offset + (size_t)part * layout->part_stride,
                   layout->part_bytes);
        else
            memset(to, 0, layout->part_bytes);
    }
}

static void unroll_pixel(const struct lq_conv_geometry *g, const struct lq_pixel_layout *layout,
                         const uint8_t *input, int y, int x, uint8_t *row)
{
    size_t stride = (size_t)g->taps * layout->part_bytes;
    int top = y * g->window.stride_h - g->window.pad_top;
    int left = x * g->window.stride_w - g->window.pad_left;

    for (int i = 0; i < g->window.kernel_h; i++)
        for (int j = 0; j < g->window.kernel_w; j++, row += layout->part_bytes) {
            int from_y = top + i * g->window.dilation_h, from_x = left + j * g->window.dilation_w;
            const uint8_t *pixel = NULL;

            if (from_y >= 0 && from_y < g->in.height && from_x >= 0 && from_x < g->in.width)
                pixel = input + ((size_t)from_y * (size_t)g->in.width + (size_t)from_x) *
                                    layout->pixel_bytes;
            copy_parts(layout, pixel, stride, row);
        }
}

void lq_unroll(const struct lq_conv_geometry *geometry, const struct lq_pixel_layout *layout,
               const void *input, int first, int last, void *ret_rows)
{
    size_t row_bytes = (size_t)geometry->taps * layout->part_bytes * (size_t)layout->parts;
    uint8_t *row = ret_rows;

    for (int y = first; y < last; y++)
        for (int x = 0; x < geometry->out.width; x++, row += row_bytes)
            unroll_pixel(geometry, layout, input, y, x, row);
}
