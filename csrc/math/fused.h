/* a * b + c, rounded once, in arithmetic that every machine has: for C libraries whose fma() rounds twice. The rounding is
 * to nearest even. Compiled for speed nowhere: a machine with the instruction never gets here. */
#ifndef AE_MATH_FUSED_H
#define AE_MATH_FUSED_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The product of two floats is exact in a double. Its sum with the third is rounded to odd there (the exact error of the
 * sum, by Knuth's TwoSum, says to which side), after which rounding to a float is as if there had been one alone: S. Boldo
 * and G. Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd", IEEE
 * Transactions on Computers 57(4), 2008. */
static inline float ae_fused_f32(float a, float b, float c) {
    const double product = (double)a * (double)b, sum = product + (double)c, back = sum - product;
    const double error = (product - (sum - back)) + ((double)c - back);
    double odd = sum;
    int64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if ((error > 0 || error < 0) && !(bits & 1)) {
        bits += (error > 0) == (sum > 0) ? 1 : -1;
        memcpy(&odd, &bits, sizeof odd);
    }
    return (float)odd;
}

/* A finite number other than zero is (-1)^negative significand 2^exponent, the significand of 53 bits. */
typedef struct ae_fused_parts {
    uint64_t significand;
    int exponent;
    bool negative;
} ae_fused_parts;

static inline ae_fused_parts ae_fused_split(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    const int biased = (int)(bits >> 52 & 0x7ff);
    if (biased > 0)
        return (ae_fused_parts){fraction | (uint64_t)1 << 52, biased - 1075, bits >> 63};
    const int up = __builtin_clzll(fraction) - 11;
    return (ae_fused_parts){fraction << up, -1074 - up, bits >> 63};
}

__extension__ typedef unsigned __int128 ae_fused_wide;

/* x / 2^n; the lowest bit says whether anything was lost. */
static inline ae_fused_wide ae_fused_shift(ae_fused_wide x, int n) {
    if (n >= 128)
        return x != 0;
    return n == 0 ? x : x >> n | ((x & (((ae_fused_wide)1 << n) - 1)) != 0);
}

/* (-1)^negative sum 2^exponent, sum not 0 and below 2^127, rounded. */
static inline double ae_fused_round(bool negative, ae_fused_wide sum, int exponent) {
    const uint64_t high = (uint64_t)(sum >> 64);
    const int top = high ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll((uint64_t)sum);
    const bool normal = top + exponent >= -1022;
    const int dropped = normal ? top - 52 : -1074 - exponent;
    uint64_t kept;
    if (dropped <= 0) {
        kept = (uint64_t)(sum << -dropped);
    } else if (dropped > 127) {
        kept = 0;
    } else {
        const ae_fused_wide half = (ae_fused_wide)1 << (dropped - 1), rest = sum & (2 * half - 1);
        kept = (uint64_t)(sum >> dropped);
        kept += rest > half || (rest == half && (kept & 1));
    }
    const int biased = normal ? top + exponent + 1023 : 1;
    uint64_t bits = biased >= 0x7ff ? (uint64_t)0x7ff << 52 : ((uint64_t)(biased - 1) << 52) + kept;
    bits |= (uint64_t)negative << 63;
    double result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/* In whole numbers of 128 bits. The product has its top bit at 124 or 125, and the third number is put beside it; if that is
 * far larger it has its own top bit at 125 and the product is shifted. What is shifted out counts as one lowest bit, and
 * only where the two are too far apart to cancel. */
static inline double ae_fused_f64(double a, double b, double c) {
    if (!isfinite(a) || !isfinite(b) || a == 0 || b == 0)
        return a * b + c;
    if (!isfinite(c))
        return c; /* the product is not infinite, however large */
    if (c == 0)
        return a * b;
    const ae_fused_parts x = ae_fused_split(a), y = ae_fused_split(b), z = ae_fused_split(c);
    const bool negative = x.negative != y.negative;
    ae_fused_wide product = (ae_fused_wide)x.significand * y.significand << 20, third = z.significand;
    int exponent = x.exponent + y.exponent - 20;
    const int apart = z.exponent - exponent;
    if (apart > 73) {
        third <<= 73;
        product = ae_fused_shift(product, apart - 73);
        exponent = z.exponent - 73;
    } else if (apart >= 0) {
        third <<= apart;
    } else {
        third = ae_fused_shift(third, -apart);
    }
    if (negative == z.negative)
        return ae_fused_round(negative, product + third, exponent);
    if (product == third)
        return 0;
    return product > third ? ae_fused_round(negative, product - third, exponent)
                           : ae_fused_round(z.negative, third - product, exponent);
}

#endif
