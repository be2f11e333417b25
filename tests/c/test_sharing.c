/* Parameters used by several nodes: the table, what is refused, gradients against those of copies, and the same bits however the
 * work is cut. Gradients against differences: test_gradients.c. */
#include "slow.h"
#include "trainers.h"

#define ROWS 203
#define COLUMNS 65

static double x[ROWS * COLUMNS], row_weights[ROWS];

static ae_isa best_isa(void) {
    ae_isa isa = AE_ISA_REF;
    ae_isa_select(NULL, &isa);
    return isa;
}

static ae_trainer *started(const program *p, int64_t rows) {
    const ae_data data = dense_data(x, AE_F64, rows, p->net.node[0].width);
    return trainer_started(p, &data, 1, row_weights);
}

static int tied_to(network *net, int from, int other, int64_t width, ae_activation activation) {
    const int node = network_dense(net, from, width, activation);
    net->node[node].shares = 1 + other;
    net->node[node].shares_transposed = 1;
    return node;
}

enum { INPUT, ENCODER, CODE, DECODER, OUT };

/* 33 - 40 - 7 - 40 - 33, both decoders tied. */
static network sample(bool tied) {
    network net = {.n = 0};
    int h = network_dense(&net, network_input(&net, 33, 0), 40, AE_TANH);
    h = network_dense(&net, h, 7, AE_GELU);
    h = tied ? tied_to(&net, h, CODE, 40, AE_TANH) : network_dense(&net, h, 40, AE_TANH);
    if (tied)
        tied_to(&net, h, ENCODER, 33, AE_IDENTITY);
    else
        network_dense(&net, h, 33, AE_IDENTITY);
    return net;
}

TEST(the_table_of_shared_parameters) {
    const network d = sample(true);
    ae_context context;
    ae_net *net;
    CHECK(ae_net_new(&context, &net, 64, best_isa(), d.node, d.n) == AE_OK, "%s", context.message);
    if (!net)
        return;
    CHECK(ae_net_plan_rows(&context, net, 3, true, 1) == AE_OK, "%s", context.message);
    CHECK(net->n_parameters == 6, "%d parameters: two weights, four biases", net->n_parameters);
    const ae_parameter *w = &net->parameters[parameter_of(net, "dense1.weight")];
    CHECK(w->n_uses == 2 && w->use[0].node == ENCODER && !w->use[0].transposed && w->use[1].node == OUT && w->use[1].transposed,
          "uses");
    CHECK(w->transposed_offset >= 0, "a first layer whose weight is tied has a transpose");
    CHECK(parameter_of(net, "dense4.weight") == -1 && parameter_of(net, "dense4.bias") >= 0, "the bias is the decoder's own");
    const ae_binding *a = &net->nodes[ENCODER].binding, *b = &net->nodes[OUT].binding;
    CHECK(a->parameter[0] == b->transposed[0] && a->transposed[0] == b->parameter[0] && a->parameter[1] != b->parameter[1],
          "bound");
    CHECK(a->parameter_rows[0] == 33 && b->parameter_rows[0] == 40, "rows as each sees them");
    ae_net_free(net);
}

#define REFUSED(change, word)                                                                                               \
    do {                                                                                                                    \
        network net = sample(true);                                                                                         \
        ae_node_desc *d = net.node;                                                                                         \
        ae_context context = {AE_OK, ""};                                                                                   \
        ae_net *out = (ae_net *)(uintptr_t)64;                                                                              \
        change;                                                                                                             \
        const ae_status status = ae_net_new(&context, &out, 32, best_isa(), d, net.n);                                      \
        CHECK(status == AE_ERR_VALUE && !out && strstr(context.message, word), "%s: status %d, '%s'", #change, (int)status, \
              context.message);                                                                                             \
    } while (0)

TEST(wrong_sharing_is_refused) {
    const int64_t live = ae_alloc_live();
    REFUSED(d[OUT].width = 32, "40 x 32 and what it shares of node 'dense1' is 40 x 33, transposed");
    REFUSED(d[OUT].shares_transposed = 0, "40 x 33 and what it shares");
    REFUSED(d[DECODER].shares = 1 + ENCODER, "is 40 x 33, transposed");
    REFUSED(d[OUT].shares = 1 + INPUT, "kinds must be equal");
    REFUSED(d[OUT].shares = 1 + OUT, "must be an earlier node");
    REFUSED(d[OUT].shares = -1, "must be an earlier node");
    REFUSED(d[OUT].shares = INT32_MAX, "must be an earlier node");
    REFUSED(d[OUT].shares = INT32_MIN, "must be an earlier node");
    REFUSED(d[OUT].shares_transposed = 2, "shares_transposed is 2");
    REFUSED(d[OUT].shares_transposed = -1, "shares_transposed is -1");
    REFUSED(d[OUT].shares = 0, "it shares nothing");
    const int dropout = ae_layer_find("dropout"), norm = ae_layer_find("batch_norm");
    REFUSED((d[CODE].kind = d[DECODER].kind = dropout), "kinds must be equal");
    REFUSED((d[CODE].kind = d[DECODER].kind = norm), "cannot use a transpose");
    REFUSED((d[CODE].kind = norm, d[DECODER].kind = ae_layer_find("dense")),
            "(dense) cannot use parameters of node 'dense2' (batch_norm)");
    CHECK(ae_alloc_live() == live, "%d blocks are left", (int)(ae_alloc_live() - live));
    /* Seventeen uses of one weight. */
    network net = {.n = 0};
    int h = network_dense(&net, network_input(&net, 4, 0), 4, AE_TANH);
    for (int i = 0; i < AE_MAX_USES; i++) {
        h = network_dense(&net, h, 4, AE_TANH);
        net.node[h].shares = 2;
    }
    ae_context context;
    ae_net *out;
    CHECK(ae_net_new(&context, &out, 64, best_isa(), net.node, net.n - 1) == AE_OK, "%s", context.message);
    ae_net_free(out);
    CHECK(ae_net_new(&context, &out, 64, best_isa(), net.node, net.n) == AE_ERR_VALUE && strstr(context.message, "used by 16"),
          "%s", context.message);
}

/* A parameter of a region, row-major in double. To be freed. */
static double *matrix(const ae_net *net, const char *name, const void *region) {
    const ae_parameter *p = &net->parameters[parameter_of(net, name)];
    const int64_t n = p->request.rows * p->request.columns;
    void *reals = malloc((size_t)n * 8);
    double *out = malloc((size_t)n * sizeof *out);
    ae_net_unpack(net, parameter_of(net, name), region, reals);
    for (int64_t i = 0; i < n; i++)
        out[i] = net->bits == 32 ? (double)((float *)reals)[i] : ((double *)reals)[i];
    free(reals);
    return out;
}

/* The gradient of a tied weight is exactly that of the encoder plus the transpose of the decoder's, in copies of equal value. */
TEST(gradients_are_sums_over_copies) {
    static const char *const weight[] = {"dense1.weight", "dense2.weight"}, *const copy[] = {"dense4.weight", "dense3.weight"};
    for (int bits = 32; bits <= 64; bits += 32)
        for (int chunk = 0; chunk <= 64; chunk += 32) {
            program p = {.options = plain_options(bits)}, q;
            p.net = sample(true);
            program_loss(&p, "squared_error", OUT, INPUT, 1);
            program_stage(&p, "sgd");
            p.options.batch_size = ROWS;
            p.options.chunk_rows = chunk;
            p.options.clip_norm = 1e30;
            q = p;
            q.net = sample(false);
            ae_trainer *tied = started(&p, ROWS), *apart = started(&q, ROWS);
            if (!tied || !apart)
                return;
            ae_net *one = ae_trainer_net(tied), *two = ae_trainer_net(apart);
            for (int i = 0; i < 2; i++) {
                const ae_parameter_request *r = &one->parameters[parameter_of(one, weight[i])].request;
                double *w = matrix(one, weight[i], one->parameter_base);
                void *transposed = malloc((size_t)(r->rows * r->columns) * 8),
                     *same = malloc((size_t)(r->rows * r->columns) * 8);
                for (int64_t a = 0; a < r->rows; a++)
                    for (int64_t b = 0; b < r->columns; b++) {
                        const double v = w[a * r->columns + b];
                        if (bits == 32)
                            ((float *)transposed)[b * r->rows + a] = (float)v, ((float *)same)[a * r->columns + b] = (float)v;
                        else
                            ((double *)transposed)[b * r->rows + a] = v, ((double *)same)[a * r->columns + b] = v;
                    }
                ae_net_set_parameter(two, parameter_of(two, weight[i]), same);
                ae_net_set_parameter(two, parameter_of(two, copy[i]), transposed);
                free(w);
                free(transposed);
                free(same);
            }
            ae_context context;
            double loss[2];
            const void *g[2];
            CHECK(ae_trainer_gradient(&context, tied, 0, true, &loss[0], &g[0]) == AE_OK, "%s", context.message);
            CHECK(ae_trainer_gradient(&context, apart, 0, true, &loss[1], &g[1]) == AE_OK, "%s", context.message);
            CHECK(loss[0] == loss[1], "losses %.17g and %.17g", loss[0], loss[1]);
            for (int i = 0; i < 2; i++) {
                const ae_parameter_request *r = &one->parameters[parameter_of(one, weight[i])].request;
                double *sum = matrix(one, weight[i], g[0]), *first = matrix(two, weight[i], g[1]),
                       *second = matrix(two, copy[i], g[1]);
                int64_t wrong = 0, zero = 0;
                for (int64_t a = 0; a < r->rows; a++)
                    for (int64_t b = 0; b < r->columns; b++) {
                        const double want = first[a * r->columns + b] + second[b * r->rows + a];
                        wrong += sum[a * r->columns + b] != (bits == 32 ? (double)(float)want : want);
                        zero += second[b * r->rows + a] == 0 || first[a * r->columns + b] == 0;
                    }
                CHECK(!wrong && !zero, "f%d chunk %d %s: %d wrong, %d zero", bits, chunk, weight[i], (int)wrong, (int)zero);
                free(sum);
                free(first);
                free(second);
            }
            ae_trainer_free(tied);
            ae_trainer_free(apart);
        }
}

typedef struct result {
    double loss[2];
    char *weights;
    size_t bytes;
} result;

static result trained(const program *p, const char *isa) {
    result r = {.weights = NULL};
    ae_context context = {AE_OK, ""};
    ae_epoch_result e = {.loss = NAN};
    if (isa)
        setenv("AUTOENC_ISA", isa, 1);
    ae_trainer *t = started(p, ROWS);
    unsetenv("AUTOENC_ISA");
    if (!t)
        return r;
    for (int i = 0; i < 3; i++) {
        const ae_status status = ae_trainer_epoch(&context, t, NULL, NULL, &e);
        CHECK(status == AE_OK, "%s", context.message);
    }
    r.loss[0] = e.loss;
    CHECK(ae_trainer_evaluate(&context, t, 0, 0, ROWS, false, NULL, NULL, &r.loss[1]) == AE_OK, "%s", context.message);
    const ae_net *net = ae_trainer_net(t);
    r.bytes = (size_t)(net->parameter_reals + net->transposed_reals) * net->real_size;
    r.weights = malloc(r.bytes);
    memcpy(r.weights, net->parameter_base, (size_t)net->parameter_reals * net->real_size);
    char *transposes = r.weights + (size_t)net->parameter_reals * net->real_size;
    memcpy(transposes, net->transposed_base, (size_t)net->transposed_reals * net->real_size);
    ae_net_pack_all(net);
    CHECK(!memcmp(transposes, net->transposed_base, (size_t)net->transposed_reals * net->real_size),
          "transposes follow their weights");
    ae_trainer_free(t);
    return r;
}

static bool equal(const result *a, const result *b) {
    return a->bytes == b->bytes && !memcmp(a->weights, b->weights, a->bytes) && !memcmp(a->loss, b->loss, sizeof a->loss);
}

TEST(the_same_bits_however_it_is_cut) {
    static const char *const rules[] = {"adam", "sgd", NULL};
    for (int r = 0; r < 3; r++)
        for (int bits = SANITIZED && r & 1 ? 64 : 32; bits <= (SANITIZED && !(r & 1) ? 32 : 64); bits += 32) {
            program p = {.options = plain_options(bits)};
            int in = network_input(&p.net, COLUMNS, 0), h = network_dense(&p.net, in, 130, AE_GELU);
            h = network_dense(&p.net, network_dropout(&p.net, h, 0.2), 33, AE_TANH);
            h = tied_to(&p.net, h, 3, 130, AE_SILU);
            h = tied_to(&p.net, h, 1, COLUMNS, AE_IDENTITY);
            int again = network_dense(&p.net, h, 130, AE_TANH);
            p.net.node[again].shares = 2;
            h = network_dense(&p.net, again, COLUMNS, AE_IDENTITY);
            program_loss(&p, "squared_error", h, in, 1);
            program_loss(&p, "huber", 5, in, 0.5);
            program_stage(&p, rules[r]);
            p.options.batch_size = rules[r] ? 96 : ROWS;
            p.options.l2 = 1e-3;
            if (r == 0) {
                p.options.clip_norm = 0.3;
                p.options.max_norm = 1.2;
            }
            result one = trained(&p, NULL);
            CHECK(one.loss[0] > 0 && one.loss[0] != one.loss[1], "losses %g and %g", one.loss[0], one.loss[1]);
            for (const char *const *isa = usable_isas() + SANITIZED; *isa; isa++) {
                result other = trained(&p, *isa);
                CHECK(equal(&one, &other), "rule %d f%d: %s", r, bits, *isa);
                free(other.weights);
            }
            static const int threads[] = {2, 3, 8, 1, 2};
            static const int64_t chunks[] = {0, 0, 0, 8, 64};
            for (int i = 0; i < 5; i++) {
                program q = p;
                q.options.n_threads = threads[i];
                q.options.chunk_rows = chunks[i];
                q.options.by_panels = i & 1 ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
                result other = trained(&q, NULL);
                CHECK(equal(&one, &other), "rule %d f%d: %d threads, chunks of %d", r, bits, threads[i], (int)chunks[i]);
                free(other.weights);
            }
            free(one.weights);
        }
}

/* What logistic leaves in the padding of activations (1/2) does not reach weights by way of the transposed use. */
TEST(padding_stays_zero) {
    for (int clips = 0; clips < 2; clips++) {
        program p = {.options = plain_options(64)};
        p.net = sample(true);
        p.net.node[ENCODER].activation = p.net.node[CODE].activation = p.net.node[DECODER].activation = AE_LOGISTIC;
        program_loss(&p, "squared_error", OUT, INPUT, 1);
        program_stage(&p, "adam");
        p.options.clip_norm = clips ? 0.1 : INFINITY;
        ae_trainer *t = started(&p, ROWS);
        if (!t)
            return;
        const ae_net *net = ae_trainer_net(t);
        ae_context context;
        ae_epoch_result e;
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &e) == AE_OK, "%s", context.message);
        for (int i = 0; i < net->n_parameters; i++) {
            const ae_parameter *q = &net->parameters[i];
            int64_t wrong = 0;
            for (int64_t panel = 0; panel < ae_panels(q->request.columns); panel++)
                for (int64_t row = 0; row < q->request.rows; row++)
                    for (int c = ae_panel_columns(q->request.columns, panel); c < AE_PANEL; c++)
                        wrong += ((const double *)(const void *)
                                      net->parameter_base)[q->offset + (panel * q->request.rows + row) * AE_PANEL + c] != 0;
            CHECK(!wrong, "%s: %d of the padding", q->name, (int)wrong);
        }
        ae_trainer_free(t);
    }
}

/* Stages that train one side only take that side's part of the gradient; a frozen group is not touched through another use. */
TEST(groups_and_stages_of_shared_parameters) {
    for (int frozen = 0; frozen < 2; frozen++) {
        program p = {.options = plain_options(64)};
        p.net = sample(true);
        p.net.node[frozen ? ENCODER : OUT].group = 1;
        program_loss(&p, "squared_error", OUT, INPUT, 1);
        program_stage(&p, "sgd");
        p.stage[0].groups = 1;
        ae_trainer *t = started(&p, ROWS);
        if (!t)
            return;
        const ae_net *net = ae_trainer_net(t);
        ae_context context;
        ae_epoch_result e;
        double *before = matrix(net, "dense1.weight", net->parameter_base),
               *bias = matrix(net, "dense4.bias", net->parameter_base);
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &e) == AE_OK, "%s", context.message);
        double *after = matrix(net, "dense1.weight", net->parameter_base),
               *bias_after = matrix(net, "dense4.bias", net->parameter_base);
        CHECK(frozen == !memcmp(before, after, 33 * 40 * 8), "the weight is of the encoder's group");
        CHECK(frozen == (memcmp(bias, bias_after, 33 * 8) != 0), "the bias is of the decoder's");
        free(before);
        free(after);
        free(bias);
        free(bias_after);
        ae_trainer_free(t);
    }
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    fill(x, ROWS * COLUMNS, -1, 1);
    fill(row_weights, ROWS, 0, 2);
    RUN(the_table_of_shared_parameters);
    RUN(wrong_sharing_is_refused);
    RUN(gradients_are_sums_over_copies);
    RUN(the_same_bits_however_it_is_cut);
    RUN(padding_stays_zero);
    RUN(groups_and_stages_of_shared_parameters);
    return harness_finish("test_sharing");
}
