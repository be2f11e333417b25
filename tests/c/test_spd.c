/* The inverse of a symmetric positive definite matrix: it multiplies back, has the same bits by every instruction set, and refuses
 * what is not positive. */
#include "math/spd.h"

#include "harness.h"
#include "networks.h"

enum { MOST = 160 };

/* B^T B / n + diagonal, in panels. */
static void positive(int bits, int64_t n, double diagonal, void *out) {
    static double b[MOST * MOST];
    fill(b, n * n, -1, 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = i == j ? diagonal : 0.0;
            for (int64_t k = 0; k < n; k++)
                sum += b[k * n + i] * b[k * n + j] / (double)n;
            ae_real_set(bits, out, in_panels(n, i, j), sum);
        }
}

static double m[MOST * MOST], inverse[MOST * MOST], first[MOST * MOST], scratch[AE_SPD_SCRATCH(MOST)];

TEST(inverse_multiplies_back) {
    for (int bits = 32; bits <= 64; bits += 32)
        for (int64_t n = 32; n <= MOST; n += 32)
            for (int isa = 0, runs = 0; isa < AE_ISA_COUNT; isa++) {
                const ae_kernels *kernels = ae_cpu_has((ae_isa)isa) ? ae_kernels_get(bits, (ae_isa)isa) : NULL;
                double worst = 0;
                if (!kernels)
                    continue;
                if (runs++ == 0)
                    positive(bits, n, 0.01, m);
                memcpy(inverse, m, sizeof m);
                for (int64_t i = 0; i < n; i++)
                    for (int64_t j = (i / AE_PANEL + 1) * AE_PANEL; j < n; j++)
                        ae_real_set(bits, inverse, in_panels(n, i, j), NAN); /* nobody reads it */
                CHECK(ae_spd_inverse(kernels, bits, n, inverse, scratch), "%lld rows", (long long)n);
                for (int64_t i = 0; i < n; i++)
                    for (int64_t j = 0; j < n; j++) {
                        double sum = i == j ? -1.0 : 0.0;
                        for (int64_t k = 0; k < n; k++)
                            sum += ae_real_at(bits, m, in_panels(n, i, k)) * ae_real_at(bits, inverse, in_panels(n, k, j));
                        worst = fabs(sum) > worst ? fabs(sum) : worst;
                    }
                /* Entries of the inverse reach a hundred. */
                CHECK(worst < (bits == 32 ? 2e-3 : 1e-11), "%d bits, %lld rows: %g", bits, (long long)n, worst);
                if (runs == 1)
                    memcpy(first, inverse, sizeof first);
                CHECK(!memcmp(first, inverse, (size_t)(n * n * bits / 8)), "%s has other bits than the first set",
                      ae_isa_name((ae_isa)isa));
            }
}

TEST(inverse_of_what_is_not_positive) {
    for (int bits = 32; bits <= 64; bits += 32) {
        const ae_kernels *kernels = ae_kernels_get(bits, AE_ISA_REF);
        for (int row = 5; row < 96; row += 65)
            for (int which = 0; which < 4; which++) {
                positive(bits, 96, 0.01, m);
                /* A zero, a negative number and NaN on the diagonal; and an entry beside it, which shows when others are pivots. */
                const int other = (row + 32) % 96;
                if (which < 3)
                    ae_real_set(bits, m, in_panels(96, row, row), which == 0 ? 0.0 : which == 1 ? -1.0 : NAN);
                else
                    ae_real_set(bits, m, in_panels(96, row > other ? row : other, row > other ? other : row), 1e3);
                CHECK(!ae_spd_inverse(kernels, bits, 96, m, scratch), "%d bits, row %d, kind %d", bits, row, which);
            }
    }
}

int main(void) {
    RUN(inverse_multiplies_back);
    RUN(inverse_of_what_is_not_positive);
    return harness_finish("test_spd");
}
