/* columns.h - random columns of a map.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_COLUMNS_H
#define TESTS_SUPPORT_COLUMNS_H

#include <stdlib.h>

#include "kernels/kernels.h"

/* Some columns, now and then all of them. */
static inline struct lq_columns some_columns(int channels)
{
    int steps = (channels + LQ_COLUMN_STEP - 1) / LQ_COLUMN_STEP, first = rand() % steps;
    int to = (first + 1 + rand() % (steps - first)) * LQ_COLUMN_STEP;

    return (struct lq_columns){first * LQ_COLUMN_STEP, to < channels ? to : channels};
}

#endif
