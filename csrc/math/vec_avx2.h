/* Vectors of math/vec.h for AVX2 with FMA. A mask is a vector of all-ones and all-zeros lanes. */
#ifndef AE_MATH_VEC_AVX2_H
#define AE_MATH_VEC_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#include "math/variant.h"

#if AE_BITS == 32
#define VL 8
typedef __m256 vec;
typedef __m256 vmask;
typedef __m256i uvec;
#define AE_MM(op) _mm256_##op##_ps
#else
#define VL 4
typedef __m256d vec;
typedef __m256d vmask;
typedef __m128i uvec;
#define AE_MM(op) _mm256_##op##_pd
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
AE_INLINE vec v_abs(vec a) { return AE_MM(andnot)(v_set1((real)-0.0), a); }
AE_INLINE vec v_neg(vec a) { return AE_MM(xor)(a, v_set1((real)-0.0)); }
AE_INLINE vec v_copysign(vec magnitude, vec sign) {
    vec bit = v_set1((real)-0.0);
    return AE_MM(or)(AE_MM(andnot)(bit, magnitude), AE_MM(and)(bit, sign));
}
AE_INLINE vec v_round(vec a) { return AE_MM(round)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

AE_INLINE vmask v_lt(vec a, vec b) { return AE_MM(cmp)(a, b, _CMP_LT_OQ); }
AE_INLINE vmask v_le(vec a, vec b) { return AE_MM(cmp)(a, b, _CMP_LE_OQ); }
AE_INLINE vmask v_eq(vec a, vec b) { return AE_MM(cmp)(a, b, _CMP_EQ_OQ); }
AE_INLINE vmask v_unordered(vec a, vec b) { return AE_MM(cmp)(a, b, _CMP_UNORD_Q); }
AE_INLINE vmask m_and(vmask a, vmask b) { return AE_MM(and)(a, b); }
AE_INLINE vmask m_or(vmask a, vmask b) { return AE_MM(or)(a, b); }
AE_INLINE vmask m_not(vmask a) { return AE_MM(xor)(a, AE_MM(cmp)(v_zero(), v_zero(), _CMP_EQ_OQ)); }
AE_INLINE int m_any(vmask a) { return AE_MM(movemask)(a) != 0; }
AE_INLINE unsigned m_bits(vmask a) { return (unsigned)AE_MM(movemask)(a); }
AE_INLINE vec v_select(vmask m, vec a, vec b) { return AE_MM(blendv)(b, a, m); }

/* Four vectors, lanes interleaved: p[4 i + k] = lane i of the k-th. */
AE_INLINE void v_store4(real *p, vec a, vec b, vec c, vec d) {
#if AE_BITS == 32
    __m256d ab_low = _mm256_castps_pd(_mm256_unpacklo_ps(a, b)), ab_high = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
    __m256d cd_low = _mm256_castps_pd(_mm256_unpacklo_ps(c, d)), cd_high = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
    /* Half k of q<j> is the quadruple of lane 4 k + j. */
    vec q0 = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_low, cd_low)), q1 = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_low, cd_low));
    vec q2 = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_high, cd_high));
    vec q3 = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_high, cd_high));
    v_store(p, _mm256_permute2f128_ps(q0, q1, 0x20));
    v_store(p + 8, _mm256_permute2f128_ps(q2, q3, 0x20));
    v_store(p + 16, _mm256_permute2f128_ps(q0, q1, 0x31));
    v_store(p + 24, _mm256_permute2f128_ps(q2, q3, 0x31));
#else
    /* Half k of each pair is of lane 2 k (low) or 2 k + 1 (high). */
    vec ab_low = _mm256_unpacklo_pd(a, b), ab_high = _mm256_unpackhi_pd(a, b);
    vec cd_low = _mm256_unpacklo_pd(c, d), cd_high = _mm256_unpackhi_pd(c, d);
    v_store(p, _mm256_permute2f128_pd(ab_low, cd_low, 0x20));
    v_store(p + 4, _mm256_permute2f128_pd(ab_high, cd_high, 0x20));
    v_store(p + 8, _mm256_permute2f128_pd(ab_low, cd_low, 0x31));
    v_store(p + 12, _mm256_permute2f128_pd(ab_high, cd_high, 0x31));
#endif
}

#if AE_BITS == 32

AE_INLINE vec v_iota(void) { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }
/* n + bias lands in the low bits of the sum's mantissa. */
AE_INLINE vec v_pow2(vec n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(v_add(n, v_set1(0x1.8p23f + 127))), 23));
}
AE_INLINE vec v_exponent(vec a) {
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(_mm256_castps_si256(a), 23), _mm256_set1_epi32(126)));
}
AE_INLINE vec v_mantissa(vec a) {
    return _mm256_or_ps(_mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(0x007fffff))), v_set1(0.5f));
}

AE_INLINE uvec u_set1(uint32_t a) { return _mm256_set1_epi32((int)a); }
AE_INLINE uvec u_iota(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
AE_INLINE uvec u_load(const uint32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
AE_INLINE void u_store(uint32_t *p, uvec a) { _mm256_storeu_si256((__m256i *)p, a); }
AE_INLINE uvec u_add(uvec a, uvec b) { return _mm256_add_epi32(a, b); }
AE_INLINE uvec u_xor(uvec a, uvec b) { return _mm256_xor_si256(a, b); }
AE_INLINE vmask u_lt(uvec a, uvec b) {
    uvec top = u_set1(0x80000000u);
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(u_xor(b, top), u_xor(a, top)));
}
AE_INLINE void u_mul(uvec a, uint32_t constant, uvec *high, uvec *low) {
    uvec c = u_set1(constant);
    uvec even = _mm256_mul_epu32(a, c), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), c);
    *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    *low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
}
AE_INLINE vec u_low_bf16(uvec w) { return _mm256_castsi256_ps(_mm256_slli_epi32(w, 16)); }
AE_INLINE vec u_high_bf16(uvec w) { return _mm256_castsi256_ps(_mm256_and_si256(w, u_set1(0xffff0000u))); }
AE_INLINE uvec u_low_half(uvec w) { return _mm256_and_si256(w, u_set1(0xffff)); }
AE_INLINE uvec u_xorshift(uvec w) {
    w = u_xor(w, _mm256_slli_epi32(w, 13));
    w = u_xor(w, _mm256_srli_epi32(w, 17));
    return u_xor(w, _mm256_slli_epi32(w, 5));
}
AE_INLINE uvec u_round_bf16(vec a, uvec below) {
    const uvec w = _mm256_castps_si256(a);
    const vec rounded = _mm256_castsi256_ps(u_add(w, below));
    const vec quiet = _mm256_castsi256_ps(_mm256_or_si256(w, u_set1(0x00400000)));
    return _mm256_castps_si256(_mm256_blendv_ps(rounded, quiet, _mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
}
AE_INLINE uvec u_nearest_bf16(vec a) {
    const uvec w = _mm256_castps_si256(a), odd = _mm256_and_si256(_mm256_srli_epi32(w, 16), u_set1(1));
    const uvec exponent = _mm256_and_si256(w, u_set1(0x7f800000)), small = _mm256_cmpeq_epi32(exponent, _mm256_setzero_si256());
    return _mm256_andnot_si256(_mm256_srli_epi32(small, 1), u_round_bf16(a, u_add(odd, u_set1(0x7fff))));
}
AE_INLINE uvec u_bf16_pair(uvec a, uvec b) { return _mm256_blend_epi16(_mm256_srli_epi32(a, 16), b, 0xaa); }
AE_INLINE uvec u_bf16_row(uvec a, uvec b) {
    const uvec in_lanes = _mm256_packus_epi32(_mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16));
    return _mm256_permute4x64_epi64(in_lanes, 0xd8);
}
AE_INLINE vec u_to_unit(uvec w) {
    return v_mul(v_add(_mm256_cvtepi32_ps(_mm256_srli_epi32(w, 9)), v_set1(0.5f)), v_set1(0x1p-23f));
}

#else

AE_INLINE vec v_iota(void) { return _mm256_setr_pd(0, 1, 2, 3); }
/* n + bias lands in the low bits of the sum's mantissa. */
AE_INLINE vec v_pow2(vec n) {
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(v_add(n, v_set1(0x1.8p52 + 1023))), 52));
}
/* The exponent field under the bits of 2^52 reads as 2^52 + field. */
AE_INLINE vec v_exponent(vec a) {
    vec field = _mm256_castsi256_pd(_mm256_srli_epi64(_mm256_castpd_si256(a), 52));
    return v_sub(_mm256_or_pd(field, v_set1(0x1p52)), v_set1(0x1p52 + 1022));
}
AE_INLINE vec v_mantissa(vec a) {
    return _mm256_or_pd(_mm256_and_pd(a, _mm256_castsi256_pd(_mm256_set1_epi64x(0x000fffffffffffff))), v_set1(0.5));
}

AE_INLINE uvec u_set1(uint32_t a) { return _mm_set1_epi32((int)a); }
AE_INLINE uvec u_iota(void) { return _mm_setr_epi32(0, 1, 2, 3); }
AE_INLINE uvec u_load(const uint32_t *p) { return _mm_loadu_si128((const __m128i *)p); }
AE_INLINE void u_store(uint32_t *p, uvec a) { _mm_storeu_si128((__m128i *)p, a); }
AE_INLINE uvec u_add(uvec a, uvec b) { return _mm_add_epi32(a, b); }
AE_INLINE uvec u_xor(uvec a, uvec b) { return _mm_xor_si128(a, b); }
AE_INLINE vmask u_lt(uvec a, uvec b) {
    uvec top = u_set1(0x80000000u);
    return _mm256_castsi256_pd(_mm256_cvtepi32_epi64(_mm_cmpgt_epi32(u_xor(b, top), u_xor(a, top))));
}
AE_INLINE void u_mul(uvec a, uint32_t constant, uvec *high, uvec *low) {
    uvec c = u_set1(constant);
    uvec even = _mm_mul_epu32(a, c), odd = _mm_mul_epu32(_mm_srli_epi64(a, 32), c);
    *high = _mm_blend_epi32(_mm_srli_epi64(even, 32), odd, 0xa);
    *low = _mm_blend_epi32(even, _mm_slli_epi64(odd, 32), 0xa);
}
/* The word under the bits of 2^52 reads as 2^52 + word. */
AE_INLINE vec u_to_unit(uvec w) {
    vec word = _mm256_or_pd(_mm256_castsi256_pd(_mm256_cvtepu32_epi64(w)), v_set1(0x1p52));
    return v_mul(v_sub(word, v_set1(0x1p52 - 0.5)), v_set1(0x1p-32));
}

#endif

AE_INLINE vec v_scale(vec a, vec n) {
    vec half = v_round(v_mul(n, v_set1((real)0.5)));
    return v_mul(v_mul(a, v_pow2(half)), v_pow2(v_sub(n, half)));
}

#endif
