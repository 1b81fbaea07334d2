/* uploads.h - labelled pictures that were uploaded for a model.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each upload is one file, `state`/uploads/MODEL@NAME.set, written beside its place and renamed;
 * all of them together hold at most `upload_bytes`. One thread at a time, but for uploads_read.
 */
#ifndef SERVER_UPLOADS_H
#define SERVER_UPLOADS_H

#include "codec/text.h"
#include "config.h"
#include "lq_learn.h"
#include "models/generation.h"

struct uploads;
struct jobs_order;

/* Errors: LQ_ERR_IO, LQ_ERR_MEMORY. */
int uploads_open(const struct config *config, struct uploads **ret_uploads,
                 struct lq_error *error) LQ_MUST_CHECK;
void uploads_close(struct uploads *uploads);

/* Keeps the order's body as its name, in place of one of that name: a tar archive of CLASS/FILE, or
 * multipart/form-data whose parts are named as their class; a class is a label of the model or its
 * number. Files without a folder, or parts named "file", have no class. json: what was taken.
 * Errors: LQ_ERR_INVALID, LQ_ERR_FORMAT (what is wrong, with the file's name), LQ_ERR_LIMIT (the
 * quota), LQ_ERR_IO, LQ_ERR_MEMORY. */
int uploads_put(struct uploads *uploads, const struct jobs_order *order,
                const struct lq_model *model, struct text *json,
                struct lq_error *error) LQ_MUST_CHECK;
/* {"uploads":[{"name":...,"bytes":...}]} of a model. */
int uploads_list(struct uploads *uploads, const char *model, struct text *json,
                 struct lq_error *error) LQ_MUST_CHECK;
/* Errors: LQ_ERR_NOT_FOUND, LQ_ERR_IO. */
int uploads_check(const struct uploads *uploads, const char *model, const char *name,
                  struct lq_error *error) LQ_MUST_CHECK;
int uploads_remove(struct uploads *uploads, const char *model, const char *name,
                   struct lq_error *error) LQ_MUST_CHECK;
/* An upload as a data set in memory. Any thread. Errors: also
 * LQ_ERR_FORMAT (the file is damaged), those of lq_dataset_add_file. */
int uploads_read(const struct uploads *uploads, const char *model, const char *name,
                 struct lq_dataset **ret_dataset, struct lq_error *error) LQ_MUST_CHECK;

#endif
