/* test_pack.c - both packings of codes, by hand and there and back.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"
#include "quant/pack.h"
#include "tensor/bitplanes.h"

START_TEST(file_by_hand)
{
    const uint8_t codes[9] = {1, 2, 3, 0, 0, 0, 0, 0, 1};
    uint8_t packed[4], expected[4] = {0x05, 0x01, 0x06, 0x00};

    ck_assert_uint_eq(lq_file_codes_bytes(2, 1, 9), 4);
    lq_file_codes_pack(codes, 2, 1, 9, packed);
    ck_assert_mem_eq(packed, expected, 4);
    ck_assert(lq_file_codes_padding_is_zero(packed, 2, 1, 9));
    packed[3] = 0x02;
    ck_assert(!lq_file_codes_padding_is_zero(packed, 2, 1, 9));
}
END_TEST

START_TEST(there_and_back)
{
    enum { ROWS = 3, LENGTH = 37 };
    uint8_t codes[ROWS * LENGTH], back[ROWS * LENGTH], packed[8 * ROWS * 5];
    uint32_t planes[ROWS * 8 * 2];

    for (int i = 0; i < ROWS * LENGTH; i++)
        codes[i] = (uint8_t)(rand() & ((1 << _i) - 1));
    lq_file_codes_pack(codes, _i, ROWS, LENGTH, packed);
    lq_file_codes_unpack(packed, _i, ROWS, LENGTH, back);
    ck_assert_mem_eq(codes, back, sizeof(codes));
    memset(back, 0xff, sizeof(back));
    lq_file_codes_unpack_row(packed, _i, ROWS, LENGTH, 1, 16, 11, back);
    ck_assert_mem_eq(codes + LENGTH + 16, back, 11);
    ck_assert_uint_eq(back[11], 0xff);
    ck_assert_uint_eq(lq_pixel_words(LENGTH, _i), 2 * (size_t)_i);
    lq_planes_pack(codes, ROWS, LENGTH, _i, planes);
    lq_planes_unpack(planes, ROWS, LENGTH, _i, back);
    ck_assert_mem_eq(codes, back, sizeof(codes));
    ck_assert_uint_eq(planes[_i] >> (LENGTH - 32), 0); /* word 1, plane 0 */
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("pack");

    tcase_add_test(tests, file_by_hand);
    tcase_add_loop_test(tests, there_and_back, 1, 9);
    return suite_main("pack", tests);
}
