/* AdamW: l2 shrinks the weight by rate * l2 beside the step. Formulas in optim/moments.h. */
#include "optim/moments.h"
#include "optim/rule.h"

static void update(const ae_rule_options *options, const ae_rule_step *step, int64_t n, void *w, const void *g,
                   void *const state[AE_RULE_MAX_STATE]) {
    moments_update(true, options, step, n, w, g, state);
}

MOMENTS_ROUNDED(true)

const ae_rule_ops AE_V(ae_rule_adamw) = {"adamw", moments_n_state, update, MOMENTS_UPDATE_ROUNDED};
