/* files.h - files that tests write.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_FILES_H
#define TESTS_SUPPORT_FILES_H

#include <stddef.h>

/* All of it, or the test fails. */
void file_write(const char *path, const void *bytes, size_t size);

#endif
