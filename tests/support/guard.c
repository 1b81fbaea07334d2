/* guard.c - memory whose end is noticed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/guard.h"

#include <check.h>
#include <sys/mman.h>
#include <unistd.h>

struct guarded guard(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), length = (size + page - 1) / page * page + page;
    struct guarded g = {
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), NULL,
        length};

    ck_assert_ptr_ne(g.map, MAP_FAILED);
    ck_assert_int_eq(mprotect(g.map + length - page, page, PROT_NONE), 0);
    g.bytes = g.map + length - page - size;
    return g;
}

void unguard(struct guarded *guarded)
{
    munmap(guarded->map, guarded->length);
}
