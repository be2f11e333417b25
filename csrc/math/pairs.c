/* math/pairs.h: gathered rows of the other operand in place of its product with a dense value. */
#include "math/pairs.h"

#include <string.h>

#include "math/vec.h"

#define VECTORS (AE_PANEL / VL)

AE_INLINE void begin(vec *sum, ae_gemm_start start, const real *bias, const real *c) {
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; v++)
        sum[v] = start == AE_START_ZERO ? v_zero() : v_load((start == AE_START_BIAS ? bias : c) + v * VL);
}

/* sum += factor * the 32 reals at b. */
AE_INLINE void add(vec *sum, real factor, const real *b) {
    const vec f = v_set1(factor);
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; v++)
        sum[v] = v_fma(f, v_load(b + v * VL), sum[v]);
}

AE_INLINE void put(real *to, const vec *sum) {
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; v++)
        v_store(to + v * VL, sum[v]);
}

void AE_V(ae_pairs_product)(const ae_pairs *pairs, const real *values, int64_t row0, int64_t row1, int64_t n, const real *b,
                            int64_t b_step, ae_gemm_start start, const real *bias, real *c, int64_t c_step) {
    for (int64_t row = row0; row < row1; row++) {
        const int32_t count = pairs->count[row], *column = pairs->column + row * pairs->most;
        const real *value = values + row * pairs->most;
        for (int64_t q = 0; q < ae_panels(n); q++) {
            real *to = c + q * c_step + row * AE_PANEL;
            vec sum[VECTORS];
            begin(sum, start, bias ? bias + q * AE_PANEL : NULL, to);
            for (int32_t i = 0; i < count; i++)
                add(sum, value[i], b + q * b_step + (int64_t)column[i] * AE_PANEL);
            put(to, sum);
        }
    }
}

/* Up to 32 pairs of a row at once: their rows of B, panel by panel, turned so that a vector has one column of several. */
void AE_V(ae_pairs_products_at)(const ae_pairs *pairs, int64_t row0, int64_t row1, int64_t n, const real *d, int64_t d_step,
                                const real *b, int64_t b_step, bool accumulate) {
    _Alignas(64) real rows[AE_PANEL * AE_PANEL], turned[AE_PANEL * AE_PANEL], result[AE_PANEL] = {0};
    for (int64_t row = row0; row < row1; row++)
        for (int32_t first = 0; first < pairs->count[row]; first += AE_PANEL) {
            const int32_t left = pairs->count[row] - first, count = left < AE_PANEL ? left : AE_PANEL;
            const int32_t *column = pairs->column + row * pairs->most + first;
            real *to = (real *)pairs->gradient + row * pairs->most + first;
            vec sum[VECTORS];
            if (accumulate)
                memcpy(result, to, (size_t)count * sizeof *to);
            begin(sum, accumulate ? AE_START_C : AE_START_ZERO, NULL, result);
            for (int64_t q = 0; q < ae_panels(n); q++) {
                const real *from = d + q * d_step + row * AE_PANEL;
                for (int32_t i = 0; i < count; i++)
                    memcpy(rows + i * AE_PANEL, b + q * b_step + (int64_t)column[i] * AE_PANEL, AE_PANEL * sizeof *rows);
                AE_V(ae_tile_transpose)(rows, count, turned);
                for (int k = 0; k < ae_panel_columns(n, q); k++)
                    add(sum, from[k], turned + k * AE_PANEL);
            }
            put(result, sum);
            memcpy(to, result, (size_t)count * sizeof *to);
        }
}

void AE_V(ae_pairs_rows)(const ae_pairs *pairs, const real *values, int64_t column0, int64_t column1, const real *d,
                         bool accumulate, real *to) {
    for (int64_t c = column0; c < column1; c++, to += AE_PANEL) {
        vec sum[VECTORS];
        begin(sum, accumulate ? AE_START_C : AE_START_ZERO, NULL, to);
        for (int32_t i = pairs->start[c]; i < pairs->start[c + 1]; i++)
            add(sum, values[pairs->entry[i]], d + (int64_t)pairs->row_of[i] * AE_PANEL);
        put(to, sum);
    }
}

void AE_V(ae_pairs_columns)(const ae_pairs *pairs, const real *values, int64_t width, int64_t panel, const real *x,
                            int64_t x_step, int64_t row0, int64_t row1, bool accumulate, real *to) {
    _Alignas(64) real turned[AE_PANEL * AE_PANEL], whole[AE_PANEL * AE_PANEL];
    const int columns = ae_panel_columns(width, panel);
    for (int64_t row = row0; row < row1; row += AE_PANEL, to += AE_PANEL * AE_PANEL) {
        const int height = row1 - row < AE_PANEL ? (int)(row1 - row) : AE_PANEL;
        if (accumulate)
            AE_V(ae_tile_transpose)(to, height, turned);
        for (int c = 0; c < columns; c++) {
            const int64_t column = panel * AE_PANEL + c;
            vec sum[VECTORS];
            begin(sum, accumulate ? AE_START_C : AE_START_ZERO, NULL, turned + c * AE_PANEL);
            for (int32_t i = pairs->start[column]; i < pairs->start[column + 1]; i++)
                add(sum, values[pairs->entry[i]], x + row / AE_PANEL * x_step + (int64_t)pairs->row_of[i] * AE_PANEL);
            put(turned + c * AE_PANEL, sum);
        }
        AE_V(ae_tile_transpose)(turned, columns, whole);
        memcpy(to, whole, (size_t)(height * AE_PANEL) * sizeof *to);
    }
}

void AE_V(ae_pairs_sums)(const ae_pairs *pairs, const real *values, int64_t width, int64_t panel, bool accumulate, real *to) {
    if (!accumulate)
        memset(to, 0, AE_PANEL * sizeof *to);
    for (int c = 0; c < ae_panel_columns(width, panel); c++) {
        const int64_t column = panel * AE_PANEL + c;
        for (int32_t i = pairs->start[column]; i < pairs->start[column + 1]; i++)
            to[c] += values[pairs->entry[i]];
    }
}
