/* Errors of the vector functions against the C library's long double functions, in units in the last place of the result. */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "harness.h"
#include "numbers.h"

static long double logistic_l(long double x) { return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x)); }
static long double softplus_l(long double x) { return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x)); }
/* u in [0, 1]; the argument is reduced exactly before it meets pi. */
static long double sin_2pi_l(long double u) {
    long double r = u > 0.5L ? u - 1 : u, folded = fabsl(r) > 0.25L ? copysignl(0.5L - fabsl(r), r) : r;
    return sinl(folded * 6.283185307179586476925286766559005768L);
}
static long double cos_2pi_l(long double u) {
    long double r = fabsl(u > 0.5L ? 1 - u : u);
    return sinl((0.25L - r) * 6.283185307179586476925286766559005768L);
}

static long double gelu_l(long double x) { return x * erfcl(-x * 0.707106781186547524400844362104849039L) / 2; }
static long double silu_l(long double x) { return x * logistic_l(x); }

typedef struct subject {
    const char *name;
    vector_function function; /* FUNCTION_COUNT: an activation instead */
    long double (*exact)(long double);
    double low[2], high[2]; /* where the error is measured: float, double */
    double bound[2];        /* ULP */
    ae_activation activation;
} subject;

static const subject subjects[] = {
    {"exp", FUNCTION_EXP, expl, {-104, -746}, {88.8, 709.8}, {1.1, 1.1}, AE_IDENTITY},
    {"expm1", FUNCTION_EXPM1, expm1l, {-110, -750}, {88.8, 709.8}, {1.5, 1.5}, AE_IDENTITY},
    {"log", FUNCTION_LOG, logl, {0x1p-149, 0x1p-1074}, {0x1.fffffep127, 0x1.fffffffffffffp1023}, {1.0, 1.0}, AE_IDENTITY},
    {"log1p", FUNCTION_LOG1P, log1pl, {-1, -1}, {0x1.fffffep127, 0x1.fffffffffffffp1023}, {1.5, 1.5}, AE_IDENTITY},
    {"tanh", FUNCTION_TANH, tanhl, {-1e3, -1e4}, {1e3, 1e4}, {1.5, 1.5}, AE_IDENTITY},
    {"logistic", FUNCTION_LOGISTIC, logistic_l, {-104, -746}, {104, 746}, {2.4, 2.4}, AE_IDENTITY},
    {"softplus", FUNCTION_SOFTPLUS, softplus_l, {-104, -746}, {1e6, 1e6}, {1.8, 1.8}, AE_IDENTITY},
    {"erf", FUNCTION_ERF, erfl, {-10, -10}, {10, 10}, {1.2, 1.2}, AE_IDENTITY},
    {"sin 2 pi u", FUNCTION_SIN_2PI, sin_2pi_l, {0, 0}, {1, 1}, {1.2, 1.2}, AE_IDENTITY},
    {"cos 2 pi u", FUNCTION_COS_2PI, cos_2pi_l, {0, 0}, {1, 1}, {1.2, 1.2}, AE_IDENTITY},
    {"gelu", FUNCTION_COUNT, gelu_l, {-12.5, -36}, {1e4, 1e4}, {7.0, 24.0}, AE_GELU},
    {"gelu > -6", FUNCTION_COUNT, gelu_l, {-6, -6}, {1e4, 1e4}, {7.0, 8.0}, AE_GELU},
    {"silu", FUNCTION_COUNT, silu_l, {-86, -700}, {1e4, 1e4}, {3.6, 3.6}, AE_SILU},
};
enum { SUBJECTS = sizeof subjects / sizeof subjects[0], BATCH = 4096 };

/* Error of y in ULP of a format with `digits` of mantissa whose smallest exponent (as frexpl) is `lowest`. */
static double ulps(long double exact, long double y, int digits, int lowest) {
    int exponent;
    frexpl(exact, &exponent);
    if (exact == 0 || exponent < lowest)
        exponent = lowest;
    return (double)fabsl(ldexpl(y - exact, digits - exponent));
}

/* A point for draw i: the exponents evenly, the range evenly, and around where a reduction or a branch changes. */
static double point(double low, double high, int bits, int kind) {
    double x;
    if (kind == 0) {
        x = low + (high - low) * draw_unit();
    } else if (kind == 1) {
        double smallest = bits == 32 ? -149 : -1074, largest = log2(fmax(fabs(low), fabs(high)));
        x = exp2(fmax(smallest, smallest + (largest - smallest) * draw_unit()));
        if (low < 0 && (high <= 0 || draw() & 1))
            x = -x;
    } else if (kind == 2) {
        x = 8 * (draw_unit() - 0.5);
    } else {
        static const double centres[] = {0,
                                         1,
                                         -1,
                                         0.5,
                                         0.25,
                                         0.75,
                                         0.125,
                                         0.3465735902799727,
                                         0.41421356237309503,
                                         0.70710678118654757,
                                         2,
                                         18.0218266945585776};
        x = centres[draw() % (sizeof centres / sizeof centres[0])] * (1 + 0x1p-12 * (draw_unit() - 0.5));
    }
    return x < low || x > high ? low + (high - low) * draw_unit() : x;
}

static void sweep(const vector_variant *variant, const subject *s, int batches) {
    static float xf[BATCH], yf[BATCH];
    static double xd[BATCH], yd[BATCH];
    bool single = variant->bits == 32;
    double worst = 0, worst_at = 0;
    for (int batch = 0; batch < batches; batch++) {
        for (int i = 0; i < BATCH; i++) {
            double x = point(s->low[!single], s->high[!single], variant->bits, (int)(draw() & 3));
            xf[i] = (float)x;
            xd[i] = x;
        }
        void *to = single ? (void *)yf : (void *)yd;
        memcpy(to, single ? (void *)xf : (void *)xd, BATCH * (size_t)(variant->bits / 8));
        if (s->function == FUNCTION_COUNT)
            variant->activation_forward(s->activation, BATCH, to, NULL);
        else
            variant->map(s->function, BATCH, to, to);
        for (int i = 0; i < BATCH; i++) {
            long double x = single ? (long double)xf[i] : (long double)xd[i],
                        y = single ? (long double)yf[i] : (long double)yd[i];
            long double exact = s->exact(x);
            /* What rounds to infinity has no error in ULP. */
            if (fabsl(exact) >= (single ? 0x1.ffffffp127L : 0x1.fffffffffffff8p1023L)) {
                CHECK(y == (exact > 0 ? INFINITY : -INFINITY), "%s(%.17Lg) = %.17Lg", s->name, x, y);
                continue;
            }
            double error = ulps(exact, y, single ? 24 : 53, single ? -125 : -1021);
            if (!(error <= worst)) {
                worst = error;
                worst_at = (double)x;
            }
        }
    }
    CHECK(worst <= s->bound[!single], "%s: %.3f ULP at %.17g", s->name, worst, worst_at);
    printf("    f%d %-8s %-12s %.3f ULP at %.9g\n", variant->bits, variant->name, s->name, worst, worst_at);
}

static const vector_variant *best(int bits) {
    const vector_variant *const *all = vector_variants_of(bits), *last = *all;
    for (; *all; all++)
        last = *all;
    return last;
}

/* The best variant only: that all are equal bit for bit is test_vector_variants.c's part. */
TEST(errors_in_ulp) {
    /* Where long double is double it cannot judge double; where it is emulated it is slow. */
    for (int bits = 32; bits <= (LDBL_MANT_DIG >= 64 ? 64 : 32); bits += 32)
        for (int i = 0; i < SUBJECTS; i++)
            sweep(best(bits), &subjects[i], LDBL_MANT_DIG > 64 ? 5 : 120);
}

/* Results that have to be exact, f32 and f64, every variant. */
typedef struct special {
    vector_function function;
    double x, y;
} special;

static bool same(double a, double b) { return isnan(a) ? isnan(b) : a == b && !signbit(a) == !signbit(b); }

static double apply(const vector_variant *variant, vector_function function, double x) {
    double xd[32], yd[32];
    float xf[32], yf[32];
    for (int i = 0; i < 32; i++) {
        /* The others get ordinary arguments: one special lane must not disturb its neighbours' path. */
        xd[i] = i == 13 ? x : 0.5 + i;
        xf[i] = (float)xd[i];
    }
    if (variant->bits == 32) {
        variant->map(function, 32, xf, yf);
        return (double)yf[13];
    }
    variant->map(function, 32, xd, yd);
    return yd[13];
}

static const special specials[] = {
    {FUNCTION_EXP, 0, 1},
    {FUNCTION_EXP, -0.0, 1},
    {FUNCTION_EXP, INFINITY, INFINITY},
    {FUNCTION_EXP, -INFINITY, 0},
    {FUNCTION_EXP, NAN, NAN},
    {FUNCTION_EXP, 1e30, INFINITY},
    {FUNCTION_EXP, -1e30, 0},
    {FUNCTION_EXPM1, 0, 0},
    {FUNCTION_EXPM1, -0.0, -0.0},
    {FUNCTION_EXPM1, INFINITY, INFINITY},
    {FUNCTION_EXPM1, -INFINITY, -1},
    {FUNCTION_EXPM1, NAN, NAN},
    {FUNCTION_EXPM1, -1e30, -1},
    {FUNCTION_EXPM1, 1e30, INFINITY},
    {FUNCTION_LOG, 1, 0},
    {FUNCTION_LOG, 0, -INFINITY},
    {FUNCTION_LOG, -0.0, -INFINITY},
    {FUNCTION_LOG, -1, NAN},
    {FUNCTION_LOG, -INFINITY, NAN},
    {FUNCTION_LOG, INFINITY, INFINITY},
    {FUNCTION_LOG, NAN, NAN},
    {FUNCTION_LOG, -0x1p-149, NAN},
    {FUNCTION_LOG1P, 0, 0},
    {FUNCTION_LOG1P, -0.0, -0.0},
    {FUNCTION_LOG1P, -1, -INFINITY},
    {FUNCTION_LOG1P, -1.5, NAN},
    {FUNCTION_LOG1P, INFINITY, INFINITY},
    {FUNCTION_LOG1P, -INFINITY, NAN},
    {FUNCTION_LOG1P, NAN, NAN},
    {FUNCTION_LOG1P, 0x1p-149, 0x1p-149},
    {FUNCTION_TANH, 0, 0},
    {FUNCTION_TANH, -0.0, -0.0},
    {FUNCTION_TANH, INFINITY, 1},
    {FUNCTION_TANH, -INFINITY, -1},
    {FUNCTION_TANH, NAN, NAN},
    {FUNCTION_TANH, 25, 1},
    {FUNCTION_TANH, -25, -1},
    {FUNCTION_TANH, 0x1p-149, 0x1p-149},
    {FUNCTION_LOGISTIC, 0, 0.5},
    {FUNCTION_LOGISTIC, INFINITY, 1},
    {FUNCTION_LOGISTIC, -INFINITY, 0},
    {FUNCTION_LOGISTIC, NAN, NAN},
    {FUNCTION_LOGISTIC, 50, 1},
    {FUNCTION_LOGISTIC, -1e30, 0},
    {FUNCTION_SOFTPLUS, INFINITY, INFINITY},
    {FUNCTION_SOFTPLUS, -INFINITY, 0},
    {FUNCTION_SOFTPLUS, NAN, NAN},
    {FUNCTION_SOFTPLUS, 1024, 1024},
    {FUNCTION_SOFTPLUS, -1e30, 0},
    {FUNCTION_ERF, 0, 0},
    {FUNCTION_ERF, -0.0, -0.0},
    {FUNCTION_ERF, INFINITY, 1},
    {FUNCTION_ERF, -INFINITY, -1},
    {FUNCTION_ERF, NAN, NAN},
    {FUNCTION_ERF, 6.5, 1},
    {FUNCTION_ERF, -6.5, -1},
    {FUNCTION_SIN_2PI, 0, 0},
    {FUNCTION_SIN_2PI, 0.25, 1},
    {FUNCTION_SIN_2PI, 0.75, -1},
    {FUNCTION_COS_2PI, 0, 1},
    {FUNCTION_COS_2PI, 0.5, -1},
    {FUNCTION_COS_2PI, 1, 1},
    {FUNCTION_ROUND, 0.5, 0},
    {FUNCTION_ROUND, 1.5, 2},
    {FUNCTION_ROUND, 2.5, 2},
    {FUNCTION_ROUND, -0.5, -0.0},
    {FUNCTION_ROUND, -2.5, -2},
    {FUNCTION_ROUND, -3.5, -4},
    {FUNCTION_ROUND, 0x1p60, 0x1p60},
    {FUNCTION_ROUND, -0.0, -0.0},
    {FUNCTION_ROUND, INFINITY, INFINITY},
    {FUNCTION_ROUND, NAN, NAN},
    {FUNCTION_ROUND, 8388607.5, 8388608},
    {FUNCTION_POW2, 0, 1},
    {FUNCTION_POW2, -126, 0x1p-126},
    {FUNCTION_POW2, 127, 0x1p127},
    {FUNCTION_EXPONENT, 1, 1},
    {FUNCTION_EXPONENT, 0.75, 0},
    {FUNCTION_EXPONENT, 0x1p-126, -125},
    {FUNCTION_MANTISSA, 1, 0.5},
    {FUNCTION_MANTISSA, 0.75, 0.75},
    {FUNCTION_MANTISSA, 0x1.8p100, 0.75},
};

TEST(special_values) {
    for (int bits = 32; bits <= 64; bits += 32)
        for (const vector_variant *const *v = vector_variants_of(bits); *v; v++)
            for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++) {
                double y = apply(*v, specials[i].function, specials[i].x);
                CHECK(same(y, specials[i].y), "f%d %s, case %zu: %.17g gives %.17g", bits, (*v)->name, i, specials[i].x, y);
            }
}

/* The last arguments before a result overflows or vanishes, and the first beyond, as the C library has them. */
TEST(thresholds) {
    for (const vector_variant *const *v = vector_variants_of(64); *v; v++) {
        CHECK(isfinite(apply(*v, FUNCTION_EXP, 0x1.62e42fefa39efp+9)), "%s", (*v)->name);
        CHECK(apply(*v, FUNCTION_EXP, 0x1.62e42fefa39f0p+9) == INFINITY, "%s", (*v)->name);
        CHECK(isfinite(apply(*v, FUNCTION_EXPM1, 0x1.62e42fefa39efp+9)), "%s", (*v)->name);
        CHECK(apply(*v, FUNCTION_EXPM1, 0x1.62e42fefa39f0p+9) == INFINITY, "%s", (*v)->name);
        CHECK(apply(*v, FUNCTION_EXP, -745.13) == 0x1p-1074, "%s", (*v)->name);
        CHECK(apply(*v, FUNCTION_EXP, -745.14) == 0, "%s", (*v)->name);
    }
    for (const vector_variant *const *v = vector_variants_of(32); *v; v++) {
        CHECK(isfinite(apply(*v, FUNCTION_EXP, 0x1.62e42ep+6)), "%s", (*v)->name);
        CHECK(apply(*v, FUNCTION_EXP, 0x1.62e430p+6) == INFINITY, "%s", (*v)->name);
        CHECK(isfinite(apply(*v, FUNCTION_EXPM1, 0x1.62e42ep+6)), "%s", (*v)->name);
        CHECK(apply(*v, FUNCTION_EXPM1, 0x1.62e430p+6) == INFINITY, "%s", (*v)->name);
        CHECK(apply(*v, FUNCTION_EXP, -103.97) == 0x1p-149, "%s", (*v)->name);
        CHECK(apply(*v, FUNCTION_EXP, -103.98) == 0, "%s", (*v)->name);
    }
}

int main(void) {
    RUN(errors_in_ulp);
    RUN(special_values);
    RUN(thresholds);
    return harness_finish("test_functions");
}
