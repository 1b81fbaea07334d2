/* auth.h - who may do what: bearer tokens from a file.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A line of the file is a token: its name (for the log), its scopes separated by commas, and the
 * token itself, separated by blanks; blank lines and lines that start with # are skipped. Two lines
 * may share a name, for a change of tokens. The file must not be readable, writable or executable
 * by others. It is looked at again when it changes, at most once a second, when a request comes
 * with a token; if it is wrong then, the tokens from before stay, and the log says why.
 *
 * Only hashes (SHA-256) are kept; a token that comes in is hashed too, and compared with every one
 * of them in constant time.
 */
#ifndef SERVER_AUTH_H
#define SERVER_AUTH_H

#include "codec/text.h"

#define AUTH_NAME_SIZE  65
#define AUTH_MIN_TOKEN  16
#define AUTH_MAX_TOKEN  512
#define AUTH_MAX_TOKENS 1024

/* X(NAME, name): what a token may be good for. AUTH_OPEN needs none. */
#define AUTH_SCOPE_LIST(X)                                                                         \
    X(INFER, "infer")                                                                              \
    X(READ, "read")                                                                                \
    X(ADMIN, "admin")

enum auth_scope {
    AUTH_OPEN,
#define X(name, text) AUTH_##name,
    AUTH_SCOPE_LIST(X)
#undef X
        AUTH_SCOPE_COUNT
};
const char *auth_scope_name(enum auth_scope scope);

struct auth;

/* Errors: LQ_ERR_IO; LQ_ERR_INVALID: who may read it; LQ_ERR_FORMAT, naming FILE:LINE, never what
 * stands there; LQ_ERR_MEMORY. */
int auth_open(const char *path, struct auth **ret_auth, struct lq_error *error) LQ_MUST_CHECK;
void auth_close(struct auth *auth);
/* Reads the file again. On failure the tokens stay. Errors: those of auth_open. Any thread. */
int auth_reload(struct auth *auth, struct lq_error *error) LQ_MUST_CHECK;

enum auth_answer {
    AUTH_GRANTED,
    AUTH_MISSING,   /* no token was sent */
    AUTH_UNKNOWN,   /* it is none of ours, or no token at all */
    AUTH_FORBIDDEN, /* it lacks the scope */
};
/* `authorization`: the header's value, or NULL. *ret_name (AUTH_NAME_SIZE bytes) becomes the
 * token's name, or "". Any thread. */
enum auth_answer auth_check(struct auth *auth, const char *authorization, enum auth_scope scope,
                            char *ret_name);

#endif
