/* window.c - the geometry of convolutions, and their unrolling into matrix rows (im2col).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/window.h"

#include <stdbool.h>
#include <string.h>

void lq_conv_geometry_init(struct lq_conv_geometry *geometry, const struct lq_step_spec *spec)
{
    const struct lq_attributes *attributes = spec->attributes;
    struct lq_conv_geometry g = {.in = lq_shape_map(&spec->inputs[0].shape),
                                 .out = lq_shape_map(&spec->own),
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

/* Taps of one kernel row: those on the image are copied, together where they lie together. */
static void unroll_taps(const struct lq_conv_geometry *g, const struct lq_pixel_layout *layout,
                        const uint8_t *line, int left, uint8_t *row)
{
    const struct lq_window *w = &g->window;
    size_t part = layout->part_bytes;
    bool together = w->dilation_w == 1 && part == layout->pixel_bytes;

    if (together && left >= 0 && left + w->kernel_w <= g->in.width) {
        memcpy(row, line + (size_t)left * part, (size_t)w->kernel_w * part);
        return;
    }
    for (int j = 0; j < w->kernel_w; j++, row += part) {
        int x = left + j * w->dilation_w;

        if (x >= 0 && x < g->in.width)
            memcpy(row, line + (size_t)x * layout->pixel_bytes + layout->offset, part);
        else
            memset(row, 0, part);
    }
}

void lq_unroll(const struct lq_conv_geometry *geometry, const struct lq_pixel_layout *layout,
               const void *input, int first, int last, void *ret_rows)
{
    const struct lq_window *w = &geometry->window;
    size_t line_bytes = (size_t)geometry->in.width * layout->pixel_bytes;
    size_t taps_bytes = (size_t)w->kernel_w * layout->part_bytes;
    uint8_t *row = ret_rows;

    for (int y = first; y < last; y++)
        for (int x = 0; x < geometry->out.width; x++) {
            int left = x * w->stride_w - w->pad_left;

            for (int i = 0; i < w->kernel_h; i++, row += taps_bytes) {
                int from_y = y * w->stride_h - w->pad_top + i * w->dilation_h;

                if (from_y >= 0 && from_y < geometry->in.height)
                    unroll_taps(geometry, layout,
                                (const uint8_t *)input + (size_t)from_y * line_bytes, left, row);
                else
                    memset(row, 0, taps_bytes);
            }
        }
}

bool lq_windows_overlap(const struct lq_conv_geometry *geometry)
{
    const struct lq_window *w = &geometry->window;

    return geometry->groups == 1 && w->dilation_h == 1 && w->dilation_w == 1;
}

int lq_padded_width(const struct lq_conv_geometry *geometry)
{
    return (geometry->out.width - 1) * geometry->window.stride_w + geometry->window.kernel_w;
}

int lq_padded_lines(const struct lq_conv_geometry *geometry, int rows)
{
    return (rows - 1) * geometry->window.stride_h + geometry->window.kernel_h;
}

void lq_pad_lines(const struct lq_conv_geometry *geometry, size_t pixel_bytes, const void *input,
                  int first, int last, void *ret_lines)
{
    const struct lq_window *w = &geometry->window;
    int width = lq_padded_width(geometry), lines = lq_padded_lines(geometry, last - first);
    int left = w->pad_left < width ? w->pad_left : width, middle = width - left;
    uint8_t *to = ret_lines;

    if (middle > geometry->in.width)
        middle = geometry->in.width;
    for (int line = 0; line < lines; line++, to += (size_t)width * pixel_bytes) {
        int from_y = first * w->stride_h - w->pad_top + line;
        size_t left_bytes = (size_t)left * pixel_bytes, bytes = (size_t)middle * pixel_bytes;

        if (from_y < 0 || from_y >= geometry->in.height) {
            memset(to, 0, (size_t)width * pixel_bytes);
            continue;
        }
        memset(to, 0, left_bytes);
        memcpy(to + left_bytes,
               (const uint8_t *)input + (size_t)from_y * (size_t)geometry->in.width * pixel_bytes,
               bytes);
        memset(to + left_bytes + bytes, 0, (size_t)width * pixel_bytes - left_bytes - bytes);
    }
}
