/* What the elementwise losses share: the walk over a block.
 *
 * A loss gives one function, the term of one feature and its derivative; ELEMENTWISE_LOSS(term, has_excess) makes `rows`
 * and `terms` of it (included by one source per loss, compiled per variant). A term of a few operations is AE_INLINE, one made of
 * logarithms AE_NOINLINE: a call is small beside it, and its code large at each place that it would be inlined to.
 *
 * The walk takes a few rows together and goes through the panels, so that each step reads a run of contiguous memory
 * (a row of a panel alone is only 128 or 256 bytes, and panels lie far apart), while the sums of these rows, 32 lanes
 * each, stay in a small tile. A lane adds its panels in order whatever the grouping, so a row's loss depends on the row
 * only.
 *
 * A loss may leave part of its term as log1p(excess) with 0 <= excess <= 1. A sum over features needs no logarithm for
 * each, since sum log(1 + x) = log product (1 + x): a lane multiplies as many factors as cannot overflow and takes one
 * logarithm. What is kept is the product less one, q' = q + x + q x, so that tiny excesses are not lost beside the one. */
#ifndef AE_LOSSES_ELEMENTWISE_H
#define AE_LOSSES_ELEMENTWISE_H

#include <stddef.h>
#include <string.h>

#include "losses/loss.h"
#include "losses/row_sum.h"
#include "math/functions.h"
#include "math/panel.h"
#include "math/vec.h"

/* The term of a prediction and its target, not negative, less log1p(*excess) where the loss has one (others leave
 * *excess alone); *derivative of the whole by the prediction. */
typedef vec (*elementwise_term)(vec prediction, vec target, vec parameter, vec *derivative, vec *excess);

#define EXCESS_PANELS 64 /* factors of a product: at most 2^64 */

/* Where the sums of a group of rows are while it walks through the panels: 32 lanes by row. */
typedef struct elementwise_sums {
    real term[LOSS_ROWS * AE_PANEL], excess[LOSS_ROWS * AE_PANEL];
} elementwise_sums;

/* Moves the products' logarithms to the terms. */
static void elementwise_settle(elementwise_sums *sums, int64_t rows) {
    LOSS_NO_UNROLL
    for (int64_t at = 0; at < rows * AE_PANEL; at += VL) {
        v_store(sums->term + at, v_add(v_load(sums->term + at), vf_log1p(v_load(sums->excess + at))));
        v_store(sums->excess + at, v_zero());
    }
}

/* Rows of one panel: adds the terms to their sums, and writes factor[row] * derivative. With `partial` only `columns`
 * columns hold data: beyond them terms and derivatives count as zero. entry: factors of the terms, or NULL; then a logarithm
 * is taken of each excess, since a product has no factors. */
AE_INLINE void elementwise_panel(elementwise_term term, const bool has_excess, const bool partial, int columns, int64_t rows,
                                 const real *prediction, const real *target, const real *entry, vec parameter,
                                 const real *factor, elementwise_sums *sums, real *gradient, bool accumulate) {
    LOSS_NO_UNROLL
    for (int v = 0; v < LOSS_VECTORS; v++) {
        const vmask holds = lanes_below(columns, v * VL);
        LOSS_NO_UNROLL
        for (int64_t r = 0; r < rows; r++) {
            const int64_t at = r * AE_PANEL + v * VL;
            vec derivative, excess = v_zero();
            vec value = term(v_load(prediction + at), v_load(target + at), parameter, &derivative, &excess);
            if (entry) {
                const vec weight = v_load(entry + at);
                const vmask none = v_eq(weight, v_zero());
                if (has_excess)
                    value = v_add(value, vf_log1p(excess));
                excess = v_zero();
                value = v_select(none, v_zero(), v_mul(weight, value));
                derivative = v_select(none, v_zero(), v_mul(weight, derivative));
            }
            if (partial) {
                value = v_select(holds, value, v_zero());
                excess = v_select(holds, excess, v_zero());
                derivative = v_select(holds, derivative, v_zero());
            }
            v_store(sums->term + at, v_add(v_load(sums->term + at), value));
            if (has_excess && !entry) {
                const vec product = v_load(sums->excess + at);
                v_store(sums->excess + at, v_fma(product, excess, v_add(product, excess)));
            }
            if (gradient && accumulate)
                v_store(gradient + at, v_fma(v_set1(factor[r]), derivative, v_load(gradient + at)));
            else if (gradient)
                v_store(gradient + at, v_mul(v_set1(factor[r]), derivative));
        }
    }
}

/* elementwise_panel for a term, with `partial`: for panels with a padding or with entry weights. One function for both, because
 * a loss made of logarithms is a few kilobytes at each place that it is inlined to. */
typedef void (*elementwise_rest)(int columns, int64_t rows, const real *prediction, const real *target, const real *entry,
                                 vec parameter, const real *factor, elementwise_sums *sums, real *gradient, bool accumulate);

AE_INLINE void elementwise_rows(const ae_loss_call *call, elementwise_term term, const bool has_excess, elementwise_rest rest) {
    const int64_t panels = ae_panels(call->width);
    const vec parameter = v_set1((real)call->parameter);
    real target_tile[LOSS_ROWS * AE_PANEL], entry_tile[LOSS_ROWS * AE_PANEL];
    if (!call->target)
        memset(target_tile, 0, sizeof target_tile);
    for (int64_t row = call->row0, rows; row < call->row1; row += rows) {
        rows = call->row1 - row < LOSS_ROWS ? call->row1 - row : LOSS_ROWS;
        elementwise_sums sums;
        real factor[LOSS_ROWS];
        memset(sums.term, 0, sizeof sums.term);
        if (has_excess)
            memset(sums.excess, 0, sizeof sums.excess);
        loss_row_factors(call, row, rows, factor);
        rows = loss_alike_rows(factor, rows);
        const real *p = (const real *)call->prediction + row * AE_PANEL;
        real *g = call->gradient && factor[0] != 0 ? (real *)call->gradient + row * AE_PANEL : NULL;
        for (int64_t panel = 0; panel < panels; panel++) {
            const int columns = ae_panel_columns(call->width, panel);
            const real *t =
                loss_rows_at(loss_panel(call->target, call->target_stride, panel), call->target_repeat, row, rows, target_tile);
            const real *entry = NULL;
            if (call->entry_weight)
                entry = loss_rows_at(loss_panel(call->entry_weight, call->entry_stride, panel), call->entry_repeat, row, rows,
                                     entry_tile);
            if (entry || columns < AE_PANEL)
                rest(columns, rows, p, t, entry, parameter, factor, &sums, g, call->accumulate);
            else
                elementwise_panel(term, has_excess, false, AE_PANEL, rows, p, t, NULL, parameter, factor, &sums, g,
                                  call->accumulate);
            p += call->prediction_stride;
            g = g ? g + call->prediction_stride : NULL;
            if (has_excess && (panel + 1) % EXCESS_PANELS == 0)
                elementwise_settle(&sums, rows);
        }
        if (has_excess)
            elementwise_settle(&sums, rows);
        if (call->row_loss)
            loss_join_rows(sums.term, rows, call->width, call->row_loss + row);
        if (call->gradient && factor[0] == 0) /* behind the walk: it may lie where the prediction did */
            loss_clear_gradient(call, row, rows);
    }
}

/* Whole term of vector v of one row of a panel, times its entry weight, zero beyond the width; `constant` of the target is added
 * where asked for. */
typedef vec (*elementwise_constant)(vec target, vec parameter);
typedef vec (*elementwise_whole)(const ae_loss_call *call, bool with_constant, int64_t panel, int v, int64_t row);

AE_INLINE vec elementwise_value(const ae_loss_call *call, elementwise_term term, const bool has_excess, bool with_constant,
                                elementwise_constant constant, int64_t panel, int v, int64_t row) {
    const vec parameter = v_set1((real)call->parameter);
    const real *p = (const real *)call->prediction + panel * call->prediction_stride + row * AE_PANEL;
    vec derivative, excess = v_zero(), target = v_zero();
    if (call->target)
        target = v_load((const real *)call->target + panel * call->target_stride +
                        loss_row_of(row, call->target_repeat) * AE_PANEL + v * VL);
    vec value = term(v_load(p + v * VL), target, parameter, &derivative, &excess);
    if (has_excess)
        value = v_add(value, vf_log1p(excess));
    if (constant && with_constant)
        value = v_add(value, constant(target, parameter));
    if (call->entry_weight) {
        const vec weight = v_load((const real *)call->entry_weight + panel * call->entry_stride +
                                  loss_row_of(row, call->entry_repeat) * AE_PANEL + v * VL);
        value = v_select(v_eq(weight, v_zero()), v_zero(), v_mul(weight, value));
    }
    return v_select(lanes_below(ae_panel_columns(call->width, panel), v * VL), value, v_zero());
}

AE_INLINE void elementwise_terms(const ae_loss_call *call, elementwise_whole value) {
    for (int64_t panel = 0; panel < ae_panels(call->width); panel++) {
        real *out = (real *)call->gradient + panel * call->prediction_stride;
        LOSS_NO_UNROLL
        for (int64_t row = call->row0; row < call->row1; row++) {
            LOSS_NO_UNROLL
            for (int v = 0; v < LOSS_VECTORS; v++)
                v_store(out + row * AE_PANEL + v * VL, value(call, false, panel, v, row));
        }
    }
}

AE_INLINE void elementwise_likelihood(const ae_loss_call *call, elementwise_whole value) {
    for (int64_t row = call->row0; row < call->row1; row++) {
        real lanes[AE_PANEL] = {0};
        LOSS_NO_UNROLL
        for (int64_t panel = 0; panel < ae_panels(call->width); panel++) {
            LOSS_NO_UNROLL
            for (int v = 0; v < LOSS_VECTORS; v++)
                v_store(lanes + v * VL, v_add(v_load(lanes + v * VL), value(call, true, panel, v, row)));
        }
        call->row_loss[row] = AE_V(ae_join_lanes)(lanes);
    }
}

#define ELEMENTWISE_PARTS(term, has_excess, constant)                                                                          \
    static AE_NOINLINE void rest(int columns, int64_t n, const real *prediction, const real *target, const real *entry,        \
                                 vec parameter, const real *factor, elementwise_sums *sums, real *gradient, bool accumulate) { \
        elementwise_panel(term, has_excess, true, columns, n, prediction, target, entry, parameter, factor, sums, gradient,    \
                          accumulate);                                                                                         \
    }                                                                                                                          \
    static AE_NOINLINE vec whole(const ae_loss_call *call, bool with_constant, int64_t panel, int v, int64_t row) {            \
        return elementwise_value(call, term, has_excess, with_constant, constant, panel, v, row);                              \
    }                                                                                                                          \
    static void rows(const ae_loss_call *call) { elementwise_rows(call, term, has_excess, rest); }                             \
    static void terms(const ae_loss_call *call) { elementwise_terms(call, whole); }

#define ELEMENTWISE_LOSS(term, has_excess) ELEMENTWISE_PARTS(term, has_excess, NULL)

/* Where e^-term is a density up to a factor: `constant` of (target, parameter) is the logarithm of what is missing, or NULL. */
#define ELEMENTWISE_LIKELIHOOD(term, has_excess, constant) \
    ELEMENTWISE_PARTS(term, has_excess, constant)          \
    static void likelihood(const ae_loss_call *call) { elementwise_likelihood(call, whole); }

#endif
