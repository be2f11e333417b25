/* Priors that are learnt, and penalties that look at the whole minibatch: against plain formulas in double, gradients, bits. */
#include "single_layer.h"

static const int64_t widths[] = {1, 2, 31, 33, 70};

static void plain(lone *l) {
    for (int k = 0; k < l->node->desc.n_inputs; k++) {
        const ae_value *in = &l->node->binding.in[k];
        for (int64_t r = 0; r < lone_rows(l, in); r++)
            for (int64_t c = 0; c < in->shape.width; c++)
                lone_set(l, in, r, c, 1.2 * sin(1.0 + 3.7 * (double)r + 1.3 * (double)c + 2.1 * k + 0.01 * (double)(r * c)));
    }
}

/* A layer over draws, mean and log-variance; with `pseudo` also over a value of twice the width. */
static network over_draws(const char *kind, int64_t width, int64_t draws, int size, double value) {
    network net = {.n = 0};
    const bool pseudo = !strcmp(kind, "vamp_log_ratio");
    const int m = network_input(&net, width, 0), v = network_input(&net, width, 0);
    const int z = network_add(&net, "gaussian_sample", "z", 2, m, v), more = pseudo ? network_input(&net, 2 * width, 0) : 0;
    net.node[z].multiplicity = draws;
    const int h = network_add(&net, kind, kind, pseudo ? 4 : 3, z, m, v, more);
    net.node[h].size[0] = size;
    net.node[h].value[0] = value;
    return net;
}

static network alone(const char *kind, int64_t width) {
    network net = {.n = 0};
    network_input(&net, width, 0);
    network_add(&net, kind, "it", 1, 0);
    return net;
}

static void vary_parameters(lone *l) {
    for (int slot = 0; slot < l->node->plan.n_parameters; slot++) {
        const ae_parameter *p = &l->net->parameters[l->node->parameter[slot]];
        const int64_t n = p->request.rows * p->request.columns;
        void *w = malloc((size_t)n * l->net->real_size);
        for (int64_t i = 0; i < n; i++)
            lone_put(l, w, i, 0.9 * sin(2.3 * (double)i + slot));
        ae_net_set_parameter(l->net, l->node->parameter[slot], w);
        free(w);
    }
}
static void plain_and_varied(lone *l) {
    plain(l);
    vary_parameters(l);
}

TEST(gradients_of_each_layer) {
    for (int i = 0; i < 5; i++)
        for (int rows = 1; rows <= 5; rows += i < 3 ? 1 : 4) {
            lone l;
            const network mixture = over_draws("mixture_log_ratio", widths[i], 1 + i % 3, i == 3 ? 35 : 3, 0);
            const network vamp = over_draws("vamp_log_ratio", widths[i], 1 + i % 3, i == 3 ? 2 : 4, 0);
            const network weighted = over_draws("total_correlation", widths[i], 1, 0, 40);
            const network stratified = over_draws("total_correlation", widths[i], 1, 1, 40);
            const network mmd = alone("mmd", widths[i]);
            const network *nets[] = {&mixture, &vamp, &weighted, &stratified, &mmd};
            for (int k = 0; k < 5; k++) {
                if (!lone_open(&l, nets[k], 64, NULL, rows))
                    return;
                plain_and_varied(&l);
                char what[60];
                snprintf(what, sizeof what, "%s %d of width %d, %d rows", l.node->ops->name, k, (int)widths[i], rows);
                lone_check_gradients(what, &l, 0);
                lone_close(&l);
            }
        }
}

TEST(bits_of_each_layer) {
    for (int i = 0; i < 5; i++) {
        const network mixture = over_draws("mixture_log_ratio", widths[i], 3, i == 3 ? 70 : 4, 0);
        const network vamp = over_draws("vamp_log_ratio", widths[i], 2, i == 3 ? 40 : 4, 0);
        const network weighted = over_draws("total_correlation", widths[i], 1, i % 2, 40);
        const network mmd = alone("mmd", widths[i]), permuted = alone("permute_columns", widths[i]);
        lone_check_bits("mixture_log_ratio", &mixture, 13, plain_and_varied);
        lone_check_bits("vamp_log_ratio", &vamp, 13, plain_and_varied);
        lone_check_bits("total_correlation", &weighted, 13, plain_and_varied);
        lone_check_bits("mmd", &mmd, 13, plain);
        lone_check_bits("permute_columns", &permuted, 13, plain);
    }
    network pseudo = {.n = 0};
    network_add(&pseudo, "pseudo_inputs", "u", 0);
    pseudo.node[0].size[0] = 40;
    pseudo.node[0].width = 33;
    lone_check_bits("pseudo_inputs", &pseudo, 97, vary_parameters);
}

static double log_normal(double z, double m, double v) { return -0.5 * (v + (z - m) * (z - m) / exp(v)); }

/* log sum_c exp(a_c). */
static double log_sum(const double *a, int n) {
    double most = a[0], sum = 0;
    for (int c = 1; c < n; c++)
        most = fmax(most, a[c]);
    for (int c = 0; c < n; c++)
        sum += exp(a[c] - most);
    return most + log(sum);
}

TEST(mixtures_by_formula) {
    enum { WIDTH = 35, ROWS = 7, DRAWS = 2, MOST = 40 };
    static double means[MOST * WIDTH], variances[MOST * WIDTH], logits[MOST];
    for (int bits = 32; bits <= 64; bits += 32)
        for (int k = 1; k <= MOST; k += 13) {
            lone l;
            const network net = over_draws("mixture_log_ratio", WIDTH, DRAWS, k, 0);
            if (!lone_open(&l, &net, bits, NULL, ROWS))
                return;
            plain_and_varied(&l);
            for (int i = 0; i < k * WIDTH; i++)
                means[i] = 0.9 * sin(2.3 * i), variances[i] = 0.9 * sin(2.3 * i + 1);
            for (int i = 0; i < k; i++)
                logits[i] = 0.9 * sin(2.3 * i + 2);
            const ae_binding *b = &l.node->binding;
            for (int keep = 0; keep < 2; keep++) {
                double worst = 0;
                l.block.keep = l.block.training = keep;
                lone_forward(&l, 4);
                for (int row = 0; row < ROWS * DRAWS; row++) {
                    double log_q = 0, parts[MOST];
                    for (int c = 0; c < WIDTH; c++)
                        log_q += log_normal(lone_value(&l, &b->in[0], row, c), lone_value(&l, &b->in[1], row / DRAWS, c),
                                            lone_value(&l, &b->in[2], row / DRAWS, c));
                    for (int part = 0; part < k; part++) {
                        parts[part] = logits[part] - log_sum(logits, k);
                        for (int c = 0; c < WIDTH; c++)
                            parts[part] += log_normal(lone_value(&l, &b->in[0], row, c), means[part * WIDTH + c],
                                                      variances[part * WIDTH + c]);
                    }
                    const double want = log_q - log_sum(parts, k);
                    worst = fmax(worst, fabs(lone_value(&l, &b->out, row, 0) - want) / (1 + fabs(want)));
                }
                CHECK(worst < (bits == 32 ? 1e-5 : 1e-13), "f%d, %d components: off by %g", bits, k, worst);
            }
            lone_close(&l);
        }
    /* One component of N(0, I) is the standard prior. */
    lone one, standard;
    const network mixture = over_draws("mixture_log_ratio", WIDTH, DRAWS, 1, 0);
    const network normal = over_draws("gaussian_log_ratio", WIDTH, DRAWS, 0, 0);
    if (!lone_open(&one, &mixture, 64, NULL, ROWS) || !lone_open(&standard, &normal, 64, NULL, ROWS))
        return;
    plain(&one), plain(&standard);
    double zero[WIDTH] = {0};
    ae_net_set_parameter(one.net, parameter_of(one.net, "mixture_log_ratio.means"), zero);
    lone_forward(&one, 4), lone_forward(&standard, 4);
    for (int row = 0; row < ROWS * DRAWS; row++)
        CHECK(fabs(lone_value(&one, &one.node->binding.out, row, 0) -
                   lone_value(&standard, &standard.node->binding.out, row, 0)) < 1e-12,
              "row %d", row);
    lone_close(&one);
    lone_close(&standard);
}

/* A VampPrior is a mixture of the posteriors of the first rows; in a short minibatch the missing ones are those of earlier
 * steps; evaluation knows them as parameters. */
TEST(pseudo_inputs_are_a_mixture) {
    enum { WIDTH = 33, ROWS = 5, K = 4 };
    const network vamp = over_draws("vamp_log_ratio", WIDTH, 2, K, 0),
                  mixture = over_draws("mixture_log_ratio", WIDTH, 2, K, 0);
    for (int rows = 2; rows <= ROWS; rows += 3) {
        lone l, m;
        if (!lone_open(&l, &vamp, 64, NULL, rows) || !lone_open(&m, &mixture, 64, NULL, rows))
            return;
        plain_and_varied(&l);
        plain_and_varied(&m);
        const ae_binding *b = &l.node->binding;
        double kept[2][K * WIDTH], zero[K] = {0};
        for (int slot = 0; slot < 2; slot++) {
            ae_net_get_parameter(l.net, slot, kept[slot]);
            for (int k = 0; k < K && k < rows; k++)
                for (int c = 0; c < WIDTH; c++)
                    kept[slot][k * WIDTH + c] = lone_value(&l, &b->in[3], k, slot * WIDTH + c);
            ae_net_set_parameter(m.net, slot, kept[slot]);
        }
        ae_net_set_parameter(m.net, 2, zero);
        lone_forward(&l, 2), lone_forward(&m, 2);
        for (int row = 0; row < 2 * rows; row++)
            CHECK(fabs(lone_value(&l, &b->out, row, 0) - lone_value(&m, &m.node->binding.out, row, 0)) < 1e-12, "row %d", row);
        lone_backward(&l, 2, false);
        for (int slot = 0; slot < 2; slot++) {
            double *assigned = lone_parameter_gradient(&l, slot, 32);
            CHECK(!memcmp(assigned, kept[slot], sizeof kept[slot]), "what is assigned");
            ae_net_set_parameter(l.net, slot, assigned);
            free(assigned);
        }
        for (int row = K; row < rows; row++)
            CHECK(lone_get(&l, b->in[3].gradient, lone_index(&b->in[3], row, 2)) == 0, "rows behind the last have no gradient");
        /* Now without a minibatch, whatever stands in the pseudo-inputs' rows. */
        l.block.keep = l.block.training = false;
        for (int row = 0; row < rows; row++)
            lone_set(&l, &b->in[3], row, 0, NAN);
        lone_forward(&l, 1);
        for (int row = 0; row < 2 * rows; row++)
            CHECK(fabs(lone_value(&l, &b->out, row, 0) - lone_value(&m, &m.node->binding.out, row, 0)) < 1e-12, "row %d", row);
        lone_close(&l);
        lone_close(&m);
    }
}

TEST(pseudo_inputs_repeat) {
    network net = {.n = 0};
    network_add(&net, "pseudo_inputs", "u", 0);
    net.node[0].size[0] = 3;
    net.node[0].width = 33;
    lone l;
    if (!lone_open(&l, &net, 64, NULL, 8))
        return;
    double inputs[3 * 33], square = 0;
    ae_net_get_parameter(l.net, 0, inputs);
    for (int i = 0; i < 99; i++)
        square += inputs[i] * inputs[i];
    CHECK(fabs(square / 99 - 1) < 5 * sqrt(2.0 / 99), "they begin with variance %g", square / 99);
    lone_forward(&l, 3);
    for (int r = 0; r < 8; r++)
        for (int c = 0; c < 33; c++)
            CHECK(lone_value(&l, &l.node->binding.out, r, c) == inputs[r % 3 * 33 + c], "row %d", r);
    lone_check_gradients("pseudo_inputs", &l, 0);
    lone_close(&l);
}

static double log_weight(int how, int rows, double n, int i, int j) {
    const double m = rows - 1;
    if (!how)
        return -log(n * rows);
    return log(j == i ? 1 / n : j == (i + 1) % rows ? (n - m) / (n * m) : 1 / m);
}

TEST(total_correlation_by_formula) {
    static const int rows_of[] = {1, 2, 3, 9};
    for (int i = 0; i < 32; i++) {
        const int how = i % 2, bits = i / 2 % 2 ? 32 : 64, rows = rows_of[i / 4 % 4], width = i < 16 ? 3 : 33;
        const double n = rows == 9 ? 5 : 40; /* the last: taken as 9 */
        const double taken = n < rows ? rows : n;
        const network net = over_draws("total_correlation", width, 1, how, n);
        lone l;
        if (!lone_open(&l, &net, bits, NULL, rows))
            return;
        plain(&l);
        const ae_binding *b = &l.node->binding;
        lone_forward(&l, 2);
        double worst = 0;
        for (int r = 0; r < rows; r++) {
            double joint[9], by_column = 0, own = 0, prior = 0;
            for (int j = 0; j < rows; j++)
                joint[j] = log_weight(how, rows, taken, r, j);
            for (int c = 0; c < width; c++) {
                double column[9];
                const double z = lone_value(&l, &b->in[0], r, c);
                for (int j = 0; j < rows; j++) {
                    const double term = log_normal(z, lone_value(&l, &b->in[1], j, c), lone_value(&l, &b->in[2], j, c));
                    column[j] = term + log_weight(how, rows, taken, r, j);
                    joint[j] += term;
                    own += j == r ? term : 0;
                }
                by_column += log_sum(column, rows);
                prior += log_normal(z, 0, 0);
            }
            const double log_q = log_sum(joint, rows);
            const double want[] = {own - log_q, log_q - by_column, by_column - prior};
            for (int c = 0; c < 3; c++)
                worst = fmax(worst, fabs(lone_value(&l, &b->out, r, c) - want[c]) / (1 + fabs(want[c])));
        }
        CHECK(worst < (bits == 32 ? 2e-5 : 1e-12), "sampling %d, %d rows, width %d: off by %g", how, rows, width, worst);
        l.block.keep = l.block.training = false;
        lone_forward(&l, 2);
        for (int r = 0; r < rows; r++) {
            double kl = 0;
            for (int c = 0; c < width; c++) {
                const double m = lone_value(&l, &b->in[1], r, c), v = lone_value(&l, &b->in[2], r, c);
                kl += 0.5 * (m * m + exp(v) - 1 - v);
            }
            CHECK(lone_value(&l, &b->out, r, 0) == 0 && lone_value(&l, &b->out, r, 1) == 0 &&
                      fabs(lone_value(&l, &b->out, r, 2) - kl) < 1e-5 * (1 + kl),
                  "without a minibatch: the divergence");
        }
        lone_close(&l);
    }
}

static double imq(const double *x, const double *y, int width) {
    static const double scales[] = {0.1, 0.2, 0.5, 1, 2, 5, 10};
    double square = 0, sum = 0;
    for (int c = 0; c < width; c++)
        square += (x[c] - y[c]) * (x[c] - y[c]);
    for (int s = 0; s < 7; s++)
        sum += 2 * width * scales[s] / (2 * width * scales[s] + square);
    return sum;
}

TEST(discrepancy_by_formula) {
    enum { ROWS = 60, WIDTH = 33 };
    static double z[ROWS][WIDTH], e[ROWS][WIDTH];
    for (int i = 0; i < 8; i++) {
        const int rows = i % 2 ? ROWS : 1 + i / 2, width = i < 4 ? 4 : WIDTH;
        /* The prior's draws: a posterior of that name with mean 0 and variance 1 has them. */
        network draws = {.n = 0}, net = alone("mmd", width);
        network_input(&draws, width, 0), network_input(&draws, width, 0);
        network_add(&draws, "gaussian_sample", "it", 2, 0, 1);
        draws.node[2].multiplicity = 1;
        lone l, prior;
        if (!lone_open(&l, &net, 64, NULL, rows) || !lone_open(&prior, &draws, 64, NULL, rows))
            return;
        for (int k = 0; k < 2; k++)
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < width; c++)
                    lone_set(&prior, &prior.node->binding.in[k], r, c, 0);
        lone_forward(&prior, rows);
        plain(&l);
        lone_forward(&l, 7);
        double mean = 0, want = 0;
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < width; c++) {
                z[r][c] = lone_value(&l, &l.node->binding.in[0], r, c);
                e[r][c] = lone_value(&prior, &prior.node->binding.out, r, c);
            }
        for (int r = 0; r < rows; r++) {
            mean += lone_value(&l, &l.node->binding.out, r, 0) / rows;
            for (int j = 0; j < rows; j++) {
                if (j != r)
                    want += (imq(z[r], z[j], width) + imq(e[r], e[j], width)) / rows / (rows - 1);
                want -= 2 * imq(z[r], e[j], width) / rows / rows;
            }
        }
        CHECK(fabs(mean - want) < 1e-12, "%d rows, width %d: %.15g, not %.15g", rows, width, mean, want);
        /* Codes that are draws from the prior have next to none, codes that are all alike much. */
        if (rows == ROWS) {
            double near = 0, far = 0;
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < width; c++)
                    lone_set(&l, &l.node->binding.in[0], r, c, e[(r * 7 + 3) % rows][c]);
            lone_forward(&l, rows);
            for (int r = 0; r < rows; r++)
                near += lone_value(&l, &l.node->binding.out, r, 0) / rows;
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < width; c++)
                    lone_set(&l, &l.node->binding.in[0], r, c, 1);
            lone_forward(&l, rows);
            for (int r = 0; r < rows; r++)
                far += lone_value(&l, &l.node->binding.out, r, 0) / rows;
            CHECK(near < 0.05 && far > 1, "%g and %g", near, far);
        }
        l.block.keep = l.block.training = false;
        lone_forward(&l, rows);
        CHECK(lone_value(&l, &l.node->binding.out, 0, 0) == 0, "without a minibatch there is none");
        lone_close(&l);
        lone_close(&prior);
    }
}

TEST(columns_are_permuted) {
    enum { ROWS = 101, COLUMNS = 35 };
    const network net = alone("permute_columns", COLUMNS);
    lone l;
    if (!lone_open(&l, &net, 64, NULL, ROWS))
        return;
    const ae_binding *b = &l.node->binding;
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            lone_set(&l, &b->in[0], r, c, r);
    lone_forward(&l, 10);
    int kept = 0, alike = 0;
    for (int c = 0; c < COLUMNS; c++) {
        bool seen[ROWS] = {false};
        for (int r = 0; r < ROWS; r++) {
            const int from = (int)lone_value(&l, &b->out, r, c);
            CHECK(from >= 0 && from < ROWS && !seen[from], "column %d is a permutation", c);
            seen[from < 0 || from >= ROWS ? 0 : from] = true;
            kept += from == r;
            alike += c > 0 && from == (int)lone_value(&l, &b->out, r, c - 1);
        }
    }
    /* One of each hundred stays, and one is as in the column before: 35 expected, Poisson. */
    CHECK(kept > 8 && kept < 70 && alike > 8 && alike < 70, "%d stay and %d are alike", kept, alike);
    lone_backward(&l, 10, true);
    bool silent = true;
    for (int r = 0; r < ROWS; r++)
        silent &= lone_get(&l, b->in[0].gradient, lone_index(&b->in[0], r, 3)) == 1;
    CHECK(silent, "no gradient flows back");
    const double before =
        lone_value(&l, &b->out, 1, 0) + 1e3 * lone_value(&l, &b->out, 2, 0) + 1e6 * lone_value(&l, &b->out, 3, 0);
    l.block.step++;
    lone_forward(&l, 10);
    CHECK(before != lone_value(&l, &b->out, 1, 0) + 1e3 * lone_value(&l, &b->out, 2, 0) + 1e6 * lone_value(&l, &b->out, 3, 0),
          "by step");
    l.block.training = false;
    lone_forward(&l, 10);
    for (int r = 0; r < ROWS; r++)
        CHECK(lone_value(&l, &b->out, r, 34) == r, "at rest each stays");
    lone_close(&l);
}

enum { DATA_ROWS = 60, DATA_COLUMNS = 6 };
static double data[DATA_ROWS * DATA_COLUMNS];

typedef struct latent {
    int in, mean, log_variance, z, out;
} latent;

static latent variational(program *p, int64_t width) {
    latent l;
    *p = (program){.options = plain_options(64)};
    l.in = network_input(&p->net, DATA_COLUMNS, 0);
    const int h = network_dense(&p->net, l.in, 10, AE_TANH);
    l.mean = network_dense(&p->net, h, width, AE_IDENTITY);
    l.log_variance = network_dense(&p->net, h, width, AE_IDENTITY);
    l.z = network_add(&p->net, "gaussian_sample", "z", 2, l.mean, l.log_variance);
    p->net.node[l.z].multiplicity = 1;
    l.out = network_dense(&p->net, l.z, DATA_COLUMNS, AE_IDENTITY);
    program_loss(p, "squared_error", l.out, l.in, 1);
    p->options.batch_size = 25; /* the last minibatch has 10 rows */
    return l;
}

static int constant(program *p, int64_t width, double value) {
    const int node = network_add(&p->net, "constant", NULL, 0);
    p->net.node[node].width = width;
    p->net.node[node].value[0] = value;
    return node;
}

TEST(in_networks) {
    program p;
    latent l = variational(&p, 4);
    int prior = network_add(&p.net, "mixture_log_ratio", "prior", 3, l.z, l.mean, l.log_variance);
    p.net.node[prior].size[0] = 5;
    program_loss(&p, "log_cosh", prior, constant(&p, 1, -3), 0.1);
    program_stage(&p, "adam");
    lone_check_training("a mixture as prior", &p, 3, data, DATA_ROWS, DATA_COLUMNS);
    l = variational(&p, 4);
    prior = network_add(&p.net, "total_correlation", "tc", 3, l.z, l.mean, l.log_variance);
    p.net.node[prior].value[0] = DATA_ROWS;
    program_loss(&p, "log_cosh", prior, constant(&p, 3, -3), 0.1);
    program_stage(&p, "adam");
    lone_check_training("total correlation", &p, 3, data, DATA_ROWS, DATA_COLUMNS);
    l = variational(&p, 4);
    prior = network_add(&p.net, "mmd", "mmd", 1, l.z);
    program_loss(&p, "log_cosh", prior, constant(&p, 1, -3), 0.1);
    program_stage(&p, "adam");
    lone_check_training("discrepancy", &p, 3, data, DATA_ROWS, DATA_COLUMNS);
}

/* Minibatches whose pairs of rows are work for many threads, while their rows alone are for one. */
TEST(pairs_of_rows_among_threads) {
    enum { MANY = 150 };
    static double rows[MANY * DATA_COLUMNS];
    fill(rows, MANY * DATA_COLUMNS, -1, 1);
    for (int kind = 0; kind < 2; kind++) {
        program p;
        const latent l = variational(&p, 4);
        const int prior = kind ? network_add(&p.net, "mmd", "it", 1, l.z)
                               : network_add(&p.net, "total_correlation", "it", 3, l.z, l.mean, l.log_variance);
        p.net.node[prior].value[0] = kind ? 0 : MANY;
        program_loss(&p, "log_cosh", prior, constant(&p, kind ? 1 : 3, -3), 0.1);
        program_stage(&p, "adam");
        p.options.batch_size = MANY;
        ae_context context = {AE_OK, ""};
        ae_trainer *t;
        CHECK(program_trainer(&context, &p, &t) == AE_OK, "%s", context.message);
        const ae_net *net = ae_trainer_net(t);
        CHECK(net->flops_per_row * MANY < 1e6 && net->flops_per_pair * MANY * MANY > 1e7, "%g a row and %g a pair",
              net->flops_per_row, net->flops_per_pair);
        ae_trainer_free(t);
        lone_check_training(kind ? "mmd" : "total_correlation", &p, 1, rows, MANY, DATA_COLUMNS);
    }
}

/* Pseudo-inputs through the encoder, whose parameters have two uses. */
TEST(a_vamp_prior_in_a_network) {
    program p;
    const latent l = variational(&p, 4);
    const int u = network_add(&p.net, "pseudo_inputs", "u", 0);
    p.net.node[u].size[0] = 15;
    p.net.node[u].width = DATA_COLUMNS;
    const int h = network_dense(&p.net, u, 10, AE_TANH), m = network_dense(&p.net, h, 4, AE_IDENTITY);
    const int v = network_dense(&p.net, h, 4, AE_IDENTITY), both = network_add(&p.net, "concatenate", NULL, 2, m, v);
    p.net.node[h].shares = 2;
    p.net.node[m].shares = 1 + l.mean;
    p.net.node[v].shares = 1 + l.log_variance;
    const int prior = network_add(&p.net, "vamp_log_ratio", "vamp", 4, l.z, l.mean, l.log_variance, both);
    p.net.node[prior].size[0] = 15;
    program_loss(&p, "log_cosh", prior, constant(&p, 1, -3), 0.1);
    program_stage(&p, "adam");
    lone_check_training("a VampPrior", &p, 3, data, DATA_ROWS, DATA_COLUMNS);
    ae_context context = {AE_OK, ""};
    ae_trainer *t = NULL;
    ae_epoch_result result;
    double first[15 * DATA_COLUMNS], now[15 * DATA_COLUMNS], means[15 * 4], loss[2] = {NAN, NAN};
    const ae_data bound = dense_data(data, AE_F64, DATA_ROWS, DATA_COLUMNS);
    CHECK(program_trainer(&context, &p, &t) == AE_OK && ae_trainer_bind(&context, t, 0, &bound, 1, NULL) == AE_OK &&
              ae_trainer_initialize(&context, t) == AE_OK,
          "%s", context.message);
    if (!t)
        return;
    ae_net_get_parameter(ae_trainer_net(t), parameter_of(ae_trainer_net(t), "u.inputs"), first);
    CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
    ae_net_get_parameter(ae_trainer_net(t), parameter_of(ae_trainer_net(t), "u.inputs"), now);
    ae_net_get_parameter(ae_trainer_net(t), parameter_of(ae_trainer_net(t), "vamp.means"), means);
    CHECK(first[0] != now[0] && first[89] != now[89], "pseudo-inputs are trained");
    CHECK(means[0] != 0 && means[59] != 0, "components are assigned");
    /* The loss of a row does not depend on which others are evaluated with it. */
    double sum = 0;
    CHECK(ae_trainer_evaluate(&context, t, 0, 0, DATA_ROWS, false, NULL, NULL, &loss[0]) == AE_OK, "%s", context.message);
    for (int r = 0; r < DATA_ROWS; r++) {
        CHECK(ae_trainer_evaluate(&context, t, 0, r, 1, false, NULL, NULL, &loss[1]) == AE_OK, "%s", context.message);
        sum += loss[1] / DATA_ROWS;
    }
    CHECK(fabs(sum - loss[0]) < 1e-12, "%.15g in one call, %.15g row by row", loss[0], sum);
    ae_trainer_free(t);
}

/* FactorVAE (Kim and Mnih 2018): the first stage trains the network, with the discriminator's logit as a penalty; the second trains
 * the discriminator to tell codes from codes with permuted columns. Three uses of its parameters, group 1. */
static program factor_program(int *first_of_second) {
    program p;
    const latent l = variational(&p, 4);
    int stage_end = 0, d[3], logit[3];
    for (int use = 0; use < 3; use++) {
        int from = l.z;
        if (use == 1)
            *first_of_second = p.net.n;
        if (use == 2)
            from = network_add(&p.net, "permute_columns", "permuted", 1, l.z);
        d[use] = network_dense(&p.net, from, 16, AE_LEAKY_RELU);
        logit[use] = network_dense(&p.net, d[use], 1, AE_IDENTITY);
        p.net.node[d[use]].group = p.net.node[logit[use]].group = 1;
        if (use > 0) {
            p.net.node[d[use]].shares = 1 + d[0];
            p.net.node[logit[use]].shares = 1 + logit[0];
        } else {
            program_loss(&p, "log_loss", logit[0], constant(&p, 1, 0), 0.3);
            stage_end = p.net.n - 1;
        }
    }
    program_loss(&p, "log_loss", logit[1], constant(&p, 1, 1), 0.5);
    program_loss(&p, "log_loss", logit[2], constant(&p, 1, 0), 0.5);
    p.stage[0] = (ae_stage_desc){0, stage_end, 0, 2, 1u << 0, ae_rule_find("adam"), 1.0, 0, 0};
    p.stage[1] = (ae_stage_desc){*first_of_second, p.net.n - 1, 2, 2, 1u << 1, ae_rule_find("adam"), 1.0, 0, 0};
    p.n_stages = 2;
    return p;
}

TEST(a_discriminator_in_a_second_stage) {
    int second = 0;
    program p = factor_program(&second);
    lone_check_training("FactorVAE", &p, 3, data, DATA_ROWS, DATA_COLUMNS);
    /* A rate of next to nothing in either stage leaves its group alone, so the groups are each trained by their own stage. */
    for (int still = 0; still < 2; still++) {
        ae_context context = {AE_OK, ""};
        ae_trainer *t = NULL;
        ae_epoch_result result;
        program q = p;
        q.stage[still].rate_factor = 1e-300;
        const ae_data bound = dense_data(data, AE_F64, DATA_ROWS, DATA_COLUMNS);
        CHECK(program_trainer(&context, &q, &t) == AE_OK && ae_trainer_bind(&context, t, 0, &bound, 1, NULL) == AE_OK &&
                  ae_trainer_initialize(&context, t) == AE_OK,
              "%s", context.message);
        if (!t)
            return;
        int64_t n;
        double *before = copy_weights(ae_trainer_net(t), NULL, &n), *after;
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
        after = copy_weights(ae_trainer_net(t), NULL, &n);
        const ae_net *net = ae_trainer_net(t);
        int64_t at = 0;
        for (int i = 0; i < net->n_parameters; i++) {
            const int64_t count = net->parameters[i].request.rows * net->parameters[i].request.columns;
            bool changed = false;
            for (int64_t j = 0; j < count; j++)
                changed |= fabs(before[at + j] - after[at + j]) > 1e-200;
            CHECK(changed == (net->parameters[i].group != still), "stage %d stands still: %s", still, net->parameters[i].name);
            at += count;
        }
        free(before);
        free(after);
        ae_trainer_free(t);
    }
    /* With the first stage still the discriminator learns that codes of the data depend on each other: they lie on a line. */
    program q = p;
    q.stage[0].rate_factor = 1e-300;
    ae_context context = {AE_OK, ""};
    ae_trainer *t = NULL;
    ae_epoch_result result = {.loss = NAN};
    double loss[2] = {NAN, NAN};
    const ae_data bound = dense_data(data, AE_F64, DATA_ROWS, DATA_COLUMNS);
    q.net.node[2].activation = AE_IDENTITY;
    for (int i = second, n = q.net.n; i < n; i++) /* or gradients would lie where the logits did */
        if (q.net.node[i].width == 1)
            q.stage[1].last_node = network_add(&q.net, "activation", NULL, 1, i);
    CHECK(program_trainer(&context, &q, &t) == AE_OK && ae_trainer_bind(&context, t, 0, &bound, 1, NULL) == AE_OK &&
              ae_trainer_initialize(&context, t) == AE_OK,
          "%s", context.message);
    if (!t)
        return;
    double narrow[4] = {-8, -8, -8, -8};
    ae_net_set_parameter(ae_trainer_net(t), parameter_of(ae_trainer_net(t), "dense3.bias"), narrow);
    ae_trainer_commit(t);
    for (int e = 0; e < 300; e++) {
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
        if (e == 0)
            loss[0] = result.loss;
    }
    loss[1] = result.loss;
    CHECK(isfinite(loss[1]) && loss[0] != loss[1], "losses %g and %g", loss[0], loss[1]);
    ae_net *net = ae_trainer_net(t);
    double real_ones = 0, fakes = 0;
    for (int r = 0; r < 10; r++) {
        const ae_value *of_codes = &net->nodes[second + 1].binding.out, *of_permuted = NULL;
        for (int i = second + 2; i < net->n_nodes; i++)
            if (!strcmp(net->nodes[i].ops->name, "dense") && net->nodes[i].binding.out.shape.width == 1)
                of_permuted = &net->nodes[i].binding.out;
        real_ones += ((const double *)of_codes->data)[r * AE_PANEL] / 10;
        fakes += of_permuted ? ((const double *)of_permuted->data)[r * AE_PANEL] / 10 : NAN;
    }
    CHECK(real_ones > fakes + 0.5, "logits of codes %g, of permuted ones %g", real_ones, fakes);
    ae_trainer_free(t);
}

TEST(constants) {
    network net = {.n = 0};
    network_add(&net, "constant", "c", 0);
    net.node[0].width = 33;
    net.node[0].value[0] = -2.5;
    net.node[0].multiplicity = 2;
    lone l;
    if (!lone_open(&l, &net, 32, NULL, 3))
        return;
    lone_forward(&l, 2);
    for (int r = 0; r < 6; r++)
        CHECK(lone_value(&l, &l.node->binding.out, r, 32) == -2.5 && !l.node->depends_on_parameters, "row %d", r);
    lone_close(&l);
}

TEST(what_is_refused) {
    network net = over_draws("mixture_log_ratio", 3, 1, 0, 0);
    lone_refused(&net, "a mixture of 0 components");
    net = over_draws("vamp_log_ratio", 3, 1, 0, 0);
    lone_refused(&net, "0 pseudo-inputs");
    net.node[4].size[0] = 2, net.node[3].width = 5;
    lone_refused(&net, "5 features and 1 rows a sample; they must have 6");
    net = over_draws("total_correlation", 3, 2, 0, 10);
    lone_refused(&net, "one row a sample");
    net = over_draws("total_correlation", 3, 1, 0, 0);
    lone_refused(&net, "0 rows of training data");
    net.node[3].value[0] = 5, net.node[3].size[0] = 2;
    lone_refused(&net, "kind of sampling 2");
    net.n = 0;
    network_add(&net, "pseudo_inputs", "u", 0);
    net.node[0].width = 3;
    lone_refused(&net, "0 pseudo-inputs of 3 features");
    /* A prediction has no positions in a minibatch. */
    net.node[0].size[0] = 2;
    ae_context context = {AE_OK, ""};
    ae_predictor *predictor = NULL;
    const ae_status status = ae_predictor_new(&context, &predictor, 64, net.node, net.n, NULL, 0, 1);
    CHECK(status == AE_ERR_VALUE && !predictor && strstr(context.message, "node 'u': a layer of kind 'pseudo_inputs'"), "'%s'",
          context.message);
    ae_predictor_free(predictor);
    net.n = 0;
    network_add(&net, "constant", "c", 0);
    lone_refused(&net, "width is 0");
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    for (int r = 0; r < DATA_ROWS; r++)
        for (int c = 0; c < DATA_COLUMNS; c++)
            data[r * DATA_COLUMNS + c] = sin(0.61 * r) * (c + 1) * 0.4 + 0.1 * sin(3.3 * r + 1.9 * c);
    RUN(gradients_of_each_layer);
    RUN(bits_of_each_layer);
    RUN(mixtures_by_formula);
    RUN(pseudo_inputs_are_a_mixture);
    RUN(pseudo_inputs_repeat);
    RUN(total_correlation_by_formula);
    RUN(discrepancy_by_formula);
    RUN(columns_are_permuted);
    RUN(in_networks);
    RUN(pairs_of_rows_among_threads);
    RUN(a_vamp_prior_in_a_network);
    RUN(a_discriminator_in_a_second_stage);
    RUN(constants);
    RUN(what_is_refused);
    return harness_finish("test_priors");
}
