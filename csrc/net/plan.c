/* The plan of memory, and the walk over nodes within a phase. */
#include <string.h>

#include "base/alloc.h"
#include "net/net.h"

typedef struct offsets {
    size_t data, gradient, cache, coupling, table;
} offsets;

/* Rounded up so that workers do not share cache lines. */
static int64_t padded_reals(int64_t reals) { return (reals + AE_PANEL - 1) / AE_PANEL * AE_PANEL; }

static ae_status reserve_matrix(ae_context *context, ae_net *net, int64_t width, int64_t stride, size_t *offset) {
    int64_t padded, reals;
    if (!ae_add_i64(width, AE_PANEL - 1, &padded) || !ae_mul_i64(ae_panels(width), stride, &reals))
        return ae_fail(context, AE_ERR_OVERFLOW, "values of %lld features do not fit into memory", (long long)width);
    return ae_arena_reserve(&net->values, context, (size_t)reals, net->real_size, offset);
}

static ae_status reserve_node(ae_context *context, ae_net *net, ae_node *node, int64_t rows, bool gradients, offsets *o) {
    ae_status status;
    ae_binding *binding = &node->binding;
    const ae_layer_plan *plan = &node->plan;
    int64_t value_rows;
    if (!ae_mul_i64(rows, plan->out.multiplicity, &value_rows) || value_rows > AE_MAX_ROWS)
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': %lld rows of %lld values are too many", node->desc.name,
                       (long long)rows, (long long)plan->out.multiplicity);
    binding->desc = &node->desc;
    binding->out.shape = plan->out;
    binding->out.stride = ae_panel_stride(value_rows);
    AE_TRY(reserve_matrix(context, net, plan->out.width, binding->out.stride, &o->data));
    if (gradients && node->depends_on_parameters)
        AE_TRY(reserve_matrix(context, net, plan->out.width, binding->out.stride, &o->gradient));
    if (gradients && plan->cache_width)
        AE_TRY(reserve_matrix(context, net, plan->cache_width, binding->out.stride, &o->cache));
    if (gradients && plan->coupling_reals)
        AE_TRY(ae_arena_reserve(&net->values, context, (size_t)plan->coupling_reals, net->real_size, &o->coupling));
    AE_TRY(ae_arena_reserve(&net->values, context, (size_t)plan->table_bytes, 1, &o->table));
    net->value_reals_per_row +=
        (ae_panels(plan->out.width) * (gradients ? 2 : 1) + ae_panels(plan->cache_width)) * AE_PANEL * plan->out.multiplicity;
    const int64_t scratch = padded_reals(plan->scratch_reals) * (int64_t)net->real_size;
    net->scratch_bytes = scratch > net->scratch_bytes ? scratch : net->scratch_bytes;
cleanup:
    return status;
}

static void bind_node(ae_net *net, ae_node *node, const offsets *o, bool gradients) {
    ae_binding *binding = &node->binding;
    binding->out.data = ae_arena_at(&net->values, o->data);
    binding->out.gradient = gradients && node->depends_on_parameters ? ae_arena_at(&net->values, o->gradient) : NULL;
    binding->cache = gradients && node->plan.cache_width ? ae_arena_at(&net->values, o->cache) : NULL;
    binding->coupling = gradients && node->plan.coupling_reals ? ae_arena_at(&net->values, o->coupling) : NULL;
    binding->table = ae_arena_at(&net->values, o->table);
    for (int k = 0; k < node->desc.n_inputs; k++) {
        binding->in[k] = net->nodes[node->desc.inputs[k]].binding.out;
        binding->accumulate[k] = false;
    }
    for (int slot = 0; slot < node->plan.n_parameters; slot++) {
        const ae_parameter *p = &net->parameters[node->parameter[slot]];
        char *plain = net->parameter_base + (size_t)p->offset * net->real_size;
        char *transposed =
            p->transposed_offset < 0 ? NULL : net->transposed_base + (size_t)p->transposed_offset * net->real_size;
        const bool swap = ae_net_sees_transpose(net, node, slot);
        binding->parameter[slot] = swap ? transposed : plain;
        binding->transposed[slot] = swap ? plain : transposed;
        binding->parameter_rows[slot] = node->plan.parameter[slot].rows;
    }
    if (node->ops->prepare)
        node->ops->prepare(binding);
}

ae_status ae_net_plan_rows(ae_context *context, ae_net *net, int64_t rows, bool gradients, int n_workers) {
    ae_status status;
    void *block = NULL;
    offsets *o;
    size_t scratch;
    ae_arena_destroy(&net->values);
    net->row_capacity = 0;
    net->scratch_bytes = 0;
    net->value_reals_per_row = 0;
    if (rows < 1 || n_workers < 1)
        return ae_fail(context, AE_ERR_VALUE, "%lld rows and %d workers; both must be at least 1", (long long)rows, n_workers);
    AE_TRY(ae_alloc(context, &block, (size_t)net->n_nodes, sizeof *o));
    o = block;
    for (int i = 0; i < net->n_nodes; i++)
        AE_TRY(reserve_node(context, net, &net->nodes[i], rows, gradients, &o[i]));
    AE_TRY(ae_arena_reserve(&net->values, context, (size_t)net->scratch_bytes, (size_t)n_workers, &scratch));
    AE_TRY(ae_arena_commit(&net->values, context));
    net->scratch_base = ae_arena_at(&net->values, scratch);
    for (int i = 0; i < net->n_nodes; i++)
        bind_node(net, &net->nodes[i], &o[i], gradients);
    net->row_capacity = rows;
    net->n_workers = n_workers;
cleanup:
    ae_free(block);
    return status;
}

void ae_net_bind_range(ae_net *net, int first, int last, uint32_t groups, const bool *seeded) {
    /* Forward: whose gradient leads to a parameter that is updated. */
    for (int i = 0; i < net->n_nodes; i++) {
        ae_node *node = &net->nodes[i];
        bool leads = false;
        for (int slot = 0; i >= first && slot < node->plan.n_parameters; slot++) {
            const ae_parameter *p = &net->parameters[node->parameter[slot]];
            leads |= p->request.update == AE_UPDATE_RULE && (groups >> p->group & 1u) && !(node->ops->flags & AE_LAYER_STOPS);
        }
        for (int k = 0; k < node->desc.n_inputs; k++) {
            const ae_node *in = &net->nodes[node->desc.inputs[k]];
            const bool passes = node->desc.inputs[k] >= first && in->active && !(node->ops->flags & AE_LAYER_STOPS);
            node->binding.in[k].gradient = passes ? in->binding.out.gradient : NULL;
            leads |= node->binding.in[k].gradient != NULL;
        }
        node->active = leads && i >= first && i <= last;
    }
    /* Backward, in the order in which it will run: the first to reach a value writes its gradient, the others add to it.
     * A node that no loss reaches is dropped. */
    for (int i = first; i <= last; i++)
        net->nodes[i].reached = seeded[i];
    for (int i = last; i >= first; i--) {
        ae_node *node = &net->nodes[i];
        node->active &= node->reached;
        for (int k = 0; node->active && k < node->desc.n_inputs; k++) {
            if (!node->binding.in[k].gradient)
                continue;
            bool *written = &net->nodes[node->desc.inputs[k]].reached;
            node->binding.accumulate[k] = *written;
            *written = true;
        }
    }
}

void ae_net_forward(const ae_net *net, int first, int last, ae_block block, int worker) {
    block.scratch = ae_net_scratch(net, worker);
    for (int i = first; i <= last; i++)
        if (net->nodes[i].ops->forward)
            net->nodes[i].ops->forward(&net->nodes[i].binding, &block);
}

void ae_net_backward(const ae_net *net, int first, int last, ae_block block, int worker) {
    block.scratch = ae_net_scratch(net, worker);
    for (int i = last; i >= first; i--)
        if (net->nodes[i].active && net->nodes[i].ops->backward_data)
            net->nodes[i].ops->backward_data(&net->nodes[i].binding, &block);
}

void *ae_net_scratch(const ae_net *net, int worker) { return net->scratch_base + (int64_t)worker * net->scratch_bytes; }
