/* test_inference.c - inference over HTTP in the forms that clients of this protocol send.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The requests have the shape that Triton's Python client gives them: header names as they come,
 * no Content-Type, the JSON's length in a header (of the body before it is compressed), binary
 * outputs where none are named, a query string, a POST without a length.
 */
#include "support/suite.h"
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>
#include <zlib.h>

#include "lq.h"
#include "support/daemon.h"

enum { SIDE = 8, IMAGE = 3 * SIDE * SIDE, CLASSES = 4 };

/* JSON and the bytes behind it. */
struct body {
    char *bytes;
    size_t size, json;
};

static struct body body_of(const char *json, const void *bytes, size_t size)
{
    struct body body = {malloc(strlen(json) + size + 1), strlen(json) + size, strlen(json)};

    memcpy(body.bytes, json, body.json);
    if (size)
        memcpy(body.bytes + body.json, bytes, size);
    return body;
}

static struct answer post(const struct daemon *daemon, const char *path, const char *headers,
                          const struct body *body)
{
    size_t room = strlen(headers) + strlen(path) + 256 + body->size;
    char *bytes = malloc(room);
    int head = snprintf(bytes, room,
                        "POST %s HTTP/1.1\r\nhost: test\r\nconnection: close\r\n%s"
                        "content-length: %zu\r\n\r\n",
                        path, headers, body->size);

    memcpy(bytes + head, body->bytes, body->size);
    struct answer answer = daemon_raw(daemon, bytes, (size_t)head + body->size);
    free(bytes);
    return answer;
}

/* The body with the header that tells the JSON's length, and more headers. */
static struct answer infer(const struct daemon *daemon, const char *headers,
                           const struct body *body)
{
    char all[512];

    snprintf(all, sizeof(all), "inference-header-content-length: %zu\r\n%s", body->json, headers);
    return post(daemon, "/v2/models/tiny/infer", all, body);
}

static struct answer infer_json(const struct daemon *daemon, const char *json)
{
    struct body body = body_of(json, NULL, 0);
    struct answer answer = post(daemon, "/v2/models/tiny/infer", "", &body);

    free(body.bytes);
    return answer;
}

static void expect(struct answer answer, int status, const char *text)
{
    ck_assert_msg(answer.status == status && strstr(answer.body, text), "%d %s, not %d %s",
                  answer.status, answer.body, status, text);
    answer_free(&answer);
}

/* The length of the JSON in front of a reply's tensors; 0: there are none. */
static size_t header_length(const struct answer *answer)
{
    const char *line = strcasestr(answer->head, "\r\nInference-Header-Content-Length:");

    return line ? strtoul(strchr(line + 2, ':') + 1, NULL, 10) : 0;
}

/* A reply's JSON, to be checked and let go. */
static json_t *json_of(const struct answer *answer)
{
    size_t length = header_length(answer);
    json_error_t error;
    json_t *root = json_loadb(answer->body, length ? length : answer->body_size, 0, &error);

    ck_assert_msg(answer->status == 200 && root, "%d %s: %s", answer->status, answer->body,
                  error.text);
    return root;
}

/* The floats of a reply's output, from JSON or from bytes. */
static void take_logits(struct answer answer, int count, float *ret_logits)
{
    size_t length = header_length(&answer), size = (size_t)(count * CLASSES) * sizeof(float);
    json_t *root = json_of(&answer), *output = json_array_get(json_object_get(root, "outputs"), 0);
    json_t *data = json_object_get(output, "data"), *shape = json_object_get(output, "shape");
    json_t *bytes = json_object_get(json_object_get(output, "parameters"), "binary_data_size");

    ck_assert_str_eq(json_string_value(json_object_get(output, "datatype")), "FP32");
    ck_assert_int_eq(json_integer_value(json_array_get(shape, 0)), count);
    ck_assert_int_eq(json_integer_value(json_array_get(shape, 1)), CLASSES);
    if (length) {
        ck_assert(!data && json_integer_value(bytes) == (json_int_t)size);
        ck_assert_uint_eq(answer.body_size, length + size);
        ck_assert_ptr_nonnull(strstr(answer.head, "Content-Type: application/octet-stream"));
        memcpy(ret_logits, answer.body + length, size);
    } else {
        ck_assert(!bytes && json_array_size(data) == (size_t)(count * CLASSES));
        for (int i = 0; i < count * CLASSES; i++)
            ret_logits[i] = (float)json_real_value(json_array_get(data, (size_t)i));
    }
    json_decref(root);
    answer_free(&answer);
}

static unsigned char *make_jpeg(unsigned long *ret_size)
{
    unsigned char pixels[IMAGE], *jpeg = NULL;
    tjhandle handle = tjInitCompress();

    for (int i = 0; i < IMAGE; i++)
        pixels[i] = (unsigned char)rand();
    *ret_size = 0;
    ck_assert_int_eq(
        tjCompress2(handle, pixels, SIDE, 0, SIDE, TJPF_RGB, &jpeg, ret_size, TJSAMP_444, 90, 0),
        0);
    tjDestroy(handle);
    return jpeg;
}

/* What the network is to see of a file, [3][8][8]. */
static void decode(const struct daemon *daemon, const void *jpeg, size_t size, uint8_t *ret_planes)
{
    const struct lq_image_limits limits = LQ_IMAGE_LIMITS_DEFAULT;
    struct lq_engine *engine;
    struct lq_model *model;
    uint8_t pixels[IMAGE];
    char path[128];

    snprintf(path, sizeof(path), "%s/tiny.lq", daemon->folder);
    ck_assert_int_eq(lq_engine_create(LQ_CPU_ALL, &engine, NULL), LQ_OK);
    ck_assert_int_eq(lq_model_open(engine, path, &model, NULL), LQ_OK);
    ck_assert_int_eq(lq_model_decode(model, jpeg, size, &limits, pixels, NULL), LQ_OK);
    for (int i = 0; i < SIDE * SIDE; i++)
        for (int c = 0; c < 3; c++)
            ret_planes[c * SIDE * SIDE + i] = pixels[i * 3 + c];
    lq_model_unref(model);
    lq_engine_destroy(engine);
}

#define INPUT(datatype, shape, rest)                                                               \
    "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"" datatype "\",\"shape\":" shape "," rest "}" \
    "]"

/* A file as BYTES, its pixels as UINT8, in JSON and as bytes: one answer, to the bit. */
START_TEST(images)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct daemon d;
    unsigned long size;
    unsigned char *jpeg = make_jpeg(&size);
    uint8_t planes[IMAGE], *element = malloc(size + 4);
    uint32_t length = (uint32_t)size;
    float one[CLASSES], other[CLASSES];
    char *json = malloc(2 * size + 4096);
    struct body body;
    int at;

    daemon_start(&d, NULL);
    memcpy(element, &length, 4);
    memcpy(element + 4, jpeg, size);
    at = snprintf(json, 4096,
                  INPUT("BYTES", "[1]", "\"parameters\":{\"binary_data_size\":%lu}") "}", size + 4);
    ck_assert_int_gt(at, 0);
    body = body_of(json, element, size + 4);
    take_logits(infer(&d, "", &body), 1, one);
    free(body.bytes);

    decode(&d, jpeg, size, planes);
    body = body_of(INPUT("UINT8", "[1,3,8,8]", "\"parameters\":{\"binary_data_size\":192}") "}",
                   planes, IMAGE);
    take_logits(infer(&d, "", &body), 1, other);
    ck_assert_int_eq(memcmp(one, other, sizeof(one)), 0);
    free(body.bytes);

    at = snprintf(json, 4096, INPUT("UINT8", "[1,3,8,8]", "\"data\":["));
    at -= 2; /* the macro's end */
    for (int i = 0; i < IMAGE; i++)
        at += snprintf(json + at, 8, i ? ",%d" : "%d", planes[i]);
    snprintf(json + at, 16, "]}]}");
    take_logits(infer_json(&d, json), 1, other);
    ck_assert_int_eq(memcmp(one, other, sizeof(one)), 0);

    at = snprintf(json, 4096, INPUT("BYTES", "[1]", "\"data\":[\"")) - 2;
    for (size_t i = 0; i < size; i += 3) {
        unsigned bits = (unsigned)jpeg[i] << 16 | (i + 1 < size ? (unsigned)jpeg[i + 1] << 8 : 0) |
                        (i + 2 < size ? jpeg[i + 2] : 0);

        json[at++] = alphabet[bits >> 18];
        json[at++] = alphabet[bits >> 12 & 63];
        json[at++] = i + 1 < size ? alphabet[bits >> 6 & 63] : '=';
        json[at++] = i + 2 < size ? alphabet[bits & 63] : '=';
    }
    snprintf(json + at, 16, "\"]}]}");
    take_logits(infer_json(&d, json), 1, other);
    ck_assert_int_eq(memcmp(one, other, sizeof(one)), 0);

    body = (struct body){(char *)jpeg, size, 0}; /* the file alone */
    take_logits(infer(&d, "content-type: image/jpeg\r\n", &body), 1, other);
    ck_assert_int_eq(memcmp(one, other, sizeof(one)), 0);
    ck_assert_int_eq(daemon_stop(&d), 0);
    tjFree(jpeg);
    free(element);
    free(json);
}
END_TEST

static void *deflated(const void *bytes, size_t size, int window_bits, size_t *ret_size)
{
    z_stream stream = {.next_in = (Bytef *)bytes, .avail_in = (uInt)size};
    void *out = malloc(size + 1000);

    ck_assert_int_eq(deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 9, 0), Z_OK);
    stream.next_out = out;
    stream.avail_out = (uInt)size + 1000;
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    *ret_size = stream.total_out;
    deflateEnd(&stream);
    return out;
}

/* Floats: in JSON and as bytes, plain and compressed, outputs in JSON and as bytes. */
START_TEST(floats)
{
    static const char json[] =
        INPUT("FP32", "[3,3,8,8]",
              "\"parameters\":{\"binary_data_size\":2304}") ",\"id\":\"r-1\",\"parameters\":{"
                                                            "\"binary_data_output\":true}}";
    struct daemon d;
    float values[3 * IMAGE], expected[3 * CLASSES], got[3 * CLASSES];
    char *text = malloc(3 * IMAGE * 20 + 1000);
    struct body body, packed;
    struct answer answer;
    int at = snprintf(text, 1000, INPUT("FP32", "[3,3,8,8]", "\"data\":[")) - 2;

    daemon_start(&d, NULL);
    for (int i = 0; i < 3 * IMAGE; i++) {
        values[i] = (float)rand() / (float)RAND_MAX - 0.5f;
        at += snprintf(text + at, 20, i ? ", %.9g" : "%.9g", (double)values[i]);
    }
    snprintf(text + at, 16, "]}]}");
    take_logits(infer_json(&d, text), 3, expected);

    body = body_of(json, values, sizeof(values));
    answer = infer(&d, "", &body);
    ck_assert_ptr_nonnull(strstr(answer.body, "\"id\":\"r-1\""));
    take_logits(answer, 3, got);
    ck_assert_int_eq(memcmp(got, expected, sizeof(got)), 0);
    for (int bits = 15; bits <= 31; bits += 16) { /* the header's length is of the body before */
        packed = body;
        packed.bytes = deflated(body.bytes, body.size, bits, &packed.size);
        take_logits(
            infer(&d, bits == 31 ? "content-encoding: gzip\r\n" : "content-encoding: deflate\r\n",
                  &packed),
            3, got);
        ck_assert_int_eq(memcmp(got, expected, sizeof(got)), 0);
        free(packed.bytes);
    }
    free(body.bytes);
    body = (struct body){(char *)values, sizeof(values), 0}; /* no JSON at all */
    take_logits(infer(&d, "", &body), 3, got);
    ck_assert_int_eq(memcmp(got, expected, sizeof(got)), 0);
    ck_assert_int_eq(daemon_stop(&d), 0);
    free(text);
}
END_TEST

#define OUTPUT(parameters)                                                                         \
    INPUT("UINT8", "[2,3,8,8]", "\"parameters\":{\"binary_data_size\":384}")                       \
    ",\"outputs\":[{\"name\":\"linear\",\"parameters\":{" parameters "}}]}"

START_TEST(classifications)
{
    struct daemon d;
    uint8_t pixels[2 * IMAGE];
    float logits[2 * CLASSES];
    struct body body;
    struct answer answer;
    json_t *root, *data;
    const char *at, *end;

    daemon_start(&d, NULL);
    for (int i = 0; i < 2 * IMAGE; i++)
        pixels[i] = (uint8_t)rand();
    body = body_of(OUTPUT("\"binary_data\":true"), pixels, sizeof(pixels));
    take_logits(infer(&d, "", &body), 2, logits);
    free(body.bytes);

    body = body_of(OUTPUT("\"classification\":3"), pixels, sizeof(pixels));
    answer = infer(&d, "", &body);
    root = json_of(&answer);
    data = json_object_get(json_array_get(json_object_get(root, "outputs"), 0), "data");
    ck_assert_uint_eq(json_array_size(data), 6);
    for (size_t i = 0; i < 6; i++) {
        float value;
        int index;
        char label[8];

        ck_assert_int_eq(
            sscanf(json_string_value(json_array_get(data, i)), "%f:%d:%7s", &value, &index, label),
            3);
        ck_assert_float_eq(value, logits[i / 3 * CLASSES + (size_t)index]);
        ck_assert(i % 3 == 0 ||
                  value <= (float)atof(json_string_value(json_array_get(data, i - 1))));
        ck_assert_ptr_nonnull(strstr("cat dog frog ship", label));
    }
    free(body.bytes);
    struct answer binary;
    body = body_of(OUTPUT("\"classification\":3,\"binary_data\":true"), pixels, sizeof(pixels));
    binary = infer(&d, "", &body);
    at = binary.body + header_length(&binary);
    end = binary.body + binary.body_size;
    for (size_t i = 0; i < 6; i++) { /* the same texts, each behind its length */
        const char *text = json_string_value(json_array_get(data, i));
        uint32_t length;

        ck_assert_int_ge(end - at, 4);
        memcpy(&length, at, 4);
        ck_assert_uint_eq(length, strlen(text));
        ck_assert_int_eq(memcmp(at + 4, text, length), 0);
        at += 4 + length;
    }
    ck_assert_ptr_eq(at, end);
    answer_free(&binary);
    free(body.bytes);
    json_decref(root);
    answer_free(&answer);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(refused)
{
    static const char json[] = OUTPUT("\"binary_data\":true");
    uint8_t pixels[2 * IMAGE] = {0};
    struct body body = body_of(json, pixels, sizeof(pixels)), wrong;
    struct daemon d;
    char *late;

    daemon_start(&d, NULL);
    expect(post(&d, "/v2/models/tiny/infer", "inference-header-content-length: -1\r\n", &body), 400,
           "expected a number");
    expect(post(&d, "/v2/models/tiny/infer", "inference-header-content-length: 9999999\r\n", &body),
           400, "the body has");
    expect(post(&d, "/v2/models/tiny/infer",
                "inference-header-content-length: 99999999999999999999\r\n", &body),
           400, "expected a number");
    expect(post(&d, "/v2/models/tiny/infer", "", &body), 400, "JSON, line 1");
    free(body.bytes);
    wrong = body_of(INPUT("BYTES", "[2]", "\"parameters\":{\"binary_data_size\":10}") "}",
                    "\1\0\0\0x\1\0\0\0y", 10);
    expect(infer(&d, "", &wrong), 422, "inputs[0].data[0]: the file is neither");
    free(wrong.bytes);
    /* a deadline that has passed before anything was done */
    late = malloc(200000);
    memset(late, ' ', 200000);
    wrong = body_of("{\"parameters\":{\"timeout\":1}}", late, 200000);
    expect(infer(&d, "", &wrong), 504, "deadline");
    free(wrong.bytes);
    free(late);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* What the model "tiny" has counted. */
static void expect_statistics(const struct daemon *d, int computed, int successes, int failures)
{
    struct answer answer = daemon_ask(d, "GET", "/v2/models/tiny/stats", NULL, NULL, 0);
    json_t *root = json_of(&answer), *model, *stages;

    model = json_array_get(json_object_get(root, "model_stats"), 0);
    stages = json_object_get(model, "inference_stats");
    ck_assert_int_eq(json_integer_value(json_object_get(model, "inference_count")), computed);
    ck_assert_int_le(json_integer_value(json_object_get(model, "execution_count")), computed);
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(stages, "success"), "count")),
        successes);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(stages, "fail"), "count")),
                     failures);
    json_decref(root);
    answer_free(&answer);
}

/* Several files in one request; the one that is none has its own failure. */
START_TEST(forms)
{
    static const char part[] = "--b-1\r\nContent-Disposition: form-data; name=\"file\"; "
                               "filename=\"%s\"\r\nContent-Type: image/jpeg\r\n\r\n";
    static char bad[] =
        "--b\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\nno picture\r\n--b--";
    struct daemon d;
    unsigned long size;
    unsigned char *jpeg = make_jpeg(&size);
    char *form = malloc(3 * size + 2000);
    struct body body;
    struct answer answer;
    json_t *root, *list;
    int at = 0, end;

    daemon_start(&d, NULL);
    for (int i = 0; i < 3; i++) {
        at += sprintf(form + at, part, i == 1 ? "bad \\\"file\\\"" : i ? "two" : "one");
        memcpy(form + at, i == 1 ? (const void *)"nothing" : jpeg, i == 1 ? 7 : size);
        at += i == 1 ? 7 : (int)size;
        at += sprintf(form + at, "\r\n");
    }
    end = at + sprintf(form + at, "--b-1\r\nContent-Disposition: form-data; name=top_k\r\n\r\n2\r\n"
                                  "--b-1--\r\n");
    body = (struct body){form, (size_t)end, 0};
    answer = post(&d, "/v2/models/tiny/classify",
                  "Content-Type: multipart/form-data; boundary=b-1\r\n", &body);
    root = json_of(&answer);
    list = json_object_get(root, "files");
    ck_assert_str_eq(json_string_value(json_array_get(list, 0)), "one");
    ck_assert_str_eq(json_string_value(json_array_get(list, 1)), "bad \"file\"");
    list = json_object_get(root, "predictions");
    ck_assert_uint_eq(json_array_size(list), 3);
    ck_assert_uint_eq(json_array_size(json_array_get(list, 0)), 2);
    ck_assert(json_equal(json_array_get(list, 0), json_array_get(list, 2)));
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(list, 1), "status")), 422);
    ck_assert_ptr_nonnull(json_object_get(json_array_get(list, 1), "error"));
    json_decref(root);
    answer_free(&answer);
    /* two pictures were computed, in at most as many batches */
    expect_statistics(&d, 2, 1, 0);
    expect(post(&d, "/v2/models/tiny/classify", "Content-Type: multipart/form-data; boundary=b\r\n",
                &(struct body){bad, strlen(bad), 0}),
           422, "none of the files could be decoded");
    expect_statistics(&d, 2, 1, 1);
    /* cut anywhere it is refused */
    for (size_t cut = 0; cut < (size_t)end - 6; cut += 1 + (size_t)(rand() % 3)) {
        body.size = cut;
        answer = post(&d, "/v2/models/tiny/classify",
                      "Content-Type: multipart/form-data; boundary=\"b-1\"\r\n", &body);
        ck_assert_msg(answer.status == 400, "cut to %zu: %d %s", cut, answer.status, answer.body);
        answer_free(&answer);
    }
    ck_assert_int_eq(daemon_stop(&d), 0);
    tjFree(jpeg);
    free(form);
}
END_TEST

START_TEST(bad_forms)
{
    static const struct {
        const char *type, *body;
        int status;
        const char *text;
    } cases[] = {
        {"multipart/form-data", "--b\r\n", 400, "no valid boundary"},
        {"multipart/form-data; boundary=", "--\r\n", 400, "no valid boundary"},
        {"multipart/form-data; boundary=\"b", "--b\r\n", 400, "no valid boundary"},
        {"multipart/form-data; boundary=b\x01", "--b\r\n", 400, "no valid boundary"},
        {"multipart/form-data; "
         "boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaa",
         "--a", 400, "no valid boundary"},
        {"multipart/form-data; boundary=b", "", 400, "does not start with its boundary"},
        {"multipart/form-data; boundary=b", "--c\r\n", 400, "does not start with its boundary"},
        {"multipart/form-data; boundary=b", "--b--\r\n", 400, "without a file"},
        {"multipart/form-data; boundary=b", "--bx\r\n\r\n--b--", 400, "neither a part nor --"},
        {"multipart/form-data; boundary=b", "--b\r\nname: x\r\n\r\n", 400, "has no end"},
        {"multipart/form-data; boundary=b",
         "--b\r\nContent-Disposition: form-data; name=f; filename=\r\n\r\n\r\n--b--", 422,
         "{\"error\":\"none of the files"},
        {"multipart/form-data; boundary=b",
         "--b\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\nx\r\n--b\r\n"
         "Content-Disposition: form-data; name=top_k\r\n\r\n5\r\n--b--",
         400, "top_k is '5'"},
        {"multipart/mixed; boundary=b", "--b--", 415, "multipart/mixed"},
    };
    struct daemon d;

    daemon_start(&d, (const char *const[]){"--max-batch-request", "2", NULL});
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char header[256];
        struct body body = body_of(cases[i].body, NULL, 0);

        snprintf(header, sizeof(header), "Content-Type: %s\r\n", cases[i].type);
        expect(post(&d, "/v2/models/tiny/classify", header, &body), cases[i].status, cases[i].text);
        free(body.bytes);
    }
    char many[512] = "";
    for (int i = 0; i < 3; i++)
        strcat(many, "--b\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\nx\r\n");
    strcat(many, "--b--");
    struct body body = body_of(many, NULL, 0);
    expect(post(&d, "/v2/models/tiny/classify", "Content-Type: multipart/form-data; boundary=b\r\n",
                &body),
           400, "more than 2 files");
    free(body.bytes);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("inference");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_test(tests, images);
    tcase_add_test(tests, floats);
    tcase_add_test(tests, classifications);
    tcase_add_test(tests, refused);
    tcase_add_test(tests, forms);
    tcase_add_test(tests, bad_forms);
    return suite_main("inference", tests);
}
