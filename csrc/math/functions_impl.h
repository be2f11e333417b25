/* The functions of math/functions.h. Reductions are exact or use the FMA to keep the part that rounding loses; the
 * polynomials come from math/coefficients.py. */
#ifndef AE_MATH_FUNCTIONS_IMPL_H
#define AE_MATH_FUNCTIONS_IMPL_H

#include <math.h>

#include "math/coefficients.h"
#include "math/vec.h"

#define VF_POLY(table, x) vf_poly(table, (int)(sizeof(table) / sizeof(table)[0]), x)

#if AE_BITS == 32
#define VF_ROUNDING 0x1.8p23f /* adding it rounds to an integer */
#define VF_EXP_HIGH 89.0f     /* e^x overflows below this */
#define VF_EXP_LOW (-104.0f)  /* and rounds to zero above this */
#define VF_EXPM1_LOW (-18.0f) /* e^x - 1 is -1 from here down */
#define VF_MAX_EXPONENT 128.0f
#define VF_TANH_LIMIT 20.0f /* tanh(x / 2) is 1 from here up */
#define VF_ERF_LIMIT 4.0f   /* erf(x) is 1 from here up */
#define VF_MIN_NORMAL 0x1p-126f
#define VF_DENORMAL_SHIFT 25
#define VF_DENORMAL_SCALE 0x1p25f
#else
#define VF_ROUNDING 0x1.8p52
#define VF_EXP_HIGH 710.0
#define VF_EXP_LOW (-746.0)
#define VF_EXPM1_LOW (-38.0)
#define VF_MAX_EXPONENT 1024.0
#define VF_TANH_LIMIT 40.0
#define VF_ERF_LIMIT 6.0
#define VF_MIN_NORMAL 0x1p-1022
#define VF_DENORMAL_SHIFT 54
#define VF_DENORMAL_SCALE 0x1p54
#endif

/* sum of c[i] x^i in two chains, even and odd powers, each by Horner's rule. n >= 2. */
AE_INLINE vec vf_poly(const real *c, int n, vec x) {
    vec square = v_mul(x, x), top = v_set1(c[n - 1]), next = v_set1(c[n - 2]);
#pragma GCC unroll 16
    for (int i = n - 3; i >= 0; i -= 2) {
        top = v_fma(top, square, v_set1(c[i]));
        if (i > 0)
            next = v_fma(next, square, v_set1(c[i - 1]));
    }
    return n % 2 ? v_fma(next, x, top) : v_fma(top, x, next);
}

/* The bounds a NaN passes through: v_max and v_min give their second operand then. */
AE_INLINE vec vf_at_least(real low, vec x) { return v_max(v_set1(low), x); }
AE_INLINE vec vf_at_most(real high, vec x) { return v_min(v_set1(high), x); }

/* x = n ln 2 + r, |r| <= ln(2)/2 (Cody and Waite; n ln 2 subtracted in two parts, the first difference exact). */
AE_INLINE vec vf_exp_reduce(vec x, vec *n) {
    *n = v_sub(v_fma(x, v_set1((real)0x1.71547652b82fep+0), v_set1(VF_ROUNDING)), v_set1(VF_ROUNDING));
    return v_fnma(*n, v_set1(VF_LN2_LOW), v_fnma(*n, v_set1(VF_LN2_HIGH), x));
}

/* e^r for the reduced r. */
AE_INLINE vec vf_exp_reduced(vec r) { return v_add(v_set1(1), v_fma(v_mul(r, r), VF_POLY(vf_exp_c, r), r)); }

/* e^x for x between VF_EXP_LOW and VF_EXP_HIGH, or NaN. */
AE_INLINE vec vf_exp_bounded(vec x) {
    vec n, r = vf_exp_reduce(x, &n);
    return v_scale(vf_exp_reduced(r), n);
}

AE_INLINE vec vf_exp(vec x) { return vf_exp_bounded(vf_at_most(VF_EXP_HIGH, vf_at_least(VF_EXP_LOW, x))); }

/* e^-|x|, in [0, 1]. */
AE_INLINE vec vf_exp_minus_abs(vec x) { return vf_exp_bounded(vf_at_least(VF_EXP_LOW, v_neg(v_abs(x)))); }

/* 2^n - 1 + 2^n r + 2^n (r^2 P(r) + what rounding took from r): for n = 1 and -1 the first two cancel partly, almost
 * without error. */
AE_INLINE vec vf_expm1(vec x) {
    vec bounded = vf_at_most(VF_EXP_HIGH, vf_at_least(VF_EXPM1_LOW, x)), n, r = vf_exp_reduce(bounded, &n);
    vec lost = v_fnma(n, v_set1(VF_LN2_LOW), v_sub(v_fnma(n, v_set1(VF_LN2_HIGH), bounded), r));
    /* 2^n at the largest n is no number: half of it, and twice the result. */
    vmask largest = v_eq(n, v_set1(VF_MAX_EXPONENT));
    vec scale = v_pow2(v_min(n, v_set1(VF_MAX_EXPONENT - 1)));
    vec rest = v_fma(v_mul(r, r), VF_POLY(vf_expm1_c, r), lost);
    vec y = v_fma(scale, rest, v_fma(scale, r, v_sub(scale, v_set1(1))));
    return v_copysign(v_select(largest, v_add(y, y), y), x);
}

/* A polynomial below 0.55; from there up 1 - 2 / (e^2|x| + 1), where the rounding of the quotient weighs little. */
AE_INLINE vec vf_tanh(vec x) {
    vec a = v_abs(x), z = v_mul(x, x), small = v_fma(v_mul(x, z), VF_POLY(vf_tanh_c, z), x);
    vec n, r = vf_exp_reduce(vf_at_most(VF_TANH_LIMIT, v_add(a, a)), &n), one = v_set1(1);
    vec large = v_sub(one, v_div(v_set1(2), v_fma(vf_exp_reduced(r), v_pow2(n), one)));
    return v_copysign(v_select(v_lt(a, v_set1((real)0.55)), small, large), x);
}

AE_INLINE vec vf_logistic(vec x) {
    vec e = vf_exp_minus_abs(x);
    return v_div(v_select(v_lt(x, v_zero()), e, v_set1(1)), v_add(v_set1(1), e));
}

/* e ln 2 + ln(1 + f) with sqrt(1/2) <= 1 + f <= sqrt(2). */
AE_INLINE vec vf_log_reduced(vec e, vec f) {
#if AE_BITS == 32
    vec square = v_mul(f, f);
    vec rest = v_fma(v_mul(square, f), VF_POLY(vf_log_c, f), v_mul(e, v_set1(VF_LN2_LOW)));
    rest = v_fnma(v_set1(0.5f), square, rest);
#else
    /* ln(1 + f) = f - (f^2/2 - s (f^2/2 + R)) with s = f / (2 + f), as in fdlibm's e_log.c: f stays exact. */
    vec s = v_div(f, v_add(v_set1(2), f)), z = v_mul(s, s), half_square = v_mul(v_mul(v_set1(0.5), f), f);
    vec rest = v_fma(s, v_fma(z, VF_POLY(vf_log_c, z), half_square), v_mul(e, v_set1(VF_LN2_LOW)));
    rest = v_sub(rest, half_square);
#endif
    return v_fma(e, v_set1(VF_LN2_HIGH), v_add(f, rest));
}

/* x = (1 + f) 2^e with sqrt(1/2) <= 1 + f < sqrt(2), for normal positive x; returns 1 + f. */
AE_INLINE vec vf_log_split(vec x, vec *e) {
    vec m = v_mantissa(x), n = v_exponent(x);
    vmask low = v_lt(m, v_set1((real)0x1.6a09e667f3bcdp-1));
    *e = v_select(low, v_sub(n, v_set1(1)), n);
    return v_select(low, v_add(m, m), m);
}

/* ln x for normal positive x. */
AE_INLINE vec vf_log_normal(vec x) {
    vec e, m = vf_log_split(x, &e);
    return vf_log_reduced(e, v_sub(m, v_set1(1)));
}

/* The values of ln at zero, below, at infinity and NaN; elsewhere y. */
AE_INLINE vec vf_log_special(vec x, vec y) {
    y = v_select(v_lt(x, v_set1((real)INFINITY)), y, x);
    y = v_select(v_lt(x, v_zero()), v_set1((real)NAN), y);
    return v_select(v_eq(x, v_zero()), v_set1((real)-INFINITY), y);
}

/* Rare, so that it is no part of what is inlined. */
static AE_NOINLINE vec vf_log_any(vec x) {
    vmask small = v_lt(x, v_set1(VF_MIN_NORMAL));
    vec e, m = vf_log_split(v_select(small, v_mul(x, v_set1(VF_DENORMAL_SCALE)), x), &e);
    e = v_select(small, v_sub(e, v_set1(VF_DENORMAL_SHIFT)), e);
    return vf_log_special(x, vf_log_reduced(e, v_sub(m, v_set1(1))));
}

AE_INLINE vec vf_log(vec x) {
    vmask plain = m_and(v_le(v_set1(VF_MIN_NORMAL), x), v_lt(x, v_set1((real)INFINITY)));
    return m_any(m_not(plain)) ? vf_log_any(x) : vf_log_normal(x);
}

/* With 1 + x = m 2^e after rounding, f = x 2^-e + (2^-e - 1) has no error of that rounding. */
/* For any x. Far up the 1 is lost anyway, and 2^-e may be no normal number. */
static AE_NOINLINE vec vf_log1p_any(vec x) {
    vec e, sum = v_add(v_set1(1), x), m = vf_log_split(sum, &e), scale = v_pow2(v_neg(e));
    vmask plain = m_and(v_lt(v_set1(-1), x), v_lt(x, v_set1((real)0x1p100)));
    vec f = v_select(plain, v_fma(x, scale, v_sub(scale, v_set1(1))), v_sub(m, v_set1(1)));
    return vf_log_special(sum, v_copysign(vf_log_reduced(e, f), x));
}

AE_INLINE vec vf_log1p(vec x) {
    vmask plain = m_and(v_lt(v_set1(-1), x), v_lt(x, v_set1((real)0x1p100)));
    if (m_any(m_not(plain)))
        return vf_log1p_any(x);
    vec e;
    vf_log_split(v_add(v_set1(1), x), &e);
    vec scale = v_pow2(v_neg(e));
    return v_copysign(vf_log_reduced(e, v_fma(x, scale, v_sub(scale, v_set1(1)))), x);
}

/* ln(1 + u) for u in [0, 1]. */
AE_INLINE vec vf_log1p_unit(vec u) {
    vmask high = v_lt(v_set1((real)0x1.a827999fcef32p-2), u);
    vec f = v_select(high, v_fma(u, v_set1((real)0.5), v_set1((real)-0.5)), u);
    return vf_log_reduced(v_select(high, v_set1(1), v_zero()), f);
}

AE_INLINE vec vf_softplus(vec x) { return v_add(v_max(v_zero(), x), vf_log1p_unit(vf_exp_minus_abs(x))); }

AE_INLINE vec vf_erf(vec x) {
    vec a = v_abs(x), small = v_fma(x, VF_POLY(vf_erf_c, v_mul(x, x)), x);
    /* erf(a) = 1 - e^-P(a - 1): the exponent carries -a^2, so that no square has to be rounded. */
    vec d = v_sub(vf_at_most(VF_ERF_LIMIT, a), v_set1(1));
    vec n, r = vf_exp_reduce(v_neg(VF_POLY(vf_erfc_c, d)), &n);
    vec large = v_fnma(vf_exp_reduced(r), v_pow2(n), v_set1(1));
    return v_select(v_lt(a, v_set1(1)), small, v_copysign(large, x));
}

/* u = q/4 + r, |r| <= 1/8, exactly; then by quadrant. */
AE_INLINE void vf_sincos_2pi(vec u, vec *sine, vec *cosine) {
    vec q = v_round(v_mul(u, v_set1(4))), r = v_fnma(q, v_set1((real)0.25), u), z = v_mul(r, r);
    vec s = v_fma(v_mul(r, z), VF_POLY(vf_sin_c, z), v_mul(r, v_set1(VF_TWO_PI_LOW)));
    s = v_fma(r, v_set1(VF_TWO_PI_HIGH), s);
    vec c = v_fma(z, VF_POLY(vf_cos_c, z), v_set1(1));
    vmask q1 = v_eq(q, v_set1(1)), q2 = v_eq(q, v_set1(2)), q3 = v_eq(q, v_set1(3)), odd = m_or(q1, q3);
    vec y = v_select(odd, c, s), x = v_select(odd, s, c);
    *sine = v_select(m_or(q2, q3), v_neg(y), y);
    *cosine = v_select(m_or(q1, q2), v_neg(x), x);
}

#endif
