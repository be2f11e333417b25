/* Values that go as pairs: the bits of the dense value in whole programs, gradients against central differences, what is refused. */
#include "harness.h"
#include "networks.h"
#include "slow.h"

#define ROWS 83
#define WIDTH 75
#define CODE 140
#define WIDE_CODE 300 /* so much wider than what is chosen that it comes by groups of panels */
#define MOST 11

static double x[ROWS * WIDTH];
static float stored[ROWS * MOST];
static int32_t columns[ROWS * MOST], starts[ROWS + 1];

/* Rows of few entries; some have none, one has MOST. */
static ae_data csr_data(void) {
    int32_t n = 0;
    for (int r = 0; r < ROWS; r++) {
        const int count = r == 5 ? MOST : r % 7 == 3 ? 0 : r % MOST;
        for (int i = 0; i < count; i++, n++) {
            columns[n] = i * (WIDTH / MOST) + (r + i) % (WIDTH / MOST);
            stored[n] = (float)(network_unit() * 2 - 0.7);
        }
        starts[r + 1] = n;
    }
    return sparse_data(stored, starts, columns, ROWS, WIDTH);
}

enum { PLAIN, DEEP, LINEAR, TIED, UNIT, AUXILIARY, WIDE, WIDE_DEEP, CSR, CSR_DEEP, KINDS };

/* by_pairs false: the same network, whose code another term reads (with the weight zero), or whose source is not said to be sparse. */
static program program_of(int kind, bool by_pairs, int bits, int *node) {
    program p = {.options = plain_options(bits)};
    network *net = &p.net;
    p.options.batch_size = 32;
    const int from = network_input(net, WIDTH, 0);
    if (kind >= CSR) {
        net->node[from].size[0] = by_pairs ? MOST : 0;
        *node = from;
        const int hidden = network_dense(net, from, 45, kind == CSR ? AE_TANH : AE_IDENTITY);
        const int second = network_dense(net, kind == CSR ? hidden : from, 20, AE_GELU);
        const int sum = kind == CSR ? second : network_add(net, "concatenate", NULL, 2, hidden, second);
        program_loss(&p, "squared_error", network_dense(net, sum, WIDTH, AE_IDENTITY), from, 1);
        program_stage(&p, "adam");
        return p;
    }
    const bool wide = kind == WIDE || kind == WIDE_DEEP, deep = kind == DEEP || kind == WIDE_DEEP;
    const int before = deep ? network_dense(net, from, 50, AE_TANH) : from;
    const int pre = network_dense(net, before, wide ? WIDE_CODE : CODE, AE_IDENTITY),
              top = network_add(net, "top_k", NULL, 1, pre);
    net->node[top].size[0] = 9;
    net->node[top].size[1] = kind != LINEAR;
    int out = network_dense(net, deep ? network_dense(net, top, 50, AE_SILU) : top, WIDTH, AE_IDENTITY);
    if (kind == TIED) {
        net->node[out].shares = 1 + pre;
        net->node[out].shares_transposed = 1;
    }
    net->node[out].size[2] = kind == UNIT;
    program_loss(&p, "squared_error", out, from, 1);
    if (kind == AUXILIARY) {
        const int dead = network_add(net, "top_k", NULL, 1, pre);
        net->node[dead].size[0] = 40, net->node[dead].size[1] = net->node[dead].size[2] = 1;
        net->node[dead].value[0] = 60;
        net->node[dead].shares = 1 + top;
        const int again = network_dense(net, dead, WIDTH, AE_IDENTITY);
        net->node[again].shares = 1 + out;
        net->node[again].size[0] = 1;
        program_loss(&p, "squared_error", again, from, 0.03);
        if (!by_pairs)
            program_loss(&p, "absolute_error", dead, -1, 0);
    }
    if (!by_pairs)
        program_loss(&p, "absolute_error", top, -1, 0);
    program_stage(&p, "adam");
    *node = top;
    return p;
}

static ae_trainer *started(const program *p, const ae_data *data) {
    ae_context context = {AE_OK, ""};
    ae_trainer *t = NULL;
    ae_status status = program_trainer(&context, p, &t);
    if (status == AE_OK)
        status = ae_trainer_bind(&context, t, 0, data, 1, NULL);
    if (status == AE_OK)
        status = ae_trainer_initialize(&context, t);
    CHECK(status == AE_OK, "%s", context.message);
    return status == AE_OK ? t : NULL;
}

static double *trained(const program *p, const ae_data *data, int node, bool by_pairs, double *loss, int64_t *n) {
    ae_context context;
    ae_epoch_result result = {0};
    ae_trainer *t = started(p, data);
    if (!t)
        return NULL;
    const ae_node *const at = &ae_trainer_net(t)->nodes[node];
    CHECK(at->by_pairs == by_pairs, "not by the way that was meant");
    CHECK(!node || at[-1].by_groups == (by_pairs && at->plan.out.width == WIDE_CODE), "groups where none were meant, or none");
    for (int e = 0; e < 4; e++)
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
    CHECK(ae_trainer_evaluate(&context, t, 0, 0, ROWS, false, NULL, NULL, loss) == AE_OK, "%s", context.message);
    double *weights = copy_weights(ae_trainer_net(t), NULL, n);
    ae_trainer_free(t);
    return weights;
}

/* For every kind, precision and instruction set; with threads; in chunks where these are possible. */
TEST(pairs_have_the_bits_of_the_dense_value) {
    const ae_data sparse = csr_data(), dense = dense_data(x, AE_F64, ROWS, WIDTH);
    fill(x, ROWS * WIDTH, -1, 1);
    for (const char *const *isa = usable_isas() + SANITIZED; *isa; isa++) {
        setenv("AUTOENC_ISA", *isa, 1);
        for (int kind = 0; kind < KINDS; kind++)
            for (int bits = 32; bits <= 64; bits += 32) {
                const ae_data *data = kind >= CSR ? &sparse : &dense;
                double loss, wanted_loss;
                int64_t n = 0, count = 0;
                int node;
                program p = program_of(kind, false, bits, &node);
                double *wanted = trained(&p, data, node, false, &wanted_loss, &n);
                for (int way = 0; way < 3; way++) {
                    p = program_of(kind, true, bits, &node);
                    p.options.n_threads = way == 1 ? 3 : 1;
                    p.options.by_panels = way >= 1 ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
                    p.options.chunk_rows = way == 2 && kind >= CSR ? 8 : 0;
                    double *got = trained(&p, data, node, true, &loss, &count);
                    bool same = wanted && got && count == n && loss == wanted_loss;
                    for (int64_t i = 0; same && i < n; i++)
                        same = got[i] == wanted[i];
                    CHECK(same, "%s, kind %d, f%d, way %d: other bits", *isa, kind, bits, way);
                    free(got);
                }
                free(wanted);
            }
    }
    unsetenv("AUTOENC_ISA");
}

TEST(gradients_by_pairs_are_central_differences) {
    const ae_data sparse = csr_data(), dense = dense_data(x, AE_F64, ROWS, WIDTH);
    const double h = 1e-6;
    fill(x, ROWS * WIDTH, -1, 1);
    for (int kind = 0; kind < KINDS; kind++) {
        if (kind == UNIT || kind == AUXILIARY)
            continue; /* UNIT: rows are held, no free direction; AUXILIARY: dead latents are the affair of test_sparse_programs */
        ae_context context;
        double loss, low, high;
        const void *region;
        int node;
        program p = program_of(kind, true, 64, &node);
        p.options.clip_norm = 1e300; /* keeps the gradient */
        p.options.batch_size = ROWS;
        ae_trainer *t = started(&p, kind >= CSR ? &sparse : &dense);
        if (!t)
            continue;
        ae_net *net = ae_trainer_net(t);
        for (int i = 0; i < net->n_parameters; i++) {
            const ae_parameter *q = &net->parameters[i];
            const int64_t n = q->request.rows * q->request.columns;
            double *w = malloc((size_t)n * sizeof *w), *g = malloc((size_t)n * sizeof *g);
            ae_net_get_parameter(net, i, w);
            for (int64_t j = 0; q->request.update == AE_UPDATE_RULE && j < n; j += FEWER * (1 + n / 29)) {
                const double at = w[j];
                w[j] = at - h, ae_net_set_parameter(net, i, w);
                CHECK(ae_trainer_gradient(&context, t, 0, true, &low, &region) == AE_OK, "%s", context.message);
                w[j] = at + h, ae_net_set_parameter(net, i, w);
                CHECK(ae_trainer_gradient(&context, t, 0, true, &high, &region) == AE_OK, "%s", context.message);
                w[j] = at, ae_net_set_parameter(net, i, w);
                CHECK(ae_trainer_gradient(&context, t, 0, true, &loss, &region) == AE_OK, "%s", context.message);
                ae_net_unpack(net, i, region, g);
                const double slope = (high - low) / (2 * h);
                CHECK(fabs(slope - g[j]) < 1e-6 * fmax(fabs(slope), 1e-3), "kind %d, %s[%d]: %g and %g", kind, q->name, (int)j,
                      g[j], slope);
            }
            free(w);
            free(g);
        }
        ae_trainer_free(t);
    }
}

TEST(a_source_by_pairs_takes_csr_rows_that_fit) {
    const ae_data dense = dense_data(x, AE_F64, ROWS, WIDTH), sparse = csr_data();
    ae_context context;
    int node;
    program p = program_of(CSR, true, 32, &node);
    ae_trainer *t = started(&p, &sparse);
    CHECK(ae_trainer_bind(&context, t, 0, &dense, 1, NULL) == AE_ERR_VALUE && strstr(context.message, "dense"), "%s",
          context.message);
    ae_trainer_free(t);
    p.net.node[node].size[0] = MOST - 1;
    CHECK(program_trainer(&context, &p, &t) == AE_OK, "%s", context.message);
    CHECK(ae_trainer_bind(&context, t, 0, &sparse, 1, NULL) == AE_ERR_VALUE && strstr(context.message, "at most 10"), "%s",
          context.message);
    ae_trainer_free(t);
    static const int32_t sizes[] = {-1, WIDTH + 1};
    for (int i = 0; i < 2; i++) {
        p.net.node[node].size[0] = sizes[i];
        CHECK(program_trainer(&context, &p, &t) == AE_ERR_VALUE && strstr(context.message, "entries a row"), "%s",
              context.message);
    }
}

/* Rows so wide that copies in parts have no room for all of them at one time, where nothing comes by groups. Against the same network
 * with another node between product and selection, so that the value is kept whole. */
TEST(wide_rows_in_parts_come_by_groups) {
    enum { MANY = 1100, FEW = 37 };
    double *wide = malloc(sizeof *wide * FEW * MANY);
    fill(wide, FEW * MANY, -1, 1);
    const ae_data data = dense_data(wide, AE_F64, FEW, MANY);
    for (int parts = 1; parts <= 2; parts++) {
        double *weights[2] = {NULL, NULL}, loss[2] = {0, 1};
        int64_t n[2] = {0, 0}, per_row[2] = {0, 0};
        for (int apart = 0; apart < 2; apart++) {
            ae_context context;
            ae_epoch_result result = {0};
            program p = {.options = plain_options(32)};
            p.options.batch_size = FEW;
            p.options.n_threads = 1 + parts;
            p.options.by_panels = AE_BY_PANELS_NEVER; /* so that copies share their memory */
            const int from = network_input(&p.net, MANY, 0), pre = network_dense(&p.net, from, 2 * WIDE_CODE, AE_IDENTITY);
            if (apart)
                network_add(&p.net, "activation", NULL, 1, from);
            const int top = network_add(&p.net, "top_k", NULL, 1, pre), hidden = network_dense(&p.net, top, 70, AE_TANH),
                      out = network_dense(&p.net, hidden, MANY, AE_IDENTITY);
            snprintf(p.net.node[top].name, AE_NAME_SIZE, "top");
            snprintf(p.net.node[hidden].name, AE_NAME_SIZE, "hidden");
            snprintf(p.net.node[out].name, AE_NAME_SIZE, "out");
            p.net.node[top].size[0] = 9;
            p.net.node[pre].size[3] = p.net.node[out].size[3] = parts;
            program_loss(&p, "squared_error", out, from, 1);
            program_stage(&p, "adam");
            ae_trainer *t = started(&p, &data);
            if (!t)
                continue;
            for (int e = 0; e < 3; e++)
                CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
            loss[apart] = result.loss;
            weights[apart] = copy_weights(ae_trainer_net(t), NULL, &n[apart]);
            per_row[apart] = ae_trainer_net(t)->value_reals_per_row;
            CHECK(ae_trainer_net(t)->reuses, "copies have memory of their own");
            CHECK(ae_trainer_net(t)->nodes[top].by_pairs && ae_trainer_net(t)->nodes[pre].by_groups == !apart,
                  "groups where none were meant, or none");
            ae_trainer_free(t);
        }
        CHECK(loss[0] == loss[1] && n[0] == n[1] && !memcmp(weights[0], weights[1], (size_t)n[0] * sizeof **weights),
              "%d parts: other bits", parts);
        CHECK(per_row[0] + WIDE_CODE < per_row[1], "%d parts: %lld reals a row, %lld by groups", parts, (long long)per_row[1],
              (long long)per_row[0]);
        free(weights[0]);
        free(weights[1]);
    }
    free(wide);
}

/* A stage that begins behind it reads what another has left, so all of it must lie there. */
TEST(a_value_that_another_stage_reads_is_kept_whole) {
    const ae_data dense = dense_data(x, AE_F64, ROWS, WIDTH);
    for (int stages = 1; stages <= 2; stages++) {
        int top;
        program p = program_of(WIDE, true, 64, &top);
        p.net.node[top].group = p.net.node[top + 1].group = 1;
        if (stages == 2) {
            program_stage(&p, "adam");
            p.stage[0].groups = 1;
            p.stage[1].groups = 2;
            p.stage[1].first_node = top;
        }
        ae_trainer *t = started(&p, &dense);
        if (!t)
            return;
        CHECK(ae_trainer_net(t)->nodes[top].by_pairs, "it does not come by pairs");
        CHECK(ae_trainer_net(t)->nodes[top - 1].by_groups == (stages == 1), "%d stages", stages);
        ae_trainer_free(t);
    }
}

/* Counting sort: rows rise within a column, and nothing is lost. */
TEST(the_order_by_column) {
    int32_t count[4] = {3, 0, 2, 3}, column[12] = {0, 2, 4, 0, 0, 0, 2, 3, 0, 0, 2, 4}, start[6], entry[12], row_of[12];
    const ae_pairs pairs = {.most = 3, .count = count, .column = column, .start = start, .entry = entry, .row_of = row_of};
    static const int32_t starts_wanted[6] = {0, 2, 2, 5, 6, 8}, rows_wanted[8] = {0, 3, 0, 2, 3, 2, 0, 3};
    static const int32_t entries_wanted[8] = {0, 9, 1, 6, 10, 7, 2, 11};
    ae_pairs_order(&pairs, 4, 5);
    CHECK(!memcmp(start, starts_wanted, sizeof starts_wanted), "starts");
    CHECK(!memcmp(row_of, rows_wanted, sizeof rows_wanted) && !memcmp(entry, entries_wanted, sizeof entries_wanted), "entries");
}

int main(void) {
    RUN(pairs_have_the_bits_of_the_dense_value);
    RUN(gradients_by_pairs_are_central_differences);
    RUN(a_source_by_pairs_takes_csr_rows_that_fit);
    RUN(wide_rows_in_parts_come_by_groups);
    RUN(a_value_that_another_stage_reads_is_kept_whole);
    RUN(the_order_by_column);
    return harness_finish("test_pairs");
}
