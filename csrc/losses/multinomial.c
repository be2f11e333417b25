/* Multinomial cross-entropy of the logits z of a row with counts t >= 0: the term of feature j is -t_j log softmax(z)_j,
 * its gradient (sum of t) softmax(z)_j - t_j. `categorical` is the same for a row that is one-hot, or the probabilities of
 * the classes: its likelihood is the cross-entropy alone, where that of counts has the multinomial coefficient, which for
 * fractions is not zero.
 *
 * Three walks over the row's panels: the maximum; the sums of e^(z - maximum) and of t, lane by lane in the order of the
 * panels; then terms and gradient. The exponential is kept where the gradient will be, and taken again where that holds one to be
 * added to. Rows go in small groups for the reason given in elementwise.h.
 *
 * Of a target by pairs the walks see zeros alone, and then the pairs are put in: what is left out would add zero to sums and
 * take zero from the gradient, so the bits are those of the dense target. */
#include <float.h>
#include <math.h>
#include <stddef.h>

#include "losses/loss.h"
#include "losses/row_sum.h"
#include "math/ahead.h"
#include "math/functions.h"
#include "math/gamma.h"
#include "math/panel.h"

/* What the rows of a group share among their columns. */
typedef struct softmax_group {
    real maximum[LOSS_ROWS];   /* of the logits */
    real log_sum[LOSS_ROWS];   /* log of the sum of e^(z - maximum); not negative */
    double exp_sum[LOSS_ROWS]; /* that sum */
    double target_sum[LOSS_ROWS];
} softmax_group;

static real join_maximum(const real *lanes) {
    real maximum = lanes[0];
    for (int i = 1; i < AE_PANEL; i++)
        maximum = lanes[i] > maximum ? lanes[i] : maximum;
    return maximum;
}

static real log_of(double x) {
    real lanes[VL];
    v_store(lanes, vf_log(v_set1((real)x)));
    return lanes[0];
}

/* Where `repeat` or no target makes rows of targets lie elsewhere than those of the prediction. */
typedef struct target_tile {
    real at[LOSS_ROWS * AE_PANEL];
} target_tile;

AE_INLINE const real *target_rows(const ae_loss_call *call, int64_t panel, int64_t row, int64_t rows, target_tile *tile) {
    return loss_rows_at(loss_panel(call->target, call->target_stride, panel), call->target_repeat, row, rows, tile->at);
}

/* The pairs of a row of the prediction: their number, columns and values. */
static int32_t target_pairs(const ae_loss_call *call, int64_t row, const int32_t **column, const real **value) {
    const ae_pairs *pairs = call->target_pairs;
    if (!pairs)
        return 0;
    row = loss_row_of(row, call->target_repeat);
    *column = pairs->column + row * pairs->most;
    *value = (const real *)pairs->value + row * pairs->most;
    return pairs->count[row];
}

/* The logits at the pairs of rows row .. row + rows - 1, before the gradient comes to lie there. */
static void keep_logits(const ae_loss_call *call, int64_t row, int64_t rows) {
    const ae_pairs *pairs = call->target_pairs;
    for (int64_t r = row; r < row + rows; r++)
        for (int32_t i = 0; i < pairs->count[r]; i++) {
            const int32_t column = pairs->column[r * pairs->most + i];
            ((real *)pairs->spare)[r * pairs->most + i] =
                ((const real *)
                     call->prediction)[column / AE_PANEL * call->prediction_stride + r * AE_PANEL + column % AE_PANEL];
        }
}

/* power: where e^(z - maximum) is kept, in panels like those of the prediction, or NULL. */
static AE_NOINLINE void group_measure(const ae_loss_call *call, int64_t row, int64_t rows, softmax_group *group, real *power) {
    const real *prediction = (const real *)call->prediction + row * AE_PANEL;
    const int64_t panels = ae_panels(call->width);
    target_tile tile = {{0}};
    real first[LOSS_ROWS * AE_PANEL], second[LOSS_ROWS * AE_PANEL] = {0};

    for (int i = 0; i < LOSS_ROWS * AE_PANEL; i++)
        first[i] = -(real)INFINITY;
    for (int64_t panel = 0; panel < panels; panel++) {
        const real *z = prediction + panel * call->prediction_stride;
        ae_ask_ahead(z, call->prediction_stride, panel, panels, rows, false);
        LOSS_NO_UNROLL
        for (int v = 0; v < LOSS_VECTORS; v++) {
            const vmask holds = lanes_below(ae_panel_columns(call->width, panel), v * VL);
            LOSS_NO_UNROLL
            for (int64_t r = 0; r < rows; r++) {
                const int64_t at = r * AE_PANEL + v * VL;
                const vec before = v_load(first + at);
                v_store(first + at, v_select(holds, v_max(v_load(z + at), before), before));
            }
        }
    }
    for (int64_t r = 0; r < rows; r++)
        group->maximum[r] = join_maximum(first + r * AE_PANEL);
    if (power && call->gradient == call->prediction)
        keep_logits(call, row, rows);

    for (int i = 0; i < LOSS_ROWS * AE_PANEL; i++)
        first[i] = 0;
    for (int64_t panel = 0; panel < panels; panel++) {
        const real *z = prediction + panel * call->prediction_stride, *t = target_rows(call, panel, row, rows, &tile);
        if (power)
            ae_ask_ahead(power + panel * call->prediction_stride + row * AE_PANEL, call->prediction_stride, panel, panels, rows,
                         true);
        LOSS_NO_UNROLL
        for (int v = 0; v < LOSS_VECTORS; v++) {
            const vmask holds = lanes_below(ae_panel_columns(call->width, panel), v * VL);
            LOSS_NO_UNROLL
            for (int64_t r = 0; r < rows; r++) {
                const int64_t at = r * AE_PANEL + v * VL;
                const vec e = v_select(holds, vf_exp(v_sub(v_load(z + at), v_set1(group->maximum[r]))), v_zero());
                v_store(first + at, v_add(v_load(first + at), e));
                if (power)
                    v_store(power + panel * call->prediction_stride + row * AE_PANEL + at, e);
                v_store(second + at, v_add(v_load(second + at), v_select(holds, v_load(t + at), v_zero())));
            }
        }
    }
    for (int64_t r = 0; r < rows; r++) {
        const int32_t *column;
        const real *value;
        for (int32_t i = 0, n = target_pairs(call, row + r, &column, &value); i < n; i++)
            second[r * AE_PANEL + column[i] % AE_PANEL] += value[i];
        group->exp_sum[r] = AE_V(ae_join_lanes)(first + r * AE_PANEL);
        group->target_sum[r] = AE_V(ae_join_lanes)(second + r * AE_PANEL);
        group->log_sum[r] = log_of(group->exp_sum[r]);
    }
}

/* z - maximum. Kept finite where the difference of two finite logits overflows, because 0 * infinity is no loss. */
AE_INLINE vec above_maximum(vec z, real maximum) {
    const vec lowest = v_set1((real)(AE_BITS == 32 ? -FLT_MAX : -DBL_MAX));
    return v_max(lowest, v_sub(z, v_set1(maximum)));
}

/* -t log softmax(z), given z - maximum; zero beyond the width. */
AE_INLINE vec multinomial_term(vec above, vec target, real log_sum, vmask holds) {
    return v_select(holds, v_mul(target, v_sub(v_set1(log_sum), above)), v_zero());
}

/* What the pairs of row `row` add to the lanes of its loss, and take from its gradient (or NULL). */
static void add_pairs(const ae_loss_call *call, int64_t row, real maximum, real log_sum, real of_target, real *sums,
                      real *gradient) {
    const int32_t *column;
    const real *value;
    const real *kept = gradient && gradient == call->prediction ? (const real *)call->target_pairs->spare : NULL;
    for (int32_t i = 0, n = target_pairs(call, row, &column, &value); i < n; i++) {
        const int lane = column[i] % VL, j = column[i] % AE_PANEL - lane;
        const int64_t at = column[i] / AE_PANEL * call->prediction_stride + row * AE_PANEL + j;
        const vmask here = v_eq(v_iota(), v_set1((real)lane));
        const vec t = v_select(here, v_set1(value[i]), v_zero());
        const real z = kept ? kept[row * call->target_pairs->most + i] : ((const real *)call->prediction)[at + lane];
        const vec above = above_maximum(v_set1(z), maximum);
        v_store(sums + j, v_add(v_load(sums + j), multinomial_term(above, t, log_sum, here)));
        if (gradient)
            v_store(gradient + at, v_fnma(v_set1(of_target), t, v_load(gradient + at)));
    }
}

/* The gradient of rows without a target, given its powers: each by the factor of its row. */
static void scale_powers(const ae_loss_call *call, int64_t row, int64_t rows, const real *of_power) {
    for (int64_t panel = 0; panel < ae_panels(call->width); panel++) {
        real *g = (real *)call->gradient + panel * call->prediction_stride + row * AE_PANEL;
        LOSS_NO_UNROLL
        for (int64_t r = 0; r < rows; r++) {
            LOSS_NO_UNROLL
            for (int j = 0; j < AE_PANEL; j += VL)
                v_store(g + r * AE_PANEL + j, v_mul(v_set1(of_power[r]), v_load(g + r * AE_PANEL + j)));
        }
    }
}

static void rows(const ae_loss_call *asked) {
    ae_loss_call without = *asked;
    const ae_loss_call *call = &without;
    if (call->target_pairs)
        without.target = NULL;
    const int64_t panels = ae_panels(call->width);
    target_tile tile = {{0}};
    for (int64_t row = call->row0, count; row < call->row1; row += count) {
        count = call->row1 - row < LOSS_ROWS ? call->row1 - row : LOSS_ROWS;
        softmax_group group;
        real sums[LOSS_ROWS * AE_PANEL] = {0}, of_power[LOSS_ROWS], of_target[LOSS_ROWS];
        loss_row_factors(call, row, count, of_target);
        count = loss_alike_rows(of_target, count);
        void *gradient = of_target[0] != 0 ? call->gradient : NULL;
        const bool kept = gradient && !call->accumulate;
        group_measure(call, row, count, &group, kept ? gradient : NULL);
        LOSS_NO_UNROLL
        for (int64_t r = 0; r < count; r++)
            of_power[r] = (real)((double)of_target[r] * group.target_sum[r] / group.exp_sum[r]);
        /* Beyond the pairs terms are zero, and the gradient is the power by its factor. */
        const bool rest_is_zero = call->target_pairs && (kept || !gradient);
        if (rest_is_zero && kept)
            scale_powers(call, row, count, of_power);
        for (int64_t r = 0; rest_is_zero && r < count; r++)
            sums[r * AE_PANEL] = 0 * group.log_sum[r]; /* not a number where a logit is none, with no pair to say so */
        for (int64_t panel = 0; panel < (rest_is_zero ? 0 : panels); panel++) {
            const real *z = (const real *)call->prediction + panel * call->prediction_stride + row * AE_PANEL;
            const real *t = target_rows(call, panel, row, count, &tile);
            real *g = gradient ? (real *)gradient + panel * call->prediction_stride + row * AE_PANEL : NULL;
            LOSS_NO_UNROLL
            for (int v = 0; v < LOSS_VECTORS; v++) {
                const vmask holds = lanes_below(ae_panel_columns(call->width, panel), v * VL);
                LOSS_NO_UNROLL
                for (int64_t r = 0; r < count; r++) {
                    const int64_t at = r * AE_PANEL + v * VL;
                    const vec above = above_maximum(v_load(z + at), group.maximum[r]), tv = v_load(t + at);
                    const vec term = multinomial_term(above, tv, group.log_sum[r], holds);
                    v_store(sums + at, v_add(v_load(sums + at), term));
                    if (g) {
                        const vec start = call->accumulate ? v_load(g + at) : v_zero();
                        const vec power = kept ? v_load(g + at) : vf_exp(above);
                        const vec sum = v_fnma(v_set1(of_target[r]), tv, v_fma(v_set1(of_power[r]), power, start));
                        v_store(g + at, v_select(holds, sum, start));
                    }
                }
            }
        }
        for (int64_t r = 0; call->target_pairs && r < count; r++)
            add_pairs(call, row + r, group.maximum[r], group.log_sum[r], of_target[r], sums + r * AE_PANEL, gradient);
        if (call->row_loss)
            loss_join_rows(sums, count, call->width, call->row_loss + row);
        if (call->gradient && !gradient)
            loss_clear_gradient(call, row, count);
    }
}

static void terms(const ae_loss_call *call) {
    const int64_t panels = ae_panels(call->width);
    target_tile tile = {{0}};
    for (int64_t row = call->row0; row < call->row1; row += LOSS_ROWS) {
        const int64_t count = call->row1 - row < LOSS_ROWS ? call->row1 - row : LOSS_ROWS;
        softmax_group group;
        group_measure(call, row, count, &group, NULL);
        for (int64_t panel = 0; panel < panels; panel++) {
            const real *z = (const real *)call->prediction + panel * call->prediction_stride + row * AE_PANEL;
            const real *t = target_rows(call, panel, row, count, &tile);
            real *out = (real *)call->gradient + panel * call->prediction_stride + row * AE_PANEL;
            LOSS_NO_UNROLL
            for (int v = 0; v < LOSS_VECTORS; v++) {
                const vmask holds = lanes_below(ae_panel_columns(call->width, panel), v * VL);
                LOSS_NO_UNROLL
                for (int64_t r = 0; r < count; r++) {
                    const int64_t at = r * AE_PANEL + v * VL;
                    const vec above = above_maximum(v_load(z + at), group.maximum[r]);
                    v_store(out + at, multinomial_term(above, v_load(t + at), group.log_sum[r], holds));
                }
            }
        }
    }
}

/* With the multinomial coefficient of the counts: less log (sum of t)!, plus log t! of each. */
static void likelihood(const ae_loss_call *call) {
    const vec one = v_set1((real)1);
    target_tile tile = {{0}};
    for (int64_t row = call->row0; row < call->row1; row++) {
        softmax_group group;
        real sums[AE_PANEL] = {0}, whole[VL];
        group_measure(call, row, 1, &group, NULL);
        v_store(whole, vf_lgamma(v_add(v_set1((real)group.target_sum[0]), one)));
        for (int64_t panel = 0; panel < ae_panels(call->width); panel++) {
            const real *z = (const real *)call->prediction + panel * call->prediction_stride + row * AE_PANEL;
            const real *t = target_rows(call, panel, row, 1, &tile);
            LOSS_NO_UNROLL
            for (int v = 0; v < LOSS_VECTORS; v++) {
                const vmask holds = lanes_below(ae_panel_columns(call->width, panel), v * VL);
                const vec above = above_maximum(v_load(z + v * VL), group.maximum[0]), tv = v_load(t + v * VL);
                const vec count = v_select(holds, vf_lgamma(v_add(tv, one)), v_zero());
                const vec term = multinomial_term(above, tv, group.log_sum[0], holds);
                v_store(sums + v * VL, v_add(v_load(sums + v * VL), v_add(term, count)));
            }
        }
        call->row_loss[row] = AE_V(ae_join_lanes)(sums) - (double)whole[0];
    }
}

const ae_loss_ops AE_V(ae_loss_multinomial) = {
    "multinomial", AE_SOFTMAX, AE_TARGET_NONNEGATIVE, false, rows, terms, AE_LOSS_ROW | AE_LOSS_READS_PAIRS | AE_LOSS_IN_PLACE,
    likelihood};
const ae_loss_ops AE_V(ae_loss_categorical) = {"categorical",
                                               AE_SOFTMAX,
                                               AE_TARGET_UNIT_INTERVAL,
                                               false,
                                               rows,
                                               terms,
                                               AE_LOSS_ROW | AE_LOSS_READS_PAIRS | AE_LOSS_IN_PLACE,
                                               NULL};
