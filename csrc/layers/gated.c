/* The gated encoder (Rajamanoharan et al. 2024a, "Improving dictionary learning with gated sparse autoencoders"): which latents are
 * active is decided apart from how much, so that a penalty on the first does not shrink the second. From x = W a, the
 * directions of the encoder without bias (a dense node with size[0] = 1):
 *
 *     gate = x + gate_bias      magnitude = exp(magnitude_scale) x + magnitude_bias      out = H(gate) ReLU(magnitude)
 *
 * (B, n) -> (B, n). Parameters "gate_bias", "magnitude_scale", "magnitude_bias", each (1, n), from zero, no decay. H(0) = 0; NaN goes
 * through. H has no gradient, so the gate learns only by
 * size[0] = 1: the companion that shares the parameters: out = ReLU(gate), which has the L1 penalty and is decoded by a copy of
 * the decoder that gives its parameters no gradient (a dense node with size[1] = 1). */
#include <string.h>

#include "layers/layer.h"
#include "math/functions.h"

enum { GATE_BIAS, SCALE, MAGNITUDE_BIAS };

AE_PLAN(gated) {
    static const char *const roles[] = {"gate_bias", "magnitude_scale", "magnitude_bias"};
    if (plan->desc->size[0] < 0 || plan->desc->size[0] > 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': size[0] is %d; it must be 0 or 1", plan->desc->name,
                       (int)plan->desc->size[0]);
    plan->out = plan->in[0];
    plan->n_parameters = 3;
    for (int i = 0; i < 3; i++)
        plan->parameter[i] =
            (ae_parameter_request){roles[i], 1, plan->in[0].width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_RULE};
    plan->flops_per_row = 4.0 * (double)plan->in[0].width;
    return AE_OK;
}

/* The parameters of one vector of columns. */
typedef struct gate {
    vec gate_bias, factor, magnitude_bias;
} gate;

AE_INLINE gate gate_at(const ae_binding *binding, int64_t panel, int j) {
    const int64_t at = panel * AE_PANEL + j;
    return (gate){v_load((const real *)binding->parameter[GATE_BIAS] + at),
                  vf_exp(v_load((const real *)binding->parameter[SCALE] + at)),
                  v_load((const real *)binding->parameter[MAGNITUDE_BIAS] + at)};
}

AE_INLINE vmask is_shut(const gate *g, vec x, bool companion) {
    const vmask shut = v_le(v_add(x, g->gate_bias), v_zero());
    return companion ? shut : m_or(shut, v_le(v_fma(g->factor, x, g->magnitude_bias), v_zero()));
}

static void gated_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const bool companion = binding->desc->size[0] == 1;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            const gate g = gate_at(binding, p, j);
            for (int64_t row = row0; row < row1; row++) {
                const vec x = v_load((const real *)in->data + p * in->stride + row * AE_PANEL + j);
                const vec open = companion ? v_add(x, g.gate_bias) : v_fma(g.factor, x, g.magnitude_bias);
                v_store((real *)out->data + p * out->stride + row * AE_PANEL + j,
                        v_select(is_shut(&g, x, companion), v_zero(), open));
            }
        }
}

/* The gradient that passes is left in out.gradient: a tile of one parameter may not read another, which its own task changes. */
static void gated_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const bool companion = binding->desc->size[0] == 1;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            const gate g = gate_at(binding, p, j);
            for (int64_t row = row0; row < row1; row++) {
                const vec x = v_load((const real *)in->data + p * in->stride + row * AE_PANEL + j);
                real *d = (real *)out->gradient + p * out->stride + row * AE_PANEL + j;
                const vec passes = v_select(is_shut(&g, x, companion), v_zero(), v_load(d));
                v_store(d, passes);
                if (!in->gradient)
                    continue;
                real *to = (real *)in->gradient + p * in->stride + row * AE_PANEL + j;
                const vec through = companion ? passes : v_mul(passes, g.factor);
                v_store(to, binding->accumulate[0] ? v_add(v_load(to), through) : through);
            }
        }
}

static void gated_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                   void *gradient) {
    const real *data = (const real *)binding->in[0].data + tile->panel * binding->in[0].stride;
    const real *d = (const real *)binding->out.gradient + tile->panel * binding->out.stride;
    const int columns = ae_panel_columns(binding->out.shape.width, tile->panel);
    const bool companion = binding->desc->size[0] == 1;
    real *to = gradient;
    if (!accumulate)
        memset(to, 0, AE_PANEL * sizeof(real));
    if (companion != (tile->parameter == GATE_BIAS))
        return; /* it has no say here */
    for (int j = 0; j < AE_PANEL; j += VL) {
        const bool scales = tile->parameter == SCALE;
        const vec factor =
            scales ? vf_exp(v_load((const real *)binding->parameter[SCALE] + tile->panel * AE_PANEL + j)) : v_zero();
        vec sum = v_load(to + j);
        for (int64_t row = 0; row < rows; row++) {
            const vec passes = v_load(d + row * AE_PANEL + j);
            sum = scales ? v_fma(passes, v_mul(factor, v_load(data + row * AE_PANEL + j)), sum) : v_add(sum, passes);
        }
        v_store(to + j, sum);
    }
    memset(to + columns, 0, (size_t)(AE_PANEL - columns) * sizeof(real)); /* padding of a gradient is zero */
}

const ae_layer_ops AE_V(ae_layer_gated) = {
    .name = "gated",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(gated),
    .forward = gated_forward,
    .backward_data = gated_backward_data,
    .backward_weights = gated_backward_weights,
};
