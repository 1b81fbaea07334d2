/* daemon.h - a lqnetd to test: started on a free port, asked, stopped.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_DAEMON_H
#define TESTS_SUPPORT_DAEMON_H

#include <stddef.h>
#include <sys/types.h>

struct daemon {
    pid_t pid;
    int port;
    char folder[64]; /* of models; removed in the end */
    char admin[80];  /* path of the admin's socket */
    int log;         /* its standard error */
};

struct answer {
    int status; /* 0: the connection closed without one */
    char *head, *body;
    size_t body_size;
};

/* A folder with the model "tiny" (tests/support/tiny_model.h) and a damaged one, "bad"; starts
 * $LQNETD on it with more arguments (up to a NULL) and waits until it listens. */
void daemon_start(struct daemon *daemon, const char *const *arguments);
/* The same, where the pipe of its log holds `size` bytes. */
void daemon_start_with_pipe(struct daemon *daemon, const char *const *arguments, int size);
/* The same on the folder of a daemon that has ended. */
void daemon_start_again(struct daemon *daemon, const char *const *arguments, int size);
/* SIGKILL; the folder stays. */
void daemon_kill(struct daemon *daemon);
/* SIGTERM; the exit status. The folder stays. */
int daemon_end(struct daemon *daemon);
/* The same, and the folder goes. */
int daemon_stop(struct daemon *daemon);

/* Runs a daemon that cannot start: its exit status (-1: a signal), and what it says on its standard
 * error. */
int daemon_run(char *const *words, char *ret_text, size_t size);

/* Sends bytes as they are and reads until the peer closes or the reply is whole. */
struct answer daemon_raw(const struct daemon *daemon, const void *bytes, size_t size);
/* One request on a connection of its own. type NULL: no Content-Type. */
struct answer daemon_ask(const struct daemon *daemon, const char *method, const char *path,
                         const char *type, const void *body, size_t size);
/* The same at the admin's socket. `headers`: more lines, each with its end, or NULL. */
struct answer daemon_ask_admin(const struct daemon *daemon, const char *method, const char *path,
                               const char *headers, const char *body);
void answer_free(struct answer *answer);

/* A connected socket; one of the admin. */
int daemon_connect(const struct daemon *daemon);
int daemon_connect_admin(const struct daemon *daemon);
/* Sends bytes as they are over a socket, reads until the reply is whole, and closes it. */
struct answer daemon_raw_over(int fd, const void *bytes, size_t size);
/* Reads one reply from a socket. */
struct answer daemon_read(int fd);

#endif
