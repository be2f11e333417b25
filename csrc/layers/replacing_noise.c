/* Noise that replaces entries (Vincent et al. 2010, "Stacked denoising autoencoders", on types of corruption), drawn afresh at each
 * presentation; `rate` is the probability of each entry. Unlike dropout nothing is scaled. Rests when not training.
 *
 * masking_noise    replaced by value[0]
 * salt_and_pepper  replaced by value[0] or value[1], with equal chance
 *
 * One word of 32 bits decides about an entry: below rate * 2^32 it is replaced; the lower half of these words means value[0].
 * Backward draws the same words again, so that nothing is kept: the usual place is behind the input, where nobody asks. */
#include <math.h>

#include "layers/rows.h"
#include "math/random.h"

AE_PLAN(replacing) {
    const ae_node_desc *desc = plan->desc;
    if (!(desc->rate >= 0.0 && desc->rate < 1.0))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': rate is %g; it must be at least 0 and below 1", desc->name,
                       desc->rate);
    if (!isfinite(desc->value[0]) || !isfinite(desc->value[1]))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': what replaces is %g and %g; it must be finite", desc->name,
                       desc->value[0], desc->value[1]);
    plan->out = plan->in[0];
    plan->scratch_reals = ae_panels(plan->in[0].width) * AE_PANEL;
    plan->flops_per_row = 20.0 * (double)plan->in[0].width;
    return AE_OK;
}

/* Words below `low` mean value[0], words from there on and below `all` value[1]. */
typedef struct limits {
    uint32_t low, all;
} limits;

static limits masking_limits(const ae_binding *binding) {
    const uint32_t all = rows_threshold(binding->desc->rate);
    return (limits){all, all};
}

/* An even number of words, so that the halves are equal. */
static limits salt_and_pepper_limits(const ae_binding *binding) {
    const uint32_t half = rows_threshold(binding->desc->rate) / 2;
    return (limits){half, 2 * half};
}

AE_INLINE void replacing_forward(const ae_binding *binding, const ae_block *block, limits limit) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const real low = (real)binding->desc->value[0], high = (real)binding->desc->value[1];
    uint32_t *words = block->scratch;
    if (!block->training) {
        rows_pass(out, block, in->data, out->data, false);
        return;
    }
    for (int64_t row = row0; row < row1; row++) {
        AE_V(ae_random_words)(binding->key, block->step, rows_number(out, block, row), 0, out->shape.width, words);
        for (int64_t p = 0; p < ae_panels(out->shape.width); p++) {
            const real *x = (const real *)in->data + p * in->stride + row * AE_PANEL;
            const uint32_t *w = words + p * AE_PANEL;
            real *y = (real *)out->data + p * out->stride + row * AE_PANEL;
            for (int j = 0; j < AE_PANEL; j++) {
                const real other = w[j] < limit.low ? low : high;
                y[j] = w[j] < limit.all ? other : x[j];
            }
        }
    }
}

/* A gradient where the entry stayed. */
AE_INLINE void replacing_backward(const ae_binding *binding, const ae_block *block, limits limit) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    uint32_t *words = block->scratch;
    if (!in->gradient)
        return;
    if (!block->training) {
        rows_pass(out, block, out->gradient, in->gradient, binding->accumulate[0]);
        return;
    }
    for (int64_t row = row0; row < row1; row++) {
        AE_V(ae_random_words)(binding->key, block->step, rows_number(out, block, row), 0, out->shape.width, words);
        for (int64_t p = 0; p < ae_panels(out->shape.width); p++) {
            const real *g = (const real *)out->gradient + p * out->stride + row * AE_PANEL;
            const uint32_t *w = words + p * AE_PANEL;
            real *to = (real *)in->gradient + p * in->stride + row * AE_PANEL;
            for (int j = 0; j < AE_PANEL; j++) {
                const real passed = w[j] < limit.all ? 0 : g[j];
                to[j] = binding->accumulate[0] ? to[j] + passed : passed;
            }
        }
    }
}

static void masking_noise_forward(const ae_binding *binding, const ae_block *block) {
    replacing_forward(binding, block, masking_limits(binding));
}

static void masking_noise_backward_data(const ae_binding *binding, const ae_block *block) {
    replacing_backward(binding, block, masking_limits(binding));
}

static void salt_and_pepper_forward(const ae_binding *binding, const ae_block *block) {
    replacing_forward(binding, block, salt_and_pepper_limits(binding));
}

static void salt_and_pepper_backward_data(const ae_binding *binding, const ae_block *block) {
    replacing_backward(binding, block, salt_and_pepper_limits(binding));
}

const ae_layer_ops AE_V(ae_layer_masking_noise) = {
    .name = "masking_noise",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOCHASTIC,
    .plan = AE_PLANNED(replacing),
    .forward = masking_noise_forward,
    .backward_data = masking_noise_backward_data,
};

const ae_layer_ops AE_V(ae_layer_salt_and_pepper) = {
    .name = "salt_and_pepper",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOCHASTIC,
    .plan = AE_PLANNED(replacing),
    .forward = salt_and_pepper_forward,
    .backward_data = salt_and_pepper_backward_data,
};
