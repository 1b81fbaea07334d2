/* conv_train.c - float convolutions of training: the choice of a method, and what threads share.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Images are independent but for the gradient of the weights. There the batch is cut into pieces
 * with sums of their own, as many as the shapes say, never the threads.
 */
#include "base/arena.h"
#include "base/size.h"
#include "ops/conv_method.h"

enum {
    PIECES = 16,          /* of a batch, for the gradient of the weights */
    SUMS_BYTES = 16 << 20 /* of all pieces' sums, roughly */
};

static int items_of(const struct lq_conv_train *conv, bool backward)
{
    const struct lq_conv_geometry *g = &conv->geometry;

    return g->groups * lq_panels(backward ? g->group_in : g->group_out, LQ_FLOAT_LANES);
}

static size_t aligned_bytes(size_t floats)
{
    return lq_size_round_up(floats * sizeof(float), LQ_ALIGNMENT);
}

size_t lq_conv_packed_floats(const struct lq_conv_train *conv, bool backward)
{
    return conv->method->packed_floats(conv, backward);
}

void lq_conv_pack(const struct lq_conv_train *conv, bool backward, const float *w,
                  float *ret_packed)
{
    for (int item = 0; item < items_of(conv, backward); item++)
        conv->method->pack(conv, backward, w, item, ret_packed);
}

/* One pass of the batch, in as many pieces as there are threads. */
struct pass_job {
    struct lq_conv_call call;
    const float *w;
    float *packed;
    int pieces;
    uint8_t *scratch;
    size_t scratch_bytes; /* of a worker */
};

static void pack_item(void *context, int item, int worker)
{
    const struct pass_job *job = context;

    (void)worker;
    job->call.conv->method->pack(job->call.conv, job->call.backward, job->w, item, job->packed);
}

static void run_piece(void *context, int piece, int worker)
{
    const struct pass_job *job = context;
    struct lq_conv_call call = job->call;
    int64_t batch = call.conv->batch;

    call.first = (int)(batch * piece / job->pieces);
    call.count = (int)(batch * (piece + 1) / job->pieces) - call.first;
    call.scratch = job->scratch + (size_t)worker * job->scratch_bytes;
    call.conv->method->run(&call);
}

static void run_pass(const struct lq_conv_work *work, struct lq_conv_call *call, const float *w)
{
    const struct lq_conv_train *conv = call->conv;
    int threads = work->pool ? lq_pool_threads(work->pool) : 1, pieces = threads * 2;
    struct pass_job job = {.w = w,
                           .packed = work->scratch,
                           .pieces = threads == 1           ? 1
                                     : conv->batch < pieces ? conv->batch
                                                            : pieces,
                           .scratch = work->scratch,
                           .scratch_bytes = conv->method->scratch(conv, call->backward)};

    call->packed = w;
    if (!work->packed) {
        job.scratch += aligned_bytes(lq_conv_packed_floats(conv, call->backward));
        call->packed = job.packed;
    }
    job.call = *call;
    if (!work->packed)
        lq_pool_run(work->pool, items_of(conv, call->backward), pack_item, &job);
    lq_pool_run(work->pool, job.pieces, run_piece, &job);
}

void lq_conv_forward(const struct lq_conv_train *conv, const struct lq_conv_work *work,
                     const float *x, const float *w, float *y)
{
    struct lq_conv_call call = {.conv = conv, .map = x, .result = y};

    run_pass(work, &call, w);
}

void lq_conv_backward_input(const struct lq_conv_train *conv, const struct lq_conv_work *work,
                            const float *d_y, const float *w, float *d_x)
{
    struct lq_conv_call call = {
        .conv = conv, .backward = true, .add = work->add, .map = d_y, .result = d_x};

    run_pass(work, &call, w);
}

size_t lq_conv_sums_floats(const struct lq_conv_train *conv)
{
    return conv->method->sums_floats(conv);
}

void lq_conv_add_sums(const struct lq_conv_train *conv, const struct lq_conv_work *work,
                      const float *x, const float *d_y, float *sums)
{
    struct lq_outer_call call = {.conv = conv,
                                 .count = conv->batch,
                                 .panels = items_of(conv, false) / conv->geometry.groups,
                                 .opens = !work->add,
                                 .x = x,
                                 .d_y = d_y,
                                 .sums = sums,
                                 .scratch = work->scratch};

    conv->method->outer(&call);
}

void lq_conv_finish_sums(const struct lq_conv_train *conv, const float *sums, int parts, float *d_w)
{
    for (int item = 0; item < items_of(conv, false); item++)
        conv->method->finish(conv, sums, parts, item, d_w);
}

/* How the gradient of the weights is split: pieces of the batch, each with its own sums, and parts
 * of the panels. */
struct split {
    int pieces;
    int parts, panels; /* panels of each part */
};

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

static struct split make_split(const struct lq_conv_train *conv)
{
    int panels = lq_panels(conv->geometry.group_out, LQ_FLOAT_LANES);
    size_t fit = SUMS_BYTES / (lq_conv_sums_floats(conv) * sizeof(float));
    struct split split;

    split.pieces = clamp(fit < PIECES ? (int)fit : PIECES, 1, conv->batch);
    split.parts = clamp(PIECES / split.pieces, 1, panels);
    split.panels = lq_ceil_div(panels, split.parts);
    split.parts = lq_ceil_div(panels, split.panels);
    return split;
}

struct outer_job {
    const struct lq_conv_train *conv;
    struct split split;
    const float *x, *d_y;
    float *sums; /* [pieces][sums_floats] */
    float *d_w;
    uint8_t *scratch;
    size_t scratch_bytes; /* of a worker */
};

/* Item: one piece of the batch and one part of the panels. */
static void outer_item(void *context, int item, int worker)
{
    const struct outer_job *job = context;
    const struct split *split = &job->split;
    int piece = item / split->parts,
        panels = lq_panels(job->conv->geometry.group_out, LQ_FLOAT_LANES);
    int64_t batch = job->conv->batch;
    struct lq_outer_call call = {.conv = job->conv,
                                 .first = (int)(batch * piece / split->pieces),
                                 .panel = item % split->parts * split->panels,
                                 .opens = true,
                                 .x = job->x,
                                 .d_y = job->d_y,
                                 .sums = job->sums + (size_t)piece * lq_conv_sums_floats(job->conv),
                                 .scratch = job->scratch + (size_t)worker * job->scratch_bytes};

    call.count = (int)(batch * (piece + 1) / split->pieces) - call.first;
    call.panels = clamp(panels - call.panel, 0, split->panels);
    job->conv->method->outer(&call);
}

static void finish_item(void *context, int item, int worker)
{
    const struct outer_job *job = context;

    (void)worker;
    job->conv->method->finish(job->conv, job->sums, job->split.pieces, item, job->d_w);
}

static size_t split_bytes(const struct lq_conv_train *conv, const struct split *split)
{
    return aligned_bytes((size_t)split->pieces * lq_conv_sums_floats(conv));
}

void lq_conv_backward_weight(const struct lq_conv_train *conv, const struct lq_conv_work *work,
                             const float *x, const float *d_y, float *d_w)
{
    struct outer_job job = {.conv = conv,
                            .split = make_split(conv),
                            .x = x,
                            .d_y = d_y,
                            .sums = work->scratch,
                            .d_w = d_w,
                            .scratch_bytes = conv->method->scratch(conv, false)};

    job.scratch = (uint8_t *)work->scratch + split_bytes(conv, &job.split);
    lq_pool_run(work->pool, job.split.pieces * job.split.parts, outer_item, &job);
    lq_pool_run(work->pool, items_of(conv, false), finish_item, &job);
}

/* Winograd's sums and weights are four times as large; beyond the cache the direct way is faster.
 */
static bool suits_winograd(const struct lq_conv_geometry *g)
{
    const struct lq_window *w = &g->window;

    return w->kernel_h == 3 && w->kernel_w == 3 && w->stride_h == 1 && w->stride_w == 1 &&
           w->dilation_h == 1 && w->dilation_w == 1 && g->groups == 1 && w->pad_top <= 2 &&
           w->pad_left <= 2 && g->in.channels >= 8 && g->out.channels >= 8 &&
           g->in.channels * g->out.channels <= 256 * 256 && g->out.height >= 4 && g->out.width >= 4;
}

void lq_conv_train_init(struct lq_conv_train *conv, const struct lq_attributes *attributes,
                        const struct lq_shape *input, const struct lq_shape *output, int batch,
                        const struct lq_kernels *kernels)
{
    struct lq_buffer in = {.shape = *input}, out = {.shape = *output};
    struct lq_step_spec spec = {
        .attributes = attributes, .inputs = &in, .own = out.shape, .output = out};

    *conv = (struct lq_conv_train){.batch = batch, .kernels = kernels};
    lq_conv_geometry_init(&conv->geometry, &spec);
    conv->method = suits_winograd(&conv->geometry) ? &lq_conv_winograd : &lq_conv_direct;
}

size_t lq_conv_train_scratch(const struct lq_conv_train *conv, int threads)
{
    struct split split = make_split(conv);
    size_t forward = conv->method->scratch(conv, false), workers = (size_t)threads;
    size_t backward = conv->method->scratch(conv, true), most;

    forward *= workers;
    backward = backward * workers + aligned_bytes(lq_conv_packed_floats(conv, true));
    most = split_bytes(conv, &split) + forward;
    forward += aligned_bytes(lq_conv_packed_floats(conv, false));
    most = forward > most ? forward : most;
    return backward > most ? backward : most;
}

size_t lq_conv_part_scratch(const struct lq_conv_train *conv)
{
    size_t forward = conv->method->scratch(conv, false);
    size_t backward = conv->method->scratch(conv, true);

    return forward > backward ? forward : backward;
}
