/* The door for products: batch-reduce GEMM on panels.
 *
 *   C (m, 32) = start + sum over i of A_i (m, k_i) * B_i (k_i, 32)
 *
 * The descriptor is fixed when a network is planned: how many terms the sum has and where each lies from the base of its
 * operand. Execution takes three base addresses. A dense layer has one term per 32 inputs; a convolution has one per
 * kernel position and 32 channels; a recurrent layer appends the terms of the hidden state to those of the input.
 *
 * Each output is the chain fma(a_last, b_last, ... fma(a_0, b_0, start)) over i and k in order. It does not depend on m,
 * on the position of the row, on tails, on slices of the sum or on threads, so the rows of a product may be cut in any way,
 * and every instruction set gives the bits of the reference. */
#ifndef AE_MATH_GEMM_H
#define AE_MATH_GEMM_H

#include <stdint.h>

#include "math/panel.h"

typedef enum ae_gemm_start {
    AE_START_ZERO = 0, /* C is written */
    AE_START_BIAS,     /* C is written; each row starts at the 32 reals of bias */
    AE_START_C         /* C is read and written */
} ae_gemm_start;

typedef struct ae_gemm {
    int64_t terms;           /* number of (A_i, B_i); 0 gives C = start */
    int32_t k;               /* summed length of each term but the last */
    int32_t k_last;          /* of the last term */
    const int64_t *a_offset; /* reals from base a to A_i; NULL: i * a_step */
    const int64_t *b_offset; /* reals from base b to B_i; NULL: i * b_step */
    int64_t a_step, b_step;
} ae_gemm;

#if defined(AE_BITS)
#include "math/variant.h"

/* A_i[r][k] at a + offset_i + r * 32 + k: rows of a panel matrix. B_i[k][n] at b + offset_i + k * 32 + n.
 * C row r at c + r * 32. n: columns wanted, 1 .. 32; columns from n up to the next multiple of 16 are written too, from
 * B's padding; beyond that they become zero where C is written, so that nothing old is left in the padding, and stay as
 * they are with AE_START_C. bias: 32 reals, or NULL unless start is AE_START_BIAS. */
void AE_V(ae_gemm_rows)(const ae_gemm *gemm, int64_t m, int n, const real *a, const real *b, ae_gemm_start start,
                        const real *bias, real *c);

/* The same with A transposed: A_i[r][k] at a + offset_i + k * 32 + r (r < 32, so m <= 32): the columns of one panel.
 * With k running over the rows of a minibatch this is the weight gradient X^T G. */
void AE_V(ae_gemm_columns)(const ae_gemm *gemm, int m, int n, const real *a, const real *b, ae_gemm_start start, real *c);

/* to[c][r] = from[r][c] for r < rows <= 32, c < 32: a tile of weights into the panel of its transpose. Rows of both are
 * 32 reals apart; columns rows .. 31 of `to` become zero. */
void AE_V(ae_tile_transpose)(const real *from, int rows, real *to);

#endif
#endif
