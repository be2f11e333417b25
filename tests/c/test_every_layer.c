/* One graph with a node of every kind: memory that runs out at each place in turn, threads, and descriptions that lie. */
#include "trainers.h"

#include "slow.h"
#include "walk.h"

enum { COLUMNS = 6, ROWS = 150 };

static double x[ROWS * COLUMNS];

static int dense(network *net, int from, int64_t width, ae_activation activation) {
    return network_dense(net, from, width, activation);
}

/* Adds a node and gives its description. */
static ae_node_desc *last(network *net) { return &net->node[net->n - 1]; }

/* Noise, missing values and other things about the input; what they come to, of 4 * COLUMNS columns. */
static int about_input(network *net) {
    const int in = network_input(net, COLUMNS, 0), seen = network_add(net, "observed", NULL, 1, in);
    network_add(net, "present", NULL, 1, in);
    network_add(net, "binarize", NULL, 1, seen);
    const int mask = network_add(net, "masking_noise", NULL, 1, seen);
    last(net)->rate = 0.2;
    const int pepper = network_add(net, "salt_and_pepper", NULL, 1, seen);
    last(net)->rate = 0.1, last(net)->value[1] = 1;
    const int noise = network_add(net, "gaussian_noise", NULL, 1, seen);
    last(net)->value[0] = 0.1;
    const int swap = network_add(net, "swap_noise", NULL, 1, seen);
    last(net)->rate = 0.2;
    const int emphasis = network_add(net, "emphasis", NULL, 2, seen, mask);
    last(net)->value[0] = 2, last(net)->value[1] = 0.5;
    network_add(net, "multiply", NULL, 2, seen, emphasis);
    network_add(net, "subtract", NULL, 2, seen, mask);
    network_add(net, "scale", NULL, 1, seen);
    last(net)->value[0] = -1.5;
    const int copies = network_add(net, "noisy_copies", NULL, 1, seen);
    last(net)->multiplicity = 2, last(net)->value[0] = 0.1;
    network_add(net, "deviation", NULL, 2, copies, seen);
    return network_add(net, "concatenate", NULL, 4, mask, pepper, noise, swap);
}

/* Selections, splits and norms of a hidden value of 12 columns; what goes on from there. */
static int about_hidden(network *net, int hidden) {
    network_add(net, "top_k", NULL, 1, hidden);
    last(net)->size[0] = 3;
    network_add(net, "batch_top_k", NULL, 1, hidden);
    last(net)->size[0] = 3;
    network_add(net, "jump_relu", NULL, 1, hidden);
    network_add(net, "gated", NULL, 1, hidden);
    network_add(net, "prefixes", NULL, 1, hidden);
    last(net)->multiplicity = 2, last(net)->size[0] = 4;
    network_add(net, "split_rows", NULL, 1, hidden);
    last(net)->multiplicity = 3;
    network_add(net, "repeat", NULL, 1, hidden);
    last(net)->multiplicity = 2;
    network_add(net, "slice", NULL, 1, hidden);
    last(net)->size[0] = 2, last(net)->width = 5;
    network_add(net, "stop", NULL, 1, hidden);
    const int norm = network_add(net, "batch_norm", NULL, 1, hidden), rows = network_add(net, "layer_norm", NULL, 1, norm);
    const int both = network_add(net, "add", NULL, 2, hidden, rows), active = network_add(net, "activation", NULL, 1, both);
    last(net)->activation = AE_GELU;
    const int drop = network_add(net, "dropout", NULL, 1, active);
    last(net)->rate = 0.1;
    return drop;
}

/* Penalties of a code and of its weight (12, 4). */
static void about_code(network *net, int hidden, int code) {
    const int slope = network_add(net, "slope", NULL, 1, code);
    last(net)->activation = AE_LOGISTIC;
    const int diagonal = network_add(net, "diagonal", NULL, 1, slope), tangent = network_add(net, "tangent", NULL, 1, diagonal);
    last(net)->width = 12, last(net)->shares = 1 + code, last(net)->shares_transposed = 1;
    network_add(net, "sum_of_squares", NULL, 1, tangent);
    network_add(net, "probe", NULL, 1, slope);
    last(net)->multiplicity = 2;
    network_add(net, "contraction", NULL, 1, slope);
    last(net)->width = 12, last(net)->shares = 1 + code;
    network_add(net, "orthogonality", NULL, 1, hidden);
    last(net)->width = 4, last(net)->shares = 1 + code;
    network_add(net, "kl_sparsity", NULL, 1, code);
    last(net)->value[0] = 0.1;
    network_add(net, "decorrelation", NULL, 1, code);
}

/* A latent (m, v), its draws and its priors; the draws. inference: without what only training has. */
static int about_latent(network *net, int m, int v, bool inference) {
    const int one = network_add(net, "gaussian_sample", "one", 2, m, v);
    last(net)->multiplicity = 1;
    const int draws = network_add(net, "gaussian_sample", "draws", 2, m, v);
    last(net)->multiplicity = 2;
    const int kl = network_add(net, "gaussian_kl", NULL, 2, m, v);
    network_add(net, "free_bits", NULL, 1, kl);
    last(net)->value[0] = 0.1;
    network_add(net, "gaussian_log_ratio", NULL, 3, draws, m, v);
    network_add(net, "mixture_log_ratio", NULL, 3, draws, m, v);
    last(net)->size[0] = 3;
    const int pseudo = inference ? network_add(net, "concatenate", NULL, 2, m, v) : network_add(net, "pseudo_inputs", NULL, 0);
    if (!inference)
        last(net)->size[0] = 3, last(net)->width = 8;
    network_add(net, "vamp_log_ratio", NULL, 4, draws, m, v, pseudo);
    last(net)->size[0] = 3;
    network_add(net, "total_correlation", NULL, 3, one, m, v);
    last(net)->value[0] = ROWS;
    network_add(net, "mmd", NULL, 1, one);
    network_add(net, "permute_columns", NULL, 1, one);
    network_add(net, "vector_quantize", NULL, 1, one);
    last(net)->size[0] = 5;
    network_add(net, "binary", NULL, 1, m);
    last(net)->value[0] = 0.3;
    return draws;
}

static network every_kind(bool inference) {
    network net = {.n = 0};
    const int noisy = about_input(&net), hidden = dense(&net, noisy, 12, AE_TANH), on = about_hidden(&net, hidden);
    about_code(&net, hidden, dense(&net, hidden, 4, AE_LOGISTIC));
    const int m = dense(&net, on, 4, AE_IDENTITY), v = dense(&net, on, 4, AE_IDENTITY);
    const int draws = about_latent(&net, m, v, inference), decoder = dense(&net, on, COLUMNS, AE_IDENTITY);
    network_add(&net, "sparse_inference", NULL, 1, 1);
    last(&net)->width = 12, last(&net)->shares = 1 + decoder, last(&net)->value[0] = 0.1, last(&net)->size[0] = 5;
    dense(&net, draws, COLUMNS, AE_IDENTITY);
    network_add(&net, "constant", NULL, 0);
    last(&net)->width = 2;
    return net;
}

/* A term for every node that nothing follows from. */
static program every_program(bool inference) {
    program p = {.options = plain_options(32), .net = every_kind(inference)};
    bool followed[NETWORK_NODES] = {false};
    for (int i = 0; i < p.net.n; i++)
        for (int k = 0; k < p.net.node[i].n_inputs; k++)
            followed[p.net.node[i].inputs[k]] = true;
    for (int i = 0; i < p.net.n; i++)
        if (!followed[i])
            program_loss(&p, "log_cosh", i, -1, 0.1);
    program_stage(&p, "adam");
    p.options.n_threads = 3;
    p.options.keep_best = true;
    p.options.clip_norm = 1;
    p.options.batch_size = 64;
    return p;
}

TEST(every_kind_is_there) {
    const network net = every_kind(false);
    bool there[NETWORK_NODES] = {false};
    for (int i = 0; i < net.n; i++)
        there[net.node[i].kind] = true;
    int kinds = 0;
    for (; ae_layer_get(64, AE_ISA_REF, kinds); kinds++)
        CHECK(there[kinds], "no node of kind '%s': it belongs into this test", ae_layer_get(64, AE_ISA_REF, kinds)->name);
    CHECK(kinds > 50 && !ae_layer_get(64, AE_ISA_REF, -1), "%d kinds", kinds);
}

/* What the tables of operations say about themselves, and what the plans ask for. */
TEST(flags_and_operations) {
    const network net = every_kind(false);
    ae_context context = {AE_OK, ""};
    ae_net *made;
    CHECK(ae_net_new(&context, &made, 64, AE_ISA_REF, net.node, net.n) == AE_OK, "%s", context.message);
    for (int i = 0; made && i < made->n_nodes; i++) {
        const ae_layer_ops *ops = made->nodes[i].ops;
        const ae_layer_plan *plan = &made->nodes[i].plan;
        const bool stops = ops->flags & AE_LAYER_STOPS, borrows = ops->flags & AE_LAYER_BORROWS;
        bool learns = false;
        for (int slot = 0; slot < plan->n_parameters; slot++)
            learns |= plan->parameter[slot].update != AE_UPDATE_NEVER;
        CHECK(ops->min_inputs >= 0 && ops->min_inputs <= ops->max_inputs && ops->max_inputs <= AE_MAX_INPUTS, "%s: inputs",
              ops->name);
        CHECK(!(ops->flags & AE_LAYER_SOURCE) || (!ops->max_inputs && !plan->n_parameters), "%s is a source", ops->name);
        CHECK(ops->forward || (ops->flags & AE_LAYER_SOURCE), "%s has no forward", ops->name);
        /* bind_range takes a gradient for written where a layer that passes one on has run. */
        const bool passes = ops->backward_data || ops->couple_backward;
        CHECK(!ops->max_inputs || stops != passes, "%s: either it stops gradients or it passes them on", ops->name);
        CHECK(!learns || (borrows && stops) || ops->backward_weights, "%s has parameters and nothing for them", ops->name);
        CHECK(!borrows || plan->n_parameters, "%s borrows nothing", ops->name);
        CHECK((plan->table_bytes > 0) == (ops->prepare != NULL), "%s: its table", ops->name);
        /* Without inputs the flag says that rows go by their position in the whole minibatch. */
        CHECK(!(ops->flags & AE_LAYER_COUPLES_ROWS) || ops->couple || !ops->max_inputs, "%s couples rows", ops->name);
        CHECK(!ops->couple || (plan->coupling_parts > 0 && plan->coupling_reals > 0), "%s: parts and memory", ops->name);
        CHECK(!ops->couple_backward || ops->couple, "%s couples backwards only", ops->name);
        CHECK(plan->flops_per_row >= 0 && plan->flops_per_pair >= 0 && plan->flops_per_minibatch >= 0, "%s: work", ops->name);
    }
    ae_net_free(made);
}

/* Another key, another draw: of layers that say so, and of no other. */
TEST(who_draws) {
    const network net = every_kind(false);
    walk w = walk_new(&net, 64, AE_ISA_REF, 16);
    if (!w.net)
        return;
    walk_feed(&w, 0, x, 0);
    walk_forward(&w, 1);
    for (int i = 1; i < net.n; i++) {
        ae_node *node = &w.net->nodes[i];
        size_t bytes;
        char *before = walk_copy(&w, i, &bytes);
        node->binding.key.k[0] ^= 1;
        walk_nodes(&w, i, i, false);
        char *after = walk_copy(&w, i, &bytes);
        CHECK((memcmp(before, after, bytes) != 0) == ((node->ops->flags & AE_LAYER_STOCHASTIC) != 0), "%s", node->ops->name);
        node->binding.key.k[0] ^= 1;
        walk_nodes(&w, i, i, false);
        free(after);
        after = walk_copy(&w, i, &bytes);
        CHECK(!memcmp(before, after, bytes), "%s: the old key gives the old draw", node->ops->name);
        free(before);
        free(after);
    }
    ae_net_free(w.net);
}

TEST(no_memory_at_any_place) {
    const program training = every_program(false), inference = every_program(true);
    const int64_t live = ae_alloc_live();
    for (int what = 0; what < 3; what++) {
        program p = what < 2 ? training : inference;
        if (what == 1) {
            p.stage[0].rule = -1;
            p.options.clip_norm = INFINITY;
        }
        int places = 0;
        for (bool done = false; !done && places < 100; places++) {
            ae_context context = {AE_OK, ""};
            ae_trainer *t = (ae_trainer *)(uintptr_t)64;
            ae_predictor *q = (ae_predictor *)(uintptr_t)64;
            ae_alloc_fail_after(places);
            const ae_status status =
                what < 2 ? program_trainer(&context, &p, &t)
                         : ae_predictor_new(&context, &q, 32, p.net.node, p.net.n, p.loss, p.n_losses, p.options.n_threads);
            ae_alloc_fail_after(-1);
            done = status == AE_OK;
            const void *made = what < 2 ? (void *)t : (void *)q;
            CHECK(done ? made != NULL : status == AE_ERR_MEMORY && !made && strstr(context.message, "allocate"),
                  "place %d: status %d, '%s'", places, (int)status, context.message);
            if (done && what < 2)
                ae_trainer_free(t);
            else if (done)
                ae_predictor_free(q);
            CHECK(ae_alloc_live() == live, "place %d: %d blocks are left", places, (int)(ae_alloc_live() - live));
        }
        CHECK(places > 10 && places < 100, "%d places", places);
    }
}

TEST(threads_do_not_show) {
    static const int threads[] = {1, 2, 5, 2};
    for (int bits = 32; bits <= 64; bits += 32) {
        double *first = NULL;
        for (int i = 0; i < 4; i++) {
            program p = every_program(false);
            p.options.bits = bits;
            p.options.n_threads = threads[i];
            p.options.by_panels = i == 3 ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
            const ae_data data = dense_data(x, AE_F64, ROWS, COLUMNS);
            ae_trainer *t = trainer_started(&p, &data, 1, NULL);
            if (!t)
                break;
            for (int e = 0; e < 2; e++)
                CHECK(isfinite(trainer_epoch_loss(t)), "f%d, %d threads", bits, threads[i]);
            int64_t n;
            double *now = copy_weights(ae_trainer_net(t), NULL, &n);
            CHECK(!first || !memcmp(first, now, (size_t)n * sizeof *now), "f%d: weights with %d threads", bits, threads[i]);
            if (first)
                free(now);
            else
                first = now;
            ae_trainer_free(t);
        }
        free(first);
    }
}

/* Rows of a predictor by themselves and together, which walks through every kind without a minibatch. */
TEST(a_row_does_not_see_others) {
    const program p = every_program(true);
    const ae_data data = dense_data(x, AE_F64, ROWS, COLUMNS);
    double together[ROWS], alone[ROWS];
    ae_context context = {AE_OK, ""};
    ae_predictor *q;
    CHECK(ae_predictor_new(&context, &q, 32, p.net.node, p.net.n, p.loss, p.n_losses, 2) == AE_OK, "%s", context.message);
    if (!q)
        return;
    CHECK(ae_net_initialize(&context, ae_predictor_net(q), 3) == AE_OK, "%s", context.message);
    ae_predict_call call = {.sources = &data,
                            .n_sources = 1,
                            .from_node = -1,
                            .what = AE_PREDICT_LOSS,
                            .out_type = AE_F64,
                            .out = (char *)together};
    CHECK(ae_predictor_run(&context, q, &call, NULL, NULL) == AE_OK, "%s", context.message);
    for (int r = 0; r < ROWS; r++) {
        const ae_data one = dense_data(x + r * COLUMNS, AE_F64, 1, COLUMNS);
        call.sources = &one;
        call.out = (char *)&alone[r];
        CHECK(ae_predictor_run(&context, q, &call, NULL, NULL) == AE_OK, "%s", context.message);
        CHECK(isfinite(alone[r]) && alone[r] == together[r], "row %d: %.17g alone, %.17g together", r, alone[r], together[r]);
    }
    ae_predictor_free(q);
}

/* Where a sanitizer writes to all memory, only what fits is asked for. */
#if defined(__SANITIZE_ADDRESS__)
#define PLACES 3 /* the net, its nodes, its parameters; not their values */
#else
#define PLACES -1
#endif

static const int64_t lies[] = {0,
                               1,
                               2,
                               3,
                               31,
                               33,
                               1 << 16,
                               (1 << 24) + 1,
                               INT32_MAX - 1,
                               INT32_MAX,
                               (int64_t)INT32_MAX + 1,
                               (int64_t)1 << 40,
                               INT64_MAX,
                               -1,
                               -2,
                               INT32_MIN,
                               INT64_MIN};
enum { LIES = sizeof lies / sizeof lies[0] };

/* One number of a description; false where there is no such number. */
static bool lie(ae_node_desc *d, int field, int which) {
    static const double values[] = {0, -1, 0.5, 1, 2, 1e-320, 1e300, INFINITY, -INFINITY, NAN};
    const int64_t n = lies[which];
    const int32_t small = n > INT32_MAX ? INT32_MAX : n < INT32_MIN ? INT32_MIN : (int32_t)n;
    int32_t *const numbers[] = {&d->kind,        &d->n_inputs, &d->inputs[0], &d->inputs[1], &d->activation,
                                &d->initializer, &d->source,   &d->group,     &d->shares,    &d->shares_transposed,
                                &d->size[0],     &d->size[1],  &d->size[2],   &d->size[7]};
    const int n_numbers = sizeof numbers / sizeof numbers[0];
    double *const reals[] = {&d->rate, &d->value[0], &d->value[1]};
    if (field < n_numbers)
        *numbers[field] = small;
    else if (field < n_numbers + 3)
        *reals[field - n_numbers] = values[which % 10];
    else if (field == n_numbers + 3)
        d->width = n;
    else if (field == n_numbers + 4)
        d->multiplicity = n;
    else
        return false;
    return true;
}

/* A description with one number that may be anything, or two, either makes a net with memory for a row or is refused with a sentence; no
 * size overflows on the way (a sanitizer tells). */
TEST(descriptions_that_lie) {
    const network honest = every_kind(false);
    const int64_t live = ae_alloc_live();
    int made = 0, refused = 0;
    for (int node = 0; node < honest.n; node++)
        for (int field = 0;; field++) {
            ae_node_desc probe = honest.node[node];
            if (!lie(&probe, field, 0))
                break;
            for (int which = 0; which < LIES; which += SLOW ? 5 : 1) {
                network net = honest;
                ae_context context = {AE_OK, ""};
                ae_net *out;
                lie(&net.node[node], field, which);
                if (network_draw() % 4 == 0)
                    lie(&net.node[node], (int)(network_draw() % 19), (int)(network_draw() % LIES));
                ae_alloc_fail_after(PLACES);
                ae_status status = ae_net_new(&context, &out, which % 2 ? 64 : 32, AE_ISA_REF, net.node, net.n);
                ae_alloc_fail_after(-1);
                if (status == AE_OK && PLACES < 0)
                    status = ae_net_plan_rows(&context, out, which % 3 ? 1 : 1000, true, 3);
                ae_net_free(out);
                made += status == AE_OK;
                refused += status != AE_OK;
                CHECK(status == AE_OK || context.message[0], "node %d, field %d, lie %d: no sentence", node, field, which);
            }
        }
    CHECK(refused > 1000 && (made > 1000 || PLACES >= 0), "%d made, %d refused", made, refused);
    CHECK(ae_alloc_live() == live, "%d blocks are left", (int)(ae_alloc_live() - live));
}

TEST(rows_of_a_value) {
    network net = {.n = 0};
    const int in = network_input(&net, COLUMNS, 0), copies = network_add(&net, "repeat", NULL, 1, in);
    for (int i = 0; i < 2; i++) {
        ae_context context = {AE_OK, ""};
        ae_net *out;
        net.node[copies].multiplicity = (int64_t)INT32_MAX + i;
        const ae_status status = ae_net_new(&context, &out, 64, AE_ISA_REF, net.node, net.n);
        CHECK(i ? status == AE_ERR_OVERFLOW && strstr(context.message, "rows for one of data") : status == AE_OK, "'%s'",
              context.message);
        CHECK(i || ae_net_plan_rows(&context, out, 2, false, 1) == AE_ERR_OVERFLOW, "two rows are too many");
        ae_net_free(out);
    }
}

int main(void) {
    fill(x, ROWS * COLUMNS, -1, 1);
    for (int i = 0; i < ROWS * COLUMNS; i += 17)
        x[i] = NAN;
    RUN(every_kind_is_there);
    RUN(flags_and_operations);
    RUN(who_draws);
    RUN(no_memory_at_any_place);
    RUN(threads_do_not_show);
    RUN(a_row_does_not_see_others);
    RUN(descriptions_that_lie);
    RUN(rows_of_a_value);
    return harness_finish("test_every_layer");
}
