/* test_admin_jobs.c - lqnet admin: fine-tuning jobs, history, rollback and uploads from a shell.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "clock.h"
#include "support/files.h"
#include "support/jobs.h"
#include "support/suite.h"

enum { PICTURES = 240 };

static char base[64], output[65536];
static struct daemon d;

/* ------------------------------------------------------------------------------------------------
 * A daemon, and pictures
 */

static void write_file(const char *name, const void *bytes, size_t size)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", base, name);
    file_write(path, bytes, size);
}

/* data/set/cat/NUMBER.jpg, the same as an archive without classes, and a damaged archive. */
static void setup(void)
{
    struct archive archive = {NULL, 0};
    char path[96];

    snprintf(base, sizeof(base), "/tmp/lqnet-admin-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    for (const char *const *at = (const char *const[]){"data", "data/set", "data/set/cat", NULL};
         *at; at++) {
        snprintf(path, sizeof(path), "%s/%s", base, *at);
        ck_assert_int_eq(mkdir(path, 0755), 0);
    }
    for (unsigned i = 0; i < PICTURES; i++) {
        unsigned long size;
        unsigned char *jpeg = jobs_jpeg((int)i, &size);
        char name[64];

        snprintf(name, sizeof(name), "data/set/cat/%03u.jpg", i);
        write_file(name, jpeg, size);
        tar_forge_add(&archive, strrchr(name, '/') + 1, '0', jpeg, size);
        tjFree(jpeg);
    }
    write_file("pictures.tar", archive.bytes, archive.size);
    write_file("damaged.tar", archive.bytes + 100, archive.size - 100);
    free(archive.bytes);
}

static void start(const char *key, const char *value)
{
    char state[80], data[80];

    snprintf(state, sizeof(state), "%s/state", base);
    snprintf(data, sizeof(data), "%s/data", base);
    daemon_start(&d,
                 (const char *const[]){"--state", state, "--data-root", data, key, value, NULL});
}

static void teardown(void)
{
    char command[200];

    ck_assert_int_eq(daemon_stop(&d), 0);
    snprintf(command, sizeof(command), "rm -rf %s %s", base, d.folder);
    ck_assert_int_eq(system(command), 0);
}

/* ------------------------------------------------------------------------------------------------
 * The command
 */

/* lqnet admin ARGUMENTS at the admin's socket ends with this status and says that. */
__attribute__((format(printf, 3, 4))) static void expect(int status, const char *says,
                                                         const char *format, ...)
{
    char command[1024];
    va_list list;
    FILE *pipe;
    int length =
            snprintf(command, sizeof(command), "%s admin --url unix:%s ", getenv("LQNET"), d.admin),
        ended;

    va_start(list, format);
    length += vsnprintf(command + length, sizeof(command) - (size_t)length, format, list);
    va_end(list);
    ck_assert_int_lt(length, (int)sizeof(command) - 6);
    strcat(command, " 2>&1");
    pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    output[fread(output, 1, sizeof(output) - 1, pipe)] = '\0';
    ended = pclose(pipe);
    ck_assert_msg(WIFEXITED(ended) && WEXITSTATUS(ended) == status, "%s: %s", command, output);
    ck_assert_msg(says[0] ? strstr(output, says) != NULL : !output[0], "%s: %s", command, output);
}

static void says(const char *text)
{
    ck_assert_msg(strstr(output, text), "no '%s' in: %s", text, output);
}

#define ANY  "--hold-out 2 --bound 100"
#define LIVE ANY " --canary 1 --canary-images 100000" /* waits for pictures that nobody sends */

START_TEST(life_of_a_job)
{
    start(NULL, NULL);
    expect(0, "job 1 of tiny: published", "finetune tiny --data folder:set " ANY);
    says("version    2, from 1");
    says("agreement  ");
    says("accuracy   ");
    says("batch_norm");
    says("queued "); /* its stages, a line each, for this is no terminal */
    expect(0, "published", "jobs");
    expect(0, "created    20", "job 1");
    says("log        ");
    expect(0, "job 1 of tiny: published", "follow 1");
    expect(0, "publish   1      2", "history tiny");
    expect(0, "rollback: version 3, from 2: ", "rollback tiny");
    expect(0, "rollback: version 4, from 3: ", "rollback tiny 2");
    expect(0, "rollback  3      4", "history tiny");
    expect(0, "", "index --json | grep -q '\"version\":\"4\"'");
}
END_TEST

/* What is asked for arrives as it was meant. */
START_TEST(options_of_a_job)
{
    json_t *job, *request;

    start(NULL, NULL);
    expect(1, "job 1 of tiny: rejected: dry run, it would be published",
           "finetune tiny --mode quantizers --data folder:set --limit 200 --dry-run --set epochs=1 "
           "--set batch=50 --set augmentation=none " ANY);
    expect(0, "{", "job 1 --json");
    job = json_loads(output, 0, NULL);
    ck_assert_ptr_nonnull(job);
    request =
        json_pack("{s:s, s:{s:s, s:i}, s:{s:i, s:i, s:b}, s:{s:i, s:i, s:s}}", "mode", "quantizers",
                  "data", "folder", "set", "limit", 200, "guard", "hold_out", 2, "bound", 100,
                  "dry_run", 1, "options", "epochs", 1, "batch", 50, "augmentation", "none");
    ck_assert_msg(json_equal(json_object_get(job, "request"), request), "%s", output);
    json_decref(request);
    json_decref(job);
    expect(0, "reject", "history tiny");
    expect(1, "HTTP status 409", "rollback tiny 1"); /* it answers already */
}
END_TEST

START_TEST(cancelled_interrupted_resumed)
{
    char state[80], data[80];

    start(NULL, NULL);
    expect(0, "job 1 of tiny: queued", "finetune tiny --data folder:set --detach " LIVE);
    expect(0, "job 2 of tiny: queued", "finetune tiny --data folder:set --detach " ANY);
    expect(0, "job 2 of tiny: cancelled", "cancel 2");
    expect(0, "job 1 of tiny: cancelled", "cancel 1");
    expect(1, "job 1 has ended: it cannot be cancelled (HTTP status 409)", "cancel 1");
    expect(1, "HTTP status 404", "cancel 99");
    expect(1, "HTTP status 409", "resume 1");
    expect(1, "job 1 of tiny: cancelled", "follow 1");
    expect(0, "job 3 of tiny: queued", "finetune tiny --data folder:set --detach " LIVE);
    do
        expect(0, "job 3 of tiny", "job 3");
    while (strstr(output, "queued") || strstr(output, ": running"));
    ck_assert_int_eq(daemon_end(&d), 0);
    snprintf(state, sizeof(state), "%s/state", base);
    snprintf(data, sizeof(data), "%s/data", base);
    daemon_start_again(&d, (const char *const[]){"--state", state, "--data-root", data, NULL},
                       1 << 20);
    expect(1, "job 3 of tiny: interrupted: the server ended while it ran", "follow 3");
    expect(0, "job 3 of tiny: ", "resume 3 --detach");
    expect(0, "job 3 of tiny: cancelled", "cancel 3");
}
END_TEST

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
    char command[1024];
    va_list list;

    va_start(list, format);
    vsnprintf(command, sizeof(command), format, list);
    va_end(list);
    ck_assert_msg(system(command) == 0, "%s", command);
}

static bool there_is(const char *path)
{
    char whole[160];

    snprintf(whole, sizeof(whole), "%s/%s", d.folder, path);
    return access(whole, R_OK) == 0;
}

#define JOINT "--mode joint --data folder:set --set epochs=1 --set batch=20 --set images=40 " ANY

/* The float weights behind a network are trained where they are, and go with their versions. */
START_TEST(joint)
{
    start(NULL, NULL);
    shell("mkdir -p %s/net/1 && %s new resnet-20 --size 8 --name net -o "
          "%s/net/1/latent.lq && "
          "%s new resnet-20 --size 8 --name net --bits 2/2 -o %s/net/1/model.lq >/dev/null",
          d.folder, getenv("LQNET"), d.folder, getenv("LQNET"), d.folder);
    expect(0, "", "load net");
    expect(0, "job 1 of net: published", "finetune net " JOINT);
    expect(0, "weights: the float ones behind version 1", "job 1");
    expect(0, "\"weights\":\"float\"", "job 1 --json");
    ck_assert(there_is("net/2/latent.lq"));
    shell("! cmp -s %s/net/1/latent.lq %s/net/2/latent.lq", d.folder, d.folder);
    shell("%s inspect %s/net/2/latent.lq | grep joint >/dev/null", getenv("LQNET"), d.folder);
    expect(0, "job 2 of net: published", "finetune net --data folder:set " ANY);
    shell("cmp -s %s/net/2/latent.lq %s/net/3/latent.lq", d.folder, d.folder);
    expect(0, "version 4", "rollback net 1");
    shell("cmp -s %s/net/1/latent.lq %s/net/4/latent.lq", d.folder, d.folder);
    shell("rm %s/net/4/latent.lq", d.folder);
    expect(0, "job 3 of net: published", "finetune net " JOINT);
    expect(0, "weights: the quantized ones, decoded, of version 4", "job 3");
    expect(0, "\"weights\":\"decoded\"", "job 3 --json");
    ck_assert(there_is("net/5/model.lq") && !there_is("net/5/latent.lq"));
    shell("head -c 1000 %s/net/1/latent.lq >%s/net/5/latent.lq", d.folder, d.folder);
    expect(1, "job 4 of net: failed", "finetune net " JOINT);
    shell("cp %s/tiny.lq %s/net/5/latent.lq", d.folder, d.folder);
    expect(1, "the float network has no layer", "finetune net " JOINT);
    shell("[ -z \"$(ls %s/state/candidates)\" ]", base);
}
END_TEST

START_TEST(uploads)
{
    start(NULL, NULL);
    expect(0, "", "upload tiny june %s/pictures.tar", base);
    expect(0, "june", "uploads tiny");
    says(" bytes");
    expect(1, "HTTP status 422", "upload tiny bad %s/damaged.tar", base);
    expect(1, "No such file", "upload tiny none %s/none.tar", base);
    expect(0, "job 1 of tiny: published", "finetune tiny --data upload:june " ANY);
    expect(1, "HTTP status 404", "finetune tiny --data upload:july " ANY);
    expect(0, "", "discard tiny june");
    expect(1, "HTTP status 404", "discard tiny june");
    expect(0, "", "uploads tiny");
}
END_TEST

START_TEST(refused)
{
    static const char *const bad[] = {"finetune",
                                      "finetune tiny",
                                      "finetune ../tiny --data sample",
                                      "finetune tiny --data june",
                                      "finetune tiny --data sample --guard june",
                                      "finetune tiny --data sample --set epochs",
                                      "finetune tiny --data sample --set =1",
                                      "jobs 1",
                                      "job",
                                      "follow",
                                      "cancel",
                                      "resume 1 2",
                                      "history",
                                      "rollback",
                                      "rollback tiny 1 2",
                                      "upload tiny june",
                                      "uploads",
                                      "discard tiny"};

    start(NULL, NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        expect(2, "lqnet: ", "%s", bad[i]);
    expect(1, "mode", "finetune tiny --data folder:set --mode both");
    expect(1, "HTTP status 404", "finetune none --data folder:set");
    expect(1, "options.epochs", "finetune tiny --data folder:set --set epochs=many");
    expect(1, "folder 'june'", "finetune tiny --data folder:june " ANY);
    expect(1, "sample", "finetune tiny --data sample " ANY);
}
END_TEST

START_TEST(without_the_right)
{
    static const char tokens[] = "reader read,infer reader-token-0123456789\n"
                                 "ops admin,read admin-token-0123456789\n";
    char path[96];

    write_file("tokens", tokens, strlen(tokens));
    write_file("reader", "reader-token-0123456789\n", 24);
    write_file("ops", "admin-token-0123456789\n", 23);
    snprintf(path, sizeof(path), "%s/tokens", base);
    chmod(path, 0600);
    start("--tokens", path);
    expect(1, "HTTP status 401", "jobs");
    expect(1, "HTTP status 403", "--token-file %s/reader finetune tiny --data folder:set", base);
    expect(1, "HTTP status 403", "--token-file %s/reader rollback tiny", base);
    expect(0, "published", "--token-file %s/ops finetune tiny --data folder:set " ANY, base);
    expect(0, "asked by   ops", "--token-file %s/ops job 1", base);
    expect(0, "ops", "--token-file %s/ops history tiny", base);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("admin jobs");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, life_of_a_job);
    tcase_add_test(tests, options_of_a_job);
    tcase_add_test(tests, cancelled_interrupted_resumed);
    tcase_add_test(tests, joint);
    tcase_add_test(tests, uploads);
    tcase_add_test(tests, refused);
    tcase_add_test(tests, without_the_right);
    return suite_main("admin jobs", tests);
}
