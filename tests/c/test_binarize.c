/* Dynamic binarisation: draws have the entries as their means, are fresh by step, the same however the work is cut, and both the input
 * and the target of a network see the same ones. */
#include "walk.h"

#define ROWS 203
#define DEVIATIONS 5.0

static double x[ROWS * 70];

static network lone(int64_t width) {
    network n = {.n = 0};
    network_input(&n, width, 0);
    network_add(&n, "binarize", "binary", 1, 0);
    return n;
}

static void run(walk *w, uint64_t step, bool training) {
    w->step = step;
    w->training = training;
    w->keep = training;
    walk_feed(w, 0, x, 0);
    walk_forward(w, 1);
}

TEST(draws_have_their_means) {
    static const double mean[] = {-0.5, 0, 0.03, 0.25, 0.5, 0.9, 1, 1.5};
    network n = lone(8);
    for (int bits = 32; bits <= 64; bits += 32) {
        walk w = walk_new(&n, bits, AE_ISA_REF, ROWS);
        double ones[8] = {0}, total = 0, differ = 0, first[ROWS * 8];
        for (int i = 0; i < ROWS * 8; i++)
            x[i] = mean[i % 8];
        for (uint64_t step = 0; step < 50; step++) {
            run(&w, step, true);
            total += ROWS;
            for (int64_t r = 0; r < ROWS; r++)
                for (int64_t c = 0; c < 8; c++) {
                    const double y = walk_get(&w, 1, r, c);
                    CHECK(y == 0 || y == 1, "%g was drawn", y);
                    ones[c] += y;
                    if (step == 0)
                        first[r * 8 + c] = y;
                    differ += step == 1 && y != first[r * 8 + c];
                }
        }
        for (int c = 0; c < 8; c++) {
            const double p = mean[c] < 0 ? 0 : mean[c] > 1 ? 1 : mean[c];
            CHECK(fabs(ones[c] - total * p) <= DEVIATIONS * sqrt(total * p * (1 - p)), "%g of %g at a mean of %g", ones[c],
                  total, mean[c]);
        }
        CHECK(differ > 0, "the second step has the draws of the first");
        run(&w, 3, false);
        for (int64_t r = 0; r < ROWS; r++)
            for (int64_t c = 0; c < 8; c++)
                CHECK(fabs(walk_get(&w, 1, r, c) - mean[c]) < 1e-6, "column %d rests", (int)c);
        ae_net_free(w.net);
    }
}

/* Draws in float32 and float64 are of the same words, and a missing entry stays missing. */
TEST(missing_entries_stay) {
    network n = lone(3);
    walk w = walk_new(&n, 64, AE_ISA_REF, ROWS);
    fill(x, ROWS * 3, 0, 1);
    walk_feed(&w, 0, x, 0);
    w.training = w.keep = true;
    for (int64_t r = 0; r < ROWS; r++)
        walk_set(&w, 0, r, 1, NAN);
    walk_forward(&w, 1);
    for (int64_t r = 0; r < ROWS; r++)
        CHECK(isnan(walk_get(&w, 1, r, 1)) && !isnan(walk_get(&w, 1, r, 0)) && !isnan(walk_get(&w, 1, r, 2)), "row %d", (int)r);
    ae_net_free(w.net);
}

static program binary_program(int bits, int64_t width) {
    program p = {.options = plain_options(bits)};
    const int in = network_input(&p.net, width, 0), binary = network_add(&p.net, "binarize", "binary", 1, in);
    int h = network_dense(&p.net, binary, 33, AE_TANH);
    h = network_dense(&p.net, h, width, AE_IDENTITY);
    program_loss(&p, "log_loss", h, binary, 1);
    program_stage(&p, "adam");
    return p;
}

TEST(programs) {
    static const int64_t widths[] = {1, 31, 33, 70};
    fill(x, ROWS * 70, 0, 1);
    for (int i = 0; i < 4; i++) {
        for (int chunk = 0; chunk < 2; chunk++) {
            program p = binary_program(64, widths[i]);
            const ae_data data = dense_data(x, AE_F64, 19, widths[i]);
            p.options.chunk_rows = chunk ? 8 : 0;
            differences_check("binarize", &p, &data, 1, true, 12, NULL);
        }
        for (int bits = 32; bits <= 64; bits += 32) {
            program p = binary_program(bits, widths[i]);
            const ae_data data = dense_data(x, AE_F64, ROWS, widths[i]);
            p.options.batch_size = 101;
            same_bits_check("binarize", &p, &data, 1);
        }
    }
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    RUN(draws_have_their_means);
    RUN(missing_entries_stay);
    RUN(programs);
    return harness_finish("test_binarize");
}
