/* infer_request.h - the body of an inference request, read: Open Inference Protocol V2 with the
 * extensions binary_tensor_data, classification and schedule_policy.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The body is JSON, or JSON of `header_length` bytes followed by the tensors' bytes, or (where that
 * length is 0) the bytes of the one input tensor alone. Networks have one input and one output. The
 * input comes as
 *   FP32  [N,C,H,W]  normalised floats,
 *   UINT8 [N,C,H,W]  pixels,
 *   BYTES [N] or [N,1]  JPEG or PNG files; in JSON as base64, for JSON has no bytes.
 * Reads from memory; neither HTTP nor the batcher is known here. Any thread.
 */
#ifndef SERVER_INFER_REQUEST_H
#define SERVER_INFER_REQUEST_H

#include "lq.h"

#define INFER_NO_HEADER_LENGTH (-1)
#define INFER_MAX_ID           1024 /* bytes */

struct infer_file {
    const void *bytes; /* in the body, or in the request's `decoded` */
    size_t size;
};

struct infer_request {
    char *id;        /* NULL: none was given */
    int count;       /* images, at least 1, in one of: */
    float *floats;   /* [count][C][H][W] */
    uint8_t *pixels; /* [count][H][W][C] */
    struct infer_file *files;
    void *decoded;
    int64_t priority;   /* 0: none was given; 1 is the highest */
    int64_t timeout_us; /* 0: none */
    bool wanted;        /* the output is among those asked for */
    bool binary;        /* it is to come as bytes */
    int classification; /* 0: as it is; else so many classes of each row, as text */
};

struct infer_body {
    const void *bytes;
    size_t size;
    int64_t header_length; /* of Inference-Header-Content-Length, or INFER_NO_HEADER_LENGTH */
    bool is_image;         /* header_length 0: the bytes are an image file, not floats */
};

/* Reads a request for a model of that shape, of max_count images at most. The body must stay while
 * the request is used. The caller calls infer_request_deinit, after a failure as well.
 * Errors: LQ_ERR_INVALID (the text names the place), LQ_ERR_MEMORY. */
int infer_request_read(const struct lq_model_info *info, int64_t max_count,
                       const struct infer_body *body, struct infer_request *ret_request,
                       struct lq_error *error) LQ_MUST_CHECK;
/* Priority and timeout alone, of the JSON in front of binary tensors; 0 where they are not given or
 * something is wrong. */
void infer_request_peek(const struct lq_model_info *info, const struct infer_body *body,
                        int64_t *ret_priority, int64_t *ret_timeout_us);
void infer_request_deinit(struct infer_request *request);

#endif
