/* Batch normalisation (Ioffe and Szegedy 2015): out = gamma (in - mean) / sqrt(variance + epsilon) + beta, by feature. Training
 * takes mean and variance of the minibatch, all rows alike whatever their weight; inference takes the running ones, which
 * move by `momentum` a step. As in PyTorch the minibatch is normalised by its biased variance and the running variance is
 * that of the unbiased ones; a minibatch of one row has none and leaves it alone.
 *
 * The numbers of a minibatch are of all its rows: `couple` takes them panel by panel, in double, rows in order. With
 * x^ = (in - mean) / sqrt(variance + epsilon), d = out.gradient and <> the mean over the rows,
 *
 *     in.gradient = gamma / sqrt(variance + epsilon) (d - <d> - x^ <d x^>). */
#include <math.h>
#include <string.h>

#include "layers/layer.h"
#include "math/vec.h"

enum { GAMMA, BETA, MEAN, VARIANCE };

/* What the rows of a minibatch share, for one panel. */
typedef struct panel_numbers {
    real mean[AE_PANEL], factor[AE_PANEL]; /* x^ = (in - mean) * factor */
    real variance[AE_PANEL];               /* unbiased */
    real sum[AE_PANEL], sum_x[AE_PANEL];   /* of d and of d x^ */
    real mean_d[AE_PANEL], mean_dx[AE_PANEL];
} panel_numbers;

static double momentum_of(const ae_node_desc *desc) { return desc->value[0] == 0.0 ? 0.1 : desc->value[0]; }
static double epsilon_of(const ae_node_desc *desc) { return desc->value[1] == 0.0 ? 1e-5 : desc->value[1]; }

AE_PLAN(batch_norm) {
    const ae_node_desc *desc = plan->desc;
    const double momentum = momentum_of(desc), epsilon = epsilon_of(desc);
    const int64_t width = plan->in[0].width;
    if (!(momentum > 0.0 && momentum <= 1.0) || !(epsilon > 0.0 && isfinite(epsilon)))
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': momentum is %g and epsilon %g; 0 < momentum <= 1 and epsilon > 0 are allowed", desc->name,
                       momentum, epsilon);
    plan->out = plan->in[0];
    plan->n_parameters = 4;
    plan->parameter[GAMMA] = (ae_parameter_request){"gamma", 1, width, 1, 1, AE_INIT_ONE, false, false, AE_UPDATE_RULE};
    plan->parameter[BETA] = (ae_parameter_request){"beta", 1, width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_RULE};
    plan->parameter[MEAN] = (ae_parameter_request){"mean", 1, width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_ASSIGN};
    plan->parameter[VARIANCE] = (ae_parameter_request){"variance", 1, width, 1, 1, AE_INIT_ONE, false, false, AE_UPDATE_ASSIGN};
    plan->coupling_parts = ae_panels(width);
    plan->coupling_reals = ae_panels(width) * (int64_t)(sizeof(panel_numbers) / sizeof(real));
    plan->flops_per_row = 10.0 * (double)width;
    return AE_OK;
}

static real factor_of(double variance, double epsilon) { return (real)(1.0 / sqrt(variance + epsilon)); }

static const real *parameter_panel(const ae_binding *binding, int slot, int64_t panel) {
    return (const real *)binding->parameter[slot] + panel * AE_PANEL;
}

static void running_numbers(const ae_binding *binding, int64_t panel, real *mean, real *factor) {
    const real *variance = parameter_panel(binding, VARIANCE, panel);
    memcpy(mean, parameter_panel(binding, MEAN, panel), AE_PANEL * sizeof(real));
    for (int j = 0; j < AE_PANEL; j++)
        factor[j] = factor_of((double)variance[j], epsilon_of(binding->desc));
}

static void batch_norm_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    panel_numbers *numbers = (panel_numbers *)binding->coupling + part;
    const real *x = (const real *)binding->in[0].data + part * binding->in[0].stride;
    if (!training) {
        running_numbers(binding, part, numbers->mean, numbers->factor);
        return;
    }
    double mean[AE_PANEL] = {0}, square[AE_PANEL] = {0};
    for (int64_t row = 0; row < rows; row++)
        for (int j = 0; j < AE_PANEL; j++)
            mean[j] += (double)x[row * AE_PANEL + j];
    for (int j = 0; j < AE_PANEL; j++)
        mean[j] /= (double)rows;
    for (int64_t row = 0; row < rows; row++)
        for (int j = 0; j < AE_PANEL; j++) {
            const double off = (double)x[row * AE_PANEL + j] - mean[j];
            square[j] += off * off;
        }
    for (int j = 0; j < AE_PANEL; j++) {
        numbers->mean[j] = (real)mean[j];
        numbers->factor[j] = factor_of(square[j] / (double)rows, epsilon_of(binding->desc));
        numbers->variance[j] = rows > 1 ? (real)(square[j] / (double)(rows - 1)) : parameter_panel(binding, VARIANCE, part)[j];
    }
}

static void batch_norm_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++) {
        const panel_numbers *numbers = (const panel_numbers *)binding->coupling + p;
        const real *gamma = parameter_panel(binding, GAMMA, p), *beta = parameter_panel(binding, BETA, p);
        real mean[AE_PANEL], factor[AE_PANEL];
        if (block->keep) {
            memcpy(mean, numbers->mean, sizeof mean);
            memcpy(factor, numbers->factor, sizeof factor);
        } else {
            running_numbers(binding, p, mean, factor);
        }
        for (int64_t row = row0; row < row1; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec x = v_load((const real *)in->data + p * in->stride + row * AE_PANEL + j);
                const vec scaled = v_mul(v_sub(x, v_load(mean + j)), v_load(factor + j));
                v_store((real *)out->data + p * out->stride + row * AE_PANEL + j,
                        v_fma(scaled, v_load(gamma + j), v_load(beta + j)));
            }
    }
}

static void batch_norm_couple_backward(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    panel_numbers *numbers = (panel_numbers *)binding->coupling + part;
    const real *x = (const real *)binding->in[0].data + part * binding->in[0].stride;
    const real *d = (const real *)binding->out.gradient + part * binding->out.stride;
    double sum[AE_PANEL] = {0}, sum_x[AE_PANEL] = {0};
    for (int64_t row = 0; row < rows; row++)
        for (int j = 0; j < AE_PANEL; j++) {
            const real scaled = (x[row * AE_PANEL + j] - numbers->mean[j]) * numbers->factor[j];
            sum[j] += (double)d[row * AE_PANEL + j];
            sum_x[j] += (double)d[row * AE_PANEL + j] * (double)scaled;
        }
    for (int j = 0; j < AE_PANEL; j++) {
        numbers->sum[j] = (real)sum[j];
        numbers->sum_x[j] = (real)sum_x[j];
        /* The running numbers do not depend on the rows. */
        numbers->mean_d[j] = training ? (real)(sum[j] / (double)rows) : 0;
        numbers->mean_dx[j] = training ? (real)(sum_x[j] / (double)rows) : 0;
    }
}

static void batch_norm_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    if (!in->gradient)
        return;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++) {
        const panel_numbers *numbers = (const panel_numbers *)binding->coupling + p;
        const real *gamma = parameter_panel(binding, GAMMA, p);
        for (int64_t row = row0; row < row1; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec factor = v_load(numbers->factor + j);
                const vec x = v_load((const real *)in->data + p * in->stride + row * AE_PANEL + j);
                const vec d = v_load((const real *)out->gradient + p * out->stride + row * AE_PANEL + j);
                const vec scaled = v_mul(v_sub(x, v_load(numbers->mean + j)), factor);
                const vec off = v_fnma(scaled, v_load(numbers->mean_dx + j), v_sub(d, v_load(numbers->mean_d + j)));
                real *to = (real *)in->gradient + p * in->stride + row * AE_PANEL + j;
                const vec before = binding->accumulate[0] ? v_load(to) : v_zero();
                v_store(to, v_fma(v_mul(v_load(gamma + j), factor), off, before));
            }
    }
}

static void batch_norm_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                        void *gradient) {
    const panel_numbers *numbers = (const panel_numbers *)binding->coupling + tile->panel;
    const real *before = parameter_panel(binding, tile->parameter, tile->panel);
    const real *of[] = {numbers->sum_x, numbers->sum, numbers->mean, numbers->variance}, *from = of[tile->parameter];
    const real momentum = (real)momentum_of(binding->desc);
    const int columns = ae_panel_columns(binding->out.shape.width, tile->panel);
    real *g = gradient;
    (void)rows, (void)accumulate; /* there are no chunks */
    for (int j = 0; j < AE_PANEL; j++)
        if (tile->parameter == GAMMA || tile->parameter == BETA)
            g[j] = j < columns ? from[j] : 0;
        else
            g[j] = j < columns ? before[j] + momentum * (from[j] - before[j]) : 0;
}

const ae_layer_ops AE_V(ae_layer_batch_norm) = {
    .name = "batch_norm",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_COUPLES_ROWS,
    .plan = AE_PLANNED(batch_norm),
    .forward = batch_norm_forward,
    .backward_data = batch_norm_backward_data,
    .backward_weights = batch_norm_backward_weights,
    .couple = batch_norm_couple,
    .couple_backward = batch_norm_couple_backward,
};
