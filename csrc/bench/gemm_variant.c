/* The products of a dense layer and the roof, in this variant. */
#include "bench/gemm_variant.h"

#include "bench/bench.h"
#include "math/gemm.h"
#include "math/vec.h"

/* Independent chains: as many as hide the latency of a fused multiply-add (4 or 5 cycles at two to four a cycle), and no more than
 * leave a register each for the two factors, or the loop would wait for the stack. */
#if defined(AE_TARGET_AVX512) || defined(AE_TARGET_NEON)
#define CHAINS 24 /* of 32 registers */
#elif defined(AE_TARGET_AVX2)
#define CHAINS 12 /* of 16 */
#else
#define CHAINS 12 /* of one number, and calls of fma() where the target has no such instruction */
#endif
#define ROUNDS 40
#define TIMES 200000

/* As bench_best, with its own loop: the sums go on from round to round in registers, or the compiler would compute them once. */
static double roof(void) {
    vec sum[CHAINS], a = v_set1((real)0.999999), b = v_set1((real)1e-6);
    for (int i = 0; i < CHAINS; i++)
        sum[i] = v_set1((real)i);
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const double start = bench_now();
        for (int n = 0; n < TIMES; n++)
#pragma GCC unroll 24
            for (int i = 0; i < CHAINS; i++)
                sum[i] = v_fma(sum[i], a, b);
        const double spent = bench_now() - start;
        double rate = 2e-9 * (double)TIMES * CHAINS * VL / spent;
        best = rate > best ? rate : best;
    }
    real out[VL];
    for (int i = 1; i < CHAINS; i++)
        sum[0] = v_add(sum[0], sum[i]);
    v_store(out, sum[0]);
    return out[0] < 0 ? 0 : best;
}

static void run(int what, int64_t m, int64_t k, int64_t n, const gemm_operands *o) {
    const int64_t stride = ae_panel_stride(m), kp = ae_panels(k), np = ae_panels(n);
    const ae_gemm forward = {kp, AE_PANEL, ae_panel_columns(k, kp - 1), 0, 0, stride, AE_PANEL * AE_PANEL};
    const ae_gemm data = {np, AE_PANEL, ae_panel_columns(n, np - 1), 0, 0, stride, AE_PANEL * AE_PANEL};
    const ae_gemm weights = {1, (int32_t)m, (int32_t)m, 0, 0, 0, 0};
    real *x = o->x, *w = o->w, *y = o->y, *wt = o->transposed, *g = o->gradient;
    if (what == 0)
        for (int64_t q = 0; q < np; q++)
            AE_V(ae_gemm_rows)(&forward, m, ae_panel_columns(n, q), x, w + q * k * AE_PANEL, AE_START_ZERO, 0, y + q * stride);
    else if (what == 1)
        for (int64_t p = 0; p < kp; p++)
            AE_V(ae_gemm_rows)(&data, m, ae_panel_columns(k, p), y, wt + p * n * AE_PANEL, AE_START_ZERO, 0, x + p * stride);
    else
        for (int64_t q = 0; q < np; q++)
            for (int64_t p = 0; p < kp; p++) {
                real *tile = g + q * k * AE_PANEL + p * AE_PANEL * AE_PANEL;
                AE_V(ae_gemm_columns)
                (&weights, ae_panel_columns(k, p), ae_panel_columns(n, q), x + p * stride, y + q * stride, AE_START_ZERO, tile);
            }
}

extern const gemm_bench AE_V(gemm_bench);
const gemm_bench AE_V(gemm_bench) = {
    .roof = roof,
    .run = run,
#if AE_BITS == 32
    .bf16_product = AE_V(ae_bf16_product),
    .bf16_block = AE_V(ae_bf16_block),
    .bf16_turn_pairs = AE_V(ae_bf16_turn_pairs),
    .bf16_pack = AE_V(ae_bf16_pack),
#endif
};
