/* job.c - a fine-tuning job, and a decision about a model: what is kept of them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "jobs/job.h"

#include <stdlib.h>
#include <string.h>

static const char *const state_texts[] = {
#define X(name, text, final) text,
    JOB_STATE_LIST(X)
#undef X
};

static const bool state_final[] = {
#define X(name, text, final) final,
    JOB_STATE_LIST(X)
#undef X
};

static const char *const decision_texts[] = {
#define X(name, text) text,
    DECISION_LIST(X)
#undef X
};

static int find(const char *const *texts, int count, const char *text)
{
    for (int i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0)
            return i;
    return -1;
}

const char *job_state_text(enum job_state state)
{
    return state_texts[state];
}

int job_state_from_text(const char *text)
{
    return find(state_texts, JOB_STATE_COUNT, text);
}

bool job_state_is_final(enum job_state state)
{
    return state_final[state];
}

void job_deinit(struct job *job)
{
    free(job->request);
    free(job->figures);
    free(job->log);
    job->request = job->figures = job->log = NULL;
}

const char *decision_text(enum decision_kind kind)
{
    return decision_texts[kind];
}

int decision_from_text(const char *text)
{
    return find(decision_texts, DECISION_COUNT, text);
}

void decision_deinit(struct decision *decision)
{
    free(decision->figures);
    decision->figures = NULL;
}
