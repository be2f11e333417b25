/* What the losses with two predicted parameters share: the walk over a block.
 *
 * A loss gives one function, the term of one feature and its derivatives by both parameters; PAIR_LOSS(term) makes `rows`,
 * `terms` and `likelihood` of it. Terms are whole negative log-likelihoods in nats. Rows go one by one: the logarithms of a
 * term outweigh the walk. */
#ifndef AE_LOSSES_PAIR_H
#define AE_LOSSES_PAIR_H

#include <stddef.h>

#include "losses/loss.h"
#include "losses/row_sum.h"
#include "math/functions.h"
#include "math/panel.h"
#include "math/vec.h"

typedef vec (*pair_term)(vec prediction, vec second, vec target, vec *by_prediction, vec *by_second);
typedef vec (*pair_whole)(const ae_loss_call *call, int64_t panel, int v, int64_t row, vec *by_prediction, vec *by_second);

/* The term of vector v of a row of a panel, times its entry weight, zero beyond the width; likewise the derivatives. */
AE_INLINE vec pair_value(const ae_loss_call *call, pair_term term, int64_t panel, int v, int64_t row, vec *by_prediction,
                         vec *by_second) {
    const int64_t at = panel * call->prediction_stride + row * AE_PANEL + v * VL;
    const vmask holds = lanes_below(ae_panel_columns(call->width, panel), v * VL);
    vec target = v_zero();
    if (call->target)
        target = v_load((const real *)call->target + panel * call->target_stride +
                        loss_row_of(row, call->target_repeat) * AE_PANEL + v * VL);
    vec value = term(v_load((const real *)call->prediction + at), v_load((const real *)call->second + at), target,
                     by_prediction, by_second);
    vmask counts = holds;
    if (call->entry_weight) {
        const vec weight = v_load((const real *)call->entry_weight + panel * call->entry_stride +
                                  loss_row_of(row, call->entry_repeat) * AE_PANEL + v * VL);
        counts = m_and(holds, m_not(v_eq(weight, v_zero())));
        value = v_mul(weight, value);
        *by_prediction = v_mul(weight, *by_prediction);
        *by_second = v_mul(weight, *by_second);
    }
    *by_prediction = v_select(counts, *by_prediction, v_zero());
    *by_second = v_select(counts, *by_second, v_zero());
    return v_select(counts, value, v_zero());
}

AE_INLINE void pair_store(real *gradient, bool accumulate, int64_t at, vec factor, vec derivative) {
    if (gradient)
        v_store(gradient + at, accumulate ? v_fma(factor, derivative, v_load(gradient + at)) : v_mul(factor, derivative));
}

/* Sums of the terms of each row, of `factor` times the derivatives. mean: divided by the width. */
AE_INLINE void pair_rows(const ae_loss_call *call, pair_whole whole, const bool mean) {
    for (int64_t row = call->row0; row < call->row1; row++) {
        real lanes[AE_PANEL] = {0}, factor;
        loss_row_factors(call, row, 1, &factor);
        real *first = mean && factor != 0 ? (real *)call->gradient : NULL;
        real *second = mean && factor != 0 ? (real *)call->second_gradient : NULL;
        if (mean && factor == 0 && call->gradient && !call->accumulate)
            loss_clear_rows(call, call->gradient, row, 1);
        if (mean && factor == 0 && call->second_gradient && !call->second_accumulate)
            loss_clear_rows(call, call->second_gradient, row, 1);
        LOSS_NO_UNROLL
        for (int64_t panel = 0; panel < ae_panels(call->width); panel++) {
            LOSS_NO_UNROLL
            for (int v = 0; v < LOSS_VECTORS; v++) {
                const int64_t at = panel * call->prediction_stride + row * AE_PANEL + v * VL;
                vec by_prediction, by_second;
                const vec value = whole(call, panel, v, row, &by_prediction, &by_second);
                v_store(lanes + v * VL, v_add(v_load(lanes + v * VL), value));
                pair_store(first, call->accumulate, at, v_set1(factor), by_prediction);
                pair_store(second, call->second_accumulate, at, v_set1(factor), by_second);
            }
        }
        if (call->row_loss)
            call->row_loss[row] = AE_V(ae_join_lanes)(lanes) / (mean ? (double)call->width : 1.0);
    }
}

AE_INLINE void pair_terms(const ae_loss_call *call, pair_whole whole) {
    for (int64_t panel = 0; panel < ae_panels(call->width); panel++) {
        real *out = (real *)call->gradient + panel * call->prediction_stride;
        LOSS_NO_UNROLL
        for (int64_t row = call->row0; row < call->row1; row++) {
            LOSS_NO_UNROLL
            for (int v = 0; v < LOSS_VECTORS; v++) {
                vec by_prediction, by_second;
                v_store(out + row * AE_PANEL + v * VL, whole(call, panel, v, row, &by_prediction, &by_second));
            }
        }
    }
}

#define PAIR_LOSS(term)                                                                                           \
    static AE_NOINLINE vec whole(const ae_loss_call *call, int64_t panel, int v, int64_t row, vec *by_prediction, \
                                 vec *by_second) {                                                                \
        return pair_value(call, term, panel, v, row, by_prediction, by_second);                                   \
    }                                                                                                             \
    static void rows(const ae_loss_call *call) { pair_rows(call, whole, true); }                                  \
    static void terms(const ae_loss_call *call) { pair_terms(call, whole); }                                      \
    static void likelihood(const ae_loss_call *call) { pair_rows(call, whole, false); }

/* x within [-limit, limit], with a NaN let through; *inside: where a derivative passes. */
AE_INLINE vec pair_bounded(vec x, real limit, vmask *inside) {
    *inside = v_le(v_abs(x), v_set1(limit));
    return v_max(v_set1(-limit), v_min(v_set1(limit), x));
}

#endif
