/* log.c - structured log: one JSON object a line, on standard error.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level shown_level = LOG_INFO;

static const char *const level_names[] = {
#define X(name, text) text,
    LOG_LEVEL_LIST(X)
#undef X
};

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

void log_begin(struct log_line *line, enum log_level level, const char *event)
{
    struct timespec now;
    struct tm utc;

    line->text = (struct text){0};
    line->shown = level <= shown_level;
    if (!line->shown)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    text_printf(&line->text, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\",\"level\":\"%s\"",
                utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                utc.tm_sec, (int)(now.tv_nsec / 1000000), level_names[level]);
    log_string(line, "event", event);
}

void log_string(struct log_line *line, const char *key, const char *value)
{
    if (!line->shown)
        return;
    text_printf(&line->text, ",\"%s\":", key);
    text_json(&line->text, value);
}

void log_int(struct log_line *line, const char *key, int64_t value)
{
    if (line->shown)
        text_printf(&line->text, ",\"%s\":%lld", key, (long long)value);
}

void log_end(struct log_line *line)
{
    size_t done = 0;
    ssize_t step;

    if (!line->shown)
        return;
    text_append(&line->text, "}\n", 2);
    while (!line->text.failed && done < line->text.length) {
        step = write(STDERR_FILENO, line->text.bytes + done, line->text.length - done);
        if (step < 0 && errno != EINTR)
            break; /* nowhere left to complain */
        done += step > 0 ? (size_t)step : 0;
    }
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
