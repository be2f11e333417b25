/* Products of bfloat16 operands, summed in float: precision "bfloat16" (one part) and "high" (two).
 *
 * A float x is taken apart into bfloat16 numbers, each rounded to nearest, ties to even: part 0 of x, part 1 of what is left; what lies
 * below the normal range becomes zero, as the instructions that convert have it (Intel, AVX512_BF16).
 * One product multiplies parts 0; two parts give three products: 0 * 1, 0 * 0 and 1 * 0, in this order. Of a sum of products of floats the
 * factors' roundings change at most 2^-7 + 2^-16 (one part) or 3 * 2^-16 + 2^-24 (two) of the sum of the absolute values.
 *
 * The order of a sum is that of the tile instruction TDPBF16PS (Intel, "Software Developer's Manual", volume 2): terms of 32, padded
 * with zeros; in each, products at even and at odd positions are summed apart by FMA from zero on, then added to each
 * other, then to C; numbers below the normal range count and come out as zero. Rows are independent of each other. Every
 * instruction set has these bits, with tiles (math/amx.h) and without. (AArch64 flushes what rounding would have lifted to the
 * smallest normal number; that alone differs.)
 *
 * Layouts, in panels of 32 as everywhere. By rows, (row, 32): the factor on the left, summed along a row; 64 bytes are a row of a
 * tile. By pairs, (16, 32, 2): 32 rows of the factor on the right, where two rows that follow each other in the sum lie together. */
#ifndef AE_MATH_BF16_H
#define AE_MATH_BF16_H

#include <stdbool.h>
#include <stdint.h>

#include "math/gemm.h"

#define AE_BF16_BLOCK (AE_PANEL * AE_PANEL) /* numbers of a block of 32 by 32, in either layout */

typedef uint16_t ae_bf16;

/* A matrix in parts, NULL where there is no second one. */
typedef struct ae_parts {
    ae_bf16 *part[2];
} ae_parts;

/* From number `at` on; of nothing, nothing. */
static inline ae_parts ae_parts_at(ae_parts m, int64_t at) {
    return (ae_parts){{m.part[0] ? m.part[0] + at : (ae_bf16 *)0, m.part[1] ? m.part[1] + at : (ae_bf16 *)0}};
}

/* For each of `panels` panels C (m, 32) = start + sum over `terms` of A (m, 32) by rows times B (32, 32) by pairs; m, panels and terms
 * are at least 1. a_step: numbers from one term of A to the next; the terms of B follow each other. b_panel, c_panel: numbers from one
 * panel of B, floats from one panel of C to the next (of one panel: to where a next one would be asked for, which is not read). bias and c as for ae_gemm_rows. */
typedef struct ae_bf16_gemm {
    int64_t terms, a_step;
    int parts;
    int64_t panels, b_panel, c_panel;
} ae_bf16_gemm;

/* The same with the tiles of AMX; false, and nothing done, where the machine has none. */
bool ae_amx_gemm(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start, const float *bias, float *c);

#if defined(AE_BITS) && AE_BITS == 32
#include "math/variant.h"

void AE_V(ae_bf16_product)(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start, const real *bias,
                           real *c);
/* Without tiles, whatever the machine has. */
void AE_V(ae_bf16_product_by_vectors)(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start,
                                      const real *bias, real *c);

/* from (rows <= 32, 32) as a block: its rows by rows, and all of it by pairs, where what is missing of its rows is zero. Either
 * may be NULL. */
void AE_V(ae_bf16_block)(const real *from, int rows, int parts, ae_parts by_rows, ae_parts pairs);
/* Without the instructions that convert, whatever the machine has. */
void AE_V(ae_bf16_block_by_vectors)(const real *from, int rows, int parts, ae_parts by_rows, ae_parts pairs);
/* The transpose of a block by pairs, by rows: of the same 32 by 32 numbers the factor on the left. */
void AE_V(ae_bf16_turn_pairs)(const ae_bf16 *from, ae_bf16 *to);
/* from (rows <= 32, 32) and its transpose, both by pairs; what is missing of `rows` is zero. Either may be NULL. */
void AE_V(ae_bf16_pack)(const real *from, int rows, int parts, ae_parts pairs, ae_parts transposed);

#endif
#endif
