/* Contraction of one layer, in closed form: with s = f'(a) the Jacobian of the code is diag(s) W', so
 *
 *     |J|^2 = sum over j of s_j^2 c_j,    c_j = |column j of W|^2
 *
 * (Rifai et al. 2011, "Contractive auto-encoders", there for one sigmoid layer, here for any activation). in: s
 * (B m, n), a slope node; m rows, copies or differences of them, add up. The weight (d, n) is that of the dense node which it
 * shares, as it is or transposed; desc->width is d. out (B, 1). It costs about d n once a block of rows, and n a row.
 *
 *     s.gradient = 2 g s_j c_j        W.gradient, column j = 2 W_j t_j,   t_j = sum over rows of g s_j^2 */
#include "layers/penalty.h"

AE_PLAN(contraction) {
    const int64_t inputs = plan->desc->width, units = plan->in[0].width;
    if (inputs < 1)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': width (inputs of the layer) is %lld; it must be at least 1",
                       plan->desc->name, (long long)inputs);
    plan->out = (ae_shape){1, 1};
    plan->n_parameters = 1;
    plan->parameter[0] =
        (ae_parameter_request){"weight", inputs, units, inputs, units, AE_INIT_ZERO, true, false, AE_UPDATE_RULE};
    plan->scratch_reals = ae_panels(units) * AE_PANEL;
    plan->flops_per_row = 4.0 * (double)units;
    return AE_OK;
}

/* Inputs in order. */
static void column_norms(const ae_binding *binding, real *norm) {
    const int64_t inputs = binding->parameter_rows[0];
    for (int64_t p = 0; p < ae_panels(binding->in[0].shape.width); p++) {
        const real *w = (const real *)binding->parameter[0] + p * inputs * AE_PANEL;
        vec lanes[PENALTY_VECTORS];
        penalty_clear(lanes);
        for (int64_t i = 0; i < inputs; i++)
            for (int v = 0; v < PENALTY_VECTORS; v++) {
                const vec entry = v_load(w + i * AE_PANEL + v * VL);
                lanes[v] = v_fma(entry, entry, lanes[v]);
            }
        for (int v = 0; v < PENALTY_VECTORS; v++)
            v_store(norm + p * AE_PANEL + v * VL, lanes[v]);
    }
}

static void contraction_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0];
    const int64_t m = in->shape.multiplicity;
    real *norm = block->scratch;
    column_norms(binding, norm);
    for (int64_t row = block->row0; row < block->row1; row++) {
        vec lanes[PENALTY_VECTORS];
        penalty_clear(lanes);
        for (int64_t p = 0; p < ae_panels(in->shape.width); p++)
            for (int64_t i = row * m; i < (row + 1) * m; i++)
                for (int v = 0; v < PENALTY_VECTORS; v++) {
                    const vec s = v_load((const real *)in->data + p * in->stride + i * AE_PANEL + v * VL);
                    lanes[v] = v_fma(v_mul(s, s), v_load(norm + p * AE_PANEL + v * VL), lanes[v]);
                }
        rows_set_single(&binding->out, row, penalty_join(lanes));
    }
}

static void contraction_backward_data(const ae_binding *binding, const ae_block *block) {
    const ae_value *in = &binding->in[0];
    const int64_t m = in->shape.multiplicity;
    real *norm = block->scratch;
    if (!in->gradient)
        return;
    column_norms(binding, norm);
    for (int64_t p = 0; p < ae_panels(in->shape.width); p++)
        for (int64_t i = block->row0 * m; i < block->row1 * m; i++) {
            const vec twice = v_set1(2 * penalty_gradient(&binding->out, i / m));
            for (int j = 0; j < AE_PANEL; j += VL) {
                const int64_t at = p * in->stride + i * AE_PANEL + j;
                const vec sc = v_mul(v_load((const real *)in->data + at), v_load(norm + p * AE_PANEL + j));
                real *to = (real *)in->gradient + at;
                v_store(to, v_fma(twice, sc, binding->accumulate[0] ? v_load(to) : v_zero()));
            }
        }
}

/* Rows go into t by slices of 8, which divide every chunk of a minibatch, and slices into the gradient one by one: a chunk then
 * goes on where the one before it has stopped. */
#define SLICE 8
#define SLICES 32 /* taken together; of no influence on results */

typedef struct slice_sums {
    int n;
    real twice_t[SLICES][AE_PANEL];
} slice_sums;

/* 2 t of a panel of units by slice, rows in order, from row `from` on. */
static void add_slices(const ae_binding *binding, int64_t panel, int64_t from, int64_t rows, slice_sums *sums) {
    const ae_value *in = &binding->in[0];
    const int64_t m = in->shape.multiplicity;
    const real *slope = (const real *)in->data + panel * in->stride;
    for (sums->n = 0; sums->n < SLICES && from < rows; sums->n++, from += SLICE) {
        const int64_t to = from + SLICE < rows ? from + SLICE : rows;
        vec lanes[PENALTY_VECTORS];
        penalty_clear(lanes);
        for (int64_t row = from; row < to; row++) {
            const vec g = v_set1(2 * penalty_gradient(&binding->out, row));
            for (int64_t i = row * m; i < (row + 1) * m; i++)
                for (int v = 0; v < PENALTY_VECTORS; v++) {
                    const vec s = v_load(slope + i * AE_PANEL + v * VL);
                    lanes[v] = v_fma(v_mul(s, s), g, lanes[v]);
                }
        }
        for (int v = 0; v < PENALTY_VECTORS; v++)
            v_store(sums->twice_t[sums->n] + v * VL, lanes[v]);
    }
}

static void contraction_backward_weights(const ae_binding *binding, const ae_tile *tile, int64_t rows, bool accumulate,
                                         void *gradient) {
    const bool turned = tile->transposed; /* rows of the tile are units then, 32 of them to a panel of slopes */
    const real *w = turned ? (const real *)binding->transposed[0] + tile->panel * binding->in[0].shape.width * AE_PANEL
                           : (const real *)binding->parameter[0] + tile->panel * binding->parameter_rows[0] * AE_PANEL;
    slice_sums sums;
    for (int64_t from = 0; from < rows; from += SLICE * SLICES)
        for (int64_t row = tile->row0; row < tile->row1; row++) {
            if (row == tile->row0 || (turned && row % AE_PANEL == 0))
                add_slices(binding, turned ? row / AE_PANEL : tile->panel, from, rows, &sums);
            real *to = (real *)gradient + (row - tile->row0) * AE_PANEL;
            for (int j = 0; j < AE_PANEL; j += VL) {
                const vec entry = v_load(w + row * AE_PANEL + j);
                vec sum = accumulate || from ? v_load(to + j) : v_zero();
                for (int i = 0; i < sums.n; i++)
                    sum = v_fma(entry, turned ? v_set1(sums.twice_t[i][row % AE_PANEL]) : v_load(sums.twice_t[i] + j), sum);
                v_store(to + j, sum);
            }
        }
}

const ae_layer_ops AE_V(ae_layer_contraction) = {
    .name = "contraction",
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = AE_LAYER_TRANSPOSES | AE_LAYER_BORROWS,
    .plan = AE_PLANNED(contraction),
    .forward = contraction_forward,
    .backward_data = contraction_backward_data,
    .backward_weights = contraction_backward_weights,
};
