/* bench_train.c - how fast the convolutions of training are, shape by shape and direction.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     bench_train [--json] [--threads N] [--batch N] [NET]
 *
 * Shapes are those of ResNet-20, VGG-Small and ResNet-18 (NET: one of resnet20, vgg, resnet18). As
 * the trainer does, a few images at a time pass through a layer, on one thread, with weights packed
 * before; with --batch, a whole batch passes at once, split over --threads. All shapes are visited
 * in turn, ROUNDS times, so that a disturbance of the machine touches all of them; the fastest
 * counts. The limit, which the shares are of, is measured too: a loop of nothing but fused
 * multiply-adds, times the threads. Winograd's filtering may go beyond it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "ops/conv_train.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { ROUNDS = 40, DIRECTIONS = 3, PART_FLOATS = 32768 };
static const char *const direction_names[] = {"forward", "input", "weight"};

struct shape {
    const char *net;
    int size, in, out, kernel, stride, pad;
    int count; /* layers like this in the network */
};
static const struct shape shapes[] = {
    {"resnet20", 32, 3, 16, 3, 1, 1, 1},    {"resnet20", 32, 16, 16, 3, 1, 1, 6},
    {"resnet20", 32, 16, 32, 3, 2, 1, 1},   {"resnet20", 32, 16, 32, 1, 2, 0, 1},
    {"resnet20", 16, 32, 32, 3, 1, 1, 5},   {"resnet20", 16, 32, 64, 3, 2, 1, 1},
    {"resnet20", 16, 32, 64, 1, 2, 0, 1},   {"resnet20", 8, 64, 64, 3, 1, 1, 5},
    {"resnet20", 1, 64, 10, 1, 1, 0, 1},    {"vgg", 32, 3, 128, 3, 1, 1, 1},
    {"vgg", 32, 128, 128, 3, 1, 1, 1},      {"vgg", 16, 128, 256, 3, 1, 1, 1},
    {"vgg", 16, 256, 256, 3, 1, 1, 1},      {"vgg", 8, 256, 512, 3, 1, 1, 1},
    {"vgg", 8, 512, 512, 3, 1, 1, 1},       {"vgg", 1, 8192, 10, 1, 1, 0, 1},
    {"resnet18", 224, 3, 64, 7, 2, 3, 1},   {"resnet18", 56, 64, 64, 3, 1, 1, 4},
    {"resnet18", 56, 64, 128, 3, 2, 1, 1},  {"resnet18", 56, 64, 128, 1, 2, 0, 1},
    {"resnet18", 28, 128, 128, 3, 1, 1, 3}, {"resnet18", 28, 128, 256, 3, 2, 1, 1},
    {"resnet18", 14, 256, 256, 3, 1, 1, 3}, {"resnet18", 14, 256, 512, 3, 2, 1, 1},
    {"resnet18", 7, 512, 512, 3, 1, 1, 3},  {"resnet18", 1, 512, 1000, 1, 1, 0, 1},
};

struct bench {
    const struct shape *shape;
    struct lq_conv_train conv;
    struct lq_conv_work work;
    bool whole; /* batch */
    float *x, *w, *y, *packed[2], *sums;
    double macs;                /* of a batch, in one direction */
    double seconds[DIRECTIONS]; /* the least */
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static float *filled(size_t count)
{
    float *values = aligned_alloc(LQ_ALIGNMENT, (count * sizeof(*values) + 63) / 64 * 64);
    struct lq_rng rng;

    if (!values) {
        fputs("bench_train: out of memory\n", stderr);
        exit(1);
    }
    lq_rng_init(&rng, 1, 1);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(lq_rng_u32(&rng) >> 8) * 0x1p-24f - 0.5f;
    return values;
}

#if defined(__x86_64__)
#define CHAIN(i) __m256 sum##i = _mm256_set1_ps(i);
#define STEP(i)  __asm__ volatile("vfmadd132ps %1, %1, %0" : "+x"(sum##i) : "x"(a));

/* Multiply-adds a second of one core. */
__attribute__((target("avx2,fma"))) static double measure_limit(void)
{
    enum { CHAINS = 10, STEPS = 1000000 };
    double best = 0;

    for (int round = 0; round < 10; round++) {
        __m256 a = _mm256_set1_ps(0.5f);
        double start = now();

        CHAIN(0)
        CHAIN(1)
        CHAIN(2)
        CHAIN(3)
        CHAIN(4)
        CHAIN(5) CHAIN(6) CHAIN(7) CHAIN(8) CHAIN(9) for (int step = 0; step < STEPS; step++)
        {
            STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9)
        }
        double rate = 8.0 * CHAINS * STEPS / (now() - start);
        best = rate > best ? rate : best;
    }
    return best;
}
#else
static double measure_limit(void)
{
    return 0;
}
#endif

/* batch 0: as many images as pass together. */
static void bench_init(struct bench *b, const struct shape *s, int batch,
                       const struct lq_kernels *kernels)
{
    int size = (s->size + 2 * s->pad - s->kernel) / s->stride + 1;
    struct lq_shape in = {3, {s->size, s->size, s->in}}, out = {3, {size, size, s->out}};
    struct lq_attributes attributes = {.groups = 1, .out_channels = s->out};
    size_t length = (size_t)(s->kernel * s->kernel * s->in);
    int64_t x = lq_shape_elements(&in), y = lq_shape_elements(&out), most = x > y ? x : y;

    attributes.window = (struct lq_window){s->kernel, s->kernel, s->stride, s->stride, 1,
                                           1,         s->pad,    s->pad,    s->pad,    s->pad};
    *b = (struct bench){.shape = s, .whole = batch > 0};
    if (batch == 0)
        batch = most > PART_FLOATS ? 1 : most < PART_FLOATS / 16 ? 16 : (int)(PART_FLOATS / most);
    lq_conv_train_init(&b->conv, &attributes, &in, &out, batch, kernels);
    b->x = filled((size_t)(batch * x));
    b->y = filled((size_t)(batch * y));
    b->w = filled(length * (size_t)s->out);
    for (int backward = 0; backward < 2; backward++) {
        b->packed[backward] = filled(lq_conv_packed_floats(&b->conv, backward));
        lq_conv_pack(&b->conv, backward, b->w, b->packed[backward]);
    }
    b->sums = filled(lq_conv_sums_floats(&b->conv));
    b->macs = (double)batch * size * size * (double)length * s->out;
}

static void bench_deinit(struct bench *b)
{
    free(b->x);
    free(b->y);
    free(b->w);
    free(b->packed[0]);
    free(b->packed[1]);
    free(b->sums);
}

static void call(struct bench *b, int direction)
{
    b->work.add = b->work.packed = !b->whole;
    if (direction == 0)
        lq_conv_forward(&b->conv, &b->work, b->x, b->whole ? b->w : b->packed[0], b->y);
    else if (direction == 1)
        lq_conv_backward_input(&b->conv, &b->work, b->y, b->whole ? b->w : b->packed[1], b->x);
    else if (b->whole)
        lq_conv_backward_weight(&b->conv, &b->work, b->x, b->y, b->w);
    else
        lq_conv_add_sums(&b->conv, &b->work, b->x, b->y, b->sums);
}

static void measure(struct bench *b, int direction)
{
    if (!b->whole) /* comes into the cache */
        call(b, direction);
    double start = now();

    call(b, direction);
    double seconds = now() - start;
    if (b->seconds[direction] == 0 || seconds < b->seconds[direction])
        b->seconds[direction] = seconds;
}

static void print(const struct bench *b, double limit, bool json)
{
    const struct shape *s = b->shape;

    if (!json)
        printf("%-8s %4d->%-4d %dx%d/%d @%-3d x%-3d", s->net, s->in, s->out, s->kernel, s->kernel,
               s->stride, s->size, b->conv.batch);
    for (int i = 0; i < DIRECTIONS; i++) {
        double rate = b->macs / b->seconds[i];

        if (json)
            printf("{\"net\": \"%s\", \"in\": %d, \"out\": %d, \"kernel\": %d, \"stride\": %d, "
                   "\"size\": %d, \"batch\": %d, \"direction\": \"%s\", \"ms\": %.3f, "
                   "\"gmac_per_s\": %.2f, \"share\": %.3f}\n",
                   s->net, s->in, s->out, s->kernel, s->stride, s->size, b->conv.batch,
                   direction_names[i], b->seconds[i] * 1e3, rate / 1e9, rate / limit);
        else
            printf(" %9.3f %6.1f %5.1f%%", b->seconds[i] * 1e3, rate / 1e9, 100 * rate / limit);
    }
    if (!json)
        putchar('\n');
}

/* Of all layers of a network but the gradient of its images, which nobody needs. */
static void print_net(const struct bench *benches, int count, const char *net, double limit)
{
    double seconds = 0, macs = 0;

    for (int i = 0; i < count; i++)
        for (int j = 0; j < DIRECTIONS && strcmp(benches[i].shape->net, net) == 0; j++) {
            double images = benches[i].conv.batch;

            if (j == 1 && benches[i].shape->in == 3)
                continue;
            seconds += benches[i].shape->count * benches[i].seconds[j] / images;
            macs += benches[i].shape->count * benches[i].macs / images;
        }
    if (seconds > 0)
        printf("%-8s convolutions %.3f ms an image, %.0f images/s, %.1f%% of %.1f GMAC/s\n", net,
               seconds * 1e3, 1 / seconds, 100 * macs / seconds / limit, limit / 1e9);
}

struct options {
    bool json;
    int threads, batch;
    const char *net;
};

static struct options parse(int argc, char **argv)
{
    struct options o = {.threads = 1, .batch = 0};

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            o.json = true;
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            o.threads = atoi(argv[++i]);
        else if (strcmp(argv[i], "--batch") == 0 && i + 1 < argc)
            o.batch = atoi(argv[++i]);
        else
            o.net = argv[i];
    }
    return o;
}

static void report(struct bench *benches, int count, double limit, bool json)
{
    if (!json)
        printf("%-31s %9s %6s %6s %9s %6s %6s %9s %6s %6s\n", "layer", "fwd ms", "GMAC/s", "share",
               "input ms", "GMAC/s", "share", "weight ms", "GMAC/s", "share");
    for (int i = 0; i < count; i++) {
        print(&benches[i], limit, json);
        bench_deinit(&benches[i]);
    }
    for (int i = 0; i < count && !json; i++)
        if (i == 0 || strcmp(benches[i].shape->net, benches[i - 1].shape->net) != 0)
            print_net(benches, count, benches[i].shape->net, limit);
}

int main(int argc, char **argv)
{
    static struct bench benches[sizeof(shapes) / sizeof(*shapes)];
    struct options o = parse(argc, argv);
    struct lq_kernels kernels;
    struct lq_pool *pool;
    size_t scratch = 0;
    int count = 0;

    lq_kernels_init(&kernels, lq_cpu_detect());
    if (lq_pool_create(o.threads, &pool, NULL) != LQ_OK)
        return 1;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        if (strcmp(o.net ? o.net : "resnet20", shapes[i].net) != 0)
            continue;
        bench_init(&benches[count], &shapes[i], o.batch, &kernels);
        size_t bytes = lq_conv_train_scratch(&benches[count].conv, o.threads);
        scratch = bytes > scratch ? bytes : scratch;
        count++;
    }
    void *block = filled(scratch / sizeof(float));
    double limit = measure_limit() * o.threads;
    for (int round = 0; round < (o.batch ? ROUNDS / 4 : ROUNDS); round++)
        for (int i = 0; i < count; i++)
            for (int j = 0; j < DIRECTIONS; j++) {
                benches[i].work = (struct lq_conv_work){.pool = pool, .scratch = block};
                measure(&benches[i], j);
            }
    report(benches, count, limit, o.json);
    free(block);
    lq_pool_destroy(pool);
    return 0;
}
