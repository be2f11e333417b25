/* Dropout: out = in * mask / (1 - rate) with a mask drawn afresh at each presentation (Srivastava et al. 2014, in the
 * scaled form that leaves inference alone). The mask is kept, so backward multiplies by the same numbers. */
#include <string.h>

#include "layers/layer.h"
#include "math/random.h"
#include "math/vec.h"

AE_PLAN(dropout) {
    double rate = plan->desc->rate;
    if (!(rate >= 0.0 && rate < 1.0))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': rate is %g; it must be at least 0 and below 1", plan->desc->name,
                       rate);
    plan->out = plan->in[0];
    plan->cache_width = plan->in[0].width;
    plan->scratch_reals = ae_panels(plan->in[0].width) * AE_PANEL;
    return AE_OK;
}

static void dropout_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t m = out->shape.multiplicity, row0 = block->row0 * m, row1 = block->row1 * m;
    const int64_t panels = ae_panels(out->shape.width);
    const double rate = binding->desc->rate;
    if (!block->training || rate == 0.0) {
        for (int64_t p = 0; p < panels; p++)
            memcpy((real *)out->data + p * out->stride + row0 * AE_PANEL,
                   (const real *)in->data + p * in->stride + row0 * AE_PANEL,
                   (size_t)((row1 - row0) * AE_PANEL) * sizeof(real));
        if (block->keep)
            for (int64_t p = 0; p < panels; p++)
                for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i++)
                    ((real *)binding->cache)[p * out->stride + i] = 1;
        return;
    }
    const uint64_t threshold = (uint64_t)(rate * 4294967296.0);
    const real kept = (real)(1.0 / (1.0 - rate));
    real *mask = block->scratch;
    for (int64_t row = row0; row < row1; row++) {
        AE_V(ae_random_mask)
        (binding->key, block->step, (uint32_t)(block->first_row * m + row), out->shape.width, threshold, kept, mask);
        for (int64_t p = 0; p < panels; p++) {
            const int64_t at = p * out->stride + row * AE_PANEL;
            const real *x = (const real *)in->data + p * in->stride + row * AE_PANEL;
            for (int j = 0; j < AE_PANEL; j += VL) {
                vec keep = v_load(mask + p * AE_PANEL + j);
                if (block->keep)
                    v_store((real *)binding->cache + at + j, keep);
                v_store((real *)out->data + at + j, v_mul(v_load(x + j), keep));
            }
        }
    }
}

static void dropout_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    if (!in->gradient)
        return;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++) {
        const real *g = (const real *)out->gradient + p * out->stride, *mask = (const real *)binding->cache + p * out->stride;
        real *to = (real *)in->gradient + p * in->stride;
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL) {
            vec before = binding->accumulate[0] ? v_load(to + i) : v_zero();
            v_store(to + i, v_fma(v_load(g + i), v_load(mask + i), before));
        }
    }
}

const ae_layer_ops AE_V(ae_layer_dropout) = {
    .name = "dropout",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOCHASTIC,
    .plan = AE_PLANNED(dropout),
    .forward = dropout_forward,
    .backward_data = dropout_backward_data,
};
