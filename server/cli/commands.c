/* commands.c - the commands of lqnet, in the order of the help.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cli/cli.h"

const struct cli_command *const cli_commands[] = {
    &command_import,   &command_new,      &command_train,    &command_finetune,
    &command_quantize, &command_evaluate, &command_classify, &command_inspect,
    &command_bench,    &command_health,   &command_admin,    NULL};
