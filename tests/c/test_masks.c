/* Missing values, emphasis, and the layers of plain arithmetic and of columns and rows: values by their definition, gradients by
 * differences, bits however the work is cut; and data with NaN on its way through gather, training and moments. */
#include "walk.h"

#define ROWS 23
#define WIDEST 70

static double x[ROWS * WIDEST], y[(ROWS + 1) * WIDEST];
static const int64_t widths[] = {1, 31, 32, 33, 70};

static ae_isa best_isa(void) {
    ae_isa isa = AE_ISA_REF;
    ae_isa_select(NULL, &isa);
    return isa;
}

/* About a third of x is missing; row 3 wholly, row 5 not at all. */
static void fill_data(void) {
    fill(x, ROWS * WIDEST, -1, 1);
    fill(y, (ROWS + 1) * WIDEST, -1, 1);
    for (int i = 0; i < ROWS * WIDEST; i++)
        if (network_unit() < 0.3)
            x[i] = NAN;
}
static void feed_missing(const walk *w, int node) {
    walk_feed(w, node, x, 0);
    for (int64_t c = 0; c < walk_width(w, node); c++) {
        walk_set(w, node, 3, c, NAN);
        walk_set(w, node, 5, c, 0.5);
    }
}

/* A lone chain behind one or two inputs, in each precision and instruction set and several blocks: the bits are the same. With
 * `want` the values are as it says, in double. */
static void check_values(const char *what, const network *n, bool missing, double (*want)(const walk *, int64_t, int64_t)) {
    const int last = n->n - 1;
    for (int bits = 32; bits <= 64; bits += 32) {
        size_t bytes, other_bytes;
        char *one = NULL;
        for (int isa = 0; isa < AE_ISA_COUNT; isa++) {
            if (!ae_cpu_has((ae_isa)isa) || !ae_kernels_get(bits, (ae_isa)isa))
                continue;
            for (int64_t block = 1; block < 2 * ROWS; block += 6) {
                walk w = walk_new(n, bits, (ae_isa)isa, ROWS);
                w.block = block;
                w.training = w.keep = block < ROWS;
                if (missing)
                    feed_missing(&w, 0);
                else
                    walk_feed(&w, 0, y, 0);
                if (n->n > 1 && n->node[1].n_inputs == 0)
                    walk_feed(&w, 1, y, 1);
                walk_forward(&w, 1);
                char *other = walk_copy(&w, last, &other_bytes);
                CHECK(!one || !memcmp(one, other, bytes), "%s f%d: %s, blocks of %d", what, bits, ae_isa_name((ae_isa)isa),
                      (int)block);
                for (int64_t r = 0; bits == 64 && want && r < walk_rows(&w, last); r++)
                    for (int64_t c = 0; c < walk_width(&w, last); c++)
                        CHECK(walk_get(&w, last, r, c) == want(&w, r, c), "%s: (%d, %d) is %g, not %g", what, (int)r, (int)c,
                              walk_get(&w, last, r, c), want(&w, r, c));
                const ae_value *v = &w.net->nodes[last].binding.out;
                for (int64_t r = 0; r < walk_rows(&w, last); r++)
                    for (int64_t c = v->shape.width; c < ae_panels(v->shape.width) * AE_PANEL; c++)
                        CHECK(isfinite(walk_real(&w, v->data, walk_place(v, r, c))), "%s: padding", what);
                if (one)
                    free(other);
                else
                    one = other, bytes = other_bytes;
                ae_net_free(w.net);
            }
        }
        free(one);
    }
}

static double plain_observed(const walk *w, int64_t r, int64_t c) {
    const double v = walk_get(w, 0, r, c);
    return isnan(v) ? w->net->nodes[1].desc.value[0] : v;
}
static double plain_present(const walk *w, int64_t r, int64_t c) {
    double count = 0;
    for (int64_t k = 0; k < walk_width(w, 0); k++)
        count += !isnan(walk_get(w, 0, r, k));
    if (isnan(walk_get(w, 0, r, c)))
        return 0;
    return w->net->nodes[1].desc.size[0] ? (double)walk_width(w, 0) / count : 1;
}

TEST(missing_values_and_their_masks) {
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 2; k++) {
            network n = {.n = 0};
            network_add(&n, "observed", NULL, 1, network_input(&n, widths[i], 0));
            n.node[1].value[0] = k ? -7.5 : 0;
            check_values("observed", &n, true, plain_observed);
            n.node[1].kind = ae_layer_find("present");
            n.node[1].value[0] = 0;
            n.node[1].size[0] = k;
            check_values("present", &n, true, plain_present);
        }
}

static double plain_emphasis(const walk *w, int64_t r, int64_t c) {
    const double a = walk_get(w, 0, r, c), b = walk_get(w, 1, r, c);
    return a == b || (isnan(a) && isnan(b)) ? 0.25 : 3;
}

TEST(emphasis_by_difference) {
    for (int i = 0; i < 5; i++) {
        network n = {.n = 0};
        int clean = network_input(&n, widths[i], 0), other = network_add(&n, "masking_noise", NULL, 1, clean);
        n.node[other].rate = 0.4;
        int e = network_add(&n, "emphasis", NULL, 2, clean, other);
        n.node[e].value[0] = 3;
        n.node[e].value[1] = 0.25;
        for (int missing = 0; missing < 2; missing++) {
            walk w = walk_new(&n, 64, best_isa(), ROWS);
            double unequal = 0;
            if (missing)
                feed_missing(&w, 0);
            else
                walk_feed(&w, 0, y, 0);
            walk_forward(&w, 1);
            for (int64_t r = 0; r < ROWS; r++)
                for (int64_t c = 0; c < widths[i]; c++) {
                    CHECK(walk_get(&w, e, r, c) == plain_emphasis(&w, r, c), "(%d, %d)", (int)r, (int)c);
                    unequal += walk_get(&w, e, r, c) == 3;
                }
            CHECK(unequal > 0 && unequal < (double)(ROWS * widths[i]), "%g unequal", unequal);
            ae_net_free(w.net);
        }
        network m = {.n = 0};
        network_input(&m, widths[i], 0);
        network_input(&m, widths[i], 1);
        m.node[network_add(&m, "emphasis", NULL, 2, 0, 1)].value[0] = 2;
        check_values("emphasis", &m, false, NULL);
    }
}

static double plain_slice(const walk *w, int64_t r, int64_t c) { return walk_get(w, 0, r, c + w->net->nodes[1].desc.size[0]); }
static double plain_repeat(const walk *w, int64_t r, int64_t c) { return walk_get(w, 0, r / 3, c); }
static double plain_scale(const walk *w, int64_t r, int64_t c) { return -1.7 * walk_get(w, 0, r, c); }
static double plain_stop(const walk *w, int64_t r, int64_t c) { return walk_get(w, 0, r, c); }
static double plain_subtract(const walk *w, int64_t r, int64_t c) { return walk_get(w, 0, r, c) - walk_get(w, 1, r, c); }
static double plain_multiply(const walk *w, int64_t r, int64_t c) { return walk_get(w, 0, r, c) * walk_get(w, 1, r, c); }
static double plain_narrow(const walk *w, int64_t r, int64_t c) { return walk_get(w, 0, r, c) * walk_get(w, 1, r, 0); }
static double plain_samples(const walk *w, int64_t r, int64_t c) { return walk_get(w, 0, r / 3, c) * walk_get(w, 1, r / 3, c); }
static double plain_samples_narrow(const walk *w, int64_t r, int64_t c) {
    return walk_get(w, 0, r / 3, c) * walk_get(w, 1, r / 3, 0);
}

TEST(arithmetic_columns_and_rows) {
    for (int i = 0; i < 5; i++) {
        network n = {.n = 0};
        network_add(&n, "scale", NULL, 1, network_input(&n, widths[i], 0));
        n.node[1].value[0] = -1.7;
        check_values("scale", &n, false, plain_scale);
        n.node[1].kind = ae_layer_find("stop");
        check_values("stop", &n, true, NULL);
        check_values("stop", &n, false, plain_stop);
        n.node[1].kind = ae_layer_find("repeat");
        n.node[1].multiplicity = 3;
        check_values("repeat", &n, false, plain_repeat);
        for (int k = 0; k < 2; k++) {
            network m = {.n = 0};
            network_input(&m, widths[i], 0);
            network_input(&m, widths[i], 1);
            network_add(&m, k ? "multiply" : "subtract", NULL, 2, 0, 1);
            check_values("two inputs", &m, false, k ? plain_multiply : plain_subtract);
        }
        for (int k = 0; k < 3; k++) {
            network m = {.n = 0};
            network_input(&m, widths[i], 0);
            network_input(&m, k == 1 ? widths[i] : 1, 1);
            int a = 0;
            if (k) {
                a = network_add(&m, "repeat", NULL, 1, 0);
                m.node[a].multiplicity = 3;
            }
            network_add(&m, "multiply", NULL, 2, a, 1);
            check_values("broadcast", &m, false, k == 0 ? plain_narrow : k == 1 ? plain_samples : plain_samples_narrow);
        }
    }
    static const int ranges[][3] = {{70, 0, 70},  {70, 0, 1},  {70, 69, 1}, {70, 31, 34},
                                    {70, 32, 32}, {70, 5, 33}, {1, 0, 1},   {33, 1, 32}};
    for (int i = 0; i < 8; i++) {
        network n = {.n = 0};
        network_add(&n, "slice", NULL, 1, network_input(&n, ranges[i][0], 0));
        n.node[1].size[0] = ranges[i][1];
        n.node[1].width = ranges[i][2];
        check_values("slice", &n, false, plain_slice);
    }
}

#define REFUSED(kind, change, word)                                                                          \
    do {                                                                                                     \
        network n = {.n = 0};                                                                                \
        ae_context context = {AE_OK, ""};                                                                    \
        ae_net *net;                                                                                         \
        const int a = network_input(&n, 5, 0), b = network_input(&n, 3, 1);                                  \
        const int two = !strcmp(kind, "multiply") || !strcmp(kind, "subtract") || !strcmp(kind, "emphasis"); \
        ae_node_desc *d = &n.node[network_add(&n, kind, "it", two ? 2 : 1, a, b)];                           \
        change;                                                                                              \
        CHECK(ae_net_new(&context, &net, 64, AE_ISA_REF, n.node, n.n) == AE_ERR_VALUE && !net &&             \
                  strstr(context.message, "'it'") && strstr(context.message, word),                          \
              "%s: '%s'", kind, context.message);                                                            \
    } while (0)

TEST(wrong_descriptions_are_refused) {
    REFUSED("observed", d->value[0] = NAN, "nan");
    REFUSED("present", d->size[0] = 2, "size[0] is 2");
    REFUSED("emphasis", d->value[0] = 1, "5 features on 1 rows and the corrupted one 3");
    REFUSED("emphasis", d->inputs[1] = 0, "emphasis is (0, 0)");
    REFUSED("emphasis", (d->inputs[1] = 0, d->value[0] = 1, d->value[1] = -1), "emphasis is (1, -1)");
    REFUSED("emphasis", (d->inputs[1] = 0, d->value[1] = INFINITY), "inf");
    REFUSED("multiply", (void)d, "3 features");
    REFUSED("subtract", (void)d, "3 features");
    REFUSED("scale", d->value[0] = INFINITY, "inf");
    REFUSED("slice", (void)d, "0 columns");
    REFUSED("slice", (d->width = 1, d->size[0] = -1), "column -1");
    REFUSED("slice", (d->width = 3, d->size[0] = 3), "3 columns from column 3 on; the input has 5");
    REFUSED("slice", (d->width = INT64_MAX, d->size[0] = 3), "columns from column 3");
    REFUSED("repeat", (void)d, "multiplicity is 0");
    network n = {.n = 0};
    ae_context context;
    ae_net *net;
    int h = network_input(&n, 5, 0);
    for (int i = 0; i < 2; i++) {
        h = network_add(&n, "repeat", NULL, 1, h);
        n.node[h].multiplicity = 3;
    }
    CHECK(ae_net_new(&context, &net, 64, AE_ISA_REF, n.node, n.n) == AE_ERR_VALUE && strstr(context.message, "3 rows a sample"),
          "%s", context.message);
}

/* A value that the layer reads and others read too, before and after it. */
TEST(gradients_of_each_layer) {
    static const char *const kinds[] = {"observed", "scale",    "slice",    "repeat",   "subtract",
                                        "multiply", "multiply", "multiply", "multiply", "subtract"};
    for (int kind = 0; kind < 10; kind++)
        for (int i = 0; i < 5; i++)
            for (int fan = 0; fan < 2; fan++) {
                network n = {.n = 0};
                const int64_t width = widths[i];
                int from = network_dense(&n, network_input(&n, 3, 0), width, AE_TANH), a = from, b = from, h;
                if (kind == 6 || kind == 8) { /* one column for all */
                    b = network_add(&n, "slice", NULL, 1, from);
                    n.node[b].width = 1;
                    n.node[b].size[0] = (int32_t)width / 2;
                }
                if (kind == 7 || kind == 8) { /* one row for all samples */
                    a = network_add(&n, "repeat", NULL, 1, from);
                    n.node[a].multiplicity = 3;
                    a = network_add(&n, "activation", NULL, 1, a);
                    n.node[a].activation = AE_SOFTPLUS;
                }
                if (kind == 4)
                    a = network_add(&n, "scale", NULL, 1, from), n.node[a].value[0] = 0.3;
                if (kind == 9)
                    b = network_add(&n, "scale", NULL, 1, from), n.node[b].value[0] = 0.3;
                h = network_add(&n, kinds[kind], NULL, kind < 4 ? 1 : 2, a, b);
                n.node[h].value[0] = kind == 1 ? -1.7 : 0;
                if (kind == 2) {
                    n.node[h].size[0] = (int32_t)width / 3;
                    n.node[h].width = width - width / 3 - (width > 40);
                }
                n.node[h].multiplicity = kind == 3 ? 4 : 0;
                h = network_add(&n, "multiply", NULL, 2, h, h);
                if (fan && kind != 2 && kind != 3 && kind != 7 && kind != 8)
                    h = network_add(&n, "add", NULL, 3, from, h, from);
                else if (fan && kind == 2)
                    h = network_add(&n, "concatenate", NULL, 3, from, h, from);
                else if (fan)
                    h = network_add(&n, "multiply", NULL, 2, h, from);
                walk w = walk_new(&n, 64, best_isa(), 5);
                w.block = 2;
                walk_feed(&w, 0, y, 0);
                walk_forward(&w, 1);
                walk_check(kinds[kind], &w, from);
                ae_net_free(w.net);
            }
}

/* Where a value is missing nothing flows back. */
TEST(gradient_of_what_is_missing) {
    network n = {.n = 0};
    int h = network_dense(&n, network_input(&n, 3, 0), 33, AE_TANH);
    network_add(&n, "observed", NULL, 1, h);
    walk w = walk_new(&n, 64, best_isa(), ROWS);
    walk_feed(&w, 0, y, 0);
    walk_forward(&w, 1);
    walk_feed(&w, h, x, 0);
    walk_forward(&w, 2);
    walk_gradient(&w, h);
    const ae_value *v = &w.net->nodes[h].binding.out;
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t c = 0; c < 33; c++)
            CHECK(walk_real(&w, v->gradient, walk_place(v, r, c)) == (isnan(x[r * 33 + c]) ? 0 : walk_weight(r * 33 + c)),
                  "(%d, %d)", (int)r, (int)c);
    ae_net_free(w.net);
}

/* Three layers stop gradients: parameters behind them are as if they were data, and a node that has only such readers is left out. */
TEST(stopped_gradients) {
    static double clean[ROWS * 7];
    fill(clean, ROWS * 7, -1, 1);
    for (int kind = 0; kind < 3; kind++) {
        static const char *const kinds[] = {"stop", "present", "emphasis"};
        program p = {.options = plain_options(64)};
        int in = network_input(&p.net, 7, 0), a = network_dense(&p.net, in, 9, AE_TANH),
            b = network_dense(&p.net, in, 9, AE_TANH);
        int cut = network_add(&p.net, kinds[kind], NULL, kind == 2 ? 2 : 1, b, a), h, frozen;
        snprintf(p.net.node[b].name, sizeof p.net.node[b].name, "silent");
        p.net.node[cut].value[0] = 1;
        p.net.node[cut].value[1] = 0.5;
        frozen = network_add(&p.net, "stop", NULL, 1, a);
        h = network_add(&p.net, "multiply", NULL, 2, a, cut);
        h = network_add(&p.net, "add", NULL, 3, h, frozen, a);
        h = network_dense(&p.net, h, 7, AE_IDENTITY);
        program_loss(&p, "squared_error", h, in, 1);
        program_stage(&p, "sgd");
        const ae_data data = dense_data(clean, AE_F64, ROWS, 7);
        ae_trainer *t = differences_trainer(&p, &data, 1);
        if (!t)
            return;
        const ae_net *net = ae_trainer_net(t);
        CHECK(!net->nodes[b].active && !net->nodes[cut].active && net->nodes[a].active && !net->nodes[cut].binding.out.gradient,
              "%s: what is active", kinds[kind]);
        CHECK(net->parameters[parameter_of(net, "silent.weight")].transposed_offset == -1, "no transpose");
        ae_trainer_free(t);
    }
    /* The gradient of a + stop(a) is that of a alone: half of 2 a's. */
    network n = {.n = 0};
    int h = network_dense(&n, network_input(&n, 3, 0), 33, AE_TANH), s = network_add(&n, "stop", NULL, 1, h);
    network_add(&n, "add", NULL, 2, h, s);
    walk w = walk_new(&n, 64, best_isa(), 4);
    walk_feed(&w, 0, y, 0);
    walk_forward(&w, 1);
    walk_gradient(&w, h);
    const ae_value *v = &w.net->nodes[h].binding.out;
    for (int64_t c = 0; c < 33; c++)
        CHECK(walk_real(&w, v->gradient, walk_place(v, 2, c)) == walk_weight(2 * 33 + c), "column %d", (int)c);
    ae_net_free(w.net);
}

/* x with NaN -> observed (0 where missing), denoised; compared with the data where it is present. */
static program imputing(int bits, int64_t width) {
    program p = {.options = plain_options(bits)};
    int in = network_input(&p.net, width, 0), seen = network_add(&p.net, "observed", NULL, 1, in);
    int mask = network_add(&p.net, "present", NULL, 1, in), h = network_add(&p.net, "masking_noise", NULL, 1, seen);
    p.net.node[mask].size[0] = 1;
    p.net.node[h].rate = 0.2;
    h = network_add(&p.net, "concatenate", NULL, 2, h, mask);
    h = network_dense(&p.net, h, 17, AE_TANH);
    h = network_dense(&p.net, h, width, AE_IDENTITY);
    h = network_add(&p.net, "multiply", NULL, 2, h, mask);
    const int target = network_add(&p.net, "multiply", NULL, 2, seen, mask);
    program_loss(&p, "squared_error", h, target, 1);
    program_stage(&p, "adam");
    return p;
}

TEST(training_on_what_is_there) {
    for (int chunk = 0; chunk < 2; chunk++) {
        program p = imputing(64, 35);
        const ae_data data = dense_data(x, AE_F64, ROWS, 35);
        p.options.chunk_rows = chunk ? 8 : 0;
        differences_check("missing values", &p, &data, 1, true, 15, NULL);
    }
    for (int bits = 32; bits <= 64; bits += 32) {
        const program p = imputing(bits, 35);
        const ae_data data = dense_data(x, AE_F64, ROWS, 35);
        same_bits_check("missing values", &p, &data, 1);
        /* The same from float32, and from CSR that stores every entry. */
        static float narrow[ROWS * 35];
        static double wide[ROWS * 35];
        static int32_t start[ROWS + 1], column[ROWS * 35];
        for (int i = 0; i < ROWS * 35; i++) {
            narrow[i] = (float)x[i];
            wide[i] = (double)narrow[i];
            column[i] = i % 35;
        }
        for (int r = 0; r <= ROWS; r++)
            start[r] = 35 * r;
        const ae_data from[3] = {dense_data(wide, AE_F64, ROWS, 35), dense_data(narrow, AE_F32, ROWS, 35),
                                 sparse_data(narrow, start, column, ROWS, 35)};
        size_t bytes, other_bytes;
        char *one = trained_bits(&p, &from[0], 1, NULL, &bytes);
        for (int i = 1; i < 3; i++) {
            char *other = trained_bits(&p, &from[i], 1, NULL, &other_bytes);
            CHECK(one && other && bytes == other_bytes && !memcmp(one, other, bytes), "source %d", i);
            free(other);
        }
        free(one);
    }
    /* Without `observed` a NaN reaches the loss, and that is a divergence. */
    program p = {.options = plain_options(64)};
    int in = network_input(&p.net, 35, 0), h = network_dense(&p.net, in, 35, AE_IDENTITY);
    program_loss(&p, "squared_error", h, in, 1);
    program_stage(&p, "adam");
    const ae_data data = dense_data(x, AE_F64, ROWS, 35);
    ae_context context;
    ae_epoch_result result;
    ae_trainer *t = differences_trainer(&p, &data, 1);
    CHECK(t && ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_ERR_NONFINITE, "no divergence");
    ae_trainer_free(t);
}

/* A spread of one beside means of up to 1e10, with the first rows missing, or without weight and out of all bounds. */
TEST(moments_of_columns_far_from_zero) {
    enum { R = 200, C = 3 };
    static double z[R * C], weight[R];
    static const double offset[C] = {0, 1e6, 1e10};
    double mean[C], variance[C];
    ae_context context;
    fill(z, R * C, -1, 1);
    for (int r = 0; r < R; r++) {
        weight[r] = r < 3 ? 0 : 1;
        for (int c = 0; c < C; c++) {
            z[r * C + c] = (double)(float)z[r * C + c] + offset[c];
            if (r < 3)
                z[r * C + c] = 1e300;
            else if (r < 5 + c)
                z[r * C + c] = NAN;
        }
    }
    program p = {.options = plain_options(64)};
    int in = network_input(&p.net, C, 0);
    program_loss(&p, "squared_error", network_dense(&p.net, in, C, AE_IDENTITY), in, 1);
    program_stage(&p, "adam");
    const ae_data data = dense_data(z, AE_F64, R, C);
    ae_trainer *t = NULL;
    CHECK(program_trainer(&context, &p, &t) == AE_OK && ae_trainer_bind(&context, t, 0, &data, 1, weight) == AE_OK &&
              ae_trainer_moments(&context, t, 0, mean, variance) == AE_OK,
          "%s", context.message);
    for (int c = 0; c < C; c++) {
        double sum = 0, square = 0;
        const int n = R - 5 - c;
        for (int r = 5 + c; r < R; r++)
            sum += z[r * C + c] - offset[c];
        for (int r = 5 + c; r < R; r++)
            square += (z[r * C + c] - offset[c] - sum / n) * (z[r * C + c] - offset[c] - sum / n);
        CHECK(fabs(mean[c] - offset[c] - sum / n) <= 1e-14 * offset[c] + 1e-14, "column %d: mean %.17g", c, mean[c]);
        CHECK(fabs(variance[c] - square / n) <= 1e-13, "column %d: variance %.17g, not %.17g", c, variance[c], square / n);
    }
    ae_trainer_free(t);
}

/* Means and variances over what is there, by rows' weights; the same bits for any number of threads. */
TEST(moments_skip_what_is_missing) {
    enum { R = 300, C = 37 };
    static double z[R * C], weight[R];
    double mean[2][C], variance[2][C], plain_mean[C], plain_variance[C];
    ae_context context;
    fill(z, R * C, -1, 3);
    fill(weight, R, 0, 2);
    for (int weighted = 0; weighted < 2; weighted++) {
        for (int run = 0; run < 3; run++) {
            program p = {.options = plain_options(run < 2 ? 64 : 32)};
            p.options.n_threads = run ? 3 : 1;
            p.options.chunk_rows = run ? 8 : 0;
            int in = network_input(&p.net, C, 0);
            program_loss(&p, "squared_error", network_dense(&p.net, in, C, AE_IDENTITY), in, 1);
            program_stage(&p, "adam");
            ae_trainer *t = NULL;
            const ae_data data = dense_data(z, AE_F64, R, C);
            CHECK(program_trainer(&context, &p, &t) == AE_OK &&
                      ae_trainer_bind(&context, t, 0, &data, 1, weighted ? weight : NULL) == AE_OK,
                  "%s", context.message);
            if (run == 0)
                CHECK(ae_trainer_moments(&context, t, 0, plain_mean, plain_variance) == AE_OK, "%s", context.message);
            static double kept[R * C];
            memcpy(kept, z, sizeof z);
            for (int r = 0; r < R; r++)
                for (int c = 0; c < C; c++)
                    if (c == 5 || (c > 5 && (r * 7 + c * 3) % 5 == 0))
                        z[r * C + c] = NAN;
            CHECK(ae_trainer_moments(&context, t, 0, mean[run > 0], variance[run > 0]) == AE_OK, "%s", context.message);
            for (int c = 0; c < C; c++) {
                double total = 0, of_x = 0, of_square = 0;
                for (int r = 0; r < R; r++) {
                    const double w = weighted ? weight[r] : 1;
                    if (isnan(z[r * C + c]))
                        continue;
                    total += w;
                    of_x += w * z[r * C + c];
                    of_square += w * z[r * C + c] * z[r * C + c];
                }
                const double m = c == 5 ? 0 : of_x / total, v = c == 5 ? 0 : of_square / total - m * m;
                const double allowed = run < 2 ? 1e-12 : 1e-6;
                CHECK(fabs(mean[run > 0][c] - m) <= allowed && fabs(variance[run > 0][c] - v) <= allowed,
                      "column %d: %g and %g, not %g and %g", c, mean[run > 0][c], variance[run > 0][c], m, v);
                CHECK(run || c >= 5 || (mean[0][c] == plain_mean[c] && variance[0][c] == plain_variance[c]),
                      "column %d: others are missing", c);
            }
            CHECK(run != 1 || (!memcmp(mean[0], mean[1], sizeof mean[0]) && !memcmp(variance[0], variance[1], sizeof mean[0])),
                  "threads and chunks");
            memcpy(z, kept, sizeof z);
            ae_trainer_free(t);
        }
    }
}

/* NaN passes, an infinity is found wherever it is. */
TEST(infinities_are_found_among_missing_values) {
    enum { R = 5, C = 37 };
    double z[R * C];
    float narrow[R * C];
    int32_t start[R + 1], column[R * C];
    for (int k = 0; k < R * C; k += 3) {
        const double bad = k % 2 ? INFINITY : -INFINITY;
        for (int i = 0; i < R * C; i++)
            z[i] = i % 4 == 0 ? NAN : 1.7e308, column[i] = i % C;
        for (int r = 0; r <= R; r++)
            start[r] = r * C;
        for (int with = 0; with < 2; with++) {
            z[k] = with ? bad : z[k];
            for (int i = 0; i < R * C; i++)
                narrow[i] = isnan(z[i]) ? NAN : isinf(z[i]) ? (float)z[i] : 3.4e38f;
            ae_data of[4] = {dense_data(z, AE_F64, R, C), dense_data(narrow, AE_F32, R, C)};
            of[2] = (ae_data){
                .rows = C, .columns = R, .dtype = AE_F64, .base = (const char *)z, .row_bytes = 8, .column_bytes = C * 8};
            of[3] = (ae_data){.rows = R,
                              .columns = C,
                              .dtype = AE_F64,
                              .sparse = true,
                              .base = (const char *)z,
                              .row_start = (const char *)start,
                              .column_index = (const char *)column,
                              .index_bits = 32,
                              .n_stored = R * C};
            for (int i = 0; i < 4; i++) {
                int64_t row = 7, at = 7;
                double value = 0;
                ae_data_find_infinite(&of[i], &row, &at, &value);
                if (with)
                    CHECK(row == (i == 2 ? k % C : k / C) && at == (i == 2 ? k / C : k % C) && value == bad,
                          "source %d: (%d, %d)", i, (int)row, (int)at);
                else
                    CHECK(row == -1 && at == -1, "source %d: (%d, %d)", i, (int)row, (int)at);
                ae_data_find_nonfinite(&of[i], &row, &at, &value);
                CHECK(row == 0 && at == 0 && (k == 0 && with ? value == bad : isnan(value)), "source %d: the first NaN", i);
            }
        }
    }
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    fill_data();
    RUN(missing_values_and_their_masks);
    RUN(emphasis_by_difference);
    RUN(arithmetic_columns_and_rows);
    RUN(wrong_descriptions_are_refused);
    RUN(gradients_of_each_layer);
    RUN(gradient_of_what_is_missing);
    RUN(stopped_gradients);
    RUN(training_on_what_is_there);
    RUN(moments_skip_what_is_missing);
    RUN(moments_of_columns_far_from_zero);
    RUN(infinities_are_found_among_missing_values);
    return harness_finish("test_masks");
}
