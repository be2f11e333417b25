#include "math/variant.h"
#include "product_variants.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

static void rows(const ae_gemm *gemm, int64_t m, int n, const void *a, const void *b, ae_gemm_start start, const void *bias,
                 void *c) {
    AE_V(ae_gemm_rows)(gemm, m, n, a, b, start, bias, c);
}
static void columns(const ae_gemm *gemm, int m, int n, const void *a, const void *b, ae_gemm_start start, void *c) {
    AE_V(ae_gemm_columns)(gemm, m, n, a, b, start, c);
}
static void transpose(const void *from, int height, void *to) { AE_V(ae_tile_transpose)(from, height, to); }

extern const product_variant AE_V(product_variant);
const product_variant AE_V(product_variant) = {TEXT(AE_PRECISION) " " TEXT(AE_TARGET), rows, columns, transpose};
