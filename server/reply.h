/* reply.h - replies in JSON.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_REPLY_H
#define SERVER_REPLY_H

#include "infer/batcher.h"
#include "http/http.h"

/* Takes over the text. */
void reply_json(struct http_request *request, int status, struct text *json);
/* The same, compressed where the client accepts it and it pays: what can be large, and no more, for
 * there are clients of the protocol that decompress the replies of infer alone. */
void reply_compressed(struct http_request *request, int status, struct text *json);
/* {"error": "..."} */
void reply_error(struct http_request *request, int status, const char *format, ...) LQ_PRINTF(3, 4);
/* 503 with Retry-After. */
void reply_busy(struct http_request *request, int64_t retry_after_s, const char *why);
/* The HTTP status of an engine's failure over an image or a tensor that the client sent: one table
 * has them all. */
int reply_status(int status);
/* Such a failure. */
void reply_failure(struct http_request *request, const struct lq_error *error);
/* A job that did not end as BATCHER_DONE: 504, 503, or for a client that has left a status for the
 * log alone; FAILED as reply_failure. */
void reply_end(struct http_request *request, enum batcher_end end, const struct lq_error *error);

/* Where a job's time went, for the log; and which generation it was answered by, for the client. */
void reply_record(struct http_request *request, const struct batcher_job *job);

#endif
