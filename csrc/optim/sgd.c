/* Stochastic gradient descent with momentum as PyTorch defines it (Sutskever et al. 2013 up to the place of the rate):
 * b = momentum b + g; w -= rate b, or with Nesterov's acceleration w -= rate (g + momentum b). */
#include "math/vec.h"
#include "optim/gradient.h"
#include "optim/rule.h"

static int n_state(const ae_rule_options *options) { return options->momentum != 0; }

AE_INLINE void descend(const bool plain, const bool with_momentum, const bool nesterov, const ae_rule_options *options,
                       const ae_rule_step *step, int64_t n, real *w, const real *g, real *buffer) {
    const rule_gradient by = rule_gradient_of(step, step->l2);
    const vec rate = v_set1((real)step->rate), momentum = v_set1((real)options->momentum);
    for (int64_t i = 0; i < n; i += VL) {
        const vec wi = v_load(w + i);
        const vec gi = rule_gradient_at(plain, by, wi, v_load(g + i));
        vec direction = gi;
        if (with_momentum) {
            const vec b = rule_settle_first(v_fma(momentum, v_load(buffer + i), gi));
            v_store(buffer + i, b);
            direction = nesterov ? v_fma(momentum, b, gi) : b;
        }
        v_store(w + i, v_fnma(rate, direction, wi));
    }
}

static void update(const ae_rule_options *options, const ae_rule_step *step, int64_t n, void *w, const void *g,
                   void *const state[AE_RULE_MAX_STATE]) {
    const bool plain = rule_gradient_is_plain(step, step->l2);
    if (options->momentum == 0)
        descend(plain, false, false, options, step, n, w, g, NULL);
    else if (options->nesterov)
        descend(plain, true, true, options, step, n, w, g, state[0]);
    else
        descend(plain, true, false, options, step, n, w, g, state[0]);
}

const ae_rule_ops AE_V(ae_rule_sgd) = {"sgd", n_state, update, NULL};
