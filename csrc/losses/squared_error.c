/* (p - t)^2. */
#include "losses/elementwise.h"

AE_INLINE vec squared_error(vec prediction, vec target, vec parameter, vec *derivative, vec *excess) {
    (void)parameter, (void)excess;
    const vec difference = v_sub(prediction, target);
    *derivative = v_add(difference, difference);
    return v_mul(difference, difference);
}

ELEMENTWISE_LOSS(squared_error, false)

const ae_loss_ops AE_V(ae_loss_squared_error) = {"squared_error", AE_IDENTITY, AE_TARGET_ANY, false, rows, terms, 0, NULL};
