/* Random fills, sums, updates and copies of rows, every variant that this machine runs, against their definitions. */
#include <math.h>
#include <stdlib.h>

#include "harness.h"
#include "math/panel.h"
#include "numbers.h"

static numbers x, y, z, reference, other, expected;

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
                        CHECK(fabs(got - want) < (bits == 32 ? 2e-6 : 1e-14), "f%d %s, column %d: %.17g, not %.17g", bits,
                              v->name, c, got, want);
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
        CHECK(v->all_below(n, INFINITY, &x) && v->all_below(n, 0.75, &x), "f%d %s, n %d", bits, v->name, n);
        for (int i = 0; i < n; i += n < 200 ? 1 : 511) {
            double kept = get(bits, &x, i);
            set(bits, &x, i, i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY);
            CHECK(!v->all_below(n, INFINITY, &x), "f%d %s, n %d, place %d", bits, v->name, n, i);
            set(bits, &x, i, i % 2 ? 0.75 : -0.75);
            CHECK(!v->all_below(n, 0.75, &x) && v->all_below(n, 0.8, &x), "f%d %s, n %d, place %d", bits, v->name, n, i);
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
        for (int count = 1; count <= 5; count++) {
            enum { LENGTH = 3 * AE_PANEL, STEP = 4 * AE_PANEL };
            for (int i = 0; i < LENGTH; i++) {
                double sum = get(bits, &x, i);
                for (int k = 1; k < count; k++)
                    sum = bits == 32 ? (double)((float)sum + x.f[k * STEP + i]) : sum + x.d[k * STEP + i];
                set(bits, &expected, i, sum);
            }
            set(bits, &expected, LENGTH, 7);
            set(bits, &y, LENGTH, 7);
            v->add_up(LENGTH, count, STEP, &x, &y);
            CHECK(difference(bits, &y, &expected, LENGTH + 1) < 0, "f%d %s, %d added up", bits, v->name, count);
        }
    }
}

static char user[1 << 16], returned[1 << 16];

/* Two rows of the user's, by index and in order, become rows 2 and 3 of five; then they go back. */
TEST(rows_in_and_out) {
    static const int widths[] = {1, 2, 7, 31, 32, 33, 64, 65, 100, 300};
    static const uint64_t index[2] = {2, 0};
    enum { ROWS = 5, ROW = 2, N = 2, APART = 8000, FIRST = 16384 };
    FOR_EACH(v, bits)
    for (int w = 0; w < 10; w++)
        for (int dtype = AE_F32; dtype <= AE_U8; dtype++)
            for (int layout = 0; layout < 5; layout++) {
                const int64_t width = widths[w], stride = ae_panel_stride(ROWS), size = stride * ae_panels(width);
                const int64_t bytes = dtype == AE_F32 ? 4 : dtype == AE_F64 ? 8 : 1;
                /* Contiguous, not aligned, every third, backwards, rows backwards too. */
                const int64_t step = layout == 2 ? 3 * bytes : layout == 3 ? -bytes : bytes;
                const int64_t origin = layout == 1 ? 3 : layout == 3 ? (width - 1) * bytes : 0;
                const int64_t apart = layout == 4 ? -APART : APART;
                const ae_rows source = {(ae_dtype)dtype, user + FIRST + origin, apart, step};
                for (int in_order = 0; in_order < 2; in_order++) {
                    for (int64_t i = 0; i < size; i++)
                        set(bits, &y, i, 77);
                    for (int64_t r = 0; r < N; r++)
                        for (int64_t c = 0; c < width; c++) {
                            const float f = (float)(draw_unit() - 0.5);
                            const double d = draw_unit() - 0.5;
                            const uint8_t u = (uint8_t)draw();
                            memcpy(user + FIRST + origin + (in_order ? r : (int64_t)index[r]) * apart + c * step,
                                   dtype == AE_F32   ? (const void *)&f
                                   : dtype == AE_F64 ? (const void *)&d
                                                     : (const void *)&u,
                                   (size_t)bytes);
                            set(bits, &expected, r * width + c, dtype == AE_F32 ? (double)f : dtype == AE_F64 ? d : (double)u);
                        }
                    v->gather(&source, in_order ? NULL : index, N, width, stride, ROW, &y);
                    int wrong = 0;
                    for (int64_t p = 0; p < ae_panels(width); p++)
                        for (int64_t r = 0; r < ROWS; r++)
                            for (int64_t k = 0; k < AE_PANEL; k++) {
                                const int64_t c = p * AE_PANEL + k, of = r - ROW;
                                const double want = of < 0 || of >= N ? 77
                                                    : c < width       ? get(bits, &expected, of * width + c)
                                                                      : 0;
                                wrong += get(bits, &y, p * stride + r * AE_PANEL + k) != want;
                            }
                    CHECK(!wrong, "f%d %s, type %d, layout %d, width %d: %d wrong", bits, v->name, dtype, layout, widths[w],
                          wrong);
                    if (dtype == AE_U8)
                        continue;
                    const int64_t length = width * bytes, gap = layout == 1 ? 5 : layout == 2 ? bytes : 0;
                    memset(returned, 0x55, sizeof returned);
                    v->scatter((ae_dtype)dtype, &y, width, stride, ROW, N, returned + 64 + origin, length + gap);
                    for (int64_t r = 0; r < N; r++) {
                        char *at = returned + 64 + origin + r * (length + gap);
                        for (int64_t c = 0; c < width; c++) {
                            double got;
                            const double value = get(bits, &expected, r * width + c);
                            float f;
                            memcpy(&got, at + c * bytes, sizeof got);
                            memcpy(&f, at + c * bytes, sizeof f);
                            CHECK(dtype == AE_F32 ? f == (float)value : got == value,
                                  "f%d %s, type %d, layout %d, width %d, row %d, column %d", bits, v->name, dtype, layout,
                                  widths[w], (int)r, (int)c);
                        }
                        memset(at, 0x55, (size_t)length);
                    }
                    int outside = 0;
                    for (size_t i = 0; i < sizeof returned; i++)
                        outside += returned[i] != 0x55;
                    CHECK(!outside, "f%d %s, layout %d, width %d: wrote outside", bits, v->name, layout, widths[w]);
                }
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
                v->gather_csr((ae_dtype)dtype,
                              dtype == AE_F32   ? (char *)f
                              : dtype == AE_F64 ? (char *)d
                                                : (char *)u,
                              index_bits, index_bits == 32 ? (const char *)columns32 : (const char *)columns64, count, WIDTH,
                              stride, ROW, &y);
                double want[128] = {0};
                for (int k = 0; k < count; k++)
                    want[columns64[k]] += dtype == AE_U8 ? (double)u[k] : d[k];
                int wrong = 0;
                for (int c = 0; c < 128; c++)
                    for (int r = 0; r < ROWS; r++)
                        wrong +=
                            get(bits, &y, c / AE_PANEL * stride + r * AE_PANEL + c % AE_PANEL) != (r == ROW ? want[c] : 77);
                CHECK(!wrong, "f%d %s, type %d, index %d, count %d: %d wrong", bits, v->name, dtype, index_bits, count, wrong);
            }
}

int main(void) {
    RUN(random_fills_are_single_draws);
    RUN(normal_moments);
    RUN(sums_and_updates);
    RUN(rows_in_and_out);
    RUN(csr_rows);
    return harness_finish("test_vector_memory");
}
