/* Correntropy-induced loss with a Gaussian kernel of width s (Liu, Pokharel and Principe 2007):
 *     2 s^2 (1 - e^(-d^2 / (2 s^2))),  d = p - t,  with derivative 2 d e^(-d^2 / (2 s^2)).
 * The factor 2 s^2 makes it the squared error where |d| is small beside s, and so in the limit of large s; it never exceeds
 * 2 s^2, so that outliers stop counting. */
#include "losses/elementwise.h"
#include "math/functions.h"

static AE_NOINLINE vec correntropy(vec prediction, vec target, vec width, vec *derivative, vec *excess) {
    (void)excess;
    const vec difference = v_sub(prediction, target), two = v_set1((real)2);
    const vec ratio = v_div(difference, width);
    const vec exponent = v_mul(v_set1((real)-0.5), v_mul(ratio, ratio));
    *derivative = v_mul(v_mul(two, difference), vf_exp(exponent));
    /* Far away e^exponent is zero and the difference no matter; an infinite one stays to be seen. */
    const vmask lost = v_eq(v_abs(difference), v_set1((real)INFINITY));
    return v_select(lost, v_abs(difference), v_mul(v_mul(v_neg(two), v_mul(width, width)), vf_expm1(exponent)));
}

ELEMENTWISE_LOSS(correntropy, false)

const ae_loss_ops AE_V(ae_loss_correntropy) = {"correntropy", AE_IDENTITY, AE_TARGET_ANY,    true,
                                               rows,          terms,       AE_LOSS_IN_PLACE, NULL};
