/* store.h - jobs and decisions, kept in a SQLite file. Only store.c knows SQLite.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * FOLDER/jobs.db, with a write-ahead log and synchronous=FULL: what a call has saved is on the disk
 * when it returns. The file is locked as long as it is open, so that two servers cannot share it.
 * One thread at a time. Errors of every function: LQ_ERR_IO, with what SQLite says (a full disk,
 * a damaged file), LQ_ERR_MEMORY.
 */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include "jobs/job.h"

struct store;

/* The file is made where there is none. Errors: also LQ_ERR_FORMAT: it is damaged, or no database
 * of ours, or of a later version. */
int store_open(const char *folder, struct store **ret_store, struct lq_error *error) LQ_MUST_CHECK;
void store_close(struct store *store);

/* Saves them together or not at all; either may be NULL. One with the id 0 is new, and gets its id.
 */
int store_save(struct store *store, struct job *job, struct decision *decision,
               struct lq_error *error) LQ_MUST_CHECK;
/* A decision that was not carried out after all. */
int store_forget(struct store *store, int64_t decision, struct lq_error *error) LQ_MUST_CHECK;

/* Errors: also LQ_ERR_NOT_FOUND. The caller frees by job_deinit. */
int store_job(struct store *store, int64_t id, struct job *ret_job,
              struct lq_error *error) LQ_MUST_CHECK;

/* The last `limit` jobs with ids below `before` (0: all), the newest first; or so the decisions
 * about a model that have been carried out; or those that are pending. Each is handed to
 * `visit`, which may not call the store. */
typedef void store_visit_job(void *context, const struct job *job);
typedef void store_visit_decision(void *context, const struct decision *decision);
int store_jobs(struct store *store, int64_t before, int limit, store_visit_job *visit,
               void *context, struct lq_error *error) LQ_MUST_CHECK;
struct store_page {
    const char *model; /* NULL: all */
    int64_t before;
    int limit;
};
int store_decisions(struct store *store, const struct store_page *page, store_visit_decision *visit,
                    void *context, struct lq_error *error) LQ_MUST_CHECK;
int store_pending(struct store *store, store_visit_decision *visit, void *context,
                  struct lq_error *error) LQ_MUST_CHECK;
/* Ids of the jobs in a state, the oldest first, at most `room`. */
int store_find(struct store *store, enum job_state state, int64_t *ret_ids, int room,
               int *ret_count, struct lq_error *error) LQ_MUST_CHECK;
/* How many jobs are in each state. */
int store_count(struct store *store, int64_t ret_counts[JOB_STATE_COUNT],
                struct lq_error *error) LQ_MUST_CHECK;

#endif
