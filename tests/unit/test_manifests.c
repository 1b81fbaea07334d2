/* test_manifests.c - what runs lqnetd names it rightly: manifests, balancer, image, references.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "observe/metrics.h"
#include "route.h"

static const char *const manifests[] = {
    "etc/kubernetes/lqnetd.yaml", "etc/kubernetes/keda.yaml", "etc/kubernetes/kserve.yaml",
    "docker/compose.yaml",        "docker/prometheus.yaml",
};
enum { MANIFESTS = sizeof(manifests) / sizeof(*manifests) };

static const char *const texts[] = {
    "etc/kubernetes/lqnetd.yaml",
    "etc/kubernetes/keda.yaml",
    "etc/kubernetes/kserve.yaml",
    "docker/compose.yaml",
    "docker/README.md",
    "docker/Dockerfile",
    "etc/haproxy.cfg",
    "etc/lqnetd.service",
    "server/HTTP.md",
    "README.md",
};
enum { TEXTS = sizeof(texts) / sizeof(*texts) };

/* A whole file, zero-terminated. */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 18);

    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_lt(fread(text, 1, (1 << 18) - 1, file), (1 << 18) - 1);
    fclose(file);
    return text;
}

/* The port that the image listens at, as its Dockerfile says in two places. */
static long image_port(void)
{
    static const char listen[] = "LQNETD_LISTEN=0.0.0.0:";
    char *text = read_file("docker/Dockerfile"), *expose = strstr(text, "EXPOSE ");
    char *at = strstr(text, listen);
    long port;

    ck_assert_ptr_nonnull(at);
    ck_assert_ptr_nonnull(expose);
    port = strtol(at + strlen(listen), NULL, 10);
    ck_assert_int_eq(strtol(expose + 7, NULL, 10), port);
    free(text);
    return port;
}

static bool is_route(const char *path)
{
    struct route_match match;

    for (const struct route *route = route_table; route->path; route++)
        if (route_matches(route->path, path, &match))
            return true;
    return false;
}

/* Is it the path of a route, or the beginning of one at a slash? */
static bool begins_route(const char *path)
{
    size_t length = strlen(path);

    for (const struct route *route = route_table; route->path; route++)
        if (strncmp(route->path, path, length) == 0 &&
            (route->path[length] == '/' || !route->path[length]))
            return true;
    return is_route(path);
}

static bool is_key(const char *name)
{
    for (int i = 0; i < config_key_count(); i++)
        if (strcasecmp(config_key_at(i)->name, name) == 0)
            return true;
    return false;
}

/* ------------------------------------------------------------------------------------------------
 * YAML
 */

static const char *scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static yaml_node_t *member(yaml_document_t *document, const yaml_node_t *mapping, const char *key)
{
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
         pair < mapping->data.mapping.pairs.top; pair++) {
        const char *name = scalar(yaml_document_get_node(document, pair->key));

        if (name && strcmp(name, key) == 0)
            return yaml_document_get_node(document, pair->value);
    }
    return NULL;
}

/* --key value --key value, all of them settings. */
static void check_flags(yaml_document_t *document, const yaml_node_t *list)
{
    struct config config;
    struct lq_error error = {0};

    config_init(&config);
    ck_assert_int_eq(list->type, YAML_SEQUENCE_NODE);
    for (yaml_node_item_t *item = list->data.sequence.items.start;
         item < list->data.sequence.items.top; item += 2) {
        const char *flag = scalar(yaml_document_get_node(document, item[0])), *value;
        char key[64];

        ck_assert_ptr_nonnull(flag);
        ck_assert_msg(strncmp(flag, "--", 2) == 0 && item + 1 < list->data.sequence.items.top, "%s",
                      flag);
        value = scalar(yaml_document_get_node(document, item[1]));
        ck_assert_ptr_nonnull(value);
        snprintf(key, sizeof(key), "%s", flag + 2);
        for (char *c = key; *c; c++)
            *c = *c == '-' ? '_' : *c;
        ck_assert_msg(config_set(&config, flag, key, value, &error) == LQ_OK, "%s", error.text);
    }
}

/* What the manifests of one file have said so far. */
struct seen {
    char port_names[8][32];
    int port_count, paths, ports, flags;
};

static void check_port(yaml_document_t *document, const yaml_node_t *mapping, const char *value,
                       struct seen *seen)
{
    bool known = false;

    if (member(document, mapping, "targetPort"))
        return; /* a service's own; its target is looked at */
    for (int i = 0; i < seen->port_count && !known; i++)
        known = strcmp(seen->port_names[i], value) == 0;
    ck_assert_msg(known || strtol(value, NULL, 10) == image_port(), "port %s", value);
    seen->ports++;
}

static void check_pair(yaml_document_t *document, const yaml_node_t *mapping, const char *key,
                       const yaml_node_t *node, struct seen *seen)
{
    size_t length = strlen(key);
    const char *value = scalar(node);

    if (strcmp(key, "args") == 0 || strcmp(key, "command") == 0) {
        check_flags(document, node);
        seen->flags++;
    } else if (value && (strcmp(key, "path") == 0 || strstr(key, "/path"))) {
        ck_assert_msg(is_route(value), "path %s", value);
        seen->paths++;
    } else if (value && strcmp(key, "containerPort") == 0) {
        const char *name = scalar(member(document, mapping, "name"));

        ck_assert_int_eq(strtol(value, NULL, 10), image_port());
        ck_assert_int_lt(seen->port_count, 8);
        snprintf(seen->port_names[seen->port_count++], 32, "%s", name ? name : "");
    } else if (value && (strcmp(key, "port") == 0 || strcmp(key, "targetPort") == 0 ||
                         (length > 5 && strcmp(key + length - 5, "/port") == 0))) {
        check_port(document, mapping, value, seen);
    }
}

/* Containers name their ports before probes and services use them. */
static void check_node(yaml_document_t *document, const yaml_node_t *node, struct seen *seen)
{
    if (node->type == YAML_SEQUENCE_NODE)
        for (yaml_node_item_t *item = node->data.sequence.items.start;
             item < node->data.sequence.items.top; item++)
            check_node(document, yaml_document_get_node(document, *item), seen);
    if (node->type != YAML_MAPPING_NODE)
        return;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const char *key = scalar(yaml_document_get_node(document, pair->key));
        const yaml_node_t *value = yaml_document_get_node(document, pair->value);

        ck_assert_ptr_nonnull(key);
        check_pair(document, node, key, value, seen);
        check_node(document, value, seen);
    }
}

START_TEST(manifest)
{
    char *text = read_file(manifests[_i]);
    bool is_kubernetes = strncmp(manifests[_i], "etc/kubernetes/", 15) == 0;
    struct seen seen = {.paths = 0};
    yaml_parser_t parser;
    yaml_document_t document;
    int documents = 0;

    ck_assert_int_eq(yaml_parser_initialize(&parser), 1);
    yaml_parser_set_input_string(&parser, (unsigned char *)text, strlen(text));
    for (;;) {
        yaml_node_t *root;

        ck_assert_msg(yaml_parser_load(&parser, &document) == 1, "%s:%zu: %s", manifests[_i],
                      parser.problem_mark.line + 1, parser.problem);
        root = yaml_document_get_root_node(&document);
        if (!root)
            break;
        ck_assert_int_eq(root->type, YAML_MAPPING_NODE);
        if (is_kubernetes) {
            ck_assert_ptr_nonnull(scalar(member(&document, root, "apiVersion")));
            ck_assert_ptr_nonnull(scalar(member(&document, root, "kind")));
        }
        check_node(&document, root, &seen);
        yaml_document_delete(&document);
        documents++;
    }
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    free(text);
    ck_assert_int_gt(documents, 0);
    if (strstr(manifests[_i], "lqnetd.yaml") || strstr(manifests[_i], "kserve.yaml")) {
        ck_assert_int_gt(seen.paths, 2);
        ck_assert_int_gt(seen.ports, 2);
        ck_assert_int_gt(seen.flags, 0);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Words in any text
 */

/* The page of metrics of a server that has done nothing: the names of all of them. */
static char *metrics_page(void)
{
    const char *const routes[] = {"/v2"};
    struct text page = {0};
    struct lq_error error = {0};
    struct metrics *metrics;

    ck_assert_int_eq(metrics_create(routes, 1, &metrics, &error), LQ_OK);
    metrics_model(metrics, "model", "1");
    metrics_write(metrics, &page);
    metrics_destroy(metrics);
    return page.bytes;
}

static bool is_metric(const char *page, const char *name)
{
    static const char *const endings[] = {"", "_bucket", "_sum", "_count"};
    char line[128];

    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        size_t length = strlen(name), ending = strlen(endings[i]);

        if (length <= ending || strcmp(name + length - ending, endings[i]) != 0)
            continue;
        snprintf(line, sizeof(line), "# TYPE %.*s ", (int)(length - ending), name);
        if (strstr(page, line))
            return true;
    }
    return false;
}

/* The next word of these characters from *at on that starts with `start`, cut to 127 characters;
 * false: none. */
static bool next_word(const char **at, const char *start, const char *more, char word[128])
{
    const char *begin = *at;
    size_t length;

    do {
        begin = strstr(begin + (begin != *at), start);
        if (!begin)
            return false;
    } while (begin != *at && (isalnum((unsigned char)begin[-1]) || begin[-1] == '_'));
    length = strlen(start);
    while (begin[length] && (isalnum((unsigned char)begin[length]) || strchr(more, begin[length])))
        length++;
    snprintf(word, 128, "%.*s", (int)length, begin);
    *at = begin + length;
    return true;
}

START_TEST(metric_names)
{
    char *text = read_file(texts[_i]), *page = metrics_page(), word[128];
    const char *at = text;

    while (next_word(&at, "lqnet_", "_", word))
        ck_assert_msg(is_metric(page, word), "%s: %s is no metric", texts[_i], word);
    free(text);
    free(page);
}
END_TEST

/* LQNETD_KEY, LQNETD_CONFIG; haproxy.cfg has variables of its own. */
START_TEST(environment)
{
    char *text = read_file(texts[_i]), word[128];
    const char *at = text;

    while (next_word(&at, "LQNETD_", "_", word)) {
        bool own = strcmp(texts[_i], "etc/haproxy.cfg") == 0 &&
                   (isdigit((unsigned char)word[7]) || strcmp(word + 7, "FRONT") == 0);

        ck_assert_msg(own || is_key(word + 7) || strcmp(word + 7, "CONFIG") == 0 ||
                          strcmp(word + 7, "KEY") == 0,
                      "%s: %s is no setting", texts[_i], word);
    }
    free(text);
}
END_TEST

/* Paths that the balancer asks for and keeps from the public. */
START_TEST(balancer)
{
    char *text = read_file("etc/haproxy.cfg"), word[128];
    const char *at = strstr(text, " uri "), *end;
    int count = 0;

    ck_assert_ptr_nonnull(at);
    ck_assert(next_word(&at, "/", "/_", word));
    ck_assert_msg(is_route(word), "uri %s", word);
    at = strstr(text, "path_beg ");
    ck_assert_ptr_nonnull(at);
    end = strchr(at, '}');
    while (next_word(&at, "/", "/_", word) && at < end) {
        ck_assert_msg(begins_route(word), "path_beg %s", word);
        count++;
    }
    ck_assert_int_gt(count, 1);
    free(text);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("manifests");

    tcase_add_loop_test(tests, manifest, 0, MANIFESTS);
    tcase_add_loop_test(tests, metric_names, 0, TEXTS);
    tcase_add_loop_test(tests, environment, 0, TEXTS);
    tcase_add_test(tests, balancer);
    return suite_main("manifests", tests);
}
