/* Copies of a row, each with Gaussian noise of its own: in (B, d), out (B k, d) = in + value[0] e, k = desc->multiplicity. For
 * expectations over noise that stand beside the clean row (the higher-order term of CAE+H, Rifai et al. 2011b). Outside training
 * the noise is there too, the same for each row, drawn from the scoring key. */
#include <math.h>

#include "layers/rows.h"
#include "math/random.h"

AE_PLAN(noisy_copies) {
    const double std = plan->desc->value[0];
    const int64_t k = plan->desc->multiplicity;
    if (!(std > 0.0 && isfinite(std)))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': std is %g; it must be above 0 and finite", plan->desc->name, std);
    if (k < 1 || k > INT32_MAX)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': multiplicity (n_samples) is %lld; it must be at least 1",
                       plan->desc->name, (long long)k);
    if (plan->in[0].multiplicity != 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': the input has %lld rows for one of data; 1 is allowed",
                       plan->desc->name, (long long)plan->in[0].multiplicity);
    plan->out = (ae_shape){plan->in[0].width, k};
    plan->scratch_reals = ae_panels(plan->in[0].width) * AE_PANEL;
    return AE_OK;
}

static void noisy_copies_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t k = out->shape.multiplicity, width = out->shape.width;
    const vec std = v_set1((real)binding->desc->value[0]);
    real *e = block->scratch;
    for (int64_t i = block->row0 * k; i < block->row1 * k; i++) {
        AE_V(ae_random_normal)
        (block->training ? binding->key : binding->scoring_key, block->training ? block->step : 0,
         (uint32_t)(block->training ? block->first_row * k + i : i % k), width, e);
        for (int64_t p = 0; p < ae_panels(width); p++)
            for (int j = 0; j < AE_PANEL; j += VL)
                v_store((real *)out->data + p * out->stride + i * AE_PANEL + j,
                        v_fma(std, v_load(e + p * AE_PANEL + j),
                              v_load((const real *)in->data + p * in->stride + i / k * AE_PANEL + j)));
    }
}

const ae_layer_ops AE_V(ae_layer_noisy_copies) = {
    .name = "noisy_copies",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOCHASTIC,
    .plan = AE_PLANNED(noisy_copies),
    .forward = noisy_copies_forward,
    .backward_data = rows_sum_copies,
};
