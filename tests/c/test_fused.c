/* The one rounding of a * b + c without an instruction for it, against the C library (which is right on Linux and macOS; on
 * Windows it is these functions themselves) and against cases known by hand. */
#include <float.h>
#include <math.h>

#include "harness.h"
#include "math/fused.h"

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint64_t word(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static bool same64(double x, double y) { return (isnan(x) && isnan(y)) || (x == y && !signbit(x) == !signbit(y)); }

static double number(int kind) {
    static const double special[] = {0,
                                     -0.0,
                                     1,
                                     -1,
                                     INFINITY,
                                     -INFINITY,
                                     NAN,
                                     DBL_MAX,
                                     -DBL_MAX,
                                     DBL_MIN,
                                     0x1p-1074,
                                     -0x1p-1074,
                                     0x1.fffffffffffffp-1023,
                                     0x1p-537,
                                     0x1p511,
                                     3};
    const uint64_t bits = word();
    if (kind == 0)
        return special[bits % (sizeof special / sizeof special[0])];
    /* Exponents near each other cancel, others lose bits; all of them meet the ends of the range. */
    const int spread = kind == 1 ? 4 : kind == 2 ? 120 : 2046;
    const double fraction = bits >> 63 ? (double)(bits >> 11) : (double)(bits >> 11 & 0xff) * 0x1p45; /* many zeros */
    return ldexp(bits & 1 ? fraction : -fraction, (int)(word() % (unsigned)spread) - spread / 2 - 52);
}

TEST(doubles_as_the_library) {
    for (int kind = 0; kind < 4; kind++) {
        long wrong = 0;
        for (int i = 0; i < 200000; i++) {
            const double a = number(kind), b = number(i % 7 ? kind : 0);
            const double c = i % 3 == 0 ? -a * b * (1 + (double)(i % 5) * DBL_EPSILON) : number(i % 11 ? kind : 0);
            wrong += !same64(ae_fused_f64(a, b, c), fma(a, b, c));
        }
        CHECK(wrong == 0, "kind %d: %ld wrong", kind, wrong);
    }
}

TEST(floats_as_the_library) {
    for (int kind = 0; kind < 4; kind++) {
        long wrong = 0;
        for (int i = 0; i < 200000; i++) {
            const double scale = kind == 3 ? 0x1p-890 : 1; /* 2046 binary places to those of a float and some more */
            const float a = (float)(number(kind) * scale), b = (float)number(kind == 3 ? 1 : kind);
            const float c = i % 3 == 0 ? -a * b * (1 + (float)(i % 5) * FLT_EPSILON) : (float)(number(kind) * scale);
            wrong += !same64((double)ae_fused_f32(a, b, c), (double)fmaf(a, b, c));
        }
        CHECK(wrong == 0, "kind %d: %ld wrong", kind, wrong);
    }
}

TEST(known_cases) {
    const double e = DBL_EPSILON;
    /* (1 + e)(1 - e) = 1 - e^2, which a rounded product loses */
    CHECK(ae_fused_f64(1 + e, 1 - e, -1) == -e * e, "%a", ae_fused_f64(1 + e, 1 - e, -1));
    CHECK(ae_fused_f32(1 + FLT_EPSILON, 1 - FLT_EPSILON, -1) == -FLT_EPSILON * FLT_EPSILON, "float");
    /* half a unit of the last place and a trace more goes up, by the trace alone; a trace less stays */
    CHECK(ae_fused_f64(0x1p-60, 0x1p-60, 0) == 0x1p-120, "exact");
    CHECK(ae_fused_f64(e / 2 * (1 + e), 1, 1) == 1 + e, "above half");
    CHECK(ae_fused_f64(e / 2 * (1 - e / 2), 1, 1) == 1, "below half");
    CHECK(ae_fused_f64(e / 2, 1, 1) == 1 && ae_fused_f64(e / 2, 1, 1 + e) == 1 + 2 * e, "half goes to even");
    /* in a double, 1 + 2^-24 + 2^-80 loses the last term, and half of a float's unit then goes to even, which is wrong */
    CHECK(ae_fused_f32(0x1p-40f, 0x1p-40f, 1) == 1, "far below");
    CHECK(ae_fused_f32(0x1.000002p-12f, 0x1.000002p-12f, 1) == 1 + FLT_EPSILON, "twice rounded");
    CHECK(ae_fused_f64(DBL_MAX, 2, -DBL_MAX) == DBL_MAX && isinf(ae_fused_f64(DBL_MAX, 2, 0)), "beyond the range and back");
    CHECK(ae_fused_f64(0x1p-600, 0x1p-474, 0) == 0x1p-1074, "the smallest");
    CHECK(ae_fused_f64(0x1p-600, 0x1p-475, 0) == 0 && ae_fused_f64(0x1.8p-600, 0x1p-475, 0) == 0x1p-1074, "half of it");
    CHECK(signbit(ae_fused_f64(-0x1p-600, 0x1p-600, 0)) && !signbit(ae_fused_f64(1, 1, -1)), "signs of zero");
}

int main(void) {
    RUN(doubles_as_the_library);
    RUN(floats_as_the_library);
    RUN(known_cases);
    return harness_finish("test_fused");
}
