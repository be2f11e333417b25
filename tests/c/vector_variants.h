/* What the tests of the vector floor call of each variant, behind untyped pointers (to reals of the variant). */
#ifndef AE_TEST_VECTOR_VARIANTS_H
#define AE_TEST_VECTOR_VARIANTS_H

#include <stdint.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "math/activation.h"
#include "math/blas1.h"
#include "math/kernels.h"
#include "math/pairs.h"

typedef enum vector_function {
    FUNCTION_EXP,
    FUNCTION_EXPM1,
    FUNCTION_LOG,
    FUNCTION_LOG1P,
    FUNCTION_TANH,
    FUNCTION_LOGISTIC,
    FUNCTION_SOFTPLUS,
    FUNCTION_ERF,
    FUNCTION_SIN_2PI,
    FUNCTION_COS_2PI,
    /* Single operations of math/vec.h. */
    FUNCTION_ROUND,
    FUNCTION_POW2,
    FUNCTION_EXPONENT,
    FUNCTION_MANTISSA,
    /* math/gamma.h. */
    FUNCTION_LGAMMA,
    FUNCTION_DIGAMMA,
    FUNCTION_COUNT
} vector_function;

typedef enum vector_pair { PAIR_MAX, PAIR_MIN, PAIR_COPYSIGN, PAIR_SCALE, PAIR_COMPARE, PAIR_COUNT } vector_pair;

typedef enum vector_join { JOIN_LANES, JOIN_DOUBLES, JOIN_REALS } vector_join;

/* ae_keys of math/select.h for either precision. */
typedef struct vector_keys {
    const void *at;
    int64_t runs, length, stride;
} vector_keys;

typedef struct vector_variant {
    const char *name;
    int bits;
    int lanes;
    void (*map)(vector_function function, int64_t n, const void *x, void *y); /* n: a multiple of 32 */
    void (*map_pair)(vector_pair pair, int64_t n, const void *a, const void *b, void *y);
    void (*activation_forward)(ae_activation activation, int64_t n, void *y, void *slope);
    void (*activation_backward)(ae_activation activation, int64_t n, const void *y, const void *slope, void *g);
    void (*softmax_forward)(int64_t row0, int64_t row1, int64_t width, int64_t stride, void *y);
    void (*softmax_backward)(int64_t row0, int64_t row1, int64_t width, int64_t stride, const void *y, void *g);
    void (*uniform)(ae_key key, uint64_t step, uint32_t row, int64_t columns, void *out);
    void (*normal)(ae_key key, uint64_t step, uint32_t row, int64_t columns, void *out);
    void (*mask)(ae_key key, uint64_t step, uint32_t row, int64_t columns, uint64_t threshold, double kept, void *out);
    double (*dot)(int64_t n, const void *x, const void *y);
    void (*add_up)(int64_t n, int64_t count, int64_t step, const void *x, void *y);
    void (*axpy)(int64_t n, double a, const void *x, void *y);
    void (*scale)(int64_t n, double a, void *x);
    void (*column_sums)(int64_t row0, int64_t row1, const void *panel, void *out);
    int (*all_below)(int64_t n, double limit, const void *x);
    void (*gather)(const ae_rows *source, const uint64_t *index, int64_t n, int64_t width, int64_t stride, int64_t row,
                   void *panels);
    void (*scatter)(ae_dtype dtype, const void *panels, int64_t width, int64_t stride, int64_t row, int64_t n,
                    char *destination, int64_t row_bytes);
    void (*gather_csr)(ae_dtype dtype, const char *values, int index_bits, const char *columns, int64_t count, int64_t width,
                       int64_t stride, int64_t row, void *panels);
    const ae_kernels *kernels; /* the variant's own table */
    void (*words)(ae_key key, uint64_t step, uint32_t row, int64_t first, int64_t columns, uint32_t *out);
    /* Returns `last` of the selection. */
    int64_t (*select_largest)(const vector_keys *keys, int64_t k, double floor, void *work, int64_t work_reals, double *value);
    int64_t (*count_above)(const vector_keys *keys, double value);
    double (*join)(vector_join join, const void *lanes); /* of doubles for JOIN_DOUBLES, else of reals */
    /* math/pairs.h */
    void (*pairs_product)(const ae_pairs *pairs, const void *values, int64_t row0, int64_t row1, int64_t n, const void *b,
                          int64_t b_step, ae_gemm_start start, const void *bias, void *c, int64_t c_step);
    void (*pairs_products_at)(const ae_pairs *pairs, int64_t row0, int64_t row1, int64_t n, const void *d, int64_t d_step,
                              const void *b, int64_t b_step, bool accumulate);
    void (*pairs_rows)(const ae_pairs *pairs, const void *values, int64_t column0, int64_t column1, const void *d,
                       bool accumulate, void *to);
    void (*pairs_columns)(const ae_pairs *pairs, const void *values, int64_t width, int64_t panel, const void *x,
                          int64_t x_step, int64_t row0, int64_t row1, bool accumulate, void *to);
    void (*pairs_sums)(const ae_pairs *pairs, const void *values, int64_t width, int64_t panel, bool accumulate, void *to);
} vector_variant;

/* The variants of one precision that this machine can run, the reference first, then NULL. */
const vector_variant *const *vector_variants_of(int bits);

#endif
