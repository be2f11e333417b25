/* Random directions in place of all n components of a code: out = in e / sqrt(k), e of signs +1 and -1 drawn for each row,
 * direction and column; in (B m, n), out (B m k, n), k = desc->multiplicity. Since <e e'> is the identity, the squared length of
 * J' e / sqrt(k), summed over the k directions, has the squared Frobenius norm of J as its expectation (Hutchinson 1990, "A
 * stochastic estimator of the trace of the influence matrix"): signs have the least variance of all such draws.
 *
 * Rows of the same row of data have the same directions. Outside training each row has the same, drawn from the scoring key. */
#include <math.h>

#include "layers/layer.h"
#include "math/random.h"
#include "math/vec.h"

AE_PLAN(probe) {
    const int64_t k = plan->desc->multiplicity, m = plan->in[0].multiplicity;
    if (k < 1 || k > INT32_MAX / m)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': multiplicity (n_directions) is %lld; it must be at least 1%s",
                       plan->desc->name, (long long)k, k < 1 ? "" : " and is too large for the rows that there are");
    plan->out = (ae_shape){plan->in[0].width, m * k};
    plan->scratch_reals = ae_panels(plan->in[0].width) * AE_PANEL;
    return AE_OK;
}

/* The q-th direction of a row of data, of entries 0 and 2 / sqrt(k): 1 / sqrt(k) is still to be taken off. */
static void draw(const ae_binding *binding, const ae_block *block, int64_t row, int64_t q, real *e) {
    const int64_t k = binding->desc->multiplicity;
    const uint64_t half = (uint64_t)1 << 31;
    AE_V(ae_random_mask)
    (block->training ? binding->key : binding->scoring_key, block->training ? block->step : 0,
     (uint32_t)(block->training ? (block->first_row + row) * k + q : q), binding->out.shape.width, half, 2, e);
}

static void probe_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t m = in->shape.multiplicity, k = binding->desc->multiplicity;
    const vec factor = v_set1((real)(1.0 / sqrt((double)k)));
    real *e = block->scratch;
    for (int64_t row = block->row0; row < block->row1; row++)
        for (int64_t q = 0; q < k; q++) {
            draw(binding, block, row, q, e);
            for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
                for (int j = 0; j < AE_PANEL; j += VL) {
                    const vec signed_factor = v_mul(v_sub(v_load(e + p * AE_PANEL + j), v_set1(1)), factor);
                    for (int64_t i = row * m; i < (row + 1) * m; i++)
                        v_store((real *)out->data + p * out->stride + (i * k + q) * AE_PANEL + j,
                                v_mul(v_load((const real *)in->data + p * in->stride + i * AE_PANEL + j), signed_factor));
                }
        }
}

/* Directions in order. */
static void probe_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t m = in->shape.multiplicity, k = binding->desc->multiplicity;
    const vec factor = v_set1((real)(1.0 / sqrt((double)k)));
    real *e = block->scratch;
    if (!in->gradient)
        return;
    for (int64_t row = block->row0; row < block->row1; row++)
        for (int64_t q = 0; q < k; q++) {
            draw(binding, block, row, q, e);
            for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
                for (int j = 0; j < AE_PANEL; j += VL) {
                    const vec signed_factor = v_mul(v_sub(v_load(e + p * AE_PANEL + j), v_set1(1)), factor);
                    for (int64_t i = row * m; i < (row + 1) * m; i++) {
                        const vec g = v_load((const real *)out->gradient + p * out->stride + (i * k + q) * AE_PANEL + j);
                        real *to = (real *)in->gradient + p * in->stride + i * AE_PANEL + j;
                        v_store(to, v_fma(g, signed_factor, binding->accumulate[0] || q ? v_load(to) : v_zero()));
                    }
                }
        }
}

const ae_layer_ops AE_V(ae_layer_probe) = {
    .name = "probe",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_STOCHASTIC,
    .plan = AE_PLANNED(probe),
    .forward = probe_forward,
    .backward_data = probe_backward_data,
};
