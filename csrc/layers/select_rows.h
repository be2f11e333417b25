/* What layers share that keep the largest entries of a row: keys, the selection by row, and the counter of dead latents.
 *
 * A key is the entry itself; NaN ranks with +infinity, so that it is chosen and shows in the loss instead of vanishing, and
 * -infinity with the lowest finite number. What may not be chosen (padding, latents that are not dead) has the key -infinity. */
#ifndef AE_LAYERS_SELECT_ROWS_H
#define AE_LAYERS_SELECT_ROWS_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "layers/layer.h"
#include "math/ahead.h"
#include "math/lanes.h"
#include "math/select.h"

#define SELECT_ROWS 8 /* read together: their pieces of a panel lie together */
#define SELECT_CACHE 2
#define SINCE_MOST 16777216.0 /* 2^24: up to here float counts exactly */
#define SELECT_LOWEST (AE_BITS == 32 ? -(real)FLT_MAX : -(real)DBL_MAX)

AE_INLINE vec select_key(vec x, vmask allowed) {
    const vec number = v_add(v_max(x, v_set1(SELECT_LOWEST)), v_zero()); /* and -0 becomes 0 */
    return v_select(allowed, v_select(v_unordered(x, x), v_set1((real)INFINITY), number), v_set1(-(real)INFINITY));
}

/* Above the value, or equal to it in one of the first `limit` lanes of the panel. */
AE_INLINE vmask select_keeps(vec key, vec value, int j, vec limit) {
    const vmask early = v_lt(v_add(v_iota(), v_set1((real)j)), limit);
    return m_or(v_lt(value, key), m_and(v_eq(value, key), early));
}

/* ReLU that lets NaN through. */
AE_INLINE vec select_positive(vec x) { return v_select(v_le(x, v_zero()), v_zero(), x); }

/* How a layer selects by row. */
typedef struct select_rule {
    int64_t k;
    bool positive;     /* negative survivors become zero */
    const real *since; /* not NULL: only latents that have been silent for `after` rows */
    real after;
} select_rule;

AE_INLINE vmask select_allowed(const select_rule *rule, int64_t panel, int columns, int j) {
    const vmask present = lanes_below(columns, j);
    if (!rule->since)
        return present;
    return m_and(present, v_le(v_set1(rule->after), v_load(rule->since + panel * AE_PANEL + j)));
}

static int64_t select_n_allowed(const select_rule *rule, int64_t width) {
    int64_t n = 0;
    for (int64_t column = 0; column < width; column++)
        n += !rule->since || rule->since[column] >= rule->after;
    return n;
}

/* to = from where chosen, else 0, for rows row .. row + n - 1; what is chosen is told by `in` and by (value, limit) of each
 * row, the position of the last of equal ones + 1. */
static void select_write(const select_rule *rule, const ae_value *in, const real *from, int64_t from_stride, int64_t row, int n,
                         real (*chosen)[SELECT_CACHE], real *to, int64_t to_stride, bool add) {
    const int64_t width = in->shape.width;
    for (int64_t p = 0; p < ae_panels(width); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            const vmask allowed = select_allowed(rule, p, ae_panel_columns(width, p), j);
            for (int r = 0; r < n; r++) {
                const int64_t at = (row + r) * AE_PANEL + j;
                const vec x = v_load((const real *)in->data + p * in->stride + at);
                const vec limit = v_set1(chosen[r][1] - (real)(p * AE_PANEL));
                vmask keeps = select_keeps(select_key(x, allowed), v_set1(chosen[r][0]), j, limit);
                if (rule->positive)
                    keeps = m_and(keeps, m_not(v_le(x, v_zero())));
                const vec kept = v_select(keeps, v_load(from + p * from_stride + at), v_zero());
                real *out = to + p * to_stride + at;
                v_store(out, add ? v_add(v_load(out), kept) : kept);
            }
        }
}

/* What is chosen of rows row .. row + n - 1, as pairs. keys: of select_choose, or NULL where it had none to make; most of a row are
 * below what is chosen. */
static void select_pairs(const select_rule *rule, const ae_value *in, int64_t row, int n, real (*chosen)[SELECT_CACHE],
                         const real *keys, const ae_pairs *pairs) {
    const int64_t width = in->shape.width, padded = ae_panels(width) * AE_PANEL;
    memset(pairs->count + row, 0, (size_t)n * sizeof *pairs->count);
    for (int64_t p = 0; p < ae_panels(width); p++)
        for (int r = 0; r < n; r++)
            for (int j = 0; j < AE_PANEL; j += VL) {
                if (keys && !m_any(v_le(v_set1(chosen[r][0]), v_load(keys + r * padded + p * AE_PANEL + j))))
                    continue;
                const real *at = (const real *)in->data + p * in->stride + (row + r) * AE_PANEL + j;
                const vec key = select_key(v_load(at), select_allowed(rule, p, ae_panel_columns(width, p), j));
                const vmask keeps = select_keeps(key, v_set1(chosen[r][0]), j, v_set1(chosen[r][1] - (real)(p * AE_PANEL)));
                if (!m_any(keeps))
                    continue;
                real lane[VL];
                v_store(lane, v_select(keeps, v_set1(1), v_zero()));
                for (int i = 0; i < VL; i++) {
                    const int32_t count = pairs->count[row + r];
                    if (lane[i] == 0 || (rule->positive && at[i] <= 0) || count == pairs->most)
                        continue;
                    pairs->column[(row + r) * pairs->most + count] = (int32_t)(p * AE_PANEL) + j + i;
                    ((real *)pairs->value)[(row + r) * pairs->most + count] = at[i];
                    pairs->count[row + r]++;
                }
            }
}

/* in.gradient = or += the gradient of pairs, for rows row0 .. row1 - 1. */
static void select_scatter(const ae_value *in, const ae_pairs *pairs, int64_t row0, int64_t row1, bool accumulate) {
    for (int64_t p = 0; !accumulate && p < ae_panels(in->shape.width); p++)
        memset((real *)in->gradient + p * in->stride + row0 * AE_PANEL, 0, (size_t)((row1 - row0) * AE_PANEL) * sizeof(real));
    for (int64_t row = row0; row < row1; row++)
        for (int32_t i = 0; i < pairs->count[row]; i++) {
            const int64_t at = row * pairs->most + i;
            const int32_t c = pairs->column[at];
            ((real *)in->gradient)[c / AE_PANEL * in->stride + row * AE_PANEL + c % AE_PANEL] +=
                ((const real *)pairs->gradient)[at];
        }
}

/* Selects for rows row .. row + n - 1. scratch: ae_select_scratch. */
static void select_choose(const select_rule *rule, const ae_value *in, int64_t row, int n, int64_t allowed, real *scratch,
                          real (*chosen)[SELECT_CACHE]) {
    const int64_t width = in->shape.width, padded = ae_panels(width) * AE_PANEL;
    for (int r = 0; r < n; r++) {
        chosen[r][0] = rule->k >= allowed ? -(real)INFINITY : (real)INFINITY;
        chosen[r][1] = 0;
    }
    if (rule->k >= allowed)
        return; /* all of them */
    for (int64_t p = 0; p < ae_panels(width); p++) {
        ae_ask_ahead((const real *)in->data + p * in->stride + row * AE_PANEL, in->stride, p, ae_panels(width), n, false);
        for (int j = 0; j < AE_PANEL; j += VL) {
            const vmask may = select_allowed(rule, p, ae_panel_columns(width, p), j);
            for (int r = 0; r < n; r++)
                v_store(scratch + r * padded + p * AE_PANEL + j,
                        select_key(v_load((const real *)in->data + p * in->stride + (row + r) * AE_PANEL + j), may));
        }
    }
    for (int r = 0; r < n; r++) {
        const ae_keys keys = {scratch + r * padded, 1, padded, padded};
        const ae_selection s = AE_V(ae_select_largest)(&keys, rule->k, SELECT_LOWEST, scratch + SELECT_ROWS * padded, padded);
        chosen[r][0] = s.value;
        chosen[r][1] = (real)(s.last < width ? s.last + 1 : width);
    }
}

static inline int64_t select_scratch(int64_t width) { return (SELECT_ROWS + 1) * ae_panels(width) * AE_PANEL; }

static void select_forward(const select_rule *rule, const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const int64_t allowed = select_n_allowed(rule, in->shape.width);
    for (int64_t row = row0; row < row1; row += SELECT_ROWS) {
        const int n = row1 - row < SELECT_ROWS ? (int)(row1 - row) : SELECT_ROWS;
        real chosen[SELECT_ROWS][SELECT_CACHE];
        select_choose(rule, in, row, n, allowed, block->scratch, chosen);
        if (out->pairs)
            select_pairs(rule, in, row, n, chosen, rule->k < allowed ? block->scratch : NULL, out->pairs);
        else
            select_write(rule, in, in->data, in->stride, row, n, chosen, out->data, out->stride, false);
        for (int r = 0; block->keep && r < n; r++)
            memcpy((real *)binding->cache + (row + r) * AE_PANEL, chosen[r], sizeof chosen[r]);
    }
}

static void select_backward(const select_rule *rule, const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0], *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    if (!in->gradient)
        return;
    if (out->pairs) {
        if (in->gradient_pairs != out->pairs)
            select_scatter(in, out->pairs, row0, row1, binding->accumulate[0]);
        return;
    }
    for (int64_t row = row0; row < row1; row += SELECT_ROWS) {
        const int n = row1 - row < SELECT_ROWS ? (int)(row1 - row) : SELECT_ROWS;
        real chosen[SELECT_ROWS][SELECT_CACHE];
        for (int r = 0; r < n; r++)
            memcpy(chosen[r], (const real *)binding->cache + (row + r) * AE_PANEL, sizeof chosen[r]);
        select_write(rule, in, out->gradient, out->stride, row, n, chosen, in->gradient, in->stride, binding->accumulate[0]);
    }
}

/* Rows since each latent of a panel was last active: 0 where one of the minibatch's rows has it, else more by these rows
 * (Gao et al. 2024, who count tokens). */
static void select_assign_since(const ae_binding *binding, const real *before, int64_t panel, int64_t rows, real *now) {
    const ae_pairs *pairs = binding->out.pairs;
    if (pairs) {
        memset(now, 0, AE_PANEL * sizeof *now);
        for (int c = 0; c < ae_panel_columns(binding->out.shape.width, panel); c++) {
            const int64_t column = panel * AE_PANEL + c;
            const real silent = before[column] + (real)rows;
            bool active = false;
            for (int32_t i = pairs->start[column]; i < pairs->start[column + 1]; i++)
                active |= ((const real *)pairs->value)[pairs->entry[i]] != 0;
            now[c] = active ? 0 : silent < (real)SINCE_MOST ? silent : (real)SINCE_MOST;
        }
        return;
    }
    const real *code = (const real *)binding->out.data + panel * binding->out.stride;
    const int columns = ae_panel_columns(binding->out.shape.width, panel);
    const vec most = v_set1((real)SINCE_MOST), more = v_set1((real)rows);
    for (int j = 0; j < AE_PANEL; j += VL) {
        vec active = v_zero();
        for (int64_t row = 0; row < rows; row++)
            active = v_select(v_eq(v_load(code + row * AE_PANEL + j), v_zero()), active, v_set1(1));
        const vec silent = v_min(v_add(v_load(before + panel * AE_PANEL + j), more), most);
        const vec since = v_select(v_eq(active, v_zero()), silent, v_zero());
        v_store(now + j, v_select(lanes_below(columns, j), since, v_zero()));
    }
}

/* Checks size[0], size[1], size[2] and value[0] as the two layers read them. */
static ae_status select_check(ae_context *context, const ae_layer_plan *plan, bool has_relu_flag) {
    const ae_node_desc *desc = plan->desc;
    if (desc->size[0] < 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': k is %d; it must be at least 1", desc->name, (int)desc->size[0]);
    if (desc->size[1] < 0 || desc->size[1] > has_relu_flag || desc->size[2] < 0 || desc->size[2] > 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': size[1] is %d (0 to %d) and size[2] %d (0 or 1)", desc->name,
                       (int)desc->size[1], has_relu_flag, (int)desc->size[2]);
    if (desc->size[2] && !(desc->value[0] >= 1.0 && desc->value[0] <= SINCE_MOST))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': dead_after is %g; it must be 1 to %d rows", desc->name,
                       desc->value[0], (int)SINCE_MOST);
    if (plan->in[0].width > (int64_t)SINCE_MOST)
        return ae_fail(context, AE_ERR_OVERFLOW, "node '%s': it has %lld features; at most %d are possible", desc->name,
                       (long long)plan->in[0].width, (int)SINCE_MOST);
    return AE_OK;
}

#endif
