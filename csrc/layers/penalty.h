/* What the layers whose output is a penalty share: one number for a row of data, in column 0 of a value of width 1. */
#ifndef AE_LAYERS_PENALTY_H
#define AE_LAYERS_PENALTY_H

#include <string.h>

#include "layers/layer.h"
#include "math/vec.h"

#define PENALTY_VECTORS (AE_PANEL / VL)

/* Sum of 32 lanes in double: lane i with lane i + 16, then + 8, + 4, + 2, + 1. */
static inline double penalty_join(const vec lanes[PENALTY_VECTORS]) {
    real plain[AE_PANEL];
    double sum[AE_PANEL];
    for (int v = 0; v < PENALTY_VECTORS; v++)
        v_store(plain + v * VL, lanes[v]);
    for (int i = 0; i < AE_PANEL; i++)
        sum[i] = (double)plain[i];
    for (int width = AE_PANEL / 2; width; width /= 2)
        for (int i = 0; i < width; i++)
            sum[i] += sum[i + width];
    return sum[0];
}

static inline void penalty_clear(vec lanes[PENALTY_VECTORS]) {
    for (int v = 0; v < PENALTY_VECTORS; v++)
        lanes[v] = v_zero();
}

/* Lanes of vector v that are among the first `columns` of a panel. */
AE_INLINE vmask penalty_mask(int columns, int v) {
    return v_lt(v_add(v_iota(), v_set1((real)(v * VL))), v_set1((real)columns));
}

/* A row of the output: the number, then zeros. */
static inline void penalty_write(const ae_value *out, int64_t row, double value) {
    real *to = (real *)out->data + row * AE_PANEL;
    memset(to, 0, AE_PANEL * sizeof(real));
    to[0] = (real)value;
}

/* The derivative of the loss by the penalty of a row. */
static inline real penalty_gradient(const ae_value *out, int64_t row) { return ((const real *)out->gradient)[row * AE_PANEL]; }

/* Its sum over all rows, in order: for penalties that are one number for the minibatch. */
static inline double penalty_gradient_sum(const ae_value *out, int64_t rows) {
    double sum = 0.0;
    for (int64_t row = 0; row < rows; row++)
        sum += (double)penalty_gradient(out, row);
    return sum;
}

/* Zeros for an input that the penalty does not depend on, where nobody else has written. */
static inline void penalty_no_gradient(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0];
    const int64_t row0 = block->row0 * in->shape.multiplicity, row1 = block->row1 * in->shape.multiplicity;
    for (int64_t p = 0; in->gradient && !binding->accumulate[0] && p < ae_panels(in->shape.width); p++)
        memset((real *)in->gradient + p * in->stride + row0 * AE_PANEL, 0, (size_t)((row1 - row0) * AE_PANEL) * sizeof(real));
}

#endif
