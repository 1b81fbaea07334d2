/* infer_request.c - the body of an inference request, read.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "infer/infer_request.h"

#include <stdlib.h>

#include "infer/infer_request_private.h"

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

static int read_json(struct reading *reading, const struct infer_body *body)
{
    int64_t binary;
    size_t json, rest;
    int status = split_body(reading, body, &json);

    if (status == LQ_OK)
        status = infer_read_envelope(reading, body->bytes, json);
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
    return infer_take_tensor(reading, binary >= 0 ? (const char *)body->bytes + json : NULL, rest);
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
    return infer_take_floats(reading, body->bytes);
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
        infer_read_envelope(&reading, body->bytes, json) == LQ_OK) {
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
