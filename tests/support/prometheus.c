/* prometheus.c - reads Prometheus' text format 0.0.4, strictly.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/prometheus.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SERIES = 20000, MAX_FAMILIES = 500, NAME = 128, LINE = 1024 };

struct reading {
    char families[MAX_FAMILIES][NAME];
    int family_count;
    char family[NAME], type[16];
    bool typed;
    char *series[MAX_SERIES]; /* seen: names with labels */
    int series_count;
    /* of the histogram's series being read: what stands before le, and the last bucket */
    char labels[LINE];
    double bound, below;
    bool open, summed;
};

static bool take_name(const char **at, char *ret_name, bool colon)
{
    size_t length = 0;

    if (!isalpha((unsigned char)**at) && **at != '_')
        return false;
    while (isalnum((unsigned char)**at) || **at == '_' || (colon && **at == ':')) {
        if (length + 1 == NAME)
            return false;
        ret_name[length++] = *(*at)++;
    }
    ret_name[length] = '\0';
    return true;
}

/* {a="b",...}: true if legal; le is copied out, and the rest of the labels without it. */
static bool take_labels(const char **at, char *ret_le, char *ret_rest)
{
    char name[NAME];

    *ret_le = *ret_rest = '\0';
    if (**at != '{')
        return true;
    do {
        const char *from = ++*at;

        if (!take_name(at, name, false) || strncmp(*at, "=\"", 2) != 0)
            return false;
        *at += 2;
        const char *value = *at;
        while (**at && **at != '"') {
            if (**at == '\\' && !strchr("\\\"n", *++*at))
                return false;
            ++*at;
        }
        if (**at != '"')
            return false;
        if (strcmp(name, "le") == 0)
            snprintf(ret_le, 32, "%.*s", (int)(*at - value), value);
        else
            snprintf(ret_rest + strlen(ret_rest), LINE - strlen(ret_rest), "%.*s,",
                     (int)(*at + 1 - from), from);
        ++*at;
    } while (**at == ',');
    return *(*at)++ == '}';
}

static const char *start_family(struct reading *r, const char *name)
{
    if (r->open)
        return "the histogram before has no _count";
    for (int i = 0; i < r->family_count; i++)
        if (strcmp(r->families[i], name) == 0)
            return "a family stands there twice";
    if (r->family_count == MAX_FAMILIES)
        return "too many families";
    snprintf(r->families[r->family_count++], NAME, "%s", name);
    snprintf(r->family, NAME, "%s", name);
    r->typed = false;
    return NULL;
}

static const char *read_comment(struct reading *r, const char *line)
{
    char name[NAME];
    const char *at = line + 7;
    bool help = strncmp(line, "# HELP ", 7) == 0;

    if (!help && strncmp(line, "# TYPE ", 7) != 0)
        return "neither HELP nor TYPE";
    if (!take_name(&at, name, true) || *at++ != ' ' || !*at)
        return "no name and text";
    if (help)
        return start_family(r, name);
    if (strcmp(name, r->family) != 0 || r->typed)
        return "TYPE does not follow its HELP";
    r->typed = true;
    snprintf(r->type, sizeof(r->type), "%s", at);
    if (strcmp(at, "counter") == 0 &&
        (strlen(name) < 7 || strcmp(name + strlen(name) - 6, "_total")))
        return "a counter's name does not end in _total";
    return strcmp(at, "counter") && strcmp(at, "gauge") && strcmp(at, "histogram") ? "unknown type"
                                                                                   : NULL;
}

static const char *read_histogram(struct reading *r, const char *suffix, const char *le,
                                  const char *rest, double value)
{
    if (strcmp(suffix, "_bucket") == 0) {
        double bound = strtod(le, NULL);

        if (!*le)
            return "a bucket without le";
        if (r->open && (strcmp(rest, r->labels) != 0 || bound <= r->bound || value < r->below))
            return "buckets that do not rise";
        snprintf(r->labels, LINE, "%s", rest);
        r->bound = bound;
        r->below = value;
        r->open = true;
        r->summed = false;
        return NULL;
    }
    if (!r->open || strcmp(rest, r->labels) != 0 || !isinf(r->bound) || *le)
        return "_sum or _count without all buckets";
    if (strcmp(suffix, "_sum") == 0) {
        r->summed = true;
        return NULL;
    }
    if (strcmp(suffix, "_count") != 0 || !r->summed || value != r->below)
        return "_count is not the last bucket";
    r->open = false;
    return NULL;
}

static const char *read_sample(struct reading *r, const char *line)
{
    char name[NAME], le[32], rest[LINE];
    const char *at = line;
    char *end;

    if (!take_name(&at, name, true) || !take_labels(&at, le, rest) || *at != ' ')
        return "no sample";
    for (int i = 0; i < r->series_count; i++)
        if (strlen(r->series[i]) == (size_t)(at - line) &&
            strncmp(r->series[i], line, (size_t)(at - line)) == 0)
            return "a series stands there twice";
    if (r->series_count == MAX_SERIES)
        return "too many series";
    r->series[r->series_count++] = strndup(line, (size_t)(at - line));
    double value = strtod(++at, &end);
    if (end == at || *end)
        return "no value";
    size_t length = strlen(r->family);
    if (!r->typed || strncmp(name, r->family, length) != 0)
        return "a sample outside its family";
    if (strcmp(r->type, "histogram") == 0)
        return read_histogram(r, name + length, le, rest, value);
    if (strcmp(r->type, "counter") == 0 && !(value >= 0))
        return "a counter below 0";
    return name[length] ? "a sample outside its family" : NULL;
}

const char *prometheus_check(const char *text)
{
    static char complaint[LINE + 100];
    struct reading *r = calloc(1, sizeof(*r));
    const char *wrong = NULL;
    int number = 0;

    while (r && *text && !wrong) {
        size_t length = strcspn(text, "\n");
        char line[LINE];

        number++;
        snprintf(line, sizeof(line), "%.*s", (int)length, text);
        if (length >= LINE || text[length] != '\n')
            wrong = "too long, or without an end";
        else
            wrong = line[0] == '#' ? read_comment(r, line) : read_sample(r, line);
        snprintf(complaint, sizeof(complaint), "line %d: %s: %.900s", number, wrong, line);
        text += length + (text[length] == '\n');
    }
    if (r && !wrong && r->open)
        wrong = strcpy(complaint, "the last histogram has no _count");
    for (int i = 0; r && i < r->series_count; i++)
        free(r->series[i]);
    free(r);
    return wrong ? complaint : NULL;
}

double prometheus_value(const char *text, const char *series)
{
    size_t length = strlen(series);

    for (; *text; text += strcspn(text, "\n") + 1)
        if (strncmp(text, series, length) == 0 && text[length] == ' ')
            return strtod(text + length, NULL);
    return NAN;
}
