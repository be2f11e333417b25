/* The loop of adam and adamw (Kingma and Ba 2015, algorithm 1; amsgrad: Reddi, Kale and Kumar 2018, with the maximum taken
 * before the correction, as in PyTorch; decoupled decay: Loshchilov and Hutter 2019).
 *
 * With c1 = 1 - beta1^t and c2 = 1 - beta2^t the step rate (m / c1) / (sqrt(v / c2) + epsilon) is computed as
 * (rate sqrt(c2) / c1) m / (sqrt(v) + epsilon sqrt(c2)): one root and one division an element. */
#ifndef AE_OPTIM_MOMENTS_H
#define AE_OPTIM_MOMENTS_H

#include "math/vec.h"
#include "optim/gradient.h"
#include "optim/rule.h"

/* base^exponent by squaring: the same bits in every C library, which pow does not promise. exponent >= 0. */
static double moments_power(double base, int64_t exponent) {
    double power = 1;
    for (; exponent > 0; exponent >>= 1, base *= base)
        if (exponent & 1)
            power *= base;
    return power;
}

AE_INLINE void moments_descend(const bool plain, const bool amsgrad, const bool decoupled, const ae_rule_options *options,
                               const ae_rule_step *step, int64_t n, real *w, const real *g, void *const *state) {
    const double root2 = sqrt(1 - moments_power(options->beta2, step->step));
    const double rate = step->rate * root2 / (1 - moments_power(options->beta1, step->step));
    const vec step_size = v_set1((real)rate), epsilon = rule_epsilon(options->epsilon * root2);
    const vec share1 = v_set1((real)(1 - options->beta1)), share2 = v_set1((real)(1 - options->beta2));
    const vec decay = v_set1((real)(step->rate * step->l2));
    const rule_gradient by = rule_gradient_of(step, decoupled ? 0 : step->l2);
    real *first = state[0], *second = state[1], *highest = amsgrad ? state[2] : NULL;
    for (int64_t i = 0; i < n; i += VL) {
        const vec wi = v_load(w + i);
        const vec gi = rule_gradient_at(plain, by, wi, v_load(g + i));
        const vec m = rule_settle_first(rule_average(v_load(first + i), gi, share1));
        vec v = rule_settle_second(rule_average(v_load(second + i), v_mul(gi, gi), share2));
        v_store(first + i, m);
        v_store(second + i, v);
        if (amsgrad) {
            v = v_max(v_load(highest + i), v);
            v_store(highest + i, v);
        }
        const vec direction = v_div(m, v_add(v_sqrt(v), epsilon));
        /* The decay is a tiny part of w, so it joins the step first: 1 - decay in float would lose most of its digits. */
        if (decoupled)
            v_store(w + i, v_sub(wi, v_fma(decay, wi, v_mul(step_size, direction))));
        else
            v_store(w + i, v_fnma(step_size, direction, wi));
    }
}

AE_INLINE void moments_update(const bool decoupled, const ae_rule_options *options, const ae_rule_step *step, int64_t n,
                              void *w, const void *g, void *const *state) {
    const bool plain = rule_gradient_is_plain(step, decoupled ? 0 : step->l2);
    if (plain && !options->amsgrad)
        moments_descend(true, false, decoupled, options, step, n, w, g, state);
    else if (plain)
        moments_descend(true, true, decoupled, options, step, n, w, g, state);
    else if (!options->amsgrad)
        moments_descend(false, false, decoupled, options, step, n, w, g, state);
    else
        moments_descend(false, true, decoupled, options, step, n, w, g, state);
}

static inline int moments_n_state(const ae_rule_options *options) { return options->amsgrad ? 3 : 2; }

#endif
