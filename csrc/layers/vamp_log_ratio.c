/* log q(z|x) - log p(z) at draws z for the VampPrior (Tomczak and Welling 2018, eq. 9): p is the mean of the posteriors of K
 * pseudo-inputs. Inputs: z (rows * k, d), mean and log-variance (rows, d), pseudo (rows, 2 d), which is `concatenate` of the mean
 * and the log-variance that the encoder gives for `pseudo_inputs`; output (rows * k, 1). See log_ratio.h, mixture.h.
 *
 * size[0]: K. The components are the first K rows of pseudo in the minibatch; in a minibatch of fewer rows those that are missing
 * stand as an earlier step has left them, without gradient. For that, and for evaluation and inference, the components are
 * parameters that each step assigns: "means" and "log_variances" (K, d), at first zero. Evaluation reads only them, so it does not
 * depend on the rows of the call. They are the posteriors before the step's update: after a fit an estimator encodes the
 * pseudo-inputs once more and sets them. A graph for inference is mixture_log_ratio with these means and log-variances and
 * logits of zero, and needs no pseudo-inputs. */
#include <string.h>

#include "layers/mixture.h"

enum { MEANS, LOG_VARIANCES };
enum { PSEUDO = 3 };

AE_PLAN(vamp_log_ratio) {
    const int64_t components = plan->desc->size[0], width = plan->in[0].width;
    if (components < 1 || components > 1 << 16)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': %lld pseudo-inputs; 1 to %d are allowed", plan->desc->name,
                       (long long)components, 1 << 16);
    if (plan->in[PSEUDO].width != 2 * width || plan->in[PSEUDO].multiplicity != 1)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': the pseudo-inputs' posteriors have %lld features and %lld rows a sample; they must have "
                       "%lld (mean, then log-variance) and 1",
                       plan->desc->name, (long long)plan->in[PSEUDO].width, (long long)plan->in[PSEUDO].multiplicity,
                       (long long)(2 * width));
    plan->n_parameters = 2;
    plan->parameter[MEANS] =
        (ae_parameter_request){"means", components, width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_ASSIGN};
    plan->parameter[LOG_VARIANCES] =
        (ae_parameter_request){"log_variances", components, width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_ASSIGN};
    plan->cache_width = components; /* shares */
    /* The mixture, then log-variances as they came, then gradients by means and by log-variances. */
    plan->coupling_reals = mixture_reals(components, width) + 3 * components * ae_panels(width) * AE_PANEL;
    plan->coupling_parts = components;
    plan->scratch_reals = plan->coupling_reals + ae_panels(components) * AE_PANEL;
    const ae_status status = log_ratio_plan(context, plan);
    plan->flops_per_row += 10.0 * (double)width * (double)components;
    return status;
}

static mixture of_step(const ae_binding *binding) {
    return mixture_at(binding->coupling, binding->desc->size[0], binding->in[RATIO_Z].shape.width);
}

/* Matrices behind the mixture: 0 log-variances, 1 and 2 gradients by means and by log-variances. */
static real *behind(const ae_binding *binding, int which) {
    const int64_t components = binding->desc->size[0], width = binding->in[RATIO_Z].shape.width;
    return (real *)binding->coupling + mixture_reals(components, width) + which * components * ae_panels(width) * AE_PANEL;
}

static double log_weight(const ae_binding *binding) { return -(double)latent_log((real)binding->desc->size[0]); }

static void from_parameters(const ae_binding *binding, const mixture *m, int64_t component) {
    for (int64_t p = 0; p < ae_panels(m->width); p++) {
        const int64_t at = mixture_index(m, component, p);
        memcpy(m->means + at, (const real *)binding->parameter[MEANS] + at, AE_PANEL * sizeof(real));
        memcpy(m->precision + at, (const real *)binding->parameter[LOG_VARIANCES] + at, AE_PANEL * sizeof(real));
    }
}

static real *pseudo_at(void *data, const ae_value *pseudo, int64_t row, int64_t column) {
    return latent_at(data, pseudo->stride, column / AE_PANEL, row) + column % AE_PANEL;
}

/* A part is a component. */
static void vamp_log_ratio_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    const ae_value *pseudo = &binding->in[PSEUDO];
    const mixture m = of_step(binding);
    (void)training;
    from_parameters(binding, &m, part);
    for (int64_t c = 0; part < rows / binding->out.shape.multiplicity && c < m.width; c++) {
        const int64_t at = mixture_index(&m, part, c / AE_PANEL) + c % AE_PANEL;
        m.means[at] = *pseudo_at(pseudo->data, pseudo, part, c);
        m.precision[at] = *pseudo_at(pseudo->data, pseudo, part, m.width + c);
    }
    for (int64_t p = 0; p < ae_panels(m.width); p++) {
        const int64_t at = mixture_index(&m, part, p);
        memcpy(behind(binding, 0) + at, m.precision + at, AE_PANEL * sizeof(real));
    }
    mixture_finish(&m, part, log_weight(binding));
}

static void vamp_log_ratio_forward(const ae_binding *binding, const ae_block *block) {
    const int64_t components = binding->desc->size[0];
    real *share = block->scratch;
    mixture m = of_step(binding);
    if (!block->keep) {
        m = mixture_at(share + ae_panels(components) * AE_PANEL, components, m.width);
        for (int64_t c = 0; c < components; c++) {
            from_parameters(binding, &m, c);
            mixture_finish(&m, c, log_weight(binding));
        }
    }
    mixture_forward(&m, binding, block, share);
}

static void vamp_log_ratio_couple_backward(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    const mixture m = of_step(binding);
    (void)training;
    for (int64_t p = 0; binding->in[PSEUDO].gradient && p < ae_panels(m.width); p++)
        for (int which = 0; which < 2; which++)
            mixture_component_gradient(&m, binding, part, p, rows, which == 1, false,
                                       behind(binding, 1 + which) + mixture_index(&m, part, p));
}

static void vamp_log_ratio_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *pseudo = &binding->in[PSEUDO];
    const mixture m = of_step(binding);
    mixture_backward(&m, binding, block);
    if (!pseudo->gradient)
        return;
    for (int64_t row = block->row0; row < block->row1; row++) {
        for (int64_t p = 0; !binding->accumulate[PSEUDO] && p < ae_panels(2 * m.width); p++)
            memset(latent_at(pseudo->gradient, pseudo->stride, p, row), 0, AE_PANEL * sizeof(real));
        for (int64_t c = 0; row < m.components && c < 2 * m.width; c++) {
            const int64_t column = c % m.width;
            *pseudo_at(pseudo->gradient, pseudo, row, c) +=
                behind(binding, 1 + (c >= m.width))[mixture_index(&m, row, column / AE_PANEL) + column % AE_PANEL];
        }
    }
}

static void vamp_log_ratio_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                            void *gradient) {
    const mixture m = of_step(binding);
    const real *from = tile->parameter == MEANS ? m.means : behind(binding, 0);
    (void)rows, (void)accumulate; /* there are no chunks */
    memcpy(gradient, from + mixture_index(&m, tile->row0, tile->panel),
           (size_t)((tile->row1 - tile->row0) * AE_PANEL) * sizeof(real));
}

const ae_layer_ops AE_V(ae_layer_vamp_log_ratio) = {
    .name = "vamp_log_ratio",
    .min_inputs = 4,
    .max_inputs = 4,
    .flags = AE_LAYER_COUPLES_ROWS,
    .plan = AE_PLANNED(vamp_log_ratio),
    .forward = vamp_log_ratio_forward,
    .backward_data = vamp_log_ratio_backward_data,
    .backward_weights = vamp_log_ratio_backward_weights,
    .couple = vamp_log_ratio_couple,
    .couple_backward = vamp_log_ratio_couple_backward,
};
