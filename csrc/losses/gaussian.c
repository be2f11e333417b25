/* Negative log-likelihood of a normal distribution with predicted mean m and log-variance v (Nix and Weigend 1994):
 *     (v + (t - m)^2 e^-v + log 2 pi) / 2.
 * v counts as no smaller than -10 and no larger than 10: the likelihood of a column without noise grows without bound. Beyond
 * the bounds the derivative by v is zero. */
#include "losses/pair.h"

#define LARGEST_LOG_VARIANCE 10

AE_INLINE vec gaussian(vec mean, vec log_variance, vec target, vec *by_mean, vec *by_log_variance) {
    const vec half = v_set1((real)0.5), one = v_set1((real)1);
    vmask inside;
    const vec v = pair_bounded(log_variance, LARGEST_LOG_VARIANCE, &inside);
    const vec difference = v_sub(mean, target), precision = vf_exp(v_neg(v));
    const vec distance = v_mul(v_mul(difference, difference), precision);
    *by_mean = v_mul(difference, precision);
    *by_log_variance = v_select(inside, v_mul(half, v_sub(one, distance)), v_zero());
    return v_fma(half, v_add(v, distance), v_set1((real)0.91893853320467274178));
}

PAIR_LOSS(gaussian)

const ae_loss_ops AE_V(ae_loss_gaussian) = {
    "gaussian", AE_IDENTITY, AE_TARGET_ANY, false, rows, terms, AE_LOSS_SECOND | AE_LOSS_SIGNED, likelihood};
