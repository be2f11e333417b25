/* Input: rows of a bound data set. The trainer gathers them; there is nothing to compute.
 *
 * size[0]: the source is CSR, of at most so many entries a row, and goes as pairs to who can read them; 0: not so. */
#include "layers/layer.h"
#include "math/variant.h"

AE_PLAN(input) {
    if (plan->desc->width < 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': width is %lld; it must be at least 1", plan->desc->name,
                       (long long)plan->desc->width);
    if (plan->desc->size[0] < 0 || plan->desc->size[0] > plan->desc->width)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': size[0] is %d entries a row; it must be 0 to %lld", plan->desc->name,
                       plan->desc->size[0], (long long)plan->desc->width);
    plan->out = (ae_shape){plan->desc->width, 1};
    plan->most_nonzero = plan->desc->size[0];
    return AE_OK;
}

const ae_layer_ops AE_V(ae_layer_input) = {.name = "input", .flags = AE_LAYER_SOURCE, .plan = AE_PLANNED(input)};
