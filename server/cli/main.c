/* main.c - lqnet: the commands, their help.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct cli_command *find_command(const char *name)
{
    for (int i = 0; cli_commands[i]; i++)
        if (strcmp(cli_commands[i]->name, name) == 0)
            return cli_commands[i];
    return NULL;
}

static void print_help(FILE *to)
{
    fputs("lqnet - classifies images with learned-quantized networks\n\n"
          "usage: lqnet [--cpu TIER] COMMAND [options] ...\n\ncommands:\n",
          to);
    for (int i = 0; cli_commands[i]; i++)
        fprintf(to, "  %-10s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    fputs("  help       this list, or the options of a command: lqnet help COMMAND\n\n"
          "options before the command:\n"
          "  --cpu TIER   use no kernels above this tier: c, avx2, avxvnni, avx512, amx or neon\n"
          "  --version    print the version\n\n"
          "exit status: 0 done; 1 it failed, said on stderr; 2 the command line is wrong; 3 "
          "finetune:\n"
          "rejected\n",
          to);
}

static void print_command_help(const struct cli_command *command)
{
    printf("lqnet %s - %s\n\nusage: lqnet %s [options] %s\n\noptions:\n", command->name,
           command->summary, command->name, command->operands);
    for (const struct cli_option *option = command->options; option->name; option++) {
        char left[64];

        snprintf(left, sizeof(left), "%s%c%s--%s%s%s", option->letter ? "-" : "",
                 option->letter ? option->letter : ' ', option->letter ? ", " : "   ", option->name,
                 option->argument ? " " : "", option->argument ? option->argument : "");
        printf("  %-30s %s\n", left, option->help);
    }
    if (command->details)
        printf("\n%s", command->details);
}

static int help(int argc, char **argv)
{
    const struct cli_command *command = argc > 0 ? find_command(argv[0]) : NULL;

    if (argc > 0 && !command)
        return cli_fail(CLI_USAGE, "no command '%s' (see lqnet help)", argv[0]);
    if (command)
        print_command_help(command);
    else
        print_help(stdout);
    return CLI_OK;
}

static int run(const struct cli_command *command, unsigned cpu_mask, int argc, char **argv)
{
    struct cli_arguments arguments;
    struct lq_error error = {0};
    int status = cli_parse(command, argc, argv, &arguments);

    if (status != CLI_OK)
        return status;
    if (lq_engine_create(cpu_mask, &arguments.engine, &error) != LQ_OK)
        status = cli_fail_error(&error);
    else
        status = command->run(&arguments);
    lq_engine_destroy(arguments.engine);
    cli_arguments_deinit(&arguments);
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_fail(CLI_FAILED, "cannot write to the standard output");
    return status;
}

int main(int argc, char **argv)
{
    const struct cli_command *command;
    unsigned cpu_mask = LQ_CPU_ALL;
    int at = 1;

    if (argc > 2 && strcmp(argv[1], "--cpu") == 0) {
        int tier = lq_cpu_tier_from_name(argv[2]);

        if (tier < 0)
            return cli_fail(CLI_USAGE,
                            "option --cpu is '%s', expected c, avx2, avxvnni, avx512, amx or neon",
                            argv[2]);
        cpu_mask = (2u << tier) - 1;
        at = 3;
    }
    if (at >= argc) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[at], "--version") == 0) {
        puts("lqnet " LQ_VERSION);
        return CLI_OK;
    }
    if (strcmp(argv[at], "help") == 0 || strcmp(argv[at], "--help") == 0 ||
        strcmp(argv[at], "-h") == 0)
        return help(argc - at - 1, argv + at + 1);
    command = find_command(argv[at]);
    if (!command)
        return cli_fail(CLI_USAGE, "no command '%s' (see lqnet help)", argv[at]);
    if (argc > at + 1 && (strcmp(argv[at + 1], "--help") == 0 || strcmp(argv[at + 1], "-h") == 0)) {
        print_command_help(command);
        return CLI_OK;
    }
    return run(command, cpu_mask, argc - at - 1, argv + at + 1);
}
