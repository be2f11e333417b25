/* Single steps of training against formulas, subsets and weights of rows, limits on weights and gradients, and what a trainer
 * refuses. */
#include "optim/lbfgs.h"
#include "trainers.h"

#define ROWS 40
#define COLUMNS 33

static double x[ROWS * COLUMNS], row_weights[ROWS];

static void fill_data(void) {
    fill(x, ROWS * COLUMNS, -1, 1);
    fill(row_weights, ROWS, 0.1, 2);
}

static ae_trainer *started(const program *p, const double *data, int64_t rows, int64_t columns, const double *row_weight) {
    const ae_data source = dense_data(data, AE_F64, rows, columns);
    return trainer_started(p, &source, 1, row_weight);
}

/* columns - hidden - columns. */
static program small_program(int bits, const char *rule, int64_t columns, int64_t hidden) {
    program p = {.options = plain_options(bits)};
    int in = network_input(&p.net, columns, 0), h = network_dense(&p.net, in, hidden, AE_TANH);
    h = network_dense(&p.net, h, columns, AE_IDENTITY);
    program_loss(&p, "squared_error", h, in, 1);
    program_stage(&p, rule);
    return p;
}

/* A rate of next to nothing, so that only the draws can make a difference. */
TEST(dropout_draws_afresh_at_each_step) {
    double loss[2][3];
    for (int run = 0; run < 2; run++) {
        program p = {.options = plain_options(64)};
        int in = network_input(&p.net, 12, 0), h = network_dropout(&p.net, in, 0.5);
        h = network_dense(&p.net, h, 12, AE_IDENTITY);
        program_loss(&p, "squared_error", h, in, 1);
        program_stage(&p, "sgd");
        p.options.schedule.base = 1e-300;
        p.options.batch_size = ROWS;
        ae_trainer *t = started(&p, x, ROWS, 12, NULL);
        if (!t)
            return;
        for (int e = 0; e < 3; e++)
            loss[run][e] = trainer_epoch(t).loss;
        ae_trainer_free(t);
    }
    CHECK(loss[0][0] != loss[0][1] && loss[0][1] != loss[0][2] && loss[0][0] != loss[0][2], "the same masks: %.17g",
          loss[0][0]);
    CHECK(!memcmp(loss[0], loss[1], sizeof loss[0]), "other masks in the second run");
}

/* The trainer's iterations against the method itself, fed from another trainer's gradients. */
TEST(lbfgs_by_hand) {
    for (int bits = 32; bits <= 64; bits += 32) {
        program p = small_program(bits, NULL, COLUMNS, 9);
        p.net.node[1].activation = AE_GELU;
        p.options.lbfgs_gtol = 1e-7;
        ae_trainer *t = started(&p, x, ROWS, COLUMNS, row_weights), *other = started(&p, x, ROWS, COLUMNS, row_weights);
        if (!t || !other)
            return;
        const ae_net *net = ae_trainer_net(other);
        const size_t bytes = (size_t)net->parameter_reals * net->real_size;
        ae_context context;
        ae_lbfgs *method;
        char *at = malloc(bytes), *gradient = malloc(bytes);
        const void *region;
        double value;
        CHECK(ae_lbfgs_new(&context, &method, bits, net->isa, net->parameter_reals, p.options.lbfgs_memory,
                           p.options.lbfgs_max_evaluations, p.options.lbfgs_gtol) == AE_OK,
              "%s", context.message);
        memcpy(at, net->parameter_base, bytes);
        ae_trainer_gradient(&context, other, 0, true, &value, &region);
        memcpy(gradient, region, bytes);
        for (int e = 0; e < 8; e++) {
            ae_lbfgs_request request;
            while ((request = ae_lbfgs_advance(method, at, &value, gradient)) == AE_LBFGS_EVALUATE) {
                memcpy(net->parameter_base, at, bytes);
                ae_net_pack_all(net);
                ae_trainer_gradient(&context, other, 0, true, &value, &region);
                memcpy(gradient, region, bytes);
            }
            const ae_epoch_result result = trainer_epoch(t);
            CHECK(request == AE_LBFGS_ITERATED && !result.converged && result.loss == value && result.steps == e + 1,
                  "iteration %d: loss %.17g, not %.17g", e, result.loss, value);
            CHECK(!memcmp(ae_trainer_net(t)->parameter_base, at, bytes), "f%d, iteration %d: weights", bits, e);
        }
        free(at);
        free(gradient);
        ae_lbfgs_free(method);
        ae_trainer_free(t);
        ae_trainer_free(other);
    }
}

/* y = w x + b with squared error, three minibatches an epoch, by hand. */
TEST(plain_descent_by_hand) {
    program p = {.options = plain_options(64)};
    int in = network_input(&p.net, 1, 0), y = network_dense(&p.net, in, 1, AE_IDENTITY);
    program_loss(&p, "squared_error", y, in, 3);
    program_stage(&p, "sgd");
    p.options.rule_options.momentum = 0;
    p.options.batch_size = 4;
    p.options.schedule.kind = AE_SCHEDULE_LINEAR;
    p.options.schedule.total_steps = 10;
    p.options.l2 = 0.3;
    ae_trainer *t = started(&p, x, 10, 1, row_weights);
    if (!t)
        return;
    double w = 0.4, b = -0.2, mean_weight = 0;
    for (int i = 0; i < 10; i++)
        mean_weight += row_weights[i] / 10;
    ae_net_set_parameter(ae_trainer_net(t), 0, &w);
    ae_net_set_parameter(ae_trainer_net(t), 1, &b);
    int step = 0;
    for (int e = 0; e < 3; e++) {
        double loss = 0, rate = 0, got_w, got_b;
        for (int from = 0; from < 10; from += 4) {
            const int rows = 10 - from < 4 ? 10 - from : 4;
            double of_w = 0, of_b = 0;
            for (int i = from; i < from + rows; i++) {
                const double off = w * x[i] + b - x[i], weight = row_weights[i] / mean_weight;
                loss += 3 * weight * off * off / 10;
                /* Divided by the rows of the batch, not by their weight. */
                of_w += 3 * weight * 2 * off * x[i] / rows;
                of_b += 3 * weight * 2 * off / rows;
            }
            rate = 0.01 * (1 - (double)step++ / 10);
            w -= rate * (of_w + 0.3 * w);
            b -= rate * of_b;
        }
        const ae_epoch_result result = trainer_epoch(t);
        ae_net_get_parameter(ae_trainer_net(t), 0, &got_w);
        ae_net_get_parameter(ae_trainer_net(t), 1, &got_b);
        CHECK(fabs(got_w - w) < 1e-14 && fabs(got_b - b) < 1e-14, "epoch %d: %.17g %.17g, not %.17g %.17g", e, got_w, got_b, w,
              b);
        CHECK(fabs(result.loss - loss) < 1e-14 && fabs(result.rate - rate) < 1e-17 && result.steps == step && !result.converged,
              "epoch %d: loss %.17g, not %.17g; rate %g, not %g", e, result.loss, loss, result.rate, rate);
    }
    ae_trainer_free(t);
}

/* One step of plain descent from the gradient, with the limit on its norm or on its entries. */
TEST(clipping_by_hand) {
    for (int kind = 0; kind < 4; kind++)
        for (int chunk = 0; chunk < 2; chunk++) {
            program p = small_program(64, "sgd", 7, 5);
            int64_t n;
            double loss, norm = 0;
            ae_context context;
            const void *region;
            p.options.rule_options.momentum = 0;
            p.options.batch_size = ROWS;
            p.options.chunk_rows = chunk ? 8 : 0;
            p.options.clip_norm = kind == 0 ? 0.05 : 1e6;
            p.options.clip_value = kind == 1 ? 0.01 : INFINITY;
            if (kind == 3)
                p.options.clip_norm = 0.05, p.options.clip_value = 0.005;
            ae_trainer *t = started(&p, x, ROWS, 7, row_weights);
            if (!t)
                return;
            CHECK(ae_trainer_gradient(&context, t, 0, true, &loss, &region) == AE_OK, "%s", context.message);
            double *g = copy_weights(ae_trainer_net(t), region, &n), *before = copy_weights(ae_trainer_net(t), NULL, &n);
            for (int64_t i = 0; i < n; i++)
                norm += g[i] * g[i];
            norm = sqrt(norm);
            CHECK(norm > 0.06, "the limit of %g matters for %g", 0.05, norm);
            trainer_epoch(t);
            double *after = copy_weights(ae_trainer_net(t), NULL, &n), worst = 0;
            for (int64_t i = 0; i < n; i++) {
                double clipped = norm > p.options.clip_norm ? g[i] * (p.options.clip_norm / norm) : g[i];
                clipped = fmax(-p.options.clip_value, fmin(p.options.clip_value, clipped));
                worst = fmax(worst, fabs(before[i] - 0.01 * clipped - after[i]));
            }
            CHECK(worst < 1e-15, "kind %d: off by %g", kind, worst);
            free(g);
            free(before);
            free(after);
            ae_trainer_free(t);
        }
}

TEST(max_norm_bounds_units) {
    for (int bits = 32; bits <= 64; bits += 32) {
        program p = small_program(bits, "sgd", COLUMNS, 40);
        p.options.max_norm = 0.5;
        p.options.schedule.base = 2;
        p.options.batch_size = 16;
        ae_trainer *t = started(&p, x, ROWS, COLUMNS, NULL);
        if (!t)
            return;
        for (int e = 0; e < 4; e++) {
            int at_the_limit = 0;
            trainer_epoch(t);
            int64_t n, at = 0;
            double *all = copy_weights(ae_trainer_net(t), NULL, &n);
            for (int i = 0; i < ae_trainer_net(t)->n_parameters; i++) {
                const ae_parameter_request *r = &ae_trainer_net(t)->parameters[i].request;
                for (int64_t c = 0; c < r->columns; c++) {
                    double square = 0;
                    for (int64_t row = 0; row < r->rows; row++)
                        square += all[at + row * r->columns + c] * all[at + row * r->columns + c];
                    if (r->decays)
                        CHECK(sqrt(square) <= 0.5 * (1 + (bits == 32 ? 1e-6 : 1e-14)), "%s, unit %d: norm %.17g",
                              ae_trainer_net(t)->parameters[i].name, (int)c, sqrt(square));
                    at_the_limit += r->decays && sqrt(square) > 0.5 * (1 - 1e-6);
                }
                at += r->rows * r->columns;
            }
            CHECK(at_the_limit > 10, "%d units are at the limit", at_the_limit);
            free(all);
        }
        ae_trainer_free(t);
    }
}

/* Sums of distinct powers of two tell which rows they are of. */
static uint64_t rows_of(double mean, int64_t count) { return (uint64_t)llround(mean * (double)count); }

TEST(subsets_are_disjoint_and_cover) {
    double powers[ROWS];
    for (int i = 0; i < ROWS; i++)
        powers[i] = exp2(i);
    for (int shuffle = 0; shuffle < 2; shuffle++)
        for (int split = 0; split < 2; split++) {
            program p = {.options = plain_options(64)};
            int in = network_input(&p.net, 1, 0), y = network_dense(&p.net, in, 1, AE_IDENTITY);
            p.net.node[y].initializer = AE_INIT_ZERO;
            program_loss(&p, "absolute_error", y, in, 1);
            program_stage(&p, "sgd");
            p.options.shuffle = shuffle;
            p.options.batch_size = 64;
            ae_trainer *t = started(&p, powers, ROWS, 1, NULL);
            if (!t)
                return;
            const int64_t count = 29, rest = ROWS - count;
            ae_context context;
            double held_out, kept, mean, variance;
            CHECK(ae_trainer_subset(&context, t, rest, count, split) == AE_OK, "%s", context.message);
            CHECK(ae_trainer_evaluate(&context, t, 0, 0, rest, split, NULL, NULL, &held_out) == AE_OK, "%s", context.message);
            CHECK(ae_trainer_evaluate(&context, t, 0, rest, count, split, NULL, NULL, &kept) == AE_OK, "%s", context.message);
            CHECK(ae_trainer_moments(&context, t, 0, &mean, &variance) == AE_OK, "%s", context.message);
            const uint64_t out = rows_of(held_out, rest), in_use = rows_of(kept, count), all = ((uint64_t)1 << ROWS) - 1;
            CHECK((out & in_use) == 0 && (out | in_use) == all, "held out %llx, kept %llx", (unsigned long long)out,
                  (unsigned long long)in_use);
            CHECK(split != (out == ((uint64_t)1 << rest) - 1), "split %d: held out %llx", split, (unsigned long long)out);
            CHECK(rows_of(mean, count) == in_use, "moments of %llx", (unsigned long long)rows_of(mean, count));
            CHECK(rows_of(trainer_epoch(t).loss, count) == in_use, "training on other rows than %llx",
                  (unsigned long long)in_use);
            CHECK(ae_trainer_moments(&context, t, 0, &mean, &variance) == AE_OK && rows_of(mean, count) == in_use,
                  "the split moves on");
            ae_trainer_free(t);
        }
}

TEST(moments_by_their_definition) {
    static const int64_t firsts[] = {0, 3};
    for (int k = 0; k < 2; k++) {
        const int64_t first = firsts[k], count = ROWS - 2 * first;
        program p = small_program(64, "sgd", COLUMNS, 2);
        p.options.chunk_rows = 8;
        ae_trainer *t = started(&p, x, ROWS, COLUMNS, row_weights);
        ae_context context;
        double mean[COLUMNS], variance[COLUMNS], total = 0;
        if (!t)
            return;
        CHECK(ae_trainer_subset(&context, t, first, count, false) == AE_OK, "%s", context.message);
        CHECK(ae_trainer_moments(&context, t, 0, mean, variance) == AE_OK, "%s", context.message);
        CHECK(ae_trainer_moments(&context, t, 1, mean, variance) == AE_ERR_VALUE && ae_trainer_source_width(t, 1) == 0,
              "no such source");
        for (int64_t i = first; i < first + count; i++)
            total += row_weights[i];
        for (int c = 0; c < COLUMNS; c++) {
            double m = 0, v = 0;
            for (int64_t i = first; i < first + count; i++)
                m += row_weights[i] / total * x[i * COLUMNS + c];
            for (int64_t i = first; i < first + count; i++)
                v += row_weights[i] / total * (x[i * COLUMNS + c] - m) * (x[i * COLUMNS + c] - m);
            CHECK(fabs(mean[c] - m) < 1e-15 && fabs(variance[c] - v) < 1e-15, "column %d: %g %g, not %g %g", c, mean[c],
                  variance[c], m, v);
        }
        ae_trainer_free(t);
    }
}

TEST(rows_without_weight_are_not_there) {
    double some[ROWS * COLUMNS], zeros[ROWS], weights[ROWS];
    int64_t n_some = 0;
    for (int i = 0; i < ROWS; i++) {
        zeros[i] = i % 3 == 1 ? 0 : row_weights[i];
        if (zeros[i] != 0) {
            memcpy(some + n_some * COLUMNS, x + i * COLUMNS, COLUMNS * sizeof *x);
            weights[n_some++] = row_weights[i];
        }
    }
    program p = small_program(64, "adam", COLUMNS, 17);
    p.options.batch_size = ROWS;
    p.options.clip_norm = 1e300;
    ae_trainer *all = started(&p, x, ROWS, COLUMNS, zeros), *few = started(&p, some, n_some, COLUMNS, weights);
    if (!all || !few)
        return;
    for (int e = 0; e < 3; e++) {
        ae_context context;
        double loss_all, loss_few, worst = 0, largest = 0;
        const void *region_all, *region_few;
        int64_t n;
        ae_trainer_gradient(&context, all, 0, false, &loss_all, &region_all);
        ae_trainer_gradient(&context, few, 0, false, &loss_few, &region_few);
        double *g_all = copy_weights(ae_trainer_net(all), region_all, &n),
               *g_few = copy_weights(ae_trainer_net(few), region_few, &n);
        for (int64_t i = 0; i < n; i++) {
            worst = fmax(worst, fabs(g_all[i] - g_few[i]));
            largest = fmax(largest, fabs(g_all[i]));
        }
        CHECK(fabs(loss_all - loss_few) <= 1e-13 * loss_all && worst <= 1e-12 * largest && largest > 1e-3,
              "loss %.17g and %.17g, gradients differ by %g of %g", loss_all, loss_few, worst, largest);
        free(g_all);
        free(g_few);
        trainer_epoch(all);
        trainer_epoch(few);
    }
    ae_trainer_free(all);
    ae_trainer_free(few);
}

/* Rows without weight whose prediction overflows: their derivative is infinite, their gradient nothing. */
TEST(rows_without_weight_may_overflow) {
    static const char *const losses[] = {"poisson", "squared_error", "poisson", "multinomial", "log_cosh"};
    for (int bits = 32; bits <= 64; bits += 32)
        for (int l = 0; l < 5; l++) {
            double tame[ROWS * 3], wild[ROWS * 3], zeros[ROWS];
            for (int i = 0; i < ROWS * 3; i++) {
                zeros[i / 3] = i / 3 % 7 == 1 || i / 3 % 7 > 4 ? 0 : row_weights[i / 3];
                tame[i] = wild[i] = 1 + x[i];
                if (zeros[i / 3] == 0)
                    wild[i] = bits == 32 ? 1e30 : 1e300;
            }
            program p = {.options = plain_options(bits)};
            int in = network_input(&p.net, 3, 0), h = network_dense(&p.net, in, 3, l == 1 ? AE_EXP : AE_IDENTITY);
            program_loss(&p, losses[l], h, in, 1);
            if (l == 2)
                program_loss(&p, "poisson", h, in, 0.5); /* adds to the gradient of the first */
            program_stage(&p, "sgd");
            p.options.batch_size = 16;
            p.options.schedule.base = 1e-3;
            ae_trainer *a = started(&p, tame, ROWS, 3, zeros), *b = started(&p, wild, ROWS, 3, zeros);
            if (!a || !b)
                return;
            double w[9] = {1, 0.1, 0.2, 0.3, 0.9, 0.2, 0.1, 0.4, 0.8};
            float w32[9];
            for (int i = 0; i < 9; i++)
                w32[i] = (float)w[i];
            ae_net_set_parameter(ae_trainer_net(a), 0, bits == 32 ? (void *)w32 : (void *)w);
            ae_net_set_parameter(ae_trainer_net(b), 0, bits == 32 ? (void *)w32 : (void *)w);
            for (int e = 0; e < 3; e++)
                CHECK(trainer_epoch(a).loss == trainer_epoch(b).loss, "f%d %s: another loss", bits, losses[l]);
            CHECK(!memcmp(ae_trainer_net(a)->parameter_base, ae_trainer_net(b)->parameter_base,
                          (size_t)ae_trainer_net(a)->parameter_reals * ae_trainer_net(a)->real_size),
                  "f%d %s: other weights", bits, losses[l]);
            ae_trainer_free(a);
            ae_trainer_free(b);
        }
}

/* What exp leaves in the padding of 10 units (e^0 = 1) reaches nothing: neither the products nor the norm to clip by. */
TEST(a_hidden_layer_of_exp) {
    for (int bits = 32; bits <= 64; bits += 32)
        for (int clips = 0; clips < 2; clips++) {
            program p = {.options = plain_options(bits)};
            int in = network_input(&p.net, 5, 0), h = network_dense(&p.net, in, 10, AE_EXP);
            h = network_dense(&p.net, h, 5, AE_IDENTITY);
            program_loss(&p, "squared_error", h, in, 1);
            program_stage(&p, "sgd");
            p.options.rule_options.momentum = 0;
            p.options.batch_size = ROWS;
            p.options.schedule.base = 0.05;
            p.options.clip_norm = clips ? 0.3 : INFINITY;
            ae_trainer *t = started(&p, x, ROWS, 5, NULL);
            if (!t)
                return;
            int64_t n;
            double *w = copy_weights(ae_trainer_net(t), NULL, &n), first = 0, last = 0, worst = 0;
            const double *b0 = w + 50, *w1 = w + 60, *b1 = w + 110;
            double g[115] = {0}, norm = 0, loss = 0;
            CHECK(n == 115, "%d weights", (int)n);
            for (int r = 0; r < ROWS; r++) {
                double hidden[10], delta[5];
                for (int j = 0; j < 10; j++) {
                    hidden[j] = b0[j];
                    for (int i = 0; i < 5; i++)
                        hidden[j] += x[r * 5 + i] * w[i * 10 + j];
                    hidden[j] = exp(hidden[j]);
                }
                for (int k = 0; k < 5; k++) {
                    double y = b1[k];
                    for (int j = 0; j < 10; j++)
                        y += hidden[j] * w1[j * 5 + k];
                    loss += (y - x[r * 5 + k]) * (y - x[r * 5 + k]) / 5 / ROWS;
                    delta[k] = 2 * (y - x[r * 5 + k]) / 5 / ROWS;
                    g[110 + k] += delta[k];
                }
                for (int j = 0; j < 10; j++) {
                    double back = 0;
                    for (int k = 0; k < 5; k++) {
                        g[60 + j * 5 + k] += hidden[j] * delta[k];
                        back += w1[j * 5 + k] * delta[k];
                    }
                    g[50 + j] += back * hidden[j];
                    for (int i = 0; i < 5; i++)
                        g[i * 10 + j] += x[r * 5 + i] * back * hidden[j];
                }
            }
            for (int i = 0; i < 115; i++)
                norm += g[i] * g[i];
            CHECK(sqrt(norm) > 0.3, "the limit matters for %g", sqrt(norm));
            const double scale = clips ? 0.3 / sqrt(norm) : 1, tolerance = bits == 32 ? 2e-6 : 1e-14;
            first = trainer_epoch(t).loss;
            double *after = copy_weights(ae_trainer_net(t), NULL, &n);
            for (int i = 0; i < 115; i++)
                worst = fmax(worst, fabs(w[i] - 0.05 * scale * g[i] - after[i]));
            CHECK(worst < tolerance && fabs(first - loss) < tolerance * (1 + loss),
                  "f%d, clips %d: off by %g; loss %.17g, not %.17g", bits, clips, worst, first, loss);
            for (int e = 0; e < 40; e++)
                last = trainer_epoch(t).loss;
            CHECK(last < 0.8 * first, "f%d, clips %d: from %g to %g", bits, clips, first, last);
            free(w);
            free(after);
            ae_trainer_free(t);
        }
}

TEST(one_row_and_batches_beyond_the_rows) {
    static const int64_t rows[] = {1, 2, 7};
    for (int k = 0; k < 3; k++) {
        program p = small_program(32, "adam", COLUMNS, 3);
        p.options.batch_size = rows[k];
        ae_trainer *exact = started(&p, x, rows[k], COLUMNS, NULL);
        p.options.batch_size = 1000;
        p.options.n_threads = 2;
        ae_trainer *beyond = started(&p, x, rows[k], COLUMNS, NULL);
        p.options.batch_size = INT32_MAX - 1;
        p.options.chunk_rows = 64;
        ae_trainer *far_beyond = started(&p, x, rows[k], COLUMNS, NULL);
        if (!exact || !beyond || !far_beyond)
            return;
        const size_t bytes = (size_t)ae_trainer_net(exact)->parameter_reals * 4;
        double first = 0, last = 0;
        for (int e = 0; e < 10; e++) {
            last = trainer_epoch(exact).loss;
            first = e ? first : last;
            CHECK(last == trainer_epoch(beyond).loss && last == trainer_epoch(far_beyond).loss, "%d rows", (int)rows[k]);
        }
        CHECK(last < first, "%d rows: the loss does not fall", (int)rows[k]);
        CHECK(!memcmp(ae_trainer_net(exact)->parameter_base, ae_trainer_net(beyond)->parameter_base, bytes) &&
                  !memcmp(ae_trainer_net(exact)->parameter_base, ae_trainer_net(far_beyond)->parameter_base, bytes),
              "%d rows: weights", (int)rows[k]);
        ae_trainer_free(exact);
        ae_trainer_free(beyond);
        ae_trainer_free(far_beyond);
    }
}

static double padded(const ae_net *net, const void *region, int64_t at) {
    return net->bits == 32 ? (double)((const float *)region)[at] : ((const double *)region)[at];
}

/* Columns that no unit has: zero in weights, state and transposes, whatever the way of the gradient. */
TEST(padding_stays_zero) {
    static const int64_t widths[] = {1, 15, 16, 17, 33, 32, 2};
    static const char *const rules[] = {"adam", "sgd", NULL};
    for (int bits = 32; bits <= 64; bits += 32)
        for (int way = 0; way < 12; way++) {
            program p = {.options = plain_options(bits)};
            int in = network_input(&p.net, COLUMNS, 0), h = in;
            for (int i = 0; i < 7; i++) {
                /* exp of what is left in a padding again and again would not stay finite. */
                h = network_dense(&p.net, h, widths[i], i == 1 ? AE_EXP : i == 3 ? AE_SOFTMAX : i == 4 ? AE_SOFTPLUS : AE_GELU);
                if (i == 2) {
                    int other = network_dense(&p.net, h, 11, AE_LOGISTIC);
                    h = network_add(&p.net, "concatenate", NULL, 2, h, other);
                }
            }
            h = network_dense(&p.net, h, COLUMNS, AE_IDENTITY);
            program_loss(&p, "squared_error", h, in, 1);
            program_stage(&p, rules[way % 3]);
            p.options.batch_size = 24;
            p.options.chunk_rows = way / 3 & 1 ? 8 : 0;
            p.options.by_panels = way & 1 ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
            p.options.clip_norm = way / 6 && rules[way % 3] ? 0.5 : INFINITY;
            p.options.max_norm = way / 6 && rules[way % 3] ? 3 : INFINITY;
            p.options.l2 = 1e-3;
            ae_trainer *t = started(&p, x, ROWS, COLUMNS, row_weights);
            if (!t)
                return;
            for (int e = 0; e < 12; e++)
                trainer_epoch(t);
            const ae_net *net = ae_trainer_net(t);
            for (int i = 0; i < net->n_parameters; i++) {
                const ae_parameter *q = &net->parameters[i];
                int64_t wrong = 0, wrong_state = 0, wrong_transpose = 0;
                for (int64_t panel = 0; panel < ae_panels(q->request.columns); panel++)
                    for (int64_t row = 0; row < q->request.rows; row++)
                        for (int c = ae_panel_columns(q->request.columns, panel); c < AE_PANEL; c++) {
                            const int64_t at = q->offset + (panel * q->request.rows + row) * AE_PANEL + c;
                            wrong += padded(net, net->parameter_base, at) != 0;
                            for (int k = 0; k < ae_trainer_n_state(t); k++)
                                wrong_state += padded(net, trainer_state_part(t, k).data, at) != 0;
                        }
                for (int64_t panel = 0; q->transposed_offset >= 0 && panel < ae_panels(q->request.rows); panel++)
                    for (int64_t row = 0; row < q->request.columns; row++)
                        for (int c = ae_panel_columns(q->request.rows, panel); c < AE_PANEL; c++)
                            wrong_transpose +=
                                padded(net, net->transposed_base,
                                       q->transposed_offset + (panel * q->request.columns + row) * AE_PANEL + c) != 0;
                CHECK(!wrong && !wrong_state && !wrong_transpose,
                      "f%d way %d: %s: %d of weights, %d of state, %d of the transpose", bits, way, q->name, (int)wrong,
                      (int)wrong_state, (int)wrong_transpose);
            }
            ae_trainer_free(t);
        }
}

/* ---- what a trainer refuses ---- */

#define WRONG(change, wanted)                                                                                                \
    do {                                                                                                                     \
        program p = small_program(64, "adam", 3, 2);                                                                         \
        ae_context context = {AE_OK, ""};                                                                                    \
        ae_trainer *t = NULL;                                                                                                \
        change;                                                                                                              \
        const ae_status status = program_trainer(&context, &p, &t);                                                          \
        CHECK(status == (wanted) && !t && context.message[0], "%s: status %d, '%s'", #change, (int)status, context.message); \
        ae_trainer_free(t);                                                                                                  \
    } while (0)

TEST(wrong_programs_are_refused) {
    const int64_t live = ae_alloc_live();
    WRONG(p.options.bits = 16, AE_ERR_UNAVAILABLE);
    WRONG(p.options.n_threads = 0, AE_ERR_VALUE);
    WRONG(p.options.n_threads = 1 << 20, AE_ERR_VALUE);
    WRONG(p.options.batch_size = 0, AE_ERR_VALUE);
    WRONG(p.options.batch_size = -5, AE_ERR_VALUE);
    WRONG(p.options.chunk_rows = -8, AE_ERR_VALUE);
    WRONG(p.options.chunk_rows = 12, AE_ERR_VALUE);
    WRONG(p.options.by_panels = (ae_by_panels)(AE_BY_PANELS_NEVER + 1), AE_ERR_VALUE);
    WRONG((p.options.chunk_rows = INT64_MAX - 7, p.options.batch_size = INT64_MAX), AE_ERR_OVERFLOW);
    WRONG(p.options.schedule.kind = AE_SCHEDULE_KINDS, AE_ERR_VALUE);
    WRONG(p.options.schedule.base = 0, AE_ERR_VALUE);
    WRONG(p.options.schedule.base = NAN, AE_ERR_VALUE);
    WRONG(p.options.schedule.total_steps = 0, AE_ERR_VALUE);
    WRONG((p.options.schedule.kind = AE_SCHEDULE_STEP, p.options.schedule.period = 0), AE_ERR_VALUE);
    WRONG(p.options.l1 = -1, AE_ERR_VALUE);
    WRONG(p.options.l2 = NAN, AE_ERR_VALUE);
    WRONG(p.options.l2 = INFINITY, AE_ERR_VALUE);
    WRONG(p.options.max_norm = 0, AE_ERR_VALUE);
    WRONG(p.options.clip_norm = NAN, AE_ERR_VALUE);
    WRONG(p.options.clip_value = -1, AE_ERR_VALUE);
    WRONG(p.n_losses = 0, AE_ERR_VALUE);
    WRONG(p.n_losses = 17, AE_ERR_VALUE);
    WRONG(p.loss[0].loss = 99, AE_ERR_VALUE);
    WRONG(p.loss[0].loss = -1, AE_ERR_VALUE);
    WRONG(p.loss[0].prediction = 3, AE_ERR_VALUE);
    WRONG(p.loss[0].prediction = -1, AE_ERR_VALUE);
    WRONG(p.loss[0].target = 3, AE_ERR_VALUE);
    WRONG(p.loss[0].target = 1, AE_ERR_VALUE);
    WRONG(p.loss[0].weight = -1, AE_ERR_VALUE);
    WRONG(p.loss[0].weight = INFINITY, AE_ERR_VALUE);
    WRONG((p.loss[0].loss = ae_loss_find("huber"), p.loss[0].parameter = 0), AE_ERR_VALUE);
    WRONG(p.n_stages = 0, AE_ERR_VALUE);
    WRONG(p.n_stages = 9, AE_ERR_VALUE);
    WRONG(p.stage[0].first_node = -1, AE_ERR_VALUE);
    WRONG(p.stage[0].last_node = 3, AE_ERR_VALUE);
    WRONG((p.stage[0].first_node = 2, p.stage[0].last_node = 1), AE_ERR_VALUE);
    WRONG(p.stage[0].last_node = 1, AE_ERR_VALUE);
    WRONG(p.stage[0].first_node = 1, AE_ERR_VALUE);
    WRONG(p.stage[0].n_losses = 0, AE_ERR_VALUE);
    WRONG(p.stage[0].n_losses = 2, AE_ERR_VALUE);
    WRONG(p.stage[0].n_losses = INT32_MAX, AE_ERR_VALUE);
    WRONG(p.stage[0].first_loss = -1, AE_ERR_VALUE);
    WRONG((p.stage[0].first_loss = INT32_MAX, p.stage[0].n_losses = INT32_MAX), AE_ERR_VALUE);
    WRONG(p.stage[0].groups = 0, AE_ERR_VALUE);
    WRONG(p.stage[0].groups = 2, AE_ERR_VALUE);
    WRONG(p.stage[0].rule = 99, AE_ERR_VALUE);
    WRONG(p.stage[0].rate_factor = 0, AE_ERR_VALUE);
    WRONG(p.stage[0].rate_factor = NAN, AE_ERR_VALUE);
    WRONG((p.stage[1] = p.stage[0], p.stage[1].rule = -1, p.n_stages = 2), AE_ERR_VALUE);
    WRONG((p.stage[0].rule = -1, p.options.l1 = 1e-3), AE_ERR_VALUE);
    WRONG((p.stage[0].rule = -1, p.options.max_norm = 3), AE_ERR_VALUE);
    WRONG((p.stage[0].rule = -1, p.options.clip_value = 1), AE_ERR_VALUE);
    WRONG((p.stage[0].rule = -1, p.options.clip_norm = 1), AE_ERR_VALUE);
    WRONG((p.stage[0].rule = -1, p.options.lbfgs_memory = 0), AE_ERR_VALUE);
    WRONG((p.stage[0].rule = -1, p.options.lbfgs_max_evaluations = 0), AE_ERR_VALUE);
    WRONG(p.net.node[1].inputs[0] = 1, AE_ERR_VALUE);
    CHECK(ae_alloc_live() == live, "%d blocks are left", (int)(ae_alloc_live() - live));
}

TEST(wrong_calls_are_refused) {
    program p = small_program(64, "adam", 3, 2);
    ae_context context;
    ae_trainer *t = NULL;
    ae_epoch_result result;
    double loss, mean[3], none[ROWS] = {0}, broken[ROWS];
    const void *region;
    CHECK(program_trainer(&context, &p, &t) == AE_OK, "%s", context.message);
    if (!t)
        return;
    CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_ERR_STATE, "an epoch without data");
    CHECK(ae_trainer_evaluate(&context, t, 0, 0, 1, false, NULL, NULL, &loss) == AE_ERR_VALUE, "evaluate without data");
    CHECK(ae_trainer_subset(&context, t, 0, 1, false) == AE_ERR_VALUE, "subset without data");
    CHECK(ae_trainer_moments(&context, t, 0, mean, mean) == AE_ERR_VALUE, "moments without data");
    CHECK(ae_trainer_gradient(&context, t, 0, false, &loss, &region) == AE_ERR_STATE, "gradient without data");
    ae_data d[2] = {dense_data(x, AE_F64, ROWS, 3), dense_data(x, AE_F64, ROWS, 4)};
    CHECK(ae_trainer_bind(&context, t, 2, d, 1, NULL) == AE_ERR_VALUE &&
              ae_trainer_bind(&context, t, -1, d, 1, NULL) == AE_ERR_VALUE,
          "slot");
    CHECK(ae_trainer_bind(&context, t, 0, d, 0, NULL) == AE_ERR_VALUE &&
              ae_trainer_bind(&context, t, 0, d, 5, NULL) == AE_ERR_VALUE,
          "sources");
    CHECK(ae_trainer_bind(&context, t, 0, d + 1, 1, NULL) == AE_ERR_VALUE, "4 features where 3 are wanted");
    d[1].rows--;
    CHECK(ae_trainer_bind(&context, t, 0, d, 2, NULL) == AE_ERR_VALUE, "numbers of rows that differ");
    d[1].rows = 0;
    CHECK(ae_trainer_bind(&context, t, 0, d + 1, 1, NULL) == AE_ERR_VALUE, "no rows");
    CHECK(ae_trainer_bind(&context, t, 0, d, 1, NULL) == AE_OK && ae_trainer_initialize(&context, t) == AE_OK, "%s",
          context.message);
    CHECK(ae_trainer_evaluate(&context, t, 0, 0, ROWS, false, NULL, NULL, &loss) == AE_OK, "%s", context.message);
    /* A bind that fails leaves the data of before, as the caller may free what it refused. */
    double *gone = calloc(3 * 7, sizeof *gone);
    const ae_data refused = dense_data(gone, AE_F64, 7, 3);
    CHECK(ae_trainer_bind(&context, t, 0, &refused, 1, none) == AE_ERR_VALUE, "weights that are all zero");
    for (int i = 0; i < ROWS; i++)
        broken[i] = i == 5 ? INFINITY : 1;
    CHECK(ae_trainer_bind(&context, t, 0, &refused, 1, broken) == AE_ERR_VALUE, "a weight that is infinite");
    free(gone);
    double again;
    CHECK(ae_trainer_evaluate(&context, t, 0, 0, ROWS, false, NULL, NULL, &again) == AE_OK && again == loss,
          "the data of before");
    CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK && result.steps == 2, "%s", context.message);
    static const int64_t wrong[][2] = {{-1, 2},   {0, 0},         {0, ROWS + 1},  {ROWS, 1},
                                       {1, ROWS}, {INT64_MAX, 2}, {5, INT64_MAX}, {3, INT64_MIN}};
    for (int i = 0; i < 8; i++) {
        CHECK(ae_trainer_subset(&context, t, wrong[i][0], wrong[i][1], false) == AE_ERR_VALUE, "subset %d", i);
        CHECK(ae_trainer_evaluate(&context, t, 0, wrong[i][0], wrong[i][1], false, NULL, NULL, &loss) == AE_ERR_VALUE,
              "evaluate %d", i);
    }
    CHECK(ae_trainer_evaluate(&context, t, 1, 0, 1, false, NULL, NULL, &loss) == AE_ERR_VALUE, "a slot without data");
    CHECK(ae_trainer_evaluate(&context, t, 2, 0, 1, false, NULL, NULL, &loss) == AE_ERR_VALUE, "no such slot");
    /* Weights of the rows trained on, not of all. */
    double half[ROWS] = {0};
    for (int i = ROWS / 2; i < ROWS; i++)
        half[i] = 1;
    CHECK(ae_trainer_bind(&context, t, 0, d, 1, half) == AE_OK, "%s", context.message);
    CHECK(ae_trainer_subset(&context, t, 0, ROWS / 2, false) == AE_ERR_VALUE, "a subset without weight");
    CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK && result.steps == 4, "the subset of before");
    ae_trainer_free(t);
    ae_trainer_free(NULL);
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    fill_data();
    RUN(dropout_draws_afresh_at_each_step);
    RUN(lbfgs_by_hand);
    RUN(plain_descent_by_hand);
    RUN(clipping_by_hand);
    RUN(max_norm_bounds_units);
    RUN(subsets_are_disjoint_and_cover);
    RUN(moments_by_their_definition);
    RUN(rows_without_weight_are_not_there);
    RUN(rows_without_weight_may_overflow);
    RUN(a_hidden_layer_of_exp);
    RUN(one_row_and_batches_beyond_the_rows);
    RUN(padding_stays_zero);
    RUN(wrong_programs_are_refused);
    RUN(wrong_calls_are_refused);
    return harness_finish("test_train_steps");
}
