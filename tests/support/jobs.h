/* jobs.h - what suites of fine-tuning share: pictures, a daemon with a state, and its jobs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_JOBS_H
#define TESTS_SUPPORT_JOBS_H

#include "support/daemon.h"
#include "support/tar_forge.h"

enum { JOBS_PICTURES = 300, JOBS_LOG_PIPE = 1 << 20 };

/* Of the test that runs: a folder, and in it the state and the data (folder "set"). */
extern char jobs_base[64], jobs_state[80], jobs_data[80];
void jobs_setup(void);
void jobs_teardown(void);

/* A picture of 8 x 8 of one colour and some noise, another for each seed; tjFree it. */
unsigned char *jobs_jpeg(int seed, unsigned long *ret_size);
/* The same pictures, without classes; free its bytes. */
struct archive jobs_tar(void);
/* A shell command with one %s succeeds. */
void jobs_shell(const char *format, const char *a);

/* For daemon_start: state, data, and one more setting unless key is NULL. Until the next call. */
const char *const *jobs_arguments(const char *key, const char *value);
/* Ends it, which succeeds, and removes its models. */
void jobs_end(struct daemon *d);
/* At the admin's socket; text NULL: any. The body, valid until the next call. */
const char *jobs_expect(const struct daemon *d, const char *method, const char *path,
                        const char *body, int status, const char *text);
/* A job's events until it ends; free them. */
char *jobs_hear(const struct daemon *d, int job);
void jobs_await_end(const struct daemon *d, int job, const char *wanted);
struct answer jobs_upload(const struct daemon *d, const char *path, const char *type,
                          const void *body, size_t size);
/* The generation that answers a picture, and what it says. */
unsigned long long jobs_classify(const struct daemon *d, const unsigned char *jpeg,
                                 unsigned long size, char *ret_body, size_t room);
/* Frees the answer. */
int jobs_status_of(struct answer answer);

#define JOBS_ANY  "\"guard\":{\"hold_out\":2,\"bound\":100}"
#define JOBS_TASK "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"set\"}," JOBS_ANY "}"
#define JOBS_TUNE "/admin/models/tiny/finetune"
/* Goes on until it is ended: its candidate waits for live pictures that nobody sends. */
#define JOBS_SLOW                                                                                  \
    "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"set\"},\"guard\":{\"hold_out\":2,\"bound\":"   \
    "100,"                                                                                         \
    "\"canary\":{\"images\":1000,\"seconds\":3600}}}"

#endif
