/* beneath.h - opens what lies beneath a folder, and nothing else.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_BENEATH_H
#define SERVER_BENEATH_H

/* `folder`: an open one; `path`: without a leading slash. Links may lead to places beneath the
 * folder only (where the kernel has no openat2: no link is followed). flags: of open, to read.
 * -1: errno says why, EXDEV where the path leads out. Any thread. */
int beneath_open(int folder, const char *path, int flags);

#endif
