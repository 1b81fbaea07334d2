/* test_auth.c - files of tokens, right and wrong ones, and the requests they let in.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/files.h"
#include "support/suite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/auth.h"

#define ANNA "anna-token-0123456789"
#define BERT "bert/token+0123456789=="

static char path[64];

static void write_bytes(const void *bytes, size_t size)
{
    file_write(path, bytes, size);
    ck_assert_int_eq(chmod(path, 0640), 0);
}

static void write_text(const char *text)
{
    write_bytes(text, strlen(text));
}

static void setup(void)
{
    snprintf(path, sizeof(path), "/tmp/lqnet-auth-XXXXXX");
    close(mkstemp(path));
}

static void teardown(void)
{
    unlink(path);
}

static struct auth *open_text(const char *text)
{
    struct auth *auth = NULL;
    struct lq_error error = {0};

    write_text(text);
    ck_assert_msg(auth_open(path, &auth, &error) == LQ_OK, "%s", error.text);
    return auth;
}

static const char tokens[] = "# who may do what\n"
                             "\n"
                             "anna  read,infer\t" ANNA "\r\n"
                             "  bert admin " BERT "\n";

static enum auth_answer check(struct auth *auth, const char *header, enum auth_scope scope)
{
    char name[AUTH_NAME_SIZE];

    return auth_check(auth, header, scope, name);
}

START_TEST(scopes)
{
    struct auth *auth = open_text(tokens);
    char name[AUTH_NAME_SIZE];

    ck_assert_int_eq(check(auth, NULL, AUTH_READ), AUTH_MISSING);
    ck_assert_int_eq(auth_check(auth, "Bearer " ANNA, AUTH_READ, name), AUTH_GRANTED);
    ck_assert_str_eq(name, "anna");
    ck_assert_int_eq(check(auth, "bearer   " ANNA "  ", AUTH_INFER), AUTH_GRANTED);
    ck_assert_int_eq(auth_check(auth, "Bearer " ANNA, AUTH_ADMIN, name), AUTH_FORBIDDEN);
    ck_assert_str_eq(name, "anna");
    ck_assert_int_eq(check(auth, "Bearer " BERT, AUTH_ADMIN), AUTH_GRANTED);
    ck_assert_int_eq(check(auth, "Bearer " BERT, AUTH_READ), AUTH_FORBIDDEN);
    auth_close(auth);
}
END_TEST

START_TEST(wrong_headers)
{
    static const char *const headers[] = {
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Bearer" ANNA,
        "Basic " ANNA,
        "Bearer " ANNA " " ANNA,
        "Bearer anna-token-012345678",
        "Bearer anna-token-01234567890",
        "Bearer Anna-token-0123456789",
        "Bearer \xff\xfe",
    };
    struct auth *auth = open_text(tokens);
    char name[AUTH_NAME_SIZE], *endless = malloc(100008);

    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
        ck_assert_msg(auth_check(auth, headers[i], AUTH_READ, name) == AUTH_UNKNOWN, "%s",
                      headers[i]);
        ck_assert_str_eq(name, "");
    }
    memset(endless, 'a', 100007);
    memcpy(endless, "Bearer ", 7);
    endless[100007] = '\0';
    ck_assert_int_eq(check(auth, endless, AUTH_READ), AUTH_UNKNOWN);
    free(endless);
    auth_close(auth);
}
END_TEST

START_TEST(wrong_files)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"", "holds no token"},
        {"# nothing\n\n", "holds no token"},
        {"anna\n", ":1: expected a name, scopes and a token"},
        {"\nanna read\n", ":2: expected a name, scopes and a token"},
        {"anna read " ANNA " more\n", ":1: expected a name, scopes and a token"},
        {"an/na read " ANNA "\n", ":1: the name"},
        {"anna write " ANNA "\n", ":1: the scopes"},
        {"anna read, " ANNA "\n", ":1: the scopes"},
        {"anna open " ANNA "\n", ":1: the scopes"},
        {"anna read secret\n", ":1: the token is not 16 to 512"},
        {"anna read secret\"secret\"secret\n", ":1: the token is not 16 to 512"},
        {"anna read " ANNA "\nbert read " ANNA "\n", ":2: the token stands there twice"},
    };
    struct auth *auth = NULL;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct lq_error error = {0};

        write_text(cases[i].text);
        ck_assert_int_eq(auth_open(path, &auth, &error), LQ_ERR_FORMAT);
        ck_assert_msg(strstr(error.text, cases[i].complaint), "%s", error.text);
        ck_assert_msg(!strstr(error.text, "token-") && !strstr(error.text, "secret"),
                      "it tells the token: %s", error.text);
        ck_assert_ptr_null(auth);
    }
    write_bytes("anna read " ANNA "\0\n", 33);
    ck_assert_int_eq(auth_open(path, &auth, NULL), LQ_ERR_FORMAT);
}
END_TEST

START_TEST(files_that_are_too_large)
{
    struct auth *auth = NULL;
    struct lq_error error = {0};
    size_t size = (1 << 20) + 1;
    char *text = malloc(size), line[64];

    memset(text, '\n', size);
    write_bytes(text, size);
    ck_assert_int_eq(auth_open(path, &auth, &error), LQ_ERR_INVALID);
    size = 0;
    for (int i = 0; i <= AUTH_MAX_TOKENS; i++) {
        snprintf(line, sizeof(line), "anna read token-%016d\n", i);
        memcpy(text + size, line, strlen(line));
        size += strlen(line);
    }
    write_bytes(text, size);
    error = (struct lq_error){0};
    ck_assert_int_eq(auth_open(path, &auth, &error), LQ_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, ":1025: more than 1024"));
    write_bytes(text, size - strlen(line));
    ck_assert_int_eq(auth_open(path, &auth, NULL), LQ_OK);
    ck_assert_int_eq(check(auth, "Bearer token-0000000000001023", AUTH_READ), AUTH_GRANTED);
    auth_close(auth);
    free(text);
}
END_TEST

START_TEST(files_that_others_may_use)
{
    static const mode_t modes[] = {0604, 0602, 0601, 0644};
    struct auth *auth = NULL;

    write_text(tokens);
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        struct lq_error error = {0};

        chmod(path, modes[i]);
        ck_assert_int_eq(auth_open(path, &auth, &error), LQ_ERR_INVALID);
        ck_assert_msg(strstr(error.text, "others may use it"), "%s", error.text);
    }
    unlink(path);
    ck_assert_int_eq(auth_open(path, &auth, NULL), LQ_ERR_IO);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(auth_open(path, &auth, NULL), LQ_ERR_INVALID); /* at once */
    ck_assert_int_eq(auth_open("/", &auth, NULL), LQ_ERR_INVALID);
}
END_TEST

/* A change is seen within a second; a wrong file, or none, leaves what was there. */
START_TEST(changes)
{
    struct auth *auth = open_text(tokens);
    bool seen = false;

    ck_assert_int_eq(check(auth, "Bearer " ANNA, AUTH_READ), AUTH_GRANTED);
    write_text("anna read another-token-0123456789\n");
    for (int i = 0; i < 300 && !seen; i++) {
        usleep(10000);
        seen = check(auth, "Bearer another-token-0123456789", AUTH_READ) == AUTH_GRANTED;
    }
    ck_assert(seen);
    ck_assert_int_eq(check(auth, "Bearer " ANNA, AUTH_READ), AUTH_UNKNOWN);
    write_text("wrong\n");
    usleep(1100000);
    ck_assert_int_eq(check(auth, "Bearer another-token-0123456789", AUTH_READ), AUTH_GRANTED);
    ck_assert_int_eq(auth_reload(auth, NULL), LQ_ERR_FORMAT);
    unlink(path);
    ck_assert_int_eq(auth_reload(auth, NULL), LQ_ERR_IO);
    ck_assert_int_eq(check(auth, "Bearer another-token-0123456789", AUTH_READ), AUTH_GRANTED);
    write_text(tokens);
    ck_assert_int_eq(auth_reload(auth, NULL), LQ_OK);
    ck_assert_int_eq(check(auth, "Bearer " ANNA, AUTH_READ), AUTH_GRANTED);
    auth_close(auth);
}
END_TEST

static atomic_bool done;

static void *check_main(void *auth)
{
    while (!atomic_load(&done))
        if (check(auth, "Bearer " BERT, AUTH_ADMIN) != AUTH_GRANTED)
            return auth;
    return NULL;
}

START_TEST(many_threads)
{
    struct auth *auth = open_text(tokens);
    pthread_t threads[3];
    void *failed;

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, check_main, auth), 0);
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(auth_reload(auth, NULL), LQ_OK);
    atomic_store(&done, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
    auth_close(auth);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("auth");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, scopes);
    tcase_add_test(tests, wrong_headers);
    tcase_add_test(tests, wrong_files);
    tcase_add_test(tests, files_that_are_too_large);
    tcase_add_test(tests, files_that_others_may_use);
    tcase_add_test(tests, changes);
    tcase_add_test(tests, many_threads);
    return suite_main("auth", tests);
}
