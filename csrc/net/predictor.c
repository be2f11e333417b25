#include "net/predictor.h"

#include <string.h>

#include "base/alloc.h"

#define BLOCK_ROWS 96 /* a multiple of every kernel's height */

struct ae_predictor {
    ae_net *net;
    ae_pool *pool;
    const ae_kernels *kernels;
    const ae_loss_ops *loss;
    double loss_parameter;
    ae_arena memory;
    char *target, *terms; /* panel matrices of the widest node, rows as planned */
    double *row_loss;
};

ae_status ae_predictor_new(ae_context *context, ae_predictor **out, int bits, const ae_node_desc *nodes, int n_nodes, int loss,
                           double loss_parameter, int n_threads) {
    ae_status status;
    ae_predictor *p = NULL;
    ae_isa isa;
    void *block;
    size_t target, terms, row_loss;
    int64_t widest = 1;
    const int64_t rows = BLOCK_ROWS * (int64_t)n_threads;
    *out = NULL;
    AE_TRY(ae_isa_select(context, &isa));
    AE_TRY(ae_alloc(context, &block, 1, sizeof *p));
    p = block;
    ae_arena_init(&p->memory);
    p->kernels = ae_kernels_get(bits, isa);
    p->loss = ae_loss_get(bits, isa, loss);
    p->loss_parameter = loss_parameter;
    AE_TRY(ae_net_new(context, &p->net, bits, isa, nodes, n_nodes));
    AE_TRY(ae_pool_new(context, &p->pool, n_threads));
    if (!p->loss) {
        status = ae_fail(context, AE_ERR_VALUE, "loss %d is not known", loss);
        goto cleanup;
    }
    AE_TRY(ae_net_plan_rows(context, p->net, rows, false, n_threads));
    for (int i = 0; i < n_nodes; i++)
        widest = p->net->nodes[i].plan.out.width > widest ? p->net->nodes[i].plan.out.width : widest;
    const size_t reals = (size_t)(ae_panels(widest) * ae_panel_stride(rows));
    AE_TRY(ae_arena_reserve(&p->memory, context, reals, p->net->real_size, &target));
    AE_TRY(ae_arena_reserve(&p->memory, context, reals, p->net->real_size, &terms));
    AE_TRY(ae_arena_reserve(&p->memory, context, (size_t)rows, sizeof(double), &row_loss));
    AE_TRY(ae_arena_commit(&p->memory, context));
    p->target = ae_arena_at(&p->memory, target);
    p->terms = ae_arena_at(&p->memory, terms);
    p->row_loss = ae_arena_at(&p->memory, row_loss);
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
    ae_net_free(p->net);
    ae_pool_free(p->pool);
    ae_free(p);
}

ae_net *ae_predictor_net(ae_predictor *p) { return p->net; }

typedef struct predict_phase {
    ae_predictor *predictor;
    const ae_predict_call *call;
    int64_t first;      /* row of task 0 */
    const bool *needed; /* by node: what last_node follows from */
} predict_phase;

/* Rows `from` of the caller become rows at .. at + n - 1 of the plan. */
static void gather(const predict_phase *phase, int64_t from, int64_t at, int64_t n) {
    const ae_predictor *p = phase->predictor;
    const ae_predict_call *call = phase->call;
    for (int i = 0; i <= call->last_node; i++) {
        const ae_node *node = &p->net->nodes[i];
        if (!phase->needed[i] || (i != call->from_node && !(node->ops->flags & AE_LAYER_SOURCE)))
            continue;
        const ae_data *source = &call->sources[i == call->from_node ? 0 : node->desc.source];
        for (int64_t r = 0; r < n; r++)
            ae_data_gather(source, p->kernels, from + r, node->binding.out.stride, at + r, node->binding.out.data);
    }
}

static void link_values(const ae_predictor *p, const ae_value *value, int64_t at, int64_t n) {
    const ae_activation link = p->loss->link;
    if (link == AE_SOFTMAX)
        p->kernels->softmax_forward(at, at + n, value->shape.width, value->stride, value->data);
    else if (link != AE_IDENTITY)
        for (int64_t q = 0; q < ae_panels(value->shape.width); q++)
            p->kernels->activation_forward(
                link, n * AE_PANEL, (char *)value->data + (size_t)(q * value->stride + at * AE_PANEL) * p->net->real_size,
                NULL);
}

static void predict_task(void *argument, int64_t task, int worker) {
    const predict_phase *phase = argument;
    const ae_predictor *p = phase->predictor;
    const ae_predict_call *call = phase->call;
    const ae_value *value = &p->net->nodes[call->last_node].binding.out;
    const int64_t total = call->sources[0].rows, width = value->shape.width;
    const int64_t from = phase->first + task * BLOCK_ROWS, n = total - from < BLOCK_ROWS ? total - from : BLOCK_ROWS;
    const int64_t at = worker * (int64_t)BLOCK_ROWS;
    const ae_block block = {at, at + n, 0, 0, false, false, call->sampling, NULL};
    gather(phase, from, at, n);
    ae_net_forward(p->net, call->from_node + 1, call->last_node, block, worker);
    const char *result = value->data;
    const int64_t m = value->shape.multiplicity;
    if (call->what == AE_PREDICT_LINKED)
        link_values(p, value, at * m, n * m);
    if (call->what == AE_PREDICT_LOSS || call->what == AE_PREDICT_TERMS) {
        for (int64_t r = 0; r < n; r++)
            ae_data_gather(&call->sources[call->target_source], p->kernels, from + r, value->stride, at + r, p->target);
        const ae_loss_call loss = {
            .prediction = value->data,
            .target = p->target,
            .prediction_stride = value->stride,
            .target_stride = value->stride,
            .width = width,
            .row0 = at,
            .row1 = at + n,
            .parameter = p->loss_parameter,
            .scale = 1.0,
            .row_loss = p->row_loss,
            .gradient = call->what == AE_PREDICT_TERMS ? p->terms : NULL,
        };
        if (call->what == AE_PREDICT_LOSS) {
            p->loss->rows(&loss);
            memcpy(call->out + (size_t)from * sizeof(double), p->row_loss + at, (size_t)n * sizeof(double));
            return;
        }
        p->loss->terms(&loss);
        result = p->terms;
    }
    const int64_t size = call->out_type == AE_F32 ? 4 : 8;
    for (int64_t r = 0; r < n * m; r++)
        p->kernels->row_scatter(call->out_type, result, width, value->stride, at * m + r,
                                call->out + (from * m + r) * width * size, size);
}

/* What last_node needs must follow from from_node and from inputs of the other sources. */
static ae_status find_path(ae_context *context, const ae_net *net, const ae_predict_call *call, bool *needed) {
    const int from_node = call->from_node, last_node = call->last_node;
    needed[last_node] = true;
    for (int i = last_node; i > from_node; i--) {
        const ae_node *node = &net->nodes[i];
        needed[i] |= from_node < 0 && (node->ops->flags & AE_LAYER_SOURCE);
        for (int k = 0; needed[i] && k < node->desc.n_inputs; k++) {
            const int input = node->desc.inputs[k];
            if (input < from_node && !(net->nodes[input].ops->flags & AE_LAYER_SOURCE))
                return ae_fail(context, AE_ERR_VALUE, "node '%s' does not follow from node '%s' alone: '%s' reads '%s'",
                               net->nodes[last_node].desc.name, net->nodes[from_node].desc.name, node->desc.name,
                               net->nodes[input].desc.name);
            needed[input] = true;
        }
    }
    for (int i = 0; i <= last_node; i++) {
        const ae_node_desc *d = &net->nodes[i].desc;
        if (!needed[i] || i == from_node || !(net->nodes[i].ops->flags & AE_LAYER_SOURCE))
            continue;
        if (from_node >= 0 && (d->source < 1 || d->source >= call->n_sources))
            return ae_fail(context, AE_ERR_VALUE, "node '%s' does not follow from node '%s' alone: input '%s' is needed too",
                           net->nodes[last_node].desc.name, net->nodes[from_node].desc.name, d->name);
        if (d->source < 0 || d->source >= call->n_sources || call->sources[d->source].columns != d->width)
            return ae_fail(context, AE_ERR_VALUE, "node '%s' takes %lld features from source %d, which has others", d->name,
                           (long long)d->width, d->source);
    }
    return AE_OK;
}

static ae_status check_call(ae_context *context, const ae_predictor *p, const ae_predict_call *call, bool *needed) {
    const ae_net *net = p->net;
    if (call->last_node < 0 || call->last_node >= net->n_nodes || call->from_node < -1 || call->from_node >= net->n_nodes)
        return ae_fail(context, AE_ERR_VALUE, "nodes %d to %d; there are %d", call->from_node, call->last_node, net->n_nodes);
    if (call->last_node < call->from_node)
        return ae_fail(context, AE_ERR_VALUE, "node %d comes before node %d, from which it should follow", call->last_node,
                       call->from_node);
    if (call->n_sources < 1 || (call->out_type != AE_F32 && call->out_type != AE_F64))
        return ae_fail(context, AE_ERR_VALUE, "a call needs data and an output of float32 or float64");
    for (int i = 0; i < call->n_sources; i++)
        if (call->sources[i].rows != call->sources[0].rows)
            return ae_fail(context, AE_ERR_VALUE, "source %d has %lld rows and source 0 has %lld; they must be equal", i,
                           (long long)call->sources[i].rows, (long long)call->sources[0].rows);
    const int64_t width = net->nodes[call->last_node].plan.out.width;
    if (call->from_node >= 0 && call->sources[0].columns != net->nodes[call->from_node].plan.out.width)
        return ae_fail(context, AE_ERR_VALUE, "%lld features; node '%s' has %lld", (long long)call->sources[0].columns,
                       net->nodes[call->from_node].desc.name, (long long)net->nodes[call->from_node].plan.out.width);
    if (call->from_node >= 0 && net->nodes[call->from_node].plan.out.multiplicity != 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s' has %lld rows a sample; only a node with one can be the start",
                       net->nodes[call->from_node].desc.name, (long long)net->nodes[call->from_node].plan.out.multiplicity);
    if (find_path(context, net, call, needed) != AE_OK)
        return AE_ERR_VALUE;
    if (call->what >= AE_PREDICT_LOSS && net->nodes[call->last_node].plan.out.multiplicity != 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s' has %lld rows a sample; a loss needs one",
                       net->nodes[call->last_node].desc.name, (long long)net->nodes[call->last_node].plan.out.multiplicity);
    if (call->what >= AE_PREDICT_LOSS && (call->target_source < 0 || call->target_source >= call->n_sources ||
                                          call->sources[call->target_source].columns != width))
        return ae_fail(context, AE_ERR_VALUE, "the target must have the prediction's %lld features", (long long)width);
    return AE_OK;
}

ae_status ae_predictor_run(ae_context *context, ae_predictor *p, const ae_predict_call *call, ae_predict_stop stop,
                           void *stop_argument) {
    bool needed[AE_MAX_NODES] = {false};
    ae_status status = check_call(context, p, call, needed);
    if (status != AE_OK)
        return status;
    const int64_t rows = call->sources[0].rows;
    /* Between the questions to `stop` about 1e9 operations pass. */
    const double most = 1e9 / (p->net->flops_per_row + 1.0) / BLOCK_ROWS;
    const int64_t tasks_at_once = most < 16 ? 16 : most > 1e6 ? 1000000 : (int64_t)most;
    for (int64_t first = 0; first < rows; first += tasks_at_once * BLOCK_ROWS) {
        predict_phase phase = {p, call, first, needed};
        const int64_t left = (rows - first + BLOCK_ROWS - 1) / BLOCK_ROWS;
        if (first && stop && stop(stop_argument))
            return ae_fail(context, AE_ERR_INTERRUPTED, "the call was interrupted");
        ae_pool_run(p->pool, predict_task, &phase, left < tasks_at_once ? left : tasks_at_once, 0);
    }
    return AE_OK;
}
