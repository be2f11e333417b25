/* The loop of adam and adamw (Kingma and Ba 2015, algorithm 1; amsgrad: Reddi, Kale and Kumar 2018, with the maximum taken
 * before the correction, as in PyTorch; decoupled decay: Loshchilov and Hutter 2019).
 *
 * With c1 = 1 - beta1^t and c2 = 1 - beta2^t the step rate (m / c1) / (sqrt(v / c2) + epsilon) is computed as
 * (rate sqrt(c2) / c1) m / (sqrt(v) + epsilon sqrt(c2)): one root and one division an element. */
#ifndef AE_OPTIM_MOMENTS_H
#define AE_OPTIM_MOMENTS_H

#include "math/panel.h"
#include "math/rounding.h"
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

typedef struct moments_rates {
    vec step_size, epsilon, share1, share2, decay;
    rule_gradient gradient;
} moments_rates;

AE_INLINE moments_rates moments_rates_of(const bool decoupled, const ae_rule_options *options, const ae_rule_step *step) {
    const double root2 = sqrt(1 - moments_power(options->beta2, step->step));
    const double rate = step->rate * root2 / (1 - moments_power(options->beta1, step->step));
    return (moments_rates){v_set1((real)rate),
                           rule_epsilon(options->epsilon * root2),
                           v_set1((real)(1 - options->beta1)),
                           v_set1((real)(1 - options->beta2)),
                           v_set1((real)(step->rate * step->l2)),
                           rule_gradient_of(step, decoupled ? 0 : step->l2)};
}

/* The averages, then the weights; highest: of the second average, or NULL. */
AE_INLINE void moments_at(const bool plain, const bool decoupled, const moments_rates *by, real *w, const real *g, vec *first,
                          vec *second, real *highest) {
    const vec wi = v_load(w), gi = rule_gradient_at(plain, by->gradient, wi, v_load(g));
    const vec m = *first = rule_settle_first(rule_average(*first, gi, by->share1));
    vec v = *second = rule_settle_second(rule_average(*second, v_mul(gi, gi), by->share2));
    if (highest) {
        v = v_max(v_load(highest), v);
        v_store(highest, v);
    }
    const vec direction = v_div(m, v_add(v_sqrt(v), by->epsilon));
    /* The decay is a tiny part of w, so it joins the step first: 1 - decay in float would lose most of its digits. */
    if (decoupled)
        v_store(w, v_sub(wi, v_fma(by->decay, wi, v_mul(by->step_size, direction))));
    else
        v_store(w, v_fnma(by->step_size, direction, wi));
}

AE_INLINE void moments_descend(const bool plain, const bool amsgrad, const bool decoupled, const ae_rule_options *options,
                               const ae_rule_step *step, int64_t n, real *w, const real *g, void *const *state) {
    const moments_rates by = moments_rates_of(decoupled, options, step);
    real *first = state[0], *second = state[1], *highest = amsgrad ? state[2] : NULL;
    for (int64_t i = 0; i < n; i += VL) {
        vec m = v_load(first + i), v = v_load(second + i);
        moments_at(plain, decoupled, &by, w + i, g + i, &m, &v, amsgrad ? highest + i : NULL);
        v_store(first + i, m);
        v_store(second + i, v);
    }
}

/* Roots and divisions are what a loop over weights waits for; rounding has the time of them in the same loop, and would take its own
 * in another. */
#if AE_BITS == 32 && !defined(AE_TARGET_REF)
AE_INLINE bool moments_update_rounded(const bool decoupled, const ae_rule_options *options, const ae_rule_step *step, int64_t n,
                                      float *w, const float *g, void *const *state, const ae_rule_draws *draws) {
    if (options->amsgrad || !rule_gradient_is_plain(step, decoupled ? 0 : step->l2))
        return false;
    const moments_rates by = moments_rates_of(decoupled, options, step);
    for (int lane = 0; lane < AE_PANEL / 2; lane += WL) {
        uint32_t *first = (uint32_t *)state[0] + lane, *second = (uint32_t *)state[1] + lane;
        uvec words[4];
        philox(draws->key, (uint32_t)lane, draws->row, draws->step, words);
        for (int64_t i = lane; i < n; i += AE_PANEL, first += AE_PANEL / 2, second += AE_PANEL / 2) {
            const uvec m = u_load(first), v = u_load(second);
            uvec *const both = words + i / AE_PANEL % 2 * 2;
            vec m_low = u_low_bf16(m), m_high = u_high_bf16(m), v_low = u_low_bf16(v), v_high = u_high_bf16(v);
            moments_at(true, decoupled, &by, w + i, g + i, &m_low, &v_low, NULL);
            moments_at(true, decoupled, &by, w + i + AE_PANEL / 2, g + i + AE_PANEL / 2, &m_high, &v_high, NULL);
            u_store(first, rounded_pair(both, 0, m_low, m_high));
            u_store(second, rounded_pair(both, 1, v_low, v_high));
            /* Of the next block, which mostly lies behind this one. */
            __builtin_prefetch(first + n / 2, 1, 3);
            __builtin_prefetch(second + n / 2, 1, 3);
            __builtin_prefetch(w + i + n, 1, 3);
            __builtin_prefetch(w + i + n + AE_PANEL / 2, 1, 3);
            rounding_next(both);
        }
    }
    return true;
}
#define MOMENTS_ROUNDED(decoupled)                                                                                          \
    static bool update_rounded(const ae_rule_options *options, const ae_rule_step *step, int64_t n, void *w, const void *g, \
                               void *const state[AE_RULE_MAX_STATE], const ae_rule_draws *draws) {                          \
        return moments_update_rounded(decoupled, options, step, n, w, g, state, draws);                                     \
    }
#define MOMENTS_UPDATE_ROUNDED update_rounded
#else
#define MOMENTS_ROUNDED(decoupled)
#define MOMENTS_UPDATE_ROUNDED NULL
#endif

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
