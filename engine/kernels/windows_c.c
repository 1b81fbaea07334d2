/* windows_c.c - float convolutions of training, the definition.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/windows.h"

#include <math.h>

/* Adds the k elements of one run to the sums of the columns of one panel. */
static void add_run(const float *a, int run, const float *w, int columns, float *sums)
{
    for (int k = 0; k < run; k++, w += LQ_FLOAT_LANES)
        for (int col = 0; col < columns; col++)
            sums[col] = fmaf(a[k], w[col], sums[col]);
}

void lq_windows_product_c(const struct lq_windows *windows, const float *w, bool add, float *y)
{
    size_t panel = (size_t)lq_window_length(windows) * LQ_FLOAT_LANES;
    size_t row = (size_t)windows->run * LQ_FLOAT_LANES;
    struct lq_pixel p = {0};

    do {
        for (int n = 0; n < windows->n; n += LQ_FLOAT_LANES) {
            const float *from = w + (size_t)(n / LQ_FLOAT_LANES) * panel;
            int columns = windows->n - n < LQ_FLOAT_LANES ? windows->n - n : LQ_FLOAT_LANES;
            float *sums = y + p.columns + n;

            for (int col = 0; col < columns && !add; col++)
                sums[col] = 0;
            for (int i = 0; i < windows->taps_h; i++)
                for (int j = 0; j < windows->taps_w; j++, from += row)
                    add_run(windows->a + p.a + (size_t)i * windows->tap_line +
                                (size_t)j * windows->tap_step,
                            windows->run, from, columns, sums);
        }
    } while (lq_next_pixel(windows, &p));
}

/* Adds the products of one run and the columns of one panel. */
static void add_products(const float *a, int run, const float *y, int columns, float *sums)
{
    for (int k = 0; k < run; k++, sums += LQ_FLOAT_LANES)
        for (int col = 0; col < columns; col++)
            sums[col] = fmaf(a[k], y[col], sums[col]);
}

void lq_windows_outer_c(const struct lq_windows *windows, const float *y, float *sums)
{
    size_t panel = (size_t)lq_window_length(windows) * LQ_FLOAT_LANES;
    size_t row = (size_t)windows->run * LQ_FLOAT_LANES;
    struct lq_pixel p = {0};

    do {
        for (int n = 0; n < windows->n; n += LQ_FLOAT_LANES) {
            float *to = sums + (size_t)(n / LQ_FLOAT_LANES) * panel;
            int columns = windows->n - n < LQ_FLOAT_LANES ? windows->n - n : LQ_FLOAT_LANES;

            for (int i = 0; i < windows->taps_h; i++)
                for (int j = 0; j < windows->taps_w; j++, to += row)
                    add_products(windows->a + p.a + (size_t)i * windows->tap_line +
                                     (size_t)j * windows->tap_step,
                                 windows->run, y + p.columns + n, columns, to);
        }
    } while (lq_next_pixel(windows, &p));
}
