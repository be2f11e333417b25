/* JumpReLU, gated, KL penalty and prefixes against their defining formulas: where a function jumps, there are no differences to
 * compare the gradient with, and the paper's estimate is what is right. Whole programs: test_sparse_programs.c. */
#include "lone_layer.h"

#define ROWS 13
#define WIDEST 70
#define MOST (8 * ROWS * WIDEST)

static const int64_t widths[] = {1, 31, 32, 33, 70};
static double x[MOST], d[MOST], out[MOST], gradient[MOST], old[MOST], weights[4][WIDEST], got[4][WIDEST];

static void fill_rounded(double *to, int64_t n, double low, double high) {
    fill(to, n, low, high);
    for (int64_t i = 0; i < n; i++)
        to[i] = (double)(float)to[i];
}

/* What differs between sets, blocks and precisions: sums and exp round, jumps do not. */
static double tolerance(const lone_layer *l) { return l->bits == 32 ? 3e-6 : 1e-13; }

static double largest_difference(const double *a, const double *b, int64_t n) {
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        worst = a[i] == b[i] ? worst : fmax(worst, fabs(a[i] - b[i]) / (1 + fabs(b[i])));
    return worst;
}

/* Runs f for each width, precision, set and mode of size[0]; the results of the sets must be equal bits. */
typedef void (*check)(lone_layer *l, int64_t n, int mode, double *result);

static void for_each(const char *kind, double value0, double value1, check f) {
    ae_isa isas[AE_ISA_COUNT];
    const int n_isas = lone_isas(isas);
    for (int w = 0; w < 5; w++)
        for (int bits = 32; bits <= 64; bits += 32)
            for (int mode = 0; mode < 2; mode++) {
                static double first[MOST + (ROWS + 4) * WIDEST], result[MOST + (ROWS + 4) * WIDEST];
                const ae_node_desc numbers = {.size = {mode}, .value = {value0, value1}};
                fill_rounded(x, MOST, -1, 1);
                fill_rounded(d, MOST, -1, 1);
                fill_rounded(old, MOST, -1, 1);
                for (int i = 0; i < 4; i++)
                    fill_rounded(weights[i], WIDEST, -0.5, 0.5);
                for (int i = 0; i < n_isas; i++) {
                    lone_layer l;
                    memset(result, 0, sizeof result);
                    CHECK(lone_new(&l, kind, bits, isas[i], ROWS, widths[w], &numbers), "%s", l.context.message);
                    for (int slot = 0; slot < l.plan.n_parameters; slot++)
                        lone_assign(&l, slot, weights[slot]);
                    f(&l, widths[w], mode, result);
                    if (!i)
                        memcpy(first, result, sizeof first);
                    CHECK(!memcmp(first, result, sizeof first), "%s: width %d f%d: %s has other bits", kind, (int)widths[w],
                          bits, ae_isa_name(isas[i]));
                    lone_free(&l);
                }
            }
}

/* Forward and backward in two cuts of rows, onto nothing and onto an old gradient; got[slot]: gradients of parameters. */
static void run(lone_layer *l, int64_t n, double *result) {
    const int64_t m = l->plan.out.multiplicity, width = l->plan.out.width;
    static double other[MOST];
    lone_forward(l, x, true, 4, out);
    lone_forward(l, x, true, ROWS, other);
    CHECK(!memcmp(out, other, (size_t)(ROWS * m * width) * sizeof *out), "forward: blocks show");
    lone_backward(l, d, false, ROWS, gradient);
    lone_write(l, &l->binding.in[0], l->binding.in[0].gradient, old);
    lone_backward(l, d, true, 4, other);
    for (int64_t i = 0; i < ROWS * n; i++)
        old[i] += gradient[i];
    CHECK(largest_difference(other, old, ROWS * n) < tolerance(l), "backward does not add");
    for (int64_t i = 0; i < ROWS * n; i++)
        old[i] -= gradient[i];
    for (int slot = 0; slot < l->plan.n_parameters; slot++)
        lone_weights(l, slot, got[slot]);
    memcpy(result, out, (size_t)(ROWS * m * width) * sizeof *out);
    memcpy(result + MOST, gradient, (size_t)(ROWS * n) * sizeof *out);
    for (int slot = 0; slot < l->plan.n_parameters; slot++)
        memcpy(result + MOST + (ROWS + slot) * WIDEST, got[slot], (size_t)n * sizeof *out);
}

static void jump_relu(lone_layer *l, int64_t n, int mode, double *result) {
    double by_weight[WIDEST] = {0}, worst = 0;
    int inside = 0;
    run(l, n, result);
    for (int64_t i = 0; i < ROWS * n; i++) {
        const int64_t c = i % n;
        const double theta = 0.3 * exp(weights[0][c]), z = x[i], eps = 0.4;
        const bool above = z > theta, near = fabs((z - theta) / eps) < 0.5;
        inside += near;
        worst = fmax(worst, fabs(out[i] - (above ? mode ? 1 : z : 0)));
        worst = fmax(worst, fabs(gradient[i] - (above && !mode ? d[i] : 0)));
        by_weight[c] += d[i] * (near ? -(mode ? 1 : theta) / eps : 0) * theta; /* d theta / d log theta = theta */
    }
    CHECK(worst == 0, "jump_relu %d: off by %g", mode, worst);
    CHECK(largest_difference(got[0], by_weight, n) < tolerance(l), "jump_relu %d: threshold", mode);
    CHECK(n < 31 || inside > 10, "the kernel saw %d", inside);
}

static void gated(lone_layer *l, int64_t n, int mode, double *result) {
    double by[3][WIDEST] = {{0}}, wanted[MOST], wanted_gradient[MOST];
    run(l, n, result);
    for (int64_t i = 0; i < ROWS * n; i++) {
        const int64_t c = i % n;
        const double gate = x[i] + weights[0][c], magnitude = exp(weights[1][c]) * x[i] + weights[2][c];
        const bool open = gate > 0, rises = open && magnitude > 0;
        wanted[i] = mode ? open ? gate : 0 : rises ? magnitude : 0;
        wanted_gradient[i] = mode ? open ? d[i] : 0 : rises ? d[i] * exp(weights[1][c]) : 0;
        by[0][c] += mode && open ? d[i] : 0;
        by[1][c] += !mode && rises ? d[i] * exp(weights[1][c]) * x[i] : 0;
        by[2][c] += !mode && rises ? d[i] : 0;
    }
    CHECK(largest_difference(out, wanted, ROWS * n) < tolerance(l), "gated %d: value", mode);
    CHECK(largest_difference(gradient, wanted_gradient, ROWS * n) < tolerance(l), "gated %d: gradient", mode);
    for (int i = 0; i < 3; i++)
        CHECK(largest_difference(got[i], by[i], n) < tolerance(l), "gated %d: parameter %d", mode, i);
}

/* rho = 0.2, momentum 0.25; the fourth unit has not been seen before. */
static void kl_sparsity(lone_layer *l, int64_t n, int mode, double *result) {
    double before[WIDEST], now[WIDEST], wanted_gradient[MOST], penalty = 0, sum = 0, resting = 0;
    for (int64_t c = 0; c < n; c++)
        before[c] = c == 3 ? 0 : (double)(float)(0.5 + 0.9 * weights[0][c]);
    lone_assign(l, 0, before);
    for (int64_t i = 0; i < ROWS * n; i++)
        x[i] = i % n == 1 ? 1 : i % n == 2 ? 0 : fabs(x[i]);
    run(l, n, result);
    for (int r = 0; r < ROWS; r++)
        sum += d[r];
    for (int64_t c = 0; c < n; c++) {
        double mean = 0;
        for (int r = 0; r < ROWS; r++)
            mean += x[r * n + c] / ROWS;
        now[c] = c == 3 ? mean : before[c] + 0.25 * (mean - before[c]);
        double m = mode ? now[c] : mean;
        m = fmin(fmax(m, 1e-6), 1 - 1e-6);
        penalty += 0.2 * log(0.2 / m) + 0.8 * log(0.8 / (1 - m));
        for (int r = 0; r < ROWS; r++)
            wanted_gradient[r * n + c] = sum / ROWS * (-0.2 / m + 0.8 / (1 - m));
        m = fmin(fmax(before[c], 1e-6), 1 - 1e-6);
        resting += 0.2 * log(0.2 / m) + 0.8 * log(0.8 / (1 - m));
    }
    /* 1 - 1e-6 has five digits in float. */
    const double may = l->bits == 32 ? 0.05 : 1e-9;
    for (int r = 0; r < ROWS; r++)
        CHECK(fabs(out[r] - penalty) < may * penalty, "kl %d: row %d has %.12g, not %.12g", mode, r, out[r], penalty);
    CHECK(largest_difference(gradient, wanted_gradient, ROWS * n) < may, "kl %d: gradient", mode);
    CHECK(largest_difference(got[0], now, n) < tolerance(l), "kl %d: running mean", mode);
    double rests[ROWS];
    lone_forward(l, x, false, 4, rests);
    CHECK(fabs(rests[0] - resting) < may * resting && rests[0] == rests[ROWS - 1], "kl at rest: %.9g, not %.9g", rests[0],
          resting);
}

TEST(jump_relu_and_its_estimates) { for_each("jump_relu", 0.4, 0.3, jump_relu); }
TEST(gated_and_its_companion) { for_each("gated", 0, 0, gated); }
TEST(kl_of_means) { for_each("kl_sparsity", 0.2, 0.25, kl_sparsity); }

/* At rho the penalty is zero, and near it exact also in float. */
TEST(kl_near_its_target) {
    for (int i = 0; i < 3; i++) {
        const double off[] = {0, 1e-4, -3e-3};
        const ae_node_desc numbers = {.value = {0.25}};
        lone_layer l;
        double wanted = 0;
        CHECK(lone_new(&l, "kl_sparsity", 32, AE_ISA_REF, ROWS, 40, &numbers), "%s", l.context.message);
        const double mean = (double)(float)(0.25 + off[i]);
        for (int64_t j = 0; j < ROWS * 40; j++)
            x[j] = mean;
        lone_forward(&l, x, true, ROWS, out);
        wanted = 40 * (0.25 * log(0.25 / mean) + 0.75 * log(0.75 / (1 - mean)));
        CHECK(fabs(out[0] - wanted) <= 2e-3 * wanted + 1e-12, "%g: %g, not %g", off[i], out[0], wanted);
        lone_free(&l);
    }
}

TEST(not_a_number_goes_through) {
    static const char *const kinds[] = {"jump_relu", "gated", "kl_sparsity"};
    for (int k = 0; k < 3; k++)
        for (int mode = 0; mode < 2; mode++) {
            const ae_node_desc numbers = {.size = {mode}, .value = {0.3}};
            lone_layer l;
            CHECK(lone_new(&l, kinds[k], 32, AE_ISA_REF, 2, 3, &numbers), "%s", l.context.message);
            const double some[6] = {0.5, NAN, 0.5, 0.5, 0.5, 0.5};
            lone_forward(&l, some, true, 2, out);
            CHECK(isnan(out[k == 2 ? 0 : 1]) && (k == 2 || !isnan(out[0])), "%s %d", kinds[k], mode);
            lone_free(&l);
        }
}

TEST(prefixes_keep_what_comes_first) {
    static const int32_t lists[][8] = {{0}, {5, 33, 0}, {1, 2, 3, 4, 5, 6, 7, 0}, {31, 32, 70}, {32, 64}, {7}};
    static const int64_t counts[] = {1, 3, 8, 3, 2, 0};
    ae_isa isas[AE_ISA_COUNT];
    const int n_isas = lone_isas(isas);
    for (int i = 0; i < 6 * n_isas; i++) {
        ae_node_desc numbers = {.multiplicity = counts[i % 6]};
        memcpy(numbers.size, lists[i % 6], sizeof numbers.size);
        const int64_t m = counts[i % 6] ? counts[i % 6] : 1, n = 70;
        lone_layer l;
        double wanted[MOST] = {0};
        bool right = true;
        fill_rounded(x, MOST, -1, 1);
        fill_rounded(d, MOST, -1, 1);
        CHECK(lone_new(&l, "prefixes", 64, isas[i / 6], ROWS, n, &numbers), "%s", l.context.message);
        CHECK(l.plan.out.multiplicity == m && l.plan.out.width == n, "shape");
        lone_forward(&l, x, true, 4, out);
        for (int64_t r = 0; r < ROWS; r++)
            for (int64_t p = 0; p < m; p++) {
                const int64_t prefix = numbers.size[p] ? numbers.size[p] : n;
                for (int64_t c = 0; c < n; c++) {
                    right &= out[(r * m + p) * n + c] == (c < prefix ? x[r * n + c] : 0);
                    wanted[r * n + c] += c < prefix ? d[(r * m + p) * n + c] : 0;
                }
            }
        CHECK(right, "list %d, %s", i % 6, ae_isa_name(isas[i / 6]));
        lone_backward(&l, d, false, 5, gradient);
        CHECK(!memcmp(gradient, wanted, (size_t)(ROWS * n) * sizeof *wanted), "list %d: gradient", i % 6);
        lone_backward(&l, d, true, ROWS, gradient);
        for (int64_t j = 0; j < ROWS * n; j++)
            wanted[j] *= 2;
        CHECK(largest_difference(gradient, wanted, ROWS * n) < 1e-14, "list %d: the second gradient is not added", i % 6);
        lone_free(&l);
    }
}

TEST(wrong_numbers_are_refused) {
    static const struct {
        const char *kind, *says;
        ae_node_desc numbers;
    } wrong[] = {{"jump_relu", "bandwidth is -1", {.value = {-1}}},
                 {"jump_relu", "threshold -2", {.value = {0, -2}}},
                 {"jump_relu", "size[0] is 2", {.size = {2}}},
                 {"gated", "size[0] is -1", {.size = {-1}}},
                 {"kl_sparsity", "target is 0", {.size = {0}}},
                 {"kl_sparsity", "target is 1", {.value = {1}}},
                 {"kl_sparsity", "momentum 1.5", {.value = {0.1, 1.5}}},
                 {"prefixes", "9 prefixes", {.multiplicity = 9}},
                 {"prefixes", "prefix 0 is 0", {.multiplicity = 2}},
                 {"prefixes", "prefix 1 is 4", {.multiplicity = 3, .size = {5, 4}}},
                 {"prefixes", "prefix 1 is 10", {.multiplicity = 2, .size = {5, 10}}},
                 {"dense", "size[0] is 2", {.width = 2, .size = {2}}},
                 {"dense", "size[1] is 3", {.width = 2, .size = {0, 3}}},
                 {"add", "size[0] is 7", {.n_inputs = 1, .size = {7}}}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lone_layer l;
        CHECK(!lone_new(&l, wrong[i].kind, 64, AE_ISA_REF, 2, 9, &wrong[i].numbers) &&
                  strstr(l.context.message, wrong[i].says) && strstr(l.context.message, "'it'"),
              "%s: %s", wrong[i].says, l.context.message);
        lone_free(&l);
    }
}

int main(void) {
    RUN(jump_relu_and_its_estimates);
    RUN(gated_and_its_companion);
    RUN(kl_of_means);
    RUN(kl_near_its_target);
    RUN(not_a_number_goes_through);
    RUN(prefixes_keep_what_comes_first);
    RUN(wrong_numbers_are_refused);
    return harness_finish("test_sparse_gates");
}
