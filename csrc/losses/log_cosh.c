/* log cosh d, d = p - t, with derivative tanh d.
 *
 * With q = expm1(-2|d|): tanh |d| = -q / (2 + q). For |d| < 1 the term is -log1p(-tanh^2 d) / 2, which keeps its relative
 * accuracy down to d = 0; beyond that it is |d| - ln 2 + log1p(e^(-2|d|)), which cannot overflow. Both are one log1p.
 * The likelihood is the hyperbolic secant, 1 / (pi cosh d). */
#include "losses/elementwise.h"
#include "math/functions.h"

static AE_NOINLINE vec log_cosh(vec prediction, vec target, vec parameter, vec *derivative, vec *excess) {
    (void)parameter, (void)excess;
    const vec one = v_set1((real)1), two = v_set1((real)2);
    const vec difference = v_sub(prediction, target);
    const vec distance = v_abs(difference);
    const vec q = vf_expm1(v_mul(v_neg(two), distance));
    const vec tanh_distance = v_div(v_neg(q), v_add(two, q));
    const vmask near = v_lt(distance, one);
    const vec inner = v_select(near, v_neg(v_mul(tanh_distance, tanh_distance)), v_add(q, one));
    const vec logarithm = vf_log1p(inner);
    *derivative = v_copysign(tanh_distance, difference);
    const vec far_value = v_add(v_sub(distance, v_set1((real)0.69314718055994530942)), logarithm);
    return v_select(near, v_mul(v_set1((real)-0.5), logarithm), far_value);
}

AE_INLINE vec constant(vec target, vec parameter) {
    (void)target, (void)parameter;
    return v_set1((real)1.14472988584940017414); /* log pi */
}

ELEMENTWISE_LIKELIHOOD(log_cosh, false, constant)

const ae_loss_ops AE_V(ae_loss_log_cosh) = {"log_cosh", AE_IDENTITY, AE_TARGET_ANY,    false,
                                            rows,       terms,       AE_LOSS_IN_PLACE, likelihood};
