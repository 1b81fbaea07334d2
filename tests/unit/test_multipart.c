/* test_multipart.c - parts of forms, right ones and hostile ones.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/multipart.h"
#include "support/guard.h"

enum { PAGE = 4096, MAX_PARTS = 8 };

#define TYPE      "multipart/form-data; boundary=b"
#define FILE_HEAD "Content-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n"

struct result {
    int status, count;
    struct lq_error error;
    struct multipart_part parts[MAX_PARTS];
    char bodies[MAX_PARTS][128];
};

/* Reads a body that ends at a page that may not be touched. */
static struct result read_sized(const char *type, const char *body, size_t length)
{
    struct guarded page = guard((length / PAGE + 1) * PAGE);
    char *at = (char *)page.bytes + (length / PAGE + 1) * PAGE - length;
    struct result result = {0};
    struct multipart multipart;
    bool more = true;

    memcpy(at, body, length);
    result.status = multipart_begin(&multipart, type, at, length, &result.error);
    while (result.status == LQ_OK && more && result.count < MAX_PARTS) {
        struct multipart_part *part = &result.parts[result.count];

        result.status = multipart_next(&multipart, &more, part, &result.error);
        if (result.status != LQ_OK || !more)
            break;
        ck_assert(part->bytes >= at && part->bytes + part->size <= at + length);
        snprintf(result.bodies[result.count++], sizeof(*result.bodies), "%.*s", (int)part->size,
                 part->bytes);
    }
    unguard(&page);
    return result;
}

static struct result read_form(const char *type, const char *body)
{
    return read_sized(type, body, strlen(body));
}

START_TEST(types)
{
    static const struct {
        const char *type;
        int status;
    } rows[] = {
        {"multipart/form-data; boundary=b", LQ_OK},
        {"Multipart/Form-Data;boundary=\"b\"", LQ_OK},
        {"multipart/form-data\t; charset=\"a;boundary=c\"; BOUNDARY=b ; x=y", LQ_OK},
        {NULL, LQ_ERR_UNSUPPORTED},
        {"", LQ_ERR_UNSUPPORTED},
        {"multipart/form-dataset; boundary=b", LQ_ERR_UNSUPPORTED},
        {"multipart/mixed; boundary=b", LQ_ERR_UNSUPPORTED},
        {"multipart/form-data", LQ_ERR_INVALID},
        {"multipart/form-data; boundary", LQ_ERR_INVALID},
        {"multipart/form-data; boundary=", LQ_ERR_INVALID},
        {"multipart/form-data; boundary=\"\"", LQ_ERR_INVALID},
        {"multipart/form-data; boundary=\"b", LQ_ERR_INVALID},
        {"multipart/form-data; boundary=\"b \"", LQ_ERR_INVALID}, /* may not end in a blank */
        {"multipart/form-data; boundary=\"b\r\nc\"", LQ_ERR_INVALID},
        {"multipart/form-data; boundary=b\xc3\xa4", LQ_ERR_INVALID},
        {"multipart/form-data; xboundary=b", LQ_ERR_INVALID},
        {"multipart/form-data boundary=b", LQ_ERR_INVALID},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct result result = read_form(rows[i].type, "--b--");

        ck_assert_msg(result.status == rows[i].status, "%s: %d %s", rows[i].type, result.status,
                      result.error.text);
        ck_assert_int_eq(result.count, 0);
    }
}
END_TEST

START_TEST(boundary_lengths)
{
    for (int length = 69; length <= 72; length++) {
        char type[128], body[128], boundary[80] = "";

        memset(boundary, '-', (size_t)length); /* of nothing but what starts it */
        snprintf(type, sizeof(type), "multipart/form-data; boundary=%s", boundary);
        snprintf(body, sizeof(body), "--%s--", boundary);
        ck_assert_int_eq(read_form(type, body).status,
                         length <= MULTIPART_MAX_BOUNDARY ? LQ_OK : LQ_ERR_INVALID);
    }
}
END_TEST

START_TEST(parts)
{
    struct result result =
        read_form(TYPE, "--b\r\nContent-Disposition: form-data; name=\"top_k\"\r\n\r\n3\r\n"
                        "--b \t\r\ncontent-disposition:form-data;filename=\"a\\\"\\\\b\";name=f\r\n"
                        "Content-Type: image/jpeg\r\n\r\n\r\n--bad\r\n-\r\n--b"
                        "\r\n" FILE_HEAD "\r\n\r\n--b--trailing bytes are ignored");

    ck_assert_msg(result.status == LQ_ERR_INVALID, "%s", result.error.text); /* "--bad" */
    result = read_form(TYPE, "--b\r\nContent-Disposition: form-data; name=\"top_k\"\r\n\r\n3\r\n"
                             "--b \t\r\ncontent-disposition:form-data;filename=\"a\\\"\\\\b\";"
                             "name=f\r\nContent-Type: image/jpeg\r\n\r\n\r\n-- b\r\n-\r\n--b"
                             "\r\n" FILE_HEAD "\r\n\r\n--b--trailing bytes are ignored");
    ck_assert_msg(result.status == LQ_OK, "%s", result.error.text);
    ck_assert_int_eq(result.count, 3);
    ck_assert_str_eq(result.parts[0].name, "top_k");
    ck_assert(!result.parts[0].is_file);
    ck_assert_str_eq(result.bodies[0], "3");
    ck_assert_str_eq(result.parts[1].name, "f");
    ck_assert(result.parts[1].is_file);
    ck_assert_str_eq(result.parts[1].file_name, "a\"\\b");
    ck_assert_str_eq(result.bodies[1], "\r\n-- b\r\n-");
    ck_assert_str_eq(result.parts[2].file_name, "x");
    ck_assert_uint_eq(result.parts[2].size, 0);
}
END_TEST

/* A form may be cut anywhere: it is refused, and nothing behind its end is read. */
START_TEST(cut_anywhere)
{
    static const char body[] = "--b\r\n" FILE_HEAD "X: y\r\n\r\ndata\r\n--b\r\n\r\n\r\n--b--";

    for (size_t length = 0; length < sizeof(body) - 1; length++) {
        struct result result = read_sized(TYPE, body, length);

        ck_assert_msg(result.status == LQ_ERR_INVALID, "cut to %zu", length);
        ck_assert(result.error.text[0]);
    }
    ck_assert_int_eq(read_form(TYPE, body).status, LQ_OK);
}
END_TEST

START_TEST(hostile)
{
    static const struct {
        const char *body, *text;
    } rows[] = {
        {"--b", "neither a part nor --"},
        {"--b-", "neither a part nor --"},
        {"--bb--", "neither a part nor --"},
        {"--b\n\n\n--b--", "neither a part nor --"}, /* bare line feeds */
        {"\r\n--b--", "does not start"},
        {"--b\r\nno end of the head", "head has no end"},
        {"--b\r\n" FILE_HEAD "\r\ndata --b--", "has no end"},
        {"--b\r\n" FILE_HEAD "\r\ndata\n--b--", "has no end"},
        {"--b\r\n" FILE_HEAD "\r\ndata\r\n--B--", "has no end"},
        {"--b\r\n" FILE_HEAD "--b--", "head has no end"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct result result = read_form(TYPE, rows[i].body);

        ck_assert_msg(result.status == LQ_ERR_INVALID, "%s: %d", rows[i].body, result.status);
        ck_assert_msg(strstr(result.error.text, rows[i].text), "%s: %s", rows[i].body,
                      result.error.text);
    }
}
END_TEST

/* What is too long for its place is cut; quotes that do not close give nothing. */
START_TEST(names)
{
    char body[2048], name[600];
    struct result result;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(body, sizeof(body),
             "--b\r\nContent-Disposition: form-data; name=\"%s\"; filename=%s\r\n\r\nx\r\n--b--",
             name, name);
    result = read_form(TYPE, body);
    ck_assert_int_eq(result.status, LQ_OK);
    ck_assert_uint_eq(strlen(result.parts[0].name), MULTIPART_NAME_SIZE - 1);
    ck_assert_uint_eq(strlen(result.parts[0].file_name), MULTIPART_NAME_SIZE - 1);
    result = read_form(TYPE, "--b\r\nContent-Disposition: form-data; name=\"f; filename=\"x\r\n"
                             "\r\nx\r\n--b--");
    ck_assert_int_eq(result.status, LQ_OK);
    ck_assert_int_eq(result.count, 1);
    ck_assert(!result.parts[0].is_file);
    result = read_form(TYPE, "--b\r\nContent-Dispositio: form-data; name=f\r\n\r\nx\r\n--b--");
    ck_assert_int_eq(result.status, LQ_OK);
    ck_assert_str_eq(result.parts[0].name, "");
}
END_TEST

/* Lines without end, and a head of many short ones. */
START_TEST(long_heads)
{
    size_t size = 3 * MULTIPART_MAX_HEAD;
    char *body = malloc(size + 64);

    for (int lines = 0; lines < 2; lines++) {
        struct result result;
        size_t at = (size_t)sprintf(body, "--b\r\n");

        while (at < size)
            at += (size_t)sprintf(body + at, lines ? "a: b\r\n" : "aaaaaa");
        strcpy(body + at, "\r\n\r\nx\r\n--b--");
        result = read_form(TYPE, body);
        ck_assert_int_eq(result.status, LQ_ERR_INVALID);
        ck_assert_msg(strstr(result.error.text, "head has no end"), "%s", result.error.text);
    }
    free(body);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("multipart");

    tcase_add_test(tests, types);
    tcase_add_test(tests, boundary_lengths);
    tcase_add_test(tests, parts);
    tcase_add_test(tests, cut_anywhere);
    tcase_add_test(tests, hostile);
    tcase_add_test(tests, names);
    tcase_add_test(tests, long_heads);
    return suite_main("multipart", tests);
}
