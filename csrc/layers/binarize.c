/* Dynamic binarisation (Salakhutdinov and Murray 2008; Burda et al. 2016): out = 1 with probability in, else 0, drawn afresh at each
 * presentation by step, row in the minibatch and column. An entry of 0 or less is always 0, one of 1 or more always 1; NaN stays.
 * Not while training the entries pass as they are: they are the means of the draws. No gradient flows back. */
#include "layers/rows.h"
#include "math/random.h"

AE_PLAN(binarize) {
    (void)context;
    plan->out = plan->in[0];
    plan->scratch_reals = ae_panels(plan->in[0].width) * AE_PANEL;
    plan->flops_per_row = 10.0 * (double)plan->in[0].width;
    return AE_OK;
}

static void binarize_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    real *u = block->scratch;
    if (!block->training) {
        rows_pass(out, block, in->data, out->data, false);
        return;
    }
    for (int64_t row = row0; row < row1; row++) {
        AE_V(ae_random_uniform)(binding->key, block->step, rows_number(out, block, row), out->shape.width, u);
        for (int64_t p = 0; p < ae_panels(out->shape.width); p++) {
            const real *x = (const real *)in->data + p * in->stride + row * AE_PANEL;
            real *y = (real *)out->data + p * out->stride + row * AE_PANEL;
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec mean = v_load(x + j);
                const vec drawn = v_select(v_lt(v_load(u + p * AE_PANEL + j), mean), v_set1((real)1), v_zero());
                v_store(y + j, v_select(v_unordered(mean, mean), mean, drawn));
            }
        }
    }
}

const ae_layer_ops AE_V(ae_layer_binarize) = {
    .name = "binarize",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOCHASTIC | AE_LAYER_STOPS,
    .plan = AE_PLANNED(binarize),
    .forward = binarize_forward,
};
