/* sorted.c - values in ascending order, so that a quantizer's statistics cost a few searches.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "quant/sorted.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

void lq_sorted_deinit(struct lq_sorted *sorted)
{
    free(sorted->values);
    free(sorted->sums);
}

int lq_sorted_init(struct lq_sorted *sorted, const float *values, int64_t n, struct lq_error *error)
{
    *sorted = (struct lq_sorted){.n = n};
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return lq_fail(error, LQ_ERR_NUMERIC, "value %lld is %f", (long long)i,
                           (double)values[i]);
    sorted->values = lq_alloc((size_t)n, sizeof(*sorted->values));
    sorted->sums = lq_alloc((size_t)n + 1, sizeof(*sorted->sums));
    if (!sorted->values || !sorted->sums) {
        lq_sorted_deinit(sorted);
        return lq_fail_memory(error);
    }
    memcpy(sorted->values, values, (size_t)n * sizeof(*values));
    qsort(sorted->values, (size_t)n, sizeof(*values), compare_floats);
    for (int64_t i = 0; i < n; i++) {
        double x = sorted->values[i];

        sorted->sums[i + 1] = sorted->sums[i] + x;
        sorted->sum_squares += x * x;
    }
    return LQ_OK;
}

/* How many values are <= x. */
static int64_t sorted_rank(const struct lq_sorted *sorted, float x)
{
    int64_t low = 0, high = sorted->n;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (sorted->values[middle] <= x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void lq_sorted_stats(const struct lq_sorted *sorted, const struct lq_quantizer *quantizer,
                     struct lq_qem_stats *ret_stats)
{
    int levels = 1 << quantizer->bits;
    int64_t from = 0;

    ret_stats->sum_squares = sorted->sum_squares;
    for (int level = 0; level < levels; level++) {
        int64_t to =
            level + 1 < levels ? sorted_rank(sorted, quantizer->thresholds[level]) : sorted->n;

        ret_stats->counts[level] = (double)(to - from);
        ret_stats->sums[level] = sorted->sums[to] - sorted->sums[from];
        from = to;
    }
}
