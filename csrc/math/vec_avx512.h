/* Vectors of math/vec.h for AVX-512 F, DQ, BW, VL. */
#ifndef AE_MATH_VEC_AVX512_H
#define AE_MATH_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#include "math/variant.h"

#if AE_BITS == 32
#define VL 16
typedef __m512 vec;
typedef __mmask16 vmask;
typedef __m512i uvec;
#define AE_MM(op) _mm512_##op##_ps
#define AE_MM_COMPARE _mm512_cmp_ps_mask
#else
#define VL 8
typedef __m512d vec;
typedef __mmask8 vmask;
typedef __m256i uvec;
#define AE_MM(op) _mm512_##op##_pd
#define AE_MM_COMPARE _mm512_cmp_pd_mask
#endif
#define WL VL

AE_INLINE vec v_load(const real *p) { return AE_MM(loadu)(p); }
AE_INLINE void v_store(real *p, vec a) { AE_MM(storeu)(p, a); }
AE_INLINE vec v_set1(real a) { return AE_MM(set1)(a); }
AE_INLINE vec v_zero(void) { return AE_MM(setzero)(); }

AE_INLINE vec v_add(vec a, vec b) { return AE_MM(add)(a, b); }
AE_INLINE vec v_sub(vec a, vec b) { return AE_MM(sub)(a, b); }
AE_INLINE vec v_mul(vec a, vec b) { return AE_MM(mul)(a, b); }
AE_INLINE vec v_div(vec a, vec b) { return AE_MM(div)(a, b); }
AE_INLINE vec v_sqrt(vec a) { return AE_MM(sqrt)(a); }
AE_INLINE vec v_fma(vec a, vec b, vec c) { return AE_MM(fmadd)(a, b, c); }
AE_INLINE vec v_fnma(vec a, vec b, vec c) { return AE_MM(fnmadd)(a, b, c); }
AE_INLINE vec v_max(vec a, vec b) { return AE_MM(max)(a, b); }
AE_INLINE vec v_min(vec a, vec b) { return AE_MM(min)(a, b); }
AE_INLINE vec v_abs(vec a) { return AE_MM(abs)(a); }
AE_INLINE vec v_neg(vec a) { return AE_MM(xor)(a, v_set1((real)-0.0)); }
AE_INLINE vec v_round(vec a) { return AE_MM(roundscale)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
AE_INLINE vec v_scale(vec a, vec n) { return AE_MM(scalef)(a, n); }

AE_INLINE vmask v_lt(vec a, vec b) { return AE_MM_COMPARE(a, b, _CMP_LT_OQ); }
AE_INLINE vmask v_le(vec a, vec b) { return AE_MM_COMPARE(a, b, _CMP_LE_OQ); }
AE_INLINE vmask v_eq(vec a, vec b) { return AE_MM_COMPARE(a, b, _CMP_EQ_OQ); }
AE_INLINE vmask v_unordered(vec a, vec b) { return AE_MM_COMPARE(a, b, _CMP_UNORD_Q); }
AE_INLINE vmask m_and(vmask a, vmask b) { return (vmask)(a & b); }
AE_INLINE vmask m_or(vmask a, vmask b) { return (vmask)(a | b); }
AE_INLINE vmask m_not(vmask a) { return (vmask)~a; }
AE_INLINE int m_any(vmask a) { return a != 0; }
AE_INLINE unsigned m_bits(vmask a) { return a; }
AE_INLINE vec v_select(vmask m, vec a, vec b) { return AE_MM(mask_blend)(m, b, a); }

AE_INLINE vec v_exponent(vec a) { return v_add(AE_MM(getexp)(a), v_set1(1)); }
AE_INLINE vec v_mantissa(vec a) { return AE_MM(getmant)(a, _MM_MANT_NORM_p5_1, _MM_MANT_SIGN_src); }

/* Four vectors, lanes interleaved: p[4 i + k] = lane i of the k-th. */
AE_INLINE void v_store4(real *p, vec a, vec b, vec c, vec d) {
#if AE_BITS == 32
    __m512d ab_low = _mm512_castps_pd(_mm512_unpacklo_ps(a, b)), ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
    __m512d cd_low = _mm512_castps_pd(_mm512_unpacklo_ps(c, d)), cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
    /* Block k of q<j> is the quadruple of lane 4 k + j. */
    vec q0 = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_low, cd_low)), q1 = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_low, cd_low));
    vec q2 = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high));
    vec q3 = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high));
    vec r0 = _mm512_shuffle_f32x4(q0, q1, 0x44), r1 = _mm512_shuffle_f32x4(q2, q3, 0x44);
    vec r2 = _mm512_shuffle_f32x4(q0, q1, 0xee), r3 = _mm512_shuffle_f32x4(q2, q3, 0xee);
    v_store(p, _mm512_shuffle_f32x4(r0, r1, 0x88));
    v_store(p + 16, _mm512_shuffle_f32x4(r0, r1, 0xdd));
    v_store(p + 32, _mm512_shuffle_f32x4(r2, r3, 0x88));
    v_store(p + 48, _mm512_shuffle_f32x4(r2, r3, 0xdd));
#else
    /* Block k of each pair is of lane 2 k (low) or 2 k + 1 (high). */
    vec ab_low = _mm512_unpacklo_pd(a, b), ab_high = _mm512_unpackhi_pd(a, b);
    vec cd_low = _mm512_unpacklo_pd(c, d), cd_high = _mm512_unpackhi_pd(c, d);
    vec r0 = _mm512_shuffle_f64x2(ab_low, cd_low, 0x44), r1 = _mm512_shuffle_f64x2(ab_high, cd_high, 0x44);
    vec r2 = _mm512_shuffle_f64x2(ab_low, cd_low, 0xee), r3 = _mm512_shuffle_f64x2(ab_high, cd_high, 0xee);
    v_store(p, _mm512_shuffle_f64x2(r0, r1, 0x88));
    v_store(p + 8, _mm512_shuffle_f64x2(r0, r1, 0xdd));
    v_store(p + 16, _mm512_shuffle_f64x2(r2, r3, 0x88));
    v_store(p + 24, _mm512_shuffle_f64x2(r2, r3, 0xdd));
#endif
}

#if AE_BITS == 32

AE_INLINE vec v_iota(void) { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
AE_INLINE vec v_copysign(vec magnitude, vec sign) {
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_set1_epi32((int)0x80000000u), _mm512_castps_si512(sign),
                                                         _mm512_castps_si512(magnitude), 0xca));
}
AE_INLINE vec v_pow2(vec n) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(v_add(n, v_set1(0x1.8p23f + 127))), 23));
}

AE_INLINE uvec u_set1(uint32_t a) { return _mm512_set1_epi32((int)a); }
AE_INLINE uvec u_iota(void) { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
AE_INLINE uvec u_load(const uint32_t *p) { return _mm512_loadu_si512(p); }
AE_INLINE void u_store(uint32_t *p, uvec a) { _mm512_storeu_si512(p, a); }
AE_INLINE uvec u_add(uvec a, uvec b) { return _mm512_add_epi32(a, b); }
AE_INLINE uvec u_xor(uvec a, uvec b) { return _mm512_xor_si512(a, b); }
AE_INLINE vmask u_lt(uvec a, uvec b) { return _mm512_cmplt_epu32_mask(a, b); }
AE_INLINE void u_mul(uvec a, uint32_t constant, uvec *high, uvec *low) {
    uvec c = u_set1(constant);
    uvec even = _mm512_mul_epu32(a, c), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), c);
    *high = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
    *low = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
}
AE_INLINE vec u_low_bf16(uvec w) { return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)); }
AE_INLINE vec u_high_bf16(uvec w) { return _mm512_castsi512_ps(_mm512_and_si512(w, u_set1(0xffff0000u))); }
AE_INLINE uvec u_low_half(uvec w) { return _mm512_and_si512(w, u_set1(0xffff)); }
AE_INLINE uvec u_xorshift(uvec w) {
    w = u_xor(w, _mm512_slli_epi32(w, 13));
    w = u_xor(w, _mm512_srli_epi32(w, 17));
    return u_xor(w, _mm512_slli_epi32(w, 5));
}
AE_INLINE uvec u_round_bf16(vec a, uvec below) {
    const uvec w = _mm512_castps_si512(a);
    return _mm512_mask_or_epi32(u_add(w, below), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), w, u_set1(0x00400000));
}
AE_INLINE uvec u_nearest_bf16(vec a) {
    const uvec w = _mm512_castps_si512(a), odd = _mm512_and_si512(_mm512_srli_epi32(w, 16), u_set1(1));
    return _mm512_mask_and_epi32(u_round_bf16(a, u_add(odd, u_set1(0x7fff))), _mm512_testn_epi32_mask(w, u_set1(0x7f800000)), w,
                                 u_set1(0x80000000u));
}
AE_INLINE uvec u_bf16_pair(uvec a, uvec b) { return _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(a, 16), b); }
AE_INLINE uvec u_bf16_row(uvec a, uvec b) {
    const uvec upper =
        _mm512_set_epi32(0x003f003d, 0x003b0039, 0x00370035, 0x00330031, 0x002f002d, 0x002b0029, 0x00270025, 0x00230021,
                         0x001f001d, 0x001b0019, 0x00170015, 0x00130011, 0x000f000d, 0x000b0009, 0x00070005, 0x00030001);
    return _mm512_permutex2var_epi16(a, upper, b);
}
AE_INLINE vec u_to_unit(uvec w) {
    return v_mul(v_add(_mm512_cvtepi32_ps(_mm512_srli_epi32(w, 9)), v_set1(0.5f)), v_set1(0x1p-23f));
}

#else

AE_INLINE vec v_iota(void) { return _mm512_setr_pd(0, 1, 2, 3, 4, 5, 6, 7); }
AE_INLINE vec v_copysign(vec magnitude, vec sign) {
    return _mm512_castsi512_pd(_mm512_ternarylogic_epi64(_mm512_set1_epi64((long long)0x8000000000000000u),
                                                         _mm512_castpd_si512(sign), _mm512_castpd_si512(magnitude), 0xca));
}
AE_INLINE vec v_pow2(vec n) {
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(v_add(n, v_set1(0x1.8p52 + 1023))), 52));
}

AE_INLINE uvec u_set1(uint32_t a) { return _mm256_set1_epi32((int)a); }
AE_INLINE uvec u_iota(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
AE_INLINE uvec u_load(const uint32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
AE_INLINE void u_store(uint32_t *p, uvec a) { _mm256_storeu_si256((__m256i *)p, a); }
AE_INLINE uvec u_add(uvec a, uvec b) { return _mm256_add_epi32(a, b); }
AE_INLINE uvec u_xor(uvec a, uvec b) { return _mm256_xor_si256(a, b); }
AE_INLINE vmask u_lt(uvec a, uvec b) { return _mm256_cmplt_epu32_mask(a, b); }
AE_INLINE void u_mul(uvec a, uint32_t constant, uvec *high, uvec *low) {
    uvec c = u_set1(constant);
    uvec even = _mm256_mul_epu32(a, c), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), c);
    *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    *low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
}
AE_INLINE vec u_to_unit(uvec w) { return v_mul(v_add(_mm512_cvtepu32_pd(w), v_set1(0.5)), v_set1(0x1p-32)); }

#endif
#endif
