/* A constant factor: out = value[0] in. */
#include <math.h>

#include "layers/rows.h"

AE_PLAN(scale) {
    if (!isfinite(plan->desc->value[0]))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': the factor is %g; it must be finite", plan->desc->name,
                       plan->desc->value[0]);
    plan->out = plan->in[0];
    return AE_OK;
}

/* to = factor from, or to += factor from. */
static void scale_rows(const ae_binding *binding, const ae_block *block, const real *from, real *to, bool add) {
    const ae_value *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const vec factor = v_set1((real)binding->desc->value[0]);
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t i = p * out->stride + row0 * AE_PANEL; i < p * out->stride + row1 * AE_PANEL; i += VL)
            v_store(to + i, add ? v_fma(factor, v_load(from + i), v_load(to + i)) : v_mul(factor, v_load(from + i)));
}

static void scale_forward(const ae_binding *binding, const ae_block *block) {
    scale_rows(binding, block, binding->in[0].data, binding->out.data, false);
}

static void scale_backward_data(const ae_binding *binding, const ae_block *block) {
    if (binding->in[0].gradient)
        scale_rows(binding, block, binding->out.gradient, binding->in[0].gradient, binding->accumulate[0]);
}

const ae_layer_ops AE_V(ae_layer_scale) = {
    .name = "scale",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(scale),
    .forward = scale_forward,
    .backward_data = scale_backward_data,
};
