/* Gradients that lie where the prediction did: the bits of those that have a place of their own, in whole programs; and where they may
 * not. */
#include "slow.h"
#include "trainers.h"

#define ROWS 45
#define WIDTH 70
#define MOST 9

static double x[ROWS * WIDTH], row_weight[ROWS];
static float stored[ROWS * MOST];
static int32_t columns[ROWS * MOST], starts[ROWS + 1];

/* Rows of counts; some have none. */
static ae_data csr_data(void) {
    int32_t n = 0;
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < r % (MOST + 1); i++, n++) {
            columns[n] = i * (WIDTH / MOST) + (r + i) % (WIDTH / MOST);
            stored[n] = (float)(1 + (r + i) % 3);
        }
        starts[r + 1] = n;
    }
    return sparse_data(stored, starts, columns, ROWS, WIDTH);
}

enum { PLAIN, PANELS, CHUNKS, WAYS }; /* products by panels and, where there are such, of parts; minibatches in chunks */

/* WIDTH-12-WIDTH; `watched`: a node that does nothing else reads the prediction, which therefore keeps its place. */
static program program_of(const char *loss, int bits, bool sparse, bool watched, int way, int *out) {
    program p = {.options = plain_options(bits)};
    const int from = network_input(&p.net, WIDTH, 0);
    p.net.node[from].size[0] = sparse ? MOST : 0;
    *out = network_dense(&p.net, network_dense(&p.net, from, 12, AE_TANH), WIDTH, AE_IDENTITY);
    if (watched)
        network_add(&p.net, "activation", NULL, 1, *out);
    program_loss(&p, loss, *out, ae_loss_get(64, AE_ISA_REF, ae_loss_find(loss))->flags & AE_LOSS_NO_TARGET ? -1 : from, 1);
    program_stage(&p, "adam");
    p.options.batch_size = way == CHUNKS ? ROWS : 32;
    p.options.n_threads = 2;
    p.options.chunk_rows = way == CHUNKS ? 16 : 0;
    p.options.by_panels = way == PANELS ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
    p.net.node[*out].size[3] = way == PANELS && bits == 32 ? 2 : 0;
    return p;
}

static bool lies_in_place(ae_trainer *t, int node) {
    const ae_value *value = &ae_trainer_net(t)->nodes[node].binding.out;
    return value->gradient == value->data;
}

/* Losses of three epochs behind the weights; to be freed. */
static double *trained(const program *p, const ae_data *data, int out, bool in_place, int64_t *n) {
    ae_trainer *t = trainer_started(p, data, 1, row_weight);
    double loss[3];
    if (!t)
        return NULL;
    CHECK(lies_in_place(t, out) == in_place, "a place that was not meant");
    for (int e = 0; e < 3; e++)
        loss[e] = trainer_epoch_loss(t);
    double *weights = copy_weights(ae_trainer_net(t), NULL, n);
    weights = realloc(weights, (size_t)(*n + 3) * sizeof *weights);
    memcpy(weights + *n, loss, sizeof loss);
    *n += 3;
    ae_trainer_free(t);
    return weights;
}

static void check_loss(const char *loss, const ae_data *data, bool in_place) {
    for (const char *const *isa = usable_isas() + SANITIZED; *isa; isa++) {
        setenv("AUTOENC_ISA", *isa, 1);
        for (int i = 0; i < 2 * WAYS; i++) {
            const int bits = i % 2 ? 64 : 32, way = i / 2;
            double *weights[2];
            int64_t n[2] = {0, 0};
            for (int watched = 0; watched < 2; watched++) {
                int out;
                const program p = program_of(loss, bits, data->sparse, watched, way, &out);
                weights[watched] = trained(&p, data, out, in_place && !watched, &n[watched]);
            }
            CHECK(weights[0] && weights[1] && n[0] == n[1] && !memcmp(weights[0], weights[1], (size_t)n[0] * sizeof **weights),
                  "%s, %s, f%d, way %d: other bits", loss, *isa, bits, way);
            free(weights[0]);
            free(weights[1]);
        }
    }
    unsetenv("AUTOENC_ISA");
}

/* Of rows without weight, too, and of a last minibatch that is shorter. */
TEST(gradients_in_place_have_the_bits_of_others) {
    const ae_data dense = dense_data(x, AE_F64, ROWS, WIDTH), sparse = csr_data();
    int checked = 0;
    const ae_loss_ops *ops;
    fill(x, ROWS * WIDTH, 0, 1);
    for (int r = 0; r < ROWS; r++)
        row_weight[r] = r % 5 == 2 || (r > 8 && r < 18) ? 0 : 0.5 + r % 3;
    for (int i = 0; (ops = ae_loss_get(64, AE_ISA_REF, i)) != NULL; i++) {
        if (ops->flags & AE_LOSS_SECOND)
            continue;
        check_loss(ops->name, &dense, (ops->flags & AE_LOSS_IN_PLACE) && !(ops->flags & AE_LOSS_READS_PAIRS));
        if (ops->flags & AE_LOSS_READS_PAIRS)
            check_loss(ops->name, &sparse, true);
        checked++;
    }
    CHECK(checked >= 8, "%d losses", checked);
}

/* A second loss of the same value, a loss that has it as a target, a layer that reads its value again, samples of a row of pairs, pairs
 * that have a gradient of their own, K-FAC. */
TEST(where_they_may_not) {
    enum { TWO, TARGET, ACTIVATION, SAMPLES, TRAINED_PAIRS, KFAC, CASES };
    const ae_data dense = dense_data(x, AE_F64, ROWS, WIDTH), sparse = csr_data();
    for (int which = 0; which < CASES; which++) {
        int out;
        program p = program_of(which == SAMPLES ? "multinomial" : "squared_error", 64, which == SAMPLES, false, PLAIN, &out);
        if (which == TWO)
            program_loss(&p, "absolute_error", out, 0, 0.5);
        if (which == TARGET) {
            const int other = network_dense(&p.net, 1, WIDTH, AE_IDENTITY);
            program_loss(&p, "squared_error", other, out, 0.5);
        }
        if (which == ACTIVATION)
            p.net.node[out].activation = AE_TANH;
        if (which == SAMPLES) {
            const int several = network_add(&p.net, "repeat", NULL, 1, 1);
            p.net.node[several].multiplicity = 2;
            out = network_dense(&p.net, several, WIDTH, AE_IDENTITY);
            p.loss[0].prediction = out;
        }
        if (which == TRAINED_PAIRS) {
            const int top = network_add(&p.net, "top_k", NULL, 1, network_dense(&p.net, 1, WIDTH, AE_IDENTITY));
            p.net.node[top].size[0] = MOST, p.net.node[top].size[1] = 1;
            p.loss[0].prediction = network_dense(&p.net, top, WIDTH, AE_IDENTITY);
            program_loss(&p, "multinomial", out, top, 0.5);
        }
        p.n_stages = 0;
        program_stage(&p, which == KFAC ? NULL : "adam");
        if (which == KFAC)
            p.stage[0].rule = AE_KFAC;
        ae_trainer *t = trainer_started(&p, which == SAMPLES ? &sparse : &dense, 1, NULL);
        if (!t)
            continue;
        CHECK(!lies_in_place(t, out), "case %d lies in place", which);
        CHECK(isfinite(trainer_epoch_loss(t)), "case %d", which);
        ae_trainer_free(t);
    }
}

int main(void) {
    RUN(gradients_in_place_have_the_bits_of_others);
    RUN(where_they_may_not);
    return harness_finish("test_in_place");
}
