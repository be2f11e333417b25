/* Vector functions by own polynomials, the same bits on every instruction set.
 * Header of always-inline functions, so that a loss or an activation is one pass.
 *
 * Largest errors over the whole range, in units in the last place, that tests/c/test_functions.c allows (both precisions):
 * exp 1.1, expm1 1.5, log 1, log1p 1.5, tanh 1.5, logistic 2.4, softplus 1.8, erf 1.2, sine and cosine 1.2. */
#ifndef AE_MATH_FUNCTIONS_H
#define AE_MATH_FUNCTIONS_H

#include "math/vec.h"

/* e^x; +inf above the range, 0 far below it, denormal results in between, NaN for NaN. */
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
