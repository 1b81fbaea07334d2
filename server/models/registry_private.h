/* registry_private.h - what the files of the registry share: registry.c answers questions,
 * registry_load.c loads, unloads and scans.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_REGISTRY_PRIVATE_H
#define SERVER_REGISTRY_PRIVATE_H

#include <pthread.h>

#include "models/registry.h"
#include "models/repository.h"

/* Of a model; stays once it has been seen. */
struct registry_version {
    struct registry_version *next; /* lower ones */
    int64_t number;
    char text[24];
    enum registry_state state;
    char reason[512];
    struct generation *generation; /* that answers; held */
    struct stats *stats;
    struct metrics_model *metrics;
    struct repository_stamp stamp; /* of the file that was tried last */
    bool tried;
};

struct registry_model {
    struct registry_model *next; /* by name */
    char name[MODEL_NAME_SIZE];
    struct registry_version *versions;
    bool in_folder, unloaded; /* by REGISTRY_UNLOAD */
};

struct registry_request {
    struct registry_request *next;
    enum registry_action action;
    char name[MODEL_NAME_SIZE];
    registry_done *done;
    void *context;
};

/* A generation that no longer answers, until nobody holds it. */
struct registry_draining {
    struct registry_draining *next;
    struct generation *generation;
    struct registry_version *version; /* UNLOADING until then, or NULL */
};

struct registry {
    const struct lq_engine *engine;
    const struct config *config;
    struct metrics *metrics;
    struct repository *repository; /* the loading thread's */
    pthread_mutex_t lock;          /* of models, and of requests */
    pthread_cond_t asked;
    struct registry_model *models;
    struct registry_request *first, **last;
    int pending;
    bool stopping, started;
    pthread_t thread;
    struct registry_draining *draining; /* the loading thread's */
    uint64_t generations;               /* the loading thread's */
    atomic_int live;
};

/* Where a text lists names between blanks or commas: is this one of them? */
bool registry_lists(const char *list, const char *name);

/* registry_load.c */

/* New, changed and vanished files. Errors: LQ_ERR_IO, LQ_ERR_MEMORY. */
int registry_scan(struct registry *registry, struct lq_error *error) LQ_MUST_CHECK;
void *registry_main(void *registry);
/* Lets go what drains; false: something is still held. */
bool registry_collect(struct registry *registry);

#endif
