/* policy.h - which versions of a model are served.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A policy is a list of words between blanks or commas. Without a name in front, a word is for all
 * models: `latest` (the highest version, also where nothing is said), `latest:2` (the two highest),
 * `all`, `1+3` (these). `NAME=all` and the like is for one model, and wins.
 */
#ifndef SERVER_POLICY_H
#define SERVER_POLICY_H

#include "lq.h"

/* versions: ascending. Sets ret_wanted[i]. */
void policy_choose(const char *policy, const char *name, const int64_t *versions, int count,
                   bool *ret_wanted);
/* Errors: LQ_ERR_INVALID, naming the word. */
int policy_check(const char *policy, struct lq_error *error) LQ_MUST_CHECK;

#endif
