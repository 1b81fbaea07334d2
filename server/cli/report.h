/* report.h - a training run as one self-contained page.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "lq_learn.h"

/* What is gathered for it. Start from {0}. */
struct report_point {
    double epoch, loss, accuracy, rate, top1; /* top1 -1: not evaluated */
};
struct report {
    struct report_point *points; /* one for each epoch */
    int count, room;
    struct lq_train_layer *layers;
    int layer_count;
    double top1;
};

/* Remembers the epochs that the log of an interrupted run tells of, up to a step. Lines that are
 * not of our making are skipped. False: it cannot be read, or out of memory. */
bool report_read_log(struct report *report, const char *path, int64_t steps);
/* Remembers epochs, and the layers at the end. False: out of memory. */
bool report_add(struct report *report, const struct lq_train_event *event);
/* title: plain text. CLI_OK or CLI_FAILED, said on stderr. */
int report_write(const struct report *report, const char *title, const char *path);
void report_deinit(struct report *report);

#endif
