/* The functions of a variant that sources compiled once call: one table for each precision and instruction set.
 * Void pointers point to reals of the variant. See the headers named for what each does. */
#ifndef AE_MATH_KERNELS_H
#define AE_MATH_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "math/activation.h"
#include "math/bf16.h"
#include "math/blas1.h"
#include "math/gemm.h"
#include "math/random.h"

typedef struct ae_kernels {
    /* math/gemm.h */
    void (*tile_transpose)(const void *from, int rows, void *to);
    void (*gemm_rows)(const ae_gemm *gemm, int64_t m, int n, const void *a, const void *b, ae_gemm_start start,
                      const void *bias, void *c);
    void (*gemm_columns)(const ae_gemm *gemm, int m, int n, const void *a, const void *b, ae_gemm_start start, void *c);
    /* math/bf16.h; NULL in double precision */
    void (*bf16_pack)(const void *from, int rows, int parts, ae_parts pairs, ae_parts transposed);
    void (*bf16_block)(const void *from, int rows, int parts, ae_parts by_rows, ae_parts pairs);
    void (*bf16_turn_pairs)(const ae_bf16 *from, ae_bf16 *to);
    void (*bf16_product)(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start, const void *bias,
                         void *c);
    /* math/blas1.h */
    double (*dot)(int64_t n, const void *x, const void *y);
    void (*axpy)(int64_t n, double a, const void *x, void *y);
    void (*scale)(int64_t n, double a, void *x);
    void (*add_up)(int64_t n, int64_t count, int64_t step, const void *from, void *to);
    void (*multiply)(int64_t n, const void *x, void *y);
    void (*column_sums)(int64_t row0, int64_t row1, const void *panel, void *out);
    int (*all_below)(int64_t n, double limit, const void *x);
    void (*limit_column_norms)(int64_t rows, double limit, void *panel);
    void (*unit_rows)(int64_t rows, int64_t columns, int64_t row0, int64_t row1, void *w);
    void (*project_rows)(int64_t rows, int64_t columns, int64_t row0, int64_t row1, const void *w, void *g);
    void (*rows_gather)(const ae_rows *source, const uint64_t *index, int64_t n, int64_t width, int64_t stride, int64_t row,
                        void *panels);
    void (*rows_scatter)(ae_dtype dtype, const void *panels, int64_t width, int64_t stride, int64_t row, int64_t n,
                         char *destination, int64_t row_bytes);
    void (*row_gather_csr)(ae_dtype dtype, const char *values, int index_bits, const char *columns, int64_t count,
                           int64_t width, int64_t stride, int64_t row, void *panels);
    /* math/activation.h */
    void (*activation_forward)(ae_activation activation, int64_t n, void *y, void *slope);
    void (*activation_backward)(ae_activation activation, int64_t n, const void *y, const void *slope, void *delta);
    void (*softmax_forward)(int64_t row0, int64_t row1, int64_t width, int64_t stride, void *y);
    /* math/random.h */
    void (*random_normal)(ae_key key, uint64_t step, uint32_t row, int64_t columns, void *out);
    /* NULL in double precision */
    void (*random_round)(ae_key key, uint64_t step, uint32_t row, int64_t n, int count, const void *const *from,
                         void *const *to);
    void (*widen)(int64_t n, const void *from, void *to);
    /* math/log_mean_exp.h */
    double (*log_mean_exp)(int64_t k, const void *t, void *share);
    /* math/hamming.h */
    void (*hamming_distances)(int64_t n, int64_t words, const uint64_t *codes, const uint64_t *query, int32_t *out);
} ae_kernels;

/* NULL where this build has no such variant. */
const ae_kernels *ae_kernels_get(int bits, ae_isa isa);

#endif
