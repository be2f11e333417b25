/* A constant: no inputs -> (rows * m, width), every entry value[0]. Labels of a discriminator, for instance. multiplicity: m
 * (0: one). It is no source: nothing is bound to it. Where a predictor starts from a code, constants stand behind it in
 * the graph. */
#include <math.h>

#include "layers/latent.h"

AE_PLAN(constant) {
    const ae_node_desc *desc = plan->desc;
    if (desc->width < 1 || desc->multiplicity < 0 || !isfinite(desc->value[0]))
        return ae_fail(
            context, AE_ERR_VALUE,
            "node '%s': width is %lld, multiplicity %lld and the value %g; a width of at least 1, a multiplicity that "
            "is not negative and a finite value are allowed",
            desc->name, (long long)desc->width, (long long)desc->multiplicity, desc->value[0]);
    plan->out = (ae_shape){desc->width, desc->multiplicity ? desc->multiplicity : 1};
    return AE_OK;
}

static void constant_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL)
            v_store((real *)out->data + p * out->stride + i, v_set1((real)binding->desc->value[0]));
}

const ae_layer_ops AE_V(ae_layer_constant) = {.name = "constant", .plan = AE_PLANNED(constant), .forward = constant_forward};
