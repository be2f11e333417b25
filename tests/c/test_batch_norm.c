/* Batch normalisation against plain formulas: training by the minibatch, inference by the running numbers, which are assigned and
 * not trained. It is the proof of what layers that couple rows rest on, so threads, instruction sets and blocks are here too.
 * Gradients against differences: test_gradients.c. */
#include "slow.h"
#include "trainers.h"

#define ROWS 203
#define COLUMNS 37

static double x[ROWS * COLUMNS], row_weights[ROWS];

static ae_trainer *started(const program *p, int64_t rows, const double *row_weight) {
    const ae_data data = dense_data(x, AE_F64, rows, COLUMNS);
    return trainer_started(p, &data, 1, row_weight);
}

static void get(ae_trainer *t, const char *name, double *out) {
    ae_net_get_parameter(ae_trainer_net(t), parameter_of(ae_trainer_net(t), name), out);
}

static program lone_layer(double momentum, double epsilon) {
    program p = {.options = plain_options(64)};
    int in = network_input(&p.net, COLUMNS, 0), h = network_add(&p.net, "batch_norm", "norm", 1, in);
    p.net.node[h].value[0] = momentum;
    p.net.node[h].value[1] = epsilon;
    program_loss(&p, "squared_error", h, in, 1);
    program_stage(&p, "sgd");
    p.options.rule_options.momentum = 0;
    p.options.l2 = 0.1; /* gamma and beta do not decay */
    return p;
}

/* Minibatches of several sizes, the last of one row, and weights of rows that the statistics do not see. */
TEST(training_and_inference_by_formula) {
    static const int64_t batches[] = {ROWS, 101, 40, 1};
    for (int k = 0; k < 8; k++) {
        const double m = k & 1 ? 0.25 : 0.1, eps = k & 1 ? 0.03 : 1e-5;
        program p = lone_layer(k & 1 ? m : 0, k & 1 ? eps : 0);
        p.options.batch_size = batches[k / 2];
        p.options.clip_norm = k & 2 ? 1e6 : INFINITY;
        ae_trainer *t = started(&p, ROWS, row_weights);
        if (!t)
            return;
        double gamma[COLUMNS], beta[COLUMNS], mean[COLUMNS], variance[COLUMNS], got[4][COLUMNS], worst = 0, total = 0, want = 0;
        for (int c = 0; c < COLUMNS; c++)
            gamma[c] = variance[c] = 1, beta[c] = mean[c] = 0;
        for (int r = 0; r < ROWS; r++)
            total += row_weights[r] / ROWS;
        for (int64_t from = 0; from < ROWS; from += p.options.batch_size) {
            const int64_t n = ROWS - from < p.options.batch_size ? ROWS - from : p.options.batch_size;
            for (int c = 0; c < COLUMNS; c++) {
                double mu = 0, square = 0, of_gamma = 0, of_beta = 0;
                for (int64_t r = from; r < from + n; r++)
                    mu += x[r * COLUMNS + c] / (double)n;
                for (int64_t r = from; r < from + n; r++)
                    square += (x[r * COLUMNS + c] - mu) * (x[r * COLUMNS + c] - mu);
                for (int64_t r = from; r < from + n; r++) {
                    const double scaled = (x[r * COLUMNS + c] - mu) / sqrt(square / (double)n + eps),
                                 weight = row_weights[r] / total;
                    const double off = gamma[c] * scaled + beta[c] - x[r * COLUMNS + c];
                    want += weight * off * off / COLUMNS / ROWS;
                    of_gamma += weight * 2 * off / COLUMNS / (double)n * scaled;
                    of_beta += weight * 2 * off / COLUMNS / (double)n;
                }
                gamma[c] -= 0.01 * of_gamma;
                beta[c] -= 0.01 * of_beta;
                mean[c] = (1 - m) * mean[c] + m * mu;
                variance[c] = n > 1 ? (1 - m) * variance[c] + m * square / (double)(n - 1) : variance[c];
            }
        }
        const double loss = trainer_epoch_loss(t);
        static const char *const names[] = {"norm.gamma", "norm.beta", "norm.mean", "norm.variance"};
        const double *wanted[] = {gamma, beta, mean, variance};
        for (int i = 0; i < 4; i++) {
            get(t, names[i], got[i]);
            for (int c = 0; c < COLUMNS; c++)
                worst = fmax(worst, fabs(got[i][c] - wanted[i][c]));
        }
        CHECK(worst < 1e-13 && fabs(loss - want) < 1e-13, "batch %d: off by %g, loss %.17g, not %.17g",
              (int)p.options.batch_size, worst, loss, want);
        /* Evaluation and the predictor: running numbers, each row alone; nothing is assigned. */
        double of_rows = 0, out[ROWS * COLUMNS];
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLUMNS; c++) {
                const double y = gamma[c] * (x[r * COLUMNS + c] - mean[c]) / sqrt(variance[c] + eps) + beta[c];
                of_rows += row_weights[r] / total * (y - x[r * COLUMNS + c]) * (y - x[r * COLUMNS + c]) / COLUMNS / ROWS;
            }
        CHECK(fabs(trainer_loss(t, ROWS) - of_rows) < 1e-12 * of_rows, "evaluated %.17g, not %.17g", trainer_loss(t, ROWS),
              of_rows);
        for (int i = 2; i < 4; i++) {
            double still[COLUMNS];
            get(t, names[i], still);
            CHECK(!memcmp(still, got[i], sizeof still), "evaluation changes %s", names[i]);
        }
        ae_context context;
        ae_predictor *predictor;
        CHECK(ae_predictor_new(&context, &predictor, 64, p.net.node, p.net.n, 0, 0, 2) == AE_OK, "%s", context.message);
        for (int i = 0; predictor && i < 4; i++)
            ae_net_set_parameter(ae_predictor_net(predictor), parameter_of(ae_predictor_net(predictor), names[i]), got[i]);
        const ae_data data = dense_data(x, AE_F64, ROWS, COLUMNS);
        const ae_predict_call call = {&data, 1, -1, 1, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)out};
        CHECK(predictor && ae_predictor_run(&context, predictor, &call, NULL, NULL) == AE_OK, "%s", context.message);
        worst = 0;
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLUMNS; c++)
                worst = fmax(worst, fabs(out[r * COLUMNS + c] -
                                         gamma[c] * (x[r * COLUMNS + c] - mean[c]) / sqrt(variance[c] + eps) - beta[c]));
        CHECK(worst < 1e-11, "predicted values are off by %g", worst);
        ae_predictor_free(predictor);
        ae_trainer_free(t);
    }
}

static program deep_program(int bits, const char *rule) {
    program p = {.options = plain_options(bits)};
    int in = network_input(&p.net, COLUMNS, 0), h = network_dense(&p.net, in, 130, AE_TANH);
    h = network_add(&p.net, "batch_norm", NULL, 1, h);
    int side = network_add(&p.net, "batch_norm", NULL, 1, h);
    h = network_dense(&p.net, network_dropout(&p.net, h, 0.2), 33, AE_GELU);
    h = network_add(&p.net, "batch_norm", NULL, 1, h);
    h = network_dense(&p.net, h, 130, AE_SILU);
    h = network_add(&p.net, "add", NULL, 2, h, side);
    h = network_dense(&p.net, h, COLUMNS, AE_IDENTITY);
    program_loss(&p, "squared_error", h, in, 1);
    program_stage(&p, rule);
    p.options.batch_size = rule ? 101 : ROWS;
    p.options.l2 = 1e-3;
    if (rule)
        p.options.clip_norm = 0.5;
    p.options.keep_best = true;
    return p;
}

static char *trained(const program *p, const char *isa, double loss[2], size_t *bytes) {
    if (isa)
        setenv("AUTOENC_ISA", isa, 1);
    ae_trainer *t = started(p, ROWS, row_weights);
    unsetenv("AUTOENC_ISA");
    if (!t)
        return NULL;
    const int64_t before = ae_alloc_count();
    for (int i = 0; i < 4; i++)
        loss[0] = trainer_epoch_loss(t);
    loss[1] = trainer_loss(t, ROWS);
    CHECK(ae_alloc_count() == before, "an epoch allocates");
    const ae_net *net = ae_trainer_net(t);
    *bytes = (size_t)net->parameter_reals * net->real_size;
    char *weights = malloc(*bytes);
    memcpy(weights, net->parameter_base, *bytes);
    ae_trainer_free(t);
    return weights;
}

TEST(the_same_bits_however_it_is_cut) {
    static const char *const rules[] = {"adam", NULL};
    for (int r = 0; r < 2; r++)
        for (int bits = SANITIZED && r ? 64 : 32; bits <= (SANITIZED && !r ? 32 : 64); bits += 32) {
            program p = deep_program(bits, rules[r]);
            double loss[2] = {0}, other_loss[2] = {0};
            size_t bytes = 0, other_bytes = 0;
            char *one = trained(&p, NULL, loss, &bytes);
            CHECK(isfinite(loss[1]) && loss[0] > 0 && loss[0] < 1 && loss[1] != loss[0], "losses %g and %g", loss[0], loss[1]);
            for (const char *const *isa = usable_isas() + SANITIZED; *isa; isa++) {
                char *other = trained(&p, *isa, other_loss, &other_bytes);
                CHECK(bytes == other_bytes && !memcmp(one, other, bytes) && !memcmp(loss, other_loss, sizeof loss),
                      "rule %d f%d: %s", r, bits, *isa);
                free(other);
            }
            static const int threads[] = {2, 3, 8, 1};
            for (int i = 0; i < 4; i++) {
                program q = p;
                q.options.n_threads = threads[i];
                q.options.chunk_rows = i == 3 ? 8 : 0; /* asked for in vain */
                char *other = trained(&q, NULL, other_loss, &other_bytes);
                CHECK(bytes == other_bytes && !memcmp(one, other, bytes) && !memcmp(loss, other_loss, sizeof loss),
                      "rule %d f%d: %d threads", r, bits, threads[i]);
                free(other);
            }
            free(one);
        }
}

/* Running numbers belong to the snapshots: of the best, of the last epoch, and where L-BFGS stands. */
TEST(running_numbers_go_with_the_weights) {
    for (int r = 0; r < 2; r++) {
        program p = deep_program(64, r ? NULL : "adam");
        ae_trainer *t = started(&p, ROWS, NULL);
        if (!t)
            return;
        double first[130], now[130];
        ae_context context;
        ae_epoch_result result;
        trainer_epoch_loss(t);
        get(t, "batch_norm2.variance", first);
        const double loss = trainer_loss(t, ROWS);
        ae_trainer_keep_best(t);
        trainer_epoch_loss(t);
        get(t, "batch_norm2.variance", now);
        CHECK(memcmp(first, now, sizeof now), "the next epoch has others");
        ae_trainer_restore_best(t);
        get(t, "batch_norm2.variance", now);
        CHECK(!memcmp(first, now, sizeof now) && trainer_loss(t, ROWS) == loss, "the best have theirs");
        const double kept = x[5];
        x[5] = NAN;
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_ERR_NONFINITE, "not a number");
        x[5] = kept;
        get(t, "batch_norm2.variance", now);
        CHECK(!memcmp(first, now, sizeof now) && trainer_loss(t, ROWS) == loss, "rolled back");
        ae_trainer_free(t);
    }
    /* L-BFGS: from the first iterate on they are averages of what the data has at each iterate. */
    program p = lone_layer(1, 0);
    p.stage[0].rule = -1;
    p.options.batch_size = ROWS;
    ae_trainer *t = started(&p, ROWS, NULL);
    double mean[COLUMNS], worst = 0;
    if (!t)
        return;
    trainer_epoch_loss(t);
    get(t, "norm.mean", mean);
    for (int c = 0; c < COLUMNS; c++) {
        double want = 0;
        for (int r = 0; r < ROWS; r++)
            want += x[r * COLUMNS + c] / ROWS;
        worst = fmax(worst, fabs(mean[c] - want));
    }
    CHECK(worst < 1e-14, "running means after L-BFGS are off by %g", worst);
    ae_trainer_free(t);
}

/* A layer that is not trained keeps its numbers, also where rows that are not in one minibatch cannot be had. */
TEST(frozen_layers_and_parts_of_the_rows) {
    program p = deep_program(64, "adam");
    p.net.node[2].group = 3;
    p.stage[0].groups = 1;
    ae_trainer *t = started(&p, ROWS, NULL);
    if (!t)
        return;
    double before[130], after[130], loss;
    const void *region;
    ae_context context;
    get(t, "batch_norm2.mean", before);
    trainer_epoch_loss(t);
    get(t, "batch_norm2.mean", after);
    CHECK(!memcmp(before, after, sizeof before), "frozen");
    get(t, "batch_norm3.mean", after);
    CHECK(memcmp(before, after, sizeof before), "not frozen");
    CHECK(ae_trainer_gradient(&context, t, 0, true, &loss, &region) == AE_ERR_STATE && strstr(context.message, "all 203 rows"),
          "%s", context.message);
    CHECK(ae_trainer_subset(&context, t, 0, 101, false) == AE_OK &&
              ae_trainer_gradient(&context, t, 0, true, &loss, &region) == AE_OK,
          "%s", context.message);
    get(t, "batch_norm3.mean", before);
    CHECK(!memcmp(before, after, 130 * sizeof *before), "a gradient assigns nothing");
    ae_trainer_free(t);
    const double wrong[][2] = {{-0.1, 0}, {1.5, 0}, {NAN, 0}, {0, -1}, {0, NAN}, {0, INFINITY}};
    for (int i = 0; i < 6; i++) {
        program q = lone_layer(wrong[i][0], wrong[i][1]);
        CHECK(program_trainer(&context, &q, &t) == AE_ERR_VALUE && strstr(context.message, "'norm': momentum is"), "%s",
              context.message);
    }
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    fill(x, ROWS * COLUMNS, -1, 2);
    fill(row_weights, ROWS, 0, 2);
    RUN(training_and_inference_by_formula);
    RUN(the_same_bits_however_it_is_cut);
    RUN(running_numbers_go_with_the_weights);
    RUN(frozen_layers_and_parts_of_the_rows);
    return harness_finish("test_batch_norm");
}
