/* Products of bfloat16 operands, one thread, in GFLOP/s of the matrix product (three products of parts count once):
 *
 *   python csrc/build.py bench bf16
 *
 * Forward (rows of the input against panels of the weight) and weights (columns of the input against panels of the delta), operands
 * ready; then what making them costs, in GB/s of the floats read. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "math/amx.h"
#include "math/panel.h"

#include "bench/bench.h"
#include "bench/gemm_variant.h"

typedef struct work {
    const gemm_bench *variant;
    int64_t m, k, n, step;
    int parts;
    ae_parts a, b, turned;
    float *c;
} work;

static void forward(const void *argument) {
    const work *w = argument;
    const ae_bf16_gemm gemm = {ae_panels(w->k), w->step, w->parts, ae_panels(w->n), ae_panels(w->k) * AE_BF16_BLOCK, w->step};
    w->variant->bf16_product(&gemm, w->m, w->a, w->b, AE_START_ZERO, NULL, w->c);
}

/* Tiles of at most 256 rows of the weight, summed over the m rows of the minibatch. */
static void weights(const void *argument) {
    const work *w = argument;
    const ae_bf16_gemm gemm = {
        ae_panels(w->m), ae_panels(w->k) * AE_BF16_BLOCK, w->parts, 1, ae_panels(w->m) * AE_BF16_BLOCK, 0};
    for (int64_t row = 0; row < w->k; row += 256)
        for (int64_t q = 0; q < ae_panels(w->n); q++)
            w->variant->bf16_product(&gemm, w->k - row < 256 ? w->k - row : 256, ae_parts_at(w->turned, row * AE_PANEL),
                                     ae_parts_at(w->b, q * gemm.terms * AE_BF16_BLOCK), AE_START_ZERO, NULL, w->c);
}

static void make_both(const void *argument) {
    const work *w = argument;
    for (int64_t row = 0; row < w->m; row += AE_PANEL)
        w->variant->bf16_block(w->c + row * AE_PANEL, AE_PANEL, 1, ae_parts_at(w->a, row * AE_PANEL),
                               ae_parts_at(w->b, row * AE_PANEL));
}

static void make_turned(const void *argument) {
    const work *w = argument;
    for (int64_t row = 0; row < w->m; row += AE_PANEL)
        w->variant->bf16_turn_pairs(w->b.part[0] + row * AE_PANEL, w->turned.part[0] + row * AE_PANEL);
}

static void make_packs(const void *argument) {
    const work *w = argument;
    for (int64_t row = 0; row < w->m; row += AE_PANEL)
        w->variant->bf16_pack(w->c + row * AE_PANEL, AE_PANEL, 1, ae_parts_at(w->a, row * AE_PANEL),
                              ae_parts_at(w->b, row * AE_PANEL));
}

static double seconds(void (*call)(const void *), const work *w) { return bench_best(call, w, 40, 0.002); }

int main(void) {
    static const int64_t shapes[][3] = {{32, 30, 64},      {32, 64, 32},     {256, 30, 64},   {256, 64, 32},
                                        {256, 784, 32},    {256, 32, 784},   {100, 784, 200}, {128, 784, 1000},
                                        {256, 784, 1000},  {256, 1000, 500}, {256, 500, 250}, {1024, 784, 1000},
                                        {512, 768, 16384}, {500, 600, 20000}};
    ae_isa isa;
    ae_context context;
    if (ae_isa_select(&context, &isa) != AE_OK) {
        printf("%s\n", context.message);
        return 1;
    }
    const gemm_bench *variant = gemm_bench_get(32, isa);
    printf("%s, %s\n", ae_isa_name(isa), ae_amx_available() ? "with tiles" : "without tiles");
    printf("%20s | %8s %8s | %8s %8s | %10s %10s %10s\n", "rows x in x out", "forward", "weights", "2 parts:", "", "both GB/s",
           "turn", "packs");
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const int64_t m = shapes[s][0], k = shapes[s][1], n = shapes[s][2];
        const int64_t step = ae_panel_stride((m + 31) / 32 * 32), groups = ae_panels(m);
        const int64_t size[4] = {ae_panels(k) * step,
                                 ae_panels(n) * (ae_panels(k) > groups ? ae_panels(k) : groups) * AE_BF16_BLOCK,
                                 groups * ae_panels(k) * AE_BF16_BLOCK, ae_panels(n) * step + 256 * AE_PANEL};
        void *block[7];
        for (int i = 0; i < 7; i++)
            if (ae_alloc(&context, &block[i], (size_t)size[i < 6 ? i / 2 : 3], i < 6 ? sizeof(ae_bf16) : sizeof(float)) !=
                AE_OK)
                return 1;
        work w = {variant, m, k, n, step, 1, {{block[0], NULL}}, {{block[2], NULL}}, {{block[4], NULL}}, block[6]};
        const double flops = 2e-9 * (double)m * (double)k * (double)n, bytes = 4e-9 * (double)(groups * AE_PANEL * AE_PANEL);
        printf("%5ld x %4ld x %5ld | %8.0f %8.0f", (long)m, (long)k, (long)n, flops / seconds(forward, &w),
               flops / seconds(weights, &w));
        w.parts = 2;
        w.a.part[1] = block[1], w.b.part[1] = block[3], w.turned.part[1] = block[5];
        printf(" | %8.0f %8.0f", flops / seconds(forward, &w), flops / seconds(weights, &w));
        w.a.part[1] = w.b.part[1] = w.turned.part[1] = NULL;
        printf(" | %10.1f %10.1f %10.1f\n", bytes / seconds(make_both, &w), bytes / seconds(make_turned, &w),
               bytes / seconds(make_packs, &w));
        fflush(stdout);
        for (int i = 0; i < 7; i++)
            ae_free(block[i]);
    }
    return 0;
}
