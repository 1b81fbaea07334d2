/* pack.h - codes <-> packed bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Two packings. In files, weights are [bits][rows][ceil(row_length / 8)] bytes, least significant
 * bit first, independent of any CPU: a row is one output channel's kernel_h * kernel_w *
 * in_channels codes in that order, unused bits zero. In memory, both weights and activations are
 * planes of 32-bit words per pixel (tensor/bitplanes.h).
 */
#ifndef LQ_QUANT_PACK_H
#define LQ_QUANT_PACK_H

#include "lq.h"

/* Bytes of the file form. */
size_t lq_file_codes_bytes(int bits, int rows, int64_t row_length);
/* codes: [rows][row_length], one code a byte. */
void lq_file_codes_pack(const uint8_t *codes, int bits, int rows, int64_t row_length,
                        uint8_t *ret_packed);
void lq_file_codes_unpack(const uint8_t *packed, int bits, int rows, int64_t row_length,
                          uint8_t *ret_codes);
/* Codes from..from + count - 1 of one row; `from` is a multiple of 8. */
void lq_file_codes_unpack_row(const uint8_t *packed, int bits, int rows, int64_t row_length,
                              int row, int64_t from, int64_t count, uint8_t *ret_codes);
/* Bits beyond row_length in each row's last byte are zero. */
bool lq_file_codes_padding_is_zero(const uint8_t *packed, int bits, int rows, int64_t row_length);

/* Packs `pixels` pixels of `channels` codes (one a byte) into planes of words. */
void lq_planes_pack(const uint8_t *codes, int64_t pixels, int channels, int bits,
                    uint32_t *ret_planes);
void lq_planes_unpack(const uint32_t *planes, int64_t pixels, int channels, int bits,
                      uint8_t *ret_codes);

#endif
