/* What test_gemm calls of each variant of math/gemm.h, behind untyped pointers (to reals of the variant). */
#ifndef AE_TEST_PRODUCT_VARIANTS_H
#define AE_TEST_PRODUCT_VARIANTS_H

#include "math/gemm.h"

typedef struct product_variant {
    const char *name;
    void (*rows)(const ae_gemm *gemm, int64_t m, int n, const void *a, const void *b, ae_gemm_start start, const void *bias,
                 void *c);
    void (*columns)(const ae_gemm *gemm, int m, int n, const void *a, const void *b, ae_gemm_start start, void *c);
    void (*transpose)(const void *from, int rows, void *to);
} product_variant;

/* The variants of one precision that this machine can run, the reference first, then NULL. */
const product_variant *const *product_variants_of(int bits);

#endif
