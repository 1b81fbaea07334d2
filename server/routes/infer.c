/* infer.c - tensors in, tensors out (Open Inference Protocol V2, "Inference").
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reply.h"
#include "route.h"

struct infer_job {
    struct batcher_job job;
    struct http_request *request;
    char *id;          /* NULL: the request gave none */
    bool wanted;       /* the output is among those asked for */
    int64_t max_count; /* images that one request may hold */
    int classes;
    float *input;
};

static void job_destroy(struct infer_job *job)
{
    if (!job)
        return;
    free(job->id);
    free(job->input);
    free(job->job.output);
    free(job);
}

static void write_outputs(const struct infer_job *job, struct text *json)
{
    size_t numbers = (size_t)job->job.count * (size_t)job->classes;

    text_string(json, "{\"model_name\":");
    text_json(json, job->job.generation->name);
    text_printf(json, ",\"model_version\":\"%s\"", job->job.generation->version_text);
    if (job->id) {
        text_string(json, ",\"id\":");
        text_json(json, job->id);
    }
    text_string(json, ",\"outputs\":[");
    if (job->wanted) {
        text_string(json, "{\"name\":");
        text_json(json, job->job.generation->info.output_name);
        text_printf(json, ",\"datatype\":\"FP32\",\"shape\":[%d,%d],\"data\":[", job->job.count,
                    job->classes);
        for (size_t i = 0; i < numbers; i++) {
            if (i > 0)
                text_string(json, ",");
            text_float(json, job->job.output[i]);
        }
        text_string(json, "]}");
    }
    text_string(json, "]}");
}

/* ------------------------------------------------------------------------------------------------
 * Reading the request. Everything wrong is named by its place in the JSON.
 */

/* Appends the numbers of a list, flat or nested as the shape is; false: too many, or no number. */
static bool flatten(const json_t *data, float *to, size_t room, size_t *used, int depth)
{
    size_t i;
    json_t *element;

    if (json_is_number(data)) {
        double number = json_number_value(data);

        if (*used >= room || !isfinite((float)number))
            return false;
        to[(*used)++] = (float)number;
        return true;
    }
    if (!json_is_array(data) || depth == 0)
        return false;
    json_array_foreach(data, i,
                       element) if (!flatten(element, to, room, used, depth - 1)) return false;
    return true;
}

static int fail(struct lq_error *error, const char *format, ...) LQ_PRINTF(2, 3);
static int fail(struct lq_error *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    return error->status = LQ_ERR_INVALID;
}

/* [N, C, H, W] with the model's C, H, W. */
static int read_shape(const json_t *shape, const struct lq_model_info *info, int64_t max_count,
                      int *ret_count, struct lq_error *error)
{
    const int expected[4] = {0, info->channels, info->height, info->width};

    if (!json_is_array(shape) || json_array_size(shape) != 4)
        return fail(error, "inputs[0].shape: expected [N,%d,%d,%d]", expected[1], expected[2],
                    expected[3]);
    for (size_t i = 0; i < 4; i++) {
        const json_t *dim = json_array_get(shape, i);

        if (!json_is_integer(dim))
            return fail(error, "inputs[0].shape[%zu]: expected an integer", i);
        if (i > 0 && json_integer_value(dim) != expected[i])
            return fail(error, "inputs[0].shape[%zu] is %lld, expected %d", i,
                        (long long)json_integer_value(dim), expected[i]);
    }
    json_int_t count = json_integer_value(json_array_get(shape, 0));
    if (count < 1 || count > max_count)
        return fail(error, "inputs[0].shape[0] is %lld, expected 1..%lld", (long long)count,
                    (long long)max_count);
    *ret_count = (int)count;
    return LQ_OK;
}

static int read_input(const json_t *root, const struct lq_model_info *info, int64_t max_count,
                      struct infer_job *job, struct lq_error *error)
{
    const json_t *inputs = json_object_get(root, "inputs"), *input = json_array_get(inputs, 0);
    const char *name = json_string_value(json_object_get(input, "name"));
    const char *datatype = json_string_value(json_object_get(input, "datatype"));
    const json_t *data = json_object_get(input, "data");
    size_t floats = (size_t)info->channels * (size_t)info->height * (size_t)info->width, used = 0;
    int status;

    if (!json_is_array(inputs) || json_array_size(inputs) != 1)
        return fail(error, "inputs: expected one tensor");
    if (!name || strcmp(name, info->input_name) != 0)
        return fail(error, "inputs[0].name is '%.64s', expected '%s'", name ? name : "",
                    info->input_name);
    if (!datatype || strcmp(datatype, "FP32") != 0)
        return fail(error, "inputs[0].datatype is '%.32s', expected FP32",
                    datatype ? datatype : "");
    status = read_shape(json_object_get(input, "shape"), info, max_count, &job->job.count, error);
    if (status != LQ_OK)
        return status;
    job->input = malloc((size_t)job->job.count * floats * sizeof(*job->input));
    job->job.floats = job->input;
    job->job.output =
        malloc((size_t)job->job.count * (size_t)job->classes * sizeof(*job->job.output));
    if (!job->input || !job->job.output)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    if (!json_is_array(data) ||
        !flatten(data, job->input, (size_t)job->job.count * floats, &used, 4) ||
        used != (size_t)job->job.count * floats)
        return fail(error, "inputs[0].data: expected %zu finite numbers, flat or nested, got %zu",
                    (size_t)job->job.count * floats, used);
    return LQ_OK;
}

/* The optional list of outputs that the client wants. */
static int read_outputs(const json_t *root, const struct lq_model_info *info, struct infer_job *job,
                        struct lq_error *error)
{
    const json_t *outputs = json_object_get(root, "outputs"), *output;
    size_t i;

    job->wanted = !outputs || json_array_size(outputs) == 0;
    if (outputs && !json_is_array(outputs))
        return fail(error, "outputs: expected a list");
    json_array_foreach(outputs, i, output)
    {
        const char *name = json_string_value(json_object_get(output, "name"));

        if (!name || strcmp(name, info->output_name) != 0)
            return fail(error, "outputs[%zu].name is '%.64s', expected '%s'", i, name ? name : "",
                        info->output_name);
        job->wanted = true;
    }
    return LQ_OK;
}

static int read_job(const json_t *root, const struct lq_model_info *info, int64_t max_count,
                    struct infer_job *job, struct lq_error *error)
{
    const json_t *id = json_object_get(root, "id");
    int status;

    if (!json_is_object(root))
        return fail(error, "the body is no JSON object");
    if (id && !json_is_string(id))
        return fail(error, "id: expected a string");
    if (id) {
        job->id = strdup(json_string_value(id));
        if (!job->id)
            return error_set(error, LQ_ERR_MEMORY, "out of memory");
    }
    status = read_outputs(root, info, job, error);
    return status == LQ_OK ? read_input(root, info, max_count, job, error) : status;
}

/* Reads the body; a large one takes a while. */
static int prepare(struct batcher_job *base, struct lq_error *error)
{
    struct infer_job *job = (struct infer_job *)base;
    const struct lq_model_info *info = &base->generation->info;
    json_error_t where;
    size_t size;
    const char *body = http_body(job->request, &size);
    json_t *root = json_loadb(body, size, JSON_REJECT_DUPLICATES, &where);
    int status;

    job->classes = info->classes;
    if (!root)
        return fail(error, "the body is no JSON: line %d, column %d: %s", where.line, where.column,
                    where.text);
    status = read_job(root, info, job->max_count, job, error);
    json_decref(root);
    return status;
}

static bool has_left(const struct batcher_job *base)
{
    return http_client_left(((const struct infer_job *)base)->request);
}

static void finish(struct batcher_job *base, enum batcher_end end, const struct lq_error *error)
{
    struct infer_job *job = (struct infer_job *)base;
    struct text json = {0};

    if (end == BATCHER_DONE) {
        write_outputs(job, &json);
        reply_json(job->request, 200, &json);
    } else {
        reply_end(job->request, end, error);
    }
    job_destroy(job);
}

void route_infer(struct app *app, struct http_request *request, const struct route_match *match)
{
    struct infer_job *job = calloc(1, sizeof(*job));

    if (!job) {
        reply_error(request, 503, "out of memory");
        return;
    }
    *job = (struct infer_job){.job = {.prepare = prepare, .has_left = has_left, .finish = finish},
                              .request = request,
                              .max_count = app->config.max_batch_request};
    if (!route_submit(app, request, match->generation, &job->job))
        job_destroy(job);
}
