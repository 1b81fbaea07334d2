/* test_batcher.c - jobs: batches, order, ends, and answers that do not depend on any of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "infer/batcher.h"
#include "clock.h"
#include "observe/metrics.h"
#include "support/tiny_model.h"

enum { SIZE = 3 * 8 * 8, CLASSES = 4, MAX_JOBS = 256 };

static char path[64] = "/tmp/lqnet-batcher-XXXXXX";

/* A batcher, and a generation of the tiny network. */
struct bench {
    struct config config;
    struct lq_engine *engine;
    struct generation *generation;
    struct metrics *metrics;
    struct stats *stats;
    struct batcher *batcher;
    sem_t finished;
    atomic_int order; /* of ends */
};

/* A job that remembers how it went. */
struct tested {
    struct batcher_job job;
    struct bench *bench;
    uint8_t *pixels;
    float *floats;
    sem_t entered, go; /* of a job that blocks its worker in `prepare` */
    atomic_bool left;
    bool undecodable;
    enum batcher_end end;
    struct lq_error error;
    struct batcher_times times;
    int place; /* when it ended, from 1 */
};

static void start(struct bench *bench, int workers, const char *const *settings)
{
    struct lq_error error = {0};
    struct lq_model *model;
    const char *route = "/";
    char count[16];

    *bench = (struct bench){.order = 0};
    config_init(&bench->config);
    snprintf(count, sizeof(count), "%d", workers);
    ck_assert_int_eq(config_set(&bench->config, "test", "workers", count, &error), LQ_OK);
    for (; settings && *settings; settings += 2)
        ck_assert_int_eq(config_set(&bench->config, "test", settings[0], settings[1], &error),
                         LQ_OK);
    sem_init(&bench->finished, 0, 0);
    ck_assert_int_eq(lq_engine_create(LQ_CPU_ALL, &bench->engine, &error), LQ_OK);
    ck_assert_int_eq(lq_model_open(bench->engine, path, &model, &error), LQ_OK);
    ck_assert_int_eq(
        generation_create(&bench->config, "tiny", 1, model, &bench->generation, &error), LQ_OK);
    ck_assert_int_eq(metrics_create(&route, 1, &bench->metrics, &error), LQ_OK);
    bench->stats =
        stats_create((int)bench->config.max_batch, metrics_model(bench->metrics, "tiny", "1"));
    bench->generation->stats = bench->stats;
    ck_assert_int_eq(batcher_start(&bench->config, &bench->batcher, &error), LQ_OK);
}

static void stop(struct bench *bench)
{
    struct batcher_job late = {0}; /* as of a request that comes while the server ends */

    batcher_stop(bench->batcher);
    ck_assert(!batcher_is_full(bench->batcher, bench->generation));
    ck_assert_int_eq(batcher_submit(bench->batcher, bench->generation, &late), BATCHER_FULL);
    batcher_close(bench->batcher);
    ck_assert_int_eq(atomic_load(&bench->generation->references), 1); /* every job let it go */
    generation_unref(bench->generation);
    stats_destroy(bench->stats);
    metrics_destroy(bench->metrics);
    lq_engine_destroy(bench->engine);
    sem_destroy(&bench->finished);
}

static void *stop_main(void *bench)
{
    stop(bench);
    return NULL;
}

static void on_finish(struct batcher_job *job, enum batcher_end end, const struct lq_error *error)
{
    struct tested *tested = (struct tested *)job;

    tested->end = end;
    tested->error = *error;
    tested->times = job->times;
    tested->place = atomic_fetch_add(&tested->bench->order, 1) + 1;
    sem_post(&tested->bench->finished);
}

static int block(struct batcher_job *job, struct lq_error *error)
{
    struct tested *tested = (struct tested *)job;

    (void)error;
    sem_post(&tested->entered);
    sem_wait(&tested->go);
    return LQ_OK;
}

static int refuse(struct batcher_job *job, struct lq_error *error)
{
    (void)job;
    lq_error_set(error, LQ_ERR_FORMAT, "no tensor");
    return LQ_ERR_FORMAT;
}

static bool has_left(const struct batcher_job *job)
{
    return ((const struct tested *)job)->left;
}

static bool decode(struct batcher_job *job, int image, uint8_t *ret_pixels)
{
    struct tested *tested = (struct tested *)job;

    if (tested->undecodable && image % 2)
        return false;
    memcpy(ret_pixels, tested->pixels + (size_t)image * SIZE, SIZE);
    return true;
}

/* A job of `count` random pictures, the same for the same seed. */
static struct tested *make(struct bench *bench, int count, unsigned seed)
{
    struct tested *tested = calloc(1, sizeof(*tested));

    tested->bench = bench;
    tested->pixels = malloc((size_t)count * SIZE);
    for (int i = 0; i < count * SIZE; i++)
        tested->pixels[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    sem_init(&tested->entered, 0, 0);
    sem_init(&tested->go, 0, 0);
    tested->job = (struct batcher_job){.finish = on_finish, .has_left = has_left, .count = count};
    tested->job.pixels = tested->pixels;
    tested->job.output = calloc((size_t)count * CLASSES, sizeof(float));
    return tested;
}

static void make_floats(struct tested *tested)
{
    size_t count = (size_t)tested->job.count * SIZE;

    tested->floats = malloc(count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        tested->floats[i] = (float)tested->pixels[i] / 100 - 1;
    tested->job.floats = tested->floats;
    tested->job.pixels = NULL;
}

static void destroy(struct tested *tested)
{
    free(tested->pixels);
    free(tested->floats);
    free(tested->job.output);
    sem_destroy(&tested->entered);
    sem_destroy(&tested->go);
    free(tested);
}

static void submit(struct bench *bench, struct tested *tested)
{
    ck_assert_int_eq(batcher_submit(bench->batcher, bench->generation, &tested->job),
                     BATCHER_ACCEPTED);
}

static void wait_for(struct bench *bench, int jobs)
{
    while (jobs-- > 0)
        sem_wait(&bench->finished);
}

/* A job that keeps the only worker busy until unplug. */
static struct tested *plug(struct bench *bench)
{
    struct tested *tested = make(bench, 1, 1);

    tested->job.prepare = block;
    submit(bench, tested);
    sem_wait(&tested->entered);
    return tested;
}

static void unplug(struct tested *tested)
{
    sem_post(&tested->go);
}

/* Compares with a session of the test's own, image by image, to the bit. */
static void check_output(const struct bench *bench, const struct tested *tested)
{
    struct lq_session_options options = {1, 1, LQ_FORM_AUTO};
    struct lq_session *session;
    struct lq_error error = {0};

    ck_assert_int_eq(lq_session_create(bench->generation->model, &options, &session, &error),
                     LQ_OK);
    for (int i = 0; i < tested->job.count; i++) {
        float output[CLASSES];
        int status = tested->floats
                         ? lq_session_run(session, tested->floats + (size_t)i * SIZE, LQ_NCHW, 1,
                                          output, &error)
                         : lq_session_run_pixels(session, tested->pixels + (size_t)i * SIZE, 1,
                                                 output, &error);

        ck_assert_int_eq(status, LQ_OK);
        ck_assert_msg(memcmp(output, tested->job.output + i * CLASSES, sizeof(output)) == 0,
                      "image %d of %d", i, tested->job.count);
    }
    lq_session_destroy(session);
}

START_TEST(jobs_share_batches)
{
    struct bench bench;
    struct tested *jobs[10], *first;
    struct stats_values values;

    start(&bench, 1, (const char *const[]){"max_batch", "8", NULL});
    first = plug(&bench);
    for (int i = 0; i < 10; i++)
        submit(&bench, jobs[i] = make(&bench, 1, (unsigned)i));
    unplug(first);
    wait_for(&bench, 11);
    ck_assert(stats_read(bench.stats, &values));
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(jobs[i]->end, BATCHER_DONE);
        check_output(&bench, jobs[i]);
        ck_assert_int_ge(jobs[i]->times.queue_ns, 0);
        ck_assert_int_gt(jobs[i]->times.compute_ns, 0);
        destroy(jobs[i]);
    }
    stop(&bench);
    /* the plug was alone when its worker began; one batch of 8 and one of 2 followed */
    ck_assert_uint_eq(values.inference_count + 0, values.stages[STATS_success].count);
    ck_assert_uint_le(values.execution_count, 3);
    ck_assert_int_eq(values.batches[values.batch_count - 1].images, 8);
    stats_values_deinit(&values);
    destroy(first);
}
END_TEST

static atomic_int brackets_open, finished_inside, brackets_closed;

static void before_finish(void)
{
    atomic_fetch_add(&brackets_open, 1);
}

static void after_finish(void)
{
    atomic_fetch_sub(&brackets_open, 1);
    atomic_fetch_add(&brackets_closed, 1);
}

static void finish_inside(struct batcher_job *job, enum batcher_end end,
                          const struct lq_error *error)
{
    atomic_fetch_add(&finished_inside, atomic_load(&brackets_open));
    on_finish(job, end, error);
}

/* All jobs of a batch are finished inside one pair of brackets, in the order in which they came. */
START_TEST(finished_in_brackets)
{
    struct bench bench;
    struct tested *jobs[8], *first;

    start(&bench, 1, (const char *const[]){"max_batch", "8", NULL});
    batcher_set_brackets(bench.batcher, before_finish, after_finish);
    first = plug(&bench);
    first->job.finish = finish_inside;
    for (int i = 0; i < 8; i++) {
        jobs[i] = make(&bench, 1, (unsigned)i);
        jobs[i]->job.finish = finish_inside;
        submit(&bench, jobs[i]);
    }
    unplug(first);
    wait_for(&bench, 9);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(jobs[i]->place, i + 2);
    stop(&bench);
    ck_assert_int_eq(atomic_load(&finished_inside), 9);
    ck_assert_int_eq(atomic_load(&brackets_open), 0);
    ck_assert_int_eq(atomic_load(&brackets_closed), 2); /* the plug alone, then the eight */
    for (int i = 0; i < 8; i++)
        destroy(jobs[i]);
    destroy(first);
}
END_TEST

/* Pieces of one job run on all workers, others come between them; answers are those of one image
 * alone. */
START_TEST(large_jobs_are_split)
{
    struct bench bench;
    struct tested *large, *small[20];

    start(&bench, 3, (const char *const[]){"max_batch", "4", NULL});
    large = make(&bench, 101, 7);
    large->job.pixels = NULL;
    large->job.decode = decode;
    submit(&bench, large);
    for (int i = 0; i < 20; i++) {
        small[i] = make(&bench, 1 + i % 5, 100 + (unsigned)i);
        if (i % 3 == 0)
            make_floats(small[i]);
        submit(&bench, small[i]);
    }
    wait_for(&bench, 21);
    ck_assert_int_eq(large->end, BATCHER_DONE);
    check_output(&bench, large);
    ck_assert_int_le(large->times.batch, 4);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(small[i]->end, BATCHER_DONE);
        check_output(&bench, small[i]);
        destroy(small[i]);
    }
    stop(&bench);
    destroy(large);
}
END_TEST

START_TEST(priorities)
{
    static const int given[] = {9, 5, 1, 0, 1, 100};
    static const int places[] = {6, 3, 1, 4, 2, 5}; /* behind one another where they are equal */
    struct bench bench;
    struct tested *jobs[6], *first;

    start(&bench, 1, (const char *const[]){"max_batch", "1", NULL});
    first = plug(&bench);
    for (int i = 0; i < 6; i++) {
        jobs[i] = make(&bench, 1, (unsigned)i);
        jobs[i]->job.priority = given[i];
        submit(&bench, jobs[i]);
    }
    unplug(first);
    wait_for(&bench, 7);
    for (int i = 0; i < 6; i++) {
        ck_assert_msg(jobs[i]->place == places[i] + 1, "job %d ended as number %d", i,
                      jobs[i]->place);
        destroy(jobs[i]);
    }
    stop(&bench);
    destroy(first);
}
END_TEST

START_TEST(bounded)
{
    struct bench bench;
    struct batcher_gauge gauge;
    struct tested *jobs[3], *extra, *first;

    start(&bench, 1, (const char *const[]){"queue_length", "3", NULL});
    first = plug(&bench);
    for (int i = 0; i < 3; i++)
        submit(&bench, jobs[i] = make(&bench, 2, (unsigned)i));
    extra = make(&bench, 1, 9);
    ck_assert_int_eq(batcher_submit(bench.batcher, bench.generation, &extra->job), BATCHER_FULL);
    batcher_read(bench.batcher, &gauge);
    ck_assert_int_eq(gauge.workers, 1);
    ck_assert_int_eq(gauge.busy, 1);
    ck_assert_int_eq(gauge.jobs, 3);
    ck_assert_int_eq(gauge.images, 6);
    ck_assert_int_eq(gauge.refused_full, 1);
    unplug(first);
    wait_for(&bench, 4);
    batcher_read(bench.batcher, &gauge);
    ck_assert_int_eq(gauge.jobs, 0);
    ck_assert_int_eq(gauge.images, 0);
    for (int i = 0; i < 3; i++)
        destroy(jobs[i]);
    stop(&bench);
    destroy(extra);
    destroy(first);
}
END_TEST

START_TEST(deadlines_and_clients_that_left)
{
    struct bench bench;
    struct batcher_gauge gauge;
    struct tested *late, *left, *good, *never, *first;

    start(&bench, 1, NULL);
    first = plug(&bench);
    never = make(&bench, 1, 1);
    never->job.deadline_us = clock_now_us() - 1;
    ck_assert_int_eq(batcher_submit(bench.batcher, bench.generation, &never->job),
                     BATCHER_TOO_LATE);
    late = make(&bench, 1, 2);
    late->job.deadline_us = clock_now_us() + 200000;
    left = make(&bench, 40, 3);
    left->left = true;
    good = make(&bench, 1, 4);
    good->job.deadline_us = clock_now_us() + 60000000;
    submit(&bench, late);
    submit(&bench, left);
    submit(&bench, good);
    clock_sleep_us(201000);
    unplug(first);
    wait_for(&bench, 4);
    ck_assert_int_eq(late->end, BATCHER_LATE);
    ck_assert_int_eq(left->end, BATCHER_LEFT);
    ck_assert_int_eq(good->end, BATCHER_DONE);
    check_output(&bench, good);
    batcher_read(bench.batcher, &gauge);
    ck_assert_int_eq(gauge.late, 2);
    ck_assert_int_eq(gauge.left, 1);
    stop(&bench);
    destroy(late), destroy(left), destroy(good), destroy(never), destroy(first);
}
END_TEST

/* A client leaves while its images are computed: most of them are not. */
START_TEST(left_while_computing)
{
    enum { MANY = 60000 };
    struct bench bench;
    struct tested *large;
    struct stats_values values;

    start(&bench, 1, NULL);
    large = make(&bench, MANY, 1);
    submit(&bench, large);
    clock_sleep_us(20000);
    large->left = true;
    wait_for(&bench, 1);
    ck_assert_int_eq(large->end, BATCHER_LEFT);
    ck_assert(stats_read(bench.stats, &values));
    ck_assert_uint_lt(values.execution_count, MANY / 8);
    ck_assert_uint_gt(values.execution_count, 0);
    ck_assert_uint_eq(values.stages[STATS_fail].count, 1);
    stats_values_deinit(&values);
    stop(&bench);
    destroy(large);
}
END_TEST

/* What is wrong with one request is not another's trouble, even in its batch. */
START_TEST(failures_stay_alone)
{
    struct bench bench;
    struct tested *bad, *infinite, *good, *broken, *empty, *first;

    start(&bench, 1, NULL);
    first = plug(&bench);
    bad = make(&bench, 1, 1);
    bad->job.prepare = refuse;
    infinite = make(&bench, 2, 2);
    make_floats(infinite);
    infinite->floats[SIZE + 5] = INFINITY;
    good = make(&bench, 2, 3);
    make_floats(good);
    broken = make(&bench, 4, 4);
    broken->undecodable = true;
    broken->job.decode = decode;
    broken->job.pixels = NULL;
    empty = make(&bench, 0, 5);
    submit(&bench, bad);
    submit(&bench, infinite);
    submit(&bench, good);
    submit(&bench, broken);
    submit(&bench, empty);
    unplug(first);
    wait_for(&bench, 6);
    ck_assert_int_eq(bad->end, BATCHER_FAILED);
    ck_assert_str_eq(bad->error.text, "no tensor");
    ck_assert_int_eq(infinite->end, BATCHER_FAILED);
    ck_assert_int_eq(infinite->error.status, LQ_ERR_NUMERIC);
    ck_assert_ptr_nonnull(strstr(infinite->error.text, "image 1"));
    ck_assert_int_eq(good->end, BATCHER_DONE);
    check_output(&bench, good);
    ck_assert_int_eq(broken->end, BATCHER_DONE); /* every other picture is left out */
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < CLASSES; c++)
            ck_assert((broken->job.output[i * CLASSES + c] != 0) == (i % 2 == 0));
    ck_assert_int_eq(empty->end, BATCHER_DONE);
    stop(&bench);
    destroy(bad), destroy(infinite), destroy(good), destroy(broken), destroy(empty);
    destroy(first);
}
END_TEST

START_TEST(a_stop_ends_what_waits)
{
    struct bench bench;
    struct tested *jobs[5], *first;
    pthread_t thread;

    start(&bench, 1, NULL);
    first = plug(&bench);
    for (int i = 0; i < 5; i++)
        submit(&bench, jobs[i] = make(&bench, 1, (unsigned)i));
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_main, &bench), 0);
    clock_sleep_us(20000);
    unplug(first);
    pthread_join(thread, NULL);
    ck_assert_int_eq(first->end, BATCHER_DONE); /* it was computed already */
    for (int i = 0; i < 5; i++) {
        ck_assert(jobs[i]->end == BATCHER_STOPPED || jobs[i]->end == BATCHER_DONE);
        destroy(jobs[i]);
    }
    destroy(first);
}
END_TEST

/* While another worker computes, a batch waits to fill, and no longer than it may. */
START_TEST(delay)
{
    struct bench bench;
    struct tested *jobs[4], *first;

    start(&bench, 2,
          (const char *const[]){"max_batch", "4", "max_delay_us", "200000", "queue_length", "64",
                                NULL});
    first = plug(&bench);
    for (int i = 0; i < 3; i++)
        submit(&bench, jobs[i] = make(&bench, 1, (unsigned)i));
    wait_for(&bench, 3); /* after 200 ms, together */
    ck_assert_int_ge(jobs[0]->times.queue_ns, 190000000);
    ck_assert_int_eq(jobs[0]->times.batch, 3);
    for (int i = 0; i < 3; i++)
        destroy(jobs[i]);
    for (int i = 0; i < 4; i++)
        submit(&bench, jobs[i] = make(&bench, 1, (unsigned)i));
    wait_for(&bench, 4); /* at once: the batch is full */
    ck_assert_int_eq(jobs[3]->times.batch, 4);
    ck_assert_int_lt(jobs[3]->times.queue_ns, 190000000);
    for (int i = 0; i < 4; i++)
        destroy(jobs[i]);
    unplug(first);
    wait_for(&bench, 1);
    submit(&bench, jobs[0] = make(&bench, 1, 1));
    wait_for(&bench, 1); /* at once: nobody else computes */
    ck_assert_int_lt(jobs[0]->times.queue_ns, 190000000);
    destroy(jobs[0]);
    stop(&bench);
    destroy(first);
}
END_TEST

struct crowd {
    struct bench *bench;
    unsigned seed;
    struct tested *jobs[MAX_JOBS];
    int accepted;
};

static void *crowd_main(void *argument)
{
    struct crowd *crowd = argument;

    for (int i = 0; i < MAX_JOBS; i++) {
        struct tested *job = make(crowd->bench, 1 + i % 11, crowd->seed + (unsigned)i);

        job->job.priority = 1 + i % 9;
        job->left = i % 13 == 0;
        if (i % 4 == 0)
            make_floats(job);
        if (batcher_submit(crowd->bench->batcher, crowd->bench->generation, &job->job) ==
            BATCHER_ACCEPTED)
            crowd->jobs[crowd->accepted++] = job;
        else
            destroy(job);
    }
    return NULL;
}

/* Many threads, all sorts of jobs: each ends once, and with its own answer. */
START_TEST(crowds)
{
    enum { CROWDS = 3 };
    struct bench bench;
    struct crowd parts[CROWDS];
    pthread_t threads[CROWDS];

    start(&bench, 3, (const char *const[]){"queue_length", "100", "max_delay_us", "50", NULL});
    for (int i = 0; i < CROWDS; i++) {
        parts[i] = (struct crowd){.bench = &bench, .seed = 1000 * (unsigned)i};
        pthread_create(&threads[i], NULL, crowd_main, &parts[i]);
    }
    for (int i = 0; i < CROWDS; i++) {
        pthread_join(threads[i], NULL);
        wait_for(&bench, parts[i].accepted);
    }
    for (int i = 0; i < CROWDS; i++)
        for (int j = 0; j < parts[i].accepted; j++) {
            struct tested *job = parts[i].jobs[j];

            ck_assert_int_eq(job->end, job->left ? BATCHER_LEFT : BATCHER_DONE);
            if (!job->left)
                check_output(&bench, job);
            destroy(job);
        }
    stop(&bench);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("batcher");
    int fd = mkstemp(path), failed;

    if (fd < 0 || tiny_model_write(path, NULL) != LQ_OK)
        return 1;
    close(fd);
    tcase_add_test(tests, jobs_share_batches);
    tcase_add_test(tests, finished_in_brackets);
    tcase_add_test(tests, large_jobs_are_split);
    tcase_add_test(tests, priorities);
    tcase_add_test(tests, bounded);
    tcase_add_test(tests, deadlines_and_clients_that_left);
    tcase_add_test(tests, left_while_computing);
    tcase_add_test(tests, failures_stay_alone);
    tcase_add_test(tests, a_stop_ends_what_waits);
    tcase_add_test(tests, delay);
    tcase_add_test(tests, crowds);
    failed = suite_main("batcher", tests);
    unlink(path);
    return failed;
}
