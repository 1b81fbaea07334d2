/* arena.h - memory that is released all at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A graph, a program, a parsed file: things made of many small pieces that live and die together.
 * One thread at a time.
 */
#ifndef LQ_BASE_ARENA_H
#define LQ_BASE_ARENA_H

#include <stddef.h>

#define LQ_ALIGNMENT 64 /* of every block: one cache line, one zmm register */

struct lq_arena_chunk;

/* Start from {0}. */
struct lq_arena {
    struct lq_arena_chunk *chunks;
    size_t total_bytes;
};

void lq_arena_deinit(struct lq_arena *arena);

/* Zeroed, aligned to LQ_ALIGNMENT; NULL when out of memory or when count * size overflows. A zero
 * size gives a valid pointer. */
void *lq_arena_alloc(struct lq_arena *arena, size_t count, size_t size);
char *lq_arena_strdup(struct lq_arena *arena, const char *text);
char *lq_arena_strndup(struct lq_arena *arena, const char *text, size_t length);

/* The same contract outside an arena; freed with free(). */
void *lq_alloc(size_t count, size_t size);

#endif
