/* manual.c - writes manual pages and shell completion, from the tables that make the help.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 *     manual DIR    writes lqnet.1, lqnetd.8, lqnetd.conf.5, lqnet.bash and lqnetd.bash into DIR
 *
 * Runs while lqnet is built; it is not installed.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "config.h"

/* Text that roff shows as it is: dashes to copy, no escapes, no requests at a line's start. */
static void put_text(FILE *to, const char *text)
{
    bool start = true;

    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", to);
        if (*text == '-')
            fputs("\\-", to);
        else if (*text == '\\')
            fputs("\\e", to);
        else
            fputc(*text, to);
        start = *text == '\n';
    }
}

static void put_line(FILE *to, const char *request, const char *text)
{
    fputs(request, to);
    put_text(to, text);
    fputc('\n', to);
}

static void put_head(FILE *to, const char *title, int section, const char *summary)
{
    fprintf(to, ".TH %s %d \"\" \"lqnet " LQ_VERSION "\"\n.SH NAME\n", title, section);
    put_text(to, summary);
    fputc('\n', to);
}

static void put_option(FILE *to, const struct cli_option *option)
{
    fputs(".TP\n.B ", to);
    if (option->letter)
        fprintf(to, "\\-%c\\fR, \\fB", option->letter);
    fputs("\\-\\-", to);
    put_text(to, option->name);
    if (option->argument) {
        fputs(" \\fI", to);
        put_text(to, option->argument);
    }
    fputs("\\fR\n", to);
    put_line(to, "", option->help);
}

static void put_command(FILE *to, const struct cli_command *command)
{
    put_line(to, ".SS lqnet ", command->name);
    put_line(to, "", command->summary);
    put_line(to, ".PP\nusage: lqnet ", command->name);
    put_line(to, "[options] ", command->operands);
    for (const struct cli_option *option = command->options; option->name; option++)
        put_option(to, option);
    if (command->details) {
        fputs(".PP\n.nf\n", to);
        put_text(to, command->details);
        fputs(".fi\n", to);
    }
}

static void write_lqnet(FILE *to)
{
    put_head(to, "LQNET", 1, "lqnet - classifies images with learned-quantized networks");
    fputs(".SH SYNOPSIS\n.B lqnet\n[\\fB\\-\\-cpu\\fR \\fITIER\\fR] \\fICOMMAND\\fR [options] ...\n"
          ".br\n.B lqnet help\n[\\fICOMMAND\\fR]\n.SH DESCRIPTION\n"
          "Makes, trains, measures and uses networks whose weights and activations are quantized\n"
          "with learned quantizers (LQ\\-Nets). Options may stand before or behind operands.\n"
          ".SH OPTIONS\n.TP\n.B \\-\\-cpu \\fITIER\\fR\n"
          "use no kernels above this tier: c, avx2, avxvnni, avx512, amx or neon\n"
          ".TP\n.B \\-\\-version\nprint the version\n.SH COMMANDS\n",
          to);
    for (int i = 0; cli_commands[i]; i++)
        put_command(to, cli_commands[i]);
    fputs(".SH EXIT STATUS\n0: done; 1: it failed, said on standard error; 2: the command line is "
          "wrong.\n.SH SEE ALSO\n.BR lqnetd (8)\n",
          to);
}

static void write_lqnetd(FILE *to)
{
    put_head(to, "LQNETD", 8, "lqnetd - serves networks over HTTP, by the Open Inference Protocol");
    fputs(".SH SYNOPSIS\n.B lqnetd\n[\\fB\\-\\-config\\fR \\fIFILE\\fR] [\\fB\\-\\-KEY\\fR "
          "\\fIVALUE\\fR] ...\n.br\n.B lqnetd\n\\fB\\-\\-help\\fR | \\fB\\-\\-version\\fR | "
          "\\fB\\-\\-check\\-config\\fR\n.SH DESCRIPTION\n"
          "Serves the networks of a folder. Every key of\n.BR lqnetd.conf (5)\n"
          "is a flag as well, with dashes or underscores, and a variable LQNETD_KEY of the "
          "environment.\n"
          "A flag wins over the environment, that over the file.\n.SH OPTIONS\n"
          ".TP\n.B \\-\\-config \\fIFILE\\fR\nread settings from FILE\n"
          ".TP\n.B \\-\\-check\\-config\nsay whether the settings are right, and end\n",
          to);
    for (int i = 0; i < config_key_count(); i++) {
        const struct config_key *key = config_key_at(i);

        fputs(".TP\n.B \\-\\-", to);
        for (const char *at = key->name; *at; at++)
            fputs(*at == '_' ? "\\-" : (char[]){*at, 0}, to);
        fputs(" \\fIVALUE\\fR\n", to);
        put_line(to, "", key->doc);
    }
    fputs(".SH SIGNALS\nSIGTERM and SIGINT: no longer ready; the accepted requests are finished,\n"
          "then it ends.\n"
          ".SH EXIT STATUS\n0: ended by a signal; 1: could not start or run; 2: wrong settings.\n"
          ".SH FILES\n/etc/lqnet/lqnetd.conf\n.SH SEE ALSO\n.BR lqnetd.conf (5),\n.BR lqnet (1)\n",
          to);
}

static void write_conf(FILE *to)
{
    put_head(to, "LQNETD.CONF", 5, "lqnetd.conf - settings of lqnetd");
    fputs(".SH DESCRIPTION\nLines of the form \\fIkey\\fR = \\fIvalue\\fR, of at most 199 "
          "characters. Lines that start with # or ;\nare comments. Unknown keys, keys given twice "
          "and values out of range are refused.\n.SH KEYS\n",
          to);
    for (int i = 0; i < config_key_count(); i++) {
        const struct config_key *key = config_key_at(i);

        put_line(to, ".TP\n.B ", key->name);
        put_line(to, "", key->doc);
        if (strcmp(key->type, "INT") == 0)
            fprintf(to, "(%lld to %lld)\n", (long long)key->min, (long long)key->max);
        if (strcmp(key->type, "BOOL") == 0)
            fputs("(true or false)\n", to);
        put_line(to, ".br\nDefault: ", key->fallback[0] ? key->fallback : "empty");
    }
    fputs(".SH SEE ALSO\n.BR lqnetd (8)\n", to);
}

static void write_lqnet_bash(FILE *to)
{
    fputs("# bash completion for lqnet\n_lqnet() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} command= i options\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case ${COMP_WORDS[i]} in --cpu) i=$((i + 1)) ;; -*) ;; *) "
          "command=${COMP_WORDS[i]}; break ;; esac\n    done\n"
          "    case $command in\n    '') options='help --cpu --version",
          to);
    for (int i = 0; cli_commands[i]; i++)
        fprintf(to, " %s", cli_commands[i]->name);
    fputs("' ;;\n    help) options='", to);
    for (int i = 0; cli_commands[i]; i++)
        fprintf(to, "%s%s", i ? " " : "", cli_commands[i]->name);
    fputs("' ;;\n", to);
    for (int i = 0; cli_commands[i]; i++) {
        fprintf(to, "    %s) options='--help", cli_commands[i]->name);
        for (const struct cli_option *option = cli_commands[i]->options; option->name; option++)
            fprintf(to, " --%s", option->name);
        fputs("' ;;\n", to);
    }
    fputs("    esac\n    if [[ $word == -* || -z $command || $command == help ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n    fi\n}\n"
          "complete -o default -F _lqnet lqnet\n",
          to);
}

static void write_lqnetd_bash(FILE *to)
{
    fputs("# bash completion for lqnetd\n_lqnetd() {\n"
          "    COMPREPLY=($(compgen -W '--help --version --check-config --config",
          to);
    for (int i = 0; i < config_key_count(); i++) {
        fputs(" --", to);
        for (const char *at = config_key_at(i)->name; *at; at++)
            fputc(*at == '_' ? '-' : *at, to);
    }
    fputs("' -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\ncomplete -o default -F _lqnetd lqnetd\n", to);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*write)(FILE *to);
    } files[] = {{"lqnet.1", write_lqnet},
                 {"lqnetd.8", write_lqnetd},
                 {"lqnetd.conf.5", write_conf},
                 {"lqnet.bash", write_lqnet_bash},
                 {"lqnetd.bash", write_lqnetd_bash}};

    if (argc != 2) {
        fputs("usage: manual DIR\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[4096];
        FILE *file;

        snprintf(path, sizeof path, "%s/%s", argv[1], files[i].name);
        file = fopen(path, "w");
        if (file)
            files[i].write(file);
        if (!file || ferror(file) || fclose(file) != 0) {
            perror(path);
            return 1;
        }
    }
    return 0;
}
