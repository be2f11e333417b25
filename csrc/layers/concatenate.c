/* Concatenation of one to four values along the features: conditions, skip connections. Inputs need not start at a panel
 * boundary of the output, so columns are copied in runs that stay within one panel of either side. */
#include <string.h>

#include "layers/layer.h"
#include "math/variant.h"

AE_PLAN(concatenate) {
    plan->out = (ae_shape){0, plan->in[0].multiplicity};
    for (int i = 0; i < plan->desc->n_inputs; i++) {
        if (plan->in[i].multiplicity != plan->in[0].multiplicity)
            return ae_fail(context, AE_ERR_VALUE,
                           "node '%s': input %d has %lld rows a sample and input 0 has %lld; they must be equal",
                           plan->desc->name, i, (long long)plan->in[i].multiplicity, (long long)plan->in[0].multiplicity);
        if (__builtin_add_overflow(plan->out.width, plan->in[i].width, &plan->out.width))
            return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': the sum of the widths does not fit", plan->desc->name);
    }
    return AE_OK;
}

typedef struct run {
    int64_t in, out; /* offsets of its first column from a row's start */
    int length;
} run;

/* The run of columns of an input of `width` that begins at `column` and lands at `shift + column` of the output. */
static run run_at(const ae_value *in, const ae_value *out, int64_t shift, int64_t column) {
    int64_t to = shift + column;
    int64_t length = in->shape.width - column;
    int64_t in_left = AE_PANEL - column % AE_PANEL, out_left = AE_PANEL - to % AE_PANEL;
    length = length < in_left ? length : in_left;
    length = length < out_left ? length : out_left;
    return (run){column / AE_PANEL * in->stride + column % AE_PANEL, to / AE_PANEL * out->stride + to % AE_PANEL, (int)length};
}

static void concatenate_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    int64_t shift = 0;
    for (int k = 0; k < binding->desc->n_inputs; k++) {
        const ae_value *in = &binding->in[k];
        for (int64_t column = 0; column < in->shape.width;) {
            const run r = run_at(in, out, shift, column);
            for (int64_t row = row0; row < row1; row++)
                memcpy((real *)out->data + r.out + row * AE_PANEL, (const real *)in->data + r.in + row * AE_PANEL,
                       (size_t)r.length * sizeof(real));
            column += r.length;
        }
        shift += in->shape.width;
    }
}

static void concatenate_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    int64_t shift = 0;
    for (int k = 0; k < binding->desc->n_inputs; k++) {
        const ae_value *in = &binding->in[k];
        for (int64_t column = 0; in->gradient && column < in->shape.width;) {
            const run r = run_at(in, out, shift, column);
            for (int64_t row = row0; row < row1; row++) {
                const real *g = (const real *)out->gradient + r.out + row * AE_PANEL;
                real *to = (real *)in->gradient + r.in + row * AE_PANEL;
                for (int j = 0; j < r.length; j++)
                    to[j] = binding->accumulate[k] ? to[j] + g[j] : g[j];
            }
            column += r.length;
        }
        /* The first to write a gradient leaves nothing old in its padding. */
        const int64_t present = in->shape.width % AE_PANEL;
        if (in->gradient && present && !binding->accumulate[k])
            for (int64_t row = row0; row < row1; row++)
                memset((real *)in->gradient + in->shape.width / AE_PANEL * in->stride + row * AE_PANEL + present, 0,
                       (size_t)(AE_PANEL - present) * sizeof(real));
        shift += in->shape.width;
    }
}

const ae_layer_ops AE_V(ae_layer_concatenate) = {
    .name = "concatenate",
    .min_inputs = 1,
    .max_inputs = AE_MAX_INPUTS,
    .plan = AE_PLANNED(concatenate),
    .forward = concatenate_forward,
    .backward_data = concatenate_backward_data,
};
