/* Buffers of either precision, and draws to fill them with, for the tests of the vector floor. */
#ifndef AE_TEST_NUMBERS_H
#define AE_TEST_NUMBERS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "vector_variants.h"

enum { ROOM = 1 << 15 };

/* A buffer of either precision. */
typedef union numbers {
    float f[ROOM];
    double d[ROOM];
} numbers;

static inline double get(int bits, const numbers *x, int64_t i) { return bits == 32 ? (double)x->f[i] : x->d[i]; }
static inline void set(int bits, numbers *x, int64_t i, double value) {
    if (bits == 32)
        x->f[i] = (float)value;
    else
        x->d[i] = value;
}

/* The first place where two buffers differ in a bit (any NaN equals any NaN), or -1. */
static inline int64_t difference(int bits, const numbers *x, const numbers *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (isnan(get(bits, x, i)) && isnan(get(bits, y, i)))
            continue;
        if (bits == 32 ? memcmp(x->f + i, y->f + i, 4) : memcmp(x->d + i, y->d + i, 8))
            return i;
    }
    return -1;
}

static uint64_t draws = 88172645463325252u;
static inline uint64_t draw(void) { /* xorshift64, Marsaglia 2003 */
    draws ^= draws << 13;
    draws ^= draws >> 7;
    draws ^= draws << 17;
    return draws;
}
static inline double draw_unit(void) { return ((double)(draw() >> 11) + 0.5) * 0x1p-53; }

/* Ordinary numbers, numbers of all magnitudes, any bits at all, and the special ones. */
static inline double anything(int bits) {
    static const double special[] = {0.0,
                                     -0.0,
                                     INFINITY,
                                     -INFINITY,
                                     NAN,
                                     1,
                                     -1,
                                     0x1p-126,
                                     0x1p-149,
                                     -0x1p-140,
                                     0x1p-1022,
                                     0x1p-1074,
                                     0x1.fffffep127,
                                     0x1.fffffffffffffp1023,
                                     0.5,
                                     1.5,
                                     2.5,
                                     -0.5,
                                     88.5,
                                     -103.9};
    switch (draw() & 7) {
    case 0:
        return special[draw() % (sizeof special / sizeof special[0])];
    case 1:
    case 2: {
        uint64_t raw = draw();
        uint32_t narrow = (uint32_t)raw;
        float f;
        double d;
        memcpy(&f, &narrow, 4);
        memcpy(&d, &raw, 8);
        return bits == 32 ? (double)f : d;
    }
    case 3:
        return (draw() & 1 ? 1 : -1) * exp2(40 * (draw_unit() - 0.5));
    default:
        return 12 * (draw_unit() - 0.5);
    }
}

#define FOR_EACH(v, bits)                       \
    for (int bits = 32; bits <= 64; bits += 32) \
        for (const vector_variant *const *list_ = vector_variants_of(bits), *v = *list_; v; v = *++list_)

#endif
