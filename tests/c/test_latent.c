/* Draws from a normal posterior, its divergence from the prior, and log-ratios of densities at draws: gradients, closed forms,
 * statistics, bits. */
#include "single_layer.h"

static const int64_t widths[] = {1, 2, 31, 33, 70};

/* Mean, log-variance, and a node on top of them. */
static network posterior(const char *kind, int64_t width, int64_t draws) {
    network net = {.n = 0};
    const int m = network_input(&net, width, 0), v = network_input(&net, width, 0);
    if (!strcmp(kind, "gaussian_log_ratio") || draws != 1) {
        const int z = network_add(&net, "gaussian_sample", "z", 2, m, v);
        net.node[z].multiplicity = draws;
        if (strcmp(kind, "gaussian_sample"))
            network_add(&net, kind, kind, 3, z, m, v);
    } else {
        const int h = network_add(&net, kind, kind, 2, m, v);
        net.node[h].multiplicity = draws;
    }
    return net;
}

/* Inputs in (-1.5, 1.5), always the same ones. */
static void plain(lone *l) {
    for (int k = 0; k < l->node->desc.n_inputs; k++) {
        const ae_value *in = &l->node->binding.in[k];
        for (int64_t r = 0; r < lone_rows(l, in); r++)
            for (int64_t c = 0; c < in->shape.width; c++)
                lone_set(l, in, r, c, 1.5 * sin(1.0 + 3.7 * (double)r + 1.3 * (double)c + 2.1 * k + 0.01 * (double)(r * c)));
    }
}

TEST(gradients_of_each_layer) {
    static const char *const kinds[] = {"gaussian_sample", "gaussian_kl", "gaussian_log_ratio"};
    for (int kind = 0; kind < 3; kind++)
        for (int i = 0; i < 5; i++)
            for (int rows = 1; rows <= 4; rows += 3) {
                const int64_t draws = kind == 1 ? 1 : 1 + i % 3;
                const network net = posterior(kinds[kind], widths[i], draws);
                lone l;
                if (!lone_open(&l, &net, 64, NULL, rows))
                    return;
                plain(&l);
                lone_check_gradients(kinds[kind], &l, 0);
                lone_close(&l);
            }
}

TEST(gradients_beyond_the_bounds) {
    /* Outside v has no say in a draw; the divergence draws it back, and so does the log-ratio from below. */
    static const char *const kinds[] = {"gaussian_sample", "gaussian_kl", "gaussian_log_ratio"};
    for (int kind = 0; kind < 3; kind++) {
        const network net = posterior(kinds[kind], 3, 1);
        lone l;
        if (!lone_open(&l, &net, 64, NULL, 2))
            return;
        plain(&l);
        const ae_value *v = &l.node->binding.in[kind == 2 ? 2 : 1];
        lone_set(&l, v, 0, 0, -33);
        lone_set(&l, v, 0, 1, 27);
        lone_set(&l, v, 0, 2, -1e4);
        lone_forward(&l, 2);
        lone_backward(&l, 2, false);
        for (int c = 0; c < 3; c++) {
            const double got = lone_get(&l, v->gradient, lone_index(v, 0, c)), by_row = lone_weight(0, 0);
            const double want = kind == 0   ? 0
                                : kind == 1 ? lone_weight(0, c) * 0.5 * expm1(c == 1 ? 20 : -20)
                                : c == 1    ? 0
                                            : -0.5 * by_row;
            CHECK(fabs(got - want) <= 1e-12 * fabs(want), "%s: %g, not %g", kinds[kind], got, want);
            CHECK(isfinite(lone_value(&l, &l.node->binding.out, 0, kind == 2 ? 0 : c)), "%s is not finite", kinds[kind]);
        }
        lone_close(&l);
    }
}

TEST(bits_of_each_layer) {
    static const char *const kinds[] = {"gaussian_sample", "gaussian_kl", "gaussian_log_ratio"};
    for (int kind = 0; kind < 3; kind++)
        for (int i = 0; i < 5; i++) {
            const network net = posterior(kinds[kind], widths[i], kind == 1 ? 1 : 3);
            lone_check_bits(kinds[kind], &net, 13, plain);
        }
    network net = posterior("gaussian_kl", 33, 1);
    network_add(&net, "free_bits", "free", 1, 2);
    net.node[3].value[0] = 0.2;
    lone_check_bits("free_bits", &net, 13, plain);
}

/* Moments of 3000 draws of each of 40 columns: the mean of n draws is off by 1 / sqrt(n), their variance by sqrt(2 / n); bounds
 * are five of those over all columns. */
TEST(draws_are_normal_and_by_place) {
    enum { ROWS = 1000, DRAWS = 3, COLUMNS = 40 };
    const network net = posterior("gaussian_sample", COLUMNS, DRAWS);
    lone l;
    if (!lone_open(&l, &net, 64, NULL, ROWS))
        return;
    const ae_binding *b = &l.node->binding;
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++) {
            lone_set(&l, &b->in[0], r, c, c);
            lone_set(&l, &b->in[1], r, c, 0.1 * c - 2);
        }
    lone_forward(&l, 97);
    double worst_mean = 0, worst_variance = 0, fourth = 0, cross = 0;
    for (int c = 0; c < COLUMNS; c++) {
        double sum = 0, square = 0;
        for (int r = 0; r < ROWS * DRAWS; r++) {
            const double e = (lone_value(&l, &b->out, r, c) - c) / exp(0.05 * c - 1);
            sum += e, square += e * e, fourth += e * e * e * e;
            if (r)
                cross += e * (lone_value(&l, &b->out, r - 1, c) - c) / exp(0.05 * c - 1);
        }
        worst_mean = fmax(worst_mean, fabs(sum / (ROWS * DRAWS)));
        worst_variance = fmax(worst_variance, fabs(square / (ROWS * DRAWS) - 1));
    }
    const double n = ROWS * DRAWS, all = n * COLUMNS;
    CHECK(worst_mean < 5 / sqrt(n) && worst_variance < 5 * sqrt(2 / n), "moments off by %g and %g", worst_mean, worst_variance);
    CHECK(fabs(fourth / all - 3) < 5 * sqrt(96 / all), "fourth moment %g", fourth / all);
    CHECK(fabs(cross / all) < 5 / sqrt(all), "neighbours have correlation %g", cross / all);
    /* A later chunk of the same minibatch goes on where the first ended; another step draws others. */
    const double at = lone_value(&l, &b->out, 7 * DRAWS + 2, 39), other = lone_value(&l, &b->out, 3 * DRAWS + 2, 39);
    l.block.first_row = 4;
    lone_forward(&l, 1000);
    CHECK(lone_value(&l, &b->out, 3 * DRAWS + 2, 39) == at && at != other, "draws are by position in the minibatch");
    l.block.first_row = 0;
    l.block.step++;
    lone_forward(&l, 1000);
    CHECK(lone_value(&l, &b->out, 7 * DRAWS + 2, 39) != at, "draws are by step");
    /* At rest z is the mean. */
    l.block.training = false;
    lone_forward(&l, 10);
    bool same = true;
    for (int r = 0; r < ROWS * DRAWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            same &= lone_value(&l, &b->out, r, c) == c;
    CHECK(same, "without training or sampling z is the mean");
    lone_backward(&l, 10, false);
    CHECK(lone_get(&l, b->in[1].gradient, 5) == 0, "and does not depend on the log-variance");
    /* Scoring: the same draws for each row, whatever the step; others for each draw and column. */
    l.block.sampling = true, l.block.keep = false;
    lone_forward(&l, 10);
    bool alike = true;
    for (int r = DRAWS; r < ROWS * DRAWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            alike &= lone_value(&l, &b->out, r, c) == lone_value(&l, &b->out, r % DRAWS, c);
    CHECK(alike, "each row has the same draws");
    const double first = lone_value(&l, &b->out, 0, 0), second = lone_value(&l, &b->out, 1, 0);
    l.block.step = 99;
    lone_forward(&l, 1000);
    CHECK(first != second && lone_value(&l, &b->out, 0, 0) == first, "by draw, not by step");
    l.node->desc.size[0] = 1;
    lone_forward(&l, 1000);
    CHECK(lone_value(&l, &b->out, 0, 0) == second, "from draw 1 on");
    /* With mean zero and variance one, whatever draws they were. */
    l.node->desc.size[1] = 1;
    lone_forward(&l, 1000);
    for (int c = 0; c < COLUMNS; c++) {
        double mean = 0, square = 0;
        const double deviation = exp(0.05 * c - 1);
        for (int r = 0; r < DRAWS; r++) {
            const double e = (lone_value(&l, &b->out, r, c) - c) / deviation;
            mean += e / DRAWS, square += e * e / DRAWS;
        }
        CHECK(fabs(mean) < 1e-12 && fabs(square - 1) < 1e-12, "column %d: mean %g, square %g", c, mean, square);
    }
    lone_close(&l);
}

/* The integral of q log(q / p) by Simpson's rule over 12 deviations on either side. */
static double divergence(double m, double v) {
    const double s = exp(v / 2), h = 24 * s / 4000;
    double sum = 0;
    for (int i = 0; i <= 4000; i++) {
        const double z = m - 12 * s + h * i, e = (z - m) / s;
        const double q = exp(-0.5 * e * e) / (s * sqrt(2 * M_PI)), ratio = -0.5 * e * e - v / 2 + 0.5 * z * z;
        sum += q * ratio * (i == 0 || i == 4000 ? 1 : i % 2 ? 4 : 2);
    }
    return sum * h / 3;
}

TEST(divergence_by_quadrature) {
    const network net = posterior("gaussian_kl", 5, 1);
    for (int bits = 32; bits <= 64; bits += 32) {
        lone l;
        if (!lone_open(&l, &net, bits, NULL, 9))
            return;
        const ae_binding *b = &l.node->binding;
        for (int r = 0; r < 9; r++)
            for (int c = 0; c < 5; c++) {
                lone_set(&l, &b->in[0], r, c, 1.5 * (c - 2));
                lone_set(&l, &b->in[1], r, c, 0.75 * (r - 4));
            }
        lone_forward(&l, 4);
        for (int r = 0; r < 9; r++)
            for (int c = 0; c < 5; c++) {
                const double want = divergence(1.5 * (c - 2), 0.75 * (r - 4)), got = lone_value(&l, &b->out, r, c);
                CHECK(fabs(got - want) < (bits == 32 ? 2e-6 : 1e-11) * (1 + want), "%.12g, not %.12g", got, want);
            }
        lone_close(&l);
    }
}

/* The mean of the log-ratio over n draws approaches the divergence; its deviation is estimated from the draws. */
TEST(log_ratio_approaches_the_divergence) {
    enum { DRAWS = 20000, COLUMNS = 6 };
    const network net = posterior("gaussian_log_ratio", COLUMNS, DRAWS);
    lone l;
    if (!lone_open(&l, &net, 64, NULL, 2))
        return;
    const ae_binding *b = &l.node->binding;
    double want[2] = {0, 0};
    for (int r = 0; r < 2; r++)
        for (int c = 0; c < COLUMNS; c++) {
            const double m = 0.5 * (c - 2) + r, v = 0.4 * (c - 3) - 0.3 * r;
            lone_set(&l, &b->in[1], r, c, m);
            lone_set(&l, &b->in[2], r, c, v);
            want[r] += divergence(m, v);
        }
    ae_block block = l.block;
    block.row0 = 0, block.row1 = 2;
    l.net->nodes[2].ops->forward(&l.net->nodes[2].binding, &block);
    lone_forward(&l, 1);
    for (int r = 0; r < 2; r++) {
        double sum = 0, square = 0;
        for (int s = 0; s < DRAWS; s++) {
            const double ratio = lone_value(&l, &b->out, r * DRAWS + s, 0);
            double by_formula = 0;
            for (int c = 0; c < COLUMNS && s < 50; c++) {
                const double m = 0.5 * (c - 2) + r, v = 0.4 * (c - 3) - 0.3 * r;
                const double z = lone_value(&l, &b->in[0], r * DRAWS + s, c);
                by_formula += -0.5 * (v + (z - m) * (z - m) / exp(v)) + 0.5 * z * z;
            }
            CHECK(s >= 50 || fabs(ratio - by_formula) < 1e-12 * (1 + fabs(ratio)), "%g, not %g", ratio, by_formula);
            sum += ratio, square += ratio * ratio;
        }
        const double mean = sum / DRAWS, deviation = sqrt((square / DRAWS - mean * mean) / DRAWS);
        CHECK(fabs(mean - want[r]) < 5 * deviation && deviation < 0.05 * want[r], "mean %g of %d draws, divergence %g", mean,
              DRAWS, want[r]);
    }
    lone_close(&l);
}

TEST(free_bits_by_row_and_by_minibatch) {
    network net = posterior("gaussian_kl", 3, 1);
    net.node[2].value[0] = 0.4;
    lone l;
    if (!lone_open(&l, &net, 64, NULL, 4))
        return;
    plain(&l);
    lone_check_gradients("free bits by row", &l, 0);
    lone_forward(&l, 4);
    int low = 0;
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 3; c++) {
            const double m = lone_value(&l, &l.node->binding.in[0], r, c), v = lone_value(&l, &l.node->binding.in[1], r, c);
            const double kl = divergence(m, v);
            low += kl < 0.4;
            CHECK(fabs(lone_value(&l, &l.node->binding.out, r, c) - fmax(kl, 0.4)) < 1e-11, "by row");
        }
    CHECK(low > 1 && low < 11, "%d of 12 are below", low);
    lone_close(&l);
    network flat = {.n = 0};
    network_input(&flat, 33, 0);
    network_add(&flat, "free_bits", "free", 1, 0);
    flat.node[1].value[0] = 0.5;
    if (!lone_open(&l, &flat, 64, NULL, 4))
        return;
    const ae_binding *b = &l.node->binding;
    /* Column 0 has mean 0.5 exactly and passes, column 1 is below, column 32 above. */
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 33; c++)
            lone_set(&l, &b->in[0], r, c, c == 1 ? 0.2 * r : 0.5 + 0.1 * (r - 1.5) + c);
    lone_set(&l, &b->in[0], 0, 0, 2), lone_set(&l, &b->in[0], 1, 0, 0);
    lone_set(&l, &b->in[0], 2, 0, 0), lone_set(&l, &b->in[0], 3, 0, 0);
    lone_forward(&l, 3);
    lone_backward(&l, 3, false);
    for (int r = 0; r < 4; r++) {
        CHECK(lone_value(&l, &b->out, r, 0) == (r ? 0 : 2) && lone_value(&l, &b->out, r, 1) == 0.5 &&
                  lone_value(&l, &b->out, r, 32) == lone_value(&l, &b->in[0], r, 32),
              "row %d", r);
        CHECK(lone_get(&l, b->in[0].gradient, lone_index(&b->in[0], r, 0)) == lone_weight(r, 0) &&
                  lone_get(&l, b->in[0].gradient, lone_index(&b->in[0], r, 1)) == 0,
              "gradients of row %d", r);
    }
    l.block.keep = l.block.training = false;
    lone_forward(&l, 4);
    CHECK(lone_value(&l, &b->out, 2, 1) == 0.4, "without a minibatch the divergence passes");
    lone_close(&l);
}

/* A small variational network in the trainer: the divergence falls on one value with two uses, and the sample depends on it. */
TEST(in_a_network) {
    enum { ROWS = 53, COLUMNS = 9 };
    static double x[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++)
        x[i] = sin(0.7 * i);
    program p = {.options = plain_options(64)};
    const int in = network_input(&p.net, COLUMNS, 0), h = network_dense(&p.net, in, 12, AE_TANH);
    const int m = network_dense(&p.net, h, 5, AE_IDENTITY), v = network_dense(&p.net, h, 5, AE_IDENTITY);
    const int z = network_add(&p.net, "gaussian_sample", "z", 2, m, v);
    p.net.node[z].multiplicity = 1;
    const int kl = network_add(&p.net, "gaussian_kl", "kl", 2, m, v);
    const int out = network_dense(&p.net, z, COLUMNS, AE_IDENTITY);
    program_loss(&p, "squared_error", out, in, 1);
    program_loss(&p, "squared_error", kl, m, 0.05);
    program_stage(&p, "adam");
    lone_check_training("a variational network", &p, 3, x, ROWS, COLUMNS);
    const int bits = network_add(&p.net, "free_bits", "free", 1, kl);
    p.net.node[bits].value[0] = 0.05;
    p.loss[1].prediction = bits;
    p.stage[0].last_node = bits;
    lone_check_training("with free bits", &p, 3, x, ROWS, COLUMNS);
}

TEST(what_is_refused) {
    network net = posterior("gaussian_sample", 3, 1);
    net.node[2].multiplicity = 0;
    lone_refused(&net, "0 draws a row");
    net.node[2].multiplicity = 1, net.node[2].size[0] = -1;
    lone_refused(&net, "number -1");
    net.node[2].size[0] = 0, net.node[2].size[1] = 2;
    lone_refused(&net, "size[1] is 2");
    net.node[2].size[1] = 0, net.node[1].width = 4;
    lone_refused(&net, "the log-variance has 4 features and the mean 3");
    net = posterior("gaussian_kl", 3, 1);
    net.node[2].value[0] = NAN;
    lone_refused(&net, "free bits are nan");
    network_add(&net, "free_bits", "free", 1, 2);
    net.node[2].value[0] = 0;
    lone_refused(&net, "free bits are 0; they must be positive");
    net = posterior("gaussian_log_ratio", 3, 2);
    net.node[3].inputs[0] = 0, net.node[3].inputs[1] = net.node[3].inputs[2] = 2;
    lone_refused(&net, "z has 3 features and 1 rows a sample");
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    RUN(gradients_of_each_layer);
    RUN(gradients_beyond_the_bounds);
    RUN(bits_of_each_layer);
    RUN(draws_are_normal_and_by_place);
    RUN(divergence_by_quadrature);
    RUN(log_ratio_approaches_the_divergence);
    RUN(free_bits_by_row_and_by_minibatch);
    RUN(in_a_network);
    RUN(what_is_refused);
    return harness_finish("test_latent");
}
