/* Covariances of the features over the minibatch, to be small (DeCov, Cogswell et al. 2016, "Reducing overfitting in deep networks
 * by decorrelating representations", eqs. 1 and 2):
 *
 *     C_ij = mean over rows of (h_i - mean_i) (h_j - mean_j),    out = 1/2 sum over i != j of C_ij^2, the same for each row,
 *     h.gradient, row r = 2 t / rows (h_r - mean) (C - diag C),  t = the sum over the rows of out.gradient
 *
 * in (B, n), out (B, 1). All rows count alike, whatever their weight. A single row has no covariance, so outside training, where
 * rows come one by one, the penalty is zero. */
#include "layers/penalty.h"
#include "math/gemm.h"

AE_PLAN(decorrelation) {
    const int64_t n = plan->in[0].width;
    if (plan->in[0].multiplicity != 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': the input has %lld rows for one of data; 1 is allowed",
                       plan->desc->name, (long long)plan->in[0].multiplicity);
    if (n > (int64_t)1 << 20)
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': the covariances of %lld features do not fit into memory",
                       plan->desc->name, (long long)n);
    plan->out = (ae_shape){1, 1};
    plan->cache_width = n; /* h - mean */
    plan->coupling_parts = ae_panels(n);
    /* By panel: n rows of C - diag C, then its sum of squares by column; at the end t. */
    plan->coupling_reals = ae_panels(n) * (n + 1) * AE_PANEL + AE_PANEL;
    plan->flops_per_row = 4.0 * (double)n * (double)n;
    return AE_OK;
}

static real *covariance_panel(const ae_binding *binding, int64_t q) {
    return (real *)binding->coupling + q * (binding->in[0].shape.width + 1) * AE_PANEL;
}

static real *gradient_sum(const ae_binding *binding) {
    return covariance_panel(binding, ae_panels(binding->in[0].shape.width));
}

/* One factor of a product may keep its mean, because the other sums to zero: no part waits for another's mean. What rounding
 * leaves of that sum is as small as the rounding of the products. */
static void decorrelation_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    const ae_value *in = &binding->in[0];
    const int64_t n = in->shape.width;
    const int columns = ae_panel_columns(n, part);
    const real *h = (const real *)in->data + part * in->stride;
    real *centred = (real *)binding->cache + part * binding->out.stride, *covariance = covariance_panel(binding, part);
    double mean[AE_PANEL] = {0};
    (void)training;
    for (int64_t row = 0; row < rows; row++)
        for (int c = 0; c < AE_PANEL; c++)
            mean[c] += (double)h[row * AE_PANEL + c];
    for (int64_t row = 0; row < rows; row++)
        for (int c = 0; c < AE_PANEL; c++)
            centred[row * AE_PANEL + c] = c < columns ? (real)((double)h[row * AE_PANEL + c] - mean[c] / (double)rows) : 0;
    const ae_gemm over_rows = {1, (int32_t)rows, (int32_t)rows, NULL, NULL, 0, 0};
    for (int64_t p = 0; p < ae_panels(n); p++)
        AE_V(ae_gemm_columns)
    (&over_rows, ae_panel_columns(n, p), columns, (const real *)in->data + p * in->stride, centred, AE_START_ZERO,
     covariance + p * AE_PANEL * AE_PANEL);
    for (int c = 0; c < columns; c++)
        covariance[(part * AE_PANEL + c) * AE_PANEL + c] = 0;
    vec lanes[PENALTY_VECTORS];
    penalty_clear(lanes);
    const vec share = v_set1((real)(1.0 / (double)rows));
    for (int64_t row = 0; row < n; row++)
        for (int v = 0; v < PENALTY_VECTORS; v++) {
            const vec entry = v_mul(v_load(covariance + row * AE_PANEL + v * VL), share);
            v_store(covariance + row * AE_PANEL + v * VL, entry);
            lanes[v] = v_fma(entry, entry, lanes[v]);
        }
    for (int v = 0; v < PENALTY_VECTORS; v++)
        v_store(covariance + n * AE_PANEL + v * VL, lanes[v]);
}

static void decorrelation_forward(const ae_binding *binding, const ae_block *block) {
    const int64_t n = binding->in[0].shape.width;
    double sum = 0.0;
    for (int64_t q = 0; block->keep && q < ae_panels(n); q++)
        for (int c = 0; c < ae_panel_columns(n, q); c++)
            sum += (double)covariance_panel(binding, q)[n * AE_PANEL + c];
    for (int64_t row = block->row0; row < block->row1; row++)
        rows_set_single(&binding->out, row, 0.5 * sum);
}

static void decorrelation_couple_backward(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    (void)training;
    if (part == 0)
        *gradient_sum(binding) = (real)(2.0 / (double)rows * penalty_gradient_sum(&binding->out, rows));
}

#define ROWS_AT_ONCE 24 /* of no influence on results */

static void decorrelation_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0];
    const int64_t n = in->shape.width, terms = ae_panels(n), stride = binding->out.stride;
    const ae_gemm over_features = {terms, AE_PANEL, ae_panel_columns(n, terms - 1), NULL, NULL, stride, AE_PANEL * AE_PANEL};
    const vec factor = v_set1(*gradient_sum(binding));
    real piece[ROWS_AT_ONCE * AE_PANEL];
    for (int64_t q = 0; in->gradient && q < terms; q++)
        for (int64_t row = block->row0; row < block->row1; row += ROWS_AT_ONCE) {
            const int64_t rows = block->row1 - row < ROWS_AT_ONCE ? block->row1 - row : ROWS_AT_ONCE;
            real *to = (real *)in->gradient + q * in->stride + row * AE_PANEL;
            AE_V(ae_gemm_rows)
            (&over_features, rows, ae_panel_columns(n, q), (const real *)binding->cache + row * AE_PANEL,
             covariance_panel(binding, q), AE_START_ZERO, NULL, piece);
            for (int64_t i = 0; i < rows * AE_PANEL; i += VL)
                v_store(to + i, v_fma(v_load(piece + i), factor, binding->accumulate[0] ? v_load(to + i) : v_zero()));
        }
}

const ae_layer_ops AE_V(ae_layer_decorrelation) = {
    .name = "decorrelation",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_COUPLES_ROWS,
    .plan = AE_PLANNED(decorrelation),
    .forward = decorrelation_forward,
    .backward_data = decorrelation_backward_data,
    .couple = decorrelation_couple,
    .couple_backward = decorrelation_couple_backward,
};
