/* policy.c - which versions of a model are served.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "models/policy.h"

#include <stdlib.h>
#include <string.h>

#include "codec/text.h"

#define BLANKS " \t,"

/* A number of digits alone, as a whole word or up to a plus; its end in *at. */
static bool take_number(const char **at, const char *end, int64_t *ret_number)
{
    int64_t number = 0;
    const char *start = *at;

    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, **at - '0', &number))
            return false;
    }
    *ret_number = number;
    return *at > start;
}

/* latest, latest:N, all, or numbers joined by plus signs. Which of the versions (ascending)? With
 * count 0 it is only checked. */
static bool apply(const char *word, size_t length, const int64_t *versions, int count,
                  bool *ret_wanted)
{
    const char *at = word, *end = word + length;
    int64_t number = 1;

    if (length == 3 && memcmp(word, "all", 3) == 0) {
        for (int i = 0; i < count; i++)
            ret_wanted[i] = true;
        return true;
    }
    if (length >= 6 && memcmp(word, "latest", 6) == 0) {
        at += 6;
        if (at < end && (*at++ != ':' || !take_number(&at, end, &number) || number == 0))
            return false;
        for (int i = 0; i < count; i++)
            ret_wanted[i] = i >= count - number;
        return at == end;
    }
    for (int i = 0; i < count; i++)
        ret_wanted[i] = false;
    for (;;) {
        if (!take_number(&at, end, &number))
            return false;
        for (int i = 0; i < count; i++)
            ret_wanted[i] = ret_wanted[i] || versions[i] == number;
        if (at == end)
            return true;
        if (*at++ != '+')
            return false;
    }
}

void policy_choose(const char *policy, const char *name, const int64_t *versions, int count,
                   bool *ret_wanted)
{
    size_t name_length = strlen(name), length;

    apply("latest", 6, versions, count, ret_wanted);
    for (const char *word = policy; *(word += strspn(word, BLANKS)); word += length) {
        const char *equals;

        length = strcspn(word, BLANKS);
        equals = memchr(word, '=', length);
        if (!equals) {
            apply(word, length, versions, count, ret_wanted);
        } else if ((size_t)(equals - word) == name_length && memcmp(word, name, name_length) == 0) {
            apply(equals + 1, length - name_length - 1, versions, count, ret_wanted);
            return;
        }
    }
}

int policy_check(const char *policy, struct lq_error *error)
{
    size_t length;

    for (const char *word = policy; *(word += strspn(word, BLANKS)); word += length) {
        const char *equals;

        length = strcspn(word, BLANKS);
        equals = memchr(word, '=', length);
        if (!apply(equals ? equals + 1 : word,
                   equals ? length - (size_t)(equals + 1 - word) : length, NULL, 0, NULL))
            return error_set(error, LQ_ERR_INVALID,
                             "'%.*s' is not latest, latest:N, all or V+V..., with NAME= in front "
                             "for one model",
                             (int)length, word);
    }
    return LQ_OK;
}
