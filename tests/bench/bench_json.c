/* bench_json.c - an image's floats through JSON: the server's reader and writer beside jansson's.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/json.h"
#include "codec/text.h"

enum { COUNT = 3 * 224 * 224, REPEATS = 15 };

static double now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static float random_float(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((float)(*state >> 40) / 16777216.0f - 0.5f) * 5.0f; /* as normalised pixels are */
}

/* A list of COUNT floats, printed in one of the ways that clients print them. */
static struct text make_list(const char *format)
{
    struct text list = {0};
    uint64_t state = 1;

    for (int i = 0; i < COUNT; i++) {
        text_string(&list, i ? ", " : "[");
        if (format)
            text_printf(&list, format, (double)random_float(&state));
        else
            text_float(&list, random_float(&state));
    }
    text_string(&list, "]");
    return list;
}

static double read_ours(const struct text *list, float *ret_values)
{
    struct json_reader reader;
    struct json_numbers numbers = {.limit = COUNT};
    struct lq_error error = {0};
    double start = now_ms();

    json_begin(&reader, list->bytes, list->length, &error);
    if (json_read_numbers(&reader, &numbers) != LQ_OK || numbers.count != COUNT)
        exit(1);
    memcpy(ret_values, numbers.values, COUNT * sizeof(*ret_values));
    free(numbers.values);
    return now_ms() - start;
}

static double read_jansson(const struct text *list, float *ret_values)
{
    double start = now_ms();
    json_t *root = json_loadb(list->bytes, list->length, JSON_REJECT_DUPLICATES, NULL), *number;
    size_t i;

    json_array_foreach(root, i, number) ret_values[i] = (float)json_number_value(number);
    json_decref(root);
    return now_ms() - start;
}

static double write_ours(const float *values, struct text *list)
{
    double start = now_ms();

    for (int i = 0; i < COUNT; i++) {
        text_append(list, ",", i > 0);
        text_float(list, values[i]);
    }
    return now_ms() - start;
}

static double write_printf(const float *values, struct text *list)
{
    double start = now_ms();

    for (int i = 0; i < COUNT; i++) {
        char digits[32];

        text_append(list, ",", i > 0);
        text_append(list, digits,
                    (size_t)snprintf(digits, sizeof(digits), "%.9g", (double)values[i]));
    }
    return now_ms() - start;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static void compare(const char *name, const char *format, bool json, float *a, float *b)
{
    struct text list = make_list(format);
    double ours = 1e9, theirs = 1e9;

    for (int i = 0; i < REPEATS; i++) {
        ours = smaller(ours, read_ours(&list, a));
        theirs = smaller(theirs, read_jansson(&list, b));
    }
    printf(json ? "{\"bench\":\"json_read\",\"digits\":\"%s\",\"bytes\":%zu,\"ms\":%.3f,"
                  "\"jansson_ms\":%.3f,\"ratio\":%.1f}\n"
                : "read %-22s %8zu bytes  %7.3f ms  jansson %7.3f ms  %5.1fx\n",
           name, list.length, ours, theirs, theirs / ours);
    text_free(&list);
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    float *a = malloc(COUNT * sizeof(*a)), *b = malloc(COUNT * sizeof(*b));
    double ours = 1e9, theirs = 1e9;

    if (!a || !b)
        return 1;
    compare("shortest", NULL, json, a, b);
    compare("9 digits", "%.9g", json, a, b);
    compare("17 digits (double)", "%.17g", json, a, b);
    compare("fixed, 6 places", "%.6f", json, a, b);
    for (int i = 0; i < REPEATS; i++) {
        struct text one = {0}, two = {0};

        ours = smaller(ours, write_ours(a, &one));
        theirs = smaller(theirs, write_printf(a, &two));
        text_free(&one);
        text_free(&two);
    }
    printf(json ? "{\"bench\":\"json_write\",\"ms\":%.3f,\"printf_ms\":%.3f,\"ratio\":%.1f}\n"
                : "write shortest %40.3f ms  %%.9g    %7.3f ms  %5.1fx\n",
           ours, theirs, theirs / ours);
    free(a);
    free(b);
    return 0;
}
