/* What layers that leave values mostly as they are share: rows of a block passed on, and the fixed sum over a row. */
#ifndef AE_LAYERS_ROWS_H
#define AE_LAYERS_ROWS_H

#include <string.h>

#include "layers/layer.h"
#include "math/vec.h"

/* to = from, or to += from, over the rows of a block; both are of the value's shape. */
static inline void rows_pass(const ae_value *value, const ae_block *block, const void *from, void *to, bool add) {
    const int64_t row0 = block->row0 * value->shape.multiplicity, row1 = block->row1 * value->shape.multiplicity;
    for (int64_t p = 0; p < ae_panels(value->shape.width); p++) {
        const real *x = (const real *)from + p * value->stride;
        real *y = (real *)to + p * value->stride;
        if (add)
            for (int64_t i = row0 * AE_PANEL; i < row1 * AE_PANEL; i += VL)
                v_store(y + i, v_add(v_load(y + i), v_load(x + i)));
        else
            memcpy(y + row0 * AE_PANEL, x + row0 * AE_PANEL, (size_t)((row1 - row0) * AE_PANEL) * sizeof(real));
    }
}

/* Number of a value's row among the draws of the minibatch. */
static inline uint32_t rows_number(const ae_value *value, const ae_block *block, int64_t row) {
    return (uint32_t)(block->first_row * value->shape.multiplicity + row);
}

/* Words below it are rate / 2^32 of all, with 0 <= rate < 1. */
static inline uint32_t rows_threshold(double rate) { return (uint32_t)(rate * 4294967296.0); }

/* Sum of 32 lanes: lane i with lane i + 16, then + 8, + 4, + 2, + 1. The lanes are spent. */
static inline double rows_lane_sum(double lanes[AE_PANEL]) {
    for (int width = AE_PANEL / 2; width; width /= 2)
        for (int i = 0; i < width; i++)
            lanes[i] += lanes[i + width];
    return lanes[0];
}

#endif
