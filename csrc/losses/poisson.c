/* Half the Poisson deviance of the log-rate z and a count t >= 0: e^z - t z + t log t - t (t log t = 0 at t = 0), with
 * derivative e^z - t. Zero where e^z = t; rounding below zero there is cut off.
 * The likelihood is that of Poisson, log t! included. */
#include "losses/elementwise.h"
#include "math/functions.h"
#include "math/gamma.h"

static AE_NOINLINE vec poisson(vec log_rate, vec target, vec parameter, vec *derivative, vec *excess) {
    (void)parameter, (void)excess;
    const vec zero = v_zero(), one = v_set1((real)1);
    const vec rate = vf_exp(log_rate);
    const vmask none = v_eq(target, zero);
    const vec log_target = vf_log(v_select(none, one, target));
    const vec value = v_fma(target, v_sub(v_sub(log_target, log_rate), one), rate);
    *derivative = v_sub(rate, target);
    /* In this order a NaN is kept. */
    return v_max(zero, value);
}

/* log t! - (t log t - t) */
AE_INLINE vec constant(vec target, vec parameter) {
    (void)parameter;
    const vmask none = v_eq(target, v_zero());
    const vec power = v_mul(target, v_sub(vf_log(v_select(none, v_set1((real)1), target)), v_set1((real)1)));
    return v_sub(vf_lgamma(v_add(target, v_set1((real)1))), v_select(none, v_zero(), power));
}

ELEMENTWISE_LIKELIHOOD(poisson, false, constant)

const ae_loss_ops AE_V(ae_loss_poisson) = {
    "poisson", AE_EXP, AE_TARGET_NONNEGATIVE, false, rows, terms, AE_LOSS_CANONICAL | AE_LOSS_IN_PLACE, likelihood};
