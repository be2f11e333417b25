/* Products of bfloat16 operands with the tiles of AMX (Intel, "Software Developer's Manual", volume 1, chapter 18).
 *
 * Two by two tiles of C, 16 rows of 16 floats each, stay in registers while a slice of the sum passes: per term two tiles of A
 * and two of B are loaded for four products. A slice of one panel of B stays in the first level of cache while the rows of A pass
 * by, which leave it there only where a strip of them and the slice fit together: 8 to 12 % of a training step. C is stored and loaded
 * between slices, which is exact.
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
#define SLICE 10 /* terms, of all parts: 20 KB of a panel of B, which stay in the first level of cache beside as much of A */
#if !defined(A_BYTES) /* a test has less */
#define A_BYTES (768 << 10)
#endif
#define FAR_BLOCKS 128 /* of B: 256 KB */
#define LINES_OF_BLOCK (AE_BF16_BLOCK * (int)sizeof(ae_bf16) / ROW_BYTES)

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
    ae_parts a, b;        /* b: of the panel */
    int64_t first, last;  /* terms of the slice */
    int64_t row0;         /* of the first strip */
    int64_t ahead, lines; /* of B, to be asked for: numbers from here on, and how many lines of each block by a strip */
    int64_t c_lines;      /* of C likewise, where the sums do not begin with it */
    ae_gemm_start start;
    const float *bias;
} tile_call;

/* B of this panel's next slice, or of the next panel's first one: on the way to the second level of cache while this one is
 * multiplied. The strips share its lines. Beyond the end of B there is nothing to come, but nothing is read either. */
static inline __attribute__((always_inline)) void prefetch(const tile_call *call, const ae_bf16 *b, int64_t from) {
    for (int64_t i = 0; i < call->lines; i++)
        __builtin_prefetch(b + call->ahead + from + i * (ROW_BYTES / 2), 0, 2);
}

/* Adds one product of blocks to C. A factor that is NULL is the one of the last call, whose tiles are still there. Each tile is loaded
 * just before its first product, so that loads and products go side by side. */
static inline __attribute__((always_inline)) void multiply(const ae_bf16 *a, const ae_bf16 *b, bool lower) {
    if (b)
        tile_load(6, b, 2 * ROW_BYTES);
    if (a)
        tile_load(4, a, ROW_BYTES);
    tile_product(0, 4, 6);
    if (b)
        tile_load(7, b + AE_PANEL, 2 * ROW_BYTES);
    tile_product(1, 4, 7);
    if (!lower)
        return;
    if (a)
        tile_load(5, a + TILE_ROWS * AE_PANEL, ROW_BYTES);
    tile_product(2, 5, 6);
    tile_product(3, 5, 7);
}

/* Up to 32 rows; `lower`: of them, those below the first 16. */
static inline __attribute__((always_inline)) void strip(const tile_call *call, int64_t row, bool lower, const bool two_parts,
                                                        float *c) {
    float *const below = c + TILE_ROWS * AE_PANEL;
    const int64_t stride = AE_PANEL * sizeof(float), step = call->gemm->a_step;
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
        const int64_t apart = start == AE_START_BIAS ? 0 : stride;
        tile_load(0, from, apart);
        tile_load(1, from + 16, apart);
        if (lower) {
            tile_load(2, from_below, apart);
            tile_load(3, from_below + 16, apart);
        }
    }
    const ae_bf16 *a = call->a.part[0] + call->first * step + row * AE_PANEL,
                  *b = call->b.part[0] + call->first * AE_BF16_BLOCK;
    const int64_t to_second_a = two_parts ? call->a.part[1] - call->a.part[0] : 0;
    const int64_t to_second_b = two_parts ? call->b.part[1] - call->b.part[0] : 0;
    const char *line_of_c = (const char *)c;
    /* Of each block of B the lines that fall to this strip. */
    const int64_t from = (row - call->row0) / (2 * TILE_ROWS) * call->lines * (ROW_BYTES / 2);
    for (int64_t i = call->first; i < call->last; i++, a += step, b += AE_BF16_BLOCK) {
        multiply(a, b + to_second_b, lower);
        prefetch(call, b + to_second_b, from);
        for (int64_t line = 0; line < call->c_lines; line++, line_of_c += ROW_BYTES)
            __builtin_prefetch(line_of_c, 1, 3);
        if (two_parts) {
            multiply(NULL, b, lower);
            multiply(a + to_second_a, NULL, lower);
            prefetch(call, b, from);
        }
    }
    tile_store(0, c, stride);
    tile_store(1, c + 16, stride);
    if (lower) {
        tile_store(2, below, stride);
        tile_store(3, below + 16, stride);
    }
}

/* Rows first .. last - 1 of terms from .. to - 1 of all panels. */
static void strips(tile_call *call, int64_t first, int64_t last, int64_t from, int64_t to, float *c) {
    const ae_bf16_gemm *gemm = call->gemm;
    const ae_parts b = call->b;
    const float *bias = call->bias;
    /* Small matrices are in cache already. */
    const int64_t n_strips = (last - first + 2 * TILE_ROWS - 1) / (2 * TILE_ROWS);
    const int64_t across = gemm->panels > 1 ? gemm->b_panel / AE_BF16_BLOCK : gemm->terms;
    const bool far = across * gemm->panels * gemm->parts > FAR_BLOCKS;
    const int64_t slices = ((to - from) * gemm->parts + SLICE - 1) / SLICE, long_ones = (to - from) % slices;
    call->row0 = first;
    for (int64_t q = 0; q < gemm->panels; q++) {
        call->b = ae_parts_at(b, q * gemm->b_panel);
        call->bias = bias ? bias + q * AE_PANEL : bias;
        call->first = from;
        for (int64_t slice = 0; slice < slices; slice++, call->first = call->last) {
            call->last = call->first + (to - from) / slices + (slice < long_ones);
            /* Behind the last slice of the panel comes the first one of the next. */
            call->ahead = call->last < to ? (call->last - call->first) * AE_BF16_BLOCK
                                          : gemm->b_panel + (from - call->first) * AE_BF16_BLOCK;
            call->lines = far ? (LINES_OF_BLOCK + n_strips - 1) / n_strips : 0;
            call->c_lines =
                far && !call->first && call->start != AE_START_C ? 2 * LINES_OF_BLOCK / (call->last - call->first) : 0;
            float *panel = c + q * gemm->c_panel;
            for (int64_t row = first; row < last; row += 2 * TILE_ROWS)
                if (gemm->parts > 1)
                    strip(call, row, last - row > TILE_ROWS, true, panel + row * AE_PANEL);
                else
                    strip(call, row, last - row > TILE_ROWS, false, panel + row * AE_PANEL);
        }
    }
    call->b = b;
    call->bias = bias;
}

static void by_tiles(const ae_bf16_gemm *gemm, int64_t m, ae_parts a, ae_parts b, ae_gemm_start start, const float *bias,
                     float *c) {
    const int64_t whole = m / (2 * TILE_ROWS) * (2 * TILE_ROWS);
    const int rest = (int)(m - whole), upper = rest < TILE_ROWS ? rest : TILE_ROWS;
    tile_call call = {.gemm = gemm, .a = a, .b = b, .start = start, .bias = bias};
    /* The part of A that all panels read in turn stays in the second level of cache. */
    int64_t at_once = A_BYTES / (m * ROW_BYTES * gemm->parts);
    at_once = gemm->panels == 1 || at_once >= gemm->terms ? gemm->terms : at_once < SLICE ? SLICE : at_once;
    for (int64_t from = 0; from < gemm->terms; from += at_once) {
        const int64_t to = gemm->terms - from < at_once ? gemm->terms : from + at_once;
        if (whole) {
            set_shapes(TILE_ROWS, TILE_ROWS);
            strips(&call, 0, whole, from, to, c);
        }
        if (rest) {
            set_shapes(upper, rest - upper);
            strips(&call, whole, m, from, to, c);
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
    const ae_bf16_gemm gemm = {TERMS, ROWS * AE_PANEL, 2, 1, 0, 0};
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
