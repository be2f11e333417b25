/* The prediction itself: whatever a layer computes becomes a penalty. Linear, without target, may be negative. */
#include "losses/elementwise.h"

AE_INLINE vec sum(vec prediction, vec target, vec parameter, vec *derivative, vec *excess) {
    (void)target, (void)parameter, (void)excess;
    *derivative = v_set1((real)1);
    return prediction;
}

ELEMENTWISE_LOSS(sum, false)

const ae_loss_ops AE_V(ae_loss_sum) = {
    "sum", AE_IDENTITY, AE_TARGET_ANY, false, rows, terms, AE_LOSS_NO_TARGET | AE_LOSS_SIGNED | AE_LOSS_IN_PLACE, NULL};
