/* Products of bfloat16 operands without tiles, and their operands. */
#include "math/bf16.h"

/* In double precision there are none. */
#if AE_BITS == 32

#include <string.h>

#include "math/vec.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

/* Rows and vectors of a tile, each with two sums: even and odd. */
#if defined(AE_TARGET_AVX512)
#define MR 4
#define NV 2
#elif defined(AE_TARGET_AVX2)
#define MR 2
#define NV 2
#elif defined(AE_TARGET_NEON)
#define MR 2
#define NV 4
#else
#define MR 1
#define NV 4
#endif

AE_INLINE const uint32_t *words(const ae_bf16 *p) { return (const uint32_t *)(const void *)p; }

AE_INLINE uint32_t word(const ae_bf16 *p) {
    uint32_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* mr rows of C, NV * VL columns: one term, one of the products of parts. a: 32 numbers a row; b: at the first of the columns. */
AE_INLINE void term_of_tile(const int mr, const ae_bf16 *a, const ae_bf16 *b, real *c) {
    vec even[MR][NV], odd[MR][NV];
#pragma GCC unroll 4
    for (int m = 0; m < mr; m++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++)
            even[m][v] = odd[m][v] = v_zero();
    for (int pair = 0; pair < AE_PANEL / 2; pair++) {
        vec a_even[MR], a_odd[MR];
#pragma GCC unroll 4
        for (int m = 0; m < mr; m++) {
            const uvec w = u_set1(word(a + m * AE_PANEL + 2 * pair));
            a_even[m] = u_low_bf16(w);
            a_odd[m] = u_high_bf16(w);
        }
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            const uvec w = u_load(words(b) + pair * AE_PANEL + v * VL);
            const vec b_even = u_low_bf16(w), b_odd = u_high_bf16(w);
#pragma GCC unroll 4
            for (int m = 0; m < mr; m++) {
                even[m][v] = v_fma(a_even[m], b_even, even[m][v]);
                odd[m][v] = v_fma(a_odd[m], b_odd, odd[m][v]);
            }
        }
    }
#pragma GCC unroll 4
    for (int m = 0; m < mr; m++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            real *at = c + m * AE_PANEL + v * VL;
            v_store(at, v_add(v_load(at), v_add(even[m][v], odd[m][v])));
        }
}

/* A term at a time, so that its block of B stays in the first level of cache. */
static AE_NOINLINE void terms(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, real *c) {
    for (int64_t i = 0; i < gemm->terms; i++)
        for (int column = 0; column < AE_PANEL; column += NV * VL)
            for (int product = 0; product < (gemm->parts > 1 ? 3 : 1); product++) {
                const ae_bf16 *ai = a.part[product == 2] + i * gemm->a_step;
                const ae_bf16 *bi = b.part[product == 1] + i * AE_BF16_BLOCK + 2 * column;
                int64_t row = 0;
                for (; row + MR <= m; row += MR)
                    term_of_tile(MR, ai + row * AE_PANEL, bi, c + row * AE_PANEL + column);
                for (; row < m; row++)
                    term_of_tile(1, ai + row * AE_PANEL, bi, c + row * AE_PANEL + column);
            }
}

void AE_V(ae_bf16_product_by_vectors)(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start,
                                      const real *bias, real *c) {
    for (int64_t row = 0; row < m && start == AE_START_BIAS; row++)
        memcpy(c + row * AE_PANEL, bias, AE_PANEL * sizeof(real));
    if (start == AE_START_ZERO)
        memset(c, 0, (size_t)(m * AE_PANEL) * sizeof(real));
        /* Denormal numbers are zero here, as they are to tiles: the state is changed around a call that the compiler does not look
         * into, so that no operation moves across. */
#if defined(__x86_64__) || defined(_M_X64)
    const unsigned control = _mm_getcsr(), flush_to_zero = 0x8000u, denormals_are_zero = 0x0040u;
    _mm_setcsr(control | flush_to_zero | denormals_are_zero);
    terms(gemm, m, a, b, c);
    _mm_setcsr(control);
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" : : "r"(control | UINT64_C(1) << 24) : "memory");
    terms(gemm, m, a, b, c);
    __asm__ volatile("msr fpcr, %0" : : "r"(control) : "memory");
#else
    terms(gemm, m, a, b, c);
#endif
}

void AE_V(ae_bf16_product)(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start, const real *bias,
                           real *c) {
#if defined(AE_TARGET_AVX512)
    if (ae_amx_gemm(gemm, m, a, b, start, bias, c))
        return;
#endif
    AE_V(ae_bf16_product_by_vectors)(gemm, m, a, b, start, bias, c);
}

/* ---- operands ---- */

/* In integers, so that denormal numbers have the same bits everywhere; what is not a number stays none. */
AE_INLINE uint32_t rounded(uint32_t bits) {
    const uint32_t nearest = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : nearest;
}

/* A row of 32 numbers. */
AE_INLINE void take_apart(const real *from, int parts, uint32_t *first, uint32_t *second) {
    uint32_t bits[AE_PANEL];
    memcpy(bits, from, sizeof bits);
    for (int j = 0; j < AE_PANEL; j++)
        first[j] = rounded(bits[j]);
    if (parts < 2)
        return;
    real whole[AE_PANEL];
    for (int j = 0; j < AE_PANEL; j++)
        bits[j] = first[j] << 16;
    memcpy(whole, bits, sizeof whole);
    for (int j = 0; j < AE_PANEL; j++)
        whole[j] = from[j] - whole[j];
    memcpy(bits, whole, sizeof bits);
    for (int j = 0; j < AE_PANEL; j++)
        second[j] = rounded(bits[j]);
}

AE_INLINE int parts_of(ae_parts to) { return to.part[1] ? 2 : 1; }

void AE_V(ae_bf16_rows)(const real *from, int64_t rows, ae_parts to) {
    const int parts = parts_of(to);
    for (int64_t row = 0; row < rows; row++) {
        uint32_t part[2][AE_PANEL];
        take_apart(from + row * AE_PANEL, parts, part[0], part[1]);
        for (int p = 0; p < parts; p++)
            for (int j = 0; j < AE_PANEL; j++)
                to.part[p][row * AE_PANEL + j] = (ae_bf16)part[p][j];
    }
}

void AE_V(ae_bf16_pairs)(const real *from, int rows, ae_parts to) {
    const int parts = parts_of(to);
    for (int row = 0; row < AE_PANEL; row += 2) {
        uint32_t even[2][AE_PANEL] = {{0}}, odd[2][AE_PANEL] = {{0}};
        if (row < rows)
            take_apart(from + row * AE_PANEL, parts, even[0], even[1]);
        if (row + 1 < rows)
            take_apart(from + (row + 1) * AE_PANEL, parts, odd[0], odd[1]);
        for (int p = 0; p < parts; p++) {
            uint32_t both[AE_PANEL];
            for (int j = 0; j < AE_PANEL; j++)
                both[j] = even[p][j] | odd[p][j] << 16;
            memcpy(to.part[p] + row * AE_PANEL, both, sizeof both);
        }
    }
}

/* Words, (rows, columns), into (columns, rows). */
AE_INLINE void turn(const ae_bf16 *from, const int rows, const int columns, ae_bf16 *to) {
    uint32_t a[AE_BF16_BLOCK / 2], b[AE_BF16_BLOCK / 2];
    memcpy(a, from, sizeof a);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            b[c * rows + r] = a[r * columns + c];
    memcpy(to, b, sizeof b);
}

void AE_V(ae_bf16_turn_pairs)(ae_parts from, ae_parts to) {
    for (int p = 0; p < parts_of(to); p++)
        turn(from.part[p], AE_PANEL / 2, AE_PANEL, to.part[p]);
}

void AE_V(ae_bf16_transposed_pairs)(const real *from, int rows, ae_parts to) {
    ae_bf16 block[2][AE_BF16_BLOCK];
    const ae_parts by_rows = {{block[0], parts_of(to) > 1 ? block[1] : NULL}};
    AE_V(ae_bf16_rows)(from, rows, by_rows);
    for (int p = 0; p < parts_of(to); p++) {
        memset(block[p] + rows * AE_PANEL, 0, (size_t)((AE_PANEL - rows) * AE_PANEL) * sizeof(ae_bf16));
        turn(block[p], AE_PANEL, AE_PANEL / 2, to.part[p]);
    }
}

#endif
