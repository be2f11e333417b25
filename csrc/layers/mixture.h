/* A mixture of normal densities as a prior: its log-density at draws z, and the gradients by z and by the components. Used by the
 * layers that differ in where the components come from. Everything a step needs of the components lies in one block of
 * memory, so that no tile of a parameter is read after another task has updated it. */
#ifndef AE_LAYERS_MIXTURE_H
#define AE_LAYERS_MIXTURE_H

#include <math.h>

#include "layers/log_ratio.h"

/* means, precision (e^-s), inside (1 where s is within its bounds): (components, width) in panels. normalizer: log of the weight
 * minus half the sum of s; weight: both by component, in panels of one row. */
typedef struct mixture {
    int64_t components, width;
    real *means, *precision, *inside, *normalizer, *weight;
} mixture;

static inline int64_t mixture_reals(int64_t components, int64_t width) {
    return 3 * components * ae_panels(width) * AE_PANEL + 2 * ae_panels(components) * AE_PANEL;
}

static inline mixture mixture_at(real *memory, int64_t components, int64_t width) {
    const int64_t matrix = components * ae_panels(width) * AE_PANEL, row = ae_panels(components) * AE_PANEL;
    return (mixture){
        components, width, memory, memory + matrix, memory + 2 * matrix, memory + 3 * matrix, memory + 3 * matrix + row};
}

/* Where a component's row of a panel lies in means, precision and inside. */
static inline int64_t mixture_index(const mixture *m, int64_t component, int64_t panel) {
    return (panel * m->components + component) * AE_PANEL;
}

/* Takes a component whose means are in place and whose log-variances are in the place of the precision. */
static inline void mixture_finish(const mixture *m, int64_t component, double log_weight) {
    real lanes[AE_PANEL] = {0};
    for (int64_t p = 0; p < ae_panels(m->width); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            const int64_t at = mixture_index(m, component, p) + j;
            const vec raw = v_load(m->precision + at), s = latent_clamp(raw), sum = v_load(lanes + j);
            v_store(m->inside + at, v_select(latent_is_inside(raw), v_set1(1), v_zero()));
            v_store(m->precision + at, vf_exp(v_neg(s)));
            v_store(lanes + j, v_select(lanes_below(ae_panel_columns(m->width, p), j), v_add(sum, s), sum));
        }
    m->normalizer[component] = (real)(log_weight - 0.5 * AE_V(ae_join_lanes)(lanes));
}

/* log p at a row of z; share (by component, padded to panels) becomes the components' parts in it. */
static inline double mixture_log_density(const mixture *m, const ae_value *z, int64_t row, real *share) {
    const int64_t room = ae_panels(m->components) * AE_PANEL;
    real highest = -(real)INFINITY, lanes[AE_PANEL];
    for (int64_t c = 0; c < room; c++)
        share[c] = -(real)INFINITY;
    for (int64_t c = 0; c < m->components; c++) {
        for (int j = 0; j < AE_PANEL; j++)
            lanes[j] = 0;
        for (int64_t p = 0; p < ae_panels(m->width); p++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const int64_t at = mixture_index(m, c, p) + j;
                const vec off = v_sub(v_load(latent_at(z->data, z->stride, p, row) + j), v_load(m->means + at));
                const vec sum = v_load(lanes + j), more = v_fma(v_mul(off, v_load(m->precision + at)), off, sum);
                v_store(lanes + j, v_select(lanes_below(ae_panel_columns(m->width, p), j), more, sum));
            }
        share[c] = (real)((double)m->normalizer[c] - 0.5 * AE_V(ae_join_lanes)(lanes));
        highest = share[c] > highest ? share[c] : highest;
    }
    for (int j = 0; j < AE_PANEL; j++)
        lanes[j] = 0;
    for (int64_t c = 0; c < room; c += VL) {
        const vec e = vf_exp(v_sub(v_load(share + c), v_set1(highest)));
        v_store(share + c, e);
        v_store(lanes + c % AE_PANEL, v_add(v_load(lanes + c % AE_PANEL), e));
    }
    const real total = (real)AE_V(ae_join_lanes)(lanes);
    for (int64_t c = 0; c < room; c += VL)
        v_store(share + c, v_div(v_load(share + c), v_set1(total)));
    return (double)highest + (double)latent_log(total);
}

/* Output log q(z|x) - log p(z) of a block; shares go to the cache, component by component, where backward follows. */
static inline void mixture_forward(const mixture *m, const ae_binding *binding, const ae_block *block, real *share) {
    const ae_value *z = &binding->in[RATIO_Z];
    const int64_t draws = log_ratio_draws(binding), each = z->shape.multiplicity;
    vec pull, slope;
    for (int64_t row = block->row0 * each; row < block->row1 * each; row++) {
        real lanes[AE_PANEL] = {0};
        for (int64_t p = 0; p < ae_panels(z->shape.width); p++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec sum = v_load(lanes + j);
                const vec more = v_add(sum, log_ratio_posterior(binding, draws, p, row, j, &pull, &slope));
                v_store(lanes + j, v_select(lanes_below(ae_panel_columns(z->shape.width, p), j), more, sum));
            }
        const double log_q = AE_V(ae_join_lanes)(lanes);
        rows_set_single(&binding->out, row, log_q - mixture_log_density(m, z, row, share));
        for (int64_t c = 0; block->keep && c < ae_panels(m->components) * AE_PANEL; c++)
            latent_at(binding->cache, binding->out.stride, c / AE_PANEL, row)[c % AE_PANEL] = share[c];
    }
}

static inline real mixture_share(const ae_binding *binding, int64_t row, int64_t component) {
    return latent_at(binding->cache, binding->out.stride, component / AE_PANEL, row)[component % AE_PANEL];
}

/* Gradients of z, mean and log-variance. */
static inline void mixture_backward(const mixture *m, const ae_binding *binding, const ae_block *block) {
    const ae_value *z = &binding->in[RATIO_Z];
    const int64_t draws = log_ratio_draws(binding), each = z->shape.multiplicity;
    vec pull, slope;
    log_ratio_backward_posterior(binding, block);
    for (int64_t p = 0; z->gradient && p < ae_panels(z->shape.width); p++)
        for (int64_t row = block->row0 * each; row < block->row1 * each; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec at = v_load(latent_at(z->data, z->stride, p, row) + j);
                vec sum = v_zero();
                for (int64_t c = 0; c < m->components; c++) {
                    const int64_t of = mixture_index(m, c, p) + j;
                    const vec off = v_sub(at, v_load(m->means + of));
                    sum = v_fma(v_mul(v_set1(mixture_share(binding, row, c)), v_load(m->precision + of)), off, sum);
                }
                log_ratio_posterior(binding, draws, p, row, j, &pull, &slope);
                const vec g = v_mul(v_set1(*latent_at(binding->out.gradient, binding->out.stride, 0, row)), v_sub(sum, pull));
                latent_give(latent_at(z->gradient, z->stride, p, row) + j,
                            v_select(lanes_below(ae_panel_columns(z->shape.width, p), j), g, v_zero()),
                            binding->accumulate[RATIO_Z]);
            }
}

/* Gradient by the means (or by the log-variances) of a component in one panel, over all rows of z in order, from zero or on from
 * what `to` holds. */
static inline void mixture_component_gradient(const mixture *m, const ae_binding *binding, int64_t component, int64_t panel,
                                              int64_t rows, bool of_variance, bool accumulate, real *to) {
    const ae_value *z = &binding->in[RATIO_Z];
    for (int j = 0; j < AE_PANEL; j += VL) {
        const int64_t at = mixture_index(m, component, panel) + j;
        const vec mean = v_load(m->means + at), precision = v_load(m->precision + at), half = v_set1((real)0.5);
        const vec factor = of_variance ? v_mul(half, v_load(m->inside + at)) : v_set1(1);
        vec sum = accumulate ? v_load(to + j) : v_zero();
        for (int64_t row = 0; row < rows; row++) {
            const vec g =
                v_set1(*latent_at(binding->out.gradient, binding->out.stride, 0, row) * mixture_share(binding, row, component));
            const vec off = v_sub(v_load(latent_at(z->data, z->stride, panel, row) + j), mean);
            const vec pull = v_mul(off, precision);
            sum = of_variance ? v_fma(g, v_mul(factor, v_fnma(off, pull, v_set1(1))), sum) : v_fnma(g, pull, sum);
        }
        v_store(to + j, v_select(lanes_below(ae_panel_columns(m->width, panel), j), sum, v_zero()));
    }
}

#endif
