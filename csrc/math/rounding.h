/* Rounding to bfloat16 at random, for loops that round what they have just computed; ae_random_round (math/random.h) rounds so. Included by
 * sources that are compiled by variant. */
#ifndef AE_MATH_ROUNDING_H
#define AE_MATH_ROUNDING_H

#include "base/rng.h"
#include "math/vec.h"

/* Philox 4x32-10 for WL consecutive counters {first + lane, row, step low, step high}; base/rng.h draws the same. */
AE_INLINE void philox(ae_key key, uint32_t first, uint32_t row, uint64_t step, uvec w[4]) {
    uvec c0 = u_add(u_set1(first), u_iota()), c1 = u_set1(row);
    uvec c2 = u_set1((uint32_t)step), c3 = u_set1((uint32_t)(step >> 32));
    uint32_t k0 = key.k[0], k1 = key.k[1];
    for (int round = 0; round < 10; round++) {
        uvec high0, low0, high1, low1;
        u_mul(c0, 0xD2511F53u, &high0, &low0);
        u_mul(c2, 0xCD9E8D57u, &high1, &low1);
        c0 = u_xor(u_xor(high1, c1), u_set1(k0));
        c1 = low1;
        c2 = u_xor(u_xor(high0, c3), u_set1(k1));
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    w[0] = c0;
    w[1] = c1;
    w[2] = c2;
    w[3] = c3;
}

#if AE_BITS == 32

/* 16 random bits below each number of array `i`: words have two, and a third by Weyl's multiplier, well mixed in its upper half. */
AE_INLINE uvec rounding_below(uvec w, const int i) {
    if (i == 0)
        return u_low_half(w);
    if (i == 2) {
        uvec high;
        u_mul(w, 0x9E3779B9u, &high, &w);
    }
    return u_bf16_pair(w, u_set1(0));
}

/* Numbers 0 .. 15 and 16 .. 31 of a row of array `i` as words of two, by the row's words. */
AE_INLINE uvec rounded_pair(const uvec words[2], const int i, vec low, vec high) {
    return u_bf16_pair(u_round_bf16(low, rounding_below(words[0], i)), u_round_bf16(high, rounding_below(words[1], i)));
}

/* What the next but one row rounds by: numbers are too many, and need too little, for each to have a word of Philox. */
AE_INLINE void rounding_next(uvec words[2]) {
    words[0] = u_xorshift(words[0]);
    words[1] = u_xorshift(words[1]);
}

#endif
#endif
