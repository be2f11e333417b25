/* One block of memory, laid out before it exists.
 *
 * Planning a network means asking for a hundred buffers whose sizes are known before the first minibatch. Each request
 * returns an offset; when all have been made the arena is allocated once, zeroed, and offsets become addresses. So the
 * plan either has all its memory or none, and nothing is allocated inside an epoch.
 * Owned by one object; not thread safe while planning, read-only afterwards. */
#ifndef AE_BASE_ARENA_H
#define AE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct ae_arena {
    size_t size; /* bytes reserved so far */
    char *base;  /* NULL until ae_arena_commit */
} ae_arena;

/* An empty plan. No allocation. */
void ae_arena_init(ae_arena *arena);

/* Reserves count * size bytes, 64-byte aligned; the offset into *offset. AE_ERR_OVERFLOW where the sum does not fit. */
ae_status ae_arena_reserve(ae_arena *arena, ae_context *context, size_t count, size_t size, size_t *offset);

/* Allocates what was reserved. */
ae_status ae_arena_commit(ae_arena *arena, ae_context *context);

/* Address of an offset; only after commit. */
static inline void *ae_arena_at(const ae_arena *arena, size_t offset) { return arena->base + offset; }

/* Frees the block; the arena is an empty plan again. */
void ae_arena_destroy(ae_arena *arena);

#endif
