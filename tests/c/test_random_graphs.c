/* Random programs: the same bits by rows, by panels, by threads and in chunks. Dense layers stand everywhere: several on one value,
 * before and behind sums and concatenations, tied, frozen, in parts, on several rows for one of data, in stages that begin anywhere. */
#include "slow.h"
#include "trainers.h"

enum { MOST_ROWS = 150, COLUMNS = 130, FURTHER = 33, GRAPHS = SLOW ? 12 : SANITIZED ? 30 : 150 };

static double x[MOST_ROWS * COLUMNS], further[MOST_ROWS * FURTHER], row_weights[MOST_ROWS];

static int any(int n) { return (int)(network_draw() % (uint64_t)n); }
static bool one_in(int n) { return any(n) == 0; }

typedef struct graph {
    program p;
    ae_shape shape[NETWORK_NODES];
    int64_t rows;
    int parts; /* of dense layers that are not of floats */
    bool weighted;
} graph;

static void add_dense(graph *g, int from, bool closes_stage) {
    static const int64_t widths[] = {1, 5, 32, 33, 70, COLUMNS};
    static const ae_activation activations[] = {AE_IDENTITY, AE_RELU, AE_GELU, AE_TANH, AE_LOGISTIC, AE_SOFTMAX};
    network *net = &g->p.net;
    const int n = network_dense(net, from, widths[any(6)], activations[any(6)]);
    ae_node_desc *d = &net->node[n];
    d->size[3] = one_in(4) ? 0 : g->parts;
    if (!closes_stage) {
        d->group = any(3);
        d->size[0] = one_in(6);
        d->size[1] = one_in(8);
        d->size[2] = one_in(12);
    }
    for (int i = 1; !closes_stage && !d->size[2] && i < n && one_in(2); i++) {
        if (net->node[i].kind != d->kind)
            continue;
        const int64_t in = g->shape[net->node[i].inputs[0]].width, units = g->shape[i].width;
        if (units != g->shape[from].width && in != g->shape[from].width)
            continue;
        d->shares = 1 + i;
        d->shares_transposed = in != g->shape[from].width;
        d->width = d->shares_transposed ? in : units;
        break;
    }
    g->shape[n] = (ae_shape){d->width, g->shape[from].multiplicity};
}

/* Another node of the same rows, and the same width where asked; else the node itself. */
static int beside(const graph *g, int node, bool same_width) {
    const ae_shape *s = g->shape;
    for (int i = g->p.net.n - 1; i >= 0; i--)
        if (i != node && s[i].multiplicity == s[node].multiplicity && (!same_width || s[i].width == s[node].width) && one_in(2))
            return i;
    return node;
}

static void add_node(graph *g, int n_stages) {
    network *net = &g->p.net;
    const int n = net->n, from = one_in(3) ? any(n) : n - 1 - any(n < 3 ? n : 3), kind = any(10);
    const ae_shape in = g->shape[from];
    g->shape[n] = in;
    if (kind == 0) {
        network_dropout(net, from, 0.3);
    } else if (kind == 1) {
        network_add(net, "activation", NULL, 1, from);
        net->node[n].activation = AE_SILU;
    } else if (kind == 2) {
        network_add(net, "add", NULL, 2, from, beside(g, from, true));
    } else if (kind == 3 && in.width < 2 * COLUMNS) {
        const int other = beside(g, from, false);
        network_add(net, "concatenate", NULL, 2, from, other);
        g->shape[n].width += g->shape[other].width;
    } else if (kind == 4 && in.multiplicity == 1) {
        network_add(net, "repeat", NULL, 1, from);
        net->node[n].multiplicity = g->shape[n].multiplicity = 3;
    } else if (kind == 5 && in.multiplicity == 1 && in.width > 30 && n_stages == 1) { /* its own record has one writer */
        network_add(net, "top_k", NULL, 1, from);
        net->node[n].size[0] = 9;
    } else {
        add_dense(g, from, false);
    }
}

static void add_stage(graph *g, int n_stages) {
    static const char *const losses[] = {"squared_error", "log_cosh", "huber"};
    program *p = &g->p;
    const int before = p->n_stages ? p->stage[p->n_stages - 1].last_node + 1 : 0;
    const int first = before && one_in(3) ? any(before) : before, first_loss = p->n_losses, nodes = 2 + any(8);
    for (int i = 0; i < nodes; i++)
        add_node(g, n_stages);
    add_dense(g, p->net.n - 1 - any(2), true);
    const int last = p->net.n - 1, terms = any(4);
    program_loss(p, losses[any(3)], last, g->shape[last].width == COLUMNS ? 0 : -1, 1);
    for (int i = 0; i < terms; i++) {
        const int node = before + any(last - before + 1);
        if (p->net.node[node].n_inputs)
            program_loss(p, losses[any(3)], node, -1, 0.5);
    }
    p->stage[p->n_stages++] = (ae_stage_desc){
        first, last, first_loss, p->n_losses - first_loss, one_in(2) ? UINT32_MAX : 1, ae_rule_find("adam"), 1.0, 0, 0};
}

static graph random_graph(void) {
    graph g = {.p.options = plain_options(one_in(2) ? 64 : 32)};
    ae_train_options *o = &g.p.options;
    g.parts = o->bits == 32 ? any(3) : 0;
    g.shape[network_input(&g.p.net, COLUMNS, 0)] = (ae_shape){COLUMNS, 1};
    g.shape[network_input(&g.p.net, FURTHER, 1)] = (ae_shape){FURTHER, 1};
    const int n_stages = 1 + any(3);
    for (int i = 0; i < n_stages; i++)
        add_stage(&g, n_stages);
    g.rows = one_in(6) ? 1 + any(3) : 1 + any(MOST_ROWS);
    g.weighted = one_in(3);
    o->batch_size = one_in(2) ? g.rows : 40 + any(60);
    o->shuffle = one_in(2);
    o->l2 = one_in(3) ? 1e-3 : 0;
    o->clip_norm = one_in(3) ? 0.1 : INFINITY;
    o->max_norm = one_in(5) ? 0.8 : INFINITY;
    o->state_bits = o->bits == 32 && one_in(5) ? 16 : 0;
    return g;
}

typedef struct result {
    double loss[3], term[48];
    char *weights; /* transposes and parts too */
    size_t bytes;
} result;

static result trained(const graph *g, int n_threads, ae_by_panels by_panels, int64_t chunk_rows) {
    result r = {.weights = NULL};
    program p = g->p;
    p.options.n_threads = n_threads;
    p.options.by_panels = by_panels;
    p.options.chunk_rows = chunk_rows;
    const ae_data data[2] = {dense_data(x, AE_F64, g->rows, COLUMNS), dense_data(further, AE_F64, g->rows, FURTHER)};
    ae_trainer *t = trainer_started(&p, data, 2, g->weighted ? row_weights : NULL);
    if (!t)
        return r;
    ae_alloc_fail_after(0); /* an epoch allocates nothing */
    r.loss[0] = trainer_epoch_loss(t);
    r.loss[1] = trainer_epoch_loss(t);
    ae_alloc_fail_after(-1);
    ae_trainer_term_losses(t, r.term);
    r.loss[2] = trainer_loss(t, g->rows);
    const ae_net *net = ae_trainer_net(t);
    const char *const region[] = {net->parameter_base, net->transposed_base, (const char *)net->part_base};
    const size_t bytes[] = {(size_t)net->parameter_reals * net->real_size, (size_t)net->transposed_reals * net->real_size,
                            (size_t)net->part_numbers * sizeof *net->part_base};
    r.weights = malloc(bytes[0] + bytes[1] + bytes[2]);
    for (int i = 0; i < 3; r.bytes += bytes[i++])
        memcpy(r.weights + r.bytes, region[i], bytes[i]);
    ae_trainer_free(t);
    return r;
}

static bool equal(const result *a, const result *b) {
    return a->weights && b->weights && !memcmp(a->weights, b->weights, a->bytes) && !memcmp(a->loss, b->loss, sizeof a->loss) &&
           !memcmp(a->term, b->term, sizeof a->term);
}

TEST(the_same_bits_however_it_is_cut) {
    static const struct {
        int threads;
        ae_by_panels by_panels;
        int64_t chunk;
    } ways[] = {{1, AE_BY_PANELS_ALWAYS, 0},
                {2, AE_BY_PANELS_ALWAYS, 0},
                {3, AE_BY_PANELS_ALWAYS, 32},
                {4, AE_BY_PANELS_ALWAYS, 0},
                {4, AE_BY_PANELS_NEVER, 64}};
    for (int i = 0; i < GRAPHS; i++) {
        const graph g = random_graph();
        result one = trained(&g, 1, AE_BY_PANELS_NEVER, 0);
        CHECK(isfinite(one.loss[1]), "graph %d: loss %g", i, one.loss[1]);
        for (int k = 0; k < 5; k++) {
            result other = trained(&g, ways[k].threads, ways[k].by_panels, ways[k].chunk);
            CHECK(equal(&one, &other), "graph %d, %d stages, f%d, %d parts: %d threads, %s panels, chunks of %d", i,
                  g.p.n_stages, g.p.options.bits, g.parts, ways[k].threads,
                  ways[k].by_panels == AE_BY_PANELS_ALWAYS ? "by" : "not by", (int)ways[k].chunk);
            free(other.weights);
        }
        free(one.weights);
    }
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    fill(x, MOST_ROWS * COLUMNS, -1, 1);
    fill(further, MOST_ROWS * FURTHER, -1, 1);
    fill(row_weights, MOST_ROWS, 0.1, 2);
    RUN(the_same_bits_however_it_is_cut);
    return harness_finish("test_random_graphs");
}
