/* Gradients of whole programs against central differences of their loss, in double: layers, activations, losses, graphs. */
#include "harness.h"
#include "networks.h"
#include "slow.h"

#define ROWS 11
#define WIDEST 65

/* What the networks are fed: values in (-1, 1), targets in (0.05, 0.95), and row weights of which two are zero. */
static double plain[ROWS * WIDEST], targets[ROWS * WIDEST], weights[ROWS];

static void fill_data(void) {
    fill(plain, ROWS * WIDEST, -1, 1);
    fill(targets, ROWS * WIDEST, 0.05, 0.95);
    fill(weights, ROWS, 0.2, 3);
    weights[2] = weights[9] = 0;
}

/* A trainer with data in both sources and weights that have nothing special, biases included. */
static ae_trainer *ready(program *p, int64_t columns, int64_t target_columns, const double *row_weight) {
    ae_context context;
    ae_trainer *t = NULL;
    /* A finite limit makes the trainer keep the whole gradient; L-BFGS keeps it anyway. */
    if (p->stage[0].rule >= 0)
        p->options.clip_norm = 1e300;
    if (program_trainer(&context, p, &t) != AE_OK) {
        CHECK(0, "%s", context.message);
        return NULL;
    }
    const ae_data data[2] = {dense_data(plain, AE_F64, ROWS, columns), dense_data(targets, AE_F64, ROWS, target_columns)};
    const ae_status bound = ae_trainer_bind(&context, t, 0, data, target_columns ? 2 : 1, row_weight);
    const ae_status made = ae_trainer_initialize(&context, t);
    CHECK(bound == AE_OK && made == AE_OK, "%s", context.message);
    ae_net *net = ae_trainer_net(t);
    for (int i = 0; i < net->n_parameters; i++) {
        const int64_t n = net->parameters[i].request.rows * net->parameters[i].request.columns;
        double *w = malloc((size_t)n * sizeof *w);
        ae_net_get_parameter(net, i, w);
        for (int64_t j = 0; j < n; j++)
            w[j] += 0.3 * (network_unit() - 0.5);
        ae_net_set_parameter(net, i, w);
        free(w);
    }
    return t;
}

static double loss_of(ae_trainer *t, bool training) {
    ae_context context;
    double loss = NAN;
    const void *gradient;
    const ae_status status = ae_trainer_gradient(&context, t, 0, training, &loss, &gradient);
    CHECK(status == AE_OK, "%s", context.message);
    return loss;
}

/* Every parameter, at most `most` of its entries; a parameter named in `silent` must have no gradient at all. */
static void check_trainer(const char *what, ae_trainer *t, bool training, int64_t most, const char *silent) {
    ae_net *net = ae_trainer_net(t);
    ae_context context;
    double loss;
    const void *region;
    const ae_status status = ae_trainer_gradient(&context, t, 0, training, &loss, &region);
    CHECK(status == AE_OK && isfinite(loss) && loss > 0, "%s: loss %g", what, loss);
    if (status != AE_OK)
        return;
    const double h = 5e-6;
    for (int i = 0; i < net->n_parameters; i++) {
        const ae_parameter *p = &net->parameters[i];
        const int64_t n = p->request.rows * p->request.columns, step = n > most ? n / most : 1;
        double *w = malloc((size_t)n * sizeof *w), *g = malloc((size_t)n * sizeof *g);
        double norm = 0, error = 0, all = 0, noise = 0;
        if (p->request.update != AE_UPDATE_RULE) {
            free(w);
            free(g);
            continue;
        }
        ae_net_get_parameter(net, i, w);
        loss_of(t, training); /* the region holds the gradient where it was asked for last */
        ae_net_unpack(net, i, region, g);
        for (int64_t j = 0; j < n; j++)
            all += g[j] * g[j];
        if (silent && strstr(p->name, silent)) {
            CHECK(all == 0, "%s: %s has a gradient", what, p->name);
            free(w);
            free(g);
            continue;
        }
        const double typical = sqrt(all / (double)n);
        CHECK(typical > 1e-7, "%s: the gradient of %s is %g: nothing to compare", what, p->name, typical);
        for (int64_t j = (int64_t)(network_draw() % (uint64_t)step); j < n; j += FEWER * step) {
            const double at = w[j];
            w[j] = at + h;
            const double above = w[j];
            ae_net_set_parameter(net, i, w);
            const double up = loss_of(t, training);
            w[j] = at - h;
            const double below = w[j];
            ae_net_set_parameter(net, i, w);
            const double down = loss_of(t, training);
            w[j] = at;
            const double numeric = (up - down) / (above - below), off = fabs(numeric - g[j]);
            norm += numeric * numeric;
            error += off * off;
            /* What the rounding of two losses may do to their difference. */
            const double rounding = 8 * 2.2e-16 * (1 + fabs(up)) / h;
            noise += rounding * rounding;
            CHECK(off <= 1e-6 * (fabs(numeric) + typical) + rounding, "%s: %s entry %d: %.12g, not %.12g", what, p->name,
                  (int)j, g[j], numeric);
        }
        ae_net_set_parameter(net, i, w);
        CHECK(sqrt(error) <= 1e-6 * sqrt(norm) + sqrt(noise), "%s: %s: off by %g of %g", what, p->name, sqrt(error),
              sqrt(norm));
        free(w);
        free(g);
    }
}

static void check_program(const char *what, program *p, int64_t columns, int64_t target_columns, const double *row_weight,
                          bool training, int64_t most, const char *silent) {
    ae_trainer *t = ready(p, columns, target_columns, row_weight);
    if (t)
        check_trainer(what, t, training, most, silent);
    ae_trainer_free(t);
}

static program double_program(void) {
    program p = {.options = plain_options(64)};
    p.options.batch_size = 2 * ROWS;
    return p;
}

TEST(every_activation) {
    for (int a = 0; a < AE_ACTIVATION_COUNT; a++)
        for (int place = 0; place < 2; place++) {
            program p = double_program();
            int x = network_input(&p.net, 5, 0), h = network_dense(&p.net, x, 4, (ae_activation)a);
            h = network_dense(&p.net, h, 3, place ? AE_IDENTITY : (ae_activation)a);
            h = network_dense(&p.net, h, 5, place ? (ae_activation)a : AE_TANH);
            program_loss(&p, "squared_error", h, x, 1);
            program_stage(&p, "sgd");
            check_program(ae_activation_name((ae_activation)a), &p, 5, 0, NULL, false, 100, NULL);
        }
}

TEST(every_loss) {
    for (int l = 0;; l++) {
        const ae_loss_ops *loss = ae_loss_get(64, AE_ISA_REF, l);
        if (!loss)
            break;
        if (loss->flags & (AE_LOSS_SECOND | AE_LOSS_NO_TARGET))
            continue; /* test_loss_terms.c */
        for (int weighted = 0; weighted < 2; weighted++) {
            program p = double_program();
            int x = network_input(&p.net, 7, 0), y = network_input(&p.net, 9, 1), h = network_dense(&p.net, x, 6, AE_SILU);
            h = network_dense(&p.net, h, 9, AE_IDENTITY);
            program_loss(&p, loss->name, h, y, 0.8);
            program_stage(&p, "sgd");
            check_program(loss->name, &p, 7, 9, weighted ? weights : NULL, false, 100, NULL);
        }
    }
}

TEST(widths_beside_the_panels) {
    static const int64_t widths[] = {1, 2, 31, 32, 33, 65};
    for (int i = 0; i < 36; i++) {
        const int64_t in = widths[i % 6], hidden = widths[i / 6];
        char what[40];
        program p = double_program();
        int x = network_input(&p.net, in, 0), h = network_dense(&p.net, x, hidden, AE_TANH);
        h = network_dense(&p.net, h, widths[(i + i / 6 + 2) % 6], i & 1 ? AE_GELU : AE_SOFTMAX);
        h = network_dense(&p.net, h, hidden, i & 2 ? AE_SOFTPLUS : AE_LOGISTIC);
        h = network_dense(&p.net, h, in, AE_IDENTITY);
        program_loss(&p, "squared_error", h, x, 1);
        program_stage(&p, "sgd");
        /* One unit of softmax is constant: nothing flows through it. */
        if (p.net.node[2].activation == AE_SOFTMAX && p.net.node[2].width == 1)
            p.net.node[2].activation = AE_TANH;
        snprintf(what, sizeof what, "%d-%d-%d", (int)in, (int)hidden, (int)p.net.node[2].width);
        check_program(what, &p, in, 0, NULL, false, 8, NULL);
    }
}

TEST(depths_and_chunks) {
    static const ae_activation mix[] = {AE_GELU, AE_TANH, AE_SILU, AE_ELU, AE_SELU};
    for (int depth = 1; depth <= 5; depth++)
        for (int chunk = 0; chunk < 2; chunk++) {
            program p = double_program();
            p.options.chunk_rows = chunk ? 8 : 0;
            p.options.by_panels = chunk ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
            int x = network_input(&p.net, 6, 0), h = x;
            for (int i = 1; i < depth; i++)
                h = network_dense(&p.net, h, 3 + i, mix[i]);
            h = network_dense(&p.net, h, 6, AE_IDENTITY);
            program_loss(&p, "log_cosh", h, x, 1);
            program_stage(&p, "adam");
            check_program(chunk ? "depth, in chunks" : "depth", &p, 6, 0, weights, false, 40, NULL);
        }
}

TEST(dropout_with_fixed_draws) {
    for (int chunk = 0; chunk < 2; chunk++) {
        program p = double_program();
        p.options.chunk_rows = chunk ? 8 : 0;
        p.options.by_panels = chunk ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
        int x = network_input(&p.net, 33, 0), h = network_dropout(&p.net, x, 0.3);
        h = network_dense(&p.net, h, 17, AE_TANH);
        h = network_dropout(&p.net, h, 0.5);
        h = network_dense(&p.net, h, 35, AE_SILU);
        h = network_dropout(&p.net, h, 0.0);
        h = network_dense(&p.net, h, 33, AE_IDENTITY);
        program_loss(&p, "squared_error", h, x, 1);
        program_stage(&p, "sgd");
        check_program("dropout acts", &p, 33, 0, NULL, true, 30, NULL);
        check_program("dropout rests", &p, 33, 0, NULL, false, 10, NULL);
        ae_trainer *t = ready(&p, 33, 0, NULL);
        CHECK(t && loss_of(t, true) != loss_of(t, false) && loss_of(t, true) == loss_of(t, true), "the same draws each time");
        ae_trainer_free(t);
    }
}

/* Values with up to five readers; the same input twice and four times; losses amid the graph. */
TEST(sums_with_fan_out) {
    program p = double_program();
    int x = network_input(&p.net, 33, 0), a = network_dense(&p.net, x, 19, AE_TANH), b = network_dense(&p.net, a, 19, AE_SILU);
    int c = network_add(&p.net, "add", NULL, 2, a, b), d = network_add(&p.net, "add", NULL, 3, c, c, a);
    int e = network_dropout(&p.net, d, 0.25), f = network_dense(&p.net, x, 19, AE_IDENTITY);
    int g = network_add(&p.net, "add", NULL, 4, e, d, f, a), h = network_add(&p.net, "add", NULL, 4, g, g, g, g);
    int out = network_dense(&p.net, h, 33, AE_IDENTITY), other = network_dense(&p.net, d, 33, AE_IDENTITY);
    program_loss(&p, "squared_error", out, x, 1);
    program_loss(&p, "huber", out, x, 0.5);
    program_loss(&p, "log_cosh", other, x, 0.7);
    program_loss(&p, "squared_error", b, f, 0.3);
    program_stage(&p, "sgd");
    /* No gradient flows into a target: its weights stay as they are here. */
    p.net.node[f].group = 1;
    p.stage[0].groups = 1;
    check_program("fan-out", &p, 33, 0, weights, true, 25, p.net.node[f].name);
}

TEST(concatenated_odd_widths) {
    program p = double_program();
    int x = network_input(&p.net, 5, 0), y = network_input(&p.net, 35, 1);
    int a = network_dense(&p.net, x, 31, AE_TANH), b = network_dense(&p.net, a, 2, AE_TANH),
        c = network_dense(&p.net, x, 65, AE_SILU);
    int d = network_add(&p.net, "concatenate", NULL, 4, a, b, y, c), e = network_add(&p.net, "concatenate", NULL, 3, b, a, b);
    int f = network_add(&p.net, "concatenate", NULL, 1, e), g = network_dense(&p.net, d, 35, AE_IDENTITY);
    int h = network_add(&p.net, "add", NULL, 2, f, g), out = network_dense(&p.net, h, 5, AE_IDENTITY);
    program_loss(&p, "squared_error", out, x, 1);
    program_loss(&p, "log_loss", g, y, 0.4);
    program_stage(&p, "sgd");
    check_program("concatenate", &p, 5, 35, NULL, false, 25, NULL);
}

static int slice_of(network *net, int from, int first, int64_t width) {
    const int node = network_add(net, "slice", NULL, 1, from);
    net->node[node].width = width;
    net->node[node].size[0] = first;
    return node;
}

/* A mixed table: ranges of columns with losses of their own, factors of entries, and for counts a second parameter. */
TEST(losses_by_ranges_of_columns) {
    static const struct {
        const char *loss;
        int64_t width;
    } range[] = {{"squared_error", 10}, {"log_loss", 31},         {"categorical", 5},
                 {"poisson", 2},        {"negative_binomial", 3}, {"huber", 1}};
    for (int copies = 0; copies < 2; copies++) {
        program p = double_program();
        int x = network_input(&p.net, 7, 0), y = network_input(&p.net, 65, 1), h = network_dense(&p.net, x, 6, AE_SILU);
        int out = network_dense(&p.net, h, 52, AE_IDENTITY), second = network_dense(&p.net, h, 3, AE_IDENTITY);
        for (int i = 0, first = 0; i < 6; first += (int)range[i++].width) {
            int prediction = slice_of(&p.net, out, first, range[i].width), target = slice_of(&p.net, y, first, range[i].width);
            int entry = -1;
            if (i == 0)
                entry = slice_of(&p.net, y, 55, 10);
            if (i == 2) /* takes no factors: they go to its target, in which it is linear */
                target = network_add(&p.net, "multiply", NULL, 2, target, slice_of(&p.net, y, 53, 5));
            program_loss(&p, range[i].loss, prediction, target, (double)range[i].width / 52 * (i == 3 ? 0.3 : 1));
            p.loss[p.n_losses - 1].entry_weight = entry;
            p.loss[p.n_losses - 1].second = i == 4 ? second : -1;
            if (i == 1 && copies) /* a range may be in two terms */
                program_loss(&p, "squared_error", prediction, target, 0.1);
        }
        program_stage(&p, "sgd");
        check_program("mixed table", &p, 7, 65, copies ? weights : NULL, false, 60, NULL);
    }
}

TEST(a_residual_network) {
    program p = double_program();
    int x = network_input(&p.net, 12, 0), h = network_dense(&p.net, x, 18, AE_GELU);
    for (int i = 0; i < 4; i++) {
        int inner = network_dense(&p.net, h, 7, AE_SOFTPLUS);
        inner = network_dense(&p.net, inner, 18, AE_IDENTITY);
        h = network_add(&p.net, "add", NULL, 2, i & 1 ? inner : h, i & 1 ? h : inner);
    }
    h = network_dense(&p.net, h, 12, AE_IDENTITY);
    program_loss(&p, "poisson", h, network_input(&p.net, 12, 1), 1);
    program_stage(&p, "sgd");
    check_program("residual", &p, 12, 12, weights, false, 20, NULL);
}

TEST(a_branch_that_no_loss_reaches) {
    program p = double_program();
    int x = network_input(&p.net, 6, 0), a = network_dense(&p.net, x, 7, AE_TANH), dead = network_dense(&p.net, a, 9, AE_TANH);
    snprintf(p.net.node[dead].name, sizeof p.net.node[dead].name, "dead");
    int deader = network_dense(&p.net, dead, 7, AE_TANH), out = network_dense(&p.net, a, 6, AE_IDENTITY);
    snprintf(p.net.node[deader].name, sizeof p.net.node[deader].name, "deader");
    network_add(&p.net, "add", NULL, 2, a, deader);
    program_loss(&p, "squared_error", out, x, 1);
    program_stage(&p, "sgd");
    check_program("dead branch", &p, 6, 0, NULL, false, 100, "dead");
}

/* The gradient of the encoder passes through a decoder that is not trained, and the other way round. */
TEST(frozen_groups) {
    for (int trained = 0; trained < 2; trained++) {
        program p = double_program();
        int x = network_input(&p.net, 6, 0), a = network_dense(&p.net, x, 4, AE_TANH), b = network_dense(&p.net, a, 3, AE_TANH);
        int c = network_dense(&p.net, b, 5, AE_TANH), d = network_dense(&p.net, c, 6, AE_IDENTITY);
        p.net.node[c].group = p.net.node[d].group = 31;
        snprintf(p.net.node[a].name, sizeof p.net.node[a].name, "encoder a");
        snprintf(p.net.node[b].name, sizeof p.net.node[b].name, "encoder b");
        snprintf(p.net.node[c].name, sizeof p.net.node[c].name, "decoder c");
        snprintf(p.net.node[d].name, sizeof p.net.node[d].name, "decoder d");
        program_loss(&p, "squared_error", d, x, 1);
        program_stage(&p, "sgd");
        p.stage[0].groups = trained ? (uint32_t)1 << 31 : 1;
        check_program("frozen", &p, 6, 0, NULL, false, 100, trained ? "encoder" : "decoder");
    }
}

static int tied_to(network *net, int from, int other, ae_activation activation) {
    const int node = network_dense(net, from, 1, activation);
    net->node[node].width = net->node[net->node[other].inputs[0]].width;
    net->node[node].shares = 1 + other;
    net->node[node].shares_transposed = 1;
    return node;
}

/* Decoders that use the transposes of their encoders, with biases of their own; a layer of its own after them. */
TEST(tied_weights) {
    static const int64_t widths[][3] = {{5, 3, 2}, {33, 17, 31}, {32, 64, 1}, {65, 33, 34}};
    for (int i = 0; i < 4; i++)
        for (int chunk = 0; chunk < 2; chunk++)
            for (int depth = 1; depth <= 3; depth++) {
                program p = double_program();
                int x = network_input(&p.net, widths[i][0], 0), encoder[3], h = x;
                for (int l = 0; l < depth; l++)
                    h = encoder[l] = network_dense(&p.net, h, widths[i][(l + 1) % 3], l ? AE_TANH : AE_GELU);
                for (int l = depth; l-- > 0;)
                    h = tied_to(&p.net, h, encoder[l], l == 1 ? AE_SOFTMAX : AE_TANH);
                p.options.chunk_rows = chunk ? 8 : 0;
                p.options.by_panels = chunk ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
                if (i == 3)
                    h = network_dense(&p.net, h, widths[i][0], AE_IDENTITY);
                program_loss(&p, "squared_error", h, x, 1);
                program_stage(&p, "sgd");
                check_program("tied", &p, widths[i][0], 0, weights, false, 12, NULL);
            }
}

/* A whole layer used three times, once within a tied pair of pairs. */
TEST(layers_used_again) {
    for (int chunk = 0; chunk < 2; chunk++) {
        program p = double_program();
        int x = network_input(&p.net, 19, 0), a = network_dense(&p.net, x, 19, AE_TANH),
            b = network_dense(&p.net, a, 19, AE_SILU);
        int c = network_dense(&p.net, b, 19, AE_TANH), d = tied_to(&p.net, c, a, AE_TANH),
            e = network_dense(&p.net, d, 19, AE_IDENTITY);
        p.net.node[b].shares = p.net.node[c].shares = 1 + a;
        p.net.node[e].shares = 1 + d;
        p.options.chunk_rows = chunk ? 8 : 0;
        p.options.by_panels = chunk ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
        program_loss(&p, "squared_error", e, x, 1);
        program_loss(&p, "log_cosh", b, x, 0.5);
        program_stage(&p, "sgd");
        check_program("used again", &p, 19, 0, weights, false, 40, NULL);
    }
}

TEST(batch_norm_over_rows) {
    static const int64_t widths[] = {1, 5, 32, 33, 65};
    for (int i = 0; i < 5; i++)
        for (int training = 0; training < 2; training++) {
            program p = double_program();
            int x = network_input(&p.net, 6, 0), first = network_add(&p.net, "batch_norm", NULL, 1, x), h;
            int a = network_dense(&p.net, first, widths[i], AE_TANH), b = network_add(&p.net, "batch_norm", NULL, 1, a);
            int c = network_add(&p.net, "batch_norm", NULL, 1, a), d = network_add(&p.net, "add", NULL, 3, a, b, c);
            p.net.node[b].value[1] = 0.3;
            h = network_dense(&p.net, d, 6, AE_SILU);
            h = network_add(&p.net, "batch_norm", NULL, 1, h);
            program_loss(&p, "squared_error", h, x, 1);
            program_loss(&p, "log_cosh", first, x, 0.3);
            program_stage(&p, "sgd");
            check_program("batch norm", &p, 6, 0, weights, training, 30, NULL);
        }
}

/* Several layers of one program at random: the graphs that nobody thought of. */
TEST(random_graphs) {
    static const ae_activation smooth[] = {AE_IDENTITY, AE_ELU,  AE_GELU,     AE_SILU,
                                           AE_SOFTPLUS, AE_TANH, AE_LOGISTIC, AE_SOFTMAX};
    int tried = 0;
    for (int round = 0; round < 60 && tried < (SLOW ? 6 : 25); round++) {
        program p = double_program();
        const int64_t width = 1 + (int64_t)(network_draw() % 40);
        int x = network_input(&p.net, width, 0), n = 3 + (int)(network_draw() % 10);
        int64_t widths[NETWORK_NODES] = {width};
        int last = network_dense(&p.net, x, widths[1] = 2 + (int64_t)(network_draw() % 36), AE_TANH);
        for (int i = 0; i < n; i++) {
            const int from = (int)(network_draw() % (uint64_t)p.net.n), to = p.net.n;
            switch (network_draw() % 5) {
            case 0:
                last = network_dropout(&p.net, from, 0.2);
                widths[to] = widths[from];
                break;
            case 1: {
                int twin = from;
                for (int j = 0; j < p.net.n; j++)
                    twin = widths[j] == widths[from] && (network_draw() & 1) ? j : twin;
                last = network_add(&p.net, "add", NULL, 3, from, twin, from);
                widths[to] = widths[from];
                break;
            }
            case 2:
                last = network_add(&p.net, "concatenate", NULL, 2, from, last);
                widths[to] = widths[from] + widths[p.net.node[to].inputs[1]];
                break;
            default:
                widths[to] = 2 + (int64_t)(network_draw() % 36);
                last = network_dense(&p.net, from, widths[to], smooth[network_draw() % 8]);
            }
        }
        /* Everything without a reader ends in one head, so that each weight has a gradient. */
        int heads = 0;
        for (int i = 0, n_now = p.net.n; i < n_now; i++) {
            bool read = false;
            for (int j = i + 1; j < n_now; j++)
                for (int k = 0; k < p.net.node[j].n_inputs; k++)
                    read |= p.net.node[j].inputs[k] == i;
            if (!read && heads < 4 && p.net.n < NETWORK_NODES) {
                const int head = network_dense(&p.net, i, width, AE_IDENTITY);
                program_loss(&p, heads & 1 ? "squared_error" : "log_cosh", head, x, 0.5 + heads);
                heads++;
            } else if (!read) {
                heads = 5; /* more ends than losses fit: another graph will do */
            }
        }
        if (heads > 4)
            continue;
        tried++;
        program_stage(&p, "sgd");
        char what[32];
        snprintf(what, sizeof what, "random graph %d", round);
        check_program(what, &p, width, 0, round & 1 ? weights : NULL, true, 6, NULL);
    }
    CHECK(tried >= 6, "%d graphs", tried);
}

/* At the minimum that L-BFGS finds, the gradient of the data is that of the penalty with its sign changed; weights that
 * are not trained neither move nor are pulled. */
TEST(l2_penalty_of_lbfgs) {
    for (int frozen = 0; frozen < 2; frozen++) {
        program p = double_program();
        const double l2 = 0.02;
        int x = network_input(&p.net, 7, 0), h = network_dense(&p.net, x, 3, AE_TANH);
        h = network_dense(&p.net, h, 5, AE_TANH);
        h = network_dense(&p.net, h, 7, AE_IDENTITY);
        p.net.node[2].group = frozen;
        program_loss(&p, "squared_error", h, x, 1);
        program_stage(&p, NULL);
        p.stage[0].groups = 1;
        p.options.l2 = l2;
        p.options.lbfgs_gtol = 1e-8;
        ae_trainer *t = ready(&p, 7, 0, weights);
        if (!t)
            return;
        ae_net *net = ae_trainer_net(t);
        ae_context context;
        ae_epoch_result result = {0};
        double before[15], after[15], loss;
        const void *region;
        ae_net_get_parameter(net, 2, before);
        for (int i = 0; i < 2000 && !result.converged; i++) {
            const ae_status status = ae_trainer_epoch(&context, t, NULL, NULL, &result);
            CHECK(status == AE_OK, "%s", context.message);
        }
        CHECK(result.converged, "L-BFGS did not converge");
        ae_net_get_parameter(net, 2, after);
        CHECK(frozen == !memcmp(before, after, sizeof before), "the middle layer %s", frozen ? "moved" : "did not move");
        ae_trainer_gradient(&context, t, 0, true, &loss, &region);
        CHECK(fabs(loss - result.loss) <= 1e-12, "loss of the epoch %.17g, of the weights %.17g", result.loss, loss);
        for (int i = 0; i < net->n_parameters; i++) {
            double w[64], g[64], largest = 0;
            if (frozen && net->parameters[i].group)
                continue;
            const int64_t n = net->parameters[i].request.rows * net->parameters[i].request.columns;
            ae_net_get_parameter(net, i, w);
            ae_net_unpack(net, i, region, g);
            for (int64_t j = 0; j < n; j++)
                largest = fmax(largest, fabs(g[j] + (net->parameters[i].request.decays ? l2 * w[j] : 0)));
            CHECK(largest <= 2e-8, "%s: gradient and penalty leave %g", net->parameters[i].name, largest);
        }
        ae_trainer_free(t);
    }
}

int main(void) {
    fill_data();
    RUN(every_activation);
    RUN(every_loss);
    RUN(widths_beside_the_panels);
    RUN(depths_and_chunks);
    RUN(dropout_with_fixed_draws);
    RUN(sums_with_fan_out);
    RUN(concatenated_odd_widths);
    RUN(losses_by_ranges_of_columns);
    RUN(a_residual_network);
    RUN(a_branch_that_no_loss_reaches);
    RUN(frozen_groups);
    RUN(tied_weights);
    RUN(layers_used_again);
    RUN(batch_norm_over_rows);
    RUN(random_graphs);
    RUN(l2_penalty_of_lbfgs);
    return harness_finish("test_gradients");
}
