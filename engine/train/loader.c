/* loader.c - training batches, read and augmented ahead by threads of their own.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A ring of batches: one thread fills it, with a pool's help where reading is slow (JPEG), the
 * trainer empties it.
 */
#include "train/loader.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/pool.h"
#include "base/status.h"

enum { SLOTS = 3 };

/* Streams of random numbers: epochs' orders are 2 epoch, images' augmentations odd. */
#define IMAGE_STREAM(index) (2 * (uint64_t)(index) + 1)

struct lq_loader {
    struct lq_loader_options options;
    int64_t images, batches;
    int batch;
    size_t floats;   /* of an image */
    int64_t *order;  /* items of the data set, in the order of an epoch */
    int64_t ordered; /* epoch; -1: none yet */
    struct lq_batch slots[SLOTS];
    struct lq_arena arena;
    struct lq_pool *pool;
    pthread_t thread;
    bool started;
    int64_t first;
    int64_t filling;      /* batch; of the filling thread alone */
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    int64_t filled, taken; /* batches, counted from the first one */
    bool held;             /* the trainer still uses batch taken - 1 */
    bool stopping;
    int status;
    struct lq_error error;
};

static void shuffle(struct lq_loader *l, int64_t epoch)
{
    struct lq_rng rng;

    if (l->ordered == epoch)
        return;
    lq_rng_init(&rng, l->options.seed, 2 * (uint64_t)epoch);
    for (int64_t i = 0; i < l->images; i++)
        l->order[i] = i;
    for (int64_t i = l->images - 1; i > 0; i--) {
        int64_t j = lq_rng_below(&rng, (uint32_t)i + 1), item = l->order[i];

        l->order[i] = l->order[j];
        l->order[j] = item;
    }
    l->ordered = epoch;
}

static void load_image(void *context, int at, int worker)
{
    struct lq_loader *l = context;
    const struct lq_batch *slot = &l->slots[l->filling % SLOTS];
    int64_t place = l->filling % l->batches * l->batch + at, item = l->order[place];
    struct lq_error error = {0};
    struct lq_rng rng;
    int status;

    (void)worker;
    lq_rng_init(&rng, l->options.seed, IMAGE_STREAM(l->filling / l->batches * l->images + place));
    slot->labels[at] = (int)lq_dataset_label(l->options.dataset, item);
    status = lq_dataset_input(l->options.dataset, item, l->options.preprocess, l->options.channels,
                              &l->options.augmentation, &rng, slot->input + (size_t)at * l->floats,
                              &error);
    if (status == LQ_OK)
        return;
    pthread_mutex_lock(&l->lock);
    if (l->status == LQ_OK) {
        l->status = status;
        l->error = error;
    }
    pthread_mutex_unlock(&l->lock);
}

/* Waits for room; false: stop. */
static bool wait_for_room(struct lq_loader *l)
{
    bool go;

    pthread_mutex_lock(&l->lock);
    while (!l->stopping && l->status == LQ_OK &&
           l->filling - l->first - l->taken + (l->held ? 1 : 0) >= SLOTS)
        pthread_cond_wait(&l->changed, &l->lock);
    go = !l->stopping && l->status == LQ_OK;
    pthread_mutex_unlock(&l->lock);
    return go;
}

static void *fill(void *argument)
{
    struct lq_loader *l = argument;

    while (wait_for_room(l)) {
        shuffle(l, l->filling / l->batches);
        lq_pool_run(l->pool, l->batch, load_image, l);
        pthread_mutex_lock(&l->lock);
        if (l->status == LQ_OK)
            l->filled++;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
        l->filling++;
    }
    return NULL;
}

static int reserve(struct lq_loader *l, struct lq_error *error)
{
    size_t count = (size_t)lq_dataset_count(l->options.dataset);
    const struct lq_preprocess *p = l->options.preprocess;
    size_t batch;

    l->floats = (size_t)p->height * (size_t)p->width * (size_t)l->options.channels;
    l->order = lq_arena_alloc(&l->arena, count, sizeof(*l->order));
    if (!l->order)
        return lq_fail_memory(error);
    l->images = (int64_t)count;
    if (l->images < 1 || l->images > INT32_MAX)
        return lq_fail(error, LQ_ERR_INVALID, "%lld images to train on", (long long)l->images);
    l->batch = l->options.batch < l->images ? l->options.batch : (int)l->images;
    l->batches = l->images / l->batch;
    batch = (size_t)l->batch;
    for (int i = 0; i < SLOTS; i++) {
        l->slots[i].input = lq_arena_alloc(&l->arena, batch, l->floats * sizeof(float));
        l->slots[i].labels = lq_arena_alloc(&l->arena, batch, sizeof(int));
        if (!l->slots[i].input || !l->slots[i].labels)
            return lq_fail_memory(error);
    }
    return LQ_OK;
}

int lq_loader_create(const struct lq_loader_options *options, int64_t first,
                     struct lq_loader **ret_loader, struct lq_error *error)
{
    struct lq_loader *l = lq_alloc(1, sizeof(*l));
    int status;

    if (!l)
        return lq_fail_memory(error);
    l->options = *options;
    l->ordered = -1;
    l->first = l->filling = first;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    status = reserve(l, error);
    if (status == LQ_OK)
        status = lq_pool_create(options->threads, &l->pool, error);
    if (status == LQ_OK) {
        l->started = pthread_create(&l->thread, NULL, fill, l) == 0;
        if (!l->started)
            status = lq_fail(error, LQ_ERR_MEMORY, "cannot start the loader's thread");
    }
    if (status == LQ_OK)
        *ret_loader = l;
    else
        lq_loader_destroy(l);
    return status;
}

void lq_loader_destroy(struct lq_loader *loader)
{
    if (!loader)
        return;
    if (loader->started) {
        pthread_mutex_lock(&loader->lock);
        loader->stopping = true;
        pthread_cond_broadcast(&loader->changed);
        pthread_mutex_unlock(&loader->lock);
        pthread_join(loader->thread, NULL);
    }
    lq_pool_destroy(loader->pool);
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->lock);
    lq_arena_deinit(&loader->arena);
    free(loader);
}

int64_t lq_loader_images(const struct lq_loader *loader)
{
    return loader->images;
}

int64_t lq_loader_batches(const struct lq_loader *loader)
{
    return loader->batches;
}

int lq_loader_batch(const struct lq_loader *loader)
{
    return loader->batch;
}

int lq_loader_next(struct lq_loader *l, const struct lq_batch **ret_batch, struct lq_error *error)
{
    int status;

    pthread_mutex_lock(&l->lock);
    l->held = false;
    pthread_cond_broadcast(&l->changed);
    while (l->filled == l->taken && l->status == LQ_OK)
        pthread_cond_wait(&l->changed, &l->lock);
    status = l->filled > l->taken ? LQ_OK : l->status;
    if (status == LQ_OK) {
        *ret_batch = &l->slots[(l->first + l->taken) % SLOTS];
        l->taken++;
        l->held = true;
    } else {
        lq_error_set(error, status, "%s", l->error.text);
    }
    pthread_mutex_unlock(&l->lock);
    return status;
}
