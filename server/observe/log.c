/* log.c - structured log: one JSON object a line, on standard error.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "observe/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

/* How long the writer collects lines before it writes them together; errors and warnings hurry. */
#define COLLECT_US 5000
#define STOP_US    1000000

static enum log_level shown_level = LOG_INFO;

static const char *const level_names[] = {
#define X(name, text) text,
    LOG_LEVEL_LIST(X)
#undef X
};

/* The process has one standard error, and so one of these. */
static struct {
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t filled, done;
    char *filling, *writing; /* of LOG_BUFFER_BYTES each */
    size_t length;           /* of what `filling` holds */
    uint64_t unreported;     /* dropped, and the log has not told */
    bool running, idle, urgent, stopping, finished;
    pthread_t thread;
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER};
static atomic_uint_fast64_t dropped;

void log_set_level(enum log_level level)
{
    shown_level = level;
}

int log_level_from_name(const char *name)
{
    for (int i = 0; i < LOG_LEVEL_COUNT; i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -1;
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------------------
 * The writer
 */

static void write_all(const char *bytes, size_t length)
{
    size_t done = 0;
    ssize_t step;

    while (done < length) {
        step = write(STDERR_FILENO, bytes + done, length - done);
        if (step < 0 && errno != EINTR)
            return; /* nowhere left to complain */
        done += step > 0 ? (size_t)step : 0;
    }
}

static void report_dropped(uint64_t lines)
{
    struct log_line line;

    log_begin(&line, LOG_WARNING, "log_dropped");
    log_int(&line, "lines", (int64_t)lines);
    if (line.shown) {
        text_append(&line.text, "}\n", 2);
        if (!line.text.failed)
            write_all(line.text.bytes, line.text.length);
        text_free(&line.text);
    }
}

/* Waits for lines and takes them: their length, 0 at the end. */
static size_t take_lines(uint64_t *ret_dropped)
{
    size_t length;
    char *taken;

    pthread_mutex_lock(&writer.lock);
    while (writer.length == 0 && !writer.stopping) {
        writer.idle = true;
        pthread_cond_wait(&writer.filled, &writer.lock);
        if (!writer.urgent && !writer.stopping) {
            pthread_mutex_unlock(&writer.lock);
            clock_sleep_us(COLLECT_US);
            pthread_mutex_lock(&writer.lock);
        }
    }
    taken = writer.filling;
    writer.filling = writer.writing;
    writer.writing = taken;
    length = writer.length;
    *ret_dropped = writer.unreported;
    writer.length = 0;
    writer.unreported = 0;
    writer.urgent = false;
    pthread_mutex_unlock(&writer.lock);
    return length;
}

static void *writer_main(void *unused)
{
    uint64_t lines;
    size_t length;

    (void)unused;
    while ((length = take_lines(&lines)) > 0) {
        write_all(writer.writing, length);
        if (lines)
            report_dropped(lines);
    }
    pthread_mutex_lock(&writer.lock);
    writer.finished = true;
    pthread_cond_signal(&writer.done);
    pthread_mutex_unlock(&writer.lock);
    return NULL;
}

int log_start(struct lq_error *error)
{
    pthread_condattr_t monotonic;

    writer.filling = malloc(LOG_BUFFER_BYTES);
    writer.writing = malloc(LOG_BUFFER_BYTES);
    writer.length = 0;
    writer.idle = writer.urgent = writer.stopping = writer.finished = false;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&writer.filled, &monotonic);
    pthread_cond_init(&writer.done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (!writer.filling || !writer.writing ||
        pthread_create(&writer.thread, NULL, writer_main, NULL) != 0) {
        free(writer.filling);
        free(writer.writing);
        return error_set(error, LQ_ERR_MEMORY, "cannot start the log");
    }
    pthread_mutex_lock(&writer.lock);
    writer.running = true;
    pthread_mutex_unlock(&writer.lock);
    return LQ_OK;
}

void log_stop(void)
{
    int64_t until_us = clock_now_us() + STOP_US;
    struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
    bool running, finished;

    pthread_mutex_lock(&writer.lock);
    running = writer.running;
    writer.running = false;
    writer.stopping = true;
    if (running)
        pthread_cond_signal(&writer.filled);
    while (running && !writer.finished &&
           pthread_cond_timedwait(&writer.done, &writer.lock, &until) == 0)
        ;
    finished = running && writer.finished;
    pthread_mutex_unlock(&writer.lock);
    if (finished) {
        pthread_join(writer.thread, NULL);
        free(writer.filling);
        free(writer.writing);
    } else if (running) {
        pthread_detach(writer.thread); /* hangs in its write: the end of the process ends it */
    }
}

/* ------------------------------------------------------------------------------------------------
 * Lines
 */

static char *put_digits(char *at, int value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
    return at + digits;
}

static void write_time(struct text *text)
{
    char time[] = "{\"time\":\"2026-01-31T12:00:00.123Z\",\"level\":\"", *at = time + 9;
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    at = put_digits(at, utc.tm_year + 1900, 4) + 1;
    at = put_digits(at, utc.tm_mon + 1, 2) + 1;
    at = put_digits(at, utc.tm_mday, 2) + 1;
    at = put_digits(at, utc.tm_hour, 2) + 1;
    at = put_digits(at, utc.tm_min, 2) + 1;
    at = put_digits(at, utc.tm_sec, 2) + 1;
    put_digits(at, (int)(now.tv_nsec / 1000000), 3);
    text_append(text, time, sizeof(time) - 1);
}

void log_begin(struct log_line *line, enum log_level level, const char *event)
{
    line->text = (struct text){0};
    line->level = level;
    line->shown = level <= shown_level;
    if (!line->shown)
        return;
    write_time(&line->text);
    text_string(&line->text, level_names[level]);
    text_append(&line->text, "\"", 1);
    log_string(line, "event", event);
}

static void write_key(struct log_line *line, const char *key)
{
    text_append(&line->text, ",\"", 2);
    text_string(&line->text, key);
    text_append(&line->text, "\":", 2);
}

/* Does JSON take it as it is? */
static bool is_plain(const char *value)
{
    for (; *value; value++)
        if (*value < ' ' || *value > '~' || *value == '"' || *value == '\\')
            return false;
    return true;
}

void log_string(struct log_line *line, const char *key, const char *value)
{
    if (!line->shown)
        return;
    write_key(line, key);
    if (!value || !is_plain(value)) {
        text_json(&line->text, value);
        return;
    }
    text_append(&line->text, "\"", 1); /* nearly all are plain */
    text_string(&line->text, value);
    text_append(&line->text, "\"", 1);
}

void log_int(struct log_line *line, const char *key, int64_t value)
{
    if (!line->shown)
        return;
    write_key(line, key);
    text_int(&line->text, value);
}

/* False: there is no writer. */
static bool hand_over(const struct log_line *line)
{
    const struct text *text = &line->text;
    bool running;

    pthread_mutex_lock(&writer.lock);
    running = writer.running;
    if (running && text->length <= LOG_BUFFER_BYTES - writer.length) {
        memcpy(writer.filling + writer.length, text->bytes, text->length);
        writer.length += text->length;
        writer.urgent = writer.urgent || line->level <= LOG_WARNING;
        if (writer.idle) {
            writer.idle = false;
            pthread_cond_signal(&writer.filled);
        }
    } else if (running) {
        writer.unreported++;
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&writer.lock);
    return running;
}

void log_end(struct log_line *line)
{
    if (!line->shown)
        return;
    text_append(&line->text, "}\n", 2);
    if (!line->text.failed && !hand_over(line))
        write_all(line->text.bytes, line->text.length);
    text_free(&line->text);
}

void log_message(enum log_level level, const char *event, const char *format, ...)
{
    struct log_line line;
    char message[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    log_begin(&line, level, event);
    log_string(&line, "message", message);
    log_end(&line);
}
