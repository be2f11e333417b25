/* The posterior's half of the layers that give log q(z|x) - log p(z) for draws z: inputs z (rows * k, d), mean and
 * log-variance (rows, d), output (rows * k, 1). Constants d / 2 log 2 pi are left out on both sides. Gradients go to all
 * three inputs, so that with z reparameterised behind mean and log-variance the total derivative is that of the estimator.
 *
 * Below its lower bound v keeps its slope in the normalising term -v / 2, which draws it back (latent.h). */
#ifndef AE_LAYERS_LOG_RATIO_H
#define AE_LAYERS_LOG_RATIO_H

#include "layers/latent.h"

enum { RATIO_Z, RATIO_MEAN, RATIO_LOG_VARIANCE };

static inline ae_status log_ratio_plan(ae_context *context, ae_layer_plan *plan) {
    const ae_shape *z = &plan->in[RATIO_Z], *m = &plan->in[RATIO_MEAN];
    if (z->width != m->width || z->multiplicity % m->multiplicity)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': z has %lld features and %lld rows a sample, the mean %lld and %lld; z must have as many "
                       "features, and a multiple of the rows",
                       plan->desc->name, (long long)z->width, (long long)z->multiplicity, (long long)m->width,
                       (long long)m->multiplicity);
    plan->out = (ae_shape){1, z->multiplicity};
    plan->flops_per_row = 20.0 * (double)z->width;
    return latent_check_posterior(context, plan, RATIO_MEAN);
}

static inline int64_t log_ratio_draws(const ae_binding *binding) {
    return binding->in[RATIO_Z].shape.multiplicity / binding->in[RATIO_MEAN].shape.multiplicity;
}

/* A term of log q at draw `row` of z: -(v + (z - m)^2 e^-v) / 2. Also (z - m) e^-v, and the slope by v. */
AE_INLINE vec log_ratio_posterior(const ae_binding *binding, int64_t draws, int64_t p, int64_t row, int j, vec *pull,
                                  vec *slope) {
    const ae_value *z = &binding->in[RATIO_Z], *m = &binding->in[RATIO_MEAN], *v = &binding->in[RATIO_LOG_VARIANCE];
    const int64_t of = row / draws;
    const vec raw = v_load(latent_at(v->data, v->stride, p, of) + j), half = v_set1((real)0.5);
    const vec precision = vf_exp(v_neg(latent_clamp(raw)));
    const vec off = v_sub(v_load(latent_at(z->data, z->stride, p, row) + j), v_load(latent_at(m->data, m->stride, p, of) + j));
    *pull = v_mul(off, precision);
    const vec square = v_mul(off, *pull), linear = vf_at_most(LATENT_BOUND, raw);
    *slope = v_mul(half, v_sub(v_select(latent_is_inside(raw), square, v_zero()),
                               v_select(v_lt(raw, v_set1(LATENT_BOUND)), v_set1(1), v_zero())));
    return v_mul(v_neg(half), v_add(linear, square));
}

/* Gradients of mean and log-variance: over the draws of a row in order. */
static inline void log_ratio_backward_posterior(const ae_binding *binding, const ae_block *block) {
    const ae_value *m = &binding->in[RATIO_MEAN], *v = &binding->in[RATIO_LOG_VARIANCE], *out = &binding->out;
    const int64_t draws = log_ratio_draws(binding), each = m->shape.multiplicity;
    if (!m->gradient && !v->gradient)
        return;
    for (int64_t p = 0; p < ae_panels(m->shape.width); p++) {
        const int columns = ae_panel_columns(m->shape.width, p);
        for (int64_t row = block->row0 * each; row < block->row1 * each; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vmask present = lanes_below(columns, j);
                vec of_m = v_zero(), of_v = v_zero(), pull, slope;
                for (int64_t s = 0; s < draws; s++) {
                    const vec g = v_set1(*latent_at(out->gradient, out->stride, 0, row * draws + s));
                    log_ratio_posterior(binding, draws, p, row * draws + s, j, &pull, &slope);
                    of_m = v_fma(g, pull, of_m);
                    of_v = v_fma(g, slope, of_v);
                }
                if (m->gradient)
                    latent_give(latent_at(m->gradient, m->stride, p, row) + j, v_select(present, of_m, v_zero()),
                                binding->accumulate[RATIO_MEAN]);
                if (v->gradient)
                    latent_give(latent_at(v->gradient, v->stride, p, row) + j, v_select(present, of_v, v_zero()),
                                binding->accumulate[RATIO_LOG_VARIANCE]);
            }
    }
}

#endif
