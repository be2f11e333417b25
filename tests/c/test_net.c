/* The graph: what is refused, the layout of parameters and their transposes, initial values, and who writes or accumulates
 * gradients. */
#include "harness.h"
#include "math/kernels.h"
#include "networks.h"

static ae_isa best_isa(void) {
    ae_isa isa = AE_ISA_REF;
    ae_isa_select(NULL, &isa);
    return isa;
}

static network sample(void) {
    network net = {.n = 0};
    int x = network_input(&net, 5, 0), h = network_dense(&net, x, 4, AE_TANH);
    h = network_dropout(&net, h, 0.5);
    int other = network_dense(&net, h, 4, AE_RELU);
    int sum = network_add(&net, "add", NULL, 2, h, other);
    network_add(&net, "concatenate", NULL, 2, sum, x);
    return net;
}

enum { INPUT, FIRST, DROPOUT, SECOND, ADD, CONCATENATE };

#define REFUSED(change, wanted, word)                                                                                   \
    do {                                                                                                                \
        network net = sample();                                                                                         \
        ae_node_desc *d = net.node;                                                                                     \
        ae_context context = {AE_OK, ""};                                                                               \
        ae_net *out = (ae_net *)(uintptr_t)64;                                                                          \
        change;                                                                                                         \
        ae_status status = ae_net_new(&context, &out, 32, best_isa(), d, net.n);                                        \
        if (status == AE_OK) {                                                                                          \
            status = ae_net_plan_rows(&context, out, 1, true, 1);                                                       \
            ae_net_free(out);                                                                                           \
            out = NULL;                                                                                                 \
        }                                                                                                               \
        CHECK(status == (wanted) && !out && strstr(context.message, word), "%s: status %d, '%s'", #change, (int)status, \
              context.message);                                                                                         \
    } while (0)

TEST(wrong_descriptions_are_refused) {
    const int64_t live = ae_alloc_live();
    REFUSED(net.n = 0, AE_ERR_VALUE, "0 nodes");
    REFUSED(net.n = -1, AE_ERR_VALUE, "-1 nodes");
    REFUSED(net.n = AE_MAX_NODES + 1, AE_ERR_VALUE, "4097 nodes");
    REFUSED(d[FIRST].kind = -1, AE_ERR_VALUE, "kind -1");
    REFUSED(d[FIRST].kind = 99, AE_ERR_VALUE, "kind 99");
    REFUSED(d[FIRST].kind = INT32_MAX, AE_ERR_VALUE, "kind");
    REFUSED(d[SECOND].name[0] = 0, AE_ERR_VALUE, "node 3: the name");
    REFUSED(memset(d[SECOND].name, 'a', AE_NAME_SIZE), AE_ERR_VALUE, "node 3: the name");
    REFUSED(memcpy(d[SECOND].name, d[INPUT].name, AE_NAME_SIZE), AE_ERR_VALUE, "same name");
    REFUSED(d[INPUT].n_inputs = 1, AE_ERR_VALUE, "1 inputs");
    REFUSED(d[FIRST].n_inputs = 0, AE_ERR_VALUE, "0 inputs");
    REFUSED(d[FIRST].n_inputs = 2, AE_ERR_VALUE, "2 inputs");
    REFUSED(d[ADD].n_inputs = 1, AE_ERR_VALUE, "1 inputs");
    REFUSED(d[ADD].n_inputs = AE_MAX_INPUTS + 1, AE_ERR_VALUE, "5 inputs");
    REFUSED(d[CONCATENATE].n_inputs = INT32_MIN, AE_ERR_VALUE, "inputs");
    REFUSED(d[SECOND].inputs[0] = SECOND, AE_ERR_VALUE, "earlier node");
    REFUSED(d[SECOND].inputs[0] = ADD, AE_ERR_VALUE, "earlier node");
    REFUSED(d[ADD].inputs[1] = -1, AE_ERR_VALUE, "earlier node");
    REFUSED(d[ADD].inputs[1] = INT32_MAX, AE_ERR_VALUE, "earlier node");
    REFUSED(d[FIRST].activation = -1, AE_ERR_VALUE, "activation -1");
    REFUSED(d[FIRST].activation = AE_ACTIVATION_COUNT, AE_ERR_VALUE, "activation");
    REFUSED(d[FIRST].initializer = -1, AE_ERR_VALUE, "initializer -1");
    REFUSED(d[FIRST].initializer = AE_INIT_COUNT, AE_ERR_VALUE, "initializer");
    REFUSED(d[FIRST].group = -1, AE_ERR_VALUE, "group is -1");
    REFUSED(d[FIRST].group = 32, AE_ERR_VALUE, "group is 32");
    REFUSED(d[INPUT].width = 0, AE_ERR_VALUE, "width is 0");
    REFUSED(d[INPUT].width = -3, AE_ERR_VALUE, "width is -3");
    REFUSED(d[FIRST].width = 0, AE_ERR_VALUE, "width is 0");
    REFUSED(d[SECOND].width = INT64_MIN, AE_ERR_VALUE, "width is");
    REFUSED(d[SECOND].width = 5, AE_ERR_VALUE, "must be equal");
    REFUSED(d[DROPOUT].rate = 1, AE_ERR_VALUE, "rate is 1");
    REFUSED(d[DROPOUT].rate = -0.01, AE_ERR_VALUE, "rate");
    REFUSED(d[DROPOUT].rate = NAN, AE_ERR_VALUE, "rate");
    CHECK(ae_alloc_live() == live, "%d blocks are left", (int)(ae_alloc_live() - live));
}

TEST(sizes_that_do_not_fit) {
    const int64_t live = ae_alloc_live();
    REFUSED(d[INPUT].width = (int64_t)1 << 40, AE_ERR_OVERFLOW, "features");
    REFUSED(d[INPUT].width = INT64_MAX, AE_ERR_OVERFLOW, "features");
    REFUSED((d[INPUT].width = INT64_MAX, d[DROPOUT].inputs[0] = INPUT), AE_ERR_OVERFLOW, "features");
    REFUSED(d[FIRST].width = (int64_t)1 << 40, AE_ERR_OVERFLOW, "features");
    REFUSED(d[FIRST].width = INT64_MAX, AE_ERR_OVERFLOW, "features");
    REFUSED((d[INPUT].width = d[FIRST].width = d[SECOND].width = INT32_MAX), AE_ERR_OVERFLOW, "");
    REFUSED((d[INPUT].width = d[FIRST].width = d[SECOND].width = 1 << 29), AE_ERR_MEMORY, "");
    REFUSED((d[INPUT].width = INT32_MAX, d[FIRST].inputs[0] = INPUT, d[CONCATENATE].inputs[0] = INPUT), AE_ERR_OVERFLOW,
            "features");
    CHECK(ae_alloc_live() == live, "%d blocks are left", (int)(ae_alloc_live() - live));
    /* Rows: a plan that fails leaves a net that can be planned again. */
    network d = sample();
    ae_context context;
    ae_net *net;
    CHECK(ae_net_new(&context, &net, 64, best_isa(), d.node, d.n) == AE_OK, "%s", context.message);
    if (!net)
        return;
    static const int64_t rows[] = {0, -1, INT64_MIN, (int64_t)INT32_MAX + 1, INT64_MAX};
    for (int i = 0; i < 5; i++)
        CHECK(ae_net_plan_rows(&context, net, rows[i], true, 1) == (rows[i] < 1 ? AE_ERR_VALUE : AE_ERR_OVERFLOW) &&
                  net->row_capacity == 0,
              "%lld rows: '%s'", (long long)rows[i], context.message);
    CHECK(ae_net_plan_rows(&context, net, 5, true, 0) == AE_ERR_VALUE, "no workers");
    for (int n = 0; n < 2; n++) {
        ae_alloc_fail_after(n);
        CHECK(ae_net_plan_rows(&context, net, 5, true, 1) == AE_ERR_MEMORY, "no memory at place %d", n);
        ae_alloc_fail_after(-1);
    }
    CHECK(ae_net_plan_rows(&context, net, 5, true, 2) == AE_OK && net->row_capacity == 5, "%s", context.message);
    ae_net_free(net);
    ae_net_free(NULL);
    CHECK(ae_alloc_live() == live, "%d blocks are left", (int)(ae_alloc_live() - live));
    net = (ae_net *)(uintptr_t)64;
    CHECK(ae_net_new(&context, &net, 16, AE_ISA_REF, d.node, d.n) == AE_ERR_UNAVAILABLE && !net, "16 bits");
    CHECK(ae_net_new(&context, &net, 32, AE_ISA_COUNT, d.node, d.n) == AE_ERR_UNAVAILABLE && !net, "unknown instruction set");
}

static double element(const ae_net *net, const char *base, int64_t at) {
    return net->bits == 32 ? (double)((const float *)(const void *)base)[at] : ((const double *)(const void *)base)[at];
}

/* input - dense(rows) - dense(columns): the second weight is rows x columns and has a transpose. */
static ae_net *pair_of(int bits, ae_isa isa, int64_t rows, int64_t columns, ae_initializer initializer,
                       ae_activation activation) {
    network d = {.n = 0};
    ae_context context;
    ae_net *net = NULL;
    const int x = network_input(&d, 3, 0), h = network_dense(&d, x, rows, AE_TANH),
              y = network_dense(&d, h, columns, activation);
    d.node[y].initializer = (int32_t)initializer;
    CHECK(ae_net_new(&context, &net, bits, isa, d.node, d.n) == AE_OK, "%s", context.message);
    return net;
}

TEST(layout_and_transposes) {
    static const int64_t widths[] = {1, 2, 15, 16, 17, 31, 32, 33, 65};
    for (int bits = 32; bits <= 64; bits += 32)
        for (int i = 0; i < 81; i++) {
            const int64_t rows = widths[i / 9], columns = widths[i % 9];
            ae_net *net = pair_of(bits, best_isa(), rows, columns, AE_INIT_AUTO, AE_TANH);
            if (!net)
                return;
            const int index = parameter_of(net, "dense2.weight");
            const ae_parameter *p = &net->parameters[index];
            CHECK(net->n_parameters == 4 && p->request.rows == rows && p->request.columns == columns, "table");
            CHECK(p->transposed_offset >= 0 && net->parameters[0].transposed_offset == -1 &&
                      net->parameters[1].transposed_offset == -1,
                  "only what a gradient passes has a transpose");
            char *in = malloc((size_t)(rows * columns) * net->real_size),
                 *out = malloc((size_t)(rows * columns) * net->real_size);
            for (int64_t j = 0; j < rows * columns; j++) {
                if (bits == 32)
                    ((float *)(void *)in)[j] = (float)(j + 1);
                else
                    ((double *)(void *)in)[j] = (double)(j + 1);
            }
            ae_net_set_parameter(net, index, in);
            ae_net_get_parameter(net, index, out);
            CHECK(!memcmp(in, out, (size_t)(rows * columns) * net->real_size), "%d x %d: not the same back", (int)rows,
                  (int)columns);
            int wrong = 0, wrong_transpose = 0;
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < ae_panels(columns) * AE_PANEL; c++)
                    wrong += element(net, net->parameter_base, p->offset + c / 32 * rows * 32 + r * 32 + c % 32) !=
                             (c < columns ? (double)(r * columns + c + 1) : 0);
            for (int64_t c = 0; c < columns; c++)
                for (int64_t r = 0; r < ae_panels(rows) * AE_PANEL; r++)
                    wrong_transpose +=
                        element(net, net->transposed_base, p->transposed_offset + r / 32 * columns * 32 + c * 32 + r % 32) !=
                        (r < rows ? (double)(r * columns + c + 1) : 0);
            CHECK(!wrong && !wrong_transpose, "%d x %d: %d and %d wrong", (int)rows, (int)columns, wrong, wrong_transpose);
            /* Other parameters keep their zeros. */
            for (int other = 0; other < net->n_parameters; other++)
                for (int64_t j = 0; other != index && j < net->parameters[other].size; j++)
                    wrong += element(net, net->parameter_base, net->parameters[other].offset + j) != 0;
            CHECK(!wrong, "%d x %d: written beyond", (int)rows, (int)columns);
            free(in);
            free(out);
            ae_net_free(net);
        }
}

/* Weights of one initialiser, row-major, rows x columns. To be freed. */
static double *drawn(int bits, ae_isa isa, int64_t rows, int64_t columns, ae_initializer initializer, ae_activation activation,
                     uint64_t seed) {
    ae_context context;
    ae_net *net = pair_of(bits, isa, rows, columns, initializer, activation);
    double *all, *out = calloc((size_t)(rows * columns), sizeof *out);
    int64_t n;
    if (!net)
        return out;
    CHECK(ae_net_initialize(&context, net, seed) == AE_OK, "%s", context.message);
    all = copy_weights(net, NULL, &n);
    /* Before it come the first weight, its bias; behind it its bias, which is zero. */
    memcpy(out, all + 4 * rows, (size_t)(rows * columns) * sizeof *out);
    for (int64_t i = 0; i < columns; i++)
        CHECK(all[n - 1 - i] == 0, "a bias is %g", all[n - 1 - i]);
    const ae_parameter *p = &net->parameters[parameter_of(net, "dense2.weight")];
    for (int64_t r = 0; r < rows; r += 7)
        for (int64_t c = 0; c < columns; c += 5)
            CHECK(element(net, net->transposed_base, p->transposed_offset + r / 32 * columns * 32 + c * 32 + r % 32) ==
                      out[r * columns + c],
                  "the transpose follows");
    free(all);
    ae_net_free(net);
    return out;
}

TEST(initial_values_have_their_moments) {
    enum { IN = 300, OUT = 170, COUNT = IN * OUT };
    static const struct {
        ae_initializer initializer;
        ae_activation activation;
        double variance, kurtosis; /* E x^4 / variance^2: uniform 1.8, normal 3 */
    } cases[] = {
        {AE_INIT_GLOROT, AE_RELU, 2.0 / (IN + OUT), 1.8},
        {AE_INIT_HE, AE_TANH, 2.0 / IN, 3},
        {AE_INIT_LECUN, AE_TANH, 1.0 / IN, 3},
        {AE_INIT_AUTO, AE_TANH, 2.0 / (IN + OUT), 1.8},
        {AE_INIT_AUTO, AE_IDENTITY, 2.0 / (IN + OUT), 1.8},
        {AE_INIT_AUTO, AE_SOFTMAX, 2.0 / (IN + OUT), 1.8},
        {AE_INIT_AUTO, AE_RELU, 2.0 / IN, 3},
        {AE_INIT_AUTO, AE_LEAKY_RELU, 2.0 / IN, 3},
        {AE_INIT_AUTO, AE_SELU, 1.0 / IN, 3},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double *w = drawn(64, best_isa(), IN, OUT, cases[k].initializer, cases[k].activation, 11), s1 = 0, s2 = 0, s4 = 0,
               largest = 0;
        for (int i = 0; i < COUNT; i++) {
            s1 += w[i];
            s2 += w[i] * w[i];
            s4 += w[i] * w[i] * w[i] * w[i];
            largest = fmax(largest, fabs(w[i]));
        }
        const double variance = cases[k].variance, e = 5 / sqrt(COUNT); /* five standard errors of a mean of unit variance */
        CHECK(fabs(s1 / COUNT) < e * sqrt(variance), "case %d: mean %g", (int)k, s1 / COUNT);
        CHECK(fabs(s2 / COUNT / variance - 1) < 1.5 * e, "case %d: variance %g, not %g", (int)k, s2 / COUNT, variance);
        CHECK(fabs(s4 / COUNT / variance / variance - cases[k].kurtosis) < 10 * e, "case %d: kurtosis %g", (int)k,
              s4 / COUNT / variance / variance);
        if (cases[k].kurtosis < 2)
            CHECK(largest < sqrt(3 * variance) && largest > 0.999 * sqrt(3 * variance), "case %d: largest %g", (int)k, largest);
        free(w);
    }
}

TEST(orthogonal_and_sparse_starts) {
    static const int64_t shapes[][2] = {{1, 1}, {40, 40}, {33, 70}, {70, 33}, {5, 1}, {1, 5}};
    for (int k = 0; k < 6; k++) {
        const int64_t rows = shapes[k][0], columns = shapes[k][1], few = rows < columns ? rows : columns;
        double *w = drawn(64, best_isa(), rows, columns, AE_INIT_ORTHOGONAL, AE_TANH, 3), worst = 0;
        for (int64_t i = 0; i < few; i++)
            for (int64_t j = 0; j < few; j++) {
                const int64_t length = rows < columns ? columns : rows, next = rows < columns ? 1 : columns;
                const int64_t vector = rows < columns ? columns : 1;
                double dot = 0;
                for (int64_t l = 0; l < length; l++)
                    dot += w[i * vector + l * next] * w[j * vector + l * next];
                worst = fmax(worst, fabs(dot - (i == j)));
            }
        CHECK(worst < 1e-12, "%d x %d: off by %g", (int)rows, (int)columns, worst);
        free(w);
    }
    static const int64_t inputs[] = {1, 14, 15, 16, 100};
    for (int k = 0; k < 5; k++) {
        double *w = drawn(64, best_isa(), inputs[k], 200, AE_INIT_SPARSE, AE_TANH, 3), square = 0;
        int uses[100] = {0}, total = 0;
        for (int64_t c = 0; c < 200; c++) {
            int count = 0;
            for (int64_t r = 0; r < inputs[k]; r++) {
                count += w[r * 200 + c] != 0;
                uses[r] += w[r * 200 + c] != 0;
                square += w[r * 200 + c] * w[r * 200 + c];
            }
            CHECK(count == (inputs[k] < 15 ? inputs[k] : 15), "%d inputs: unit %d has %d", (int)inputs[k], (int)c, count);
            total += count;
        }
        CHECK(fabs(square / total - 1) < 5 * sqrt(2.0 / total), "variance %g", square / total);
        for (int64_t r = 0; r < inputs[k]; r++)
            CHECK(uses[r] > 0, "%d inputs: input %d is never used", (int)inputs[k], (int)r);
        free(w);
    }
    double *w = drawn(64, best_isa(), 20, 20, AE_INIT_ZERO, AE_TANH, 3);
    for (int i = 0; i < 400; i++)
        CHECK(w[i] == 0, "zero");
    free(w);
}

/* The same in each instruction set, in either precision up to rounding, with each call; other with another seed. */
TEST(initial_values_are_determined) {
    for (int init = AE_INIT_GLOROT; init < AE_INIT_ZERO; init++) {
        const size_t n = 50 * 45;
        double *one = drawn(64, best_isa(), 50, 45, (ae_initializer)init, AE_TANH, 5),
               *f32 = drawn(32, best_isa(), 50, 45, (ae_initializer)init, AE_TANH, 5);
        double *other_seed = drawn(64, best_isa(), 50, 45, (ae_initializer)init, AE_TANH, 6);
        int equal = 0, zero = 0;
        double worst = 0, largest = 0;
        for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
            if (!ae_cpu_has((ae_isa)isa) || !ae_kernels_get(64, (ae_isa)isa))
                continue;
            double *again = drawn(64, (ae_isa)isa, 50, 45, (ae_initializer)init, AE_TANH, 5);
            double *again32 = drawn(32, (ae_isa)isa, 50, 45, (ae_initializer)init, AE_TANH, 5);
            CHECK(!memcmp(one, again, n * sizeof *one) && !memcmp(f32, again32, n * sizeof *f32), "%s on %s",
                  ae_initializer_name((ae_initializer)init), ae_isa_name((ae_isa)isa));
            free(again);
            free(again32);
        }
        for (size_t i = 0; i < n; i++) {
            worst = fmax(worst, fabs(one[i] - f32[i]));
            largest = fmax(largest, fabs(one[i]));
            if (one[i] == 0)
                zero++;
            else if (one[i] == other_seed[i])
                equal++;
        }
        /* A draw of float comes from 23 bits, one of double from 32; the logarithm of a normal draw near zero magnifies it. */
        CHECK(worst < 1e-4 * largest && worst > 0, "%s: precisions differ by %g of %g",
              ae_initializer_name((ae_initializer)init), worst, largest);
        CHECK(equal == 0 && (zero == 0) == (init != AE_INIT_SPARSE), "%s: %d equal, %d zero",
              ae_initializer_name((ae_initializer)init), equal, zero);
        free(one);
        free(f32);
        free(other_seed);
    }
}

TEST(streams_hang_on_names) {
    network alone = {.n = 0}, among = {.n = 0};
    ae_context context;
    ae_net *nets[2];
    double w[2][20], other[20];
    network_input(&alone, 5, 0);
    snprintf(alone.node[network_dense(&alone, 0, 4, AE_TANH)].name, AE_NAME_SIZE, "code");
    network_input(&among, 5, 0);
    snprintf(among.node[network_dense(&among, 0, 4, AE_TANH)].name, AE_NAME_SIZE, "before");
    network_dropout(&among, 1, 0.1);
    snprintf(among.node[network_dense(&among, 0, 4, AE_TANH)].name, AE_NAME_SIZE, "code");
    network_dense(&among, 3, 9, AE_TANH);
    const network *d[2] = {&alone, &among};
    for (int i = 0; i < 2; i++) {
        CHECK(ae_net_new(&context, &nets[i], 64, best_isa(), d[i]->node, d[i]->n) == AE_OK, "%s", context.message);
        CHECK(ae_net_initialize(&context, nets[i], 42) == AE_OK, "%s", context.message);
        ae_net_get_parameter(nets[i], parameter_of(nets[i], "code.weight"), w[i]);
    }
    ae_net_get_parameter(nets[1], parameter_of(nets[1], "before.weight"), other);
    CHECK(!memcmp(w[0], w[1], sizeof other), "other nodes shift the draws");
    CHECK(memcmp(w[0], other, sizeof other), "two nodes have the same draws");
    ae_net_free(nets[0]);
    ae_net_free(nets[1]);
}

TEST(names_are_found) {
    static const char *const initializers[] = {"auto", "glorot", "he", "lecun", "orthogonal", "sparse", "zero"};
    static const char *const layers[] = {"input", "dense", "dropout", "add", "concatenate", "batch_norm"};
    for (int i = 0; i < AE_INIT_COUNT; i++)
        CHECK(ae_initializer_find(initializers[i]) == i && !strcmp(ae_initializer_name((ae_initializer)i), initializers[i]),
              "%s", initializers[i]);
    CHECK(ae_initializer_find("xavier") == -1 && !ae_initializer_name(AE_INIT_COUNT), "unknown initialiser");
    for (int i = 0; i < 6; i++)
        for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
            const ae_layer_ops *ops = ae_layer_get(32, (ae_isa)isa, i);
            CHECK(ae_layer_find(layers[i]) == i && (!ops || !strcmp(ops->name, layers[i])), "%s", layers[i]);
        }
    CHECK(ae_layer_find("convolution") == -1 && !ae_layer_get(32, AE_ISA_REF, 1000) && !ae_layer_get(32, AE_ISA_REF, -1),
          "unknown layer");
}

/* x - a - b, c, d (all from a); e = b + c + b; f = (d, a); losses at e, f and a. */
TEST(who_writes_a_gradient) {
    network n = {.n = 0};
    ae_context context;
    ae_net *net;
    const int x = network_input(&n, 5, 0), a = network_dense(&n, x, 4, AE_TANH), b = network_dense(&n, a, 4, AE_TANH);
    const int c = network_dense(&n, a, 4, AE_TANH), d = network_dense(&n, a, 3, AE_TANH),
              e = network_add(&n, "add", NULL, 3, b, c, b);
    const int f = network_add(&n, "concatenate", NULL, 3, d, a, x);
    n.node[a].group = 1;
    n.node[b].group = 2;
    CHECK(ae_net_new(&context, &net, 64, best_isa(), n.node, n.n) == AE_OK, "%s", context.message);
    CHECK(ae_net_plan_rows(&context, net, 3, true, 1) == AE_OK, "%s", context.message);
    const ae_node *node = net->nodes;
#define ACCUMULATES(i, k) (node[i].binding.in[k].gradient && node[i].binding.accumulate[k])
#define WRITES(i, k) (node[i].binding.in[k].gradient && !node[i].binding.accumulate[k])
    bool seeded[7] = {false};
    seeded[e] = seeded[f] = true;
    ae_net_bind_range(net, 0, 6, UINT32_MAX, seeded);
    /* In the order of backward: f, e, d, c, b, a. */
    CHECK(WRITES(f, 0) && WRITES(f, 1) && !node[f].binding.in[2].gradient, "f");
    CHECK(WRITES(e, 0) && WRITES(e, 1) && ACCUMULATES(e, 2), "e has b twice");
    CHECK(ACCUMULATES(d, 0) && ACCUMULATES(c, 0) && ACCUMULATES(b, 0), "all after f");
    CHECK(!node[a].binding.in[0].gradient && node[a].active, "nothing flows into data");
    CHECK(!node[x].active && node[b].active && node[e].active && node[f].active, "active");
    /* A loss at a comes first, so f adds to it. */
    seeded[a] = true;
    ae_net_bind_range(net, 0, 6, UINT32_MAX, seeded);
    CHECK(ACCUMULATES(f, 1) && ACCUMULATES(d, 0), "after a loss");
    /* Without a loss at f: d is not reached; e's way is the only one. */
    seeded[a] = seeded[f] = false;
    ae_net_bind_range(net, 0, 6, UINT32_MAX, seeded);
    CHECK(!node[d].active && !node[f].active && node[a].active, "not reached");
    CHECK(WRITES(c, 0) && ACCUMULATES(b, 0), "c is the first of two");
    /* Only b is trained: no gradient for a, none through c. */
    seeded[f] = true;
    ae_net_bind_range(net, 0, 6, 1u << 2, seeded);
    CHECK(node[b].active && node[e].active && !node[a].active && !node[c].active && !node[d].active && !node[f].active,
          "only b");
    CHECK(WRITES(e, 0) && !node[e].binding.in[1].gradient && ACCUMULATES(e, 2) && !node[b].binding.in[0].gradient,
          "only b's gradient");
    /* Only a is trained: everything on the way stays active. */
    ae_net_bind_range(net, 0, 6, 1u << 1, seeded);
    CHECK(node[a].active && node[b].active && node[c].active && node[d].active && node[e].active && node[f].active, "only a");
    /* A range that begins behind a: no gradient leaves it. */
    ae_net_bind_range(net, b, e, UINT32_MAX, seeded);
    CHECK(node[b].active && node[c].active && !node[a].active && !node[f].active && !node[b].binding.in[0].gradient, "a range");
    ae_net_free(net);
}

/* The numbers of csrc/README.md, section 3: 784-32-784 on 256 rows. */
TEST(the_network_of_the_document) {
    network d = {.n = 0};
    const int in = network_input(&d, 784, 0), code = network_dense(&d, in, 32, AE_RELU);
    network_dense(&d, code, 784, AE_IDENTITY);
    ae_context context;
    ae_net *net;
    CHECK(ae_net_new(&context, &net, 32, best_isa(), d.node, d.n) == AE_OK, "%s", context.message);
    if (!net)
        return;
    static const int64_t sizes[] = {25088, 32, 25600, 800};
    int64_t tiles = 0, before = 0;
    for (int i = 0; i < net->n_parameters; i++) {
        const ae_parameter *p = &net->parameters[i];
        CHECK(p->size == sizes[i] && p->offset == before, "%s: %d reals", p->name, (int)p->size);
        CHECK((p->transposed_offset >= 0) == (i == 2), "%s: transpose", p->name);
        tiles += ae_panels(p->request.columns) * ((p->request.rows + 191) / 192);
        before += p->size;
    }
    CHECK(net->n_parameters == 4 && net->parameter_reals == 51520 && net->transposed_reals == 25088 && tiles == 56,
          "%d and %d reals, %d tiles", (int)net->parameter_reals, (int)net->transposed_reals, (int)tiles);
    CHECK(ae_net_plan_rows(&context, net, 256, true, 1) == AE_OK, "%s", context.message);
    const ae_value *x = &net->nodes[in].binding.out;
    const double megabytes = 1e-6 * (double)(net->value_reals_per_row * 256 * 4);
    CHECK(x->stride == 8320 && 40 / AE_PANEL * x->stride + 5 * AE_PANEL + 40 % AE_PANEL == 8488, "stride %d", (int)x->stride);
    CHECK(!x->gradient && net->nodes[code].binding.out.gradient, "who has a gradient");
    CHECK(megabytes > 3.25 && megabytes < 3.35, "%g megabytes", megabytes);
    ae_net_free(net);
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    RUN(wrong_descriptions_are_refused);
    RUN(sizes_that_do_not_fit);
    RUN(layout_and_transposes);
    RUN(initial_values_have_their_moments);
    RUN(orthogonal_and_sparse_starts);
    RUN(initial_values_are_determined);
    RUN(streams_hang_on_names);
    RUN(names_are_found);
    RUN(who_writes_a_gradient);
    RUN(the_network_of_the_document);
    return harness_finish("test_net");
}
