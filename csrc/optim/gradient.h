/* What every rule does before its own formula, and how decaying state ends. Included by the rules, compiled per variant. */
#ifndef AE_OPTIM_GRADIENT_H
#define AE_OPTIM_GRADIENT_H

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "math/vec.h"
#include "optim/rule.h"

/* The rates of one step as vectors. */
typedef struct rule_gradient {
    vec scale, clip, l1, l2;
} rule_gradient;

/* l2 is a parameter because adamw decouples it. */
AE_INLINE rule_gradient rule_gradient_of(const ae_rule_step *step, double l2) {
    return (rule_gradient){v_set1((real)step->gradient_scale), v_set1((real)step->clip_value), v_set1((real)step->l1),
                           v_set1((real)l2)};
}

/* True where the gradient is taken as it is, which skips the work below without changing a value. */
static inline bool rule_gradient_is_plain(const ae_rule_step *step, double l2) {
    return step->gradient_scale == 1 && isinf(step->clip_value) && step->l1 == 0 && l2 == 0;
}

/* Scaled, clipped, then with the penalties. The order of the operands of minimum and maximum keeps a NaN. */
AE_INLINE vec rule_gradient_at(const bool plain, rule_gradient by, vec w, vec g) {
    if (plain)
        return g;
    g = v_mul(by.scale, g);
    g = v_max(v_neg(by.clip), v_min(by.clip, g));
    g = v_add(g, v_select(v_eq(w, v_zero()), v_zero(), v_copysign(by.l1, w)));
    return v_fma(by.l2, w, g);
}

/* Averages of a gradient that has become zero (a dead unit) decay geometrically. Left alone they end among the denormal
 * numbers, where they stay for good: the smallest ones times 0.9 round to themselves, and arithmetic on them costs many
 * times the normal on most processors. So what has become negligible is set to zero.
 * A first moment is compared with a threshold far below anything that moves a weight. A second moment is the square of
 * a gradient, so only what is about to become denormal goes. */
#if AE_BITS == 32
#define RULE_TINY_FIRST 1e-30f
#define RULE_TINY_SECOND 1e-37f
#define RULE_SMALLEST_NORMAL FLT_MIN
#else
#define RULE_TINY_FIRST 1e-290
#define RULE_TINY_SECOND 1e-307
#define RULE_SMALLEST_NORMAL DBL_MIN
#endif

AE_INLINE vec rule_settle_first(vec moment) { return v_select(v_lt(v_abs(moment), v_set1(RULE_TINY_FIRST)), v_zero(), moment); }

/* moment >= 0 */
AE_INLINE vec rule_settle_second(vec moment) { return v_select(v_lt(moment, v_set1(RULE_TINY_SECOND)), v_zero(), moment); }

/* Never zero, so that 0 / (sqrt(0) + epsilon) is 0 in padding and wherever no gradient has come yet. */
AE_INLINE vec rule_epsilon(double epsilon) {
    const real rounded = (real)epsilon;
    return v_set1(rounded < RULE_SMALLEST_NORMAL ? RULE_SMALLEST_NORMAL : rounded);
}

/* average + (1 - beta) (value - average): exact where value == average. */
AE_INLINE vec rule_average(vec average, vec value, vec one_minus_beta) {
    return v_fma(one_minus_beta, v_sub(value, average), average);
}

#endif
