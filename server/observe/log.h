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
 * writes {"time":"2026-01-31T12:00:00.123Z","level":"info","event":"listening",...}. Any thread.
 *
 * Between log_start and log_stop, log_end only copies the line to a buffer of LOG_BUFFER_BYTES that
 * a thread of the log's own empties: whoever logs never waits for the reader of standard error. A
 * line that finds no room is dropped and counted, and the log says how many were. At other times a
 * line is written at once. Lines do not mix.
 */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include "codec/text.h"

#define LOG_BUFFER_BYTES (1 << 20)

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
    enum log_level level;
    bool shown;
};

/* LOG_INFO before the first call. Call it before other threads exist. */
void log_set_level(enum log_level level);
/* -1 for any other name. */
int log_level_from_name(const char *name);

/* Starts the writer. Errors: LQ_ERR_MEMORY. */
int log_start(struct lq_error *error) LQ_MUST_CHECK;
/* Writes what is there, but waits for a reader that has stopped reading for a second only. */
void log_stop(void);
/* Lines dropped since the program began. */
uint64_t log_dropped(void);

void log_begin(struct log_line *line, enum log_level level, const char *event);
void log_string(struct log_line *line, const char *key, const char *value);
void log_int(struct log_line *line, const char *key, int64_t value);
void log_end(struct log_line *line);

/* A line with one member, "message". */
void log_message(enum log_level level, const char *event, const char *format, ...) LQ_PRINTF(3, 4);

#endif
