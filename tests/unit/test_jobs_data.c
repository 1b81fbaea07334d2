/* test_jobs_data.c - what jobs learn from beside folders: uploads, samples of what was asked; and
 * the canary, whom they show live pictures.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "support/jobs_bench.h"
#include "support/suite.h"

/* ------------------------------------------------------------------------------------------------
 * Uploads
 */

/* One part of a form after the other: class, file name, bytes. */
static int upload(const char *const *parts, int count)
{
    struct text body = {0};
    struct jobs_order o = {.action = JOBS_UPLOAD,
                           .model = "tiny",
                           .name = "up",
                           .type = "multipart/form-data; boundary=XX"};
    unsigned long size;
    unsigned char *jpeg = bench_jpeg(&size);
    int status;

    for (int i = 0; i < count; i += 3) {
        text_printf(&body,
                    "--XX\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\n\r\n",
                    parts[i], parts[i + 1]);
        if (parts[i + 2])
            text_string(&body, parts[i + 2]);
        else
            text_append(&body, jpeg, size);
        text_string(&body, "\r\n");
    }
    text_string(&body, "--XX--\r\n");
    tjFree(jpeg);
    o.body = body.bytes;
    o.size = body.length;
    status = bench_order(&o);
    text_free(&body);
    return status;
}

START_TEST(uploads)
{
    ck_assert_int_eq(upload((const char *[]){"cat", "a.jpg", NULL, "3", "b.jpg", NULL}, 6), LQ_OK);
    bench_expect("{\"name\":\"up\",\"files\":2,\"labelled\":true,");
    ck_assert_int_eq(bench_ask(JOBS_UPLOADS, 0, NULL), LQ_OK);
    bench_expect("{\"uploads\":[{\"name\":\"up\",\"bytes\":");
    ck_assert_int_eq(
        bench_ask(JOBS_SUBMIT, 0, "{\"mode\":\"calibrate\",\"data\":{\"upload\":\"up\"}}"), LQ_OK);
    bench_await_end(1, "published");
    bench_expect("data: 2 images");
    ck_assert_int_eq(upload((const char *[]){"file", "a.jpg", NULL}, 3), LQ_OK);
    bench_expect("\"labelled\":false");
    ck_assert_int_eq(upload((const char *[]){"zebra", "z.jpg", NULL}, 3), LQ_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(bench_answer.error, "z.jpg: the model has no class 'zebra'"));
    ck_assert_int_eq(upload((const char *[]){"4", "z.jpg", NULL}, 3), LQ_ERR_INVALID);
    ck_assert_int_eq(upload((const char *[]){"cat", "z.jpg", "no picture"}, 3), LQ_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(bench_answer.error, "z.jpg is neither a JPEG nor a PNG file"));
    ck_assert_int_eq(upload((const char *[]){"cat", "a", NULL, "file", "b", NULL}, 6),
                     LQ_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(bench_answer.error, "1 of 2 files have a class"));
    ck_assert_int_eq(upload(NULL, 0), LQ_ERR_INVALID);
    ck_assert_int_eq(bench_ask(JOBS_UPLOAD, 0, "x"), LQ_ERR_INVALID); /* without a type */
    ck_assert_ptr_nonnull(strstr(bench_answer.error, "application/x-tar"));
    bench.config.upload_bytes = 100;
    ck_assert_int_eq(upload((const char *[]){"cat", "a.jpg", NULL}, 3), LQ_ERR_LIMIT);
    ck_assert_int_eq(bench_ask(JOBS_DISCARD, 0, NULL), LQ_OK);
    ck_assert_int_eq(bench_ask(JOBS_DISCARD, 0, NULL), LQ_ERR_NOT_FOUND);
    ck_assert_int_eq(bench_ask(JOBS_UPLOADS, 0, NULL), LQ_OK);
    ck_assert_str_eq(bench_answer.text, "{\"uploads\":[]}");
}
END_TEST

/* A file of uploads that was changed: an answer, and nothing read beyond it. */
START_TEST(damaged_uploads)
{
    const char *path;
    long size;

    ck_assert_int_eq(upload((const char *[]){"cat", "a.jpg", NULL}, 3), LQ_OK);
    path = bench_path("state/uploads/tiny@up.set");
    FILE *file = fopen(path, "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    fseek(file, 12, SEEK_SET); /* the length of the name */
    fwrite("\xff\xff\xff\xff", 1, 4, file);
    fclose(file);
    ck_assert_int_eq(
        bench_ask(JOBS_SUBMIT, 0, "{\"mode\":\"calibrate\",\"data\":{\"upload\":\"up\"}}"), LQ_OK);
    bench_await_end(1, "failed");
    bench_expect("upload 'up' is damaged");
    ck_assert_int_eq(upload((const char *[]){"cat", "a.jpg", NULL}, 3), LQ_OK);
    for (int i = 2; i < 12; i++) {
        ck_assert_int_eq(truncate(bench_path("state/uploads/tiny@up.set"), size - 7 * i), 0);
        ck_assert_int_eq(
            bench_ask(JOBS_SUBMIT, 0, "{\"mode\":\"calibrate\",\"data\":{\"upload\":\"up\"}}"),
            LQ_OK);
        bench_await_end(i, "failed");
        bench_expect("upload 'up' is damaged");
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * What passes
 */

static void pass(struct generation *generation, int count, int class)
{
    uint8_t pixels[3 * 8 * 8] = {0};
    float output[4] = {0};

    output[class] = 1;
    for (int i = 0; i < count; i++) {
        pixels[0] = (uint8_t)i;
        sampler_see(bench.sampler, generation, pixels, output, 1);
    }
}

START_TEST(samples)
{
    struct sampler_pictures pictures;
    struct generation *generation;
    struct lq_error error = {0};
    int recent = 0;

    ck_assert_int_eq(registry_acquire(bench.registry, "tiny", NULL, &generation, NULL), LQ_OK);
    ck_assert_int_eq(sampler_copy(bench.sampler, "tiny", &generation->info, &pictures, &error),
                     LQ_ERR_NOT_FOUND);
    pass(generation, 4, 0);
    ck_assert_int_eq(sampler_copy(bench.sampler, "tiny", &generation->info, &pictures, NULL),
                     LQ_OK);
    ck_assert_int_eq(pictures.count, 4);
    free(pictures.pixels);
    for (int i = 0; i < 10; i++)
        pass(generation, 200, 0);
    ck_assert_int_eq(sampler_copy(bench.sampler, "tiny", &generation->info, &pictures, NULL),
                     LQ_OK);
    ck_assert_int_eq(pictures.count, 10); /* no more than sample_images */
    for (int i = 0; i < 10; i++)
        recent += pictures.pixels[192 * i] >= 4;
    ck_assert_int_ge(recent, 8); /* the first four have gone (0.0002 % of runs) */
    free(pictures.pixels);
    ck_assert_int_eq(sampler_bytes(bench.sampler), 10 * 192);
    ck_assert_int_eq(
        bench_ask(JOBS_SUBMIT, 0, "{\"mode\":\"calibrate\",\"data\":{\"sample\":true}}"), LQ_OK);
    bench_await_end(1, "published");
    bench_expect("data: 10 images");
    bench.config.sample_images = 0;
    ck_assert_int_eq(
        bench_ask(JOBS_SUBMIT, 0, "{\"mode\":\"calibrate\",\"data\":{\"sample\":true}}"),
        LQ_ERR_UNSUPPORTED);
    generation_unref(generation);
}
END_TEST

/* What the model says of a black picture is what the candidate, the same network, says. */
static int black_class(const struct generation *generation)
{
    const struct lq_session_options options = {1, 1, LQ_FORM_AUTO};
    static const uint8_t pixels[192];
    struct lq_prediction best;
    struct lq_session *session;
    float output[4];

    ck_assert_int_eq(lq_session_create(generation->model, &options, &session, NULL), LQ_OK);
    ck_assert_int_eq(lq_session_run_pixels(session, pixels, 1, output, NULL), LQ_OK);
    lq_model_top_k(generation->model, output, 1, &best);
    lq_session_destroy(session);
    return best.index;
}

static void run_canary(int64_t job, bool agree, const char *state)
{
    struct generation *generation;
    int class;

    ck_assert_int_eq(registry_acquire(bench.registry, "tiny", NULL, &generation, NULL), LQ_OK);
    class = black_class(generation);
    ck_assert_int_eq(bench_submit(",\"guard\":{\"canary\":{\"share\":1,\"images\":20}}"), LQ_OK);
    bench_listen(job);
    for (int i = 0; sem_trywait(&bench_ear.over) != 0; i++) {
        ck_assert_int_lt(i, 60000);
        pass(generation, 1, agree ? class : (class + 1) % 4);
        usleep(200);
    }
    generation_unref(generation);
    bench_await_end(job, state);
}

START_TEST(canary)
{
    run_canary(1, false, "rejected");
    bench_expect("canary: 100.00 % of 20 live pictures are answered otherwise, at most 5 % may");
    bench_expect("\"canary\":{\"images\":20,\"different\":20}");
    run_canary(2, true, "published");
    bench_expect("\"canary\":{\"images\":20,\"different\":0}");
    ck_assert_int_eq(bench_submit(",\"guard\":{\"canary\":{\"images\":20,\"seconds\":1}}"), LQ_OK);
    bench_await_end(3, "rejected");
    bench_expect("canary: 0 live pictures came in 1 s, 20 were wanted");
    ck_assert_int_eq(bench_submit(",\"guard\":{\"canary\":{}}"), LQ_OK);
    bench_listen(4);
    ck_assert_int_eq(bench_ask(JOBS_CANCEL, 4, NULL), LQ_OK);
    bench_await_end(4, "cancelled");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("jobs data");

    tcase_add_checked_fixture(tests, bench_setup, bench_teardown);
    tcase_add_test(tests, uploads);
    tcase_add_test(tests, damaged_uploads);
    tcase_add_test(tests, samples);
    tcase_add_test(tests, canary);
    return suite_main("jobs data", tests);
}
