/* Identity whose gradient goes no further. */
#include "layers/rows.h"

static ae_status stop_plan(ae_context *context, ae_layer_plan *plan) {
    (void)context;
    plan->out = plan->in[0];
    return AE_OK;
}

static void stop_forward(const ae_binding *binding, const ae_block *block) {
    rows_pass(&binding->out, block, binding->in[0].data, binding->out.data, false);
}

const ae_layer_ops AE_V(ae_layer_stop) = {
    .name = "stop",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOPS,
    .plan = stop_plan,
    .forward = stop_forward,
};
