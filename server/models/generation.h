/* generation.h - one loading of one version of a model, ready to run.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Reference counted: whoever looks it up in the registry holds it, and so does each of its jobs. A
 * reload publishes the next generation; this one goes when the last of its holders lets it go.
 * Immutable but for the references and the queue, which is the batcher's.
 */
#ifndef SERVER_GENERATION_H
#define SERVER_GENERATION_H

#include <stdatomic.h>

#include "config.h"
#include "observe/stats.h"

#define MODEL_NAME_SIZE 128

struct batcher_job;

/* What waits for a worker; under the batcher's lock. */
enum { PRIORITY_HIGHEST = 1, PRIORITY_DEFAULT = 5, PRIORITY_LOWEST = 9, PRIORITY_COUNT = 10 };
struct batcher_queue {
    struct generation *next, *previous; /* that have jobs */
    struct batcher_job *first[PRIORITY_COUNT], *last[PRIORITY_COUNT];
    int64_t jobs, images;
};

/* One worker's: made with the generation, so that a request allocates none. */
struct generation_worker {
    struct lq_session *session;
    uint8_t *pixels; /* [max_batch][height][width][channels] */
    float *floats;   /* [max_batch][channels][height][width], made when first needed */
    float *output;   /* [max_batch][classes] */
};

struct generation {
    char name[MODEL_NAME_SIZE];
    int64_t version;
    char version_text[24];
    uint64_t number; /* of all loadings since the server started, from 1 */
    char number_text[24];
    struct lq_model *model;
    struct lq_model_info info;
    struct stats *stats; /* the version's; outlives its generations */
    struct generation_worker *workers;
    int worker_count, max_batch;
    struct batcher_queue queue;
    atomic_int references;
    atomic_int *live; /* generations of the registry that still exist */
};

/* Takes over the model, also on failure; makes a session for each worker and runs it once. The
 * caller holds it. Errors: LQ_ERR_MEMORY, LQ_ERR_LIMIT, those of lq_session_run. */
int generation_create(const struct config *config, const char *name, int64_t version,
                      struct lq_model *model, struct generation **ret_generation,
                      struct lq_error *error) LQ_MUST_CHECK;
/* Any thread. */
struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation);

#endif
