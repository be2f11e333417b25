#include "math/blas1.h"

#include <math.h>
#include <string.h>

#include "math/panel.h"
#include "math/vec.h"

#define DOT_LANES 16
#define DOT_BLOCK 4096

#if AE_BITS == 32
#define FMA fmaf
#else
#define FMA fma
#endif

static double dot_block(int64_t n, const real *x, const real *y) {
    double lanes[DOT_LANES] = {0};
    int64_t i = 0;
    for (; i + DOT_LANES <= n; i += DOT_LANES)
        for (int l = 0; l < DOT_LANES; l++)
            lanes[l] = fma((double)x[i + l], (double)y[i + l], lanes[l]);
    for (int l = 0; i + l < n; l++)
        lanes[l] = fma((double)x[i + l], (double)y[i + l], lanes[l]);
    for (int width = DOT_LANES / 2; width; width /= 2)
        for (int l = 0; l < width; l++)
            lanes[l] += lanes[l + width];
    return lanes[0];
}

double AE_V(ae_dot)(int64_t n, const real *x, const real *y) {
    /* partial[k] is the sum of 2^k blocks wherever bit k of `blocks` is set: pairs are joined as soon as both are there. */
    double partial[64];
    uint64_t blocks = 0;
    for (int64_t i = 0; i < n; i += DOT_BLOCK) {
        double sum = dot_block(n - i < DOT_BLOCK ? n - i : DOT_BLOCK, x + i, y + i);
        int level = 0;
        for (; blocks >> level & 1; level++)
            sum = partial[level] + sum;
        partial[level] = sum;
        blocks++;
    }
    double sum = 0;
    int joined = 0;
    for (int level = 0; blocks >> level; level++)
        if (blocks >> level & 1) {
            sum = joined ? partial[level] + sum : partial[level];
            joined = 1;
        }
    return sum;
}

void AE_V(ae_axpy)(int64_t n, real a, const real *x, real *y) {
    vec factor = v_set1(a);
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(y + i, v_fma(factor, v_load(x + i), v_load(y + i)));
    for (; i < n; i++)
        y[i] = FMA(a, x[i], y[i]);
}

void AE_V(ae_scale)(int64_t n, real a, real *x) {
    vec factor = v_set1(a);
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(x + i, v_mul(factor, v_load(x + i)));
    for (; i < n; i++)
        x[i] = a * x[i];
}

void AE_V(ae_add_up)(int64_t n, int64_t count, int64_t step, const real *from, real *to) {
    for (int64_t i = 0; i < n; i += VL) {
        vec sum = v_load(from + i);
        for (int64_t k = 1; k < count; k++)
            sum = v_add(sum, v_load(from + k * step + i));
        v_store(to + i, sum);
    }
}

void AE_V(ae_multiply)(int64_t n, const real *x, real *y) {
    for (int64_t i = 0; i < n; i += VL)
        v_store(y + i, v_mul(v_load(x + i), v_load(y + i)));
}

void AE_V(ae_column_sums)(int64_t row0, int64_t row1, const real *panel, real *out) {
    enum { VECTORS = AE_PANEL / VL };
    vec sums[VECTORS]; /* in registers, hence the unrolling */
#pragma GCC unroll 8
    for (int j = 0; j < VECTORS; j++)
        sums[j] = v_load(out + j * VL);
    for (int64_t row = row0; row < row1; row++)
#pragma GCC unroll 8
        for (int j = 0; j < VECTORS; j++)
            sums[j] = v_add(sums[j], v_load(panel + row * AE_PANEL + j * VL));
#pragma GCC unroll 8
    for (int j = 0; j < VECTORS; j++)
        v_store(out + j * VL, sums[j]);
}

int AE_V(ae_all_below)(int64_t n, real limit, const real *x) {
    const vec limits = v_set1(limit);
    int64_t i = 0;
    for (; i + AE_PANEL <= n; i += AE_PANEL) {
        vmask below = v_lt(v_abs(v_load(x + i)), limits);
#pragma GCC unroll 8
        for (int j = VL; j < AE_PANEL; j += VL)
            below = m_and(below, v_lt(v_abs(v_load(x + i + j)), limits));
        if (m_any(m_not(below)))
            return 0;
    }
    for (; i < n; i++)
        if (!(x[i] > -limit && x[i] < limit))
            return 0;
    return 1;
}

/* The user's elements, at any alignment. */
typedef float any_f32 __attribute__((aligned(1), may_alias));
typedef double any_f64 __attribute__((aligned(1), may_alias));
typedef uint8_t any_u8 __attribute__((may_alias));
typedef int32_t any_i32 __attribute__((aligned(1), may_alias));
typedef int64_t any_i64 __attribute__((aligned(1), may_alias));
#if AE_BITS == 32
typedef double other_real;
typedef any_f64 any_other;
#else
typedef float other_real;
typedef any_f32 any_other;
#endif

/* n < 32 reals in pieces of constant length, each a move or two, where memcpy would be a call for every row. */
AE_INLINE void copy_pieces(const char *restrict from, int n, char *restrict to) {
#pragma GCC unroll 5
    for (int piece = AE_PANEL / 2; piece; piece /= 2)
        if (n & piece) {
            memcpy(to, from, (size_t)piece * sizeof(real));
            to += (size_t)piece * sizeof(real);
            from += (size_t)piece * sizeof(real);
        }
}

/* Before its first reals come: a row of a panel that has a padding. Unrolled, or compilers make it `rep stos`, which takes as long
 * as the copy. */
AE_INLINE void zero_row(real *at) {
#if VL > 1
#pragma GCC unroll 8
#endif
    for (int c = 0; c < AE_PANEL; c += VL)
        v_store(at + c, v_zero());
}

/* Elements that need no conversion. */
static void copy_row(const char *restrict source, int64_t whole, int left, int64_t stride, real *restrict at) {
    for (int64_t p = 0; p < whole; p++, at += stride, source += AE_PANEL * sizeof(real))
        memcpy(at, source, AE_PANEL * sizeof(real));
    if (!left)
        return;
    zero_row(at);
    copy_pieces(source, left, (char *)at);
}

/* n elements of another type, in pieces of constant length, which compilers turn into conversions of vectors. */
#define CONVERT_PIECE(length, from, type, to)        \
    {                                                \
        for (int c = 0; c < (length); c++)           \
            (to)[done + c] = (type)(from)[done + c]; \
        done += (length);                            \
    }
#define CONVERT(from, n, type, to)           \
    {                                        \
        int done = 0;                        \
        while (done + 8 <= (n))              \
            CONVERT_PIECE(8, from, type, to) \
        if ((n)&4)                           \
            CONVERT_PIECE(4, from, type, to) \
        if ((n)&2)                           \
            CONVERT_PIECE(2, from, type, to) \
        if ((n)&1)                           \
            CONVERT_PIECE(1, from, type, to) \
    }

/* A row of another type, its elements next to each other. */
#define CONVERT_ROW(type)                          \
    for (int64_t p = 0; p < ae_panels(width); p++) \
    CONVERT((const type *)source + p * AE_PANEL, ae_panel_columns(width, p), real, at + p * stride)

AE_INLINE real element(ae_dtype dtype, const char *at) {
    return dtype == AE_F32   ? (real) * (const any_f32 *)at
           : dtype == AE_F64 ? (real) * (const any_f64 *)at
                             : (real) * (const any_u8 *)at;
}

static void gather_row(ae_dtype dtype, const char *restrict source, int64_t column_bytes, int64_t width, int64_t stride,
                       real *restrict at) {
    if (width % AE_PANEL)
        zero_row(at + width / AE_PANEL * stride);
    if (dtype == AE_U8 && column_bytes == 1) {
        CONVERT_ROW(any_u8)
    } else if (dtype == (AE_BITS == 32 ? AE_F64 : AE_F32) && column_bytes == (int64_t)sizeof(other_real)) {
        CONVERT_ROW(any_other)
    } else {
        for (int64_t c = 0; c < width; c++)
            at[c / AE_PANEL * stride + c % AE_PANEL] = element(dtype, source + c * column_bytes);
    }
}

void AE_V(ae_rows_gather)(const ae_rows *source, const uint64_t *index, int64_t n, int64_t width, int64_t stride, int64_t row,
                          real *panels) {
    const bool same = source->dtype == (AE_BITS == 32 ? AE_F32 : AE_F64) && source->column_bytes == (int64_t)sizeof(real);
    for (int64_t i = 0; i < n; i++) {
        const char *const from = source->base + (index ? (int64_t)index[i] : i) * source->row_bytes;
        real *const at = panels + (row + i) * AE_PANEL;
        if (same)
            copy_row(from, width / AE_PANEL, (int)(width % AE_PANEL), stride, at);
        else
            gather_row(source->dtype, from, source->column_bytes, width, stride, at);
    }
}

static void scatter_row(ae_dtype dtype, const real *restrict at, int64_t width, int64_t stride, char *restrict to) {
    if (dtype == (AE_BITS == 32 ? AE_F32 : AE_F64)) {
        for (int64_t p = 0; p < width / AE_PANEL; p++, at += stride, to += AE_PANEL * sizeof(real))
            memcpy(to, at, AE_PANEL * sizeof(real));
        copy_pieces((const char *)at, (int)(width % AE_PANEL), to);
    } else {
        for (int64_t p = 0; p < ae_panels(width); p++)
            CONVERT(at + p * stride, ae_panel_columns(width, p), other_real, (any_other *)to + p * AE_PANEL)
    }
}

void AE_V(ae_rows_scatter)(ae_dtype dtype, const real *panels, int64_t width, int64_t stride, int64_t row, int64_t n,
                           char *destination, int64_t row_bytes) {
    for (int64_t i = 0; i < n; i++)
        scatter_row(dtype, panels + (row + i) * AE_PANEL, width, stride, destination + i * row_bytes);
}

void AE_V(ae_row_gather_csr)(ae_dtype dtype, const char *values, int index_bits, const char *columns, int64_t count,
                             int64_t width, int64_t stride, int64_t row, real *panels) {
    real *at = panels + row * AE_PANEL;
    for (int64_t p = 0; p < ae_panels(width); p++)
        memset(at + p * stride, 0, AE_PANEL * sizeof(real));
    for (int64_t k = 0; k < count; k++) {
        int64_t column = index_bits == 32 ? ((const any_i32 *)columns)[k] : ((const any_i64 *)columns)[k];
        real value;
        if ((uint64_t)column >= (uint64_t)width) /* the owner of the matrix has changed it since it was checked */
            continue;
        if (dtype == AE_F32)
            value = (real)((const any_f32 *)values)[k];
        else if (dtype == AE_F64)
            value = (real)((const any_f64 *)values)[k];
        else
            value = (real)((const any_u8 *)values)[k];
        at[column / AE_PANEL * stride + column % AE_PANEL] += value;
    }
}
