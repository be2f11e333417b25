/* Batch-reduce GEMM on panels: micro-kernels and the loops around them.
 *
 * A micro-kernel keeps an MR x (NV * VL) tile of C in registers while it runs along the sum: per step it reads NV vectors
 * of B, broadcasts MR reals of A, and does MR * NV fused multiply-adds (Goto and van de Geijn 2008, figure 4, without the
 * packing, which the panel layout makes unnecessary). The sum is walked in slices so that a slice of B stays in the first
 * level of cache while the rows of A pass by; C is stored and reloaded between slices, which is exact. */
#include "math/gemm.h"

#include "math/vec.h"

/* Registers: AVX-512 has 32 (12 * 2 + 2 + 1), AVX2 has 16 (6 * 2 + 2 + 1), NEON has 32 (6 * 4 + 4 + 1). */
#if defined(AE_TARGET_AVX512)
#define MR 12
#define NV 2
#elif defined(AE_TARGET_AVX2)
#define MR 6
#define NV 2
#elif defined(AE_TARGET_NEON)
#define MR 6
#define NV 4
#else
#define MR 2
#define NV 4
#endif

/* Longest slice of a sum. By rows a pass reads the slice of B over again for each tile of A: 32 columns wide where a tile has
 * all of a panel (AVX-512: half of a 48 KiB and three quarters of a 32 KiB first-level cache), elsewhere one cache line of
 * each of its rows, so that it may be longer. By columns it reads a whole panel of A as well, for each pass over B. */
#if defined(AE_TARGET_AVX512)
#define ROW_SLICE (AE_BITS == 32 ? 192 : 96)
#define COLUMN_SLICE ROW_SLICE
#else
#define ROW_SLICE (AE_BITS == 32 ? 256 : 128)
#define COLUMN_SLICE (AE_BITS == 32 ? 128 : 64)
#endif

typedef struct span {
    int64_t term0, term1; /* terms of the sum */
    int32_t from, to;     /* part of the term where term1 == term0 + 1; from 0 and to 0: all of every term */
} span;

AE_INLINE int64_t offset_of(const int64_t *offsets, int64_t step, int64_t i) { return offsets ? offsets[i] : i * step; }

#define LINE (64 / (int)sizeof(real)) /* reals of a cache line */

/* `count` tiles below each other. rs, cs: reals from one row, one column of A to the next; constants, like mr and nv, so
 * that everything unrolls.
 *
 * Rows of A jump from term to term and B is new with every slice, which the prefetchers of the hardware follow badly: while a
 * tile is computed, the same rows of the tile below are asked for, and a share of the slice of B that lies behind this one, in
 * this panel or the next. A sum of whole terms in one slice is short and asks for nothing: what it reads is in the cache, while lines
 * below the last tile, which another thread writes, would have to be fetched from it and given back. */
AE_ALWAYS_INLINE void micro(const int mr, const int nv, const int64_t rs, const int64_t cs, const ae_gemm *gemm, const span *s,
                            int64_t count, const real *restrict a, const real *restrict b, ae_gemm_start start,
                            const real *restrict bias, real *restrict c) {
    const int64_t term0 = s->term0, term1 = s->term1;
    const int64_t share = (AE_PANEL * AE_PANEL / LINE + count - 1) / count * LINE;
    for (int64_t done = 0; count > 0; count--, done++, a += mr * rs, c += mr * AE_PANEL) {
        vec sum[MR][NV];
#pragma GCC unroll 12
        for (int m = 0; m < mr; m++) {
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) {
                if (start == AE_START_ZERO)
                    sum[m][v] = v_zero();
                else if (start == AE_START_BIAS)
                    sum[m][v] = v_load(bias + v * VL);
                else
                    sum[m][v] = v_load(c + m * AE_PANEL + v * VL);
            }
        }
        for (int64_t i = term0; i < term1; i++) {
            int32_t k0 = 0, k1 = i + 1 == gemm->terms ? gemm->k_last : gemm->k;
            if (s->to) {
                k0 = s->from;
                k1 = s->to;
            }
            const real *ai = a + offset_of(gemm->a_offset, gemm->a_step, i) + k0 * cs;
            const real *bi = b + offset_of(gemm->b_offset, gemm->b_step, i) + (int64_t)k0 * AE_PANEL;
            if (mr == MR && rs == AE_PANEL && term1 - term0 < gemm->terms) {
                for (int m = 0; m < mr; m++)
                    for (int at = 0; at < AE_PANEL; at += LINE)
                        __builtin_prefetch(ai + (mr + m) * rs + at, 0, 3);
                const real *next = bi + (term1 - term0) * AE_PANEL * AE_PANEL + done * share;
                for (int64_t at = 0; at < share; at += LINE)
                    __builtin_prefetch(next + at, 0, 2);
            }
#pragma GCC unroll 2
            for (int32_t k = k1 - k0; k > 0; k--, ai += cs, bi += AE_PANEL) {
                vec bk[NV];
#pragma GCC unroll 4
                for (int v = 0; v < nv; v++)
                    bk[v] = v_load(bi + v * VL);
#pragma GCC unroll 12
                for (int m = 0; m < mr; m++) {
                    vec am = v_set1(ai[m * rs]);
#pragma GCC unroll 4
                    for (int v = 0; v < nv; v++)
                        sum[m][v] = v_fma(am, bk[v], sum[m][v]);
                }
            }
        }
#pragma GCC unroll 12
        for (int m = 0; m < mr; m++) {
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++)
                v_store(c + m * AE_PANEL + v * VL, sum[m][v]);
        }
    }
}

typedef void (*micro_kernel)(const ae_gemm *, const span *, int64_t, const real *, const real *, ae_gemm_start, const real *,
                             real *);

/* One function per tile shape. Heights that are not in the list are composed of those that are. */
#define MICRO(mr, nv)                                                                                             \
    static void rows_##mr##_##nv(const ae_gemm *g, const span *s, int64_t count, const real *a, const real *b,    \
                                 ae_gemm_start start, const real *bias, real *c) {                                \
        micro(mr, nv, AE_PANEL, 1, g, s, count, a, b, start, bias, c);                                            \
    }                                                                                                             \
    static void columns_##mr##_##nv(const ae_gemm *g, const span *s, int64_t count, const real *a, const real *b, \
                                    ae_gemm_start start, const real *bias, real *c) {                             \
        micro(mr, nv, 1, AE_PANEL, g, s, count, a, b, start, bias, c);                                            \
    }

#define ROW_TABLE(nv) \
    { rows_1_##nv, rows_2_##nv, rows_4_##nv, rows_6_##nv, rows_8_##nv, rows_12_##nv }
#define COLUMN_TABLE(nv) \
    { columns_1_##nv, columns_2_##nv, columns_4_##nv, columns_6_##nv, columns_8_##nv, columns_12_##nv }
#define SMALL_ROW_TABLE(nv) \
    { rows_1_##nv, rows_2_##nv, rows_4_##nv, rows_6_##nv }
#define SMALL_COLUMN_TABLE(nv) \
    { columns_1_##nv, columns_2_##nv, columns_4_##nv, columns_6_##nv }

#if MR == 12
#if AE_BITS == 32 /* the only tiles that are wider than half a panel */
MICRO(1, 1)
MICRO(2, 1)
MICRO(4, 1)
MICRO(6, 1)
MICRO(8, 1)
MICRO(12, 1)
#define NARROW(TABLE) TABLE(1)
#else
#define NARROW(TABLE) TABLE(2)
#endif
MICRO(1, 2)
MICRO(2, 2)
MICRO(4, 2)
MICRO(6, 2)
MICRO(8, 2)
MICRO(12, 2)
static const int heights[] = {1, 2, 4, 6, 8, 12};
static const micro_kernel row_kernels[2][6] = {NARROW(ROW_TABLE), ROW_TABLE(2)};
static const micro_kernel column_kernels[2][6] = {NARROW(COLUMN_TABLE), COLUMN_TABLE(2)};
#elif NV == 2
MICRO(1, 2)
MICRO(2, 2)
MICRO(4, 2)
MICRO(6, 2)
static const int heights[] = {1, 2, 4, 6};
static const micro_kernel row_kernels[1][4] = {SMALL_ROW_TABLE(2)};
static const micro_kernel column_kernels[1][4] = {SMALL_COLUMN_TABLE(2)};
#elif MR == 6
MICRO(1, 4)
MICRO(2, 4)
MICRO(4, 4)
MICRO(6, 4)
static const int heights[] = {1, 2, 4, 6};
static const micro_kernel row_kernels[1][4] = {SMALL_ROW_TABLE(4)};
static const micro_kernel column_kernels[1][4] = {SMALL_COLUMN_TABLE(4)};
#else
MICRO(1, 4)
MICRO(2, 4)
static const int heights[] = {1, 2};
static const micro_kernel row_kernels[1][2] = {{rows_1_4, rows_2_4}};
static const micro_kernel column_kernels[1][2] = {{columns_1_4, columns_2_4}};
#endif
#define N_HEIGHTS ((int)(sizeof heights / sizeof heights[0]))

/* All rows and wanted columns for one slice of the sum. a_row: reals from one row of A to the next. */
AE_ALWAYS_INLINE void tiles(const micro_kernel kernels[][N_HEIGHTS], int64_t a_row, const ae_gemm *gemm, const span *s,
                            int64_t m, int n, const real *a, const real *b, ae_gemm_start start, const real *bias, real *c) {
    const int wanted = n > AE_PANEL / 2 ? AE_PANEL : AE_PANEL / 2;
    /* Only float on AVX-512 has tiles wider than half a panel, hence the narrow kernels in row 0 of its table. */
    const int wide = NV * VL > wanted ? 0 : (int)(MR == 12);
    const int width = NV * VL > wanted ? wanted : NV * VL;
    for (int column = 0; column < wanted; column += width) {
        int64_t row = 0;
        for (int h = N_HEIGHTS - 1; h >= 0; h--) {
            int64_t count = (m - row) / heights[h];
            /* 4 + 4 for 6 + 2: the chains of a tile of two rows are too few to hide their latency. */
            if (MR == 6 && h == N_HEIGHTS - 1 && count && (m - row) % MR == 2)
                count--;
            if (count)
                kernels[wide][h](gemm, s, count, a + row * a_row, b + column, start, bias ? bias + column : bias,
                                 c + row * AE_PANEL + column);
            row += count * heights[h];
        }
    }
}

/* The sum in slices of about one length, none longer than `most`: a short one would load and store C for little. */
AE_ALWAYS_INLINE void slices(const micro_kernel kernels[][N_HEIGHTS], int64_t a_row, int32_t most, const ae_gemm *gemm,
                             int64_t m, int n, const real *a, const real *b, ae_gemm_start start, const real *bias, real *c) {
    if (gemm->terms == 1 && gemm->k_last > most) {
        const int64_t length = gemm->k_last, count = (length + most - 1) / most, step = (length + count - 1) / count;
        for (int64_t from = 0; from < length; from += step) {
            const int64_t to = length - from > step ? from + step : length;
            tiles(kernels, a_row, gemm, &(span){0, 1, (int32_t)from, (int32_t)to}, m, n, a, b, from ? AE_START_C : start, bias,
                  c);
        }
        return;
    }
    int64_t step = gemm->k < 1 || gemm->k >= most ? 1 : most / gemm->k;
    if (gemm->terms > step) {
        const int64_t count = (gemm->terms + step - 1) / step;
        step = (gemm->terms + count - 1) / count;
    }
    int64_t term = 0;
    do {
        int64_t next = gemm->terms - term > step ? term + step : gemm->terms;
        tiles(kernels, a_row, gemm, &(span){term, next, 0, 0}, m, n, a, b, term ? AE_START_C : start, bias, c);
        term = next;
    } while (term < gemm->terms);
}

AE_INLINE void clear_rest(int64_t m, int n, ae_gemm_start start, real *c) {
    if (n > AE_PANEL / 2 || start == AE_START_C)
        return;
    for (int64_t row = 0; row < m; row++)
        for (int j = AE_PANEL / 2; j < AE_PANEL; j += VL)
            v_store(c + row * AE_PANEL + j, v_zero());
}

void AE_V(ae_gemm_rows)(const ae_gemm *gemm, int64_t m, int n, const real *a, const real *b, ae_gemm_start start,
                        const real *bias, real *c) {
    slices(row_kernels, AE_PANEL, ROW_SLICE, gemm, m, n, a, b, start, bias, c);
    clear_rest(m, n, start, c);
}

void AE_V(ae_gemm_columns)(const ae_gemm *gemm, int m, int n, const real *a, const real *b, ae_gemm_start start, real *c) {
    slices(column_kernels, 1, COLUMN_SLICE, gemm, m, n, a, b, start, (const real *)0, c);
    clear_rest(m, n, start, c);
}
