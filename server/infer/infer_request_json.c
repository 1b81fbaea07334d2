/* infer_request_json.c - the JSON of an inference request.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * It is read once, from front to back. A tensor's members come in any order, so its data are taken
 * by what they are (numbers, strings) and compared with datatype and shape when all is known.
 */
#include <stdlib.h>
#include <string.h>

#include "infer/infer_request_private.h"

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
        int status = infer_check_tensor(reading, &type);

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

/* The JSON, to its end. */
int infer_read_envelope(struct reading *reading, const void *bytes, size_t size)
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
