/* The pieces that every walk over a block of rows needs: masks of the last panel, factors, and the fixed tree. */
#ifndef AE_LOSSES_ROW_SUM_H
#define AE_LOSSES_ROW_SUM_H

#include <string.h>

#include "losses/loss.h"
#include "math/panel.h"
#include "math/vec.h"

#define LOSS_VECTORS (AE_PANEL / VL) /* in one row of a panel */
#define LOSS_ROWS 8                  /* walked together; of no influence on results */

/* Vectors of a row are walked by loops that stay loops: unrolled they would be no faster and several times the code,
 * which exists once per loss and variant. */
#define LOSS_NO_UNROLL _Pragma("GCC unroll 1")

/* Lanes of vector v of a panel's rows that are among its first `columns` columns. */
AE_INLINE vmask loss_column_mask(int columns, int v) {
    return v_lt(v_add(v_iota(), v_set1((real)(v * VL))), v_set1((real)columns));
}

/* factor[r]: what multiplies the derivative of a term, d(scale * weight * mean of the terms) / d term, for row + r. */
static void loss_row_factors(const ae_loss_call *call, int64_t row, int64_t rows, real *factor) {
    const double share = call->scale / (double)call->width;
    LOSS_NO_UNROLL
    for (int64_t r = 0; r < rows; r++)
        factor[r] = (real)(call->row_weight ? share * call->row_weight[row + r] : share);
}

/* Rows from the first on that all have a factor, or all have none. Those without get a gradient of zero, not zero times a
 * derivative that may have overflowed; they are walked apart, which costs the others nothing. */
static int64_t loss_alike_rows(const real *factor, int64_t rows) {
    int64_t alike = 1;
    while (alike < rows && (factor[alike] == 0) == (factor[0] == 0))
        alike++;
    return alike;
}

static __attribute__((noinline)) void loss_clear_gradient(const ae_loss_call *call, int64_t row, int64_t rows) {
    for (int64_t panel = 0; panel < ae_panels(call->width) && !call->accumulate; panel++)
        memset((real *)call->gradient + panel * call->prediction_stride + row * AE_PANEL, 0,
               (size_t)(rows * AE_PANEL) * sizeof(real));
}

/* Sum of 32 lanes in double: lane i with lane i + 16, then + 8, + 4, + 2, + 1. Not inline, or the compiler transposes
 * eight rows to add them lane by lane, in eight kilobytes of shuffles. */
static __attribute__((noinline)) double loss_join_lanes(const real *lanes) {
    double sum[AE_PANEL / 2];
    for (int i = 0; i < 16; i++)
        sum[i] = (double)lanes[i] + (double)lanes[i + 16];
    for (int i = 0; i < 8; i++)
        sum[i] += sum[i + 8];
    for (int i = 0; i < 4; i++)
        sum[i] += sum[i + 4];
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

/* loss[r] = sum of the lanes of row r / width. */
static void loss_join_rows(const real *lanes, int64_t rows, int64_t width, double *loss) {
    LOSS_NO_UNROLL
    for (int64_t r = 0; r < rows; r++)
        loss[r] = loss_join_lanes(lanes + r * AE_PANEL) / (double)width;
}

#endif
