/* Identity whose gradient goes no further. */
#include "layers/rows.h"

AE_PLAN(stop) {
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
    .plan = AE_PLANNED(stop),
    .forward = stop_forward,
};
