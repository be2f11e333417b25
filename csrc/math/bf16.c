/* Products of bfloat16 operands without tiles, and their operands. */
#include "math/bf16.h"

/* In double precision there are none. */
#if AE_BITS == 32

#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "math/block_transpose.h"
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
                const ae_bf16 *bi = b.part[gemm->parts > 1 && product == 0] + i * AE_BF16_BLOCK + 2 * column;
                int64_t row = 0;
                for (; row + MR <= m; row += MR)
                    term_of_tile(MR, ai + row * AE_PANEL, bi, c + row * AE_PANEL + column);
                for (; row < m; row++)
                    term_of_tile(1, ai + row * AE_PANEL, bi, c + row * AE_PANEL + column);
            }
}

static void panels(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, real *c) {
    for (int64_t q = 0; q < gemm->panels; q++)
        terms(gemm, m, a, ae_parts_at(b, q * gemm->b_panel), c + q * gemm->c_panel);
}

void AE_V(ae_bf16_product_by_vectors)(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start,
                                      const real *bias, real *c) {
    for (int64_t q = 0; q < gemm->panels && start != AE_START_C; q++)
        for (int64_t row = 0; row < m; row++) {
            real *to = c + q * gemm->c_panel + row * AE_PANEL;
            if (start == AE_START_BIAS)
                memcpy(to, bias + q * AE_PANEL, AE_PANEL * sizeof(real));
            else
                memset(to, 0, AE_PANEL * sizeof(real));
        }
        /* Denormal numbers are zero here, as they are to tiles: the state is changed around a call that the compiler does not look
         * into, so that no operation moves across. */
#if defined(__x86_64__) || defined(_M_X64)
    const unsigned control = _mm_getcsr(), flush_to_zero = 0x8000u, denormals_are_zero = 0x0040u;
    _mm_setcsr(control | flush_to_zero | denormals_are_zero);
    panels(gemm, m, a, b, c);
    _mm_setcsr(control);
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" : : "r"(control | UINT64_C(1) << 24) : "memory");
    panels(gemm, m, a, b, c);
    __asm__ volatile("msr fpcr, %0" : : "r"(control) : "memory");
#else
    panels(gemm, m, a, b, c);
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

AE_INLINE uint32_t *words_at(ae_bf16 *p, int64_t at) { return p ? (uint32_t *)(void *)(p + at) : NULL; }

#if defined(AE_TARGET_AVX512) && ((defined(__GNUC__) && __GNUC__ >= 11) || (defined(__clang__) && __clang_major__ >= 12))
#define CONVERTS /* where the processor does (AVX512_BF16): half as many instructions */

/* u_bf16_row of u_nearest_bf16. Not the intrinsic, which only functions of that instruction set may call. */
AE_INLINE uvec converted(vec a, vec b) {
    uvec row;
    __asm__("vcvtne2ps2bf16 %1, %2, %0" : "=v"(row) : "v"(a), "v"(b));
    return row;
}

AE_INLINE void row_pair_converted(const real *from, const real *from_odd, const int parts, uint32_t *const even[2],
                                  uint32_t *const odd[2], uint32_t *const pairs[2]) {
    /* Groups of four so that the lower halves of lanes hold columns 0 to 15. */
    const uvec apart = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    vec x[2] = {v_load(from), v_load(from + VL)}, y[2] = {v_load(from_odd), v_load(from_odd + VL)};
    for (int p = 0; p < parts; p++) {
        uvec u = converted(x[0], x[1]), w = converted(y[0], y[1]);
        if (even[p])
            u_store(even[p], u);
        if (odd[p])
            u_store(odd[p], w);
        if (!pairs[p] && p + 1 == parts)
            return;
        u = _mm512_permutexvar_epi64(apart, u);
        w = _mm512_permutexvar_epi64(apart, w);
        const uvec both[2] = {_mm512_unpacklo_epi16(u, w), _mm512_unpackhi_epi16(u, w)};
        for (int i = 0; i < 2; i++) {
            if (pairs[p])
                u_store(pairs[p] + i * VL, both[i]);
            x[i] = v_sub(x[i], u_low_bf16(both[i]));
            y[i] = v_sub(y[i], u_high_bf16(both[i]));
        }
    }
}
#endif

/* Two rows of 32 numbers, each by rows, and both by pairs; what is NULL is not written. */
AE_INLINE void row_pair(const real *from, const real *from_odd, const int parts, const bool converts, uint32_t *const even[2],
                        uint32_t *const odd[2], uint32_t *const pairs[2]) {
#if defined(CONVERTS)
    if (converts) {
        row_pair_converted(from, from_odd, parts, even, odd, pairs);
        return;
    }
#else
    (void)converts;
#endif
    for (int j = 0; j < AE_PANEL; j += 2 * VL) {
        vec x[2] = {v_load(from + j), v_load(from + j + VL)}, y[2] = {v_load(from_odd + j), v_load(from_odd + j + VL)};
        for (int p = 0; p < parts; p++) {
            uvec u[2], w[2];
            for (int i = 0; i < 2; i++) {
                u[i] = u_nearest_bf16(x[i]);
                w[i] = u_nearest_bf16(y[i]);
                if (pairs[p])
                    u_store(pairs[p] + j + i * VL, u_bf16_pair(u[i], w[i]));
                x[i] = v_sub(x[i], u_high_bf16(u[i]));
                y[i] = v_sub(y[i], u_high_bf16(w[i]));
            }
            if (even[p])
                u_store(even[p] + j / 2, u_bf16_row(u[0], u[1]));
            if (odd[p])
                u_store(odd[p] + j / 2, u_bf16_row(w[0], w[1]));
        }
    }
}

AE_INLINE void block_of_parts(const real *from, int rows, const int parts, const bool converts, ae_parts by_rows,
                              ae_parts pairs) {
    static const real zeros[AE_PANEL];
    for (int row = 0; row < AE_PANEL; row += 2) {
        if (row >= rows && !pairs.part[0])
            return;
        uint32_t *even[2], *odd[2], *both[2];
        for (int p = 0; p < parts; p++) {
            even[p] = row < rows ? words_at(by_rows.part[p], row * AE_PANEL) : NULL;
            odd[p] = row + 1 < rows ? words_at(by_rows.part[p], (row + 1) * AE_PANEL) : NULL;
            both[p] = words_at(pairs.part[p], row * AE_PANEL);
        }
        row_pair(row < rows ? from + row * AE_PANEL : zeros, row + 1 < rows ? from + (row + 1) * AE_PANEL : zeros, parts,
                 converts, even, odd, both);
    }
}

void AE_V(ae_bf16_block_by_vectors)(const real *from, int rows, int parts, ae_parts by_rows, ae_parts pairs) {
#if defined(CONVERTS) /* processors of this set that do not convert have no tiles either: their time is in products */
    block_of_parts(from, rows, parts, false, by_rows, pairs);
#else
    if (parts > 1)
        block_of_parts(from, rows, 2, false, by_rows, pairs);
    else
        block_of_parts(from, rows, 1, false, by_rows, pairs);
#endif
}

void AE_V(ae_bf16_block)(const real *from, int rows, int parts, ae_parts by_rows, ae_parts pairs) {
#if defined(CONVERTS)
    if (ae_cpu_converts_bf16()) {
        if (parts > 1)
            block_of_parts(from, rows, 2, true, by_rows, pairs);
        else
            block_of_parts(from, rows, 1, true, by_rows, pairs);
        return;
    }
#endif
    AE_V(ae_bf16_block_by_vectors)(from, rows, parts, by_rows, pairs);
}

/* Words, (rows, columns), into (columns, rows). */
AE_INLINE void turn(const ae_bf16 *from, const int rows, const int columns, ae_bf16 *to) {
    const real *word = (const real *)(const void *)from;
    for (int r = 0; r < rows; r += BLOCK)
        for (int c = 0; c < columns; c += BLOCK)
            block_transpose(word + r * columns + c, columns, (real *)(void *)to + c * rows + r, rows);
}

void AE_V(ae_bf16_turn_pairs)(const ae_bf16 *from, ae_bf16 *to) { turn(from, AE_PANEL / 2, AE_PANEL, to); }

void AE_V(ae_bf16_pack)(const real *from, int rows, int parts, ae_parts pairs, ae_parts transposed) {
    _Alignas(AE_ALIGNMENT) ae_bf16 block[2][AE_BF16_BLOCK];
    const ae_parts by_rows = {{transposed.part[0] ? block[0] : NULL, transposed.part[1] ? block[1] : NULL}};
    AE_V(ae_bf16_block)(from, rows, parts, by_rows, pairs);
    for (int p = 0; p < parts && transposed.part[0]; p++) {
        memset(block[p] + rows * AE_PANEL, 0, (size_t)((AE_PANEL - rows) * AE_PANEL) * sizeof(ae_bf16));
        turn(block[p], AE_PANEL, AE_PANEL / 2, transposed.part[p]);
    }
}

#endif
