/* test_arena.c - blocks are aligned, zeroed, apart, and refused where their size overflows.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

START_TEST(aligned_zeroed_apart)
{
    struct lq_arena arena = {0};
    size_t sizes[400];
    uint8_t *blocks[400];

    for (int i = 0; i < 400; i++) {
        sizes[i] = (size_t)(rand() % (i % 50 == 0 ? 200000 : 700));
        blocks[i] = lq_arena_alloc(&arena, sizes[i], 1);
        ck_assert_ptr_nonnull(blocks[i]);
        ck_assert_uint_eq((uintptr_t)blocks[i] % LQ_ALIGNMENT, 0);
        for (size_t at = 0; at < sizes[i]; at++)
            ck_assert_uint_eq(blocks[i][at], 0);
        memset(blocks[i], i % 255 + 1, sizes[i]);
    }
    for (int i = 0; i < 400; i++)
        for (size_t at = 0; at < sizes[i]; at++)
            ck_assert_uint_eq(blocks[i][at], i % 255 + 1);
    ck_assert_str_eq(lq_arena_strndup(&arena, "basis", 3), "bas");
    lq_arena_deinit(&arena);
    ck_assert_ptr_null(arena.chunks);
}
END_TEST

/* A large block between small ones takes its own bytes, and these go on sharing a chunk. */
START_TEST(small_blocks_share)
{
    struct lq_arena arena = {0};
    size_t before;

    ck_assert_ptr_nonnull(lq_arena_alloc(&arena, 100, 1));
    before = arena.total_bytes;
    ck_assert_ptr_nonnull(lq_arena_alloc(&arena, 1 << 20, 1));
    ck_assert_ptr_nonnull(lq_arena_alloc(&arena, 100, 1));
    ck_assert_uint_eq(arena.total_bytes, before + (1 << 20));
    lq_arena_deinit(&arena);
}
END_TEST

START_TEST(overflow_is_refused)
{
    struct lq_arena arena = {0};

    ck_assert_ptr_null(lq_arena_alloc(&arena, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(lq_arena_alloc(&arena, SIZE_MAX, 1));
    ck_assert_ptr_null(lq_alloc(SIZE_MAX, 1));
    lq_arena_deinit(&arena);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("arena");

    tcase_add_test(tests, aligned_zeroed_apart);
    tcase_add_test(tests, small_blocks_share);
    tcase_add_test(tests, overflow_is_refused);
    return suite_main("arena", tests);
}
