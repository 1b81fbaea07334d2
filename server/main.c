/* main.c - lqnetd: serves the models of a folder over HTTP until it is told to stop.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <signal.h>
#include <stdio.h>

#include "app.h"
#include "log.h"

/* 1: it could not run; 2: the command line or the configuration is wrong. */
enum { EXIT_CANNOT_RUN = 1, EXIT_BAD_CONFIG = 2 };

int main(int argc, char **argv)
{
    static struct app app;
    struct lq_error error = {0};
    enum config_action action;
    sigset_t signals;
    int caught;

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
    /* All threads inherit the mask; this one waits for the signals. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (app_start(&app, &error) != LQ_OK) {
        log_message(LOG_ERROR, "failed", "%s", error.text);
        return EXIT_CANNOT_RUN;
    }
    while (sigwait(&signals, &caught) != 0)
        ;
    app_stop(&app);
    return 0;
}
