/* main.c - lqnetd: serves the models of a folder over HTTP until it is told to stop.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "observe/log.h"

/* What signals have asked for. */
static sem_t asked;
static atomic_bool stop_asked, reload_asked;

/* Libraries have threads of their own, made before main, on which a signal may arrive: so it is
 * handled, wherever that is, rather than blocked and waited for. */
static void on_signal(int signal_number)
{
    int kept = errno;

    if (signal_number == SIGHUP)
        reload_asked = true;
    else
        stop_asked = true;
    sem_post(&asked);
    errno = kept;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sem_init(&asked, 0, 0);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on files is an error of the write, not the end */
}

static void serve_until_stopped(struct app *app)
{
    while (!stop_asked) {
        if (sem_wait(&asked) == 0 && reload_asked && !stop_asked) {
            reload_asked = false;
            app_reload(app);
        }
    }
    app_stop(app);
}

/* 1: it could not run; 2: the command line or the configuration is wrong. */
enum { EXIT_CANNOT_RUN = 1, EXIT_BAD_CONFIG = 2 };

int main(int argc, char **argv)
{
    static struct app app;
    struct lq_error error = {0};
    enum config_action action;

    if (config_from_arguments(&app.config, argc, argv, &action, &error) != LQ_OK ||
        config_check(&app.config, &error) != LQ_OK) {
        fprintf(stderr, "lqnetd: %s\n", error.text);
        return EXIT_BAD_CONFIG;
    }
    if (action == CONFIG_HELP)
        config_help(stdout);
    if (action == CONFIG_VERSION)
        puts("lqnetd " LQ_VERSION);
    if (action != CONFIG_RUN)
        return 0;
    catch_signals();
    if (strcmp(app.config.log_output, "stdout") == 0)
        dup2(STDOUT_FILENO, STDERR_FILENO); /* and what libraries complain of */
    if (log_start(&error) != LQ_OK || app_start(&app, &error) != LQ_OK) {
        log_stop();
        log_message(LOG_ERROR, "failed", "%s", error.text);
        return EXIT_CANNOT_RUN;
    }
    serve_until_stopped(&app);
    log_stop();
    return 0;
}
