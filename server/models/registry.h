/* registry.h - the models that are served: which generation of which version answers.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A thread of its own loads: it reads a file of the repository, verifies and warms it, and only
 * then swaps one pointer, so that requests see the old generation or the new one. The old one goes
 * when its last request has been answered. A file that cannot be loaded leaves the old one serving,
 * and its reason is kept. Any thread, but for open and close.
 */
#ifndef SERVER_REGISTRY_H
#define SERVER_REGISTRY_H

#include "models/generation.h"

/* X(NAME): as the model_repository extension calls them. */
#define REGISTRY_STATE_LIST(X)                                                                     \
    X(UNAVAILABLE)                                                                                 \
    X(LOADING)                                                                                     \
    X(READY)                                                                                       \
    X(UNLOADING)

enum registry_state {
#define X(name) REGISTRY_##name,
    REGISTRY_STATE_LIST(X)
#undef X
};
const char *registry_state_text(enum registry_state state);

/* One version of a model, as it is at the moment. */
struct registry_item {
    char name[MODEL_NAME_SIZE];
    char version_text[24];
    enum registry_state state;
    uint64_t generation; /* number of the one that answers, 0: none */
    char reason[512];    /* why it is not READY, or why the last reload left it as it is; or "" */
};

struct registry;

/* The metrics outlive the registry. Loads what `models` and `version_policy` say, and starts the
 * loading thread. A file that cannot be loaded is an UNAVAILABLE item. Errors: LQ_ERR_IO (the
 * folder cannot be read), LQ_ERR_MEMORY.
 */
int registry_open(const struct lq_engine *engine, const struct config *config,
                  struct metrics *metrics, struct registry **ret_registry,
                  struct lq_error *error) LQ_MUST_CHECK;
/* Ends the loading thread; what it has not begun ends as LQ_ERR_CANCELLED. */
void registry_stop(struct registry *registry);
/* Every generation must have been let go. */
void registry_close(struct registry *registry);

/* The generation that answers for a model, held by the caller; version NULL: the highest one that
 * is ready. Errors: LQ_ERR_NOT_FOUND: no such model or version; LQ_ERR_UNSUPPORTED: none that is
 * ready, and why. */
int registry_acquire(struct registry *registry, const char *name, const char *version,
                     struct generation **ret_generation, struct lq_error *error) LQ_MUST_CHECK;
/* All versions of a model (of all where name is NULL), by name, the highest version first;
 * free(*ret_items). Errors: LQ_ERR_MEMORY. */
int registry_list(struct registry *registry, const char *name, struct registry_item **ret_items,
                  int *ret_count, struct lq_error *error) LQ_MUST_CHECK;
/* The version's statistics, which last as long as the registry; NULL: there is no such one. */
struct stats *registry_stats(struct registry *registry, const char *name, const char *version);
/* Is every required model warm? Those of `required_models`; with strict_readiness also all others
 * of the folder that nobody has unloaded; and at least one in any case. */
bool registry_is_ready(struct registry *registry);
/* Generations in memory, those that drain included. */
int registry_live_generations(const struct registry *registry);

enum registry_action {
    REGISTRY_LOAD,   /* reads the model's files again, whether they have changed or not */
    REGISTRY_UNLOAD, /* it stays away until REGISTRY_LOAD */
    REGISTRY_SCAN,   /* new files, changed ones, and those that are gone; name NULL */
};
/* On the loading thread, once: LQ_ERR_NOT_FOUND: no such model in the folder; else why it could
 * not be loaded. */
typedef void registry_done(void *context, int status, const struct lq_error *error);
/* `done` may be NULL. False: too much is to be loaded already, and done is not called. */
bool registry_request(struct registry *registry, enum registry_action action, const char *name,
                      registry_done *done, void *context);

#endif
