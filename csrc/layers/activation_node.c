/* An activation function alone (desc->activation), for networks that have something between a product and its activation, or the
 * activation first (He et al. 2016, "Identity mappings in deep residual networks"). */
#include "layers/rows.h"

AE_PLAN(activation) {
    (void)context;
    plan->out = plan->in[0];
    plan->cache_width = ae_activation_keeps_slope((ae_activation)plan->desc->activation) ? plan->in[0].width : 0;
    plan->flops_per_row = 10.0 * (double)plan->in[0].width;
    return AE_OK;
}

static void activation_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *out = &binding->out;
    const ae_activation activation = (ae_activation)binding->desc->activation;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    real *slope = block->keep ? binding->cache : NULL;
    rows_pass(out, block, binding->in[0].data, out->data, false);
    if (activation == AE_SOFTMAX) {
        AE_V(ae_softmax_forward)(row0, row1, out->shape.width, out->stride, out->data);
        return;
    }
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++) {
        const int64_t at = p * out->stride + row0 * AE_PANEL;
        AE_V(ae_activation_forward)
        (activation, (row1 - row0) * AE_PANEL, (real *)out->data + at, slope ? slope + at : NULL);
    }
}

/* In place of out.gradient, which nobody reads afterwards, then on to the input. */
static void activation_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const ae_activation activation = (ae_activation)binding->desc->activation;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    real *delta = out->gradient;
    if (!in->gradient)
        return;
    if (activation == AE_SOFTMAX)
        AE_V(ae_softmax_backward)(row0, row1, out->shape.width, out->stride, out->data, delta);
    for (int64_t p = 0; activation != AE_SOFTMAX && p < ae_panels(out->shape.width); p++) {
        const int64_t at = p * out->stride + row0 * AE_PANEL;
        const real *slope = binding->cache ? (const real *)binding->cache + at : NULL;
        AE_V(ae_activation_backward)(activation, (row1 - row0) * AE_PANEL, (const real *)out->data + at, slope, delta + at);
    }
    rows_pass(out, block, delta, in->gradient, binding->accumulate[0]);
}

const ae_layer_ops AE_V(ae_layer_activation) = {
    .name = "activation",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(activation),
    .forward = activation_forward,
    .backward_data = activation_backward_data,
};
