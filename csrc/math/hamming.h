/* Nearest neighbours of binary codes by Hamming distance, exact.
 *
 * A code is a row of packed bits, `bytes` bytes (numpy.packbits). All codes are compared with all queries, by exclusive or and a
 * count of ones over words of 64 bits; ties go to the lower index, so the result is one and the same for any number of
 * threads. Memory: the codes once more as words (not where they are words already), and for each worker k keys for each of at
 * most 16 queries, at most a megabyte unless one query alone needs more. Thread safe apart from the pool. */
#ifndef AE_MATH_HAMMING_H
#define AE_MATH_HAMMING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/pool.h"
#include "base/status.h"

typedef struct ae_hamming_call {
    const uint8_t *codes, *queries; /* (n_codes, bytes), (n_queries, bytes), without gaps */
    int64_t n_codes, n_queries;     /* n_codes up to 2^32 */
    int64_t bytes;                  /* 1 .. 2^24 */
    int64_t k;                      /* 1 .. n_codes */
    int32_t *distances;             /* out: (n_queries, k), ascending */
    int64_t *indices;               /* out: (n_queries, k), ascending where distances are equal */
    bool (*stop)(void *argument);   /* asked now and then from the calling thread; may be NULL */
    void *stop_argument;
} ae_hamming_call;

ae_status ae_hamming_neighbors(ae_context *context, ae_pool *pool, ae_isa isa, const ae_hamming_call *call);

#if defined(AE_BITS)
#include "math/variant.h"

/* out[i] = ones of (code i xor query), for n codes of `words` words each. */
void AE_V(ae_hamming_distances)(int64_t n, int64_t words, const uint64_t *codes, const uint64_t *query, int32_t *out);

#endif
#endif
