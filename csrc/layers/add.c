/* Element-wise sum of two to four values of one shape: residual connections.
 * size[i] = 1: input i is subtracted (what a reconstruction leaves over). */
#include "layers/layer.h"
#include "math/vec.h"

AE_PLAN(add) {
    for (int i = 1; i < plan->desc->n_inputs; i++)
        if (plan->in[i].width != plan->in[0].width || plan->in[i].multiplicity != plan->in[0].multiplicity)
            return ae_fail(context, AE_ERR_VALUE,
                           "node '%s': input %d has %lld features and input 0 has %lld; they must be equal", plan->desc->name,
                           i, (long long)plan->in[i].width, (long long)plan->in[0].width);
    for (int i = 0; i < plan->desc->n_inputs; i++)
        if (plan->desc->size[i] < 0 || plan->desc->size[i] > 1)
            return ae_fail(context, AE_ERR_VALUE, "node '%s': size[%d] is %d; it must be 0 or 1", plan->desc->name, i,
                           (int)plan->desc->size[i]);
    plan->out = plan->in[0];
    return AE_OK;
}

AE_INLINE vec signed_term(const ae_binding *binding, int k, vec x) { return binding->desc->size[k] ? v_neg(x) : x; }

static void add_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++) {
        real *y = (real *)out->data + p * out->stride;
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL) {
            vec sum = signed_term(binding, 0, v_load((const real *)binding->in[0].data + p * binding->in[0].stride + i));
            for (int k = 1; k < binding->desc->n_inputs; k++)
                sum = v_add(sum,
                            signed_term(binding, k, v_load((const real *)binding->in[k].data + p * binding->in[k].stride + i)));
            v_store(y + i, sum);
        }
    }
}

static void add_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int k = 0; k < binding->desc->n_inputs; k++) {
        const ae_value *in = &binding->in[k];
        if (!in->gradient)
            continue;
        for (int64_t p = 0; p < ae_panels(out->shape.width); p++) {
            const real *g = (const real *)out->gradient + p * out->stride;
            real *to = (real *)in->gradient + p * in->stride;
            for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL) {
                const vec term = signed_term(binding, k, v_load(g + i));
                v_store(to + i, binding->accumulate[k] ? v_add(v_load(to + i), term) : term);
            }
        }
    }
}

const ae_layer_ops AE_V(ae_layer_add) = {
    .name = "add",
    .min_inputs = 2,
    .max_inputs = AE_MAX_INPUTS,
    .plan = AE_PLANNED(add),
    .forward = add_forward,
    .backward_data = add_backward_data,
};
