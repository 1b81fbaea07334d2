/* progress.c - shows long work; reads files.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

#define TERMINAL_SECONDS 0.1 /* between renewals */
#define PLAIN_SECONDS    10.0

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static bool report(void *context, const char *stage, int64_t done, int64_t total)
{
    struct cli_progress *p = context;
    double time = now(), elapsed, rate;

    if (strcmp(p->stage, stage) != 0) {
        cli_progress_end(p);
        snprintf(p->stage, sizeof(p->stage), "%s", stage);
        p->start = p->shown = time;
    }
    elapsed = time - p->start;
    if (time - p->shown >= (p->terminal ? TERMINAL_SECONDS : PLAIN_SECONDS) && elapsed > 0) {
        rate = (double)done / elapsed;
        fprintf(stderr, "%s%s: %lld of %lld %s, %.3g a second, %.0f s left%s",
                p->terminal ? "\r" : "", stage, (long long)done, (long long)total, p->unit, rate,
                (double)(total - done) / rate, p->terminal ? "\033[K" : "\n");
        p->shown = time;
        p->visible = p->terminal;
    }
    return interrupted;
}

void cli_progress_init(struct cli_progress *progress, const char *unit, struct lq_progress *ret)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND};

    *progress = (struct cli_progress){.unit = unit, .terminal = isatty(STDERR_FILENO)};
    sigaction(SIGINT, &action, NULL); /* a second Ctrl-C ends the program at once */
    *ret = (struct lq_progress){report, progress};
}

void cli_progress_end(struct cli_progress *progress)
{
    if (progress->visible)
        fputs("\r\033[K", stderr);
    progress->visible = false;
}

int cli_read_file(const char *path, size_t limit, char **ret_bytes, size_t *ret_size)
{
    FILE *file = fopen(path, "rbe");
    char *bytes = NULL;
    size_t size = 0, room = 0;

    if (!file)
        return cli_fail(CLI_FAILED, "%s: cannot open: %s", path, strerror(errno));
    for (;;) {
        size_t got;

        if (size + 1 >= room) { /* one more for the terminating zero */
            char *larger;

            room = room ? 2 * room : 65536;
            larger = size < limit ? realloc(bytes, room) : NULL;
            if (!larger) {
                free(bytes);
                fclose(file);
                return cli_fail(CLI_FAILED, "%s: more than %zu bytes", path, limit);
            }
            bytes = larger;
        }
        got = fread(bytes + size, 1, room - size - 1, file);
        size += got;
        if (got == 0)
            break;
    }
    if (ferror(file)) {
        int code = errno;

        free(bytes);
        fclose(file);
        return cli_fail(CLI_FAILED, "%s: cannot read: %s", path, strerror(code));
    }
    fclose(file);
    bytes[size] = '\0';
    *ret_bytes = bytes;
    *ret_size = size;
    return CLI_OK;
}
