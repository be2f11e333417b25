/* Free bits over the minibatch (Kingma et al. 2016, appendix C.8): kl (rows, d) -> (rows, d) such that the mean of each
 * column over the minibatch is max(lambda, mean of kl). A column whose mean is at least lambda passes as it is; the others
 * are lambda in each row and give no gradient. All rows count alike, whatever their weight.
 *
 * value[0]: lambda in nats, > 0. Evaluation and inference have no minibatch: there kl passes as it is. */
#include <math.h>

#include "layers/latent.h"

AE_PLAN(free_bits) {
    if (!(plan->desc->value[0] > 0.0 && isfinite(plan->desc->value[0])))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': free bits are %g; they must be positive and finite", plan->desc->name,
                       plan->desc->value[0]);
    plan->out = plan->in[0];
    plan->coupling_parts = ae_panels(plan->in[0].width);
    plan->coupling_reals = plan->coupling_parts * AE_PANEL; /* by column: 1 where it passes */
    plan->flops_per_row = 2.0 * (double)plan->in[0].width;
    return AE_OK;
}

static void free_bits_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    const real *kl = (const real *)binding->in[0].data + part * binding->in[0].stride;
    real *passes = (real *)binding->coupling + part * AE_PANEL;
    double sum[AE_PANEL] = {0};
    (void)training;
    for (int64_t row = 0; row < rows; row++)
        for (int j = 0; j < AE_PANEL; j++)
            sum[j] += (double)kl[row * AE_PANEL + j];
    for (int j = 0; j < AE_PANEL; j++)
        passes[j] = sum[j] / (double)rows < binding->desc->value[0] ? (real)0 : (real)1; /* NaN passes, to be found */
}

static void free_bits_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const vec least = v_set1((real)binding->desc->value[0]);
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t row = row0; row < row1; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                vec kl = v_load(latent_at(in->data, in->stride, p, row) + j);
                if (block->keep)
                    kl = v_select(v_eq(v_load((const real *)binding->coupling + p * AE_PANEL + j), v_zero()), least, kl);
                v_store(latent_at(out->data, out->stride, p, row) + j, kl);
            }
}

static void free_bits_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    if (!in->gradient)
        return;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t row = row0; row < row1; row++)
            for (int j = 0; j < AE_PANEL; j += VL)
                latent_give(latent_at(in->gradient, in->stride, p, row) + j,
                            v_mul(v_load(latent_at(out->gradient, out->stride, p, row) + j),
                                  v_load((const real *)binding->coupling + p * AE_PANEL + j)),
                            binding->accumulate[0]);
}

const ae_layer_ops AE_V(ae_layer_free_bits) = {
    .name = "free_bits",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_COUPLES_ROWS,
    .plan = AE_PLANNED(free_bits),
    .forward = free_bits_forward,
    .backward_data = free_bits_backward_data,
    .couple = free_bits_couple,
};
