/* Contraction: the penalty against a numeric Jacobian of the code by the inputs, its gradient against central differences, the
 * closed form of one layer against the tangents of all, the higher-order term and the estimate by random directions. */
#include "differences.h"

#define ROWS 9

static const ae_activation smooth[] = {AE_IDENTITY, AE_ELU, AE_SELU, AE_SOFTPLUS, AE_TANH,
                                       AE_LOGISTIC, AE_EXP, AE_GELU, AE_SILU};
#define SMOOTH ((int)(sizeof smooth / sizeof smooth[0]))

/* ---- graphs ---- */

static int activated(network *net, const char *kind, ae_activation activation, int n_inputs, int a, int b) {
    const int node = network_add(net, kind, NULL, n_inputs, a, b);
    net->node[node].activation = (int32_t)activation;
    return node;
}

/* A layer that uses the weight of a dense node. */
static int sharing(network *net, const char *kind, int n_inputs, int a, int b, int other, int64_t width, bool transposed) {
    const int node = network_add(net, kind, NULL, n_inputs, a, b);
    net->node[node].shares = 1 + other;
    net->node[node].shares_transposed = transposed;
    net->node[node].width = width;
    return node;
}

/* Jacobian, row by row, of dense nodes that follow each other: layer[0] reads the data, slope[l] belongs to layer[l]. */
static int jacobian(network *net, int depth, const int *layer, const int *slope, int64_t inputs, const char *start) {
    int u = network_add(net, start, NULL, 1, slope[depth - 1]);
    net->node[u].multiplicity = 3; /* probes */
    for (int l = depth - 1; l >= 0; l--)
        u = sharing(net, "tangent", l ? 2 : 1, u, l ? slope[l - 1] : -1, layer[l], l ? net->node[layer[l - 1]].width : inputs,
                    true);
    return u;
}

/* ---- plain formulas ---- */

static double plain_activation(int activation, double a) {
    switch (activation) {
    case AE_ELU:
        return a > 0 ? a : expm1(a);
    case AE_SELU:
        return 1.0507009873554804934 * (a > 0 ? a : 1.6732632423543772848 * expm1(a));
    case AE_GELU:
        return a * 0.5 * erfc(-a / sqrt(2.0));
    case AE_SILU:
        return a / (1 + exp(-a));
    case AE_SOFTPLUS:
        return log1p(exp(a));
    case AE_TANH:
        return tanh(a);
    case AE_LOGISTIC:
        return 1 / (1 + exp(-a));
    case AE_EXP:
        return exp(a);
    case AE_RELU:
        return a > 0 ? a : 0;
    case AE_LEAKY_RELU:
        return a > 0 ? a : 0.01 * a;
    default:
        return a;
    }
}

typedef struct plain_encoder {
    int depth;
    int64_t width[4]; /* of the data, of layer 1, ... */
    int activation[3];
    double weight[3][MOST_COLUMNS * MOST_COLUMNS], bias[3][MOST_COLUMNS];
} plain_encoder;

static void plain_code(const plain_encoder *e, const double *x, double *code) {
    double value[2][MOST_COLUMNS];
    memcpy(value[0], x, (size_t)e->width[0] * sizeof *x);
    for (int l = 0; l < e->depth; l++)
        for (int64_t j = 0; j < e->width[l + 1]; j++) {
            double sum = e->bias[l][j];
            for (int64_t i = 0; i < e->width[l]; i++)
                sum += value[l % 2][i] * e->weight[l][i * e->width[l + 1] + j];
            value[(l + 1) % 2][j] = plain_activation(e->activation[l], sum);
        }
    memcpy(code, value[e->depth % 2], (size_t)e->width[e->depth] * sizeof *code);
}

/* By central differences; (inputs, units). */
static void plain_jacobian(const plain_encoder *e, const double *x, double *j) {
    const double h = 1e-5;
    double at[MOST_COLUMNS], up[MOST_COLUMNS], down[MOST_COLUMNS];
    memcpy(at, x, (size_t)e->width[0] * sizeof *at);
    for (int64_t i = 0; i < e->width[0]; i++) {
        at[i] = x[i] + h;
        plain_code(e, at, up);
        at[i] = x[i] - h;
        plain_code(e, at, down);
        at[i] = x[i];
        for (int64_t k = 0; k < e->width[e->depth]; k++)
            j[i * e->width[e->depth] + k] = (up[k] - down[k]) / (2 * h);
    }
}

static plain_encoder plain_of(const ae_net *net, int depth, const int *layer, const int *activation) {
    plain_encoder e = {.depth = depth};
    for (int l = 0; l < depth; l++) {
        char name[64];
        e.activation[l] = activation[l];
        snprintf(name, sizeof name, "dense%d.weight", layer[l]);
        const int w = parameter_of(net, name);
        ae_net_get_parameter(net, w, e.weight[l]);
        e.width[l] = net->parameters[w].request.rows;
        e.width[l + 1] = net->parameters[w].request.columns;
        snprintf(name, sizeof name, "dense%d.bias", layer[l]);
        ae_net_get_parameter(net, parameter_of(net, name), e.bias[l]);
    }
    return e;
}

/* ---- tests ---- */

/* gelu and silu stand last here and their slope reads the sum: a node of the activation is not wanted for the Jacobian. */
static program encoder_program(int depth, const int64_t *widths, const int *activation, bool fused, int *layer) {
    program p = double_program();
    int x = network_input(&p.net, widths[0], 0), zeros = network_input(&p.net, 1, 1), h = x, slope[3], penalty;
    for (int l = 0; l < depth; l++) {
        const bool keeps = ae_activation_keeps_slope((ae_activation)activation[l]);
        h = layer[l] = network_dense(&p.net, h, widths[l + 1], keeps ? AE_IDENTITY : (ae_activation)activation[l]);
    }
    for (int l = 0; l < depth; l++)
        slope[l] = activated(&p.net, "slope", (ae_activation)activation[l], 1, layer[l], -1);
    if (fused)
        penalty = sharing(&p.net, "contraction", 1, slope[0], -1, layer[0], widths[0], false);
    else
        penalty = network_add(&p.net, "sum_of_squares", NULL, 1, jacobian(&p.net, depth, layer, slope, widths[0], "diagonal"));
    program_penalty(&p, penalty, zeros, 1);
    program_stage(&p, "sgd");
    return p;
}

TEST(values_and_gradients_against_differences) {
    static const int64_t widths[][4] = {{5, 3, 4, 2}, {33, 7, 35, 3}, {1, 31, 1, 33}, {32, 32, 4, 1}, {70, 5, 2, 6}};
    for (int a = 0; a < SMOOTH + 2; a++)
        for (int depth = 1; depth <= 3; depth++)
            for (int fused = 0; fused <= (depth == 1); fused++) {
                const int64_t *width = widths[(a + depth + fused) % 5];
                const int last = a < SMOOTH ? (int)smooth[a] : a == SMOOTH ? AE_RELU : AE_LEAKY_RELU;
                const int inner = ae_activation_keeps_slope((ae_activation)last) ? AE_TANH : last;
                const int activation[3] = {depth > 1 ? inner : last, depth > 2 ? AE_SOFTPLUS : last, last};
                int layer[3];
                char what[64];
                program p = encoder_program(depth, width, activation, fused, layer);
                snprintf(what, sizeof what, "%s, %d layers%s", ae_activation_name((ae_activation)last), depth,
                         fused ? ", closed form" : "");
                ae_trainer *t = ready(&p, ROWS, width[0], NULL);
                if (!t)
                    return;
                stir(ae_trainer_net(t), 0.6);
                static plain_encoder e;
                e = plain_of(ae_trainer_net(t), depth, layer, activation);
                double want = 0, j[MOST_COLUMNS * MOST_COLUMNS];
                for (int r = 0; r < ROWS; r++) {
                    plain_jacobian(&e, plain_rows + r * width[0], j);
                    for (int64_t i = 0; i < width[0] * width[depth]; i++)
                        want += j[i] * j[i] / ROWS;
                }
                const double got = loss_of(t, false);
                CHECK(want > 1e-6 && fabs(got - want) <= 1e-7 * want, "%s: %.12g, not %.12g", what, got, want);
                ae_trainer_free(t);
            }
}

/* With a reconstruction beside the penalty, so that biases of linear and piecewise linear layers have a gradient too. */
TEST(gradients_beside_a_reconstruction) {
    static const int64_t widths[][4] = {{5, 3, 4, 2}, {33, 7, 35, 3}, {6, 31, 1, 33}, {32, 32, 4, 5}, {70, 5, 2, 6}};
    for (int a = 0; a < SMOOTH; a++)
        for (int depth = 1; depth <= 3; depth++)
            for (int fused = 0; fused <= (depth == 1); fused++) {
                const int64_t *width = widths[(a + depth + fused) % 5];
                const int last = (int)smooth[a], inner = ae_activation_keeps_slope((ae_activation)last) ? AE_TANH : last;
                const int activation[3] = {depth > 1 ? inner : last, depth > 2 ? AE_SOFTPLUS : last, last};
                int layer[3];
                char what[64];
                program p = encoder_program(depth, width, activation, fused, layer);
                const int out = network_dense(&p.net, layer[depth - 1], width[0], AE_IDENTITY);
                p.n_stages = 0;
                program_loss(&p, "squared_error", out, 0, 1);
                program_stage(&p, "sgd");
                p.options.chunk_rows = depth == 2 ? 8 : 0;
                snprintf(what, sizeof what, "gradient: %s, %d layers%s", ae_activation_name((ae_activation)last), depth,
                         fused ? ", closed form" : "");
                ae_trainer *t = ready(&p, ROWS, width[0], uneven);
                if (!t)
                    return;
                stir(ae_trainer_net(t), 0.3);
                check_gradient(what, t, false, 6);
                ae_trainer_free(t);
            }
}

/* One layer, alone and as the transposed use of a decoder: the same number and the same gradient both ways. */
TEST(the_closed_form_is_the_tangents) {
    for (int tied = 0; tied < 2; tied++) {
        double loss[2], *gradient[2] = {NULL, NULL};
        int64_t n = 0;
        for (int fused = 0; fused < 2; fused++) {
            program p = double_program();
            int x = network_input(&p.net, 35, 0), zeros = network_input(&p.net, 1, 1), code, out, first, penalty;
            if (tied) { /* the weight is the decoder's: made for a path of its own, then used transposed by the encoder */
                first = network_dense(&p.net, network_dense(&p.net, x, 37, AE_TANH), 35, AE_IDENTITY);
                code = network_dense(&p.net, x, 37, AE_TANH);
                p.net.node[code].shares = 1 + first;
                p.net.node[code].shares_transposed = 1;
            } else {
                code = first = network_dense(&p.net, x, 37, AE_TANH);
            }
            out = network_dense(&p.net, code, 35, AE_IDENTITY);
            const int slope = activated(&p.net, "slope", AE_TANH, 1, code, -1);
            if (fused)
                penalty = sharing(&p.net, "contraction", 1, slope, -1, tied ? first : code, 35, tied);
            else
                penalty = network_add(&p.net, "sum_of_squares", NULL, 1,
                                      sharing(&p.net, "tangent", 1, network_add(&p.net, "diagonal", NULL, 1, slope), -1,
                                              tied ? first : code, 35, !tied));
            program_penalty(&p, penalty, zeros, 0.3);
            program_loss(&p, "squared_error", out, x, 1);
            if (tied)
                program_loss(&p, "squared_error", first, x, 0.5);
            program_stage(&p, "sgd");
            ae_trainer *t = ready(&p, ROWS, 35, NULL);
            ae_context context = {AE_OK, ""};
            const void *region;
            if (!t)
                return;
            CHECK(ae_trainer_gradient(&context, t, 0, true, &loss[fused], &region) == AE_OK, "%s", context.message);
            gradient[fused] = copy_weights(ae_trainer_net(t), region, &n);
            if (fused)
                check_gradient(tied ? "tied, closed form" : "closed form", t, true, 20);
            ae_trainer_free(t);
        }
        double worst = 0;
        for (int64_t i = 0; i < n; i++)
            worst = fmax(worst, fabs(gradient[0][i] - gradient[1][i]));
        CHECK(fabs(loss[0] - loss[1]) <= 1e-13 * loss[0] && worst <= 1e-13, "tied %d: losses %.17g and %.17g, off by %g", tied,
              loss[0], loss[1], worst);
        free(gradient[0]);
        free(gradient[1]);
    }
}

/* J(x) less J(x + e), through one layer by the closed form and through two by tangents. */
static program higher_order(int depth, int64_t d, int copies, int *noisy, int *layer) {
    program p = double_program();
    int x = network_input(&p.net, d, 0), zeros = network_input(&p.net, 1, 1), h = x, slope[2], other[2], far_slope[2];
    for (int l = 0; l < depth; l++)
        h = layer[l] = network_dense(&p.net, h, 4 + 2 * l, l ? AE_LOGISTIC : AE_TANH);
    const int out = network_dense(&p.net, h, d, AE_IDENTITY);
    h = *noisy = network_add(&p.net, "noisy_copies", NULL, 1, x);
    p.net.node[h].multiplicity = copies;
    p.net.node[h].value[0] = 0.3;
    for (int l = 0; l < depth; l++) {
        h = other[l] = network_dense(&p.net, h, p.net.node[layer[l]].width, (ae_activation)p.net.node[layer[l]].activation);
        p.net.node[h].shares = 1 + layer[l];
    }
    for (int l = 0; l < depth; l++) {
        slope[l] = activated(&p.net, "slope", (ae_activation)p.net.node[layer[l]].activation, 1, layer[l], -1);
        far_slope[l] = activated(&p.net, "slope", (ae_activation)p.net.node[layer[l]].activation, 1, other[l], -1);
    }
    int penalty, away;
    if (depth == 1) {
        away = network_add(&p.net, "deviation", NULL, 2, far_slope[0], slope[0]);
        penalty = sharing(&p.net, "contraction", 1, away, -1, layer[0], d, false);
    } else {
        const int here = jacobian(&p.net, depth, layer, slope, d, "diagonal"),
                  there = jacobian(&p.net, depth, layer, far_slope, d, "diagonal");
        away = network_add(&p.net, "deviation", NULL, 2, there, here);
        penalty = network_add(&p.net, "sum_of_squares", NULL, 1, away);
    }
    program_loss(&p, "squared_error", out, x, 0.1);
    program_penalty(&p, penalty, zeros, 1.0 / copies);
    program_stage(&p, "sgd");
    return p;
}

TEST(the_higher_order_term) {
    for (int depth = 1; depth <= 2; depth++)
        for (int training = 0; training < 2; training++) {
            const int64_t d = depth == 1 ? 33 : 5;
            const int copies = 3;
            int noisy, layer[2];
            const int activation[] = {AE_TANH, AE_LOGISTIC};
            program p = higher_order(depth, d, copies, &noisy, layer);
            p.loss[0].weight = 0;
            ae_trainer *t = ready(&p, ROWS, d, NULL);
            if (!t)
                return;
            ae_net *net = ae_trainer_net(t);
            stir(net, 0.5);
            const double got = loss_of(t, training);
            static plain_encoder e;
            e = plain_of(net, depth, layer, activation);
            const ae_value *far = &net->nodes[noisy].binding.out;
            double want = 0, here[MOST_COLUMNS * MOST_COLUMNS], there[MOST_COLUMNS * MOST_COLUMNS], moments[2] = {0};
            bool alike = true;
            for (int r = 0; r < ROWS; r++) {
                plain_jacobian(&e, plain_rows + r * d, here);
                for (int c = 0; c < copies; c++) {
                    double x[MOST_COLUMNS];
                    for (int64_t i = 0; i < d; i++) {
                        const int64_t in_panel = i / 32 * far->stride + i % 32;
                        x[i] = ((const double *)far->data)[in_panel + (r * copies + c) * 32];
                        const double off = (x[i] - plain_rows[r * d + i]) / 0.3;
                        moments[0] += off / (double)(ROWS * copies * d);
                        moments[1] += off * off / (double)(ROWS * copies * d);
                        alike &= fabs(((const double *)far->data)[in_panel + c * 32] - plain_rows[i] - off * 0.3) < 1e-12;
                    }
                    plain_jacobian(&e, x, there);
                    for (int64_t i = 0; i < d * e.width[depth]; i++)
                        want += (here[i] - there[i]) * (here[i] - there[i]) / (ROWS * copies);
                }
            }
            CHECK(fabs(got - want) <= 1e-6 * want && want > 1e-6, "%d layers: %.12g, not %.12g", depth, got, want);
            CHECK(alike == !training, "rows have %s draws", alike ? "the same" : "different");
            /* Fresh draws for each row: 27 * d of them; the same for all rows: 3 * d. */
            const double draws = (double)(copies * d * (training ? ROWS : 1));
            CHECK(fabs(moments[0]) < 5 / sqrt(draws) && fabs(moments[1] - 1) < 8 / sqrt(draws), "mean %g, square %g",
                  moments[0], moments[1]);
            ae_trainer_free(t);
            p.loss[0].weight = 0.1;
            t = ready(&p, ROWS, d, uneven);
            if (!t)
                return;
            stir(ae_trainer_net(t), 0.5);
            check_gradient(depth == 1 ? "higher order" : "higher order, 2 layers", t, training, 10);
            ae_trainer_free(t);
        }
}

/* Many directions are close to all of them; one unit has nothing to draw. */
TEST(random_directions) {
    for (int one = 0; one < 2; one++) {
        const int64_t width[4] = {6, 5, one ? 1 : 7, 0};
        const int activation[3] = {AE_TANH, AE_LOGISTIC, 0};
        int layer[3];
        double exact = 0, estimate[2];
        for (int k = 0; k < 3; k++) {
            program p = encoder_program(2, width, activation, false, layer);
            for (int i = 0; k && i < p.net.n; i++)
                if (p.net.node[i].kind == ae_layer_find("diagonal")) {
                    p.net.node[i].kind = ae_layer_find("probe");
                    p.net.node[i].multiplicity = 4000;
                }
            ae_trainer *t = ready(&p, ROWS, 6, NULL);
            if (!t)
                return;
            if (k)
                estimate[k - 1] = loss_of(t, k == 2);
            else
                exact = loss_of(t, false);
            ae_trainer_free(t);
        }
        for (int k = 0; k < 2; k++)
            CHECK(fabs(estimate[k] - exact) <= (one ? 1e-12 : 0.06) * exact && (one || estimate[k] != exact),
                  "%.12g, not about %.12g", estimate[k], exact);
    }
    program p = double_program();
    int x = network_input(&p.net, 35, 0), zeros = network_input(&p.net, 1, 1), layer[2], slope[2];
    layer[0] = network_dense(&p.net, x, 33, AE_TANH);
    layer[1] = network_dense(&p.net, layer[0], 34, AE_SOFTPLUS);
    const int out = network_dense(&p.net, layer[1], 35, AE_IDENTITY);
    slope[0] = activated(&p.net, "slope", AE_TANH, 1, layer[0], -1);
    slope[1] = activated(&p.net, "slope", AE_SOFTPLUS, 1, layer[1], -1);
    program_penalty(&p, network_add(&p.net, "sum_of_squares", NULL, 1, jacobian(&p.net, 2, layer, slope, 35, "probe")), zeros,
                    0.2);
    program_loss(&p, "squared_error", out, x, 1);
    program_stage(&p, "adam");
    for (int training = 0; training < 2; training++) {
        ae_trainer *t = ready(&p, ROWS, 35, uneven);
        if (!t)
            return;
        stir(ae_trainer_net(t), 0.3);
        check_gradient("random directions", t, training, 12);
        ae_trainer_free(t);
    }
    check_bits("random directions", &p, 70, 35);
}

/* Denoising, tied weights and contraction together; the Jacobian is that at the corrupted row. */
static program all_together(void) {
    program p = double_program();
    int x = network_input(&p.net, 37, 0), zeros = network_input(&p.net, 1, 1), layer[2], slope[2];
    const int bad = network_dropout(&p.net, x, 0.3);
    layer[0] = network_dense(&p.net, bad, 33, AE_LOGISTIC);
    layer[1] = network_dense(&p.net, layer[0], 6, AE_TANH);
    const int up = sharing(&p.net, "dense", 1, layer[1], -1, layer[1], 33, true);
    p.net.node[up].activation = AE_TANH;
    const int out = sharing(&p.net, "dense", 1, up, -1, layer[0], 37, true);
    slope[0] = activated(&p.net, "slope", AE_LOGISTIC, 1, layer[0], -1);
    slope[1] = activated(&p.net, "slope", AE_TANH, 1, layer[1], -1);
    const int all = network_add(&p.net, "sum_of_squares", NULL, 1, jacobian(&p.net, 2, layer, slope, 37, "diagonal"));
    const int first = sharing(&p.net, "contraction", 1, slope[0], -1, layer[0], 37, false);
    program_loss(&p, "squared_error", out, x, 1);
    program_penalty(&p, all, zeros, 0.3);
    program_penalty(&p, first, zeros, 0.02);
    program_stage(&p, "adam");
    return p;
}

TEST(denoising_tied_and_contractive) {
    program p = all_together();
    ae_trainer *t = ready(&p, ROWS, 37, uneven);
    if (!t)
        return;
    stir(ae_trainer_net(t), 0.3);
    check_gradient("together", t, true, 15);
    check_gradient("together, nothing drawn", t, false, 8);
    ae_trainer_free(t);
}

TEST(the_same_bits_however_it_is_cut) {
    program p = all_together();
    check_bits("together", &p, 70, 37);
    p.options.clip_norm = INFINITY;
    p.options.batch_size = 32;
    check_bits("together, gradient by tile", &p, 70, 37);
    int noisy, layer[2];
    for (int depth = 1; depth <= 2; depth++) {
        p = higher_order(depth, 35, 2, &noisy, layer);
        check_bits("higher order", &p, 70, 35);
    }
    program q = {.options = plain_options(64)};
    int x = network_input(&q.net, 70, 0), zeros = network_input(&q.net, 1, 1), code = network_dense(&q.net, x, 40, AE_TANH);
    const int out = sharing(&q.net, "dense", 1, code, -1, code, 70, true);
    const int slope = activated(&q.net, "slope", AE_TANH, 1, code, -1);
    program_penalty(&q, sharing(&q.net, "contraction", 1, slope, -1, code, 70, false), zeros, 0.1);
    program_loss(&q, "squared_error", out, x, 1);
    program_stage(&q, "adam");
    q.options.batch_size = 203;
    check_bits("one layer", &q, 203, 70);
    q.stage[0].rule = -1;
    check_bits("one layer, L-BFGS", &q, 203, 70);
}

TEST(penalties_shrink_the_jacobian) {
    double norm[2];
    for (int k = 0; k < 2; k++) {
        program p = double_program();
        int x = network_input(&p.net, 20, 0), zeros = network_input(&p.net, 1, 1), code = network_dense(&p.net, x, 8, AE_TANH);
        const int out = network_dense(&p.net, code, 20, AE_IDENTITY);
        const int slope = activated(&p.net, "slope", AE_TANH, 1, code, -1);
        const int penalty = sharing(&p.net, "contraction", 1, slope, -1, code, 20, false);
        program_loss(&p, "squared_error", out, x, 1);
        program_penalty(&p, penalty, zeros, k ? 0.1 : 0);
        program_stage(&p, "adam");
        ae_trainer *t = ready(&p, MOST_ROWS, 20, NULL);
        ae_context context = {AE_OK, ""};
        ae_epoch_result e;
        if (!t)
            return;
        for (int i = 0; i < 100; i++)
            CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &e) == AE_OK, "%s", context.message);
        loss_of(t, false);
        norm[k] = 0;
        for (int r = 0; r < MOST_ROWS; r++)
            norm[k] += ((const double *)ae_trainer_net(t)->nodes[penalty].binding.out.data)[r * 32] / MOST_ROWS;
        ae_trainer_free(t);
    }
    CHECK(norm[1] < 0.5 * norm[0] && norm[1] > 0, "%g with the penalty, %g without", norm[1], norm[0]);
}

TEST(what_is_refused) {
    int layer[3], noisy;
    const int64_t width[4] = {5, 4, 3, 2};
    const int activation[3] = {AE_TANH, AE_TANH, AE_TANH};
    const program one = encoder_program(1, width, activation, true, layer),
                  two = encoder_program(2, width, activation, false, layer), far = higher_order(1, 5, 2, &noisy, layer);
    network net = one.net;
    const int last = net.n - 1;
    net.node[last].shares = 0;
    check_refused(&net, "must share another node's");
    net.node[last].shares = 1; /* an input */
    check_refused(&net, "which has 0");
    net.node[last].shares = 3;
    net.node[last].width = 6;
    check_refused(&net, "is 6 x 4 and what it shares of node 'dense2' is 5 x 4");
    net.node[last].width = 0;
    check_refused(&net, "width (inputs of the layer) is 0");
    net = one.net;
    net.node[last - 1].activation = AE_SOFTMAX;
    check_refused(&net, "softmax");
    net = two.net;
    for (int i = 0; i < net.n; i++)
        if (net.node[i].kind == ae_layer_find("tangent") && net.node[i].n_inputs == 2)
            net.node[i].inputs[1] = 0;
    check_refused(&net, "the slopes have 5 features");
    net = two.net;
    for (int i = 0; i < net.n; i++)
        if (net.node[i].kind == ae_layer_find("diagonal"))
            net.node[i].kind = ae_layer_find("probe"), net.node[i].multiplicity = 0;
    check_refused(&net, "n_directions) is 0");
    net = far.net;
    net.node[noisy].value[0] = 0;
    check_refused(&net, "std is 0");
    net.node[noisy].value[0] = NAN;
    check_refused(&net, "std is nan");
    net = far.net;
    net.node[noisy].multiplicity = 0;
    check_refused(&net, "n_samples) is 0");
    net = far.net;
    for (int i = 0; i < net.n; i++)
        if (net.node[i].kind == ae_layer_find("deviation"))
            net.node[i].inputs[1] = 0;
    check_refused(&net, "features must be equal");
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    differences_data();
    RUN(values_and_gradients_against_differences);
    RUN(gradients_beside_a_reconstruction);
    RUN(the_closed_form_is_the_tangents);
    RUN(the_higher_order_term);
    RUN(random_directions);
    RUN(denoising_tied_and_contractive);
    RUN(the_same_bits_however_it_is_cut);
    RUN(penalties_shrink_the_jacobian);
    RUN(what_is_refused);
    return harness_finish("test_contraction");
}
