/* Columns size[0] .. size[0] + width - 1 of the input. The range begins anywhere, so columns move in runs that stay within one panel
 * of either side. */
#include "layers/rows.h"

AE_PLAN(slice) {
    const ae_node_desc *desc = plan->desc;
    const int64_t first = desc->size[0];
    if (first < 0 || desc->width < 1 || desc->width > plan->in[0].width - first)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': %lld columns from column %lld on; the input has %lld", desc->name,
                       (long long)desc->width, (long long)first, (long long)plan->in[0].width);
    plan->out = (ae_shape){desc->width, plan->in[0].multiplicity};
    return AE_OK;
}

typedef struct run {
    int64_t in, out; /* offsets of its first column from a row's start */
    int length;
} run;

/* The run that begins at a column of the output. */
static run run_at(const ae_binding *binding, int64_t column) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t from = binding->desc->size[0] + column;
    const int64_t in_left = AE_PANEL - from % AE_PANEL, out_left = AE_PANEL - column % AE_PANEL;
    int64_t length = out->shape.width - column;
    length = length < in_left ? length : in_left;
    length = length < out_left ? length : out_left;
    return (run){from / AE_PANEL * in->stride + from % AE_PANEL, column / AE_PANEL * out->stride + column % AE_PANEL,
                 (int)length};
}

static void slice_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t column = 0; column < out->shape.width;) {
        const run r = run_at(binding, column);
        for (int64_t row = row0; row < row1; row++)
            memcpy((real *)out->data + r.out + row * AE_PANEL, (const real *)in->data + r.in + row * AE_PANEL,
                   (size_t)r.length * sizeof(real));
        column += r.length;
    }
}

static void slice_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    if (!in->gradient)
        return;
    for (int64_t p = 0; p < ae_panels(in->shape.width) && !binding->accumulate[0]; p++)
        memset((real *)in->gradient + p * in->stride + row0 * AE_PANEL, 0, (size_t)((row1 - row0) * AE_PANEL) * sizeof(real));
    for (int64_t column = 0; column < out->shape.width;) {
        const run r = run_at(binding, column);
        for (int64_t row = row0; row < row1; row++) {
            const real *g = (const real *)out->gradient + r.out + row * AE_PANEL;
            real *to = (real *)in->gradient + r.in + row * AE_PANEL;
            for (int j = 0; j < r.length; j++)
                to[j] += g[j];
        }
        column += r.length;
    }
}

const ae_layer_ops AE_V(ae_layer_slice) = {
    .name = "slice",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(slice),
    .forward = slice_forward,
    .backward_data = slice_backward_data,
};
