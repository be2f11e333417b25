/* The KL penalty on mean activations: out = sum over the n units of KL(rho || m_j), where m_j is the mean of unit j over the minibatch
 * and KL(rho || m) = rho log(rho / m) + (1 - rho) log((1 - rho) / (1 - m)) (Ng, CS294A lecture notes on sparse autoencoders, 2011:
 * a sum over units; there the mean is over the training set). For codes inside (0, 1).
 *
 * (B, n) -> (B, 1), the same number in each row: with the loss `sum` and a weight beta, the penalty is beta times it.
 * value[0]: rho, in (0, 1). All rows count alike in the mean, whatever their weight.
 * Parameter "mean" (1, n), assigned: running mean of the units, old + momentum (m - old), momentum value[1], 0 means 0.1; the first
 * minibatch is taken whole (0: none yet). Where there is no minibatch (evaluation, inference) the penalty is that of the running mean.
 * size[0] = 1: in training too the running mean, this minibatch included, stands for m_j (Hinton, "A practical guide to training
 * restricted Boltzmann machines", 2010). The gradient is then taken as if it were the minibatch's own, without the
 * factor momentum, so that the weight means the same in both forms.
 *
 * Means are kept 1e-6 away from 0 and 1, also in the gradient, which so stays finite and still points inwards. */
#include <math.h>
#include <string.h>

#include "layers/layer.h"
#include "math/functions.h"
#include "math/lanes.h"

#define FROM_EDGE 1e-6

/* What the rows of a minibatch share. `of` has a part for each panel. */
typedef struct panel_numbers {
    real mean[AE_PANEL];     /* of the minibatch */
    real term[AE_PANEL];     /* KL; zero in the padding */
    real slope[AE_PANEL];    /* d KL / d m / rows; zero in the padding */
    real gradient[AE_PANEL]; /* [0], of the first panel: sum over the rows of out.gradient */
} panel_numbers;

static double momentum_of(const ae_node_desc *desc) { return desc->value[1] == 0.0 ? 0.1 : desc->value[1]; }

AE_PLAN(kl_sparsity) {
    const ae_node_desc *desc = plan->desc;
    const double target = desc->value[0], momentum = momentum_of(desc);
    const int64_t width = plan->in[0].width;
    if (!(target > 0.0 && target < 1.0) || !(momentum > 0.0 && momentum <= 1.0))
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': target is %g and momentum %g; 0 < target < 1 and 0 < momentum <= 1 are allowed", desc->name,
                       target, momentum);
    if (desc->size[0] < 0 || desc->size[0] > 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': size[0] is %d; it must be 0 or 1", desc->name, (int)desc->size[0]);
    plan->out = (ae_shape){1, plan->in[0].multiplicity};
    plan->n_parameters = 1;
    plan->parameter[0] = (ae_parameter_request){"mean", 1, width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_ASSIGN};
    plan->coupling_parts = ae_panels(width);
    plan->coupling_reals = ae_panels(width) * (int64_t)(sizeof(panel_numbers) / sizeof(real));
    plan->flops_per_row = 2.0 * (double)width;
    return AE_OK;
}

/* With m = rho + delta: -rho log1p(delta / rho) - (1 - rho) log1p(-delta / (1 - rho)), exact where m is near rho. */
AE_INLINE vec divergence(double target, vec mean, vec *slope) {
    const vec rho = v_set1((real)target), rest = v_set1((real)(1.0 - target));
    const vec m = v_min(v_max(mean, v_set1((real)FROM_EDGE)), v_set1((real)(1.0 - FROM_EDGE)));
    const vec delta = v_sub(m, rho);
    const vec first = v_mul(rho, vf_log1p(v_div(delta, rho)));
    const vec second = v_mul(rest, vf_log1p(v_neg(v_div(delta, rest))));
    *slope = v_div(delta, v_mul(m, v_sub(v_set1(1), m)));
    /* A mean that is not a number shows in the loss. */
    return v_select(v_unordered(mean, mean), mean, v_neg(v_add(first, second)));
}

static real running(const ae_binding *binding, int64_t panel, int j, real mean) {
    const real before = ((const real *)binding->parameter[0])[panel * AE_PANEL + j];
    return before == 0 ? mean : before + (real)momentum_of(binding->desc) * (mean - before);
}

static void kl_sparsity_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    panel_numbers *numbers = (panel_numbers *)binding->coupling + part;
    const real *x = (const real *)binding->in[0].data + part * binding->in[0].stride;
    const int columns = ae_panel_columns(binding->in[0].shape.width, part);
    double sum[AE_PANEL] = {0};
    real of[AE_PANEL];
    (void)training; /* a mean rests nowhere */
    for (int64_t row = 0; row < rows; row++)
        for (int j = 0; j < AE_PANEL; j++)
            sum[j] += (double)x[row * AE_PANEL + j];
    for (int j = 0; j < AE_PANEL; j++) {
        numbers->mean[j] = (real)(sum[j] / (double)rows);
        of[j] = binding->desc->size[0] ? running(binding, part, j, numbers->mean[j]) : numbers->mean[j];
    }
    for (int j = 0; j < AE_PANEL; j += VL) {
        vec slope;
        v_store(numbers->term + j, divergence(binding->desc->value[0], v_load(of + j), &slope));
        v_store(numbers->slope + j, v_div(slope, v_set1((real)rows)));
    }
    for (int j = columns; j < AE_PANEL; j++)
        numbers->term[j] = numbers->slope[j] = 0;
}

/* 32 lanes over the panels in order, joined by halves. */
static real penalty_of(const ae_binding *binding, bool minibatch) {
    const int64_t width = binding->in[0].shape.width;
    real lane[AE_PANEL] = {0};
    for (int64_t p = 0; p < ae_panels(width); p++) {
        real term[AE_PANEL];
        for (int j = 0; j < AE_PANEL; j += VL) {
            vec unused;
            v_store(term + j, minibatch ? v_load(((const panel_numbers *)binding->coupling)[p].term + j)
                                        : divergence(binding->desc->value[0],
                                                     v_load((const real *)binding->parameter[0] + p * AE_PANEL + j), &unused));
        }
        for (int j = 0; j < ae_panel_columns(width, p); j++)
            lane[j] += term[j];
    }
    return AE_V(ae_join_reals)(lane);
}

static void kl_sparsity_forward(const ae_binding *binding, const ae_block *block) {
    const int64_t m = binding->out.shape.multiplicity;
    const real penalty = penalty_of(binding, block->keep);
    real *out = binding->out.data;
    memset(out + block->row0 * m * AE_PANEL, 0, (size_t)((block->row1 - block->row0) * m * AE_PANEL) * sizeof(real));
    for (int64_t row = block->row0 * m; row < block->row1 * m; row++)
        out[row * AE_PANEL] = penalty;
}

/* Each row's number is the same function of all rows, so a row has the gradients of all of them. */
static void kl_sparsity_couple_backward(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    const real *d = binding->out.gradient;
    double sum = 0.0;
    (void)training;
    for (int64_t row = 0; row < rows && part == 0; row++)
        sum += (double)d[row * AE_PANEL];
    if (part == 0)
        ((panel_numbers *)binding->coupling)->gradient[0] = (real)sum;
}

static void kl_sparsity_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0];
    const panel_numbers *numbers = binding->coupling;
    const int64_t row0 = block->row0 * in->shape.multiplicity, row1 = block->row1 * in->shape.multiplicity;
    if (!in->gradient)
        return;
    const vec sum = v_set1(numbers->gradient[0]);
    for (int64_t p = 0; p < ae_panels(in->shape.width); p++)
        for (int64_t row = row0; row < row1; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                real *to = (real *)in->gradient + p * in->stride + row * AE_PANEL + j;
                const vec before = binding->accumulate[0] ? v_load(to) : v_zero();
                v_store(to, v_fma(sum, v_load(numbers[p].slope + j), before));
            }
}

static void kl_sparsity_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                         void *gradient) {
    const panel_numbers *numbers = (const panel_numbers *)binding->coupling + tile->panel;
    const int columns = ae_panel_columns(binding->in[0].shape.width, tile->panel);
    real *now = gradient;
    (void)rows, (void)accumulate; /* there are no chunks */
    for (int j = 0; j < AE_PANEL; j++)
        now[j] = j < columns ? running(binding, tile->panel, j, numbers->mean[j]) : 0;
}

const ae_layer_ops AE_V(ae_layer_kl_sparsity) = {
    .name = "kl_sparsity",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_COUPLES_ROWS,
    .plan = AE_PLANNED(kl_sparsity),
    .forward = kl_sparsity_forward,
    .backward_data = kl_sparsity_backward_data,
    .backward_weights = kl_sparsity_backward_weights,
    .couple = kl_sparsity_couple,
    .couple_backward = kl_sparsity_couple_backward,
};
