/* files.c - files that tests write.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/files.h"

#include <check.h>
#include <stdio.h>

void file_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}
