/* Gradients by slices of the minibatch (train/slices.c): which networks have them, what they add up to, and that the bits are the same
 * however the rows pass. */
#include "slow.h"
#include "train/internal.h"
#include "trainers.h"

enum { ROWS = 330, COLUMNS = 37, CODE = 5 };

static double x[ROWS * COLUMNS], row_weights[ROWS];

static program small_program(int bits, int64_t batch) {
    program p = {.options = plain_options(bits)};
    const int in = network_input(&p.net, COLUMNS, 0), code = network_dense(&p.net, in, CODE, AE_IDENTITY);
    program_loss(&p, "squared_error", network_dense(&p.net, code, COLUMNS, AE_IDENTITY), in, 1);
    program_stage(&p, "adam");
    p.options.batch_size = batch;
    return p;
}

/* Rows of a slice; -1: there is no such trainer. */
static int64_t slice_of(const program *p) {
    ae_context context;
    ae_trainer *t = NULL;
    const ae_status status = program_trainer(&context, p, &t);
    CHECK(status == AE_OK, "%s", context.message);
    const int64_t slice = status == AE_OK ? t->stages[0].slice : -1;
    ae_trainer_free(t);
    return slice;
}

TEST(by_shapes_alone) {
    static const int64_t rows[][2] = {{1, 0},     {64, 0},     {65, 64},  {256, 64},   {1024, 64},
                                      {1025, 96}, {4096, 256}, {4097, 0}, {100000, 0}, {INT64_MAX, 0}};
    for (int i = 0; i < 10; i++)
        for (int way = 0; way < 4; way++) {
            program p = small_program(way & 1 ? 64 : 32, rows[i][0]);
            p.options.n_threads = 1 + 2 * way;
            p.options.chunk_rows = way > 1 ? 24 : rows[i][0] > 100000 ? 64 : 0;
            CHECK(slice_of(&p) == rows[i][1], "%d rows: %d", (int)rows[i][0], (int)slice_of(&p));
        }
    program p = small_program(32, 256);
    p.net.node[0].width = p.net.node[1].width = p.net.node[2].width = 300;
    CHECK(!slice_of(&p), "more weights than values");
    p = small_program(32, 1024);
    p.net.node[0].width = p.net.node[2].width = 700;
    CHECK(!slice_of(&p), "gradients that take too much");
    p.options.batch_size = 256;
    CHECK(slice_of(&p) == 64, "fewer of them");
    p = small_program(32, 256);
    p.net.node[2].shares = 2;
    p.net.node[2].shares_transposed = 1;
    CHECK(!slice_of(&p), "tied weights");
    p = small_program(32, 256);
    p.net.node[1].size[3] = 1;
    CHECK(!slice_of(&p), "products in parts");
    p = small_program(32, 256);
    p.net.n = 2;
    network_add(&p.net, "repeat", NULL, 1, 1);
    p.net.node[2].multiplicity = 50;
    p.stage[0].last_node = p.loss[0].prediction = network_dense(&p.net, 2, COLUMNS, AE_IDENTITY);
    CHECK(!slice_of(&p), "rows of values that no cache holds");
    p.net.node[2].multiplicity = 4;
    CHECK(slice_of(&p) == 64, "fewer of them");
    p = small_program(32, 256);
    p.net.node[1].group = 1;
    network_dense(&p.net, 2, 3000, AE_IDENTITY);
    p.stage[0].groups = 1;
    CHECK(!slice_of(&p), "room for parameters that are not trained");
    p = small_program(32, 256);
    p.stage[0].rule = -1;
    CHECK(!slice_of(&p), "L-BFGS");
    p = small_program(32, 256);
    p.stage[0].rule = AE_KFAC;
    CHECK(!slice_of(&p), "K-FAC");
    p = small_program(32, 256);
    network_add(&p.net, "batch_norm", NULL, 1, 2);
    p.stage[0].last_node = p.loss[0].prediction = 3;
    CHECK(!slice_of(&p), "rows that are coupled");
}

/* A step of gradient descent by plain loops. */
TEST(a_step_by_hand) {
    enum { BATCH = 150 }; /* slices of 64, 64 and 22 rows */
    program p = small_program(64, BATCH);
    p.stage[0].rule = ae_rule_find("sgd");
    p.options.rule_options.momentum = 0;
    p.options.schedule.base = 0.1;
    fill(x, BATCH * COLUMNS, -1, 1);
    const ae_data data = dense_data(x, AE_F64, BATCH, COLUMNS);
    ae_trainer *t = trainer_started(&p, &data, 1, NULL);
    if (!t)
        return;
    int64_t n;
    double *before = copy_weights(ae_trainer_net(t), NULL, &n), *gradient = calloc((size_t)n, sizeof *gradient);
    /* code.weight, code.bias, reconstruction.weight, reconstruction.bias; the biases are zero. */
    const double *w = before, *v = w + COLUMNS * CODE + CODE;
    double *gw = gradient, *gb = gw + COLUMNS * CODE, *gv = gb + CODE, *gc = gv + CODE * COLUMNS;
    for (const double *row = x; row < x + BATCH * COLUMNS; row += COLUMNS) {
        double code[CODE] = {0}, back[CODE] = {0};
        for (int u = 0; u < CODE; u++)
            for (int c = 0; c < COLUMNS; c++)
                code[u] += row[c] * w[c * CODE + u];
        for (int c = 0; c < COLUMNS; c++) {
            double delta = -row[c];
            for (int u = 0; u < CODE; u++)
                delta += code[u] * v[u * COLUMNS + c];
            delta *= 2.0 / COLUMNS / BATCH;
            gc[c] += delta;
            for (int u = 0; u < CODE; u++) {
                gv[u * COLUMNS + c] += code[u] * delta;
                back[u] += v[u * COLUMNS + c] * delta;
            }
        }
        for (int u = 0; u < CODE; u++) {
            gb[u] += back[u];
            for (int c = 0; c < COLUMNS; c++)
                gw[c * CODE + u] += row[c] * back[u];
        }
    }
    trainer_epoch(t);
    double *after = copy_weights(ae_trainer_net(t), NULL, &n), worst = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(after[i] - (before[i] - 0.1 * gradient[i])));
        most = fmax(most, fabs(gradient[i]));
    }
    CHECK(t->stages[0].slice == 64 && most > 1e-3 && worst < 1e-15, "difference %g where gradients reach %g", worst, most);
    free(before);
    free(gradient);
    free(after);
    ae_trainer_free(t);
}

/* What is varied: nothing of it may show. */
typedef struct way {
    int threads;
    int64_t chunk;
    ae_by_panels by_panels;
    const char *isa;
} way;

static double *trained(const program *given, way how, double *loss, int64_t *n) {
    program p = *given;
    p.options.n_threads = how.threads;
    p.options.chunk_rows = how.chunk;
    p.options.by_panels = how.by_panels;
    const ae_data data = dense_data(x, AE_F64, ROWS, COLUMNS);
    if (how.isa)
        setenv("AUTOENC_ISA", how.isa, 1);
    ae_trainer *t = trainer_started(&p, &data, 1, row_weights);
    unsetenv("AUTOENC_ISA");
    if (!t)
        return NULL;
    CHECK(t->stages[0].slice > 0, "no slices");
    *loss = trainer_epoch_loss(t) + trainer_epoch_loss(t);
    double *weights = copy_weights(ae_trainer_net(t), NULL, n);
    ae_trainer_free(t);
    return weights;
}

/* Several rows for one of data, clipping, which wants the gradient whole, an epoch whose last minibatch is short. */
static program mixed_program(int bits, int64_t batch, bool clips) {
    program p = {.options = plain_options(bits)};
    const int in = network_input(&p.net, COLUMNS, 0), h = network_dense(&p.net, network_dropout(&p.net, in, 0.2), 20, AE_GELU);
    const int repeated = network_add(&p.net, "repeat", NULL, 1, h);
    p.net.node[repeated].multiplicity = 2;
    const int noisy = network_dropout(&p.net, repeated, 0.1);
    const int out = network_dense(&p.net, network_dense(&p.net, noisy, 33, AE_TANH), COLUMNS, AE_IDENTITY);
    program_loss(&p, "squared_error", out, in, 1);
    program_stage(&p, "adam");
    p.options.batch_size = batch;
    p.options.shuffle = true;
    p.options.clip_norm = clips ? 0.05 : INFINITY;
    p.options.l2 = 1e-3;
    return p;
}

TEST(the_same_bits_however_rows_pass) {
    static const way ways[] = {{2, 0, AE_BY_PANELS_CHOSEN, NULL},  {3, 0, AE_BY_PANELS_ALWAYS, NULL},
                               {8, 0, AE_BY_PANELS_NEVER, NULL},   {1, 8, AE_BY_PANELS_CHOSEN, NULL},
                               {2, 24, AE_BY_PANELS_CHOSEN, NULL}, {3, 72, AE_BY_PANELS_CHOSEN, NULL},
                               {2, 64, AE_BY_PANELS_ALWAYS, NULL}};
    static const int64_t batches[] = {65, 100, 200, 330};
    fill(x, ROWS * COLUMNS, -1, 1);
    fill(row_weights, ROWS, 0.5, 1.5);
    for (int k = 0; k < (SANITIZED ? 4 : 8); k++) {
        const program p = mixed_program(k & 1 ? 64 : 32, batches[k % 4], k > 3);
        double loss, other_loss;
        int64_t n;
        double *one = trained(&p, (way){1, 0, AE_BY_PANELS_CHOSEN, NULL}, &loss, &n);
        CHECK(one && isfinite(loss), "loss %g", loss);
        for (int i = 0; one && i < 7; i++) {
            double *other = trained(&p, ways[i], &other_loss, &n);
            CHECK(other && other_loss == loss && !memcmp(one, other, (size_t)n * sizeof *one),
                  "batch %d, %d threads, chunks of %d", (int)p.options.batch_size, ways[i].threads, (int)ways[i].chunk);
            free(other);
        }
        for (const char *const *isa = usable_isas(); one && *isa; isa++) {
            double *other = trained(&p, (way){2, 0, AE_BY_PANELS_CHOSEN, *isa}, &other_loss, &n);
            CHECK(other && other_loss == loss && !memcmp(one, other, (size_t)n * sizeof *one), "batch %d, %s",
                  (int)p.options.batch_size, *isa);
            free(other);
        }
        free(one);
    }
}

int main(void) {
    unsetenv("AUTOENC_ISA");
    RUN(by_shapes_alone);
    RUN(a_step_by_hand);
    RUN(the_same_bits_however_rows_pass);
    return harness_finish("test_slices");
}
