/* The vector floor, every variant that this machine runs: equal to the reference bit for bit, and the reference to what
 * the headers say. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "harness.h"
#include "math/panel.h"
#include "vector_variants.h"

enum { ROOM = 1 << 15 };

/* A buffer of either precision. */
typedef union numbers {
    float f[ROOM];
    double d[ROOM];
} numbers;

static double get(int bits, const numbers *x, int64_t i) { return bits == 32 ? (double)x->f[i] : x->d[i]; }
static void set(int bits, numbers *x, int64_t i, double value) {
    if (bits == 32)
        x->f[i] = (float)value;
    else
        x->d[i] = value;
}
static void *at(int bits, numbers *x, int64_t i) { return bits == 32 ? (void *)(x->f + i) : (void *)(x->d + i); }

/* The first place where two buffers differ in a bit (any NaN equals any NaN), or -1. */
static int64_t difference(int bits, const numbers *x, const numbers *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (isnan(get(bits, x, i)) && isnan(get(bits, y, i)))
            continue;
        if (bits == 32 ? memcmp(x->f + i, y->f + i, 4) : memcmp(x->d + i, y->d + i, 8))
            return i;
    }
    return -1;
}

static uint64_t draws = 88172645463325252u;
static uint64_t draw(void) { /* xorshift64, Marsaglia 2003 */
    draws ^= draws << 13;
    draws ^= draws >> 7;
    draws ^= draws << 17;
    return draws;
}
static double draw_unit(void) { return ((double)(draw() >> 11) + 0.5) * 0x1p-53; }

/* Ordinary numbers, numbers of all magnitudes, any bits at all, and the special ones. */
static double anything(int bits) {
    static const double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1, -1, 0x1p-126, 0x1p-149, -0x1p-140, 0x1p-1022,
                                     0x1p-1074, 0x1.fffffep127, 0x1.fffffffffffffp1023, 0.5, 1.5, 2.5, -0.5, 88.5, -103.9};
    switch (draw() & 7) {
    case 0:
        return special[draw() % (sizeof special / sizeof special[0])];
    case 1:
    case 2: {
        uint64_t raw = draw();
        uint32_t narrow = (uint32_t)raw;
        float f;
        double d;
        memcpy(&f, &narrow, 4);
        memcpy(&d, &raw, 8);
        return bits == 32 ? (double)f : d;
    }
    case 3:
        return (draw() & 1 ? 1 : -1) * exp2(40 * (draw_unit() - 0.5));
    default:
        return 12 * (draw_unit() - 0.5);
    }
}

#define FOR_EACH(v, bits)                                                                  \
    for (int bits = 32; bits <= 64; bits += 32)                                            \
        for (const vector_variant *const *list_ = vector_variants_of(bits), *v = *list_; v; v = *++list_)

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
                    want = (a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (isnan(a) || isnan(b)) + 16 * !(a < b) +
                           32 * (a == b) + 64 * (a < b || a > b);
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
                CHECK(difference(bits, &y, &reference, n) < 0, "f%d %s, %s, n %d: y", bits, v->name, ae_activation_name(a), n);
                if (keeps) {
                    CHECK(difference(bits, &other, &expected, n) < 0, "f%d %s, %s, n %d: slope", bits, v->name,
                          ae_activation_name(a), n);
                    y = x;
                    v->activation_forward(activation, n, &y, NULL);
                    CHECK(difference(bits, &y, &reference, n) < 0, "f%d %s, %s, n %d: y without slope", bits, v->name,
                          ae_activation_name(a), n);
                }
                numbers *g = &x; /* no longer needed */
                *g = z;
                ref->activation_backward(activation, n, &reference, &expected, &z);
                v->activation_backward(activation, n, &y, &other, g);
                CHECK(difference(bits, g, &z, n) < 0, "f%d %s, %s, n %d: g", bits, v->name, ae_activation_name(a), n);
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
                case AE_RELU: want = t > 0 ? t : 0; break;
                case AE_LEAKY_RELU: want = t > 0 ? t : 0.01 * t; break;
                case AE_ELU: want = t > 0 ? t : expm1(t); break;
                case AE_SELU: want = 1.0507009873554805 * (t > 0 ? t : 1.6732632423543772 * expm1(t)); break;
                case AE_GELU: want = 0.5 * t * erfc(-t * sqrt(0.5)); break;
                case AE_SILU: want = t / (1 + exp(-t)); break;
                case AE_SOFTPLUS: want = log1p(exp(t)); break;
                case AE_TANH: want = tanh(t); break;
                case AE_LOGISTIC: want = 1 / (1 + exp(-t)); break;
                case AE_EXP: want = exp(t); break;
                default: break;
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
                    CHECK(isnan(t) || get(bits, &other, 5) == (t > 0), "slope of %s at %g: %g", ae_activation_name((ae_activation)a),
                          t, get(bits, &other, 5));
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
            CHECK(fabs(z.d[i] - numeric) < 1e-6 * fmax(1e-3, fabs(numeric)), "%s, column %d: %.12g, not %.12g", (*list)->name, c,
                  z.d[i], numeric);
        }
    }
}

TEST(random_fills_are_single_draws) {
    const ae_key key = {{0x12345678u, 0x9abcdef0u}};
    const uint64_t step = 0x100000007u; /* the high word counts */
    const uint64_t thresholds[] = {0, 1, 1u << 31, 3435973837u, UINT32_MAX, (uint64_t)UINT32_MAX + 1};
    FOR_EACH(v, bits) {
        const vector_variant *ref = vector_variants_of(bits)[0];
        for (int columns = 1; columns < 200; columns += columns < 40 ? 1 : 23) {
            int64_t room = ae_panels(columns) * AE_PANEL;
            for (int kind = 0; kind < 8; kind++) {
                for (int64_t i = 0; i < room + 64; i++) {
                    set(bits, &y, i, 77);
                    set(bits, &reference, i, 77);
                }
                if (kind == 0)
                    v->uniform(key, step, 11, columns, &y);
                else if (kind == 1)
                    v->normal(key, step, 11, columns, &y);
                else
                    v->mask(key, step, 11, columns, thresholds[kind - 2], 1.25, &y);
                for (int64_t i = room; i < room + 64; i++)
                    CHECK(get(bits, &y, i) == 77, "f%d %s, %d columns: wrote at %d", bits, v->name, columns, (int)i);
                if (kind == 1) {
                    ref->normal(key, step, 11, columns, &reference);
                    CHECK(difference(bits, &y, &reference, columns) < 0, "f%d %s, %d columns", bits, v->name, columns);
                }
                for (int c = 0; c < columns; c++) {
                    uint32_t word = ae_rng_word(key, step, 11, (uint32_t)c), pair[2];
                    double got = get(bits, &y, c), u[2];
                    for (int k = 0; k < 2; k++) {
                        pair[k] = ae_rng_word(key, step, 11, (uint32_t)(c - c % 2 + k));
                        u[k] = bits == 32 ? ((double)(pair[k] >> 9) + 0.5) * 0x1p-23 : ((double)pair[k] + 0.5) * 0x1p-32;
                    }
                    if (kind == 0)
                        CHECK(got == u[c % 2] && got > 0 && got < 1, "f%d %s, column %d: %.17g", bits, v->name, c, got);
                    else if (kind == 1) {
                        double angle = 6.283185307179586 * u[1], radius = sqrt(-2 * log(u[0]));
                        double want = radius * (c % 2 ? sin(angle) : cos(angle));
                        CHECK(fabs(got - want) < (bits == 32 ? 2e-6 : 1e-14), "f%d %s, column %d: %.17g, not %.17g", bits, v->name,
                              c, got, want);
                    } else
                        CHECK(got == (word < thresholds[kind - 2] ? 0 : 1.25), "f%d %s, column %d: %g", bits, v->name, c, got);
                }
            }
        }
    }
}

TEST(normal_moments) {
    const ae_key key = {{3, 4}};
    enum { ROWS = 64, COLUMNS = 4096 };
    FOR_EACH(v, bits) {
        if (v->lanes == 1)
            continue; /* the same bits, slowly */
        double sums[5] = {0}, product = 0;
        for (uint32_t row = 0; row < ROWS; row++) {
            v->normal(key, 1, row, COLUMNS, &y);
            for (int c = 0; c < COLUMNS; c++) {
                double value = get(bits, &y, c), power = 1;
                for (int k = 1; k < 5; k++)
                    sums[k] += power *= value;
                if (c % 2)
                    product += value * get(bits, &y, c - 1);
            }
        }
        /* Standard errors with n = 2^18: 1, sqrt 2, sqrt 15, sqrt 96 over sqrt n; five of them. */
        double n = ROWS * COLUMNS, e = 5 / sqrt(n);
        CHECK(fabs(sums[1] / n) < e, "mean %g", sums[1] / n);
        CHECK(fabs(sums[2] / n - 1) < 1.42 * e, "variance %g", sums[2] / n);
        CHECK(fabs(sums[3] / n) < 3.9 * e, "third moment %g", sums[3] / n);
        CHECK(fabs(sums[4] / n - 3) < 9.8 * e, "fourth moment %g", sums[4] / n);
        CHECK(fabs(product / n) < 0.71 * e, "product of a pair %g", product / n);
    }
}

/* math/blas1.h by the letter. */
static double block_tree(int bits, int64_t first, int64_t count, int64_t n) {
    if (count > 1) {
        int64_t left = 1;
        while (2 * left < count)
            left *= 2;
        return block_tree(bits, first, left, n) + block_tree(bits, first + left, count - left, n);
    }
    double lanes[16] = {0};
    for (int64_t i = first * 4096; i < n && i < (first + 1) * 4096; i++)
        lanes[i % 16] = fma(get(bits, &x, i), get(bits, &z, i), lanes[i % 16]);
    for (int width = 8; width; width /= 2)
        for (int l = 0; l < width; l++)
            lanes[l] += lanes[l + width];
    return lanes[0];
}

TEST(sums_and_updates) {
    static const int sizes[] = {0, 1, 7, 15, 16, 17, 31, 33, 100, 4095, 4096, 4097, 8192, 12288, 20480 + 5, 28672 + 1};
    FOR_EACH(v, bits)
        for (int s = 0; s < 16; s++) {
            int n = sizes[s];
            for (int i = 0; i < n; i++) {
                set(bits, &x, i, draw_unit() - 0.4);
                set(bits, &z, i, draw_unit() - 0.6);
            }
            double got = v->dot(n, &x, &z), want = n ? block_tree(bits, 0, (n + 4095) / 4096, n) : 0;
            CHECK(memcmp(&got, &want, 8) == 0, "f%d %s, dot of %d: %.17g, not %.17g", bits, v->name, n, got, want);
            y = other = z;
            v->axpy(n, 0.3, &x, &y);
            v->scale(n, 0.3, &other);
            for (int i = 0; i < n; i++) {
                double a = bits == 32 ? (double)0.3f : 0.3, xi = get(bits, &x, i), zi = get(bits, &z, i);
                double sum = bits == 32 ? (double)fmaf(0.3f, (float)xi, (float)zi) : fma(a, xi, zi);
                double product = bits == 32 ? (double)(0.3f * (float)zi) : a * zi;
                CHECK(get(bits, &y, i) == sum, "f%d %s, axpy of %d at %d", bits, v->name, n, i);
                CHECK(get(bits, &other, i) == product, "f%d %s, scale of %d at %d", bits, v->name, n, i);
            }
            CHECK(v->all_finite(n, &x), "f%d %s, n %d", bits, v->name, n);
            for (int i = 0; i < n; i += n < 200 ? 1 : 511) {
                double kept = get(bits, &x, i);
                set(bits, &x, i, i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY);
                CHECK(!v->all_finite(n, &x), "f%d %s, n %d, place %d", bits, v->name, n, i);
                set(bits, &x, i, kept);
            }
        }
    FOR_EACH(v, bits) {
        enum { FIRST = 3, LAST = 60 };
        for (int i = 0; i < 64 * AE_PANEL; i++)
            set(bits, &x, i, draw_unit() - 0.5);
        for (int c = 0; c < AE_PANEL; c++) {
            double start = draw_unit(), sum = bits == 32 ? (double)(float)start : start;
            set(bits, &y, c, start);
            for (int r = FIRST; r < LAST; r++)
                sum = bits == 32 ? (double)((float)sum + x.f[r * AE_PANEL + c]) : sum + x.d[r * AE_PANEL + c];
            set(bits, &expected, c, sum);
        }
        v->column_sums(FIRST, LAST, &x, &y);
        CHECK(difference(bits, &y, &expected, AE_PANEL) < 0, "f%d %s", bits, v->name);
    }
}

static char user[1 << 16], returned[1 << 16];

TEST(rows_in_and_out) {
    static const int widths[] = {1, 2, 7, 31, 32, 33, 64, 65, 100, 300};
    enum { ROWS = 5, ROW = 2 };
    FOR_EACH(v, bits)
        for (int w = 0; w < 10; w++)
            for (int dtype = AE_F32; dtype <= AE_U8; dtype++)
                for (int layout = 0; layout < 4; layout++) {
                    int64_t width = widths[w], stride = ae_panel_stride(ROWS), size = stride * ae_panels(width);
                    int64_t bytes = dtype == AE_F32 ? 4 : dtype == AE_F64 ? 8 : 1;
                    /* Contiguous, not aligned, every third, backwards. */
                    int64_t step = layout == 2 ? 3 * bytes : layout == 3 ? -bytes : bytes;
                    int64_t origin = layout == 1 ? 3 : layout == 3 ? (width - 1) * bytes : 0;
                    for (int64_t i = 0; i < size; i++)
                        set(bits, &y, i, 77);
                    for (int64_t c = 0; c < width; c++) {
                        float f = (float)(draw_unit() - 0.5);
                        double d = draw_unit() - 0.5;
                        uint8_t u = (uint8_t)draw();
                        memcpy(user + origin + c * step, dtype == AE_F32 ? (void *)&f : dtype == AE_F64 ? (void *)&d : (void *)&u,
                               (size_t)bytes);
                        set(bits, &expected, c, dtype == AE_F32 ? (double)f : dtype == AE_F64 ? d : (double)u);
                    }
                    v->gather((ae_dtype)dtype, user + origin, step, width, stride, ROW, &y);
                    int wrong = 0;
                    for (int64_t p = 0; p < ae_panels(width); p++)
                        for (int64_t r = 0; r < ROWS; r++)
                            for (int64_t k = 0; k < AE_PANEL; k++) {
                                int64_t c = p * AE_PANEL + k;
                                double want = r != ROW ? 77 : c < width ? get(bits, &expected, c) : 0;
                                wrong += get(bits, &y, p * stride + r * AE_PANEL + k) != want;
                            }
                    CHECK(!wrong, "f%d %s, type %d, layout %d, width %d: %d wrong", bits, v->name, dtype, layout, widths[w], wrong);
                    if (dtype == AE_U8)
                        continue;
                    memset(returned, 0x55, sizeof returned);
                    v->scatter((ae_dtype)dtype, &y, width, stride, ROW, returned + 64 + origin, step);
                    for (int64_t c = 0; c < width; c++) {
                        double got, value = get(bits, &expected, c);
                        float f;
                        memcpy(&got, returned + 64 + origin + c * step, sizeof got);
                        memcpy(&f, returned + 64 + origin + c * step, sizeof f);
                        CHECK(dtype == AE_F32 ? f == (float)value : got == value, "f%d %s, type %d, layout %d, width %d, column %d",
                              bits, v->name, dtype, layout, widths[w], (int)c);
                    }
                    int64_t low = step < 0 ? 0 : origin, high = low + (width - 1) * llabs(step) + bytes;
                    CHECK(returned[64 + low - 1] == 0x55 && returned[64 + high] == 0x55, "f%d %s, layout %d, width %d: wrote outside",
                          bits, v->name, layout, widths[w]);
                }
}

TEST(csr_rows) {
    enum { WIDTH = 100, COUNT = 6, ROWS = 3, ROW = 1 };
    static const int64_t columns64[COUNT] = {0, 31, 32, 70, 99, 70}; /* one listed twice */
    int32_t columns32[COUNT];
    for (int k = 0; k < COUNT; k++)
        columns32[k] = (int32_t)columns64[k];
    float f[COUNT] = {1, -2, 3, 4.5f, 5, 0.25f};
    double d[COUNT] = {1, -2, 3, 4.5, 5, 0.25};
    uint8_t u[COUNT] = {1, 2, 3, 4, 255, 6};
    FOR_EACH(v, bits)
        for (int dtype = AE_F32; dtype <= AE_U8; dtype++)
            for (int index_bits = 32; index_bits <= 64; index_bits += 32)
                for (int count = 0; count <= COUNT; count++) {
                    int64_t stride = ae_panel_stride(ROWS);
                    for (int64_t i = 0; i < stride * ae_panels(WIDTH); i++)
                        set(bits, &y, i, 77);
                    v->gather_csr((ae_dtype)dtype, dtype == AE_F32 ? (char *)f : dtype == AE_F64 ? (char *)d : (char *)u, index_bits,
                                  index_bits == 32 ? (const char *)columns32 : (const char *)columns64, count, WIDTH, stride, ROW, &y);
                    double want[128] = {0};
                    for (int k = 0; k < count; k++)
                        want[columns64[k]] += dtype == AE_U8 ? (double)u[k] : d[k];
                    int wrong = 0;
                    for (int c = 0; c < 128; c++)
                        for (int r = 0; r < ROWS; r++)
                            wrong += get(bits, &y, c / AE_PANEL * stride + r * AE_PANEL + c % AE_PANEL) != (r == ROW ? want[c] : 77);
                    CHECK(!wrong, "f%d %s, type %d, index %d, count %d: %d wrong", bits, v->name, dtype, index_bits, count, wrong);
                }
}

TEST(activation_names) {
    for (int a = 0; a < AE_ACTIVATION_COUNT; a++)
        CHECK(ae_activation_find(ae_activation_name((ae_activation)a)) == a, "%d", a);
    CHECK(ae_activation_find("gelu") == AE_GELU && ae_activation_find("softmax") == AE_SOFTMAX, "known names");
    CHECK(ae_activation_find("gel") == -1 && ae_activation_find("") == -1 && ae_activation_find("relu ") == -1, "unknown names");
    CHECK(strcmp(ae_activation_name((ae_activation)99), "unknown") == 0, "outside");
}

int main(void) {
    FOR_EACH(v, bits)
        printf("  f%d %s: %d lanes\n", bits, v->name, v->lanes);
    RUN(functions_equal_the_reference);
    RUN(operations_equal_the_reference);
    RUN(activations_equal_the_reference);
    RUN(activation_values);
    RUN(activation_limits);
    RUN(activation_gradients_f64);
    RUN(softmax_equals_the_reference);
    RUN(softmax_gradient_f64);
    RUN(random_fills_are_single_draws);
    RUN(normal_moments);
    RUN(sums_and_updates);
    RUN(rows_in_and_out);
    RUN(csr_rows);
    RUN(activation_names);
    return harness_finish("test_vector_variants");
}
