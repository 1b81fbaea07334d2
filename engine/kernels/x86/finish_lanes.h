/* finish_lanes.h - what follows the sums of a layer, a vector of channels at a time: avx2 and
 * avx512 include this with their vectors.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * They define LANES; floats and ints, vectors of so many; load, load_ints and store, of the first
 * `left` lanes where these are fewer; add_ints, to_floats, and clamp, in which of equal zeros the
 * second one is taken, as the definition does.
 */
#include <stdbool.h>

enum { FEW_CHANNELS = 64 };

/* The factors of a vector of channels. */
struct lanes {
    ints offset;
    floats scale, shift, next_scale, next_shift;
};

/* `left` channels from c on, at most a vector. */
static inline __attribute__((always_inline)) struct lanes lanes_of(const struct lq_finish *f, int c,
                                                                   int left)
{
    struct lanes l = {.scale = load(f->scale + c, left), .shift = load(f->shift + c, left)};

    if (f->offset)
        l.offset = load_ints(f->offset + c, left);
    if (f->next_scale) {
        l.next_scale = load(f->next_scale + c, left);
        l.next_shift = load(f->next_shift + c, left);
    }
    return l;
}

/* A vector of a pixel. bounded: the first two clamps do something. */
static inline __attribute__((always_inline)) void
finish_vector(const struct lq_finish *f, const struct lanes *l, int left, bool bounded,
              const int32_t *sums, const float *addend, float *ret_y, float *ret_z)
{
    floats y = l->scale * to_floats(add_ints(load_ints(sums, left), l->offset)) + l->shift;

    if (bounded)
        y = clamp(y, f->first);
    if (addend)
        y = y + load(addend, left);
    if (addend && bounded)
        y = clamp(y, f->added);
    if (ret_y)
        store(ret_y, left, y);
    if (!ret_z)
        return;
    if (f->next_scale)
        y = l->next_scale * y + l->next_shift;
    store(ret_z, left, clamp(y, f->next));
}

/* The same of `pixels` pixels. */
static inline __attribute__((always_inline)) void
finish_lanes(const struct lq_finish *f, int c, int left, bool bounded, const int32_t *sums,
             const float *addend, int pixels, float *ret_y, float *ret_z)
{
    const struct lanes l = lanes_of(f, c, left);
    size_t at = (size_t)c, channels = (size_t)f->channels;

    for (int pixel = 0; pixel < pixels; pixel++, at += channels)
        finish_vector(f, &l, left, bounded, sums + at, addend ? addend + at : NULL,
                      ret_y ? ret_y + at : NULL, ret_z ? ret_z + at : NULL);
}

/* The last channels, fewer than a vector. A clamp that changes nothing does no harm. */
static __attribute__((noinline)) void finish_rest(const struct lq_finish *f, int c, int left,
                                                  const int32_t *sums, const float *addend,
                                                  int pixels, float *ret_y, float *ret_z)
{
    finish_lanes(f, c, left, true, sums, addend, pixels, ret_y, ret_z);
}

/* Columns of whole vectors, pixel by pixel. */
static inline __attribute__((always_inline)) void
finish_pixels(const struct lq_finish *f, struct lq_columns columns, bool bounded,
              const int32_t *sums, const float *addend, int pixels, float *ret_y, float *ret_z)
{
    size_t channels = (size_t)f->channels;

    for (int pixel = 0; pixel < pixels; pixel++) {
        for (int c = columns.from; c < columns.to; c += LANES) {
            const struct lanes l = lanes_of(f, c, LANES);

            finish_vector(f, &l, LANES, bounded, sums + c, addend ? addend + c : NULL,
                          ret_y ? ret_y + c : NULL, ret_z ? ret_z + c : NULL);
        }
        sums += channels;
        addend = addend ? addend + channels : NULL;
        ret_y = ret_y ? ret_y + channels : NULL;
        ret_z = ret_z ? ret_z + channels : NULL;
    }
}

/* Few channels keep their factors in registers; maps of many are so large that they had better be
 * read and written in order, but not parts of their columns: what is read in order is fetched
 * further than it goes, and there another core writes. */
static inline __attribute__((always_inline)) void finish(const struct lq_finish *given,
                                                         struct lq_columns columns, bool bounded,
                                                         const int32_t *sums, const float *addend,
                                                         int pixels, float *ret_y, float *ret_z)
{
    const struct lq_finish f = *given; /* what is stored cannot change it */
    int rest = (columns.to - columns.from) % LANES, whole = columns.to - rest;

    if (f.channels > FEW_CHANNELS && columns.to - columns.from == f.channels)
        finish_pixels(&f, (struct lq_columns){columns.from, whole}, bounded, sums, addend, pixels,
                      ret_y, ret_z);
    else
        for (int c = columns.from; c < whole; c += LANES)
            finish_lanes(&f, c, LANES, bounded, sums, addend, pixels, ret_y, ret_z);
    if (rest > 0)
        finish_rest(&f, whole, rest, sums, addend, pixels, ret_y, ret_z);
}

static inline __attribute__((always_inline)) void
finish_sums(const struct lq_finish *f, struct lq_columns columns, const int32_t *sums,
            const float *addend, int pixels, float *ret_y, float *ret_z)
{
    if (lq_clamps(f->first) || lq_clamps(f->added))
        finish(f, columns, true, sums, addend, pixels, ret_y, ret_z);
    else
        finish(f, columns, false, sums, addend, pixels, ret_y, ret_z);
}
