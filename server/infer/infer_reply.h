/* infer_reply.h - the body of an inference reply, written.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_INFER_REPLY_H
#define SERVER_INFER_REPLY_H

#include "infer/infer_request.h"
#include "codec/text.h"

struct infer_reply {
    const char *model_name, *model_version;
    const struct lq_model *model; /* for the labels */
    const struct lq_model_info *info;
    const struct infer_request *request;
    const float *output; /* [request->count][info->classes], finite */
};

/* Writes the output as request asks for it: JSON, or JSON and the tensor's bytes behind it, and
 * then *ret_header_length is the length of the JSON (else 0). Classifications are BYTES
 * "value:index:label", without the last colon where there are no labels; value is the network's
 * output, best first. Out of memory shows in text->failed. */
void infer_reply_write(const struct infer_reply *reply, struct text *text,
                       size_t *ret_header_length);

#endif
