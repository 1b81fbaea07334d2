/* test_openapi.c - the OpenAPI document: every route is in it, and replies are what it says.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openapi.h"
#include "support/daemon.h"

static json_t *document(void)
{
    struct text text = {0};
    json_error_t error;
    json_t *root;

    openapi_write(&text);
    ck_assert(!text.failed);
    root = json_loadb(text.bytes, text.length, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root, "%s at %d", error.text, error.position);
    text_free(&text);
    return root;
}

/* What a "#/a/b" points at. */
static json_t *resolve(json_t *root, const char *reference)
{
    char name[128];

    ck_assert_int_eq(strncmp(reference, "#/", 2), 0);
    for (reference += 2; root && *reference; reference += strspn(reference, "/")) {
        size_t length = strcspn(reference, "/");

        snprintf(name, sizeof(name), "%.*s", (int)length, reference);
        root = json_object_get(root, name);
        reference += length;
    }
    return root;
}

static void check_references(json_t *root, json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;

    json_object_foreach(value, key, member)
    {
        if (strcmp(key, "$ref") == 0)
            ck_assert_msg(resolve(root, json_string_value(member)), "%s",
                          json_string_value(member));
        check_references(root, member);
    }
    json_array_foreach(value, i, member) check_references(root, member);
}

START_TEST(every_route)
{
    json_t *root = document(), *paths = json_object_get(root, "paths"), *path, *operation;
    json_t *ids = json_object();
    const char *name, *method;
    size_t operations = 0;

    check_references(root, root);
    for (const struct route *route = route_table; route->path; route++) {
        const char *method_name = strcmp(route->method, "GET") == 0    ? "get"
                                  : strcmp(route->method, "POST") == 0 ? "post"
                                                                       : "delete";

        ck_assert_msg(method_name[0] != 'd' || strcmp(route->method, "DELETE") == 0, "%s",
                      route->method);
        operation = json_object_get(json_object_get(paths, route->path), method_name);
        ck_assert_msg(operation, "%s %s", route->method, route->path);
        ck_assert_msg(openapi_knows(route->handler), "%s", route->path);
        ck_assert_msg(json_object_get(json_object_get(operation, "responses"), "200"), "%s",
                      route->path);
        ck_assert_msg(json_string_length(json_object_get(operation, "summary")) > 0, "%s",
                      route->path);
        operations++;
    }
    json_object_foreach(paths, name, path) json_object_foreach(path, method, operation)
    {
        json_t *id = json_object_get(operation, "operationId"), *parameter;
        int variables = 0;
        size_t i;

        ck_assert(!json_object_get(ids, json_string_value(id)));
        json_object_set(ids, json_string_value(id), json_true());
        for (const char *at = name; (at = strchr(at, '{')); at++)
            variables++;
        json_array_foreach(json_object_get(operation, "parameters"), i, parameter) variables -=
            strcmp(json_string_value(json_object_get(parameter, "in")), "path") == 0;
        ck_assert_msg(variables == 0, "%s", name);
        operations--;
    }
    ck_assert_uint_eq(operations, 0); /* and none beside them */
    json_decref(ids);
    json_decref(root);
}
END_TEST

static bool has_type(const json_t *value, const char *type)
{
    return !type || (strcmp(type, "object") == 0 && json_is_object(value)) ||
           (strcmp(type, "array") == 0 && json_is_array(value)) ||
           (strcmp(type, "string") == 0 && json_is_string(value)) ||
           (strcmp(type, "integer") == 0 && json_is_integer(value)) ||
           (strcmp(type, "number") == 0 && json_is_number(value)) ||
           (strcmp(type, "boolean") == 0 && json_is_boolean(value));
}

/* As much of JSON Schema as the document uses. */
static bool fits(json_t *root, json_t *schema, json_t *value)
{
    const char *reference = json_string_value(json_object_get(schema, "$ref")), *key;
    json_t *choices = json_object_get(schema, "anyOf"), *names = json_object_get(schema, "enum");
    json_t *members = json_object_get(schema, "properties"), *member;
    bool fine = !choices && !names;
    size_t i;

    if (reference)
        return fits(root, resolve(root, reference), value);
    if (json_is_null(value) && json_is_true(json_object_get(schema, "nullable")))
        return true;
    json_array_foreach(choices, i, member) fine = fine || fits(root, member, value);
    json_array_foreach(names, i, member) fine = fine || json_equal(member, value);
    fine = fine && has_type(value, json_string_value(json_object_get(schema, "type")));
    json_array_foreach(json_object_get(schema, "required"), i, member) fine =
        fine && json_object_get(value, json_string_value(member));
    json_object_foreach(value, key, member)
    {
        json_t *inner = json_object_get(members, key);

        if (!inner)
            inner = json_object_get(schema, "additionalProperties");
        /* what a reply holds is described */
        fine = fine && (inner ? fits(root, inner, member) : !members);
    }
    json_array_foreach(value, i, member) fine =
        fine && fits(root, json_object_get(schema, "items"), member);
    return fine;
}

/* Asks for a path and compares the reply with what the document says of its pattern. */
static void check_reply(const struct daemon *daemon, json_t *root, const char *method,
                        const char *pattern, const char *path, const char *body)
{
    struct answer answer =
        daemon_ask(daemon, method, path, NULL, body ? body : "", body ? strlen(body) : 0);
    json_t *operation = json_object_get(json_object_get(json_object_get(root, "paths"), pattern),
                                        body ? "post" : "get");
    json_t *responses = json_object_get(operation, "responses"), *response, *schema, *value;
    char status[8];

    snprintf(status, sizeof(status), "%d", answer.status);
    response = json_object_get(responses, status);
    ck_assert_msg(response, "%s: %d is not described: %s", path, answer.status, answer.body);
    if (json_object_get(response, "$ref"))
        response = resolve(root, json_string_value(json_object_get(response, "$ref")));
    schema = json_object_get(
        json_object_get(json_object_get(response, "content"), "application/json"), "schema");
    value = json_loadb(answer.body, answer.body_size, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(schema && value && fits(root, schema, value), "%s: %s", path, answer.body);
    json_decref(value);
    answer_free(&answer);
}

START_TEST(replies)
{
    static const struct {
        const char *pattern, *path, *body;
    } cases[] = {
        {"/v2", "/v2", NULL},
        {"/v2/", "/v2/", NULL},
        {"/v2/health/live", "/v2/health/live", NULL},
        {"/v2/health/ready", "/v2/health/ready", NULL},
        {"/v2/models", "/v2/models", NULL},
        {"/v2/models/{model}", "/v2/models/tiny", NULL},
        {"/v2/models/{model}", "/v2/models/none", NULL},
        {"/v2/models/{model}", "/v2/models/bad", NULL},
        {"/v2/models/{model}/versions/{version}", "/v2/models/tiny/versions/1", NULL},
        {"/v2/models/{model}/versions/{version}", "/v2/models/tiny/versions/7", NULL},
        {"/v2/models/{model}/ready", "/v2/models/tiny/ready", NULL},
        {"/v2/models/{model}/config", "/v2/models/tiny/config", NULL},
        {"/v2/models/{model}/versions/{version}/config", "/v2/models/tiny/versions/1/config", NULL},
        {"/v2/models/{model}/infer", "/v2/models/tiny/infer", "{}"},
        {"/v2/models/{model}/infer", "/v2/models/none/infer", "{}"},
        {"/v2/models/{model}/classify", "/v2/models/tiny/classify", "no picture"},
        {"/v2/repository/index", "/v2/repository/index", ""},
        {"/v2/repository/index", "/v2/repository/index", "{\"ready\":true}"},
        {"/v2/repository/models/{name}/load", "/v2/repository/models/tiny/load", "{}"},
    };
    static const char request[] =
        "{\"id\":\"x\",\"inputs\":[{\"name\":\"input\",\"datatype\":\"UINT8\",\"shape\":[1,3,8,8],"
        "\"data\":[%s0]}],\"outputs\":[{\"name\":\"linear\",\"parameters\":{\"classification\":%d}}"
        "]}";
    json_t *root = document(), *served;
    struct daemon d;
    struct answer answer;
    char body[2048], zeros[400] = "";

    daemon_start(&d, NULL);
    answer = daemon_ask(&d, "GET", "/openapi.json", NULL, NULL, 0);
    served = json_loadb(answer.body, answer.body_size, 0, NULL);
    ck_assert(json_equal(root, served));
    json_decref(served);
    answer_free(&answer);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        check_reply(&d, root, cases[i].body ? "POST" : "GET", cases[i].pattern, cases[i].path,
                    cases[i].body);
    for (int i = 0; i < 191; i++)
        strcat(zeros, "0,");
    snprintf(body, sizeof(body), request, zeros, 2);
    check_reply(&d, root, "POST", "/v2/models/{model}/infer", "/v2/models/tiny/infer", body);
    check_reply(&d, root, "POST", "/v2/models/{model}/versions/{version}/infer",
                "/v2/models/tiny/versions/1/infer", body);
    check_reply(&d, root, "GET", "/v2/models/stats", "/v2/models/stats", NULL);
    check_reply(&d, root, "GET", "/v2/models/{name}/stats", "/v2/models/tiny/stats", NULL);
    check_reply(&d, root, "GET", "/v2/models/{name}/stats", "/v2/models/none/stats", NULL);
    check_reply(&d, root, "GET", "/v2/models/{name}/versions/{version}/stats",
                "/v2/models/tiny/versions/1/stats", NULL);
    ck_assert_int_eq(daemon_stop(&d), 0);
    json_decref(root);
}
END_TEST

/* Counters of the statistics extension after known work. */
START_TEST(statistics)
{
    static const char body[] = "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"UINT8\",\"shape\":"
                               "[1,3,8,8],\"data\":[%s0]}]}";
    struct daemon d;
    char request[1024], zeros[400] = "";
    struct answer answer;
    json_t *root, *model, *success, *fail, *batch;

    daemon_start(&d, NULL);
    for (int i = 0; i < 191; i++)
        strcat(zeros, "0,");
    snprintf(request, sizeof(request), body, zeros);
    for (int i = 0; i < 3; i++) {
        answer = daemon_ask(&d, "POST", "/v2/models/tiny/infer", NULL, request, strlen(request));
        ck_assert_int_eq(answer.status, 200);
        answer_free(&answer);
    }
    for (int i = 0; i < 2; i++) { /* one that is none, one with a picture that is none */
        static const char *const wrong[] = {"{}", "{\"inputs\":[{\"name\":\"input\",\"datatype\":"
                                                  "\"BYTES\",\"shape\":[1],\"data\":[\"\"]}]}"};

        answer = daemon_ask(&d, "POST", "/v2/models/tiny/infer", NULL, wrong[i], strlen(wrong[i]));
        ck_assert_int_eq(answer.status, i == 0 ? 400 : 422);
        answer_free(&answer);
    }
    answer = daemon_ask(&d, "GET", "/v2/models/tiny/versions/1/stats", NULL, NULL, 0);
    root = json_loadb(answer.body, answer.body_size, 0, NULL);
    model = json_array_get(json_object_get(root, "model_stats"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(model, "inference_count")), 3);
    ck_assert_int_ge(json_integer_value(json_object_get(model, "execution_count")), 3);
    ck_assert(json_integer_value(json_object_get(model, "last_inference")) > 1600000000000);
    success = json_object_get(json_object_get(model, "inference_stats"), "success");
    ck_assert_int_eq(json_integer_value(json_object_get(success, "count")), 3);
    ck_assert(json_integer_value(json_object_get(success, "ns")) > 0);
    fail = json_object_get(json_object_get(model, "inference_stats"), "fail");
    ck_assert_int_eq(json_integer_value(json_object_get(fail, "count")), 2);
    batch = json_array_get(json_object_get(model, "batch_stats"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(batch, "batch_size")), 1);
    json_decref(root);
    answer_free(&answer);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("openapi");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_test(tests, every_route);
    tcase_add_test(tests, replies);
    tcase_add_test(tests, statistics);
    return suite_main("openapi", tests);
}
