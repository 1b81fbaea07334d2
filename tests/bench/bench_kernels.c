/* bench_kernels.c - how fast the integer products are, kernel by kernel.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     bench_kernels [--json]
 *
 * Shapes are those of 3x3 convolutions in ResNet-20 and ResNet-18, 64 pixels at a time, operands in
 * cache. All cases are visited in turn, ROUNDS times, so that a disturbance of the machine touches
 * all of them; the median counts. One thread. A MAC is one product of a weight and an activation,
 * whatever their bits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include "lq.h"

enum { PIXELS = 64, ROUNDS = 7, MAX_BITS = 4, TAPS = 9, MAX_CASES = 128 };
#define ROUND_SECONDS 0.01

static const int channel_counts[] = {16, 32, 64, 128, 256};
static const struct {
    int w, a;
} bit_counts[] = {{1, 2}, {2, 2}, {3, 3}, {4, 4}};

struct operands {
    int16_t *a_levels, *w_levels;
    int32_t *w_basis;
    uint32_t *a_planes, *w_planes;
    int32_t *sums;
    int32_t a_basis[MAX_BITS];
};

enum kernel { KERNEL_LEVELS, KERNEL_BYTES, KERNEL_PLANES };
static const char *const kernel_names[] = {"gemm_levels", "gemm_bytes", "gemm_planes"};

struct bench {
    enum kernel kernel;
    const char *tier;
    int channels, w_bits, a_bits; /* bits 0: integer levels, whatever the bits */
    struct lq_kernels kernels;
    double seconds[ROUNDS]; /* of one call */
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
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
    size_t channels = 256, length = TAPS * channels, words = length / 32;
    struct lq_rng rng;

    lq_rng_init(&rng, 1, 1);
    o->a_levels = filled(&rng, PIXELS * length, sizeof(int16_t));
    o->w_levels = filled(&rng, channels * length, sizeof(int16_t));
    o->w_basis = filled(&rng, channels * MAX_BITS, sizeof(int32_t));
    o->a_planes = filled(&rng, PIXELS * MAX_BITS * words, sizeof(uint32_t));
    o->w_planes = filled(&rng, channels * MAX_BITS * words, sizeof(uint32_t));
    o->sums = filled(&rng, PIXELS * channels, sizeof(int32_t));
    for (int j = 0; j < MAX_BITS; j++)
        o->a_basis[j] = 1 << j;
}

static void operands_deinit(struct operands *o)
{
    free(o->a_levels);
    free(o->w_levels);
    free(o->w_basis);
    free(o->a_planes);
    free(o->w_planes);
    free(o->sums);
}

static void call(const struct bench *b, const struct operands *o)
{
    int k = TAPS * b->channels, words = (b->channels + 31) / 32 * TAPS;
    size_t stride = (size_t)b->channels;
    struct lq_rows elements = {1, PIXELS, 1, k, 0, (size_t)k, 0};
    struct lq_rows plane_words = {1, PIXELS, 1, words, 0, (size_t)(words * b->a_bits), 0};

    if (b->kernel == KERNEL_LEVELS)
        b->kernels.gemm_levels(
            &(struct lq_levels){b->channels, elements, o->a_levels, o->w_levels, o->sums, stride});
    else if (b->kernel == KERNEL_BYTES)
        b->kernels.gemm_bytes(&(struct lq_bytes){b->channels, elements,
                                                 (const uint8_t *)o->a_levels,
                                                 (const int8_t *)o->w_levels, o->sums, stride});
    else
        b->kernels.gemm_planes(&(struct lq_planes){b->channels, plane_words, b->a_bits, b->w_bits,
                                                   o->a_planes, o->w_planes, o->a_basis, o->w_basis,
                                                   o->sums, stride});
}

static double measure(const struct bench *b, const struct operands *o)
{
    double start = now(), seconds;
    int calls = 0;

    do {
        call(b, o);
        calls++;
        seconds = now() - start;
    } while (seconds < ROUND_SECONDS);
    return seconds / calls;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The kernels of one tier, where it has its own. */
static int add_tier(enum lq_cpu_tier tier, struct bench *benches, int count)
{

    struct bench b = {.tier = lq_cpu_tier_name(tier)};

    if (lq_kernels_init(&b.kernels, lq_cpu_detect() & ((2u << tier) - 1)) != (int)tier)
        return count;
    for (size_t i = 0; i < sizeof(channel_counts) / sizeof(*channel_counts); i++) {
        b.channels = channel_counts[i];
        b.w_bits = b.a_bits = 0;
        b.kernel = KERNEL_LEVELS;
        benches[count++] = b;
        b.kernel = KERNEL_BYTES;
        benches[count++] = b;
        b.kernel = KERNEL_PLANES;
        for (size_t j = 0; j < sizeof(bit_counts) / sizeof(*bit_counts); j++) {
            b.w_bits = bit_counts[j].w;
            b.a_bits = bit_counts[j].a;
            benches[count++] = b;
        }
    }
    return count;
}

static void print(const struct bench *b, bool json)
{
    double seconds = b->seconds[ROUNDS / 2];
    double macs = (double)PIXELS * TAPS * b->channels * b->channels;

    if (json)
        printf("{\"kernel\": \"%s\", \"tier\": \"%s\", \"channels\": %d, \"weight_bits\": %d, "
               "\"activation_bits\": %d, \"median_us\": %.3f, \"gmac_per_s\": %.2f}\n",
               kernel_names[b->kernel], b->tier, b->channels, b->w_bits, b->a_bits, seconds * 1e6,
               macs / seconds / 1e9);
    else
        printf("%-12s %-7s %8d %4d/%d %11.2f %9.2f\n", kernel_names[b->kernel], b->tier,
               b->channels, b->w_bits, b->a_bits, seconds * 1e6, macs / seconds / 1e9);
}

int main(int argc, char **argv)
{
    static struct bench benches[MAX_CASES];
    struct operands operands;
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    int count = 0;

    operands_init(&operands);
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++)
        count = add_tier((enum lq_cpu_tier)tier, benches, count);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < count; i++)
            benches[i].seconds[round] = measure(&benches[i], &operands);
    if (!json)
        printf("%-12s %-7s %8s %6s %11s %9s\n", "kernel", "tier", "channels", "W/A", "median us",
               "GMAC/s");
    for (int i = 0; i < count; i++) {
        qsort(benches[i].seconds, ROUNDS, sizeof(double), compare);
        print(&benches[i], json);
    }
    operands_deinit(&operands);
    return 0;
}
