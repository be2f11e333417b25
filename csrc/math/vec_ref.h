/* Vectors of math/vec.h of one lane: plain C, the definition of what the others compute. */
#ifndef AE_MATH_VEC_REF_H
#define AE_MATH_VEC_REF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "math/variant.h"

#define VL 1
#define WL VL
typedef real vec;
typedef int vmask;
typedef uint32_t uvec;

#if AE_BITS == 32
#define AE_LIBM(name) name##f
#define AE_EXPONENT_BITS 0x1p23f
#define AE_EXPONENT_BIAS 127
#define AE_MANTISSA_BITS 23
typedef uint32_t ae_bits;
#else
#define AE_LIBM(name) name
#define AE_EXPONENT_BITS 0x1p52
#define AE_EXPONENT_BIAS 1023
#define AE_MANTISSA_BITS 52
typedef uint64_t ae_bits;
#endif

AE_INLINE ae_bits ae_to_bits(real a) {
    ae_bits bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
AE_INLINE real ae_from_bits(ae_bits bits) {
    real a;
    memcpy(&a, &bits, sizeof a);
    return a;
}

AE_INLINE vec v_load(const real *p) { return *p; }
AE_INLINE void v_store(real *p, vec a) { *p = a; }
AE_INLINE vec v_set1(real a) { return a; }
AE_INLINE vec v_zero(void) { return 0; }
AE_INLINE vec v_iota(void) { return 0; }

AE_INLINE vec v_add(vec a, vec b) { return a + b; }
AE_INLINE vec v_sub(vec a, vec b) { return a - b; }
AE_INLINE vec v_mul(vec a, vec b) { return a * b; }
AE_INLINE vec v_div(vec a, vec b) { return a / b; }
AE_INLINE vec v_sqrt(vec a) { return AE_LIBM(sqrt)(a); }
AE_INLINE vec v_fma(vec a, vec b, vec c) { return AE_LIBM(fma)(a, b, c); }
AE_INLINE vec v_fnma(vec a, vec b, vec c) { return AE_LIBM(fma)(-a, b, c); }
AE_INLINE vec v_max(vec a, vec b) { return a > b ? a : b; }
AE_INLINE vec v_min(vec a, vec b) { return a < b ? a : b; }
AE_INLINE vec v_abs(vec a) { return AE_LIBM(fabs)(a); }
AE_INLINE vec v_neg(vec a) { return -a; }
AE_INLINE vec v_copysign(vec magnitude, vec sign) { return AE_LIBM(copysign)(magnitude, sign); }
/* Adding 2^mantissa bits leaves no room for a fraction; the rounding is that of the addition. */
AE_INLINE vec v_round(vec a) {
    vec magnitude = v_abs(a), shifted = magnitude + AE_EXPONENT_BITS;
    return magnitude < AE_EXPONENT_BITS ? v_copysign(shifted - AE_EXPONENT_BITS, a) : a;
}

AE_INLINE vmask v_lt(vec a, vec b) { return a < b; }
AE_INLINE vmask v_le(vec a, vec b) { return a <= b; }
AE_INLINE vmask v_eq(vec a, vec b) { return a == b; }
AE_INLINE vmask v_unordered(vec a, vec b) { return a != a || b != b; }
AE_INLINE vmask m_and(vmask a, vmask b) { return a && b; }
AE_INLINE vmask m_or(vmask a, vmask b) { return a || b; }
AE_INLINE vmask m_not(vmask a) { return !a; }
AE_INLINE int m_any(vmask a) { return a; }
AE_INLINE unsigned m_bits(vmask a) { return (unsigned)a; }
AE_INLINE vec v_select(vmask m, vec a, vec b) { return m ? a : b; }

/* n + bias lands in the low bits of the sum's mantissa. */
AE_INLINE vec v_pow2(vec n) {
    return ae_from_bits(ae_to_bits(n + ((real)1.5 * AE_EXPONENT_BITS + AE_EXPONENT_BIAS)) << AE_MANTISSA_BITS);
}
AE_INLINE vec v_exponent(vec a) { return (real)((int32_t)(ae_to_bits(a) >> AE_MANTISSA_BITS) - (AE_EXPONENT_BIAS - 1)); }
AE_INLINE vec v_mantissa(vec a) {
    ae_bits fraction = ae_to_bits(a) & (((ae_bits)1 << AE_MANTISSA_BITS) - 1);
    return ae_from_bits(fraction | (ae_bits)(AE_EXPONENT_BIAS - 1) << AE_MANTISSA_BITS);
}
AE_INLINE vec v_scale(vec a, vec n) {
    vec half = v_round(n * (real)0.5);
    return a * v_pow2(half) * v_pow2(n - half);
}

AE_INLINE void v_store4(real *p, vec a, vec b, vec c, vec d) {
    p[0] = a;
    p[1] = b;
    p[2] = c;
    p[3] = d;
}

AE_INLINE uvec u_set1(uint32_t a) { return a; }
AE_INLINE uvec u_iota(void) { return 0; }
AE_INLINE uvec u_load(const uint32_t *p) { return *p; }
AE_INLINE void u_store(uint32_t *p, uvec a) { *p = a; }
AE_INLINE uvec u_add(uvec a, uvec b) { return a + b; }
AE_INLINE uvec u_xor(uvec a, uvec b) { return a ^ b; }
AE_INLINE vmask u_lt(uvec a, uvec b) { return a < b; }
AE_INLINE void u_mul(uvec a, uint32_t constant, uvec *high, uvec *low) {
    uint64_t product = (uint64_t)a * constant;
    *high = (uint32_t)(product >> 32);
    *low = (uint32_t)product;
}
#if AE_BITS == 32
AE_INLINE vec u_low_bf16(uvec w) { return ae_from_bits(w << 16); }
AE_INLINE vec u_high_bf16(uvec w) { return ae_from_bits(w & 0xffff0000u); }
AE_INLINE uvec u_low_half(uvec w) { return w & 0xffffu; }
AE_INLINE uvec u_xorshift(uvec w) {
    w ^= w << 13;
    w ^= w >> 17;
    return w ^ w << 5;
}
AE_INLINE uvec u_round_bf16(vec a, uvec below) {
    const uvec w = ae_to_bits(a);
    return (w & 0x7fffffffu) > 0x7f800000u ? w | 0x00400000u : w + below;
}
AE_INLINE uvec u_nearest_bf16(vec a) {
    const uvec w = ae_to_bits(a);
    return w & 0x7f800000u ? u_round_bf16(a, 0x7fffu + (w >> 16 & 1u)) : w & 0x80000000u;
}
AE_INLINE uvec u_bf16_pair(uvec a, uvec b) { return a >> 16 | (b & 0xffff0000u); }
AE_INLINE uvec u_bf16_row(uvec a, uvec b) { return u_bf16_pair(a, b); }
#endif
AE_INLINE vec u_to_unit(uvec w) {
#if AE_BITS == 32
    return ((float)(w >> 9) + 0.5f) * 0x1p-23f;
#else
    return ((double)w + 0.5) * 0x1p-32;
#endif
}

#endif
