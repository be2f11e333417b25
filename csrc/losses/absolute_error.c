/* |p - t|, with derivative 0 where they are equal.
 * The likelihood is Laplace's of scale 1. */
#include "losses/elementwise.h"

AE_INLINE vec absolute_error(vec prediction, vec target, vec parameter, vec *derivative, vec *excess) {
    (void)parameter, (void)excess;
    const vec difference = v_sub(prediction, target);
    const vmask equal = v_eq(difference, v_zero());
    *derivative = v_select(equal, v_zero(), v_copysign(v_set1((real)1), difference));
    return v_abs(difference);
}

AE_INLINE vec constant(vec target, vec parameter) {
    (void)target, (void)parameter;
    return v_set1((real)0.69314718055994530942); /* log 2 */
}

ELEMENTWISE_LIKELIHOOD(absolute_error, false, constant)

const ae_loss_ops AE_V(ae_loss_absolute_error) = {"absolute_error", AE_IDENTITY, AE_TARGET_ANY, false, rows, terms,
                                                  AE_LOSS_IN_PLACE, likelihood};
