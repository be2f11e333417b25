/* Products of bfloat16 operands with the tiles of AMX (Intel, "Software Developer's Manual", volume 1, chapter 18).
 *
 * Two by two tiles of C, 16 rows of 16 floats each, stay in registers while a slice of the sum passes: per term two tiles of A
 * and two of B are loaded for four products. A slice of one panel of B is 24 KB, which stay in the first level of cache while the
 * rows of A pass by; C is stored and loaded between slices, which is exact.
 *
 * The machine must have the instructions, the system must permit this process to use the registers, and before the first use one
 * small product must come out with the bits of the one by vectors. Where any of that fails there are no tiles, silently. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "math/amx.h"
#include "math/bf16.h"

#if defined(AE_AMX_MODEL)
#define WITH_TILES /* a test has defined the instructions */
#define TARGET
#elif defined(__x86_64__) && defined(__linux__) && !defined(AE_WITHOUT_AVX512) && \
    ((defined(__GNUC__) && __GNUC__ >= 11) || (defined(__clang__) && __clang_major__ >= 12))
#define WITH_TILES
#define TARGET __attribute__((target("amx-tile,amx-bf16")))
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(WITH_TILES)

#define TILE_ROWS 16
#define ROW_BYTES 64
#define SLICE 12 /* terms */

/* What ldtilecfg reads. */
typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/* Tiles 0 to 3: C, from left to right, then below. 4, 5: A, one above the other. 6, 7: B. */
static TARGET void set_shapes(int upper, int lower) {
    _Alignas(64) tile_shapes s = {.palette = 1};
    const int rows[8] = {upper, upper, lower, lower, upper, lower, TILE_ROWS, TILE_ROWS};
    for (int i = 0; i < 8; i++) {
        s.rows[i] = (uint8_t)rows[i];
        s.row_bytes[i] = (uint16_t)(rows[i] ? ROW_BYTES : 0);
    }
    _tile_loadconfig(&s);
}

typedef struct tile_call {
    const ae_bf16_gemm *gemm;
    ae_parts a, b;
    int64_t first, last; /* terms of the slice */
    ae_gemm_start start;
    const float *bias;
} tile_call;

/* Up to 32 rows; `lower`: of them, those below the first 16. */
static TARGET void strip(const tile_call *call, int64_t row, bool lower, float *c) {
    float *const below = c + TILE_ROWS * AE_PANEL;
    const int64_t stride = AE_PANEL * sizeof(float);
    const ae_gemm_start start = call->first ? AE_START_C : call->start;
    if (start == AE_START_ZERO) {
        _tile_zero(0);
        _tile_zero(1);
        if (lower) {
            _tile_zero(2);
            _tile_zero(3);
        }
    } else {
        /* Every row of the bias is the same. */
        const float *from = start == AE_START_BIAS ? call->bias : c, *from_below = start == AE_START_BIAS ? call->bias : below;
        const int64_t step = start == AE_START_BIAS ? 0 : stride;
        _tile_loadd(0, from, step);
        _tile_loadd(1, from + 16, step);
        if (lower) {
            _tile_loadd(2, from_below, step);
            _tile_loadd(3, from_below + 16, step);
        }
    }
    for (int64_t i = call->first; i < call->last; i++)
        for (int product = 0; product < (call->gemm->parts > 1 ? 3 : 1); product++) {
            const ae_bf16 *a = call->a.part[product == 2] + i * call->gemm->a_step + row * AE_PANEL;
            const ae_bf16 *b = call->b.part[product == 1] + i * AE_BF16_BLOCK;
            _tile_loadd(6, b, 2 * ROW_BYTES);
            _tile_loadd(7, b + AE_PANEL, 2 * ROW_BYTES);
            _tile_loadd(4, a, ROW_BYTES);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            if (lower) {
                _tile_loadd(5, a + TILE_ROWS * AE_PANEL, ROW_BYTES);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
    _tile_stored(0, c, stride);
    _tile_stored(1, c + 16, stride);
    if (lower) {
        _tile_stored(2, below, stride);
        _tile_stored(3, below + 16, stride);
    }
}

static TARGET void by_tiles(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start, const float *bias,
                            float *c) {
    const int64_t whole = m / (2 * TILE_ROWS) * (2 * TILE_ROWS);
    const int rest = (int)(m - whole), upper = rest < TILE_ROWS ? rest : TILE_ROWS;
    for (int64_t first = 0; first < gemm->terms; first += SLICE) {
        const tile_call call = {gemm, a, b, first, gemm->terms - first < SLICE ? gemm->terms : first + SLICE, start, bias};
        if (whole)
            set_shapes(TILE_ROWS, TILE_ROWS);
        for (int64_t row = 0; row < whole; row += 2 * TILE_ROWS)
            strip(&call, row, true, c + row * AE_PANEL);
        if (rest) {
            set_shapes(upper, rest - upper);
            strip(&call, whole, rest > TILE_ROWS, c + whole * AE_PANEL);
        }
    }
    _tile_release();
}

#endif

#if !defined(AE_AMX_MODEL)
bool ae_amx_permitted(unsigned features, unsigned long saved, long (*ask)(void)) {
    const unsigned bf16 = 1u << 22, tile = 1u << 24; /* CPUID 7, 0: edx */
    const unsigned long states = 3ul << 17;          /* XCR0: tile configuration and data */
    return (features & (bf16 | tile)) == (bf16 | tile) && (saved & states) == states && ask() == 0;
}
#endif

#if defined(WITH_TILES) && !defined(AE_AMX_MODEL)

void ae_bf16_product_by_vectors_f32_avx512(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start,
                                           const float *bias, float *c);

/* Linux, Documentation/arch/x86/xstate.rst: ARCH_REQ_XCOMP_PERM for the data of tiles. It holds for the process and its threads. */
static long ask_system(void) {
    const long request = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request, tile_data);
}

/* Both parts, rows that do not fill a strip, numbers of all sizes down to denormal ones. */
static bool has_the_bits(void) {
    enum { ROWS = 49, TERMS = 2 };
    ae_bf16 a[2][TERMS * ROWS * AE_PANEL], b[2][TERMS * AE_BF16_BLOCK];
    float tiles[ROWS * AE_PANEL], vectors[ROWS * AE_PANEL];
    uint32_t state = 1;
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < TERMS * (ROWS * AE_PANEL + AE_BF16_BLOCK); i++) {
            state = state * 1664525u + 1013904223u;
            const unsigned exponent = state >> 28 ? 100u + (state >> 20 & 0x1fu) : state >> 20 & 0x7fu;
            const ae_bf16 x = (ae_bf16)((state >> 16 & 0x8000u) | exponent << 7 | (state >> 8 & 0x7fu));
            if (i < TERMS * ROWS * AE_PANEL)
                a[p][i] = x;
            else
                b[p][i - TERMS * ROWS * AE_PANEL] = x;
        }
    const ae_bf16_gemm gemm = {TERMS, ROWS * AE_PANEL, 2};
    const ae_parts left = {{a[0], a[1]}}, right = {{b[0], b[1]}};
    by_tiles(&gemm, ROWS, left, right, AE_START_ZERO, NULL, tiles);
    ae_bf16_product_by_vectors_f32_avx512(&gemm, ROWS, left, right, AE_START_ZERO, NULL, vectors);
    return !memcmp(tiles, vectors, sizeof tiles);
}

static bool find_out(void) {
    unsigned a, b, c, d, low, high;
    const char *wish = getenv("AUTOENC_ISA");
    if ((wish && wish[0]) || !ae_cpu_has(AE_ISA_AVX512) || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ae_amx_permitted(d, low, ask_system) && has_the_bits();
}

bool ae_amx_available(void) {
    enum { UNKNOWN, NO, YES };
    static atomic_int known; /* racing threads store the same value */
    int state = atomic_load_explicit(&known, memory_order_relaxed);
    if (state == UNKNOWN) {
        state = find_out() ? YES : NO;
        atomic_store_explicit(&known, state, memory_order_relaxed);
    }
    return state == YES;
}

bool ae_amx_gemm(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start, const float *bias,
                 float *c) {
    if (!ae_amx_available())
        return false;
    by_tiles(gemm, m, a, b, start, bias, c);
    return true;
}

#elif !defined(AE_AMX_MODEL)

bool ae_amx_available(void) { return false; }

bool ae_amx_gemm(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start, const float *bias,
                 float *c) {
    (void)gemm, (void)m, (void)a, (void)b, (void)start, (void)bias, (void)c;
    return false;
}

#endif
