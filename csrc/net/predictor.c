#include "net/predictor.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"

/* A block is what a worker takes through the network at once: so many rows that weights are read seldom, and so few, all
 * their samples counted, that the values of a layer stay in the second-level cache. */
#define BLOCK_ROWS 96 /* a multiple of every kernel's height */
#define BLOCK_SAMPLES 192
#define LONG_ROW 512 /* bytes; longer ones the processor asks for in time by itself */

struct ae_predictor {
    ae_net *net;
    ae_pool *pool;
    const ae_kernels *kernels, *exact; /* of the precision; of doubles */
    ae_term *losses;
    int n_losses;
    int64_t samples; /* most rows that a prediction has for one of the data */
    int64_t block;   /* rows of a block */
    ae_arena memory;
    char *terms;      /* panel matrices, rows as planned */
    size_t *terms_at; /* by loss: where in them */
    double *sample;   /* three times [row][samples]: loss of a term, sum of the terms, room */
};

/* Terms of one multiplicity have one stride, so blocks of different workers keep apart in one matrix; each multiplicity has its
 * own. */
static ae_status reserve(ae_context *context, ae_predictor *p, int64_t rows) {
    ae_status status = AE_OK;
    size_t sample;
    for (int i = 0; i < p->n_losses; i++) {
        const int64_t m = p->losses[i].multiplicity;
        int first = 0;
        int64_t widest = 1;
        while (p->losses[first].multiplicity != m)
            first++;
        p->terms_at[i] = p->terms_at[first];
        for (int j = i; first == i && j < p->n_losses; j++)
            if (p->losses[j].multiplicity == m && p->losses[j].width > widest)
                widest = p->losses[j].width;
        if (first == i)
            AE_TRY(ae_arena_reserve(&p->memory, context, (size_t)(ae_panels(widest) * ae_panel_stride(rows * m)),
                                    p->net->real_size, &p->terms_at[i]));
    }
    AE_TRY(ae_arena_reserve(&p->memory, context, (size_t)rows * (size_t)p->samples, 3 * sizeof(double), &sample));
    AE_TRY(ae_arena_commit(&p->memory, context));
    p->terms = ae_arena_at(&p->memory, 0);
    p->sample = ae_arena_at(&p->memory, sample);
cleanup:
    return status;
}

static int64_t block_rows(const ae_net *net) {
    int64_t most = 1;
    for (int i = 0; i < net->n_nodes; i++)
        most = net->nodes[i].plan.out.multiplicity > most ? net->nodes[i].plan.out.multiplicity : most;
    const int64_t rows = BLOCK_SAMPLES / most;
    return rows < 1 ? 1 : rows < BLOCK_ROWS ? rows : BLOCK_ROWS;
}

/* Rows of a prediction lie in the plan wherever their worker has its block. */
static ae_status check_kinds(ae_context *context, const ae_net *net) {
    for (int i = 0; i < net->n_nodes; i++)
        if (net->nodes[i].ops->flags & AE_LAYER_TRAINING_ONLY)
            return ae_fail(context, AE_ERR_VALUE,
                           "node '%s': a layer of kind '%s' goes by the position of a row in the minibatch, which a prediction "
                           "does not have; leave it out of graphs for inference",
                           net->nodes[i].desc.name, net->nodes[i].ops->name);
    return AE_OK;
}

ae_status ae_predictor_new(ae_context *context, ae_predictor **out, int bits, const ae_node_desc *nodes, int n_nodes,
                           const ae_loss_desc *losses, int n_losses, int n_threads) {
    ae_status status;
    ae_predictor *p = NULL;
    ae_isa isa;
    void *block;
    *out = NULL;
    if (n_losses < 0 || n_losses > AE_MAX_LOSSES)
        return ae_fail(context, AE_ERR_VALUE, "%d losses; 0 to %d are allowed", n_losses, AE_MAX_LOSSES);
    AE_TRY(ae_isa_select(context, &isa));
    AE_TRY(ae_alloc(context, &block, 1, sizeof *p));
    p = block;
    ae_arena_init(&p->memory);
    p->kernels = ae_kernels_get(bits, isa);
    p->exact = ae_kernels_get(64, isa);
    p->samples = 1;
    AE_TRY(ae_net_new(context, &p->net, bits, isa, nodes, n_nodes));
    AE_TRY(check_kinds(context, p->net));
    AE_TRY(ae_pool_new(context, &p->pool, n_threads));
    AE_TRY(ae_alloc(context, &block, (size_t)n_losses + 1, sizeof *p->losses));
    p->losses = block;
    AE_TRY(ae_alloc(context, &block, (size_t)n_losses + 1, sizeof *p->terms_at));
    p->terms_at = block;
    for (int i = 0; i < n_losses; i++) {
        AE_TRY(ae_term_init(context, p->net, i, &losses[i], &p->losses[i]));
        p->samples = p->losses[i].multiplicity > p->samples ? p->losses[i].multiplicity : p->samples;
    }
    p->n_losses = n_losses;
    p->block = block_rows(p->net);
    const int64_t rows = p->block * n_threads;
    AE_TRY(ae_net_plan_rows(context, p->net, rows, false, n_threads));
    AE_TRY(reserve(context, p, rows));
    *out = p;
    return AE_OK;
cleanup:
    ae_predictor_free(p);
    return status;
}

void ae_predictor_free(ae_predictor *p) {
    if (!p)
        return;
    ae_arena_destroy(&p->memory);
    ae_free(p->losses);
    ae_free(p->terms_at);
    ae_net_free(p->net);
    ae_pool_free(p->pool);
    ae_free(p);
}

ae_net *ae_predictor_net(ae_predictor *p) { return p->net; }

int64_t ae_predictor_term_width(const ae_predictor *p) {
    int64_t width = 0;
    for (int i = 0; i < p->n_losses; i++)
        width += p->losses[i].width;
    return width;
}

typedef struct predict_phase {
    ae_predictor *predictor;
    const ae_predict_call *call;
    int64_t first;        /* row of task 0 */
    const bool *needed;   /* by node */
    int last;             /* the last of them */
    int first_node;       /* see node_of_first_source */
    atomic_bool *refused; /* a block has found a value that is not allowed */
} predict_phase;

static bool takes_source(const predict_phase *phase, int node) {
    return phase->needed[node] &&
           (node == phase->call->from_node || (phase->predictor->net->nodes[node].ops->flags & AE_LAYER_SOURCE));
}

/* Rows `from` of the caller become rows at .. at + n - 1 of the plan. */
static void gather(const predict_phase *phase, int64_t from, int64_t at, int64_t n) {
    const ae_predict_call *call = phase->call;
    for (int i = 0; i <= phase->last; i++) {
        const ae_node *node = &phase->predictor->net->nodes[i];
        if (takes_source(phase, i))
            ae_data_gather(&call->sources[i == call->from_node ? 0 : node->desc.source], phase->predictor->kernels, from, NULL,
                           n, node->binding.out.stride, at, node->binding.out.data);
    }
}

/* The node that takes the first source; -1: none. */
static int node_of_first_source(const predict_phase *phase) {
    for (int i = 0; i <= phase->last; i++)
        if (takes_source(phase, i) && (i == phase->call->from_node || phase->predictor->net->nodes[i].desc.source == 0))
            return i;
    return -1;
}

/* After gathering. Values that show in panels, which are in the cache, to be finite need no look at the source: there lies the answer
 * where NaN is allowed, or where the largest float may be what a larger number was rounded to. */
static bool are_finite(const predict_phase *phase, int64_t from, int64_t at, int64_t n) {
    const ae_predictor *p = phase->predictor;
    const ae_data *source = &phase->call->sources[0];
    const double limit = source->dtype == AE_F64 && p->net->bits == 32 ? FLT_MAX : INFINITY;
    bool below = phase->first_node >= 0;
    if (below) {
        const ae_value *value = &p->net->nodes[phase->first_node].binding.out;
        for (int64_t q = 0; below && q < ae_panels(value->shape.width); q++)
            below = p->kernels->all_below(
                n * AE_PANEL, limit, (char *)value->data + (size_t)(q * value->stride + at * AE_PANEL) * p->net->real_size);
    }
    return below || ae_data_are_finite(source, p->net->bits, phase->call->allow_nan, from, n);
}

static ae_activation link_of(const ae_predictor *p, int node) {
    for (int i = 0; i < p->n_losses; i++)
        if (p->losses[i].desc.prediction == node)
            return p->losses[i].ops->link;
    return AE_IDENTITY;
}

static void link_values(const ae_predictor *p, const ae_value *value, ae_activation link, int64_t at, int64_t n) {
    if (link == AE_SOFTMAX)
        p->kernels->softmax_forward(at, at + n, value->shape.width, value->stride, value->data);
    else if (link != AE_IDENTITY)
        for (int64_t q = 0; q < ae_panels(value->shape.width); q++)
            p->kernels->activation_forward(
                link, n * AE_PANEL, (char *)value->data + (size_t)(q * value->stride + at * AE_PANEL) * p->net->real_size,
                NULL);
}

static double mean_of(const double *x, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

/* Losses or likelihoods of a block, in its worker's part of the memory: each term's by sample, summed over the terms by row, or by
 * sample where these are joined then. */
static void write_losses(const predict_phase *phase, int64_t from, int64_t at, int64_t n) {
    const ae_predictor *p = phase->predictor;
    const int64_t k = p->samples;
    const bool likelihood = phase->call->what == AE_PREDICT_NLL;
    const bool joins = phase->call->combine == AE_COMBINE_LOG_MEAN_EXP && k > 1;
    double *sample = p->sample + 3 * at * k, *total = sample + p->block * k, *share = total + p->block * k;
    double *out = (double *)(void *)phase->call->out + from;
    memset(total, 0, (size_t)(n * k) * sizeof *total);
    for (int i = 0; i < p->n_losses; i++) {
        const ae_term *term = &p->losses[i];
        const int64_t m = term->multiplicity;
        double factor = term->desc.weight;
        ae_loss_call call = ae_term_call(p->net, term, at, at + n);
        call.row_loss = sample - call.row0;
        if (likelihood && term->ops->likelihood) {
            term->ops->likelihood(&call);
        } else {
            term->ops->rows(&call);
            factor *= likelihood ? (double)term->width : 1.0;
        }
        for (int64_t r = 0; r < n; r++)
            for (int64_t s = 0; s < (joins ? k : 1); s++)
                total[r * k + s] += factor * (joins && m > 1 ? sample[r * k + s] : mean_of(sample + r * m, m));
    }
    for (int64_t r = 0; r < n; r++)
        out[r] = joins ? p->exact->log_mean_exp(k, total + r * k, share) : total[r * k];
}

/* Mean over the m rows from `row` on of a panel matrix, into the first of them. */
static void average_rows(const ae_predictor *p, char *matrix, int64_t width, int64_t stride, int64_t row, int64_t m) {
    for (int64_t q = 0; q < ae_panels(width); q++) {
        char *first = matrix + (size_t)(q * stride + row * AE_PANEL) * p->net->real_size;
        for (int64_t s = 1; s < m; s++)
            p->kernels->axpy(AE_PANEL, 1.0, first + (size_t)(s * AE_PANEL) * p->net->real_size, first);
        p->kernels->scale(AE_PANEL, 1.0 / (double)m, first);
    }
}

static void write_terms(const predict_phase *phase, int64_t from, int64_t at, int64_t n) {
    const ae_predictor *p = phase->predictor;
    const ae_predict_call *call = phase->call;
    const int64_t size = call->out_type == AE_F32 ? 4 : 8, total = ae_predictor_term_width(p);
    int64_t column = 0;
    for (int i = 0; i < p->n_losses; i++) {
        const ae_term *term = &p->losses[i];
        const int64_t m = term->multiplicity;
        char *terms = p->terms + p->terms_at[i];
        ae_loss_call of_rows = ae_term_call(p->net, term, at, at + n);
        of_rows.gradient = terms;
        term->ops->terms(&of_rows);
        char *out = call->out + (from * total + column) * size;
        if (m == 1)
            p->kernels->rows_scatter(call->out_type, terms, term->width, of_rows.prediction_stride, at, n, out, total * size);
        for (int64_t r = 0; m > 1 && r < n; r++, out += total * size) {
            average_rows(p, terms, term->width, of_rows.prediction_stride, (at + r) * m, m);
            p->kernels->rows_scatter(call->out_type, terms, term->width, of_rows.prediction_stride, (at + r) * m, 1, out, 0);
        }
        column += term->width;
    }
}

static void write_values(const predict_phase *phase, int64_t from, int64_t at, int64_t n) {
    const ae_predictor *p = phase->predictor;
    const ae_predict_call *call = phase->call;
    const ae_value *value = &p->net->nodes[call->last_node].binding.out;
    const int64_t size = call->out_type == AE_F32 ? 4 : 8, width = value->shape.width, m = value->shape.multiplicity;
    if (call->what == AE_PREDICT_LINKED)
        link_values(p, value, link_of(p, call->last_node), at * m, n * m);
    p->kernels->rows_scatter(call->out_type, value->data, width, value->stride, at * m, n * m,
                             call->out + from * m * width * size, width * size);
}

/* The next block of the first source comes from memory while this one computes, where it is small beside the cache. */
static void ask_ahead(const predict_phase *phase, int64_t from) {
    const ae_data *source = &phase->call->sources[0];
    const int64_t left = source->rows - from, rows = left < phase->predictor->block ? left : phase->predictor->block;
    /* Rows next to each other; others lie in places of their own, or come in other order. */
    if (source->sparse || source->row_bytes != source->columns * source->column_bytes || source->row_bytes > LONG_ROW)
        return;
    const char *const at = source->base + from * source->row_bytes;
    for (int64_t i = 0; i < rows * source->row_bytes; i += AE_ALIGNMENT)
        __builtin_prefetch(at + i, 0, 2);
}

static void predict_task(void *argument, int64_t task, int worker) {
    const predict_phase *phase = argument;
    const ae_predictor *p = phase->predictor;
    const ae_predict_call *call = phase->call;
    const int64_t total = call->sources[0].rows;
    const int64_t from = phase->first + task * p->block, n = total - from < p->block ? total - from : p->block;
    const int64_t at = worker * p->block;
    const ae_block block = {at, at + n, 0, 0, false, false, call->sampling, ae_net_scratch(p->net, worker), AE_SHARE_ALL, 0, 0};
    if (call->finite && atomic_load_explicit(phase->refused, memory_order_relaxed))
        return;
    gather(phase, from, at, n);
    if (call->finite && !are_finite(phase, from, at, n)) {
        atomic_store_explicit(phase->refused, true, memory_order_relaxed);
        return;
    }
    ask_ahead(phase, from + n);
    for (int i = call->from_node + 1; i <= phase->last; i++)
        if (phase->needed[i] && p->net->nodes[i].ops->forward)
            p->net->nodes[i].ops->forward(&p->net->nodes[i].binding, &block);
    if (call->what == AE_PREDICT_TERMS)
        write_terms(phase, from, at, n);
    else if (call->what == AE_PREDICT_LOSS || call->what == AE_PREDICT_NLL)
        write_losses(phase, from, at, n);
    else
        write_values(phase, from, at, n);
}

/* Marks what the call asks for; the last of it. */
static int mark_wanted(const ae_predictor *p, const ae_predict_call *call, bool *needed) {
    int last = -1;
    if (call->what == AE_PREDICT_VALUES || call->what == AE_PREDICT_LINKED) {
        needed[call->last_node] = true;
        return call->last_node;
    }
    for (int i = 0; i < p->n_losses; i++) {
        const ae_loss_desc *d = &p->losses[i].desc;
        const int32_t nodes[4] = {d->prediction, d->target, d->entry_weight, d->second};
        for (int k = 0; k < 4; k++) {
            if (nodes[k] >= 0)
                needed[nodes[k]] = true;
            last = nodes[k] > last ? nodes[k] : last;
        }
    }
    return last;
}

/* What is wanted must follow from from_node and from inputs of the other sources. */
static ae_status find_path(ae_context *context, const ae_predictor *p, const ae_predict_call *call, bool *needed, int *last) {
    const ae_net *net = p->net;
    const int from_node = call->from_node;
    *last = mark_wanted(p, call, needed);
    for (int i = *last; i > from_node; i--) {
        const ae_node *node = &net->nodes[i];
        for (int k = 0; needed[i] && k < node->desc.n_inputs; k++) {
            const int input = node->desc.inputs[k];
            if (input < from_node && !(net->nodes[input].ops->flags & AE_LAYER_SOURCE))
                return ae_fail(context, AE_ERR_VALUE, "node '%s' does not follow from node '%s' alone: '%s' reads '%s'",
                               net->nodes[*last].desc.name, net->nodes[from_node].desc.name, node->desc.name,
                               net->nodes[input].desc.name);
            needed[input] = true;
        }
    }
    for (int i = 0; i <= *last; i++) {
        const ae_node_desc *d = &net->nodes[i].desc;
        if (!needed[i] || i == from_node)
            continue;
        if (!(net->nodes[i].ops->flags & AE_LAYER_SOURCE)) {
            if (i < from_node)
                return ae_fail(context, AE_ERR_VALUE, "node '%s' does not follow from node '%s': it comes before", d->name,
                               net->nodes[from_node].desc.name);
            continue;
        }
        if (from_node >= 0 && (d->source < 1 || d->source >= call->n_sources))
            return ae_fail(context, AE_ERR_VALUE, "node '%s' does not follow from node '%s' alone: input '%s' is needed too",
                           net->nodes[*last].desc.name, net->nodes[from_node].desc.name, d->name);
        if (d->source < 0 || d->source >= call->n_sources || call->sources[d->source].columns != d->width)
            return ae_fail(context, AE_ERR_VALUE, "node '%s' takes %lld features from source %d, which has others", d->name,
                           (long long)d->width, d->source);
    }
    return AE_OK;
}

static ae_status check_call(ae_context *context, const ae_predictor *p, const ae_predict_call *call) {
    const ae_net *net = p->net;
    const bool values = call->what == AE_PREDICT_VALUES || call->what == AE_PREDICT_LINKED;
    int64_t samples;
    if (call->from_node < -1 || call->from_node >= net->n_nodes ||
        (values && (call->last_node < 0 || call->last_node >= net->n_nodes)))
        return ae_fail(context, AE_ERR_VALUE, "nodes %d to %d; there are %d", call->from_node, call->last_node, net->n_nodes);
    if (values && call->last_node < call->from_node)
        return ae_fail(context, AE_ERR_VALUE, "node %d comes before node %d, from which it should follow", call->last_node,
                       call->from_node);
    if (call->n_sources < 1 || (call->out_type != AE_F32 && call->out_type != AE_F64))
        return ae_fail(context, AE_ERR_VALUE, "a call needs data and an output of float32 or float64");
    if (call->finite && call->sources[0].sparse)
        return ae_fail(context, AE_ERR_VALUE, "only dense rows can be checked on the way");
    for (int i = 0; i < call->n_sources; i++)
        if (call->sources[i].rows != call->sources[0].rows)
            return ae_fail(context, AE_ERR_VALUE, "source %d has %lld rows and source 0 has %lld; they must be equal", i,
                           (long long)call->sources[i].rows, (long long)call->sources[0].rows);
    if (call->from_node >= 0 && call->sources[0].columns != net->nodes[call->from_node].plan.out.width)
        return ae_fail(context, AE_ERR_VALUE, "%lld features; node '%s' has %lld", (long long)call->sources[0].columns,
                       net->nodes[call->from_node].desc.name, (long long)net->nodes[call->from_node].plan.out.width);
    if (call->from_node >= 0 && net->nodes[call->from_node].plan.out.multiplicity != 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s' has %lld rows a sample; only a node with one can be the start",
                       net->nodes[call->from_node].desc.name, (long long)net->nodes[call->from_node].plan.out.multiplicity);
    if (!values && !p->n_losses)
        return ae_fail(context, AE_ERR_VALUE, "losses were asked for, and this predictor was made without one");
    return values ? AE_OK : ae_terms_samples(context, p->losses, p->n_losses, call->combine, &samples);
}

ae_status ae_predictor_run(ae_context *context, ae_predictor *p, const ae_predict_call *call, ae_predict_stop stop,
                           void *stop_argument) {
    bool needed[AE_MAX_NODES];
    atomic_bool refused = false;
    int last = -1;
    ae_status status = check_call(context, p, call);
    memset(needed, 0, (size_t)p->net->n_nodes * sizeof *needed);
    if (status == AE_OK)
        status = find_path(context, p, call, needed, &last);
    if (status != AE_OK)
        return status;
    const int64_t rows = call->sources[0].rows, block = p->block;
    /* Between the questions to `stop` about 1e9 operations pass. */
    const double most = 1e9 / (p->net->flops_per_row + 1.0) / (double)block;
    const int64_t tasks_at_once = most < 16 ? 16 : most > 1e6 ? 1000000 : (int64_t)most;
    for (int64_t first = 0; first < rows; first += tasks_at_once * block) {
        predict_phase phase = {p, call, first, needed, last, -1, &refused};
        phase.first_node = node_of_first_source(&phase);
        const int64_t left = (rows - first + block - 1) / block;
        if (first && stop && stop(stop_argument))
            return ae_fail(context, AE_ERR_INTERRUPTED, "the call was interrupted");
        ae_pool_run(p->pool, predict_task, &phase, left < tasks_at_once ? left : tasks_at_once, 0);
        if (atomic_load_explicit(&refused, memory_order_relaxed))
            return ae_fail(context, AE_ERR_VALUE, "source 0 has a value that is not finite");
    }
    return AE_OK;
}
