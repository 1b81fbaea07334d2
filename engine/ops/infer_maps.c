/* infer_maps.c - shape inference of windows that slide over feature maps, and of pools.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "base/status.h"
#include "ops/infer.h"

#define MAX_WINDOW 1024 /* kernels, strides, dilations */
#define MAX_PAD    4096

/* A window along one axis. */
struct extent {
    int size, kernel, stride, dilation, pad_before, pad_after;
    int max_dilation, max_pad;
    bool ceil_mode;
};

static const char *const names[2][5] = {
    {"kernel_h", "stride_h", "dilation_h", "pad_top", "pad_bottom"},
    {"kernel_w", "stride_w", "dilation_w", "pad_left", "pad_right"},
};

static int slide(const struct lq_infer *infer, int axis, const struct extent *e, int *ret_size)
{
    const struct {
        int value, min, max;
    } ranges[5] = {{e->kernel, 1, MAX_WINDOW},
                   {e->stride, 1, MAX_WINDOW},
                   {e->dilation, 1, e->max_dilation},
                   {e->pad_before, 0, e->max_pad},
                   {e->pad_after, 0, e->max_pad}};
    int reach, room, size;

    for (int i = 0; i < 5; i++) {
        int status =
            lq_infer_range(infer, names[axis][i], ranges[i].value, ranges[i].min, ranges[i].max);

        if (status != LQ_OK)
            return status;
    }
    reach = (e->kernel - 1) * e->dilation + 1;
    room = e->size + e->pad_before + e->pad_after - reach;
    if (room < 0)
        return lq_fail(infer->error, LQ_ERR_INVALID,
                       "the window reaches over %d along %s, the padded input has %d", reach,
                       axis ? "w" : "h", room + reach);
    size = (room + (e->ceil_mode ? e->stride - 1 : 0)) / e->stride + 1;
    if (e->ceil_mode && (size - 1) * e->stride >= e->size + e->pad_before)
        size--; /* a window that starts in the padding behind the map is dropped */
    *ret_size = size;
    return LQ_OK;
}

/* Pools do not know dilation: it may be left out. */
static void limit_to_pool(struct extent *extent, bool ceil_mode)
{
    extent->ceil_mode = ceil_mode;
    extent->max_dilation = 1;
    if (extent->dilation == 0)
        extent->dilation = 1;
    extent->max_pad = extent->kernel > 0 ? extent->kernel - 1 : 0;
}

int lq_infer_window(const struct lq_infer *infer, bool pool, int *ret_height, int *ret_width)
{
    const struct lq_window *w = &infer->attributes->window;
    const struct lq_shape *in = &infer->inputs[0];
    int status = lq_infer_map(infer);

    if (status != LQ_OK)
        return status;
    struct extent vertical = {in->dims[0],   w->kernel_h, w->stride_h, w->dilation_h, w->pad_top,
                              w->pad_bottom, MAX_WINDOW,  MAX_PAD,     false};
    struct extent horizontal = {in->dims[1],  w->kernel_w, w->stride_w, w->dilation_w, w->pad_left,
                                w->pad_right, MAX_WINDOW,  MAX_PAD,     false};
    if (pool) {
        limit_to_pool(&vertical, infer->attributes->ceil_mode);
        limit_to_pool(&horizontal, infer->attributes->ceil_mode);
    }
    status = slide(infer, 0, &vertical, ret_height);
    return status == LQ_OK ? slide(infer, 1, &horizontal, ret_width) : status;
}

int lq_infer_pool(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    int height = 0, width = 0, status = lq_infer_window(infer, true, &height, &width);

    *ret_output = (struct lq_shape){3, {height, width, infer->inputs[0].dims[2]}};
    return status;
}

int lq_infer_global_pool(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    *ret_output = (struct lq_shape){3, {1, 1, infer->inputs[0].dims[2]}};
    return lq_infer_map(infer);
}

int lq_infer_lrn(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const struct lq_attributes *a = infer->attributes;
    int status = lq_infer_map(infer);

    if (status == LQ_OK)
        status = lq_infer_range(infer, "lrn_size", a->lrn_size, 1, MAX_WINDOW);
    if (status == LQ_OK && !(a->bias > 0 && isfinite(a->bias) && a->alpha >= 0 &&
                             isfinite(a->alpha) && isfinite(a->beta)))
        status = lq_fail(infer->error, LQ_ERR_INVALID,
                         "attributes alpha %g, beta %g, bias %g: expected finite, alpha at least "
                         "0, bias more than 0",
                         (double)a->alpha, (double)a->beta, (double)a->bias);
    *ret_output = infer->inputs[0];
    return status;
}
