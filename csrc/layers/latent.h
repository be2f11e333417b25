/* What the latent layers share: the bounds of a log-variance, and where a row of a panel lies.
 *
 * A normal posterior is two values (rows, d): mean m and log-variance v. Everywhere v stands for its value clamped to
 * [-20, 20], so that e^v and e^-v are finite in float32 and a collapsed deviation is no smaller than 4.5e-5. A clamped v
 * has no gradient, except where a layer says that it gives a way back. */
#ifndef AE_LAYERS_LATENT_H
#define AE_LAYERS_LATENT_H

#include "layers/rows.h"
#include "math/functions.h"

#define LATENT_BOUND ((real)20)

/* NaN stays NaN. */
AE_INLINE vec latent_clamp(vec v) { return vf_at_most(LATENT_BOUND, vf_at_least(-LATENT_BOUND, v)); }
AE_INLINE vmask latent_is_inside(vec v) { return v_lt(v_abs(v), v_set1(LATENT_BOUND)); }

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
