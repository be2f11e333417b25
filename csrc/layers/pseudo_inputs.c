/* Trained inputs of a VampPrior (Tomczak and Welling 2018): no inputs -> (rows, D), row r of the minibatch is pseudo-input r mod K.
 * Behind it stand nodes that share the encoder's parameters; vamp_log_ratio reads their first K rows.
 *
 * size[0]: K, width: D. Parameter "inputs" (K, D), drawn from N(0, 1); better set to K rows of the training data before the fit. It
 * does not decay. Rows behind the K-th cost time for nothing, so K is best near the minibatch's size or above. */
#include <string.h>

#include "layers/latent.h"

AE_PLAN(pseudo_inputs) {
    const ae_node_desc *desc = plan->desc;
    if (desc->size[0] < 1 || desc->width < 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': %d pseudo-inputs of %lld features; both must be at least 1",
                       desc->name, desc->size[0], (long long)desc->width);
    plan->out = (ae_shape){desc->width, 1};
    plan->n_parameters = 1;
    plan->parameter[0] =
        (ae_parameter_request){"inputs", desc->size[0], desc->width, 1, 1, AE_INIT_LECUN, false, false, AE_UPDATE_RULE};
    return AE_OK;
}

static void pseudo_inputs_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *out = &binding->out;
    const int64_t k = binding->desc->size[0];
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t row = block->row0; row < block->row1; row++) {
            const int64_t position = block->first_row + row;
            memcpy(latent_at(out->data, out->stride, p, row),
                   (const real *)binding->parameter[0] + (p * k + position % k) * AE_PANEL, AE_PANEL * sizeof(real));
        }
}

static void pseudo_inputs_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                           void *gradient) {
    const ae_value *out = &binding->out;
    const int64_t k = binding->desc->size[0];
    real *to = gradient;
    (void)accumulate; /* there are no chunks */
    memset(to, 0, (size_t)((tile->row1 - tile->row0) * AE_PANEL) * sizeof(real));
    for (int64_t row = 0; row < rows; row++) {
        const int64_t input = row % k;
        for (int j = 0; input >= tile->row0 && input < tile->row1 && j < AE_PANEL; j += VL) {
            real *at = to + (input - tile->row0) * AE_PANEL + j;
            const vec g = v_load(latent_at(out->gradient, out->stride, tile->panel, row) + j);
            const vmask present = lanes_below(ae_panel_columns(out->shape.width, tile->panel), j);
            v_store(at, v_add(v_load(at), v_select(present, g, v_zero())));
        }
    }
}

/* A graph for inference has no need of it: see vamp_log_ratio. It couples rows in that a chunk would not know which pseudo-inputs it has for gradients. */
const ae_layer_ops AE_V(ae_layer_pseudo_inputs) = {
    .name = "pseudo_inputs",
    .flags = AE_LAYER_COUPLES_ROWS | AE_LAYER_TRAINING_ONLY,
    .plan = AE_PLANNED(pseudo_inputs),
    .forward = pseudo_inputs_forward,
    .backward_weights = pseudo_inputs_backward_weights,
};
