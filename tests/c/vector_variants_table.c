#include "math/functions.h"
#include "math/gamma.h"
#include "math/lanes.h"
#include "math/random.h"
#include "math/select.h"
#include "vector_variants.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

#define MAP(expression)                   \
    for (int64_t i = 0; i < n; i += VL) { \
        vec v = v_load(x + i);            \
        v_store(y + i, expression);       \
    }                                     \
    break

static void map(vector_function function, int64_t n, const void *from, void *to) {
    const real *x = from;
    real *y = to;
    vec s, c;
    switch (function) {
    case FUNCTION_EXP:
        MAP(vf_exp(v));
    case FUNCTION_EXPM1:
        MAP(vf_expm1(v));
    case FUNCTION_LOG:
        MAP(vf_log(v));
    case FUNCTION_LOG1P:
        MAP(vf_log1p(v));
    case FUNCTION_TANH:
        MAP(vf_tanh(v));
    case FUNCTION_LOGISTIC:
        MAP(vf_logistic(v));
    case FUNCTION_SOFTPLUS:
        MAP(vf_softplus(v));
    case FUNCTION_ERF:
        MAP(vf_erf(v));
    case FUNCTION_SIN_2PI:
        MAP((vf_sincos_2pi(v, &s, &c), s));
    case FUNCTION_COS_2PI:
        MAP((vf_sincos_2pi(v, &s, &c), c));
    case FUNCTION_ROUND:
        MAP(v_round(v));
    case FUNCTION_POW2:
        MAP(v_pow2(v));
    case FUNCTION_EXPONENT:
        MAP(v_exponent(v));
    case FUNCTION_MANTISSA:
        MAP(v_mantissa(v));
    case FUNCTION_LGAMMA:
        MAP(vf_lgamma(v));
    case FUNCTION_DIGAMMA:
        MAP(vf_digamma(v));
    case FUNCTION_COUNT:
        break;
    }
}

#define MAP_PAIR(expression)                        \
    for (int64_t i = 0; i < n; i += VL) {           \
        vec a = v_load(x1 + i), b = v_load(x2 + i); \
        v_store(y + i, expression);                 \
    }                                               \
    break

/* The outcomes of all comparisons as a sum of distinct powers of two. */
static inline vec compare(vec a, vec b) {
    vec zero = v_zero(), y = v_select(v_lt(a, b), v_set1(1), zero);
    y = v_add(y, v_select(v_le(a, b), v_set1(2), zero));
    y = v_add(y, v_select(v_eq(a, b), v_set1(4), zero));
    y = v_add(y, v_select(v_unordered(a, b), v_set1(8), zero));
    y = v_add(y, v_select(m_not(v_lt(a, b)), v_set1(16), zero));
    y = v_add(y, v_select(m_and(v_le(a, b), v_le(b, a)), v_set1(32), zero));
    return v_add(y, v_select(m_or(v_lt(a, b), v_lt(b, a)), v_set1(64), zero));
}

static void map_pair(vector_pair pair, int64_t n, const void *from1, const void *from2, void *to) {
    const real *x1 = from1, *x2 = from2;
    real *y = to;
    switch (pair) {
    case PAIR_MAX:
        MAP_PAIR(v_max(a, b));
    case PAIR_MIN:
        MAP_PAIR(v_min(a, b));
    case PAIR_COPYSIGN:
        MAP_PAIR(v_copysign(a, b));
    case PAIR_SCALE:
        MAP_PAIR(v_scale(a, b));
    case PAIR_COMPARE:
        MAP_PAIR(compare(a, b));
    case PAIR_COUNT:
        break;
    }
}

static void activation_forward(ae_activation activation, int64_t n, void *y, void *slope) {
    AE_V(ae_activation_forward)(activation, n, y, slope);
}
static void activation_backward(ae_activation activation, int64_t n, const void *y, const void *slope, void *g) {
    AE_V(ae_activation_backward)(activation, n, y, slope, g);
}
static void softmax_forward(int64_t row0, int64_t row1, int64_t width, int64_t stride, void *y) {
    AE_V(ae_softmax_forward)(row0, row1, width, stride, y);
}
static void softmax_backward(int64_t row0, int64_t row1, int64_t width, int64_t stride, const void *y, void *g) {
    AE_V(ae_softmax_backward)(row0, row1, width, stride, y, g);
}
static void uniform(ae_key key, uint64_t step, uint32_t row, int64_t columns, void *out) {
    AE_V(ae_random_uniform)(key, step, row, columns, out);
}
static void normal(ae_key key, uint64_t step, uint32_t row, int64_t columns, void *out) {
    AE_V(ae_random_normal)(key, step, row, columns, out);
}
static void mask(ae_key key, uint64_t step, uint32_t row, int64_t columns, uint64_t threshold, double kept, void *out) {
    AE_V(ae_random_mask)(key, step, row, columns, threshold, (real)kept, out);
}
static double dot(int64_t n, const void *x, const void *y) { return AE_V(ae_dot)(n, x, y); }
static void add_up(int64_t n, int64_t count, int64_t step, const void *x, void *y) { AE_V(ae_add_up)(n, count, step, x, y); }
static void axpy(int64_t n, double a, const void *x, void *y) { AE_V(ae_axpy)(n, (real)a, x, y); }
static void scale(int64_t n, double a, void *x) { AE_V(ae_scale)(n, (real)a, x); }
static void column_sums(int64_t row0, int64_t row1, const void *panel, void *out) {
    AE_V(ae_column_sums)(row0, row1, panel, out);
}
static int all_below(int64_t n, double limit, const void *x) { return AE_V(ae_all_below)(n, (real)limit, x); }
static void gather(const ae_rows *source, const uint64_t *index, int64_t n, int64_t width, int64_t stride, int64_t row,
                   void *panels) {
    AE_V(ae_rows_gather)(source, index, n, width, stride, row, panels);
}
static void scatter(ae_dtype dtype, const void *panels, int64_t width, int64_t stride, int64_t row, int64_t n,
                    char *destination, int64_t row_bytes) {
    AE_V(ae_rows_scatter)(dtype, panels, width, stride, row, n, destination, row_bytes);
}
static void gather_csr(ae_dtype dtype, const char *values, int index_bits, const char *columns, int64_t count, int64_t width,
                       int64_t stride, int64_t row, void *panels) {
    AE_V(ae_row_gather_csr)(dtype, values, index_bits, columns, count, width, stride, row, panels);
}

static void words(ae_key key, uint64_t step, uint32_t row, int64_t first, int64_t columns, uint32_t *out) {
    AE_V(ae_random_words)(key, step, row, first, columns, out);
}
static ae_keys typed(const vector_keys *keys) { return (ae_keys){keys->at, keys->runs, keys->length, keys->stride}; }
static int64_t select_largest(const vector_keys *keys, int64_t k, double floor, void *work, int64_t work_reals, double *value) {
    const ae_keys from = typed(keys);
    const ae_selection chosen = AE_V(ae_select_largest)(&from, k, (real)floor, work, work_reals);
    *value = (double)chosen.value;
    return chosen.last;
}
static int64_t count_above(const vector_keys *keys, double value) {
    const ae_keys from = typed(keys);
    return AE_V(ae_count_above)(&from, (real)value);
}
static double join(vector_join which, const void *lanes) {
    return which == JOIN_LANES     ? AE_V(ae_join_lanes)(lanes)
           : which == JOIN_DOUBLES ? AE_V(ae_join_doubles)(lanes)
                                   : (double)AE_V(ae_join_reals)(lanes);
}
static void pairs_product(const ae_pairs *pairs, const void *values, int64_t row0, int64_t row1, int64_t n, const void *b,
                          int64_t b_step, ae_gemm_start start, const void *bias, void *c, int64_t c_step) {
    AE_V(ae_pairs_product)(pairs, values, row0, row1, n, b, b_step, start, bias, c, c_step);
}
static void pairs_products_at(const ae_pairs *pairs, int64_t row0, int64_t row1, int64_t n, const void *d, int64_t d_step,
                              const void *b, int64_t b_step, bool accumulate) {
    AE_V(ae_pairs_products_at)(pairs, row0, row1, n, d, d_step, b, b_step, accumulate);
}
static void pairs_rows(const ae_pairs *pairs, const void *values, int64_t column0, int64_t column1, const void *d,
                       bool accumulate, void *to) {
    AE_V(ae_pairs_rows)(pairs, values, column0, column1, d, accumulate, to);
}
static void pairs_columns(const ae_pairs *pairs, const void *values, int64_t width, int64_t panel, const void *x,
                          int64_t x_step, int64_t row0, int64_t row1, bool accumulate, void *to) {
    AE_V(ae_pairs_columns)(pairs, values, width, panel, x, x_step, row0, row1, accumulate, to);
}
static void pairs_sums(const ae_pairs *pairs, const void *values, int64_t width, int64_t panel, bool accumulate, void *to) {
    AE_V(ae_pairs_sums)(pairs, values, width, panel, accumulate, to);
}

extern const ae_kernels AE_V(ae_kernels);
extern const vector_variant AE_V(vector_variant);
const vector_variant AE_V(vector_variant) = {
    .name = TEXT(AE_TARGET),
    .bits = AE_BITS,
    .lanes = VL,
    .map = map,
    .map_pair = map_pair,
    .activation_forward = activation_forward,
    .activation_backward = activation_backward,
    .softmax_forward = softmax_forward,
    .softmax_backward = softmax_backward,
    .uniform = uniform,
    .normal = normal,
    .mask = mask,
    .dot = dot,
    .add_up = add_up,
    .axpy = axpy,
    .scale = scale,
    .column_sums = column_sums,
    .all_below = all_below,
    .gather = gather,
    .scatter = scatter,
    .gather_csr = gather_csr,
    .kernels = &AE_V(ae_kernels),
    .words = words,
    .select_largest = select_largest,
    .count_above = count_above,
    .join = join,
    .pairs_product = pairs_product,
    .pairs_products_at = pairs_products_at,
    .pairs_rows = pairs_rows,
    .pairs_columns = pairs_columns,
    .pairs_sums = pairs_sums,
};
