/* log q(z|x) - log p(z) at draws z where the prior p is a trained mixture of K normal densities: z (rows * k, d), mean and
 * log-variance (rows, d) -> (rows * k, 1). See log_ratio.h, mixture.h.
 *
 * size[0]: K. Parameters: "means" (K, d), drawn from N(0, 1); "log_variances" (K, d), zero, clamped like v; "logits" (1, K), zero,
 * whose softmax are the weights. None decays. With K = 1, means zero it is gaussian_log_ratio.
 *
 * In training `couple` copies what the step needs of the parameters; rows are not coupled, and chunks are allowed. */
#include <string.h>

#include "layers/mixture.h"

enum { MEANS, LOG_VARIANCES, LOGITS };

AE_PLAN(mixture_log_ratio) {
    const int64_t components = plan->desc->size[0], width = plan->in[0].width;
    if (components < 1 || components > 1 << 16)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': a mixture of %lld components; 1 to %d are allowed", plan->desc->name,
                       (long long)components, 1 << 16);
    plan->n_parameters = 3;
    plan->parameter[MEANS] =
        (ae_parameter_request){"means", components, width, 1, 1, AE_INIT_LECUN, false, false, AE_UPDATE_RULE};
    plan->parameter[LOG_VARIANCES] =
        (ae_parameter_request){"log_variances", components, width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_RULE};
    plan->parameter[LOGITS] = (ae_parameter_request){"logits", 1, components, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_RULE};
    plan->cache_width = components; /* shares */
    plan->coupling_reals = mixture_reals(components, width);
    plan->coupling_parts = 1;
    plan->scratch_reals = plan->coupling_reals + ae_panels(components) * AE_PANEL;
    const ae_status status = log_ratio_plan(context, plan);
    plan->flops_per_row += 10.0 * (double)width * (double)components;
    return status;
}

static mixture from_parameters(const ae_binding *binding, real *memory) {
    const mixture m = mixture_at(memory, binding->desc->size[0], binding->in[RATIO_Z].shape.width);
    const size_t bytes = (size_t)(m.components * ae_panels(m.width) * AE_PANEL) * sizeof(real);
    const real *logits = binding->parameter[LOGITS];
    real highest = logits[0], lanes[AE_PANEL] = {0};
    memcpy(m.means, binding->parameter[MEANS], bytes);
    memcpy(m.precision, binding->parameter[LOG_VARIANCES], bytes);
    for (int64_t c = 1; c < m.components; c++)
        highest = logits[c] > highest ? logits[c] : highest;
    for (int64_t p = 0; p < ae_panels(m.components); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            const vec e = vf_exp(v_sub(v_load(logits + p * AE_PANEL + j), v_set1(highest)));
            const vec present = v_select(lanes_below(ae_panel_columns(m.components, p), j), e, v_zero());
            v_store(m.weight + p * AE_PANEL + j, present);
            v_store(lanes + j, v_add(v_load(lanes + j), present));
        }
    const real total = (real)AE_V(ae_join_lanes)(lanes), log_total = latent_log(total);
    for (int64_t c = 0; c < m.components; c++) {
        m.weight[c] /= total;
        mixture_finish(&m, c, (double)logits[c] - (double)highest - (double)log_total);
    }
    return m;
}

static mixture of_step(const ae_binding *binding) {
    return mixture_at(binding->coupling, binding->desc->size[0], binding->in[RATIO_Z].shape.width);
}

static void mixture_log_ratio_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    (void)rows, (void)part, (void)training;
    from_parameters(binding, binding->coupling);
}

static void mixture_log_ratio_forward(const ae_binding *binding, const ae_block *block) {
    real *share = block->scratch, *memory = share + ae_panels(binding->desc->size[0]) * AE_PANEL;
    const mixture m = block->keep ? of_step(binding) : from_parameters(binding, memory);
    mixture_forward(&m, binding, block, share);
}

static void mixture_log_ratio_backward_data(const ae_binding *binding, const ae_block *block) {
    const mixture m = of_step(binding);
    mixture_backward(&m, binding, block);
}

static void mixture_log_ratio_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                               void *gradient) {
    const mixture m = of_step(binding);
    real *to = gradient;
    for (int64_t r = tile->row0; tile->parameter != LOGITS && r < tile->row1; r++, to += AE_PANEL)
        mixture_component_gradient(&m, binding, r, tile->panel, rows, tile->parameter == LOG_VARIANCES, accumulate, to);
    for (int j = 0; tile->parameter == LOGITS && j < AE_PANEL; j++) {
        const int64_t c = tile->panel * AE_PANEL + j;
        to[j] = accumulate ? to[j] : 0;
        for (int64_t row = 0; c < m.components && row < rows; row++)
            to[j] +=
                *latent_at(binding->out.gradient, binding->out.stride, 0, row) * (m.weight[c] - mixture_share(binding, row, c));
    }
}

const ae_layer_ops AE_V(ae_layer_mixture_log_ratio) = {
    .name = "mixture_log_ratio",
    .min_inputs = 3,
    .max_inputs = 3,
    .plan = AE_PLANNED(mixture_log_ratio),
    .forward = mixture_log_ratio_forward,
    .backward_data = mixture_log_ratio_backward_data,
    .backward_weights = mixture_log_ratio_backward_weights,
    .couple = mixture_log_ratio_couple,
};
