/* Huber (1964): d^2 / 2 for |d| <= delta, delta (|d| - delta / 2) beyond, d = p - t.
 * With c = d clipped to [-delta, delta] both are c (d - c / 2), and c is the derivative. */
#include "losses/elementwise.h"

AE_INLINE vec huber(vec prediction, vec target, vec delta, vec *derivative, vec *excess) {
    (void)excess;
    const vec difference = v_sub(prediction, target);
    /* The order of the operands lets a NaN through. */
    const vec clipped = v_max(v_neg(delta), v_min(delta, difference));
    *derivative = clipped;
    return v_mul(clipped, v_fnma(v_set1((real)0.5), clipped, difference));
}

ELEMENTWISE_LOSS(huber, false)

const ae_loss_ops AE_V(ae_loss_huber) = {"huber", AE_IDENTITY, AE_TARGET_ANY, true, rows, terms, 0, NULL};
