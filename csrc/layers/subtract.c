/* Element-wise difference of two values of one shape: out = in[0] - in[1]. */
#include "layers/rows.h"

AE_PLAN(subtract) {
    const ae_shape *a = &plan->in[0], *b = &plan->in[1];
    if (a->width != b->width || a->multiplicity != b->multiplicity)
        return ae_fail(
            context, AE_ERR_VALUE,
            "node '%s': input 1 has %lld features on %lld rows a sample and input 0 %lld on %lld; they must be equal",
            plan->desc->name, (long long)b->width, (long long)b->multiplicity, (long long)a->width, (long long)a->multiplicity);
    plan->out = *a;
    return AE_OK;
}

static void subtract_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *a = &binding->in[0], *b = &binding->in[1], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL)
            v_store((real *)out->data + p * out->stride + i, v_sub(v_load((const real *)a->data + p * a->stride + i),
                                                                   v_load((const real *)b->data + p * b->stride + i)));
}

static void subtract_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *b = &binding->in[1], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    if (binding->in[0].gradient)
        rows_pass(out, block, out->gradient, binding->in[0].gradient, binding->accumulate[0]);
    if (!b->gradient)
        return;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL) {
            real *to = (real *)b->gradient + p * b->stride + i;
            const vec before = binding->accumulate[1] ? v_load(to) : v_zero();
            v_store(to, v_sub(before, v_load((const real *)out->gradient + p * out->stride + i)));
        }
}

const ae_layer_ops AE_V(ae_layer_subtract) = {
    .name = "subtract",
    .min_inputs = 2,
    .max_inputs = 2,
    .plan = AE_PLANNED(subtract),
    .forward = subtract_forward,
    .backward_data = subtract_backward_data,
};
