#include "math/activation.h"

#include "math/functions.h"
#include "math/lanes.h"

#define LEAKY_SLOPE ((real)0.01)
/* Klambauer et al. 2017, "Self-normalizing neural networks", equation 14, to double precision. */
#define SELU_SCALE ((real)1.0507009873554804934193349852946)
#define SELU_SCALE_ALPHA ((real)1.7580993408473768599402175208123)
#define ONE_OVER_SQRT_TWO_PI ((real)0.39894228040143267793994605993438)

#if AE_BITS == 32
#define GELU_LIMIT 15.0f  /* Phi(-x) is zero from here up */
#define SILU_LIMIT 128.0f /* x logistic(-x) is zero from here up */
#else
#define GELU_LIMIT 39.0
#define SILU_LIMIT 800.0
#endif

/* x Phi(x) with Phi(-a) = e^(-a^2/2) P: the exponential also serves the derivative Phi(x) + x phi(x). */
AE_INLINE vec gelu(vec x, vec *slope) {
    vec a = vf_at_most(GELU_LIMIT, v_abs(x)), square = v_mul(a, a), half = v_set1((real)0.5);
    vec e = vf_exp_bounded(v_mul(v_set1((real)-0.5), square));
    /* What rounding took from the square, to first order. */
    vec lost = v_fma(a, a, v_neg(square));
    e = v_fnma(v_mul(half, lost), e, e);
    vec centre = v_set1(VF_TAIL_CENTRE), t = v_div(v_sub(a, centre), v_add(a, centre));
    vec tail = v_mul(e, VF_POLY(vf_tail_c, t));
    vmask negative = v_lt(x, v_zero());
    vec phi = v_select(negative, tail, v_sub(v_set1(1), tail)), bounded = v_copysign(a, x);
    *slope = v_fma(v_mul(bounded, v_set1(ONE_OVER_SQRT_TWO_PI)), e, phi);
    return v_mul(v_select(negative, bounded, x), phi);
}

/* x s with s = logistic(x); the derivative is s + x s (1 - s) = s + x e / (1 + e)^2 with e = e^-|x|. */
AE_INLINE vec silu(vec x, vec *slope) {
    vec e = vf_exp_minus_abs(x), r = v_div(v_set1(1), v_add(v_set1(1), e)), er = v_mul(e, r);
    vmask negative = v_lt(x, v_zero());
    vec s = v_select(negative, er, r), bounded = vf_at_most(SILU_LIMIT, vf_at_least(-SILU_LIMIT, x));
    *slope = v_fma(v_mul(bounded, er), r, s);
    return v_mul(v_select(negative, bounded, x), s);
}

/* The body sees x, the old value, at index i. */
#define EACH(...)                         \
    for (int64_t i = 0; i < n; i += VL) { \
        vec x = v_load(y + i);            \
        __VA_ARGS__;                      \
    }

void AE_V(ae_activation_forward)(ae_activation activation, int64_t n, real *y, real *slope) {
    vec zero = v_zero(), d;
    switch (activation) {
    case AE_RELU: /* in this order a NaN stays */
        /* So little work that counting would be a large part of it. */
        for (int64_t i = 0; i < n; i += AE_PANEL)
#pragma GCC unroll 8
            for (int j = 0; j < AE_PANEL; j += VL)
                v_store(y + i + j, v_max(zero, v_load(y + i + j)));
        break;
    case AE_LEAKY_RELU:
        EACH(v_store(y + i, v_select(v_lt(x, zero), v_mul(x, v_set1(LEAKY_SLOPE)), x)))
        break;
    case AE_ELU:
        EACH(v_store(y + i, v_select(v_lt(zero, x), x, vf_expm1(x))))
        break;
    case AE_SELU:
        EACH(
            v_store(y + i, v_select(v_lt(zero, x), v_mul(x, v_set1(SELU_SCALE)), v_mul(vf_expm1(x), v_set1(SELU_SCALE_ALPHA)))))
        break;
    case AE_GELU:
        if (slope) {
            EACH(v_store(y + i, gelu(x, &d)); v_store(slope + i, d))
        } else {
            EACH(v_store(y + i, gelu(x, &d)))
        }
        break;
    case AE_SILU:
        if (slope) {
            EACH(v_store(y + i, silu(x, &d)); v_store(slope + i, d))
        } else {
            EACH(v_store(y + i, silu(x, &d)))
        }
        break;
    case AE_SOFTPLUS:
        EACH(v_store(y + i, vf_softplus(x)))
        break;
    case AE_TANH:
        EACH(v_store(y + i, vf_tanh(x)))
        break;
    case AE_LOGISTIC:
        EACH(v_store(y + i, vf_logistic(x)))
        break;
    case AE_EXP:
        EACH(v_store(y + i, vf_exp(x)))
        break;
    case AE_IDENTITY:
    case AE_SOFTMAX:
    case AE_ACTIVATION_COUNT:
        break;
    }
}
#undef EACH

/* The body sees the output x and the gradient d at index i and gives the new gradient. */
#define EACH(expression)                  \
    for (int64_t i = 0; i < n; i += VL) { \
        vec x = v_load(y + i);            \
        vec d = v_load(g + i);            \
        v_store(g + i, expression);       \
    }

void AE_V(ae_activation_backward)(ae_activation activation, int64_t n, const real *y, const real *slope, real *g) {
    vec zero = v_zero(), one = v_set1(1);
    switch (activation) {
    case AE_RELU:
        EACH(v_select(v_lt(zero, x), d, zero))
        break;
    case AE_LEAKY_RELU:
        EACH(v_select(v_lt(x, zero), v_mul(d, v_set1(LEAKY_SLOPE)), d))
        break;
    case AE_ELU: /* e^x = y + 1 */
        EACH(v_select(v_lt(zero, x), d, v_fma(d, x, d)))
        break;
    case AE_SELU:
        EACH(v_mul(d, v_select(v_lt(zero, x), v_set1(SELU_SCALE), v_add(x, v_set1(SELU_SCALE_ALPHA)))))
        break;
    case AE_GELU:
    case AE_SILU:
        for (int64_t i = 0; i < n; i += VL)
            v_store(g + i, v_mul(v_load(g + i), v_load(slope + i)));
        break;
    case AE_SOFTPLUS: /* logistic(x) = 1 - e^-y */
        EACH(v_mul(d, v_neg(vf_expm1(v_neg(x)))))
        break;
    case AE_TANH:
        EACH(v_mul(d, v_fnma(x, x, one)))
        break;
    case AE_LOGISTIC:
        EACH(v_mul(d, v_fnma(x, x, x)))
        break;
    case AE_EXP:
        /* A value that has overflowed stays without effect where nothing flows into it. */
        EACH(v_select(v_eq(d, zero), zero, v_mul(d, x)))
        break;
    case AE_IDENTITY:
    case AE_SOFTMAX:
    case AE_ACTIVATION_COUNT:
        break;
    }
}
#undef EACH

void AE_V(ae_softmax_forward)(int64_t row0, int64_t row1, int64_t width, int64_t stride, real *y) {
    int64_t panels = ae_panels(width);
    for (int64_t row = row0; row < row1; row++) {
        real *first = y + row * AE_PANEL, lanes[AE_PANEL];
        vec top = v_set1((real)-INFINITY);
        for (int64_t p = 0; p < panels; p++) {
            int columns = ae_panel_columns(width, p);
            for (int j = 0; j < AE_PANEL; j += VL) {
                vec x = v_load(first + p * stride + j);
                top = v_max(top, columns == AE_PANEL ? x : v_select(lanes_below(columns, j), x, top));
            }
        }
        real scratch[VL], highest;
        v_store(scratch, top);
        highest = scratch[0];
        for (int j = 1; j < VL; j++)
            highest = scratch[j] > highest ? scratch[j] : highest;

        vec shift = v_set1(highest);
        for (int j = 0; j < AE_PANEL; j++)
            lanes[j] = 0;
        for (int64_t p = 0; p < panels; p++) {
            int columns = ae_panel_columns(width, p);
            for (int j = 0; j < AE_PANEL; j += VL) {
                real *at = first + p * stride + j;
                vec e = vf_exp(v_sub(v_load(at), shift));
                if (columns != AE_PANEL)
                    e = v_select(lanes_below(columns, j), e, v_zero());
                v_store(at, e);
                v_store(lanes + j, v_add(v_load(lanes + j), e));
            }
        }
        vec inverse = v_set1(1 / AE_V(ae_join_reals)(lanes));
        for (int64_t p = 0; p < panels; p++) {
            int columns = ae_panel_columns(width, p);
            for (int j = 0; j < AE_PANEL; j += VL) {
                real *at = first + p * stride + j;
                vec probability = v_mul(v_load(at), inverse);
                if (columns != AE_PANEL) /* where the row is not a number the padding still is */
                    probability = v_select(lanes_below(columns, j), probability, v_zero());
                v_store(at, probability);
            }
        }
    }
}

void AE_V(ae_softmax_backward)(int64_t row0, int64_t row1, int64_t width, int64_t stride, const real *y, real *g) {
    int64_t panels = ae_panels(width);
    for (int64_t row = row0; row < row1; row++) {
        const real *y_row = y + row * AE_PANEL;
        real *g_row = g + row * AE_PANEL, lanes[AE_PANEL];
        for (int j = 0; j < AE_PANEL; j++)
            lanes[j] = 0;
        for (int64_t p = 0; p < panels; p++) {
            int columns = ae_panel_columns(width, p);
            for (int j = 0; j < AE_PANEL; j += VL) {
                vec d = v_load(g_row + p * stride + j);
                if (columns != AE_PANEL)
                    d = v_select(lanes_below(columns, j), d, v_zero());
                v_store(lanes + j, v_fma(d, v_load(y_row + p * stride + j), v_load(lanes + j)));
            }
        }
        vec mean = v_set1(AE_V(ae_join_reals)(lanes));
        for (int64_t p = 0; p < panels; p++) {
            int columns = ae_panel_columns(width, p);
            for (int j = 0; j < AE_PANEL; j += VL) {
                real *at = g_row + p * stride + j;
                vec d = v_mul(v_load(y_row + p * stride + j), v_sub(v_load(at), mean));
                if (columns != AE_PANEL)
                    d = v_select(lanes_below(columns, j), d, v_zero());
                v_store(at, d);
            }
        }
    }
}
