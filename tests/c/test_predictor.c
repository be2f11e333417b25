/* Inference: a row's result is its own, from any node to any later one, and losses are those of the trainer. */
#include <float.h>

#include "harness.h"
#include "networks.h"

#define ROWS 205 /* two whole blocks and a rest */
#define COLUMNS 35

static double x[ROWS * COLUMNS], y[ROWS * COLUMNS];

enum { INPUT, NOISE, FIRST, CODE, SECOND, OUT, TARGET, OTHER };

static network sample(void) {
    network net = {.n = 0};
    int h = network_dropout(&net, network_input(&net, COLUMNS, 0), 0.3);
    h = network_dense(&net, h, 50, AE_GELU);
    h = network_dense(&net, h, 3, AE_TANH);
    h = network_dense(&net, h, 50, AE_SILU);
    h = network_dense(&net, h, COLUMNS, AE_IDENTITY);
    network_input(&net, COLUMNS, 1);
    network_add(&net, "add", NULL, 2, SECOND, FIRST);
    return net;
}

static ae_predictor *made(int bits, const char *loss, int n_threads) {
    const network net = sample();
    ae_context context;
    ae_predictor *p;
    const ae_loss_desc term = term_of(loss, OUT, TARGET, 1);
    if (ae_predictor_new(&context, &p, bits, net.node, net.n, &term, 1, n_threads) != AE_OK) {
        CHECK(0, "%s", context.message);
        return NULL;
    }
    CHECK(ae_net_initialize(&context, ae_predictor_net(p), 9) == AE_OK, "%s", context.message);
    return p;
}

static void run(ae_predictor *p, const ae_predict_call *call) {
    ae_context context;
    CHECK(ae_predictor_run(&context, p, call, NULL, NULL) == AE_OK, "%s", context.message);
}

/* Reals or losses that a call gives for a row. */
static int64_t width_of(const ae_predict_call *call) {
    return call->what == AE_PREDICT_LOSS ? 1 : call->last_node == CODE ? 3 : call->last_node == OUT ? COLUMNS : 50;
}
static size_t bytes_of(const ae_predict_call *call) {
    return (size_t)width_of(call) * (call->what == AE_PREDICT_LOSS || call->out_type == AE_F64 ? 8 : 4);
}

TEST(a_row_is_a_row) {
    static const char *const losses[] = {"squared_error", "log_loss", "multinomial"};
    double all[ROWS * COLUMNS], other[ROWS * COLUMNS], picked_x[ROWS * COLUMNS], picked_y[ROWS * COLUMNS];
    for (int bits = 32; bits <= 64; bits += 32)
        for (int l = 0; l < 3; l++) {
            ae_predictor *one = made(bits, losses[l], 1), *three = made(bits, losses[l], 3);
            if (!one || !three)
                return;
            for (int what = AE_PREDICT_VALUES; what <= AE_PREDICT_TERMS; what++) {
                ae_data sources[2] = {dense_data(x, AE_F64, ROWS, COLUMNS), dense_data(y, AE_F64, ROWS, COLUMNS)};
                ae_predict_call call = {
                    sources,           2, -1, what == AE_PREDICT_VALUES ? CODE : OUT, (ae_predict_what)what, 0, AE_F64,
                    .out = (char *)all};
                const size_t bytes = bytes_of(&call);
                run(one, &call);
                call.out = (char *)other;
                const int64_t before = ae_alloc_count();
                run(three, &call);
                CHECK(ae_alloc_count() == before, "a call allocates");
                CHECK(!memcmp(all, other, bytes * ROWS), "f%d %s %d: threads", bits, losses[l], what);
                for (int64_t r = 0; r < ROWS; r += 11) {
                    sources[0] = dense_data(x + r * COLUMNS, AE_F64, 1, COLUMNS);
                    sources[1] = dense_data(y + r * COLUMNS, AE_F64, 1, COLUMNS);
                    run(r & 1 ? one : three, &call);
                    CHECK(!memcmp((char *)all + bytes * (size_t)r, other, bytes), "f%d %s %d: row %d alone", bits, losses[l],
                          what, (int)r);
                }
                for (int round = 0; round < 4; round++) {
                    const int64_t n = 1 + (int64_t)(network_draw() % ROWS);
                    int64_t rows[ROWS];
                    for (int64_t i = 0; i < n; i++) {
                        rows[i] = (int64_t)(network_draw() % ROWS);
                        memcpy(picked_x + i * COLUMNS, x + rows[i] * COLUMNS, COLUMNS * 8);
                        memcpy(picked_y + i * COLUMNS, y + rows[i] * COLUMNS, COLUMNS * 8);
                    }
                    sources[0] = dense_data(picked_x, AE_F64, n, COLUMNS);
                    sources[1] = dense_data(picked_y, AE_F64, n, COLUMNS);
                    run(one, &call);
                    bool equal = true;
                    for (int64_t i = 0; i < n; i++)
                        equal &= !memcmp((char *)all + bytes * (size_t)rows[i], (char *)other + bytes * (size_t)i, bytes);
                    CHECK(equal, "f%d %s %d: %d rows in another order", bits, losses[l], what, (int)n);
                }
            }
            ae_predictor_free(one);
            ae_predictor_free(three);
        }
}

TEST(instruction_sets_agree) {
    for (int bits = 32; bits <= 64; bits += 32)
        for (int what = AE_PREDICT_VALUES; what <= AE_PREDICT_TERMS; what++) {
            double first[ROWS * COLUMNS], now[ROWS * COLUMNS];
            int n = 0;
            for (const char *const *isa = usable_isas(); *isa; isa++) {
                setenv("AUTOENC_ISA", *isa, 1);
                ae_predictor *p = made(bits, "log_loss", 2);
                unsetenv("AUTOENC_ISA");
                if (!p)
                    return;
                const ae_data sources[2] = {dense_data(x, AE_F64, ROWS, COLUMNS), dense_data(y, AE_F64, ROWS, COLUMNS)};
                const ae_predict_call call = {
                    sources, 2, -1, OUT, (ae_predict_what)what, 0, AE_F64, .out = (char *)(n ? now : first)};
                run(p, &call);
                CHECK(!n++ || !memcmp(first, now, bytes_of(&call) * ROWS), "f%d, %d: %s", bits, what, *isa);
                ae_predictor_free(p);
            }
        }
}

TEST(a_middle_node_may_be_the_start) {
    for (int bits = 32; bits <= 64; bits += 32) {
        double code[ROWS * 3], whole[ROWS * COLUMNS], half[ROWS * COLUMNS];
        ae_predictor *p = made(bits, "squared_error", 2);
        if (!p)
            return;
        ae_data source = dense_data(x, AE_F64, ROWS, COLUMNS);
        /* float64 holds either precision, so nothing is lost on the way. */
        run(p, &(ae_predict_call){&source, 1, -1, CODE, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)code});
        run(p, &(ae_predict_call){&source, 1, -1, OUT, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)whole});
        source = dense_data(code, AE_F64, ROWS, 3);
        run(p, &(ae_predict_call){&source, 1, CODE, OUT, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)half});
        CHECK(!memcmp(whole, half, sizeof half), "f%d: decoded", bits);
        run(p, &(ae_predict_call){&source, 1, CODE, CODE, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)half});
        CHECK(!memcmp(code, half, sizeof code), "f%d: a node from itself", bits);
        ae_predictor_free(p);
    }
}

TEST(types_of_the_output) {
    for (int bits = 32; bits <= 64; bits += 32) {
        double wide[ROWS * COLUMNS];
        float narrow[ROWS * COLUMNS];
        ae_predictor *p = made(bits, "squared_error", 1);
        if (!p)
            return;
        const ae_data source = dense_data(x, AE_F64, ROWS, COLUMNS);
        run(p, &(ae_predict_call){&source, 1, -1, OUT, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)wide});
        run(p, &(ae_predict_call){&source, 1, -1, OUT, AE_PREDICT_VALUES, 0, AE_F32, .out = (char *)narrow});
        bool equal = true;
        for (int i = 0; i < ROWS * COLUMNS; i++)
            equal &= (float)wide[i] == narrow[i] && (bits == 64 || (double)narrow[i] == wide[i]);
        CHECK(equal, "f%d", bits);
        ae_predictor_free(p);
    }
}

TEST(links_losses_and_terms) {
    double value[ROWS * COLUMNS], linked[ROWS * COLUMNS], loss[ROWS], terms[ROWS * COLUMNS];
    for (int l = 0; ae_loss_get(64, AE_ISA_REF, l); l++) {
        const ae_loss_ops *ops = ae_loss_get(64, AE_ISA_REF, l);
        if (ops->flags & (AE_LOSS_SECOND | AE_LOSS_NO_TARGET))
            continue; /* test_loss_terms.c */
        ae_predictor *p = made(64, ops->name, 2);
        if (!p)
            return;
        const ae_data sources[2] = {dense_data(x, AE_F64, ROWS, COLUMNS), dense_data(y, AE_F64, ROWS, COLUMNS)};
        run(p, &(ae_predict_call){sources, 2, -1, OUT, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)value});
        run(p, &(ae_predict_call){sources, 2, -1, OUT, AE_PREDICT_LINKED, 0, AE_F64, .out = (char *)linked});
        run(p, &(ae_predict_call){sources, 2, -1, OUT, AE_PREDICT_LOSS, 0, AE_F32, .out = (char *)loss});
        run(p, &(ae_predict_call){sources, 2, -1, OUT, AE_PREDICT_TERMS, 0, AE_F64, .out = (char *)terms});
        double mean = 0;
        for (int r = 0; r < ROWS; r++) {
            double powers = 0, sum = 0;
            for (int c = 0; c < COLUMNS; c++) {
                powers += exp(value[r * COLUMNS + c]);
                sum += terms[r * COLUMNS + c] / COLUMNS;
                CHECK(terms[r * COLUMNS + c] >= 0, "%s: a term is %g", ops->name, terms[r * COLUMNS + c]);
            }
            CHECK(fabs(loss[r] - sum) < 1e-13 * (1 + sum), "%s: row %d: %.17g, terms give %.17g", ops->name, r, loss[r], sum);
            mean += loss[r] / ROWS;
            for (int c = 0; c < COLUMNS; c++) {
                const double v = value[r * COLUMNS + c], t = y[r * COLUMNS + c];
                const double want = ops->link == AE_LOGISTIC  ? 1 / (1 + exp(-v))
                                    : ops->link == AE_EXP     ? exp(v)
                                    : ops->link == AE_SOFTMAX ? exp(v) / powers
                                                              : v;
                CHECK(fabs(linked[r * COLUMNS + c] - want) < 1e-13 * (1 + want), "%s: linked %.17g, not %.17g", ops->name,
                      linked[r * COLUMNS + c], want);
                if (!strcmp(ops->name, "squared_error"))
                    CHECK(fabs(terms[r * COLUMNS + c] - (v - t) * (v - t)) < 1e-14, "squared error");
            }
        }
        /* The trainer's view of the same weights, dropout asleep. */
        program q = {.net = sample(), .options = plain_options(64)};
        ae_trainer *t;
        ae_context context;
        double of_trainer = 0;
        program_loss(&q, ops->name, OUT, TARGET, 1);
        program_stage(&q, "sgd");
        q.options.seed = 9;
        CHECK(program_trainer(&context, &q, &t) == AE_OK, "%s", context.message);
        CHECK(t && ae_trainer_bind(&context, t, 1, sources, 2, NULL) == AE_OK && ae_trainer_initialize(&context, t) == AE_OK,
              "%s", context.message);
        CHECK(t && ae_trainer_evaluate(&context, t, 1, 0, ROWS, false, NULL, NULL, &of_trainer) == AE_OK, "%s",
              context.message);
        CHECK(fabs(of_trainer - mean) < 1e-13 * (1 + mean), "%s: the trainer says %.17g, the predictor %.17g", ops->name,
              of_trainer, mean);
        ae_trainer_free(t);
        ae_predictor_free(p);
    }
}

/* Conditions: the code is given, inputs of other sources come with it, wherever they stand in the graph. */
TEST(conditions_reach_the_decoder) {
    network net = {.n = 0};
    const int in = network_input(&net, COLUMNS, 0), before = network_input(&net, 2, 1);
    const int code = network_dense(&net, network_add(&net, "concatenate", NULL, 2, in, before), 3, AE_TANH),
              behind = network_input(&net, 4, 2);
    const int out = network_dense(&net, network_add(&net, "concatenate", NULL, 3, code, before, behind), COLUMNS, AE_IDENTITY);
    const int again = network_add(&net, "add", NULL, 2, out, in);
    ae_context context;
    ae_predictor *p;
    CHECK(ae_predictor_new(&context, &p, 64, net.node, net.n, NULL, 0, 2) == AE_OK &&
              ae_net_initialize(&context, ae_predictor_net(p), 3) == AE_OK,
          "%s", context.message);
    if (!p)
        return;
    double codes[ROWS * 3], whole[ROWS * COLUMNS], half[ROWS * COLUMNS];
    ae_data sources[3] = {dense_data(x, AE_F64, ROWS, COLUMNS), dense_data(y, AE_F64, ROWS, 2),
                          dense_data(y + 900, AE_F64, ROWS, 4)};
    run(p, &(ae_predict_call){sources, 3, -1, code, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)codes});
    run(p, &(ae_predict_call){sources, 3, -1, out, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)whole});
    sources[0] = dense_data(codes, AE_F64, ROWS, 3);
    ae_predict_call call = {sources, 3, code, out, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)half};
    run(p, &call);
    CHECK(!memcmp(whole, half, sizeof half), "decoded from code and conditions");
    call.n_sources = 2;
    CHECK(ae_predictor_run(&context, p, &call, NULL, NULL) == AE_ERR_VALUE && strstr(context.message, "is needed too"), "%s",
          context.message);
    call.n_sources = 3;
    sources[1].columns = 1;
    CHECK(ae_predictor_run(&context, p, &call, NULL, NULL) == AE_ERR_VALUE && strstr(context.message, "takes 2 features"), "%s",
          context.message);
    sources[1].columns = 2;
    call.last_node = again;
    CHECK(ae_predictor_run(&context, p, &call, NULL, NULL) == AE_ERR_VALUE && strstr(context.message, "is needed too"),
          "the data itself: %s", context.message);
    ae_predictor_free(p);
}

#define SAMPLES 3

/* Three rows for one: the value, and with `sampling` a draw for each sample and column on top. */
static void spread(const ae_binding *binding, const ae_block *block) {
    for (int64_t row = block->row0; row < block->row1; row++)
        for (int64_t s = 0; s < SAMPLES; s++)
            for (int64_t c = 0; c < binding->out.shape.width; c++) {
                const int64_t column = c % AE_PANEL, panel = c / AE_PANEL;
                const double draw =
                    block->sampling ? ae_rng_word(binding->scoring_key, 0, (uint32_t)s, (uint32_t)c) * 0x1p-32 : 0;
                ((double *)binding->out.data)[panel * binding->out.stride + (row * SAMPLES + s) * AE_PANEL + column] =
                    draw + ((const double *)binding->in[0].data)[panel * binding->in[0].stride + row * AE_PANEL + column];
            }
}

/* A layer that no file has yet, put into a predictor's net: all rows of a multiplicity come out, and draws do not depend on
 * the row. */
TEST(samples_of_a_row) {
    static const ae_layer_ops ops = {
        .name = "spread", .min_inputs = 1, .max_inputs = 1, .forward = spread, .stream = AE_STREAM_LATENT};
    static double out[ROWS * SAMPLES * COLUMNS], some[ROWS * SAMPLES * COLUMNS];
    network net = {.n = 0};
    network_dropout(&net, network_dropout(&net, network_input(&net, COLUMNS, 0), 0.5), 0.5);
    ae_context context;
    ae_predictor *p;
    CHECK(ae_predictor_new(&context, &p, 64, net.node, net.n, NULL, 0, 2) == AE_OK, "%s", context.message);
    if (!p)
        return;
    ae_net *n = ae_predictor_net(p);
    n->nodes[2].ops = &ops;
    n->nodes[2].plan.out.multiplicity = SAMPLES;
    CHECK(ae_net_plan_rows(&context, n, n->row_capacity, false, 2) == AE_OK, "%s", context.message);
    ae_net_seed(n, 77);
    const ae_key latent = ae_key_of(77, AE_STREAM_LATENT, "dropout2"),
                 corruption = ae_key_of(77, AE_STREAM_CORRUPTION, "dropout1");
    const ae_key scoring = ae_key_of(77, AE_STREAM_SCORING, "dropout2");
    CHECK(!memcmp(&n->nodes[2].binding.key, &latent, sizeof latent), "the stream that the layer names");
    CHECK(!memcmp(&n->nodes[1].binding.key, &corruption, sizeof corruption), "corruption where it names none");
    CHECK(!memcmp(&n->nodes[2].binding.scoring_key, &scoring, sizeof scoring), "the stream of scoring");
    ae_data source = dense_data(x, AE_F64, ROWS, COLUMNS);
    ae_predict_call call = {&source, 1, -1, 2, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)out};
    for (int sampling = 0; sampling < 2; sampling++) {
        call.sampling = sampling;
        call.out = (char *)out;
        run(p, &call);
        int64_t wrong = 0;
        for (int r = 0; r < ROWS; r++)
            for (int s = 0; s < SAMPLES; s++)
                for (int c = 0; c < COLUMNS; c++) {
                    const double draw = sampling ? ae_rng_word(scoring, 0, (uint32_t)s, (uint32_t)c) * 0x1p-32 : 0;
                    wrong += out[(r * SAMPLES + s) * COLUMNS + c] != draw + x[r * COLUMNS + c]; /* dropout rests */
                }
        CHECK(!wrong, "sampling %d: %d wrong", sampling, (int)wrong);
        source = dense_data(x + 50 * COLUMNS, AE_F64, 100, COLUMNS);
        call.out = (char *)some;
        run(p, &call);
        source = dense_data(x, AE_F64, ROWS, COLUMNS);
        CHECK(!memcmp(some, out + 50 * SAMPLES * COLUMNS, 100 * SAMPLES * COLUMNS * sizeof *out), "sampling %d: rows elsewhere",
              sampling);
    }
    call.what = AE_PREDICT_LINKED;
    run(p, &call);
    call.what = AE_PREDICT_LOSS;
    CHECK(ae_predictor_run(&context, p, &call, NULL, NULL) == AE_ERR_VALUE && strstr(context.message, "made without one"), "%s",
          context.message);
    call.what = AE_PREDICT_VALUES;
    call.from_node = 2;
    CHECK(ae_predictor_run(&context, p, &call, NULL, NULL) == AE_ERR_VALUE && strstr(context.message, "can be the start"), "%s",
          context.message);
    n->nodes[2].plan.out.multiplicity = 1;
    ae_predictor_free(p);
}

TEST(wrong_calls_are_refused) {
    ae_predictor *p = made(64, "squared_error", 1);
    ae_data two[2] = {dense_data(x, AE_F64, 5, COLUMNS), dense_data(y, AE_F64, 5, COLUMNS)};
    const ae_data code = dense_data(x, AE_F64, 5, 3);
    double out[5 * 50];
    if (!p)
        return;
    const ae_predict_call good = {two, 2, -1, OUT, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)out};
#define WRONG(change)                                                                                                    \
    do {                                                                                                                 \
        ae_predict_call call = good;                                                                                     \
        ae_context context = {AE_OK, ""};                                                                                \
        change;                                                                                                          \
        for (int i_ = 0; i_ < 5 * 50; i_++)                                                                              \
            out[i_] = 77;                                                                                                \
        const ae_status status = ae_predictor_run(&context, p, &call, NULL, NULL);                                       \
        CHECK(status == AE_ERR_VALUE && context.message[0] && out[0] == 77, "%s: status %d, '%s'", #change, (int)status, \
              context.message);                                                                                          \
    } while (0)
    run(p, &good);
    WRONG(call.last_node = -1);
    WRONG(call.last_node = OTHER + 1);
    WRONG(call.from_node = -2);
    WRONG(call.from_node = OTHER + 1);
    WRONG(call.n_sources = 0);
    WRONG(call.out_type = AE_U8);
    WRONG(call.from_node = CODE); /* COLUMNS features where 3 are wanted */
    WRONG((call.from_node = CODE, call.sources = &code, call.n_sources = 1, call.last_node = FIRST));  /* backwards */
    WRONG((call.from_node = CODE, call.sources = &code, call.n_sources = 1, call.last_node = OTHER));  /* needs FIRST too */
    WRONG((call.from_node = CODE, call.sources = &code, call.n_sources = 1, call.last_node = TARGET)); /* needs other data */
    WRONG((call.n_sources = 1, call.last_node = TARGET)); /* the second source is missing */
    WRONG((call.n_sources = 1, call.what = AE_PREDICT_LOSS));
    WRONG((call.n_sources = 1, call.what = AE_PREDICT_TERMS));
    WRONG((call.what = AE_PREDICT_LOSS, call.combine = 2));
    WRONG((call.what = AE_PREDICT_NLL, call.combine = -1));
    two[1].rows = 4;
    WRONG((void)call);
    two[1].rows = 5;
    two[0].columns = COLUMNS - 1;
    WRONG((void)call);
    two[0].columns = COLUMNS;
    run(p, &(ae_predict_call){two, 2, -1, OTHER, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)out});
    run(p, &(ae_predict_call){two, 1, -1, OTHER, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)out}); /* does not read TARGET */
    /* No rows: nothing happens. */
    const ae_data none[2] = {dense_data(x, AE_F64, 0, COLUMNS), dense_data(y, AE_F64, 0, COLUMNS)};
    out[0] = 77;
    run(p, &(ae_predict_call){none, 2, -1, OUT, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)out});
    CHECK(out[0] == 77, "no rows");
    ae_predictor_free(p);
    ae_predictor_free(NULL);
}

/* Rows looked through on the way: the same bits; one value that is not allowed, wherever it is, and the call fails. */
TEST(values_that_are_not_finite_are_refused) {
    double rows[ROWS * COLUMNS], plain[ROWS * 3], checked[ROWS * 3];
    for (int bits = 32; bits <= 64; bits += 32)
        for (int threads = 1; threads <= 3; threads += 2) {
            ae_predictor *p = made(bits, "squared_error", threads);
            if (!p)
                return;
            memcpy(rows, x, sizeof rows);
            const ae_data source = dense_data(rows, AE_F64, ROWS, COLUMNS);
            ae_predict_call call = {&source, 1, -1, CODE, AE_PREDICT_VALUES, 0, AE_F64, .out = (char *)plain};
            run(p, &call);
            call.finite = true;
            call.out = (char *)checked;
            run(p, &call);
            CHECK(!memcmp(plain, checked, sizeof plain), "f%d, %d threads: other bits", bits, threads);
            for (int at = 0; at < ROWS * COLUMNS; at += 97) {
                ae_context context;
                rows[at] = at % 2 ? NAN : -1e39; /* infinity in float32 */
                const bool fine = bits == 64 && at % 2 == 0;
                CHECK((ae_predictor_run(&context, p, &call, NULL, NULL) == AE_OK) == fine, "f%d: %g", bits, rows[at]);
                call.allow_nan = true;
                CHECK((ae_predictor_run(&context, p, &call, NULL, NULL) == AE_OK) == (fine || at % 2), "f%d: %g", bits,
                      rows[at]);
                call.allow_nan = false;
                rows[at] = x[at];
            }
            run(p, &call);
            CHECK(!memcmp(plain, checked, sizeof plain), "f%d, %d threads: something is left", bits, threads);
            const ae_data sparse = {.rows = ROWS, .columns = COLUMNS, .dtype = AE_F64, .sparse = true};
            ae_context context;
            call.sources = &sparse;
            CHECK(ae_predictor_run(&context, p, &call, NULL, NULL) == AE_ERR_VALUE, "CSR is looked through before");
            ae_predictor_free(p);
        }
}

/* Each type of the source, from the input and from a node in the middle, which has two panels. */
TEST(what_is_not_finite_is_found_in_every_source) {
    static const double bad[] = {NAN, INFINITY, -INFINITY, 3.40282356e38, -1e39};
    enum { N = 200, WIDE = 40 };
    static double rows64[N * WIDE], out[N * WIDE];
    static float rows32[N * WIDE];
    network net = {0};
    const int input = network_input(&net, WIDE, 0), middle = network_dense(&net, input, WIDE, AE_TANH);
    const int last = network_dense(&net, middle, 3, AE_IDENTITY);
    for (int i = 0; i < N * WIDE; i++)
        rows32[i] = (float)(rows64[i] = (double)(i % 13) / 13);
    for (int bits = 32; bits <= 64; bits += 32)
        for (int threads = 1; threads <= 2; threads++) {
            ae_predictor *p = NULL;
            ae_context context;
            CHECK(ae_predictor_new(&context, &p, bits, net.node, net.n, NULL, 0, threads) == AE_OK, "%s", context.message);
            for (int type = AE_F32; p && type <= AE_F64; type++)
                for (int from = -1; from <= middle; from += 1 + middle)
                    for (int at = 0; at < N * WIDE; at += 211)
                        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
                            for (int allow_nan = 0; allow_nan < 2; allow_nan++) {
                                const ae_data source =
                                    dense_data(type == AE_F32 ? (void *)rows32 : rows64, (ae_dtype)type, N, WIDE);
                                const ae_predict_call call = {&source,
                                                              1,
                                                              from,
                                                              last,
                                                              AE_PREDICT_VALUES,
                                                              0,
                                                              AE_F64,
                                                              .out = (char *)out,
                                                              .finite = true,
                                                              .allow_nan = allow_nan};
                                rows64[at] = bad[k];
                                rows32[at] = (float)bad[k];
                                const double v = type == AE_F32 ? (double)rows32[at] : rows64[at];
                                /* Larger than the largest float by less than its last digit: no float. */
                                const bool fine = isnan(v) ? allow_nan : fabs(v) <= (bits == 32 ? FLT_MAX : DBL_MAX);
                                CHECK((ae_predictor_run(&context, p, &call, NULL, NULL) == AE_OK) == fine,
                                      "%.9g at %d of type %d from %d in f%d, NaN %d", v, at, type, from, bits, allow_nan);
                                rows64[at] = 0.5;
                                rows32[at] = 0.5f;
                            }
            ae_predictor_free(p);
        }
}

TEST(no_memory_at_any_place) {
    const network net = sample();
    const int64_t live = ae_alloc_live();
    int n = 0;
    for (bool done = false; !done && n < 100; n++) {
        ae_context context = {AE_OK, ""};
        ae_predictor *p = (ae_predictor *)(uintptr_t)64;
        ae_alloc_fail_after(n);
        const ae_status status = ae_predictor_new(&context, &p, 32, net.node, net.n, NULL, 0, 2);
        ae_alloc_fail_after(-1);
        done = status == AE_OK;
        CHECK(done ? p != NULL : status == AE_ERR_MEMORY && !p && context.message[0], "place %d: status %d", n, (int)status);
        if (done)
            ae_predictor_free(p);
        CHECK(ae_alloc_live() == live, "place %d: %d blocks are left", n, (int)(ae_alloc_live() - live));
    }
    CHECK(n > 5 && n < 100, "%d places", n);
    ae_context context;
    ae_predictor *p;
    ae_loss_desc term = term_of("squared_error", OUT, TARGET, 1);
    term.loss = 99;
    CHECK(ae_predictor_new(&context, &p, 32, net.node, net.n, &term, 1, 1) == AE_ERR_VALUE && !p, "no such loss");
    CHECK(ae_predictor_new(&context, &p, 32, net.node, net.n, &term, AE_MAX_LOSSES + 1, 1) == AE_ERR_VALUE && !p, "too many");
    CHECK(ae_predictor_new(&context, &p, 32, net.node, net.n, NULL, 0, 0) == AE_ERR_VALUE && !p, "no threads");
    CHECK(ae_predictor_new(&context, &p, 16, net.node, net.n, NULL, 0, 1) == AE_ERR_UNAVAILABLE && !p, "16 bits");
    setenv("AUTOENC_ISA", "sse9", 1);
    CHECK(ae_predictor_new(&context, &p, 32, net.node, net.n, NULL, 0, 1) == AE_ERR_VALUE && !p, "no such instruction set");
    unsetenv("AUTOENC_ISA");
    CHECK(ae_alloc_live() == live, "%d blocks are left", (int)(ae_alloc_live() - live));
}

static bool yes(void *argument) {
    ++*(int *)argument;
    return true;
}

/* So much work that the predictor asks: one row is about a million operations. */
TEST(a_long_call_can_be_interrupted) {
    enum { LONG = 1600, WIDE = 700 };
    network net = {.n = 0};
    network_dense(&net, network_input(&net, 4, 0), WIDE, AE_IDENTITY);
    network_dense(&net, 1, WIDE, AE_IDENTITY);
    network_dense(&net, 2, 1, AE_IDENTITY);
    ae_context context;
    ae_predictor *p;
    float *out = malloc(LONG * sizeof *out);
    double *data = calloc(LONG * 4, sizeof *data);
    int asked = 0;
    CHECK(ae_predictor_new(&context, &p, 32, net.node, net.n, NULL, 0, 2) == AE_OK, "%s", context.message);
    const ae_data source = dense_data(data, AE_F64, LONG, 4);
    out[LONG - 1] = 77;
    const ae_predict_call call = {&source, 1, -1, 3, AE_PREDICT_VALUES, 0, AE_F32, .out = (char *)out};
    CHECK(ae_predictor_run(&context, p, &call, yes, &asked) == AE_ERR_INTERRUPTED && asked == 1 && out[LONG - 1] == 77 &&
              context.message[0],
          "asked %d times", asked);
    run(p, &call);
    CHECK(out[LONG - 1] == 0, "to the end");
    ae_predictor_free(p);
    free(out);
    free(data);
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    fill(x, ROWS * COLUMNS, -1, 1);
    fill(y, ROWS * COLUMNS, 0.05, 0.95);
    RUN(a_row_is_a_row);
    RUN(instruction_sets_agree);
    RUN(a_middle_node_may_be_the_start);
    RUN(types_of_the_output);
    RUN(links_losses_and_terms);
    RUN(conditions_reach_the_decoder);
    RUN(samples_of_a_row);
    RUN(wrong_calls_are_refused);
    RUN(values_that_are_not_finite_are_refused);
    RUN(what_is_not_finite_is_found_in_every_source);
    RUN(no_memory_at_any_place);
    RUN(a_long_call_can_be_interrupted);
    return harness_finish("test_predictor");
}
