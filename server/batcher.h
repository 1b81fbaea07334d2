/* batcher.h - a bounded queue of work and the threads that do it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_BATCHER_H
#define SERVER_BATCHER_H

#include "config.h"
#include "registry.h"

struct batcher;

/* One request's work. `run` is called once on a worker, with that worker's session of the model; it
 * replies and frees the job. If no session could be made, session is NULL and error says why. */
struct batcher_job {
    struct batcher_job *next;
    const struct registry_entry *entry;
    void (*run)(struct batcher_job *job, struct lq_session *session, const struct lq_error *error);
};

/* Errors: LQ_ERR_MEMORY. */
int batcher_start(const struct config *config, const struct registry *registry,
                  struct batcher **ret_batcher, struct lq_error *error) LQ_MUST_CHECK;
/* False where the queue is full: the job stays the caller's. */
bool batcher_submit(struct batcher *batcher, struct batcher_job *job);
/* Does what is queued, then ends the workers. */
void batcher_stop(struct batcher *batcher);

#endif
