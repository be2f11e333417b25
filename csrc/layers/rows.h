/* What layers that leave values mostly as they are share: rows of a block passed on, and a row of one number. */
#ifndef AE_LAYERS_ROWS_H
#define AE_LAYERS_ROWS_H

#include <string.h>

#include "layers/layer.h"
#include "math/lanes.h"

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

/* Backward of a layer that makes rows r k .. r k + k - 1 of row r: the gradient is their sum, in order. */
static inline void rows_sum_copies(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t k = out->shape.multiplicity;
    for (int64_t p = 0; in->gradient && p < ae_panels(out->shape.width); p++)
        for (int64_t row = block->row0; row < block->row1; row++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                real *to = (real *)in->gradient + p * in->stride + row * AE_PANEL + j;
                vec sum = binding->accumulate[0] ? v_load(to) : v_zero();
                for (int64_t i = row * k; i < (row + 1) * k; i++)
                    sum = v_add(sum, v_load((const real *)out->gradient + p * out->stride + i * AE_PANEL + j));
                v_store(to, sum);
            }
}

/* Number of a value's row among the draws of the minibatch. */
static inline uint32_t rows_number(const ae_value *value, const ae_block *block, int64_t row) {
    return (uint32_t)(block->first_row * value->shape.multiplicity + row);
}

/* Words below it are rate / 2^32 of all, with 0 <= rate < 1. */
static inline uint32_t rows_threshold(double rate) { return (uint32_t)(rate * 4294967296.0); }

/* A row of a value of width 1: the number, then zeros. */
static inline void rows_set_single(const ae_value *value, int64_t row, double number) {
    real *to = (real *)value->data + row * AE_PANEL;
    memset(to, 0, AE_PANEL * sizeof(real));
    to[0] = (real)number;
}

#endif
