/* Kernels that other tests reach only through whole networks, every variant that this machine runs: the bits of plain C and those
 * of the definition, written out here one number at a time, for all tails and all positions within a vector. What may not be
 * read is NaN; what may not be written keeps its bits. */
#include <stdbool.h>

#include "harness.h"
#include "math/panel.h"
#include "numbers.h"

enum { WIDEST = 70, MOST_ROWS = 9, SHIFTS = 4 };

static _Alignas(64) numbers x, y, z, before, reference, expected;

static void *place(int bits, numbers *n, int64_t i) { return bits == 32 ? (void *)(n->f + i) : (void *)(n->d + i); }

/* One operation each, rounded as the precision rounds. */
static double fused(int bits, double a, double b, double c) {
    return bits == 32 ? (double)fmaf((float)a, (float)b, (float)c) : fma(a, b, c);
}
static double times(int bits, double a, double b) { return bits == 32 ? (double)((float)a * (float)b) : a * b; }
static double over(int bits, double a, double b) { return bits == 32 ? (double)((float)a / (float)b) : a / b; }
static double plus(int bits, double a, double b) { return bits == 32 ? (double)((float)a + (float)b) : a + b; }
static double root(int bits, double a) { return bits == 32 ? (double)sqrtf((float)a) : sqrt(a); }
static double as_real(int bits, double a) { return bits == 32 ? (double)(float)a : a; }

static void clear(int bits, numbers *n, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        set(bits, n, i, NAN);
}

/* Equal bits, NaN included. */
static bool same(int bits, const numbers *a, const numbers *b, int64_t from, int64_t to) {
    return from >= to ||
           !memcmp((const char *)a + from * bits / 8, (const char *)b + from * bits / 8, (size_t)((to - from) * bits / 8));
}

/* Numbers around zero; of all magnitudes; any at all. */
static double some(int bits, int kind) {
    return kind == 0 ? draw_unit() - 0.5 : kind == 1 ? (draw_unit() - 0.5) * exp2(40 * (draw_unit() - 0.5)) : anything(bits);
}

/* Lane i with lane i + 16, then + 8, + 4, + 2, + 1. */
static double joined(int bits, double *lanes) {
    for (int half = AE_PANEL / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] = plus(bits, lanes[i], lanes[i + half]);
    return lanes[0];
}

TEST(lanes_are_joined_by_halves) {
    FOR_EACH(v, bits)
    for (int round = 0; round < 300; round++)
        for (int shift = 0; shift < SHIFTS; shift++)
            for (int how = JOIN_LANES; how <= JOIN_REALS; how++) {
                const int held = how == JOIN_DOUBLES ? 64 : bits;
                double lanes[AE_PANEL];
                clear(held, &x, 64);
                for (int i = 0; i < AE_PANEL; i++) {
                    set(held, &x, shift + i, some(held, round % 2));
                    lanes[i] = get(held, &x, shift + i);
                }
                const double got = v->join((vector_join)how, place(held, &x, shift));
                const double want = joined(how == JOIN_REALS ? bits : 64, lanes);
                CHECK(!memcmp(&got, &want, sizeof got), "f%d %s, way %d: %.17g, not %.17g", bits, v->name, how, got, want);
            }
}

static void limited(int bits, int64_t rows, double limit, int64_t at, const numbers *from, numbers *to) {
    for (int c = 0; c < AE_PANEL; c++) {
        double squares = 0;
        for (int64_t r = 0; r < rows; r++) {
            const double w = get(bits, from, at + r * AE_PANEL + c);
            squares = fused(bits, w, w, squares);
        }
        const double norm = root(bits, squares);
        for (int64_t r = 0; limit < norm && r < rows; r++) {
            const int64_t i = at + r * AE_PANEL + c;
            set(bits, to, i, times(bits, get(bits, from, i), over(bits, limit, norm)));
        }
    }
}

TEST(columns_are_limited) {
    FOR_EACH(v, bits)
    for (int rows = 0; rows <= WIDEST; rows++)
        for (int shift = 0; shift < SHIFTS; shift++)
            for (int kind = 0; kind < 2; kind++) {
                /* Above it are some columns, not all. */
                const double limit = as_real(bits, kind ? 3 : sqrt(rows / 12.0));
                const int64_t end = shift + rows * AE_PANEL, n = end + 64;
                clear(bits, &x, n);
                for (int64_t i = shift; i < end; i++)
                    set(bits, &x, i, some(bits, kind));
                y = reference = expected = x;
                vector_variants_of(bits)[0]->kernels->limit_column_norms(rows, limit, place(bits, &reference, shift));
                v->kernels->limit_column_norms(rows, limit, place(bits, &y, shift));
                limited(bits, rows, limit, shift, &x, &expected);
                CHECK(same(bits, &y, &reference, 0, n), "f%d %s, %d rows, kind %d", bits, v->name, rows, kind);
                CHECK(same(bits, &y, &expected, 0, n), "f%d %s, %d rows, kind %d: definition", bits, v->name, rows, kind);
            }
}

/* Columns of four kinds beside each other: ordinary; large; one number as large as there is; one infinite. */
TEST(columns_whose_squares_overflow_are_limited) {
    FOR_EACH(v, bits)
    for (int rows = 1; rows <= WIDEST; rows++)
        for (int which = 0; which < 4; which++) {
            const double limits[] = {1e-3, 1, 3, bits == 32 ? 1e25 : 1e200}, limit = as_real(bits, limits[which]);
            const double large = bits == 32 ? 0x1p90 : 0x1p1000, smaller = bits == 32 ? 1 : 0x1p-768;
            const int64_t n = rows * AE_PANEL;
            clear(bits, &x, n + 64);
            for (int64_t i = 0; i < n; i++)
                set(bits, &x, i, (draw_unit() - 0.5) * (i % 4 == 1 ? large : 1));
            for (int c = 2; c < AE_PANEL; c += 4) {
                const int64_t at = (int64_t)(draw() % (uint64_t)rows) * AE_PANEL;
                set(bits, &x, at + c, bits == 32 ? -0x1.fffffep127 : -0x1.fffffffffffffp1023);
                set(bits, &x, at + c + 1, -INFINITY);
            }
            y = reference = expected = x;
            vector_variants_of(bits)[0]->kernels->limit_column_norms(rows, limit, &reference);
            v->kernels->limit_column_norms(rows, limit, &y);
            CHECK(difference(bits, &y, &reference, n + 64) < 0, "f%d %s, %d rows below %g", bits, v->name, rows, limit);
            CHECK(!v->kernels->all_below(n, INFINITY, &y), "f%d %s, %d rows below %g: the infinite one is hidden", bits,
                  v->name, rows, limit);
            limited(bits, rows, limit, 0, &x, &expected);
            for (int c = 0; c < AE_PANEL; c++) {
                double squares = 0, worst = 0;
                int finite = 0;
                for (int r = 0; r < rows; r++) {
                    const double w = get(bits, &x, r * AE_PANEL + c) * smaller;
                    squares += w * w;
                    finite += isfinite(get(bits, &y, r * AE_PANEL + c)) != 0;
                }
                for (int r = 0; r < rows; r++) {
                    const int i = r * AE_PANEL + c;
                    double want = get(bits, &x, i);
                    if (c % 4 == 0)
                        want = get(bits, &expected, i);
                    else if (limit * smaller < sqrt(squares))
                        want = want * smaller / sqrt(squares) * limit;
                    worst = fmax(worst, fabs(get(bits, &y, i) - want) / limit);
                }
                if (c % 4 == 3)
                    CHECK(finite == rows - 1, "f%d %s, %d rows below %g: %d are finite", bits, v->name, rows, limit, finite);
                else
                    CHECK(finite == rows && worst <= (c % 4 ? bits == 32 ? 1e-5 : 1e-14 : 0),
                          "f%d %s, %d rows below %g, column %d: off by %g of it", bits, v->name, rows, limit, c, worst);
            }
        }
}

/* Fills rows row0 .. row1 - 1 of a parameter (rows, columns) with numbers and their padding with zeros; all else is NaN. */
static void parameter(int bits, numbers *w, int64_t at, int64_t rows, int64_t columns, int64_t row0, int64_t row1, int kind) {
    clear(bits, w, at + ae_panels(columns) * rows * AE_PANEL + 64);
    for (int64_t r = row0; r < row1; r++)
        for (int64_t c = 0; c < ae_panels(columns) * AE_PANEL; c++)
            set(bits, w, at + (c / AE_PANEL * rows + r) * AE_PANEL + c % AE_PANEL, c < columns ? some(bits, kind) : 0);
}

static double row_product(int bits, int64_t at, int64_t rows, int64_t columns, int64_t row, const numbers *a,
                          const numbers *b) {
    double lanes[AE_PANEL] = {0};
    for (int64_t c = 0; c < ae_panels(columns) * AE_PANEL; c++) {
        const int64_t i = at + (c / AE_PANEL * rows + row) * AE_PANEL + c % AE_PANEL;
        lanes[c % AE_PANEL] = fused(bits, get(bits, a, i), get(bits, b, i), lanes[c % AE_PANEL]);
    }
    return joined(64, lanes);
}

#define FOR_EACH_ROWS(v, bits)                           \
    FOR_EACH(v, bits)                                    \
    for (int columns = 1; columns <= WIDEST; columns++)  \
        for (int rows = 1; rows <= MOST_ROWS; rows++)    \
            for (int shift = 0; shift < SHIFTS; shift++) \
                for (int64_t row0 = (int64_t)draw() & 1, row1 = rows - (shift & 1), once = 1; once && row0 < row1; once = 0)

TEST(rows_come_to_norm_one) {
    FOR_EACH_ROWS(v, bits) {
        const int64_t n = shift + ae_panels(columns) * rows * AE_PANEL + 64;
        const int kind = columns % 3;
        parameter(bits, &x, shift, rows, columns, row0, row1, kind);
        if (rows > 2) /* a row of zeros, and one as it should be */
            for (int64_t c = 0; row0 + 1 < row1 && c < columns; c++) {
                set(bits, &x, shift + (c / AE_PANEL * rows + row0) * AE_PANEL + c % AE_PANEL, 0);
                set(bits, &x, shift + (c / AE_PANEL * rows + row0 + 1) * AE_PANEL + c % AE_PANEL, c == columns / 2 ? -1 : 0);
            }
        y = reference = expected = x;
        vector_variants_of(bits)[0]->kernels->unit_rows(rows, columns, row0, row1, place(bits, &reference, shift));
        v->kernels->unit_rows(rows, columns, row0, row1, place(bits, &y, shift));
        for (int64_t r = row0; r < row1; r++) {
            const double norm = sqrt(row_product(bits, shift, rows, columns, r, &x, &x));
            if (norm == 0 || !isfinite(norm) || fabs(norm - 1) <= 64 * (bits == 32 ? 0x1p-23 : 0x1p-52))
                continue;
            for (int64_t c = 0; c < ae_panels(columns) * AE_PANEL; c++) {
                const int64_t i = shift + (c / AE_PANEL * rows + r) * AE_PANEL + c % AE_PANEL;
                set(bits, &expected, i, over(bits, get(bits, &x, i), as_real(bits, norm)));
            }
        }
        CHECK(difference(bits, &y, &reference, n) < 0, "f%d %s, %d x %d at %d", bits, v->name, rows, columns, shift);
        CHECK(difference(bits, &y, &expected, n) < 0, "f%d %s, %d x %d at %d: definition", bits, v->name, rows, columns, shift);
        before = y;
        v->kernels->unit_rows(rows, columns, row0, row1, place(bits, &y, shift));
        CHECK(kind || same(bits, &y, &before, 0, n), "f%d %s, %d x %d: twice", bits, v->name, rows, columns);
    }
}

TEST(rows_are_projected) {
    FOR_EACH_ROWS(v, bits) {
        const int64_t n = shift + ae_panels(columns) * rows * AE_PANEL + 64;
        parameter(bits, &x, shift, rows, columns, row0, row1, columns % 3 == 2 ? 2 : 0);
        parameter(bits, &z, shift, rows, columns, row0, row1, columns % 3);
        before = x;
        y = reference = expected = z;
        vector_variants_of(bits)[0]->kernels->project_rows(rows, columns, row0, row1, place(bits, &x, shift),
                                                           place(bits, &reference, shift));
        v->kernels->project_rows(rows, columns, row0, row1, place(bits, &x, shift), place(bits, &y, shift));
        for (int64_t r = row0; r < row1; r++) {
            const double along = as_real(bits, row_product(bits, shift, rows, columns, r, &x, &z));
            for (int64_t c = 0; c < ae_panels(columns) * AE_PANEL; c++) {
                const int64_t i = shift + (c / AE_PANEL * rows + r) * AE_PANEL + c % AE_PANEL;
                set(bits, &expected, i, fused(bits, -along, get(bits, &x, i), get(bits, &z, i)));
            }
        }
        CHECK(same(bits, &x, &before, 0, n), "f%d %s, %d x %d: weights", bits, v->name, rows, columns);
        CHECK(difference(bits, &y, &reference, n) < 0, "f%d %s, %d x %d at %d", bits, v->name, rows, columns, shift);
        CHECK(difference(bits, &y, &expected, n) < 0, "f%d %s, %d x %d at %d: definition", bits, v->name, rows, columns, shift);
    }
}

static uint32_t drawn[256];

TEST(words_are_single_draws) {
    const ae_key key = {{0x2468ace0u, 0x13579bdfu}};
    static const int64_t firsts[] = {0, 4, 32, 1000, (int64_t)UINT32_MAX - 127};
    FOR_EACH(v, bits)
    for (int columns = 1; columns <= WIDEST; columns++)
        for (uint32_t row = 0; row < MOST_ROWS; row++)
            for (int shift = 0; shift < SHIFTS; shift++) {
                const int64_t first = firsts[(columns + shift) % 5], end = shift + ae_panels(columns) * AE_PANEL;
                const uint64_t step = 0x300000000u + row;
                memset(drawn, 0x55, sizeof drawn);
                v->words(key, step, row, first, columns, drawn + shift);
                int wrong = 0;
                for (int c = 0; c < columns; c++)
                    wrong += drawn[shift + c] != ae_rng_word(key, step, row, (uint32_t)(first + c));
                for (int64_t i = 0; i < 256; i++)
                    wrong += (i < shift || i >= end) && drawn[i] != 0x55555555u;
                CHECK(!wrong, "f%d %s, %d columns from %lld: %d wrong", bits, v->name, columns, (long long)first, wrong);
            }
}

TEST(hamming_distances_are_counts) {
    enum { MOST_CODES = 23 };
    static uint64_t codes[MOST_CODES * WIDEST + SHIFTS], query[WIDEST + SHIFTS];
    static int32_t out[MOST_CODES + 2 * SHIFTS];
    FOR_EACH(v, bits)
    for (int words = 1; words <= WIDEST; words++)
        for (int n = 0; n <= MOST_CODES; n += n < MOST_ROWS ? 1 : 7)
            for (int shift = 0; shift < SHIFTS; shift++) {
                for (int i = 0; i < n * words; i++)
                    codes[shift + i] = i % 5 == 4 ? UINT64_MAX : i % 5 == 3 ? 0 : draw();
                for (int w = 0; w < words; w++)
                    query[shift + w] = w % 7 == 6 ? 0 : draw();
                memset(out, 0x55, sizeof out);
                v->kernels->hamming_distances(n, words, codes + shift, query + shift, out + shift);
                int wrong = 0;
                for (int i = 0; i < MOST_CODES + 2 * SHIFTS; i++) {
                    int32_t ones = i < shift || i >= shift + n ? 0x55555555 : 0;
                    for (int w = 0; i >= shift && i < shift + n && w < words; w++)
                        for (uint64_t left = codes[shift + (i - shift) * words + w] ^ query[shift + w]; left; left &= left - 1)
                            ones++;
                    wrong += out[i] != ones;
                }
                CHECK(!wrong, "f%d %s, %d codes of %d words: %d wrong", bits, v->name, n, words, wrong);
            }
}

/* Keys of five kinds: all different; many equal; most zero; most no key at all; of any size, and infinite. */
static double key(int bits, int kind) {
    if (kind == 0)
        return draw_unit() - 0.3;
    if (kind == 1)
        return (double)(draw() % 7) - 2;
    if (kind < 4)
        return draw() % 8 ? kind == 2 ? 0 : -INFINITY : draw_unit();
    for (;;) {
        const double value = as_real(bits, anything(bits));
        if (!isnan(value) && value != 0)
            return value;
    }
}

TEST(the_largest_are_selected) {
    FOR_EACH(v, bits)
    for (int width = 1; width <= WIDEST; width++)
        for (int runs = 1; runs <= MOST_ROWS; runs++)
            for (int kind = 0; kind < 5; kind++) {
                const int shift = (int)(draw() % SHIFTS);
                const int64_t length = ae_panels(width) * AE_PANEL, stride = length + (int64_t)(draw() % 3) * 8;
                const vector_keys keys = {place(bits, &x, shift), runs, length, stride};
                clear(bits, &x, shift + runs * stride + 64);
                int64_t there = 0;
                double least = INFINITY;
                for (int64_t p = 0; p < runs * length; p++) {
                    const int64_t i = shift + p / length * stride + p % length;
                    set(bits, &x, i, p % length < width ? key(bits, kind) : -INFINITY);
                    const double value = get(bits, &x, i);
                    there += value > -INFINITY;
                    least = value > -INFINITY && value < least ? value : least;
                }
                if (!there)
                    continue;
                const int64_t ks[] = {1, 1 + (int64_t)(draw() % 8), 1 + (int64_t)(draw() % (uint64_t)there), there};
                for (int which = 0; which < 4; which++) {
                    const int64_t k = ks[which] < there ? ks[which] : there, groups = (4 * k + 31) / 32 * 32;
                    const int64_t rooms[] = {0, 2 * groups + (int64_t)(draw() % 128), 9 * k + 64, 8192};
                    const int64_t room = rooms[draw() % 4];
                    double value, wanted;
                    clear(bits, &y, room + 64);
                    before = y;
                    const int64_t last = v->select_largest(&keys, k, least, place(bits, &y, 0), room, &value);
                    CHECK(same(bits, &y, &before, room, room + 64), "f%d %s: wrote behind its room", bits, v->name);
                    const int64_t last_wanted =
                        vector_variants_of(bits)[0]->select_largest(&keys, k, least, place(bits, &z, 0), room, &wanted);
                    CHECK(last == last_wanted && !memcmp(&value, &wanted, sizeof value),
                          "f%d %s, %d of %d x %d, kind %d: %.17g, %lld, not %.17g, %lld", bits, v->name, (int)k, runs, width,
                          kind, value, (long long)last, wanted, (long long)last_wanted);
                    /* k are chosen, and none that is left is larger, or equal and before. */
                    int64_t chosen = 0, above = 0, late = -1, early = INT64_MAX;
                    double lowest = INFINITY, highest = -INFINITY;
                    for (int64_t p = 0; p < runs * length; p++) {
                        const double here = get(bits, &x, shift + p / length * stride + p % length);
                        above += here > value;
                        if (here > value || (here == value && p <= last)) {
                            chosen++;
                            late = here <= lowest ? p : late;
                            lowest = here <= lowest ? here : lowest;
                        } else if (here > highest) {
                            highest = here;
                            early = p;
                        }
                    }
                    CHECK(chosen == k && (lowest > highest || (lowest == highest && late < early)),
                          "f%d %s, %d of %d x %d, kind %d: %d chosen down to %.17g, left %.17g", bits, v->name, (int)k, runs,
                          width, kind, (int)chosen, lowest, highest);
                    CHECK(v->count_above(&keys, value) == above, "f%d %s: %d above", bits, v->name, (int)above);
                }
            }
}

TEST(samples_are_joined) {
    FOR_EACH(v, bits)
    for (int k = 1; k <= WIDEST; k++)
        for (int shift = 0; shift < SHIFTS; shift++)
            for (int round = 0; round < 12; round++) {
                clear(bits, &x, k + 64);
                for (int s = 0; s < k; s++)
                    set(bits, &x, shift + s, round % 3 == 2 ? anything(bits) : (round % 3 ? 200 : 8) * (draw_unit() - 0.5));
                clear(bits, &y, k + 64);
                reference = y;
                const double got = v->kernels->log_mean_exp(k, place(bits, &x, shift), place(bits, &y, shift));
                const double want = vector_variants_of(bits)[0]->kernels->log_mean_exp(k, place(bits, &x, shift),
                                                                                       place(bits, &reference, shift));
                CHECK((isnan(got) && isnan(want)) || !memcmp(&got, &want, sizeof got), "f%d %s, %d samples: %.17g, not %.17g",
                      bits, v->name, k, got, want);
                CHECK(difference(bits, &y, &reference, k + 64) < 0, "f%d %s, %d samples: shares", bits, v->name, k);
            }
}

/* Pairs of rows 0 .. MOST_ROWS - 1 in CODE columns, fewer than MOST_PAIRS a row; some rows and columns have none. */
enum { CODE = 41, MOST_PAIRS = 6, STEP = 16 * AE_PANEL, DEEP = CODE * AE_PANEL };

static int32_t counts[MOST_ROWS], pair_columns[MOST_ROWS * MOST_PAIRS], starts[CODE + 1], entries[MOST_ROWS * MOST_PAIRS],
    rows_of[MOST_ROWS * MOST_PAIRS];
static numbers values, gradient, bias;

static ae_pairs some_pairs(int bits, int rows) {
    for (int r = 0; r < rows; r++) {
        counts[r] = (int32_t)(draw() % MOST_PAIRS);
        int32_t column = -1;
        for (int i = 0; i < MOST_PAIRS; i++) {
            column += 1 + (int32_t)(draw() % (CODE / MOST_PAIRS));
            pair_columns[r * MOST_PAIRS + i] = i < counts[r] ? column : INT32_MAX;
            set(bits, &values, r * MOST_PAIRS + i, i < counts[r] ? draw_unit() - 0.5 : NAN);
            set(bits, &gradient, r * MOST_PAIRS + i, draw_unit());
        }
    }
    const ae_pairs pairs = {.most = MOST_PAIRS,
                            .count = counts,
                            .column = pair_columns,
                            .value = &values,
                            .gradient = &gradient,
                            .start = starts,
                            .entry = entries,
                            .row_of = rows_of};
    ae_pairs_order(&pairs, rows, CODE);
    return pairs;
}

TEST(products_of_pairs_are_chains) {
    FOR_EACH(v, bits)
    for (int n = 1; n <= WIDEST; n++)
        for (int rows = 1; rows <= MOST_ROWS; rows++)
            for (int start = AE_START_ZERO; start <= AE_START_C; start++) {
                const int shift = (n + start) % SHIFTS, row0 = rows > 2;
                const int64_t size = shift + 3 * DEEP;
                const ae_pairs pairs = some_pairs(bits, rows);
                for (int64_t i = 0; i < size; i++) {
                    set(bits, &x, i, draw_unit() - 0.5);
                    set(bits, &y, i, draw_unit() - 0.5);
                    set(bits, &bias, i % 128, draw_unit());
                }
                before = expected = y;
                for (int r = row0; r < rows; r++)
                    for (int64_t c = 0; c < ae_panels(n) * AE_PANEL; c++) {
                        const int64_t at = shift + c / AE_PANEL * STEP + r * AE_PANEL + c % AE_PANEL;
                        double sum = start == AE_START_ZERO   ? 0
                                     : start == AE_START_BIAS ? get(bits, &bias, shift + c)
                                                              : get(bits, &y, at);
                        for (int i = r * MOST_PAIRS; i < r * MOST_PAIRS + counts[r]; i++)
                            sum = fused(bits, get(bits, &values, i),
                                        get(bits, &x, shift + c / AE_PANEL * DEEP + pair_columns[i] * AE_PANEL + c % AE_PANEL),
                                        sum);
                        set(bits, &expected, at, sum);
                    }
                v->pairs_product(&pairs, &values, row0, rows, n, place(bits, &x, shift), DEEP, (ae_gemm_start)start,
                                 start == AE_START_BIAS ? place(bits, &bias, shift) : NULL, place(bits, &y, shift), STEP);
                CHECK(same(bits, &y, &expected, 0, size), "f%d %s, %d x %d, start %d", bits, v->name, rows, n, start);

                const bool adds = start == AE_START_C;
                expected = gradient;
                for (int r = row0; r < rows; r++)
                    for (int i = r * MOST_PAIRS; i < r * MOST_PAIRS + counts[r]; i++) {
                        double sum = adds ? get(bits, &gradient, i) : 0;
                        for (int c = 0; c < n; c++)
                            sum = fused(bits, get(bits, &before, shift + c / AE_PANEL * STEP + r * AE_PANEL + c % AE_PANEL),
                                        get(bits, &x, shift + c / AE_PANEL * DEEP + pair_columns[i] * AE_PANEL + c % AE_PANEL),
                                        sum);
                        set(bits, &expected, i, sum);
                    }
                v->pairs_products_at(&pairs, row0, rows, n, place(bits, &before, shift), STEP, place(bits, &x, shift), DEEP,
                                     adds);
                CHECK(same(bits, &gradient, &expected, 0, MOST_ROWS * MOST_PAIRS), "f%d %s, %d x %d, start %d: at the pairs",
                      bits, v->name, rows, n, start);
            }
}

/* Sum over the entries of column c of value times the number at from + 32 row. */
static double column_chain(int bits, int c, const numbers *from, int64_t at, double sum) {
    for (int i = starts[c]; i < starts[c + 1]; i++)
        sum = fused(bits, get(bits, &values, entries[i]), from ? get(bits, from, at + rows_of[i] * AE_PANEL) : 1, sum);
    return sum;
}

TEST(products_with_transposed_pairs_are_chains) {
    FOR_EACH(v, bits)
    for (int n = 1; n <= WIDEST; n++)
        for (int rows = 1; rows <= MOST_ROWS; rows++)
            for (int adds = 0; adds < 2; adds++) {
                const int shift = (n + rows) % SHIFTS, c0 = n % CODE, panel = n & 1;
                const int64_t size = shift + 3 * DEEP, width = panel ? CODE : AE_PANEL - n % 5;
                const ae_pairs pairs = some_pairs(bits, rows);
                for (int64_t i = 0; i < size; i++) {
                    set(bits, &x, i, draw_unit() - 0.5);
                    set(bits, &y, i, draw_unit() - 0.5);
                }
                before = expected = y;
                for (int64_t i = 0; i < (CODE - c0) * AE_PANEL; i++)
                    set(bits, &expected, shift + i,
                        column_chain(bits, c0 + (int)i / AE_PANEL, &x, shift + i % AE_PANEL,
                                     adds ? get(bits, &y, shift + i) : 0));
                v->pairs_rows(&pairs, &values, c0, CODE, place(bits, &x, shift), adds, place(bits, &y, shift));
                CHECK(same(bits, &y, &expected, 0, size), "f%d %s, %d columns, adds %d: rows", bits, v->name, CODE - c0, adds);

                y = expected = before;
                const int64_t row0 = n > AE_PANEL ? AE_PANEL : 0;
                const int held = ae_panel_columns(width, panel);
                for (int64_t i = 0; i < (n - row0) * AE_PANEL; i++) {
                    const int64_t c = i % AE_PANEL, r = row0 + i / AE_PANEL;
                    set(bits, &expected, shift + i,
                        c >= held
                            ? 0
                            : column_chain(bits, (int)(panel * AE_PANEL + c), &x, shift + r / AE_PANEL * STEP + r % AE_PANEL,
                                           adds ? get(bits, &y, shift + i) : 0));
                }
                v->pairs_columns(&pairs, &values, width, panel, place(bits, &x, shift), STEP, row0, n, adds,
                                 place(bits, &y, shift));
                CHECK(same(bits, &y, &expected, 0, size), "f%d %s, %d rows of X, adds %d: columns", bits, v->name, n, adds);

                y = expected = before;
                for (int c = 0; c < AE_PANEL; c++) {
                    const double from = adds ? get(bits, &y, shift + c) : 0;
                    set(bits, &expected, shift + c, c < held ? column_chain(bits, panel * AE_PANEL + c, NULL, 0, from) : from);
                }
                v->pairs_sums(&pairs, &values, width, panel, adds, place(bits, &y, shift));
                CHECK(same(bits, &y, &expected, 0, size), "f%d %s, adds %d: sums", bits, v->name, adds);
            }
}

int main(void) {
    RUN(lanes_are_joined_by_halves);
    RUN(columns_are_limited);
    RUN(columns_whose_squares_overflow_are_limited);
    RUN(rows_come_to_norm_one);
    RUN(rows_are_projected);
    RUN(words_are_single_draws);
    RUN(hamming_distances_are_counts);
    RUN(the_largest_are_selected);
    RUN(samples_are_joined);
    RUN(products_of_pairs_are_chains);
    RUN(products_with_transposed_pairs_are_chains);
    return harness_finish("test_kernels_by_set");
}
