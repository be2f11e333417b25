/* One step of tangents through a dense layer, backwards from the code: out = (in W) * s, without bias, and s only where a second
 * input gives it. in (B k m, n), W (n, d) the weight that it shares (a dense node's transposed, for the way back; as it is, for
 * forward tangents), s (B m, d): a row of s, a slope node's, serves k rows in turn. desc->width is d.
 *
 * With u_L = diag(f'(a_L)) (layers/diagonal.c) and u_{l-1} = (u_l W_l') * f'(a_{l-1}), the last one without s is the Jacobian of
 * the code by the input, row by row of data; layers/sum_of_squares.c makes its squared Frobenius norm.
 *
 *     delta = out.gradient * s    in place    s.gradient = out.gradient * (in W), summed over the k rows in order
 *     in.gradient = delta W'                  W.gradient = in' delta */
#include <string.h>

#include "layers/layer.h"
#include "math/gemm.h"
#include "math/vec.h"

typedef struct tangent_table {
    ae_gemm forward, backward_data;
} tangent_table;

AE_PLAN(tangent) {
    const ae_node_desc *desc = plan->desc;
    const ae_shape *in = &plan->in[0], *slope = desc->n_inputs > 1 ? &plan->in[1] : NULL;
    if (desc->width < 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': width is %lld; it must be at least 1", desc->name,
                       (long long)desc->width);
    if (slope && (slope->width != desc->width || in->multiplicity % slope->multiplicity))
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': the slopes have %lld features on %lld rows and the tangents %lld on %lld; features must be "
                       "equal and rows a multiple",
                       desc->name, (long long)slope->width, (long long)slope->multiplicity, (long long)desc->width,
                       (long long)in->multiplicity);
    plan->out = (ae_shape){desc->width, in->multiplicity};
    plan->n_parameters = 1;
    plan->parameter[0] = (ae_parameter_request){"weight",     in->width, desc->width, in->width,     desc->width,
                                                AE_INIT_ZERO, true,      true,        AE_UPDATE_RULE};
    plan->cache_width = slope ? desc->width : 0; /* in W */
    plan->table_bytes = sizeof(tangent_table);
    plan->flops_per_row = 2.0 * (double)in->width * (double)desc->width;
    return AE_OK;
}

static ae_gemm product(int64_t summed, int64_t a_stride) {
    const int64_t terms = ae_panels(summed);
    return (ae_gemm){terms, AE_PANEL, ae_panel_columns(summed, terms - 1), NULL, NULL, a_stride, AE_PANEL * AE_PANEL};
}

static void tangent_prepare(const ae_binding *binding) {
    tangent_table *table = binding->table;
    table->forward = product(binding->in[0].shape.width, binding->in[0].stride);
    table->backward_data = product(binding->out.shape.width, binding->out.stride);
}

/* Rows row0 .. row1 - 1 of a panel, times the row of slopes that serves them. */
static void scale_rows(int64_t row0, int64_t row1, int64_t copies, const real *slope, real *to) {
    for (int64_t i = row0; i < row1; i++)
        for (int j = 0; j < AE_PANEL; j += VL)
            v_store(to + i * AE_PANEL + j, v_mul(v_load(to + i * AE_PANEL + j), v_load(slope + i / copies * AE_PANEL + j)));
}

static void tangent_forward(const ae_binding *binding, const ae_block *block) {
    const tangent_table *table = binding->table;
    const ae_value *in = &binding->in[0], *slope = &binding->in[1], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t q = 0; q < ae_panels(out->shape.width); q++) {
        real *y = (real *)out->data + q * out->stride;
        AE_V(ae_gemm_rows)
        (&table->forward, row1 - row0, ae_panel_columns(out->shape.width, q), (const real *)in->data + row0 * AE_PANEL,
         (const real *)binding->parameter[0] + q * in->shape.width * AE_PANEL, AE_START_ZERO, NULL, y + row0 * AE_PANEL);
        if (binding->desc->n_inputs < 2)
            continue;
        if (block->keep)
            memcpy((real *)binding->cache + q * out->stride + row0 * AE_PANEL, y + row0 * AE_PANEL,
                   (size_t)((row1 - row0) * AE_PANEL) * sizeof(real));
        scale_rows(row0, row1, out->shape.multiplicity / slope->shape.multiplicity,
                   (const real *)slope->data + q * slope->stride, y);
    }
}

static void slope_gradient(const ae_binding *binding, const ae_block *block, int64_t q) {
    const ae_value *slope = &binding->in[1], *out = &binding->out;
    const int64_t m = slope->shape.multiplicity, copies = out->shape.multiplicity / m;
    const real *g = (const real *)out->gradient + q * out->stride, *product = (const real *)binding->cache + q * out->stride;
    real *to = (real *)slope->gradient + q * slope->stride;
    for (int64_t row = block->row0 * m; row < block->row1 * m; row++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            vec sum = binding->accumulate[1] ? v_load(to + row * AE_PANEL + j) : v_zero();
            for (int64_t i = row * copies; i < (row + 1) * copies; i++)
                sum = v_fma(v_load(g + i * AE_PANEL + j), v_load(product + i * AE_PANEL + j), sum);
            v_store(to + row * AE_PANEL + j, sum);
        }
}

static void tangent_backward_data(const ae_binding *binding, const ae_block *block) {
    const tangent_table *table = binding->table;
    const ae_value *in = &binding->in[0], *slope = &binding->in[1], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t q = 0; binding->desc->n_inputs > 1 && q < ae_panels(out->shape.width); q++) {
        if (slope->gradient)
            slope_gradient(binding, block, q);
        scale_rows(row0, row1, out->shape.multiplicity / slope->shape.multiplicity,
                   (const real *)slope->data + q * slope->stride, (real *)out->gradient + q * out->stride);
    }
    for (int64_t p = 0; in->gradient && p < ae_panels(in->shape.width); p++)
        AE_V(ae_gemm_rows)
    (&table->backward_data, row1 - row0, ae_panel_columns(in->shape.width, p), (const real *)out->gradient + row0 * AE_PANEL,
     (const real *)binding->transposed[0] + p * out->shape.width * AE_PANEL,
     binding->accumulate[0] ? AE_START_C : AE_START_ZERO, NULL, (real *)in->gradient + p * in->stride + row0 * AE_PANEL);
}

/* in' delta, or for a tile of the transpose delta' in; then the padding, which that of values may have reached. */
static void tangent_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                     void *gradient) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const bool turned = tile->transposed;
    const ae_gemm over_rows = {1, (int32_t)rows, (int32_t)rows, NULL, NULL, 0, 0};
    const int columns = ae_panel_columns(turned ? in->shape.width : out->shape.width, tile->panel);
    const real *a = turned ? out->gradient : in->data;
    const real *b =
        turned ? (const real *)in->data + tile->panel * in->stride : (const real *)out->gradient + tile->panel * out->stride;
    const int64_t a_stride = turned ? out->stride : in->stride;
    real *g = gradient;
    for (int64_t row = tile->row0; row < tile->row1; row += AE_PANEL) {
        const int64_t height = tile->row1 - row < AE_PANEL ? tile->row1 - row : AE_PANEL;
        AE_V(ae_gemm_columns)
        (&over_rows, (int)height, columns, a + row / AE_PANEL * a_stride, b, accumulate ? AE_START_C : AE_START_ZERO,
         g + (row - tile->row0) * AE_PANEL);
    }
    for (int64_t row = 0; columns < AE_PANEL && row < tile->row1 - tile->row0; row++)
        memset(g + row * AE_PANEL + columns, 0, (size_t)(AE_PANEL - columns) * sizeof(real));
}

const ae_layer_ops AE_V(ae_layer_tangent) = {
    .name = "tangent",
    .min_inputs = 1,
    .max_inputs = 2,
    .flags = AE_LAYER_TRANSPOSES | AE_LAYER_BORROWS,
    .plan = AE_PLANNED(tangent),
    .prepare = tangent_prepare,
    .forward = tangent_forward,
    .backward_data = tangent_backward_data,
    .backward_weights = tangent_backward_weights,
};
