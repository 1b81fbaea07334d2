/* test_infer_request.c - bodies of inference requests: every form, everything that can be wrong.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base64.h"
#include "infer/infer_request.h"
#include "support/guard.h"

enum { CHANNELS = 2, HEIGHT = 2, WIDTH = 3, SIZE = CHANNELS * HEIGHT * WIDTH, MAX_COUNT = 4 };

static const struct lq_model_info info = {.input_name = "in",
                                          .output_name = "out",
                                          .channels = CHANNELS,
                                          .height = HEIGHT,
                                          .width = WIDTH,
                                          .classes = 5};

/* Reads a body that ends at a page that may not be touched. */
static int read_bytes(const void *bytes, size_t size, int64_t header_length, bool is_image,
                      struct guarded *page, struct infer_request *request, struct lq_error *error)
{
    struct infer_body body = {NULL, size, header_length, is_image};

    *page = guard(size ? size : 1);
    if (size)
        memcpy(page->bytes, bytes, size);
    body.bytes = page->bytes + (size ? 0 : 1);
    return infer_request_read(&info, MAX_COUNT, &body, request, error);
}

static void accept(const char *json, struct infer_request *request)
{
    struct guarded page;
    struct lq_error error = {0};

    ck_assert_msg(read_bytes(json, strlen(json), INFER_NO_HEADER_LENGTH, false, &page, request,
                             &error) == LQ_OK,
                  "%s: %s", json, error.text);
    unguard(&page);
}

static void refuse_bytes(const void *bytes, size_t size, int64_t header_length, const char *why)
{
    struct guarded page;
    struct lq_error error = {0};
    struct infer_request request;

    ck_assert_int_eq(read_bytes(bytes, size, header_length, false, &page, &request, &error),
                     LQ_ERR_INVALID);
    ck_assert_msg(strstr(error.text, why), "%s, not %s", error.text, why);
    infer_request_deinit(&request);
    unguard(&page);
}

static void refuse(const char *json, const char *why)
{
    refuse_bytes(json, strlen(json), INFER_NO_HEADER_LENGTH, why);
}

#define INPUT(datatype, shape, rest)                                                               \
    "{\"inputs\":[{\"name\":\"in\",\"datatype\":\"" datatype "\",\"shape\":" shape "," rest "}]}"
#define DATA "\"data\":[0,1,2,3,4,5,6,7,8,9,10,11]"

START_TEST(floats)
{
    static const char *const bodies[] = {
        INPUT("FP32", "[1,2,2,3]", DATA),
        INPUT("FP32", "[1,2,2,3]", "\"data\":[[[[0,1,2],[3,4,5]],[[6,7,8],[9,10,11.0]]]]"),
        /* any order of members, and others that are skipped */
        "{\"model_name\":\"x\",\"inputs\":[{" DATA ",\"extra\":[{}],\"shape\":[1,2,2,3],"
        "\"datatype\":\"FP32\",\"name\":\"in\"}]}",
    };

    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        struct infer_request request;

        accept(bodies[i], &request);
        ck_assert_int_eq(request.count, 1);
        for (int j = 0; j < SIZE; j++)
            ck_assert_float_eq(request.floats[j], (float)j);
        ck_assert(!request.pixels && !request.files && !request.id);
        ck_assert(request.wanted && !request.binary && request.classification == 0);
        infer_request_deinit(&request);
    }
}
END_TEST

/* [C][H][W] -> [H][W][C] */
START_TEST(pixels)
{
    struct infer_request request;

    accept(INPUT("UINT8", "[1,2,2,3]", DATA), &request);
    for (int i = 0; i < HEIGHT * WIDTH; i++) {
        ck_assert_int_eq(request.pixels[i * CHANNELS], i);
        ck_assert_int_eq(request.pixels[i * CHANNELS + 1], i + HEIGHT * WIDTH);
    }
    ck_assert_ptr_null(request.floats);
    infer_request_deinit(&request);
    refuse(INPUT("UINT8", "[1,2,2,3]", "\"data\":[0,1,2,3,4,5,6,7,8,9,10,256]"), "0 to 255");
    refuse(INPUT("UINT8", "[1,2,2,3]", "\"data\":[0,1,2,3,4,5,6,7,8,9,10,-1]"), "0 to 255");
    refuse(INPUT("UINT8", "[1,2,2,3]", "\"data\":[0,1,2,3,4,5,6,7,8,9,10,1.0]"), "integers");
}
END_TEST

START_TEST(files)
{
    struct infer_request request;

    accept(INPUT("BYTES", "[3]", "\"data\":[\"/9j/\",\"YQ==\",\"\\u0059WI=\"]"), &request);
    ck_assert_int_eq(request.count, 3);
    ck_assert(request.files[0].size == 3 && memcmp(request.files[0].bytes, "\xff\xd8\xff", 3) == 0);
    ck_assert(request.files[1].size == 1 && memcmp(request.files[1].bytes, "a", 1) == 0);
    ck_assert(request.files[2].size == 2 && memcmp(request.files[2].bytes, "ab", 2) == 0);
    infer_request_deinit(&request);
    accept(INPUT("BYTES", "[1,1]", "\"data\":[\"\\/9j\\/\"]"), &request);
    ck_assert_uint_eq(request.files[0].size, 3);
    infer_request_deinit(&request);
    refuse(INPUT("BYTES", "[2]", "\"data\":[\"YQ==\"]"), "expected 2 strings, got 1");
    refuse(INPUT("BYTES", "[1]", "\"data\":[\"YQ=\"]"), "data[0] is no base64");
    refuse(INPUT("BYTES", "[1]", "\"data\":[\"Y*==\"]"), "data[0] is no base64");
    refuse(INPUT("BYTES", "[1]", "\"data\":[[\"YQ==\"]]"), "a string");
    refuse(INPUT("BYTES", "[1]", DATA), "strings");
    refuse(INPUT("BYTES", "[1,2]", "\"data\":[\"YQ==\"]"), "shape[1] is 2, expected 1");
    refuse(INPUT("BYTES", "[5]", "\"data\":[\"YQ==\"]"), "shape[0] is 5, expected 1..4");
    refuse(INPUT("FP32", "[1,2,2,3]", "\"data\":[\"YQ==\"]"), "expected 12 finite numbers");
}
END_TEST

START_TEST(base64)
{
    static const char *const bad[] = {"a",    "aa",   "aaa",      "a===", "====", "aa=a",
                                      "YR==", "YWJ=", "YQ==YQ==", "Y Q=", "YQ-_", "YQ\n="};
    char bytes[16];
    size_t size;

    ck_assert(base64_decode("", 0, bytes, &size) && size == 0);
    ck_assert(base64_decode("AP+/", 4, bytes, &size) && size == 3);
    ck_assert_int_eq(memcmp(bytes, "\x00\xff\xbf", 3), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_msg(!base64_decode(bad[i], strlen(bad[i]), bytes, &size), "%s", bad[i]);
}
END_TEST

START_TEST(parameters)
{
    struct infer_request request;

    accept("{\"id\":\"\\u00e9\",\"parameters\":{\"priority\":3,\"timeout\":5000,\"x\":null,"
           "\"binary_data_output\":true},\"inputs\":[{\"name\":\"in\",\"datatype\":\"FP32\","
           "\"shape\":[1,2,2,3]," DATA "}],\"outputs\":[{\"parameters\":{\"classification\":9},"
           "\"name\":\"out\"}]}",
           &request);
    ck_assert_str_eq(request.id, "\xc3\xa9");
    ck_assert(request.priority == 3 && request.timeout_us == 5000);
    ck_assert(request.binary && request.wanted && request.classification == 5); /* all there are */
    infer_request_deinit(&request);
    accept(
        "{\"parameters\":{\"binary_data_output\":true},\"inputs\":[{\"name\":\"in\",\"datatype\":"
        "\"FP32\",\"shape\":[1,2,2,3]," DATA "}],\"outputs\":[{\"name\":\"out\",\"parameters\":{"
        "\"binary_data\":false}}]}",
        &request);
    ck_assert(!request.binary);
    infer_request_deinit(&request);
}
END_TEST

START_TEST(refused)
{
    static const struct {
        const char *body, *why;
    } cases[] = {
        {"", "no JSON"},
        {" \n", "no JSON"},
        {"3", "no JSON object"},
        {"{\"id\":7}", "id: expected a string"},
        {"{\"parameters\":[]}", "parameters: expected an object"},
        {"{\"parameters\":{\"priority\":-1}}", "parameters.priority is -1"},
        {"{\"parameters\":{\"priority\":\"1\"}}", "parameters.priority: expected a whole number"},
        {"{\"parameters\":{\"timeout\":1.5}}", "expected an integer"},
        {"{\"parameters\":{\"timeout\":9223372036854775808}}", "beyond 64 bits"},
        {"{\"parameters\":{\"binary_data_output\":1}}", "true or false"},
        {"{\"outputs\":{}}", "outputs: expected a list"},
        {"{\"outputs\":[{}]}", "outputs[0].name is missing"},
        {"{\"outputs\":[{\"name\":\"x\"}]}", "outputs[0].name is 'x', expected 'out'"},
        {"{\"outputs\":[{\"name\":\"out\"},{\"name\":\"out\"}]}", "the network has one"},
        {"{\"outputs\":[{\"name\":\"out\",\"parameters\":{\"classification\":0}}]}", "at least 1"},
        {"{\"outputs\":[{\"name\":\"out\",\"parameters\":{\"shared_memory_region\":\"r\"}}]}",
         "no shared memory"},
        {"{\"inputs\":[3]}", "inputs[0]: expected an object"},
        {"{\"inputs\":[{\"shape\":3}]}", "inputs[0].shape: expected a list"},
        {"{\"inputs\":[{\"shape\":[\"1\"]}]}", "inputs[0].shape[0]: expected an integer"},
        {"{\"inputs\":[{\"shape\":[1.0]}]}", "expected an integer"},
        {"{\"inputs\":[{\"shape\":[1,1,1,1,1,1,1,1,1]}]}", "more than 8 numbers"},
        {"{\"inputs\":[{\"parameters\":{\"shared_memory_region\":\"r\"}}]}", "no shared memory"},
        {"{\"inputs\":[{\"parameters\":{\"binary_data_size\":-1}}]}", "at least 0"},
        {"{\"inputs\":[{\"name\":\"in\",\"name\":\"in\"}]}", "duplicate"},
        {INPUT("FP16", "[1,2,2,3]", DATA), "datatype is 'FP16'"},
        {INPUT("FP32", "[]", DATA), "expected [N,2,2,3]"},
        {INPUT("FP32", "[1,2,3,2]", DATA), "shape[2] is 3, expected 2"},
        {INPUT("FP32", "[0,2,2,3]", "\"data\":[]"), "shape[0] is 0, expected 1..4"},
        {INPUT("FP32", "[-1,2,2,3]", DATA), "shape[0] is -1"},
        {INPUT("FP32", "[9223372036854775807,2,2,3]", DATA), "expected 1..4"},
        {INPUT("FP32", "[4294967297,2,2,3]", DATA), "expected 1..4"},
        {INPUT("FP32", "[1,2,2,3]", "\"data\":[1]"), "expected 12 finite numbers, flat or nested"},
        {INPUT("FP32", "[1,2,2,3]", "\"data\":[0,1,2,3,4,5,6,7,8,9,10,11,12]"), "more than 12"},
        {INPUT("FP32", "[1,2,2,3]", "\"data\":[[0,1,2,3,4,5],[6,7,8,9,10,11]]"), "nested 2 deep"},
        {INPUT("FP32", "[1,2,2,3]", "\"data\":[[[[0,1],[2,3],[4,5]],[[6,7],[8,9],[10,11]]]]"),
         "3 in a list of level 2, the shape says 2"},
        {INPUT("FP32", "[1,2,2,3]", "\"data\":[0,1,2,3,4,5,6,7,8,9,10,1e39]"), "no finite number"},
        {INPUT("FP32", "[1,2,2,3]", "\"x\":0"), "got 0"},
        {INPUT("FP32", "[1,2,2,3]", DATA) "x", "the end"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        refuse(cases[i].body, cases[i].why);
}
END_TEST

/* JSON and a tensor's bytes behind it. */
static size_t join(char *to, const char *json, const void *bytes, size_t size)
{
    memcpy(to, json, strlen(json));
    memcpy(to + strlen(json), bytes, size);
    return strlen(json) + size;
}

START_TEST(binary_tensors)
{
    static const char json[] =
        INPUT("FP32", "[1,2,2,3]", "\"parameters\":{\"binary_data_size\":48}");
    static const char planes[] =
        INPUT("UINT8", "[1,2,2,3]", "\"parameters\":{\"binary_data_size\":12}");
    static const char texts[] = INPUT("BYTES", "[2]", "\"parameters\":{\"binary_data_size\":11}");
    static const char elements[] = "\1\0\0\0a\2\0\0\0bc";
    float values[SIZE];
    char body[512], bytes[SIZE];
    size_t size;
    struct guarded page;
    struct infer_request request;

    for (int i = 0; i < SIZE; i++) {
        values[i] = (float)i - 3.25f;
        bytes[i] = (char)i;
    }
    size = join(body, json, values, sizeof(values));
    ck_assert_int_eq(read_bytes(body, size, (int64_t)strlen(json), false, &page, &request, NULL),
                     LQ_OK);
    ck_assert_int_eq(memcmp(request.floats, values, sizeof(values)), 0);
    infer_request_deinit(&request);
    unguard(&page);
    for (size_t cut = 0; cut < size; cut++)
        refuse_bytes(body, cut, (int64_t)strlen(json), "");
    refuse_bytes(body, size, INFER_NO_HEADER_LENGTH, "the end");
    refuse_bytes(body, size, (int64_t)size + 1, "Inference-Header-Content-Length is");
    refuse_bytes(body, size, (int64_t)strlen(json) + 4, "the end");
    size = join(body, planes, bytes, sizeof(bytes));
    ck_assert_int_eq(read_bytes(body, size, (int64_t)strlen(planes), false, &page, &request, NULL),
                     LQ_OK);
    ck_assert(request.pixels[1] == HEIGHT * WIDTH && request.pixels[2] == 1);
    infer_request_deinit(&request);
    unguard(&page);
    size = join(body, texts, elements, 11);
    ck_assert_int_eq(read_bytes(body, size, (int64_t)strlen(texts), false, &page, &request, NULL),
                     LQ_OK);
    ck_assert(request.files[0].size == 1 && request.files[1].size == 2);
    ck_assert_int_eq(memcmp(request.files[1].bytes, "bc", 2), 0);
    infer_request_deinit(&request);
    unguard(&page);
    body[strlen(texts) + 5] = 3; /* the second element's length */
    refuse_bytes(body, size, (int64_t)strlen(texts), "element 1 goes beyond");
    body[strlen(texts) + 5] = 1;
    refuse_bytes(body, size, (int64_t)strlen(texts), "1 bytes of binary data are left over");
    memset(body + strlen(texts), 0xff, 4);
    refuse_bytes(body, size, (int64_t)strlen(texts), "element 0 goes beyond");
    size = join(body, INPUT("FP32", "[1,2,2,3]", DATA), "x", 1);
    refuse_bytes(body, size, (int64_t)size - 1, "1 bytes follow the JSON");
    size = join(body, INPUT("FP32", "[1,2,2,3]", DATA ",\"parameters\":{\"binary_data_size\":1}"),
                "x", 1);
    refuse_bytes(body, size, (int64_t)size - 1, "both data and binary_data_size");
}
END_TEST

START_TEST(raw_bodies)
{
    float values[2 * SIZE] = {1.5f};
    struct guarded page;
    struct infer_request request;

    values[SIZE] = 2;
    ck_assert_int_eq(read_bytes(values, sizeof(values), 0, false, &page, &request, NULL), LQ_OK);
    ck_assert(request.count == 2 && request.binary && request.wanted);
    ck_assert_float_eq(request.floats[SIZE], 2);
    infer_request_deinit(&request);
    unguard(&page);
    ck_assert_int_eq(read_bytes(values, 7, 0, true, &page, &request, NULL), LQ_OK);
    ck_assert(request.count == 1 && request.files[0].size == 7);
    infer_request_deinit(&request);
    unguard(&page);
    refuse_bytes(values, sizeof(values) - 1, 0, "expected 48 for each of 1..4 images");
    refuse_bytes(values, 0, 0, "the body has 0 bytes");
    char *many = calloc(5, SIZE * sizeof(float));
    refuse_bytes(many, 5 * SIZE * sizeof(float), 0, "1..4 images");
    memset(many, 0xff, sizeof(float));
    refuse_bytes(many, SIZE * sizeof(float), 0, "data[0] is no finite number");
    free(many);
}
END_TEST

START_TEST(peek)
{
    static const char json[] = "{\"parameters\":{\"timeout\":7,\"priority\":2}}";
    struct infer_body body = {json, strlen(json), (int64_t)strlen(json), false};
    int64_t priority, timeout;

    infer_request_peek(&info, &body, &priority, &timeout);
    ck_assert(priority == 2 && timeout == 7);
    body.header_length--;
    infer_request_peek(&info, &body, &priority, &timeout);
    ck_assert(priority == 0 && timeout == 0);
}
END_TEST

/* A body that is cut or changed anywhere is refused or read, and never read beyond its end. */
START_TEST(changed_bodies)
{
    static const char json[] =
        "{\"id\":\"a\\u00e9\",\"parameters\":{\"priority\":1,\"timeout\":20},\"inputs\":[{\"name\":"
        "\"in\","
        "\"datatype\":\"FP32\",\"shape\":[1,2,2,3],\"data\":[[[[0,1.5,2e0],[3,4,5]],[[6,7,8],[9,10,"
        "11]]]]}],\"outputs\":[{\"name\":\"out\",\"parameters\":{\"classification\":2}}]}";
    static const char alphabet[] = "{}[]:,\"\\0919e-. tfn\xc3\x80\n";
    size_t size = strlen(json);
    char body[sizeof(json)];

    for (size_t cut = 0; cut < size; cut++)
        refuse_bytes(json, cut, INFER_NO_HEADER_LENGTH, "");
    for (int i = 0; i < 20000; i++) {
        struct guarded page;
        struct infer_request request;
        struct lq_error error = {0};

        memcpy(body, json, size);
        for (int j = rand() % 3; j >= 0; j--)
            body[(size_t)rand() % size] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
        int status = read_bytes(body, size, INFER_NO_HEADER_LENGTH, false, &page, &request, &error);
        ck_assert_msg(status == LQ_OK || (status == LQ_ERR_INVALID && error.text[0]), "%s", body);
        infer_request_deinit(&request);
        unguard(&page);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("infer_request");

    tcase_add_test(tests, floats);
    tcase_add_test(tests, pixels);
    tcase_add_test(tests, files);
    tcase_add_test(tests, base64);
    tcase_add_test(tests, parameters);
    tcase_add_test(tests, refused);
    tcase_add_test(tests, binary_tensors);
    tcase_add_test(tests, raw_bodies);
    tcase_add_test(tests, peek);
    tcase_add_test(tests, changed_bodies);
    return suite_main("infer_request", tests);
}
