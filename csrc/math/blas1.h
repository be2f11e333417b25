/* Sums and vector updates in one fixed order, and copies between the user's layouts and panels. */
#ifndef AE_MATH_BLAS1_H
#define AE_MATH_BLAS1_H

#include <stdint.h>

typedef enum ae_dtype { AE_F32 = 0, AE_F64, AE_U8 } ae_dtype;

/* A dense matrix of the user's: element (r, c) at base + r * row_bytes + c * column_bytes, at any alignment, any strides. */
typedef struct ae_rows {
    ae_dtype dtype;
    const char *base;
    int64_t row_bytes, column_bytes;
} ae_rows;

#if defined(AE_BITS)
#include "math/variant.h"

/* Sum of x[i] * y[i] in double, for n reals. Fixed order: blocks of 4096, within a block 16 lanes i % 16 each by fma in
 * order, lanes joined as a tree; blocks joined by pairs as a tree. */
double AE_V(ae_dot)(int64_t n, const real *x, const real *y);
/* y += a x, z = x * a ... elementwise by fma. */
void AE_V(ae_axpy)(int64_t n, real a, const real *x, real *y);
void AE_V(ae_scale)(int64_t n, real a, real *x);
/* to = sum of `count` vectors, in order by addition, the next one `step` reals behind; n a multiple of 32. */
void AE_V(ae_add_up)(int64_t n, int64_t count, int64_t step, const real *from, real *to);
/* y *= x, n a multiple of 32. */
void AE_V(ae_multiply)(int64_t n, const real *x, real *y);
/* Sum over rows row0 .. row1 - 1 of one panel (rows of 32): out[32] = start + rows in order, by addition. start: out. */
void AE_V(ae_column_sums)(int64_t row0, int64_t row1, const real *panel, real *out);
/* Scales each column of a panel (rows, 32) whose Euclidean norm is above limit down to it. Squares summed over rows in order. */
void AE_V(ae_limit_column_norms)(int64_t rows, real limit, real *panel);
/* Rows row0 .. row1 - 1 of a parameter (rows, columns) in panels to Euclidean norm one. Left as they are: rows of zeros, which have
 * no direction, and rows within 64 units of rounding, so that doing it again changes nothing. */
void AE_V(ae_unit_rows)(int64_t rows, int64_t columns, int64_t row0, int64_t row1, real *w);
/* Takes out of each row of g its part along the row of w, which has norm one. */
void AE_V(ae_project_rows)(int64_t rows, int64_t columns, int64_t row0, int64_t row1, const real *w, real *g);
/* True if all n are within -limit and limit, which may be infinite: then all are finite. */
int AE_V(ae_all_below)(int64_t n, real limit, const real *x);

/* Rows of the user's data into rows row .. row + n - 1 of a panel matrix, converted to real: rows index[0 .. n - 1] of the source,
 * or its first n where index is NULL. Padding of the last panel becomes zero. */
void AE_V(ae_rows_gather)(const ae_rows *source, const uint64_t *index, int64_t n, int64_t width, int64_t stride, int64_t row,
                          real *panels);
/* The way back: rows row .. row + n - 1 as f32 or f64, a row's columns next to each other, its start row_bytes behind the last. */
void AE_V(ae_rows_scatter)(ae_dtype dtype, const real *panels, int64_t width, int64_t stride, int64_t row, int64_t n,
                           char *destination, int64_t row_bytes);
/* One CSR row: the listed columns, zero elsewhere. A column listed twice would add up, as in SciPy; what users bind has none
 * (ae_data_check refuses it). Indices are int32 (index_bits 32) or int64, in any order, checked to lie inside. */
void AE_V(ae_row_gather_csr)(ae_dtype dtype, const char *values, int index_bits, const char *columns, int64_t count,
                             int64_t width, int64_t stride, int64_t row, real *panels);

#endif
#endif
