/* Graph and parameter table: from descriptions that nobody vouches for to a network that cannot fail. */
#include "net/net.h"

#include <string.h>

#include "base/alloc.h"
#include "math/kernels.h"

static ae_status check_desc(ae_context *context, const ae_node_desc *descs, int i, const ae_layer_ops *ops) {
    const ae_node_desc *d = &descs[i];
    if (!memchr(d->name, 0, sizeof d->name) || !d->name[0])
        return ae_fail(context, AE_ERR_VALUE, "node %d: the name must have 1 to %d bytes", i, AE_NAME_SIZE - 1);
    if (!ops)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': kind %d is not known", d->name, d->kind);
    for (int j = 0; j < i; j++)
        if (!strcmp(descs[j].name, d->name))
            return ae_fail(context, AE_ERR_VALUE, "nodes %d and %d have the same name '%s'", j, i, d->name);
    if (d->n_inputs < ops->min_inputs || d->n_inputs > ops->max_inputs)
        return ae_fail(context, AE_ERR_VALUE, "node '%s' (%s) has %d inputs; %d to %d are allowed", d->name, ops->name,
                       d->n_inputs, ops->min_inputs, ops->max_inputs);
    for (int k = 0; k < d->n_inputs; k++)
        if (d->inputs[k] < 0 || d->inputs[k] >= i)
            return ae_fail(context, AE_ERR_VALUE, "node '%s': input %d is node %d; it must be an earlier node (0 to %d)",
                           d->name, k, d->inputs[k], i - 1);
    if (d->activation < 0 || d->activation >= AE_ACTIVATION_COUNT)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': activation %d is not known", d->name, d->activation);
    if (d->initializer < 0 || d->initializer >= AE_INIT_COUNT)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': initializer %d is not known", d->name, d->initializer);
    if (d->group < 0 || d->group > 31)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': group is %d; it must be 0 to 31", d->name, d->group);
    return AE_OK;
}

/* Reals of a panel matrix of packed rows, checked. */
static ae_status panel_reals(ae_context *context, const char *name, int64_t rows, int64_t columns, int64_t *out) {
    int64_t padded;
    if (rows < 1 || columns < 1 || !ae_add_i64(columns, AE_PANEL - 1, &padded) ||
        !ae_mul_i64(ae_panels(columns), AE_PANEL, &padded) || !ae_mul_i64(padded, rows, out))
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': a parameter of %lld x %lld does not fit into memory", name,
                       (long long)rows, (long long)columns);
    return AE_OK;
}

static ae_status add_parameter(ae_context *context, ae_net *net, int node, int slot) {
    ae_node *n = &net->nodes[node];
    ae_parameter *p = &net->parameters[net->n_parameters];
    p->request = n->plan.parameter[slot];
    const size_t length = strlen(n->desc.name), role = strlen(p->request.role);
    if (role >= AE_ROLE_SIZE)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': the role '%s' has more than %d bytes", n->desc.name, p->request.role,
                       AE_ROLE_SIZE - 1);
    p->constraint = n->plan.constraint[slot];
    p->group = n->desc.group;
    p->n_uses = 1;
    p->use[0] = (ae_use){node, slot, false};
    memcpy(p->name, n->desc.name, length);
    p->name[length] = '.';
    memcpy(p->name + length + 1, p->request.role, role + 1);
    n->parameter[slot] = net->n_parameters++;
    return AE_OK;
}

bool ae_net_sees_transpose(const ae_net *net, const ae_node *node, int slot) {
    const ae_parameter *p = &net->parameters[node->parameter[slot]];
    for (int i = 0; i < p->n_uses; i++)
        if (&net->nodes[p->use[i].node] == node && p->use[i].slot == slot)
            return p->use[i].transposed;
    return false;
}

/* The node's slot is the same slot of another node. */
static ae_status share_parameter(ae_context *context, ae_net *net, int node, int slot) {
    ae_node *n = &net->nodes[node];
    const int other = n->desc.shares - 1;
    const bool swap = n->desc.shares_transposed;
    const ae_parameter_request *mine = &n->plan.parameter[slot], *its = &net->nodes[other].plan.parameter[slot];
    const int64_t rows = swap ? its->columns : its->rows, columns = swap ? its->rows : its->columns;
    ae_parameter *p = &net->parameters[net->nodes[other].parameter[slot]];
    if (mine->rows != rows || mine->columns != columns)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': its %s is %lld x %lld and what it shares of node '%s' is %lld x %lld%s", n->desc.name,
                       mine->role, (long long)mine->rows, (long long)mine->columns, net->nodes[other].desc.name,
                       (long long)rows, (long long)columns, swap ? ", transposed" : "");
    /* What a layer assigns is its own record: it has no gradient, so a penalty of it would do nothing. A constant (a bias held at
     * zero) may stand behind the first. */
    if ((n->ops->flags & AE_LAYER_BORROWS) && p->request.update != AE_UPDATE_RULE &&
        (slot == 0 || p->request.update == AE_UPDATE_ASSIGN))
        return ae_fail(context, AE_ERR_VALUE, "node '%s' (%s): '%s' is not trained by gradients, so it cannot be its %s",
                       n->desc.name, n->ops->name, p->name, mine->role);
    /* A constraint belongs to the first use; another use may repeat it where it means the same. */
    if (n->plan.constraint[slot] &&
        (p->constraint != n->plan.constraint[slot] || ae_net_sees_transpose(net, &net->nodes[other], slot) != swap))
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': its %s shall have rows of norm one, and it is '%s'%s, whose first user decides",
                       n->desc.name, mine->role, p->name, swap ? " transposed" : "");
    if (p->n_uses == AE_MAX_USES)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': '%s' is used by %d nodes; more are not possible", n->desc.name,
                       p->name, AE_MAX_USES);
    p->use[p->n_uses++] = (ae_use){node, slot, ae_net_sees_transpose(net, &net->nodes[other], slot) != swap};
    n->parameter[slot] = net->nodes[other].parameter[slot];
    return AE_OK;
}

static ae_status check_sharing(ae_context *context, const ae_net *net, const ae_node *node) {
    const ae_node_desc *d = &node->desc;
    if (!d->shares && (node->ops->flags & AE_LAYER_BORROWS))
        return ae_fail(context, AE_ERR_VALUE, "node '%s' (%s) has no parameters of its own: it must share another node's",
                       d->name, node->ops->name);
    if (!d->shares)
        return d->shares_transposed == 0
                   ? AE_OK
                   : ae_fail(context, AE_ERR_VALUE, "node '%s': shares_transposed is %d and it shares nothing", d->name,
                             d->shares_transposed);
    const int i = (int)(node - net->nodes);
    const bool borrows = node->ops->flags & AE_LAYER_BORROWS;
    if (d->shares < 0 || d->shares > i)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': it shares with node %lld; that must be an earlier node (0 to %d)",
                       d->name, (long long)d->shares - 1, i - 1);
    if (d->shares_transposed < 0 || d->shares_transposed > 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': shares_transposed is %d; it must be 0 or 1", d->name,
                       d->shares_transposed);
    const ae_node *other = &net->nodes[d->shares - 1];
    if (borrows && other->plan.n_parameters < node->plan.n_parameters)
        return ae_fail(context, AE_ERR_VALUE, "node '%s' (%s) uses %d parameters of node '%s' (%s), which has %d", d->name,
                       node->ops->name, node->plan.n_parameters, other->desc.name, other->ops->name, other->plan.n_parameters);
    if (borrows && d->shares_transposed && node->plan.n_parameters > 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': a layer of kind '%s' cannot use a transpose", d->name,
                       node->ops->name);
    if (!borrows &&
        (other->desc.kind != d->kind || !node->plan.n_parameters || node->plan.n_parameters != other->plan.n_parameters))
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s' (%s) cannot use parameters of node '%s' (%s): kinds must be equal, with parameters", d->name,
                       node->ops->name, other->desc.name, other->ops->name);
    if (d->shares_transposed && !(node->ops->flags & AE_LAYER_TRANSPOSES))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': a layer of kind '%s' cannot use a transpose", d->name,
                       node->ops->name);
    return AE_OK;
}

static ae_status plan_node(ae_context *context, ae_net *net, int i) {
    ae_node *node = &net->nodes[i];
    ae_layer_plan *plan = &node->plan;
    ae_status status = AE_OK;
    plan->desc = &node->desc;
    for (int k = 0; k < node->desc.n_inputs; k++) {
        plan->in[k] = net->nodes[node->desc.inputs[k]].plan.out;
        if (!(node->ops->flags & AE_LAYER_STOPS))
            node->depends_on_parameters |= net->nodes[node->desc.inputs[k]].depends_on_parameters;
    }
    AE_TRY(node->ops->plan(context, plan));
    if (plan->out.width > AE_MAX_WIDTH)
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s' has %lld features; at most %lld are possible", node->desc.name,
                       (long long)plan->out.width, (long long)AE_MAX_WIDTH);
    if (plan->out.multiplicity > AE_MAX_ROWS)
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s' has %lld rows for one of data; at most %lld are possible",
                       node->desc.name, (long long)plan->out.multiplicity, (long long)AE_MAX_ROWS);
    AE_TRY(check_sharing(context, net, node));
    /* A transpose serves the gradient of the input; an input that no parameter stands before has none. A layer that borrows and
     * stops has no way back: it reads the transpose forward. */
    const bool stops = node->ops->flags & AE_LAYER_STOPS;
    bool input_has_gradient = node->depends_on_parameters || stops;
    for (int slot = 0; slot < plan->n_parameters; slot++) {
        plan->parameter[slot].wants_transpose &= input_has_gradient;
        if (node->desc.shares && (slot == 0 || !node->desc.shares_transposed))
            AE_TRY(share_parameter(context, net, i, slot));
        else
            AE_TRY(add_parameter(context, net, i, slot));
        node->depends_on_parameters |= plan->parameter[slot].update == AE_UPDATE_RULE && !stops;
    }
    const double copies = (double)plan->in[0].multiplicity;
    net->flops_per_row += plan->flops_per_row * copies;
    net->flops_per_pair += plan->flops_per_pair * copies * copies;
    net->flops_per_minibatch += plan->flops_per_minibatch;
cleanup:
    return status;
}

/* Whether any use reads the panels of the transpose: as its parameter, or on the way back. */
static bool needs_transpose(const ae_net *net, const ae_parameter *p) {
    bool needs = false;
    for (int i = 0; i < p->n_uses; i++)
        needs |= p->use[i].transposed || net->nodes[p->use[i].node].plan.parameter[p->use[i].slot].wants_transpose;
    return needs;
}

/* Memory for what products of bfloat16 operands read. */
static ae_status lay_out_parts(ae_context *context, ae_net *net, ae_parameter *p) {
    int64_t numbers;
    for (int i = 0; i < p->n_uses; i++)
        if (p->use[i].slot == 0 && net->nodes[p->use[i].node].plan.parts > p->parts)
            p->parts = net->nodes[p->use[i].node].plan.parts;
    p->transposed_parts = needs_transpose(net, p);
    for (int i = 0; p->parts && i < 2; i++) {
        p->parts_offset[i] = net->part_numbers;
        if (!ae_mul_i64(ae_panels(p->request.rows) * ae_panels(p->request.columns), p->parts * AE_BF16_BLOCK, &numbers) ||
            !ae_add_i64(net->part_numbers, numbers, &net->part_numbers))
            return ae_fail(context, AE_ERR_OVERFLOW, "'%s': the parameters together do not fit into memory", p->name);
    }
    return AE_OK;
}

/* Offsets of the parameters that go by the rule, or of the others. */
static ae_status lay_out(ae_context *context, ae_net *net, bool by_rule) {
    ae_status status = AE_OK;
    for (int i = 0; i < net->n_parameters; i++) {
        ae_parameter *p = &net->parameters[i];
        const char *name = net->nodes[p->use[0].node].desc.name;
        int64_t transposed = 0, further;
        if ((p->request.update == AE_UPDATE_RULE) != by_rule)
            continue;
        AE_TRY(panel_reals(context, name, p->request.rows, p->request.columns, &p->size));
        if (needs_transpose(net, p))
            AE_TRY(panel_reals(context, name, p->request.columns, p->request.rows, &transposed));
        p->offset = net->parameter_reals;
        p->transposed_offset = transposed ? net->transposed_reals : -1;
        p->further_offset = net->further_reals;
        AE_TRY(lay_out_parts(context, net, p));
        if (!ae_add_i64(net->parameter_reals, p->size, &net->parameter_reals) ||
            !ae_add_i64(net->transposed_reals, transposed, &net->transposed_reals) ||
            !ae_mul_i64(p->size, p->n_uses - 1, &further) || !ae_add_i64(net->further_reals, further, &net->further_reals))
            return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': the parameters together do not fit into memory", name);
    }
cleanup:
    return status;
}

ae_status ae_net_new(ae_context *context, ae_net **out, int bits, ae_isa isa, const ae_node_desc *descs, int n_nodes) {
    ae_status status;
    ae_net *net = NULL;
    void *block;
    size_t offset, parts;
    *out = NULL;
    if (n_nodes < 1 || n_nodes > AE_MAX_NODES)
        return ae_fail(context, AE_ERR_VALUE, "%d nodes; 1 to %d are allowed", n_nodes, AE_MAX_NODES);
    if (!ae_kernels_get(bits, isa))
        return ae_fail(context, AE_ERR_UNAVAILABLE, "no variant of %d bits for %s in this build", bits, ae_isa_name(isa));
    AE_TRY(ae_alloc(context, &block, 1, sizeof *net));
    net = block;
    net->bits = bits;
    net->isa = isa;
    net->real_size = (size_t)bits / 8;
    ae_arena_init(&net->weights);
    ae_arena_init(&net->values);
    AE_TRY(ae_alloc(context, &block, (size_t)n_nodes, sizeof *net->nodes));
    net->nodes = block;
    AE_TRY(ae_alloc(context, &block, (size_t)n_nodes * AE_MAX_PARAMETERS, sizeof *net->parameters));
    net->parameters = block;
    for (int i = 0; i < n_nodes; i++) {
        const ae_layer_ops *ops = ae_layer_get(bits, isa, descs[i].kind);
        AE_TRY(check_desc(context, descs, i, ops));
        net->nodes[i].desc = descs[i];
        net->nodes[i].ops = ops;
        net->nodes[i].gradient_by = -1;
        net->n_nodes = i + 1;
        AE_TRY(plan_node(context, net, i));
    }
    AE_TRY(lay_out(context, net, true));
    net->trained_reals = net->parameter_reals;
    AE_TRY(lay_out(context, net, false));
    AE_TRY(ae_arena_reserve(&net->weights, context, (size_t)net->parameter_reals, net->real_size, &offset));
    AE_TRY(ae_arena_reserve(&net->weights, context, (size_t)net->transposed_reals, net->real_size, &offset));
    AE_TRY(ae_arena_reserve(&net->weights, context, (size_t)net->part_numbers, sizeof(ae_bf16), &parts));
    AE_TRY(ae_arena_commit(&net->weights, context));
    net->part_base = ae_arena_at(&net->weights, parts);
    net->parameter_base = ae_arena_at(&net->weights, 0);
    net->transposed_base = ae_arena_at(&net->weights, offset);
    *out = net;
    return AE_OK;
cleanup:
    ae_net_free(net);
    return status;
}

static bool reads_pairs(const ae_net *net, int node) { return net->nodes[node].ops->flags & AE_LAYER_READS_PAIRS; }

/* Who reads a node's value: the number of nodes, and of those that can take pairs. */
static int readers_of(const ae_net *net, int node, int *able) {
    int readers = 0;
    *able = 0;
    for (int i = node + 1; i < net->n_nodes; i++)
        for (int k = 0; k < net->nodes[i].desc.n_inputs; k++)
            if (net->nodes[i].desc.inputs[k] == node) {
                readers++;
                *able += reads_pairs(net, i);
            }
    return readers;
}

/* Room of a row for its pairs, in reals, beside the data and gradient in whose place they come. */
#define WORTH_IT(most, width) ((most) <= (width) / 2)

void ae_net_use_pairs(ae_net *net, const bool *outside) {
    for (int i = 0; i < net->n_nodes; i++) {
        ae_node *node = &net->nodes[i];
        const bool source = node->ops->flags & AE_LAYER_SOURCE;
        int able;
        const int readers = readers_of(net, i, &able);
        if (!node->plan.most_nonzero || !able || !WORTH_IT(node->plan.most_nonzero, node->plan.out.width))
            continue;
        node->beside_pairs = outside[i] || able < readers;
        node->by_pairs = source || !node->beside_pairs;
        if (source || !node->by_pairs)
            continue;
        /* Before it a product may do with the gradient at the pairs, where nothing else has one for its value. */
        const int before = node->desc.inputs[0];
        ae_node *producer = &net->nodes[before];
        if (readers_of(net, before, &able) == 1 && !outside[before] && reads_pairs(net, before) &&
            producer->desc.activation == AE_IDENTITY && !net->nodes[producer->desc.inputs[0]].by_pairs)
            producer->gradient_by = i;
        if (producer->gradient_by == i && before + 1 == i && producer->plan.by_panels && node->plan.between_reals)
            producer->by_groups = true;
    }
    /* A product with pairs reads the rows of its weight both ways; one of parts reads packs alone, but where the gradient of its
     * value comes by pairs. */
    for (int i = 0; i < net->n_parameters; i++) {
        ae_parameter *p = &net->parameters[i];
        bool needs = false, in_parts = false, transposed_parts = false;
        for (int u = 0; u < p->n_uses; u++) {
            const ae_node *user = &net->nodes[p->use[u].node];
            const bool by_pairs = (user->ops->flags & AE_LAYER_READS_PAIRS) && net->nodes[user->desc.inputs[0]].by_pairs;
            const bool of_parts = user->plan.parts && p->use[u].slot == 0 && !by_pairs;
            const bool back = user->plan.parameter[p->use[u].slot].wants_transpose && !by_pairs;
            in_parts |= of_parts;
            transposed_parts |= of_parts && (p->use[u].transposed || back);
            needs |= (p->use[u].transposed && !of_parts) || (back && (!of_parts || user->gradient_by >= 0));
        }
        if (!needs)
            p->transposed_offset = -1;
        if (!in_parts)
            p->parts = 0;
        p->transposed_parts = transposed_parts;
    }
}

void ae_net_write_in_place(ae_net *net, int node) {
    int able;
    net->nodes[node].in_place = net->nodes[node].plan.forgets_value && readers_of(net, node, &able) == 0;
}

void ae_net_keep_whole(ae_net *net, int first) {
    if (first > 0)
        net->nodes[first - 1].by_groups = false;
}

void ae_net_reuse_memory(ae_net *net, const bool *outside) {
    net->reuses = true;
    for (int i = 0; i < net->n_nodes; i++)
        net->nodes[i].outside = outside[i];
}

void ae_net_order_pairs(const ae_net *net, int first, int last, int64_t rows) {
    for (int i = first; i <= last; i++) {
        const ae_node *node = &net->nodes[i];
        if (node->by_pairs)
            ae_pairs_order(&node->pairs, rows * node->plan.out.multiplicity, node->plan.out.width);
    }
}

void ae_net_free(ae_net *net) {
    if (!net)
        return;
    ae_arena_destroy(&net->weights);
    ae_arena_destroy(&net->values);
    ae_free(net->parameters);
    ae_free(net->nodes);
    ae_free(net);
}

void ae_net_seed(ae_net *net, uint64_t seed) {
    for (int i = 0; i < net->n_nodes; i++) {
        ae_node *node = &net->nodes[i];
        node->binding.key = ae_key_of(seed, node->ops->stream ? node->ops->stream : AE_STREAM_CORRUPTION, node->desc.name);
        node->binding.scoring_key = ae_key_of(seed, AE_STREAM_SCORING, node->desc.name);
    }
}

ae_status ae_net_initialize(ae_context *context, ae_net *net, uint64_t seed) {
    return ae_net_initialize_asking(context, net, seed, NULL);
}

ae_status ae_net_initialize_asking(ae_context *context, ae_net *net, uint64_t seed, ae_asking *asking) {
    ae_status status = AE_OK;
    for (int i = 0; i < net->n_parameters; i++) {
        const ae_parameter *p = &net->parameters[i];
        char *at = net->parameter_base + (size_t)p->offset * net->real_size;
        memset(at, 0, (size_t)p->size * net->real_size);
        AE_TRY(ae_initialize(context, net->bits, net->isa, &p->request, ae_key_of(seed, AE_STREAM_INIT, p->name), asking, at));
    }
    ae_net_pack_all(net);
cleanup:
    return status;
}

void ae_net_constrain(ae_net *net) {
    const ae_kernels *kernels = ae_kernels_get(net->bits, net->isa);
    for (int i = 0; i < net->n_parameters; i++) {
        const ae_parameter *p = &net->parameters[i];
        if (p->constraint != AE_CONSTRAINT_UNIT_ROWS)
            continue;
        kernels->unit_rows(p->request.rows, p->request.columns, 0, p->request.rows,
                           net->parameter_base + (size_t)p->offset * net->real_size);
        for (int64_t q = 0; q < ae_panels(p->request.columns); q++)
            ae_net_pack_tile(net, i, q, 0, p->request.rows);
    }
}

/* Copies between row-major and panels; which way is told by `to_panels`. */
static void convert(const ae_net *net, int index, char *row_major, char *region, bool to_panels) {
    const ae_parameter *p = &net->parameters[index];
    const size_t size = net->real_size;
    const int64_t rows = p->request.rows, columns = p->request.columns;
    for (int64_t q = 0; q < ae_panels(columns); q++) {
        const size_t run = (size_t)ae_panel_columns(columns, q) * size;
        for (int64_t r = 0; r < rows; r++) {
            char *panel = region + (size_t)(p->offset + (q * rows + r) * AE_PANEL) * size;
            char *plain = row_major + (size_t)(r * columns + q * AE_PANEL) * size;
            memcpy(to_panels ? panel : plain, to_panels ? plain : panel, run);
        }
    }
}

void ae_net_unpack(const ae_net *net, int index, const void *region, void *row_major) {
    convert(net, index, row_major, (char *)(uintptr_t)region, false);
}

void ae_net_pack(const ae_net *net, int index, const void *row_major, void *region) {
    convert(net, index, (char *)(uintptr_t)row_major, region, true);
}

void ae_net_get_parameter(const ae_net *net, int index, void *row_major) {
    ae_net_unpack(net, index, net->parameter_base, row_major);
}

void ae_net_set_parameter(ae_net *net, int index, const void *row_major) {
    ae_net_pack(net, index, row_major, net->parameter_base);
    const ae_parameter *p = &net->parameters[index];
    for (int64_t q = 0; q < ae_panels(p->request.columns); q++)
        ae_net_pack_tile(net, index, q, 0, p->request.rows);
}

ae_parts ae_net_parts(const ae_net *net, const ae_parameter *p, bool transposed) {
    ae_bf16 *first = net->part_base + p->parts_offset[transposed];
    const int64_t numbers = ae_panels(p->request.rows) * ae_panels(p->request.columns) * AE_BF16_BLOCK;
    return (ae_parts){{first, p->parts > 1 ? first + numbers : NULL}};
}

/* The blocks that 32 rows of a panel become: by pairs, and of the transpose or nothing. */
static void packs_of_block(const ae_net *net, const ae_parameter *p, int64_t panel, int64_t row, ae_parts packs[2]) {
    const ae_parts none = {{NULL, NULL}};
    const int64_t plain = panel * ae_panels(p->request.rows) + row / AE_PANEL;
    const int64_t transposed = row / AE_PANEL * ae_panels(p->request.columns) + panel;
    packs[0] = ae_parts_at(ae_net_parts(net, p, false), plain * AE_BF16_BLOCK);
    packs[1] = p->transposed_parts ? ae_parts_at(ae_net_parts(net, p, true), transposed * AE_BF16_BLOCK) : none;
}

/* The place of a block of 32 by 32 in the panels of the transpose. */
static char *transposed_block(const ae_net *net, const ae_parameter *p, int64_t panel, int64_t row) {
    const int64_t reals = p->transposed_offset + (row / AE_PANEL * p->request.columns + panel * AE_PANEL) * AE_PANEL;
    return net->transposed_base + (size_t)reals * net->real_size;
}

void ae_net_prefetch_packs(const ae_net *net, int index, int64_t panel, int64_t row) {
    const ae_parameter *p = &net->parameters[index];
    if (p->transposed_offset >= 0) {
        const char *block = transposed_block(net, p, panel, row);
        const size_t reals = (size_t)(ae_panel_columns(p->request.columns, panel) * AE_PANEL);
        for (size_t at = 0; at < reals * net->real_size; at += AE_ALIGNMENT)
            __builtin_prefetch(block + at, 1, 2);
    }
    if (!p->parts)
        return;
    ae_parts packs[2];
    packs_of_block(net, p, panel, row, packs);
    for (int i = 0; i < 2; i++)
        for (int part = 0; part < 2; part++)
            for (int at = 0; packs[i].part[part] && at < AE_BF16_BLOCK; at += AE_ALIGNMENT / (int)sizeof(ae_bf16))
                __builtin_prefetch(packs[i].part[part] + at, 1, 3);
}

static void pack_parts(const ae_net *net, const ae_parameter *p, int64_t panel, int64_t row0, int64_t row1) {
    const ae_kernels *kernels = ae_kernels_get(net->bits, net->isa);
    const char *from = net->parameter_base + (size_t)(p->offset + panel * p->request.rows * AE_PANEL) * net->real_size;
    for (int64_t row = row0; row < row1; row += AE_PANEL) {
        ae_parts packs[2];
        packs_of_block(net, p, panel, row, packs);
        kernels->bf16_pack(from + (size_t)(row * AE_PANEL) * net->real_size,
                           row1 - row < AE_PANEL ? (int)(row1 - row) : AE_PANEL, p->parts, packs[0], packs[1]);
    }
}

void ae_net_pack_tile(const ae_net *net, int index, int64_t panel, int64_t row0, int64_t row1) {
    const ae_parameter *p = &net->parameters[index];
    if (p->parts)
        pack_parts(net, p, panel, row0, row1);
    if (p->transposed_offset < 0)
        return;
    const ae_kernels *kernels = ae_kernels_get(net->bits, net->isa);
    const int64_t rows = p->request.rows, columns = p->request.columns;
    const char *from = net->parameter_base + (size_t)(p->offset + panel * rows * AE_PANEL) * net->real_size;
    const int present = ae_panel_columns(columns, panel);
    for (int64_t row = row0; row < row1; row += AE_PANEL) {
        const int height = row1 - row < AE_PANEL ? (int)(row1 - row) : AE_PANEL;
        char *tile = transposed_block(net, p, panel, row);
        if (present == AE_PANEL) {
            kernels->tile_transpose(from + (size_t)(row * AE_PANEL) * net->real_size, height, tile);
        } else { /* the transpose has only `present` rows left here: via a full tile */
            _Alignas(AE_ALIGNMENT) char whole[AE_PANEL * AE_PANEL * sizeof(double)];
            kernels->tile_transpose(from + (size_t)(row * AE_PANEL) * net->real_size, height, whole);
            memcpy(tile, whole, (size_t)(present * AE_PANEL) * net->real_size);
        }
    }
}

void ae_net_pack_all(const ae_net *net) {
    for (int i = 0; i < net->n_parameters; i++)
        for (int64_t q = 0; q < ae_panels(net->parameters[i].request.columns); q++)
            ae_net_pack_tile(net, i, q, 0, net->parameters[i].request.rows);
}
