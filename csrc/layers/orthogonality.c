/* How far the columns of a weight are from orthonormal: |W'W - 1|^2 (squared Frobenius norm), the same for each row of data.
 * W (d, n) is the weight that it shares: a dense node's as it is, its units to be orthonormal; or transposed, its inputs (the
 * atoms of a decoder). The input tells nothing but d, its width, and stands in no relation to the value; desc->width is n.
 *
 *     W.gradient = 4 t W (W'W - 1),    t = the sum over the rows of out.gradient
 *
 * W'W - 1 and W (W'W - 1) are made once a step, panel by panel, before any tile of W changes: a tile is updated as soon as it has
 * its gradient, while others still wait for theirs. Outside training W'W is made by each block of rows anew. */
#include "layers/penalty.h"
#include "math/gemm.h"

AE_PLAN(orthogonality) {
    const int64_t inputs = plan->in[0].width, units = plan->desc->width;
    if (units < 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': width (columns of the weight) is %lld; it must be at least 1",
                       plan->desc->name, (long long)units);
    if (units > (int64_t)1 << 20)
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': the products of %lld columns do not fit into memory",
                       plan->desc->name, (long long)units);
    plan->out = (ae_shape){1, 1};
    plan->n_parameters = 1;
    plan->parameter[0] =
        (ae_parameter_request){"weight", inputs, units, inputs, units, AE_INIT_ZERO, true, false, AE_UPDATE_RULE};
    plan->coupling_parts = ae_panels(units);
    /* By panel: n rows of W'W - 1, then its sum of squares by column, then d rows of W (W'W - 1). */
    plan->coupling_reals = ae_panels(units) * (units + 1 + inputs) * AE_PANEL;
    plan->scratch_reals = (units + 1) * AE_PANEL;
    plan->flops_per_minibatch = 4.0 * (double)inputs * (double)units * (double)units;
    return AE_OK;
}

/* Panel q of W'W - 1, (n, 32), and after it the squares of its columns, rows in order. */
static void gram_panel(const ae_binding *binding, int64_t q, real *gram) {
    const int64_t inputs = binding->parameter_rows[0], units = binding->desc->width;
    const int columns = ae_panel_columns(units, q);
    const real *w = binding->parameter[0];
    /* The sum over 2^31 inputs and more is cut off by ae_net_new: no width is larger. */
    const ae_gemm over_inputs = {1, (int32_t)inputs, (int32_t)inputs, NULL, NULL, 0, 0};
    for (int64_t p = 0; p < ae_panels(units); p++)
        AE_V(ae_gemm_columns)
    (&over_inputs, ae_panel_columns(units, p), columns, w + p * inputs * AE_PANEL, w + q * inputs * AE_PANEL, AE_START_ZERO,
     gram + p * AE_PANEL * AE_PANEL);
    for (int c = 0; c < columns; c++)
        gram[(q * AE_PANEL + c) * AE_PANEL + c] -= 1;
    vec lanes[PENALTY_VECTORS];
    penalty_clear(lanes);
    for (int64_t row = 0; row < units; row++)
        for (int v = 0; v < PENALTY_VECTORS; v++) {
            const vec entry = v_load(gram + row * AE_PANEL + v * VL);
            lanes[v] = v_fma(entry, entry, lanes[v]);
        }
    for (int v = 0; v < PENALTY_VECTORS; v++)
        v_store(gram + units * AE_PANEL + v * VL, lanes[v]);
}

static real *kept_panel(const ae_binding *binding, int64_t q) {
    return (real *)binding->coupling + q * (binding->desc->width + 1 + binding->parameter_rows[0]) * AE_PANEL;
}

/* Panel q of W (W'W - 1), (d, 32). */
static real *kept_product(const ae_binding *binding, int64_t q) {
    return kept_panel(binding, q) + (binding->desc->width + 1) * AE_PANEL;
}

static void orthogonality_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    const int64_t inputs = binding->parameter_rows[0], units = binding->desc->width, terms = ae_panels(units);
    const ae_gemm over_units = {
        terms, AE_PANEL, ae_panel_columns(units, terms - 1), NULL, NULL, inputs * AE_PANEL, AE_PANEL * AE_PANEL};
    real *gram = kept_panel(binding, part);
    (void)rows, (void)training;
    gram_panel(binding, part, gram);
    AE_V(ae_gemm_rows)
    (&over_units, inputs, ae_panel_columns(units, part), (const real *)binding->parameter[0], gram, AE_START_ZERO, NULL,
     kept_product(binding, part));
}

static void orthogonality_forward(const ae_binding *binding, const ae_block *block) {
    double sum = 0.0;
    for (int64_t q = 0; q < ae_panels(binding->desc->width); q++) {
        real *gram = block->keep ? kept_panel(binding, q) : block->scratch;
        if (!block->keep)
            gram_panel(binding, q, gram);
        const real *squares = gram + binding->desc->width * AE_PANEL;
        for (int c = 0; c < ae_panel_columns(binding->desc->width, q); c++)
            sum += (double)squares[c];
    }
    for (int64_t row = block->row0; row < block->row1; row++)
        rows_set_single(&binding->out, row, sum);
}

/* 4 t times a tile of the product or of its transpose. */
static void orthogonality_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                           void *gradient) {
    const int64_t inputs = binding->parameter_rows[0], units = binding->desc->width;
    const int columns = ae_panel_columns(tile->transposed ? inputs : units, tile->panel);
    const real factor = (real)(4.0 * penalty_gradient_sum(&binding->out, rows));
    real *g = gradient;
    (void)accumulate; /* there are no chunks */
    for (int64_t row = tile->row0; row < tile->row1; row++, g += AE_PANEL) {
        const real *from = tile->transposed
                               ? kept_product(binding, row / AE_PANEL) + tile->panel * AE_PANEL * AE_PANEL + row % AE_PANEL
                               : kept_product(binding, tile->panel) + row * AE_PANEL;
        for (int j = 0; j < columns; j++)
            g[j] = from[tile->transposed ? j * AE_PANEL : j] * factor;
        memset(g + columns, 0, (size_t)(AE_PANEL - columns) * sizeof(real));
    }
}

const ae_layer_ops AE_V(ae_layer_orthogonality) = {
    .name = "orthogonality",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_TRANSPOSES | AE_LAYER_BORROWS | AE_LAYER_COUPLES_ROWS,
    .plan = AE_PLANNED(orthogonality),
    .forward = orthogonality_forward,
    .backward_data = penalty_no_gradient,
    .backward_weights = orthogonality_backward_weights,
    .couple = orthogonality_couple,
};
