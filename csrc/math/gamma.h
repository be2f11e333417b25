/* Logarithm of the gamma function and its derivative, for positive arguments, in the vocabulary of math/vec.h.
 *
 * Stirling's series (Abramowitz and Stegun 1972, 6.1.41 and 6.3.18) at y >= 8; below, y = x + 8 and the product x (x + 1) ...
 * (x + 7) is taken off. Largest errors that tests/c/test_gamma.c allows, in units in the last place of the larger of 16 and the
 * result: lgamma 4, digamma 4 (with 16 log x and 1 / x for small x). Near its zeros 1 and 2 lgamma so has an absolute error. */
#ifndef AE_MATH_GAMMA_H
#define AE_MATH_GAMMA_H

#include "math/functions.h"

#define VF_GAMMA_SHIFT 8

/* x (x + 1) ... (x + 7), and the derivative of that by x. */
AE_INLINE vec vf_rising(vec x, vec *derivative) {
    vec product = x, slope = v_set1(1);
    for (int i = 1; i < VF_GAMMA_SHIFT; i++) {
        const vec factor = v_add(x, v_set1((real)i));
        slope = v_fma(slope, factor, product);
        product = v_mul(product, factor);
    }
    *derivative = slope;
    return product;
}

/* 1/(12 y) - 1/(360 y^3) + ..., y >= 8: what Stirling's formula lacks. */
AE_INLINE vec vf_stirling_rest(vec y) {
    static const real c[] = {(real)(1.0 / 12),   (real)(-1.0 / 360),        (real)(1.0 / 1260), (real)(-1.0 / 1680),
                             (real)(1.0 / 1188), (real)(-691.0 / 360360.0), (real)(1.0 / 156),  (real)(-3617.0 / 122400.0)};
    const vec inverse = v_div(v_set1(1), y);
    return v_mul(inverse, vf_poly(c, AE_BITS == 32 ? 4 : 8, v_mul(inverse, inverse)));
}

/* 1/(2 y) + 1/(12 y^2) - 1/(120 y^4) + ..., y >= 8: log y - digamma(y). */
AE_INLINE vec vf_digamma_rest(vec y) {
    static const real c[] = {(real)(1.0 / 12),  (real)(-1.0 / 120),       (real)(1.0 / 252), (real)(-1.0 / 240),
                             (real)(1.0 / 132), (real)(-691.0 / 32760.0), (real)(1.0 / 12),  (real)(-3617.0 / 8160.0)};
    const vec inverse = v_div(v_set1(1), y);
    const vec square = v_mul(inverse, inverse);
    return v_fma(square, vf_poly(c, AE_BITS == 32 ? 4 : 8, square), v_mul(v_set1((real)0.5), inverse));
}

/* log gamma(x) for x > 0; infinite at 0 and at infinity, NaN below 0. */
static AE_NOINLINE vec vf_lgamma(vec x) {
    const vmask small = v_lt(x, v_set1(VF_GAMMA_SHIFT));
    const vec y = v_select(small, v_add(x, v_set1(VF_GAMMA_SHIFT)), x);
    vec slope;
    const vec product = vf_rising(v_select(small, x, v_set1(1)), &slope);
    /* (y - 1/2) log y - y + log(2 pi)/2, with y taken into the product. */
    const vec base = v_fma(v_sub(y, v_set1((real)0.5)), v_sub(vf_log(y), v_set1(1)), v_set1((real)0.41893853320467274178));
    const vec value = v_sub(v_add(base, vf_stirling_rest(y)), v_select(small, vf_log(product), v_zero()));
    return v_select(v_lt(x, v_zero()), v_set1((real)NAN), v_select(v_eq(x, v_set1((real)INFINITY)), x, value));
}

/* d log gamma / dx for x > 0; -infinity at 0, NaN below 0. */
static AE_NOINLINE vec vf_digamma(vec x) {
    const vmask small = v_lt(x, v_set1(VF_GAMMA_SHIFT));
    const vec y = v_select(small, v_add(x, v_set1(VF_GAMMA_SHIFT)), x);
    vec slope;
    const vec product = vf_rising(v_select(small, x, v_set1(1)), &slope);
    const vec value = v_sub(vf_log(y), vf_digamma_rest(y));
    return v_select(v_lt(x, v_zero()), v_set1((real)NAN), v_sub(value, v_select(small, v_div(slope, product), v_zero())));
}

/* log gamma(a + t) - log gamma(a) for a > 0, t >= 0, and its derivative by a. For large a, where the two cancel, from
 * (a + t - 1/2) log(1 + t/a) + t (log a - 1) and the difference of the rests. */
AE_INLINE vec vf_lgamma_rise(vec a, vec t, vec *derivative) {
    const vec far = v_add(a, t), shift = v_set1(VF_GAMMA_SHIFT);
    const vmask small = v_lt(a, shift);
    const vec start = v_select(small, shift, a), end = v_select(small, v_add(shift, t), far);
    const vec growth = vf_log1p(v_div(t, start));
    vec rise = v_fma(v_sub(end, v_set1((real)0.5)), growth, v_mul(t, v_sub(vf_log(start), v_set1(1))));
    rise = v_add(rise, v_sub(vf_stirling_rest(end), vf_stirling_rest(start)));
    vec slope = v_sub(growth, v_sub(vf_digamma_rest(end), vf_digamma_rest(start)));
    if (m_any(small)) {
        rise = v_select(small, v_sub(vf_lgamma(far), vf_lgamma(a)), rise);
        slope = v_select(small, v_sub(vf_digamma(far), vf_digamma(a)), slope);
    }
    *derivative = slope;
    return rise;
}

#endif
