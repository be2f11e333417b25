/* Networks whose dense products are of bfloat16 operands: the same bits by every way, gradients beside those of float products. */
#include "harness.h"
#include "slow.h"
#include "trainers.h"

#define ROWS 165
#define WIDTH 75
#define CODE 140
#define BATCH 100 /* no multiple of 32 */

enum { CHAIN, TIED, SAMPLES, TOP_K, STOPPED, MIXED, WIDE, KINDS };

static double x[ROWS * WIDTH];

static program program_of(int kind, int parts, int bits) {
    program p = {.options = plain_options(bits)};
    network *net = &p.net;
    p.options.batch_size = BATCH;
    const int from = network_input(net, WIDTH, 0);
    int last;
    if (kind == TIED) {
        const int code = network_dense(net, from, 45, AE_LOGISTIC); /* padding of values is not zero */
        last = network_dense(net, code, WIDTH, AE_IDENTITY);
        net->node[last].shares = 1 + code;
        net->node[last].shares_transposed = 1;
    } else if (kind == SAMPLES) {
        const int hidden = network_dense(net, from, 33, AE_TANH);
        const int mean = network_dense(net, hidden, 7, AE_IDENTITY), deviation = network_dense(net, hidden, 7, AE_IDENTITY);
        const int sample = network_add(net, "gaussian_sample", NULL, 2, mean, deviation);
        net->node[sample].multiplicity = 3;
        last = network_dense(net, network_dense(net, sample, 40, AE_GELU), WIDTH, AE_IDENTITY);
    } else if (kind == TOP_K) {
        const int top = network_add(net, "top_k", NULL, 1, network_dense(net, from, CODE, AE_IDENTITY));
        net->node[top].size[0] = 9;
        net->node[top].size[1] = 1;
        last = network_dense(net, top, WIDTH, AE_IDENTITY);
    } else if (kind == MIXED) { /* narrow layers between wide ones, which are just wide enough */
        const int hidden = network_dense(net, from, CODE, AE_TANH), code = network_dense(net, hidden, 5, AE_IDENTITY);
        last = network_dense(net, network_dense(net, code, CODE, AE_RELU), WIDTH, AE_IDENTITY);
    } else if (kind == WIDE) { /* more panels than have room by rows at a time, there and back */
        last = network_dense(net, network_dense(net, network_dense(net, from, 40, AE_TANH), 1100, AE_RELU), WIDTH, AE_IDENTITY);
    } else {
        const int hidden = network_dense(net, from, 64, AE_RELU), code = network_dense(net, hidden, 5, AE_IDENTITY);
        last = network_dense(net, network_dense(net, code, 50, AE_SILU), WIDTH, AE_IDENTITY);
    }
    for (int i = 0; i < net->n; i++)
        if (net->node[i].kind == ae_layer_find("dense"))
            net->node[i].size[3] = parts, net->node[i].size[4] = kind == MIXED;
    if (kind == STOPPED)
        net->node[1].size[1] = 1;
    program_loss(&p, "squared_error", last, from, 1);
    program_stage(&p, "adam");
    return p;
}

static double *trained(const program *p, double *loss, int64_t *n) {
    const ae_data data = dense_data(x, AE_F64, ROWS, WIDTH);
    ae_trainer *t = trainer_started(p, &data, 1, NULL);
    if (!t)
        return NULL;
    for (int e = 0; e < 3; e++)
        trainer_epoch(t);
    *loss = trainer_loss(t, ROWS);
    double *weights = copy_weights(ae_trainer_net(t), NULL, n);
    ae_trainer_free(t);
    return weights;
}

/* Instruction sets, threads, chunks of a minibatch. */
TEST(every_way_has_the_same_bits) {
    fill(x, ROWS * WIDTH, -1, 1);
    for (int kind = 0; kind < KINDS; kind++)
        for (int parts = 1; parts <= 2; parts++) {
            double wanted_loss = 0, loss = 0;
            int64_t n = 0, count = 0;
            setenv("AUTOENC_ISA", usable_isas()[SANITIZED], 1);
            program p = program_of(kind, parts, 32);
            double *wanted = trained(&p, &wanted_loss, &n);
            for (const char *const *isa = usable_isas() + SANITIZED; *isa; isa++)
                for (int way = 0; way < 6; way++) {
                    setenv("AUTOENC_ISA", *isa, 1);
                    p = program_of(kind, parts, 32);
                    p.options.n_threads = way % 4 == 1 ? 3 : way == 3 ? 2 : 1;
                    p.options.by_panels = way >= 3 ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
                    p.options.chunk_rows = (way & 3) >= 2 && kind != TOP_K ? 32 : 0;
                    double *got = trained(&p, &loss, &count);
                    bool same = wanted && got && count == n && loss == wanted_loss && isfinite(loss);
                    for (int64_t i = 0; same && i < n; i++)
                        same = got[i] == wanted[i];
                    CHECK(same, "%s, kind %d, %d parts, way %d: other bits", *isa, kind, parts, way);
                    free(got);
                }
            free(wanted);
        }
    unsetenv("AUTOENC_ISA");
}

/* The gradient of all rows at the first weights, by parameter. */
static double *gradient_of(int kind, int parts, int bits, double *loss, int64_t *n) {
    const ae_data data = dense_data(x, AE_F64, ROWS, WIDTH);
    ae_context context;
    const void *region;
    program p = program_of(kind, parts, bits);
    p.options.batch_size = ROWS;
    p.options.clip_norm = 1e30; /* keeps the gradient */
    ae_trainer *t = trainer_started(&p, &data, 1, NULL);
    if (!t)
        return NULL;
    CHECK(ae_trainer_gradient(&context, t, 0, true, loss, &region) == AE_OK, "%s", context.message);
    double *g = copy_weights(ae_trainer_net(t), region, n);
    ae_trainer_free(t);
    return g;
}

/* Without float's own rounding, which is below that of the parts, what differs is within the roundings of the factors. */
TEST(gradients_are_those_of_float_products_within_their_rounding) {
    fill(x, ROWS * WIDTH, -1, 1);
    for (int kind = 0; kind < KINDS; kind++) {
        double loss[3] = {0}, distance[3] = {0}, size = 0;
        int64_t n = 0;
        double *exact = gradient_of(kind, 0, 32, &loss[0], &n);
        for (int parts = 1; parts <= 2 && exact; parts++) {
            double *g = gradient_of(kind, parts, 32, &loss[parts], &n);
            size = 0;
            for (int64_t i = 0; g && i < n; i++) {
                distance[parts] += (g[i] - exact[i]) * (g[i] - exact[i]);
                size += exact[i] * exact[i];
            }
            distance[parts] = sqrt(distance[parts] / size);
            free(g);
        }
        free(exact);
        /* Where two latents are about as large, rounding chooses the other. */
        CHECK(distance[1] > 1e-4 && distance[1] < (kind == TOP_K ? 6e-2 : 3e-2), "kind %d: one part is %g away", kind,
              distance[1]);
        CHECK(distance[2] > 0 && distance[2] < 1e-4, "kind %d: two parts are %g away", kind, distance[2]);
        CHECK(fabs(loss[1] - loss[0]) < 1e-2 * loss[0] && fabs(loss[2] - loss[0]) < 1e-5 * loss[0], "kind %d: %g, %g, %g", kind,
              loss[0], loss[1], loss[2]);
    }
}

static size_t value_bytes(ae_by_panels by_panels, int parts) {
    const ae_data data = dense_data(x, AE_F64, ROWS, WIDTH);
    program p = {.options = plain_options(32)};
    int last = network_input(&p.net, WIDTH, 0);
    for (int i = 0; i < 6; i++) {
        last = network_dense(&p.net, last, i < 5 ? 128 : WIDTH, AE_RELU);
        p.net.node[last].size[3] = parts;
    }
    p.options.batch_size = ROWS;
    p.options.by_panels = by_panels;
    program_loss(&p, "squared_error", last, 0, 1);
    program_stage(&p, "adam");
    ae_trainer *t = trainer_started(&p, &data, 1, NULL);
    const size_t bytes = t ? ae_trainer_net(t)->values.size : 0;
    ae_trainer_free(t);
    return bytes;
}

/* Five gradients lie in two places, and of twelve copies by rows one is left at a time. */
TEST(what_has_been_read_makes_room) {
    const size_t gradient = (size_t)(ae_panels(128) * ae_panel_stride(ROWS)) * sizeof(float);
    for (int parts = 1; parts <= 2; parts++) {
        const size_t copy = (size_t)(ae_panels(128) * (ae_panels(ROWS) | 1) * AE_BF16_BLOCK * parts) * sizeof(ae_bf16);
        const size_t kept = value_bytes(AE_BY_PANELS_ALWAYS, parts), reused = value_bytes(AE_BY_PANELS_NEVER, parts);
        CHECK(reused + 3 * gradient + 10 * copy <= kept, "%d parts: %zu of %zu bytes", parts, reused, kept);
    }
    CHECK(value_bytes(AE_BY_PANELS_ALWAYS, 0) == value_bytes(AE_BY_PANELS_NEVER, 0), "of floats everything is kept");
}

/* ---- K-FAC, whose products with inverses and derivatives along steps are in parts too ---- */

enum { NARROW = 37 };

/* Wide: more rows than one task of those products has, inputs in whole panels with the bias behind them, and a layer without. */
static program kfac_program(bool wide, int parts) {
    program p = {.options = plain_options(32)};
    network *net = &p.net;
    const int from = network_input(net, NARROW, 0), hidden = network_dense(net, from, wide ? 224 : 34, AE_TANH);
    const int code = network_dense(net, hidden, wide ? 200 : 3, AE_IDENTITY);
    net->node[code].size[0] = wide;
    program_loss(&p, "log_loss", network_dense(net, code, NARROW, AE_IDENTITY), from, 1);
    program_stage(&p, NULL);
    for (int i = hidden; i < net->n; i++)
        net->node[i].size[3] = parts;
    p.stage[0].rule = AE_KFAC;
    p.options.batch_size = ROWS;
    p.options.schedule.base = 0.8;
    return p;
}

/* How far the first step by products of parts is from that of floats, relative to its length, and the loss after some more. */
static void near_floats(bool wide) {
    const ae_data data = dense_data(x, AE_F64, ROWS, NARROW);
    double *way[3], loss[3];
    int64_t n = 0;
    for (int parts = 0; parts < 3; parts++) {
        const program p = kfac_program(wide, parts);
        ae_trainer *t = trainer_started(&p, &data, 1, NULL);
        if (!t)
            return;
        double *before = copy_weights(ae_trainer_net(t), NULL, &n);
        trainer_epoch(t);
        way[parts] = copy_weights(ae_trainer_net(t), NULL, &n);
        for (int64_t i = 0; i < n; i++)
            way[parts][i] -= before[i];
        free(before);
        for (int e = 0; e < 30; e++)
            trainer_epoch(t);
        loss[parts] = trainer_loss(t, ROWS);
        ae_trainer_free(t);
    }
    for (int parts = 1; parts < 3; parts++) {
        double difference = 0, length = 0;
        for (int64_t i = 0; i < n; i++) {
            difference += (way[parts][i] - way[0][i]) * (way[parts][i] - way[0][i]);
            length += way[0][i] * way[0][i];
        }
        const double off = sqrt(difference / length);
        CHECK(off > 0 && off < (parts == 1 ? 2e-2 : 2e-4), "%s, %d parts: the first step is %g off", wide ? "wide" : "chain",
              parts, off);
        CHECK(fabs(loss[parts] / loss[0] - 1) < (parts == 1 ? 1e-2 : 1e-3), "%s, %d parts: loss %g, of floats %g",
              wide ? "wide" : "chain", parts, loss[parts], loss[0]);
    }
    for (int parts = 0; parts < 3; parts++)
        free(way[parts]);
}

TEST(steps_of_kfac_are_near_those_of_floats) {
    fill(x, ROWS * NARROW, 0, 1);
    near_floats(false);
    near_floats(true);
}

TEST(narrow_layers_are_of_floats_where_that_is_wanted) {
    static const int columns[] = {191, 192}; /* beside 64: 2 * 64 * 192 = 96 * (64 + 192) */
    for (int i = 0; i < 2; i++) {
        ae_context context;
        ae_trainer *t = NULL;
        program p = {.options = plain_options(32)};
        const int from = network_input(&p.net, 64, 0), code = network_dense(&p.net, from, columns[i], AE_IDENTITY);
        const int back = network_dense(&p.net, code, 64, AE_IDENTITY);
        p.net.node[code].size[3] = p.net.node[back].size[3] = 2;
        p.net.node[code].size[4] = 1;
        program_loss(&p, "squared_error", back, from, 1);
        program_stage(&p, "sgd");
        CHECK(program_trainer(&context, &p, &t) == AE_OK, "%s", context.message);
        const ae_net *net = ae_trainer_net(t);
        CHECK(net->nodes[code].plan.parts == 2 * i && net->nodes[back].plan.parts == 2, "%d columns: %d and %d parts",
              columns[i], net->nodes[code].plan.parts, net->nodes[back].plan.parts);
        ae_trainer_free(t);
        p.net.node[code].size[4] = 2;
        CHECK(program_trainer(&context, &p, &t) == AE_ERR_VALUE && strstr(context.message, "size[4] is 2"), "%s",
              context.message);
    }
}

TEST(what_cannot_be_is_refused) {
    static const struct {
        int parts, bits;
        int64_t chunk;
        const char *says;
    } wrong[] = {
        {3, 32, 0, "size[3] is 3"}, {-1, 32, 0, "size[3] is -1"}, {1, 64, 0, "size[3] is 1"}, {1, 32, 40, "multiple of 32"}};
    for (int i = 0; i < 4; i++) {
        ae_context context;
        ae_trainer *t = NULL;
        program p = program_of(CHAIN, wrong[i].parts, wrong[i].bits);
        p.options.chunk_rows = wrong[i].chunk;
        CHECK(program_trainer(&context, &p, &t) == AE_ERR_VALUE && !t && strstr(context.message, wrong[i].says), "%s",
              context.message);
        ae_trainer_free(t);
    }
}

int main(void) {
    RUN(every_way_has_the_same_bits);
    RUN(what_has_been_read_makes_room);
    RUN(gradients_are_those_of_float_products_within_their_rounding);
    RUN(steps_of_kfac_are_near_those_of_floats);
    RUN(narrow_layers_are_of_floats_where_that_is_wanted);
    RUN(what_cannot_be_is_refused);
    return harness_finish("test_bf16_training");
}
