/* classify.c - image files in, the likeliest classes out.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The body is one file, or multipart/form-data with several (and a field top_k, if it likes). Of
 * several, each that cannot be decoded has its own failure beside the others' answers.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "codec/multipart.h"
#include "infer/pictures.h"
#include "reply.h"
#include "route.h"

enum { DEFAULT_TOP_K = 5, MAX_FIELDS = 16 };

struct classify_job {
    struct batcher_job job;
    struct http_request *request;
    struct pictures pictures;
    struct infer_file *files; /* in the body */
    char **names;             /* of the files; NULL: the body is one file */
    int count, top_k;
};

static void destroy(struct classify_job *job)
{
    for (int i = 0; job->names && i < job->count; i++)
        free(job->names[i]);
    free(job->names);
    free(job->files);
    pictures_deinit(&job->pictures);
    free(job->job.output);
    free(job);
}

static bool has_left(const struct batcher_job *base)
{
    return http_client_left(((const struct classify_job *)base)->request);
}

static bool decode(struct batcher_job *base, int image, uint8_t *ret_pixels)
{
    return pictures_decode(&((struct classify_job *)base)->pictures, base->generation->model, image,
                           ret_pixels);
}

/* ------------------------------------------------------------------------------------------------
 * The reply
 */

static void write_predictions(const struct generation *generation,
                              const struct lq_prediction *predictions, int count, struct text *json)
{
    text_string(json, "[");
    for (int i = 0; i < count; i++) {
        text_string(json, i ? ",{\"label\":" : "{\"label\":");
        text_json(json, lq_model_label(generation->model, predictions[i].index));
        text_string(json, ",\"index\":");
        text_int(json, predictions[i].index);
        text_string(json, ",\"probability\":");
        text_float(json, predictions[i].probability);
        text_string(json, "}");
    }
    text_string(json, "]");
}

static void write_failure(const struct picture_failure *failure, struct text *json)
{
    text_printf(json, "{\"status\":%d,\"error\":", reply_status(failure->status));
    text_json(json, failure->text ? failure->text : lq_status_text(failure->status));
    text_string(json, "}");
}

static void write_files(const struct classify_job *job, struct text *json)
{
    text_string(json, ",\"files\":[");
    for (int i = 0; i < job->count; i++) {
        text_string(json, i ? "," : "");
        text_json(json, job->names[i]);
    }
    text_string(json, "]");
}

/* `error`: what the whole request failed of, or NULL. */
static void write_reply(const struct classify_job *job, const char *error, struct text *json)
{
    const struct generation *generation = job->job.generation;
    struct lq_prediction *best = malloc((size_t)job->top_k * sizeof(*best));

    json->failed = !best;
    text_string(json, "{");
    if (error) {
        text_string(json, "\"error\":");
        text_json(json, error);
        text_string(json, ",");
    }
    text_string(json, "\"model_name\":");
    text_json(json, generation->name);
    text_string(json, ",\"model_version\":\"");
    text_string(json, generation->version_text);
    text_string(json, "\"");
    if (job->names)
        write_files(job, json);
    text_string(json, ",\"predictions\":[");
    for (int i = 0; best && i < job->count; i++) {
        const float *row = job->job.output + (size_t)i * (size_t)generation->info.classes;

        text_string(json, i ? "," : "");
        if (job->pictures.failures[i].status != LQ_OK)
            write_failure(&job->pictures.failures[i], json);
        else
            write_predictions(generation, best,
                              lq_model_top_k(generation->model, row, job->top_k, best), json);
    }
    text_string(json, "]}");
    free(best);
}

static int count_failures(const struct classify_job *job)
{
    int failures = 0;

    for (int i = 0; i < job->count; i++)
        failures += job->pictures.failures[i].status != LQ_OK;
    return failures;
}

static bool has_failed(const struct batcher_job *base)
{
    const struct classify_job *job = (const struct classify_job *)base;

    return count_failures(job) == job->count;
}

static void reply_predictions(const struct classify_job *job)
{
    bool none = has_failed(&job->job);
    int64_t start_ns = clock_now_ns();
    struct text json = {0};

    write_reply(job, none ? "none of the files could be decoded" : NULL, &json);
    http_add_stage(job->request, METRICS_ENCODE, clock_now_ns() - start_ns);
    reply_compressed(job->request, none ? 422 : 200, &json);
}

static void finish(struct batcher_job *base, enum batcher_end end, const struct lq_error *error)
{
    struct classify_job *job = (struct classify_job *)base;
    const struct picture_failure *first = job->pictures.failures;

    reply_record(job->request, base);
    if (end != BATCHER_DONE)
        reply_end(job->request, end, error);
    else if (!job->names && first->status != LQ_OK)
        reply_error(job->request, reply_status(first->status), "%s",
                    first->text ? first->text : lq_status_text(first->status));
    else
        reply_predictions(job);
    destroy(job);
}

/* ------------------------------------------------------------------------------------------------
 * The request
 */

/* An image's type must be said, or left to its bytes by a type that says nothing: none at all, or
 * what curl --data-binary sends when it is not told. */
static bool is_image_type(const char *type)
{
    static const char *const accepted[] = {"image/jpeg", "image/jpg", "image/png",
                                           "application/octet-stream",
                                           "application/x-www-form-urlencoded"};

    if (!type)
        return true;
    for (size_t i = 0; i < sizeof(accepted) / sizeof(*accepted); i++) {
        size_t length = strlen(accepted[i]);

        if (strncasecmp(type, accepted[i], length) == 0 && strchr("; ", type[length]))
            return true;
    }
    return false;
}

/* False: replied. */
static bool read_top_k(struct classify_job *job, const char *text, int classes)
{
    char *end;
    long top_k = strtol(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end || top_k < 1 || top_k > classes) {
        reply_error(job->request, 400, "top_k is '%.32s', expected a number from 1 to %d", text,
                    classes);
        return false;
    }
    job->top_k = (int)top_k;
    return true;
}

/* One more file; the arrays have room for max_count. False: replied. */
static bool add_file(struct classify_job *job, const struct multipart_part *part, int64_t max_count)
{
    if (job->count == max_count) {
        reply_error(job->request, 400, "more than %lld files", (long long)max_count);
        return false;
    }
    job->names[job->count] = strdup(part->file_name);
    if (!job->names[job->count]) {
        reply_error(job->request, 503, "out of memory");
        return false;
    }
    job->files[job->count++] = (struct infer_file){part->bytes, part->size};
    return true;
}

/* A field that is no file. False: replied. */
static bool take_field(struct classify_job *job, const struct multipart_part *part, int classes)
{
    char value[32];

    if (strcmp(part->name, "top_k") != 0)
        return true;
    memcpy(value, part->bytes, part->size < sizeof(value) ? part->size : sizeof(value) - 1);
    value[part->size < sizeof(value) ? part->size : sizeof(value) - 1] = '\0';
    return read_top_k(job, value, classes);
}

/* False: replied. */
static bool take_parts(struct classify_job *job, struct multipart *multipart, int64_t max_count,
                       int classes)
{
    struct lq_error error = {0};
    int fields = 0;

    for (;;) {
        struct multipart_part part;
        bool more;

        if (multipart_next(multipart, &more, &part, &error) != LQ_OK) {
            reply_error(job->request, 400, "multipart/form-data: %s", error.text);
            return false;
        }
        if (!more)
            break;
        if (part.is_file ? !add_file(job, &part, max_count) : !take_field(job, &part, classes))
            return false;
        if (!part.is_file && ++fields > MAX_FIELDS) {
            reply_error(job->request, 400, "more than %d fields that are no files", MAX_FIELDS);
            return false;
        }
    }
    if (job->count == 0)
        reply_error(job->request, 400, "multipart/form-data without a file (curl -F file=@...)");
    return job->count > 0;
}

/* False: replied. */
static bool take_form(struct classify_job *job, struct multipart *multipart, int64_t max_count,
                      int classes)
{
    job->files = calloc((size_t)max_count, sizeof(*job->files));
    job->names = calloc((size_t)max_count, sizeof(*job->names));
    if (job->files && job->names)
        return take_parts(job, multipart, max_count, classes);
    reply_error(job->request, 503, "out of memory");
    return false;
}

/* The body is the file. False: replied. */
static bool take_file(struct classify_job *job, const char *type, const void *body, size_t size)
{
    if (!is_image_type(type))
        reply_error(job->request, 415,
                    "Content-Type is '%.64s', expected image/jpeg, image/png or "
                    "multipart/form-data",
                    type);
    else if (size == 0)
        reply_error(job->request, 400, "the body is empty, expected a JPEG or PNG file");
    else if (lq_image_format(body, size) == LQ_IMAGE_UNKNOWN)
        reply_error(job->request, 415, "the body is neither a JPEG nor a PNG file");
    else if (!(job->files = calloc(1, sizeof(*job->files))))
        reply_error(job->request, 503, "out of memory");
    else
        job->files[job->count++] = (struct infer_file){body, size};
    return job->count > 0;
}

/* False: replied. */
static bool take_request(struct classify_job *job, const struct config *config, int classes)
{
    const char *type = http_header(job->request, "Content-Type");
    const char *top_k = http_query(job->request, "top_k");
    struct lq_error error = {0};
    struct multipart multipart;
    size_t size;
    const void *body = http_body(job->request, &size);
    int status = multipart_begin(&multipart, type, body, size, &error);

    job->top_k = classes < DEFAULT_TOP_K ? classes : DEFAULT_TOP_K;
    if (status == LQ_ERR_INVALID) {
        reply_error(job->request, 400, "multipart/form-data: %s", error.text);
        return false;
    }
    if (status == LQ_OK ? !take_form(job, &multipart, config->max_batch_request, classes)
                        : !take_file(job, type, body, size))
        return false;
    return !top_k || read_top_k(job, top_k, classes);
}

/* False: replied. */
static bool begin(struct classify_job *job, const struct config *config,
                  const struct generation *generation)
{
    size_t classes = (size_t)generation->info.classes;
    struct lq_error error = {0};

    if (!take_request(job, config, generation->info.classes))
        return false;
    job->job.count = job->count;
    job->job.output = malloc((size_t)job->count * classes * sizeof(*job->job.output));
    if (job->job.output &&
        pictures_init(&job->pictures, config, job->files, job->count, &error) == LQ_OK)
        return true;
    reply_error(job->request, 503, "out of memory");
    return false;
}

void route_classify(struct app *app, struct http_request *request, const struct route_match *match)
{
    struct classify_job *job = calloc(1, sizeof(*job));

    if (!job) {
        reply_error(request, 503, "out of memory");
        return;
    }
    job->job = (struct batcher_job){
        .decode = decode, .has_left = has_left, .has_failed = has_failed, .finish = finish};
    job->request = request;
    if (!begin(job, &app->config, match->generation) ||
        !route_submit(app, request, match->generation, &job->job))
        destroy(job);
}
