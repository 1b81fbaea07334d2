/* gemm.c - float matrix products, by BLAS. The only file that knows it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/gemm.h"

#include <cblas.h>

void lq_gemm_float(int m, int n, int k, const float *a, int a_stride, const float *b, float *c,
                   int c_stride)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, a, a_stride, b, k, 0, c,
                c_stride);
}
