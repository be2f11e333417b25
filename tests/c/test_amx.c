/* What the compiler made of the code for tiles: where the processor lacks their instructions each of them ends in SIGILL, and the
 * handler reads it and does what it says, by tiles.h. */
#include "harness.h"

#if defined(__x86_64__) && defined(__linux__)

#include <signal.h>
#include <stdlib.h>
#include <ucontext.h>

#define ae_amx_permitted tested_permitted
#define ae_amx_available tested_available
#define ae_amx_gemm tested_gemm
#define ae_bf16_product_by_vectors_f32_avx512 ae_bf16_product_by_vectors_f32_ref
#undef AE_WITHOUT_AVX512
#define A_BYTES (32 << 10) /* so that sums are cut */
#include "math/amx.c"
#include "numbers.h"
#include "slow.h"
#include "tiles.h"

static int trapped;

/* The manual, volume 2, section 2.3 (VEX), and the pages of the instructions. */
static void do_instruction(int number, siginfo_t *info, void *state) {
    static const int order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    greg_t *reg = ((ucontext_t *)state)->uc_mcontext.gregs;
    const uint8_t *at = (const uint8_t *)reg[REG_RIP];
    const int prefix = at[2] & 3, third = ~at[2] >> 3 & 15, code = at[3];
    const int mod = at[4] >> 6, left = at[4] >> 3 & 7, right = at[4] & 7;
    int length = 5;
    int64_t address = 0, index = 0;
    (void)info;
    if (at[0] != 0xc4 || (at[1] & 0x1f) != 2) {
        signal(number, SIG_DFL); /* not one of them */
        return;
    }
    if (mod != 3) {
        int base = right;
        if (right == 4) {
            const uint8_t sib = at[length++];
            const int from = (sib >> 3 & 7) | (at[1] & 0x40 ? 0 : 8);
            base = sib & 7;
            index = from == 4 ? 0 : (int64_t)((uint64_t)reg[order[from]] << (sib >> 6));
        }
        const bool far = mod == 2 || (mod == 0 && base == 5);
        if (far) {
            int32_t distance;
            memcpy(&distance, at + length, sizeof distance);
            address = distance;
            length += 4;
        } else if (mod == 1) {
            address = (int8_t)at[length++];
        }
        if (mod == 0 && right == 5)
            address += reg[REG_RIP] + length;
        else if (mod || base != 5)
            address += reg[order[base | (at[1] & 0x20 ? 0 : 8)]];
    }
    if (code == 0x49 && prefix == 0 && mod != 3)
        model_shape((const void *)(address + index));
    else if (code == 0x49 && prefix == 0)
        model_release();
    else if (code == 0x49 && prefix == 3)
        model_zero(left);
    else if (code == 0x4b && prefix == 3)
        model_load(left, (const void *)address, index);
    else if (code == 0x4b && prefix == 2)
        model_store(left, (void *)address, index);
    else if (code == 0x5c && prefix == 2)
        model_product(left, right, third);
    else
        tile_faults++;
    trapped++;
    reg[REG_RIP] += length;
}

#if defined(WITH_TILES)

static ae_bf16 *some_numbers(int64_t n) {
    ae_bf16 *p = malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++)
        p[i] = (ae_bf16)((draw() & 1) << 15 | (115 + draw() % 16) << 7 | (draw() & 0x7f));
    return p;
}

TEST(instructions_have_the_bits_of_vectors) {
    enum { MOST = 70, PANELS = 2 };
    for (int trial = 0; trial < (SLOW ? 6 : 30); trial++) {
        const int64_t m = trial < 6 ? 12 * trial + 1 : 1 + (int64_t)(draw() % MOST), terms = 1 + (int64_t)(draw() % 35);
        const ae_bf16_gemm gemm = {terms, (m + 3) * AE_PANEL, 1 + trial % 2, PANELS, terms * AE_BF16_BLOCK, MOST * AE_PANEL};
        const ae_gemm_start start = (ae_gemm_start)(trial % 3);
        ae_parts a = {{NULL, NULL}}, b = {{NULL, NULL}};
        float bias[PANELS * AE_PANEL], got[PANELS * MOST * AE_PANEL], wanted[PANELS * MOST * AE_PANEL];
        for (int p = 0; p < gemm.parts; p++) {
            a.part[p] = some_numbers(terms * gemm.a_step);
            b.part[p] = some_numbers(PANELS * terms * AE_BF16_BLOCK);
        }
        for (int i = 0; i < PANELS * AE_PANEL; i++)
            bias[i] = (float)draw_unit();
        for (int i = 0; i < PANELS * MOST * AE_PANEL; i++)
            got[i] = wanted[i] = (float)draw_unit();
        trapped = tile_faults = tile_releases = 0;
        by_tiles(&gemm, m, a, b, start, start == AE_START_BIAS ? bias : NULL, got);
        CHECK(!tile_faults && (!trapped || tile_releases == 1), "%d wrong uses of tiles, %d releases", tile_faults,
              tile_releases);
        ae_bf16_product_by_vectors_f32_ref(&gemm, m, a, b, start, start == AE_START_BIAS ? bias : NULL, wanted);
        CHECK(!memcmp(got, wanted, sizeof got), "%d rows, %d terms, %d parts, start %d: other bits", (int)m, (int)terms,
              gemm.parts, (int)start);
        for (int p = 0; p < gemm.parts; p++) {
            free(a.part[p]);
            free(b.part[p]);
        }
    }
}

TEST(what_decides_takes_the_arithmetic_of_vectors_alone) {
    tile_faults = trapped = 0;
    CHECK(has_the_bits() && !tile_faults, "%d wrong uses of tiles", tile_faults);
    for (arithmetic = KEEPS_DENORMAL; trapped && arithmetic <= FROM_C_ON; arithmetic++)
        CHECK(!has_the_bits(), "took arithmetic %d", arithmetic);
    arithmetic = AS_DESCRIBED;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = do_instruction, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
    (void)ask_system(); /* a processor that has them does them itself */
    RUN(instructions_have_the_bits_of_vectors);
    RUN(what_decides_takes_the_arithmetic_of_vectors_alone);
    return harness_finish("test_amx");
}

#endif
#endif

#if !defined(WITH_TILES)
int main(void) {
    printf("test_amx: this build has no tiles\n");
    return 0;
}
#endif
