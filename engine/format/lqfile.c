/* lqfile.c - what reading and writing .lq files have in common: attributes, digests.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "format/lqfile_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/status.h"

#define OP(kind) (1u << LQ_OP_##kind)
#define POOLS    (OP(MAX_POOL) | OP(AVERAGE_POOL))
#define WINDOWS  (OP(CONV) | POOLS)
#define LAYERS   (OP(CONV) | OP(DENSE))
#define AT(name) offsetof(struct lq_attributes, name)

_Static_assert(LQ_OP_COUNT <= 32, "a set of operators fits 32 bits");
_Static_assert(AT(window.kernel_w) == AT(window.kernel_h) + sizeof(int) &&
                   AT(window.stride_w) == AT(window.stride_h) + sizeof(int) &&
                   AT(window.dilation_w) == AT(window.dilation_h) + sizeof(int) &&
                   AT(window.pad_right) == AT(window.pad_top) + 3 * sizeof(int),
               "arrays in the file are neighbours in the struct");

const struct lq_lqfile_field lq_lqfile_fields[] = {
    {WINDOWS, "kernel", LQ_FIELD_INT, AT(window.kernel_h), 2, true, 0},
    {WINDOWS, "stride", LQ_FIELD_INT, AT(window.stride_h), 2, false, 1},
    {OP(CONV), "dilation", LQ_FIELD_INT, AT(window.dilation_h), 2, false, 1},
    {WINDOWS, "pads", LQ_FIELD_INT, AT(window.pad_top), 4, false, 0},
    {LAYERS, "out_channels", LQ_FIELD_INT, AT(out_channels), 1, true, 0},
    {OP(CONV), "groups", LQ_FIELD_INT, AT(groups), 1, false, 1},
    {LAYERS, "bits", LQ_FIELD_INT, AT(bits), 1, false, 0},
    {LAYERS, "grid", LQ_FIELD_INT, AT(grid), 1, false, 0},
    {OP(QUANTIZE), "bits", LQ_FIELD_INT, AT(bits), 1, true, 0},
    {OP(QUANTIZE), "grid", LQ_FIELD_INT, AT(grid), 1, true, 0},
    {POOLS, "ceil_mode", LQ_FIELD_BOOL, AT(ceil_mode), 1, false, 0},
    {OP(AVERAGE_POOL), "count_include_pad", LQ_FIELD_BOOL, AT(count_include_pad), 1, false, 0},
    {OP(BATCH_NORM), "epsilon", LQ_FIELD_FLOAT, AT(epsilon), 1, true, 0},
    {OP(CLIP), "min", LQ_FIELD_FLOAT, AT(min), 1, false, -INFINITY},
    {OP(CLIP), "max", LQ_FIELD_FLOAT, AT(max), 1, false, INFINITY},
    {OP(CONCAT), "axis", LQ_FIELD_INT, AT(axis), 1, true, 0},
    {OP(PAD), "before", LQ_FIELD_INT, AT(before), 3, false, 0},
    {OP(PAD), "after", LQ_FIELD_INT, AT(after), 3, false, 0},
    {OP(PAD), "value", LQ_FIELD_FLOAT, AT(value), 1, false, 0},
    {OP(SLICE), "start", LQ_FIELD_INT, AT(start), 3, false, 0},
    {OP(SLICE), "end", LQ_FIELD_INT, AT(end), 3, true, 0},
    {OP(SLICE), "step", LQ_FIELD_INT, AT(step), 3, false, 1},
    {OP(LRN), "size", LQ_FIELD_INT, AT(lrn_size), 1, true, 0},
    {OP(LRN), "alpha", LQ_FIELD_FLOAT, AT(alpha), 1, true, 0},
    {OP(LRN), "beta", LQ_FIELD_FLOAT, AT(beta), 1, true, 0},
    {OP(LRN), "bias", LQ_FIELD_FLOAT, AT(bias), 1, true, 0},
    {OP(RESHAPE), "shape", LQ_FIELD_SHAPE, AT(shape), 1, true, 0},
};
const int lq_lqfile_field_count = sizeof(lq_lqfile_fields) / sizeof(lq_lqfile_fields[0]);

const struct lq_lqfile_field *lq_lqfile_field_find(enum lq_op_kind kind, const char *name)
{
    for (int i = 0; i < lq_lqfile_field_count; i++)
        if ((lq_lqfile_fields[i].ops >> kind & 1) && strcmp(lq_lqfile_fields[i].name, name) == 0)
            return &lq_lqfile_fields[i];
    return NULL;
}

void lq_lqfile_tensor_name(const char *node, enum lq_param param, char ret_name[LQ_MAX_TENSOR_NAME])
{
    snprintf(ret_name, LQ_MAX_TENSOR_NAME, "%s.%s", node, lq_param_text(param));
}

int lq_lqfile_digest(const struct lq_piece *pieces, size_t count,
                     char ret_digest[LQ_DIGEST_DIGITS + 1], struct lq_error *error)
{
    XXH3_state_t *state = XXH3_createState();
    XXH128_hash_t hash;

    if (!state)
        return lq_fail_memory(error);
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < count; i++)
        XXH3_128bits_update(state, pieces[i].bytes, pieces[i].size);
    hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    snprintf(ret_digest, LQ_DIGEST_DIGITS + 1, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    return LQ_OK;
}

int lq_lqfile_header_digest(const uint8_t *bytes, size_t data_start,
                            char ret_digest[LQ_DIGEST_DIGITS + 1], struct lq_error *error)
{
    const size_t behind = LQ_LQFILE_DIGEST_POS + LQ_DIGEST_DIGITS;
    const struct lq_piece pieces[] = {
        {bytes, LQ_LQFILE_DIGEST_POS},
        {"00000000000000000000000000000000", LQ_DIGEST_DIGITS},
        {bytes + behind, data_start - behind},
    };

    return lq_lqfile_digest(pieces, 3, ret_digest, error);
}
