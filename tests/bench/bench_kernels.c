/* bench_kernels.c - how fast the integer products are, kernel by kernel.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     bench_kernels [--json] [TIER]
 *
 * Shapes are those of 3x3 convolutions in ResNet-20 and ResNet-18, 64 pixels at a time or 256,
 * operands in cache. All cases, and the limits of the core (limits.h), are visited in turn, ROUNDS
 * times; the fastest round counts, for what else runs on the machine only adds time. One thread, in
 * its own CPU time. A MAC is one product of a weight and an activation, whatever their bits;
 * products a cycle are of single bits where a kernel works on planes; the share is that of the
 * limit. Squares make 36 products by 16, so they may be beyond it; their transforms count too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "bench/limits.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include "lq.h"

enum {
    SIDE = 8, /* of the maps */
    PIXELS = SIDE * SIDE,
    FEW_CHANNELS = 32,
    ROUNDS = 12,
    MAX_BITS = 4,
    TAPS = 9,
    MAX_CHANNELS = 512,
    MAX_C_CHANNELS = 64,
    MAX_CASES = 256
};
#define ROUND_SECONDS 0.004

static const int channel_counts[] = {16, 32, 64, 128, 256, MAX_CHANNELS};
static const struct {
    int w, a;
} bit_counts[] = {{1, 2}, {2, 2}, {3, 3}, {4, 4}};
enum { BIT_COUNTS = sizeof(bit_counts) / sizeof(*bit_counts), SAFE_CHUNK = 60 };

struct operands {
    int16_t *a_levels, *w_levels;
    int32_t *w_basis;
    uint32_t *a_planes, *w_planes;
    uint8_t *w_nibbles;
    uint16_t *w_pairs;
    uint32_t *w_full; /* none: a few in a thousand would be */
    int32_t *sums;
    int32_t a_basis[MAX_BITS];
    uint8_t *points;
    int32_t *lines;
    int first[LQ_SQUARE_PANELS * LQ_SQUARE * LQ_SQUARE + 1];
};

enum kernel {
    KERNEL_LIMIT,
    KERNEL_LEVELS,
    KERNEL_BYTES,
    KERNEL_PLANES,
    KERNEL_HALVES,
    KERNEL_NIBBLES,
    KERNEL_SQUARES
};
static const char *const kernel_names[] = {
    "limit", "gemm_levels", "gemm_bytes", "gemm_planes", "gemm_halves", "gemm_nibbles", "squares"};

struct bench {
    enum kernel kernel;
    const struct limit *limit; /* of KERNEL_LIMIT: this one; of a kernel: the one it is held
                                  against, or NULL */
    const char *tier;
    int channels, w_bits, a_bits; /* bits 0: integer levels, whatever the bits */
    struct lq_kernels kernels;
    double seconds; /* of one call, in the fastest round */
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time); /* others may want the core too */
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void *filled(struct lq_rng *rng, size_t count, size_t size)
{
    size_t bytes = (count * size + 63) / 64 * 64;
    uint32_t *block = aligned_alloc(64, bytes);

    if (!block) {
        fputs("bench_kernels: out of memory\n", stderr);
        exit(1);
    }
    for (size_t i = 0; i < bytes / sizeof(*block); i++)
        block[i] = lq_rng_u32(rng) & (size == sizeof(int16_t) ? 0x000f000fu : ~0u);
    return block;
}

static void operands_init(struct operands *o)
{
    size_t channels = MAX_CHANNELS, length = TAPS * channels, words = length / 32;
    size_t nibbles = channels * 2 * length / LQ_NIBBLE_CODES;
    size_t chunks =
        channels * 2 * (size_t)lq_nibble_chunks((int)length / LQ_NIBBLE_CODES, SAFE_CHUNK);
    struct lq_rng rng;

    lq_rng_init(&rng, 1, 1);
    o->a_levels = filled(&rng, PIXELS * length, sizeof(int16_t));
    o->w_levels = filled(&rng, channels * length, sizeof(int16_t));
    o->w_basis = filled(&rng, channels * MAX_BITS, sizeof(int32_t));
    o->a_planes = filled(&rng, PIXELS * MAX_BITS * words, sizeof(uint32_t));
    o->w_planes = filled(&rng, channels * MAX_BITS * words, sizeof(uint32_t));
    o->w_nibbles = filled(&rng, nibbles, 1);
    o->w_pairs = filled(&rng, nibbles, sizeof(uint16_t));
    o->w_full = filled(&rng, chunks, sizeof(uint32_t));
    memset(o->w_full, 0, chunks * sizeof(uint32_t));
    for (size_t i = 0; i < nibbles; i++) {
        o->w_nibbles[i] &= 15;
        o->w_pairs[i] = (uint16_t)(o->w_pairs[i] % 256 * LQ_NIBBLE_PAIR);
    }
    o->sums = filled(&rng, PIXELS * channels, sizeof(int32_t));
    for (int j = 0; j < MAX_BITS; j++)
        o->a_basis[j] = 1 << j;
    o->points = filled(&rng, PIXELS / 4 * LQ_SQUARE_POINTS * channels + LQ_PICK_CHANNELS, 1);
    o->lines = filled(&rng, (size_t)PIXELS * LQ_SQUARE_LINES, sizeof(int32_t));
}

static void operands_deinit(struct operands *o)
{
    free(o->a_levels);
    free(o->w_levels);
    free(o->w_basis);
    free(o->a_planes);
    free(o->w_planes);
    free(o->w_nibbles);
    free(o->w_pairs);
    free(o->w_full);
    free(o->sums);
    free(o->points);
    free(o->lines);
}

/* Few channels have large maps, and the same operands are enough for them. */
static int pixels_of(const struct bench *b)
{
    return b->channels <= FEW_CHANNELS ? 4 * PIXELS : PIXELS;
}

/* Rows as a 3x3 convolution has them, windows that overlap in padded lines: a pixel is `pixel`
 * elements of `size` words or numbers. */
static struct lq_rows windows_of(const struct bench *b, int pixel, size_t size)
{
    int side = b->channels <= FEW_CHANNELS ? 2 * SIDE : SIDE;
    size_t step = (size_t)pixel * size, line = (size_t)(side + 2) * step;

    return (struct lq_rows){side, side, 3, 3 * pixel, line, step, line};
}

/* A whole convolution. Weights have nothing beyond bytes. */
static void call_squares(const struct bench *b, const struct operands *o)
{
    int across = b->channels <= FEW_CHANNELS ? SIDE : SIDE / 2, side = across * LQ_SQUARE;
    size_t channels = (size_t)b->channels, line = (size_t)(side + 2) * channels;
    const struct lq_squares *squares = &b->kernels.squares;

    for (int y = 0; y < across; y++)
        squares->points(
            &(struct lq_square_patches){b->channels, across, line,
                                        (const uint8_t *)o->a_levels + (size_t)(2 * y) * line},
            o->points + (size_t)(y * across) * LQ_SQUARE_POINTS * channels);
    for (size_t column = 0; column < channels; column += LQ_SQUARE_COLUMNS) {
        squares->multiply(&(struct lq_square_products){across * across,
                                                       b->channels,
                                                       o->points,
                                                       (const int8_t *)o->w_levels +
                                                           column * LQ_SQUARE_POINTS * channels,
                                                       {NULL, o->first},
                                                       o->lines});
        for (int y = 0; y < across; y++)
            squares->sums(&(struct lq_square_results){
                side, LQ_SQUARE, o->lines + (size_t)(y * across) * LQ_SQUARE_LINES,
                o->w_basis + column, channels, (size_t)side * channels, channels,
                o->sums + (size_t)(2 * y * side) * channels + column});
    }
}

static void call(const struct bench *b, const struct operands *o)
{
    int words = (b->channels + 31) / 32;
    size_t stride = (size_t)b->channels;
    struct lq_rows elements = windows_of(b, b->channels, 1);
    const uint16_t *pairs = b->channels * b->w_bits <= b->kernels.pair_columns ? o->w_pairs : NULL;

    if (b->kernel == KERNEL_NIBBLES)
        b->kernels.gemm_nibbles(
            &(struct lq_nibbles){b->channels, windows_of(b, b->channels / LQ_NIBBLE_CODES, 1),
                                 b->w_bits, SAFE_CHUNK, o->w_full, (const uint8_t *)o->a_planes,
                                 o->w_nibbles, o->a_basis, o->w_basis, o->sums, stride, pairs});
    else if (b->kernel == KERNEL_SQUARES)
        call_squares(b, o);
    else if (b->kernel == KERNEL_LEVELS)
        b->kernels.gemm_levels(
            &(struct lq_levels){b->channels, elements, o->a_levels, o->w_levels, o->sums, stride});
    else if (b->kernel == KERNEL_BYTES)
        b->kernels.gemm_bytes(&(struct lq_bytes){b->channels, elements,
                                                 (const uint8_t *)o->a_levels,
                                                 (const int8_t *)o->w_levels, o->sums, stride, 8});
    else if (b->kernel == KERNEL_HALVES)
        b->kernels.gemm_halves(&(struct lq_halves){
            b->channels, windows_of(b, b->channels / LQ_HALF_CODES, 1), b->w_bits, o->a_planes,
            o->w_planes, o->a_basis, o->w_basis, o->w_basis, o->sums, stride});
    else
        b->kernels.gemm_planes(&(struct lq_planes){
            b->channels, windows_of(b, words, (size_t)b->a_bits), b->a_bits, b->w_bits, o->a_planes,
            o->w_planes, o->a_basis, o->w_basis, o->sums, stride});
}

/* Looking at the clock takes as long as a small product: it is looked at once for many. */
static double measure(const struct bench *b, const struct operands *o)
{
    for (int calls = 1;; calls *= 2) {
        double start = now(), seconds;

        for (int i = 0; i < calls; i++) {
            if (b->kernel == KERNEL_LIMIT)
                b->limit->run();
            else
                call(b, o);
        }
        seconds = now() - start;
        if (seconds >= ROUND_SECONDS)
            return seconds / calls;
    }
}

static const struct limit *const limit_lists[] = {limits_any,
#if defined(__x86_64__)
                                                  limits_avx2, limits_avxvnni, limits_avx512
#endif
};
#define LISTS (sizeof(limit_lists) / sizeof(*limit_lists))

static int add_limits(const struct limit *limits, struct bench *benches, int count)
{
    for (; limits->name; limits++)
        if (lq_cpu_detect() >> limits->tier & 1)
            benches[count++] =
                (struct bench){.kernel = KERNEL_LIMIT,
                               .limit = limits,
                               .tier = lq_cpu_tier_name((enum lq_cpu_tier)limits->tier)};
    return count;
}

/* What a tier's own kernel can at most reach; NULL where it has none. */
static const struct limit *limit_of(enum lq_cpu_tier tier, enum kernel kernel)
{
    static const struct {
        enum lq_cpu_tier tier;
        enum kernel kernel;
        const char *name;
    } pairs[] = {
        {LQ_CPU_AVX2, KERNEL_LEVELS, "maddwd"},       {LQ_CPU_AVX2, KERNEL_BYTES, "maddubs"},
        {LQ_CPU_AVX2, KERNEL_NIBBLES, "lookup"},      {LQ_CPU_AVXVNNI, KERNEL_LEVELS, "vex dpwssd"},
        {LQ_CPU_AVXVNNI, KERNEL_BYTES, "vex dpbusd"}, {LQ_CPU_AVX512, KERNEL_LEVELS, "dpwssd"},
        {LQ_CPU_AVX512, KERNEL_BYTES, "dpbusd"},      {LQ_CPU_AVX512, KERNEL_PLANES, "popcount"},
        {LQ_CPU_AVX512, KERNEL_HALVES, "popcount"},   {LQ_CPU_AVX512, KERNEL_SQUARES, "dpbusd"}};

    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
        for (size_t j = 0; j < LISTS && pairs[i].tier == tier && pairs[i].kernel == kernel; j++)
            for (const struct limit *limit = limit_lists[j]; limit->name; limit++)
                if (strcmp(limit->name, pairs[i].name) == 0)
                    return limit;
    return NULL;
}

static int add_kernel(const struct bench *base, enum lq_cpu_tier tier, enum kernel kernel, int bits,
                      struct bench *bench)
{
    *bench = *base;
    bench->kernel = kernel;
    bench->limit = limit_of(tier, kernel);
    bench->w_bits = bits < 0 ? 0 : bit_counts[bits].w;
    bench->a_bits = bits < 0 ? 0 : bit_counts[bits].a;
    return 1;
}

/* The kernels of one tier, where it has its own. */
static int add_tier(enum lq_cpu_tier tier, struct bench *benches, int count)
{
    struct bench b = {.tier = lq_cpu_tier_name(tier)};

    if (lq_kernels_init(&b.kernels, lq_cpu_detect() & ((2u << tier) - 1)) != (int)tier)
        return count;
    for (size_t i = 0; i < sizeof(channel_counts) / sizeof(*channel_counts); i++) {
        b.channels = channel_counts[i];
        if (tier == LQ_CPU_C && b.channels > MAX_C_CHANNELS)
            break; /* it takes its time, and is no faster there */
        count += add_kernel(&b, tier, KERNEL_LEVELS, -1, &benches[count]);
        count += add_kernel(&b, tier, KERNEL_BYTES, -1, &benches[count]);
        if (b.kernels.square_pairs > 0 && b.channels % LQ_SQUARE_COLUMNS == 0)
            count += add_kernel(&b, tier, KERNEL_SQUARES, -1, &benches[count]);
        for (int bits = 0; bits < BIT_COUNTS; bits++)
            count += add_kernel(&b, tier, KERNEL_PLANES, bits, &benches[count]);
        for (int bits = 0; bits < BIT_COUNTS && b.kernels.prefers_halves; bits++)
            if (bit_counts[bits].w <= LQ_HALVES_BITS && bit_counts[bits].a == 2)
                count += add_kernel(&b, tier, KERNEL_HALVES, bits, &benches[count]);
        for (int bits = 0; bits < BIT_COUNTS && b.kernels.nibble_pairs > 0; bits++)
            if (bit_counts[bits].w <= LQ_NIBBLE_BITS && bit_counts[bits].a <= LQ_NIBBLE_BITS)
                count += add_kernel(&b, tier, KERNEL_NIBBLES, bits, &benches[count]);
    }
    return count;
}

/* Products a second: of single bits where planes are multiplied. */
static double rate(const struct bench *b)
{
    double pairs = b->w_bits ? b->w_bits * b->a_bits : 1;

    if (b->kernel == KERNEL_LIMIT)
        return (double)b->limit->run() / b->seconds;
    return (double)pixels_of(b) * TAPS * b->channels * b->channels * pairs / b->seconds;
}

static double limit_rate(const struct bench *benches, int count, const struct limit *limit)
{
    for (int i = 0; i < count; i++)
        if (benches[i].kernel == KERNEL_LIMIT && benches[i].limit == limit)
            return rate(&benches[i]);
    return 0;
}

static void print_limit(const struct bench *b, double clock, bool json)
{
    if (json)
        printf("{\"limit\": \"%s\", \"tier\": \"%s\", \"g_per_s\": %.2f, \"per_cycle\": %.2f}\n",
               b->limit->name, b->tier, rate(b) / 1e9, rate(b) / clock);
    else
        printf("%-12s %-7s %9.1f G a second %8.1f a cycle   %s\n", b->limit->name, b->tier,
               rate(b) / 1e9, rate(b) / clock, b->limit->what);
}

/* limit: products a second, or 0. */
static void print(const struct bench *b, double clock, double limit, bool json)
{
    double seconds = b->seconds, share = limit > 0 ? rate(b) / limit : 0;
    double macs = (double)pixels_of(b) * TAPS * b->channels * b->channels;

    if (json) {
        printf("{\"kernel\": \"%s\", \"tier\": \"%s\", \"channels\": %d, \"weight_bits\": %d, "
               "\"activation_bits\": %d, \"us\": %.3f, \"gmac_per_s\": %.2f, "
               "\"products_per_cycle\": %.2f",
               kernel_names[b->kernel], b->tier, b->channels, b->w_bits, b->a_bits, seconds * 1e6,
               macs / seconds / 1e9, rate(b) / clock);
        if (limit > 0)
            printf(", \"limit\": \"%s\", \"share\": %.4f", b->limit->name, share);
        puts("}");
        return;
    }
    printf("%-12s %-7s %8d %4d/%d %11.2f %9.2f %9.1f", kernel_names[b->kernel], b->tier,
           b->channels, b->w_bits, b->a_bits, seconds * 1e6, macs / seconds / 1e9, rate(b) / clock);
    if (limit > 0)
        printf("   %5.1f %% of %s", 100 * share, b->limit->name);
    putchar('\n');
}

static void print_all(const struct bench *benches, int count, bool json)
{
    double clock = limit_rate(benches, count, &limits_any[0]);
    int limits = 0;

    if (!json)
        puts("limits of one core, in L1");
    for (; limits < count && benches[limits].kernel == KERNEL_LIMIT; limits++)
        print_limit(&benches[limits], clock, json);
    if (!json)
        printf("\n%-12s %-7s %8s %6s %11s %9s %9s   %s\n", "kernel", "tier", "channels", "W/A",
               "us", "GMAC/s", "a cycle", "share");
    for (int i = limits; i < count; i++)
        print(&benches[i], clock, limit_rate(benches, count, benches[i].limit), json);
}

int main(int argc, char **argv)
{
    static struct bench benches[MAX_CASES];
    struct operands operands;
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    const char *only = argc > 1 + json ? argv[1 + json] : NULL;
    int count = 0;

    operands_init(&operands);
    for (size_t i = 0; i < LISTS; i++)
        count = add_limits(limit_lists[i], benches, count);
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++)
        if (!only || strcmp(only, lq_cpu_tier_name((enum lq_cpu_tier)tier)) == 0)
            count = add_tier((enum lq_cpu_tier)tier, benches, count);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < count; i++) {
            double seconds = measure(&benches[i], &operands);

            if (round == 0 || seconds < benches[i].seconds)
                benches[i].seconds = seconds;
        }
    print_all(benches, count, json);
    operands_deinit(&operands);
    return 0;
}
