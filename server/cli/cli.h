/* cli.h - what the commands of lqnet share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>

#include "lq_learn.h"

/* Exit statuses. */
enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_REJECTED = 3 };

#define CLI_MAX_OPTIONS 40

struct cli_option {
    const char *name;     /* without the dashes; NULL ends the table */
    char letter;          /* short form, or 0 */
    const char *argument; /* what to call it in the help; NULL: a switch */
    const char *help;
};

struct cli_arguments;

struct cli_command {
    const char *name, *operands, *summary;
    const char *details; /* more lines of help, or NULL */
    int min_operands, max_operands;
    const struct cli_option *options;
    int (*run)(const struct cli_arguments *arguments);
};

extern const struct cli_command command_import, command_new, command_train, command_finetune,
    command_quantize, command_evaluate, command_classify, command_inspect, command_bench,
    command_health, command_admin;

/* All of them, in the order of the help; NULL ends the table. */
extern const struct cli_command *const cli_commands[];

/* A command line, taken apart. Points into argv. */
struct cli_arguments {
    const struct cli_command *command;
    int operand_count;
    char **operands;
    int given_count;
    struct {
        int option; /* index in command->options */
        const char *value;
    } * given;
    struct lq_engine *engine;
};

/* Fills *ret_arguments (freed with cli_arguments_deinit). CLI_OK or CLI_USAGE, said on stderr. */
int cli_parse(const struct cli_command *command, int argc, char **argv,
              struct cli_arguments *ret_arguments);
void cli_arguments_deinit(struct cli_arguments *arguments);

/* The last value given to an option, or NULL; a switch's value is "". */
const char *cli_value(const struct cli_arguments *arguments, const char *option);
/* Number of times an option was given, and its value the at-th time. */
int cli_count(const struct cli_arguments *arguments, const char *option);
const char *cli_value_at(const struct cli_arguments *arguments, const char *option, int at);

/* An option's number, between min and max; untouched where it is not given. CLI_OK or CLI_USAGE. */
int cli_int(const struct cli_arguments *arguments, const char *option, int64_t min, int64_t max,
            int64_t *value);
/* Three numbers separated by commas, or one for all. */
int cli_triple(const struct cli_arguments *arguments, const char *option, float *values);
/* A number, or a fraction like 1/255. */
int cli_float(const struct cli_arguments *arguments, const char *option, float *value);

/* "lqnet: text" on stderr; cli_fail gives the status given. */
void cli_complain(const char *format, ...) LQ_PRINTF(1, 2);
#define cli_fail(status, ...) (cli_complain(__VA_ARGS__), (status))
/* For an engine's failure: CLI_FAILED. */
int cli_fail_error(const struct lq_error *error);

/* Shows long work on stderr: a line that renews itself on a terminal, with rate and time left; else
 * a plain line now and then. Ctrl-C cancels the work. */
struct cli_progress {
    const char *unit;
    double start, shown;
    char stage[32];
    bool terminal, visible;
};
void cli_progress_init(struct cli_progress *progress, const char *unit, struct lq_progress *ret);
/* Ends the line, if there is one. */
void cli_progress_end(struct cli_progress *progress);

/* A whole file; the caller frees it. CLI_OK or CLI_FAILED. */
int cli_read_file(const char *path, size_t limit, char **ret_bytes, size_t *ret_size);

/* ------------------------------------------------------------------------------------------------
 * Commands that make networks
 */

/* Class names. Start from {0}. */
struct cli_labels {
    char *text;
    const char **lines;
    int count;
};
/* One name a line; where every line starts with its own number and a blank, these are taken off,
 * and WordNet ids behind them. CLI_OK or CLI_FAILED. */
int cli_read_labels(const char *path, struct cli_labels *ret_labels);
void cli_labels_deinit(struct cli_labels *labels);
/* The options --scale, --mean, --std and --resize; untouched where they are not given. */
int cli_preprocess(const struct cli_arguments *arguments, struct lq_preprocess *preprocess);
/* "W/A" or "W/A:GW/GA", bits with grids; 0, 32 or "float" is float. CLI_OK or CLI_USAGE. */
int cli_bits(const struct cli_arguments *arguments, const char *option, const char *text,
             struct lq_bits *bits);
/* The option's grids "GW/GA"; untouched where it is not given. */
int cli_grids(const struct cli_arguments *arguments, const char *option, struct lq_bits *bits);
/* Which of `words`, which end with NULL, the option is; the first is the default. CLI_OK or
 * CLI_USAGE. */
int cli_choice(const struct cli_arguments *arguments, const char *option, const char *const *words,
               int *ret_index);
/* What was made, on a line. */
void cli_print_network(const struct lq_model *model, const char *path);

#endif
