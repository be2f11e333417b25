/* Huber (1964): d^2 / 2 for |d| <= delta, delta (|d| - delta / 2) beyond, d = p - t.
 * With c = d clipped to [-delta, delta] both are c (d - c / 2), and c is the derivative.
 * The likelihood is normal up to delta and falls exponentially beyond; its integral is
 * sqrt(2 pi) erf(delta / sqrt 2) + 2 / delta e^(-delta^2 / 2). */
#include "losses/elementwise.h"

AE_INLINE vec huber(vec prediction, vec target, vec delta, vec *derivative, vec *excess) {
    (void)excess;
    const vec difference = v_sub(prediction, target);
    /* The order of the operands lets a NaN through. */
    const vec clipped = v_max(v_neg(delta), v_min(delta, difference));
    *derivative = clipped;
    return v_mul(clipped, v_fnma(v_set1((real)0.5), clipped, difference));
}

AE_INLINE vec constant(vec target, vec delta) {
    (void)target;
    const vec half = v_set1((real)0.5), core = v_mul(v_set1((real)2.50662827463100050242), vf_erf(v_mul(delta, v_sqrt(half))));
    const vec tails = v_div(v_mul(v_set1((real)2), vf_exp(v_mul(v_neg(half), v_mul(delta, delta)))), delta);
    return vf_log(v_add(core, tails));
}

ELEMENTWISE_LIKELIHOOD(huber, false, constant)

const ae_loss_ops AE_V(ae_loss_huber) = {"huber", AE_IDENTITY, AE_TARGET_ANY, true, rows, terms, AE_LOSS_IN_PLACE, likelihood};
