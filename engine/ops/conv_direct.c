/* conv_direct.c - float convolutions of training, tap by tap.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * All three directions are made of windows of elements that lie in runs (kernels/kernels.h). Where
 * windows reach over the border, a piece of the map is first copied into lines with zeros around
 * it, which fits L2. The gradient of the input is a convolution of d_y: input pixel p = first +
 * stride * i gets w[k] from output pixel o where p = stride * o - pad + dilation * k, so that for
 * each of the `stride` phases `first` the taps k that leave no remainder form a convolution of
 * their own with stride 1, and with the taps in descending order.
 */
#include <string.h>

#include "base/arena.h"
#include "base/size.h"
#include "ops/conv_method.h"

enum { WINDOW_BYTES = 96 * 1024 }; /* of a piece of a padded map: a fifth of the smallest L2 */

/* One axis of a convolution, or of one phase of a transposed one: result first + out_step * i reads
 * source in_step * i + offset + gap * t with tap kernel_first + kernel_step * t, t = 0..taps-1. */
struct axis {
    int count, first, out_step;
    int in_step, offset, gap, taps;
    int kernel_first, kernel_step;
};

struct axis_shape {
    int in, out, kernel, stride, dilation, pad;
};

static struct axis_shape axis_shape(const struct lq_conv_geometry *g, bool vertical)
{
    const struct lq_window *w = &g->window;

    return vertical ? (struct axis_shape){g->in.height, g->out.height, w->kernel_h,
                                          w->stride_h,  w->dilation_h, w->pad_top}
                    : (struct axis_shape){g->in.width, g->out.width,  w->kernel_w,
                                          w->stride_w, w->dilation_w, w->pad_left};
}

static struct axis forward_axis(const struct axis_shape *s)
{
    return (struct axis){.count = s->out,
                         .out_step = 1,
                         .in_step = s->stride,
                         .offset = -s->pad,
                         .gap = s->dilation,
                         .taps = s->kernel,
                         .kernel_step = 1};
}

/* No taps: none falls on this phase. */
static struct axis backward_axis(const struct axis_shape *s, int phase)
{
    struct axis axis = {.count = (s->in - phase + s->stride - 1) / s->stride,
                        .first = phase,
                        .out_step = s->stride,
                        .in_step = 1,
                        .gap = 1};
    int last = 0;

    for (int k = s->kernel - 1; k >= 0; k--) {
        if ((phase + s->pad - k * s->dilation) % s->stride != 0)
            continue;
        if (axis.taps == 0) {
            axis.kernel_first = k;
            axis.offset = (phase + s->pad - k * s->dilation) / s->stride;
        } else if (axis.taps == 1) {
            axis.gap = (last - k) * s->dilation / s->stride;
            axis.kernel_step = k - last;
        }
        axis.taps++;
        last = k;
    }
    return axis;
}

/* A direction of a layer: maps by group, and how it is cut. */
struct pass {
    const struct lq_conv_train *conv;
    bool backward; /* from d_y to d_x */
    struct lq_map from, to;
    int group_from, group_to; /* channels of one group */
    int phases_h, phases_w;
    int low_y, low_x; /* the first source line and column, relative to in_step * i, of any phase */
    int high_y, high_x;
    int in_step_h, count_h; /* lines of results, of the first phase */
    int window_width;
    bool direct;          /* windows lie inside the map: no copy */
    int images, lines;    /* of a piece */
    size_t window_bytes;  /* of a piece's copy */
    size_t weights_bytes; /* packed, of all groups */
};

static struct axis pass_axis(const struct pass *pass, bool vertical, int phase)
{
    struct axis_shape shape = axis_shape(&pass->conv->geometry, vertical);

    return pass->backward ? backward_axis(&shape, phase) : forward_axis(&shape);
}

static void find_extent(const struct pass *pass, bool vertical, int *ret_low, int *ret_high)
{
    int phases = vertical ? pass->phases_h : pass->phases_w;
    int low = 0, high = -1;

    for (int phase = 0; phase < phases; phase++) {
        struct axis axis = pass_axis(pass, vertical, phase);
        int last = axis.offset + (axis.taps - 1) * axis.gap;

        if (axis.taps == 0)
            continue;
        low = high < low || axis.offset < low ? axis.offset : low;
        high = high < low || last > high ? last : high;
    }
    *ret_low = low;
    *ret_high = high < low ? low : high;
}

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* Lines of the source that `lines` lines of results see. */
static int window_lines(const struct pass *pass, int lines)
{
    return (lines - 1) * pass->in_step_h + pass->high_y - pass->low_y + 1;
}

static void cut(struct pass *pass)
{
    int batch = pass->conv->batch;
    size_t line = (size_t)pass->window_width * (size_t)pass->group_from * sizeof(float);
    size_t image = line * (size_t)window_lines(pass, pass->count_h);

    pass->images = 1;
    pass->lines = pass->count_h;
    if (image > 2 * (size_t)WINDOW_BYTES) {
        int fit = (int)(WINDOW_BYTES / line) - (pass->high_y - pass->low_y);

        pass->lines = clamp(fit / pass->in_step_h, 1, pass->count_h);
        if (pass->lines > 4)
            pass->lines -= pass->lines % 4;
    } else {
        pass->images = clamp((int)(WINDOW_BYTES / image), 1, batch);
    }
    pass->window_bytes = pass->direct
                             ? 0
                             : lq_size_round_up((size_t)pass->images * line *
                                                    (size_t)window_lines(pass, pass->lines),
                                                LQ_ALIGNMENT);
}

static struct pass make_pass(const struct lq_conv_train *conv, bool backward)
{
    const struct lq_conv_geometry *g = &conv->geometry;
    struct pass pass = {.conv = conv,
                        .backward = backward,
                        .from = backward ? g->out : g->in,
                        .to = backward ? g->in : g->out,
                        .group_from = backward ? g->group_out : g->group_in,
                        .group_to = backward ? g->group_in : g->group_out,
                        .phases_h = backward ? clamp(g->window.stride_h, 1, g->in.height) : 1,
                        .phases_w = backward ? clamp(g->window.stride_w, 1, g->in.width) : 1};
    struct axis y = pass_axis(&pass, true, 0), x = pass_axis(&pass, false, 0);

    find_extent(&pass, true, &pass.low_y, &pass.high_y);
    find_extent(&pass, false, &pass.low_x, &pass.high_x);
    pass.in_step_h = y.in_step;
    pass.count_h = y.count;
    int last_x = x.in_step * (x.count - 1) + pass.high_x;
    int last_y = y.in_step * (y.count - 1) + pass.high_y;
    pass.window_width = last_x - pass.low_x + 1;
    pass.direct =
        pass.low_x >= 0 && pass.low_y >= 0 && last_x < pass.from.width && last_y < pass.from.height;
    pass.weights_bytes = (size_t)g->groups * (size_t)g->taps * (size_t)pass.group_from *
                         (size_t)lq_panels(pass.group_to, LQ_FLOAT_LANES) * LQ_FLOAT_LANES *
                         sizeof(float);
    cut(&pass);
    return pass;
}

/* A piece of the source map: images, lines and columns (negative, or beyond: zeros), and the
 * channels of one group. */
struct piece {
    int image, images, line, lines; /* of results, in the first phase's count */
    int group;
};

static void copy_line(const struct pass *pass, const float *line, float *to)
{
    size_t part = (size_t)pass->group_from, pixel = (size_t)pass->from.channels;
    int left = clamp(-pass->low_x, 0, pass->window_width);
    int first = pass->low_x > 0 ? pass->low_x : 0;
    int middle = clamp(pass->from.width - first, 0, pass->window_width - left);

    memset(to, 0, (size_t)left * part * sizeof(float));
    to += (size_t)left * part;
    line += (size_t)first * pixel;
    if (part == pixel)
        memcpy(to, line, (size_t)middle * part * sizeof(float));
    else
        for (int x = 0; x < middle; x++)
            memcpy(to + (size_t)x * part, line + (size_t)x * pixel, part * sizeof(float));
    to += (size_t)middle * part;
    memset(to, 0, (size_t)(pass->window_width - left - middle) * part * sizeof(float));
}

/* Copies a piece with its border: [images][window_lines][window_width][group_from]. */
static void copy_windows(const struct pass *pass, const struct piece *piece, const float *map,
                         float *to)
{
    size_t line_floats = (size_t)pass->from.width * (size_t)pass->from.channels;
    size_t to_line = (size_t)pass->window_width * (size_t)pass->group_from;
    int lines = window_lines(pass, piece->lines);
    int first = piece->line * pass->in_step_h + pass->low_y;

    map += (size_t)(piece->group * pass->group_from);
    for (int image = piece->image; image < piece->image + piece->images; image++)
        for (int y = first; y < first + lines; y++, to += to_line) {
            size_t line = (size_t)image * (size_t)pass->from.height + (size_t)y;

            if (y >= 0 && y < pass->from.height)
                copy_line(pass, map + line * line_floats, to);
            else
                memset(to, 0, to_line * sizeof(float));
        }
}

/* Lines, and then images, that follow each other as pixels do become one line. */
static void fold(struct lq_windows *w)
{
    size_t width = (size_t)w->width, height = (size_t)w->height;

    if (height > 1 && (w->a_line != width * w->a_step || w->y_line != width * w->y_step))
        return;
    if (w->images > 1 &&
        (w->a_image != height * width * w->a_step || w->y_image != height * width * w->y_step)) {
        w->width *= w->height;
        w->height = 1;
        return;
    }
    w->width *= w->height * w->images;
    w->height = w->images = 1;
}

/* Windows of a piece in one phase, over its copy, or over the map itself; *ret_at is where the
 * results' first pixel is. */
static struct lq_windows make_windows(const struct pass *pass, const struct piece *piece,
                                      const struct axis *y, const struct axis *x, const float *map,
                                      const float *copy, size_t *ret_at)
{
    size_t pixel = (size_t)(pass->direct ? pass->from.channels : pass->group_from);
    size_t line = pixel * (size_t)(pass->direct ? pass->from.width : pass->window_width);
    size_t lines = (size_t)(pass->direct ? pass->from.height : window_lines(pass, piece->lines));
    size_t to_pixel = (size_t)pass->to.channels, to_line = to_pixel * (size_t)pass->to.width;
    int count = clamp(y->count - piece->line, 0, piece->lines);
    struct lq_windows w = {.images = piece->images,
                           .height = count,
                           .width = x->count,
                           .taps_h = y->taps,
                           .taps_w = x->taps,
                           .run = pass->group_from,
                           .a_image = lines * line,
                           .a_line = (size_t)y->in_step * line,
                           .a_step = (size_t)x->in_step * pixel,
                           .tap_line = (size_t)y->gap * line,
                           .tap_step = (size_t)x->gap * pixel,
                           .y_image = to_line * (size_t)pass->to.height,
                           .y_line = to_line * (size_t)y->out_step,
                           .y_step = to_pixel * (size_t)x->out_step,
                           .n = pass->group_to};

    w.a = pass->direct ? map + (size_t)piece->image * w.a_image + (size_t)piece->line * w.a_line +
                             (size_t)y->offset * line + (size_t)x->offset * pixel +
                             (size_t)(piece->group * pass->group_from)
                       : copy + (size_t)(y->offset - pass->low_y) * line +
                             (size_t)(x->offset - pass->low_x) * pixel;
    *ret_at = (size_t)piece->image * w.y_image + (size_t)piece->line * w.y_line +
              (size_t)y->first * to_line + (size_t)x->first * to_pixel +
              (size_t)(piece->group * pass->group_to);
    if (w.tap_step == (size_t)w.run) {
        w.run *= w.taps_w;
        w.taps_w = 1;
    }
    if (count > 0)
        fold(&w);
    return w;
}

/* Floats of the packed weights of one phase and group. */
static size_t packed_floats(const struct pass *pass, const struct axis *y, const struct axis *x)
{
    return (size_t)y->taps * (size_t)x->taps * (size_t)pass->group_from *
           (size_t)lq_panels(pass->group_to, LQ_FLOAT_LANES) * LQ_FLOAT_LANES;
}

/* w[to][tap][from], or in the backward pass w[from][tap][to], of one panel: its taps in order. */
static void pack_panel(const struct pass *pass, const struct axis *y, const struct axis *x,
                       const float *w, int n, float *to)
{
    const struct lq_conv_geometry *g = &pass->conv->geometry;
    int columns = clamp(pass->group_to - n, 0, LQ_FLOAT_LANES);
    size_t from_stride = pass->backward ? (size_t)g->length : 1;
    size_t to_stride = pass->backward ? 1 : (size_t)g->length;

    for (int i = 0; i < y->taps; i++)
        for (int j = 0; j < x->taps; j++) {
            int tap = (y->kernel_first + y->kernel_step * i) * g->window.kernel_w +
                      x->kernel_first + x->kernel_step * j;
            const float *at = w + (size_t)tap * (size_t)g->group_in + (size_t)n * to_stride;

            for (int c = 0; c < pass->group_from; c++, at += from_stride, to += LQ_FLOAT_LANES) {
                for (int col = 0; col < columns; col++)
                    to[col] = at[(size_t)col * to_stride];
                for (int col = columns; col < LQ_FLOAT_LANES; col++)
                    to[col] = 0;
            }
        }
}

/* Results that no tap reaches. */
static void clear_pixels(const struct lq_windows *w, float *to)
{
    for (int image = 0; image < w->images; image++)
        for (int y = 0; y < w->height; y++)
            for (int x = 0; x < w->width; x++)
                memset(to + (size_t)image * w->y_image + (size_t)y * w->y_line +
                           (size_t)x * w->y_step,
                       0, (size_t)w->n * sizeof(float));
}

/* Floats of the packed weights of one group. */
static size_t group_floats(const struct pass *pass)
{
    return pass->weights_bytes / sizeof(float) / (size_t)pass->conv->geometry.groups;
}

static size_t direct_packed_floats(const struct lq_conv_train *conv, bool backward)
{
    return make_pass(conv, backward).weights_bytes / sizeof(float);
}

/* Phase after phase: [panels][k][LQ_FLOAT_LANES]. */
static void direct_pack(const struct lq_conv_train *conv, bool backward, const float *w, int item,
                        float *packed)
{
    struct pass pass = make_pass(conv, backward);
    const struct lq_conv_geometry *g = &conv->geometry;
    int panels = lq_panels(pass.group_to, LQ_FLOAT_LANES);
    int group = item / panels, panel = item % panels;

    w += (size_t)(group * g->group_out) * (size_t)g->length;
    packed += (size_t)group * group_floats(&pass);
    for (int a = 0; a < pass.phases_h; a++)
        for (int b = 0; b < pass.phases_w; b++) {
            struct axis y = pass_axis(&pass, true, a), x = pass_axis(&pass, false, b);
            size_t floats = packed_floats(&pass, &y, &x);

            pack_panel(&pass, &y, &x, w, panel * LQ_FLOAT_LANES,
                       packed + (size_t)panel * (floats / (size_t)panels));
            packed += floats;
        }
}

static size_t direct_scratch(const struct lq_conv_train *conv, bool backward)
{
    return make_pass(conv, backward).window_bytes;
}

/* One piece, in all groups and phases. */
static void multiply_piece(const struct pass *pass, const struct lq_conv_call *call,
                           struct piece piece)
{
    for (; piece.group < pass->conv->geometry.groups; piece.group++) {
        const float *w = call->packed + (size_t)piece.group * group_floats(pass);

        if (!pass->direct)
            copy_windows(pass, &piece, call->map, call->scratch);
        for (int a = 0; a < pass->phases_h; a++)
            for (int b = 0; b < pass->phases_w; b++) {
                struct axis y = pass_axis(pass, true, a), x = pass_axis(pass, false, b);
                size_t at;
                struct lq_windows windows =
                    make_windows(pass, &piece, &y, &x, call->map, call->scratch, &at);

                if (windows.height > 0 && lq_window_length(&windows) > 0)
                    pass->conv->kernels->windows_product(&windows, w, call->add, call->result + at);
                else if (!call->add)
                    clear_pixels(&windows, call->result + at);
                w += packed_floats(pass, &y, &x);
            }
    }
}

/* The next piece of the images [first, end). */
static struct piece piece_at(const struct pass *pass, int image, int line, int end)
{
    return (struct piece){.image = image,
                          .images = clamp(end - image, 0, pass->images),
                          .line = line,
                          .lines = clamp(pass->count_h - line, 0, pass->lines)};
}

static void direct_run(const struct lq_conv_call *call)
{
    struct pass pass = make_pass(call->conv, call->backward);
    int end = call->first + call->count;

    for (int image = call->first; image < end; image += pass.images)
        for (int line = 0; line < pass.count_h; line += pass.lines)
            multiply_piece(&pass, call, piece_at(&pass, image, line, end));
}

static size_t direct_sums_floats(const struct lq_conv_train *conv)
{
    return direct_packed_floats(conv, false);
}

/* One piece, in all groups: the sums are [group][panel][k][LQ_FLOAT_LANES]. */
static void outer_piece(const struct pass *pass, const struct lq_outer_call *call,
                        struct piece piece)
{
    size_t panel = (size_t)pass->conv->geometry.length * LQ_FLOAT_LANES;
    int panels = lq_panels(pass->group_to, LQ_FLOAT_LANES), column = call->panel * LQ_FLOAT_LANES;
    struct axis y = pass_axis(pass, true, 0), x = pass_axis(pass, false, 0);

    for (; piece.group < pass->conv->geometry.groups; piece.group++) {
        float *sums = call->sums + (size_t)(piece.group * panels + call->panel) * panel;
        size_t at;

        if (!pass->direct)
            copy_windows(pass, &piece, call->x, call->scratch);
        struct lq_windows windows = make_windows(pass, &piece, &y, &x, call->x, call->scratch, &at);
        windows.n = clamp(pass->group_to - column, 0, call->panels * LQ_FLOAT_LANES);
        pass->conv->kernels->windows_outer(&windows, call->d_y + at + (size_t)column, sums);
    }
}

static void direct_outer(const struct lq_outer_call *call)
{
    struct pass pass = make_pass(call->conv, false);
    size_t panel = (size_t)call->conv->geometry.length * LQ_FLOAT_LANES;
    int panels = lq_panels(pass.group_to, LQ_FLOAT_LANES), end = call->first + call->count;

    for (int group = 0; group < call->conv->geometry.groups && call->opens; group++)
        memset(call->sums + (size_t)(group * panels + call->panel) * panel, 0,
               (size_t)call->panels * panel * sizeof(float));
    for (int image = call->first; image < end; image += pass.images)
        for (int line = 0; line < pass.count_h; line += pass.lines)
            outer_piece(&pass, call, piece_at(&pass, image, line, end));
}

static void direct_finish(const struct lq_conv_train *conv, const float *sums, int parts, int item,
                          float *d_w)
{
    const struct lq_conv_geometry *g = &conv->geometry;
    int panels = lq_panels(g->group_out, LQ_FLOAT_LANES);
    int group = item / panels, n = item % panels * LQ_FLOAT_LANES;
    int columns = clamp(g->group_out - n, 0, LQ_FLOAT_LANES);
    size_t part = direct_sums_floats(conv);

    sums += (size_t)item * (size_t)g->length * LQ_FLOAT_LANES;
    d_w += (size_t)(group * g->group_out + n) * (size_t)g->length;
    for (int k = 0; k < g->length; k++, sums += LQ_FLOAT_LANES) {
        float total[LQ_FLOAT_LANES];

        memcpy(total, sums, sizeof(total));
        for (int i = 1; i < parts; i++)
            for (int col = 0; col < LQ_FLOAT_LANES; col++)
                total[col] += sums[(size_t)i * part + (size_t)col];
        for (int col = 0; col < columns; col++)
            d_w[(size_t)col * (size_t)g->length + (size_t)k] = total[col];
    }
}

const struct lq_conv_method lq_conv_direct = {
    direct_packed_floats, direct_pack,  direct_scratch, direct_run,
    direct_sums_floats,   direct_outer, direct_finish};
