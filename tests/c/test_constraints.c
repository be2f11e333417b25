/* Rows of norm one: kept through every rule, by the projected gradient, whatever the cut; and back after a failure. */
#include "harness.h"
#include "networks.h"

#include "math/kernels.h"

#define BATCH 64
#define LATENTS 45

static double x[BATCH * 70];

static program unit_program(int bits, const char *rule, int64_t width) {
    program p = {.options = plain_options(bits)};
    network *n = &p.net;
    const int in = network_input(n, width, 0), code = network_dense(n, in, LATENTS, AE_RELU);
    const int out = network_dense(n, code, width, AE_IDENTITY);
    n->node[out].size[2] = 1;
    /* Behind the decoder too, so that its transpose is read. */
    program_loss(&p, "squared_error", network_dense(n, out, width, AE_TANH), in, 1);
    program_loss(&p, "squared_error", out, in, 1);
    program_stage(&p, rule);
    p.options.batch_size = BATCH / 2;
    p.options.schedule.base = 0.05;
    return p;
}

static ae_trainer *bound(const program *p, int64_t width) {
    ae_context context;
    ae_trainer *t = NULL;
    const ae_data source = dense_data(x, AE_F64, BATCH, width);
    if (program_trainer(&context, p, &t) != AE_OK || ae_trainer_bind(&context, t, 0, &source, 1, NULL) != AE_OK ||
        ae_trainer_initialize(&context, t) != AE_OK)
        CHECK(0, "%s", context.message);
    return t;
}

/* Largest distance of a row's norm from one, of the decoder's weight. */
static double off_norm(const ae_trainer *t, int64_t width) {
    const ae_net *net = ae_trainer_net((ae_trainer *)(uintptr_t)t);
    const int index = parameter_of(net, "dense2.weight");
    double worst = 0;
    void *w = malloc((size_t)(LATENTS * width) * 8);
    ae_net_get_parameter(net, index, w);
    for (int64_t r = 0; r < LATENTS; r++) {
        double squares = 0;
        for (int64_t c = 0; c < width; c++) {
            const double v = net->bits == 32 ? (double)((float *)w)[r * width + c] : ((double *)w)[r * width + c];
            squares += v * v;
        }
        worst = fmax(worst, fabs(sqrt(squares) - 1));
    }
    free(w);
    return worst;
}

TEST(rows_keep_norm_one_under_every_rule) {
    static const char *const rules[] = {"sgd", "adam", "adamw", "rmsprop", "adagrad"};
    static const int64_t widths[] = {1, 31, 33, 70};
    for (int bits = 32; bits <= 64; bits += 32)
        for (int i = 0; i < 5; i++)
            for (int k = 0; k < 4; k++) {
                program p = unit_program(bits, rules[i], widths[k]);
                p.options.l2 = 0.1;
                ae_trainer *t = bound(&p, widths[k]);
                ae_context context;
                ae_epoch_result result;
                const double close = 100 * (bits == 32 ? 1.2e-7 : 2.3e-16);
                if (!t)
                    return;
                CHECK(off_norm(t, widths[k]) < close, "%s f%d: %g after initialize", rules[i], bits, off_norm(t, widths[k]));
                for (int epoch = 0; epoch < 2; epoch++)
                    CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
                CHECK(off_norm(t, widths[k]) < close, "%s f%d width %d: %g", rules[i], bits, (int)widths[k],
                      off_norm(t, widths[k]));
                /* The transpose follows. */
                const ae_net *net = ae_trainer_net(t);
                const ae_parameter *q = &net->parameters[parameter_of(net, "dense2.weight")];
                const size_t bytes = (size_t)(ae_panels(LATENTS) * widths[k] * AE_PANEL) * net->real_size;
                char *packed = malloc(bytes);
                CHECK(q->transposed_offset >= 0, "a transpose is kept");
                memcpy(packed, net->transposed_base + (size_t)q->transposed_offset * net->real_size, bytes);
                ae_net_pack_all(net);
                CHECK(!memcmp(packed, net->transposed_base + (size_t)q->transposed_offset * net->real_size, bytes), "packed");
                free(packed);
                ae_trainer_free(t);
            }
}

/* One step of plain gradient descent, by hand: the gradient less its part along the row, a step, the row to norm one. */
TEST(a_step_by_hand) {
    const int64_t width = 33, n = LATENTS * width;
    program p = unit_program(64, "sgd", width);
    p.options.rule_options.momentum = 0;
    p.options.batch_size = BATCH;
    ae_trainer *t = bound(&p, width);
    ae_context context;
    ae_epoch_result result;
    const void *region;
    double loss, w[LATENTS * 33], g[LATENTS * 33], now[LATENTS * 33];
    if (!t)
        return;
    ae_net *net = ae_trainer_net(t);
    const int index = parameter_of(net, "dense2.weight");
    CHECK(ae_trainer_gradient(&context, t, 0, false, &loss, &region) == AE_OK, "%s", context.message);
    ae_net_unpack(net, index, region, g);
    ae_net_get_parameter(net, index, w);
    CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
    ae_net_get_parameter(net, index, now);
    double moved = 0;
    for (int64_t r = 0; r < LATENTS; r++) {
        double along = 0, squares = 0;
        for (int64_t c = r * width; c < (r + 1) * width; c++)
            along += w[c] * g[c];
        for (int64_t c = r * width; c < (r + 1) * width; c++) {
            moved += fabs(0.05 * (g[c] - along * w[c]));
            w[c] -= 0.05 * (g[c] - along * w[c]);
            squares += w[c] * w[c];
        }
        for (int64_t c = r * width; c < (r + 1) * width; c++)
            CHECK(fabs(now[c] - w[c] / sqrt(squares)) < 1e-13, "row %d: %.15g, not %.15g", (int)r, now[c],
                  w[c] / sqrt(squares));
    }
    CHECK(moved > 1e-3 * (double)n / 100, "the step is %g", moved);
    ae_trainer_free(t);
}

TEST(cuts_and_sets_do_not_show) {
    for (int bits = 32; bits <= 64; bits += 32) {
        double *first = NULL;
        int64_t n;
        for (const char *const *isa = usable_isas(); *isa; isa++)
            for (int way = 0; way < 4; way++) {
                program p = unit_program(bits, "adam", 70);
                p.options.chunk_rows = way & 1 ? 8 : 0;
                p.options.n_threads = way & 2 ? 3 : 1;
                p.options.clip_norm = 0.5;
                setenv("AUTOENC_ISA", *isa, 1);
                ae_trainer *t = bound(&p, 70);
                unsetenv("AUTOENC_ISA");
                ae_context context;
                ae_epoch_result result;
                if (!t)
                    return;
                for (int epoch = 0; epoch < 2; epoch++)
                    CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
                double *w = copy_weights(ae_trainer_net(t), NULL, &n);
                CHECK(!first || !memcmp(first, w, (size_t)n * 8), "f%d %s, way %d", bits, *isa, way);
                if (first)
                    free(w);
                else
                    first = w;
                ae_trainer_free(t);
            }
        free(first);
    }
}

static bool yes(void *argument) { return ++*(int *)argument > 0; }

TEST(back_to_the_last_epoch_and_set) {
    program p = unit_program(32, "adam", 33);
    ae_trainer *t = bound(&p, 33);
    ae_context context;
    ae_epoch_result result;
    int64_t n;
    int asked = 0;
    if (!t)
        return;
    CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
    double *before = copy_weights(ae_trainer_net(t), NULL, &n);
    CHECK(ae_trainer_epoch(&context, t, yes, &asked, &result) == AE_ERR_INTERRUPTED, "interrupted");
    double *after = copy_weights(ae_trainer_net(t), NULL, &n);
    CHECK(!memcmp(before, after, (size_t)n * 8), "rolled back");
    free(after);
    /* Committing what training left changes no bit; other weights are brought to norm one, rows of zeros stay. */
    ae_trainer_commit(t);
    after = copy_weights(ae_trainer_net(t), NULL, &n);
    CHECK(!memcmp(before, after, (size_t)n * 8), "committed");
    float w[LATENTS * 33];
    ae_net *net = ae_trainer_net(t);
    const int index = parameter_of(net, "dense2.weight");
    for (int i = 0; i < LATENTS * 33; i++)
        w[i] = i < 33 ? 0 : (float)(network_unit() * 5);
    ae_net_set_parameter(net, index, w);
    ae_trainer_commit(t);
    ae_net_get_parameter(net, index, w);
    double zero = 0, squares = 0;
    for (int c = 0; c < 33; c++)
        zero += fabs((double)w[c]), squares += (double)w[33 + c] * (double)w[33 + c];
    CHECK(zero == 0 && fabs(squares - 1) < 1e-5, "zeros %g, norm %g", zero, squares);
    free(before), free(after);
    ae_trainer_free(t);
}

TEST(what_is_unclear_is_refused) {
#define REFUSED(change, word)                                                                                                \
    do {                                                                                                                     \
        program p = unit_program(64, "adam", 33);                                                                            \
        ae_context context;                                                                                                  \
        ae_trainer *t = NULL;                                                                                                \
        change;                                                                                                              \
        CHECK(program_trainer(&context, &p, &t) == AE_ERR_VALUE && !t && strstr(context.message, word), "%s: '%s'", #change, \
              context.message);                                                                                              \
        ae_trainer_free(t);                                                                                                  \
    } while (0)
    REFUSED(p.stage[0].rule = -1, "L-BFGS does not go");
    REFUSED(p.net.node[2].size[2] = 2, "size[2] is 2");
    /* The decoder shares the encoder's weight as its transpose: its rows are columns of the parameter. */
    REFUSED((p.net.node[2].shares = 2, p.net.node[2].shares_transposed = 1), "whose first user decides");
    /* The first user may decide. */
    program p = unit_program(64, "adam", 33);
    ae_context context;
    ae_trainer *t = NULL;
    p.net.node[1].size[2] = 1, p.net.node[2].size[2] = 0;
    p.net.node[2].shares = 2, p.net.node[2].shares_transposed = 1;
    CHECK(program_trainer(&context, &p, &t) == AE_OK, "%s", context.message);
    ae_trainer_free(t);
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    fill(x, BATCH * 70, -1, 1);
    RUN(rows_keep_norm_one_under_every_rule);
    RUN(a_step_by_hand);
    RUN(cuts_and_sets_do_not_show);
    RUN(back_to_the_last_epoch_and_set);
    RUN(what_is_unclear_is_refused);
    return harness_finish("test_constraints");
}
