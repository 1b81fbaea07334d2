/* infer_request_private.h - what the reading of a request is made of.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * infer_request.c divides the body, infer_request_json.c reads the JSON, infer_request_tensor.c
 * compares the input with its datatype and shape and takes it.
 */
#ifndef SERVER_INFER_REQUEST_PRIVATE_H
#define SERVER_INFER_REQUEST_PRIVATE_H

#include "codec/json.h"
#include "codec/text.h"
#include "infer/infer_request.h"

/* The longest shape that is looked at; any other than 1, 2 or 4 is refused. */
enum { MAX_RANK = 8 };

enum datatype { FP32, UINT8, BYTES };

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

static inline int out_of_memory(struct reading *reading)
{
    return error_set(reading->error, LQ_ERR_MEMORY, "out of memory");
}

/* The JSON, to its end. */
int infer_read_envelope(struct reading *reading, const void *bytes, size_t size) LQ_MUST_CHECK;

/* Name, datatype and shape of the input, which must be known: sets the request's count. */
int infer_check_tensor(struct reading *reading, enum datatype *ret_type) LQ_MUST_CHECK;
/* The input into the request: of the JSON, or (bytes not NULL) of what follows it. */
int infer_take_tensor(struct reading *reading, const void *bytes, size_t size) LQ_MUST_CHECK;
/* Floats: bytes of as many as count says, or (NULL) the JSON's. */
int infer_take_floats(struct reading *reading, const void *bytes) LQ_MUST_CHECK;

#endif
