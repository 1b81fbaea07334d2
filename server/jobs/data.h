/* data.h - the data sets that a job names.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_DATA_H
#define SERVER_DATA_H

#include "jobs/jobs_private.h"
#include "lq_learn.h"

/* A data set, and, where the job wants no more than `limit` images, a part of it. Start from {0}.
 */
struct data {
    struct lq_dataset *whole, *part;
};

/* Opens what the job names: a folder beneath `data_root`, an upload for the run's model, or the
 * sample of what it was asked. split: which part of a data set that has two. Any thread. Errors:
 * LQ_ERR_NOT_FOUND, LQ_ERR_IO (a folder that leads elsewhere), LQ_ERR_FORMAT, LQ_ERR_INVALID (no
 * image), LQ_ERR_MEMORY. */
int data_open(const struct run *run, const struct spec_data *named, enum lq_split split,
              struct data *ret_data, struct lq_error *error) LQ_MUST_CHECK;
const struct lq_dataset *data_images(const struct data *data);
void data_close(struct data *data);

#endif
