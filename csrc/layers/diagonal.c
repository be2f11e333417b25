/* A row of n slopes as the n rows of its diagonal matrix: where the tangents of all n components of a code begin.
 * in (B m, n), out (B m n, n): row i n + k holds in[i, k] in column k and zeros elsewhere. */
#include <string.h>

#include "layers/layer.h"
#include "math/variant.h"

AE_PLAN(diagonal) {
    const ae_shape *in = &plan->in[0];
    if (in->multiplicity > INT32_MAX / in->width)
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': %lld rows of %lld features are too many for a diagonal of each",
                       plan->desc->name, (long long)in->multiplicity, (long long)in->width);
    plan->out = (ae_shape){in->width, in->multiplicity * in->width};
    return AE_OK;
}

static void diagonal_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t n = in->shape.width, m = in->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(n); p++) {
        const int columns = ae_panel_columns(n, p);
        real *panel = (real *)out->data + p * out->stride;
        memset(panel + block->row0 * m * n * AE_PANEL, 0,
               (size_t)((block->row1 - block->row0) * m * n * AE_PANEL) * sizeof(real));
        for (int64_t i = block->row0 * m; i < block->row1 * m; i++) {
            const real *s = (const real *)in->data + p * in->stride + i * AE_PANEL;
            for (int c = 0; c < columns; c++)
                panel[(i * n + p * AE_PANEL + c) * AE_PANEL + c] = s[c];
        }
    }
}

static void diagonal_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t n = in->shape.width, m = in->shape.multiplicity;
    for (int64_t p = 0; in->gradient && p < ae_panels(n); p++) {
        const int columns = ae_panel_columns(n, p);
        const real *panel = (const real *)out->gradient + p * out->stride;
        for (int64_t i = block->row0 * m; i < block->row1 * m; i++) {
            real *to = (real *)in->gradient + p * in->stride + i * AE_PANEL;
            for (int c = 0; c < AE_PANEL; c++) {
                const real g = c < columns ? panel[(i * n + p * AE_PANEL + c) * AE_PANEL + c] : 0;
                to[c] = binding->accumulate[0] ? to[c] + g : g;
            }
        }
    }
}

const ae_layer_ops AE_V(ae_layer_diagonal) = {
    .name = "diagonal",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(diagonal),
    .forward = diagonal_forward,
    .backward_data = diagonal_backward_data,
};
