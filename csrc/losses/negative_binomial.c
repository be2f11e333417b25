/* Negative log-likelihood of a negative binomial distribution with mean e^z and inverse dispersion q = e^s, so that the variance
 * is e^z + e^2z / q (the parametrisation of Lopez et al. 2018, scVI). With u = z - s and counts t >= 0:
 *     log gamma(t + 1) - (log gamma(q + t) - log gamma(q)) + q log(1 + e^u) + t log(1 + e^-u)
 * s counts as no smaller than -10 and no larger than 10, where the distribution is almost Poisson; beyond, the derivative by s
 * is zero. */
#include "losses/pair.h"
#include "math/gamma.h"

#define LARGEST_LOG_DISPERSION 10

AE_INLINE vec negative_binomial(vec log_mean, vec log_dispersion, vec target, vec *by_mean, vec *by_dispersion) {
    vmask inside;
    const vec s = pair_bounded(log_dispersion, LARGEST_LOG_DISPERSION, &inside), q = vf_exp(s);
    const vec u = v_sub(log_mean, s), above = vf_softplus(u), below = vf_softplus(v_neg(u));
    const vec share = vf_logistic(u), other = vf_logistic(v_neg(u));
    vec slope;
    const vec rise = vf_lgamma_rise(q, target, &slope);
    const vec none = v_zero(), odds = v_select(v_eq(target, none), none, v_mul(target, below));
    const vec value = v_add(v_sub(vf_lgamma(v_add(target, v_set1((real)1))), rise), v_fma(q, above, odds));
    *by_mean = v_fnma(target, other, v_mul(q, share));
    *by_dispersion = v_select(inside, v_fnma(q, v_add(v_sub(slope, above), share), v_mul(target, other)), none);
    /* In this order a NaN is kept. */
    return v_max(none, value);
}

PAIR_LOSS(negative_binomial)

const ae_loss_ops AE_V(ae_loss_negative_binomial) = {"negative_binomial", AE_EXP,    AE_TARGET_NONNEGATIVE, false, rows, terms,
                                                     AE_LOSS_SECOND,      likelihood};
