/* TopK: of each row the k largest entries, the rest zero (Makhzani and Frey 2014, k-sparse autoencoders: linear survivors; Gao et
 * al. 2024, "Scaling and evaluating sparse autoencoders": ReLU behind). The gradient goes through what was kept.
 *
 * (B, n) -> (B, n). size[0]: k, clamped to n. size[1] = 1: negative survivors become zero. Of equal entries the lower
 * columns are kept; NaN ranks with +infinity (layers/select_rows.h).
 * Parameter "since" (1, n), assigned: training rows since each latent was last active, exact to 2^24, where it stays; by
 * minibatch, 0 if any of its rows had the latent.
 * size[2] = 1: the auxiliary selection of Gao et al.: the k largest among latents that are dead, those with since >=
 * value[0]; all of them where there are fewer, none where there are none. Such a node shares the parameters of the main one. */
#include "layers/select_rows.h"

static select_rule rule_of(const ae_binding *binding) {
    const ae_node_desc *desc = binding->desc;
    return (select_rule){desc->size[0], desc->size[1] == 1, desc->size[2] ? binding->parameter[0] : NULL, (real)desc->value[0]};
}

AE_PLAN(top_k) {
    ae_status status = select_check(context, plan, true);
    plan->out = plan->in[0];
    plan->n_parameters = 1;
    plan->parameter[0] =
        (ae_parameter_request){"since", 1, plan->in[0].width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_ASSIGN};
    plan->cache_width = SELECT_CACHE;
    plan->most_nonzero = plan->desc->size[0] < plan->in[0].width ? plan->desc->size[0] : plan->in[0].width;
    plan->scratch_reals = select_scratch(plan->in[0].width);
    plan->flops_per_row = 20.0 * (double)plan->in[0].width;
    return status;
}

static void top_k_forward(const ae_binding *binding, const ae_block *block) {
    const select_rule rule = rule_of(binding);
    select_forward(&rule, binding, block);
}

static void top_k_backward_data(const ae_binding *binding, const ae_block *block) {
    const select_rule rule = rule_of(binding);
    select_backward(&rule, binding, block);
}

static void top_k_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                   void *gradient) {
    (void)accumulate; /* there are no chunks */
    select_assign_since(binding, binding->parameter[0], tile->panel, rows, gradient);
}

const ae_layer_ops AE_V(ae_layer_top_k) = {
    .name = "top_k",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(top_k),
    .forward = top_k_forward,
    .backward_data = top_k_backward_data,
    .backward_weights = top_k_backward_weights,
};
