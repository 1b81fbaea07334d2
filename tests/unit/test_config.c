/* test_config.c - settings of lqnetd: the table, files, flags, hostile ones of each.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/files.h"
#include "support/suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

static char path[64] = "/tmp/lqnet-config-XXXXXX";

static void write_file(const void *bytes, size_t size)
{
    unlink(path); /* a file that is overwritten is flushed when it is closed, on ext4 */
    file_write(path, bytes, size);
}

static int read_text(struct config *config, const char *text, struct lq_error *error)
{
    write_file(text, strlen(text));
    config_init(config);
    return config_read(config, path, error);
}

static char *get(const struct config *config, int index)
{
    static char text[CONFIG_TEXT_SIZE];

    config_get(config, index, text, sizeof(text));
    return text;
}

START_TEST(every_default_is_legal)
{
    struct config config;

    config_init(&config);
    for (int i = 0; i < config_key_count(); i++) {
        const struct config_key *key = config_key_at(i);
        struct lq_error error = {0};

        ck_assert_str_eq(get(&config, i), key->fallback);
        ck_assert_msg(config_set(&config, "test", key->name, key->fallback, &error) == LQ_OK, "%s",
                      error.text);
    }
}
END_TEST

/* A legal value of a key that is not its default. */
static const char *other_value(const struct config_key *key)
{
    static char number[32];

    if (strcmp(key->name, "listen") == 0)
        return "[::1]:0";
    if (strcmp(key->name, "admin_listen") == 0)
        return "unix:/run/lqnetd.admin";
    if (strcmp(key->name, "log_level") == 0)
        return "debug";
    if (strcmp(key->name, "log_output") == 0)
        return "stdout";
    if (strcmp(key->name, "job_priority") == 0)
        return "normal";
    if (strcmp(key->name, "cpu") == 0)
        return "c,avx2";
    if (strcmp(key->name, "version_policy") == 0)
        return "latest:2 tiny=1+3";
    if (strcmp(key->type, "TEXT") == 0)
        return "other";
    if (strcmp(key->type, "BOOL") == 0)
        return strcmp(key->fallback, "true") == 0 ? "false" : "true";
    snprintf(number, sizeof(number), "%lld", (long long)key->max);
    return number;
}

/* From the file, and from a flag over the file, with dashes and with underscores. */
START_TEST(every_key_can_be_set)
{
    for (int i = 0; i < config_key_count(); i++) {
        const struct config_key *key = config_key_at(i);
        const char *value = other_value(key);
        char line[CONFIG_TEXT_SIZE + 64], flag[64], joined[CONFIG_TEXT_SIZE + 64];
        struct config config;
        enum config_action action;
        struct lq_error error = {0};

        snprintf(line, sizeof(line), "%s = %s\n", key->name, value);
        ck_assert_msg(read_text(&config, line, &error) == LQ_OK, "%s", error.text);
        ck_assert_str_eq(get(&config, i), value);
        snprintf(flag, sizeof(flag), "--%s", key->name);
        snprintf(joined, sizeof(joined), "--%s=%s", key->name, key->fallback);
        for (char *c = joined; *c != '='; c++)
            *c = *c == '_' ? '-' : *c;
        char *over[] = {"lqnetd", joined, "--config", path, NULL};
        ck_assert_int_eq(config_from_arguments(&config, 4, over, &action, &error), LQ_OK);
        ck_assert_str_eq(get(&config, i), key->fallback);
        ck_assert_int_eq(action, CONFIG_RUN);
        char *alone[] = {"lqnetd", flag, (char *)value, NULL};
        ck_assert_int_eq(config_from_arguments(&config, 3, alone, &action, &error), LQ_OK);
        ck_assert_str_eq(get(&config, i), value);
    }
}
END_TEST

/* etc/lqnetd.conf names every key once, and sets it to its default. */
START_TEST(the_file_we_ship)
{
    struct config config;
    struct lq_error error = {0};
    FILE *file = fopen("etc/lqnetd.conf", "r");
    char line[512];
    int keys = 0;

    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file)) {
        keys += line[0] != '#' && line[0] != '\n';
        ck_assert_uint_le(strlen(line), 122);
    }
    fclose(file);
    ck_assert_int_eq(keys, config_key_count());
    config_init(&config);
    for (int i = 0; i < config_key_count(); i++) /* away from the defaults first */
        ck_assert_int_eq(config_set(&config, "test", config_key_at(i)->name,
                                    other_value(config_key_at(i)), &error),
                         LQ_OK);
    ck_assert_msg(config_read(&config, "etc/lqnetd.conf", &error) == LQ_OK, "%s", error.text);
    for (int i = 0; i < config_key_count(); i++)
        ck_assert_str_eq(get(&config, i), config_key_at(i)->fallback);
}
END_TEST

START_TEST(every_bound_holds)
{
    for (int i = 0; i < config_key_count(); i++) {
        const struct config_key *key = config_key_at(i);
        const char *const never[] = {"", "x", "1e3", "0x10", "99999999999999999999", "-1", "1 2"};
        struct config config;
        char text[32];

        if (strcmp(key->type, "INT") != 0)
            continue;
        config_init(&config);
        for (size_t j = 0; j < sizeof(never) / sizeof(*never); j++) {
            struct lq_error error = {0};

            ck_assert_int_eq(config_set(&config, "here", key->name, never[j], &error),
                             LQ_ERR_INVALID);
            ck_assert_msg(strncmp(error.text, "here: ", 6) == 0 && strstr(error.text, key->name) &&
                              strstr(error.text, never[j]),
                          "%s", error.text);
        }
        snprintf(text, sizeof(text), "%lld", (long long)key->max + 1);
        ck_assert_int_eq(config_set(&config, "here", key->name, text, NULL), LQ_ERR_INVALID);
        snprintf(text, sizeof(text), "%lld", (long long)key->min);
        ck_assert_int_eq(config_set(&config, "here", key->name, text, NULL), LQ_OK);
        snprintf(text, sizeof(text), "%lld", (long long)key->min - 1);
        ck_assert_int_eq(config_set(&config, "here", key->name, text, NULL), LQ_ERR_INVALID);
    }
}
END_TEST

START_TEST(bad_files)
{
    static const struct {
        const char *text;
        int status;
        const char *message; /* behind the file's name */
    } cases[] = {
        {"workers = 2\nworker = 3\n", LQ_ERR_NOT_FOUND, ":2: unknown key 'worker'"},
        {"workers = two\n", LQ_ERR_INVALID, ":1: workers: 'two' is not a whole number from 0"},
        {"workers = 1\n\nworkers = 2\n", LQ_ERR_FORMAT, ":3: workers is set twice"},
        {"[http]\nworkers = 1\n", LQ_ERR_FORMAT, ":1: section [http]: there are no sections"},
        {"workers = 1\n[http]\n", LQ_ERR_FORMAT, ":2: section [http]"},
        {"workers = 1\n  queue_length = +3\n", LQ_ERR_INVALID, ":2: queue_length: '+3' is not"},
        {"workers\n", LQ_ERR_FORMAT, ":1: not a line of the form key = value"},
        {"= 3\n", LQ_ERR_NOT_FOUND, ":1: unknown key ''"},
        {"listen = 127.0.0.1\n", LQ_ERR_INVALID, ":1: listen: '127.0.0.1' does not end in :PORT"},
        {"listen = 127.0.0.1:65536\n", LQ_ERR_INVALID, ":1: listen: '127.0.0.1:65536'"},
        {"listen = ::1:80\n", LQ_ERR_INVALID, ":1: listen: '::1:80': write an IPv6 address as"},
        {"listen = :8080\n", LQ_ERR_INVALID, ":1: listen: ':8080' has no host"},
        {"log_output = stdall\n", LQ_ERR_INVALID, ":1: log_output: 'stdall' is neither stderr nor"},
        {"job_priority = high\n", LQ_ERR_INVALID, ":1: job_priority: 'high' is not one of idle,"},
        {"log_level = loud\n", LQ_ERR_INVALID, ":1: log_level: 'loud' is not one of error,"},
        {"cpu = c,sse\n", LQ_ERR_INVALID, ":1: cpu: 'c,sse' is neither all nor a list"},
        {"strict_readiness = yes\n", LQ_ERR_INVALID, ":1: strict_readiness: 'yes' is neither true"},
        {"models =\n", LQ_ERR_INVALID, ":1: models: '' has 0 characters, not 1 to 511"},
        {"\xff\xfe\x01", LQ_ERR_FORMAT, ":1: not a line"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct config config;
        struct lq_error error = {0};
        char expected[256];
        int status = read_text(&config, cases[i].text, &error);

        snprintf(expected, sizeof(expected), "%s%s", path, cases[i].message);
        ck_assert_msg(status == cases[i].status &&
                          strncmp(error.text, expected, strlen(expected)) == 0,
                      "%s: %d %s", cases[i].text, status, error.text);
    }
}
END_TEST

START_TEST(files_that_are_none)
{
    struct config config;
    struct lq_error error = {0};
    char *line = malloc(100002);

    config_init(&config);
    ck_assert_int_eq(config_read(&config, "/nonexistent/lqnetd.conf", &error), LQ_ERR_IO);
    ck_assert_str_eq(error.text, "/nonexistent/lqnetd.conf: No such file or directory");
    error = (struct lq_error){0};
    ck_assert_int_eq(config_read(&config, "/tmp", &error), LQ_ERR_IO);
    ck_assert_ptr_nonnull(strstr(error.text, "/tmp"));
    error = (struct lq_error){0};
    memset(line, 'a', 100000);
    memcpy(line + 100000, "\n", 2);
    ck_assert_int_eq(read_text(&config, line, &error), LQ_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, ":1: line is longer than"));
    error = (struct lq_error){0};
    write_file("workers = 1\nqueue\0 = 2\n", 22);
    ck_assert_int_eq(config_read(&config, path, &error), LQ_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.text, ":2: no text: a byte is zero"));
    free(line);
}
END_TEST

/* Cut off anywhere, and with random bytes changed: read, or refused with a text. */
START_TEST(damaged_files)
{
    FILE *file = fopen("etc/lqnetd.conf", "r");
    char bytes[16384];
    size_t size;
    struct config config;

    ck_assert_ptr_nonnull(file);
    size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    for (size_t length = 0; length < size + 400; length++) {
        struct lq_error error = {0};
        char damaged[16384];
        size_t kept = length < size ? length : size;

        memcpy(damaged, bytes, size);
        for (int i = 0; i < 8 && length >= size; i++)
            damaged[(size_t)rand() % size] = (char)rand();
        write_file(damaged, kept);
        config_init(&config);
        if (config_read(&config, path, &error) != LQ_OK)
            ck_assert_msg(strncmp(error.text, path, strlen(path)) == 0, "%s", error.text);
    }
}
END_TEST

START_TEST(bad_flags)
{
    static const struct {
        const char *words[3];
        const char *message;
    } cases[] = {
        {{"models"}, "'models' is not a flag; see --help"},
        {{"-m", "x"}, "'-m' is not a flag"},
        {{"--"}, "'--' is not a flag"},
        {{"--=3"}, "'--=3' is not a flag"},
        {{"--modles", "x"}, "unknown flag '--modles'"},
        {{"--modles=x"}, "flag --modles: unknown key 'modles'"},
        {{"--models"}, "flag --models needs a value"},
        {{"--config"}, "flag --config needs a value"},
        {{"--workers=-3"}, "flag --workers: workers: '-3' is not a whole number from 0 to 1024"},
        {{"--config=/nonexistent"}, "/nonexistent: No such file"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *words[5] = {"lqnetd"};
        struct config config;
        enum config_action action;
        struct lq_error error = {0};
        int count = 1;

        for (int j = 0; j < 3 && cases[i].words[j]; j++)
            words[count++] = (char *)cases[i].words[j];
        ck_assert_int_ne(config_from_arguments(&config, count, words, &action, &error), LQ_OK);
        ck_assert_msg(strncmp(error.text, cases[i].message, strlen(cases[i].message)) == 0,
                      "%s: %s", cases[i].words[0], error.text);
    }
}
END_TEST

START_TEST(actions)
{
    static const struct {
        char *word;
        enum config_action action;
    } cases[] = {{"--help", CONFIG_HELP},
                 {"--version", CONFIG_VERSION},
                 {"--check-config", CONFIG_CHECK},
                 {"--workers=3", CONFIG_RUN}};
    char help[16384] = "";
    FILE *out = fmemopen(help, sizeof(help), "w");

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *words[] = {"lqnetd", cases[i].word, NULL};
        struct config config;
        enum config_action action = CONFIG_RUN;

        ck_assert_int_eq(config_from_arguments(&config, 2, words, &action, NULL), LQ_OK);
        ck_assert_int_eq(action, cases[i].action);
    }
    config_help(out);
    fclose(out);
    for (int i = 0; i < config_key_count(); i++)
        ck_assert_ptr_nonnull(strstr(help, config_key_at(i)->doc));
}
END_TEST

START_TEST(addresses)
{
    static const struct {
        const char *text, *host;
        int port;
    } cases[] = {{"127.0.0.1:8080", "127.0.0.1", 8080},
                 {"[::1]:0", "::1", 0},
                 {"localhost:65535", "localhost", 65535}};
    static const char *const bad[] = {
        "",        "a",    ":80",    "a:",    "a:b",     "a:-1",  "a: 1", "a:1x",
        "a:65536", "[]:1", "::1:80", "[::1]", "[::1:80", "a b:1", "[a:1", "a:99999999999999999999"};
    char host[16];
    int port;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        ck_assert_int_eq(config_split_address(cases[i].text, host, sizeof(host), &port, NULL),
                         LQ_OK);
        ck_assert_str_eq(host, cases[i].host);
        ck_assert_int_eq(port, cases[i].port);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct lq_error error = {0};

        ck_assert_msg(config_split_address(bad[i], host, sizeof(host), &port, &error) ==
                          LQ_ERR_INVALID,
                      "%s", bad[i]);
        ck_assert_ptr_nonnull(strstr(error.text, bad[i]));
    }
    ck_assert_int_eq(
        config_split_address("a-name-that-is-too-long:80", host, sizeof(host), &port, NULL),
        LQ_ERR_INVALID);
}
END_TEST

/* Flag > environment > file > default; what is none of ours is left alone. */
START_TEST(environment)
{
    char *plain[] = {"lqnetd", NULL};
    char *flag[] = {"lqnetd", "--workers=3", NULL};
    char *file[] = {"lqnetd", "--config", path, NULL};
    const char *text = "workers = 5\nqueue_length = 7\n";
    struct config config;
    enum config_action action;
    struct lq_error error = {0};

    write_file(text, strlen(text));
    setenv("LQNETD_WORKERS", "4", 1);
    setenv("LQNETD_SERVICE_HOST", "10.0.0.1", 1);
    ck_assert_int_eq(config_from_arguments(&config, 1, plain, &action, &error), LQ_OK);
    ck_assert_int_eq(config.workers, 4);
    ck_assert_int_eq(config_from_arguments(&config, 2, flag, &action, &error), LQ_OK);
    ck_assert_int_eq(config.workers, 3);
    ck_assert_int_eq(config_from_arguments(&config, 3, file, &action, &error), LQ_OK);
    ck_assert_int_eq(config.workers, 4);
    ck_assert_int_eq(config.queue_length, 7);
    setenv("LQNETD_WORKERS", "many", 1);
    ck_assert_int_eq(config_from_arguments(&config, 1, plain, &action, &error), LQ_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.text, "environment LQNETD_WORKERS: workers: 'many'"));
    unsetenv("LQNETD_WORKERS");
    setenv("LQNETD_CONFIG", path, 1);
    ck_assert_int_eq(config_from_arguments(&config, 1, plain, &action, NULL), LQ_OK);
    ck_assert_int_eq(config.workers, 5);
    setenv("LQNETD_CONFIG", "/nonexistent", 1);
    ck_assert_int_eq(config_from_arguments(&config, 1, plain, &action, NULL), LQ_ERR_IO);
    ck_assert_int_eq(config_from_arguments(&config, 3, file, &action, NULL), LQ_OK);
    unsetenv("LQNETD_CONFIG");
    unsetenv("LQNETD_SERVICE_HOST");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("config");
    int fd = mkstemp(path), failed;

    if (fd < 0)
        return 1;
    close(fd);
    tcase_add_test(tests, every_default_is_legal);
    tcase_add_test(tests, every_key_can_be_set);
    tcase_add_test(tests, the_file_we_ship);
    tcase_add_test(tests, every_bound_holds);
    tcase_add_test(tests, bad_files);
    tcase_add_test(tests, files_that_are_none);
    tcase_add_test(tests, damaged_files);
    tcase_add_test(tests, bad_flags);
    tcase_add_test(tests, actions);
    tcase_add_test(tests, addresses);
    tcase_add_test(tests, environment);
    failed = suite_main("config", tests);
    unlink(path);
    return failed;
}
