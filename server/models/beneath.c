/* beneath.c - opens what lies beneath a folder, and nothing else.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "models/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where the kernel has no openat2 (before 5.6, or a filter in front of it): link by link, and no
 * link at all. */
static int open_walking(int folder, const char *path, int flags)
{
    char part[256];
    int at = folder, next;

    for (;;) {
        size_t length = strcspn(path, "/");
        bool last = path[length] == '\0';

        if (length >= sizeof(part)) {
            errno = ENAMETOOLONG;
            next = -1;
        } else {
            memcpy(part, path, length);
            part[length] = '\0';
            next =
                openat(at, part, (last ? flags : O_RDONLY | O_DIRECTORY | O_CLOEXEC) | O_NOFOLLOW);
        }
        if (at != folder)
            close(at);
        if (next < 0 || last)
            return next;
        at = next;
        path += length + 1;
    }
}

int beneath_open(int folder, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned long long)flags,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, folder, path, &how, sizeof(how));

    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return open_walking(folder, path, flags);
    return (int)fd;
}
