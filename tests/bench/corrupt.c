/* corrupt.c - CIFAR-10 images as another camera would have seen them.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * corrupt KIND SEED IN.bin OUT.bin: the same records with changed pixels, or with shuffled classes.
 *   none        as they are
 *   contrast    a quarter of the contrast, about each image's own mean
 *   brightness  77 of 255 brighter
 *   noise       Gaussian, standard deviation 26 of 255
 *   blur        Gaussian, standard deviation 1.1 pixels
 *   mix         0.6 of the contrast, 20 darker, blurred by 0.6 pixels, noise of 10
 *   labels      pixels as they are, classes shuffled
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, RECORD = 1 + 3 * PLANE, RADIUS = 4 };

/* In the order they are applied; 1, 0, 0, 0 change nothing. */
struct corruption {
    const char *name;
    float contrast, brightness, blur, noise;
};

static const struct corruption corruptions[] = {
    {"none", 1, 0, 0, 0},   {"contrast", 0.25f, 0, 0, 0}, {"brightness", 1, 77, 0, 0},
    {"noise", 1, 0, 0, 26}, {"blur", 1, 0, 1.1f, 0},      {"mix", 0.6f, -20, 0.6f, 10}};

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* One direction; step: between neighbours along it, across: between lines. Edges are repeated. */
static void blur_lines(float *plane, float deviation, int step, int across)
{
    float weights[2 * RADIUS + 1], sum = 0, line[SIDE];

    for (int i = -RADIUS; i <= RADIUS; i++) {
        weights[i + RADIUS] = expf(-(float)(i * i) / (2 * deviation * deviation));
        sum += weights[i + RADIUS];
    }
    for (int at = 0; at < SIDE; at++) {
        float *first = plane + (size_t)at * (size_t)across;

        for (int x = 0; x < SIDE; x++) {
            line[x] = 0;
            for (int i = -RADIUS; i <= RADIUS; i++)
                line[x] += weights[i + RADIUS] / sum * first[clamp(x + i, 0, SIDE - 1) * step];
        }
        for (int x = 0; x < SIDE; x++)
            first[x * step] = line[x];
    }
}

static void corrupt(const struct corruption *c, struct lq_rng *rng, uint8_t *pixels)
{
    float mean = 0, plane[PLANE];

    for (int i = 0; i < 3 * PLANE; i++)
        mean += (float)pixels[i] / (3 * PLANE);
    for (int channel = 0; channel < 3; channel++, pixels += PLANE) {
        for (int i = 0; i < PLANE; i++)
            plane[i] = mean + c->contrast * ((float)pixels[i] - mean) + c->brightness;
        if (c->blur > 0) {
            blur_lines(plane, c->blur, 1, SIDE);
            blur_lines(plane, c->blur, SIDE, 1);
        }
        for (int i = 0; i < PLANE; i++) {
            float noise = c->noise > 0 ? c->noise * lq_rng_normal(rng) : 0;

            pixels[i] = (uint8_t)clamp((int)lrintf(plane[i] + noise), 0, 255);
        }
    }
}

static void shuffle_labels(uint8_t *records, size_t count, struct lq_rng *rng)
{
    for (size_t i = count - 1; i > 0; i--) {
        size_t j = lq_rng_below(rng, (uint32_t)i + 1);
        uint8_t label = records[i * RECORD];

        records[i * RECORD] = records[j * RECORD];
        records[j * RECORD] = label;
    }
}

static int change(const char *kind, uint64_t seed, uint8_t *records, size_t count)
{
    struct lq_rng rng;

    if (strcmp(kind, "labels") == 0) {
        lq_rng_init(&rng, seed, 0);
        shuffle_labels(records, count, &rng);
        return 0;
    }
    for (size_t i = 0; i < sizeof(corruptions) / sizeof(*corruptions); i++) {
        if (strcmp(corruptions[i].name, kind) != 0)
            continue;
        for (size_t image = 0; image < count; image++) {
            lq_rng_init(&rng, seed, image + 1);
            corrupt(&corruptions[i], &rng, records + image * RECORD + 1);
        }
        return 0;
    }
    fprintf(stderr, "corrupt: no kind '%s'\n", kind);
    return 2;
}

int main(int argc, char **argv)
{
    enum { ROOM = 10000 * RECORD };
    uint8_t *records = malloc(ROOM);
    FILE *in = argc == 5 ? fopen(argv[3], "rb") : NULL, *out;
    size_t size;
    int status;

    if (!in || !records) {
        fputs("usage: corrupt KIND SEED IN.bin OUT.bin\n", stderr);
        return 2;
    }
    size = fread(records, 1, ROOM, in);
    fclose(in);
    status = change(argv[1], strtoull(argv[2], NULL, 10), records, size / RECORD);
    if (status != 0)
        return status;
    out = fopen(argv[4], "wb");
    if (!out || fwrite(records, 1, size, out) != size || fclose(out) != 0) {
        perror(argv[4]);
        return 1;
    }
    free(records);
    return 0;
}
