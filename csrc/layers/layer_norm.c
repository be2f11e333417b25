/* Layer normalisation (Ba et al. 2016, "Layer normalization"): out = gain x^ + bias with x^ = (in - mean) / sqrt(variance + epsilon), mean and
 * variance (biased) over the features of a row. value[0]: epsilon, 0 means 1e-5. By row, so training and inference are the same.
 *
 * With d = gain out.gradient and <> the mean over the features,
 *
 *     in.gradient = (d - <d> - x^ <d x^>) / sqrt(variance + epsilon).
 *
 * Means are in double: 32 lanes (column modulo 32), each over the panels in order, joined as a tree. */
#include <math.h>

#include "layers/rows.h"
#include "math/blas1.h"

enum { GAIN, BIAS };
enum { MEAN, FACTOR, CACHED }; /* columns of the cache: x^ = (in - mean) * factor */

static double epsilon_of(const ae_node_desc *desc) { return desc->value[0] == 0.0 ? 1e-5 : desc->value[0]; }

AE_PLAN(layer_norm) {
    const double epsilon = epsilon_of(plan->desc);
    const int64_t width = plan->in[0].width;
    if (!(epsilon > 0.0 && isfinite(epsilon)))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': epsilon is %g; it must be positive and finite", plan->desc->name,
                       epsilon);
    plan->out = plan->in[0];
    plan->n_parameters = 2;
    plan->parameter[GAIN] = (ae_parameter_request){"gain", 1, width, 1, 1, AE_INIT_ONE, false, false, AE_UPDATE_RULE};
    plan->parameter[BIAS] = (ae_parameter_request){"bias", 1, width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_RULE};
    plan->cache_width = CACHED;
    plan->flops_per_row = 12.0 * (double)width;
    return AE_OK;
}

/* Mean and factor of a row, in the order of the enumeration. */
static void row_numbers(const ae_binding *binding, int64_t row, real *numbers) {
    const ae_value *in = &binding->in[0];
    const int64_t width = in->shape.width;
    double sum[AE_PANEL] = {0}, square[AE_PANEL] = {0};
    for (int64_t p = 0; p < ae_panels(width); p++) {
        const real *x = (const real *)in->data + p * in->stride + row * AE_PANEL;
        for (int j = 0; j < ae_panel_columns(width, p); j++)
            sum[j] += (double)x[j];
    }
    const double mean = AE_V(ae_join_doubles)(sum) / (double)width;
    for (int64_t p = 0; p < ae_panels(width); p++) {
        const real *x = (const real *)in->data + p * in->stride + row * AE_PANEL;
        for (int j = 0; j < ae_panel_columns(width, p); j++) {
            const double off = (double)x[j] - mean;
            square[j] += off * off;
        }
    }
    numbers[MEAN] = (real)mean;
    numbers[FACTOR] = (real)(1.0 / sqrt(AE_V(ae_join_doubles)(square) / (double)width + epsilon_of(binding->desc)));
}

static void layer_norm_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const real *gain = binding->parameter[GAIN], *bias = binding->parameter[BIAS];
    for (int64_t row = row0; row < row1; row++) {
        real numbers[CACHED];
        row_numbers(binding, row, numbers);
        if (block->keep)
            memcpy((real *)binding->cache + row * AE_PANEL, numbers, sizeof numbers);
        for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec x = v_load((const real *)in->data + p * in->stride + row * AE_PANEL + j);
                const vec scaled = v_mul(v_sub(x, v_set1(numbers[MEAN])), v_set1(numbers[FACTOR]));
                v_store((real *)out->data + p * out->stride + row * AE_PANEL + j,
                        v_fma(scaled, v_load(gain + p * AE_PANEL + j), v_load(bias + p * AE_PANEL + j)));
            }
    }
}

/* <d> and <d x^> of a row. */
static void row_means(const ae_binding *binding, int64_t row, real *mean_d, real *mean_dx) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const real *numbers = (const real *)binding->cache + row * AE_PANEL, *gain = binding->parameter[GAIN];
    const int64_t width = in->shape.width;
    double sum[AE_PANEL] = {0}, sum_x[AE_PANEL] = {0};
    for (int64_t p = 0; p < ae_panels(width); p++) {
        const real *x = (const real *)in->data + p * in->stride + row * AE_PANEL;
        const real *g = (const real *)out->gradient + p * out->stride + row * AE_PANEL;
        for (int j = 0; j < ae_panel_columns(width, p); j++) {
            const double d = (double)g[j] * (double)gain[p * AE_PANEL + j];
            const real scaled = (x[j] - numbers[MEAN]) * numbers[FACTOR];
            sum[j] += d;
            sum_x[j] += d * (double)scaled;
        }
    }
    *mean_d = (real)(AE_V(ae_join_doubles)(sum) / (double)width);
    *mean_dx = (real)(AE_V(ae_join_doubles)(sum_x) / (double)width);
}

static void layer_norm_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const real *gain = binding->parameter[GAIN];
    if (!in->gradient)
        return;
    for (int64_t row = row0; row < row1; row++) {
        const real *numbers = (const real *)binding->cache + row * AE_PANEL;
        const vec mean = v_set1(numbers[MEAN]), factor = v_set1(numbers[FACTOR]);
        real mean_d, mean_dx;
        row_means(binding, row, &mean_d, &mean_dx);
        for (int64_t p = 0; p < ae_panels(in->shape.width); p++) {
            real *to = (real *)in->gradient + p * in->stride + row * AE_PANEL;
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec x = v_load((const real *)in->data + p * in->stride + row * AE_PANEL + j);
                const vec g = v_load((const real *)out->gradient + p * out->stride + row * AE_PANEL + j);
                const vec scaled = v_mul(v_sub(x, mean), factor);
                const vec off = v_sub(v_mul(g, v_load(gain + p * AE_PANEL + j)), v_set1(mean_d));
                v_store(to + j, v_fma(factor, v_fnma(scaled, v_set1(mean_dx), off),
                                      binding->accumulate[0] ? v_load(to + j) : v_zero()));
            }
            for (int j = ae_panel_columns(in->shape.width, p); j < AE_PANEL; j++)
                to[j] = 0;
        }
    }
}

/* gain: out.gradient x^ over the rows in order; bias: out.gradient. */
static void layer_norm_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                        void *gradient) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const real *x = (const real *)in->data + tile->panel * in->stride;
    const real *d = (const real *)out->gradient + tile->panel * out->stride;
    const int columns = ae_panel_columns(out->shape.width, tile->panel);
    real *g = gradient;
    if (!accumulate)
        memset(g, 0, AE_PANEL * sizeof(real));
    if (tile->parameter == BIAS) {
        AE_V(ae_column_sums)(0, rows, d, g);
        return;
    }
    for (int64_t row = 0; row < rows; row++) {
        const real *numbers = (const real *)binding->cache + row * AE_PANEL;
        for (int j = 0; j < AE_PANEL; j += VL) {
            const vec scaled = v_mul(v_sub(v_load(x + row * AE_PANEL + j), v_set1(numbers[MEAN])), v_set1(numbers[FACTOR]));
            v_store(g + j, v_fma(v_load(d + row * AE_PANEL + j), scaled, v_load(g + j)));
        }
    }
    memset(g + columns, 0, (size_t)(AE_PANEL - columns) * sizeof(real));
}

const ae_layer_ops AE_V(ae_layer_layer_norm) = {
    .name = "layer_norm",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(layer_norm),
    .forward = layer_norm_forward,
    .backward_data = layer_norm_backward_data,
    .backward_weights = layer_norm_backward_weights,
};
