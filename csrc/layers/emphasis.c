/* Weights of entries that put emphasis on what has been corrupted (Vincent et al. 2010, "Stacked denoising autoencoders", on
 * emphasis on corrupted dimensions): of inputs (clean, corrupted), value[0] (alpha) where they differ and value[1] (beta) where they
 * are equal. An entry that the noise left at its value, a zero that was masked for instance, counts as not corrupted. Two NaN are
 * equal. */
#include <math.h>

#include "layers/layer.h"
#include "math/vec.h"

AE_PLAN(emphasis) {
    const double alpha = plan->desc->value[0], beta = plan->desc->value[1];
    if (!(alpha >= 0.0 && beta >= 0.0 && isfinite(alpha + beta)) || alpha + beta == 0.0)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': emphasis is (%g, %g); both must be finite and not negative, one of them positive",
                       plan->desc->name, alpha, beta);
    if (plan->in[0].width != plan->in[1].width || plan->in[0].multiplicity != plan->in[1].multiplicity)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': the clean input is %lld features on %lld rows and the corrupted one %lld on %lld; they must "
                       "be equal",
                       plan->desc->name, (long long)plan->in[0].width, (long long)plan->in[0].multiplicity,
                       (long long)plan->in[1].width, (long long)plan->in[1].multiplicity);
    plan->out = plan->in[0];
    return AE_OK;
}

static void emphasis_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *clean = &binding->in[0], *corrupted = &binding->in[1], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const vec alpha = v_set1((real)binding->desc->value[0]), beta = v_set1((real)binding->desc->value[1]);
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL) {
            const vec a = v_load((const real *)clean->data + p * clean->stride + i);
            const vec b = v_load((const real *)corrupted->data + p * corrupted->stride + i);
            const vmask equal = m_or(v_eq(a, b), m_and(v_unordered(a, a), v_unordered(b, b)));
            v_store((real *)out->data + p * out->stride + i, v_select(equal, beta, alpha));
        }
}

const ae_layer_ops AE_V(ae_layer_emphasis) = {
    .name = "emphasis",
    .min_inputs = 2,
    .max_inputs = 2,
    .flags = AE_LAYER_STOPS,
    .plan = AE_PLANNED(emphasis),
    .forward = emphasis_forward,
};
