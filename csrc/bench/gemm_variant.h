/* What bench_gemm.c calls in each variant. */
#ifndef AE_BENCH_GEMM_VARIANT_H
#define AE_BENCH_GEMM_VARIANT_H

#include <stdint.h>

#include "base/cpu.h"
#include "math/bf16.h"

typedef struct gemm_operands {
    void *x, *w, *y, *transposed, *gradient;
} gemm_operands;

typedef struct gemm_bench {
    double (*roof)(void);
    /* what: 0 forward y = x w, 1 data x = y w^T, 2 weights gradient = x^T y. */
    void (*run)(int what, int64_t m, int64_t k, int64_t n, const gemm_operands *o);
    /* Of math/bf16.h; NULL in double. */
    void (*bf16_product)(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start, const float *bias,
                         float *c);
    void (*bf16_block)(const float *from, int rows, int parts, ae_parts by_rows, ae_parts pairs);
    void (*bf16_turn_pairs)(const ae_bf16 *from, ae_bf16 *to);
    void (*bf16_pack)(const float *from, int rows, int parts, ae_parts pairs, ae_parts transposed);
} gemm_bench;

const gemm_bench *gemm_bench_get(int bits, ae_isa isa);

#endif
