/* gemm.c - float matrix products, by BLAS. The only file that knows it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/gemm.h"

#include <cblas.h>
#include <pthread.h>

/* Work is split over our own pool; a product that split itself again would fight it. */
static void use_one_thread(void)
{
    openblas_set_num_threads(1);
}

void lq_gemm_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, use_one_thread);
}

void lq_gemm_float(int m, int n, int k, const float *a, int a_stride, const float *b, float *c,
                   int c_stride)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, a, a_stride, b, k, 0, c,
                c_stride);
}
