/* admin.h - what the files of lqnet admin share: admin.c has the table of what can be asked,
 * admin_jobs.c what concerns jobs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef CLI_ADMIN_H
#define CLI_ADMIN_H

#include <jansson.h>

#include "cli/client.h"

/* One thing that can be asked. `path`: %1 and %2 stand for the operands behind the action. */
struct admin_action {
    const char *name, *operands, *method, *path;
    int min, max; /* operands behind the action */
    /* Makes the body; free it. NULL: "{}" of a POST, none of others. */
    int (*body)(const struct cli_arguments *arguments, char **ret_body, size_t *ret_size,
                const char **ret_type);
    int (*print)(const struct cli_arguments *arguments, const json_t *root); /* NULL: nothing */
};

/* The member's text, "" where it is none. */
const char *admin_text(const json_t *item, const char *key);
/* One request; the reply's JSON is the caller's. CLI_OK: it went well. */
int admin_ask(const struct cli_arguments *arguments, const struct client_request *request,
              json_t **ret_root, char **ret_bytes);

/* admin_jobs.c */

int admin_finetune_body(const struct cli_arguments *arguments, char **ret_body, size_t *ret_size,
                        const char **ret_type);
int admin_rollback_body(const struct cli_arguments *arguments, char **ret_body, size_t *ret_size,
                        const char **ret_type);
int admin_upload_body(const struct cli_arguments *arguments, char **ret_body, size_t *ret_size,
                      const char **ret_type);
/* Follows a job to its end, unless --detach is given. */
int admin_follow(const struct cli_arguments *arguments, const json_t *root);
int admin_print_job(const struct cli_arguments *arguments, const json_t *root);
int admin_print_jobs(const struct cli_arguments *arguments, const json_t *root);
int admin_print_history(const struct cli_arguments *arguments, const json_t *root);
int admin_print_decision(const struct cli_arguments *arguments, const json_t *root);
int admin_print_uploads(const struct cli_arguments *arguments, const json_t *root);

#endif
