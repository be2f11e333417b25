/* Adagrad (Duchi, Hazan and Singer 2011), diagonal: v += g^2; w -= rate g / (sqrt(v) + epsilon). v starts at zero and the
 * rate has no decay of its own. v never decays, so nothing is settled. */
#include "math/vec.h"
#include "optim/gradient.h"
#include "optim/rule.h"

static int n_state(const ae_rule_options *options) {
    (void)options;
    return 1;
}

AE_INLINE void descend(const bool plain, const ae_rule_options *options, const ae_rule_step *step, int64_t n, real *w,
                       const real *g, real *squares) {
    const rule_gradient by = rule_gradient_of(step, step->l2);
    const vec rate = v_set1((real)step->rate), epsilon = rule_epsilon(options->epsilon);
    for (int64_t i = 0; i < n; i += VL) {
        const vec wi = v_load(w + i);
        const vec gi = rule_gradient_at(plain, by, wi, v_load(g + i));
        const vec v = v_fma(gi, gi, v_load(squares + i));
        v_store(squares + i, v);
        v_store(w + i, v_fnma(rate, v_div(gi, v_add(v_sqrt(v), epsilon)), wi));
    }
}

static void update(const ae_rule_options *options, const ae_rule_step *step, int64_t n, void *w, const void *g,
                   void *const state[AE_RULE_MAX_STATE]) {
    if (rule_gradient_is_plain(step, step->l2))
        descend(true, options, step, n, w, g, state[0]);
    else
        descend(false, options, step, n, w, g, state[0]);
}

const ae_rule_ops AE_V(ae_rule_adagrad) = {"adagrad", n_state, update, NULL};
