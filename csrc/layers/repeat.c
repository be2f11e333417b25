/* `multiplicity` copies of each row: row r becomes rows r k .. r k + k - 1. The gradient is their sum, in order. */
#include "layers/rows.h"

AE_PLAN(repeat) {
    const ae_node_desc *desc = plan->desc;
    if (desc->multiplicity < 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': multiplicity is %lld; it must be at least 1", desc->name,
                       (long long)desc->multiplicity);
    if (plan->in[0].multiplicity != 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': the input has %lld rows a sample; it must have 1", desc->name,
                       (long long)plan->in[0].multiplicity);
    plan->out = (ae_shape){plan->in[0].width, desc->multiplicity};
    return AE_OK;
}

static void repeat_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t k = out->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t i = block->row0 * k; i < block->row1 * k; i++)
            memcpy((real *)out->data + p * out->stride + i * AE_PANEL,
                   (const real *)in->data + p * in->stride + i / k * AE_PANEL, AE_PANEL * sizeof(real));
}

const ae_layer_ops AE_V(ae_layer_repeat) = {
    .name = "repeat",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(repeat),
    .forward = repeat_forward,
    .backward_data = rows_sum_copies,
};
