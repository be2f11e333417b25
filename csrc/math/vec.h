/* Vectors of `real`, one vocabulary for every instruction set.
 *
 * Only operations that IEEE 754 rounds exactly (so each set gives the same bits) and selections. Nothing approximate.
 *
 *   vec, vmask                      VL lanes each; VL divides 16
 *   v_load v_store                  any alignment
 *   v_set1 v_zero v_iota            iota: lane numbers 0, 1, ...
 *   v_add v_sub v_mul v_div v_sqrt
 *   v_fma(a,b,c) = a*b+c            v_fnma(a,b,c) = c-a*b    each rounded once
 *   v_max(a,b) = a > b ? a : b      v_min(a,b) = a < b ? a : b   (so b where either is not a number)
 *   v_abs v_neg v_copysign(magnitude, sign)
 *   v_lt v_le v_eq v_unordered(a,b) -> vmask;  m_and m_or m_not m_any; m_bits: bit i for lane i
 *   v_select(m, a, b) = m ? a : b
 *   v_round                         to the nearest integer, ties to even
 *   v_pow2(n)                       2^n for integral n within the normal exponents
 *   v_scale(x, n)                   x * 2^n rounded once, for integral n within twice the normal exponents and x near 1
 *   v_exponent v_mantissa           of a positive normal x: x = mantissa * 2^exponent, mantissa in [0.5, 1) as frexp
 *   v_store4(p, a, b, c, d)         interleaved: p[4 i] = lane i of a, p[4 i + 1] of b, ...
 *
 * and vectors of 32-bit words for random numbers, WL = VL for float, and half as many words as fit for double, such that
 * WL == VL always:
 *   uvec; u_set1 u_iota u_load u_store u_add u_xor u_lt(a,b) -> vmask (unsigned)
 *   u_mul(a, constant, &high, &low)  the 64-bit product in halves
 *   u_to_unit(w)                     (w + 1/2) / 2^32 rounded to real: float uses the upper 23 bits, (w >> 9) + 1/2 over 2^23,
 *                                    so the result is exact and inside (0, 1) in both precisions
 *   u_low_half(w)                    float only: w mod 2^16
 *   u_xorshift(w)                    float only: the word behind w in the sequence of shifts 13, 17, 5 (Marsaglia 2003)
 *   u_low_bf16 u_high_bf16(w)        float only: the bfloat16 number in the lower or the upper half of each word
 *   u_round_bf16(a, below)           float only: a with below < 2^16 added to the bits of its lower half, which is then of no
 *                                    meaning; what is not a number stays none
 *   u_nearest_bf16(a)                float only: the nearest bfloat16 number, ties to even, in the upper half of each word; the lower
 *                                    half is of no meaning. Numbers below the normal range become zeros of their sign, by integers,
 *                                    so that they do everywhere; what is not a number stays none
 *   u_bf16_pair(a, b)                upper halves: those of a in the lower half of each word, those of b in the upper one
 *   u_bf16_row(a, b)                 upper halves: those of a, then those of b, as numbers that follow each other in memory
 */
#ifndef AE_MATH_VEC_H
#define AE_MATH_VEC_H

#include "math/variant.h"

#if defined(AE_TARGET_AVX512)
#include "math/vec_avx512.h"
#elif defined(AE_TARGET_AVX2)
#include "math/vec_avx2.h"
#elif defined(AE_TARGET_NEON)
#include "math/vec_neon.h"
#else
#include "math/vec_ref.h"
#endif

#endif
