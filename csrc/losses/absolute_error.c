/* |p - t|, with derivative 0 where they are equal. */
#include "losses/elementwise.h"

AE_INLINE vec absolute_error(vec prediction, vec target, vec parameter, vec *derivative, vec *excess) {
    (void)parameter, (void)excess;
    const vec difference = v_sub(prediction, target);
    const vmask equal = v_eq(difference, v_zero());
    *derivative = v_select(equal, v_zero(), v_copysign(v_set1((real)1), difference));
    return v_abs(difference);
}

ELEMENTWISE_LOSS(absolute_error, false)

const ae_loss_ops AE_V(ae_loss_absolute_error) = {"absolute_error", AE_IDENTITY, AE_TARGET_ANY, false, rows, terms, 0, NULL};
