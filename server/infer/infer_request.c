/* infer_request.c - the body of an inference request, read.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The JSON is read once, from front to back. A tensor's members come in any order, so its data are
 * taken by what they are (numbers, strings) and compared with datatype and shape when all is known.
 */
#include "infer/infer_request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base64.h"
#include "codec/json.h"
#include "codec/text.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are copied as they are");

/* The longest shape that is looked at; any other than 1, 2 or 4 is refused. */
enum { MAX_RANK = 8 };

struct strings {
    struct infer_file *raw; /* as they stand in the JSON */
    size_t count, room;
};

/* One input, as far as it is known. */
struct tensor {
    bool present;
    char name[JSON_MAX_KEY], datatype[16];
    int64_t shape[MAX_RANK];
    int rank;            /* -1: not given */
    int64_t binary_size; /* -1: not given */
    bool has_data;
    struct json_numbers numbers;
    struct strings strings;
};

struct reading {
    struct json_reader json;
    const struct lq_model_info *info;
    size_t max_count, image_size; /* numbers in an image */
    struct infer_request *request;
    struct tensor input;
    bool outputs_given, binary_output;
    int binary; /* of the output itself: -1: not given */
    struct lq_error *error;
};

#define invalid(reading, ...) error_set((reading)->error, LQ_ERR_INVALID, __VA_ARGS__)

static int out_of_memory(struct reading *reading)
{
    return error_set(reading->error, LQ_ERR_MEMORY, "out of memory");
}

/* ------------------------------------------------------------------------------------------------
 * The JSON
 */

static int read_id(struct reading *reading)
{
    const char *raw = NULL;
    size_t length = 0;
    int status;

    if (json_peek(&reading->json) != JSON_IS_STRING)
        return invalid(reading, "id: expected a string");
    status = json_scan_string(&reading->json, &raw, &length);
    if (status != LQ_OK)
        return status;
    if (length > INFER_MAX_ID)
        return invalid(reading, "id: longer than %d bytes", INFER_MAX_ID);
    reading->request->id = malloc(length + 1);
    if (!reading->request->id)
        return out_of_memory(reading);
    reading->request->id[json_decode(raw, length, reading->request->id)] = '\0';
    return LQ_OK;
}

/* A whole number from min on. */
static int read_count(struct reading *reading, const char *where, int64_t min, int64_t *ret_count)
{
    int64_t count;
    int status;

    if (json_peek(&reading->json) != JSON_IS_NUMBER)
        return invalid(reading, "%s: expected a whole number", where);
    status = json_read_integer(&reading->json, &count);
    if (status == LQ_OK && count < min)
        return invalid(reading, "%s is %lld, expected at least %lld", where, (long long)count,
                       (long long)min);
    if (status == LQ_OK)
        *ret_count = count;
    return status;
}

static int read_flag(struct reading *reading, const char *where, bool *ret_flag)
{
    if (json_peek(&reading->json) != JSON_IS_BOOL)
        return invalid(reading, "%s: expected true or false", where);
    return json_read_bool(&reading->json, ret_flag);
}

static int read_request_parameter(struct reading *reading)
{
    struct infer_request *request = reading->request;
    const char *key = reading->json.key;

    if (strcmp(key, "priority") == 0)
        return read_count(reading, "parameters.priority", 0, &request->priority);
    if (strcmp(key, "timeout") == 0)
        return read_count(reading, "parameters.timeout", 0, &request->timeout_us);
    if (strcmp(key, "binary_data_output") == 0)
        return read_flag(reading, "parameters.binary_data_output", &reading->binary_output);
    return json_skip(&reading->json);
}

static int refuse_shared_memory(struct reading *reading, const char *where)
{
    return strncmp(reading->json.key, "shared_memory_", 14) == 0
               ? invalid(reading, "%s.parameters.%s: there is no shared memory here", where,
                         reading->json.key)
               : json_skip(&reading->json);
}

static int read_input_parameter(struct reading *reading)
{
    if (strcmp(reading->json.key, "binary_data_size") == 0)
        return read_count(reading, "inputs[0].parameters.binary_data_size", 0,
                          &reading->input.binary_size);
    return refuse_shared_memory(reading, "inputs[0]");
}

static int read_output_parameter(struct reading *reading)
{
    bool flag = false;
    int64_t count = 0;
    int status;

    if (strcmp(reading->json.key, "binary_data") == 0) {
        status = read_flag(reading, "outputs[0].parameters.binary_data", &flag);
        reading->binary = flag;
        return status;
    }
    if (strcmp(reading->json.key, "classification") != 0)
        return refuse_shared_memory(reading, "outputs[0]");
    status = read_count(reading, "outputs[0].parameters.classification", 1, &count);
    if (status == LQ_OK)
        reading->request->classification =
            count < reading->info->classes ? (int)count : reading->info->classes;
    return status;
}

typedef int member_reader(struct reading *reading);

/* An object, each of whose members goes to `read`. */
static int read_object(struct reading *reading, const char *where, member_reader *read)
{
    struct json_object object;
    int status;

    if (json_peek(&reading->json) != JSON_IS_OBJECT)
        return invalid(reading, "%s: expected an object", where);
    status = json_enter_object(&reading->json, &object);
    while (status == LQ_OK && (status = json_next_member(&reading->json, &object)) == LQ_OK &&
           object.more)
        status = read(reading);
    return status;
}

static int read_name(struct reading *reading, const char *where, char *ret_name, size_t size)
{
    if (json_peek(&reading->json) != JSON_IS_STRING)
        return invalid(reading, "%s: expected a string", where);
    return json_read_string(&reading->json, ret_name, size);
}

static int read_shape(struct reading *reading)
{
    struct tensor *input = &reading->input;
    struct json_array array;
    int status;

    if (json_peek(&reading->json) != JSON_IS_ARRAY)
        return invalid(reading, "inputs[0].shape: expected a list of integers");
    status = json_enter_array(&reading->json, &array);
    input->rank = 0;
    while (status == LQ_OK && (status = json_next_element(&reading->json, &array)) == LQ_OK &&
           array.more) {
        if (input->rank == MAX_RANK)
            return invalid(reading, "inputs[0].shape: more than %d numbers", MAX_RANK);
        if (json_peek(&reading->json) != JSON_IS_NUMBER)
            return invalid(reading, "inputs[0].shape[%d]: expected an integer", input->rank);
        status = json_read_integer(&reading->json, &input->shape[input->rank++]);
    }
    return status;
}

/* [N,C,H,W], or [N] and [N,1] for files. */
static int check_shape(struct reading *reading, bool files)
{
    const struct lq_model_info *info = reading->info;
    const struct tensor *input = &reading->input;
    const int64_t expected[4] = {0, files ? 1 : info->channels, info->height, info->width};
    bool rank_fits = files ? input->rank == 1 || input->rank == 2 : input->rank == 4;

    if (!rank_fits && files)
        return invalid(reading, "inputs[0].shape: expected [N]");
    if (!rank_fits)
        return invalid(reading, "inputs[0].shape: expected [N,%d,%d,%d]", info->channels,
                       info->height, info->width);
    for (int i = 1; i < input->rank; i++)
        if (input->shape[i] != expected[i])
            return invalid(reading, "inputs[0].shape[%d] is %lld, expected %lld", i,
                           (long long)input->shape[i], (long long)expected[i]);
    if (input->shape[0] < 1 || (uint64_t)input->shape[0] > reading->max_count)
        return invalid(reading, "inputs[0].shape[0] is %lld, expected 1..%zu",
                       (long long)input->shape[0], reading->max_count);
    reading->request->count = (int)input->shape[0];
    return LQ_OK;
}

enum datatype { FP32, UINT8, BYTES };

/* Name, datatype and shape; sets the request's count. */
static int check_tensor(struct reading *reading, enum datatype *ret_type)
{
    static const char *const names[] = {"FP32", "UINT8", "BYTES"};
    const struct tensor *input = &reading->input;
    int type = 0;

    if (strcmp(input->name, reading->info->input_name) != 0)
        return invalid(reading, "inputs[0].name is '%.64s', expected '%s'", input->name,
                       reading->info->input_name);
    while (type <= BYTES && strcmp(input->datatype, names[type]) != 0)
        type++;
    if (type > BYTES)
        return invalid(reading, "inputs[0].datatype is '%s', expected FP32, UINT8 or BYTES",
                       input->datatype);
    *ret_type = (enum datatype)type;
    return check_shape(reading, type == BYTES);
}

/* A flat list of strings, where they stand. */
static int read_strings(struct reading *reading)
{
    struct strings *strings = &reading->input.strings;
    struct json_array array;
    int status = json_enter_array(&reading->json, &array);

    while (status == LQ_OK && (status = json_next_element(&reading->json, &array)) == LQ_OK &&
           array.more) {
        const char *raw;
        size_t length;

        if (strings->count == reading->max_count)
            return invalid(reading, "inputs[0].data: more than %zu strings", reading->max_count);
        if (strings->count == strings->room) {
            size_t room = strings->room ? 2 * strings->room : 16;
            struct infer_file *larger = realloc(strings->raw, room * sizeof(*larger));

            if (!larger)
                return out_of_memory(reading);
            strings->raw = larger;
            strings->room = room;
        }
        status = json_scan_string(&reading->json, &raw, &length);
        if (status == LQ_OK)
            strings->raw[strings->count++] = (struct infer_file){raw, length};
    }
    return status;
}

/* Is the first thing in a list a string? */
static bool holds_strings(const struct json_reader *json)
{
    const char *at = json->at;

    while (at < json->end && strchr("[ \t\r\n", *at) && *at)
        at++;
    return at < json->end && *at == '"';
}

static int read_data(struct reading *reading)
{
    struct tensor *input = &reading->input;
    size_t images = reading->max_count;
    enum datatype type;

    input->has_data = true;
    if (json_peek(&reading->json) != JSON_IS_ARRAY)
        return invalid(reading, "inputs[0].data: expected a list");
    if (input->name[0] && input->datatype[0] && input->rank >= 0) { /* as most clients write it */
        int status = check_tensor(reading, &type);

        if (status != LQ_OK)
            return status;
        images = (size_t)reading->request->count;
    }
    if (holds_strings(&reading->json))
        return read_strings(reading);
    input->numbers.limit = images * reading->image_size;
    return json_read_numbers(&reading->json, &input->numbers);
}

static int read_input_parameters(struct reading *reading)
{
    return read_object(reading, "inputs[0].parameters", read_input_parameter);
}

static int read_input_member(struct reading *reading)
{
    struct tensor *input = &reading->input;
    const char *key = reading->json.key;

    if (strcmp(key, "name") == 0)
        return read_name(reading, "inputs[0].name", input->name, sizeof(input->name));
    if (strcmp(key, "datatype") == 0)
        return read_name(reading, "inputs[0].datatype", input->datatype, sizeof(input->datatype));
    if (strcmp(key, "shape") == 0)
        return read_shape(reading);
    if (strcmp(key, "parameters") == 0)
        return read_input_parameters(reading);
    if (strcmp(key, "data") == 0)
        return read_data(reading);
    return json_skip(&reading->json);
}

static int read_inputs(struct reading *reading)
{
    struct json_array array;
    int status;

    if (json_peek(&reading->json) != JSON_IS_ARRAY)
        return invalid(reading, "inputs: expected one tensor");
    status = json_enter_array(&reading->json, &array);
    while (status == LQ_OK && (status = json_next_element(&reading->json, &array)) == LQ_OK &&
           array.more) {
        if (array.count > 1)
            return invalid(reading, "inputs: expected one tensor");
        reading->input.present = true;
        status = read_object(reading, "inputs[0]", read_input_member);
    }
    return status;
}

static int read_output_member(struct reading *reading)
{
    char name[JSON_MAX_KEY];
    int status;

    if (strcmp(reading->json.key, "parameters") == 0)
        return read_object(reading, "outputs[0].parameters", read_output_parameter);
    if (strcmp(reading->json.key, "name") != 0)
        return json_skip(&reading->json);
    status = read_name(reading, "outputs[0].name", name, sizeof(name));
    if (status == LQ_OK && strcmp(name, reading->info->output_name) != 0)
        return invalid(reading, "outputs[0].name is '%.64s', expected '%s'", name,
                       reading->info->output_name);
    reading->request->wanted = true;
    return status;
}

static int read_outputs(struct reading *reading)
{
    struct json_array array;
    int status;

    if (json_peek(&reading->json) != JSON_IS_ARRAY)
        return invalid(reading, "outputs: expected a list");
    status = json_enter_array(&reading->json, &array);
    while (status == LQ_OK && (status = json_next_element(&reading->json, &array)) == LQ_OK &&
           array.more) {
        if (array.count > 1)
            return invalid(reading, "outputs: the network has one, '%s'",
                           reading->info->output_name);
        reading->outputs_given = true;
        status = read_object(reading, "outputs[0]", read_output_member);
        if (status == LQ_OK && !reading->request->wanted)
            return invalid(reading, "outputs[0].name is missing, expected '%s'",
                           reading->info->output_name);
    }
    return status;
}

static int read_member(struct reading *reading)
{
    const char *key = reading->json.key;

    if (strcmp(key, "id") == 0)
        return read_id(reading);
    if (strcmp(key, "inputs") == 0)
        return read_inputs(reading);
    if (strcmp(key, "outputs") == 0)
        return read_outputs(reading);
    if (strcmp(key, "parameters") == 0)
        return read_object(reading, "parameters", read_request_parameter);
    return json_skip(&reading->json);
}

/* ------------------------------------------------------------------------------------------------
 * The tensor
 */

/* Numbers of the JSON: as many as the shape says, flat or nested in its way. */
static int check_numbers(struct reading *reading)
{
    const struct tensor *input = &reading->input;
    const struct json_numbers *numbers = &input->numbers;
    size_t expected = (size_t)reading->request->count * reading->image_size;

    if (numbers->count != expected || input->strings.raw)
        return invalid(reading,
                       "inputs[0].data: expected %zu finite numbers, flat or nested, got "
                       "%zu",
                       expected, numbers->count);
    if (numbers->rank != 1 && numbers->rank != input->rank)
        return invalid(reading, "inputs[0].data: nested %d deep, expected 1 or %d", numbers->rank,
                       input->rank);
    for (int i = 0; numbers->rank > 1 && i < input->rank; i++)
        if (numbers->lengths[i] != (size_t)input->shape[i])
            return invalid(reading,
                           "inputs[0].data: %zu in a list of level %d, the shape says "
                           "%lld",
                           numbers->lengths[i], i, (long long)input->shape[i]);
    return LQ_OK;
}

static int take_floats(struct reading *reading, const void *bytes)
{
    struct json_numbers *numbers = &reading->input.numbers;
    size_t count = (size_t)reading->request->count * reading->image_size;

    reading->request->floats = bytes ? malloc(count * sizeof(float)) : numbers->values;
    if (!reading->request->floats)
        return out_of_memory(reading);
    if (bytes)
        memcpy(reading->request->floats, bytes, count * sizeof(float));
    else
        numbers->values = NULL;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(reading->request->floats[i]))
            return invalid(reading, "inputs[0].data[%zu] is no finite number", i);
    return LQ_OK;
}

/* [N][C][H][W] -> [N][H][W][C], from bytes or from the numbers of the JSON. */
static int take_pixels(struct reading *reading, const uint8_t *bytes)
{
    const struct json_numbers *numbers = &reading->input.numbers;
    size_t channels = (size_t)reading->info->channels, plane = reading->image_size / channels;
    size_t images = (size_t)reading->request->count, at = 0;
    uint8_t *to = malloc(images * reading->image_size);

    reading->request->pixels = to;
    if (!to)
        return out_of_memory(reading);
    for (size_t n = 0; n < images; n++, to += reading->image_size)
        for (size_t c = 0; c < channels; c++)
            for (size_t i = 0; i < plane; i++, at++) {
                float value = bytes ? bytes[at] : numbers->values[at];

                if (value < 0 || value > 255 || !(bytes || numbers->integers))
                    return invalid(reading, "inputs[0].data: UINT8 takes integers from 0 to 255");
                to[i * channels + c] = (uint8_t)value;
            }
    return LQ_OK;
}

/* Each element is its length, 4 bytes, and so many bytes. */
static int take_binary_files(struct reading *reading, const uint8_t *bytes, size_t size)
{
    struct infer_file *files = reading->request->files;

    for (int i = 0; i < reading->request->count; i++) {
        uint32_t length = 0;

        if (size >= sizeof(length))
            memcpy(&length, bytes, sizeof(length));
        if (size < sizeof(length) || length > size - sizeof(length))
            return invalid(reading, "inputs[0]: element %d goes beyond binary_data_size", i);
        files[i] = (struct infer_file){bytes + sizeof(length), length};
        bytes += sizeof(length) + length;
        size -= sizeof(length) + length;
    }
    if (size > 0)
        return invalid(reading, "inputs[0]: %zu bytes of binary data are left over", size);
    return LQ_OK;
}

static int take_text_files(struct reading *reading)
{
    const struct strings *strings = &reading->input.strings;
    size_t room = 1;
    char *to;

    if (strings->count != (size_t)reading->request->count)
        return invalid(reading, "inputs[0].data: expected %d strings, got %zu",
                       reading->request->count, strings->count);
    for (size_t i = 0; i < strings->count; i++)
        room += strings->raw[i].size;
    to = reading->request->decoded = malloc(room);
    if (!to)
        return out_of_memory(reading);
    for (size_t i = 0; i < strings->count; i++) {
        size_t length = json_decode(strings->raw[i].bytes, strings->raw[i].size, to), size;

        if (!base64_decode(to, length, to, &size))
            return invalid(reading, "inputs[0].data[%zu] is no base64", i);
        reading->request->files[i] = (struct infer_file){to, size};
        to += size;
    }
    return LQ_OK;
}

static int take_files(struct reading *reading, const void *bytes, size_t size)
{
    reading->request->files =
        calloc((size_t)reading->request->count, sizeof(*reading->request->files));
    if (!reading->request->files)
        return out_of_memory(reading);
    return bytes ? take_binary_files(reading, bytes, size) : take_text_files(reading);
}

/* The input as datatype and shape say it is; bytes NULL: the data are in the JSON. */
static int take_tensor(struct reading *reading, const void *bytes, size_t size)
{
    size_t expected;
    enum datatype type;
    int status;

    if (!reading->input.present)
        return invalid(reading, "inputs: expected one tensor");
    status = check_tensor(reading, &type);
    if (status != LQ_OK)
        return status;
    if (bytes && reading->input.has_data)
        return invalid(reading, "inputs[0] has both data and binary_data_size");
    if (type == BYTES)
        return take_files(reading, bytes, size);
    if (!bytes)
        status = check_numbers(reading);
    expected =
        (size_t)reading->request->count * reading->image_size * (type == FP32 ? sizeof(float) : 1);
    if (bytes && size != expected)
        return invalid(reading, "inputs[0].parameters.binary_data_size is %zu, the shape says %zu",
                       size, expected);
    if (status != LQ_OK)
        return status;
    return type == FP32 ? take_floats(reading, bytes) : take_pixels(reading, bytes);
}

/* ------------------------------------------------------------------------------------------------
 * The body
 */

/* Where the JSON ends, and whether the tensor's bytes are what follows. */
static int split_body(struct reading *reading, const struct infer_body *body, size_t *ret_json)
{
    *ret_json = body->size;
    if (body->header_length == INFER_NO_HEADER_LENGTH)
        return LQ_OK;
    if (body->header_length < 0 || (uint64_t)body->header_length > body->size)
        return invalid(reading, "Inference-Header-Content-Length is %lld, the body has %zu bytes",
                       (long long)body->header_length, body->size);
    *ret_json = (size_t)body->header_length;
    return LQ_OK;
}

/* The JSON, to its end. */
static int read_envelope(struct reading *reading, const void *bytes, size_t size)
{
    struct lq_error failure = {0};
    struct json_object object;
    int status;

    json_begin(&reading->json, bytes, size, &failure);
    if (json_peek(&reading->json) == JSON_IS_NONE)
        return invalid(reading, "the body is no JSON");
    if (json_peek(&reading->json) != JSON_IS_OBJECT)
        return invalid(reading, "the body is no JSON object");
    status = json_enter_object(&reading->json, &object);
    while (status == LQ_OK && (status = json_next_member(&reading->json, &object)) == LQ_OK &&
           object.more)
        status = read_member(reading);
    if (status == LQ_OK)
        status = json_finish(&reading->json);
    if (failure.status) /* the reader's, where it is not one of ours */
        return error_set(reading->error,
                         failure.status == LQ_ERR_MEMORY ? LQ_ERR_MEMORY : LQ_ERR_INVALID, "%s",
                         failure.text);
    return status;
}

static int read_json(struct reading *reading, const struct infer_body *body)
{
    int64_t binary;
    size_t json, rest;
    int status = split_body(reading, body, &json);

    if (status == LQ_OK)
        status = read_envelope(reading, body->bytes, json);
    if (status != LQ_OK)
        return status;
    rest = body->size - json;
    binary = reading->input.binary_size;
    if (binary < 0 && rest > 0)
        return invalid(reading, "%zu bytes follow the JSON, but no input has binary_data_size",
                       rest);
    if (binary >= 0 && (uint64_t)binary != rest)
        return invalid(reading,
                       "inputs[0].parameters.binary_data_size is %lld, but %zu bytes follow the "
                       "JSON",
                       (long long)binary, rest);
    return take_tensor(reading, binary >= 0 ? (const char *)body->bytes + json : NULL, rest);
}

/* No JSON: the bytes are those of the one input, as floats or as one file. */
static int read_raw(struct reading *reading, const struct infer_body *body)
{
    size_t image = reading->image_size * sizeof(float);

    reading->binary_output = true;
    if (body->is_image) {
        reading->request->files = calloc(1, sizeof(*reading->request->files));
        if (!reading->request->files)
            return out_of_memory(reading);
        reading->request->files[0] = (struct infer_file){body->bytes, body->size};
        reading->request->count = 1;
        return LQ_OK;
    }
    if (body->size == 0 || body->size % image != 0 || body->size / image > reading->max_count)
        return invalid(reading,
                       "the body has %zu bytes, expected %zu for each of 1..%zu images (FP32)",
                       body->size, image, reading->max_count);
    reading->request->count = (int)(body->size / image);
    return take_floats(reading, body->bytes);
}

static struct reading reading_of(const struct lq_model_info *info, int64_t max_count,
                                 struct infer_request *request, struct lq_error *error)
{
    return (struct reading){.info = info,
                            .max_count = (size_t)max_count,
                            .image_size =
                                (size_t)info->channels * (size_t)info->height * (size_t)info->width,
                            .request = request,
                            .input = {.rank = -1, .binary_size = -1},
                            .binary = -1,
                            .error = error};
}

int infer_request_read(const struct lq_model_info *info, int64_t max_count,
                       const struct infer_body *body, struct infer_request *ret_request,
                       struct lq_error *error)
{
    struct lq_error failure = {0};
    struct reading reading = reading_of(info, max_count, ret_request, &failure);
    int status;

    *ret_request = (struct infer_request){0};
    status = body->header_length == 0 ? read_raw(&reading, body) : read_json(&reading, body);
    free(reading.input.numbers.values);
    free(reading.input.strings.raw);
    if (status != LQ_OK)
        return error_set(error, failure.status, "%s", failure.text);
    ret_request->wanted = ret_request->wanted || !reading.outputs_given;
    ret_request->binary = reading.binary < 0 ? reading.binary_output : reading.binary;
    return LQ_OK;
}

void infer_request_peek(const struct lq_model_info *info, const struct infer_body *body,
                        int64_t *ret_priority, int64_t *ret_timeout_us)
{
    struct infer_request request = {0};
    struct lq_error failure = {0};
    struct reading reading = reading_of(info, 1, &request, &failure);
    size_t json;

    if (split_body(&reading, body, &json) == LQ_OK &&
        read_envelope(&reading, body->bytes, json) == LQ_OK) {
        *ret_priority = request.priority;
        *ret_timeout_us = request.timeout_us;
    } else {
        *ret_priority = *ret_timeout_us = 0;
    }
    free(reading.input.numbers.values);
    free(reading.input.strings.raw);
    infer_request_deinit(&request);
}

void infer_request_deinit(struct infer_request *request)
{
    free(request->id);
    free(request->floats);
    free(request->pixels);
    free(request->files);
    free(request->decoded);
    *request = (struct infer_request){0};
}
