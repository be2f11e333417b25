/* Products on panels beside the roof: GFLOP/s of the three products of a dense layer, one thread.
 *
 *   python csrc/build.py bench gemm
 *
 * The roof is a loop of independent fused multiply-adds in registers, measured in the same run. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "math/panel.h"

#include "bench/bench.h"
#include "bench/gemm_variant.h"

typedef struct product {
    const gemm_bench *variant;
    int what;
    int64_t m, k, n;
    const gemm_operands *operands;
} product;

static void run(const void *argument) {
    const product *p = argument;
    p->variant->run(p->what, p->m, p->k, p->n, p->operands);
}

static double gflops(product p, int what) {
    p.what = what;
    return 2e-9 * (double)p.m * (double)p.k * (double)p.n / bench_best(run, &p, 40, 0.002);
}

int main(void) {
    static const int64_t shapes[][3] = {{32, 30, 64},     {256, 30, 64},   {32, 64, 32},     {256, 64, 32},
                                        {256, 784, 32},   {256, 32, 784},  {100, 784, 200},  {128, 784, 1000},
                                        {128, 1000, 500}, {128, 500, 250}, {256, 784, 1000}, {1, 64, 32}};
    ae_isa isa;
    ae_context context;
    if (ae_isa_select(&context, &isa) != AE_OK) {
        printf("%s\n", context.message);
        return 1;
    }
    for (int bits = 32; bits <= 64; bits += 32) {
        const gemm_bench *b = gemm_bench_get(bits, isa);
        printf("%s f%d: roof %.1f GFLOP/s (one thread)\n", ae_isa_name(isa), bits, b->roof());
        printf("%18s %10s %10s %10s\n", "rows x in x out", "forward", "data", "weights");
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            int64_t m = shapes[s][0], k = shapes[s][1], n = shapes[s][2];
            int64_t stride = ae_panel_stride(m);
            size_t size = (size_t)bits / 8;
            gemm_operands o = {0};
            void *block[5];
            size_t count[5] = {(size_t)(ae_panels(k) * stride), (size_t)(ae_panels(n) * k * AE_PANEL),
                               (size_t)(ae_panels(n) * stride), (size_t)(ae_panels(k) * n * AE_PANEL),
                               (size_t)(ae_panels(n) * k * AE_PANEL)};
            for (int i = 0; i < 5; i++)
                if (ae_alloc(&context, &block[i], count[i], size) != AE_OK)
                    return 1;
            o = (gemm_operands){block[0], block[1], block[2], block[3], block[4]};
            const product p = {b, 0, m, k, n, &o};
            printf("%6ld x %4ld x %4ld %10.1f %10.1f %10.1f\n", (long)m, (long)k, (long)n, gflops(p, 0), gflops(p, 1),
                   gflops(p, 2));
            for (int i = 0; i < 5; i++)
                ae_free(block[i]);
        }
    }
    return 0;
}
