/* Vector functions by own polynomials, the same bits on every instruction set. Errors in units in the last place (ULP)
 * are measured over the whole range by tests/c/test_functions.c.
 * Header of always-inline functions, so that a loss or an activation is one pass. */
#ifndef AE_MATH_FUNCTIONS_H
#define AE_MATH_FUNCTIONS_H

#include "math/vec.h"

/* e^x; +inf above the range, 0 far below it (denormal results are rounded correctly to within the stated error), NaN for NaN. */
AE_INLINE vec vf_exp(vec x);
AE_INLINE vec vf_expm1(vec x);
/* ln x; -inf at 0, NaN below, +inf at +inf; denormal x allowed. */
AE_INLINE vec vf_log(vec x);
AE_INLINE vec vf_log1p(vec x);
AE_INLINE vec vf_tanh(vec x);
/* 1 / (1 + e^-x) without overflow. */
AE_INLINE vec vf_logistic(vec x);
/* ln(1 + e^x) without overflow. */
AE_INLINE vec vf_softplus(vec x);
AE_INLINE vec vf_erf(vec x);
/* sin and cos of 2 pi u for u in [0, 1], for Box-Muller. */
AE_INLINE void vf_sincos_2pi(vec u, vec *sine, vec *cosine);

#include "math/functions_impl.h"

#endif
