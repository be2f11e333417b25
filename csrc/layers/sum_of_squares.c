/* The squares of all entries that belong to a row of data: in (B m, n), out (B, 1). */
#include "layers/penalty.h"

AE_PLAN(sum_of_squares) {
    (void)context;
    plan->out = (ae_shape){1, 1};
    plan->flops_per_row = 2.0 * (double)plan->in[0].width;
    return AE_OK;
}

/* 32 lanes by column, rows then panels in order. */
static void sum_of_squares_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0];
    const int64_t m = in->shape.multiplicity;
    for (int64_t row = block->row0; row < block->row1; row++) {
        vec lanes[PENALTY_VECTORS];
        penalty_clear(lanes);
        for (int64_t p = 0; p < ae_panels(in->shape.width); p++) {
            const int columns = ae_panel_columns(in->shape.width, p);
            const real *x = (const real *)in->data + p * in->stride;
            for (int64_t i = row * m; i < (row + 1) * m; i++)
                for (int v = 0; v < PENALTY_VECTORS; v++) {
                    vec entry = v_load(x + i * AE_PANEL + v * VL);
                    if (columns != AE_PANEL)
                        entry = v_select(lanes_below(columns, v * VL), entry, v_zero());
                    lanes[v] = v_fma(entry, entry, lanes[v]);
                }
        }
        rows_set_single(&binding->out, row, penalty_join(lanes));
    }
}

static void sum_of_squares_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0];
    const int64_t m = in->shape.multiplicity;
    for (int64_t p = 0; in->gradient && p < ae_panels(in->shape.width); p++)
        for (int64_t i = block->row0 * m; i < block->row1 * m; i++) {
            const vec twice = v_set1(2 * penalty_gradient(&binding->out, i / m));
            for (int j = 0; j < AE_PANEL; j += VL) {
                const int64_t at = p * in->stride + i * AE_PANEL + j;
                real *to = (real *)in->gradient + at;
                v_store(to, v_fma(twice, v_load((const real *)in->data + at), binding->accumulate[0] ? v_load(to) : v_zero()));
            }
        }
}

const ae_layer_ops AE_V(ae_layer_sum_of_squares) = {
    .name = "sum_of_squares",
    .min_inputs = 1,
    .max_inputs = 1,
    .plan = AE_PLANNED(sum_of_squares),
    .forward = sum_of_squares_forward,
    .backward_data = sum_of_squares_backward_data,
};
