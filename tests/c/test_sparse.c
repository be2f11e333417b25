/* TopK and BatchTopK: the selection against a sort, ties, NaN, blocks, gradients, dead latents, the running threshold. */
#include "lone_layer.h"

#define MOST (40 * 2100)

static double x[MOST], d[MOST], out[MOST], again[MOST], gradient[MOST], wanted[MOST];

/* Rounds to float, so that both precisions see the same numbers. */
static void fill_rounded(double *to, int64_t n, double low, double high) {
    fill(to, n, low, high);
    for (int64_t i = 0; i < n; i++)
        to[i] = (double)(float)to[i];
}

typedef struct entry {
    double key;
    int64_t order;
} entry;

static int by_key(const void *one, const void *other) {
    const entry *a = one, *b = other;
    if (a->key != b->key)
        return a->key > b->key ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static double key_of(double value) { return isnan(value) ? INFINITY : value; }

/* mask[c] = 1 for the k first of a row in order of value, then column; of latents with allowed[c] only. */
static void sorted_row(const double *row, int64_t n, int64_t k, const bool *allowed, bool *mask) {
    entry *entries = malloc((size_t)n * sizeof *entries);
    int64_t count = 0;
    for (int64_t c = 0; c < n; c++) {
        mask[c] = false;
        if (!allowed || allowed[c])
            entries[count++] = (entry){key_of(row[c]), c};
    }
    qsort(entries, (size_t)count, sizeof *entries, by_key);
    for (int64_t i = 0; i < k && i < count; i++)
        mask[entries[i].order] = true;
    free(entries);
}

static bool same(const double *a, const double *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))))
            return false;
    return true;
}

/* Forward and backward of top_k over `rows` rows of x, for both precisions and all sets, in two cuts. */
/* The rows of `from` by groups of `group` panels, which lie one over the other, `block` rows at a time; the pairs as a dense value. */
static void by_groups(lone_layer *l, const double *from, int64_t group, int64_t block, double *to) {
    const int64_t rows = l->rows, n = l->plan.in[0].width, most = l->plan.most_nonzero;
    ae_binding b = l->binding;
    int32_t *const column = malloc((size_t)(rows * most) * sizeof *column), *const count = malloc((size_t)rows * sizeof *count);
    void *const value = malloc((size_t)(rows * most) * 8), *const data = malloc((size_t)(group * b.in[0].stride) * 8);
    ae_pairs pairs = {.most = most, .count = count, .column = column, .value = value};
    b.between = malloc((size_t)(rows * l->plan.between_reals) * 8);
    b.in[0].data = data, b.in[0].group = group;
    b.out.pairs = &pairs, b.out.data = NULL;
    for (int64_t i = 0; i < rows * l->plan.between_reals; i++)
        ae_real_set(l->bits, b.between, i, NAN);
    for (int64_t row = 0; row < rows; row += block) {
        ae_block k = {.row0 = row, .row1 = row + block < rows ? row + block : rows, .scratch = l->scratch};
        for (k.panel0 = 0; k.panel0 < ae_panels(n); k.panel0 = k.panel1) {
            k.panel1 = k.panel0 + group < ae_panels(n) ? k.panel0 + group : ae_panels(n);
            k.share = AE_SHARE_READ;
            for (int64_t r = k.row0; r < k.row1; r++)
                for (int64_t c = k.panel0 * AE_PANEL; c < k.panel1 * AE_PANEL; c++)
                    ae_real_set(l->bits, data, c / AE_PANEL % group * b.in[0].stride + r * AE_PANEL + c % AE_PANEL,
                                c < n ? from[r * n + c] : 3e30);
            l->ops->forward(&b, &k);
        }
        k.share = AE_SHARE_WRITTEN, k.panel0 = 0;
        l->ops->forward(&b, &k);
    }
    memset(to, 0, (size_t)(rows * n) * sizeof *to);
    for (int64_t r = 0; r < rows; r++)
        for (int32_t i = 0; i < count[r]; i++) {
            CHECK(i == 0 || column[r * most + i] > column[r * most + i - 1], "columns do not rise");
            to[r * n + column[r * most + i]] = ae_real_at(l->bits, value, r * most + i);
        }
    free(b.between);
    free(data);
    free(value);
    free(count);
    free(column);
}

static void check_top_k(const char *what, int64_t rows, int64_t n, int32_t k, bool relu, const double *since, double after) {
    bool *mask = malloc((size_t)n), *allowed = malloc((size_t)n);
    double *now = malloc((size_t)n * sizeof *now);
    ae_isa isas[AE_ISA_COUNT];
    const int n_isas = lone_isas(isas);
    const ae_node_desc numbers = {.size = {k, relu, since != NULL}, .value = {after}};
    fill_rounded(d, rows * n, -1, 1);
    for (int64_t c = 0; c < n; c++)
        allowed[c] = !since || since[c] >= after;
    for (int64_t r = 0; r < rows; r++) {
        sorted_row(x + r * n, n, k, allowed, mask);
        for (int64_t c = 0; c < n; c++) {
            const double value = x[r * n + c];
            const bool kept = mask[c] && !(relu && value <= 0);
            wanted[r * n + c] = kept ? value : 0;
            again[r * n + c] = kept ? d[r * n + c] : 0;
        }
    }
    for (int i = 0; i < 4 * n_isas; i++) {
        lone_layer l;
        const int64_t block = i & 1 ? rows : 3;
        CHECK(lone_new(&l, "top_k", i & 2 ? 64 : 32, isas[i / 4], rows, n, &numbers), "%s", l.context.message);
        if (since)
            lone_assign(&l, 0, since);
        lone_forward(&l, x, true, block, out);
        CHECK(same(out, wanted, rows * n), "%s: n %d k %d f%d %s: not what the sort has", what, (int)n, (int)k, l.bits,
              ae_isa_name(isas[i / 4]));
        lone_backward(&l, d, false, block, gradient);
        CHECK(same(gradient, again, rows * n), "%s: n %d k %d: gradient", what, (int)n, (int)k);
        lone_backward(&l, d, true, block, gradient);
        bool doubled = true;
        for (int64_t j = 0; j < rows * n; j++)
            doubled &= gradient[j] == 2 * again[j];
        CHECK(doubled, "%s: the second gradient is not added", what);
        lone_weights(&l, 0, now);
        bool right = true;
        for (int64_t c = 0; c < n; c++) {
            bool active = false;
            for (int64_t r = 0; r < rows; r++)
                active |= wanted[r * n + c] != 0;
            right &= now[c] == (active ? 0 : fmin(16777216, (since ? since[c] : 0) + (double)rows));
        }
        CHECK(right, "%s: rows since", what);
        lone_forward(&l, x, false, block, out);
        CHECK(same(out, wanted, rows * n), "%s: inference is another", what);
        for (int64_t group = 1; l.plan.between_reals && group < 10; group += 4) {
            by_groups(&l, x, group, block, out);
            CHECK(same(out, wanted, rows * n), "%s: n %d k %d f%d %s: other by groups of %d panels", what, (int)n, (int)k,
                  l.bits, ae_isa_name(isas[i / 4]), (int)group);
        }
        lone_free(&l);
    }
    free(mask);
    free(allowed);
    free(now);
}

TEST(top_k_is_what_a_sort_has) {
    static const int64_t widths[] = {1, 2, 31, 32, 33, 70, 511, 513, 2100};
    static const int32_t ks[] = {1, 3, 32, 40, 100, 5000};
    for (int w = 0; w < 9; w++)
        for (int i = 0; i < 6; i++) {
            const int64_t rows = w < 6 ? 11 : 2;
            fill_rounded(x, rows * widths[w], -1, 1);
            check_top_k("random", rows, widths[w], ks[i], i & 1, NULL, 0);
        }
}

/* Groups, their bound and the gathering see: equal numbers, zeros of both signs, one sign only, orders of magnitude. */
TEST(top_k_of_awkward_rows) {
    static const int64_t widths[] = {33, 600, 2100};
    for (int w = 0; w < 3; w++)
        for (int kind = 0; kind < 8; kind++) {
            const int64_t n = widths[w], rows = 5;
            for (int64_t i = 0; i < rows * n; i++) {
                const double u = 2 * network_unit() - 1;
                const double values[] = {round(4 * u) / 4,
                                         u > 0.97 ? u
                                         : u > 0  ? 0.0
                                                  : -0.0,
                                         -0.25,
                                         u - 1,
                                         ldexp(u, (int)(i % 200) - 150),
                                         (double)(i % n),
                                         -(double)(i % n),
                                         i % 97 == 5  ? INFINITY
                                         : i % 5 == 0 ? -INFINITY
                                                      : u};
                x[i] = (double)(float)values[kind];
            }
            check_top_k("awkward", rows, n, 8, false, NULL, 0);
            check_top_k("awkward, relu", rows, n, 37, true, NULL, 0);
        }
    /* NaN ranks with +infinity, the first of them kept. */
    fill_rounded(x, 5 * 600, -1, 1);
    x[3] = x[599] = x[610] = x[700] = x[1900] = NAN, x[5] = INFINITY;
    check_top_k("not a number", 5, 600, 2, true, NULL, 0);
    check_top_k("not a number", 5, 600, 9, false, NULL, 0);
}

TEST(the_auxiliary_selection_is_among_the_dead) {
    static const double shares[] = {0, 0.002, 0.05, 0.6, 1};
    static double since[2100];
    for (int w = 0; w < 2; w++)
        for (int s = 0; s < 5; s++) {
            const int64_t n = w ? 2100 : 45, rows = 4;
            int64_t dead = 0;
            for (int64_t c = 0; c < n; c++) {
                since[c] = network_unit() < shares[s] ? 100 + (double)(c % 3) : (double)(c % 100);
                dead += since[c] >= 100;
            }
            fill_rounded(x, rows * n, -1, 1);
            check_top_k("dead", rows, n, 6, s & 1, since, 100);
            check_top_k("dead", rows, n, (int32_t)(dead ? dead : 1), false, since, 100);
        }
}

/* By hand: two latents of four, three rows a minibatch. */
TEST(dead_latents_are_counted) {
    const ae_node_desc numbers = {.size = {1, 1, 0}};
    static const double first[12] = {5, 1, 0, -1, 6, 1, 0, -1, 0, 1, 9, -1},
                        second[12] = {0, 3, 0, 0, 0, 3, 0, 0, -1, -2, -3, -4};
    double now[4];
    lone_layer l;
    CHECK(lone_new(&l, "top_k", 32, AE_ISA_REF, 3, 4, &numbers), "%s", l.context.message);
    lone_forward(&l, first, true, 3, out);
    lone_weights(&l, 0, now);
    CHECK(now[0] == 0 && now[1] == 3 && now[2] == 0 && now[3] == 3, "%g %g %g %g", now[0], now[1], now[2], now[3]);
    lone_assign(&l, 0, now);
    lone_forward(&l, second, true, 3, out);
    lone_weights(&l, 0, now);
    CHECK(now[0] == 3 && now[1] == 0 && now[2] == 3 && now[3] == 6, "%g %g %g %g", now[0], now[1], now[2], now[3]);
    /* Exact to 2^24, and there it stays. */
    const double old[4] = {16777214, 16777213, 16777216, 7};
    lone_assign(&l, 0, old);
    lone_weights(&l, 0, now);
    CHECK(now[0] == 16777216 && now[1] == 0 && now[2] == 16777216 && now[3] == 10, "%.9g %g %.9g", now[0], now[1], now[2]);
    lone_free(&l);
}

TEST(wrong_numbers_are_refused) {
    static const struct {
        const char *kind, *says;
        ae_node_desc numbers;
    } wrong[] = {{"top_k", "k is 0", {.size = {0}}},
                 {"top_k", "k is -3", {.size = {-3}}},
                 {"top_k", "size[1] is 2", {.size = {2, 2}}},
                 {"top_k", "dead_after is 0", {.size = {2, 0, 1}}},
                 {"batch_top_k", "k is 0", {.size = {0}}},
                 {"batch_top_k", "size[1] is 1", {.size = {2, 1}}},
                 {"batch_top_k", "momentum is 2", {.size = {2}, .value = {2}}}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lone_layer l;
        CHECK(!lone_new(&l, wrong[i].kind, 64, AE_ISA_REF, 2, 9, &wrong[i].numbers) &&
                  strstr(l.context.message, wrong[i].says) && strstr(l.context.message, "'it'"),
              "%s: %s", wrong[i].says, l.context.message);
        lone_free(&l);
    }
}

/* The B k largest positive entries; order of equal ones by panel, row, column. Gives the smallest kept, or 0. */
static double sorted_batch(int64_t rows, int64_t n, int64_t k, bool *mask) {
    entry *entries = malloc((size_t)(rows * n) * sizeof *entries);
    double smallest = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < n; c++)
            entries[r * n + c] = (entry){key_of(x[r * n + c]), (c / 32 * rows + r) * 32 + c % 32};
    qsort(entries, (size_t)(rows * n), sizeof *entries, by_key);
    memset(mask, 0, (size_t)(rows * n));
    for (int64_t i = 0; i < rows * (k < n ? k : n) && entries[i].key > 0; i++) {
        const int64_t at = entries[i].order, row = at / 32 % rows, column = at / 32 / rows * 32 + at % 32;
        mask[row * n + column] = true;
        smallest = entries[i].key;
    }
    free(entries);
    return smallest;
}

static void check_batch_top_k(const char *what, int64_t rows, int64_t n, int32_t k) {
    bool *mask = malloc((size_t)(rows * n));
    ae_isa isas[AE_ISA_COUNT];
    const int n_isas = lone_isas(isas);
    const ae_node_desc numbers = {.size = {k}};
    const double smallest = sorted_batch(rows, n, k, mask);
    fill_rounded(d, rows * n, -1, 1);
    for (int64_t i = 0; i < rows * n; i++)
        wanted[i] = mask[i] ? x[i] : 0, again[i] = mask[i] ? d[i] : 0;
    for (int i = 0; i < 4 * n_isas; i++) {
        lone_layer l;
        double threshold[2];
        CHECK(lone_new(&l, "batch_top_k", i & 2 ? 64 : 32, isas[i / 4], rows, n, &numbers), "%s", l.context.message);
        lone_forward(&l, x, true, i & 1 ? rows : 5, out);
        CHECK(same(out, wanted, rows * n), "%s: %d x %d, k %d, f%d %s: not what the sort has", what, (int)rows, (int)n, (int)k,
              l.bits, ae_isa_name(isas[i / 4]));
        lone_backward(&l, d, false, i & 1 ? rows : 5, gradient);
        CHECK(same(gradient, again, rows * n), "%s: gradient", what);
        lone_weights(&l, 1, threshold);
        CHECK((isfinite(smallest) ? threshold[0] == smallest : threshold[0] == 0) &&
                  threshold[1] == (smallest > 0 && isfinite(smallest)),
              "%s: threshold %g of %g, not %g", what, threshold[0], threshold[1], smallest);
        lone_free(&l);
    }
    free(mask);
}

TEST(batch_top_k_is_what_a_sort_has) {
    static const int64_t shapes[][2] = {{1, 1}, {1, 70}, {40, 31}, {17, 33}, {7, 600}, {38, 2100}};
    static const int32_t ks[] = {1, 3, 12, 4000};
    for (int s = 0; s < 6; s++)
        for (int i = 0; i < 4; i++) {
            const int64_t rows = shapes[s][0], n = shapes[s][1];
            fill_rounded(x, rows * n, -1, 1);
            check_batch_top_k("random", rows, n, ks[i]);
            for (int64_t j = 0; j < rows * n; j++)
                x[j] = round(3 * x[j]) / 4;
            check_batch_top_k("equal ones", rows, n, ks[i]);
            fill_rounded(x, rows * n, -1, 0.02);
            check_batch_top_k("few positive", rows, n, ks[i]);
            fill_rounded(x, rows * n, -1, -0.5);
            check_batch_top_k("none positive", rows, n, ks[i]);
        }
    fill_rounded(x, 7 * 600, -1, 1);
    x[1000] = x[4] = NAN;
    check_batch_top_k("not a number", 7, 600, 3);
}

/* Plain mean first, moving average behind; minibatches without a positive entry have no say. */
TEST(the_threshold_runs) {
    const ae_node_desc numbers = {.size = {1}, .value = {0.4}};
    static const double smallest[] = {0.5, 1.5, 0, 1, 3};
    static const double after[] = {0.5, 1.0, 1.0, 1.0, 1.8}; /* 1/1, 1/2, none, 0.4 (more than 1/3), 0.4 */
    lone_layer l;
    CHECK(lone_new(&l, "batch_top_k", 64, AE_ISA_REF, 2, 3, &numbers), "%s", l.context.message);
    for (int i = 0; i < 5; i++) {
        const double rows[6] = {smallest[i], -1, -2, 9 * smallest[i], -4, smallest[i] / 2};
        double now[2];
        lone_forward(&l, rows, true, 2, out);
        lone_weights(&l, 1, now);
        CHECK(fabs(now[0] - after[i]) < 1e-15 && now[1] == (i < 2 ? i + 1 : i), "step %d: %.17g of %g", i, now[0], now[1]);
        lone_assign(&l, 1, now);
    }
    const double rows[6] = {1.79, 1.81, -3, 1.8 + 1e-9, 0, NAN};
    lone_forward(&l, rows, false, 1, out);
    CHECK(out[0] == 0 && out[1] == 1.81 && out[2] == 0 && out[3] == rows[3] && out[4] == 0 && isnan(out[5]),
          "inference: %g %g %g %g %g %g", out[0], out[1], out[2], out[3], out[4], out[5]);
    lone_free(&l);
}

/* All kept is identity, also in the gradient, whatever the entries are. */
TEST(top_k_of_all_is_identity) {
    const ae_node_desc numbers = {.size = {100}};
    lone_layer l;
    fill_rounded(x, 6 * 70, -1, 1);
    x[3] = 0, x[90] = -INFINITY, x[91] = INFINITY;
    fill_rounded(d, 6 * 70, -1, 1);
    CHECK(lone_new(&l, "top_k", 32, AE_ISA_REF, 6, 70, &numbers), "%s", l.context.message);
    lone_forward(&l, x, true, 4, out);
    lone_backward(&l, d, false, 4, gradient);
    CHECK(same(out, x, 6 * 70) && same(gradient, d, 6 * 70), "not identity");
    lone_free(&l);
}

int main(void) {
    RUN(top_k_is_what_a_sort_has);
    RUN(top_k_of_awkward_rows);
    RUN(the_auxiliary_selection_is_among_the_dead);
    RUN(dead_latents_are_counted);
    RUN(top_k_of_all_is_identity);
    RUN(wrong_numbers_are_refused);
    RUN(batch_top_k_is_what_a_sort_has);
    RUN(the_threshold_runs);
    return harness_finish("test_sparse");
}
