/* A task is a few queries. It walks over the codes in blocks that stay in the first-level cache, and keeps for each query the k
 * best keys (distance, index) in a heap with the worst on top. Codes come in rising order, so a code as far as the worst
 * kept one never replaces it. */
#include "math/hamming.h"

#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "math/kernels.h"

#define MOST_QUERIES 16
#define HEAP_BYTES (1 << 20)
#define INDEX_BITS 32
#define BLOCK_BYTES (16 << 10)
#define MOST_BLOCK 1024

typedef struct search {
    const ae_hamming_call *call;
    void (*distances)(int64_t n, int64_t words, const uint64_t *codes, const uint64_t *query, int32_t *out);
    const uint64_t *codes;
    int64_t words, block, group; /* codes of a block, queries of a task */
    int64_t first;               /* task 0 */
    char *workers;
    size_t worker_bytes, heap_bytes, query_bytes;
} search;

static void sift_down(uint64_t *heap, int64_t size, int64_t at) {
    const uint64_t key = heap[at];
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child + 1 < size && heap[child + 1] > heap[child])
            child++;
        if (child >= size || heap[child] <= key)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = key;
}

static void make_heap(uint64_t *heap, int64_t size) {
    for (int64_t i = size / 2 - 1; i >= 0; i--)
        sift_down(heap, size, i);
}

static uint64_t key_of(int32_t distance, int64_t index) { return (uint64_t)distance << INDEX_BITS | (uint64_t)index; }

/* Codes first .. first + n - 1 and their distances. The first k fill the heap, which is put into order when it is full. */
static void take(const search *s, uint64_t *heap, int64_t first, int64_t n, const int32_t *distance) {
    const int64_t k = s->call->k;
    int64_t i = 0;
    if (first < k) {
        for (; i < n && first + i < k; i++)
            heap[first + i] = key_of(distance[i], first + i);
        if (first + i < k)
            return;
        make_heap(heap, k);
    }
    int32_t worst = (int32_t)(heap[0] >> INDEX_BITS);
    for (; i < n; i++)
        if (distance[i] < worst) {
            heap[0] = key_of(distance[i], first + i);
            sift_down(heap, k, 0);
            worst = (int32_t)(heap[0] >> INDEX_BITS);
        }
}

/* Takes the worst off the heap, from the last place to the first. */
static void write_out(const search *s, uint64_t *heap, int64_t query) {
    const int64_t k = s->call->k;
    for (int64_t left = k; left > 0; left--) {
        const uint64_t worst = heap[0];
        heap[0] = heap[left - 1];
        sift_down(heap, left - 1, 0);
        s->call->distances[query * k + left - 1] = (int32_t)(worst >> INDEX_BITS);
        s->call->indices[query * k + left - 1] = (int64_t)(worst & UINT32_MAX);
    }
}

static void to_words(const search *s, const uint8_t *rows, int64_t n, uint64_t *out) {
    for (int64_t i = 0; i < n; i++) {
        out[(i + 1) * s->words - 1] = 0;
        memcpy(out + i * s->words, rows + i * s->call->bytes, (size_t)s->call->bytes);
    }
}

static void search_task(void *argument, int64_t task, int worker) {
    const search *s = argument;
    const ae_hamming_call *call = s->call;
    char *memory = s->workers + (size_t)worker * s->worker_bytes;
    uint64_t *heaps = (uint64_t *)(void *)memory, *queries = (uint64_t *)(void *)(memory + s->heap_bytes);
    int32_t *distance = (int32_t *)(void *)(memory + s->heap_bytes + s->query_bytes);
    const int64_t from = (s->first + task) * s->group;
    const int64_t n_queries = call->n_queries - from < s->group ? call->n_queries - from : s->group;
    to_words(s, call->queries + from * call->bytes, n_queries, queries);
    for (int64_t first = 0; first < call->n_codes; first += s->block) {
        const int64_t n = call->n_codes - first < s->block ? call->n_codes - first : s->block;
        for (int64_t q = 0; q < n_queries; q++) {
            s->distances(n, s->words, s->codes + first * s->words, queries + q * s->words, distance);
            take(s, heaps + q * call->k, first, n, distance);
        }
    }
    for (int64_t q = 0; q < n_queries; q++)
        write_out(s, heaps + q * call->k, from + q);
}

typedef struct packing {
    const search *search;
    uint64_t *out;
} packing;

enum { PACKED_AT_ONCE = 4096 };

static void pack_task(void *argument, int64_t task, int worker) {
    const packing *p = argument;
    const ae_hamming_call *call = p->search->call;
    const int64_t first = task * PACKED_AT_ONCE, left = call->n_codes - first;
    (void)worker;
    to_words(p->search, call->codes + first * call->bytes, left < PACKED_AT_ONCE ? left : PACKED_AT_ONCE,
             p->out + first * p->search->words);
}

static ae_status check_call(ae_context *context, const ae_hamming_call *call) {
    if (call->bytes < 1 || call->bytes > 1 << 24)
        return ae_fail(context, AE_ERR_VALUE, "codes of %lld bytes; 1 to %d are allowed", (long long)call->bytes, 1 << 24);
    if (call->n_codes < 1 || call->n_codes > (int64_t)1 << INDEX_BITS)
        return ae_fail(context, AE_ERR_VALUE, "%lld codes; 1 to 2^32 are allowed", (long long)call->n_codes);
    if (call->k < 1 || call->k > call->n_codes)
        return ae_fail(context, AE_ERR_VALUE, "k is %lld; it must be 1 to the number of codes, %lld", (long long)call->k,
                       (long long)call->n_codes);
    return AE_OK;
}

static size_t rounded(size_t bytes) { return (bytes + AE_ALIGNMENT - 1) / AE_ALIGNMENT * AE_ALIGNMENT; }

ae_status ae_hamming_neighbors(ae_context *context, ae_pool *pool, ae_isa isa, const ae_hamming_call *call) {
    ae_status status;
    ae_arena arena;
    size_t packed = 0, workers;
    search s = {.call = call, .words = (call->bytes + 7) / 8};
    ae_arena_init(&arena);
    AE_TRY(check_call(context, call));
    const ae_kernels *kernels = ae_kernels_get(32, isa);
    if (!kernels) {
        status = ae_fail(context, AE_ERR_UNAVAILABLE, "no variant for %s in this build", ae_isa_name(isa));
        goto cleanup;
    }
    s.distances = kernels->hamming_distances;
    s.block = BLOCK_BYTES / (s.words * 8);
    s.block = s.block < 1 ? 1 : s.block > MOST_BLOCK ? MOST_BLOCK : s.block;
    s.group = HEAP_BYTES / 8 / call->k;
    s.group = s.group < 1 ? 1 : s.group > MOST_QUERIES ? MOST_QUERIES : s.group;
    s.heap_bytes = rounded((size_t)(s.group * call->k) * sizeof(uint64_t));
    s.query_bytes = rounded((size_t)(s.group * s.words) * sizeof(uint64_t));
    s.worker_bytes = s.heap_bytes + s.query_bytes + rounded((size_t)s.block * sizeof(int32_t));
    const bool in_place = call->bytes % 8 == 0 && (uintptr_t)call->codes % 8 == 0;
    if (!in_place)
        AE_TRY(ae_arena_reserve(&arena, context, (size_t)call->n_codes, (size_t)s.words * 8, &packed));
    AE_TRY(ae_arena_reserve(&arena, context, (size_t)ae_pool_size(pool), s.worker_bytes, &workers));
    AE_TRY(ae_arena_commit(&arena, context));
    s.workers = ae_arena_at(&arena, workers);
    s.codes = (const uint64_t *)(const void *)call->codes;
    if (!in_place) {
        packing p = {&s, ae_arena_at(&arena, packed)};
        s.codes = p.out;
        ae_pool_run(pool, pack_task, &p, (call->n_codes + PACKED_AT_ONCE - 1) / PACKED_AT_ONCE, 0);
    }
    /* Between the questions to `stop` about 2e8 words pass. */
    const double most = 2e8 / ((double)call->n_codes * (double)s.words * (double)s.group);
    const int64_t size = ae_pool_size(pool), at_once = most < (double)size ? size : most > 1e6 ? 1000000 : (int64_t)most;
    const int64_t tasks = (call->n_queries + s.group - 1) / s.group;
    for (s.first = 0; s.first < tasks; s.first += at_once) {
        if (s.first && call->stop && call->stop(call->stop_argument)) {
            status = ae_fail(context, AE_ERR_INTERRUPTED, "the search was interrupted");
            goto cleanup;
        }
        ae_pool_run(pool, search_task, &s, tasks - s.first < at_once ? tasks - s.first : at_once, 0);
    }
cleanup:
    ae_arena_destroy(&arena);
    return status;
}
