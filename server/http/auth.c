/* auth.c - who may do what: bearer tokens from a file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "http/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "observe/log.h"

#define DIGEST_SIZE    32
#define MAX_FILE_BYTES (1 << 20)
#define LOOK_AGAIN_US  1000000

struct token {
    char name[AUTH_NAME_SIZE];
    unsigned scopes; /* 1 << enum auth_scope */
    unsigned char digest[DIGEST_SIZE];
};

/* Which file it was that was read. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct auth {
    char *path;
    atomic_int_fast64_t look_us; /* when to look at the file again */
    pthread_mutex_t reading;     /* of stamp: one reads at a time */
    struct stamp stamp;
    pthread_rwlock_t lock; /* of what follows */
    struct token *tokens;
    int count;
};

static const char *const scope_names[] = {"open",
#define X(name, text) text,
                                          AUTH_SCOPE_LIST(X)
#undef X
};

const char *auth_scope_name(enum auth_scope scope)
{
    return scope_names[scope];
}

/* ------------------------------------------------------------------------------------------------
 * The file
 */

static bool is_name(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789._-");

    return length > 0 && length < AUTH_NAME_SIZE && text[length] == '\0';
}

/* token68 of RFC 9110, which a header can carry. */
static bool is_token(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789-._~+/=");

    return length >= AUTH_MIN_TOKEN && length <= AUTH_MAX_TOKEN && text[length] == '\0';
}

static bool parse_scopes(char *list, unsigned *ret_scopes)
{
    unsigned scopes = 0;
    const char *word;

    while ((word = strsep(&list, ","))) {
        unsigned bit = 0;

        for (int i = AUTH_OPEN + 1; i < AUTH_SCOPE_COUNT; i++)
            if (strcmp(word, scope_names[i]) == 0)
                bit = 1u << i;
        if (!bit)
            return false;
        scopes |= bit;
    }
    *ret_scopes = scopes;
    return true;
}

static bool digest(const char *token, unsigned char *ret_digest)
{
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, token, strlen(token), ret_digest) == 0;
}

/* NULL, or what is wrong with the line, which is taken apart. */
static const char *parse_line(char *line, struct token *ret_token)
{
    static const char blanks[] = " \t\r";
    char *rest, *name = strtok_r(line, blanks, &rest), *scopes, *token;

    scopes = strtok_r(NULL, blanks, &rest);
    token = strtok_r(NULL, blanks, &rest);
    if (!name || !scopes || !token || strtok_r(NULL, blanks, &rest))
        return "expected a name, scopes and a token";
    if (!is_name(name))
        return "the name is not 1 to 64 letters, digits, dots, dashes and underscores";
    if (!parse_scopes(scopes, &ret_token->scopes))
        return "the scopes are not some of infer,read,admin";
    if (!is_token(token))
        return "the token is not 16 to 512 letters, digits and -._~+/=";
    if (!digest(token, ret_token->digest))
        return "the token cannot be hashed";
    memcpy(ret_token->name, name, strlen(name) + 1);
    return NULL;
}

static bool is_repeated(const struct token *tokens, int count)
{
    for (int i = 0; i < count; i++)
        if (memcmp(tokens[i].digest, tokens[count].digest, DIGEST_SIZE) == 0)
            return true;
    return false;
}

/* The text ends with a zero, and is taken apart. */
static int parse(const char *path, char *text, struct token *tokens, int *ret_count,
                 struct lq_error *error)
{
    int number = 0, count = 0;
    char *line;

    while ((line = strsep(&text, "\n"))) {
        const char *wrong;

        number++;
        line += strspn(line, " \t\r");
        if (*line == '\0' || *line == '#')
            continue;
        if (count == AUTH_MAX_TOKENS)
            return error_set(error, LQ_ERR_FORMAT, "%s:%d: more than %d tokens", path, number,
                             AUTH_MAX_TOKENS);
        wrong = parse_line(line, &tokens[count]);
        if (!wrong && is_repeated(tokens, count))
            wrong = "the token stands there twice";
        if (wrong)
            return error_set(error, LQ_ERR_FORMAT, "%s:%d: %s", path, number, wrong);
        count++;
    }
    if (count == 0)
        return error_set(error, LQ_ERR_FORMAT, "%s: it holds no token", path);
    *ret_count = count;
    return LQ_OK;
}

static int check_file(const char *path, const struct stat *stat, struct lq_error *error)
{
    if (!S_ISREG(stat->st_mode))
        return error_set(error, LQ_ERR_INVALID, "%s: it is no regular file", path);
    if (stat->st_mode & S_IRWXO)
        return error_set(error, LQ_ERR_INVALID,
                         "%s: others may use it (mode %03o); tokens are secrets: chmod o= %s", path,
                         (unsigned)stat->st_mode & 0777u, path);
    if (stat->st_size > MAX_FILE_BYTES)
        return error_set(error, LQ_ERR_INVALID, "%s: it has more than %d bytes", path,
                         MAX_FILE_BYTES);
    return LQ_OK;
}

static struct stamp stamp_of(const struct stat *stat)
{
    return (struct stamp){stat->st_dev, stat->st_ino, stat->st_size, stat->st_mtim, stat->st_ctim};
}

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_same(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           is_same_time(a->modified, b->modified) && is_same_time(a->changed, b->changed);
}

/* Opens what may be opened; a pipe must not hold us up. */
static int open_file(const char *path, int *ret_fd, struct stamp *ret_stamp, struct lq_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), status;
    struct stat stat;

    if (fd < 0 || fstat(fd, &stat) != 0) {
        status = error_set(error, LQ_ERR_IO, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return status;
    }
    *ret_stamp = stamp_of(&stat);
    status = check_file(path, &stat, error);
    if (status == LQ_OK)
        *ret_fd = fd;
    else
        close(fd);
    return status;
}

static int read_all(const char *path, int fd, char *text, struct lq_error *error)
{
    size_t length = 0;
    ssize_t step;

    while ((step = read(fd, text + length, MAX_FILE_BYTES + 1 - length)) > 0)
        length += (size_t)step;
    if (step < 0)
        return error_set(error, LQ_ERR_IO, "%s: %s", path, strerror(errno));
    if (length > MAX_FILE_BYTES)
        return error_set(error, LQ_ERR_INVALID, "%s: it has more than %d bytes", path,
                         MAX_FILE_BYTES);
    text[length] = '\0';
    if (strlen(text) != length)
        return error_set(error, LQ_ERR_FORMAT, "%s: no text: a byte is zero", path);
    return LQ_OK;
}

/* Only if all of it is right do its tokens replace those from before. `reading` is held. */
static int read_tokens(struct auth *auth, struct lq_error *error)
{
    struct token *tokens = calloc(AUTH_MAX_TOKENS, sizeof(*tokens)), *old = NULL;
    char *text = calloc(1, MAX_FILE_BYTES + 2);
    int fd = -1, count = 0;
    int status = tokens && text ? open_file(auth->path, &fd, &auth->stamp, error)
                                : error_set(error, LQ_ERR_MEMORY, "out of memory");

    if (status == LQ_OK)
        status = read_all(auth->path, fd, text, error);
    if (status == LQ_OK)
        status = parse(auth->path, text, tokens, &count, error);
    if (fd >= 0)
        close(fd);
    if (status == LQ_OK) {
        pthread_rwlock_wrlock(&auth->lock);
        old = auth->tokens;
        auth->tokens = tokens;
        auth->count = count;
        pthread_rwlock_unlock(&auth->lock);
        tokens = NULL;
    }
    if (text)
        gnutls_memset(text, 0, MAX_FILE_BYTES + 2);
    free(text);
    free(old);
    free(tokens);
    return status;
}

int auth_open(const char *path, struct auth **ret_auth, struct lq_error *error)
{
    struct auth *auth = calloc(1, sizeof(*auth));
    int status;

    if (!auth)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    pthread_mutex_init(&auth->reading, NULL);
    pthread_rwlock_init(&auth->lock, NULL);
    atomic_init(&auth->look_us, 0);
    auth->path = strdup(path);
    status =
        auth->path ? read_tokens(auth, error) : error_set(error, LQ_ERR_MEMORY, "out of memory");
    if (status == LQ_OK)
        *ret_auth = auth;
    else
        auth_close(auth);
    return status;
}

void auth_close(struct auth *auth)
{
    if (!auth)
        return;
    pthread_rwlock_destroy(&auth->lock);
    pthread_mutex_destroy(&auth->reading);
    free(auth->tokens);
    free(auth->path);
    free(auth);
}

int auth_reload(struct auth *auth, struct lq_error *error)
{
    int status;

    pthread_mutex_lock(&auth->reading);
    status = read_tokens(auth, error);
    pthread_mutex_unlock(&auth->reading);
    return status;
}

/* Has the file changed? One thread at a time looks, once a second; the others go on. */
static void look_again(struct auth *auth)
{
    int_fast64_t now = clock_now_us(), due = atomic_load(&auth->look_us);
    struct lq_error error = {0};
    struct stat stat_now;

    if (now < due || !atomic_compare_exchange_strong(&auth->look_us, &due, now + LOOK_AGAIN_US))
        return;
    pthread_mutex_lock(&auth->reading);
    if (stat(auth->path, &stat_now) == 0) {
        struct stamp stamp = stamp_of(&stat_now);

        if (!is_same(&stamp, &auth->stamp)) {
            if (read_tokens(auth, &error) == LQ_OK)
                log_message(LOG_INFO, "tokens_loaded", "%s has changed", auth->path);
            else
                log_message(LOG_ERROR, "tokens_failed", "%s; those from before stay", error.text);
        }
    }
    pthread_mutex_unlock(&auth->reading);
}

/* ------------------------------------------------------------------------------------------------
 * Requests
 */

/* The token behind "Bearer ", copied without the blanks around it. */
static bool take_token(const char *authorization, char *ret_token, size_t size)
{
    size_t length;

    if (strncasecmp(authorization, "Bearer", 6) != 0 || authorization[6] != ' ')
        return false;
    authorization += 6 + strspn(authorization + 6, " ");
    length = strcspn(authorization, " \t");
    if (length == 0 || length >= size ||
        authorization[length + strspn(authorization + length, " \t")])
        return false;
    memcpy(ret_token, authorization, length);
    ret_token[length] = '\0';
    return true;
}

enum auth_answer auth_check(struct auth *auth, const char *authorization, enum auth_scope scope,
                            char *ret_name)
{
    char token[AUTH_MAX_TOKEN + 1];
    unsigned char given[DIGEST_SIZE];
    enum auth_answer answer = AUTH_UNKNOWN;

    *ret_name = '\0';
    if (!authorization)
        return AUTH_MISSING;
    look_again(auth);
    if (!take_token(authorization, token, sizeof(token)) || !digest(token, given))
        return AUTH_UNKNOWN;
    gnutls_memset(token, 0, sizeof(token));
    pthread_rwlock_rdlock(&auth->lock);
    for (int i = 0; i < auth->count; i++) { /* all of them: the time does not tell which */
        if (gnutls_memcmp(auth->tokens[i].digest, given, DIGEST_SIZE) != 0)
            continue;
        answer = auth->tokens[i].scopes & 1u << scope ? AUTH_GRANTED : AUTH_FORBIDDEN;
        memcpy(ret_name, auth->tokens[i].name, AUTH_NAME_SIZE);
    }
    pthread_rwlock_unlock(&auth->lock);
    return answer;
}
