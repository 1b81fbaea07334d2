/* arguments.c - takes command lines apart.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

void cli_complain(const char *format, ...)
{
    va_list arguments;

    fputs("lqnet: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int cli_fail_error(const struct lq_error *error)
{
    return cli_fail(CLI_FAILED, "%s", error->text[0] ? error->text : lq_status_text(error->status));
}

/* Index of the option called `name` (length bytes), or -1. */
static int find_option(const struct cli_command *command, const char *name, size_t length)
{
    for (int i = 0; command->options[i].name; i++)
        if (strlen(command->options[i].name) == length &&
            memcmp(command->options[i].name, name, length) == 0)
            return i;
    return -1;
}

static int find_letter(const struct cli_command *command, char letter)
{
    for (int i = 0; command->options[i].name; i++)
        if (letter && command->options[i].letter == letter)
            return i;
    return -1;
}

/* One option at argv[*at], which is moved over a value of its own. */
static int parse_option(struct cli_arguments *a, int argc, char **argv, int *at)
{
    const char *word = argv[*at], *value = NULL;
    int option;

    if (word[1] == '-') {
        size_t length = strcspn(word + 2, "=");

        option = find_option(a->command, word + 2, length);
        value = word[2 + length] ? word + 3 + length : NULL;
    } else {
        option = find_letter(a->command, word[1]);
        value = word[2] ? word + 2 : NULL;
    }
    if (option < 0)
        return cli_fail(CLI_USAGE, "%s: unknown option '%s' (see lqnet help %s)", a->command->name,
                        word, a->command->name);
    if (!a->command->options[option].argument) {
        if (value)
            return cli_fail(CLI_USAGE, "%s: option --%s takes no value", a->command->name,
                            a->command->options[option].name);
        value = "";
    } else if (!value) {
        if (++*at >= argc)
            return cli_fail(CLI_USAGE, "%s: option --%s needs a value", a->command->name,
                            a->command->options[option].name);
        value = argv[*at];
    }
    a->given[a->given_count].option = option;
    a->given[a->given_count++].value = value;
    return CLI_OK;
}

int cli_parse(const struct cli_command *command, int argc, char **argv,
              struct cli_arguments *ret_arguments)
{
    struct cli_arguments a = {.command = command};
    int status = CLI_OK;
    bool options = true;

    a.operands = calloc((size_t)argc + 1, sizeof(*a.operands));
    a.given = calloc((size_t)argc + 1, sizeof(*a.given));
    if (!a.operands || !a.given)
        status = cli_fail(CLI_FAILED, "out of memory");
    for (int at = 0; at < argc && status == CLI_OK; at++) {
        if (options && strcmp(argv[at], "--") == 0)
            options = false;
        else if (options && argv[at][0] == '-' && argv[at][1])
            status = parse_option(&a, argc, argv, &at);
        else
            a.operands[a.operand_count++] = argv[at];
    }
    if (status == CLI_OK &&
        (a.operand_count < command->min_operands || a.operand_count > command->max_operands))
        status = cli_fail(CLI_USAGE, "usage: lqnet %s [options] %s (see lqnet help %s)",
                          command->name, command->operands, command->name);
    if (status == CLI_OK)
        *ret_arguments = a;
    else
        cli_arguments_deinit(&a);
    return status;
}

void cli_arguments_deinit(struct cli_arguments *arguments)
{
    free(arguments->operands);
    free(arguments->given);
}

int cli_count(const struct cli_arguments *arguments, const char *option)
{
    int count = 0;

    while (cli_value_at(arguments, option, count))
        count++;
    return count;
}

const char *cli_value_at(const struct cli_arguments *arguments, const char *option, int at)
{
    for (int i = 0; i < arguments->given_count; i++)
        if (strcmp(arguments->command->options[arguments->given[i].option].name, option) == 0 &&
            at-- == 0)
            return arguments->given[i].value;
    return NULL;
}

const char *cli_value(const struct cli_arguments *arguments, const char *option)
{
    int count = cli_count(arguments, option);

    return count ? cli_value_at(arguments, option, count - 1) : NULL;
}

int cli_int(const struct cli_arguments *arguments, const char *option, int64_t min, int64_t max,
            int64_t *value)
{
    const char *text = cli_value(arguments, option);
    char *end;
    long long number;

    if (!text)
        return CLI_OK;
    errno = 0;
    number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < min || number > max)
        return cli_fail(CLI_USAGE, "%s: option --%s is '%s', expected a number from %lld to %lld",
                        arguments->command->name, option, text, (long long)min, (long long)max);
    *value = number;
    return CLI_OK;
}

/* Reads one number at *text, which is moved behind it. */
static bool read_number(const char **text, float *ret_value)
{
    char *end;

    errno = 0;
    *ret_value = strtof(*text, &end);
    if (errno || end == *text || !isfinite(*ret_value))
        return false;
    *text = end;
    return true;
}

int cli_triple(const struct cli_arguments *arguments, const char *option, float *values)
{
    const char *text = cli_value(arguments, option), *at = text;
    float numbers[3];
    int count = 0;

    if (!text)
        return CLI_OK;
    while (count < 3 && read_number(&at, &numbers[count])) {
        count++;
        if (*at != ',')
            break;
        at++;
    }
    if (*at || (count != 1 && count != 3))
        return cli_fail(CLI_USAGE, "%s: option --%s is '%s', expected one number or r,g,b",
                        arguments->command->name, option, text);
    for (int i = 0; i < 3; i++)
        values[i] = numbers[count == 3 ? i : 0];
    return CLI_OK;
}

int cli_float(const struct cli_arguments *arguments, const char *option, float *value)
{
    const char *text = cli_value(arguments, option), *at = text;
    float number, divisor = 1;
    bool read;

    if (!text)
        return CLI_OK;
    read = read_number(&at, &number);
    if (read && *at == '/') {
        at++;
        read = read_number(&at, &divisor) && divisor != 0;
    }
    if (!read || *at)
        return cli_fail(CLI_USAGE, "%s: option --%s is '%s', expected a number or a fraction",
                        arguments->command->name, option, text);
    *value = (float)((double)number / (double)divisor);
    return CLI_OK;
}
