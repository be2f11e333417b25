/* The slope f'(a) of an activation (desc->activation), with f'' on the way back: the factor of each unit in the Jacobian of a
 * network (layers/tangent.c). The input is the output y = f(a) of the dense node, from which the slope follows:
 *
 *     out = s(y),  in.gradient = out.gradient s'(y),  and the dense node's own backward gives f'' = s'(y) f'(a).
 *
 * For gelu and silu it does not follow: their input is a itself, an identity dense node before a node of the activation. */
#include "layers/layer.h"
#include "math/activation.h"
#include "math/functions.h"

#define LEAKY_SLOPE ((real)0.01)
/* Klambauer et al. 2017, as in math/activation.c. */
#define SELU_SCALE ((real)1.0507009873554804934193349852946)
#define SELU_SCALE_ALPHA ((real)1.7580993408473768599402175208123)
#define ONE_OVER_SQRT_TWO_PI ((real)0.39894228040143267793994605993438)

/* Beyond these the second derivatives of gelu and silu are zero; no product overflows up to here. */
#if AE_BITS == 32
#define FAR_GELU ((real)15)
#define FAR_SILU ((real)128)
#else
#define FAR_GELU ((real)40)
#define FAR_SILU ((real)800)
#endif

AE_PLAN(slope) {
    if (plan->desc->activation == AE_SOFTMAX)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': activation is softmax, which has no slope by unit; an elementwise one is allowed",
                       plan->desc->name);
    plan->out = plan->in[0];
    plan->flops_per_row = 4.0 * (double)plan->in[0].width;
    return AE_OK;
}

/* The loops of a panel's rows; the body sees x. */
#define EACH(expression)                  \
    for (int64_t i = 0; i < n; i += VL) { \
        const vec x = v_load(from + i);   \
        v_store(to + i, expression);      \
    }

/* gelu and silu come with their slope from math/activation.h, which works in place. */
static void slope_of_sum(ae_activation activation, int64_t n, const real *from, real *to) {
    real piece[8 * AE_PANEL];
    for (int64_t done = 0; done < n; done += 8 * AE_PANEL) {
        const int64_t reals = n - done < 8 * AE_PANEL ? n - done : 8 * AE_PANEL;
        for (int64_t i = 0; i < reals; i++)
            piece[i] = from[done + i];
        AE_V(ae_activation_forward)(activation, reals, piece, to + done);
    }
}

static void slopes(ae_activation activation, int64_t n, const real *from, real *to) {
    const vec zero = v_zero(), one = v_set1(1);
    switch (activation) {
    case AE_RELU:
        EACH(v_select(v_lt(zero, x), one, zero))
        break;
    case AE_LEAKY_RELU:
        EACH(v_select(v_lt(x, zero), v_set1(LEAKY_SLOPE), one))
        break;
    case AE_ELU:
        EACH(v_select(v_lt(zero, x), one, v_add(x, one)))
        break;
    case AE_SELU:
        EACH(v_select(v_lt(zero, x), v_set1(SELU_SCALE), v_add(x, v_set1(SELU_SCALE_ALPHA))))
        break;
    case AE_GELU:
    case AE_SILU:
        slope_of_sum(activation, n, from, to);
        break;
    case AE_SOFTPLUS: /* logistic(a) = 1 - e^-y */
        EACH(v_neg(vf_expm1(v_neg(x))))
        break;
    case AE_TANH:
        EACH(v_fnma(x, x, one))
        break;
    case AE_LOGISTIC:
        EACH(v_fnma(x, x, x))
        break;
    case AE_EXP:
        EACH(x)
        break;
    case AE_IDENTITY:
    case AE_SOFTMAX:
    case AE_ACTIVATION_COUNT:
        for (int64_t i = 0; i < n; i += VL)
            v_store(to + i, one);
        break;
    }
}
#undef EACH

/* phi(a) (2 - a^2). */
AE_INLINE vec gelu_bend(vec a) {
    const vec x = v_min(v_set1(FAR_GELU), v_abs(a)), square = v_mul(x, x);
    return v_mul(v_mul(v_set1(ONE_OVER_SQRT_TWO_PI), vf_exp(v_mul(v_set1((real)-0.5), square))), v_sub(v_set1(2), square));
}

/* s (1 - s) (2 + a (1 - 2 s)), even in a. */
AE_INLINE vec silu_bend(vec a) {
    const vec x = v_min(v_set1(FAR_SILU), v_abs(a)), s = vf_logistic(x), rest = vf_logistic(v_neg(x));
    return v_mul(v_mul(s, rest), v_fma(x, v_sub(rest, s), v_set1(2)));
}

/* The body sees x and the gradient d. */
#define EACH(expression)                                           \
    for (int64_t i = 0; i < n; i += VL) {                          \
        const vec x = v_load(from + i), d = v_load(g + i);         \
        const vec more = expression;                               \
        v_store(to + i, add ? v_add(v_load(to + i), more) : more); \
    }

static void bend(ae_activation activation, int64_t n, const real *from, const real *g, bool add, real *to) {
    const vec zero = v_zero();
    switch (activation) {
    case AE_ELU:
    case AE_SELU:
        EACH(v_select(v_lt(zero, x), zero, d))
        break;
    case AE_GELU:
        EACH(v_mul(d, gelu_bend(x)))
        break;
    case AE_SILU:
        EACH(v_mul(d, silu_bend(x)))
        break;
    case AE_SOFTPLUS:
        EACH(v_mul(d, vf_exp(v_neg(x))))
        break;
    case AE_TANH:
        EACH(v_mul(d, v_mul(v_set1(-2), x)))
        break;
    case AE_LOGISTIC:
        EACH(v_mul(d, v_fnma(v_set1(2), x, v_set1(1))))
        break;
    case AE_EXP: /* s'(y) = 1 */
        EACH(v_select(v_unordered(x, x), x, d))
        break;
    case AE_IDENTITY:
    case AE_RELU:
    case AE_LEAKY_RELU:
    case AE_SOFTMAX:
    case AE_ACTIVATION_COUNT:
        for (int64_t i = 0; !add && i < n; i += VL)
            v_store(to + i, zero);
        break;
    }
}
#undef EACH

static void slope_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        slopes((ae_activation)binding->desc->activation, (row1 - row0) * AE_PANEL,
               (const real *)in->data + p * in->stride + row0 * AE_PANEL,
               (real *)out->data + p * out->stride + row0 * AE_PANEL);
}

static void slope_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    for (int64_t p = 0; in->gradient && p < ae_panels(out->shape.width); p++) {
        const int64_t at = p * out->stride + row0 * AE_PANEL;
        bend((ae_activation)binding->desc->activation, (row1 - row0) * AE_PANEL, (const real *)in->data + at,
             (const real *)out->gradient + at, binding->accumulate[0], (real *)in->gradient + at);
    }
}

const ae_layer_ops AE_V(ae_layer_slope) = {
    .name = "slope",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(slope),
    .forward = slope_forward,
    .backward_data = slope_backward_data,
};
