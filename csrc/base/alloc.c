/* Two kinds of block. Small ones come from the C library and are cleared. Large ones are mapped from the system, which
 * hands out zero pages only when they are touched, at an address where huge pages can lie. Before each block lies a
 * header of one alignment unit that says what to give back; that of a mapped block is in a page of its own, so that the
 * block itself starts on the boundary. Under AddressSanitizer all blocks are small ones, because it does not watch
 * mappings. */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <windows.h>
#elif defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define AE_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AE_ADDRESS_SANITIZER 1
#endif
#endif

#if defined(AE_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)0)
#if defined(MAP_ANONYMOUS) || defined(_WIN32)
#define AE_MAPPED_BLOCKS 1
#endif
#endif

#define HUGE_PAGE ((size_t)2 << 20)
#define MAPPED_FROM ((size_t)4 << 20)
/* No system gives more (57-bit addresses at most), and a sanitizer ends the process when asked for more than 2^40. */
#if SIZE_MAX > 0xffffffff
#define LARGEST ((size_t)1 << 40)
#else
#define LARGEST (SIZE_MAX / 2)
#endif

typedef struct header {
    void *start;   /* what to give back */
    size_t mapped; /* bytes of the mapping; 0: from the C library */
} header;

_Static_assert(sizeof(header) <= AE_ALIGNMENT, "the header fits into one alignment unit");

static atomic_int_least64_t fail_after = -1;
static atomic_int_least64_t allocations, live_blocks;

void ae_alloc_fail_after(int64_t n) { atomic_store(&fail_after, n < 0 ? -1 : n); }

int64_t ae_alloc_count(void) { return atomic_load_explicit(&allocations, memory_order_relaxed); }

int64_t ae_alloc_live(void) { return atomic_load_explicit(&live_blocks, memory_order_relaxed); }

static bool told_to_fail(void) {
    int_least64_t left = atomic_load_explicit(&fail_after, memory_order_relaxed);
    while (left >= 0) {
        if (atomic_compare_exchange_weak(&fail_after, &left, left - 1))
            return left == 0;
    }
    return false;
}

/* ---- what the system gives ---- */

#if defined(_WIN32)

static void *aligned_new(size_t bytes) { return _aligned_malloc(bytes, AE_ALIGNMENT); }
static void aligned_free(void *start) { _aligned_free(start); }
static void *pages_new(size_t bytes) { return VirtualAlloc(NULL, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }
static void advise_huge(void *block, size_t bytes) { (void)block, (void)bytes; }

static void pages_free(void *start, size_t bytes) {
    (void)bytes;
    (void)VirtualFree(start, 0, MEM_RELEASE);
}

#else

static void *aligned_new(size_t bytes) {
    void *start;
    return posix_memalign(&start, AE_ALIGNMENT, bytes) == 0 ? start : NULL;
}

static void aligned_free(void *start) { free(start); }

#if defined(AE_MAPPED_BLOCKS)
static void *pages_new(size_t bytes) {
    void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return start == MAP_FAILED ? NULL : start;
}

static void pages_free(void *start, size_t bytes) { (void)munmap(start, bytes); }

/* Advice: where the system declines, small pages do the same. Only whole huge pages, not the rest of the mapping. */
static void advise_huge(void *block, size_t bytes) {
#if defined(MADV_HUGEPAGE)
    (void)madvise(block, (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#else
    (void)block, (void)bytes;
#endif
}
#endif

#endif

/* ---- blocks ---- */

static char *block_from_library(size_t bytes) {
    void *start = aligned_new(AE_ALIGNMENT + bytes);
    if (start == NULL)
        return NULL;
    char *block = (char *)start + AE_ALIGNMENT;
    memset(start, 0, AE_ALIGNMENT + bytes);
    ((header *)start)->start = start;
    ASAN_POISON_MEMORY_REGION(start, AE_ALIGNMENT);
    return block;
}

#if defined(AE_MAPPED_BLOCKS)
static char *block_from_system(size_t bytes) {
    size_t mapped = bytes + 2 * HUGE_PAGE;
    void *start = pages_new(mapped);
    if (start == NULL)
        return NULL;
    uintptr_t boundary = ((uintptr_t)start + AE_ALIGNMENT + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    char *block = (char *)start + (boundary - (uintptr_t)start);
    advise_huge(block, bytes);
    header *head = (header *)(void *)(block - AE_ALIGNMENT);
    head->start = start;
    head->mapped = mapped;
    return block;
}
#endif

ae_status ae_alloc(ae_context *context, void **out, size_t count, size_t size) {
    size_t bytes;
    *out = NULL;
    if (!ae_mul_size(count, size, &bytes))
        return ae_fail(context, AE_ERR_OVERFLOW, "%zu elements of %zu bytes are more than can be addressed", count, size);
    if (bytes == 0)
        bytes = AE_ALIGNMENT;
    char *block = NULL;
    if (!told_to_fail() && bytes <= LARGEST) {
#if defined(AE_MAPPED_BLOCKS)
        block = bytes >= MAPPED_FROM ? block_from_system(bytes) : block_from_library(bytes);
#else
        block = block_from_library(bytes);
#endif
    }
    if (block == NULL)
        return ae_fail(context, AE_ERR_MEMORY, "could not allocate %zu bytes", bytes);
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    *out = block;
    return AE_OK;
}

void ae_free(void *block) {
    if (block == NULL)
        return;
    header *head = (header *)(void *)((char *)block - AE_ALIGNMENT);
    ASAN_UNPOISON_MEMORY_REGION(head, AE_ALIGNMENT);
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
#if defined(AE_MAPPED_BLOCKS)
    if (head->mapped != 0) {
        pages_free(head->start, head->mapped);
        return;
    }
#endif
    aligned_free(head->start);
}

bool ae_mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }

bool ae_mul_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }

bool ae_add_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_add_overflow(a, b, out); }
