/* JumpReLU (Rajamanoharan et al. 2024b, "Jumping ahead"): out = z H(z - theta), with a threshold theta > 0 for each latent, which is
 * trained. H(0) = 0; NaN goes through.
 *
 * (B, n) -> (B, n). Parameter "log_threshold" (1, n), no decay: theta = theta_0 exp(log_threshold), so that it starts at zero.
 * value[0]: bandwidth epsilon, 0 means 0.001. value[1]: theta_0, 0 means 0.001 (the values of the paper).
 * size[0] = 1: the companion of the L0 penalty, which shares the parameter: out = H(z - theta), whose sum over latents is the L0
 * norm of the code.
 *
 * H has no gradient. In its place stand the estimates of their paper, with the rectangle K(u) = H(u + 1/2) - H(u - 1/2):
 *
 *     d out / d theta      = -theta / epsilon K((z - theta) / epsilon)       d out / d z = H(z - theta)
 *     d H(z - theta) / d theta = -1 / epsilon K((z - theta) / epsilon)       d H / d z   = 0 */
#include <math.h>
#include <string.h>

#include "layers/layer.h"
#include "math/functions.h"

static double bandwidth_of(const ae_node_desc *desc) { return desc->value[0] == 0.0 ? 0.001 : desc->value[0]; }
static double start_of(const ae_node_desc *desc) { return desc->value[1] == 0.0 ? 0.001 : desc->value[1]; }

AE_PLAN(jump_relu) {
    const ae_node_desc *desc = plan->desc;
    const double bandwidth = bandwidth_of(desc), start = start_of(desc);
    if (!(bandwidth > 0.0 && isfinite(bandwidth)) || !(start > 0.0 && isfinite(start)))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': bandwidth is %g and threshold %g; both must be above 0", desc->name,
                       bandwidth, start);
    if (desc->size[0] < 0 || desc->size[0] > 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': size[0] is %d; it must be 0 or 1", desc->name, (int)desc->size[0]);
    plan->out = plan->in[0];
    plan->n_parameters = 1;
    plan->parameter[0] =
        (ae_parameter_request){"log_threshold", 1, plan->in[0].width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_RULE};
    plan->flops_per_row = 2.0 * (double)plan->in[0].width;
    return AE_OK;
}

AE_INLINE vec threshold_at(const ae_binding *binding, int64_t panel, int j) {
    const vec log_threshold = v_load((const real *)binding->parameter[0] + panel * AE_PANEL + j);
    return v_mul(v_set1((real)start_of(binding->desc)), vf_exp(log_threshold));
}

static void jump_relu_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const bool counts = binding->desc->size[0] == 1;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            const vec threshold = threshold_at(binding, p, j);
            for (int64_t row = row0; row < row1; row++) {
                const vec z = v_load((const real *)in->data + p * in->stride + row * AE_PANEL + j);
                const vec jumped = v_select(v_unordered(z, z), z, counts ? v_set1(1) : z);
                v_store((real *)out->data + p * out->stride + row * AE_PANEL + j,
                        v_select(v_le(z, threshold), v_zero(), jumped));
            }
        }
}

static void jump_relu_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const bool counts = binding->desc->size[0] == 1;
    if (!in->gradient || (counts && binding->accumulate[0]))
        return;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            const vec threshold = threshold_at(binding, p, j);
            for (int64_t row = row0; row < row1; row++) {
                const vec z = v_load((const real *)in->data + p * in->stride + row * AE_PANEL + j);
                const vec d = v_load((const real *)out->gradient + p * out->stride + row * AE_PANEL + j);
                real *to = (real *)in->gradient + p * in->stride + row * AE_PANEL + j;
                const vec through = v_select(v_lt(threshold, z), counts ? v_zero() : d, v_zero());
                v_store(to, binding->accumulate[0] ? v_add(v_load(to), through) : through);
            }
        }
}

/* By log_threshold: d theta / d log_threshold = theta. */
static void jump_relu_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                       void *gradient) {
    const real *z = (const real *)binding->in[0].data + tile->panel * binding->in[0].stride;
    const real *d = (const real *)binding->out.gradient + tile->panel * binding->out.stride;
    const int columns = ae_panel_columns(binding->out.shape.width, tile->panel);
    const double bandwidth = bandwidth_of(binding->desc);
    const vec half = v_set1((real)(0.5 * bandwidth)), slope = v_set1((real)(-1.0 / bandwidth));
    real *g = gradient;
    for (int j = 0; j < AE_PANEL; j += VL) {
        const vec threshold = threshold_at(binding, tile->panel, j);
        const vec by_theta = binding->desc->size[0] ? slope : v_mul(threshold, slope);
        const vec factor = v_mul(by_theta, threshold);
        vec sum = accumulate ? v_load(g + j) : v_zero();
        for (int64_t row = 0; row < rows; row++) {
            const vec off = v_abs(v_sub(v_load(z + row * AE_PANEL + j), threshold));
            const vec near = v_select(v_lt(off, half), v_load(d + row * AE_PANEL + j), v_zero());
            sum = v_fma(factor, near, sum);
        }
        v_store(g + j, sum);
    }
    memset(g + columns, 0, (size_t)(AE_PANEL - columns) * sizeof(real)); /* padding of a gradient is zero */
}

const ae_layer_ops AE_V(ae_layer_jump_relu) = {
    .name = "jump_relu",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(jump_relu),
    .forward = jump_relu_forward,
    .backward_data = jump_relu_backward_data,
    .backward_weights = jump_relu_backward_weights,
};
