/* test_training.c - the loops of batch normalization and quantizers in training: C against the
 * definition, every tier against C, bit for bit, at the edge of a page.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "support/guard.h"
#include "support/suite.h"

enum { MAX_LEVELS = 256, MAX_CHANNELS = 70, ROUNDS = 200 };

static float some(void)
{
    return (float)(below(2001) - 1000) / 256.0f;
}

/* Now and then a zero, and where `wild` no number at all, or none that is finite. */
static struct guarded filled(size_t count, bool wild)
{
    static const float special[] = {0, -0.f, NAN, INFINITY, -INFINITY};
    struct guarded g = guard(count * sizeof(float));

    for (size_t i = 0; i < count; i++)
        as_floats(&g)[i] = below(16) ? some() : special[below(wild ? 5 : 2)];
    return g;
}

static void expect_near(double got, double expected, double size, const char *what)
{
    ck_assert_msg(fabs(got - expected) <= 1e-6 * size + 1e-9, "%s: %.9g, not %.9g", what, got,
                  expected);
}

/* Levels and thresholds between them. */
static void make_quantizer(int count, float *levels, float *thresholds)
{
    float level = some();

    for (int i = 0; i < count; i++) {
        float next = level + (float)(below(100) + 1) / 64;

        levels[i] = level;
        thresholds[i] = (level + next) / 2;
        level = next;
    }
}

/* What the loops leave behind. */
struct results {
    struct guarded q, d;
    double passed[MAX_LEVELS], sums[MAX_LEVELS], above[MAX_LEVELS], squares;
};

static void run_quantizer(const struct lq_train_kernels *kernels, const struct lq_levels_of *of,
                          const struct guarded *y, const struct guarded *d, size_t elements,
                          bool add, struct results *r)
{
    const struct lq_levels_sums sums = {r->passed, r->sums, &r->squares};
    int64_t n = (int64_t)elements;
    struct guarded again;

    *r = (struct results){.q = guard(elements * 4), .d = guard(elements * 4)};
    memcpy(r->d.bytes, d->bytes, elements * 4);
    kernels->quantize_values(of, as_floats(y), n, &sums, as_floats(&r->q));
    again = guard(elements * 4);
    kernels->quantize_values(of, as_floats(y), n, NULL, as_floats(&again));
    ck_assert_mem_eq(r->q.bytes, again.bytes, elements * 4);
    unguard(&again);
    kernels->quantize_gradients(of, as_floats(y), as_floats(d), n, r->above);
    kernels->quantize_backward(as_floats(y), of->levels[of->count - 1], as_floats(d), n, add,
                               as_floats(&r->d));
}

static void free_results(struct results *r)
{
    unguard(&r->q);
    unguard(&r->d);
}

static void expect_definition(const struct lq_levels_of *of, const float *y, const float *d,
                              size_t elements, bool add, const struct results *r)
{
    double passed[MAX_LEVELS] = {0}, sums[MAX_LEVELS] = {0}, above[MAX_LEVELS] = {0}, squares = 0;
    int last = of->count - 1;

    for (size_t i = 0; i < elements; i++) {
        int level = 0;
        float back = y[i] > 0 && y[i] <= of->levels[last] ? d[i] : 0;

        for (int t = 0; t <= last; t++)
            if (t == last || y[i] > of->thresholds[t]) {
                level += t < last;
                passed[t] += 1;
                sums[t] += (double)y[i];
                above[t] += (double)d[i];
            }
        squares += (double)y[i] * (double)y[i];
        ck_assert(as_floats(&r->q)[i] == of->levels[level]);
        ck_assert(as_floats(&r->d)[i] == (add ? back + d[i] : back));
    }
    for (int t = 0; t <= last; t++) {
        ck_assert(r->passed[t] == passed[t]);
        expect_near(r->sums[t], sums[t], 4 * (double)elements, "sum");
        expect_near(r->above[t], above[t], 4 * (double)elements, "gradient");
    }
    expect_near(r->squares, squares, 16 * (double)elements, "squares");
}

START_TEST(quantizers)
{
    static const int counts[] = {2, 3, 4, 8, 16, 32, 64, 256}; /* many are halved */
    float levels[MAX_LEVELS], thresholds[MAX_LEVELS];
    struct lq_levels_of of = {counts[_i % 8], levels, thresholds};
    size_t elements = (size_t)(_i % 5 == 0 ? below(5000) : below(200));
    bool wild = _i % 3 == 0, add = below(2);
    struct guarded y = filled(elements, wild), d = filled(elements, false);
    struct lq_kernels kernels;
    struct results expected;

    make_quantizer(of.count, levels, thresholds);
    lq_kernels_init(&kernels, 1u << LQ_CPU_C);
    run_quantizer(&kernels.train, &of, &y, &d, elements, add, &expected);
    if (!wild)
        expect_definition(&of, as_floats(&y), as_floats(&d), elements, add, &expected);
    for (int tier = 1; tier < LQ_CPU_TIER_COUNT; tier++) {
        struct results got;

        lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1));
        run_quantizer(&kernels.train, &of, &y, &d, elements, add, &got);
        ck_assert(memcmp(got.q.bytes, expected.q.bytes, elements * 4) == 0);
        ck_assert(memcmp(got.d.bytes, expected.d.bytes, elements * 4) == 0);
        ck_assert(memcmp(got.passed, expected.passed, sizeof(got.passed)) == 0);
        ck_assert(memcmp(got.above, expected.above, sizeof(got.above)) == 0);
        if (!wild) { /* what is no number has no one sign */
            ck_assert(memcmp(got.sums, expected.sums, sizeof(got.sums)) == 0);
            ck_assert(got.squares == expected.squares);
        }
        free_results(&got);
    }
    free_results(&expected);
    unguard(&y);
    unguard(&d);
}
END_TEST

/* Maps of one batch normalization. */
struct norm_problem {
    int channels;
    int64_t pixels;
    size_t count;
    bool relu, beside;
    struct guarded x, other, d, factors;
};

struct norm_results {
    double sums[4][MAX_CHANNELS];
    struct guarded y, d, d_x;
};

static void run_norm(const struct lq_train_kernels *kernels, const struct norm_problem *p,
                     struct norm_results *r)
{
    size_t bytes = p->count * sizeof(float), n = (size_t)p->channels;
    const float *factors = as_floats(&p->factors);
    struct lq_norm norm = {p->channels, factors, factors + n, p->relu};
    struct lq_norm_sums sums = {p->channels, p->relu, factors, r->sums[2], r->sums[3]};
    struct lq_norm_line line = {p->channels, factors, factors + n, factors + 2 * n, p->beside};

    *r = (struct norm_results){.y = guard(bytes), .d = guard(bytes), .d_x = guard(bytes)};
    memcpy(r->d.bytes, p->d.bytes, bytes);
    memcpy(r->d_x.bytes, p->other.bytes, bytes);
    kernels->moments(as_floats(&p->x), p->pixels, p->channels, r->sums[0], r->sums[1]);
    kernels->norm_apply(&norm, as_floats(&p->x), p->beside ? as_floats(&p->other) : NULL, p->pixels,
                        as_floats(&r->y));
    kernels->norm_reduce(&sums, as_floats(&p->x), as_floats(&r->y), p->pixels, as_floats(&r->d));
    kernels->norm_backward(&line, as_floats(&p->d), as_floats(&p->x), p->pixels,
                           as_floats(&r->d_x));
}

static void free_norm_results(struct norm_results *r)
{
    unguard(&r->y);
    unguard(&r->d);
    unguard(&r->d_x);
}

static void expect_norm(const struct norm_problem *p, const struct norm_results *r)
{
    size_t n = (size_t)p->channels;
    const float *a = as_floats(&p->factors), *b = a + n, *e = b + n;
    double sums[4][MAX_CHANNELS] = {{0}};

    for (size_t i = 0; i < p->count; i++) {
        size_t c = i % n;
        float x = as_floats(&p->x)[i], other = as_floats(&p->other)[i], d = as_floats(&p->d)[i];
        float y = a[c] * x + b[c], back = a[c] * d + b[c] * x + e[c], held;

        y = p->beside ? y + other : y;
        y = p->relu && !(y > 0) ? 0 : y;
        held = p->relu && !(y > 0) ? 0 : d;
        ck_assert(as_floats(&r->y)[i] == y);
        ck_assert(as_floats(&r->d)[i] == held);
        ck_assert(as_floats(&r->d_x)[i] == (p->beside ? back + other : back));
        sums[0][c] += (double)x;
        sums[1][c] += (double)x * (double)x;
        sums[2][c] += (double)held;
        sums[3][c] += (double)held * (double)(x - a[c]);
    }
    for (int i = 0; i < 4; i++)
        for (size_t c = 0; c < n; c++)
            expect_near(r->sums[i][c], sums[i][c], 32 * (double)p->pixels, "channel");
}

START_TEST(normalization)
{
    struct norm_problem p = {.channels = below(MAX_CHANNELS) + 1,
                             .pixels = below(200) + 1,
                             .relu = below(2),
                             .beside = below(2)};
    struct lq_kernels kernels;
    struct norm_results expected;

    p.count = (size_t)p.pixels * (size_t)p.channels;
    p.x = filled(p.count, false);
    p.other = filled(p.count, false);
    p.d = filled(p.count, false);
    p.factors = filled(3 * (size_t)p.channels, false);
    lq_kernels_init(&kernels, 1u << LQ_CPU_C);
    run_norm(&kernels.train, &p, &expected);
    expect_norm(&p, &expected);
    for (int tier = 1; tier < LQ_CPU_TIER_COUNT; tier++) {
        struct norm_results got;

        lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1));
        run_norm(&kernels.train, &p, &got);
        ck_assert(memcmp(got.sums, expected.sums, sizeof(got.sums)) == 0);
        ck_assert(memcmp(got.y.bytes, expected.y.bytes, p.count * 4) == 0);
        ck_assert(memcmp(got.d.bytes, expected.d.bytes, p.count * 4) == 0);
        ck_assert(memcmp(got.d_x.bytes, expected.d_x.bytes, p.count * 4) == 0);
        free_norm_results(&got);
    }
    free_norm_results(&expected);
    unguard(&p.x);
    unguard(&p.other);
    unguard(&p.d);
    unguard(&p.factors);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("training");

    tcase_add_loop_test(tests, quantizers, 0, ROUNDS);
    tcase_add_loop_test(tests, normalization, 0, ROUNDS);
    return suite_main("training", tests);
}
