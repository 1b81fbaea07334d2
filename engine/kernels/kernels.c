/* kernels.c - fills the kernel table upward by tier.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

#include "lq.h"

#if defined(__x86_64__)
static void fill_avx2(struct lq_kernels *kernels)
{
    kernels->encode_sums = lq_encode_sums_avx2;
    kernels->encode_floats = lq_encode_floats_avx2;
    kernels->finish_sums = lq_finish_sums_avx2;
    kernels->pool_sums = lq_pool_sums_avx2;
    kernels->dense_floats = lq_dense_floats_avx2;
    kernels->gemm_levels = lq_gemm_levels_avx2;
    kernels->levels_lanes = 8;
    kernels->plane_pairs = 0;
    kernels->add_floats = lq_add_floats_avx2;
    kernels->gemm_bytes = lq_gemm_bytes_avx2;
    kernels->bytes_lanes = 8;
    kernels->bytes_bound = 32767 / 2;
    kernels->bytes_in_pieces = true;
    kernels->windows_product = lq_windows_product_avx2;
    kernels->windows_outer = lq_windows_outer_avx2;
    kernels->gemm_nibbles = lq_gemm_nibbles_avx2;
    kernels->encode_nibbles = lq_encode_nibbles_avx2;
    kernels->nibbles_lanes = 32;
    kernels->pair_columns = 32;
    kernels->nibble_pairs = LQ_NIBBLE_BITS * LQ_NIBBLE_BITS;
    lq_train_kernels_avx2(&kernels->train);
    lq_winograd_avx2(&kernels->winograd);
    lq_duos_avx2(&kernels->duos);
    kernels->duo_excess = 20;
}

static void fill_avxvnni(struct lq_kernels *kernels)
{
    kernels->gemm_levels = lq_gemm_levels_avxvnni;
    kernels->gemm_bytes = lq_gemm_bytes_avxvnni;
    kernels->bytes_bound = 255 * 127;
    kernels->bytes_in_pieces = false;
    kernels->nibble_pairs = 2;
    kernels->duo_excess = 10;
}

static void fill_avx512(struct lq_kernels *kernels)
{
    kernels->encode_sums = lq_encode_sums_avx512;
    kernels->encode_floats = lq_encode_floats_avx512;
    kernels->finish_sums = lq_finish_sums_avx512;
    kernels->finish_codes = lq_finish_codes_avx512;
    kernels->finishes_codes = true;
    kernels->pool_sums = lq_pool_sums_avx512;
    kernels->dense_floats = lq_dense_floats_avx512;
    kernels->gemm_levels = lq_gemm_levels_avx512;
    kernels->levels_lanes = 16;
    kernels->gemm_planes = lq_gemm_planes_avx512;
    kernels->planes_lanes = 16;
    kernels->add_floats = lq_add_floats_avx512;
    kernels->gemm_bytes = lq_gemm_bytes_avx512;
    kernels->bytes_lanes = 16;
    kernels->gemm_codes = lq_gemm_codes_avx512;
    kernels->prefers_codes = true;
    kernels->bytes_bound = 255 * 127;
    kernels->bytes_in_pieces = false;
    /* AMD counts the bits of 512 in one half (Zen 4) or one of two such vectors (Zen 5) of a cycle
     * where it multiplies a vector of bytes, Intel takes more than twice as long to */
    kernels->plane_pairs = __builtin_cpu_is("amd") ? 4 : 2;
    kernels->gemm_halves = lq_gemm_halves_avx512;
    kernels->halves_lanes = 16;
    kernels->prefers_halves = true;
    lq_squares_avx512(&kernels->squares);
    kernels->duo_excess = -1;
    lq_pixels_avx512(&kernels->pixels);
    kernels->prefers_pixel_squares = true;
    kernels->square_pairs = 4;
    kernels->nibble_pairs = 0;
    kernels->windows_product = lq_windows_product_avx512;
    kernels->windows_outer = lq_windows_outer_avx512;
}
#elif defined(__aarch64__)
static void fill_neon(struct lq_kernels *kernels)
{
    kernels->encode_sums = lq_encode_sums_neon;
    kernels->encode_floats = lq_encode_floats_neon;
    kernels->add_floats = lq_add_floats_neon;
    kernels->finish_sums = lq_finish_sums_neon;
    kernels->pool_sums = lq_pool_sums_neon;
    kernels->dense_floats = lq_dense_floats_neon;
    kernels->gemm_levels = lq_gemm_levels_neon;
    kernels->levels_lanes = 4;
    kernels->gemm_bytes = lq_gemm_bytes_neon;
    kernels->bytes_lanes = 4;
    kernels->gemm_planes = lq_gemm_planes_neon;
    kernels->planes_lanes = 4;
    /* counted, not measured: 128 products take 3 instructions a pair, or 34 of levels */
    kernels->plane_pairs = 9;
}
#endif

int lq_kernels_init(struct lq_kernels *kernels, unsigned tiers)
{
    int best = LQ_CPU_C;

    *kernels = (struct lq_kernels){
        .encode_sums = lq_encode_sums_c,
        .encode_floats = lq_encode_floats_c,
        .finish_sums = lq_finish_sums_c,
        .finish_codes = lq_finish_codes_c,
        .pool_sums = lq_pool_sums_c,
        .dense_floats = lq_dense_floats_c,
        .gemm_levels = lq_gemm_levels_c,
        .levels_lanes = 1,
        .gemm_planes = lq_gemm_planes_c,
        .planes_lanes = 1,
        .add_floats = lq_add_floats_c,
        .gemm_bytes = lq_gemm_bytes_c,
        .bytes_lanes = 1,
        .bytes_bound = 255 * 127,
        .gemm_codes = lq_gemm_codes_c,
        .gemm_wide = lq_gemm_wide_c,
        .plane_pairs = 1,
        .windows_product = lq_windows_product_c,
        .windows_outer = lq_windows_outer_c,
        .gemm_nibbles = lq_gemm_nibbles_c,
        .nibbles_lanes = 1,
        .gemm_halves = lq_gemm_halves_c,
        .halves_lanes = 1,
        .duo_excess = -1,
    };
    lq_train_kernels_c(&kernels->train);
    lq_winograd_c(&kernels->winograd);
    lq_squares_c(&kernels->squares);
    lq_duos_c(&kernels->duos);
    lq_pixels_c(&kernels->pixels);
#if defined(__x86_64__)
    if (tiers >> LQ_CPU_AVX2 & 1) {
        fill_avx2(kernels);
        best = LQ_CPU_AVX2;
    }
    if (tiers >> LQ_CPU_AVXVNNI & 1) {
        fill_avxvnni(kernels);
        best = LQ_CPU_AVXVNNI;
    }
    if (tiers >> LQ_CPU_AVX512 & 1) {
        fill_avx512(kernels);
        best = LQ_CPU_AVX512;
    }
    /* reads the panels of avx512, and leaves small products to it */
    if (tiers >> LQ_CPU_AMX & 1 && best == LQ_CPU_AVX512) {
        kernels->gemm_bytes = lq_gemm_bytes_amx;
        kernels->gemm_codes = lq_gemm_codes_amx;
        kernels->gemm_wide = lq_gemm_wide_amx;
        kernels->wide_columns = 32;
        kernels->plane_pairs = 0;
        kernels->square_pairs = 0; /* its products take less than the transforms */
        best = LQ_CPU_AMX;
    }
#elif defined(__aarch64__)
    if (tiers >> LQ_CPU_NEON & 1) {
        fill_neon(kernels);
        best = LQ_CPU_NEON;
    }
#else
    (void)tiers;
#endif
    return best;
}
