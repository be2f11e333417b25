/* The three parts of the divergence of a variational network, estimated over the minibatch (beta-TCVAE: Chen et al. 2018, eq. 2 and
 * section 3): z, mean, log-variance (rows, d) -> (rows, 3), whose means over the rows are
 *
 *     0  mutual information of index and code    log q(z|x) - log q(z)
 *     1  total correlation                       log q(z) - sum_c log q(z_c)
 *     2  dimension-wise divergence               sum_c log q(z_c) - log p(z)
 *
 * z is one draw from the posterior of its row. value[0]: N, rows of the training data, at least 1 (taken as the rows of the
 * minibatch where those are more). size[0]: how q is estimated from the B rows of the minibatch, q(z_i) = sum_j w_ij q(z_i|x_j)
 * and likewise by column:
 *
 *     0  minibatch-weighted sampling (section 3.1): w = 1 / (N B)
 *     1  minibatch-stratified sampling (appendix C.2), with M = B - 1: w = 1 / N for j = i, (N - M) / (N M) for the row after i
 *        (after the last the first), 1 / M elsewhere
 *
 * Evaluation and inference have no minibatch: parts 0 and 1 are zero there and 2 is the divergence in closed form, so that with
 * equal weights the objective is the usual bound. v is clamped (latent.h), without gradient beyond.
 *
 * With t the shares of the rows j in q(z_ic) and s those in q(z_i), the gradient of row i reaches log q(z_ic|x_j) with the factor
 * (g1 - g0) s_ij + (g2 - g1) t_ijc, and g0 more for j = i: each block sums for its own z over all j, and for its own mean and
 * log-variance over all i. The work is 3 B^2 d exponentials. */
#include <math.h>
#include <string.h>

#include "layers/latent.h"

enum { Z, MEAN, LOG_VARIANCE };

AE_PLAN(total_correlation) {
    const ae_node_desc *desc = plan->desc;
    if (plan->in[Z].width != plan->in[MEAN].width || plan->in[Z].multiplicity != 1 || plan->in[MEAN].multiplicity != 1)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': z has %lld features and the mean %lld, with %lld and %lld rows a sample; features must be "
                       "equal, and one row a sample",
                       desc->name, (long long)plan->in[Z].width, (long long)plan->in[MEAN].width,
                       (long long)plan->in[Z].multiplicity, (long long)plan->in[MEAN].multiplicity);
    if (!(desc->value[0] >= 1.0 && isfinite(desc->value[0])) || desc->size[0] < 0 || desc->size[0] > 1)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': %g rows of training data and kind of sampling %d; at least 1, and 0 (weighted) or 1 "
                       "(stratified), are allowed",
                       desc->name, desc->value[0], desc->size[0]);
    const int64_t panels = ae_panels(plan->in[Z].width);
    plan->out = (ae_shape){3, 1};
    plan->cache_width = (2 * panels + 1) * AE_PANEL; /* precision; log q(z_c); log q(z) */
    plan->scratch_reals = 2 * panels * AE_PANEL;
    plan->coupling_reals = (int64_t)(sizeof(int64_t) / sizeof(real)); /* rows of the minibatch */
    plan->coupling_parts = panels;
    plan->flops_per_pair = 60.0 * AE_PANEL * (double)panels;
    return latent_check_posterior(context, plan, MEAN);
}

typedef struct minibatch {
    const ae_binding *binding;
    int64_t rows, width, panels;
    real same, next, other; /* log w for j = i, for the row after i, and elsewhere */
} minibatch;

static minibatch minibatch_of(const ae_binding *binding) {
    minibatch b = {binding, 0, binding->in[Z].shape.width, ae_panels(binding->in[Z].shape.width), 0, 0, 0};
    memcpy(&b.rows, binding->coupling, sizeof b.rows);
    const double rows = (double)b.rows, m = rows - 1.0;
    const double n = binding->desc->value[0] < rows ? rows : binding->desc->value[0];
    b.same = b.next = b.other = -latent_log((real)(n * rows));
    if (binding->desc->size[0]) {
        b.same = -latent_log((real)n);
        b.next = latent_log((real)((n - m) / (n * m)));
        b.other = -latent_log((real)m);
    }
    return b;
}

static real log_weight(const minibatch *b, int64_t i, int64_t j) {
    return j == i ? b->same : j == (i + 1 == b->rows ? 0 : i + 1) ? b->next : b->other;
}

static real *cache_at(const minibatch *b, int64_t panel, int64_t row) {
    return latent_at(b->binding->cache, b->binding->out.stride, panel, row);
}

/* A term of log q(z_i|x_j), without its constant; pull = (z - m) e^-v, square = (z - m) pull. */
AE_INLINE vec term(const minibatch *b, int64_t i, int64_t j, int64_t p, int lane, vec *pull, vec *square) {
    const ae_value *z = &b->binding->in[Z], *m = &b->binding->in[MEAN], *v = &b->binding->in[LOG_VARIANCE];
    const vec off =
        v_sub(v_load(latent_at(z->data, z->stride, p, i) + lane), v_load(latent_at(m->data, m->stride, p, j) + lane));
    *pull = v_mul(off, v_load(cache_at(b, p, j) + lane));
    *square = v_mul(off, *pull);
    return v_mul(v_set1((real)-0.5), v_add(latent_clamp(v_load(latent_at(v->data, v->stride, p, j) + lane)), *square));
}

AE_INLINE vmask present(const minibatch *b, int64_t p, int lane) { return lanes_below(ae_panel_columns(b->width, p), lane); }

/* log q(z_i|x_j). */
static double joint(const minibatch *b, int64_t i, int64_t j) {
    real lanes[AE_PANEL] = {0};
    vec pull, square;
    for (int64_t p = 0; p < b->panels; p++)
        for (int lane = 0; lane < AE_PANEL; lane += VL) {
            const vec sum = v_load(lanes + lane), more = v_add(sum, term(b, i, j, p, lane, &pull, &square));
            v_store(lanes + lane, v_select(present(b, p, lane), more, sum));
        }
    return AE_V(ae_join_lanes)(lanes);
}

/* Precisions of one panel; the forward of each row reads those of all. */
static void total_correlation_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    const ae_value *v = &binding->in[LOG_VARIANCE];
    (void)training;
    if (part == 0)
        memcpy(binding->coupling, &rows, sizeof rows);
    for (int64_t row = 0; row < rows; row++)
        for (int lane = 0; lane < AE_PANEL; lane += VL)
            v_store(latent_at(binding->cache, binding->out.stride, part, row) + lane,
                    vf_exp(v_neg(latent_clamp(v_load(latent_at(v->data, v->stride, part, row) + lane)))));
}

static void set_row(const ae_binding *binding, int64_t row, double first, double second, double third) {
    real *to = latent_at(binding->out.data, binding->out.stride, 0, row);
    memset(to, 0, AE_PANEL * sizeof(real));
    to[0] = (real)first;
    to[1] = (real)second;
    to[2] = (real)third;
}

static void without_minibatch(const ae_binding *binding, const ae_block *block) {
    const ae_value *m = &binding->in[MEAN], *v = &binding->in[LOG_VARIANCE];
    for (int64_t row = block->row0; row < block->row1; row++) {
        real lanes[AE_PANEL] = {0};
        for (int64_t p = 0; p < ae_panels(m->shape.width); p++)
            for (int lane = 0; lane < AE_PANEL; lane += VL) {
                vec slope, sum = v_load(lanes + lane);
                const vec kl = latent_divergence(v_load(latent_at(m->data, m->stride, p, row) + lane),
                                                 v_load(latent_at(v->data, v->stride, p, row) + lane), &slope);
                v_store(lanes + lane, v_select(lanes_below(ae_panel_columns(m->shape.width, p), lane), v_add(sum, kl), sum));
            }
        set_row(binding, row, 0, 0, AE_V(ae_join_lanes)(lanes));
    }
}

/* Sums of exponentials relative to their largest, first the largest, then the sums, each over the rows j in order. */
static void forward_row(const minibatch *b, int64_t i, real *most, real *sum) {
    const ae_value *z = &b->binding->in[Z];
    double highest = -INFINITY, total = 0.0;
    vec pull, square;
    for (int64_t c = 0; c < b->panels * AE_PANEL; c++)
        most[c] = -(real)INFINITY, sum[c] = 0;
    for (int64_t j = 0; j < b->rows; j++) {
        const vec w = v_set1(log_weight(b, i, j));
        const double all = joint(b, i, j) + (double)log_weight(b, i, j);
        highest = all > highest ? all : highest;
        for (int64_t p = 0; p < b->panels; p++)
            for (int lane = 0; lane < AE_PANEL; lane += VL) {
                real *at = most + p * AE_PANEL + lane;
                v_store(at, v_max(v_add(term(b, i, j, p, lane, &pull, &square), w), v_load(at)));
            }
    }
    for (int64_t j = 0; j < b->rows; j++) {
        const vec w = v_set1(log_weight(b, i, j));
        total += (double)latent_exp((real)(joint(b, i, j) + (double)log_weight(b, i, j) - highest));
        for (int64_t p = 0; p < b->panels; p++)
            for (int lane = 0; lane < AE_PANEL; lane += VL) {
                real *at = sum + p * AE_PANEL + lane;
                const vec l = v_add(term(b, i, j, p, lane, &pull, &square), w);
                v_store(at, v_add(v_load(at), vf_exp(v_sub(l, v_load(most + p * AE_PANEL + lane)))));
            }
    }
    const double log_q = highest + (double)latent_log((real)total);
    real by_column[AE_PANEL] = {0}, prior[AE_PANEL] = {0};
    for (int64_t p = 0; p < b->panels; p++)
        for (int lane = 0; lane < AE_PANEL; lane += VL) {
            const vec at = v_load(latent_at(z->data, z->stride, p, i) + lane), none = v_zero();
            const vec log_column = v_add(v_load(most + p * AE_PANEL + lane), vf_log(v_load(sum + p * AE_PANEL + lane)));
            v_store(cache_at(b, b->panels + p, i) + lane, log_column);
            v_store(by_column + lane, v_add(v_load(by_column + lane), v_select(present(b, p, lane), log_column, none)));
            v_store(prior + lane, v_add(v_load(prior + lane), v_select(present(b, p, lane), v_mul(at, at), none)));
        }
    *cache_at(b, 2 * b->panels, i) = (real)log_q;
    const double columns = AE_V(ae_join_lanes)(by_column);
    set_row(b->binding, i, joint(b, i, i) - log_q, log_q - columns, columns + 0.5 * AE_V(ae_join_lanes)(prior));
}

static void total_correlation_forward(const ae_binding *binding, const ae_block *block) {
    if (!block->keep) {
        without_minibatch(binding, block);
        return;
    }
    const minibatch b = minibatch_of(binding);
    for (int64_t i = block->row0; i < block->row1; i++)
        forward_row(&b, i, block->scratch, (real *)block->scratch + b.panels * AE_PANEL);
}

/* A barrier: the way back reads gradients of all rows. */
static void total_correlation_couple_backward(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    (void)binding, (void)rows, (void)part, (void)training;
}

/* What the gradient of row i has for log q(z_ic|x_j): a factor for the whole row, and one for the shares by column. */
typedef struct factors {
    real row, column;
} factors;

static factors factors_of(const minibatch *b, int64_t i, int64_t j) {
    const real *g = latent_at(b->binding->out.gradient, b->binding->out.stride, 0, i);
    const double share =
        (double)latent_exp((real)(joint(b, i, j) + (double)log_weight(b, i, j) - (double)*cache_at(b, 2 * b->panels, i)));
    return (factors){(real)(((double)g[1] - (double)g[0]) * share + (j == i ? (double)g[0] : 0.0)), g[2] - g[1]};
}

AE_INLINE vec factor_of(const minibatch *b, const factors *f, int64_t i, int64_t j, int64_t p, int lane, vec l) {
    const vec share = vf_exp(v_sub(v_add(l, v_set1(log_weight(b, i, j))), v_load(cache_at(b, b->panels + p, i) + lane)));
    return v_fma(v_set1(f->column), share, v_set1(f->row));
}

static void clear(real *sums, int64_t n) { memset(sums, 0, (size_t)n * sizeof(real)); }

static void backward_z(const minibatch *b, int64_t i, real *sums) {
    const ae_value *z = &b->binding->in[Z];
    const vec prior = v_set1(latent_at(b->binding->out.gradient, b->binding->out.stride, 0, i)[2]);
    vec pull, square;
    clear(sums, b->panels * AE_PANEL);
    for (int64_t j = 0; j < b->rows; j++) {
        const factors f = factors_of(b, i, j);
        for (int64_t p = 0; p < b->panels; p++)
            for (int lane = 0; lane < AE_PANEL; lane += VL) {
                const vec l = term(b, i, j, p, lane, &pull, &square);
                real *at = sums + p * AE_PANEL + lane;
                v_store(at, v_fnma(factor_of(b, &f, i, j, p, lane, l), pull, v_load(at)));
            }
    }
    for (int64_t p = 0; p < b->panels; p++)
        for (int lane = 0; lane < AE_PANEL; lane += VL) {
            const vec g = v_fma(prior, v_load(latent_at(z->data, z->stride, p, i) + lane), v_load(sums + p * AE_PANEL + lane));
            latent_give(latent_at(z->gradient, z->stride, p, i) + lane, v_select(present(b, p, lane), g, v_zero()),
                        b->binding->accumulate[Z]);
        }
}

static void backward_posterior(const minibatch *b, int64_t j, real *of_m, real *of_v) {
    const ae_value *m = &b->binding->in[MEAN], *v = &b->binding->in[LOG_VARIANCE];
    const vec half = v_set1((real)0.5);
    vec pull, square;
    clear(of_m, b->panels * AE_PANEL);
    clear(of_v, b->panels * AE_PANEL);
    for (int64_t i = 0; i < b->rows; i++) {
        const factors f = factors_of(b, i, j);
        for (int64_t p = 0; p < b->panels; p++)
            for (int lane = 0; lane < AE_PANEL; lane += VL) {
                const vec l = term(b, i, j, p, lane, &pull, &square), factor = factor_of(b, &f, i, j, p, lane, l);
                const int64_t at = p * AE_PANEL + lane;
                v_store(of_m + at, v_fma(factor, pull, v_load(of_m + at)));
                v_store(of_v + at, v_fma(factor, v_mul(half, v_sub(square, v_set1(1))), v_load(of_v + at)));
            }
    }
    for (int64_t p = 0; p < b->panels; p++)
        for (int lane = 0; lane < AE_PANEL; lane += VL) {
            const vmask is = present(b, p, lane);
            const vmask inside = latent_is_inside(v_load(latent_at(v->data, v->stride, p, j) + lane));
            if (m->gradient)
                latent_give(latent_at(m->gradient, m->stride, p, j) + lane,
                            v_select(is, v_load(of_m + p * AE_PANEL + lane), v_zero()), b->binding->accumulate[MEAN]);
            if (v->gradient)
                latent_give(latent_at(v->gradient, v->stride, p, j) + lane,
                            v_select(m_and(is, inside), v_load(of_v + p * AE_PANEL + lane), v_zero()),
                            b->binding->accumulate[LOG_VARIANCE]);
        }
}

static void total_correlation_backward_data(const ae_binding *binding, const ae_block *block) {
    const minibatch b = minibatch_of(binding);
    real *sums = block->scratch;
    for (int64_t row = block->row0; row < block->row1; row++) {
        if (binding->in[Z].gradient)
            backward_z(&b, row, sums);
        if (binding->in[MEAN].gradient || binding->in[LOG_VARIANCE].gradient)
            backward_posterior(&b, row, sums, sums + b.panels * AE_PANEL);
    }
}

const ae_layer_ops AE_V(ae_layer_total_correlation) = {
    .name = "total_correlation",
    .min_inputs = 3,
    .max_inputs = 3,
    .flags = AE_LAYER_COUPLES_ROWS,
    .plan = AE_PLANNED(total_correlation),
    .forward = total_correlation_forward,
    .backward_data = total_correlation_backward_data,
    .couple = total_correlation_couple,
    .couple_backward = total_correlation_couple_backward,
};
