/* arena.c - memory that is released all at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

/* Small blocks share chunks; a block larger than that gets a chunk of its own. */
#define CHUNK_BYTES ((size_t)64 << 10)

struct lq_arena_chunk {
    struct lq_arena_chunk *next;
    size_t used, size; /* bytes behind the header, which takes one alignment unit */
};

_Static_assert(sizeof(struct lq_arena_chunk) <= LQ_ALIGNMENT, "the header fits its unit");

void *lq_alloc(size_t count, size_t size)
{
    size_t bytes;
    void *block;

    if (!lq_size_mul(count, size, &bytes) || bytes > SIZE_MAX - 2 * (size_t)LQ_ALIGNMENT)
        return NULL;
    bytes = lq_size_round_up(bytes ? bytes : 1, LQ_ALIGNMENT);
    block = aligned_alloc(LQ_ALIGNMENT, bytes);
    if (block)
        memset(block, 0, bytes);
    return block;
}

void lq_arena_deinit(struct lq_arena *arena)
{
    while (arena->chunks) {
        struct lq_arena_chunk *next = arena->chunks->next;

        free(arena->chunks);
        arena->chunks = next;
    }
    arena->total_bytes = 0;
}

/* A chunk for a block of `bytes`; behind the first one if it has no room for others. */
static struct lq_arena_chunk *add_chunk(struct lq_arena *arena, size_t bytes)
{
    size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    struct lq_arena_chunk *chunk = lq_alloc(1, LQ_ALIGNMENT + room), **at = &arena->chunks;

    if (!chunk)
        return NULL;
    if (*at && room == bytes)
        at = &(*at)->next;
    *chunk = (struct lq_arena_chunk){*at, 0, room};
    *at = chunk;
    arena->total_bytes += room;
    return chunk;
}

void *lq_arena_alloc(struct lq_arena *arena, size_t count, size_t size)
{
    struct lq_arena_chunk *chunk = arena->chunks;
    size_t bytes;
    uint8_t *block;

    if (!lq_size_mul(count, size, &bytes) || bytes > SIZE_MAX - 4 * (size_t)LQ_ALIGNMENT)
        return NULL;
    bytes = lq_size_round_up(bytes ? bytes : 1, LQ_ALIGNMENT);
    if (!chunk || chunk->size - chunk->used < bytes)
        chunk = add_chunk(arena, bytes);
    if (!chunk)
        return NULL;
    block = (uint8_t *)chunk + LQ_ALIGNMENT + chunk->used;
    chunk->used += bytes;
    return block;
}

char *lq_arena_strndup(struct lq_arena *arena, const char *text, size_t length)
{
    char *copy = lq_arena_alloc(arena, length + 1, 1);

    if (copy)
        memcpy(copy, text, length);
    return copy;
}

char *lq_arena_strdup(struct lq_arena *arena, const char *text)
{
    return lq_arena_strndup(arena, text, strlen(text));
}
