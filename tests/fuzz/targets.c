/* targets.c - the list of targets, and what they share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fuzz/targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Larger networks would make inputs slow, not better. */
#define MAX_MACS   2000000
#define MAX_PIXELS 65536

const struct fuzz_target fuzz_targets[] = {
#define X(name, text) {#name, text, fuzz_##name},
    FUZZ_LIST(X)
#undef X
        {NULL, NULL, NULL}};

void fuzz_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    abort();
}

void fuzz_check_status(int status, const struct lq_error *error)
{
    FUZZ_CHECK(status <= LQ_OK && status == error->status);
    FUZZ_CHECK((status == LQ_OK) == (error->text[0] == '\0'));
    FUZZ_CHECK(strlen(error->text) < sizeof(error->text));
    for (const char *at = error->text; *at; at++)
        FUZZ_CHECK((unsigned char)*at >= ' ' && *at != 0x7f);
}

const char *fuzz_file(const uint8_t *bytes, size_t size)
{
    static char path[64];
    static int fd = -1;

    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && fchmod(fd, S_IRUSR | S_IWUSR) == 0);
    FUZZ_CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, size, 0) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return path;
}

char *fuzz_string(const uint8_t *bytes, size_t size)
{
    char *string = malloc(size + 1);

    FUZZ_CHECK(string);
    if (size)
        memcpy(string, bytes, size);
    string[size] = '\0';
    return string;
}

static void run_session(struct lq_session *session, const struct lq_model_info *info)
{
    size_t size = (size_t)info->channels * (size_t)info->height * (size_t)info->width;
    uint8_t *pixels = malloc(size);
    float *output = malloc((size_t)info->classes * sizeof(*output));
    struct lq_error error = {0};

    FUZZ_CHECK(pixels && output);
    for (size_t i = 0; i < size; i++)
        pixels[i] = (uint8_t)(i * 2654435761u >> 24);
    fuzz_check_status(lq_session_run_pixels(session, pixels, 1, output, &error), &error);
    free(pixels);
    free(output);
}

void fuzz_run_model(struct lq_model *model)
{
    const struct lq_session_options options = {1, 1, LQ_FORM_AUTO};
    struct lq_session *session = NULL;
    struct lq_model_info info;
    struct lq_error error = {0};
    int status;

    lq_model_get_info(model, &info);
    FUZZ_CHECK(info.channels > 0 && info.height > 0 && info.width > 0 && info.classes > 0);
    if (info.macs > MAX_MACS || (int64_t)info.height * info.width > MAX_PIXELS)
        return;
    status = lq_session_create(model, &options, &session, &error);
    fuzz_check_status(status, &error);
    if (status != LQ_OK)
        return;
    run_session(session, &info);
    lq_session_destroy(session);
}
