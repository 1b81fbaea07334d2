/* jobs_private.h - what the files of the jobs share: jobs.c is the keeper's thread, jobs_order.c
 * carries out orders, jobs_run.c is the runner's thread, jobs_publish.c brings versions into the
 * repository, jobs_json.c writes what is told.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_JOBS_PRIVATE_H
#define SERVER_JOBS_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "jobs/jobs.h"
#include "jobs/store.h"
#include "jobs/uploads.h"
#include "models/repository.h"

#define JOBS_LIST_LIMIT    100 /* jobs or decisions in one answer */
#define JOBS_MAX_LISTENERS 16
#define JOBS_MAX_ORDERS    64
#define JOBS_HEARTBEAT_US  5000000 /* between lines to listeners, who else could leave unseen */
#define JOBS_TELL_US       250000  /* between two events about progress */
#define JOBS_MAX_LOG_BYTES 16384

/* What the keeper is sent. */
enum message_kind { MESSAGE_ORDER, MESSAGE_EVALUATING, MESSAGE_ENDED, MESSAGE_LOADED };
struct message {
    struct message *next;
    enum message_kind kind;
};

struct order_message {
    struct message message;
    struct jobs_order order;
    jobs_done *done;
    void *context;
};

/* Why the runner is to stop. */
enum run_stop { RUN_GO, RUN_CANCEL, RUN_INTERRUPT };

enum run_end { RUN_ACCEPTED, RUN_REJECTED, RUN_FAILED, RUN_STOPPED };

/* The job that runs. The keeper makes it; the runner computes; what is `told` is for both. */
struct run {
    struct message evaluating, ended; /* each is sent once */
    struct jobs *jobs;
    int64_t job;
    char model[MODEL_NAME_SIZE];
    struct spec spec;
    struct lq_model *base;    /* held */
    struct lq_model *teacher; /* held, or NULL */
    struct lq_model *latent;  /* of joint: the float network behind base, or NULL */
    int64_t base_version;
    uint64_t generation;                          /* that answered when it began */
    char candidate[CONFIG_TEXT_SIZE + 64];        /* path */
    char candidate_latent[CONFIG_TEXT_SIZE + 64]; /* of the float network behind it, if any */
    atomic_int stop;
    enum run_end end; /* behind `ended` */
    char reason[JOB_REASON_SIZE];
    pthread_mutex_t lock; /* of what is told: */
    char stage[32];
    int64_t done, total, stage_us, told_us;
    struct text log, figures;
    bool news;
};

/* A version on its way to answer. */
struct publication {
    struct message loaded;
    struct jobs *jobs;
    struct decision decision;
    struct job job;  /* id 0: none, a rollback */
    jobs_done *done; /* of a rollback */
    void *context;
    int status; /* behind `loaded` */
    struct lq_error error;
};

struct listener {
    struct listener *next;
    struct jobs_listener hears;
    int64_t job;
};

struct jobs {
    struct jobs_setup setup;
    struct uploads *uploads;
    char state[CONFIG_TEXT_SIZE];
    pthread_mutex_t lock; /* of the messages */
    pthread_cond_t sent;
    struct message *first, **last;
    int orders;
    bool stopping, news;
    pthread_mutex_t run_lock; /* of what the runner is to do */
    pthread_cond_t run_given;
    struct run *given;
    bool runner_ends;
    pthread_t keeper, runner;
    bool keeping, running;
    atomic_int listener_count;
    /* the keeper's */
    struct store *store;
    struct repository *repository;
    struct run *run; /* NULL: none */
    int publications;
    struct listener *listeners;
    int64_t heartbeat_us, listening; /* the job of the JOBS_LISTEN that is being answered */
};

/* jobs.c */

void jobs_send(struct jobs *jobs, struct message *message);
/* Milliseconds since 1970. */
int64_t jobs_now_ms(void);
/* Tells the log, the metrics, and whoever listens, that a job has come to its state; those who
 * listen hear no more where it is a final one. */
void jobs_tell(struct jobs *jobs, const struct job *job);
/* Saves a job and perhaps a decision, then jobs_tell. A failure is logged and given. */
int jobs_settle(struct jobs *jobs, struct job *job, struct decision *decision,
                struct lq_error *error);

/* jobs_order.c */

void jobs_carry_out(struct jobs *jobs, struct order_message *order);

/* jobs_run.c */

void *jobs_runner_main(void *jobs);
/* Gives the runner the oldest job that waits, if it has nothing to do. */
void jobs_start_next(struct jobs *jobs);
void jobs_run_free(struct run *run);
/* The run tells something. */
void jobs_run_say(struct run *run, const char *format, ...) LQ_PRINTF(2, 3);

/* jobs_publish.c */

/* Carries out a decision to publish or to roll back: `content` becomes the model's next version.
 * The end is settled, and done called, when the registry has loaded it, or has not. Takes over what
 * job and decision point at. */
void jobs_publish(struct jobs *jobs, struct decision *decision, struct job *job,
                  const struct repository_content *content, jobs_done *done, void *context);
void jobs_published(struct jobs *jobs, struct publication *publication);
/* The version that a model's next one would have; refused where nobody would see it. Errors:
 * LQ_ERR_UNSUPPORTED, LQ_ERR_IO, LQ_ERR_MEMORY. */
int jobs_next_version(struct jobs *jobs, const char *model, int64_t *ret_version,
                      struct lq_error *error) LQ_MUST_CHECK;
/* The files of a run's candidate, which the runner has written. A candidate that was not trained
 * with its float network takes along its base's: its weights have kept their codes. */
int jobs_read_candidate(struct jobs *jobs, const struct run *run,
                        struct repository_content *ret_content,
                        struct lq_error *error) LQ_MUST_CHECK;
void jobs_candidate_path(const struct jobs *jobs, int64_t job, bool latent, char *ret_path,
                         size_t size);
void jobs_drop_candidate(const struct jobs *jobs, int64_t job);
/* What a crash has left. */
int jobs_recover(struct jobs *jobs, struct lq_error *error) LQ_MUST_CHECK;

/* jobs_json.c */

/* run: the job's, or NULL. */
void jobs_write_job(const struct job *job, struct run *run, bool brief, struct text *json);
void jobs_write_progress(struct run *run, struct text *json);
void jobs_write_decision(const struct decision *decision, struct text *json);

#endif
