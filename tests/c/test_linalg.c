/* The LAPACK door. With the system's OpenBLAS the factorisations are checked by multiplying back; without it, that the
 * door says it is shut. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "harness.h"
#include "math/linalg.h"

enum { MOST = 70 };

#if !defined(AE_BLAS_OPENBLAS)

TEST(door_is_shut) {
    ae_context context;
    double a[4] = {2, 1, 1, 2}, u[4], s[2], vt[4];
    int n = 0;
    while (ae_linalg_names[n] != NULL)
        n++;
    CHECK(n > 0 && n <= MOST, "%d names", n);
    void *pointers[MOST + 1] = {NULL};
    for (int i = 0; i < 2; i++) {
        CHECK(!ae_linalg_ready(), "ready without routines");
        CHECK(ae_linalg_svd(&context, 2, 2, a, u, s, vt) == AE_ERR_UNAVAILABLE, "svd");
        CHECK(strstr(context.message, "LAPACK") != NULL, "message '%s'", context.message);
        CHECK(ae_linalg_eigh(&context, 2, a, s) == AE_ERR_UNAVAILABLE, "eigh");
        CHECK(ae_linalg_solve_positive(&context, 2, 2, a, u) == AE_ERR_UNAVAILABLE, "solve");
        ae_linalg_provide(pointers);
    }
    pointers[0] = a; /* one routine of several is not enough */
    ae_linalg_provide(pointers);
    CHECK(!ae_linalg_ready(), "ready with one routine");
}

int main(void) {
    RUN(door_is_shut);
    return harness_finish("test_linalg");
}

#else

static void fill(double *x, int64_t count, uint64_t seed) {
    const ae_key key = {{(uint32_t)seed, 1}};
    for (int64_t i = 0; i < count; i++)
        x[i] = (double)ae_rng_word(key, 0, 0, (uint32_t)i) * 0x1p-31 - 1;
}

static double a[MOST * MOST], kept[MOST * MOST], u[MOST * MOST], s[MOST], vt[MOST * MOST], b[MOST * MOST], x[MOST * MOST];

TEST(svd_multiplies_back) {
    static const int64_t sizes[][2] = {{1, 1}, {1, 7}, {7, 1}, {5, 3}, {3, 5}, {70, 4}, {4, 70}, {40, 33}, {33, 40}, {70, 70}};
    for (size_t t = 0; t < sizeof sizes / sizeof sizes[0]; t++) {
        const int64_t m = sizes[t][0], n = sizes[t][1], r = m < n ? m : n;
        fill(a, m * n, t);
        memcpy(kept, a, sizeof a);
        const int64_t live = ae_alloc_live();
        CHECK(ae_linalg_svd(NULL, m, n, a, u, s, vt) == AE_OK, "%lld by %lld", (long long)m, (long long)n);
        CHECK(ae_alloc_live() == live, "work space left");
        double worst = 0, orthogonal = 0;
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t k = 0; k < r; k++)
                    sum += u[i * r + k] * s[k] * vt[k * n + j];
                worst = fmax(worst, fabs(sum - kept[i * n + j]));
            }
        }
        for (int64_t k = 0; k < r; k++) {
            CHECK(s[k] >= 0 && (k == 0 || s[k] <= s[k - 1]), "singular value %lld", (long long)k);
            for (int64_t l = 0; l < r; l++) {
                double left = 0, right = 0;
                for (int64_t i = 0; i < m; i++)
                    left += u[i * r + k] * u[i * r + l];
                for (int64_t j = 0; j < n; j++)
                    right += vt[k * n + j] * vt[l * n + j];
                orthogonal = fmax(orthogonal, fmax(fabs(left - (k == l)), fabs(right - (k == l))));
            }
        }
        CHECK(worst < 1e-12 && orthogonal < 1e-12, "%lld by %lld: %g, %g", (long long)m, (long long)n, worst, orthogonal);
    }
}

TEST(eigh_satisfies_its_equation) {
    static const int64_t sizes[] = {1, 2, 5, 26, 70};
    for (size_t t = 0; t < sizeof sizes / sizeof sizes[0]; t++) {
        const int64_t n = sizes[t];
        fill(kept, n * n, 100 + t);
        for (int64_t i = 0; i < n; i++) {
            for (int64_t j = 0; j < i; j++)
                kept[i * n + j] = kept[j * n + i];
        }
        memcpy(a, kept, sizeof a);
        CHECK(ae_linalg_eigh(NULL, n, a, s) == AE_OK, "order %lld", (long long)n);
        double worst = 0;
        for (int64_t k = 0; k < n; k++) {
            double norm = 0;
            CHECK(k == 0 || s[k] >= s[k - 1], "eigenvalue %lld", (long long)k);
            for (int64_t i = 0; i < n; i++) {
                double sum = 0;
                for (int64_t j = 0; j < n; j++)
                    sum += kept[i * n + j] * a[k * n + j];
                worst = fmax(worst, fabs(sum - s[k] * a[k * n + i]));
                norm += a[k * n + i] * a[k * n + i];
            }
            worst = fmax(worst, fabs(norm - 1));
        }
        CHECK(worst < 1e-12, "order %lld: %g", (long long)n, worst);
    }
}

TEST(solve_positive_multiplies_back) {
    static const int64_t sizes[][2] = {{1, 1}, {3, 1}, {3, 2}, {40, 33}, {33, 70}, {70, 70}, {5, 0}};
    for (size_t t = 0; t < sizeof sizes / sizeof sizes[0]; t++) {
        const int64_t n = sizes[t][0], m = sizes[t][1];
        fill(u, n * n, 200 + t);
        for (int64_t i = 0; i < n; i++) {
            for (int64_t j = 0; j < n; j++) {
                kept[i * n + j] = i == j;
                for (int64_t k = 0; k < n; k++)
                    kept[i * n + j] += u[i * n + k] * u[j * n + k];
            }
        }
        memcpy(a, kept, sizeof a);
        fill(b, n * m, 300 + t);
        memcpy(x, b, sizeof x);
        CHECK(ae_linalg_solve_positive(NULL, n, m, a, x) == AE_OK, "%lld, %lld", (long long)n, (long long)m);
        double worst = 0;
        for (int64_t i = 0; i < n; i++) {
            for (int64_t j = 0; j < m; j++) {
                double sum = 0;
                for (int64_t k = 0; k < n; k++)
                    sum += kept[i * n + k] * x[k * m + j];
                worst = fmax(worst, fabs(sum - b[i * m + j]));
            }
        }
        CHECK(worst < 1e-11, "%lld, %lld: %g", (long long)n, (long long)m, worst);
    }
}

TEST(bad_input) {
    ae_context context;
    a[0] = 1, a[1] = 2, a[2] = 2, a[3] = 1; /* eigenvalues 3 and -1 */
    b[0] = b[1] = 1;
    CHECK(ae_linalg_solve_positive(&context, 2, 1, a, b) == AE_ERR_VALUE, "indefinite");
    CHECK(strstr(context.message, "positive definite") != NULL, "message '%s'", context.message);
    a[0] = 1, a[1] = 2, a[2] = NAN, a[3] = 1;
    CHECK(ae_linalg_svd(&context, 2, 2, a, u, s, vt) == AE_ERR_VALUE, "NaN");
    CHECK(strstr(context.message, "row 1, column 0") != NULL, "message '%s'", context.message);
    a[2] = INFINITY;
    CHECK(ae_linalg_eigh(&context, 2, a, s) == AE_ERR_VALUE, "infinity");
    CHECK(ae_linalg_svd(&context, -1, 2, a, u, s, vt) == AE_ERR_VALUE, "negative size");
    CHECK(ae_linalg_svd(&context, 0, 2, a, u, s, vt) == AE_OK, "no rows");
    CHECK(ae_linalg_eigh(&context, 0, a, s) == AE_OK, "order 0");
    const int64_t large = (int64_t)1 << 31;
    CHECK(ae_linalg_svd(&context, large, 1, a, u, s, vt) == AE_ERR_OVERFLOW, "2^31 rows");
    CHECK(ae_linalg_eigh(&context, large, a, s) == AE_ERR_OVERFLOW, "order 2^31");
    CHECK(ae_linalg_solve_positive(&context, 1, large, a, b) == AE_ERR_OVERFLOW, "2^31 right-hand sides");
}

TEST(no_memory) {
    const int64_t live = ae_alloc_live();
    int failures[3] = {0};
    for (int which = 0; which < 3; which++) {
        for (int64_t n = 0; n < 10; n++) {
            ae_context context;
            for (int i = 0; i < 9; i++)
                a[i] = i % 4 ? 0.1 : 1;
            b[0] = b[1] = b[2] = b[3] = b[4] = b[5] = 1;
            ae_alloc_fail_after(n);
            ae_status status = which == 0   ? ae_linalg_svd(&context, 3, 3, a, u, s, vt)
                               : which == 1 ? ae_linalg_eigh(&context, 3, a, s)
                                            : ae_linalg_solve_positive(&context, 3, 2, a, b);
            ae_alloc_fail_after(-1);
            CHECK(ae_alloc_live() == live, "%lld blocks left", (long long)(ae_alloc_live() - live));
            if (status == AE_OK)
                break;
            CHECK(status == AE_ERR_MEMORY, "status %d", (int)status);
            failures[which]++;
        }
    }
    CHECK(failures[0] >= 1 && failures[0] < 10, "svd: %d points", failures[0]);
    CHECK(failures[1] >= 1 && failures[1] < 10, "eigh: %d points", failures[1]);
    CHECK(failures[2] >= 1 && failures[2] < 10, "solve: %d points", failures[2]);
}

TEST(always_ready) { CHECK(ae_linalg_ready() && ae_linalg_names[0] != NULL, "not ready"); }

int main(void) {
    RUN(always_ready);
    RUN(svd_multiplies_back);
    RUN(eigh_satisfies_its_equation);
    RUN(solve_positive_multiplies_back);
    RUN(bad_input);
    RUN(no_memory);
    return harness_finish("test_linalg");
}

#endif
