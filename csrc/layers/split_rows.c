/* One row of k n features becomes k rows of n: in (B, k n), out (B k, n), row r k + s holds features s n to (s + 1) n - 1 of row
 * r. `multiplicity` is k. */
#include "layers/layer.h"
#include "math/variant.h"

AE_PLAN(split_rows) {
    const int64_t k = plan->desc->multiplicity, width = plan->in[0].width;
    if (k < 1 || width % k || plan->in[0].multiplicity != 1)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': multiplicity is %lld; it must divide the %lld features of an input with one row a sample",
                       plan->desc->name, (long long)k, (long long)width);
    plan->out = (ae_shape){width / k, k};
    return AE_OK;
}

/* Where element (row k + s, c) of a value of multiplicity k lies, and element (row, s n + c) of its input. */
static int64_t place_out(const ae_value *out, int64_t row, int64_t s, int64_t c) {
    return c / AE_PANEL * out->stride + (row * out->shape.multiplicity + s) * AE_PANEL + c % AE_PANEL;
}

static int64_t place_in(const ae_value *in, int64_t n, int64_t row, int64_t s, int64_t c) {
    return (s * n + c) / AE_PANEL * in->stride + row * AE_PANEL + (s * n + c) % AE_PANEL;
}

static void split_rows_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    for (int64_t row = block->row0; row < block->row1; row++)
        for (int64_t s = 0; s < out->shape.multiplicity; s++)
            for (int64_t c = 0; c < out->shape.width; c++)
                ((real *)out->data)[place_out(out, row, s, c)] =
                    ((const real *)in->data)[place_in(in, out->shape.width, row, s, c)];
}

static void split_rows_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t panels = ae_panels(in->shape.width);
    if (!in->gradient)
        return;
    for (int64_t row = block->row0; row < block->row1; row++) {
        real *last = (real *)in->gradient + (panels - 1) * in->stride + row * AE_PANEL;
        for (int64_t s = 0; s < out->shape.multiplicity; s++)
            for (int64_t c = 0; c < out->shape.width; c++) {
                real *g = (real *)in->gradient + place_in(in, out->shape.width, row, s, c);
                *g = ((const real *)out->gradient)[place_out(out, row, s, c)] + (binding->accumulate[0] ? *g : 0);
            }
        for (int c = ae_panel_columns(in->shape.width, panels - 1); c < AE_PANEL; c++) /* padding of a gradient is zero */
            last[c] = 0;
    }
}

const ae_layer_ops AE_V(ae_layer_split_rows) = {.name = "split_rows",
                                                .min_inputs = 1,
                                                .max_inputs = 1,
                                                .plan = AE_PLANNED(split_rows),
                                                .forward = split_rows_forward,
                                                .backward_data = split_rows_backward_data};
