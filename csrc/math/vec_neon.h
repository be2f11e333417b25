/* Vectors of math/vec.h for 64-bit Arm. */
#ifndef AE_MATH_VEC_NEON_H
#define AE_MATH_VEC_NEON_H

#include <arm_neon.h>
#include <stdint.h>

#include "math/variant.h"

#if AE_BITS == 32
#define VL 4
typedef float32x4_t vec;
typedef uint32x4_t vmask;
typedef uint32x4_t uvec;
#define AE_NEON(op) op##_f32
#else
#define VL 2
typedef float64x2_t vec;
typedef uint64x2_t vmask;
typedef uint32x2_t uvec;
#define AE_NEON(op) op##_f64
#endif
#define WL VL

AE_INLINE vec v_load(const real *p) { return AE_NEON(vld1q)(p); }
AE_INLINE void v_store(real *p, vec a) { AE_NEON(vst1q)(p, a); }
AE_INLINE vec v_set1(real a) { return AE_NEON(vdupq_n)(a); }
AE_INLINE vec v_zero(void) { return v_set1(0); }

AE_INLINE vec v_add(vec a, vec b) { return AE_NEON(vaddq)(a, b); }
AE_INLINE vec v_sub(vec a, vec b) { return AE_NEON(vsubq)(a, b); }
AE_INLINE vec v_mul(vec a, vec b) { return AE_NEON(vmulq)(a, b); }
AE_INLINE vec v_div(vec a, vec b) { return AE_NEON(vdivq)(a, b); }
AE_INLINE vec v_sqrt(vec a) { return AE_NEON(vsqrtq)(a); }
AE_INLINE vec v_fma(vec a, vec b, vec c) { return AE_NEON(vfmaq)(c, a, b); }
AE_INLINE vec v_fnma(vec a, vec b, vec c) { return AE_NEON(vfmsq)(c, a, b); }
AE_INLINE vec v_abs(vec a) { return AE_NEON(vabsq)(a); }
AE_INLINE vec v_neg(vec a) { return AE_NEON(vnegq)(a); }
AE_INLINE vec v_round(vec a) { return AE_NEON(vrndnq)(a); }

AE_INLINE vmask v_lt(vec a, vec b) { return AE_NEON(vcltq)(a, b); }
AE_INLINE vmask v_le(vec a, vec b) { return AE_NEON(vcleq)(a, b); }
AE_INLINE vmask v_eq(vec a, vec b) { return AE_NEON(vceqq)(a, b); }
AE_INLINE vec v_select(vmask m, vec a, vec b) { return AE_NEON(vbslq)(m, a, b); }
/* vmaxq would give a NaN where either is one. */
AE_INLINE vec v_max(vec a, vec b) { return v_select(v_lt(b, a), a, b); }
AE_INLINE vec v_min(vec a, vec b) { return v_select(v_lt(a, b), a, b); }

#if AE_BITS == 32

AE_INLINE vmask m_and(vmask a, vmask b) { return vandq_u32(a, b); }
AE_INLINE vmask m_or(vmask a, vmask b) { return vorrq_u32(a, b); }
AE_INLINE vmask m_not(vmask a) { return vmvnq_u32(a); }
AE_INLINE int m_any(vmask a) { return vmaxvq_u32(a) != 0; }
AE_INLINE unsigned m_bits(vmask a) {
    static const uint32_t lanes[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(a, vld1q_u32(lanes)));
}

AE_INLINE vec v_iota(void) {
    static const float lanes[4] = {0, 1, 2, 3};
    return vld1q_f32(lanes);
}
AE_INLINE vec v_copysign(vec magnitude, vec sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude); }
/* n + bias lands in the low bits of the sum's mantissa. */
AE_INLINE vec v_pow2(vec n) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(v_add(n, v_set1(0x1.8p23f + 127))), 23));
}
AE_INLINE vec v_exponent(vec a) { return v_sub(vcvtq_f32_u32(vshrq_n_u32(vreinterpretq_u32_f32(a), 23)), v_set1(126)); }
AE_INLINE vec v_mantissa(vec a) { return vbslq_f32(vdupq_n_u32(0x007fffffu), a, v_set1(0.5f)); }
AE_INLINE void v_store4(real *p, vec a, vec b, vec c, vec d) {
    float32x4x4_t quadruple = {{a, b, c, d}};
    vst4q_f32(p, quadruple);
}

AE_INLINE uvec u_set1(uint32_t a) { return vdupq_n_u32(a); }
AE_INLINE uvec u_iota(void) {
    static const uint32_t lanes[4] = {0, 1, 2, 3};
    return vld1q_u32(lanes);
}
AE_INLINE uvec u_load(const uint32_t *p) { return vld1q_u32(p); }
AE_INLINE void u_store(uint32_t *p, uvec a) { vst1q_u32(p, a); }
AE_INLINE uvec u_add(uvec a, uvec b) { return vaddq_u32(a, b); }
AE_INLINE uvec u_xor(uvec a, uvec b) { return veorq_u32(a, b); }
AE_INLINE vmask u_lt(uvec a, uvec b) { return vcltq_u32(a, b); }
AE_INLINE void u_mul(uvec a, uint32_t constant, uvec *high, uvec *low) {
    uint32x2_t c = vdup_n_u32(constant);
    uint32x4_t first = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(a), c));
    uint32x4_t second = vreinterpretq_u32_u64(vmull_u32(vget_high_u32(a), c));
    *low = vuzp1q_u32(first, second);
    *high = vuzp2q_u32(first, second);
}
AE_INLINE vec u_low_bf16(uvec w) { return vreinterpretq_f32_u32(vshlq_n_u32(w, 16)); }
AE_INLINE vec u_high_bf16(uvec w) { return vreinterpretq_f32_u32(vandq_u32(w, vdupq_n_u32(0xffff0000u))); }
AE_INLINE uvec u_low_half(uvec w) { return vandq_u32(w, vdupq_n_u32(0xffff)); }
AE_INLINE uvec u_xorshift(uvec w) {
    w = u_xor(w, vshlq_n_u32(w, 13));
    w = u_xor(w, vshrq_n_u32(w, 17));
    return u_xor(w, vshlq_n_u32(w, 5));
}
AE_INLINE uvec u_round_bf16(vec a, uvec below) {
    const uvec w = vreinterpretq_u32_f32(a);
    return vbslq_u32(vceqq_f32(a, a), vaddq_u32(w, below), vorrq_u32(w, vdupq_n_u32(0x00400000)));
}
AE_INLINE uvec u_nearest_bf16(vec a) {
    const uvec w = vreinterpretq_u32_f32(a), odd = vandq_u32(vshrq_n_u32(w, 16), vdupq_n_u32(1));
    const uvec small = vceqzq_u32(vandq_u32(w, vdupq_n_u32(0x7f800000)));
    return vbicq_u32(u_round_bf16(a, vaddq_u32(odd, vdupq_n_u32(0x7fff))), vshrq_n_u32(small, 1));
}
AE_INLINE uvec u_bf16_pair(uvec a, uvec b) { return vsriq_n_u32(b, a, 16); }
AE_INLINE uvec u_bf16_row(uvec a, uvec b) {
    return vreinterpretq_u32_u16(vuzp2q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b)));
}
AE_INLINE vec u_to_unit(uvec w) { return v_mul(v_add(vcvtq_f32_u32(vshrq_n_u32(w, 9)), v_set1(0.5f)), v_set1(0x1p-23f)); }

#else

AE_INLINE vmask m_and(vmask a, vmask b) { return vandq_u64(a, b); }
AE_INLINE vmask m_or(vmask a, vmask b) { return vorrq_u64(a, b); }
AE_INLINE vmask m_not(vmask a) { return veorq_u64(a, vdupq_n_u64(~(uint64_t)0)); }
AE_INLINE int m_any(vmask a) { return vmaxvq_u32(vreinterpretq_u32_u64(a)) != 0; }
AE_INLINE unsigned m_bits(vmask a) { return (unsigned)((vgetq_lane_u64(a, 0) & 1) | (vgetq_lane_u64(a, 1) & 2)); }

AE_INLINE vec v_iota(void) {
    static const double lanes[2] = {0, 1};
    return vld1q_f64(lanes);
}
AE_INLINE vec v_copysign(vec magnitude, vec sign) { return vbslq_f64(vdupq_n_u64(0x8000000000000000u), sign, magnitude); }
/* n + bias lands in the low bits of the sum's mantissa. */
AE_INLINE vec v_pow2(vec n) {
    return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(v_add(n, v_set1(0x1.8p52 + 1023))), 52));
}
AE_INLINE vec v_exponent(vec a) { return v_sub(vcvtq_f64_u64(vshrq_n_u64(vreinterpretq_u64_f64(a), 52)), v_set1(1022)); }
AE_INLINE vec v_mantissa(vec a) { return vbslq_f64(vdupq_n_u64(0x000fffffffffffffu), a, v_set1(0.5)); }
AE_INLINE void v_store4(real *p, vec a, vec b, vec c, vec d) {
    float64x2x4_t quadruple = {{a, b, c, d}};
    vst4q_f64(p, quadruple);
}

AE_INLINE uvec u_set1(uint32_t a) { return vdup_n_u32(a); }
AE_INLINE uvec u_iota(void) {
    static const uint32_t lanes[2] = {0, 1};
    return vld1_u32(lanes);
}
AE_INLINE uvec u_load(const uint32_t *p) { return vld1_u32(p); }
AE_INLINE void u_store(uint32_t *p, uvec a) { vst1_u32(p, a); }
AE_INLINE uvec u_add(uvec a, uvec b) { return vadd_u32(a, b); }
AE_INLINE uvec u_xor(uvec a, uvec b) { return veor_u32(a, b); }
AE_INLINE vmask u_lt(uvec a, uvec b) { return vreinterpretq_u64_s64(vmovl_s32(vreinterpret_s32_u32(vclt_u32(a, b)))); }
AE_INLINE void u_mul(uvec a, uint32_t constant, uvec *high, uvec *low) {
    uint64x2_t product = vmull_u32(a, vdup_n_u32(constant));
    *low = vmovn_u64(product);
    *high = vshrn_n_u64(product, 32);
}
AE_INLINE vec u_to_unit(uvec w) { return v_mul(v_add(vcvtq_f64_u64(vmovl_u32(w)), v_set1(0.5)), v_set1(0x1p-32)); }

#endif

AE_INLINE vmask v_unordered(vec a, vec b) { return m_not(m_and(v_eq(a, a), v_eq(b, b))); }
AE_INLINE vec v_scale(vec a, vec n) {
    vec half = v_round(v_mul(n, v_set1((real)0.5)));
    return v_mul(v_mul(a, v_pow2(half)), v_pow2(v_sub(n, half)));
}

#endif
