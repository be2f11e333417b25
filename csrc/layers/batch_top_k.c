/* BatchTopK (Bussmann, Leask and Nanda 2024): of a minibatch of B rows, behind a ReLU, the B k largest entries, however they spread
 * over the rows. The gradient goes through what was kept. All rows count alike, whatever their weight.
 *
 * (B, n) -> (B, n). size[0]: k, clamped to n. Of equal entries those of the lower panel of 32 columns, the lower row, the lower
 * column are kept; NaN ranks with +infinity (layers/select_rows.h).
 * Where there is no minibatch (inference, evaluation) an entry is kept that is above the running threshold: the expected smallest
 * positive entry kept. Parameter "threshold" (1, 2), assigned: the threshold, and the number of minibatches that have
 * had their say. It is their plain mean, and once there are 1 / momentum of them a moving average: momentum value[0], 0 means
 * 0.001. (The paper averages over many minibatches after training; a moving average follows the weights.)
 * Parameter "since" (1, n), and size[2] = 1 with value[0] the rows after which a latent is dead: as top_k (layers/top_k.c).
 *
 * The selection is one task on one thread: two passes over the minibatch, and a few over what is left of it. Until forward
 * writes it, out.data holds the keys. */
#include "layers/select_rows.h"

enum { SINCE, THRESHOLD };

typedef struct batch_numbers {
    int64_t panel, row; /* of the last of those equal to value */
    real value, limit;  /* and its column + 1 */
    real smallest;      /* positive entry that is kept; not finite: none */
} batch_numbers;

static double momentum_of(const ae_node_desc *desc) { return desc->value[0] == 0.0 ? 0.001 : desc->value[0]; }

static int64_t k_of(const ae_binding *binding) {
    return binding->desc->size[0] < binding->out.shape.width ? binding->desc->size[0] : binding->out.shape.width;
}

static select_rule auxiliary(const ae_binding *binding) {
    return (select_rule){binding->desc->size[0], true, binding->parameter[SINCE], (real)binding->desc->value[0]};
}

AE_PLAN(batch_top_k) {
    const ae_node_desc *desc = plan->desc;
    const int64_t width = plan->in[0].width;
    ae_status status = select_check(context, plan, false);
    if (status != AE_OK)
        return status;
    if (!desc->size[2] && !(momentum_of(desc) > 0.0 && momentum_of(desc) <= 1.0))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': momentum is %g; it must be above 0 and at most 1", desc->name,
                       desc->value[0]);
    const int64_t k = desc->size[0] < width ? desc->size[0] : width;
    plan->out = plan->in[0];
    plan->n_parameters = 2;
    plan->parameter[SINCE] = (ae_parameter_request){"since", 1, width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_ASSIGN};
    plan->parameter[THRESHOLD] = (ae_parameter_request){"threshold", 1, 2, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_ASSIGN};
    /* Room for the selection: the cache is by row, as the number of entries kept is. */
    plan->cache_width = desc->size[2] || 16 * k > width ? SELECT_CACHE : 9 * k;
    plan->scratch_reals = desc->size[2] ? select_scratch(width) : 0;
    plan->coupling_parts = 1;
    plan->coupling_reals = (int64_t)((sizeof(batch_numbers) + sizeof(real) - 1) / sizeof(real));
    plan->flops_per_row = 20.0 * (double)width;
    return AE_OK;
}

/* The smallest key above `value`, or from it on. */
static real smallest_from(const ae_keys *keys, real value, bool above) {
    vec least[AE_PANEL / VL];
    real lane[AE_PANEL];
    for (int v = 0; v < AE_PANEL / VL; v++)
        least[v] = v_set1((real)INFINITY);
    for (int64_t run = 0; run < keys->runs; run++)
        for (int64_t i = 0; i < keys->length; i += AE_PANEL)
            for (int v = 0; v < AE_PANEL / VL; v++) {
                const vec x = v_load(keys->at + run * keys->stride + i + v * VL);
                const vmask kept = above ? v_lt(v_set1(value), x) : v_le(v_set1(value), x);
                least[v] = v_min(v_select(kept, x, v_set1((real)INFINITY)), least[v]);
            }
    for (int v = 0; v < AE_PANEL / VL; v++)
        v_store(lane + v * VL, least[v]);
    for (int i = 1; i < AE_PANEL; i++)
        lane[0] = lane[i] < lane[0] ? lane[i] : lane[0];
    return lane[0];
}

static void write_keys(const ae_binding *binding, int64_t rows) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    for (int64_t p = 0; p < ae_panels(out->shape.width); p++)
        for (int64_t i = 0; i < rows * AE_PANEL; i += VL) {
            const vec x = select_positive(v_load((const real *)in->data + p * in->stride + i));
            const vmask present = lanes_below(ae_panel_columns(out->shape.width, p), (int)(i % AE_PANEL));
            v_store((real *)out->data + p * out->stride + i, select_key(x, present));
        }
}

static void batch_top_k_couple(const ae_binding *binding, int64_t rows, int64_t part, bool training) {
    batch_numbers *numbers = binding->coupling;
    const ae_value *out = &binding->out;
    const int64_t count = rows * k_of(binding), columns = 9 * k_of(binding);
    const int64_t room = 16 * k_of(binding) > out->shape.width ? 0 : ae_panels(columns) * out->stride;
    (void)part, (void)training;
    if (binding->desc->size[2])
        return;
    write_keys(binding, rows);
    const ae_keys keys = {out->data, ae_panels(out->shape.width), rows * AE_PANEL, out->stride};
    *numbers = (batch_numbers){.panel = -1};
    if (AE_V(ae_count_above)(&keys, 0) > count) {
        const ae_selection s = AE_V(ae_select_largest)(&keys, count, 0, binding->cache, room);
        numbers->value = s.value;
        if (s.last == INT64_MAX) {
            numbers->panel = keys.runs;
        } else {
            numbers->panel = s.last / keys.length;
            numbers->row = s.last % keys.length / AE_PANEL;
            numbers->limit = (real)(s.last % AE_PANEL + 1);
        }
    }
    numbers->smallest = smallest_from(&keys, numbers->value, numbers->panel < 0);
}

/* Of a row of a panel: how many of its columns may be kept that equal the value. */
static real limit_at(const batch_numbers *numbers, int64_t panel, int64_t row) {
    if (panel != numbers->panel)
        return panel < numbers->panel ? AE_PANEL : 0;
    return row < numbers->row ? AE_PANEL : row > numbers->row ? 0 : numbers->limit;
}

/* to = from where kept, else 0. */
static void write_kept(const ae_binding *binding, const batch_numbers *numbers, const ae_block *block, const real *from,
                       int64_t from_stride, real *to, int64_t to_stride, bool add) {
    const ae_value *in = &binding->in[0];
    const int64_t row0 = block->row0 * in->shape.multiplicity, row1 = block->row1 * in->shape.multiplicity;
    const vec value = v_set1(numbers->value);
    for (int64_t p = 0; p < ae_panels(in->shape.width); p++)
        for (int64_t row = row0; row < row1; row++) {
            const vec limit = v_set1(limit_at(numbers, p, row));
            for (int j = 0; j < AE_PANEL; j += VL) {
                const int64_t at = row * AE_PANEL + j;
                const vec x = select_positive(v_load((const real *)in->data + p * in->stride + at));
                const vmask present = lanes_below(ae_panel_columns(in->shape.width, p), j);
                const vmask keeps = m_and(select_keeps(select_key(x, present), value, j, limit), m_not(v_eq(x, v_zero())));
                const vec kept = v_select(keeps, v_load(from + p * from_stride + at), v_zero());
                real *out = to + p * to_stride + at;
                v_store(out, add ? v_add(v_load(out), kept) : kept);
            }
        }
}

static void batch_top_k_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    if (binding->desc->size[2]) {
        const select_rule rule = auxiliary(binding);
        select_forward(&rule, binding, block);
        return;
    }
    const batch_numbers running = {.panel = -1, .value = *(const real *)binding->parameter[THRESHOLD]};
    write_kept(binding, block->keep ? binding->coupling : &running, block, in->data, in->stride, out->data, out->stride, false);
}

static void batch_top_k_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    if (binding->desc->size[2]) {
        const select_rule rule = auxiliary(binding);
        select_backward(&rule, binding, block);
    } else if (in->gradient) {
        write_kept(binding, binding->coupling, block, out->gradient, out->stride, in->gradient, in->stride,
                   binding->accumulate[0]);
    }
}

static void batch_top_k_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                         void *gradient) {
    const real *before = binding->parameter[tile->parameter];
    real *now = gradient;
    (void)accumulate; /* there are no chunks */
    if (tile->parameter == SINCE) {
        select_assign_since(binding, before, tile->panel, rows, gradient);
        return;
    }
    memcpy(now, before, AE_PANEL * sizeof(real));
    const batch_numbers *numbers = binding->coupling;
    if (binding->desc->size[2] || !isfinite(numbers->smallest))
        return;
    const double first = 1.0 / ((double)before[1] + 1.0), momentum = momentum_of(binding->desc);
    now[0] = before[0] + (real)(first > momentum ? first : momentum) * (numbers->smallest - before[0]);
    now[1] = before[1] < (real)SINCE_MOST ? before[1] + 1 : before[1];
}

const ae_layer_ops AE_V(ae_layer_batch_top_k) = {
    .name = "batch_top_k",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_COUPLES_ROWS,
    .plan = AE_PLANNED(batch_top_k),
    .forward = batch_top_k_forward,
    .backward_data = batch_top_k_backward_data,
    .backward_weights = batch_top_k_backward_weights,
    .couple = batch_top_k_couple,
};
