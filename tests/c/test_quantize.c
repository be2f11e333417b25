/* Codebooks and bits: assignments and averages by plain formulas, gradients that pass through, draws, bits. */
#include "single_layer.h"

static void fill_input(lone *l) {
    const ae_value *in = &l->node->binding.in[0];
    for (int64_t r = 0; r < lone_rows(l, in); r++)
        for (int64_t c = 0; c < in->shape.width; c++)
            lone_set(l, in, r, c, 2 * sin(1.0 + 12.9898 * (double)r + 78.233 * (double)c + 0.37 * (double)(r * c)));
}

static network quantizer(int64_t width, int codes, int books, double decay, double threshold) {
    network net = {.n = 0};
    network_input(&net, width, 0);
    network_add(&net, "vector_quantize", "q", 1, 0);
    net.node[1].size[0] = codes;
    net.node[1].size[1] = books;
    net.node[1].value[0] = decay;
    net.node[1].value[1] = threshold;
    return net;
}

static void set_parameter(lone *l, int slot, const double *values) {
    const ae_parameter *p = &l->net->parameters[l->node->parameter[slot]];
    const int64_t n = p->request.rows * p->request.columns;
    void *row_major = malloc((size_t)n * l->net->real_size);
    for (int64_t i = 0; i < n; i++)
        lone_put(l, row_major, i, values[i]);
    ae_net_set_parameter(l->net, l->node->parameter[slot], row_major);
    free(row_major);
}

/* Two features, three codes; by hand. */
TEST(one_step_by_hand) {
    const network net = quantizer(2, 3, 1, 0.9, 0);
    /* Codes (0, 0), (4, 0), (0, 4) as columns, with counts 2, 1, 4. */
    const double codes[] = {0, 4, 0, 0, 0, 4}, counts[] = {2, 1, 4};
    const double rows[4][2] = {{1, 0}, {0.5, -0.5}, {3, 1}, {2, 0}}; /* the last is as far from code 0 as from code 1 */
    const int nearest[] = {0, 0, 1, 0};
    lone l;
    if (!lone_open(&l, &net, 64, NULL, 4))
        return;
    set_parameter(&l, 0, codes);
    set_parameter(&l, 1, counts);
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 2; c++)
            lone_set(&l, &l.node->binding.in[0], r, c, rows[r][c]);
    lone_forward(&l, 3);
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 2; c++)
            CHECK(lone_value(&l, &l.node->binding.out, r, c) == codes[c * 3 + nearest[r]], "row %d", r);
    double *new_codes = lone_parameter_gradient(&l, 0, 32), *new_counts = lone_parameter_gradient(&l, 1, 32);
    /* N' = 0.9 * 2 + 0.1 * 3 = 2.1, 0.9 + 0.1 = 1, 3.6; averaged sums (0.1 * 3.5, -0.1 * 0.5) and (0.9 * 4 + 0.1 * 3, 0.1). */
    const double want_counts[] = {2.1, 1, 3.6}, want_codes[] = {0.35 / 2.1, 3.9, 0, -0.05 / 2.1, 0.1, 4};
    for (int i = 0; i < 3; i++)
        CHECK(fabs(new_counts[i] - want_counts[i]) < 1e-15, "count %d: %.17g", i, new_counts[i]);
    for (int i = 0; i < 6; i++)
        CHECK(fabs(new_codes[i] - want_codes[i]) < 1e-14, "code %d: %.17g, not %.17g", i, new_codes[i], want_codes[i]);
    free(new_codes);
    free(new_counts);
    lone_backward(&l, 3, false);
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 2; c++)
            CHECK(lone_get(&l, l.gradient[0], lone_index(&l.node->binding.in[0], r, c)) == lone_weight(r, c),
                  "straight through");
    lone_close(&l);
}

/* A row that holds no number, or one whose square is none, has no nearest code. It shows in the output, in its codebook only, and
 * moves no code. */
static void goes_through(double lost_entry) {
    enum { ROWS = 6, WIDTH = 4, CODES = 3, BOOKS = 2 };
    static const double codes[WIDTH * CODES] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2}, counts[BOOKS * CODES] = {1, 1, 1, 1, 1, 1};
    for (int bits = 32; bits <= 64; bits += 32)
        for (int numbers = 0; numbers < 2; numbers++)
            for (int keep = 0; keep < 2; keep++) {
                network net = quantizer(WIDTH, CODES, BOOKS, 0.9, 0);
                net.node[1].size[2] = numbers;
                lone l;
                if (!lone_open(&l, &net, bits, NULL, ROWS))
                    return;
                set_parameter(&l, 0, codes);
                set_parameter(&l, 1, counts);
                const ae_binding *b = &l.node->binding;
                for (int r = 0; r < ROWS; r++)
                    for (int c = 0; c < WIDTH; c++)
                        lone_set(&l, &b->in[0], r, c, r == 3 && c == 2 ? lost_entry : 1);
                l.block.keep = l.block.training = keep;
                lone_forward(&l, 4);
                for (int r = 0; r < ROWS; r++)
                    for (int c = 0; c < (numbers ? BOOKS : WIDTH); c++) {
                        const double got = lone_value(&l, &b->out, r, c);
                        const bool lost = r == 3 && c >= (numbers ? 1 : 2);
                        CHECK(lost ? isnan(got) : got == 1, "%g, f%d keep %d: row %d column %d is %g", lost_entry, bits, keep,
                              r, c, got);
                    }
                for (int slot = 0; keep && slot < 2; slot++) {
                    double *now = lone_parameter_gradient(&l, slot, 32);
                    const double tolerance = bits == 32 ? 1e-6 : 1e-14;
                    for (int i = 0; !slot && i < WIDTH * CODES; i++)
                        CHECK(fabs(now[i] - codes[i]) < tolerance, "f%d: code entry %d is %g", bits, i, now[i]);
                    for (int i = 0; slot && i < BOOKS * CODES; i++) {
                        const double rows = i == 1 ? ROWS : i == CODES + 1 ? ROWS - 1 : 0;
                        CHECK(fabs(now[i] - 0.9 - 0.1 * rows) < tolerance, "f%d: count %d is %g", bits, i, now[i]);
                    }
                    free(now);
                }
                lone_close(&l);
            }
}

TEST(what_is_near_to_no_code_goes_through) {
    static const double lost[] = {NAN, INFINITY, -INFINITY, 1e200, -1e200};
    for (int i = 0; i < 5; i++)
        goes_through(lost[i]);
}

/* Against plain loops over rows, codes and columns, in both precisions: the nearest codes, and the averages as the paper writes
 * them, a ratio of sums and counts. Also the numbers of the codes from a node of the same name. */
TEST(assignments_and_averages_by_formula) {
    static const int shapes[][3] = {{1, 5, 1}, {31, 33, 1}, {32, 1, 1}, {33, 40, 3}, {70, 100, 7}, {6, 64, 6}, {200, 3, 2}};
    enum { ROWS = 29, MOST = 200 * 100 };
    static double codes[MOST], counts[MOST];
    for (int i = 0; i < 7; i++)
        for (int bits = 32; bits <= 64; bits += 32) {
            const int width = shapes[i][0], k = shapes[i][1], books = shapes[i][2], each = width / books;
            network net = quantizer(width, k, books, 0.8, 0), indices = net;
            indices.node[1].size[2] = 1;
            lone l, numbers;
            if (!lone_open(&l, &net, bits, NULL, ROWS) || !lone_open(&numbers, &indices, bits, NULL, ROWS))
                return;
            fill(codes, width * k, -2, 2);
            fill(counts, books * k, 0.1, 3);
            for (int j = 0; j < width * k; j++)
                codes[j] = (float)codes[j];
            for (int j = 0; j < books * k; j++)
                counts[j] = j % 17 == 5 ? 0 : (float)counts[j]; /* some never had a row */
            set_parameter(&l, 0, codes), set_parameter(&l, 1, counts);
            set_parameter(&numbers, 0, codes), set_parameter(&numbers, 1, counts);
            fill_input(&l), fill_input(&numbers);
            l.block.keep = l.block.training = numbers.block.keep = numbers.block.training = false;
            lone_forward(&l, 7), lone_forward(&numbers, 5);
            const ae_binding *b = &l.node->binding;
            double worst = 0;
            for (int r = 0; r < ROWS; r++)
                for (int book = 0; book < books; book++) {
                    const int got = (int)lone_value(&numbers, &numbers.node->binding.out, r, book);
                    double best = INFINITY, its = 0;
                    for (int code = 0; code < k; code++) {
                        double d = 0;
                        for (int c = book * each; c < (book + 1) * each; c++)
                            d += pow(lone_value(&l, &b->in[0], r, c) - codes[c * k + code], 2);
                        if (counts[book * k + code] > 0)
                            best = fmin(best, d);
                        its = code == got ? d : its;
                    }
                    worst = fmax(worst, fabs(its - best) / (1e-30 + best));
                    CHECK(got >= 0 && got < k && counts[book * k + got] > 0, "code %d takes part", got);
                    for (int c = book * each; c < (book + 1) * each; c++)
                        CHECK(lone_value(&l, &b->out, r, c) == codes[c * k + got], "row %d column %d", r, c);
                }
            CHECK(worst < (bits == 32 ? 1e-5 : 1e-13), "a nearest code is off by %g", worst);
            /* All codes now have counts, and the step is with backward. */
            for (int j = 0; j < books * k; j++)
                counts[j] = counts[j] > 0 ? counts[j] : 0.5;
            set_parameter(&l, 1, counts);
            l.block.keep = l.block.training = true;
            lone_forward(&l, 7);
            double *new_codes = lone_parameter_gradient(&l, 0, 32), *new_counts = lone_parameter_gradient(&l, 1, 32);
            worst = 0;
            for (int code = 0; code < k; code++)
                for (int c = 0; c < width; c++) {
                    const int book = c / each;
                    double n = 0, sum = 0;
                    for (int r = 0; r < ROWS; r++)
                        if ((int)lone_get(&l, b->cache, lone_index(&b->out, r, book)) == code)
                            n++, sum += lone_value(&l, &b->in[0], r, c);
                    const double count = 0.8 * counts[book * k + code] + 0.2 * n;
                    const double want = (0.8 * counts[book * k + code] * codes[c * k + code] + 0.2 * sum) / count;
                    worst = fmax(worst, fabs(new_codes[c * k + code] - want));
                    worst = fmax(worst, fabs(new_counts[book * k + code] - count));
                }
            CHECK(worst < (bits == 32 ? 3e-6 : 1e-13), "%d codes of %d: averages are off by %g", k, width, worst);
            free(new_codes);
            free(new_counts);
            numbers.block.keep = true;
            lone_forward(&numbers, 4);
            lone_backward(&numbers, 4, false);
            bool none = true;
            for (int r = 0; r < ROWS; r++)
                for (int c = 0; c < width; c++)
                    none &= lone_get(&numbers, numbers.gradient[0], lone_index(&b->in[0], r, c)) == 0;
            CHECK(none, "numbers of codes have no gradient");
            lone_close(&l);
            lone_close(&numbers);
        }
}

TEST(bits_of_each_layer) {
    static const int shapes[][3] = {{1, 5, 1}, {33, 40, 3}, {70, 100, 7}, {250, 3, 1}};
    for (int i = 0; i < 4; i++) {
        const network net = quantizer(shapes[i][0], shapes[i][1], shapes[i][2], 0, 0.1);
        lone_check_bits("vector_quantize", &net, 13, fill_input);
        lone_check_bits("vector_quantize", &net, 1, fill_input);
    }
    static const int widths[] = {1, 31, 33, 70};
    for (int i = 0; i < 12; i++) {
        network net = {.n = 0};
        network_input(&net, widths[i / 3], 0);
        network_add(&net, "binary", "b", 1, 0);
        net.node[1].size[0] = i % 3;
        net.node[1].value[0] = 0.7;
        lone_check_bits("binary", &net, 13, fill_input);
    }
}

/* Codes without count take the first rows, as far as these go; dead ones are revived, but only while training. */
TEST(codes_begin_in_the_data) {
    enum { CODES = 70, ROWS = 40 };
    const network net = quantizer(4, CODES, 2, 0.99, 0.5);
    lone l;
    if (!lone_open(&l, &net, 64, NULL, ROWS))
        return;
    const ae_binding *b = &l.node->binding;
    fill_input(&l);
    l.block.keep = false;
    lone_forward(&l, 9);
    bool clear = true;
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < 4; c++)
            clear &= lone_value(&l, &b->out, r, c) == 0;
    CHECK(clear, "no code has a count: zero");
    l.block.keep = true;
    lone_forward(&l, 9);
    bool same = true;
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < 4; c++)
            same &= lone_value(&l, &b->out, r, c) == lone_value(&l, &b->in[0], r, c);
    CHECK(same, "each row is its own code");
    double *codes = lone_parameter_gradient(&l, 0, 32), *counts = lone_parameter_gradient(&l, 1, 32);
    const double share = (double)ROWS / CODES;
    for (int k = 0; k < CODES; k++) {
        CHECK(fabs(counts[k] - (k < ROWS ? 0.99 * share + 0.01 : 0)) < 1e-15, "count %d is %g", k, counts[k]);
        CHECK(codes[2 * CODES + k] == (k < ROWS ? lone_value(&l, &b->in[0], k, 2) : 0), "code %d", k);
    }
    /* Code 3 of the second codebook has fallen asleep: below half an even share. */
    counts[CODES + 3] = 0.49 * share;
    for (int k = ROWS; k < CODES; k++)
        counts[k] = counts[CODES + k] = share;
    set_parameter(&l, 0, codes);
    set_parameter(&l, 1, counts);
    for (int training = 0; training < 2; training++) {
        l.block.training = training;
        for (int c = 0; c < 4; c++) /* the row that revives it */
            lone_set(&l, &b->in[0], 0, c, 10 + c);
        lone_forward(&l, 9);
        CHECK((lone_value(&l, &b->out, 0, 2) == 12 && lone_value(&l, &b->out, 0, 3) == 13) == training, "training %d: (%g, %g)",
              training, lone_value(&l, &b->out, 0, 2), lone_value(&l, &b->out, 0, 3));
        CHECK(lone_value(&l, &b->out, 0, 0) != 10, "the first codebook has no dead code");
    }
    free(codes);
    free(counts);
    lone_close(&l);
}

/* In the trainer: plain, product and residual quantisation with a commitment loss learn clusters, with the same bits in any cut. */
TEST(in_a_network) {
    enum { ROWS = 96, COLUMNS = 8 };
    static double x[ROWS * COLUMNS];
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            x[r * COLUMNS + c] = 2 * sin(1.7 * (r % 6) + c) + 0.05 * sin(3.1 * r + 5.3 * c);
    program p = {.options = plain_options(64)};
    const int in = network_input(&p.net, COLUMNS, 0), h = network_dense(&p.net, in, 6, AE_IDENTITY);
    const int q = network_add(&p.net, "vector_quantize", "q", 1, h);
    p.net.node[q].size[0] = 8;
    p.net.node[q].value[0] = 0.9;
    p.net.node[q].value[1] = 0.05;
    const int out = network_dense(&p.net, q, COLUMNS, AE_IDENTITY);
    program_loss(&p, "squared_error", out, in, 1);
    program_loss(&p, "squared_error", h, q, 0.25);
    program_stage(&p, "adam");
    p.options.batch_size = 40;
    lone_check_training("a quantised network", &p, 3, x, ROWS, COLUMNS);
    p.net.node[q].size[0] = 4;
    p.net.node[q].size[1] = 3;
    lone_check_training("product quantisation", &p, 3, x, ROWS, COLUMNS);
    p.net.node[q].size[0] = 8;
    p.net.node[q].size[1] = 1;
    p.options.schedule.base = 0.02;
    ae_context context = {AE_OK, ""};
    ae_trainer *t = NULL;
    ae_epoch_result result = {.loss = NAN};
    const ae_data data = dense_data(x, AE_F64, ROWS, COLUMNS);
    CHECK(program_trainer(&context, &p, &t) == AE_OK && ae_trainer_bind(&context, t, 0, &data, 1, NULL) == AE_OK &&
              ae_trainer_initialize(&context, t) == AE_OK,
          "%s", context.message);
    for (int e = 0; t && e < 150; e++)
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
    double loss = NAN;
    CHECK(t && ae_trainer_evaluate(&context, t, 0, 0, ROWS, false, NULL, NULL, &loss) == AE_OK && loss < 0.01,
          "six clusters of variance 2 are left with a loss of %g", loss);
    /* Evaluation reads the same codes that training has left, also on fewer rows. */
    double counts[8], total = 0;
    ae_net_get_parameter(ae_trainer_net(t), parameter_of(ae_trainer_net(t), "q.counts"), counts);
    for (int k = 0; k < 8; k++)
        total += counts[k];
    CHECK(total > 25 && total < 45, "counts add up to the rows of a minibatch: %g", total);
    ae_trainer_free(t);
}

TEST(bits_at_rest_and_in_training) {
    enum { ROWS = 500, COLUMNS = 33 };
    for (int how = 0; how < 3; how++) {
        network net = {.n = 0};
        network_input(&net, COLUMNS, 0);
        network_add(&net, "binary", "b", 1, 0);
        net.node[1].size[0] = how;
        net.node[1].value[0] = 0.8;
        lone l;
        if (!lone_open(&l, &net, 64, NULL, ROWS))
            return;
        const ae_binding *b = &l.node->binding;
        fill_input(&l);
        lone_set(&l, &b->in[0], 0, 0, 0);
        lone_set(&l, &b->in[0], 0, 1, NAN);
        lone_forward(&l, 33);
        lone_backward(&l, 33, false);
        double sum = 0, square = 0, variance = 0, off = 0;
        bool only_bits = true;
        for (int r = 1; r < ROWS; r++)
            for (int c = 0; c < COLUMNS; c++) {
                const double a = lone_value(&l, &b->in[0], r, c), y = lone_value(&l, &b->out, r, c), p = 1 / (1 + exp(-a));
                const double g = lone_get(&l, l.gradient[0], lone_index(&b->in[0], r, c)) / lone_weight(r, c);
                only_bits &= y == 0 || y == 1;
                const double e = how == 0 ? (log(y / (1 - y)) - a) / 0.8 : (y - p);
                sum += e, square += e * e, variance += how == 0 ? 1 : p * (1 - p);
                off = fmax(off, fabs(g - (how == 0 ? y * (1 - y) : p * (1 - p))));
            }
        const double n = COLUMNS * (ROWS - 1);
        CHECK(off < 1e-12, "%d: slopes off by %g", how, off);
        CHECK(only_bits == (how > 0), "%d: bits", how);
        if (how < 2) {
            CHECK(fabs(sum) < 5 * sqrt(variance), "%d: noise of mean %g", how, sum / n);
            CHECK(fabs(square - variance) < 5 * sqrt(2 * n), "%d: noise of variance %g, not %g", how, square / n, variance / n);
        }
        CHECK(isnan(lone_value(&l, &b->out, 0, 1)), "NaN is found");
        for (int keep = 0; keep < 2; keep++) {
            l.block.training = false, l.block.keep = keep;
            lone_forward(&l, 100);
            bool right = lone_value(&l, &b->out, 0, 0) == 0;
            for (int r = 1; r < ROWS; r++)
                for (int c = 0; c < COLUMNS; c++)
                    right &= lone_value(&l, &b->out, r, c) == (lone_value(&l, &b->in[0], r, c) > 0);
            CHECK(right, "%d: at rest bits are signs", how);
        }
        lone_close(&l);
    }
    /* The noisy logistic is smooth in its logits for given draws. */
    for (int i = 0; i < 3; i++) {
        network net = {.n = 0};
        network_input(&net, (int64_t[]){1, 31, 33}[i], 0);
        network_add(&net, "binary", "b", 1, 0);
        net.node[1].value[0] = i;
        lone l;
        if (!lone_open(&l, &net, 64, NULL, 5))
            return;
        fill_input(&l);
        lone_check_gradients("noisy logistic", &l, 0);
        lone_close(&l);
    }
}

TEST(what_is_refused) {
    network net = quantizer(6, 0, 1, 0, 0);
    lone_refused(&net, "a codebook of 0 codes");
    net.node[1].size[0] = (1 << 24) + 1;
    lone_refused(&net, "1 to 16777216");
    net = quantizer(6, 4, 4, 0, 0);
    lone_refused(&net, "4 codebooks for 6 features");
    net = quantizer(6, 4, -1, 0, 0);
    lone_refused(&net, "-1 codebooks");
    net = quantizer(6, 4, 1, 1, 0);
    lone_refused(&net, "decay is 1");
    net = quantizer(6, 4, 1, 0, 1);
    lone_refused(&net, "threshold of dead codes 1");
    net = quantizer(6, 4, 1, 0, 0);
    net.node[1].size[2] = 2;
    lone_refused(&net, "size[2] is 2");
    network_add(&net, "binary", "b", 1, 0);
    net.node[1].size[2] = 0;
    net.node[2].size[0] = 3;
    lone_refused(&net, "size[0] is 3");
    net.node[2].size[0] = 0;
    net.node[2].value[0] = -1;
    lone_refused(&net, "deviation -1");
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    RUN(one_step_by_hand);
    RUN(what_is_near_to_no_code_goes_through);
    RUN(assignments_and_averages_by_formula);
    RUN(bits_of_each_layer);
    RUN(codes_begin_in_the_data);
    RUN(in_a_network);
    RUN(bits_at_rest_and_in_training);
    RUN(what_is_refused);
    return harness_finish("test_quantize");
}
