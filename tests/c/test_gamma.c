/* Errors of log gamma and digamma against values of mpmath and the C library's long double, and their bits. */
#include <float.h>
#include <math.h>

#include "harness.h"
#include "numbers.h"

/* Of mpmath 1.3 at 40 digits. */
static const struct {
    double x, lgamma, digamma;
} known[] = {
    {1e-05, 11.512919692895825626, -100000.57719921567289},
    {0.0009765625, 6.9309089024194618895, -1024.5756104293406219},
    {0.125, 2.0194183575537963453, -8.3884926632958548678},
    {0.5, 0.57236494292470008707, -1.9635100260214234794},
    {1.0, 0.0, -0.57721566490153286061},
    {1.4616321449683622, -0.12148629053584960810, -9.2412655217294275168e-17},
    {2.0, 0.0, 0.42278433509846713939},
    {3.25, 0.93580193110872535826, 1.0169909110681790364},
    {7.9375, 8.3994445251249576882, 2.0072856526575243427},
    {8.0, 8.5251613610654143002, 2.0156414779556099965},
    {8.5, 9.5492672573009977117, 2.0800908175794201214},
    {20.75, 41.582015781954895434, 3.0082563607712687353},
    {100.0, 359.13420536957539878, 4.6001618527380874002},
    {22026.0, 198229.45316300866130, 9.9999561521081905066},
    {100000000.0, 1742068066.1038347093, 18.420680738952365464},
};

/* psi by its series in long double, from a shift of 30: independent of the constants in math/gamma.h but for the first. */
static long double digamma_l(long double x) {
    long double sum = 0;
    for (; x < 200; x += 1)
        sum -= 1 / x;
    const long double z = 1 / (x * x);
    return sum + logl(x) - 0.5L / x - z * (1 / 12.0L - z * (1 / 120.0L - z * (1 / 252.0L - z / 240.0L)));
}

static double error_of(int bits, double got, long double want) {
    const long double size = fmaxl(16, fabsl(want));
    return (double)(fabsl(got - want) / size / (bits == 32 ? (long double)FLT_EPSILON : (long double)DBL_EPSILON));
}

static double apply_one(const vector_variant *v, vector_function function, double x) {
    float xf[32], yf[32];
    double xd[32], yd[32];
    for (int i = 0; i < 32; i++)
        xf[i] = (float)x, xd[i] = x;
    if (v->bits == 32)
        v->map(function, 32, xf, yf);
    else
        v->map(function, 32, xd, yd);
    return v->bits == 32 ? (double)yf[7] : yd[7];
}

TEST(values_of_mpmath) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        CHECK(error_of(64, (double)lgammal((long double)known[i].x), (long double)known[i].lgamma) < 1, "the C library at %g",
              known[i].x);
        CHECK(error_of(64, (double)digamma_l((long double)known[i].x), (long double)known[i].digamma) < 1, "the series at %g",
              known[i].x);
        const vector_variant *v = vector_variants_of(64)[0];
        const double a = apply_one(v, FUNCTION_LGAMMA, known[i].x), b = apply_one(v, FUNCTION_DIGAMMA, known[i].x);
        CHECK(error_of(64, a, (long double)known[i].lgamma) < 4, "lgamma(%g) is %.17g", known[i].x, a);
        CHECK(error_of(64, b, (long double)known[i].digamma) < 4, "digamma(%g) is %.17g", known[i].x, b);
    }
}

TEST(errors_and_bits) {
    enum { N = 4096 };
    static double x[N], y[N], first[N];
    static float xf[N], yf[N];
    for (int bits = 32; bits <= 64; bits += 32)
        for (int function = FUNCTION_LGAMMA; function <= FUNCTION_DIGAMMA; function++) {
            double worst = 0, worst_at = 0;
            for (int i = 0; i < N; i++) {
                const double u = draw_unit();
                x[i] = i % 4 == 0   ? 12 * u
                       : i % 4 == 1 ? exp(40 * (u - 0.5))
                       : i % 4 == 2 ? 1 + (i & 4 ? 1 : 0) + 0.01 * u
                                    : floor(2000 * u) + 1;
                xf[i] = (float)x[i];
                x[i] = bits == 32 ? (double)xf[i] : x[i];
            }
            for (const vector_variant *const *v = vector_variants_of(bits); *v; v++) {
                if (bits == 32)
                    (*v)->map((vector_function)function, N, xf, yf);
                else
                    (*v)->map((vector_function)function, N, x, y);
                for (int i = 0; i < N; i++) {
                    const double got = bits == 32 ? (double)yf[i] : y[i];
                    const long double want =
                        function == FUNCTION_LGAMMA ? lgammal((long double)x[i]) : digamma_l((long double)x[i]);
                    if (v == vector_variants_of(bits))
                        first[i] = got;
                    CHECK(!memcmp(&first[i], &got, sizeof got), "f%d %s at %.17g", bits, (*v)->name, x[i]);
                    if (error_of(bits, got, want) > worst) {
                        worst = error_of(bits, got, want);
                        worst_at = x[i];
                    }
                }
            }
            printf("  f%d %s: %.2f units at %g\n", bits, function == FUNCTION_LGAMMA ? "lgamma" : "digamma", worst, worst_at);
            CHECK(worst < 4, "f%d, function %d: %g units at %.17g", bits, function, worst, worst_at);
        }
}

TEST(special_values) {
    for (int bits = 32; bits <= 64; bits += 32)
        for (const vector_variant *const *v = vector_variants_of(bits); *v; v++) {
            CHECK(apply_one(*v, FUNCTION_LGAMMA, 0) == INFINITY && apply_one(*v, FUNCTION_LGAMMA, INFINITY) == INFINITY,
                  "ends");
            CHECK(apply_one(*v, FUNCTION_DIGAMMA, 0) == -INFINITY && apply_one(*v, FUNCTION_DIGAMMA, INFINITY) == INFINITY,
                  "ends of digamma");
            CHECK(isnan(apply_one(*v, FUNCTION_LGAMMA, -0.5)) && isnan(apply_one(*v, FUNCTION_DIGAMMA, -3)), "below zero");
            CHECK(isnan(apply_one(*v, FUNCTION_LGAMMA, NAN)) && isnan(apply_one(*v, FUNCTION_DIGAMMA, NAN)), "NaN");
        }
}

int main(void) {
    RUN(values_of_mpmath);
    RUN(errors_and_bits);
    RUN(special_values);
    return harness_finish("test_gamma");
}
