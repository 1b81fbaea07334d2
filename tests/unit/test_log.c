/* test_log.c - lines of the log, and that nobody waits for its reader.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "observe/log.h"

static int ends[2];

/* Standard error becomes a pipe that holds `size` bytes. */
static void open_pipe(int size)
{
    ck_assert_int_eq(pipe(ends), 0);
    fcntl(ends[1], F_SETPIPE_SZ, size);
    fflush(stderr);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
}

static json_t *next_line(FILE *log)
{
    char line[8192];

    if (!fgets(line, sizeof(line), log))
        return NULL;
    json_t *root = json_loads(line, 0, NULL);
    ck_assert_msg(root && line[strlen(line) - 1] == '\n', "%s", line);
    return root;
}

static void log_one(int64_t number, const char *text)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, "one");
    log_int(&line, "number", number);
    log_string(&line, "text", text);
    log_end(&line);
}

START_TEST(values)
{
    static const int64_t numbers[] = {0, 7, -1, 1234567890123, INT64_MAX, INT64_MIN};
    const char *text = "quote \" back \\ line \n e\xc3\xa9";
    int level;

    open_pipe(1 << 16);
    FILE *log = fdopen(ends[0], "r");
    for (size_t i = 0; i < 6; i++)
        log_one(numbers[i], i % 2 ? text : "plain");
    log_message(LOG_DEBUG, "hidden", "not shown at the level info");
    log_message(LOG_ERROR, "shown", "%d", 5);
    close(STDERR_FILENO);
    for (size_t i = 0; i < 6; i++) {
        json_t *line = next_line(log);

        ck_assert_int_eq(json_integer_value(json_object_get(line, "number")), numbers[i]);
        ck_assert_str_eq(json_string_value(json_object_get(line, "text")), i % 2 ? text : "plain");
        ck_assert_int_eq(sscanf(json_string_value(json_object_get(line, "time")),
                                "20%*2d-%*2d-%*2dT%*2d:%*2d:%*2d.%3dZ", &level),
                         1);
        json_decref(line);
    }
    json_t *line = next_line(log);
    ck_assert_str_eq(json_string_value(json_object_get(line, "message")), "5");
    json_decref(line);
    ck_assert_ptr_null(next_line(log));
    fclose(log);
}
END_TEST

enum { THREADS = 4, LINES = 2000 };

static void *log_main(void *argument)
{
    for (int i = 0; i < LINES; i++)
        log_one(i, argument);
    return NULL;
}

static void *count_main(void *argument)
{
    json_t *line;
    int *count = argument;
    FILE *log = fdopen(ends[0], "r");

    while ((line = next_line(log))) {
        ++*count;
        json_decref(line);
    }
    fclose(log);
    return NULL;
}

/* With a reader that keeps up, every line arrives, whole. */
START_TEST(all_lines_arrive)
{
    pthread_t threads[THREADS], reader;
    int count = 0;

    open_pipe(4096);
    ck_assert_int_eq(pthread_create(&reader, NULL, count_main, &count), 0);
    ck_assert_int_eq(log_start(NULL), LQ_OK);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, log_main, "some text"), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    log_stop();
    close(STDERR_FILENO);
    pthread_join(reader, NULL);
    ck_assert_int_eq(count + (int)log_dropped(), THREADS * LINES + (log_dropped() > 0));
    ck_assert_uint_eq(log_dropped(), 0);
}
END_TEST

/* With one that has stopped reading, nobody waits: lines are dropped, and the log says so later. */
START_TEST(a_reader_that_hangs)
{
    const int lines = 20000; /* about 2 MB */
    int64_t start_us;
    int64_t told = 0;
    int seen = 0;
    json_t *line;

    open_pipe(4096);
    ck_assert_int_eq(log_start(NULL), LQ_OK);
    start_us = clock_now_us();
    for (int i = 0; i < lines; i++)
        log_one(i, "nobody reads this");
    ck_assert_int_lt(clock_now_us() - start_us, 5000000);
    ck_assert_uint_gt(log_dropped(), 0);
    FILE *log = fdopen(ends[0], "r");
    while (seen + told < lines && (line = next_line(log))) {
        if (strcmp(json_string_value(json_object_get(line, "event")), "log_dropped") == 0)
            told += json_integer_value(json_object_get(line, "lines"));
        else
            seen++;
        json_decref(line);
    }
    ck_assert_int_eq(seen + told, lines);
    ck_assert_int_eq(told, (int64_t)log_dropped());
    log_stop();
    fclose(log);
}
END_TEST

/* The end does not wait for it either. */
START_TEST(the_end_with_a_reader_that_hangs)
{
    int64_t start_us = clock_now_us();

    open_pipe(4096);
    ck_assert_int_eq(log_start(NULL), LQ_OK);
    for (int i = 0; i < 1000; i++)
        log_one(i, "nobody reads this");
    log_stop();
    ck_assert_int_lt(clock_now_us() - start_us, 5000000);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("log");

    tcase_add_test(tests, values);
    tcase_add_test(tests, all_lines_arrive);
    tcase_add_test(tests, a_reader_that_hangs);
    tcase_add_test(tests, the_end_with_a_reader_that_hangs);
    return suite_main("log", tests);
}
