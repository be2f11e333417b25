/* log q(z|x) - log N(z; 0, I) at draws z: z (rows * k, d), mean and log-variance (rows, d) -> (rows * k, 1). Its mean over
 * draws is the KL divergence; by draw it is a part of importance weights (Burda et al. 2016, eq. 8). See log_ratio.h. */
#include "layers/log_ratio.h"

static void gaussian_log_ratio_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *z = &binding->in[RATIO_Z];
    const int64_t draws = log_ratio_draws(binding), each = z->shape.multiplicity;
    vec pull, slope;
    for (int64_t row = block->row0 * each; row < block->row1 * each; row++) {
        real lanes[AE_PANEL] = {0};
        for (int64_t p = 0; p < ae_panels(z->shape.width); p++) {
            const int columns = ae_panel_columns(z->shape.width, p);
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec at = v_load(latent_at(z->data, z->stride, p, row) + j);
                const vec term =
                    v_fma(v_mul(at, v_set1((real)0.5)), at, log_ratio_posterior(binding, draws, p, row, j, &pull, &slope));
                const vec sum = v_load(lanes + j);
                v_store(lanes + j, v_select(lanes_below(columns, j), v_add(sum, term), sum));
            }
        }
        rows_set_single(&binding->out, row, AE_V(ae_join_lanes)(lanes));
    }
}

static void gaussian_log_ratio_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *z = &binding->in[RATIO_Z], *out = &binding->out;
    const int64_t draws = log_ratio_draws(binding), each = z->shape.multiplicity;
    vec pull, slope;
    log_ratio_backward_posterior(binding, block);
    for (int64_t p = 0; z->gradient && p < ae_panels(z->shape.width); p++) {
        const int columns = ae_panel_columns(z->shape.width, p);
        for (int64_t row = block->row0 * each; row < block->row1 * each; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec g = v_set1(*latent_at(out->gradient, out->stride, 0, row));
                log_ratio_posterior(binding, draws, p, row, j, &pull, &slope);
                const vec of_z = v_mul(g, v_sub(v_load(latent_at(z->data, z->stride, p, row) + j), pull));
                latent_give(latent_at(z->gradient, z->stride, p, row) + j, v_select(lanes_below(columns, j), of_z, v_zero()),
                            binding->accumulate[RATIO_Z]);
            }
    }
}

AE_PLAN(gaussian_log_ratio) { return log_ratio_plan(context, plan); }

const ae_layer_ops AE_V(ae_layer_gaussian_log_ratio) = {
    .name = "gaussian_log_ratio",
    .min_inputs = 3,
    .max_inputs = 3,
    .plan = AE_PLANNED(gaussian_log_ratio),
    .forward = gaussian_log_ratio_forward,
    .backward_data = gaussian_log_ratio_backward_data,
};
