/* main.c - lqnetd: serves the models of a folder over HTTP until it is told to stop.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>

#include "app.h"
#include "log.h"

static sem_t stop;

/* Libraries have threads of their own, made before main, on which a signal may arrive: so it is
 * handled, wherever that is, rather than blocked and waited for. */
static void on_stop(int signal_number)
{
    (void)signal_number;
    sem_post(&stop);
}

/* 1: it could not run; 2: the command line or the configuration is wrong. */
enum { EXIT_CANNOT_RUN = 1, EXIT_BAD_CONFIG = 2 };

int main(int argc, char **argv)
{
    static struct app app;
    struct lq_error error = {0};
    enum config_action action;
    struct sigaction action_stop = {.sa_handler = on_stop, .sa_flags = SA_RESTART};

    if (config_from_arguments(&app.config, argc, argv, &action, &error) != LQ_OK) {
        fprintf(stderr, "lqnetd: %s\n", error.text);
        return EXIT_BAD_CONFIG;
    }
    if (action == CONFIG_HELP)
        config_help(stdout);
    if (action == CONFIG_VERSION)
        puts("lqnetd " LQ_VERSION);
    if (action != CONFIG_RUN)
        return 0;
    sem_init(&stop, 0, 0);
    sigaction(SIGTERM, &action_stop, NULL);
    sigaction(SIGINT, &action_stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (log_start(&error) != LQ_OK || app_start(&app, &error) != LQ_OK) {
        log_stop();
        log_message(LOG_ERROR, "failed", "%s", error.text);
        return EXIT_CANNOT_RUN;
    }
    while (sem_wait(&stop) != 0)
        ; /* interrupted */
    app_stop(&app);
    log_stop();
    return 0;
}
