#include "base/arena.h"

#include "base/alloc.h"

void ae_arena_init(ae_arena *arena) {
    arena->size = 0;
    arena->base = NULL;
}

ae_status ae_arena_reserve(ae_arena *arena, ae_context *context, size_t count, size_t size, size_t *offset) {
    size_t bytes, padded, end;
    *offset = 0;
    if (arena->base != NULL)
        return ae_fail(context, AE_ERR_STATE, "memory was reserved in an arena that is already allocated");
    if (!ae_mul_size(count, size, &bytes) || __builtin_add_overflow(bytes, (size_t)AE_ALIGNMENT - 1, &padded))
        return ae_fail(context, AE_ERR_OVERFLOW, "%zu elements of %zu bytes are more than can be addressed", count, size);
    padded -= padded % AE_ALIGNMENT;
    if (__builtin_add_overflow(arena->size, padded, &end))
        return ae_fail(context, AE_ERR_OVERFLOW, "%zu elements of %zu bytes after %zu bytes are more than can be addressed",
                       count, size, arena->size);
    *offset = arena->size;
    arena->size = end;
    return AE_OK;
}

ae_status ae_arena_commit(ae_arena *arena, ae_context *context) {
    void *base;
    if (arena->base != NULL)
        return ae_fail(context, AE_ERR_STATE, "the arena is already allocated");
    ae_status status = ae_alloc(context, &base, arena->size, 1);
    arena->base = base;
    return status;
}

void ae_arena_destroy(ae_arena *arena) {
    ae_free(arena->base);
    ae_arena_init(arena);
}
