/* The plan of memory, and the walk over nodes within a phase. */
#include <string.h>

#include "base/alloc.h"
#include "net/net.h"

typedef struct offsets {
    size_t data, gradient, cache, between, coupling, table;
    size_t integers, reals; /* of pairs */
    size_t operands[4];     /* in, delta, and both for sums over rows */
    size_t totals;
    int gradient_of, operands_of;           /* node in whose memory they lie, often its own; operands by rows */
    int64_t gradient_width, operand_panels; /* of that memory: the most that a node needs which lies there */
    int64_t operands_at_once;               /* of these, what must lie there at one time */
    bool lends_gradient;
    int last; /* of the nodes whose gradient lies there, on the way back */
} offsets;

/* Rounded up so that workers do not share cache lines. */
static int64_t padded_reals(int64_t reals) { return (reals + AE_PANEL - 1) / AE_PANEL * AE_PANEL; }

static ae_status reserve_matrix(ae_context *context, ae_net *net, int64_t width, int64_t stride, size_t *offset) {
    int64_t padded, reals;
    if (!ae_add_i64(width, AE_PANEL - 1, &padded) || !ae_mul_i64(ae_panels(width), stride, &reals))
        return ae_fail(context, AE_ERR_OVERFLOW, "values of %lld features do not fit into memory", (long long)width);
    return ae_arena_reserve(&net->values, context, (size_t)reals, net->real_size, offset);
}

/* Whether the dense form of a value, or of its gradient, has memory. Data of a source is also read apart from training. */
static bool has_data(const ae_node *node) {
    return !node->by_pairs || node->beside_pairs || (node->ops->flags & AE_LAYER_SOURCE);
}
static bool has_gradient(const ae_node *node) {
    return node->depends_on_parameters && !node->by_pairs && node->gradient_by < 0;
}

/* Panels of a value that comes by groups: of 256 rows half a megabyte, which stay in the second-level cache until they are
 * taken. */
#define GROUP 16

static int64_t width_of(const ae_node *node) {
    const int64_t width = node->plan.out.width;
    return node->by_groups && width > GROUP * AE_PANEL ? GROUP * AE_PANEL : width;
}

/* Takes its input by groups. */
static bool takes_groups(const ae_net *net, const ae_node *node) { return node > net->nodes && node[-1].by_groups; }

/* Its products are of operands in parts. */
static bool goes_in_parts(const ae_net *net, const ae_node *node) {
    return node->plan.parts && !net->nodes[node->desc.inputs[0]].by_pairs;
}

/* The last of the nodes that read a value, where all of them go in parts and no loss does, so that its gradient holds from that one's
 * backward_data, which writes whole panels, to the node's own; else -1. */
static int last_reader(const ae_net *net, int node) {
    int last = net->nodes[node].outside || !goes_in_parts(net, &net->nodes[node]) ? -1 : node;
    for (int i = node + 1; last >= 0 && i < net->n_nodes; i++)
        for (int k = 0; k < net->nodes[i].desc.n_inputs; k++)
            if (net->nodes[i].desc.inputs[k] == node)
                last = goes_in_parts(net, &net->nodes[i]) ? i : -1;
    return last;
}

/* Panels by rows, of up to 256 rows of a block: 512 KB of the second-level cache a part. */
#define AT_ONCE 32

/* All that is read for a value by groups serves each of them. */
static int64_t at_once_of(const ae_node *node) {
    const int64_t in = ae_panels(node->plan.in[0].width);
    return node->by_groups && in > AT_ONCE ? in : AT_ONCE;
}

/* Who lies where: operands by rows hold within one call, gradients as above, and one that ends with a node's backward_data makes room
 * for those that begin below. Rows must lie alike, because blocks of rows are at different nodes at one time. */
static void share_memory(const ae_net *net, offsets *o) {
    for (int i = net->n_nodes - 1; i >= 0; i--) {
        const ae_node *node = &net->nodes[i];
        const int64_t in = ae_panels(node->plan.in[0].width), out = ae_panels(node->plan.out.width);
        const int reader = net->reuses && has_gradient(node) ? last_reader(net, i) : -1;
        offsets *gradient = &o[i], *operands = &o[i];
        o[i].lends_gradient = reader >= 0;
        for (int k = i + 1; net->reuses && goes_in_parts(net, node) && k < net->n_nodes; k++) {
            if (!goes_in_parts(net, &net->nodes[k]) || net->nodes[k].plan.out.multiplicity != node->plan.out.multiplicity)
                continue;
            if (o[k].operands_of == k && net->nodes[k].plan.parts == node->plan.parts)
                operands = &o[k];
            if (o[k].gradient_of == k && o[k].lends_gradient && reader >= 0 && reader < o[k].last)
                gradient = &o[k];
        }
        o[i].gradient_of = (int)(gradient - o);
        o[i].operands_of = (int)(operands - o);
        gradient->last = i;
        if (node->plan.out.width > gradient->gradient_width)
            gradient->gradient_width = node->plan.out.width;
        if ((in > out ? in : out) > operands->operand_panels)
            operands->operand_panels = in > out ? in : out;
        if (at_once_of(node) > operands->operands_at_once)
            operands->operands_at_once = at_once_of(node);
    }
}

static ae_status reserve_pairs(ae_context *context, ae_net *net, const ae_node *node, int64_t rows, offsets *o) {
    ae_status status;
    int64_t entries;
    if (!ae_mul_i64(rows, node->plan.most_nonzero, &entries) || entries > INT32_MAX)
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': %lld rows of %lld entries are too many", node->desc.name,
                       (long long)rows, (long long)node->plan.most_nonzero);
    AE_TRY(ae_arena_reserve(&net->values, context, (size_t)(3 * entries + rows + node->plan.out.width + 1), sizeof(int32_t),
                            &o->integers));
    AE_TRY(ae_arena_reserve(&net->values, context, (size_t)entries, 2 * net->real_size, &o->reals));
    net->value_reals_per_row += 5 * node->plan.most_nonzero * node->plan.out.multiplicity;
cleanup:
    return status;
}

static void bind_pairs(ae_net *net, ae_node *node, const offsets *o, int64_t rows) {
    const int64_t most = node->plan.most_nonzero;
    int32_t *at = ae_arena_at(&net->values, o->integers);
    char *reals = ae_arena_at(&net->values, o->reals);
    const bool trained = node->depends_on_parameters;
    node->pairs =
        (ae_pairs){.most = most, .column = at, .entry = at + rows * most, .row_of = at + 2 * rows * most, .value = reals};
    node->pairs.count = at + 3 * rows * most;
    node->pairs.start = node->pairs.count + rows;
    char *const second = reals + (size_t)(rows * most) * net->real_size;
    node->pairs.gradient = trained ? second : NULL;
    node->pairs.spare = trained ? NULL : second;
    node->binding.out.pairs = &node->pairs;
    node->binding.out.gradient = node->pairs.gradient;
}

/* Numbers of a panel by rows: its blocks, an odd number of them (cache sets). */
static int64_t operand_step(int64_t blocks) { return (blocks | 1) * AE_BF16_BLOCK; }

static ae_status reserve_operands(ae_context *context, ae_net *net, ae_node *node, int64_t rows, bool gradients, offsets *o) {
    ae_status status = AE_OK;
    const ae_layer_plan *plan = &node->plan;
    const int64_t blocks = ae_panels(rows), both = ae_panels(plan->in[0].width) + ae_panels(plan->out.width);
    ae_operands *operands = &node->binding.operands;
    *operands = (ae_operands){.step = operand_step(blocks), .blocks = blocks, .at_once = INT64_MAX};
    if (!goes_in_parts(net, node))
        return AE_OK;
    operands->parts = plan->parts;
    if (net->reuses)
        operands->at_once = at_once_of(node);
    for (int i = 0; i < (gradients ? 4 : 1); i++) {
        int64_t numbers, panels = ae_panels(i % 2 ? plan->out.width : plan->in[0].width);
        if (net->reuses && i < 2) {
            if (i || o->operands_of != (int)(node - net->nodes))
                continue;
            panels = o->operand_panels < o->operands_at_once ? o->operand_panels : o->operands_at_once;
        }
        if (!ae_mul_i64(panels, operands->step * plan->parts, &numbers))
            return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': its values in parts do not fit into memory", node->desc.name);
        AE_TRY(ae_arena_reserve(&net->values, context, (size_t)numbers, sizeof(ae_bf16), &o->operands[i]));
    }
    if (gradients)
        AE_TRY(reserve_matrix(context, net, plan->out.width, blocks * AE_PANEL, &o->totals));
    /* As if nothing were reused. */
    const int64_t numbers = (gradients ? 2 * both : ae_panels(plan->in[0].width)) * AE_PANEL * plan->parts;
    const int64_t reals = numbers * plan->out.multiplicity * (int64_t)sizeof(ae_bf16) / (int64_t)net->real_size;
    net->value_reals_per_row += reals;
    net->operand_reals_per_row += reals;
cleanup:
    return status;
}

static void bind_operands(ae_net *net, ae_node *node, const offsets *all, bool gradients) {
    const offsets *o = &all[node - net->nodes];
    ae_operands *operands = &node->binding.operands;
    ae_parts *to[4] = {&operands->in, &operands->delta, &operands->in_sums, &operands->delta_sums};
    if (!operands->parts)
        return;
    const ae_parameter *p = &net->parameters[node->parameter[0]];
    operands->delta_on_left = ae_net_sees_transpose(net, node, 0);
    operands->weight = ae_net_parts(net, p, operands->delta_on_left);
    operands->transposed = ae_net_parts(net, p, !operands->delta_on_left);
    for (int i = 0; i < (gradients ? 4 : 1); i++) {
        const size_t offset = !net->reuses || i > 1 ? o->operands[i] : all[o->operands_of].operands[0];
        ae_bf16 *first = ae_arena_at(&net->values, offset);
        int64_t panels = ae_panels(i % 2 ? node->plan.out.width : node->plan.in[0].width);
        if (i < 2 && panels > operands->at_once)
            panels = operands->at_once;
        *to[i] = (ae_parts){{first, operands->parts > 1 ? first + panels * operands->step : NULL}};
    }
    operands->delta_totals = gradients ? ae_arena_at(&net->values, o->totals) : NULL;
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
    if (has_data(node))
        AE_TRY(reserve_matrix(context, net, width_of(node), binding->out.stride, &o->data));
    if (node->by_pairs)
        AE_TRY(reserve_pairs(context, net, node, value_rows, o));
    if (gradients && has_gradient(node) && !node->in_place && o->gradient_of == (int)(node - net->nodes))
        AE_TRY(reserve_matrix(context, net, o->gradient_width, binding->out.stride, &o->gradient));
    if (gradients && plan->cache_width)
        AE_TRY(reserve_matrix(context, net, plan->cache_width, binding->out.stride, &o->cache));
    if (takes_groups(net, node)) {
        int64_t reals;
        if (!ae_mul_i64(value_rows, plan->between_reals, &reals))
            return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': %lld rows of %lld numbers do not fit into memory",
                           node->desc.name, (long long)value_rows, (long long)plan->between_reals);
        AE_TRY(ae_arena_reserve(&net->values, context, (size_t)reals, net->real_size, &o->between));
        net->value_reals_per_row += plan->between_reals * plan->out.multiplicity;
    }
    if (gradients && plan->coupling_reals)
        AE_TRY(ae_arena_reserve(&net->values, context, (size_t)plan->coupling_reals, net->real_size, &o->coupling));
    AE_TRY(ae_arena_reserve(&net->values, context, (size_t)plan->table_bytes, 1, &o->table));
    AE_TRY(reserve_operands(context, net, node, value_rows, gradients, o));
    const int copies = has_data(node) + (gradients && node->gradient_by < 0 && !node->by_pairs && !node->in_place);
    net->value_reals_per_row +=
        (ae_panels(width_of(node)) * copies + ae_panels(plan->cache_width)) * AE_PANEL * plan->out.multiplicity;
    const int64_t scratch = padded_reals(plan->scratch_reals) * (int64_t)net->real_size;
    net->scratch_bytes = scratch > net->scratch_bytes ? scratch : net->scratch_bytes;
cleanup:
    return status;
}

static void bind_node(ae_net *net, ae_node *node, const offsets *all, bool gradients, int64_t rows) {
    const offsets *o = &all[node - net->nodes];
    ae_binding *binding = &node->binding;
    binding->out.data = has_data(node) ? ae_arena_at(&net->values, o->data) : NULL;
    binding->out.gradient = gradients && has_gradient(node) ? ae_arena_at(&net->values, all[o->gradient_of].gradient) : NULL;
    if (binding->out.gradient && node->in_place)
        binding->out.gradient = binding->out.data;
    binding->out.group = node->by_groups ? GROUP : 0;
    binding->out.pairs = NULL;
    if (node->by_pairs)
        bind_pairs(net, node, o, rows * node->plan.out.multiplicity);
    binding->cache = gradients && node->plan.cache_width ? ae_arena_at(&net->values, o->cache) : NULL;
    binding->between = takes_groups(net, node) ? ae_arena_at(&net->values, o->between) : NULL;
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
    bind_operands(net, node, all, gradients);
    if (node->ops->prepare)
        node->ops->prepare(binding);
}

/* The gradient of a value that comes with the pairs of its one reader. */
static void bind_gradient_pairs(ae_net *net, ae_node *node) {
    node->binding.out.gradient_pairs = NULL;
    if (node->gradient_by < 0)
        return;
    ae_node *by = &net->nodes[node->gradient_by];
    node->binding.out.gradient_pairs = &by->pairs;
    node->binding.out.gradient = by->pairs.gradient;
    by->binding.in[0] = node->binding.out;
}

ae_status ae_net_plan_rows(ae_context *context, ae_net *net, int64_t rows, bool gradients, int n_workers) {
    ae_status status;
    void *block = NULL;
    offsets *o;
    size_t scratch;
    ae_arena_destroy(&net->values);
    net->row_capacity = 0;
    net->scratch_bytes = 0;
    net->value_reals_per_row = net->operand_reals_per_row = 0;
    if (rows < 1 || n_workers < 1)
        return ae_fail(context, AE_ERR_VALUE, "%lld rows and %d workers; both must be at least 1", (long long)rows, n_workers);
    AE_TRY(ae_alloc(context, &block, (size_t)net->n_nodes, sizeof *o));
    o = block;
    share_memory(net, o);
    for (int i = 0; i < net->n_nodes; i++)
        AE_TRY(reserve_node(context, net, &net->nodes[i], rows, gradients, &o[i]));
    AE_TRY(ae_arena_reserve(&net->values, context, (size_t)net->scratch_bytes, (size_t)n_workers, &scratch));
    AE_TRY(ae_arena_commit(&net->values, context));
    net->scratch_base = ae_arena_at(&net->values, scratch);
    for (int i = 0; i < net->n_nodes; i++)
        bind_node(net, &net->nodes[i], o, gradients, rows);
    for (int i = 0; i < net->n_nodes; i++)
        bind_gradient_pairs(net, &net->nodes[i]);
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

static void forward_share(const ae_node *node, const ae_block *whole, ae_share share, int64_t panel0, int64_t panel1) {
    ae_block block = *whole;
    block.share = share;
    block.panel0 = panel0;
    block.panel1 = panel1;
    node->ops->forward(&node->binding, &block);
}

/* A node whose value comes by groups, at the turn of the next one, which takes them. */
static void forward_by_groups(const ae_node *from, const ae_node *to, const ae_block *block) {
    const int64_t panels = ae_panels(from->plan.out.width);
    forward_share(from, block, AE_SHARE_READ, 0, ae_panels(from->plan.in[0].width));
    for (int64_t q = 0; q < panels; q += GROUP) {
        const int64_t end = panels - q < GROUP ? panels : q + GROUP;
        forward_share(from, block, AE_SHARE_WRITTEN, q, end);
        forward_share(to, block, AE_SHARE_READ, q, end);
    }
    forward_share(to, block, AE_SHARE_WRITTEN, 0, panels);
}

void ae_net_forward(const ae_net *net, int first, int last, ae_block block, int worker) {
    block.scratch = ae_net_scratch(net, worker);
    for (int i = first; i <= last; i++) {
        const ae_node *node = &net->nodes[i];
        if (takes_groups(net, node))
            forward_by_groups(node - 1, node, &block);
        else if (node->ops->forward && !node->by_groups)
            node->ops->forward(&node->binding, &block);
    }
}

void ae_net_backward(const ae_net *net, int first, int last, ae_block block, int worker) {
    block.scratch = ae_net_scratch(net, worker);
    for (int i = last; i >= first; i--)
        if (net->nodes[i].active && net->nodes[i].ops->backward_data)
            net->nodes[i].ops->backward_data(&net->nodes[i].binding, &block);
}

void *ae_net_scratch(const ae_net *net, int worker) { return net->scratch_base + (int64_t)worker * net->scratch_bytes; }
