/* (p - t)^2.
 * The likelihood is that of a normal distribution of variance 1/2. */
#include "losses/elementwise.h"

AE_INLINE vec squared_error(vec prediction, vec target, vec parameter, vec *derivative, vec *excess) {
    (void)parameter, (void)excess;
    const vec difference = v_sub(prediction, target);
    *derivative = v_add(difference, difference);
    return v_mul(difference, difference);
}

AE_INLINE vec constant(vec target, vec parameter) {
    (void)target, (void)parameter;
    return v_set1((real)0.57236494292470008707); /* log(pi) / 2 */
}

ELEMENTWISE_LIKELIHOOD(squared_error, false, constant)

const ae_loss_ops AE_V(ae_loss_squared_error) = {
    "squared_error", AE_IDENTITY, AE_TARGET_ANY, false, rows, terms, AE_LOSS_CANONICAL | AE_LOSS_IN_PLACE, likelihood};
