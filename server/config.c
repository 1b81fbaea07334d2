/* config.c - the settings of lqnetd: one table gives the struct, the parser, and the help text.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "observe/log.h"
#include "models/policy.h"
#include "codec/text.h"

enum key_type { TYPE_TEXT, TYPE_INT, TYPE_BOOL };

static const struct config_key keys[] = {
#define X(key, type, fallback, min, max, doc) {#key, #type, fallback, doc, min, max},
    CONFIG_LIST(X)
#undef X
};

static const struct {
    enum key_type type;
    size_t offset;
} members[] = {
#define X(key, type, fallback, min, max, doc) {TYPE_##type, offsetof(struct config, key)},
    CONFIG_LIST(X)
#undef X
};

enum { KEY_COUNT = sizeof keys / sizeof *keys };

int config_key_count(void)
{
    return KEY_COUNT;
}

const struct config_key *config_key_at(int index)
{
    return &keys[index];
}

static int key_index(const char *name)
{
    for (int i = 0; i < KEY_COUNT; i++)
        if (strcmp(keys[i].name, name) == 0)
            return i;
    return -1;
}

int config_split_address(const char *text, char *ret_host, size_t size, int *ret_port,
                         struct lq_error *error)
{
    const char *colon = strrchr(text, ':');
    const char *host = text;
    size_t length = colon ? (size_t)(colon - text) : 0;
    char *end = NULL;
    long port = -1;

    if (colon && colon[1] >= '0' && colon[1] <= '9')
        port = strtol(colon + 1, &end, 10);
    if (port < 0 || port > 65535 || *end)
        return error_set(error, LQ_ERR_INVALID, "'%s' does not end in :PORT, PORT 0..65535", text);
    if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    } else if (memchr(host, ':', length)) {
        return error_set(error, LQ_ERR_INVALID, "'%s': write an IPv6 address as [ADDRESS]:PORT",
                         text);
    }
    if (length == 0)
        return error_set(error, LQ_ERR_INVALID, "'%s' has no host", text);
    if (length >= size)
        return error_set(error, LQ_ERR_INVALID,
                         "'%.40s': the host has %zu characters, not 1 to %zu", text, length,
                         size - 1);
    if (strcspn(host, " \t[]") < length)
        return error_set(error, LQ_ERR_INVALID, "'%s': a host holds no blanks and no brackets",
                         text);
    memcpy(ret_host, host, length);
    ret_host[length] = 0;
    *ret_port = (int)port;
    return LQ_OK;
}

static bool parse_cpu(const char *text, unsigned *ret_mask)
{
    char list[CONFIG_TEXT_SIZE];
    char *rest = list;
    unsigned mask = 0;
    const char *word;

    snprintf(list, sizeof list, "%s", text);
    if (strcmp(list, "all") == 0) {
        *ret_mask = LQ_CPU_ALL;
        return true;
    }
    while ((word = strsep(&rest, ","))) {
        int tier = lq_cpu_tier_from_name(word);

        if (tier < 0)
            return false;
        mask |= 1u << tier;
    }
    *ret_mask = mask;
    return true;
}

unsigned config_cpu_mask(const struct config *config)
{
    unsigned mask = LQ_CPU_ALL;

    parse_cpu(config->cpu, &mask);
    return mask;
}

int config_workers(const struct config *config)
{
    return config->workers ? (int)config->workers : lq_cpu_count();
}

const char *config_unix_path(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

int config_admin_address(const char *value, char *ret_address, size_t size, struct lq_error *error)
{
    char host[CONFIG_HOST_SIZE];
    const char *path = config_unix_path(value);
    bool port_alone = value[0] && strspn(value, "0123456789") == strlen(value);
    int port;

    snprintf(ret_address, size, "%s%s", port_alone ? "127.0.0.1:" : "", value);
    if (path && *path != '/')
        return error_set(error, LQ_ERR_INVALID, "'%.40s': PATH of unix:PATH starts with /", value);
    return path ? LQ_OK : config_split_address(ret_address, host, sizeof(host), &port, error);
}

int config_priority(const char *name)
{
    static const char *const names[] = {[CONFIG_PRIORITY_IDLE] = "idle",
                                        [CONFIG_PRIORITY_LOW] = "low",
                                        [CONFIG_PRIORITY_NORMAL] = "normal"};

    for (int i = 0; i < (int)(sizeof(names) / sizeof(*names)); i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* Keys whose text has a grammar of its own. */
static int check_text(const char *key, const char *value, struct lq_error *error)
{
    char host[CONFIG_HOST_SIZE], address[CONFIG_TEXT_SIZE + 16];
    unsigned mask;
    int port;

    if (strcmp(key, "listen") == 0)
        return config_split_address(value, host, sizeof host, &port, error);
    if (strcmp(key, "log_level") == 0 && log_level_from_name(value) < 0)
        return error_set(error, LQ_ERR_INVALID, "'%s' is not one of error, warning, info, debug",
                         value);
    if (strcmp(key, "log_output") == 0 && strcmp(value, "stderr") != 0 &&
        strcmp(value, "stdout") != 0)
        return error_set(error, LQ_ERR_INVALID, "'%s' is neither stderr nor stdout", value);
    if (strcmp(key, "job_priority") == 0 && config_priority(value) < 0)
        return error_set(error, LQ_ERR_INVALID, "'%s' is not one of idle, low, normal", value);
    if (strcmp(key, "cpu") == 0 && !parse_cpu(value, &mask))
        return error_set(error, LQ_ERR_INVALID, "'%s' is neither all nor a list of c, avx2, ...",
                         value);
    if (strcmp(key, "admin_listen") == 0 && value[0])
        return config_admin_address(value, address, sizeof(address), error);
    if (strcmp(key, "version_policy") == 0)
        return policy_check(value, error);
    return LQ_OK;
}

static int set_text(char *member, const struct config_key *key, const char *value,
                    struct lq_error *error)
{
    size_t length = strlen(value);
    int status;

    if ((int64_t)length < key->min || (int64_t)length > key->max)
        return error_set(error, LQ_ERR_INVALID, "'%.40s' has %zu characters, not %lld to %lld",
                         value, length, (long long)key->min, (long long)key->max);
    status = check_text(key->name, value, error);
    if (status == LQ_OK)
        memcpy(member, value, length + 1);
    return status;
}

static int set_int(int64_t *member, const struct config_key *key, const char *value,
                   struct lq_error *error)
{
    char *end;
    long long number;

    errno = 0;
    number = strtoll(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || number < key->min || number > key->max)
        return error_set(error, LQ_ERR_INVALID, "'%.40s' is not a whole number from %lld to %lld",
                         value, (long long)key->min, (long long)key->max);
    *member = number;
    return LQ_OK;
}

static int set_bool(bool *member, const char *value, struct lq_error *error)
{
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return error_set(error, LQ_ERR_INVALID, "'%.40s' is neither true nor false", value);
    *member = value[0] == 't';
    return LQ_OK;
}

static int set_member(struct config *config, int index, const char *value, struct lq_error *error)
{
    void *member = (char *)config + members[index].offset;

    switch (members[index].type) {
    case TYPE_TEXT:
        return set_text(member, &keys[index], value, error);
    case TYPE_INT:
        return set_int(member, &keys[index], value, error);
    default:
        return set_bool(member, value, error);
    }
}

int config_set(struct config *config, const char *place, const char *key, const char *value,
               struct lq_error *error)
{
    struct lq_error inner = {0};
    int index = key_index(key);

    if (index < 0)
        return error_set(error, LQ_ERR_NOT_FOUND, "%s: unknown key '%.64s'", place, key);
    if (set_member(config, index, value, &inner))
        return error_set(error, inner.status, "%s: %s: %s", place, key, inner.text);
    return LQ_OK;
}

void config_get(const struct config *config, int index, char *ret_text, size_t size)
{
    const void *member = (const char *)config + members[index].offset;

    if (members[index].type == TYPE_TEXT)
        snprintf(ret_text, size, "%s", (const char *)member);
    else if (members[index].type == TYPE_INT)
        snprintf(ret_text, size, "%lld", (long long)*(const int64_t *)member);
    else
        snprintf(ret_text, size, "%s", *(const bool *)member ? "true" : "false");
}

void config_init(struct config *config)
{
    *config = (struct config){0};
    for (int i = 0; i < KEY_COUNT; i++) {
        int status = set_member(config, i, keys[i].fallback, NULL);

        (void)status; /* the test of the table shows that every default is legal */
    }
}

struct reading {
    struct config *config;
    const char *path;
    bool seen[KEY_COUNT];
    struct lq_error *error;
    int line;
    FILE *file;
};

/* Hands inih one line, counted here because inih tells the handler no number. Blanks in front go,
 * for they would make the line a continuation of the one before. */
static char *read_line(char *line, int size, void *stream)
{
    struct reading *reading = stream;
    int length = 0, c = getc(reading->file);

    if (c == EOF || reading->error->status)
        return NULL;
    reading->line++;
    for (; c != EOF && c != '\n'; c = getc(reading->file)) {
        if (c == '\0')
            lq_error_set(reading->error, LQ_ERR_FORMAT, "%s:%d: no text: a byte is zero",
                         reading->path, reading->line);
        if (length == size - 1)
            lq_error_set(reading->error, LQ_ERR_FORMAT, "%s:%d: line is longer than %d characters",
                         reading->path, reading->line, size - 1);
        if (reading->error->status)
            return NULL;
        if (length > 0 || !isspace(c))
            line[length++] = (char)c;
    }
    line[length] = '\0';
    if (line[0] == '[') { /* refused here, for inih keeps quiet about a section without keys */
        lq_error_set(reading->error, LQ_ERR_FORMAT, "%s:%d: section %.64s: there are no sections",
                     reading->path, reading->line, line);
        return NULL;
    }
    return line;
}

static int on_pair(void *context, const char *section, const char *name, const char *value)
{
    struct reading *reading = context;
    char place[CONFIG_TEXT_SIZE + 16];
    int index = key_index(name);

    (void)section;
    snprintf(place, sizeof place, "%s:%d", reading->path, reading->line);
    if (index >= 0 && reading->seen[index])
        return error_set(reading->error, LQ_ERR_FORMAT, "%s: %s is set twice", place, name) ==
               LQ_OK;
    if (index >= 0)
        reading->seen[index] = true;
    return config_set(reading->config, place, name, value ? value : "", reading->error) == LQ_OK;
}

int config_read(struct config *config, const char *path, struct lq_error *error)
{
    struct lq_error first = {0};
    struct reading reading = {.config = config, .path = path, .error = &first};
    int bad_line;

    reading.file = fopen(path, "re");
    if (!reading.file)
        return error_set(error, LQ_ERR_IO, "%s: %s", path, strerror(errno));
    bad_line = ini_parse_stream(read_line, &reading, on_pair, &reading);
    if (ferror(reading.file))
        lq_error_set(&first, LQ_ERR_IO, "%s: %s", path, strerror(errno));
    fclose(reading.file);
    if (bad_line && (!first.status || bad_line < reading.line)) /* reading ends at a failure */
        return error_set(error, LQ_ERR_FORMAT, "%s:%d: not a line of the form key = value", path,
                         bad_line);
    return first.status ? error_set(error, first.status, "%s", first.text) : LQ_OK;
}

/* "--max-body-bytes" -> "max_body_bytes". False: not a flag, or too long for any key. */
static bool flag_name(const char *word, char *ret_name, size_t size)
{
    size_t length = strcspn(word, "=");

    if (strncmp(word, "--", 2) != 0 || length < 3 || length - 2 >= size)
        return false;
    memcpy(ret_name, word + 2, length - 2);
    ret_name[length - 2] = 0;
    for (char *at = ret_name; *at; at++)
        if (*at == '-')
            *at = '_';
    return true;
}

static bool action_from_name(const char *name, enum config_action *ret_action)
{
    static const struct {
        const char *name;
        enum config_action action;
    } actions[] = {
        {"help", CONFIG_HELP}, {"version", CONFIG_VERSION}, {"check_config", CONFIG_CHECK}};

    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(name, actions[i].name) == 0) {
            *ret_action = actions[i].action;
            return true;
        }
    }
    return false;
}

/* Walks the flags: the first time for --config alone, the second time for all others. */
static int walk_flags(struct config *config, char **words, bool files,
                      enum config_action *ret_action, struct lq_error *error)
{
    char name[64], place[80];

    for (int i = 1; words[i]; i++) {
        const char *word = words[i];
        const char *value = strchr(word, '=');
        int status = LQ_OK;

        if (!flag_name(word, name, sizeof name))
            return error_set(error, LQ_ERR_INVALID, "'%.64s' is not a flag; see --help", word);
        if (!value && action_from_name(name, ret_action))
            continue;
        if (value)
            value++;
        else if (strcmp(name, "config") != 0 && key_index(name) < 0)
            return error_set(error, LQ_ERR_NOT_FOUND, "unknown flag '%.64s'; see --help", word);
        else if (!(value = words[++i]))
            return error_set(error, LQ_ERR_INVALID, "flag %s needs a value", word);
        snprintf(place, sizeof place, "flag --%s", name);
        if (strcmp(name, "config") == 0)
            status = files ? config_read(config, value, error) : LQ_OK;
        else if (!files)
            status = config_set(config, place, name, value, error);
        if (status)
            return status;
    }
    return LQ_OK;
}

/* The variable LQNETD_KEY for each key; others of that prefix are none of ours (Kubernetes makes
 * LQNETD_SERVICE_HOST and the like for a service of this name). */
static int read_environment(struct config *config, struct lq_error *error)
{
    char name[64] = "LQNETD_", place[80];
    size_t prefix = strlen(name);

    for (int i = 0; i < KEY_COUNT; i++) {
        const char *value;
        size_t length = strlen(keys[i].name);
        int status;

        for (size_t c = 0; c <= length; c++)
            name[prefix + c] = (char)toupper((unsigned char)keys[i].name[c]);
        value = getenv(name);
        if (!value)
            continue;
        snprintf(place, sizeof place, "environment %s", name);
        status = config_set(config, place, keys[i].name, value, error);
        if (status)
            return status;
    }
    return LQ_OK;
}

static bool names_a_file(char **words)
{
    for (int i = 1; words[i]; i++)
        if (strcmp(words[i], "--config") == 0 || strncmp(words[i], "--config=", 9) == 0)
            return true;
    return false;
}

int config_from_arguments(struct config *config, int argc, char **argv,
                          enum config_action *ret_action, struct lq_error *error)
{
    enum config_action action = CONFIG_RUN;
    int status;

    (void)argc;
    config_init(config);
    if (getenv("LQNETD_CONFIG") && !names_a_file(argv))
        status = config_read(config, getenv("LQNETD_CONFIG"), error);
    else
        status = walk_flags(config, argv, true, &action, error);
    if (status == LQ_OK)
        status = read_environment(config, error);
    if (status == LQ_OK)
        status = walk_flags(config, argv, false, &action, error);
    if (status == LQ_OK)
        *ret_action = action;
    return status;
}

int config_check(const struct config *config, struct lq_error *error)
{
    if (!config->tls_cert[0] != !config->tls_key[0])
        return error_set(error, LQ_ERR_INVALID, "%s is set, but %s is not: TLS needs both",
                         config->tls_cert[0] ? "tls_cert" : "tls_key",
                         config->tls_cert[0] ? "tls_key" : "tls_cert");
    return LQ_OK;
}

void config_help(FILE *out)
{
    fprintf(out,
            "lqnetd " LQ_VERSION " - serves .lq networks over HTTP\n"
            "\n"
            "usage: lqnetd [--config FILE] [--KEY VALUE]...\n"
            "       lqnetd --help | --version | --check-config\n"
            "\n"
            "A flag wins over the environment, this over the file, the file over the default. The\n"
            "keys, in the file as `key = value`, as flags with dashes or underscores, in the\n"
            "environment as LQNETD_KEY in capitals (LQNETD_CONFIG names the file):\n\n");
    for (int i = 0; i < KEY_COUNT; i++)
        fprintf(out, "  --%-20s %s\n  %-22s %s\n", keys[i].name, keys[i].fallback, "", keys[i].doc);
    fprintf(out, "\nSIGTERM and SIGINT finish the accepted requests, then end the program. SIGHUP\n"
                 "looks for new, changed and vanished models.\n"
                 "exit status: 0 ended by a signal, 1 could not start or run, 2 wrong settings\n");
}
