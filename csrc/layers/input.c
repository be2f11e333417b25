/* Input: rows of a bound data set. The trainer gathers them; there is nothing to compute. */
#include "layers/layer.h"
#include "math/variant.h"

static ae_status input_plan(ae_context *context, ae_layer_plan *plan) {
    if (plan->desc->width < 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': width is %lld; it must be at least 1", plan->desc->name,
                       (long long)plan->desc->width);
    plan->out = (ae_shape){plan->desc->width, 1};
    return AE_OK;
}

const ae_layer_ops AE_V(ae_layer_input) = {.name = "input", .flags = AE_LAYER_SOURCE, .plan = input_plan};
