/* gemm.h - float matrix products, by BLAS.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_OPS_GEMM_H
#define LQ_OPS_GEMM_H

/* Before the first product; any thread, any number of times. */
void lq_gemm_init(void);

/* c[row][col] = sum_k a[row][k] * b[col][k] for m rows of a (k long, a_stride apart) and n rows of
 * b (k long, contiguous); rows of c are c_stride apart. How it rounds may depend on m, n and k.
 * Any number of threads at once. */
void lq_gemm_float(int m, int n, int k, const float *a, int a_stride, const float *b, float *c,
                   int c_stride);

#endif
