/* What bench_gemm.c calls in each variant. */
#ifndef AE_BENCH_GEMM_VARIANT_H
#define AE_BENCH_GEMM_VARIANT_H

#include <stdint.h>

#include "base/cpu.h"

typedef struct gemm_operands {
    void *x, *w, *y, *transposed, *gradient;
} gemm_operands;

typedef struct gemm_bench {
    double (*roof)(void);
    /* what: 0 forward y = x w, 1 data x = y w^T, 2 weights gradient = x^T y. */
    void (*run)(int what, int64_t m, int64_t k, int64_t n, const gemm_operands *o);
} gemm_bench;

const gemm_bench *gemm_bench_get(int bits, ae_isa isa);

#endif
