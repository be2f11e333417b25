/* Bits from logits: a (rows, n) -> (rows, n). At rest the output is 1 where a > 0, else 0. While training size[0] says how:
 *
 *     0  noisy logistic: 1 / (1 + exp(-(a + s e))), e ~ N(0, 1), s = value[0] >= 0. Under noise only far logits carry information,
 *        so they move away from zero (Salakhutdinov and Hinton 2009, where each training case keeps its noise)
 *     1  a Bernoulli draw with P(1) = 1 / (1 + exp(-a)), and for the gradient the slope of that probability
 *     2  the bits themselves, with the same gradient: straight-through estimators (Bengio et al. 2013, section 4)
 *
 * Noise is drawn from the latent stream by step, row and column. Not while training, but with backward behind it, the layer
 * gives bits and the slope of the logistic at a. */
#include <math.h>

#include "layers/latent.h"
#include "math/random.h"

enum { NOISY = 0, BERNOULLI, THRESHOLD };

AE_PLAN(binary) {
    const ae_node_desc *desc = plan->desc;
    if (desc->size[0] < NOISY || desc->size[0] > THRESHOLD)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': size[0] is %d; it must be 0 (noisy logistic), 1 (Bernoulli) or 2 (threshold)", desc->name,
                       desc->size[0]);
    if (!(desc->value[0] >= 0.0 && isfinite(desc->value[0])))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': the noise has deviation %g; it must be finite and not negative",
                       desc->name, desc->value[0]);
    plan->out = plan->in[0];
    plan->cache_width = plan->in[0].width; /* slope */
    plan->scratch_reals = ae_panels(plan->in[0].width) * AE_PANEL;
    plan->flops_per_row = 60.0 * (double)plan->in[0].width;
    return AE_OK;
}

/* NaN stays NaN, so that a diverging fit is found. */
AE_INLINE vec bits_of(vec a) {
    const vec bit = v_select(v_lt(v_zero(), a), v_set1(1), v_zero());
    return v_select(v_unordered(a, a), a, bit);
}

static void binary_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t m = out->shape.multiplicity, width = out->shape.width;
    const int how = binding->desc->size[0];
    const vec deviation = v_set1((real)binding->desc->value[0]), one = v_set1(1);
    const bool noisy = block->training && how == NOISY && binding->desc->value[0] > 0.0;
    real *noise = block->scratch;
    for (int64_t row = block->row0 * m; row < block->row1 * m; row++) {
        const uint32_t position = (uint32_t)(block->first_row * m + row);
        if (noisy)
            AE_V(ae_random_normal)(binding->key, block->step, position, width, noise);
        if (block->training && how == BERNOULLI)
            AE_V(ae_random_uniform)(binding->key, block->step, position, width, noise);
        for (int64_t p = 0; p < ae_panels(width); p++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec plain = v_load(latent_at(in->data, in->stride, p, row) + j);
                const vec a = noisy ? v_fma(deviation, v_load(noise + p * AE_PANEL + j), plain) : plain;
                vec y = bits_of(a);
                if (block->keep || (block->training && how != THRESHOLD)) {
                    const vec probability = vf_logistic(a);
                    if (block->training && how == NOISY)
                        y = probability;
                    else if (block->training && how == BERNOULLI)
                        y = v_select(v_lt(v_load(noise + p * AE_PANEL + j), probability), one,
                                     v_select(v_unordered(a, a), a, v_zero()));
                    if (block->keep)
                        v_store(latent_at(binding->cache, out->stride, p, row) + j,
                                v_mul(probability, v_sub(one, probability)));
                }
                v_store(latent_at(out->data, out->stride, p, row) + j, y);
            }
    }
}

static void binary_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t p = 0; in->gradient && p < ae_panels(out->shape.width); p++)
        for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL)
            latent_give((real *)in->gradient + p * in->stride + i,
                        v_mul(v_load((const real *)out->gradient + p * out->stride + i),
                              v_load((const real *)binding->cache + p * out->stride + i)),
                        binding->accumulate[0]);
}

const ae_layer_ops AE_V(ae_layer_binary) = {
    .name = "binary",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOCHASTIC,
    .stream = AE_STREAM_LATENT,
    .plan = AE_PLANNED(binary),
    .forward = binary_forward,
    .backward_data = binary_backward_data,
};
