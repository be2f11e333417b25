/* Noise layers: what they draw, against expectation; that it is fresh at each step, the same however the work is cut and in each
 * instruction set; what they leave alone; their gradients. Bounds on counts are five standard deviations. */
#include "walk.h"

#define ROWS 203
#define WIDTH 70
#define DEVIATIONS 5.0

static const char *const kinds[] = {"gaussian_noise", "masking_noise", "salt_and_pepper", "swap_noise"};
enum { GAUSSIAN, MASKING, SALT, SWAP, KINDS };

static double x[ROWS * WIDTH];

/* Each entry tells its place. */
static void fill_places(void) {
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < WIDTH; c++)
            x[r * WIDTH + c] = 1 + c + 128.0 * r;
}

static int add_noise(network *n, int kind, int from, const char *name) {
    const int node = network_add(n, kinds[kind], name, 1, from);
    n->node[node].rate = kind == GAUSSIAN ? 0 : 0.3;
    n->node[node].value[0] = kind == GAUSSIAN ? 0.7 : kind == SALT ? -3 : kind == MASKING ? -0.25 : 0;
    n->node[node].value[1] = kind == SALT ? -2 : 0;
    return node;
}

static network lone(int kind, int64_t width, const char *name) {
    network n = {.n = 0};
    add_noise(&n, kind, network_input(&n, width, 0), name);
    return n;
}

static ae_isa best_isa(void) {
    ae_isa isa = AE_ISA_REF;
    ae_isa_select(NULL, &isa);
    return isa;
}

/* Output of a lone layer at a step, row-major. */
static void draw(int kind, int bits, const char *name, uint64_t step, double *out) {
    const network n = lone(kind, WIDTH, name);
    walk w = walk_new(&n, bits, best_isa(), ROWS);
    w.step = step;
    walk_feed(&w, 0, x, 0);
    walk_forward(&w, 1);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < WIDTH; c++)
            out[r * WIDTH + c] = walk_get(&w, 1, r, c);
    ae_net_free(w.net);
}

static bool near(double count, double n, double p) { return fabs(count - n * p) <= DEVIATIONS * sqrt(n * p * (1 - p)); }

TEST(normal_draws_have_their_moments) {
    enum { N = ROWS * WIDTH };
    static double y[N];
    for (int bits = 32; bits <= 64; bits += 32) {
        double sum = 0, square = 0, inside = 0, of_neighbours = 0;
        draw(GAUSSIAN, bits, "noise", 3, y);
        for (int i = 0; i < N; i++) {
            /* In float the sum is rounded to about a thousandth of the noise, which is no matter here. */
            const double z = (y[i] - x[i]) / 0.7, next = i + 1 < N ? (y[i + 1] - x[i + 1]) / 0.7 : 0;
            sum += z;
            square += z * z;
            inside += fabs(z) < 1;
            of_neighbours += z * next;
        }
        CHECK(fabs(sum) <= DEVIATIONS * sqrt(N), "mean %g", sum / N);
        CHECK(fabs(square - N) <= DEVIATIONS * sqrt(2.0 * N) + 1e-3 * N, "variance %g", square / N);
        CHECK(near(inside, N, 0.682689492), "%g within one standard deviation", inside / N);
        CHECK(fabs(of_neighbours) <= DEVIATIONS * sqrt(N), "neighbours correlate by %g", of_neighbours / N);
    }
}

TEST(replaced_entries_have_their_rates) {
    enum { N = ROWS * WIDTH };
    static double y[N], first[N];
    for (int kind = MASKING; kind <= SALT; kind++) {
        for (int bits = 32; bits <= 64; bits += 32) {
            double low = 0, high = 0, pairs = 0;
            draw(kind, bits, "noise", 3, y);
            for (int i = 0; i < N; i++) {
                const bool is_low = y[i] == (kind == SALT ? -3 : -0.25), is_high = kind == SALT && y[i] == -2;
                CHECK(is_low || is_high || y[i] == x[i], "entry %d is %g", i, y[i]);
                low += is_low;
                high += is_high;
                pairs += i + 1 < N && y[i] != x[i] && y[i + 1] != x[i + 1];
            }
            CHECK(near(low, N, kind == SALT ? 0.15 : 0.3) && (kind == MASKING || near(high, N, 0.15)), "%s: %g and %g of %d",
                  kinds[kind], low, high, N);
            CHECK(near(pairs, N, 0.09), "%s: %g pairs", kinds[kind], pairs);
            if (bits == 32)
                memcpy(first, y, sizeof y);
        }
        CHECK(!memcmp(first, y, sizeof y), "%s: float and double replace the same entries", kinds[kind]);
    }
}

/* The words are those of the definition: by key, step, row and column. */
TEST(an_entry_goes_by_its_word) {
    enum { N = ROWS * WIDTH };
    static double masked[N], swapped[N];
    const ae_key key = ae_key_of(11, AE_STREAM_CORRUPTION, "noise");
    const uint64_t step = ((uint64_t)5 << 32) + 3;
    draw(MASKING, 32, "noise", step, masked);
    draw(SWAP, 32, "noise", step, swapped);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < WIDTH; c++) {
            const uint32_t word = ae_rng_word(key, step, (uint32_t)r, (uint32_t)c), threshold = (uint32_t)(0.3 * 4294967296.0);
            const int other = word < threshold ? (int)((uint64_t)word * (ROWS - 1) / threshold) : 0;
            const int from = word < threshold ? other + (other >= r) : r;
            CHECK((masked[r * WIDTH + c] == -0.25) == (word < threshold), "masked entry (%d, %d)", r, c);
            CHECK(swapped[r * WIDTH + c] == x[from * WIDTH + c], "swapped entry (%d, %d)", r, c);
        }
}

TEST(swapped_entries_come_from_all_other_rows) {
    enum { N = ROWS * WIDTH, STEPS = 8 };
    static double y[N];
    double offset[ROWS] = {0}, source[ROWS] = {0}, swapped = 0, chi = 0, chi_source = 0;
    for (int step = 0; step < STEPS; step++) {
        draw(SWAP, 64, "noise", (uint64_t)step, y);
        for (int i = 0; i < N; i++) {
            const int from = (int)(y[i] - 1 - i % WIDTH) / 128, row = i / WIDTH;
            CHECK(y[i] == 1 + i % WIDTH + 128.0 * from && from >= 0 && from < ROWS, "entry %d of another column: %g", i, y[i]);
            if (from == row)
                continue;
            swapped++;
            offset[(from - row + ROWS) % ROWS]++;
            source[from]++;
        }
    }
    CHECK(near(swapped, N * STEPS, 0.3), "%g swapped", swapped);
    for (int i = 1; i < ROWS; i++)
        chi += pow(offset[i] - swapped / (ROWS - 1), 2) / (swapped / (ROWS - 1));
    for (int i = 0; i < ROWS; i++)
        chi_source += pow(source[i] - swapped / ROWS, 2) / (swapped / ROWS);
    CHECK(fabs(chi - (ROWS - 2)) < DEVIATIONS * sqrt(2.0 * ROWS), "offsets: chi square %g", chi);
    CHECK(fabs(chi_source - (ROWS - 1)) < DEVIATIONS * sqrt(2.0 * ROWS), "rows: chi square %g", chi_source);
}

TEST(draws_are_fresh_by_step_and_by_name) {
    enum { N = ROWS * WIDTH };
    static double y[N], again[N], other[N];
    for (int kind = 0; kind < KINDS; kind++)
        for (int other_name = 0; other_name < 2; other_name++) {
            double both = 0;
            draw(kind, 64, "noise", 8, y);
            draw(kind, 64, "noise", 8, again);
            CHECK(!memcmp(y, again, sizeof y), "%s: the same step", kinds[kind]);
            draw(kind, 64, other_name ? "other" : "noise", other_name ? 8 : 16, other);
            for (int i = 0; i < N; i++)
                both += kind == GAUSSIAN ? (y[i] > x[i]) == (other[i] > x[i]) : (y[i] != x[i]) && (other[i] != x[i]);
            CHECK(near(both, N, kind == GAUSSIAN ? 0.5 : 0.09), "%s: %g in both", kinds[kind], both / N);
        }
}

/* Blocks, rows that are not the first of their minibatch, instruction sets, widths beside the panels, several rows a sample. */
TEST(the_same_bits_however_it_is_cut) {
    static const int64_t widths[] = {1, 31, 32, 33, 70}, blocks[] = {1, 4, 7, 40};
    for (int kind = 0; kind < KINDS; kind++)
        for (int bits = 32; bits <= 64; bits += 32)
            for (int i = 0; i < 10; i++) {
                const int64_t rows = 41, copies = i / 5 ? 3 : 1;
                network n = {.n = 0};
                int h = network_input(&n, widths[i % 5], 0);
                if (copies > 1) {
                    h = network_add(&n, "repeat", NULL, 1, h);
                    n.node[h].multiplicity = copies;
                }
                const int last = add_noise(&n, kind, h, "noise");
                size_t bytes, other_bytes;
                walk w = walk_new(&n, bits, AE_ISA_REF, rows);
                w.step = 77;
                walk_feed(&w, 0, x, 0);
                walk_forward(&w, 1);
                char *one = walk_copy(&w, last, &bytes);
                for (int b = 0; b < 4; b++) {
                    w.block = blocks[b];
                    walk_forward(&w, 1);
                    char *other = walk_copy(&w, last, &other_bytes);
                    CHECK(!memcmp(one, other, bytes), "%s f%d: blocks of %d", kinds[kind], bits, (int)blocks[b]);
                    free(other);
                }
                for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
                    if (!ae_cpu_has((ae_isa)isa) || !ae_kernels_get(bits, (ae_isa)isa))
                        continue;
                    walk v = walk_new(&n, bits, (ae_isa)isa, rows);
                    v.step = 77;
                    walk_feed(&v, 0, x, 0);
                    walk_forward(&v, 1);
                    char *other = walk_copy(&v, last, &other_bytes);
                    CHECK(bytes == other_bytes && !memcmp(one, other, bytes), "%s f%d: %s", kinds[kind], bits,
                          ae_isa_name((ae_isa)isa));
                    free(other);
                    ae_net_free(v.net);
                }
                if (kind != SWAP) { /* which has no chunks */
                    walk v = walk_new(&n, bits, best_isa(), 16);
                    v.step = 77;
                    v.first_row = 8;
                    walk_feed(&v, 0, x, 8);
                    walk_forward(&v, 1);
                    for (int64_t r = 0; r < 16 * copies; r++)
                        for (int64_t c = 0; c < widths[i % 5]; c++)
                            CHECK(walk_get(&v, last, r, c) == walk_get(&w, last, r + 8 * copies, c), "%s f%d: chunk",
                                  kinds[kind], bits);
                    ae_net_free(v.net);
                }
                free(one);
                ae_net_free(w.net);
            }
}

/* Evaluation, a rate of nothing, one row; and a missing value stays where it is not replaced. */
TEST(what_stays_as_it_is) {
    for (int kind = 0; kind < KINDS; kind++)
        for (int how = 0; how < 5; how++) {
            network n = lone(kind, WIDTH, "noise");
            if (how == 2)
                n.node[1].rate = n.node[1].value[0] = 0;
            walk w = walk_new(&n, 64, best_isa(), how == 3 ? 1 : ROWS);
            double changed = 0, missing = 0;
            w.training = how > 1;
            w.keep = how > 0;
            walk_feed(&w, 0, x, 0);
            for (int64_t r = 0; how == 4 && r < w.rows; r++)
                walk_set(&w, 0, r, 3, NAN);
            walk_forward(&w, 1);
            for (int64_t r = 0; r < w.rows; r++)
                for (int64_t c = 0; c < WIDTH; c++) {
                    const double y = walk_get(&w, 1, r, c);
                    missing += isnan(y) != 0;
                    CHECK(!isnan(y) || c == 3, "%s: column %d", kinds[kind], (int)c);
                    changed += !isnan(y) && y != x[r * WIDTH + c];
                }
            if (how < 3 || (how == 3 && kind == SWAP))
                CHECK(changed == 0 && missing == 0, "%s: %g entries changed in case %d", kinds[kind], changed, how);
            else
                CHECK(changed > 0, "%s: nothing changed in case %d", kinds[kind], how);
            if (how == 4 && (kind == MASKING || kind == SALT))
                CHECK(near(missing, ROWS, 0.7), "%s: %g are missing", kinds[kind], missing);
            else if (how == 4)
                CHECK(missing == ROWS, "%s: %g are missing", kinds[kind], missing);
            ae_net_free(w.net);
        }
}

TEST(wrong_numbers_are_refused) {
    static const double rates[] = {-0.1, 1, 1.5, NAN, INFINITY};
    ae_context context;
    ae_net *net;
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < 5; i++) {
            network n = lone(kind, 3, "noise");
            n.node[1].rate = rates[i];
            n.node[1].value[0] = kind == GAUSSIAN ? (i < 3 ? -0.1 : rates[i]) : n.node[1].value[0];
            CHECK(ae_net_new(&context, &net, 32, AE_ISA_REF, n.node, 2) == AE_ERR_VALUE && !net &&
                      strstr(context.message, kind == GAUSSIAN ? "'noise': std is" : "'noise': rate is"),
                  "%s", context.message);
        }
    for (int i = 0; i < 4; i++) {
        network n = lone(i & 2 ? SALT : MASKING, 3, "noise");
        n.node[1].value[i & 1] = INFINITY;
        CHECK(ae_net_new(&context, &net, 32, AE_ISA_REF, n.node, 2) == AE_ERR_VALUE && strstr(context.message, "inf"), "%s",
              context.message);
    }
}

/* On a hidden value, which is read twice; every entry. */
TEST(gradients_pass_through_the_draws) {
    static const int64_t widths[] = {1, 31, 33, 70};
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < 4; i++)
            for (int how = 0; how < 3; how++) {
                network n = {.n = 0};
                int in = network_input(&n, 5, 0), h = network_dense(&n, in, widths[i], AE_TANH), from = h;
                int other = network_add(&n, "activation", NULL, 1, h);
                n.node[other].activation = AE_SILU;
                h = add_noise(&n, kind, h, NULL);
                h = network_add(&n, "multiply", NULL, 2, h, h);
                if (how)
                    network_add(&n, "add", NULL, 2, how == 1 ? h : other, how == 1 ? other : h);
                walk w = walk_new(&n, 64, best_isa(), 6);
                w.step = 9;
                w.block = 4;
                w.training = how < 2;
                walk_feed(&w, 0, x, 0);
                walk_forward(&w, 1);
                for (int64_t r = 0; r < w.rows; r++)
                    for (int64_t c = 0; c < widths[i]; c++)
                        walk_set(&w, from, r, c, 0.1 + network_unit());
                walk_check(kinds[kind], &w, from);
                ae_net_free(w.net);
            }
}

/* Corrupted input, hidden noise and clean target, in one piece and in chunks. */
static program denoising(int bits, int kind, int64_t width) {
    program p = {.options = plain_options(bits)};
    int in = network_input(&p.net, width, 0), h = add_noise(&p.net, kind, in, NULL);
    h = network_dense(&p.net, h, 33, AE_TANH);
    int side = network_dense(&p.net, h, 33, AE_SILU);
    h = add_noise(&p.net, kind, h, NULL);
    h = network_add(&p.net, "add", NULL, 2, h, side);
    h = network_dense(&p.net, h, width, AE_IDENTITY);
    program_loss(&p, "squared_error", h, in, 1);
    program_stage(&p, "adam");
    return p;
}

TEST(denoising_programs) {
    double small[ROWS * 37];
    fill(small, ROWS * 37, -1, 1);
    for (int kind = 0; kind < KINDS; kind++) {
        for (int chunk = 0; chunk < 2; chunk++) {
            program p = denoising(64, kind, 37);
            const ae_data data = dense_data(small, AE_F64, 19, 37);
            p.options.chunk_rows = chunk ? 8 : 0;
            differences_check(kinds[kind], &p, &data, 1, true, 12, NULL);
        }
        for (int bits = 32; bits <= 64; bits += 32) {
            program p = denoising(bits, kind, 37);
            const ae_data data = dense_data(small, AE_F64, ROWS, 37);
            p.options.batch_size = 101;
            same_bits_check(kinds[kind], &p, &data, 1);
        }
    }
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    fill_places();
    RUN(normal_draws_have_their_moments);
    RUN(replaced_entries_have_their_rates);
    RUN(an_entry_goes_by_its_word);
    RUN(swapped_entries_come_from_all_other_rows);
    RUN(draws_are_fresh_by_step_and_by_name);
    RUN(the_same_bits_however_it_is_cut);
    RUN(what_stays_as_it_is);
    RUN(wrong_numbers_are_refused);
    RUN(gradients_pass_through_the_draws);
    RUN(denoising_programs);
    return harness_finish("test_corruption");
}
