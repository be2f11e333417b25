/* Values with few entries that differ from zero, and products with them.
 *
 * An entry that is not among the pairs is zero and has no gradient. Every sum goes over the pairs in the order in which the
 * product of the dense value would come to them, by the same operations; those that are left out would add a product with zero,
 * which changes nothing. So the bits are those of the dense value (but for the sign of a sum that is zero, and where a weight
 * is not finite, since then 0 times it is not zero). */
#ifndef AE_MATH_PAIRS_H
#define AE_MATH_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "math/gemm.h"

typedef struct ae_pairs {
    int64_t most;    /* room of a row; rows times it fits into 32 bits */
    int32_t *count;  /* by row */
    int32_t *column; /* [row][most], rising */
    void *value;     /* [row][most] */
    void *gradient;  /* likewise; NULL where no backward follows */
    void *spare;     /* likewise, where there is no gradient: for who reads them, a row at a time; else NULL */
    /* The same by column (ae_pairs_order): of column c entries start[c] .. start[c + 1] - 1, rows rising. */
    int32_t *start;  /* width + 1 */
    int32_t *entry;  /* where in `column`, `value` and `gradient` */
    int32_t *row_of; /* entry's row */
} ae_pairs;

/* Fills start, entry and row_of from the pairs of rows 0 .. rows - 1: a sort by counting. */
void ae_pairs_order(const ae_pairs *pairs, int64_t rows, int64_t width);

#if defined(AE_BITS)
#include "math/variant.h"

/* C (rows, n) = start + V B: rows row0 .. row1 - 1; V the values at the pairs (value or gradient), B (width, n) in panels b_step
 * apart, C and bias as in ae_gemm_rows, panels of C c_step apart. */
void AE_V(ae_pairs_product)(const ae_pairs *pairs, const real *values, int64_t row0, int64_t row1, int64_t n, const real *b,
                            int64_t b_step, ae_gemm_start start, const real *bias, real *c, int64_t c_step);

/* pairs->gradient = or += D B^T at the pairs: D (rows, n) in panels d_step apart. */
void AE_V(ae_pairs_products_at)(const ae_pairs *pairs, int64_t row0, int64_t row1, int64_t n, const real *d, int64_t d_step,
                                const real *b, int64_t b_step, bool accumulate);

/* Rows column0 .. column1 - 1 of V^T D for one panel of D, over all rows: to (column1 - column0, 32). */
void AE_V(ae_pairs_rows)(const ae_pairs *pairs, const real *values, int64_t column0, int64_t column1, const real *d,
                         bool accumulate, real *to);

/* Columns 32 panel .. of X^T V, for columns row0 .. row1 - 1 of X (in panels x_step apart), row0 a multiple of 32, over all rows:
 * to (row1 - row0, 32). */
void AE_V(ae_pairs_columns)(const ae_pairs *pairs, const real *values, int64_t width, int64_t panel, const real *x,
                            int64_t x_step, int64_t row0, int64_t row1, bool accumulate, real *to);

/* Sums of the columns of one panel: to (1, 32), or added to it. */
void AE_V(ae_pairs_sums)(const ae_pairs *pairs, const real *values, int64_t width, int64_t panel, bool accumulate, real *to);

#endif
#endif
