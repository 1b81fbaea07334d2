/* jobs_bench.h - what suites of the jobs' inside share: a registry with the model "tiny", a folder
 * of data, work that does nothing, and orders that are waited for. One bench at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_JOBS_BENCH_H
#define TESTS_SUPPORT_JOBS_BENCH_H

#include <semaphore.h>
#include <stdatomic.h>

#include "jobs/jobs.h"
#include "jobs/jobs_private.h"

extern struct bench {
    char folder[64]; /* of models, state and data: "set" with one picture, "empty", and a way out */
    struct config config;
    struct metrics *metrics;
    struct lq_engine *engine;
    struct registry *registry;
    struct sampler *sampler;
    struct jobs *jobs;
} bench;
void bench_setup(void);
void bench_teardown(void);
void bench_open_jobs(void);
void bench_open_registry(void);
/* A command in which %1$s stands for the folder succeeds. */
void bench_run(const char *format);
/* Of a name in the folder, until the next call. */
const char *bench_path(const char *name);
/* A black picture; tjFree it. */
unsigned char *bench_jpeg(unsigned long *ret_size);

/* What the work does instead of training. */
extern struct bench_fake {
    sem_t begun; /* a candidate is being made */
    atomic_bool hold;
    atomic_int tuned, status;
    bool accepts;
} bench_fake;

/* To the last order. */
extern struct bench_answer {
    sem_t done;
    int status;
    char text[16384], error[600];
} bench_answer;
/* The status of the answer. */
int bench_order(const struct jobs_order *order);
int bench_ask(enum jobs_action action, int64_t number, const char *body);
/* Calibrates on "set"; more: further members of the request. */
int bench_submit(const char *more);
/* The answer says so. */
void bench_expect(const char *text);

/* What was heard of a job. */
extern struct bench_ear {
    sem_t listening, over;
    struct text heard;
} bench_ear;
void bench_listen(int64_t job);
/* Listens until it ends, in that state. */
void bench_await_end(int64_t job, const char *state);
void bench_expect_version(const char *version);

#endif
