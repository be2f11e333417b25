/* A pseudorandom bijection of 0 .. n - 1, computed and not stored: memory does not grow with the rows.
 * A Feistel network over the smallest sufficient number of bits (halves of unequal width, so the domain is below 2n,
 * but never under two bits), walked along its cycle until it lands inside 0 .. n - 1 (Black and Rogaway 2002, "Ciphers
 * with arbitrary finite domains", the second method). Thread safe. */
#ifndef AE_BASE_PERMUTATION_H
#define AE_BASE_PERMUTATION_H

#include <stdint.h>

#include "base/rng.h"

#define AE_PERMUTATION_ROUNDS 32

typedef struct ae_permutation {
    uint64_t n;
    int left_bits, right_bits; /* 0, 0: the identity */
    int rounds;                /* even; more where the halves are narrow */
    uint64_t round_key[AE_PERMUTATION_ROUNDS][2];
} ae_permutation;

/* n up to 2^62. The same key and epoch give the same permutation. */
void ae_permutation_init(ae_permutation *permutation, uint64_t n, ae_key key, uint64_t epoch);

/* The identity on 0 .. n - 1. */
void ae_permutation_identity(ae_permutation *permutation, uint64_t n);

/* i in 0 .. n - 1. */
uint64_t ae_permutation_at(const ae_permutation *permutation, uint64_t i);

/* out[k] = ae_permutation_at(permutation, first + k) for k < count, several times as fast; first + count <= n. */
void ae_permutation_range(const ae_permutation *permutation, uint64_t first, int64_t count, uint64_t *out);

#endif
