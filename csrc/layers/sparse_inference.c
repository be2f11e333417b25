/* The sparse code that explains a row best under a given decoder: predictive sparse decomposition (Kavukcuoglu, Ranzato and LeCun
 * 2008, "Fast inference in sparse coding algorithms with applications to object recognition"). For each row x the minimum
 * over z of
 *
 *     |x - z W - b|^2 + lambda |z|_1 + alpha |z - z0|^2
 *
 * inputs: x (B, d) and, if given, z0 (B, n), the encoder's prediction, from which the search also starts; W (n, d) and b (1, d) are
 * those of the dense node which it shares. out: z (B, n). No gradient passes: z is data to what follows, a decoder that shares W and
 * is trained by its error, and an encoder that is trained to predict z.
 *
 * desc->width n, size[0] iterations (0: 50, at most 10,000), size[1] 1: components are not negative; value[0] lambda, value[1] alpha.
 *
 * FISTA (Beck and Teboulle 2009, "A fast iterative shrinkage-thresholding algorithm") for each row by itself: the
 * constant L of a row begins at 2 (the largest squared norm of an atom + alpha), a lower bound, and doubles when a step shows it
 * too small, which costs that row one iteration. The momentum starts anew when it points uphill (O'Donoghue and Candes 2015,
 * "Adaptive restart for accelerated gradient schemes"). Rows go together through the two products of an iteration;
 * none sees another. */
#include <math.h>
#include <string.h>

#include "layers/penalty.h"
#include "math/gemm.h"

#define ROWS_AT_ONCE 24 /* of no influence on results */
#define ITERATIONS 50
#define MOST_ITERATIONS 10000 /* the interruption of a fit waits for a block of rows */

enum { WEIGHT, BIAS };

AE_PLAN(sparse_inference) {
    const ae_node_desc *desc = plan->desc;
    const int64_t d = plan->in[0].width, n = desc->width;
    if (n < 1 || n > INT32_MAX)
        return ae_fail(context, AE_ERR_VALUE, "node '%s': width is %lld; 1 to %lld are allowed", desc->name, (long long)n,
                       (long long)INT32_MAX);
    if (desc->n_inputs > 1 && (plan->in[1].width != n || plan->in[1].multiplicity != plan->in[0].multiplicity))
        return ae_fail(context, AE_ERR_VALUE, "node '%s': the predicted code has %lld features; %lld are allowed", desc->name,
                       (long long)plan->in[1].width, (long long)n);
    if (desc->size[0] < 0 || desc->size[0] > MOST_ITERATIONS || desc->size[1] < 0 || desc->size[1] > 1)
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': n_iterations is %d and positive %d; 1 to %d (0: %d), and 0 or 1 are allowed", desc->name,
                       (int)desc->size[0], (int)desc->size[1], MOST_ITERATIONS, ITERATIONS);
    if (!(desc->value[0] >= 0.0 && isfinite(desc->value[0])) || !(desc->value[1] >= 0.0 && isfinite(desc->value[1])))
        return ae_fail(context, AE_ERR_VALUE,
                       "node '%s': sparsity weight is %g and prediction weight %g; both must be at least 0 and finite",
                       desc->name, desc->value[0], desc->value[1]);
    plan->out = (ae_shape){n, plan->in[0].multiplicity};
    plan->n_parameters = 2;
    plan->parameter[WEIGHT] = (ae_parameter_request){"weight", n, d, n, d, AE_INIT_ZERO, true, true, AE_UPDATE_RULE};
    plan->parameter[BIAS] = (ae_parameter_request){"bias", 1, d, n, d, AE_INIT_ZERO, false, false, AE_UPDATE_RULE};
    plan->scratch_reals = (5 * ae_panels(n) + 4 * ae_panels(d)) * ROWS_AT_ONCE * AE_PANEL;
    plan->flops_per_row = 4.0 * (double)n * (double)d * (double)(desc->size[0] ? desc->size[0] : ITERATIONS);
    return AE_OK;
}

/* A few rows of the block on their way, panel matrices of ROWS_AT_ONCE rows. Residuals are z W + b - x. */
typedef struct search {
    const ae_binding *binding;
    int64_t rows, n, d;
    real *z, *y, *z0, *gradient, *move;            /* (rows, n); move: from y to the new z */
    real *residual_z, *residual_y, *moved, *start; /* (rows, d); moved: move W; start: b - x */
    real bound[ROWS_AT_ONCE];                      /* L */
    real momentum[ROWS_AT_ONCE];                   /* t */
} search;

#define STRIDE (ROWS_AT_ONCE * AE_PANEL)

static void place(search *s, real *scratch) {
    real **const of_code[] = {&s->z, &s->y, &s->z0, &s->gradient, &s->move};
    real **const of_row[] = {&s->residual_z, &s->residual_y, &s->moved, &s->start};
    for (int i = 0; i < 5; i++, scratch += ae_panels(s->n) * STRIDE)
        *of_code[i] = scratch;
    for (int i = 0; i < 4; i++, scratch += ae_panels(s->d) * STRIDE)
        *of_row[i] = scratch;
}

/* to (rows, columns) = from (rows, summed) times panels of a weight. */
static void multiply(const search *s, const real *from, int64_t summed, const real *weight, int64_t columns, real *to) {
    const int64_t terms = ae_panels(summed);
    const ae_gemm gemm = {terms, AE_PANEL, ae_panel_columns(summed, terms - 1), NULL, NULL, STRIDE, AE_PANEL * AE_PANEL};
    for (int64_t p = 0; p < ae_panels(columns); p++)
        AE_V(ae_gemm_rows)
    (&gemm, s->rows, ae_panel_columns(columns, p), from, weight + p * summed * AE_PANEL, AE_START_ZERO, NULL, to + p * STRIDE);
}

/* Atoms are the rows of W, columns of its transpose. */
static real first_bound(const ae_binding *binding) {
    const int64_t d = binding->in[0].shape.width, n = binding->out.shape.width;
    const real *transposed = binding->transposed[WEIGHT];
    real largest = 0;
    for (int64_t p = 0; p < ae_panels(n); p++) {
        real norm[AE_PANEL];
        vec lanes[PENALTY_VECTORS];
        penalty_clear(lanes);
        for (int64_t i = 0; i < d; i++)
            for (int v = 0; v < PENALTY_VECTORS; v++) {
                const vec entry = v_load(transposed + (p * d + i) * AE_PANEL + v * VL);
                lanes[v] = v_fma(entry, entry, lanes[v]);
            }
        for (int v = 0; v < PENALTY_VECTORS; v++)
            v_store(norm + v * VL, lanes[v]);
        for (int c = 0; c < ae_panel_columns(n, p); c++)
            largest = norm[c] > largest ? norm[c] : largest;
    }
    const real bound = 2 * (largest + (real)binding->desc->value[1]);
    return bound > 0 ? bound : 1;
}

/* to = a + b over all rows. */
static void sum_of(const search *s, int64_t width, const real *a, const real *b, real *to) {
    for (int64_t p = 0; p < ae_panels(width); p++)
        for (int64_t i = p * STRIDE; i < p * STRIDE + s->rows * AE_PANEL; i += VL)
            v_store(to + i, v_add(v_load(a + i), v_load(b + i)));
}

static void begin(search *s, int64_t row0) {
    const ae_value *x = &s->binding->in[0], *z0 = &s->binding->in[1];
    const size_t bytes = (size_t)(s->rows * AE_PANEL) * sizeof(real);
    const real *bias = s->binding->parameter[BIAS];
    for (int64_t p = 0; p < ae_panels(s->n); p++) {
        if (s->binding->desc->n_inputs > 1)
            memcpy(s->z0 + p * STRIDE, (const real *)z0->data + p * z0->stride + row0 * AE_PANEL, bytes);
        else
            memset(s->z0 + p * STRIDE, 0, bytes);
        const int columns = ae_panel_columns(s->n, p);
        for (int64_t row = 0; columns < AE_PANEL && row < s->rows; row++)
            memset(s->z0 + p * STRIDE + row * AE_PANEL + columns, 0, (size_t)(AE_PANEL - columns) * sizeof(real));
        memcpy(s->z + p * STRIDE, s->z0 + p * STRIDE, bytes);
        memcpy(s->y + p * STRIDE, s->z0 + p * STRIDE, bytes);
    }
    for (int64_t p = 0; p < ae_panels(s->d); p++)
        for (int64_t row = 0; row < s->rows; row++)
            for (int j = 0; j < AE_PANEL; j += VL)
                v_store(s->start + p * STRIDE + row * AE_PANEL + j,
                        v_sub(v_load(bias + p * AE_PANEL + j),
                              v_load((const real *)x->data + p * x->stride + (row0 + row) * AE_PANEL + j)));
    multiply(s, s->z, s->n, s->binding->parameter[WEIGHT], s->d, s->moved);
    sum_of(s, s->d, s->start, s->moved, s->residual_z);
    sum_of(s, s->d, s->start, s->moved, s->residual_y);
    const real bound = first_bound(s->binding);
    for (int64_t row = 0; row < s->rows; row++)
        s->bound[row] = bound, s->momentum[row] = 1;
}

/* move = the proximal step from y, less y. */
static void step(search *s) {
    const vec lambda = v_set1((real)s->binding->desc->value[0]), alpha = v_set1((real)s->binding->desc->value[1]);
    const bool positive = s->binding->desc->size[1];
    for (int64_t p = 0; p < ae_panels(s->n); p++)
        for (int64_t row = 0; row < s->rows; row++) {
            const vec bound = v_set1(s->bound[row]), threshold = v_div(lambda, bound);
            for (int j = 0; j < AE_PANEL; j += VL) {
                const int64_t at = p * STRIDE + row * AE_PANEL + j;
                const vec y = v_load(s->y + at);
                const vec pull = v_fma(alpha, v_sub(y, v_load(s->z0 + at)), v_load(s->gradient + at));
                const vec to = v_sub(y, v_div(v_add(pull, pull), bound));
                const vec shrunk = v_max(v_zero(), v_sub(positive ? to : v_abs(to), threshold));
                v_store(s->move + at, v_sub(positive ? shrunk : v_copysign(shrunk, to), y));
            }
        }
}

/* Squared length of a row. */
static double row_square(const real *x, int64_t row, int64_t width) {
    vec lanes[PENALTY_VECTORS];
    penalty_clear(lanes);
    for (int64_t p = 0; p < ae_panels(width); p++)
        for (int v = 0; v < PENALTY_VECTORS; v++) {
            vec entry = v_load(x + p * STRIDE + row * AE_PANEL + v * VL);
            entry = v_select(lanes_below(ae_panel_columns(width, p), v * VL), entry, v_zero());
            lanes[v] = v_fma(entry, entry, lanes[v]);
        }
    return penalty_join(lanes);
}

/* (y - new z) . (new z - z): above zero, the momentum led away from where the gradient leads. */
static bool uphill(const search *s, int64_t row) {
    vec lanes[PENALTY_VECTORS];
    penalty_clear(lanes);
    for (int64_t p = 0; p < ae_panels(s->n); p++)
        for (int v = 0; v < PENALTY_VECTORS; v++) {
            const int64_t at = p * STRIDE + row * AE_PANEL + v * VL;
            const vec move = v_load(s->move + at), forward = v_sub(v_add(v_load(s->y + at), move), v_load(s->z + at));
            lanes[v] = v_fnma(move, forward, lanes[v]);
        }
    return penalty_join(lanes) > 0.0;
}

/* What y + move is to z, z itself becomes; y goes on by beta. */
static void advance_row(int64_t row, int64_t width, real beta, const real *move, real *z, real *y) {
    for (int64_t p = 0; p < ae_panels(width); p++)
        for (int j = 0; j < AE_PANEL; j += VL) {
            const int64_t at = p * STRIDE + row * AE_PANEL + j;
            const vec next = v_add(v_load(y + at), v_load(move + at));
            v_store(y + at, v_fma(v_set1(beta), v_sub(next, v_load(z + at)), next));
            v_store(z + at, next);
        }
}

static void accept(search *s, int64_t row) {
    const double length = row_square(s->move, row, s->n), stretched = row_square(s->moved, row, s->d);
    const double alpha = s->binding->desc->value[1];
    if (stretched + alpha * length > 0.5 * (double)s->bound[row] * length) {
        s->bound[row] *= 2;
        return;
    }
    const double t = uphill(s, row) ? 1.0 : (double)s->momentum[row], next = 0.5 * (1.0 + sqrt(1.0 + 4.0 * t * t));
    const real beta = (real)((t - 1.0) / next);
    advance_row(row, s->n, beta, s->move, s->z, s->y);
    advance_row(row, s->d, beta, s->moved, s->residual_z, s->residual_y);
    s->momentum[row] = (real)next;
}

static void sparse_inference_forward(const ae_binding *binding, const ae_block *block) {
    const ae_value *out = &binding->out;
    const int64_t row0 = block->row0 * out->shape.multiplicity, row1 = block->row1 * out->shape.multiplicity;
    const int iterations = binding->desc->size[0] ? binding->desc->size[0] : ITERATIONS;
    search s = {.binding = binding, .n = out->shape.width, .d = binding->in[0].shape.width};
    place(&s, block->scratch);
    for (int64_t row = row0; row < row1; row += ROWS_AT_ONCE) {
        s.rows = row1 - row < ROWS_AT_ONCE ? row1 - row : ROWS_AT_ONCE;
        begin(&s, row);
        for (int i = 0; i < iterations; i++) {
            multiply(&s, s.residual_y, s.d, binding->transposed[WEIGHT], s.n, s.gradient);
            step(&s);
            multiply(&s, s.move, s.n, binding->parameter[WEIGHT], s.d, s.moved);
            for (int64_t r = 0; r < s.rows; r++)
                accept(&s, r);
        }
        for (int64_t p = 0; p < ae_panels(s.n); p++)
            memcpy((real *)out->data + p * out->stride + row * AE_PANEL, s.z + p * STRIDE,
                   (size_t)(s.rows * AE_PANEL) * sizeof(real));
    }
}

const ae_layer_ops AE_V(ae_layer_sparse_inference) = {
    .name = "sparse_inference",
    .min_inputs = 1,
    .max_inputs = 2,
    .flags = AE_LAYER_BORROWS | AE_LAYER_STOPS,
    .plan = AE_PLANNED(sparse_inference),
    .forward = sparse_inference_forward,
};
