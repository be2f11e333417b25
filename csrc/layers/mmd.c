/* Maximum mean discrepancy between the codes of a minibatch and as many draws e from N(0, I) (WAE-MMD: Tolstikhin et al. 2018,
 * algorithm 2, kernel: section 4; InfoVAE: Zhao et al. 2019): z (rows, d) -> (rows, 1), whose mean over the B rows is the unbiased
 * estimate
 *
 *     sum_{i != j} (k(z_i, z_j) + k(e_i, e_j)) / (B (B - 1)) - 2 sum_{i, j} k(z_i, e_j) / B^2
 *
 * (which may be negative) with inverse multiquadratic kernels k(x, y) = sum_s C s / (C s + |x - y|^2), C = 2 d, over the scales
 * s = 0.1, 0.2, 0.5, 1, 2, 5, 10. The rows of a single-row minibatch have no pairs among themselves.
 *
 * e is drawn from the latent stream by step, row and column, whenever backward follows; evaluation and inference have no
 * minibatch and give zero. */
#include <string.h>

#include "layers/latent.h"
#include "math/random.h"

AE_PLAN(mmd) {
    const int64_t panels = ae_panels(plan->in[0].width);
    (void)context;
    plan->out = (ae_shape){1, plan->in[0].multiplicity};
    plan->cache_width = (panels + 1) * AE_PANEL; /* the row's own draw or gradient; sums */
    plan->scratch_reals = panels * AE_PANEL;
    plan->coupling_reals = (int64_t)(sizeof(int64_t) / sizeof(real)); /* rows of the minibatch */
    plan->coupling_parts = 1;
    /* Three distances and kernels, and a part of a draw. */
    plan->flops_per_pair = 3.0 * (5.0 * AE_PANEL * (double)panels + 60.0);
    return AE_OK;
}

/* And its derivative by the squared distance. */
static double kernel(double square, double width, double *slope) {
    static const double scales[] = {0.1, 0.2, 0.5, 1, 2, 5, 10};
    double sum = 0.0;
    *slope = 0.0;
    for (int s = 0; s < 7; s++) {
        const double c = 2.0 * width * scales[s], below = 1.0 / (c + square);
        sum += c * below;
        *slope -= c * below * below;
    }
    return sum;
}

/* |x - y|^2 of two rows, panels of which lie at a stride. */
static double distance(int64_t width, const real *x, int64_t x_stride, const real *y, int64_t y_stride) {
    real lanes[AE_PANEL] = {0};
    for (int64_t p = 0; p < ae_panels(width); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            const vec off = v_sub(v_load(x + p * x_stride + j), v_load(y + p * y_stride + j)), sum = v_load(lanes + j);
            v_store(lanes + j, v_select(lanes_below(ae_panel_columns(width, p), j), v_fma(off, off, sum), sum));
        }
    return AE_V(ae_join_lanes)(lanes);
}

/* A barrier: what follows reads all rows. */
static void mmd_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    (void)part, (void)training;
    memcpy(binding->coupling, &rows, sizeof rows);
}

/* Likewise, of the gradients; the number of rows is there. */
static void mmd_couple_backward(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    (void)binding, (void)rows, (void)part, (void)training;
}

static int64_t rows_of(const ae_binding *binding) {
    int64_t rows;
    memcpy(&rows, binding->coupling, sizeof rows);
    return rows;
}

static void draw(const ae_binding *binding, const ae_block *block, int64_t row, real *to) {
    AE_V(ae_random_normal)(binding->key, block->step, (uint32_t)row, binding->in[0].shape.width, to);
}

static void mmd_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t m = out->shape.multiplicity, row0 = block->row0 * m, row1 = block->row1 * m, width = in->shape.width;
    const int64_t panels = ae_panels(width);
    real *e = block->scratch;
    double slope;
    for (int64_t i = row0; i < row1; i++)
        rows_set_single(out, i, 0);
    if (!block->keep)
        return;
    const int64_t rows = rows_of(binding);
    const double pairs = rows > 1 ? 1.0 / (double)(rows - 1) : 0.0, across = -2.0 / (double)rows;
    for (int64_t i = row0; i < row1; i++) {
        draw(binding, block, i, e);
        for (int64_t p = 0; p < panels; p++)
            memcpy(latent_at(binding->cache, out->stride, p, i), e + p * AE_PANEL, AE_PANEL * sizeof(real));
        memset(latent_at(binding->cache, out->stride, panels, i), 0, AE_PANEL * sizeof(real));
    }
    /* Draws of other blocks are made again, one for each row of the minibatch. */
    for (int64_t j = 0; j < rows; j++) {
        draw(binding, block, j, e);
        const real *z_j = latent_at(in->data, in->stride, 0, j);
        for (int64_t i = row0; i < row1; i++) {
            const real *z_i = latent_at(in->data, in->stride, 0, i), *e_i = latent_at(binding->cache, out->stride, 0, i);
            real *sums = latent_at(binding->cache, out->stride, panels, i);
            if (i != j) {
                sums[0] += (real)kernel(distance(width, z_i, in->stride, z_j, in->stride), (double)width, &slope);
                sums[0] += (real)kernel(distance(width, e_i, out->stride, e, AE_PANEL), (double)width, &slope);
            }
            sums[1] += (real)kernel(distance(width, z_i, in->stride, e, AE_PANEL), (double)width, &slope);
        }
    }
    for (int64_t i = row0; i < row1; i++) {
        const real *sums = latent_at(binding->cache, out->stride, panels, i);
        rows_set_single(out, i, pairs * (double)sums[0] + across * (double)sums[1]);
    }
}

/* sum += factor (x - y). */
static void add_difference(const ae_binding *binding, int64_t i, real factor, const real *y, int64_t y_stride) {
    const ae_value *in = &binding->in[0];
    for (int64_t p = 0; p < ae_panels(in->shape.width); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            real *to = latent_at(binding->cache, binding->out.stride, p, i) + j;
            const vec off = v_sub(v_load(latent_at(in->data, in->stride, p, i) + j), v_load(y + p * y_stride + j));
            v_store(to, v_fma(v_set1(factor), off, v_load(to)));
        }
}

static void mmd_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t m = out->shape.multiplicity, row0 = block->row0 * m, row1 = block->row1 * m, width = in->shape.width;
    const int64_t rows = rows_of(binding), panels = ae_panels(width);
    const double pairs = rows > 1 ? 1.0 / (double)(rows - 1) : 0.0, across = -2.0 / (double)rows;
    real *e = block->scratch;
    double slope;
    if (!in->gradient)
        return;
    for (int64_t i = row0; i < row1; i++)
        for (int64_t p = 0; p < panels; p++)
            memset(latent_at(binding->cache, out->stride, p, i), 0, AE_PANEL * sizeof(real));
    for (int64_t j = 0; j < rows; j++) {
        draw(binding, block, j, e);
        const real *z_j = latent_at(in->data, in->stride, 0, j);
        const double g_j = (double)*latent_at(out->gradient, out->stride, 0, j);
        for (int64_t i = row0; i < row1; i++) {
            const real *z_i = latent_at(in->data, in->stride, 0, i);
            const double g_i = (double)*latent_at(out->gradient, out->stride, 0, i);
            if (i != j) {
                kernel(distance(width, z_i, in->stride, z_j, in->stride), (double)width, &slope);
                add_difference(binding, i, (real)(2.0 * pairs * (g_i + g_j) * slope), z_j, in->stride);
            }
            kernel(distance(width, z_i, in->stride, e, AE_PANEL), (double)width, &slope);
            add_difference(binding, i, (real)(2.0 * across * g_i * slope), e, AE_PANEL);
        }
    }
    for (int64_t p = 0; p < panels; p++)
        for (int64_t i = row0; i < row1; i++)
            for (int j = 0; j < AE_PANEL; j += VL)
                latent_give(latent_at(in->gradient, in->stride, p, i) + j,
                            v_select(lanes_below(ae_panel_columns(width, p), j),
                                     v_load(latent_at(binding->cache, out->stride, p, i) + j), v_zero()),
                            binding->accumulate[0]);
}

const ae_layer_ops AE_V(ae_layer_mmd) = {
    .name = "mmd",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOCHASTIC | AE_LAYER_COUPLES_ROWS,
    .stream = AE_STREAM_LATENT,
    .plan = AE_PLANNED(mmd),
    .forward = mmd_forward,
    .backward_data = mmd_backward_data,
    .couple = mmd_couple,
    .couple_backward = mmd_couple_backward,
};
