/* For tests of penalties: a trainer with weights that have nothing special, its gradient against central differences of its loss,
 * and its bits however it is cut. Sources: rows of `plain_rows`, then a column of zeros, the target of penalties. */
#ifndef AE_TEST_DIFFERENCES_H
#define AE_TEST_DIFFERENCES_H

#include "harness.h"
#include "networks.h"
#include "slow.h"

#define MOST_ROWS 203
#define MOST_COLUMNS 80
static double plain_rows[MOST_ROWS * MOST_COLUMNS], no_rows[MOST_ROWS], uneven[MOST_ROWS];

static inline void differences_data(void) {
    fill(plain_rows, MOST_ROWS * MOST_COLUMNS, -1, 1);
    fill(uneven, MOST_ROWS, 0.2, 3);
    uneven[2] = 0;
}

static inline ae_trainer *ready(program *p, int64_t rows, int64_t columns, const double *row_weight) {
    ae_context context = {AE_OK, ""};
    ae_trainer *t = NULL;
    if (program_trainer(&context, p, &t) != AE_OK) {
        CHECK(0, "%s", context.message);
        return NULL;
    }
    const ae_data data[2] = {dense_data(plain_rows, AE_F64, rows, columns), dense_data(no_rows, AE_F64, rows, 1)};
    const ae_status bound = ae_trainer_bind(&context, t, 0, data, 2, row_weight), made = ae_trainer_initialize(&context, t);
    CHECK(bound == AE_OK && made == AE_OK, "%s", context.message);
    return t;
}

/* Biases and all move away from what they are drawn as. */
static inline void stir(ae_net *net, double by) {
    for (int i = 0; i < net->n_parameters; i++) {
        const int64_t n = net->parameters[i].request.rows * net->parameters[i].request.columns;
        double *w = malloc((size_t)n * sizeof *w);
        ae_net_get_parameter(net, i, w);
        for (int64_t j = 0; j < n; j++)
            w[j] += by * (network_unit() - 0.5);
        ae_net_set_parameter(net, i, w);
        free(w);
    }
}

static inline double loss_of(ae_trainer *t, bool training) {
    ae_context context = {AE_OK, ""};
    double loss = NAN;
    const void *gradient;
    const ae_status status = ae_trainer_gradient(&context, t, 0, training, &loss, &gradient);
    CHECK(status == AE_OK, "%s", context.message);
    return loss;
}

/* The program must keep its gradient (keeps_gradient below). At most `most` entries of a parameter. */
static inline void check_gradient(const char *what, ae_trainer *t, bool training, int64_t most) {
    ae_net *net = ae_trainer_net(t);
    ae_context context = {AE_OK, ""};
    double loss;
    const void *region;
    const double h = 5e-6;
    if (ae_trainer_gradient(&context, t, 0, training, &loss, &region) != AE_OK || !isfinite(loss) || !(loss > 0)) {
        CHECK(0, "%s: loss %g, %s", what, loss, context.message);
        return;
    }
    for (int i = 0; i < net->n_parameters; i++) {
        const ae_parameter *p = &net->parameters[i];
        const int64_t n = p->request.rows * p->request.columns, step = n > most ? n / most : 1;
        double *w = malloc((size_t)n * sizeof *w), *g = malloc((size_t)n * sizeof *g), all = 0;
        ae_net_get_parameter(net, i, w);
        loss_of(t, training);
        ae_net_unpack(net, i, region, g);
        for (int64_t j = 0; j < n; j++)
            all += g[j] * g[j];
        const double typical = sqrt(all / (double)n);
        CHECK(typical > 1e-7, "%s: the gradient of %s is %g", what, p->name, typical);
        for (int64_t j = (int64_t)(network_draw() % (uint64_t)step); j < n; j += FEWER * step) {
            const double at = w[j];
            w[j] = at + h;
            ae_net_set_parameter(net, i, w);
            const double up = loss_of(t, training), above = w[j];
            w[j] = at - h;
            ae_net_set_parameter(net, i, w);
            const double down = loss_of(t, training), numeric = (up - down) / (above - w[j]), off = fabs(numeric - g[j]);
            w[j] = at;
            CHECK(off <= 1e-6 * (fabs(numeric) + typical) + 8 * 2.2e-16 * (1 + fabs(up)) / h,
                  "%s: %s entry %d: %.12g, not %.12g", what, p->name, (int)j, g[j], numeric);
        }
        ae_net_set_parameter(net, i, w);
        free(w);
        free(g);
    }
}

static inline program double_program(void) {
    program p = {.options = plain_options(64)};
    p.options.batch_size = MOST_ROWS;
    p.options.clip_norm = 1e300; /* the whole gradient is kept */
    return p;
}

/* A loss that is the mean of a penalty over the rows. `zeros`: the input node of the second source. */
static inline void program_penalty(program *p, int penalty, int zeros, double weight) {
    program_loss(p, "absolute_error", penalty, zeros, weight);
}

typedef struct trained_bits {
    double loss[2];
    char *weights;
    size_t bytes;
} trained_bits;

static inline trained_bits train_bits(const program *p, int64_t rows, int64_t columns, const char *isa) {
    trained_bits r = {.weights = NULL};
    ae_context context = {AE_OK, ""};
    ae_epoch_result e = {.loss = NAN};
    program q = *p;
    if (isa)
        setenv("AUTOENC_ISA", isa, 1);
    ae_trainer *t = ready(&q, rows, columns, NULL);
    unsetenv("AUTOENC_ISA");
    if (!t)
        return r;
    for (int i = 0; i < 2; i++)
        CHECK(ae_trainer_epoch(&context, t, NULL, NULL, &e) == AE_OK, "%s", context.message);
    r.loss[0] = e.loss;
    CHECK(ae_trainer_evaluate(&context, t, 0, 0, rows, false, NULL, NULL, &r.loss[1]) == AE_OK, "%s", context.message);
    const ae_net *net = ae_trainer_net(t);
    r.bytes = (size_t)net->parameter_reals * net->real_size;
    r.weights = malloc(r.bytes);
    memcpy(r.weights, net->parameter_base, r.bytes);
    ae_trainer_free(t);
    return r;
}

/* Instruction sets, threads and, where the layers allow them, chunks. Both precisions. */
static inline void check_bits(const char *what, const program *p, int64_t rows, int64_t columns) {
    for (int bits = 32; bits <= 64; bits += 32) {
        program q = *p;
        q.options.bits = bits;
        trained_bits one = train_bits(&q, rows, columns, NULL);
        CHECK(one.weights && isfinite(one.loss[0]) && isfinite(one.loss[1]), "%s f%d", what, bits);
        for (const char *const *isa = usable_isas() + SANITIZED; *isa; isa++) {
            trained_bits other = train_bits(&q, rows, columns, *isa);
            CHECK(one.weights && other.weights && !memcmp(one.weights, other.weights, one.bytes) &&
                      !memcmp(one.loss, other.loss, sizeof one.loss),
                  "%s f%d: %s", what, bits, *isa);
            free(other.weights);
        }
        static const int threads[] = {2, 3, 8, 1, 2};
        static const int64_t chunks[] = {0, 0, 0, 8, 24};
        for (int i = 0; i < 5; i++) {
            q.options.n_threads = threads[i];
            q.options.chunk_rows = chunks[i];
            q.options.by_panels = i & 1 ? AE_BY_PANELS_ALWAYS : AE_BY_PANELS_CHOSEN;
            trained_bits other = train_bits(&q, rows, columns, NULL);
            CHECK(one.weights && other.weights && !memcmp(one.weights, other.weights, one.bytes) &&
                      !memcmp(one.loss, other.loss, sizeof one.loss),
                  "%s f%d: %d threads, chunks of %d", what, bits, threads[i], (int)chunks[i]);
            free(other.weights);
        }
        free(one.weights);
    }
}

/* A description that must be refused with a message that holds `word`. */
static inline void check_refused(const network *net, const char *word) {
    ae_context context = {AE_OK, ""};
    ae_net *out = NULL;
    ae_isa isa = AE_ISA_REF;
    ae_isa_select(NULL, &isa);
    const ae_status status = ae_net_new(&context, &out, 32, isa, net->node, net->n);
    CHECK(status != AE_OK && !out && strstr(context.message, word), "'%s', not '%s'", context.message, word);
    ae_net_free(out);
}

#endif
