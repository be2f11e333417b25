/* The user's data: what is malformed, what is not finite, and rows from any layout. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "harness.h"
#include "net/data.h"
#include "networks.h"

/* A CSR matrix of 4 rows and 7 columns, whose indices a test may spoil. */
typedef struct csr {
    int64_t start[5], column[6];
    double value[6];
    char start_bytes[5 * 8 + 1], column_bytes[6 * 8 + 1];
    ae_data data;
} csr;

static const csr good_csr = {.start = {0, 2, 2, 5, 6}, .column = {1, 6, 0, 3, 4, 2}, .value = {1, -2, 3, 4, 5.5, 6}};

/* The indices in 32 or 64 bits, at an odd address. */
static const ae_data *bound(csr *m, int index_bits) {
    for (int i = 0; i < 5; i++) {
        const int32_t narrow = (int32_t)m->start[i];
        memcpy(m->start_bytes + 1 + i * index_bits / 8, index_bits == 32 ? (const void *)&narrow : &m->start[i],
               (size_t)index_bits / 8);
    }
    for (int i = 0; i < 6; i++) {
        const int32_t narrow = (int32_t)m->column[i];
        memcpy(m->column_bytes + 1 + i * index_bits / 8, index_bits == 32 ? (const void *)&narrow : &m->column[i],
               (size_t)index_bits / 8);
    }
    m->data = (ae_data){.rows = 4,
                        .columns = 7,
                        .dtype = AE_F64,
                        .sparse = true,
                        .base = (const char *)m->value,
                        .row_start = m->start_bytes + 1,
                        .column_index = m->column_bytes + 1,
                        .index_bits = index_bits,
                        .n_stored = 6};
    return &m->data;
}

#define FOR_INDEX_BITS(bits) for (int bits = 32; bits <= 64; bits += 32)

#define MALFORMED(change, word)                                                                                             \
    FOR_INDEX_BITS(index_bits) {                                                                                            \
        csr m = good_csr;                                                                                                   \
        ae_context context = {AE_OK, ""};                                                                                   \
        change;                                                                                                             \
        const ae_status status = ae_data_check(&context, bound(&m, index_bits), "X");                                       \
        CHECK(status == AE_ERR_VALUE && strstr(context.message, word) && !strncmp(context.message, "X: malformed CSR", 16), \
              "%s: status %d, '%s'", #change, (int)status, context.message);                                                \
    }

TEST(malformed_csr_is_refused) {
    FOR_INDEX_BITS(index_bits) {
        csr m = good_csr;
        ae_context context = {AE_OK, ""};
        CHECK(ae_data_check(&context, bound(&m, index_bits), "X") == AE_OK, "%s", context.message);
    }
    MALFORMED(m.start[0] = 1, "indptr[0] is 1");
    MALFORMED(m.start[0] = -1, "indptr[0] is -1");
    MALFORMED((m.start[1] = 3, m.column[2] = 6, m.column[1] = 5), "indptr[2] is 2");
    MALFORMED(m.start[2] = 1, "indptr[2] is 1");
    MALFORMED(m.start[2] = -7, "indptr[2] is -7");
    MALFORMED(m.start[4] = 7, "indptr[4] is 7");
    MALFORMED(m.start[4] = INT32_MAX, "indptr[4]");
    MALFORMED(m.start[3] = 100, "indptr[3] is 100");
    MALFORMED(m.column[0] = -1, "row 0 has column index -1");
    MALFORMED(m.column[1] = 7, "row 0 has column index 7");
    MALFORMED(m.column[5] = INT32_MAX, "row 3 has column index");
    MALFORMED(m.column[5] = INT32_MIN, "row 3 has column index");
    MALFORMED(m.column[3] = 0, "row 2 has column 0 after 0");
    MALFORMED(m.column[4] = 1, "row 2 has column 1 after 3");
    /* What only 64 bits hold, among it what 32 bits would take for something harmless. */
    csr m = good_csr;
    ae_context context;
    m.column[2] = (int64_t)1 << 32;
    CHECK(ae_data_check(&context, bound(&m, 64), "X") == AE_ERR_VALUE, "column 2^32");
    m = good_csr;
    m.start[4] = INT64_MAX;
    CHECK(ae_data_check(&context, bound(&m, 64), "X") == AE_ERR_VALUE, "indptr 2^63 - 1");
    m.start[4] = INT64_MIN;
    CHECK(ae_data_check(&context, bound(&m, 64), "X") == AE_ERR_VALUE, "indptr -2^63");
    /* A dense array has nothing to check; no rows are fine. */
    const ae_data dense = dense_data(m.value, AE_F64, 2, 3);
    CHECK(ae_data_check(&context, &dense, "X") == AE_OK, "dense");
    m = good_csr;
    bound(&m, 32);
    m.data.rows = 0;
    CHECK(ae_data_check(&context, &m.data, "X") == AE_OK, "no rows");
}

typedef struct found {
    int64_t row, column;
    double value;
} found;

static found nonfinite(const ae_data *d) {
    found f = {-7, -7, 0};
    ae_data_find_nonfinite(d, &f.row, &f.column, &f.value);
    return f;
}

TEST(what_is_not_finite_is_found) {
    enum { R = 5, C = 37 };
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    double x[R * C];
    float y[R * C];
    for (int k = 0; k < 3 * R * C; k += 4) {
        const int at = k / 3;
        fill(x, R * C, -1, 1);
        x[3] = 1e308;
        x[4] = -4.9e-324;
        for (int i = 0; i < R * C; i++)
            y[i] = (float)(i == 3 ? 3.4e38 : x[i]);
        const ae_data d64 = dense_data(x, AE_F64, R, C), d32 = dense_data(y, AE_F32, R, C);
        CHECK(nonfinite(&d64).row == -1 && nonfinite(&d32).row == -1, "all finite");
        x[at] = bad[k % 3];
        y[at] = (float)bad[k % 3];
        if (at + 3 < R * C)
            x[at + 3] = NAN; /* not the first */
        const found f = nonfinite(&d64), g = nonfinite(&d32);
        CHECK(f.row == at / C && f.column == at % C && (isnan(bad[k % 3]) ? isnan(f.value) : f.value == bad[k % 3]),
              "f64: %d, %d", (int)f.row, (int)f.column);
        CHECK(g.row == at / C && g.column == at % C && (isnan(bad[k % 3]) ? isnan(g.value) : g.value == bad[k % 3]),
              "f32: %d, %d", (int)g.row, (int)g.column);
        /* The same in Fortran's order and backwards. */
        ae_data turned = {
            .rows = C, .columns = R, .dtype = AE_F64, .base = (const char *)x, .row_bytes = 8, .column_bytes = C * 8};
        x[at] = 0.5;
        if (at + 3 < R * C)
            x[at + 3] = 0.5;
        x[at] = bad[k % 3];
        CHECK(nonfinite(&turned).row == at % C && nonfinite(&turned).column == at / C, "transposed");
        ae_data back = {.rows = R,
                        .columns = C,
                        .dtype = AE_F64,
                        .base = (const char *)(x + R * C - 1),
                        .row_bytes = -C * 8,
                        .column_bytes = -8};
        CHECK(nonfinite(&back).row == R - 1 - at / C && nonfinite(&back).column == C - 1 - at % C, "backwards");
    }
    static const unsigned char bytes[4] = {0, 255, 7, 8};
    const ae_data u8 = dense_data(bytes, AE_U8, 2, 2), empty = dense_data(bytes, AE_F64, 0, 3);
    CHECK(nonfinite(&u8).row == -1 && nonfinite(&empty).row == -1, "nothing to find");
    FOR_INDEX_BITS(index_bits)
    for (int i = 0; i < 6; i++) {
        static const int row[] = {0, 0, 2, 2, 2, 3};
        csr m = good_csr;
        CHECK(nonfinite(bound(&m, index_bits)).row == -1, "CSR, all finite");
        m.value[i] = NAN;
        CHECK(nonfinite(bound(&m, index_bits)).row == row[i] && nonfinite(&m.data).column == m.column[i], "CSR, entry %d", i);
    }
}

TEST(what_is_outside_is_found) {
    double x[6] = {0, 0.5, 1, 0.25, 1, 0};
    const ae_data d = dense_data(x, AE_F64, 2, 3);
    found f = {-7, -7, 0};
    ae_data_find_outside(&d, 0, 1, false, &f.row, &f.column, &f.value);
    CHECK(f.row == -1 && f.column == -1, "the ends are inside");
    static const double bad[] = {1.0000000000000002, -4.9e-324, NAN, INFINITY};
    for (int k = 0; k < 4; k++) {
        x[4] = bad[k];
        ae_data_find_outside(&d, 0, 1, false, &f.row, &f.column, &f.value);
        CHECK(f.row == 1 && f.column == 1 && (f.value == bad[k] || isnan(bad[k])), "%g", bad[k]);
    }
    x[4] = 1;
    x[2] = 1e300;
    ae_data_find_outside(&d, 0, INFINITY, false, &f.row, &f.column, &f.value);
    CHECK(f.row == -1, "no upper end");
    static const unsigned char bytes[4] = {0, 1, 2, 1};
    const ae_data u8 = dense_data(bytes, AE_U8, 2, 2);
    ae_data_find_outside(&u8, 0, 1, false, &f.row, &f.column, &f.value);
    CHECK(f.row == 1 && f.column == 0 && f.value == 2, "uint8");
    csr m = good_csr;
    ae_data_find_outside(bound(&m, 32), 0, INFINITY, false, &f.row, &f.column, &f.value);
    CHECK(f.row == 0 && f.column == 6 && f.value == -2, "CSR");
}

/* Of some rows of any layout: every value of them, and no other. */
TEST(rows_are_finite_in_a_precision) {
    enum { R = 6, C = 19 };
    static const double bad[] = {NAN, INFINITY, -INFINITY, 1e39, -3.4028234663852889e38, 3.4028234663852886e38, -3.4e38};
    double x[2 * R * C];
    float y[2 * R * C];
    for (int i = 0; i < 2 * R * C; i++)
        x[i] = y[i] = (float)(i % 7 - 3);
    for (int at = 0; at < 2 * R * C; at++)
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
            for (int layout = 0; layout < 4; layout++)
                for (int type = 0; type < 2; type++) {
                    /* Rows next to each other, apart, and their values apart; backwards. */
                    const int64_t size = type ? 8 : 4, column = layout == 2 ? 2 * size : layout == 3 ? -size : size;
                    const int64_t row = layout == 0 ? C * size : 2 * C * size;
                    const char *base = (type ? (const char *)x : (const char *)y) + (layout == 3 ? (C - 1) * size : 0);
                    const ae_data d = {.rows = R,
                                       .columns = C,
                                       .dtype = type ? AE_F64 : AE_F32,
                                       .base = base,
                                       .row_bytes = row,
                                       .column_bytes = column};
                    x[at] = bad[k];
                    y[at] = (float)bad[k];
                    const double v = type ? x[at] : y[at];
                    const int64_t r = at * size / row, within = at * size % row;
                    const bool read = r >= 2 && r < 5 && within < C * labs((long)column) && within % labs((long)column) == 0;
                    for (int bits = 32; bits <= 64; bits += 32)
                        for (int allow_nan = 0; allow_nan < 2; allow_nan++) {
                            const double most = bits == 32 ? FLT_MAX : DBL_MAX;
                            const bool fine = isnan(v) ? allow_nan : fabs(v) <= most;
                            CHECK(ae_data_are_finite(&d, bits, allow_nan, 2, 3) == (fine || !read),
                                  "%g at %d, layout %d, f%d in f%d", v, at, layout, type ? 64 : 32, bits);
                        }
                    x[at] = y[at] = (float)(at % 7 - 3);
                }
    static const unsigned char bytes[4] = {0, 255, 7, 8};
    const ae_data u8 = dense_data(bytes, AE_U8, 2, 2);
    CHECK(ae_data_are_finite(&u8, 32, false, 0, 2), "uint8");
}

/* One matrix as CSR, dense in C order, in Fortran's, backwards, every other element, in three types: the same panels. */
TEST(layouts_give_the_same_rows) {
    enum { R = 6 };
    static const int64_t widths[] = {1, 5, 31, 32, 33, 70};
    for (int bits = 32; bits <= 64; bits += 32)
        for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
            const ae_kernels *kernels = ae_cpu_has((ae_isa)isa) ? ae_kernels_get(bits, (ae_isa)isa) : NULL;
            for (int w = 0; kernels && w < 6; w++) {
                const int64_t columns = widths[w], stride = (R + 3) * AE_PANEL, reals = ae_panels(columns) * stride;
                const size_t n = (size_t)(R * columns), size = (size_t)bits / 8;
                double *dense = calloc(n, 8), *fortran = calloc(n, 8), *wide = calloc(2 * n, 8), *back = calloc(n, 8),
                       *stored = calloc(n, 8);
                float *narrow = calloc(n, 4);
                unsigned char *bytes = calloc(n, 1);
                int64_t *start64 = calloc(R + 1, 8), *column64 = calloc(n, 8), count = 0;
                int32_t *start32 = calloc(R + 1, 4), *column32 = calloc(n, 4);
                for (int64_t r = 0; r < R; r++) {
                    for (int64_t c = 0; c < columns; c++) {
                        const double value = network_draw() % 3 ? 0 : (double)(1 + network_draw() % 200);
                        const int64_t at = r * columns + c;
                        dense[at] = fortran[c * R + r] = wide[2 * at] = back[R * columns - 1 - at] = value;
                        narrow[at] = (float)value;
                        bytes[at] = (unsigned char)value;
                        if (value != 0) {
                            stored[count] = value;
                            column32[count] = (int32_t)c;
                            column64[count++] = c;
                        }
                    }
                    start32[r + 1] = (int32_t)count;
                    start64[r + 1] = count;
                }
                ae_data sparse = {.rows = R,
                                  .columns = columns,
                                  .dtype = AE_F64,
                                  .sparse = true,
                                  .base = (const char *)stored,
                                  .n_stored = count};
                ae_data layouts[] = {
                    dense_data(dense, AE_F64, R, columns),
                    dense_data(narrow, AE_F32, R, columns),
                    dense_data(bytes, AE_U8, R, columns),
                    {.rows = R,
                     .columns = columns,
                     .dtype = AE_F64,
                     .base = (const char *)fortran,
                     .row_bytes = 8,
                     .column_bytes = R * 8},
                    {.rows = R,
                     .columns = columns,
                     .dtype = AE_F64,
                     .base = (const char *)wide,
                     .row_bytes = 16 * columns,
                     .column_bytes = 16},
                    {.rows = R,
                     .columns = columns,
                     .dtype = AE_F64,
                     .base = (const char *)(back + n - 1),
                     .row_bytes = -8 * columns,
                     .column_bytes = -8},
                    sparse,
                    sparse,
                };
                layouts[6].index_bits = 32;
                layouts[6].row_start = (const char *)start32;
                layouts[6].column_index = (const char *)column32;
                layouts[7].index_bits = 64;
                layouts[7].row_start = (const char *)start64;
                layouts[7].column_index = (const char *)column64;
                char *want = malloc((size_t)reals * size), *got = malloc((size_t)reals * size);
                for (int l = 0; l < 8; l++) {
                    ae_context context;
                    CHECK(ae_data_check(&context, &layouts[l], "X") == AE_OK, "%s", context.message);
                    memset(got, 0x55, (size_t)reals * size);
                    memset(want, 0x55, (size_t)reals * size);
                    /* Rows in another order, two places further down; what lies between stays. */
                    uint64_t order[R - 1];
                    for (int64_t r = 0; r < R - 1; r++)
                        order[r] = (uint64_t)(R - 2 - r);
                    ae_data_gather(&layouts[l], kernels, R - 1, NULL, 1, stride, 2, got);
                    ae_data_gather(&layouts[l], kernels, 0, order, R - 1, stride, 3, got);
                    for (int64_t r = 0; r < R; r++) {
                        for (int64_t c = 0; c < ae_panels(columns) * AE_PANEL; c++) {
                            const double value = c < columns ? dense[(R - 1 - r) * columns + c] : 0;
                            const float value32 = (float)value;
                            memcpy(want + (size_t)(c / AE_PANEL * stride + (r + 2) * AE_PANEL + c % AE_PANEL) * size,
                                   bits == 32 ? (const void *)&value32 : &value, size);
                        }
                    }
                    CHECK(!memcmp(got, want, (size_t)reals * size), "f%d %s, %d columns, layout %d", bits,
                          ae_isa_name((ae_isa)isa), (int)columns, l);
                }
                void *all[] = {dense,   fortran,  wide,    back,     stored, narrow, bytes,
                               start64, column64, start32, column32, want,   got};
                for (size_t i = 0; i < sizeof all / sizeof *all; i++)
                    free(all[i]);
            }
        }
}

int main(void) {
    RUN(malformed_csr_is_refused);
    RUN(what_is_not_finite_is_found);
    RUN(what_is_outside_is_found);
    RUN(rows_are_finite_in_a_precision);
    RUN(layouts_give_the_same_rows);
    return harness_finish("test_data");
}
