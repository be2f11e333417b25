/* The pieces that every walk over a block of rows needs: masks of the last panel, factors, and the fixed tree. */
#ifndef AE_LOSSES_ROW_SUM_H
#define AE_LOSSES_ROW_SUM_H

#include "losses/loss.h"
#include "math/panel.h"
#include "math/vec.h"

#define LOSS_VECTORS (AE_PANEL / VL) /* in one row of a panel */
#define LOSS_ROWS 8                  /* walked together; of no influence on results */

/* holds[v]: lanes of vector v that are among the first `columns` columns of a panel. */
AE_INLINE void loss_column_masks(int columns, vmask *holds) {
    const vec limit = v_set1((real)columns);
    for (int v = 0; v < LOSS_VECTORS; v++)
        holds[v] = v_lt(v_add(v_iota(), v_set1((real)(v * VL))), limit);
}

/* What multiplies the derivative of a term, d(scale * weight * mean of the terms) / d term; share is scale / width. */
AE_INLINE double loss_row_factor(const ae_loss_call *call, double share, int64_t row) {
    return call->row_weight ? share * call->row_weight[row] : share;
}

/* Sum of 32 lanes in double: lane i with lane i + 16, then + 8, + 4, + 2, + 1. */
AE_INLINE double loss_join_lanes(const real *lanes) {
    double sum[AE_PANEL / 2];
    for (int i = 0; i < 16; i++)
        sum[i] = (double)lanes[i] + (double)lanes[i + 16];
    for (int i = 0; i < 8; i++)
        sum[i] += sum[i + 8];
    for (int i = 0; i < 4; i++)
        sum[i] += sum[i + 4];
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

#endif
