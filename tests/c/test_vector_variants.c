/* Functions and activations, every variant that this machine runs: equal to the reference bit for bit, and the reference to
 * what the headers say. */
#include <math.h>
#include <stdbool.h>

#include "harness.h"
#include "math/panel.h"
#include "numbers.h"

static numbers x, y, z, reference, other, expected;

TEST(functions_equal_the_reference) {
    enum { N = 16384 };
    FOR_EACH(v, bits) {
        const vector_variant *ref = vector_variants_of(bits)[0];
        for (int function = 0; function < FUNCTION_COUNT; function++) {
            for (int i = 0; i < N; i++) {
                double value = anything(bits);
                if (function == FUNCTION_SIN_2PI || function == FUNCTION_COS_2PI)
                    value = draw_unit();
                else if (function == FUNCTION_POW2)
                    value = (double)(draw() % 253) - 126;
                else if (function == FUNCTION_EXPONENT || function == FUNCTION_MANTISSA)
                    value = exp2(bits == 32 ? 252 * draw_unit() - 125 : 2040 * draw_unit() - 1020);
                set(bits, &x, i, value);
            }
            ref->map((vector_function)function, N, &x, &reference);
            v->map((vector_function)function, N, &x, &y);
            int64_t i = difference(bits, &y, &reference, N);
            CHECK(i < 0, "f%d %s, function %d at %.17g: %.17g, not %.17g", bits, v->name, function, get(bits, &x, i),
                  get(bits, &y, i), get(bits, &reference, i));
        }
    }
}

/* The same bits on every machine, not only among the variants of this one. FNV-1a over the results. */
TEST(functions_have_golden_hashes) {
    enum { N = 4096 };
    static const uint64_t golden[2] = {0x8f2dac924aa1d402u, 0x10464143b4344f1au};
    FOR_EACH(v, bits) {
        uint64_t hash = 14695981039346656037u, kept = draws;
        draws = 1;
        for (int function = 0; function < FUNCTION_ROUND; function++) {
            bool unit = function == FUNCTION_SIN_2PI || function == FUNCTION_COS_2PI || function == FUNCTION_LOG ||
                        function == FUNCTION_LOG1P;
            for (int i = 0; i < N; i++) {
                double u = draw_unit();
                set(bits, &x, i, unit ? u : 12 * (u - 0.5));
            }
            v->map((vector_function)function, N, &x, &y);
            for (int i = 0; i < N; i++) {
                double value = get(bits, &y, i);
                uint64_t word;
                memcpy(&word, &value, sizeof word);
                for (int byte = 0; byte < 64; byte += 8)
                    hash = (hash ^ (word >> byte & 255)) * 1099511628211u;
            }
        }
        draws = kept;
        CHECK(hash == golden[bits == 64], "f%d %s: 0x%016llx", bits, v->name, (unsigned long long)hash);
    }
}

TEST(operations_equal_the_reference) {
    enum { N = 8192 };
    FOR_EACH(v, bits) {
        const vector_variant *ref = vector_variants_of(bits)[0];
        for (int pair = 0; pair < PAIR_COUNT; pair++) {
            for (int i = 0; i < N; i++) {
                set(bits, &x, i, pair == PAIR_SCALE ? 0.5 + draw_unit() : anything(bits));
                double limit = bits == 32 ? 250 : 2040;
                set(bits, &z, i, pair == PAIR_SCALE ? rint(2 * limit * (draw_unit() - 0.5)) : anything(bits));
                if (pair == PAIR_COMPARE && draw() & 1)
                    set(bits, &z, i, get(bits, &x, i));
            }
            ref->map_pair((vector_pair)pair, N, &x, &z, &reference);
            v->map_pair((vector_pair)pair, N, &x, &z, &y);
            int64_t i = difference(bits, &y, &reference, N);
            CHECK(i < 0, "f%d %s, pair %d of %.17g, %.17g: %.17g, not %.17g", bits, v->name, pair, get(bits, &x, i),
                  get(bits, &z, i), get(bits, &y, i), get(bits, &reference, i));
            for (i = 0; i < N; i++) {
                double a = get(bits, &x, i), b = get(bits, &z, i), got = get(bits, &y, i), want;
                if (pair == PAIR_MAX)
                    want = a > b ? a : b;
                else if (pair == PAIR_MIN)
                    want = a < b ? a : b;
                else if (pair == PAIR_COPYSIGN)
                    want = copysign(a, b);
                else if (pair == PAIR_SCALE)
                    want = bits == 32 ? (double)ldexpf((float)a, (int)b) : ldexp(a, (int)b);
                else
                    want = (a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (isnan(a) || isnan(b)) + 16 * !(a < b) + 32 * (a == b) +
                           64 * (a < b || a > b);
                CHECK(isnan(want) ? isnan(got) : got == want && !signbit(got) == !signbit(want),
                      "f%d %s, pair %d of %.17g, %.17g: %.17g, not %.17g", bits, v->name, pair, a, b, got, want);
            }
        }
    }
}

TEST(activations_equal_the_reference) {
    static const int sizes[] = {32, 64, 96, 4096};
    FOR_EACH(v, bits) {
        const vector_variant *ref = vector_variants_of(bits)[0];
        for (int a = 0; a < AE_SOFTMAX; a++)
            for (int s = 0; s < 4; s++) {
                int n = sizes[s];
                ae_activation activation = (ae_activation)a;
                bool keeps = ae_activation_keeps_slope(activation);
                for (int i = 0; i < n; i++) {
                    double value = anything(bits);
                    set(bits, &x, i, value);
                    set(bits, &z, i, 4 * (draw_unit() - 0.5));
                }
                y = reference = x;
                ref->activation_forward(activation, n, &reference, keeps ? &expected : NULL);
                v->activation_forward(activation, n, &y, keeps ? &other : NULL);
                CHECK(difference(bits, &y, &reference, n) < 0, "f%d %s, %s, n %d: y", bits, v->name,
                      ae_activation_name((ae_activation)a), n);
                if (keeps) {
                    CHECK(difference(bits, &other, &expected, n) < 0, "f%d %s, %s, n %d: slope", bits, v->name,
                          ae_activation_name((ae_activation)a), n);
                    y = x;
                    v->activation_forward(activation, n, &y, NULL);
                    CHECK(difference(bits, &y, &reference, n) < 0, "f%d %s, %s, n %d: y without slope", bits, v->name,
                          ae_activation_name((ae_activation)a), n);
                }
                numbers *g = &x; /* no longer needed */
                *g = z;
                ref->activation_backward(activation, n, &reference, &expected, &z);
                v->activation_backward(activation, n, &y, &other, g);
                CHECK(difference(bits, g, &z, n) < 0, "f%d %s, %s, n %d: g", bits, v->name,
                      ae_activation_name((ae_activation)a), n);
            }
    }
}

TEST(activation_values) {
    static const double points[] = {-3, -0.75, -0.0, 0.4, 2.5};
    FOR_EACH(v, bits)
    for (int a = 0; a < AE_SOFTMAX; a++)
        for (int p = 0; p < 5; p++) {
            double t = points[p], want = t, tolerance = bits == 32 ? 1e-6 : 1e-15;
            for (int i = 0; i < 32; i++)
                set(bits, &y, i, t);
            v->activation_forward((ae_activation)a, 32, &y, NULL);
            switch (a) {
            case AE_RELU:
                want = t > 0 ? t : 0;
                break;
            case AE_LEAKY_RELU:
                want = t > 0 ? t : 0.01 * t;
                break;
            case AE_ELU:
                want = t > 0 ? t : expm1(t);
                break;
            case AE_SELU:
                want = 1.0507009873554805 * (t > 0 ? t : 1.6732632423543772 * expm1(t));
                break;
            case AE_GELU:
                want = 0.5 * t * erfc(-t * sqrt(0.5));
                break;
            case AE_SILU:
                want = t / (1 + exp(-t));
                break;
            case AE_SOFTPLUS:
                want = log1p(exp(t));
                break;
            case AE_TANH:
                want = tanh(t);
                break;
            case AE_LOGISTIC:
                want = 1 / (1 + exp(-t));
                break;
            case AE_EXP:
                want = exp(t);
                break;
            default:
                break;
            }
            double got = get(bits, &y, 31);
            CHECK(fabs(got - want) <= tolerance * (1 + fabs(want)), "f%d %s, %s(%g) = %.17g, not %.17g", bits, v->name,
                  ae_activation_name((ae_activation)a), t, got, want);
        }
}

/* Far arguments: limits, not NaN; and NaN stays NaN. */
TEST(activation_limits) {
    FOR_EACH(v, bits)
    for (int a = 0; a < AE_SOFTMAX; a++)
        for (int p = 0; p < 5; p++) {
            double t = (double[]){INFINITY, -INFINITY, 0x1p100, -0x1p100, NAN}[p];
            bool keeps = ae_activation_keeps_slope((ae_activation)a);
            for (int i = 0; i < 32; i++)
                set(bits, &y, i, t);
            v->activation_forward((ae_activation)a, 32, &y, keeps ? &other : NULL);
            double got = get(bits, &y, 5);
            CHECK(isnan(got) == isnan(t), "f%d %s, %s(%g) = %g", bits, v->name, ae_activation_name((ae_activation)a), t, got);
            if (a == AE_GELU || a == AE_SILU) {
                CHECK(isnan(t) || got == (t > 0 ? t : 0), "f%d %s, %s(%g) = %g", bits, v->name,
                      ae_activation_name((ae_activation)a), t, got);
                CHECK(isnan(t) || get(bits, &other, 5) == (t > 0), "slope of %s at %g: %g",
                      ae_activation_name((ae_activation)a), t, get(bits, &other, 5));
            }
        }
}

TEST(activation_gradients_f64) {
    enum { N = 1024 };
    const double h = 1e-5;
    for (const vector_variant *const *list = vector_variants_of(64); *list; list++)
        for (int a = 0; a < AE_SOFTMAX; a++) {
            for (int i = 0; i < N; i++) {
                double t = 10 * (draw_unit() - 0.5);
                x.d[i] = y.d[i] = fabs(t) < 1e-3 ? 1 : t; /* not where there is a kink */
                other.d[i] = x.d[i] + h;
                expected.d[i] = x.d[i] - h;
                z.d[i] = 2;
            }
            (*list)->activation_forward((ae_activation)a, N, &y, reference.d);
            (*list)->activation_forward((ae_activation)a, N, &other, NULL);
            (*list)->activation_forward((ae_activation)a, N, &expected, NULL);
            (*list)->activation_backward((ae_activation)a, N, &y, reference.d, &z);
            double worst = 0;
            for (int i = 0; i < N; i++) {
                double numeric = (other.d[i] - expected.d[i]) / h;
                worst = fmax(worst, fabs(z.d[i] - numeric) / fmax(1e-3, fabs(numeric)));
            }
            CHECK(worst < 1e-6, "%s, %s: %g", (*list)->name, ae_activation_name((ae_activation)a), worst);
        }
}

TEST(softmax_equals_the_reference) {
    static const int widths[] = {1, 2, 5, 31, 32, 33, 63, 64, 65, 100, 257};
    enum { ROWS = 7 };
    FOR_EACH(v, bits)
    for (int w = 0; w < 11; w++) {
        const vector_variant *ref = vector_variants_of(bits)[0];
        int64_t width = widths[w], stride = ae_panel_stride(ROWS), size = stride * ae_panels(width);
        for (int64_t i = 0; i < size; i++) {
            set(bits, &x, i, 30 * (draw_unit() - 0.5));
            set(bits, &z, i, draw_unit() - 0.5);
        }
        /* Padding must not matter, however large; nor may a row that is no number touch the next. */
        for (int64_t c = width; c < ae_panels(width) * AE_PANEL; c++)
            set(bits, &x, c / AE_PANEL * stride + 2 * AE_PANEL + c % AE_PANEL, 1e30);
        set(bits, &x, 3 * AE_PANEL + (width - 1) % AE_PANEL + (width - 1) / AE_PANEL * stride, NAN);
        y = reference = x;
        ref->softmax_forward(1, ROWS - 1, width, stride, &reference);
        v->softmax_forward(1, ROWS - 1, width, stride, &y);
        CHECK(difference(bits, &y, &reference, size) < 0, "f%d %s, width %d", bits, v->name, widths[w]);
        for (int64_t r = 1; r < ROWS - 1; r++) {
            double sum = 0, total = 0, worst = 0, highest = -INFINITY;
            for (int64_t c = 0; c < width; c++)
                highest = fmax(highest, get(bits, &x, c / AE_PANEL * stride + r * AE_PANEL + c % AE_PANEL));
            for (int64_t c = 0; c < width; c++)
                total += exp(get(bits, &x, c / AE_PANEL * stride + r * AE_PANEL + c % AE_PANEL) - highest);
            for (int64_t c = 0; c < ae_panels(width) * AE_PANEL; c++) {
                int64_t i = c / AE_PANEL * stride + r * AE_PANEL + c % AE_PANEL;
                double p = get(bits, &y, i);
                if (c >= width)
                    CHECK(p == 0, "f%d %s, width %d: padding %g", bits, v->name, widths[w], p);
                else if (r == 3)
                    CHECK(isnan(p), "f%d %s, width %d: %g in the row with NaN", bits, v->name, widths[w], p);
                else
                    worst = fmax(worst, fabs(p - exp(get(bits, &x, i) - highest) / total));
                sum += p;
            }
            if (r != 3)
                CHECK(fabs(sum - 1) < (bits == 32 ? 1e-6 : 1e-14) && worst < (bits == 32 ? 1e-6 : 1e-15),
                      "f%d %s, width %d: sum %.17g, error %g", bits, v->name, widths[w], sum, worst);
        }
        for (int64_t i = 0; i < AE_PANEL; i++)
            CHECK(get(bits, &y, i) == get(bits, &x, i), "f%d %s: row 0 was touched", bits, v->name);
        other = expected = z;
        ref->softmax_backward(1, ROWS - 1, width, stride, &reference, &expected);
        v->softmax_backward(1, ROWS - 1, width, stride, &y, &other);
        CHECK(difference(bits, &other, &expected, size) < 0, "f%d %s, width %d: backward", bits, v->name, widths[w]);
    }
}

TEST(softmax_gradient_f64) {
    enum { WIDTH = 45, ROWS = 2 };
    const int64_t stride = ae_panel_stride(ROWS);
    const double h = 1e-5;
    for (const vector_variant *const *list = vector_variants_of(64); *list; list++) {
        double weight[WIDTH];
        for (int c = 0; c < WIDTH; c++) {
            weight[c] = draw_unit() - 0.5;
            for (int r = 0; r < ROWS; r++) {
                int64_t i = c / AE_PANEL * stride + r * AE_PANEL + c % AE_PANEL;
                x.d[i] = 4 * (draw_unit() - 0.5);
                z.d[i] = weight[c];
            }
        }
        y = x;
        (*list)->softmax_forward(0, ROWS, WIDTH, stride, &y);
        (*list)->softmax_backward(0, ROWS, WIDTH, stride, &y, &z);
        for (int c = 0; c < WIDTH; c++) {
            int64_t i = c / AE_PANEL * stride + 1 * AE_PANEL + c % AE_PANEL;
            double loss[2] = {0, 0};
            for (int side = 0; side < 2; side++) {
                other = x;
                other.d[i] += side ? h : -h;
                (*list)->softmax_forward(1, 2, WIDTH, stride, &other);
                for (int k = 0; k < WIDTH; k++)
                    loss[side] += weight[k] * other.d[k / AE_PANEL * stride + 1 * AE_PANEL + k % AE_PANEL];
            }
            double numeric = (loss[1] - loss[0]) / (2 * h);
            CHECK(fabs(z.d[i] - numeric) < 1e-6 * fmax(1e-3, fabs(numeric)), "%s, column %d: %.12g, not %.12g", (*list)->name,
                  c, z.d[i], numeric);
        }
    }
}

TEST(activation_names) {
    for (int a = 0; a < AE_ACTIVATION_COUNT; a++)
        CHECK(ae_activation_find(ae_activation_name((ae_activation)a)) == a, "%d", a);
    CHECK(ae_activation_find("gelu") == AE_GELU && ae_activation_find("softmax") == AE_SOFTMAX, "known names");
    CHECK(ae_activation_find("gel") == -1 && ae_activation_find("") == -1 && ae_activation_find("relu ") == -1,
          "unknown names");
    CHECK(strcmp(ae_activation_name((ae_activation)99), "unknown") == 0, "outside");
}

int main(void) {
    FOR_EACH(v, bits)
    printf("  f%d %s: %d lanes\n", bits, v->name, v->lanes);
    RUN(functions_equal_the_reference);
    RUN(functions_have_golden_hashes);
    RUN(operations_equal_the_reference);
    RUN(activations_equal_the_reference);
    RUN(activation_values);
    RUN(activation_limits);
    RUN(activation_gradients_f64);
    RUN(softmax_equals_the_reference);
    RUN(softmax_gradient_f64);
    RUN(activation_names);
    return harness_finish("test_vector_variants");
}
