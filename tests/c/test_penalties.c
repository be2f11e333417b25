/* Orthogonality of weights and decorrelation of features against plain formulas, gradients against differences, bits. */
#include "differences.h"

#define ROWS 23

/* A penalty of the weight of a dense node with `inputs` inputs: of its units, or (transposed) of its inputs. */
static int orthogonality(network *net, int other, bool transposed) {
    const int from = transposed ? other : net->node[other].inputs[0], node = network_add(net, "orthogonality", NULL, 1, from);
    net->node[node].shares = 1 + other;
    net->node[node].shares_transposed = transposed;
    return node;
}

static program orthogonal(int64_t d, int64_t n, bool of_decoder) {
    program p = double_program();
    int x = network_input(&p.net, d, 0), zeros = network_input(&p.net, 1, 1), code = network_dense(&p.net, x, n, AE_TANH);
    const int out = network_dense(&p.net, code, d, AE_IDENTITY),
              penalty = orthogonality(&p.net, of_decoder ? out : code, of_decoder);
    p.net.node[penalty].width = n;
    program_loss(&p, "squared_error", out, x, 0.2);
    program_penalty(&p, penalty, zeros, 0.3);
    program_stage(&p, "adam");
    return p;
}

static double evaluated(ae_trainer *t, int64_t rows) {
    ae_context context = {AE_OK, ""};
    double loss = NAN;
    CHECK(ae_trainer_evaluate(&context, t, 0, 0, rows, false, NULL, NULL, &loss) == AE_OK, "%s", context.message);
    return loss;
}

TEST(orthogonality_by_formula) {
    static const int64_t sizes[][2] = {{5, 3}, {33, 31}, {70, 33}, {32, 32}, {1, 1}, {7, 70}};
    for (int i = 0; i < 12; i++) {
        const int64_t d = sizes[i / 2][0], n = sizes[i / 2][1];
        const bool decoder = i & 1;
        program p = orthogonal(d, n, decoder);
        p.loss[0].weight = 0;
        p.loss[1].weight = 1;
        ae_trainer *t = ready(&p, ROWS, d, NULL);
        if (!t)
            return;
        stir(ae_trainer_net(t), 0.2);
        double *w = malloc((size_t)(d * n) * sizeof *w), want = 0;
        ae_net_get_parameter(ae_trainer_net(t), parameter_of(ae_trainer_net(t), decoder ? "dense3.weight" : "dense2.weight"),
                             w);
        for (int64_t a = 0; a < n; a++)
            for (int64_t b = 0; b < n; b++) {
                double dot = a == b ? -1 : 0;
                for (int64_t k = 0; k < d; k++)
                    dot += decoder ? w[a * d + k] * w[b * d + k] : w[k * n + a] * w[k * n + b];
                want += dot * dot;
            }
        const double got = loss_of(t, false), alone = evaluated(t, ROWS);
        CHECK(fabs(got - want) <= 1e-12 * want && want > 0, "%d x %d: %.12g, not %.12g", (int)d, (int)n, got, want);
        CHECK(fabs(alone - got) <= 1e-14 * got, "training %.17g, evaluation %.17g", got, alone);
        free(w);
        ae_trainer_free(t);
        p = orthogonal(d, n, decoder);
        t = ready(&p, ROWS, d, uneven);
        if (!t)
            return;
        stir(ae_trainer_net(t), 0.2);
        check_gradient(decoder ? "orthogonality of a decoder" : "orthogonality", t, true, 12);
        ae_trainer_free(t);
    }
}

/* A weight of orthonormal columns has none. */
TEST(an_orthogonal_weight_costs_nothing) {
    program p = orthogonal(40, 33, false);
    p.net.node[2].initializer = AE_INIT_ORTHOGONAL;
    p.loss[0].weight = 0;
    ae_trainer *t = ready(&p, ROWS, 40, NULL);
    if (!t)
        return;
    const double loss = loss_of(t, true);
    CHECK(loss >= 0 && loss < 1e-24, "%g", loss);
    ae_trainer_free(t);
}

static program decorrelated(int64_t d, int64_t n) {
    program p = double_program();
    int x = network_input(&p.net, d, 0), zeros = network_input(&p.net, 1, 1), code = network_dense(&p.net, x, n, AE_TANH);
    const int penalty = network_add(&p.net, "decorrelation", NULL, 1, code), out = network_dense(&p.net, code, d, AE_IDENTITY);
    program_loss(&p, "squared_error", out, x, 0.2);
    program_penalty(&p, penalty, zeros, 3);
    program_stage(&p, "adam");
    return p;
}

TEST(decorrelation_by_formula) {
    static const int64_t sizes[][2] = {{5, 3}, {33, 31}, {70, 33}, {32, 32}, {7, 70}, {4, 2}};
    for (int i = 0; i < 6; i++) {
        const int64_t d = sizes[i][0], n = sizes[i][1];
        program p = decorrelated(d, n);
        p.loss[0].weight = 0;
        p.loss[1].weight = 1;
        ae_trainer *t = ready(&p, ROWS, d, NULL);
        if (!t)
            return;
        stir(ae_trainer_net(t), 0.3);
        const double got = loss_of(t, true);
        const ae_value *h = &ae_trainer_net(t)->nodes[2].binding.out;
        const double *data = h->data;
        double want = 0, mean[MOST_COLUMNS] = {0};
        /* Which rows come in which order does not matter to it. */
        for (int64_t a = 0; a < n; a++)
            for (int r = 0; r < ROWS; r++)
                mean[a] += data[a / 32 * h->stride + r * 32 + a % 32] / ROWS;
        for (int64_t a = 0; a < n; a++)
            for (int64_t b = 0; b < n; b++) {
                double c = 0;
                for (int r = 0; r < ROWS; r++)
                    c += (data[a / 32 * h->stride + r * 32 + a % 32] - mean[a]) *
                         (data[b / 32 * h->stride + r * 32 + b % 32] - mean[b]) / ROWS;
                want += a == b ? 0 : 0.5 * c * c;
            }
        CHECK(fabs(got - want) <= 1e-11 * want && want > 0, "%d of %d: %.12g, not %.12g", (int)n, (int)d, got, want);
        CHECK(evaluated(t, ROWS) == 0, "outside training there is none");
        ae_trainer_free(t);
        p = decorrelated(d, n);
        t = ready(&p, ROWS, d, uneven);
        if (!t)
            return;
        stir(ae_trainer_net(t), 0.3);
        check_gradient("decorrelation", t, true, 12);
        ae_trainer_free(t);
    }
}

/* One unit has nobody to correlate with, one row no covariance. */
TEST(decorrelation_of_one) {
    for (int row = 0; row < 2; row++) {
        program p = decorrelated(5, row ? 3 : 1);
        p.loss[0].weight = 0;
        ae_trainer *t = ready(&p, row ? 1 : ROWS, 5, NULL);
        if (!t)
            return;
        const double loss = loss_of(t, true);
        CHECK(loss == 0, "%g", loss);
        ae_trainer_free(t);
    }
}

TEST(the_same_bits_however_it_is_cut) {
    for (int keeps = 0; keeps < 2; keeps++) {
        program p = orthogonal(70, 40, keeps);
        p.options.batch_size = 64;
        p.options.clip_norm = keeps ? 1e300 : INFINITY;
        check_bits("orthogonality", &p, 203, 70);
        p = decorrelated(35, 70);
        p.options.batch_size = 64;
        p.options.clip_norm = keeps ? 1e300 : INFINITY;
        check_bits("decorrelation", &p, 203, 35);
    }
}

/* A weight of several tiles, each of which is updated as soon as it has its gradient: a plain step must be the gradient at the
 * weights before it, on any number of threads. */
TEST(a_step_is_the_gradient_before_it) {
    enum { DATA_ROWS = 64, D = 260, N = 200 };
    const double rate = 0.01;
    double *x = malloc(sizeof(double) * DATA_ROWS * D);
    fill(x, (int64_t)DATA_ROWS * D, -1, 1);
    for (int of_decoder = 0; of_decoder < 2; of_decoder++) {
        program p = orthogonal(D, N, of_decoder);
        const ae_data data[2] = {dense_data(x, AE_F64, DATA_ROWS, D), dense_data(no_rows, AE_F64, DATA_ROWS, 1)};
        double *before = NULL, *gradient = NULL, *first = NULL;
        int64_t n = 0;
        p.stage[0].rule = ae_rule_find("sgd");
        p.options.rule_options.momentum = 0;
        p.options.schedule.base = rate;
        for (int run = 0; run < 4; run++) { /* the gradient; steps on 1, 4 and 4 threads */
            ae_context context = {AE_OK, ""};
            ae_trainer *t = NULL;
            double loss = NAN;
            const void *region = NULL;
            ae_epoch_result result = {.loss = NAN};
            p.options.clip_norm = run ? INFINITY : 1e300;
            p.options.n_threads = run > 1 ? 4 : 1;
            CHECK(program_trainer(&context, &p, &t) == AE_OK && ae_trainer_bind(&context, t, 0, data, 2, NULL) == AE_OK &&
                      ae_trainer_initialize(&context, t) == AE_OK,
                  "%s", context.message);
            if (!t)
                break;
            const ae_net *net = ae_trainer_net(t);
            if (!run) {
                CHECK(ae_trainer_gradient(&context, t, 0, true, &loss, &region) == AE_OK, "%s", context.message);
                before = copy_weights(net, NULL, &n);
                gradient = copy_weights(net, region, &n);
                ae_trainer_free(t);
                continue;
            }
            CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
            double *after = copy_weights(net, NULL, &n), largest = 0, off = 0;
            for (int64_t i = 0; i < n; i++) {
                largest = fmax(largest, fabs(gradient[i]));
                off = fmax(off, fabs((before[i] - after[i]) / rate - gradient[i]));
            }
            CHECK(largest > 0 && off <= 1e-10 * largest, "of decoder %d, run %d: off by %g of %g", of_decoder, run, off,
                  largest);
            CHECK(!first || !memcmp(first, after, (size_t)n * sizeof *after), "of decoder %d: bits of run %d", of_decoder, run);
            if (first)
                free(after);
            else
                first = after;
            ae_trainer_free(t);
        }
        free(before);
        free(gradient);
        free(first);
    }
    free(x);
}

TEST(what_is_refused) {
    program p = orthogonal(5, 3, false);
    network net = p.net;
    const int last = net.n - 1;
    net.node[last].shares = 0;
    check_refused(&net, "must share another node's");
    net = p.net;
    net.node[last].width = 0;
    check_refused(&net, "width (columns of the weight) is 0");
    net.node[last].width = 4;
    check_refused(&net, "is 5 x 4 and what it shares of node 'dense2' is 5 x 3");
    for (int kind = 0; kind < 2; kind++) { /* codes and counts are assigned, not trained */
        net.n = 0;
        const int x = network_input(&net, 5, 0), q = network_add(&net, kind ? "kl_sparsity" : "vector_quantize", "q", 1, x);
        net.node[q].size[0] = kind ? 0 : 3;
        net.node[q].value[0] = kind ? 0.1 : 0;
        const int refused = network_add(&net, "orthogonality", NULL, 1, kind ? network_input(&net, 1, 0) : x);
        net.node[refused].width = kind ? 5 : 3;
        net.node[refused].shares = 1 + q;
        check_refused(&net, kind ? "'q.mean' is not trained by gradients" : "'q.codes' is not trained by gradients");
    }
    net = decorrelated(5, 3).net;
    const int layer = network_add(&net, "noisy_copies", NULL, 1, 0);
    net.node[layer].multiplicity = 2;
    net.node[layer].value[0] = 1;
    network_add(&net, "decorrelation", NULL, 1, layer);
    check_refused(&net, "2 rows for one of data");
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    differences_data();
    RUN(orthogonality_by_formula);
    RUN(an_orthogonal_weight_costs_nothing);
    RUN(decorrelation_by_formula);
    RUN(decorrelation_of_one);
    RUN(the_same_bits_however_it_is_cut);
    RUN(a_step_is_the_gradient_before_it);
    RUN(what_is_refused);
    return harness_finish("test_penalties");
}
