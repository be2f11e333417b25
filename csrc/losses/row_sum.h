/* The pieces that every walk over a block of rows needs: factors, rows with and without one, and the join of their sums. */
#ifndef AE_LOSSES_ROW_SUM_H
#define AE_LOSSES_ROW_SUM_H

#include <string.h>

#include "losses/loss.h"
#include "math/lanes.h"

#define LOSS_VECTORS (AE_PANEL / VL) /* in one row of a panel */
#define LOSS_ROWS 8                  /* walked together; of no influence on results */

/* Vectors of a row are walked by loops that stay loops: unrolled they would be no faster and several times the code,
 * which exists once per loss and variant. */
#define LOSS_NO_UNROLL _Pragma("GCC unroll 1")

/* The row of a matrix that has one for `repeat` of the prediction. */
AE_INLINE int64_t loss_row_of(int64_t row, int64_t repeat) { return repeat > 1 ? row / repeat : row; }

/* factor[r]: what multiplies the derivative of a term, d(scale * weight * mean of the terms) / d term, for row + r. */
static void loss_row_factors(const ae_loss_call *call, int64_t row, int64_t rows, real *factor) {
    const double share = call->scale / (double)call->width;
    LOSS_NO_UNROLL
    for (int64_t r = 0; r < rows; r++)
        factor[r] = (real)(call->row_weight ? share * call->row_weight[loss_row_of(row + r, call->weight_repeat)] : share);
}

/* Of a panel of a matrix with one row for `repeat` of the prediction: what stands at rows row .. row + rows - 1 of the
 * prediction, in place or copied to a tile of LOSS_ROWS rows. No matrix: the tile, which holds zeros. */
AE_INLINE const real *loss_rows_at(const real *panel, int64_t repeat, int64_t row, int64_t rows, real *tile) {
    if (!panel)
        return tile;
    if (repeat <= 1)
        return panel + row * AE_PANEL;
    for (int64_t r = 0; r < rows; r++)
        memcpy(tile + r * AE_PANEL, panel + (row + r) / repeat * AE_PANEL, AE_PANEL * sizeof(real));
    return tile;
}

/* A panel of a matrix that may be absent. */
AE_INLINE const real *loss_panel(const void *matrix, int64_t stride, int64_t panel) {
    return matrix ? (const real *)matrix + panel * stride : NULL;
}

/* Rows from the first on that all have a factor, or all have none. Those without get a gradient of zero, not zero times a
 * derivative that may have overflowed; they are walked apart, which costs the others nothing. */
static int64_t loss_alike_rows(const real *factor, int64_t rows) {
    int64_t alike = 1;
    while (alike < rows && (factor[alike] == 0) == (factor[0] == 0))
        alike++;
    return alike;
}

static AE_NOINLINE void loss_clear_rows(const ae_loss_call *call, void *gradient, int64_t row, int64_t rows) {
    for (int64_t panel = 0; panel < ae_panels(call->width); panel++)
        memset((real *)gradient + panel * call->prediction_stride + row * AE_PANEL, 0,
               (size_t)(rows * AE_PANEL) * sizeof(real));
}

static inline void loss_clear_gradient(const ae_loss_call *call, int64_t row, int64_t rows) {
    if (!call->accumulate)
        loss_clear_rows(call, call->gradient, row, rows);
}

/* loss[r] = sum of the lanes of row r / width. */
static void loss_join_rows(const real *lanes, int64_t rows, int64_t width, double *loss) {
    LOSS_NO_UNROLL
    for (int64_t r = 0; r < rows; r++)
        loss[r] = AE_V(ae_join_lanes)(lanes + r * AE_PANEL) / (double)width;
}

#endif
