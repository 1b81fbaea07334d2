/* infer_reply.c - the body of an inference reply, written.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "infer/infer_reply.h"

#include <stdlib.h>
#include <string.h>

/* "value:index:label" */
static void write_class(const struct infer_reply *reply, float value, int index, struct text *to)
{
    const char *label = lq_model_label(reply->model, index);

    text_float(to, value);
    text_printf(to, ":%d", index);
    if (label) {
        text_string(to, ":");
        text_string(to, label);
    }
}

/* All classes that were asked for, as the extension lays BYTES out (binary: length and bytes of
 * each), or as JSON strings between commas. */
static void write_classes(const struct infer_reply *reply, bool binary, struct text *to)
{
    int top_k = reply->request->classification;
    struct lq_prediction *best = malloc((size_t)top_k * sizeof(*best));
    struct text one = {0};

    if (!best)
        to->failed = true;
    for (int n = 0; best && n < reply->request->count; n++) {
        const float *row = reply->output + (size_t)n * (size_t)reply->info->classes;
        int found = lq_model_top_k(reply->model, row, top_k, best);

        for (int i = 0; i < found; i++) {
            uint32_t length;

            one.length = 0;
            write_class(reply, row[best[i].index], best[i].index, &one);
            to->failed = to->failed || one.failed;
            length = (uint32_t)one.length;
            if (binary) {
                text_append(to, &length, sizeof(length));
                text_append(to, one.bytes, one.length);
            } else {
                text_append(to, ",", n > 0 || i > 0);
                text_json_bytes(to, one.bytes, one.length);
            }
        }
    }
    text_free(&one);
    free(best);
}

static void write_numbers(const struct infer_reply *reply, struct text *json)
{
    size_t count = (size_t)reply->request->count * (size_t)reply->info->classes;

    for (size_t i = 0; i < count; i++) {
        text_append(json, ",", i > 0);
        text_float(json, reply->output[i]);
    }
}

/* The tensor; its bytes, if it is to be binary, go to `tail`. */
static void write_output(const struct infer_reply *reply, struct text *json, struct text *tail)
{
    const struct infer_request *request = reply->request;
    bool classes = request->classification > 0;

    text_string(json, "{\"name\":");
    text_json(json, reply->info->output_name);
    text_printf(json, ",\"datatype\":\"%s\",\"shape\":[%d,%d]", classes ? "BYTES" : "FP32",
                request->count, classes ? request->classification : reply->info->classes);
    if (request->binary && classes)
        write_classes(reply, true, tail);
    else if (request->binary)
        text_append(tail, reply->output,
                    (size_t)request->count * (size_t)reply->info->classes * sizeof(*reply->output));
    if (request->binary) {
        text_printf(json, ",\"parameters\":{\"binary_data_size\":%zu}}", tail->length);
        return;
    }
    text_string(json, ",\"data\":[");
    if (classes)
        write_classes(reply, false, json);
    else
        write_numbers(reply, json);
    text_string(json, "]}");
}

void infer_reply_write(const struct infer_reply *reply, struct text *text,
                       size_t *ret_header_length)
{
    struct text tail = {0};

    text_string(text, "{\"model_name\":");
    text_json(text, reply->model_name);
    text_string(text, ",\"model_version\":");
    text_json(text, reply->model_version);
    if (reply->request->id) {
        text_string(text, ",\"id\":");
        text_json(text, reply->request->id);
    }
    text_string(text, ",\"outputs\":[");
    if (reply->request->wanted)
        write_output(reply, text, &tail);
    text_string(text, "]}");
    *ret_header_length = tail.length > 0 ? text->length : 0;
    text_append(text, tail.bytes, tail.length);
    text->failed = text->failed || tail.failed;
    text_free(&tail);
}
