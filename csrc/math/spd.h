/* Inverse of a symmetric positive definite matrix by own products: the same bits on every instruction set, where LAPACK's depend
 * on the machine, and no allocation. */
#ifndef AE_MATH_SPD_H
#define AE_MATH_SPD_H

#include <stdbool.h>
#include <stdint.h>

#include "math/kernels.h"

/* Reals of scratch for a matrix of n rows. */
#define AE_SPD_SCRATCH(n) ((n)*AE_PANEL + 3 * AE_PANEL * AE_PANEL)

/* Replaces an (n, n) matrix in panels, [panel][row][32], by its inverse; tiles above the diagonal are not read. n: a multiple of 32
 * (others are padded with a diagonal of ones). Blocked Gauss-Jordan elimination without pivoting, which for such matrices is as
 * stable as Cholesky's (Higham 2002, section 14.4); pivots of 32 rows are inverted in double. False, and the matrix is spoilt,
 * where a pivot is not positive. One thread; may run inside a parallel phase. */
bool ae_spd_inverse(const ae_kernels *kernels, int bits, int64_t n, void *matrix, void *scratch);

/* Entry i of a run of reals of a precision. */
static inline double ae_real_at(int bits, const void *reals, int64_t i) {
    return bits == 32 ? (double)((const float *)reals)[i] : ((const double *)reals)[i];
}

static inline void ae_real_set(int bits, void *reals, int64_t i, double value) {
    if (bits == 32)
        ((float *)reals)[i] = (float)value;
    else
        ((double *)reals)[i] = value;
}

#endif
