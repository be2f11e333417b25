/* RMSprop (Tieleman and Hinton 2012, lecture 6.5), epsilon outside the root as in PyTorch:
 * v = beta2 v + (1 - beta2) g^2; u = g / (sqrt(v) + epsilon); w -= rate u, or with momentum b = momentum b + u, w -= rate b. */
#include "math/vec.h"
#include "optim/gradient.h"
#include "optim/rule.h"

static int n_state(const ae_rule_options *options) { return options->momentum != 0 ? 2 : 1; }

AE_INLINE void descend(const bool plain, const bool with_momentum, const ae_rule_options *options, const ae_rule_step *step,
                       int64_t n, real *w, const real *g, real *second, real *buffer) {
    const rule_gradient by = rule_gradient_of(step, step->l2);
    const vec rate = v_set1((real)step->rate), momentum = v_set1((real)options->momentum);
    const vec share = v_set1((real)(1 - options->beta2)), epsilon = rule_epsilon(options->epsilon);
    for (int64_t i = 0; i < n; i += VL) {
        const vec wi = v_load(w + i);
        const vec gi = rule_gradient_at(plain, by, wi, v_load(g + i));
        const vec v = rule_settle_second(rule_average(v_load(second + i), v_mul(gi, gi), share));
        v_store(second + i, v);
        vec direction = v_div(gi, v_add(v_sqrt(v), epsilon));
        if (with_momentum) {
            direction = rule_settle_first(v_fma(momentum, v_load(buffer + i), direction));
            v_store(buffer + i, direction);
        }
        v_store(w + i, v_fnma(rate, direction, wi));
    }
}

static void update(const ae_rule_options *options, const ae_rule_step *step, int64_t n, void *w, const void *g,
                   void *const state[AE_RULE_MAX_STATE]) {
    const bool plain = rule_gradient_is_plain(step, step->l2);
    if (options->momentum == 0)
        descend(plain, false, options, step, n, w, g, state[0], NULL);
    else
        descend(plain, true, options, step, n, w, g, state[0], state[1]);
}

const ae_rule_ops AE_V(ae_rule_rmsprop) = {"rmsprop", n_state, update, NULL};
