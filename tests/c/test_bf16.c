/* Products of bfloat16 operands: their definition against every instruction set and against the code for tiles, whose
 * instructions are defined here; operands; the stated bound. */
#include <float.h>
#include <stdlib.h>

#include "harness.h"
#include "math/amx.h"
#include "math/bf16.h"
#include "math/kernels.h"
#include "math/variant.h"
#include "numbers.h"
#include "slow.h"
#include "tiles.h"

/* ---- the code for tiles, with their instructions as functions ---- */

#define AE_AMX_MODEL
#define tile_shape(from) model_shape(from)
#define tile_load(t, from, stride) model_load(t, from, stride)
#define tile_store(t, to, stride) model_store(t, to, stride)
#define tile_zero(t) model_zero(t)
#define tile_product(c, a, b) model_product(c, a, b)
#define tile_release() model_release()
#define A_BYTES (64 << 10) /* so that sums are cut */
#include "math/amx.c"

/* ---- the variants ---- */

typedef void (*product_function)(const ae_bf16_gemm *, int64_t, ae_parts, ae_parts, ae_gemm_start, const float *, float *);

#define DECLARE(suffix, bits, isa) DECLARE_##bits(suffix)
#define DECLARE_32(suffix)                                                                                                    \
    void ae_bf16_product_by_vectors_##suffix(const ae_bf16_gemm *, int64_t, ae_parts, ae_parts, ae_gemm_start, const float *, \
                                             float *);                                                                        \
    void ae_bf16_product_##suffix(const ae_bf16_gemm *, int64_t, ae_parts, ae_parts, ae_gemm_start, const float *, float *);  \
    void ae_bf16_block_##suffix(const float *, int, int, ae_parts, ae_parts);                                                 \
    void ae_bf16_block_by_vectors_##suffix(const float *, int, int, ae_parts, ae_parts);                                      \
    void ae_bf16_turn_pairs_##suffix(const ae_bf16 *, ae_bf16 *);
#define DECLARE_64(suffix)
AE_FOR_EACH_VARIANT(DECLARE)

typedef struct variant {
    const char *name;
    ae_isa isa;
    product_function vectors, chosen;
    void (*block)(const float *, int, int, ae_parts, ae_parts);
    void (*block_by_vectors)(const float *, int, int, ae_parts, ae_parts);
    void (*turn)(const ae_bf16 *, ae_bf16 *);
} variant;

#define LIST(suffix, bits, isa) LIST_##bits(suffix, isa)
#define LIST_32(suffix, isa)              \
    {#suffix,                             \
     isa,                                 \
     ae_bf16_product_by_vectors_##suffix, \
     ae_bf16_product_##suffix,            \
     ae_bf16_block_##suffix,              \
     ae_bf16_block_by_vectors_##suffix,   \
     ae_bf16_turn_pairs_##suffix},
#define LIST_64(suffix, isa)
static const variant variants[] = {AE_FOR_EACH_VARIANT(LIST){NULL, AE_ISA_REF, NULL, NULL, NULL, NULL, NULL}};

static const ae_parts nothing = {{NULL, NULL}};

/* ---- one product ---- */

enum { MOST_TERMS = 35, MOST_ROWS = 70, MOST_PANELS = 2, C_PANEL = (MOST_ROWS + 1) * AE_PANEL, C_SIZE = MOST_PANELS * C_PANEL };

typedef struct case_of {
    ae_bf16_gemm gemm;
    int64_t m;
    ae_parts a, b; /* no longer than what may be read */
    float bias[MOST_PANELS * AE_PANEL], before[C_SIZE], wanted[C_SIZE];
    ae_gemm_start start;
} case_of;

/* Of magnitudes so different that the order of a sum shows; zeros and denormal numbers among them. */
static ae_bf16 some_number(void) {
    const uint64_t kind = draw() % 24;
    const unsigned exponent = kind == 0 ? 0 : kind == 1 ? 30 + (unsigned)(draw() % 40) : 120 + (unsigned)(draw() % 10);
    return (ae_bf16)((draw() & 1) << 15 | exponent << 7 | (draw() & 0x7f));
}

static ae_bf16 *some_numbers(int64_t n) {
    ae_bf16 *p = malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++)
        p[i] = some_number();
    return p;
}

/* Rows 7, 15, ... of A and columns 7, 15, ... of B, so small that where they meet all sums are denormal. */
static void shrink(const case_of *c, int part) {
    for (int64_t i = 0; i < c->gemm.terms; i++)
        for (int64_t at = 7 * AE_PANEL; at < c->m * AE_PANEL; at += at % AE_PANEL == AE_PANEL - 1 ? 7 * AE_PANEL + 1 : 1) {
            ae_bf16 *x = c->a.part[part] + i * c->gemm.a_step + at;
            *x = (ae_bf16)((*x & 0x807f) | (draw() % 8) << 7);
        }
    for (int64_t i = 0; i < c->gemm.terms * c->gemm.panels; i++)
        for (int k = 0; k < AE_PANEL; k++)
            for (int n = 7; n < AE_PANEL; n += 8) {
                ae_bf16 *x = c->b.part[part] + i / c->gemm.terms * c->gemm.b_panel + i % c->gemm.terms * AE_BF16_BLOCK +
                             (k / 2 * AE_PANEL + n) * 2 + k % 2;
                *x = (ae_bf16)((*x & 0x807f) | (100 + draw() % 8) << 7);
            }
}

/* The definition, number by number. */
static void expect(case_of *c) {
    static const int left[] = {0, 0, 1}, right[] = {1, 0, 0};
    memcpy(c->wanted, c->before, sizeof c->wanted);
    for (int64_t j = 0; j < c->gemm.panels * c->m; j++)
        for (int n = 0; n < AE_PANEL; n++) {
            const int64_t q = j / c->m, r = j % c->m, at = q * C_PANEL + r * AE_PANEL + n;
            float sum = c->start == AE_START_ZERO ? 0 : c->start == AE_START_BIAS ? c->bias[q * AE_PANEL + n] : c->before[at];
            for (int64_t i = 0; i < c->gemm.terms; i++)
                for (int p = c->gemm.parts > 1 ? 0 : 1; p < (c->gemm.parts > 1 ? 3 : 2); p++) {
                    float half[2] = {0, 0};
                    for (int k = 0; k < AE_PANEL; k++) {
                        const float x = wide(c->a.part[left[p]][i * c->gemm.a_step + r * AE_PANEL + k]);
                        const float y = wide(
                            c->b.part[right[p]][q * c->gemm.b_panel + i * AE_BF16_BLOCK + (k / 2 * AE_PANEL + n) * 2 + k % 2]);
                        half[k % 2] = flushed(fmaf(x, y, half[k % 2]));
                    }
                    sum = flushed(flushed(sum) + flushed(half[0] + half[1]));
                }
            c->wanted[at] = sum;
        }
}

static void compare(const case_of *c, product_function function, const char *name) {
    /* What lies between the panels must stay. */
    float got[AE_PANEL + C_SIZE];
    for (int i = 0; i < AE_PANEL; i++)
        got[i] = 12345;
    memcpy(got + AE_PANEL, c->before, sizeof c->before);
    function(&c->gemm, c->m, c->a, c->b, c->start, c->start == AE_START_BIAS ? c->bias : NULL, got + AE_PANEL);
    CHECK(!memcmp(got + AE_PANEL, c->wanted, sizeof c->wanted),
          "%s: %d rows, %d terms, %d parts, %d panels, start %d: other bits", name, (int)c->m, (int)c->gemm.terms,
          c->gemm.parts, (int)c->gemm.panels, c->start);
    CHECK(got[0] == 12345 && got[AE_PANEL - 1] == 12345, "%s: wrote before C", name);
}

TEST(every_set_and_the_tiles_have_the_bits_of_the_definition) {
    for (int trial = 0; trial < (SANITIZED ? 12 : 96); trial++) {
        case_of *c = malloc(sizeof *c);
        c->m = trial < MOST_ROWS && !SANITIZED ? 1 + trial : 1 + (int64_t)(draw() % MOST_ROWS);
        c->gemm =
            (ae_bf16_gemm){1 + (int64_t)(draw() % MOST_TERMS), 0, 1 + trial / 4 % 2, 1 + trial / 2 % MOST_PANELS, 0, C_PANEL};
        c->gemm.b_panel = (c->gemm.terms + (int64_t)(draw() % 3)) * AE_BF16_BLOCK;
        c->gemm.a_step = c->m * AE_PANEL + 2 * (int64_t)(draw() % 50);
        c->start = (ae_gemm_start)(trial % 3);
        for (int i = 0; i < MOST_PANELS * AE_PANEL; i++)
            c->bias[i] = (float)(draw_unit() - 0.5);
        for (int i = 0; i < C_SIZE; i++)
            c->before[i] = i % 40 && i % 8 != 7 ? (float)(draw_unit() - 0.5) : 0x1p-130f;
        for (int p = 0; p < 2; p++) {
            const bool there = p < c->gemm.parts;
            const int64_t terms = c->gemm.terms;
            c->a.part[p] = there ? some_numbers((terms - 1) * c->gemm.a_step + c->m * AE_PANEL) : NULL;
            c->b.part[p] = there ? some_numbers((c->gemm.panels - 1) * c->gemm.b_panel + terms * AE_BF16_BLOCK) : NULL;
            if (there)
                shrink(c, p);
        }
        expect(c);
        for (const variant *v = variants; v->name; v++)
            if (ae_cpu_has(v->isa)) {
                compare(c, v->vectors, v->name);
                compare(c, v->chosen, v->name);
            }
        tile_faults = tile_releases = 0;
        compare(c, by_tiles, "tiles");
        CHECK(!tile_faults && tile_releases == 1, "%d wrong uses of tiles, %d releases", tile_faults, tile_releases);
        for (int p = 0; p < 2; p++) {
            free(c->a.part[p]);
            free(c->b.part[p]);
        }
        free(c);
    }
}

TEST(the_state_of_the_processor_is_put_back) {
    static ae_bf16 a[AE_PANEL], b[AE_BF16_BLOCK];
    float c[AE_PANEL] = {0};
    const ae_bf16_gemm gemm = {1, 0, 1, 1, 0, 0};
    volatile float smallest = 0x1p-149f;
    for (const variant *v = variants; v->name; v++)
        if (ae_cpu_has(v->isa)) {
            v->chosen(&gemm, 1, (ae_parts){{a, NULL}}, (ae_parts){{b, NULL}}, AE_START_ZERO, NULL, c);
            CHECK(smallest * 2 == 0x1p-148f, "%s: denormal numbers are zero behind it", v->name);
        }
}

/* ---- operands ---- */

/* Nearest, ties to even, by comparing candidates in double; zero below the normal range. */
static bool is_nearest(float x, ae_bf16 got) {
    const uint32_t bits = (uint32_t)got << 16;
    float at, low, high;
    memcpy(&at, &bits, 4);
    if (isnan(x))
        return isnan(at);
    if (fabsf(x) < FLT_MIN)
        return at == 0 && signbit(at) == signbit(x);
    if (isinf(x) || isinf(at))
        return (isinf(x) && at == x) || fabs((double)x) >= 0x1.ffp127;
    const uint32_t less = bits - 0x10000u, more = bits + 0x10000u;
    memcpy(&low, &less, 4);
    memcpy(&high, &more, 4);
    const double error = fabs((double)x - (double)at);
    const bool best = (isnan(low) || isinf(low) || (bits & 0x7fffffffu) == 0 || error <= fabs((double)x - (double)low)) &&
                      (isnan(high) || isinf(high) || error <= fabs((double)x - (double)high));
    const bool tie = error > 0 && (error == fabs((double)x - (double)low) || error == fabs((double)x - (double)high));
    return best && (!tie || !(got & 1)) && signbit(at) == signbit(x);
}

TEST(parts_are_the_nearest_numbers) {
    for (const variant *v = variants; v->name; v++) {
        if (!ae_cpu_has(v->isa))
            continue;
        for (int trial = 0; trial < 300; trial++) {
            float x[AE_PANEL];
            ae_bf16 first[AE_PANEL], second[AE_PANEL], alone[AE_PANEL];
            for (int i = 0; i < AE_PANEL; i++) {
                x[i] = (float)anything(32);
                if (i % 4 == 1) { /* half way */
                    uint32_t bits = (uint32_t)draw() << 16 | 0x8000u;
                    memcpy(&x[i], &bits, 4);
                }
            }
            v->block(x, 1, 2, (ae_parts){{first, second}}, nothing);
            v->block(x, 1, 1, (ae_parts){{alone, NULL}}, nothing);
            CHECK(!memcmp(first, alone, sizeof first), "%s: the first part depends on the second", v->name);
            for (int i = 0; i < AE_PANEL; i++) {
                const uint32_t bits = (uint32_t)first[i] << 16;
                float at;
                memcpy(&at, &bits, 4);
                CHECK(is_nearest(x[i], first[i]), "%s: %a became %a", v->name, (double)x[i], (double)at);
                if (isfinite(x[i]) && isfinite(at))
                    CHECK(is_nearest(x[i] - at, second[i]), "%s: rest of %a", v->name, (double)x[i]);
            }
        }
    }
}

/* Every float there is, by both ways and in all layouts; of two parts a part of them, because what is left of a number is just another
 * one. */
TEST(instructions_that_convert_have_the_bits_of_vectors) {
    static float x[AE_BF16_BLOCK];
    static ae_bf16 got[4][AE_BF16_BLOCK], wanted[4][AE_BF16_BLOCK];
    CHECK(!ae_cpu_converts_bf16() || ae_cpu_has(AE_ISA_AVX512), "conversions without the registers");
    for (const variant *v = variants; ae_cpu_converts_bf16() && v->name; v++)
        for (uint64_t bits = 0, blocks = 0; v->isa == AE_ISA_AVX512 && bits < (uint64_t)1 << 32; blocks++) {
            for (int i = 0; i < AE_BF16_BLOCK; i++, bits += SANITIZED ? 67 : 1) {
                const uint32_t word = (uint32_t)bits;
                memcpy(&x[i], &word, 4);
            }
            const int parts = blocks % 64 ? 1 : 2, rows = blocks % 8 ? AE_PANEL : (int)(blocks / 8 % AE_PANEL) + 1;
            const bool by_rows = blocks % 4 != 1, pairs = blocks % 4 != 2;
            /* The next block begins with what this one leaves out. */
            bits -= (uint64_t)((AE_PANEL - rows) * AE_PANEL) * (SANITIZED ? 67 : 1);
            const ae_parts none = {{NULL, NULL}};
            memset(got, 0, sizeof got);
            memset(wanted, 0, sizeof wanted);
            v->block(x, rows, parts, by_rows ? (ae_parts){{got[0], got[1]}} : none,
                     pairs ? (ae_parts){{got[2], got[3]}} : none);
            v->block_by_vectors(x, rows, parts, by_rows ? (ae_parts){{wanted[0], wanted[1]}} : none,
                                pairs ? (ae_parts){{wanted[2], wanted[3]}} : none);
            if (memcmp(got, wanted, sizeof got)) {
                CHECK(false, "%s: of the floats before %llx, %d parts, %d rows", v->name, (unsigned long long)bits, parts,
                      rows);
                return;
            }
        }
}

TEST(layouts_hold_the_same_numbers) {
    static float x[AE_BF16_BLOCK];
    static ae_bf16 plain[2][AE_BF16_BLOCK], pairs[2][AE_BF16_BLOCK], turned[2][AE_BF16_BLOCK], across[2][AE_BF16_BLOCK],
        packed[2][AE_BF16_BLOCK];
    for (const variant *v = variants; v->name; v++) {
        const ae_kernels *kernels = ae_cpu_has(v->isa) ? ae_kernels_get(32, v->isa) : NULL;
        for (int rows = 1; kernels && rows <= AE_PANEL; rows++) {
            for (int i = 0; i < AE_BF16_BLOCK; i++)
                x[i] = i < rows * AE_PANEL ? (float)draw_unit() : NAN;
            memset(plain, 0, sizeof plain);
            v->block(x, rows, 2, (ae_parts){{plain[0], plain[1]}}, (ae_parts){{pairs[0], pairs[1]}});
            for (int p = 0; p < 2; p++)
                v->turn(pairs[p], turned[p]);
            kernels->bf16_pack(x, rows, 2, (ae_parts){{packed[0], packed[1]}}, (ae_parts){{across[0], across[1]}});
            bool same = !memcmp(packed, pairs, sizeof pairs);
            /* One side alone. */
            memset(packed, 0, sizeof packed);
            v->block(x, rows, 2, (ae_parts){{packed[0], packed[1]}}, nothing);
            same &= !memcmp(packed, plain, sizeof plain);
            v->block(x, rows, 2, nothing, (ae_parts){{packed[0], packed[1]}});
            same &= !memcmp(packed, pairs, sizeof pairs);
            kernels->bf16_pack(x, rows, 2, (ae_parts){{packed[0], packed[1]}}, nothing);
            same &= !memcmp(packed, pairs, sizeof pairs);
            for (int p = 0; p < 2; p++)
                for (int r = 0; r < AE_PANEL; r++)
                    for (int c = 0; c < AE_PANEL; c++) {
                        const ae_bf16 one = plain[p][r * AE_PANEL + c];
                        same &= pairs[p][(r / 2 * AE_PANEL + c) * 2 + r % 2] == one;
                        same &= turned[p][c * AE_PANEL + r] == one;
                        same &= across[p][(c / 2 * AE_PANEL + r) * 2 + c % 2] == one;
                    }
            CHECK(same, "%s: %d rows", v->name, rows);
        }
    }
}

TEST(sums_are_within_the_bound) {
    enum { TERMS = 12, N = TERMS * AE_PANEL };
    static float x[TERMS][AE_BF16_BLOCK], y[TERMS][AE_BF16_BLOCK];
    static ae_bf16 a[2][TERMS * AE_BF16_BLOCK], b[2][TERMS * AE_BF16_BLOCK];
    for (int parts = 1; parts <= 2; parts++)
        for (const variant *v = variants; v->name; v++) {
            const ae_kernels *kernels = ae_cpu_has(v->isa) ? ae_kernels_get(32, v->isa) : NULL;
            if (!kernels)
                continue;
            const ae_parts left = {{a[0], parts > 1 ? a[1] : NULL}}, right = {{b[0], parts > 1 ? b[1] : NULL}};
            for (int t = 0; t < TERMS; t++) {
                for (int i = 0; i < AE_BF16_BLOCK; i++) {
                    x[t][i] = (float)(draw_unit() - 0.3);
                    y[t][i] = (float)(draw_unit() - 0.5);
                }
                v->block(x[t], AE_PANEL, parts, ae_parts_at(left, t * AE_BF16_BLOCK), nothing);
                kernels->bf16_pack(y[t], AE_PANEL, parts, ae_parts_at(right, t * AE_BF16_BLOCK), nothing);
            }
            const ae_bf16_gemm gemm = {TERMS, AE_BF16_BLOCK, parts, 1, 0, 0};
            float c[AE_BF16_BLOCK];
            v->chosen(&gemm, AE_PANEL, left, right, AE_START_ZERO, NULL, c);
            double worst = 0, squares = 0;
            for (int i = 0; i < AE_BF16_BLOCK; i++) {
                double sum = 0, size = 0;
                for (int k = 0; k < N; k++) {
                    const double one = (double)x[k / AE_PANEL][i / AE_PANEL * AE_PANEL + k % AE_PANEL] *
                                       (double)y[k / AE_PANEL][k % AE_PANEL * AE_PANEL + i % AE_PANEL];
                    sum += one;
                    size += fabs(one);
                }
                const double error = fabs((double)c[i] - sum) / size;
                worst = fmax(worst, error);
                squares += error * error;
            }
            const double factors = parts == 1 ? 0x1p-7 + 0x1p-16 : 3 * 0x1p-16 + 0x1p-24, rounding = 3 * N * 0x1p-24;
            CHECK(worst <= factors + rounding, "%s, %d parts: %g", v->name, parts, worst);
            /* And a second part is worth its work: of exact sums of the rounded parts of such numbers the error has a root mean square of
             * 3.0e-7 (by NumPy). The largest of a few would depend on the draw. */
            const double typical = sqrt(squares / AE_BF16_BLOCK);
            CHECK(parts == 1 ? typical > 1e-5 : typical < 3.5e-7, "%s, %d parts: %g", v->name, parts, typical);
        }
}

static long permission;
static int asked;
static long ask(void) {
    asked++;
    return permission;
}

TEST(tiles_need_instructions_a_system_that_saves_them_and_its_permission) {
    const unsigned have = 1u << 22 | 1u << 24;
    const unsigned long saved = 3ul << 17;
    permission = 0;
    CHECK(!ae_amx_permitted(1u << 22, saved, ask) && !ae_amx_permitted(1u << 24, saved, ask), "without instructions");
    CHECK(!ae_amx_permitted(have, 1ul << 17, ask) && !ae_amx_permitted(have, 1ul << 18, ask), "without a place to save them");
    CHECK(!asked, "asked for what is not there");
    CHECK(ae_amx_permitted(have, saved, ask) && asked == 1, "has it all");
    permission = -1;
    CHECK(!ae_amx_permitted(have, saved, ask) && asked == 2, "refused by the system");
}

int main(void) {
    RUN(every_set_and_the_tiles_have_the_bits_of_the_definition);
    RUN(the_state_of_the_processor_is_put_back);
    RUN(parts_are_the_nearest_numbers);
    RUN(instructions_that_convert_have_the_bits_of_vectors);
    RUN(layouts_hold_the_same_numbers);
    RUN(sums_are_within_the_bound);
    RUN(tiles_need_instructions_a_system_that_saves_them_and_its_permission);
    return harness_finish("test_bf16");
}
