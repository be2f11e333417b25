/* Missing values, which are NaN, by row and always.
 *
 * observed  out = in where it is a number, value[0] elsewhere
 * present   out = 1 where in is a number, 0 elsewhere; with size[0] = 1 times width / (numbers in the row), so that a mean over the
 *           features weighted by it is the mean over those that are there. A row with nothing has zeros. */
#include <math.h>

#include "layers/rows.h"

AE_PLAN(observed) {
    if (!isfinite(plan->desc->value[0]))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': what stands for a missing value is %g; it must be finite",
                       plan->desc->name, plan->desc->value[0]);
    plan->out = plan->in[0];
    return AE_OK;
}

static void observed_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const vec stand_in = v_set1((real)binding->desc->value[0]);
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL) {
            const vec x = v_load((const real *)in->data + p * in->stride + i);
            v_store((real *)out->data + p * out->stride + i, v_select(v_unordered(x, x), stand_in, x));
        }
}

static void observed_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    if (!in->gradient)
        return;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL) {
            const vec x = v_load((const real *)in->data + p * in->stride + i);
            const vec g = v_load((const real *)out->gradient + p * out->stride + i);
            real *to = (real *)in->gradient + p * in->stride + i;
            const vec passed = v_select(v_unordered(x, x), v_zero(), g);
            v_store(to, binding->accumulate[0] ? v_add(v_load(to), passed) : passed);
        }
}

AE_PLAN(present) {
    const int32_t scaled = plan->desc->size[0];
    if (scaled != 0 && scaled != 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': size[0] is %d; it must be 0 or 1", plan->desc->name, scaled);
    plan->out = plan->in[0];
    return AE_OK;
}

static int64_t numbers_in(const ae_value *in, int64_t row) {
    int64_t count = 0;
    for (int64_t p = 0; p < ae_panels(in->shape.width); p++) {
        const real *x = (const real *)in->data + p * in->stride + row * AE_PANEL;
        int here = 0;
        for (int j = 0; j < ae_panel_columns(in->shape.width, p); j++)
            here += x[j] == x[j];
        count += here;
    }
    return count;
}

static void present_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t row = row0; row < row1; row++) {
        real share = 1;
        if (binding->desc->size[0]) {
            const int64_t count = numbers_in(in, row);
            share = count ? (real)((double)in->shape.width / (double)count) : 0;
        }
        for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec x = v_load((const real *)in->data + p * in->stride + row * AE_PANEL + j);
                v_store((real *)out->data + p * out->stride + row * AE_PANEL + j,
                        v_select(v_unordered(x, x), v_zero(), v_set1(share)));
            }
    }
}

const ae_layer_ops AE_V(ae_layer_observed) = {
    .name = "observed",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(observed),
    .forward = observed_forward,
    .backward_data = observed_backward_data,
};

const ae_layer_ops AE_V(ae_layer_present) = {
    .name = "present",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOPS,
    .plan = AE_PLANNED(present),
    .forward = present_forward,
};
