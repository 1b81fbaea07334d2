/* jobs.h - fine-tuning jobs: asked for, run one after the other, decided, published.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Two threads. The keeper holds the store, the queue and everybody who listens; it takes orders
 * and answers them. The runner computes one job at a time, with `job_threads` threads of
 * `job_priority`. A candidate that the guard accepts becomes the model's next
 * version in the repository; the registry loads it as it loads every file, and swaps its pointer.
 *
 * `state` is the folder of all that is kept: jobs.db, uploads/, and candidates/ of jobs that have
 * not ended. A decision is on the disk before its file is, so that after a crash it is known what
 * a file stands for.
 */
#ifndef SERVER_JOBS_H
#define SERVER_JOBS_H

#include "jobs/job.h"
#include "jobs/sampler.h"
#include "jobs/work.h"
#include "models/registry.h"

struct jobs;

struct jobs_setup {
    const struct config *config;
    const struct lq_engine *engine;
    struct registry *registry;
    struct metrics *metrics;
    struct sampler *sampler;
    const struct work *work;
};

/* All of the setup must outlive it. Settles what a crash has left: jobs that ran are INTERRUPTED,
 * or PUBLISHED where their file is there; those that waited wait again. Errors: those of
 * store_open; LQ_ERR_IO (the folder); LQ_ERR_MEMORY. */
int jobs_open(const struct jobs_setup *setup, struct jobs **ret_jobs,
              struct lq_error *error) LQ_MUST_CHECK;
/* Interrupts the job that runs, ends what listeners hear, answers what is asked: LQ_ERR_CANCELLED.
 * The registry must still load. NULL is fine. */
void jobs_stop(struct jobs *jobs);
void jobs_close(struct jobs *jobs);

/* Errors that an order may end with: LQ_ERR_INVALID (what was asked for), LQ_ERR_NOT_FOUND,
 * LQ_ERR_UNSUPPORTED (not now: the job has ended, the folder is read-only ...), LQ_ERR_LIMIT (too
 * many jobs wait, quota), LQ_ERR_IO, LQ_ERR_MEMORY, LQ_ERR_CANCELLED. */
enum jobs_action {
    JOBS_SUBMIT, /* model, body: the job */
    JOBS_LIST,   /* number: ids below it; 0: the newest */
    JOBS_SHOW,   /* number: the job's id; so it is for the next ones */
    JOBS_LISTEN, /* as JOBS_SHOW; `done` may call jobs_listen */
    JOBS_CANCEL,
    JOBS_RESUME,
    JOBS_ROLLBACK, /* model, number: the version whose file is to answer again; 0: the one before */
    JOBS_HISTORY,  /* model, number: what was decided; ids as for JOBS_LIST */
    JOBS_UPLOAD,   /* model, name, body with its media type: labelled pictures */
    JOBS_UPLOADS,  /* model: those that there are */
    JOBS_DISCARD,  /* model, name: of an upload */
};

struct jobs_order {
    enum jobs_action action;
    char model[MODEL_NAME_SIZE], name[MODEL_NAME_SIZE];
    char who[JOB_WHO_SIZE];
    int64_t number;
    const char *type, *body; /* stay the caller's until `done` */
    size_t size;
};

/* On the keeper's thread, or on the registry's, once. LQ_OK: json is the answer, the callee's. */
typedef void jobs_done(void *context, int status, const struct lq_error *error, struct text *json);
/* False: too much is asked at once, or the end has come; `done` is not called. Any thread. */
bool jobs_request(struct jobs *jobs, const struct jobs_order *order, jobs_done *done,
                  void *context);

/* Somebody who hears a job's events (lines of text/event-stream) until it ends. `send` false: it is
 * gone. `end` is called once. On the keeper's thread; neither may wait. */
struct jobs_listener {
    bool (*send)(void *context, const char *bytes, size_t size);
    void (*end)(void *context);
    void *context;
};
/* From `done` of JOBS_LISTEN alone. It hears the job as it is at once, and its end where it has
 * ended. False: out of memory. */
bool jobs_listen(struct jobs *jobs, const struct jobs_listener *listener);
/* May one more listen? */
bool jobs_has_room_for_listener(struct jobs *jobs);

#endif
