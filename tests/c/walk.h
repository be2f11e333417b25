/* A network run by hand, node by node and block by block, with the phases of layers that couple rows; and its gradients by central
 * differences: of any value (walk_check) and of parameters under a whole program (differences_check). */
#ifndef AE_TEST_WALK_H
#define AE_TEST_WALK_H

#include "harness.h"
#include "networks.h"
#include "slow.h"

typedef struct walk {
    ae_net *net;
    int64_t rows;
    uint64_t step;
    int64_t block, first_row; /* rows of a block; position of row 0 in its minibatch */
    bool training, keep;
} walk;

static inline walk walk_new(const network *n, int bits, ae_isa isa, int64_t rows) {
    walk w = {.rows = rows, .block = rows, .training = true, .keep = true};
    ae_context context = {AE_OK, ""};
    ae_status status = ae_net_new(&context, &w.net, bits, isa, n->node, n->n);
    if (status == AE_OK)
        status = ae_net_plan_rows(&context, w.net, rows, true, 1);
    if (status == AE_OK)
        status = ae_net_initialize(&context, w.net, 5);
    CHECK(status == AE_OK, "%s", context.message);
    if (w.net)
        ae_net_seed(w.net, 11);
    return w;
}

static inline int64_t walk_place(const ae_value *v, int64_t row, int64_t column) {
    return column / AE_PANEL * v->stride + row * AE_PANEL + column % AE_PANEL;
}
static inline double walk_real(const walk *w, const void *at, int64_t i) {
    return w->net->bits == 32 ? (double)((const float *)at)[i] : ((const double *)at)[i];
}
static inline double walk_get(const walk *w, int node, int64_t row, int64_t column) {
    const ae_value *v = &w->net->nodes[node].binding.out;
    return walk_real(w, v->data, walk_place(v, row, column));
}
static inline void walk_put(const walk *w, void *at, int64_t i, double x) {
    if (w->net->bits == 32)
        ((float *)at)[i] = (float)x;
    else
        ((double *)at)[i] = x;
}
static inline void walk_set(const walk *w, int node, int64_t row, int64_t column, double x) {
    const ae_value *v = &w->net->nodes[node].binding.out;
    walk_put(w, v->data, walk_place(v, row, column), x);
}
static inline int64_t walk_rows(const walk *w, int node) { return w->rows * w->net->nodes[node].plan.out.multiplicity; }
static inline int64_t walk_width(const walk *w, int node) { return w->net->nodes[node].plan.out.width; }

/* Row-major; row 0 is row `from` of x. */
static inline void walk_feed(const walk *w, int node, const double *x, int64_t from) {
    for (int64_t r = 0; r < w->rows; r++)
        for (int64_t c = 0; c < walk_width(w, node); c++)
            walk_set(w, node, r, c, x[(from + r) * walk_width(w, node) + c]);
}

static inline void walk_nodes(const walk *w, int first, int last, bool backward) {
    for (int step = first; step <= last; step++) {
        const int i = backward ? first + last - step : step;
        const ae_node *n = &w->net->nodes[i];
        void (*const couple)(const ae_binding *, int64_t, int64_t, bool) = backward ? n->ops->couple_backward : n->ops->couple;
        if (couple && w->keep && (!backward || n->active))
            for (int64_t part = 0; part < n->plan.coupling_parts; part++)
                couple(&n->binding, walk_rows(w, i), part, w->training);
        for (int64_t row = 0; row < w->rows; row += w->block) {
            const int64_t end = row + w->block < w->rows ? row + w->block : w->rows;
            const ae_block b = {row, end, w->step, w->first_row, w->training, w->keep, false, NULL, AE_SHARE_ALL, 0, 0};
            (backward ? ae_net_backward : ae_net_forward)(w->net, i, i, b, 0);
        }
    }
}
static inline void walk_forward(const walk *w, int first) { walk_nodes(w, first, w->net->n_nodes - 1, false); }

/* The value of a node with padding, as it lies; to be freed. */
static inline char *walk_copy(const walk *w, int node, size_t *bytes) {
    const ae_value *v = &w->net->nodes[node].binding.out;
    const size_t run = (size_t)(walk_rows(w, node) * AE_PANEL) * w->net->real_size;
    const int64_t panels = ae_panels(v->shape.width);
    char *out = malloc((size_t)panels * run);
    for (int64_t p = 0; p < panels; p++)
        memcpy(out + (size_t)p * run, (const char *)v->data + (size_t)(p * v->stride) * w->net->real_size, run);
    *bytes = (size_t)panels * run;
    return out;
}

/* sum over the last node of weight * value, weights fixed by place. */
static inline double walk_weight(int64_t i) { return 0.2 + (double)((uint64_t)i * 2654435761u % 1000) / 1000; }
static inline double walk_objective(const walk *w) {
    const int last = w->net->n_nodes - 1;
    double sum = 0;
    for (int64_t r = 0; r < walk_rows(w, last); r++)
        for (int64_t c = 0; c < walk_width(w, last); c++)
            sum += walk_weight(r * walk_width(w, last) + c) * walk_get(w, last, r, c);
    return sum;
}

/* Backward of the objective down to the gradient of a node's value. What gradients held before is not a number. */
static inline void walk_gradient(const walk *w, int from) {
    const int last = w->net->n_nodes - 1;
    bool seeded[NETWORK_NODES] = {false};
    seeded[last] = true;
    ae_net_bind_range(w->net, 0, last, UINT32_MAX, seeded);
    for (int i = 0; i <= last; i++) {
        const ae_value *v = &w->net->nodes[i].binding.out;
        for (int64_t k = 0; v->gradient && k < ae_panels(v->shape.width) * v->stride; k++)
            walk_put(w, v->gradient, k, i == last ? 0 : NAN);
    }
    const ae_value *v = &w->net->nodes[last].binding.out;
    for (int64_t r = 0; r < walk_rows(w, last); r++)
        for (int64_t c = 0; c < walk_width(w, last); c++)
            walk_put(w, v->gradient, walk_place(v, r, c), walk_weight(r * walk_width(w, last) + c));
    walk_nodes(w, from + 1, last, true);
}

/* Every entry of the gradient of a node's value (whose later nodes are all that depends on it) in double, padding included. */
static inline void walk_check(const char *what, const walk *w, int from) {
    const ae_value *v = &w->net->nodes[from].binding.out;
    const int64_t rows = walk_rows(w, from), width = walk_width(w, from);
    const double h = 1e-5;
    double worst = 0, largest = 0;
    walk_forward(w, from + 1);
    walk_gradient(w, from);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < width; c++) {
            const double at = walk_get(w, from, r, c), g = walk_real(w, v->gradient, walk_place(v, r, c));
            walk_set(w, from, r, c, at + h);
            walk_forward(w, from + 1);
            const double up = walk_objective(w);
            walk_set(w, from, r, c, at - h);
            walk_forward(w, from + 1);
            const double numeric = (up - walk_objective(w)) / (2 * h);
            walk_set(w, from, r, c, at);
            const double rounding = 8 * 2.2e-16 * (1 + fabs(up)) / h, off = fabs(numeric - g);
            largest = fmax(largest, fabs(numeric));
            worst = isnan(off) ? INFINITY : fmax(worst, off - rounding);
        }
    CHECK(largest > 1e-3, "%s: nothing to compare", what);
    CHECK(worst <= 1e-6 * largest, "%s: off by %g of %g", what, worst, largest);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = width; c < ae_panels(width) * AE_PANEL; c++)
            CHECK(walk_real(w, v->gradient, walk_place(v, r, c)) == 0, "%s: padding of the gradient", what);
}

/* ---- whole programs ---- */

static inline ae_trainer *differences_trainer(program *p, const ae_data *data, int n_sources) {
    ae_context context = {AE_OK, ""};
    ae_trainer *t = NULL;
    if (p->stage[0].rule >= 0)
        p->options.clip_norm = 1e300; /* makes the trainer keep the whole gradient */
    ae_status status = program_trainer(&context, p, &t);
    if (status == AE_OK)
        status = ae_trainer_bind(&context, t, 0, data, n_sources, NULL);
    if (status == AE_OK)
        status = ae_trainer_initialize(&context, t);
    CHECK(status == AE_OK, "%s", context.message);
    ae_net *net = status == AE_OK ? ae_trainer_net(t) : NULL;
    for (int i = 0; net && i < net->n_parameters; i++) {
        double w[4096];
        const int64_t n = net->parameters[i].request.rows * net->parameters[i].request.columns;
        if (net->parameters[i].request.update != AE_UPDATE_RULE)
            continue;
        ae_net_get_parameter(net, i, w);
        for (int64_t j = 0; j < n; j++)
            w[j] += 0.3 * (network_unit() - 0.5);
        ae_net_set_parameter(net, i, w);
    }
    if (net)
        return t;
    ae_trainer_free(t);
    return NULL;
}

static inline double differences_loss(ae_trainer *t, bool training, const void **region) {
    ae_context context;
    double loss = NAN;
    const ae_status status = ae_trainer_gradient(&context, t, 0, training, &loss, region);
    CHECK(status == AE_OK && isfinite(loss), "%s", context.message);
    return loss;
}

/* Every parameter, about `most` of its entries (of at most 4096). A parameter whose name contains `silent` has no gradient. */
static inline void differences_check(const char *what, program *p, const ae_data *data, int n_sources, bool training,
                                     int64_t most, const char *silent) {
    ae_trainer *t = differences_trainer(p, data, n_sources);
    if (!t)
        return;
    ae_net *net = ae_trainer_net(t);
    const double h = 5e-6;
    for (int i = 0; i < net->n_parameters; i++) {
        const ae_parameter *q = &net->parameters[i];
        const int64_t n = q->request.rows * q->request.columns, stride = n > most ? n / most : 1;
        static double w[4096], g[4096];
        const void *region;
        double all = 0;
        if (q->request.update != AE_UPDATE_RULE || (silent && strstr(q->name, silent)))
            continue;
        ae_net_get_parameter(net, i, w);
        differences_loss(t, training, &region);
        ae_net_unpack(net, i, region, g);
        for (int64_t j = 0; j < n; j++)
            all += g[j] * g[j];
        const double typical = sqrt(all / (double)n);
        CHECK(typical > 1e-7, "%s: the gradient of %s is %g: nothing to compare", what, q->name, typical);
        for (int64_t j = (int64_t)(network_draw() % (uint64_t)stride); j < n; j += FEWER * stride) {
            const double at = w[j];
            w[j] = at + h;
            ae_net_set_parameter(net, i, w);
            const double up = differences_loss(t, training, &region);
            w[j] = at - h;
            ae_net_set_parameter(net, i, w);
            const double numeric = (up - differences_loss(t, training, &region)) / (2 * h);
            w[j] = at;
            const double rounding = 8 * 2.2e-16 * (1 + fabs(up)) / h;
            CHECK(fabs(numeric - g[j]) <= 1e-6 * (fabs(numeric) + typical) + rounding, "%s: %s entry %d: %.12g, not %.12g",
                  what, q->name, (int)j, g[j], numeric);
        }
        ae_net_set_parameter(net, i, w);
    }
    ae_trainer_free(t);
}

/* ---- bits of training ---- */

/* Weights after some epochs and the loss of the last, then evaluated; to be freed. */
static inline char *trained_bits(const program *p, const ae_data *data, int n_sources, const char *isa, size_t *bytes) {
    ae_context context = {AE_OK, ""};
    ae_trainer *t = NULL;
    ae_epoch_result result = {.loss = NAN};
    double loss = NAN;
    if (isa)
        setenv("AUTOENC_ISA", isa, 1);
    ae_status status = program_trainer(&context, p, &t);
    unsetenv("AUTOENC_ISA");
    if (status == AE_OK)
        status = ae_trainer_bind(&context, t, 0, data, n_sources, NULL);
    if (status == AE_OK)
        status = ae_trainer_initialize(&context, t);
    for (int i = 0; status == AE_OK && i < 3; i++)
        status = ae_trainer_epoch(&context, t, NULL, NULL, &result);
    if (status == AE_OK)
        status = ae_trainer_evaluate(&context, t, 0, 0, data[0].rows, false, NULL, NULL, &loss);
    CHECK(status == AE_OK && isfinite(loss) && result.loss > 0, "%s", context.message);
    if (status != AE_OK) {
        ae_trainer_free(t);
        *bytes = 0;
        return NULL;
    }
    const ae_net *net = ae_trainer_net(t);
    const size_t of_weights = (size_t)net->parameter_reals * net->real_size;
    char *out = malloc(of_weights + 2 * sizeof loss);
    memcpy(out, net->parameter_base, of_weights);
    memcpy(out + of_weights, &result.loss, sizeof loss);
    memcpy(out + of_weights + sizeof loss, &loss, sizeof loss);
    *bytes = of_weights + 2 * sizeof loss;
    ae_trainer_free(t);
    return out;
}

/* Instruction sets, threads, and chunks where the network allows them. */
static inline void same_bits_check(const char *what, const program *p, const ae_data *data, int n_sources) {
    size_t bytes, other_bytes;
    static const int threads[] = {1, 2, 3, 8, 2};
    char *one = trained_bits(p, data, n_sources, NULL, &bytes);
    for (const char *const *isa = usable_isas(); one && *isa; isa++) {
        char *other = trained_bits(p, data, n_sources, *isa, &other_bytes);
        CHECK(other && bytes == other_bytes && !memcmp(one, other, bytes), "%s: %s", what, *isa);
        free(other);
    }
    for (int i = 0; one && i < 5; i++) {
        program q = *p;
        q.options.n_threads = threads[i];
        q.options.chunk_rows = i == 4 ? 8 : 0;
        char *other = trained_bits(&q, data, n_sources, NULL, &other_bytes);
        CHECK(other && bytes == other_bytes && !memcmp(one, other, bytes), "%s: %d threads", what, threads[i]);
        free(other);
    }
    free(one);
}

#endif
