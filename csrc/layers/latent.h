/* What the latent layers share: the bounds of a log-variance, masks of the last panel, and sums over a row.
 *
 * A normal posterior is two values (rows, d): mean m and log-variance v. Everywhere v stands for its value clamped to
 * [-20, 20], so that e^v and e^-v are finite in float32 and a collapsed deviation is no smaller than 4.5e-5. A clamped v
 * has no gradient, except where a layer says that it gives a way back. */
#ifndef AE_LAYERS_LATENT_H
#define AE_LAYERS_LATENT_H

#include "layers/layer.h"
#include "math/functions.h"

#define LATENT_BOUND ((real)20)

/* NaN stays NaN. */
AE_INLINE vec latent_clamp(vec v) { return vf_at_most(LATENT_BOUND, vf_at_least(-LATENT_BOUND, v)); }
AE_INLINE vmask latent_is_inside(vec v) { return v_lt(v_abs(v), v_set1(LATENT_BOUND)); }

/* The lanes j .. j + VL - 1 of a panel with `columns` columns that hold data. */
AE_INLINE vmask latent_column_mask(int columns, int j) { return v_lt(v_add(v_iota(), v_set1((real)j)), v_set1((real)columns)); }

/* Sum of 32 lanes in double: lane i with lane i + 16, then + 8, + 4, + 2, + 1. */
static inline double latent_join(const real *lanes) {
    double sum[AE_PANEL / 2];
    for (int i = 0; i < 16; i++)
        sum[i] = (double)lanes[i] + (double)lanes[i + 16];
    for (int i = 0; i < 8; i++)
        sum[i] += sum[i + 8];
    for (int i = 0; i < 4; i++)
        sum[i] += sum[i + 4];
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

AE_INLINE real *latent_at(void *data, int64_t stride, int64_t panel, int64_t row) {
    return (real *)data + panel * stride + row * AE_PANEL;
}

/* to = value, or to += value. */
AE_INLINE void latent_give(real *to, vec value, bool accumulate) { v_store(to, accumulate ? v_add(v_load(to), value) : value); }

/* KL(N(m, e^v) || N(0, 1)) and its slope by v. Beyond the bounds it goes on as its tangent. */
AE_INLINE vec latent_divergence(vec m, vec v, vec *slope) {
    const vec inside = latent_clamp(v), grown = vf_expm1(inside), half = v_set1((real)0.5);
    *slope = v_mul(half, grown);
    return v_fma(v_sub(v, inside), *slope, v_mul(half, v_fma(m, m, v_sub(grown, inside))));
}

/* One number of a row in a value of one column, with clear padding. */
static inline void latent_set_single(const ae_value *value, int64_t row, double number) {
    real *to = latent_at(value->data, value->stride, 0, row);
    for (int j = 0; j < AE_PANEL; j++)
        to[j] = 0;
    to[0] = (real)number;
}

/* Functions of one number by the vector polynomials: the C library's differ between machines. */
static inline real latent_exp(real x) {
    real y[VL];
    v_store(y, vf_exp(v_set1(x)));
    return y[0];
}
static inline real latent_log(real x) {
    real y[VL];
    v_store(y, vf_log(v_set1(x)));
    return y[0];
}

/* Mean and log-variance of one shape, in inputs `first` and `first + 1`. */
static inline ae_status latent_check_posterior(ae_context *context, const ae_layer_plan *plan, int first) {
    const ae_shape *m = &plan->in[first], *v = &plan->in[first + 1];
    if (m->width == v->width && m->multiplicity == v->multiplicity)
        return AE_OK;
    return ae_fail(context, AE_ERR_VALUE,
                   "node '%s': the log-variance has %lld features and the mean %lld, with %lld and %lld rows a sample; they "
                   "must be equal",
                   plan->desc->name, (long long)v->width, (long long)m->width, (long long)v->multiplicity,
                   (long long)m->multiplicity);
}

#endif
