/* Dense layer with bias and activation: out = f(in W + b), W (inputs, units).
 *
 * forward          out     = f(in W + b)          rows of in against panels of W
 * backward_data    delta   = out.gradient * f'    in place
 *                  in.gradient = delta W^T        rows of delta against panels of the transpose
 * backward_weights W.gradient  = in^T delta       columns of in against panels of delta
 *                  b.gradient  = column sums of delta
 *
 * size[0] = 1: without bias: this use starts its sums at zero; a bias of its own stays as it is drawn, zero.
 * size[1] = 1: this use gives its parameters no gradient (a copy of another node's, frozen while that one is trained).
 * size[2] = 1: the rows of W (of a decoder: a latent's vector) are kept at norm one. */
#include <string.h>

#include "layers/layer.h"
#include "math/blas1.h"
#include "math/gemm.h"
#include "math/variant.h"

enum { WEIGHT, BIAS };

typedef struct dense_table {
    ae_gemm forward, backward_data;
} dense_table;

static ae_status dense_plan(ae_context *context, ae_layer_plan *plan) {
    const ae_node_desc *desc = plan->desc;
    int64_t inputs = plan->in[0].width, units = desc->width;
    if (units < 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': width is %lld; it must be at least 1", desc->name, (long long)units);
    for (int i = 0; i < 3; i++)
        if (desc->size[i] < 0 || desc->size[i] > 1)
            return ae_fail(context, AE_ERR_VALUE, "node '%s': size[%d] is %d; it must be 0 or 1", desc->name, i,
                           (int)desc->size[i]);
    ae_initializer initializer = ae_initializer_resolve((ae_initializer)desc->initializer, (ae_activation)desc->activation);
    plan->out = (ae_shape){units, plan->in[0].multiplicity};
    plan->n_parameters = 2;
    plan->parameter[WEIGHT] =
        (ae_parameter_request){"weight", inputs, units, inputs, units, initializer, true, true, AE_UPDATE_RULE};
    plan->parameter[BIAS] = (ae_parameter_request){"bias", 1, units, inputs, units, AE_INIT_ZERO, false, false, AE_UPDATE_RULE};
    if (desc->size[0])
        plan->parameter[BIAS].update = AE_UPDATE_NEVER;
    plan->constraint[WEIGHT] = desc->size[2] ? AE_CONSTRAINT_UNIT_ROWS : AE_CONSTRAINT_NONE;
    plan->cache_width = ae_activation_keeps_slope((ae_activation)desc->activation) ? units : 0;
    plan->table_bytes = sizeof(dense_table);
    plan->flops_per_row = 2.0 * (double)inputs * (double)units;
    return AE_OK;
}

static ae_gemm product(int64_t summed, int64_t a_stride) {
    int64_t terms = ae_panels(summed);
    return (ae_gemm){terms, AE_PANEL, ae_panel_columns(summed, terms - 1), NULL, NULL, a_stride, AE_PANEL * AE_PANEL};
}

static void dense_prepare(const ae_binding *binding) {
    dense_table *table = binding->table;
    table->forward = product(binding->in[0].shape.width, binding->in[0].stride);
    table->backward_data = product(binding->out.shape.width, binding->out.stride);
}

static void dense_forward(const ae_binding *binding, const ae_block *block) {
    const dense_table *table = binding->table;
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const ae_activation activation = (ae_activation)binding->desc->activation;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const real *x = (const real *)in->data + row0 * AE_PANEL;
    const real *weight = binding->parameter[WEIGHT], *bias = binding->parameter[BIAS];
    real *slope = block->keep ? binding->cache : NULL;
    for (int64_t q = 0; q < ae_panels(out->shape.width); q++) {
        const int64_t at = q * out->stride + row0 * AE_PANEL;
        real *y = (real *)out->data + at;
        AE_V(ae_gemm_rows)
        (&table->forward, row1 - row0, ae_panel_columns(out->shape.width, q), x, weight + q * in->shape.width * AE_PANEL,
         binding->desc->size[0] ? AE_START_ZERO : AE_START_BIAS, bias + q * AE_PANEL, y);
        if (activation != AE_SOFTMAX && activation != AE_IDENTITY)
            AE_V(ae_activation_forward)(activation, (row1 - row0) * AE_PANEL, y, slope ? slope + at : NULL);
    }
    if (activation == AE_SOFTMAX)
        AE_V(ae_softmax_forward)(row0, row1, out->shape.width, out->stride, out->data);
}

static void dense_backward_data(const ae_binding *binding, const ae_block *block) {
    const dense_table *table = binding->table;
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const ae_activation activation = (ae_activation)binding->desc->activation;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    real *delta = out->gradient;
    if (activation == AE_SOFTMAX)
        AE_V(ae_softmax_backward)(row0, row1, out->shape.width, out->stride, out->data, delta);
    else if (activation != AE_IDENTITY)
        for (int64_t q = 0; q < ae_panels(out->shape.width); q++) {
            const int64_t at = q * out->stride + row0 * AE_PANEL;
            const real *slope = binding->cache ? (const real *)binding->cache + at : NULL;
            AE_V(ae_activation_backward)(activation, (row1 - row0) * AE_PANEL, (const real *)out->data + at, slope, delta + at);
        }
    if (!in->gradient)
        return;
    const real *transposed = binding->transposed[WEIGHT];
    for (int64_t p = 0; p < ae_panels(in->shape.width); p++) {
        const real *panel = transposed + p * out->shape.width * AE_PANEL;
        real *g = (real *)in->gradient + p * in->stride + row0 * AE_PANEL;
        const ae_gemm_start start = binding->accumulate[0] ? AE_START_C : AE_START_ZERO;
        AE_V(ae_gemm_rows)
        (&table->backward_data, row1 - row0, ae_panel_columns(in->shape.width, p), delta + row0 * AE_PANEL, panel, start, NULL,
         g);
    }
}

/* A tile of the transpose of W, as the layer that shares it has its weight: rows are units here and columns inputs, so the two
 * operands change places. */
static void transposed_tile(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate, real *gradient) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const ae_gemm over_rows = {1, (int32_t)rows, (int32_t)rows, NULL, NULL, 0, 0};
    const int columns = ae_panel_columns(in->shape.width, tile->panel);
    for (int64_t row = tile->row0; row < tile->row1; row += AE_PANEL) {
        const int64_t height = tile->row1 - row < AE_PANEL ? tile->row1 - row : AE_PANEL;
        AE_V(ae_gemm_columns)
        (&over_rows, (int)height, columns, (const real *)out->gradient + row / AE_PANEL * out->stride,
         (const real *)in->data + tile->panel * in->stride, accumulate ? AE_START_C : AE_START_ZERO,
         gradient + (row - tile->row0) * AE_PANEL);
    }
    /* The padding of activations is not zero, that of a gradient is. */
    if (columns < AE_PANEL)
        for (int64_t row = 0; row < tile->row1 - tile->row0; row++)
            memset(gradient + row * AE_PANEL + columns, 0, (size_t)(AE_PANEL - columns) * sizeof(real));
}

static void dense_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                   void *gradient) {
    if (binding->desc->size[1] || (tile->parameter == BIAS && binding->desc->size[0])) {
        if (!accumulate)
            memset(gradient, 0, (size_t)((tile->row1 - tile->row0) * AE_PANEL) * sizeof(real));
        return;
    }
    if (tile->transposed) {
        transposed_tile(binding, tile, rows, accumulate, gradient);
        return;
    }
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const real *delta = (const real *)out->gradient + tile->panel * out->stride;
    if (tile->parameter == BIAS) {
        if (!accumulate)
            memset(gradient, 0, AE_PANEL * sizeof(real));
        AE_V(ae_column_sums)(0, rows, delta, gradient);
        return;
    }
    const ae_gemm over_rows = {1, (int32_t)rows, (int32_t)rows, NULL, NULL, 0, 0};
    const int columns = ae_panel_columns(out->shape.width, tile->panel);
    for (int64_t row = tile->row0; row < tile->row1; row += AE_PANEL) {
        const int64_t height = tile->row1 - row < AE_PANEL ? tile->row1 - row : AE_PANEL;
        AE_V(ae_gemm_columns)
        (&over_rows, (int)height, columns, (const real *)in->data + row / AE_PANEL * in->stride, delta,
         accumulate ? AE_START_C : AE_START_ZERO, (real *)gradient + (row - tile->row0) * AE_PANEL);
    }
}

const ae_layer_ops AE_V(ae_layer_dense) = {
    .name = "dense",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_TRANSPOSES,
    .plan = dense_plan,
    .prepare = dense_prepare,
    .forward = dense_forward,
    .backward_data = dense_backward_data,
    .backward_weights = dense_backward_weights,
};
