/* Sparse inference against the conditions of its optimum, and predictive sparse decomposition as a whole. */
#include "differences.h"

#define ROWS 29

typedef struct psd {
    program program;
    int code, decoder, inferred;
} psd;

/* x -> code -> reconstruction; the inferred code trains the decoder by a path of its own and is the target of the encoder. */
static psd decomposition(int64_t d, int64_t n, int iterations, bool positive, double lambda, double alpha, bool start) {
    psd s = {.program = double_program()};
    network *net = &s.program.net;
    int x = network_input(net, d, 0);
    s.code = network_dense(net, x, n, AE_TANH);
    s.decoder = network_dense(net, s.code, d, AE_IDENTITY);
    s.inferred = network_add(net, "sparse_inference", NULL, start ? 2 : 1, x, s.code);
    ae_node_desc *node = &net->node[s.inferred];
    node->width = n;
    node->shares = 1 + s.decoder;
    node->size[0] = iterations;
    node->size[1] = positive;
    node->value[0] = lambda;
    node->value[1] = alpha;
    const int from_inferred = network_dense(net, s.inferred, d, AE_IDENTITY);
    net->node[from_inferred].shares = 1 + s.decoder;
    program_loss(&s.program, "squared_error", from_inferred, x, 1);
    program_loss(&s.program, "squared_error", s.code, s.inferred, 0.7);
    program_stage(&s.program, "adam");
    return s;
}

static double entry(const ae_value *value, int64_t row, int64_t column) {
    return ((const double *)value->data)[column / 32 * value->stride + row * 32 + column % 32];
}

static double plain_objective(const double *x, const double *w, const double *b, const double *z, const double *z0, int64_t d,
                              int64_t n, double lambda, double alpha) {
    double sum = 0;
    for (int64_t i = 0; i < d; i++) {
        double residual = b[i] - x[i];
        for (int64_t k = 0; k < n; k++)
            residual += z[k] * w[k * d + i];
        sum += residual * residual;
    }
    for (int64_t k = 0; k < n; k++)
        sum += lambda * fabs(z[k]) + alpha * (z[k] - z0[k]) * (z[k] - z0[k]);
    return sum;
}

/* At the minimum the gradient of the smooth part is -lambda sign(z) where z is not zero, and no larger than lambda where it is
 * (where z may not be negative, not below -lambda). */
TEST(conditions_of_the_optimum) {
    static const int64_t sizes[][2] = {{6, 4}, {33, 31}, {20, 65}, {1, 1}, {70, 33}, {5, 1}};
    for (int i = 0; i < 24; i += SANITIZED ? 7 : 1) {
        const int64_t d = sizes[i % 6][0], n = sizes[i % 6][1];
        const bool positive = i / 6 & 1, start = i < 12;
        const double lambda = 0.4, alpha = i < 18 && start ? 0.3 : 0.05 * (double)start;
        psd s = decomposition(d, n, 4000, positive, lambda, alpha, start);
        ae_trainer *t = ready(&s.program, ROWS, d, NULL);
        if (!t)
            return;
        ae_net *net = ae_trainer_net(t);
        stir(net, 0.8);
        loss_of(t, true);
        static double w[MOST_COLUMNS * MOST_COLUMNS], b[MOST_COLUMNS];
        ae_net_get_parameter(net, parameter_of(net, "dense2.weight"), w);
        ae_net_get_parameter(net, parameter_of(net, "dense2.bias"), b);
        const ae_value *z = &net->nodes[s.inferred].binding.out, *z0 = &net->nodes[s.code].binding.out,
                       *data = &net->nodes[0].binding.out;
        int64_t zeros = 0, wrong = 0;
        double worst = 0;
        for (int r = 0; r < ROWS; r++)
            for (int64_t k = 0; k < n; k++) {
                const double at = entry(z, r, k);
                double g = start ? 2 * alpha * (at - entry(z0, r, k)) : 0;
                for (int64_t c = 0; c < d; c++) {
                    double residual = b[c] - entry(data, r, c);
                    for (int64_t q = 0; q < n; q++)
                        residual += entry(z, r, q) * w[q * d + c];
                    g += 2 * residual * w[k * d + c];
                }
                zeros += at == 0;
                wrong += positive && at < 0;
                const double off = at != 0 ? fabs(g + copysign(lambda, at)) : fmax(0, (positive ? -g : fabs(g)) - lambda);
                worst = fmax(worst, off);
            }
        CHECK(worst <= 1e-7 && !wrong, "%d of %d, positive %d, start %d: off by %g, %d negative", (int)n, (int)d, positive,
              start, worst, (int)wrong);
        CHECK(n < 4 || (zeros > 0 && zeros < ROWS * n), "%d zeros of %d", (int)zeros, (int)(ROWS * n));
        ae_trainer_free(t);
    }
}

/* Never above what it starts from, and nearer with more iterations. */
TEST(iterations_lower_the_objective) {
    const int64_t d = 33, n = 40;
    static double w[40 * 33], b[33], objective[4][ROWS];
    static const int iterations[] = {1, 10, 100, 1000};
    const double *weights = NULL;
    double *first = NULL;
    int64_t count = 0;
    for (int k = 0; k < 4; k++) {
        psd s = decomposition(d, n, iterations[k], false, 0.2, 0.1, true);
        ae_trainer *t = ready(&s.program, ROWS, d, NULL);
        if (!t)
            return;
        ae_net *net = ae_trainer_net(t);
        if (!first)
            first = copy_weights(net, NULL, &count);
        weights = first;
        double *same = copy_weights(net, NULL, &count);
        CHECK(!memcmp(weights, same, (size_t)count * sizeof *same), "the same weights");
        free(same);
        loss_of(t, true);
        ae_net_get_parameter(net, parameter_of(net, "dense2.weight"), w);
        ae_net_get_parameter(net, parameter_of(net, "dense2.bias"), b);
        for (int r = 0; r < ROWS; r++) {
            double x[33], z[40], z0[40];
            for (int64_t c = 0; c < d; c++)
                x[c] = entry(&net->nodes[0].binding.out, r, c);
            for (int64_t c = 0; c < n; c++)
                z[c] = entry(&net->nodes[s.inferred].binding.out, r, c), z0[c] = entry(&net->nodes[s.code].binding.out, r, c);
            objective[k][r] = plain_objective(x, w, b, z, z0, d, n, 0.2, 0.1);
            CHECK(objective[k][r] <= plain_objective(x, w, b, z0, z0, d, n, 0.2, 0.1) * (1 + 1e-12), "row %d", r);
            CHECK(k == 0 || objective[k][r] <= objective[k - 1][r] * (1 + 1e-12),
                  "row %d: %d iterations give %.12g, fewer %.12g", r, iterations[k], objective[k][r], objective[k - 1][r]);
            CHECK(k < 3 || objective[3][r] >= objective[2][r] - 1e-6, "row %d: a hundred iterations are near", r);
        }
        ae_trainer_free(t);
    }
    free(first);
}

/* Data to what follows: the gradients are those of the same graph with the code given. */
TEST(no_gradient_passes) {
    const int64_t d = 12, n = 7;
    psd s = decomposition(d, n, 30, false, 0.3, 0.2, true);
    ae_trainer *t = ready(&s.program, ROWS, d, NULL);
    if (!t)
        return;
    ae_net *net = ae_trainer_net(t);
    ae_context context = {AE_OK, ""};
    double loss, w[12 * 7], b[12], g[12 * 7];
    const void *region;
    CHECK(ae_trainer_gradient(&context, t, 0, true, &loss, &region) == AE_OK, "%s", context.message);
    CHECK(!net->nodes[s.inferred].active && !net->nodes[s.inferred].binding.out.gradient, "it takes part in no way back");
    CHECK(!net->nodes[s.decoder].active, "the decoder learns from the inferred code");
    ae_net_get_parameter(net, parameter_of(net, "dense2.weight"), w);
    ae_net_get_parameter(net, parameter_of(net, "dense2.bias"), b);
    ae_net_unpack(net, parameter_of(net, "dense2.weight"), region, g);
    const ae_value *z = &net->nodes[s.inferred].binding.out, *x = &net->nodes[0].binding.out;
    double want[12 * 7] = {0}, worst = 0, most = 0;
    for (int r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < d; c++) {
            double residual = b[c] - entry(x, r, c);
            for (int64_t k = 0; k < n; k++)
                residual += entry(z, r, k) * w[k * d + c];
            for (int64_t k = 0; k < n; k++)
                want[k * d + c] += 2 * residual * entry(z, r, k) / (double)(ROWS * d);
        }
    for (int64_t i = 0; i < d * n; i++)
        worst = fmax(worst, fabs(want[i] - g[i])), most = fmax(most, fabs(want[i]));
    CHECK(worst <= 1e-12 && most > 1e-4, "off by %g of %g", worst, most);
    double encoder[12 * 7], far = 0;
    ae_net_unpack(net, parameter_of(net, "dense1.weight"), region, encoder);
    memset(want, 0, sizeof want);
    const ae_value *code = &net->nodes[s.code].binding.out;
    for (int r = 0; r < ROWS; r++)
        for (int64_t k = 0; k < n; k++) {
            const double y = entry(code, r, k), delta = 0.7 * 2 * (y - entry(z, r, k)) * (1 - y * y) / (double)(ROWS * n);
            for (int64_t c = 0; c < d; c++)
                want[c * n + k] += delta * entry(x, r, c);
        }
    for (int64_t i = 0; i < d * n; i++)
        far = fmax(far, fabs(want[i] - encoder[i]));
    CHECK(far <= 1e-12, "the encoder's gradient is off by %g", far);
    ae_trainer_free(t);
}

TEST(the_encoder_learns_to_predict) {
    psd s = decomposition(16, 24, 30, false, 0.1, 0.5, true);
    s.program.options.batch_size = 50;
    ae_trainer *t = ready(&s.program, MOST_ROWS, 16, NULL);
    ae_context context = {AE_OK, ""};
    ae_epoch_result first, last;
    if (!t)
        return;
    CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &first) == AE_OK, "%s", context.message);
    for (int i = 0; i < 40; i++)
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &last) == AE_OK, "%s", context.message);
    CHECK(last.loss < 0.5 * first.loss, "%g, then %g", first.loss, last.loss);
    ae_trainer_free(t);
}

TEST(the_same_bits_however_it_is_cut) {
    psd s = decomposition(70, 33, 7, false, 0.2, 0.1, true);
    s.program.options.batch_size = 96;
    check_bits("sparse inference", &s.program, 203, 70);
    s = decomposition(5, 40, 12, true, 0.2, 0, false);
    s.program.options.clip_norm = INFINITY;
    check_bits("sparse inference from zero", &s.program, 70, 5);
}

/* Beyond a bound lambda leaves nothing; NaN is not hidden. */
TEST(extremes) {
    psd s = decomposition(6, 4, 20, false, 1e6, 0, true);
    ae_trainer *t = ready(&s.program, ROWS, 6, NULL);
    if (!t)
        return;
    loss_of(t, true);
    for (int r = 0; r < ROWS; r++)
        for (int64_t k = 0; k < 4; k++)
            CHECK(entry(&ae_trainer_net(t)->nodes[s.inferred].binding.out, r, k) == 0, "zero");
    double w[24];
    ae_net *net = ae_trainer_net(t);
    ae_net_get_parameter(net, parameter_of(net, "dense2.weight"), w);
    w[3] = NAN;
    ae_net_set_parameter(net, parameter_of(net, "dense2.weight"), w);
    ae_context context = {AE_OK, ""};
    double loss;
    const void *gradient;
    CHECK(ae_trainer_gradient(&context, t, 0, true, &loss, &gradient) == AE_ERR_NONFINITE, "loss %g", loss);
    memset(w, 0, sizeof w); /* a decoder of zeros: nothing to infer but the prediction, shrunk away */
    ae_net_set_parameter(net, parameter_of(net, "dense2.weight"), w);
    CHECK(isfinite(loss_of(t, true)), "a decoder of zeros");
    ae_trainer_free(t);
}

TEST(what_is_refused) {
    const psd s = decomposition(6, 4, 20, false, 0.1, 0.1, true);
    const int at = s.inferred;
    network net = s.program.net;
    net.node[at].value[0] = -1;
    check_refused(&net, "sparsity weight is -1");
    net = s.program.net;
    net.node[at].value[1] = INFINITY;
    check_refused(&net, "prediction weight inf");
    net = s.program.net;
    net.node[at].size[0] = -1;
    check_refused(&net, "n_iterations is -1");
    net.node[at].size[0] = 10001;
    check_refused(&net, "n_iterations is 10001 and positive 0; 1 to 10000");
    net = s.program.net;
    net.node[at].width = INT64_MAX;
    check_refused(&net, "width is 9223372036854775807; 1 to 2147483647");
    net = s.program.net;
    net.node[at].size[1] = 2;
    check_refused(&net, "positive 2");
    net = s.program.net;
    net.node[at].width = 5;
    check_refused(&net, "predicted code has 4 features");
    net = s.program.net;
    net.node[at].shares = 0;
    check_refused(&net, "must share another node's");
    net = s.program.net;
    net.node[at].shares_transposed = 1;
    check_refused(&net, "cannot use a transpose");
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    differences_data();
    RUN(conditions_of_the_optimum);
    RUN(iterations_lower_the_objective);
    RUN(no_gradient_passes);
    RUN(the_encoder_learns_to_predict);
    RUN(the_same_bits_however_it_is_cut);
    RUN(extremes);
    RUN(what_is_refused);
    return harness_finish("test_sparse_inference");
}
