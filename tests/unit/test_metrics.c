/* test_metrics.c - what the server counts, added up, and written as Prometheus reads it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include "support/prometheus.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "observe/metrics.h"

static const char *const routes[] = {"/a", "/b/{model}", "/a"};

static struct metrics *create(void)
{
    struct metrics *metrics = NULL;

    ck_assert_int_eq(metrics_create(routes, 3, &metrics, NULL), LQ_OK);
    return metrics;
}

/* The whole text, checked; the caller frees it. */
static char *page(struct metrics *metrics)
{
    struct text text = {0};
    const char *wrong;

    metrics_write(metrics, &text);
    text_append(&text, "", 1);
    ck_assert(!text.failed);
    wrong = prometheus_check(text.bytes);
    ck_assert_msg(!wrong, "%s", wrong);
    return text.bytes;
}

START_TEST(the_checker_refuses_what_is_wrong)
{
    static const char *const bad[] = {
        "a_total 1\n",                                            /* no family */
        "# HELP a x\n# TYPE a counter\na 1\n",                    /* not _total */
        "# HELP a_total x\n# TYPE a_total counter\na_total -1\n", /* below 0 */
        "# HELP a x\n# TYPE a gauge\na 1\na 1\n",                 /* twice */
        "# HELP a x\n# TYPE a gauge\na{b=\"\\x\"} 1\n",           /* escape */
        "# HELP a x\n# TYPE a gauge\na 1",                        /* no end */
        "# HELP a x\n# TYPE a gauge\na 1\n# HELP a x\n",          /* family twice */
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 1\n", /* cut off */
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n",
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_msg(prometheus_check(bad[i]), "%s", bad[i]);
    ck_assert_ptr_null(prometheus_check("# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 1\n"
                                        "a_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n"));
}
END_TEST

START_TEST(requests_by_route_method_and_status)
{
    struct metrics *metrics = create();

    metrics_request(metrics, 0, "GET", 200, 1000000);
    metrics_request(metrics, 2, "GET", 200, 1000001); /* the same path as 0 */
    metrics_request(metrics, 1, "POST", 503, 20000000000);
    metrics_request(metrics, -1, "BREW", 418, -5);
    metrics_request(metrics, 99, "HEAD", 404, 0);
    char *text = page(metrics);
    ck_assert(prometheus_value(
                  text, "lqnet_http_requests_total{route=\"/a\",method=\"GET\",code=\"200\"}") ==
              2);
    ck_assert(prometheus_value(text, "lqnet_http_requests_total{route=\"/b/"
                                     "{model}\",method=\"POST\",code=\"503\"}") == 1);
    ck_assert(prometheus_value(text, "lqnet_http_requests_total{route=\"none\",method=\"other\","
                                     "code=\"other\"}") == 1);
    ck_assert(prometheus_value(text, "lqnet_http_requests_total{route=\"none\",method=\"HEAD\","
                                     "code=\"404\"}") == 1);
    ck_assert(prometheus_value(
                  text, "lqnet_http_request_seconds_bucket{route=\"/a\",le=\"0.001\"}") == 1);
    ck_assert(prometheus_value(
                  text, "lqnet_http_request_seconds_bucket{route=\"/a\",le=\"0.0025\"}") == 2);
    ck_assert(prometheus_value(text, "lqnet_http_request_seconds_sum{route=\"/a\"}") ==
              0.002000001);
    ck_assert(prometheus_value(text, "lqnet_http_request_seconds_bucket{route=\"/b/"
                                     "{model}\",le=\"10\"}") == 0);
    ck_assert(isnan(prometheus_value(text, "lqnet_model_ready{model=\"x\",version=\"1\"}")));
    free(text);
    metrics_destroy(metrics);
}
END_TEST

START_TEST(models)
{
    struct metrics *metrics = create();
    struct metrics_model *model = metrics_model(metrics, "m", "1");
    uint64_t count, ns;

    ck_assert_ptr_eq(metrics_model(metrics, "m", "1"), model);
    ck_assert_ptr_ne(metrics_model(metrics, "m", "2"), model);
    metrics_batch(model, 8);
    metrics_batch(model, 600);
    metrics_stage(model, METRICS_QUEUE, 99999);
    metrics_stage(model, METRICS_QUEUE, 1);
    metrics_model_count(model, METRICS_SUCCESSES, 3);
    metrics_model_gauge_add(model, METRICS_QUEUED, 5);
    metrics_model_gauge_add(model, METRICS_QUEUED, -2);
    metrics_model_gauge_set(model, METRICS_GENERATION, 4);
    ck_assert_uint_eq(metrics_model_read(model, METRICS_IMAGES), 608);
    ck_assert_uint_eq(metrics_model_read(model, METRICS_SUCCESSES), 3);
    ck_assert_uint_eq(metrics_batches_read(model), 2);
    metrics_stage_read(model, METRICS_QUEUE, &count, &ns);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(ns, 100000);
    char *text = page(metrics);
    ck_assert(prometheus_value(text, "lqnet_model_queue_requests{model=\"m\",version=\"1\"}") == 3);
    ck_assert(prometheus_value(text, "lqnet_model_generation{model=\"m\",version=\"1\"}") == 4);
    ck_assert(prometheus_value(
                  text, "lqnet_model_batch_images_bucket{model=\"m\",version=\"1\",le=\"4\"}") ==
              0);
    ck_assert(prometheus_value(
                  text, "lqnet_model_batch_images_bucket{model=\"m\",version=\"1\",le=\"8\"}") ==
              1);
    ck_assert(prometheus_value(
                  text, "lqnet_model_batch_images_bucket{model=\"m\",version=\"1\",le=\"+Inf\"}") ==
              2);
    ck_assert(prometheus_value(text, "lqnet_model_stage_seconds_count{model=\"m\",version=\"1\","
                                     "stage=\"queue\"}") == 2);
    free(text);
    metrics_destroy(metrics);
}
END_TEST

/* However many names come, the memory is bounded, and a name that is no name breaks nothing. */
START_TEST(many_models)
{
    struct metrics *metrics = create();
    struct metrics_model *last = NULL;
    char name[32];

    ck_assert_ptr_nonnull(metrics_model(metrics, "a\"b\\c\nd", ""));
    for (int i = 0; i < 2 * METRICS_MAX_MODELS; i++) {
        snprintf(name, sizeof(name), "model-%d", i);
        last = metrics_model(metrics, name, "1");
        metrics_batch(last, 1);
    }
    ck_assert_ptr_eq(metrics_model(metrics, "yet-another", "7"), last);
    char *text = page(metrics);
    ck_assert(prometheus_value(text, "lqnet_model_images_total{model=\"other\",version=\"\"}") ==
              METRICS_MAX_MODELS + 1);
    free(text);
    metrics_destroy(metrics);
}
END_TEST

enum { THREADS = 4, ROUNDS = 20000 };

static void *count_main(void *argument)
{
    struct metrics *metrics = argument;
    struct metrics_model *model = metrics_model(metrics, "m", "1");

    for (int i = 0; i < ROUNDS; i++) {
        metrics_gauge_add(metrics, METRICS_IN_FLIGHT, 1);
        metrics_request(metrics, 0, "GET", 200, i);
        metrics_count(metrics, METRICS_REQUEST_BYTES, 3);
        metrics_rejected(metrics, METRICS_REJECTED_RATE_LIMIT);
        metrics_batch(model, 2);
        metrics_gauge_add(metrics, METRICS_IN_FLIGHT, -1);
    }
    metrics_gauge_add(metrics, METRICS_IN_FLIGHT, 1);
    return NULL;
}

START_TEST(no_count_is_lost)
{
    struct metrics *metrics = create();
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_main, metrics), 0);
    free(page(metrics)); /* read while they count */
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    char *text = page(metrics);
    ck_assert(prometheus_value(text, "lqnet_http_requests_in_flight") == THREADS);
    ck_assert(prometheus_value(text, "lqnet_http_request_body_bytes_total") ==
              3.0 * THREADS * ROUNDS);
    ck_assert(prometheus_value(
                  text, "lqnet_http_requests_total{route=\"/a\",method=\"GET\",code=\"200\"}") ==
              THREADS * ROUNDS);
    ck_assert(prometheus_value(text, "lqnet_http_requests_rejected_total{reason=\"rate_limit\"}") ==
              THREADS * ROUNDS);
    ck_assert(prometheus_value(text, "lqnet_model_images_total{model=\"m\",version=\"1\"}") ==
              2.0 * THREADS * ROUNDS);
    metrics_gauge_set(metrics, METRICS_IN_FLIGHT, 0);
    free(text);
    text = page(metrics);
    ck_assert(prometheus_value(text, "lqnet_http_requests_in_flight") == 0);
    free(text);
    metrics_destroy(metrics);
}
END_TEST

START_TEST(the_process)
{
    struct metrics *metrics = create();
    char *text = page(metrics);
    int ends[2];
    double files = prometheus_value(text, "process_open_fds");

    ck_assert(prometheus_value(text, "process_resident_memory_bytes") > 1e6);
    ck_assert(prometheus_value(text, "process_cpu_seconds_total") >= 0);
    ck_assert(prometheus_value(text, "process_threads") >= 1);
    ck_assert_double_eq_tol(prometheus_value(text, "process_start_time_seconds"),
                            (double)time(NULL), 300);
    free(text);
    ck_assert_int_eq(pipe(ends), 0);
    text = page(metrics);
    ck_assert_double_eq(prometheus_value(text, "process_open_fds"), files + 2);
    free(text);
    metrics_destroy(metrics);
}
END_TEST

/* The judge itself, where it is installed. */
START_TEST(promtool)
{
    struct metrics *metrics;
    FILE *pipe;

    if (system("command -v promtool >/dev/null 2>&1") != 0)
        return;
    metrics = create();
    metrics_request(metrics, 1, "POST", 200, 12345678);
    metrics_batch(metrics_model(metrics, "m", "1"), 3);
    char *text = page(metrics);
    pipe = popen("promtool check metrics 2>&1", "w");
    ck_assert_ptr_nonnull(pipe);
    fputs(text, pipe);
    ck_assert_int_eq(pclose(pipe), 0);
    free(text);
    metrics_destroy(metrics);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("metrics");

    tcase_add_test(tests, the_checker_refuses_what_is_wrong);
    tcase_add_test(tests, requests_by_route_method_and_status);
    tcase_add_test(tests, models);
    tcase_add_test(tests, many_models);
    tcase_add_test(tests, no_count_is_lost);
    tcase_add_test(tests, the_process);
    tcase_add_test(tests, promtool);
    return suite_main("metrics", tests);
}
