/* How copies of a row differ from the row itself: out = a - b, a (B k m, n), b (B m, n). Row i of the k m that belong to a row of
 * data stands against row i modulo m: k copies in turn of m rows each (the m tangents of one Jacobian, or 1). */
#include "layers/rows.h"

AE_PLAN(deviation) {
    const ae_shape *a = &plan->in[0], *b = &plan->in[1];
    if (a->width != b->width || a->multiplicity % b->multiplicity)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': input 0 has %lld features on %lld rows and input 1 %lld on %lld; features must be equal and "
                       "rows a multiple",
                       plan->desc->name, (long long)a->width, (long long)a->multiplicity, (long long)b->width,
                       (long long)b->multiplicity);
    plan->out = *a;
    return AE_OK;
}

static void deviation_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *a = &binding->in[0], *b = &binding->in[1], *out = &binding->out;
    const int64_t many = a->shape.multiplicity, few = b->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t row = block->row0; row < block->row1; row++)
            for (int64_t i = 0; i < many; i++) {
                const int64_t at = p * out->stride + (row * many + i) * AE_PANEL;
                const real *from = (const real *)b->data + p * b->stride + (row * few + i % few) * AE_PANEL;
                for (int j = 0; j < AE_PANEL; j += VL)
                    v_store((real *)out->data + at + j, v_sub(v_load((const real *)a->data + at + j), v_load(from + j)));
            }
}

static void deviation_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *a = &binding->in[0], *b = &binding->in[1], *out = &binding->out;
    const int64_t many = a->shape.multiplicity, few = b->shape.multiplicity;
    if (a->gradient)
        rows_pass(a, block, out->gradient, a->gradient, binding->accumulate[0]);
    for (int64_t p = 0; b->gradient && p < ae_panels(out->shape.width); p++) {
        const real *g = (const real *)out->gradient + p * out->stride;
        for (int64_t row = block->row0; row < block->row1; row++)
            for (int64_t i = 0; i < few; i++)
                for (int j = 0; j < AE_PANEL; j += VL) {
                    real *at = (real *)b->gradient + p * b->stride + (row * few + i) * AE_PANEL + j;
                    vec sum = binding->accumulate[1] ? v_load(at) : v_zero();
                    for (int64_t c = i; c < many; c += few)
                        sum = v_sub(sum, v_load(g + (row * many + c) * AE_PANEL + j));
                    v_store(at, sum);
                }
    }
}

const ae_layer_ops AE_V(ae_layer_deviation) = {
    .name = "deviation",
    .min_inputs = 2,
    .max_inputs = 2,
    .plan = AE_PLANNED(deviation),
    .forward = deviation_forward,
    .backward_data = deviation_backward_data,
};
