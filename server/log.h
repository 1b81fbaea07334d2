/* log.h - structured log: one JSON object a line, on standard error.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     struct log_line line;
 *     log_begin(&line, LOG_INFO, "listening");
 *     log_string(&line, "address", "127.0.0.1");
 *     log_int(&line, "port", 8080);
 *     log_end(&line);
 *
 * writes {"time":"2026-01-31T12:00:00.123Z","level":"info","event":"listening",...}. A line is
 * written by one write(2), so that lines of several threads do not mix. Any thread.
 */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include "text.h"

/* X(NAME, name): a level shows itself and those before it. */
#define LOG_LEVEL_LIST(X)                                                                          \
    X(ERROR, "error")                                                                              \
    X(WARNING, "warning")                                                                          \
    X(INFO, "info")                                                                                \
    X(DEBUG, "debug")

enum log_level {
#define X(name, text) LOG_##name,
    LOG_LEVEL_LIST(X)
#undef X
        LOG_LEVEL_COUNT
};

struct log_line {
    struct text text;
    bool shown;
};

/* LOG_INFO before the first call. Call it before other threads exist. */
void log_set_level(enum log_level level);
/* -1 for any other name. */
int log_level_from_name(const char *name);

void log_begin(struct log_line *line, enum log_level level, const char *event);
void log_string(struct log_line *line, const char *key, const char *value);
void log_int(struct log_line *line, const char *key, int64_t value);
void log_end(struct log_line *line);

/* A line with one member, "message". */
void log_message(enum log_level level, const char *event, const char *format, ...) LQ_PRINTF(3, 4);

#endif
