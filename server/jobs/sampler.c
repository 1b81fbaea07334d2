/* sampler.c - what passes through the server, looked at for fine-tuning.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A model's sample is a reservoir (Vitter's algorithm R): of n pictures seen, each is in it with
 * the probability room/n. As soon as n is RECENT times the room it counts no further, so that old
 * pictures go as new ones come.
 */
#include "jobs/sampler.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codec/text.h"

enum { RECENT = 8, SHADOW_ROOM = 64 };

struct reservoir {
    struct reservoir *next;
    char model[MODEL_NAME_SIZE];
    size_t size;  /* of a picture */
    int64_t room; /* pictures */
    int64_t count, seen;
    uint8_t *pixels;
};

/* Pictures that wait for the candidate, a ring. */
struct shadow {
    uint64_t generation; /* 0: none */
    size_t size;
    int classes;
    double share;
    int first, count;
    uint8_t *pixels; /* [SHADOW_ROOM][size] */
    int answers[SHADOW_ROOM];
};

struct sampler {
    const struct config *config;
    pthread_mutex_t lock;
    pthread_cond_t shown;
    uint64_t random;
    atomic_llong bytes; /* changed under the lock */
    struct reservoir *reservoirs;
    struct shadow shadow;
};

int sampler_create(const struct config *config, struct sampler **ret_sampler,
                   struct lq_error *error)
{
    struct sampler *sampler = calloc(1, sizeof(*sampler));
    pthread_condattr_t monotonic;

    if (!sampler)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    sampler->config = config;
    atomic_init(&sampler->bytes, 0);
    sampler->random = (uint64_t)clock_now_ns() | 1;
    pthread_mutex_init(&sampler->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&sampler->shown, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret_sampler = sampler;
    return LQ_OK;
}

void sampler_destroy(struct sampler *sampler)
{
    struct reservoir *one;

    if (!sampler)
        return;
    while ((one = sampler->reservoirs)) {
        sampler->reservoirs = one->next;
        free(one->pixels);
        free(one);
    }
    free(sampler->shadow.pixels);
    pthread_cond_destroy(&sampler->shown);
    pthread_mutex_destroy(&sampler->lock);
    free(sampler);
}

/* xorshift64* (Vigna); which pictures are taken must be even, not secret. */
static uint64_t draw(struct sampler *sampler)
{
    uint64_t x = sampler->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    sampler->random = x;
    return x * 2685821657736338717u;
}

static double draw_share(struct sampler *sampler)
{
    return (double)(draw(sampler) >> 11) * 0x1p-53;
}

static size_t picture_size(const struct lq_model_info *info)
{
    return (size_t)info->channels * (size_t)info->height * (size_t)info->width;
}

/* ------------------------------------------------------------------------------------------------
 * The sample
 */

static struct reservoir *find(const struct sampler *sampler, const char *model)
{
    for (struct reservoir *at = sampler->reservoirs; at; at = at->next)
        if (strcmp(at->model, model) == 0)
            return at;
    return NULL;
}

/* Room for pictures of this size, as far as there are bytes left. */
static void set_room(struct sampler *sampler, struct reservoir *one, size_t size)
{
    int64_t left = (sampler->config->sample_bytes - atomic_load(&sampler->bytes)) / (int64_t)size;

    one->size = size;
    one->count = one->seen = 0;
    one->room = sampler->config->sample_images < left ? sampler->config->sample_images : left;
    one->pixels = one->room > 0 ? malloc((size_t)one->room * size) : NULL;
    if (!one->pixels)
        one->room = 0;
    atomic_fetch_add(&sampler->bytes, one->room * (int64_t)size);
}

static struct reservoir *provide(struct sampler *sampler, const char *model, size_t size)
{
    struct reservoir *one = find(sampler, model);

    if (one && one->size == size)
        return one;
    if (one) { /* the network takes others now */
        atomic_fetch_sub(&sampler->bytes, one->room * (int64_t)one->size);
        free(one->pixels);
    } else {
        one = calloc(1, sizeof(*one));
        if (!one)
            return NULL;
        memcpy(one->model, model, sizeof(one->model));
        one->next = sampler->reservoirs;
        sampler->reservoirs = one;
    }
    set_room(sampler, one, size);
    return one;
}

static void keep(struct sampler *sampler, struct reservoir *one, const uint8_t *picture)
{
    int64_t at = one->count;

    if (one->room == 0)
        return;
    if (one->seen < RECENT * one->room)
        one->seen++;
    if (one->count == one->room)
        at = (int64_t)(draw(sampler) % (uint64_t)one->seen);
    if (at >= one->room)
        return;
    memcpy(one->pixels + (size_t)at * one->size, picture, one->size);
    one->count += at == one->count;
}

int sampler_copy(struct sampler *sampler, const char *model, const struct lq_model_info *info,
                 struct sampler_pictures *ret_pictures, struct lq_error *error)
{
    const struct reservoir *one;
    struct sampler_pictures pictures = {NULL, 0};
    int status = LQ_OK;

    if (sampler->config->sample_images == 0)
        return error_set(error, LQ_ERR_NOT_FOUND,
                         "no sample is taken of what is asked: sample_images is 0");
    pthread_mutex_lock(&sampler->lock);
    one = find(sampler, model);
    if (one && one->size == picture_size(info))
        pictures.count = one->count;
    if (pictures.count == 0)
        status = error_set(error, LQ_ERR_NOT_FOUND, "the sample of '%s' has no picture yet", model);
    else if (!(pictures.pixels = malloc((size_t)pictures.count * one->size)))
        status = error_set(error, LQ_ERR_MEMORY, "out of memory");
    else
        memcpy(pictures.pixels, one->pixels, (size_t)pictures.count * one->size);
    pthread_mutex_unlock(&sampler->lock);
    if (status == LQ_OK)
        *ret_pictures = pictures;
    return status;
}

int64_t sampler_bytes(const struct sampler *sampler)
{
    return atomic_load(&sampler->bytes);
}

/* ------------------------------------------------------------------------------------------------
 * The shadow
 */

static int best_class(const float *output, int classes)
{
    int best = 0;

    for (int i = 1; i < classes; i++)
        if (output[i] > output[best])
            best = i;
    return best;
}

static void show(struct sampler *sampler, const uint8_t *picture, const float *output)
{
    struct shadow *shadow = &sampler->shadow;
    int at = (shadow->first + shadow->count) % SHADOW_ROOM;

    if (shadow->count == SHADOW_ROOM || draw_share(sampler) >= shadow->share)
        return;
    memcpy(shadow->pixels + (size_t)at * shadow->size, picture, shadow->size);
    shadow->answers[at] = best_class(output, shadow->classes);
    shadow->count++;
    pthread_cond_signal(&sampler->shown);
}

int sampler_shadow(struct sampler *sampler, uint64_t generation, const struct lq_model_info *info,
                   double share, struct lq_error *error)
{
    size_t size = picture_size(info);
    uint8_t *pixels = malloc(SHADOW_ROOM * size);

    if (!pixels)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    pthread_mutex_lock(&sampler->lock);
    sampler->shadow = (struct shadow){.generation = generation,
                                      .size = size,
                                      .classes = info->classes,
                                      .share = share,
                                      .pixels = pixels};
    pthread_mutex_unlock(&sampler->lock);
    return LQ_OK;
}

bool sampler_next(struct sampler *sampler, int64_t wait_us, uint8_t *ret_pixels, int *ret_class)
{
    struct shadow *shadow = &sampler->shadow;
    int64_t until_us = clock_now_us() + wait_us;
    struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
    int code = 0;
    bool any;

    pthread_mutex_lock(&sampler->lock);
    while (shadow->count == 0 && code == 0)
        code = pthread_cond_timedwait(&sampler->shown, &sampler->lock, &until);
    any = shadow->count > 0;
    if (any) {
        memcpy(ret_pixels, shadow->pixels + (size_t)shadow->first * shadow->size, shadow->size);
        *ret_class = shadow->answers[shadow->first];
        shadow->first = (shadow->first + 1) % SHADOW_ROOM;
        shadow->count--;
    }
    pthread_mutex_unlock(&sampler->lock);
    return any;
}

void sampler_unshadow(struct sampler *sampler)
{
    pthread_mutex_lock(&sampler->lock);
    free(sampler->shadow.pixels);
    sampler->shadow = (struct shadow){0};
    pthread_mutex_unlock(&sampler->lock);
}

/* ------------------------------------------------------------------------------------------------
 * What passes
 */

void sampler_see(void *context, const struct generation *generation, const uint8_t *pixels,
                 const float *output, int rows)
{
    struct sampler *sampler = context;
    size_t size = picture_size(&generation->info);
    struct reservoir *one;

    if (pthread_mutex_trylock(&sampler->lock) != 0)
        return;
    one = sampler->config->sample_images ? provide(sampler, generation->name, size) : NULL;
    for (int i = 0; i < rows; i++) {
        const uint8_t *picture = pixels + (size_t)i * size;

        if (one)
            keep(sampler, one, picture);
        if (sampler->shadow.generation == generation->number && generation->number)
            show(sampler, picture, output + (size_t)i * (size_t)generation->info.classes);
    }
    pthread_mutex_unlock(&sampler->lock);
}
