/* Reparameterised draws from a normal posterior (Kingma and Welling 2014, section 2.4; Rezende et al. 2014):
 *
 *     mean m (rows, d), log-variance v (rows, d) -> z (rows * k, d),  z = m + exp(v / 2) e,  e ~ N(0, I)
 *
 * multiplicity: k, at least 1. size[0]: number of the first draw when scoring, so that many draws can be made in several
 * networks of few. size[1] = 1: the draws of a row when scoring, where there are several, are shifted and scaled, each
 * column by itself, to mean zero and variance one: a mean over them is then exact for what is quadratic in the columns
 * and without products of two (moment matching, Barraquand 1995), which i.i.d. draws are for no function but constants.
 *
 * While training e is drawn from the latent stream by step, row of z in the minibatch, and column. When scoring
 * (block->sampling) draw s of each row has the same e, by size[0] + s and column from the scoring key. Otherwise z = m, k
 * times. v is clamped to [-20, 20] (latent.h), without gradient beyond. */
#include <string.h>

#include "layers/latent.h"
#include "math/random.h"

AE_PLAN(gaussian_sample) {
    const ae_node_desc *desc = plan->desc;
    if (desc->multiplicity < 1 || desc->multiplicity > INT32_MAX)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': %lld draws a row; it must be at least 1", desc->name,
                       (long long)desc->multiplicity);
    if (desc->size[0] < 0)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': the first draw is number %d; it must not be negative", desc->name,
                       desc->size[0]);
    if (desc->size[1] < 0 || desc->size[1] > 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': size[1] is %d; it must be 0 or 1", desc->name, desc->size[1]);
    plan->out.width = plan->in[0].width;
    if (__builtin_mul_overflow(plan->in[0].multiplicity, desc->multiplicity, &plan->out.multiplicity))
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': %lld draws a row are too many", desc->name,
                       (long long)desc->multiplicity);
    plan->cache_width = plan->in[0].width;                             /* dz / dv */
    plan->scratch_reals = 3 * ae_panels(plan->in[0].width) * AE_PANEL; /* noise, its means, its factors */
    plan->flops_per_row = 60.0 * (double)plan->in[0].width * (double)desc->multiplicity;
    return latent_check_posterior(context, plan, 0);
}

/* One row of z from a row of noise. */
static void draw_row(const ae_binding *binding, int64_t from, int64_t to, const real *noise, bool keep) {
    const ae_value *m = &binding->in[0], *v = &binding->in[1], *out = &binding->out;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            const vec raw = v_load(latent_at(v->data, v->stride, p, from) + j);
            const vec off = v_mul(vf_exp(v_mul(latent_clamp(raw), v_set1((real)0.5))), v_load(noise + p * AE_PANEL + j));
            v_store(latent_at(out->data, out->stride, p, to) + j,
                    v_add(v_load(latent_at(m->data, m->stride, p, from) + j), off));
            if (keep)
                v_store(latent_at(binding->cache, out->stride, p, to) + j,
                        v_select(latent_is_inside(raw), v_mul(off, v_set1((real)0.5)), v_zero()));
        }
}

static void rest_row(const ae_binding *binding, int64_t from, int64_t to, bool keep) {
    const ae_value *m = &binding->in[0], *out = &binding->out;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            v_store(latent_at(out->data, out->stride, p, to) + j, v_load(latent_at(m->data, m->stride, p, from) + j));
            if (keep)
                v_store(latent_at(binding->cache, out->stride, p, to) + j, v_zero());
        }
}

static void scoring_noise(const ae_binding *binding, int64_t s, real *noise) {
    AE_V(ae_random_normal)
    (binding->scoring_key, 0, (uint32_t)(binding->desc->size[0] + s), binding->out.shape.width, noise);
}

/* By column: mean of the noise of all draws, and what scales it to variance one. */
static void find_moments(const ae_binding *binding, real *noise, real *mean, real *factor) {
    const int64_t total = binding->out.shape.multiplicity, reals = ae_panels(binding->out.shape.width) * AE_PANEL;
    const vec count = v_set1((real)total), one = v_set1((real)1);
    memset(mean, 0, 2 * (size_t)reals * sizeof(real));
    for (int64_t s = 0; s < total; s++) {
        scoring_noise(binding, s, noise);
        for (int64_t i = 0; i < reals; i += VL)
            v_store(mean + i, v_add(v_load(mean + i), v_div(v_load(noise + i), count)));
    }
    for (int64_t s = 0; s < total; s++) {
        scoring_noise(binding, s, noise);
        for (int64_t i = 0; i < reals; i += VL) {
            const vec off = v_sub(v_load(noise + i), v_load(mean + i));
            v_store(factor + i, v_fma(off, off, v_load(factor + i)));
        }
    }
    for (int64_t i = 0; i < reals; i += VL) {
        const vec square = v_load(factor + i); /* zero in the padding */
        v_store(factor + i, v_select(v_lt(v_zero(), square), v_sqrt(v_div(count, square)), one));
    }
}

static void sample_to_score(const ae_binding *binding, const ae_block *block) {
    const int64_t k = binding->desc->multiplicity, total = binding->out.shape.multiplicity;
    const int64_t reals = ae_panels(binding->out.shape.width) * AE_PANEL;
    real *noise = block->scratch, *mean = noise + reals, *factor = mean + reals;
    const bool levels = binding->desc->size[1] && total > 1;
    if (levels)
        find_moments(binding, noise, mean, factor);
    for (int64_t s = 0; s < total; s++) {
        scoring_noise(binding, s, noise);
        for (int64_t i = 0; levels && i < reals; i += VL)
            v_store(noise + i, v_mul(v_sub(v_load(noise + i), v_load(mean + i)), v_load(factor + i)));
        for (int64_t to = block->row0 * total + s; to < block->row1 * total; to += total)
            draw_row(binding, to / k, to, noise, block->keep);
    }
}

static void gaussian_sample_forward(const ae_binding *binding, const ae_block *block) {
    const int64_t k = binding->desc->multiplicity, total = binding->out.shape.multiplicity;
    const int64_t row0 = block->row0 * total, row1 = block->row1 * total;
    real *noise = block->scratch;
    if (!block->training && block->sampling) {
        sample_to_score(binding, block);
        return;
    }
    for (int64_t to = row0; to < row1; to++) {
        if (!block->training) {
            rest_row(binding, to / k, to, block->keep);
            continue;
        }
        AE_V(ae_random_normal)
        (binding->key, block->step, (uint32_t)(block->first_row * total + to), binding->out.shape.width, noise);
        draw_row(binding, to / k, to, noise, block->keep);
    }
}

/* Sums over the k draws of a row in order: of the gradient, and of the gradient times dz / dv. */
static void gaussian_sample_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *m = &binding->in[0], *v = &binding->in[1], *out = &binding->out;
    const int64_t k = binding->desc->multiplicity, each = m->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t row = block->row0 * each; row < block->row1 * each; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                vec of_m = v_zero(), of_v = v_zero();
                for (int64_t s = 0; s < k; s++) {
                    const vec g = v_load(latent_at(out->gradient, out->stride, p, row * k + s) + j);
                    of_m = v_add(of_m, g);
                    of_v = v_fma(g, v_load(latent_at(binding->cache, out->stride, p, row * k + s) + j), of_v);
                }
                if (m->gradient)
                    latent_give(latent_at(m->gradient, m->stride, p, row) + j, of_m, binding->accumulate[0]);
                if (v->gradient)
                    latent_give(latent_at(v->gradient, v->stride, p, row) + j, of_v, binding->accumulate[1]);
            }
}

const ae_layer_ops AE_V(ae_layer_gaussian_sample) = {
    .name = "gaussian_sample",
    .min_inputs = 2,
    .max_inputs = 2,
    .flags = AE_LAYER_STOCHASTIC,
    .stream = AE_STREAM_LATENT,
    .plan = AE_PLANNED(gaussian_sample),
    .forward = gaussian_sample_forward,
    .backward_data = gaussian_sample_backward_data,
};
