/* What the layers whose output is a penalty share: one number for a row of data, in column 0 of a value of width 1. */
#ifndef AE_LAYERS_PENALTY_H
#define AE_LAYERS_PENALTY_H

#include <string.h>

#include "layers/rows.h"

#define PENALTY_VECTORS (AE_PANEL / VL)

static inline double penalty_join(const vec lanes[PENALTY_VECTORS]) {
    real plain[AE_PANEL];
    for (int v = 0; v < PENALTY_VECTORS; v++)
        v_store(plain + v * VL, lanes[v]);
    return AE_V(ae_join_lanes)(plain);
}

static inline void penalty_clear(vec lanes[PENALTY_VECTORS]) {
    for (int v = 0; v < PENALTY_VECTORS; v++)
        lanes[v] = v_zero();
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
