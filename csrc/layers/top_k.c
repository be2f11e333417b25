/* TopK: of each row the k largest entries, the rest zero (Makhzani and Frey 2014, k-sparse autoencoders: linear survivors; Gao et
 * al. 2024, "Scaling and evaluating sparse autoencoders": ReLU behind). The gradient goes through what was kept.
 *
 * (B, n) -> (B, n). size[0]: k, clamped to n. size[1] = 1: negative survivors become zero. Of equal entries the lower
 * columns are kept; NaN ranks with +infinity (layers/select_rows.h).
 * Parameter "since" (1, n), assigned: training rows since each latent was last active, exact to 2^24, where it stays; by
 * minibatch, 0 if any of its rows had the latent.
 * size[2] = 1: the auxiliary selection of Gao et al.: the k largest among latents that are dead, those with since >=
 * value[0]; all of them where there are fewer, none where there are none. Such a node shares the parameters of the main one. */
#include "layers/select_rows.h"

/* ---- by groups of panels ---- */

/* Of a row of which some panels have been taken: entries that may be among the k largest, in the order of their columns. Whenever there
 * is no room for more, the k largest of them remain, and some others, and what comes must be above what parts these from the rest. */
typedef struct top_k_row {
    real *entry;     /* [room] */
    int32_t *column; /* [room] */
    real *bound;     /* a key must be above it: at most the k-th largest so far, above all smaller ones; or -infinity */
    int32_t *count;
} top_k_row;

#define ROWS_TOGETHER 256 /* whose bounds stay in the first-level cache while their panels are looked through */

static int64_t most_of(const ae_node_desc *desc, int64_t width) { return desc->size[0] < width ? desc->size[0] : width; }

/* Entries in no special order come in at a rate of k to the columns before the last selection. So c k of room take c times as many
 * columns as the selection before had, and (c - 1) k entries: few selections for a large c, few entries for a small one. */
static int64_t room_of(int64_t k) { return (3 * k + AE_PANEL + AE_PANEL - 1) / AE_PANEL * AE_PANEL; }

static top_k_row row_of(const ae_binding *binding, int64_t k, int64_t row) {
    const int64_t room = room_of(k);
    real *at = (real *)binding->between + row * (2 * room + AE_PANEL);
    return (top_k_row){at, (int32_t *)(void *)(at + room), at + 2 * room, (int32_t *)(void *)(at + 2 * room + 1)};
}

/* Leaves the k largest, of equal ones the first; or up to `enough`, which are found sooner. scratch: the room. */
static AE_NOINLINE void keep_largest(const top_k_row *row, int64_t k, int64_t enough, real *scratch) {
    const int n = *row->count;
    const int64_t padded = (n + AE_PANEL - 1) / AE_PANEL * AE_PANEL;
    const ae_keys keys = {scratch, 1, padded, padded};
    vec most = v_set1(SELECT_LOWEST);
    real lane[VL], high = SELECT_LOWEST;
    for (int i = 0; i < padded; i += VL) {
        const vec key = select_key(v_load(row->entry + i), lanes_below(n, i));
        v_store(scratch + i, key);
        most = v_max(key, most);
    }
    v_store(lane, most);
    for (int i = 0; i < VL; i++)
        high = lane[i] > high ? lane[i] : high;
    const real low = *row->bound > SELECT_LOWEST ? *row->bound : SELECT_LOWEST;
    const ae_selection chosen = AE_V(ae_select_about)(&keys, k, enough, low, high);
    const vec value = v_set1(chosen.value), limit = v_set1((real)(chosen.last < n ? chosen.last + 1 : n));
    int32_t kept = 0;
    for (int i = 0; i < n; i += VL)
        for (unsigned lanes = m_bits(select_keeps(v_load(scratch + i), value, i, limit)); lanes; lanes &= lanes - 1, kept++) {
            const int at = i + __builtin_ctz(lanes);
            row->entry[kept] = row->entry[at];
            row->column[kept] = row->column[at];
        }
    *row->count = kept;
    *row->bound = chosen.value;
}

/* What of the entries x of columns `column` and following is above the bound. */
static AE_NOINLINE void take_entries(const top_k_row *row, int64_t k, const real *x, int32_t column, vmask allowed,
                                     real *scratch) {
    if (*row->count + VL > room_of(k))
        keep_largest(row, k, k + k / 2, scratch);
    const vec entries = v_load(x);
    unsigned lanes = m_bits(v_lt(v_set1(*row->bound), select_key(entries, allowed)));
    int32_t count = *row->count;
    if (lanes == (1u << VL) - 1) { /* as at first */
        v_store(row->entry + count, entries);
        u_store((uint32_t *)row->column + count, u_add(u_set1((uint32_t)column), u_iota()));
        lanes = 0, count += VL;
    }
    for (; lanes; lanes &= lanes - 1, count++) {
        const int lane = __builtin_ctz(lanes);
        row->entry[count] = x[lane];
        row->column[count] = column + lane;
    }
    *row->count = count;
}

/* What is not up to it is looked at: everything at first, and always NaN. */
static real passing(const top_k_row *row) { return *row->bound < SELECT_LOWEST ? (real)NAN : *row->bound; }

static void take_group(const select_rule *rule, const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0];
    const int64_t row1 = block->row1 * in->shape.multiplicity, k = most_of(binding->desc, in->shape.width);
    for (int64_t row = block->row0 * in->shape.multiplicity; row < row1; row += ROWS_TOGETHER) {
        const int n = row1 - row < ROWS_TOGETHER ? (int)(row1 - row) : ROWS_TOGETHER;
        real pass[ROWS_TOGETHER];
        for (int r = 0; r < n; r++) {
            const top_k_row of = row_of(binding, k, row + r);
            if (block->panel0 == 0) {
                *of.count = 0;
                *of.bound = -(real)INFINITY;
            }
            pass[r] = passing(&of);
        }
        for (int64_t p = block->panel0; p < block->panel1; p++) {
            const real *x = (const real *)in->data + ae_panel_at(in, p) + row * AE_PANEL;
            const int columns = ae_panel_columns(in->shape.width, p);
            for (int r = 0; r < n; r++, x += AE_PANEL) {
                vmask up_to = v_le(v_load(x), v_set1(pass[r]));
                for (int j = VL; j < AE_PANEL; j += VL)
                    up_to = m_and(up_to, v_le(v_load(x + j), v_set1(pass[r])));
                if (!m_any(m_not(up_to)))
                    continue;
                const top_k_row of = row_of(binding, k, row + r);
                for (int j = 0; j < AE_PANEL; j += VL)
                    if (m_any(m_not(v_le(v_load(x + j), v_set1(pass[r])))))
                        take_entries(&of, k, x + j, (int32_t)(p * AE_PANEL) + j, select_allowed(rule, p, columns, j),
                                     block->scratch);
                pass[r] = passing(&of);
            }
        }
    }
}

/* All panels have been taken. */
static void give_pairs(const select_rule *rule, const ae_binding *binding, const ae_block *block) {
    const ae_pairs *pairs = binding->out.pairs;
    const ae_shape *shape = &binding->out.shape;
    const int64_t k = most_of(binding->desc, shape->width);
    for (int64_t row = block->row0 * shape->multiplicity; row < block->row1 * shape->multiplicity; row++) {
        const top_k_row of = row_of(binding, k, row);
        int32_t count = 0;
        if (*of.count > k)
            keep_largest(&of, k, k, block->scratch);
        for (int32_t i = 0; i < *of.count; i++) {
            if (rule->positive && of.entry[i] <= 0)
                continue;
            pairs->column[row * pairs->most + count] = of.column[i];
            ((real *)pairs->value)[row * pairs->most + count] = of.entry[i];
            count++;
        }
        pairs->count[row] = count;
    }
}

/* ---- the layer ---- */

static select_rule rule_of(const ae_binding *binding) {
    const ae_node_desc *desc = binding->desc;
    return (select_rule){desc->size[0], desc->size[1] == 1, desc->size[2] ? binding->parameter[0] : NULL, (real)desc->value[0]};
}

AE_PLAN(top_k) {
    ae_status status = select_check(context, plan, true);
    plan->out = plan->in[0];
    plan->n_parameters = 1;
    plan->parameter[0] =
        (ae_parameter_request){"since", 1, plan->in[0].width, 1, 1, AE_INIT_ZERO, false, false, AE_UPDATE_ASSIGN};
    plan->cache_width = SELECT_CACHE;
    plan->most_nonzero = most_of(plan->desc, plan->in[0].width);
    plan->scratch_reals = select_scratch(plan->in[0].width);
    const int64_t room = room_of(plan->most_nonzero);
    plan->between_reals = 4 * room <= plan->in[0].width ? 2 * room + AE_PANEL : 0;
    plan->flops_per_row = 20.0 * (double)plan->in[0].width;
    return status;
}

static void top_k_forward(const ae_binding *binding, const ae_block *block) {
    const select_rule rule = rule_of(binding);
    if (block->share == AE_SHARE_READ)
        take_group(&rule, binding, block);
    else if (block->share == AE_SHARE_WRITTEN)
        give_pairs(&rule, binding, block);
    else
        select_forward(&rule, binding, block);
}

static void top_k_backward_data(const ae_binding *binding, const ae_block *block) {
    const select_rule rule = rule_of(binding);
    select_backward(&rule, binding, block);
}

static void top_k_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                   void *gradient) {
    (void)accumulate; /* there are no chunks */
    select_assign_since(binding, binding->parameter[0], tile->panel, rows, gradient);
}

const ae_layer_ops AE_V(ae_layer_top_k) = {
    .name = "top_k",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(top_k),
    .forward = top_k_forward,
    .backward_data = top_k_backward_data,
    .backward_weights = top_k_backward_weights,
};
