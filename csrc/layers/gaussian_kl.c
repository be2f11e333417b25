/* KL(N(m, e^v) || N(0, 1)) in nats, by component (Kingma and Welling 2014, appendix B):
 *
 *     mean m (rows, d), log-variance v (rows, d) -> (rows, d),  (m^2 + e^v - 1 - v) / 2
 *
 * value[0]: free bits lambda by row and component: max(lambda, kl), without gradient where lambda is larger. 0: none. The
 * form of Kingma et al. 2016 over minibatch means is the layer free_bits behind this one.
 *
 * Beyond the bounds of v (latent.h) the function goes on as its tangent, so a posterior out there is always drawn back. */
#include <math.h>

#include "layers/latent.h"

AE_PLAN(gaussian_kl) {
    if (!(plan->desc->value[0] >= 0.0 && isfinite(plan->desc->value[0])))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': free bits are %g; they must be finite and not negative",
                       plan->desc->name, plan->desc->value[0]);
    plan->out = plan->in[0];
    plan->flops_per_row = 30.0 * (double)plan->in[0].width;
    return latent_check_posterior(context, plan, 0);
}

static void gaussian_kl_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *m = &binding->in[0], *v = &binding->in[1], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const vec least = v_set1((real)binding->desc->value[0]);
    const bool free = binding->desc->value[0] > 0.0;
    vec slope;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL) {
            const vec kl = latent_divergence(v_load((const real *)m->data + p * m->stride + i),
                                             v_load((const real *)v->data + p * v->stride + i), &slope);
            v_store((real *)out->data + p * out->stride + i, free ? v_max(least, kl) : kl);
        }
}

static void gaussian_kl_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *m = &binding->in[0], *v = &binding->in[1], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const vec least = v_set1((real)binding->desc->value[0]);
    const bool free = binding->desc->value[0] > 0.0;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL) {
            const vec mean = v_load((const real *)m->data + p * m->stride + i);
            vec slope, g = v_load((const real *)out->gradient + p * out->stride + i);
            const vec kl = latent_divergence(mean, v_load((const real *)v->data + p * v->stride + i), &slope);
            g = free ? v_select(v_lt(kl, least), v_zero(), g) : g;
            if (m->gradient)
                latent_give((real *)m->gradient + p * m->stride + i, v_mul(g, mean), binding->accumulate[0]);
            if (v->gradient)
                latent_give((real *)v->gradient + p * v->stride + i, v_mul(g, slope), binding->accumulate[1]);
        }
}

const ae_layer_ops AE_V(ae_layer_gaussian_kl) = {
    .name = "gaussian_kl",
    .min_inputs = 2,
    .max_inputs = 2,
    .plan = AE_PLANNED(gaussian_kl),
    .forward = gaussian_kl_forward,
    .backward_data = gaussian_kl_backward_data,
};
