/* bodies.c - targets: what requests are made of.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base64.h"
#include "codec/compress.h"
#include "codec/multipart.h"
#include "codec/number.h"
#include "codec/tar.h"
#include "config.h"
#include "fuzz/targets.h"
#include "infer/infer_request.h"
#include "models/policy.h"
#include "route.h"
#include "support/tar_forge.h"
#include "train/augment.h"

enum { MAX_IMAGES = 4, CHANNELS = 3, SIDE = 2, PIXELS = CHANNELS * SIDE * SIDE };

static void check_infer(const struct infer_request *request)
{
    FUZZ_CHECK(request->count >= 1 && request->count <= MAX_IMAGES);
    FUZZ_CHECK(!!request->floats + !!request->pixels + !!request->files == 1);
    for (int i = 0; request->floats && i < request->count * PIXELS; i++)
        FUZZ_CHECK(isfinite(request->floats[i]));
    for (int i = 0; request->files && i < request->count; i++)
        for (size_t at = 0; at < request->files[i].size; at++) /* a sanitizer sees it */
            (void)*((const volatile uint8_t *)request->files[i].bytes + at);
    FUZZ_CHECK(!request->id || strlen(request->id) <= INFER_MAX_ID);
}

void fuzz_infer(const uint8_t *bytes, size_t size)
{
    static const struct lq_model_info info = {.input_name = "input",
                                              .output_name = "output",
                                              .channels = CHANNELS,
                                              .height = SIDE,
                                              .width = SIDE,
                                              .classes = 4};
    int mode = size ? bytes[0] & 3 : 0;
    size_t skip = size < 3 ? size : mode == 1 ? 3 : 1;
    struct infer_body body = {bytes + skip, size - skip, INFER_NO_HEADER_LENGTH, mode == 3};
    struct infer_request request = {0};
    struct lq_error error = {0};
    int64_t priority = 0, timeout_us = 0;
    int status;

    if (mode == 1 && skip == 3)
        body.header_length = bytes[1] | bytes[2] << 8;
    else if (mode >= 2)
        body.header_length = 0;
    infer_request_peek(&info, &body, &priority, &timeout_us);
    status = infer_request_read(&info, MAX_IMAGES, &body, &request, &error);
    fuzz_check_status(status, &error);
    if (status == LQ_OK)
        check_infer(&request);
    infer_request_deinit(&request);
}

void fuzz_multipart(const uint8_t *bytes, size_t size)
{
    const uint8_t *line = memchr(bytes, '\n', size);
    size_t length = line ? (size_t)(line - bytes) : size;
    char *type = fuzz_string(bytes, length);
    const char *body = (const char *)bytes + (line ? length + 1 : length);
    const char *end = (const char *)bytes + size, *after = body;
    struct multipart multipart;
    struct multipart_part part;
    struct lq_error error = {0};
    bool more = true;
    int status = multipart_begin(&multipart, type, body, (size_t)(end - body), &error);

    while (status == LQ_OK && more) {
        status = multipart_next(&multipart, &more, &part, &error);
        if (status != LQ_OK || !more)
            break;
        FUZZ_CHECK(part.bytes >= after && part.size <= (size_t)(end - part.bytes));
        FUZZ_CHECK(memchr(part.name, 0, sizeof(part.name)));
        FUZZ_CHECK(memchr(part.file_name, 0, sizeof(part.file_name)));
        after = part.bytes + part.size;
    }
    fuzz_check_status(status, &error);
    free(type);
}

struct sink {
    size_t size, limit;
};

static bool take(void *context, const char *bytes, size_t size)
{
    struct sink *sink = context;

    for (size_t i = 0; i < size; i++)
        (void)*((const volatile char *)bytes + i);
    sink->size += size;
    return sink->size <= sink->limit;
}

void fuzz_compress(const uint8_t *bytes, size_t size)
{
    size_t piece = size ? (size_t)(bytes[0] >> 1) + 1 : 1;
    struct sink sink = {0, 1 << 20};
    struct compress_reader *reader =
        compress_reader_create(size && bytes[0] & 1 ? COMPRESS_DEFLATE : COMPRESS_GZIP);
    bool good = true;

    FUZZ_CHECK(reader);
    for (size_t at = 1; at < size && good; at += piece) {
        size_t step = size - at < piece ? size - at : piece;

        good = compress_reader_feed(reader, (const char *)bytes + at, step, take, &sink);
    }
    FUZZ_CHECK(good || compress_reader_damaged(reader) || sink.size > sink.limit);
    compress_reader_destroy(reader);
}

void fuzz_tar(const uint8_t *bytes, size_t size)
{
    bool signs = size && bytes[0] & 1;
    size_t length = size ? size - 1 : 0;
    char *copy = malloc(length ? length : 1), *after = copy;
    struct tar tar;
    struct tar_file file;
    struct lq_error error = {0};
    bool more = true;
    int status = LQ_OK;

    FUZZ_CHECK(copy);
    if (length)
        memcpy(copy, bytes + 1, length);
    tar_begin(&tar, copy, length);
    while (status == LQ_OK && more) {
        if (signs && (size_t)(tar.end - tar.at) >= TAR_BLOCK)
            tar_forge_sign(after);
        status = tar_next(&tar, &more, &file, &error);
        if (status != LQ_OK || !more)
            break;
        FUZZ_CHECK(file.bytes >= after + TAR_BLOCK && file.bytes <= tar.end);
        FUZZ_CHECK(file.size <= (size_t)(tar.end - file.bytes));
        FUZZ_CHECK(tar.at >= file.bytes + file.size && tar.at <= tar.end);
        FUZZ_CHECK(memchr(file.name, 0, sizeof(file.name)));
        after = copy + (tar.at - copy); /* the next header */
    }
    fuzz_check_status(status, &error);
    free(copy);
}

void fuzz_base64(const uint8_t *bytes, size_t size)
{
    char *copy = fuzz_string(bytes, size);
    uint8_t *decoded = malloc(size / 4 * 3 + 1);
    size_t length = 0, again = 0;
    bool good;

    FUZZ_CHECK(decoded);
    good = base64_decode(copy, size, decoded, &length);
    FUZZ_CHECK(!good || (size % 4 == 0 && length <= size / 4 * 3));
    FUZZ_CHECK(base64_decode(copy, size, copy, &again) == good); /* in place */
    FUZZ_CHECK(!good || (again == length && memcmp(copy, decoded, length) == 0));
    free(decoded);
    free(copy);
}

void fuzz_number(const uint8_t *bytes, size_t size)
{
    const char *at = (const char *)bytes;
    float value = 0, expected, again = 0;
    bool integer;
    const char *end = number_read_float(at, at + size, &value, &integer);
    char written[NUMBER_TEXT_SIZE];
    size_t length;
    char *copy;

    if (!end)
        return;
    FUZZ_CHECK(end > at && end <= at + size);
    copy = fuzz_string(bytes, (size_t)(end - at));
    expected = strtof(copy, NULL);
    FUZZ_CHECK(memcmp(&expected, &value, sizeof(value)) == 0);
    FUZZ_CHECK(integer == !strpbrk(copy, ".eE"));
    free(copy);
    if (!isfinite(value))
        return;
    length = number_write_float(value, written);
    FUZZ_CHECK(length > 0 && length <= sizeof(written));
    FUZZ_CHECK(number_read_float(written, written + length, &again, &integer) == written + length);
    FUZZ_CHECK(memcmp(&again, &value, sizeof(value)) == 0 && !integer);
}

static void check_path(const char *path)
{
    int matches = 0;

    for (const struct route *route = route_table; route->path; route++) {
        struct route_match match;

        if (!route_matches(route->path, path, &match))
            continue;
        matches++;
        FUZZ_CHECK(!strpbrk(match.model, "/%\\") && strcmp(match.model, "..") != 0);
        FUZZ_CHECK(!strpbrk(match.name, "/%\\") && strcmp(match.name, "..") != 0);
        FUZZ_CHECK(!strpbrk(match.version, "/%\\"));
    }
    FUZZ_CHECK(matches == 0 || path[0] == '/');
}

static void check_policy(const char *policy)
{
    static const int64_t versions[] = {1, 2, 7};
    struct lq_error error = {0};
    bool wanted[3] = {0};
    int status = policy_check(policy, &error);

    fuzz_check_status(status, &error);
    if (status == LQ_OK)
        policy_choose(policy, "net", versions, 3, wanted);
}

static void check_address(const char *address)
{
    struct lq_error error = {0};
    char host[CONFIG_HOST_SIZE];
    int port = 0, status = config_split_address(address, host, sizeof(host), &port, &error);

    fuzz_check_status(status, &error);
    FUZZ_CHECK(status != LQ_OK || (host[0] && port >= 0 && port <= 65535));
}

static void check_augmentation(const char *text)
{
    struct lq_augmentation augmentation;
    struct lq_error error = {0};

    fuzz_check_status(lq_augmentation_parse(text, &augmentation, &error), &error);
}

void fuzz_headers(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_string(bytes, size), *at = text, *lines[6];

    for (int i = 0; i < 6; i++) {
        char *end = strchrnul(at, '\n');

        lines[i] = at;
        at = *end ? end + 1 : end;
        *end = '\0';
    }
    FUZZ_CHECK(compress_accepted(lines[0]) != COMPRESS_UNKNOWN);
    (void)compress_name(compress_from_name(lines[1]));
    check_path(lines[2]);
    check_policy(lines[3]);
    check_address(lines[4]);
    check_augmentation(lines[5]);
    free(text);
}
