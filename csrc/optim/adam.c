/* Adam: l2 is part of the gradient. Formulas in optim/moments.h. */
#include "optim/moments.h"
#include "optim/rule.h"

static void update(const ae_rule_options *options, const ae_rule_step *step, int64_t n, void *w, const void *g,
                   void *const state[AE_RULE_MAX_STATE]) {
    moments_update(false, options, step, n, w, g, state);
}

MOMENTS_ROUNDED(false)

const ae_rule_ops AE_V(ae_rule_adam) = {"adam", moments_n_state, update, MOMENTS_UPDATE_ROUNDED};
