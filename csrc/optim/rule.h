/* Update rules: one file each in optim/, one line in optim/registry.c.
 *
 * A rule sees a run of parameters with their gradients and its own state, elementwise; it never sees layers. The trainer
 * calls it tile by tile while the gradient is in cache, so a rule must not depend on how a run is cut.
 * Padding stays zero: a rule maps (w, g, state) = 0 to 0. */
#ifndef AE_OPTIM_RULE_H
#define AE_OPTIM_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/rng.h"

#define AE_RULE_MAX_STATE 3

/* Hyperparameters as users know them; each rule reads its own. Defaults are Python's affair. */
typedef struct ae_rule_options {
    double momentum;     /* sgd, rmsprop: 0 <= momentum < 1 */
    bool nesterov;       /* sgd */
    double beta1, beta2; /* adam, adamw; beta2 is rmsprop's smoothing (torch's alpha) */
    double epsilon;      /* raised to the smallest normal number of the precision where it is below */
    bool amsgrad;        /* adam, adamw: needs the third state */
} ae_rule_options;

/* What holds for one step, the same for all runs of one parameter. */
typedef struct ae_rule_step {
    double rate;           /* learning rate after the schedule */
    int64_t step;          /* 1 for the first */
    double l2;             /* added to the gradient: l2 * w (decoupled in adamw: w -= rate * l2 * w before the update) */
    double l1;             /* added to the gradient: l1 * sign(w), 0 at 0; in adamw too */
    double gradient_scale; /* factor of the gradient, applied first (global-norm clipping); 1 elsewhere */
    double clip_value;     /* then clipped to [-clip_value, clip_value]; infinity: not. Before l1 and l2 */
} ae_rule_step;

/* Whose draws round a block of state: arguments of ae_random_round (math/random.h). */
typedef struct ae_rule_draws {
    ae_key key;
    uint64_t step;
    uint32_t row;
} ae_rule_draws;

typedef struct ae_rule_ops {
    const char *name;
    /* Number of state arrays, each shaped like the parameter, zero at the start. */
    int (*n_state)(const ae_rule_options *options);
    /* n parameters (a multiple of 32). Pointers to reals of the variant's precision. w and state are updated in place. */
    void (*update)(const ae_rule_options *options, const ae_rule_step *step, int64_t n, void *w, const void *g,
                   void *const state[AE_RULE_MAX_STATE]);
    /* The same where the state is words of two bfloat16 numbers, n at most AE_ROUNDED_MOST: what widening, update and rounding at random
     * give, in one pass. NULL, or false and nothing done, where these are to be done. */
    bool (*update_rounded)(const ae_rule_options *options, const ae_rule_step *step, int64_t n, void *w, const void *g,
                           void *const state[AE_RULE_MAX_STATE], const ae_rule_draws *draws);
} ae_rule_ops;

const ae_rule_ops *ae_rule_get(int bits, ae_isa isa, int index);
int ae_rule_find(const char *name);

#endif
