/* jobs.c - what suites of fine-tuning share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/files.h"
#include "support/jobs.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <turbojpeg.h>
#include <unistd.h>

char jobs_base[64]; /* a folder for state and data */
char jobs_state[80], jobs_data[80];

void jobs_shell(const char *format, const char *a)
{
    char command[300];

    snprintf(command, sizeof(command), format, a);
    ck_assert_int_eq(system(command), 0);
}

/* ------------------------------------------------------------------------------------------------
 * Pictures
 */

/* A picture of one colour and some noise, another for each seed. */
unsigned char *jobs_jpeg(int seed, unsigned long *ret_size)
{
    unsigned char pixels[8 * 8 * 3], *jpeg = NULL;
    unsigned random = (unsigned)seed * 2654435761u + 1;
    tjhandle encoder = tjInitCompress();

    for (size_t i = 0; i < sizeof(pixels); i++) {
        random = random * 1664525u + 1013904223u;
        pixels[i] = (unsigned char)((unsigned)seed * 37u * (1 + i % 3) + (random >> 26));
    }
    ck_assert_int_eq(
        tjCompress2(encoder, pixels, 8, 0, 8, TJPF_RGB, &jpeg, ret_size, TJSAMP_444, 95, 0), 0);
    tjDestroy(encoder);
    return jpeg;
}

void jobs_setup(void)
{
    char path[160];

    snprintf(jobs_base, sizeof(jobs_base), "/tmp/lqnetd-jobs-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(jobs_base));
    chmod(jobs_base, 0755);
    snprintf(jobs_state, sizeof(jobs_state), "%s/state", jobs_base);
    snprintf(jobs_data, sizeof(jobs_data), "%s/data", jobs_base);
    mkdir(jobs_data, 0755);
    snprintf(path, sizeof(path), "%s/set", jobs_data);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/set/cat", jobs_data);
    mkdir(path, 0755);
    for (int i = 0; i < JOBS_PICTURES; i++) {
        unsigned long size;
        unsigned char *jpeg = jobs_jpeg(i, &size);

        snprintf(path, sizeof(path), "%s/set/cat/%03d.jpg", jobs_data, i);
        file_write(path, jpeg, size);
        tjFree(jpeg);
    }
}

void jobs_teardown(void)
{
    jobs_shell("rm -rf %s", jobs_base);
}

/* Without labels: what counts is whether both networks agree. */
struct archive jobs_tar(void)
{
    struct archive archive = {NULL, 0};

    for (int i = 0; i < JOBS_PICTURES; i++) {
        unsigned long size;
        unsigned char *jpeg = jobs_jpeg(i, &size);
        char name[32];

        snprintf(name, sizeof(name), "./%03d.jpg", i);
        tar_forge_add(&archive, name, '0', jpeg, size);
        tjFree(jpeg);
    }
    return archive;
}

/* ------------------------------------------------------------------------------------------------
 * The daemon
 */

const char *const *jobs_arguments(const char *key, const char *value)
{
    static const char *words[12];
    int count = 0;

    words[count++] = "--state";
    words[count++] = jobs_state;
    words[count++] = "--data-root";
    words[count++] = jobs_data;
    if (key) {
        words[count++] = key;
        words[count++] = value;
    }
    words[count] = NULL;
    return words;
}

void jobs_end(struct daemon *d)
{
    ck_assert_int_eq(daemon_stop(d), 0);
    jobs_shell("rm -rf %s", d->folder);
}

/* At the admin's socket; text NULL: any. The body, valid until the next call. */
const char *jobs_expect(const struct daemon *d, const char *method, const char *path,
                        const char *body, int status, const char *text)
{
    static struct answer answer;

    answer_free(&answer);
    answer = daemon_ask_admin(d, method, path, NULL, body);
    ck_assert_msg(answer.status == status, "%s %s: %d %s", method, path, answer.status,
                  answer.body);
    ck_assert_msg(!text || strstr(answer.body, text), "%s %s: %s", method, path, answer.body);
    return answer.body;
}

/* Hears a job's events until it ends; free it. */
char *jobs_hear(const struct daemon *d, int job)
{
    char request[160], *heard = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&heard, &size);
    int fd = daemon_connect_admin(d);
    char piece[4096];
    ssize_t got;

    snprintf(request, sizeof(request),
             "GET /admin/jobs/%d/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", job);
    ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    while ((got = recv(fd, piece, sizeof(piece), 0)) > 0)
        fwrite(piece, 1, (size_t)got, text);
    fclose(text);
    close(fd);
    return heard;
}

void jobs_await_end(const struct daemon *d, int job, const char *wanted)
{
    char path[64], text[64], *heard = jobs_hear(d, job);

    snprintf(path, sizeof(path), "/admin/jobs/%d", job);
    snprintf(text, sizeof(text), "\"state\":\"%s\"", wanted);
    jobs_expect(d, "GET", path, NULL, 200, text);
    ck_assert_msg(strstr(heard, "event: end") && strstr(heard, text), "%s", heard);
    free(heard);
}

struct answer jobs_upload(const struct daemon *d, const char *path, const char *type,
                          const void *body, size_t size)
{
    char *bytes = malloc(size + 512);
    int head = snprintf(bytes, 512,
                        "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                        "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                        path, type, size);
    struct answer answer;

    memcpy(bytes + head, body, size);
    answer = daemon_raw_over(daemon_connect_admin(d), bytes, (size_t)head + size);
    free(bytes);
    return answer;
}

/* The generation that answers a picture, and what it says. */
unsigned long long jobs_classify(const struct daemon *d, const unsigned char *jpeg,
                                 unsigned long size, char *ret_body, size_t room)
{
    struct answer answer =
        daemon_ask(d, "POST", "/v2/models/tiny/classify", "image/jpeg", jpeg, size);
    unsigned long long generation;
    const char *header;

    ck_assert_msg(answer.status == 200, "%d %s", answer.status, answer.body);
    header = strstr(answer.head, "X-Model-Generation: ");
    ck_assert_ptr_nonnull(header);
    generation = strtoull(header + strlen("X-Model-Generation: "), NULL, 10);
    snprintf(ret_body, room, "%s", answer.body);
    answer_free(&answer);
    return generation;
}

int jobs_status_of(struct answer answer)
{
    int status = answer.status;

    answer_free(&answer);
    return status;
}
