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
#elif defined(__x86_64__) && defined(__linux__) && !defined(AE_WITHOUT_AVX512) && \
    ((defined(__GNUC__) && __GNUC__ >= 11) || (defined(__clang__) && __clang_major__ >= 12))
#define WITH_TILES
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
/* Not the intrinsics: those of GCC up to 12.3 and 13.2 name 8 of the 64 bytes that ldtilecfg reads (its bug 114098), whereupon -O2
 * leaves the others unwritten, and none of what tileloadd reads. */
#define tile_shape(shapes) __asm__ volatile("ldtilecfg %0" : : "m"(*(shapes)))
#define tile_load(t, from, stride) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t : : "r"((const void *)(from)), "r"((int64_t)(stride)) : "memory")
#define tile_store(t, to, stride) \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" : : "r"((void *)(to)), "r"((int64_t)(stride)) : "memory")
#define tile_zero(t) __asm__ volatile("tilezero %%tmm" #t : :)
#define tile_product(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
#define tile_release() __asm__ volatile("tilerelease" : :)
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
static void set_shapes(int upper, int lower) {
    _Alignas(64) tile_shapes s = {.palette = 1};
    const int rows[8] = {upper, upper, lower, lower, upper, lower, TILE_ROWS, TILE_ROWS};
    for (int i = 0; i < 8; i++) {
        s.rows[i] = (uint8_t)rows[i];
        s.row_bytes[i] = (uint16_t)(rows[i] ? ROW_BYTES : 0);
    }
    tile_shape(&s);
}

typedef struct tile_call {
    const ae_bf16_gemm *gemm;
    ae_parts a, b;
    int64_t first, last; /* terms of the slice */
    ae_gemm_start start;
    const float *bias;
} tile_call;

/* Up to 32 rows; `lower`: of them, those below the first 16. */
static void strip(const tile_call *call, int64_t row, bool lower, float *c) {
    float *const below = c + TILE_ROWS * AE_PANEL;
    const int64_t stride = AE_PANEL * sizeof(float);
    const ae_gemm_start start = call->first ? AE_START_C : call->start;
    if (start == AE_START_ZERO) {
        tile_zero(0);
        tile_zero(1);
        if (lower) {
            tile_zero(2);
            tile_zero(3);
        }
    } else {
        /* Every row of the bias is the same. */
        const float *from = start == AE_START_BIAS ? call->bias : c, *from_below = start == AE_START_BIAS ? call->bias : below;
        const int64_t step = start == AE_START_BIAS ? 0 : stride;
        tile_load(0, from, step);
        tile_load(1, from + 16, step);
        if (lower) {
            tile_load(2, from_below, step);
            tile_load(3, from_below + 16, step);
        }
    }
    for (int64_t i = call->first; i < call->last; i++)
        for (int product = 0; product < (call->gemm->parts > 1 ? 3 : 1); product++) {
            const ae_bf16 *a = call->a.part[product == 2] + i * call->gemm->a_step + row * AE_PANEL;
            const ae_bf16 *b = call->b.part[product == 1] + i * AE_BF16_BLOCK;
            tile_load(6, b, 2 * ROW_BYTES);
            tile_load(7, b + AE_PANEL, 2 * ROW_BYTES);
            tile_load(4, a, ROW_BYTES);
            tile_product(0, 4, 6);
            tile_product(1, 4, 7);
            if (lower) {
                tile_load(5, a + TILE_ROWS * AE_PANEL, ROW_BYTES);
                tile_product(2, 5, 6);
                tile_product(3, 5, 7);
            }
        }
    tile_store(0, c, stride);
    tile_store(1, c + 16, stride);
    if (lower) {
        tile_store(2, below, stride);
        tile_store(3, below + 16, stride);
    }
}

static void by_tiles(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start, const float *bias,
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
    tile_release();
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

/* Both parts, strips of several heights, each start; numbers of all sizes, in some rows and columns so small that their sums are
 * denormal. */
static bool has_the_bits(void) {
    enum { ROWS = 49, TERMS = 2, A_SIZE = TERMS * ROWS * AE_PANEL, B_SIZE = TERMS * AE_BF16_BLOCK };
    ae_bf16 a[2][A_SIZE], b[2][B_SIZE];
    float bias[AE_PANEL], by_tile[ROWS * AE_PANEL], by_vector[ROWS * AE_PANEL];
    uint32_t state = 1;
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < A_SIZE + B_SIZE; i++) {
            state = state * 1664525u + 1013904223u;
            const bool on_left = i < A_SIZE, small = on_left ? i / AE_PANEL % ROWS % 8 == 7 : i / 2 % 8 == 7;
            const unsigned exponent = (small && on_left ? 0 : 100) + (state >> 20 & (small ? 0x7u : 0x1fu));
            const ae_bf16 x = (ae_bf16)((state >> 16 & 0x8000u) | exponent << 7 | (state >> 8 & 0x7fu));
            if (on_left)
                a[p][i] = x;
            else
                b[p][i - A_SIZE] = x;
        }
    for (int i = 0; i < AE_PANEL; i++)
        bias[i] = i % 8 == 7 ? 0x1p-130f : 0x1p-6f * (float)i;
    const ae_bf16_gemm gemm = {TERMS, ROWS * AE_PANEL, 2};
    const ae_parts left = {{a[0], a[1]}}, right = {{b[0], b[1]}};
    const ae_gemm_start starts[] = {AE_START_ZERO, AE_START_BIAS, AE_START_C};
    for (int i = 0; i < 3; i++) {
        by_tile[0] = by_vector[0] = 0x1p-130f;
        by_tiles(&gemm, ROWS - 16 * i, left, right, starts[i], bias, by_tile);
        ae_bf16_product_by_vectors_f32_avx512(&gemm, ROWS - 16 * i, left, right, starts[i], bias, by_vector);
    }
    return !memcmp(by_tile, by_vector, sizeof by_tile);
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
