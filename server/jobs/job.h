/* job.h - a fine-tuning job, and a decision about a model: what is kept of them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_JOB_H
#define SERVER_JOB_H

#include "models/generation.h"

#define JOB_WHO_SIZE    65 /* a token's name */
#define JOB_REASON_SIZE 512

/* X(NAME, text, final) */
#define JOB_STATE_LIST(X)                                                                          \
    X(QUEUED, "queued", false)                                                                     \
    X(RUNNING, "running", false)       /* the candidate is made */                                 \
    X(EVALUATING, "evaluating", false) /* it is compared, shadows live traffic, is published */    \
    X(PUBLISHED, "published", true)                                                                \
    X(REJECTED, "rejected", true) /* by the guard, or it was a dry run */                          \
    X(CANCELLED, "cancelled", true)                                                                \
    X(FAILED, "failed", true)                                                                      \
    X(INTERRUPTED, "interrupted", true) /* by the server's end; may be resumed */

enum job_state {
#define X(name, text, final) JOB_##name,
    JOB_STATE_LIST(X)
#undef X
        JOB_STATE_COUNT
};
const char *job_state_text(enum job_state state);
/* -1: no such state. */
int job_state_from_text(const char *text);
bool job_state_is_final(enum job_state state);

/* Times are milliseconds since 1970; 0: not yet. */
struct job {
    int64_t id;
    char model[MODEL_NAME_SIZE];
    char who[JOB_WHO_SIZE]; /* who asked: a token's name, or "" where there are no tokens */
    enum job_state state;
    char reason[JOB_REASON_SIZE]; /* why it ended as it did */
    int64_t created_ms, started_ms, ended_ms;
    int64_t base, version; /* that it started from; that it made, 0: none */
    char *request;         /* as it was asked for, in JSON */
    char *figures;         /* JSON object of what was measured, or NULL */
    char *log;             /* lines, or NULL */
};
/* Frees what it points at. */
void job_deinit(struct job *job);

/* X(NAME, text): what was decided. */
#define DECISION_LIST(X)                                                                           \
    X(PUBLISH, "publish")                                                                          \
    X(REJECT, "reject")                                                                            \
    X(ROLLBACK, "rollback")                                                                        \
    X(CANCEL, "cancel")                                                                            \
    X(FAIL, "fail")

enum decision_kind {
#define X(name, text) DECISION_##name,
    DECISION_LIST(X)
#undef X
        DECISION_COUNT
};
const char *decision_text(enum decision_kind kind);
int decision_from_text(const char *text);

struct decision {
    int64_t id, at_ms;
    enum decision_kind kind;
    char model[MODEL_NAME_SIZE];
    char who[JOB_WHO_SIZE];
    int64_t job;           /* 0: none */
    int64_t from, version; /* that answered before; that was made, 0: none */
    bool pending;          /* its file is on its way */
    char reason[JOB_REASON_SIZE];
    char *figures; /* JSON, or NULL */
};
void decision_deinit(struct decision *decision);

#endif
