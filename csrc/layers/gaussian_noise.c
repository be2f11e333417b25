/* Additive Gaussian noise: out = in + std z with z normal, drawn afresh at each presentation (Vincent et al. 2010, "Stacked
 * denoising autoencoders", on types of corruption). value[0]: std. Rests when not training. The noise does not depend on the input, so the
 * gradient passes as it is. */
#include <math.h>

#include "layers/rows.h"
#include "math/random.h"

AE_PLAN(gaussian_noise) {
    const double std = plan->desc->value[0];
    if (!(std >= 0.0 && isfinite(std)))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': std is %g; it must be finite and not negative", plan->desc->name,
                       std);
    plan->out = plan->in[0];
    plan->scratch_reals = ae_panels(plan->in[0].width) * AE_PANEL;
    plan->flops_per_row = 30.0 * (double)plan->in[0].width;
    return AE_OK;
}

static void gaussian_noise_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const vec std = v_set1((real)binding->desc->value[0]);
    real *z = block->scratch;
    if (!block->training || binding->desc->value[0] == 0.0) {
        rows_pass(out, block, in->data, out->data, false);
        return;
    }
    for (int64_t row = row0; row < row1; row++) {
        AE_V(ae_random_normal)(binding->key, block->step, rows_number(out, block, row), out->shape.width, z);
        for (int64_t p = 0; p < ae_panels(out->shape.width); p++) {
            const real *x = (const real *)in->data + p * in->stride + row * AE_PANEL;
            real *y = (real *)out->data + p * out->stride + row * AE_PANEL;
            for (int j = 0; j < AE_PANEL; j += VL)
                v_store(y + j, v_fma(std, v_load(z + p * AE_PANEL + j), v_load(x + j)));
        }
    }
}

static void gaussian_noise_backward_data(const ae_binding *binding, const ae_block *block) {
    if (binding->in[0].gradient)
        rows_pass(&binding->out, block, binding->out.gradient, binding->in[0].gradient, binding->accumulate[0]);
}

const ae_layer_ops AE_V(ae_layer_gaussian_noise) = {
    .name = "gaussian_noise",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOCHASTIC,
    .plan = AE_PLANNED(gaussian_noise),
    .forward = gaussian_noise_forward,
    .backward_data = gaussian_noise_backward_data,
};
