/* Sparse codes in whole programs: gradients against central differences, the wiring of auxiliary losses, the same bits however the
 * work is cut. The layers one by one: test_sparse.c, test_sparse_gates.c. */
#include "harness.h"
#include "networks.h"
#include "slow.h"

#define ROWS 41
#define WIDTH 33
#define CODE 70

static double x[ROWS * CODE], zeros[ROWS * CODE], row_weights[ROWS];

/* Data of source 0, and of source 1 where its width is not 0. A kept gradient needs a limit to its norm. */
static ae_trainer *started(program *p, const double *second, int64_t second_width) {
    ae_context context = {AE_OK, ""};
    ae_trainer *t = NULL;
    const ae_data data[2] = {dense_data(x, AE_F64, ROWS, WIDTH), dense_data(second, AE_F64, ROWS, second_width)};
    ae_status status = program_trainer(&context, p, &t);
    if (status == AE_OK)
        status = ae_trainer_bind(&context, t, 0, data, second_width ? 2 : 1, row_weights);
    if (status == AE_OK)
        status = ae_trainer_initialize(&context, t);
    CHECK(status == AE_OK, "%s", context.message);
    return status == AE_OK ? t : NULL;
}

static program plain_program(int bits) {
    program p = {.options = plain_options(bits)};
    p.options.batch_size = ROWS;
    if (bits == 64)
        p.options.clip_norm = 1e300;
    return p;
}

static void name(program *p, int node, const char *text) {
    snprintf(p->net.node[node].name, sizeof p->net.node[node].name, "%s", text);
}

/* Weights with nothing special, and latents of which a third is dead. */
static void shake(ae_trainer *t) {
    ae_net *net = ae_trainer_net(t);
    for (int i = 0; i < net->n_parameters; i++) {
        const ae_parameter *p = &net->parameters[i];
        const int64_t n = p->request.rows * p->request.columns;
        double *w = malloc((size_t)n * sizeof *w);
        ae_net_get_parameter(net, i, w);
        for (int64_t j = 0; j < n; j++)
            if (p->request.update == AE_UPDATE_RULE)
                w[j] += 0.3 * (network_unit() - 0.5);
            else if (strstr(p->name, ".since"))
                w[j] = j % 3 ? 5 : 500;
        ae_net_set_parameter(net, i, w);
        free(w);
    }
}

static double loss_of(ae_trainer *t, const void **region) {
    ae_context context;
    double loss = NAN;
    const ae_status status = ae_trainer_gradient(&context, t, 0, true, &loss, region);
    CHECK(status == AE_OK, "%s", context.message);
    return loss;
}

static void gradient_of(ae_trainer *t, int parameter, double *g) {
    const void *region;
    loss_of(t, &region);
    ae_net_unpack(ae_trainer_net(t), parameter, region, g);
}

/* Central differences for every parameter but those named in `skip`, at most 40 entries of each. Where an entry of the code
 * crosses a threshold between the two points the function jumps, and its difference quotient is of the order 1 / h. */
static void check_differences(const char *what, ae_trainer *t, const char *skip) {
    ae_net *net = ae_trainer_net(t);
    const void *region;
    const double h = 2e-6;
    int jumps = 0;
    for (int i = 0; i < net->n_parameters; i++) {
        const ae_parameter *p = &net->parameters[i];
        const int64_t n = p->request.rows * p->request.columns, step = n > 40 ? n / 40 : 1;
        if (p->request.update != AE_UPDATE_RULE || (skip && strstr(p->name, skip)))
            continue;
        double *w = malloc((size_t)n * sizeof *w), *g = malloc((size_t)n * sizeof *g), all = 0;
        ae_net_get_parameter(net, i, w);
        gradient_of(t, i, g);
        for (int64_t j = 0; j < n; j++)
            all += g[j] * g[j];
        const double typical = sqrt(all / (double)n);
        CHECK(typical > 1e-7, "%s: the gradient of %s is %g: nothing to compare", what, p->name, typical);
        for (int64_t j = 0; j < n; j += FEWER * step) {
            const double at = w[j];
            w[j] = at + h;
            ae_net_set_parameter(net, i, w);
            const double up = loss_of(t, &region);
            w[j] = at - h;
            ae_net_set_parameter(net, i, w);
            const double down = loss_of(t, &region), numeric = (up - down) / (2 * h);
            w[j] = at;
            if (fabs(numeric) > 5) {
                jumps++;
                continue;
            }
            CHECK(fabs(numeric - g[j]) <= 1e-6 * (fabs(numeric) + typical) + 8 * 2.2e-16 * (1 + fabs(up)) / h,
                  "%s: %s entry %d: %.12g, not %.12g", what, p->name, (int)j, g[j], numeric);
        }
        ae_net_set_parameter(net, i, w);
        free(w);
        free(g);
    }
    CHECK(jumps <= 5, "%s: %d jumps", what, jumps);
}

static void check_program(const char *what, program *p, const char *skip) {
    ae_trainer *t = started(p, zeros, 1);
    if (!t)
        return;
    shake(t);
    check_differences(what, t, skip);
    ae_trainer_free(t);
}

/* A code of `kind` with a second reader, and where it has one its companion with a decoder and a penalty. */
static program coded(int bits, const char *kind, int64_t width, ae_node_desc numbers, const ae_node_desc *companion) {
    program p = plain_program(bits);
    int in = network_input(&p.net, WIDTH, 0), zero = network_input(&p.net, 1, 1), h = network_dense(&p.net, in, width, AE_TANH);
    int code = network_add(&p.net, kind, "it", 1, h), side = network_dense(&p.net, code, WIDTH, AE_TANH);
    int out = network_dense(&p.net, network_add(&p.net, "add", NULL, 3, code, h, code), WIDTH, AE_IDENTITY);
    memcpy(p.net.node[code].size, numbers.size, sizeof numbers.size);
    memcpy(p.net.node[code].value, numbers.value, sizeof numbers.value);
    if (companion) {
        const int twin = network_add(&p.net, kind, "twin", 1, h);
        memcpy(p.net.node[twin].size, companion->size, sizeof numbers.size);
        memcpy(p.net.node[twin].value, companion->value, sizeof numbers.value);
        p.net.node[twin].shares = 1 + code;
        program_loss(&p, "absolute_error", network_dense(&p.net, twin, 1, AE_SOFTPLUS), zero, 0.3);
    }
    program_loss(&p, "squared_error", out, in, 1);
    program_loss(&p, "log_cosh", side, in, 0.4);
    return p;
}

TEST(gradients_by_differences) {
    static const int64_t widths[] = {1, 31, 32, 33, CODE};
    for (int w = 0; w < 5; w++) {
        const int32_t k = widths[w] > 30 ? 9 : 1;
        const ae_node_desc dead = {.size = {widths[w] > 1 ? 4 : 1, 0, 1}, .value = {100}}, gate = {.size = {1}};
        program p = coded(64, "top_k", widths[w], (ae_node_desc){.size = {k, w & 1}}, &dead);
        program_stage(&p, "sgd");
        check_program("top_k", &p, NULL);
        p = coded(64, "batch_top_k", widths[w], (ae_node_desc){.size = {k}}, &dead);
        program_stage(&p, "sgd");
        check_program("batch_top_k", &p, NULL);
        /* Values between which and the threshold nothing lies: here the gradient is that of the function. */
        p = coded(64, "jump_relu", widths[w], (ae_node_desc){.value = {1e-12, 0.2}}, NULL);
        program_stage(&p, "sgd");
        check_program("jump_relu", &p, "log_threshold");
        p = coded(64, "gated", widths[w], (ae_node_desc){.value = {0}}, &gate);
        program_stage(&p, "sgd");
        check_program("gated", &p, NULL);
    }
}

TEST(kl_of_means_by_differences) {
    static const int64_t widths[] = {1, 31, 32, 33, CODE};
    for (int w = 0; w < 5; w++) {
        program p = plain_program(64);
        int in = network_input(&p.net, WIDTH, 0), zero = network_input(&p.net, 1, 1);
        int code = network_dense(&p.net, in, widths[w], AE_LOGISTIC), kl = network_add(&p.net, "kl_sparsity", NULL, 1, code);
        int out = network_dense(&p.net, code, WIDTH, AE_IDENTITY), again = network_add(&p.net, "kl_sparsity", NULL, 1, code);
        p.net.node[kl].value[0] = 0.05;
        p.net.node[again].value[0] = 0.7;
        program_loss(&p, "squared_error", out, in, 1);
        program_loss(&p, "absolute_error", kl, zero, 0.3); /* positive: its sum */
        program_loss(&p, "squared_error", again, zero, 0.02);
        program_stage(&p, "sgd");
        check_program("kl", &p, NULL);
    }
}

/* One decoder for each prefix, all of them one; and dense uses without the bias. */
TEST(prefixes_and_uses_without_bias_by_differences) {
    program p = plain_program(64);
    int in = network_input(&p.net, WIDTH, 0), code = network_dense(&p.net, in, CODE, AE_TANH), first = 0;
    static const int32_t sizes[] = {5, 32, 40, 0};
    for (int i = 0; i < 4; i++) {
        const int prefix = network_add(&p.net, "prefixes", NULL, 1, code);
        const int out = network_dense(&p.net, prefix, WIDTH, AE_SILU);
        p.net.node[prefix].size[0] = sizes[i];
        p.net.node[out].size[0] = i == 2;
        p.net.node[out].shares = i ? 1 + first : 0;
        first = i ? first : out;
        program_loss(&p, i & 1 ? "log_cosh" : "squared_error", out, in, 1 + i);
    }
    p.net.node[code].size[0] = 1;
    program_stage(&p, "sgd");
    check_program("prefixes", &p, NULL);
    ae_trainer *t = started(&p, zeros, 1);
    ae_context context;
    ae_epoch_result result;
    double bias[CODE];
    for (int i = 0; t && i < 3; i++)
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
    ae_net_get_parameter(ae_trainer_net(t), 1, bias);
    for (int i = 0; i < CODE; i++)
        CHECK(bias[i] == 0, "a layer without bias has one");
    ae_trainer_free(t);
}

/* Top-k with dead latents revived as Gao et al. 2024 write it: they are to reconstruct what the others leave over, and neither
 * decoder bias nor main reconstruction is asked. The target is made by a node that subtracts, or given as data: the same. */
TEST(the_auxiliary_loss_has_the_residual_as_a_target) {
    double residual[ROWS * WIDTH], g[2][CODE * WIDTH], loss[2];
    for (int given = 0; given < 2; given++) {
        program p = plain_program(64);
        int in = network_input(&p.net, WIDTH, 0), pre = network_dense(&p.net, in, CODE, AE_IDENTITY);
        int code = network_add(&p.net, "top_k", "code", 1, pre), out = network_dense(&p.net, code, WIDTH, AE_IDENTITY);
        int aux = network_add(&p.net, "top_k", "aux", 1, pre), decoded = network_dense(&p.net, aux, WIDTH, AE_IDENTITY);
        int left = given ? network_input(&p.net, WIDTH, 1) : network_add(&p.net, "add", NULL, 2, in, out);
        p.net.node[code].size[0] = 6, p.net.node[code].size[1] = 1;
        p.net.node[aux].size[0] = 12, p.net.node[aux].size[1] = 1, p.net.node[aux].size[2] = 1;
        p.net.node[aux].value[0] = 100;
        p.net.node[aux].shares = 1 + code;
        p.net.node[decoded].shares = 1 + out, p.net.node[decoded].size[0] = 1;
        p.net.node[left].size[1] = !given;
        name(&p, pre, "encoder");
        name(&p, out, "decoder");
        program_loss(&p, "squared_error", out, in, 1);
        program_loss(&p, "squared_error", decoded, left, 1.0 / 32);
        program_stage(&p, "sgd");
        ae_trainer *t = started(&p, residual, given ? WIDTH : 0);
        if (!t)
            return;
        double since[CODE];
        for (int c = 0; c < CODE; c++)
            since[c] = c % 3 ? 5 : 500;
        ae_net *net = ae_trainer_net(t);
        ae_net_set_parameter(net, parameter_of(net, "code.since"), since);
        const void *region;
        loss[given] = loss_of(t, &region);
        gradient_of(t, parameter_of(net, "encoder.weight"), g[given]);
        CHECK(net->n_parameters == 5, "%d parameters: decoder and counter are shared", net->n_parameters);
        if (given) {
            check_differences("auxiliary", t, NULL);
        } else {
            const ae_value *value = &net->nodes[left].binding.out;
            for (int i = 0; i < ROWS * WIDTH; i++)
                residual[i] = ((const double *)value->data)[i % WIDTH / 32 * value->stride + i / WIDTH * 32 + i % WIDTH % 32];
        }
        ae_trainer_free(t);
    }
    CHECK(loss[0] == loss[1] && !memcmp(g[0], g[1], sizeof g[0]), "losses %.17g and %.17g", loss[0], loss[1]);
}

/* The gate's own reconstruction goes through a copy of the decoder that learns nothing from it. */
TEST(the_copy_of_the_decoder_is_frozen) {
    double g[2][CODE * WIDTH], bias[2][WIDTH], encoder[2][CODE * WIDTH];
    for (int with = 0; with < 2; with++) {
        program p = plain_program(64);
        int in = network_input(&p.net, WIDTH, 0), pre = network_dense(&p.net, in, CODE, AE_IDENTITY);
        int code = network_add(&p.net, "gated", "code", 1, pre), out = network_dense(&p.net, code, WIDTH, AE_IDENTITY);
        int gate = network_add(&p.net, "gated", "gate", 1, pre), decoded = network_dense(&p.net, gate, WIDTH, AE_IDENTITY);
        p.net.node[pre].size[0] = 1;
        p.net.node[gate].size[0] = 1, p.net.node[gate].shares = 1 + code;
        p.net.node[decoded].size[1] = 1, p.net.node[decoded].shares = 1 + out;
        name(&p, pre, "encoder");
        name(&p, out, "decoder");
        program_loss(&p, "squared_error", out, in, 1);
        program_loss(&p, "squared_error", decoded, in, with);
        program_stage(&p, "sgd");
        ae_trainer *t = started(&p, NULL, 0);
        if (!t)
            return;
        ae_net *net = ae_trainer_net(t);
        gradient_of(t, parameter_of(net, "decoder.weight"), g[with]);
        gradient_of(t, parameter_of(net, "decoder.bias"), bias[with]);
        gradient_of(t, parameter_of(net, "encoder.weight"), encoder[with]);
        if (with)
            check_differences("gated with copy", t, "decoder");
        ae_trainer_free(t);
    }
    CHECK(!memcmp(g[0], g[1], sizeof g[0]) && !memcmp(bias[0], bias[1], sizeof bias[0]), "the copy has taught the decoder");
    CHECK(memcmp(encoder[0], encoder[1], sizeof encoder[0]), "the copy teaches the encoder");
}

static program everything(int bits, const char *rule) {
    program p = plain_program(bits);
    int in = network_input(&p.net, WIDTH, 0), zero = network_input(&p.net, 1, 1), h = network_dense(&p.net, in, 90, AE_TANH);
    int code = network_add(&p.net, "batch_top_k", "batch", 1, h), kl, jump, counts, gate, twin, out, aux;
    aux = network_add(&p.net, "batch_top_k", "aux", 1, h);
    p.net.node[code].size[0] = 5;
    p.net.node[aux].size[0] = 7, p.net.node[aux].size[2] = 1, p.net.node[aux].value[0] = 60, p.net.node[aux].shares = 1 + code;
    h = network_dense(&p.net, network_add(&p.net, "add", NULL, 2, code, aux), 600, AE_SILU);
    h = network_add(&p.net, "top_k", "top", 1, h);
    p.net.node[h].size[0] = 20;
    jump = network_add(&p.net, "jump_relu", "jump", 1, network_dense(&p.net, h, 45, AE_IDENTITY));
    counts = network_add(&p.net, "jump_relu", "count", 1, jump - 1);
    p.net.node[counts].shares = 1 + jump, p.net.node[counts].size[0] = 1;
    p.net.node[jump].value[0] = p.net.node[counts].value[0] = 0.1,
    p.net.node[jump].value[1] = p.net.node[counts].value[1] = 0.05;
    gate = network_add(&p.net, "gated", "gated", 1, network_dense(&p.net, jump, 40, AE_IDENTITY));
    twin = network_add(&p.net, "gated", "twin", 1, gate - 1);
    p.net.node[twin].shares = 1 + gate, p.net.node[twin].size[0] = 1;
    h = network_dense(&p.net, network_add(&p.net, "concatenate", NULL, 3, gate, twin, counts), 50, AE_LOGISTIC);
    kl = network_add(&p.net, "kl_sparsity", "kl", 1, h);
    p.net.node[kl].value[0] = 0.1, p.net.node[kl].size[0] = 1;
    h = network_add(&p.net, "prefixes", NULL, 1, h);
    p.net.node[h].size[0] = 37;
    out = network_dense(&p.net, h, WIDTH, AE_IDENTITY);
    program_loss(&p, "squared_error", out, in, 1);
    program_loss(&p, "absolute_error", kl, zero, 0.01);
    program_stage(&p, rule);
    p.options.clip_norm = INFINITY;
    p.options.batch_size = rule ? 23 : ROWS;
    return p;
}

static char *trained(const program *given, const char *isa, double loss[4], size_t *bytes) {
    program p = *given;
    ae_context context;
    ae_epoch_result result = {.loss = NAN};
    if (isa)
        setenv("AUTOENC_ISA", isa, 1);
    ae_trainer *t = started(&p, zeros, 1);
    unsetenv("AUTOENC_ISA");
    if (!t)
        return NULL;
    for (int i = 0; i < 3; i++) {
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
        loss[i] = result.loss;
    }
    CHECK(ae_trainer_evaluate(&context, t, 0, 0, ROWS, false, NULL, NULL, &loss[3]) == AE_OK, "%s", context.message);
    const ae_net *net = ae_trainer_net(t);
    *bytes = (size_t)net->parameter_reals * net->real_size;
    char *weights = malloc(*bytes);
    memcpy(weights, net->parameter_base, *bytes);
    ae_trainer_free(t);
    return weights;
}

TEST(the_same_bits_however_it_is_cut) {
    for (int r = 0; r < 4; r += SANITIZED ? 3 : 1) {
        const program p = everything(r & 1 ? 64 : 32, r & 2 ? NULL : "adam");
        double loss[4] = {0}, others[4] = {0};
        size_t bytes = 0, other_bytes = 0;
        char *one = trained(&p, NULL, loss, &bytes);
        CHECK(one && loss[2] != loss[0] && isfinite(loss[3]), "losses %g to %g, %g", loss[0], loss[2], loss[3]);
        for (const char *const *isa = usable_isas() + SANITIZED; one && *isa; isa++) {
            char *again = trained(&p, *isa, others, &other_bytes);
            CHECK(bytes == other_bytes && !memcmp(one, again, bytes) && !memcmp(loss, others, sizeof loss), "%d: %s", r, *isa);
            free(again);
        }
        static const int threads[] = {2, 3, 8, 1};
        for (int i = 0; one && i < 4; i++) {
            program q = p;
            q.options.n_threads = threads[i];
            q.options.by_panels = i & 1 ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
            q.options.chunk_rows = i == 3 ? 8 : 0; /* asked for in vain: the layers need all rows */
            char *again = trained(&q, NULL, others, &other_bytes);
            CHECK(bytes == other_bytes && !memcmp(one, again, bytes) && !memcmp(loss, others, sizeof loss), "%d: %d threads", r,
                  threads[i]);
            free(again);
        }
        free(one);
    }
}

/* Two minibatches of 23 and 18 rows: counters of latents are sums of them, and a frozen layer does not count. */
TEST(counters_in_training) {
    for (int frozen = 0; frozen < 2; frozen++) {
        program p = everything(64, "adam");
        ae_context context;
        ae_epoch_result result;
        double since[600];
        int dead = 0, live = 0;
        const void *region;
        double loss;
        for (int i = 0; frozen && i < p.net.n; i++)
            if (!strcmp(p.net.node[i].name, "top"))
                p.net.node[i].group = 3;
        p.stage[0].groups = 1;
        ae_trainer *t = started(&p, zeros, 1);
        if (!t)
            return;
        for (int i = 0; i < 2; i++)
            CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &result) == AE_OK, "%s", context.message);
        ae_net *net = ae_trainer_net(t);
        ae_net_get_parameter(net, parameter_of(net, "top.since"), since);
        for (int c = 0; c < 600; c++) {
            dead += since[c] == 82;
            live += since[c] == 0;
            CHECK(since[c] == 0 || since[c] == 18 || since[c] == 41 || since[c] == 59 || since[c] == 82, "%g rows", since[c]);
        }
        CHECK(frozen ? live == 600 : dead > 20 && live > 20, "%d dead, %d live", dead, live);
        CHECK(ae_trainer_gradient(&context, t, 0, true, &loss, &region) == AE_ERR_STATE, "41 rows in minibatches of 23");
        ae_trainer_free(t);
    }
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    fill(x, ROWS * CODE, -1, 1);
    fill(row_weights, ROWS, 0.2, 2);
    RUN(gradients_by_differences);
    RUN(kl_of_means_by_differences);
    RUN(prefixes_and_uses_without_bias_by_differences);
    RUN(the_auxiliary_loss_has_the_residual_as_a_target);
    RUN(the_copy_of_the_decoder_is_frozen);
    RUN(the_same_bits_however_it_is_cut);
    RUN(counters_in_training);
    return harness_finish("test_sparse_programs");
}
