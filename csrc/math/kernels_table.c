/* This variant's entries of ae_kernels: the typed functions behind untyped pointers. */
#include "math/activation.h"
#include "math/bf16.h"
#include "math/blas1.h"
#include "math/gemm.h"
#include "math/hamming.h"
#include "math/kernels.h"
#include "math/log_mean_exp.h"
#include "math/random.h"
#include "math/variant.h"

static void tile_transpose(const void *from, int rows, void *to) { AE_V(ae_tile_transpose)(from, rows, to); }
static void gemm_rows(const ae_gemm *gemm, int64_t m, int n, const void *a, const void *b, ae_gemm_start start,
                      const void *bias, void *c) {
    AE_V(ae_gemm_rows)(gemm, m, n, a, b, start, bias, c);
}

static void gemm_columns(const ae_gemm *gemm, int m, int n, const void *a, const void *b, ae_gemm_start start, void *c) {
    AE_V(ae_gemm_columns)(gemm, m, n, a, b, start, c);
}

#if AE_BITS == 32
static void bf16_pack(const void *from, int rows, int parts, ae_parts pairs, ae_parts transposed) {
    AE_V(ae_bf16_pack)(from, rows, parts, pairs, transposed);
}

static void bf16_block(const void *from, int rows, int parts, ae_parts by_rows, ae_parts pairs) {
    AE_V(ae_bf16_block)(from, rows, parts, by_rows, pairs);
}

static void bf16_product(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start, const void *bias,
                         void *c) {
    AE_V(ae_bf16_product)(gemm, m, a, b, start, bias, c);
}
#endif

static double dot(int64_t n, const void *x, const void *y) { return AE_V(ae_dot)(n, x, y); }
static void axpy(int64_t n, double a, const void *x, void *y) { AE_V(ae_axpy)(n, (real)a, x, y); }
static void scale(int64_t n, double a, void *x) { AE_V(ae_scale)(n, (real)a, x); }
static void add_up(int64_t n, int64_t count, int64_t step, const void *from, void *to) {
    AE_V(ae_add_up)(n, count, step, from, to);
}
static void multiply(int64_t n, const void *x, void *y) { AE_V(ae_multiply)(n, x, y); }
static void column_sums(int64_t row0, int64_t row1, const void *panel, void *out) {
    AE_V(ae_column_sums)(row0, row1, panel, out);
}

static int all_below(int64_t n, double limit, const void *x) { return AE_V(ae_all_below)(n, (real)limit, x); }

static void limit_column_norms(int64_t rows, double limit, void *panel) {
    AE_V(ae_limit_column_norms)(rows, (real)limit, panel);
}

static void unit_rows(int64_t rows, int64_t columns, int64_t row0, int64_t row1, void *w) {
    AE_V(ae_unit_rows)(rows, columns, row0, row1, w);
}

static void project_rows(int64_t rows, int64_t columns, int64_t row0, int64_t row1, const void *w, void *g) {
    AE_V(ae_project_rows)(rows, columns, row0, row1, w, g);
}

static void rows_gather(const ae_rows *source, const uint64_t *index, int64_t n, int64_t width, int64_t stride, int64_t row,
                        void *panels) {
    AE_V(ae_rows_gather)(source, index, n, width, stride, row, panels);
}

static void rows_scatter(ae_dtype dtype, const void *panels, int64_t width, int64_t stride, int64_t row, int64_t n,
                         char *destination, int64_t row_bytes) {
    AE_V(ae_rows_scatter)(dtype, panels, width, stride, row, n, destination, row_bytes);
}

static void row_gather_csr(ae_dtype dtype, const char *values, int index_bits, const char *columns, int64_t count,
                           int64_t width, int64_t stride, int64_t row, void *panels) {
    AE_V(ae_row_gather_csr)(dtype, values, index_bits, columns, count, width, stride, row, panels);
}

static void activation_forward(ae_activation activation, int64_t n, void *y, void *slope) {
    AE_V(ae_activation_forward)(activation, n, y, slope);
}

static void activation_backward(ae_activation activation, int64_t n, const void *y, const void *slope, void *delta) {
    AE_V(ae_activation_backward)(activation, n, y, slope, delta);
}

static void softmax_forward(int64_t row0, int64_t row1, int64_t width, int64_t stride, void *y) {
    AE_V(ae_softmax_forward)(row0, row1, width, stride, y);
}

static void random_normal(ae_key key, uint64_t step, uint32_t row, int64_t columns, void *out) {
    AE_V(ae_random_normal)(key, step, row, columns, out);
}

#if AE_BITS == 32
static void random_round(ae_key key, uint64_t step, uint32_t row, int64_t n, int count, const void *const *from,
                         void *const *to) {
    const real *reals[AE_ROUNDED_ARRAYS];
    uint32_t *words[AE_ROUNDED_ARRAYS];
    for (int i = 0; i < count; i++) {
        reals[i] = from[i];
        words[i] = to[i];
    }
    AE_V(ae_random_round)(key, step, row, n, count, reals, words);
}

static void widen(int64_t n, const void *from, void *to) { AE_V(ae_widen)(n, from, to); }
#endif

static double log_mean_exp(int64_t k, const void *t, void *share) { return AE_V(ae_log_mean_exp)(k, t, share); }

extern const ae_kernels AE_V(ae_kernels);
const ae_kernels AE_V(ae_kernels) = {
    .tile_transpose = tile_transpose,
    .gemm_rows = gemm_rows,
    .gemm_columns = gemm_columns,
#if AE_BITS == 32
    .bf16_pack = bf16_pack,
    .bf16_block = bf16_block,
    .bf16_turn_pairs = AE_V(ae_bf16_turn_pairs),
    .bf16_product = bf16_product,
#endif
    .dot = dot,
    .axpy = axpy,
    .scale = scale,
    .add_up = add_up,
    .multiply = multiply,
    .column_sums = column_sums,
    .all_below = all_below,
    .limit_column_norms = limit_column_norms,
    .unit_rows = unit_rows,
    .project_rows = project_rows,
    .rows_gather = rows_gather,
    .rows_scatter = rows_scatter,
    .row_gather_csr = row_gather_csr,
    .activation_forward = activation_forward,
    .activation_backward = activation_backward,
    .softmax_forward = softmax_forward,
    .random_normal = random_normal,
#if AE_BITS == 32
    .random_round = random_round,
    .widen = widen,
#endif
    .log_mean_exp = log_mean_exp,
    .hamming_distances = AE_V(ae_hamming_distances),
};
