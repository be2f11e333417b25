/* Bernoulli cross-entropy of the logit z with a target t in [0, 1]:
 *     -t log logistic(z) - (1 - t) log logistic(-z) = max(z, 0) - t z + log1p(e^-|z|),
 * with derivative logistic(z) - t. Nothing overflows, and neither summand is negative. e^-|z| is the excess.
 * As a likelihood it is that of binary targets; in between it is a cross-entropy. */
#include "losses/elementwise.h"
#include "math/functions.h"

AE_INLINE vec log_loss(vec logit, vec target, vec parameter, vec *derivative, vec *excess) {
    (void)parameter;
    const vec zero = v_zero(), one = v_set1((real)1);
    const vec small = vf_exp_minus_abs(logit);
    const vmask negative = v_lt(logit, zero);
    const vec logistic = v_div(v_select(negative, small, one), v_add(one, small));
    *derivative = v_sub(logistic, target);
    *excess = small;
    return v_fnma(target, logit, v_max(zero, logit));
}

ELEMENTWISE_LOSS(log_loss, true)

/* The sum of the terms, without constants: cheaper by the one logarithm of a product than term by term. */
static void likelihood(const ae_loss_call *call) {
    rows(call);
    for (int64_t row = call->row0; row < call->row1; row++)
        call->row_loss[row] *= (double)call->width;
}

const ae_loss_ops AE_V(ae_loss_log_loss) = {
    "log_loss", AE_LOGISTIC, AE_TARGET_UNIT_INTERVAL, false, rows, terms, AE_LOSS_CANONICAL | AE_LOSS_IN_PLACE, likelihood};
