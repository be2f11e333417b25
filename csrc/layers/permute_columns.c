/* Each column permuted over the rows of the minibatch by a permutation of its own: z (rows, d) -> (rows, d) from the product of z's
 * marginal distributions (FactorVAE: Kim and Mnih 2018, algorithm 1). While training only, by step and column from the latent
 * stream; otherwise z passes as it is. No gradient flows back: a discriminator is trained on it, and nothing before it. */
#include <string.h>

#include "base/permutation.h"
#include "layers/latent.h"

AE_PLAN(permute_columns) {
    (void)context;
    plan->out = plan->in[0];
    plan->coupling_reals = (int64_t)(sizeof(int64_t) / sizeof(real)); /* rows of the minibatch */
    plan->coupling_parts = 1;
    return AE_OK;
}

/* A barrier: what follows reads rows of other blocks. */
static void permute_columns_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    (void)part, (void)training;
    memcpy(binding->coupling, &rows, sizeof rows);
}

static void permute_columns_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        memcpy(latent_at(out->data, out->stride, p, row0), latent_at(in->data, in->stride, p, row0),
               (size_t)((row1 - row0) * AE_PANEL) * sizeof(real));
    if (!block->training || !block->keep)
        return;
    int64_t rows;
    memcpy(&rows, binding->coupling, sizeof rows);
    for (int64_t c = 0; c < out->shape.width; c++) {
        ae_permutation permutation;
        ae_permutation_init(&permutation, (uint64_t)rows, binding->key, block->step * (uint64_t)out->shape.width + (uint64_t)c);
        for (int64_t row = row0; row < row1; row++) {
            const int64_t from = (int64_t)ae_permutation_at(&permutation, (uint64_t)row);
            latent_at(out->data, out->stride, c / AE_PANEL, row)[c % AE_PANEL] =
                latent_at(in->data, in->stride, c / AE_PANEL, from)[c % AE_PANEL];
        }
    }
}

static void permute_columns_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0];
    const int64_t row0 = block->row0 * in->shape.multiplicity, row1 = block->row1 * in->shape.multiplicity;
    for (int64_t p = 0; in->gradient && !binding->accumulate[0] && p < ae_panels(in->shape.width); p++)
        memset(latent_at(in->gradient, in->stride, p, row0), 0, (size_t)((row1 - row0) * AE_PANEL) * sizeof(real));
}

const ae_layer_ops AE_V(ae_layer_permute_columns) = {
    .name = "permute_columns",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOCHASTIC | AE_LAYER_COUPLES_ROWS,
    .stream = AE_STREAM_LATENT,
    .plan = AE_PLANNED(permute_columns),
    .forward = permute_columns_forward,
    .backward_data = permute_columns_backward_data,
    .couple = permute_columns_couple,
};
