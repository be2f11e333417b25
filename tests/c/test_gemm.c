/* Products and transposes: every variant that this machine runs against a plain chain of fma, bit for bit, in buffers that
 * hold exactly what may be read. What may not be read but lies in between is NaN, what may not be written keeps its bits. */
#include <math.h>
#include <stdlib.h>

#include "harness.h"
#include "numbers.h"
#include "product_variants.h"
#include "slow.h"

#define MOST_TERMS 32

/* One product, with all its operands. Buffers begin `shift` reals behind an allocation's start and end where it ends. */
typedef struct product {
    int bits, n, transposed;
    int64_t m;
    ae_gemm gemm;
    ae_gemm_start start;
    int64_t a_offset[MOST_TERMS], b_offset[MOST_TERMS];
    int shift;
    void *a_block, *b_block, *bias_block;
    char *a, *b, *bias;
    char *before, *expected; /* C and CANARY reals on both sides, before and after */
} product;

#define CANARY 48
#define C_ROOM ((40 + 3) * AE_PANEL + 2 * CANARY)

static size_t size_of(const product *p) { return (size_t)p->bits / 8; }

static void put(int bits, void *at, int64_t i, double value) {
    if (bits == 32)
        ((float *)at)[i] = (float)value;
    else
        ((double *)at)[i] = value;
}

static double look(int bits, const void *at, int64_t i) {
    return bits == 32 ? (double)((const float *)at)[i] : ((const double *)at)[i];
}

/* Of magnitudes so different that the order of a sum shows, now and then a zero or a denormal number. */
static double number(int bits) {
    const uint64_t kind = draw() % 32;
    if (kind == 0)
        return draw() & 1 ? 0.0 : -0.0;
    if (kind == 1)
        return (draw_unit() - 0.5) * (bits == 32 ? 0x1p-126 : 0x1p-1022);
    return (draw_unit() - 0.5) * exp2((double)(draw() % 12));
}

static int wanted_columns(int n) { return n > 16 ? 32 : 16; }

static int32_t length_of(const ae_gemm *g, int64_t i) { return i + 1 == g->terms ? g->k_last : g->k; }

static int64_t a_at(const product *p, int64_t i, int64_t row, int64_t k) {
    const int64_t offset = p->gemm.a_offset ? p->gemm.a_offset[i] : i * p->gemm.a_step;
    return offset + (p->transposed ? k * AE_PANEL + row : row * AE_PANEL + k);
}

static int64_t b_at(const product *p, int64_t i, int64_t k, int64_t column) {
    return (p->gemm.b_offset ? p->gemm.b_offset[i] : i * p->gemm.b_step) + k * AE_PANEL + column;
}

static void *block_of(const product *p, int64_t reals, char **start) {
    const size_t bytes = ((size_t)p->shift + (size_t)reals) * size_of(p);
    char *block = malloc(bytes ? bytes : 1);
    *start = block + (size_t)p->shift * size_of(p);
    return block;
}

/* C by its definition; zeros behind the columns that are computed, or what was there. */
static void expect(product *p) {
    const int64_t base = CANARY;
    memcpy(p->expected, p->before, C_ROOM * size_of(p));
    for (int64_t r = 0; r < p->m; r++)
        for (int c = 0; c < AE_PANEL; c++) {
            const int64_t at = base + r * AE_PANEL + c;
            if (c >= wanted_columns(p->n)) {
                if (p->start != AE_START_C)
                    put(p->bits, p->expected, at, 0);
                continue;
            }
            double sum = p->start == AE_START_ZERO   ? 0.0
                         : p->start == AE_START_BIAS ? look(p->bits, p->bias, c)
                                                     : look(p->bits, p->before, at);
            for (int64_t i = 0; i < p->gemm.terms; i++)
                for (int64_t k = 0; k < length_of(&p->gemm, i); k++) {
                    const int64_t x = a_at(p, i, r, k), y = b_at(p, i, k, c);
                    if (p->bits == 32)
                        sum = (double)fmaf(((float *)(void *)p->a)[x], ((float *)(void *)p->b)[y], (float)sum);
                    else
                        sum = fma(((double *)(void *)p->a)[x], ((double *)(void *)p->b)[y], sum);
                }
            put(p->bits, p->expected, at, sum);
        }
}

/* Operands for the shape already in *p; `listed`: offsets as lists in no order, else affine. */
static void make(product *p, int listed) {
    const int bits = p->bits, wanted = wanted_columns(p->n);
    const int64_t longest = p->gemm.terms > 1 && p->gemm.k > p->gemm.k_last ? p->gemm.k : p->gemm.k_last;
    const int64_t a_extent = p->transposed ? longest * AE_PANEL : p->m * AE_PANEL + longest, b_extent = longest * AE_PANEL;
    int64_t a_reals = 0, b_reals = 0;
    p->gemm.a_offset = p->gemm.b_offset = NULL;
    p->gemm.a_step = a_extent + (int64_t)(draw() % 7);
    p->gemm.b_step = b_extent + (int64_t)(draw() % 5) * 3;
    for (int64_t i = 0; listed && i < p->gemm.terms; i++) {
        /* Neighbours swapped, and the last term where the first is. */
        const int64_t place = i + 1 == p->gemm.terms ? 0 : i ^ 1;
        p->a_offset[i] = place * p->gemm.a_step + 1;
        p->b_offset[i] = place * p->gemm.b_step + 2;
        p->gemm.a_offset = p->a_offset;
        p->gemm.b_offset = p->b_offset;
    }
    for (int64_t i = 0; i < p->gemm.terms; i++)
        if (length_of(&p->gemm, i)) {
            const int64_t a_end = a_at(p, i, p->m - 1, length_of(&p->gemm, i) - 1) + 1;
            const int64_t b_end = b_at(p, i, length_of(&p->gemm, i) - 1, wanted - 1) + 1;
            a_reals = a_end > a_reals ? a_end : a_reals;
            b_reals = b_end > b_reals ? b_end : b_reals;
        }
    p->a_block = block_of(p, a_reals, &p->a);
    p->b_block = block_of(p, b_reals, &p->b);
    p->bias_block = block_of(p, AE_PANEL, &p->bias);
    for (int64_t i = 0; i < a_reals; i++)
        put(bits, p->a, i, NAN);
    for (int64_t i = 0; i < b_reals; i++)
        put(bits, p->b, i, NAN);
    for (int64_t i = 0; i < p->gemm.terms; i++)
        for (int64_t k = 0; k < length_of(&p->gemm, i); k++) {
            for (int64_t r = 0; r < p->m; r++)
                put(bits, p->a, a_at(p, i, r, k), number(bits));
            for (int c = 0; c < wanted; c++)
                put(bits, p->b, b_at(p, i, k, c), number(bits));
        }
    for (int c = 0; c < AE_PANEL; c++)
        put(bits, p->bias, c, number(bits));
    p->before = calloc(C_ROOM, size_of(p));
    p->expected = calloc(C_ROOM, size_of(p));
    for (int64_t i = 0; i < C_ROOM; i++)
        put(bits, p->before, i, number(bits));
    expect(p);
}

static void discard(product *p) {
    free(p->a_block);
    free(p->b_block);
    free(p->bias_block);
    free(p->before);
    free(p->expected);
}

static void run(const product *p, const product_variant *v, void *c) {
    if (p->transposed)
        v->columns(&p->gemm, (int)p->m, p->n, p->a, p->b, p->start, c);
    else
        v->rows(&p->gemm, p->m, p->n, p->a, p->b, p->start, p->start == AE_START_BIAS ? p->bias : NULL, c);
}

static void check_product(product *p, int listed) {
    if (SLOW && draw() % 8)
        return;
    char *c = malloc(C_ROOM * size_of(p));
    make(p, listed);
    for (const product_variant *const *list = product_variants_of(p->bits), *v = *list; v; v = *++list) {
        memcpy(c, p->before, C_ROOM * size_of(p));
        run(p, v, c + CANARY * size_of(p));
        int64_t wrong = -1;
        for (int64_t i = C_ROOM - 1; i >= 0; i--)
            if (memcmp(c + (size_t)i * size_of(p), p->expected + (size_t)i * size_of(p), size_of(p)))
                wrong = i;
        CHECK(wrong < 0, "%s %s: m %d n %d terms %d k %d, %d start %d listed %d shift %d: row %d column %d: %.17g, not %.17g",
              v->name, p->transposed ? "columns" : "rows", (int)p->m, p->n, (int)p->gemm.terms, p->gemm.k, p->gemm.k_last,
              (int)p->start, listed, p->shift, (int)((wrong - CANARY) / AE_PANEL), (int)((wrong - CANARY) % AE_PANEL),
              look(p->bits, c, wrong), look(p->bits, p->expected, wrong));
    }
    free(c);
    discard(p);
}

static product shape(int bits, int transposed, int64_t m, int n, int64_t terms, int32_t k, int32_t k_last) {
    static const ae_gemm_start of_rows[] = {AE_START_ZERO, AE_START_BIAS, AE_START_C},
                               of_columns[] = {AE_START_ZERO, AE_START_C};
    return (product){.bits = bits,
                     .transposed = transposed,
                     .m = m,
                     .n = n,
                     .gemm = {.terms = terms, .k = k, .k_last = k_last},
                     .start = transposed ? of_columns[draw() % 2] : of_rows[draw() % 3],
                     .shift = (int)(draw() % 4)};
}

#define FOR_BITS(bits) for (int bits = 32; bits <= 64; bits += 32)

/* All pairs of two sizes, the third at random, so that a triple that fails shows soon. */
TEST(small_shapes) {
    FOR_BITS(bits)
    for (int transposed = 0; transposed < 2; transposed++) {
        const int most = transposed ? 32 : 40;
        for (int m = 1; m <= most; m++)
            for (int n = 1 + m % 2; n <= 32; n += m > 13 ? 3 : 1) {
                product p = shape(bits, transposed, m, n, 1, 32, (int32_t)(draw() % 16));
                check_product(&p, draw() & 1);
            }
        for (int k = 0; k <= 70; k++) {
            for (int m = 1; m <= most; m += k > 34 ? 5 : 2) {
                product p = shape(bits, transposed, m, 1 + (int)(draw() % 32), 1, 32, k);
                check_product(&p, 0);
            }
            for (int n = 1; n <= 32; n += k > 34 ? 5 : 2) {
                product p = shape(bits, transposed, 1 + (int64_t)(draw() % 8), n, 1, 32, k);
                check_product(&p, 1);
            }
        }
    }
}

TEST(lengths_around_slices) {
    static const int32_t lengths[] = {95, 96, 97, 191, 192, 193, 288, 384, 385, 500};
    static const int heights[] = {1, 2, 3, 5, 6, 7, 11, 12, 13, 31, 40}, widths[] = {1, 15, 16, 17, 32};
    FOR_BITS(bits)
    for (int transposed = 0; transposed < 2; transposed++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            for (int round = 0; round < 4; round++) {
                const int m = heights[draw() % (transposed ? 10 : 11)];
                product p = shape(bits, transposed, m, widths[(i + (size_t)round) % 5], 1, 1, lengths[i]);
                check_product(&p, round & 1);
            }
}

/* Without rows nothing is read, but every slice of the sum is gone through: places along it need more than 32 bits. */
TEST(the_longest_sum_ends) {
    const ae_gemm gemm = {1, INT32_MAX, INT32_MAX, NULL, NULL, 0, 0};
    for (int bits = 32; bits <= (SANITIZED ? 32 : 64); bits += 32)
        for (const product_variant *const *v = product_variants_of(bits); *v; v++) {
            double c[AE_PANEL], kept[AE_PANEL];
            memset(c, 0x55, sizeof c);
            memcpy(kept, c, sizeof c);
            (*v)->rows(&gemm, 0, AE_PANEL, c, c, AE_START_ZERO, NULL, c);
            (*v)->columns(&gemm, 0, AE_PANEL, c, c, AE_START_ZERO, c);
            CHECK(!memcmp(c, kept, sizeof c), "%s: wrote without a row", (*v)->name);
        }
}

TEST(sums_of_several_terms) {
    static const int64_t terms[] = {0, 1, 2, 3, 4, 7, 30};
    /* The last pairs: no step, steps longer than a slice, an empty last term. */
    static const int32_t lengths[][2] = {{1, 1},   {3, 7},   {32, 32}, {32, 1},  {32, 31},   {31, 32},
                                         {16, 5},  {64, 64}, {70, 40}, {0, 0},   {0, 5},     {9, 0},
                                         {95, 96}, {96, 1},  {97, 3},  {192, 4}, {193, 192}, {200, 11}};
    FOR_BITS(bits)
    for (int transposed = 0; transposed < 2; transposed++)
        for (size_t t = 0; t < sizeof terms / sizeof *terms; t++)
            for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
                for (int round = 0; round < 2; round++) {
                    const int long_sum = terms[t] * lengths[k][0] > 500;
                    product p = shape(bits, transposed,
                                      1 + (int64_t)(draw() % (long_sum     ? 7
                                                              : transposed ? 32
                                                                           : 40)),
                                      1 + (int)(draw() % 32), terms[t], lengths[k][0], lengths[k][1]);
                    check_product(&p, round & 1);
                }
}

TEST(a_row_does_not_depend_on_the_others) {
    FOR_BITS(bits)
    for (int round = 0; round < (SLOW ? 1 : 6); round++) {
        product p = shape(bits, 0, 40, round & 1 ? 32 : 9, 1 + (int64_t)(draw() % 8), 32, 1 + (int32_t)(draw() % 32));
        make(&p, round & 2);
        for (const product_variant *const *list = product_variants_of(bits), *v = *list; v; v = *++list)
            for (int64_t first = 0; first < 40; first += 1 + (int64_t)(draw() % 5))
                for (int64_t m = 1; m <= 40 - first; m += 1 + (int64_t)(draw() % 7)) {
                    char *c = malloc(C_ROOM * size_of(&p));
                    memcpy(c, p.before, C_ROOM * size_of(&p));
                    const size_t row = AE_PANEL * size_of(&p), base = CANARY * size_of(&p) + (size_t)first * row;
                    v->rows(&p.gemm, m, p.n, p.a + (size_t)first * row, p.b, p.start, p.start == AE_START_BIAS ? p.bias : NULL,
                            c + base);
                    CHECK(!memcmp(c + base, p.expected + base, (size_t)m * row), "%s: rows %d to %d", v->name, (int)first,
                          (int)(first + m - 1));
                    free(c);
                }
        discard(&p);
    }
}

/* Not a number in one row or one column of the operands stays there. */
TEST(what_is_not_a_number_stays_in_its_place) {
    FOR_BITS(bits)
    for (int round = 0; round < 8; round++) {
        product p = shape(bits, round & 1, 20, 32, 1, 32, 32);
        make(&p, 0);
        const int64_t row = (int64_t)(draw() % 20);
        const int column = (int)(draw() % 32);
        put(bits, p.a, a_at(&p, 0, row, 13), NAN);
        put(bits, p.b, b_at(&p, 0, 7, column), INFINITY);
        for (const product_variant *const *list = product_variants_of(bits), *v = *list; v; v = *++list) {
            char *c = malloc(C_ROOM * size_of(&p));
            memcpy(c, p.before, C_ROOM * size_of(&p));
            run(&p, v, c + CANARY * size_of(&p));
            for (int64_t r = 0; r < 20; r++)
                for (int j = 0; j < 32; j++)
                    CHECK(isfinite(look(bits, c, CANARY + r * AE_PANEL + j)) == (r != row && j != column),
                          "%s: row %d column %d: %g", v->name, (int)r, j, look(bits, c, CANARY + r * AE_PANEL + j));
            free(c);
        }
        discard(&p);
    }
}

TEST(tiles_are_transposed) {
    FOR_BITS(bits)
    for (int rows = 0; rows <= 32; rows++)
        for (int shift = 0; shift < 3; shift++) {
            const size_t size = (size_t)bits / 8, reals = (size_t)rows * AE_PANEL;
            char *block = malloc((reals + (size_t)shift) * size + (reals + (size_t)shift == 0)),
                 *from = block + (size_t)shift * size;
            for (size_t i = 0; i < reals; i++)
                put(bits, from, (int64_t)i, number(bits));
            for (const product_variant *const *list = product_variants_of(bits), *v = *list; v; v = *++list) {
                char *to_block = malloc((AE_PANEL * AE_PANEL + (size_t)shift) * size), *to = to_block + (size_t)shift * size;
                int64_t wrong = -1;
                memset(to_block, 0x5a, (AE_PANEL * AE_PANEL + (size_t)shift) * size);
                v->transpose(from, rows, to);
                for (int c = 0; c < AE_PANEL; c++)
                    for (int r = 0; r < AE_PANEL; r++) {
                        char zero[8] = {0};
                        const char *want = r < rows ? from + (size_t)(r * AE_PANEL + c) * size : zero;
                        if (memcmp(want, to + (size_t)(c * AE_PANEL + r) * size, size))
                            wrong = c * AE_PANEL + r;
                    }
                for (size_t i = 0; i < (size_t)shift * size; i++)
                    wrong = to_block[i] == 0x5a ? wrong : -2;
                CHECK(wrong == -1, "%s: %d rows: element %d", v->name, rows, (int)wrong);
                free(to_block);
            }
            free(block);
        }
}

int main(void) {
    RUN(small_shapes);
    RUN(lengths_around_slices);
    RUN(the_longest_sum_ends);
    RUN(sums_of_several_terms);
    RUN(a_row_does_not_depend_on_the_others);
    RUN(what_is_not_a_number_stays_in_its_place);
    RUN(tiles_are_transposed);
    return harness_finish("test_gemm");
}
